package pattern

import (
	"fmt"
	"strings"
)

// Verdict holds the result of Match.
type Verdict struct {
	Matches bool
	// Misses are the leaves that decided that a pattern does not match, in the order written. There is one if the pattern has no $or, or if a
	// field outside of $or decided; else there may be one for each branch.
	Misses []Miss
}

// Miss is a field that does not match, and the value that decided it.
type Miss struct {
	Path  string `json:"path"`            // of the field in the metadata: customer.country
	At    string `json:"at"`              // of the field in the pattern: $or[1].customer.country
	Want  string `json:"want"`            // the field's list of values in the pattern, cut after 80 bytes
	Value string `json:"value,omitempty"` // what the metadata has there, as JSON, cut; "" if it has nothing
	// Beside are the paths of fields in the same list that match only in other elements than this field; nil if it does not match by itself.
	Beside []string `json:"beside,omitempty"`
}

// String returns the miss as one line: country is "DE"; want ["AT"].
func (m Miss) String() string {
	switch {
	case m.Beside != nil:
		return fmt.Sprintf("%s matches in no element of its list in which %s matches; want %s", m.Path, strings.Join(m.Beside, ", "), m.Want)
	case m.Value == "":
		return fmt.Sprintf("%s is absent; want %s", m.Path, m.Want)
	}
	return fmt.Sprintf("%s is %s; want %s", m.Path, m.Value, m.Want)
}

// Reason returns why a pattern does not match, as one line, "" if it does. Of many branches it gives the first three.
func (v Verdict) Reason() string {
	const told = 3
	lines := make([]string, 0, told)
	for _, m := range v.Misses[:min(told, len(v.Misses))] {
		lines = append(lines, m.String())
	}
	reason := strings.Join(lines, "; and ")
	if more := len(v.Misses) - told; more > 0 {
		reason += fmt.Sprintf("; and %d more", more)
	}
	return reason
}

// Match reports whether the metadata matches the pattern, and if not, what decided it.
func (p Pattern) Match(metadata Metadata) Verdict {
	if len(p.trie) == 0 {
		return Verdict{}
	}
	m := matcher{&p}
	root := m.reduce(&metadata.root, 0)
	for _, c := range p.combinations {
		if m.holds(root, c, 0) {
			return Verdict{Matches: true}
		}
	}
	return Verdict{Misses: m.misses(root, &metadata.root)}
}

// misses returns one leaf for each combination, each leaf once. If several leaves of a combination do not hold by themselves, the one that most
// combinations have decides: one outside of $or rather than one in a branch.
func (m matcher) misses(root *part, metadata *value) []Miss {
	alone := make([]bool, len(m.leaves))
	for id := range m.leaves {
		alone[id] = m.holds(root, []int{id}, 0)
	}
	failing := make([]int, len(m.leaves))
	for _, c := range m.combinations {
		for _, id := range c {
			if !alone[id] {
				failing[id]++
			}
		}
	}
	found := map[int]Miss{}
	for _, c := range m.combinations {
		worst := -1
		for _, id := range c {
			if !alone[id] && (worst < 0 || failing[id] > failing[worst] || failing[id] == failing[worst] && id < worst) {
				worst = id
			}
		}
		var beside []string
		if worst < 0 {
			worst, beside = m.apart(root, c)
		}
		if _, told := found[worst]; !told {
			l := &m.leaves[worst]
			found[worst] = Miss{Path: l.field, At: l.at, Want: shorten(l.want), Value: metadata.show(l.names), Beside: beside}
		}
	}
	var out []Miss
	for id := range m.leaves {
		if miss, ok := found[id]; ok {
			out = append(out, miss)
		}
	}
	return out
}

// apart returns the first leaf of a combination that does not hold together with those before it, and the fields of those that share a name with
// it on the way.
func (m matcher) apart(root *part, combination []int) (int, []string) {
	n := 1
	for n < len(combination) && m.holds(root, combination[:n], 0) {
		n++
	}
	id := combination[n-1]
	beside := []string{}
	for _, other := range combination[:n-1] {
		if m.leaves[other].steps[1] == m.leaves[id].steps[1] && !m.holds(root, []int{other, id}, 0) {
			beside = append(beside, m.leaves[other].field)
		}
	}
	if len(beside) == 0 { // any two hold together, and all do not
		for _, other := range combination[:n-1] {
			if m.leaves[other].steps[1] == m.leaves[id].steps[1] {
				beside = append(beside, m.leaves[other].field)
			}
		}
	}
	return id, beside
}

// show returns what is at the path, as JSON that is cut: the first values if there are many, "" if there is nothing.
func (v *value) show(names []string) string {
	const values = 5
	var found []string
	v.each(names, func(one *value) bool {
		found = append(found, one.brief())
		return len(found) <= values
	})
	switch {
	case len(found) > values:
		return "[" + strings.Join(found[:values], ", ") + ", …]"
	case len(found) == 1:
		return found[0]
	case len(found) > 1:
		return "[" + strings.Join(found, ", ") + "]"
	}
	return ""
}

// each calls told with the values at a path, in lists on the way too, until it returns false.
func (v *value) each(names []string, told func(*value) bool) bool {
	switch {
	case v.kind == kindList && len(v.children) > 0:
		for i := range v.children {
			if !v.children[i].each(names, told) {
				return false
			}
		}
	case len(names) == 0:
		return told(v)
	case v.kind == kindObject:
		if child := v.find(names[0]); child != nil {
			return child.each(names[1:], told)
		}
	}
	return true
}

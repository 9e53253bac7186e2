package pattern

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	// MaxSize bounds the characters of a pattern, not counting the spaces between its parts. It is EventBridge's default quota.
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
	MaxSize = 2048
	// MaxCombinations bounds the patterns without $or that a pattern stands for: the branches of one $or add, two that hold together multiply.
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html#eb-filtering-complex-example-or
	MaxCombinations = 1000
)

// Pattern is a pattern that was read by Parse. It never changes, so several goroutines may use it. The zero Pattern matches nothing.
type Pattern struct {
	text         string
	leaves       []leaf
	trie         []step  // the first is the root
	combinations [][]int // of leaves; in each, the leaves are in the order of their fields and no field has two
	replaced     []replacement
	orIsField    bool // $or is the name of a field
}

// String returns the pattern as compact JSON. Parse reads it back as an equal pattern.
func (p Pattern) String() string { return p.text }

// leaf is a field and the values of which one has to match.
type leaf struct {
	at     string   // in the pattern: $or[1].customer.country
	field  string   // in the metadata: customer.country
	names  []string // the same, as written in the metadata
	want   string   // the list of values, as written
	values []operator
	absent bool // it also matches if the field is absent
	branch int  // the innermost branch of $or that it is in, from 1; 0 outside
	steps  []int
}

// step is a name on the way to fields, below another step.
type step struct {
	names  []string // of the steps below
	below  []int    // parallel to names
	leaves []int    // of the field that ends here
	depth  int      // 0 for the root
}

// replacement is a leaf that another one of the same field replaces in some combination.
type replacement struct{ old, by int }

// place adds the steps of a leaf to the trie.
func (p *Pattern) place(id int) {
	l := &p.leaves[id]
	at := 0
	l.steps = []int{0}
	for _, name := range l.names {
		i := slices.Index(p.trie[at].names, name)
		if i < 0 {
			i = len(p.trie[at].names)
			p.trie = append(p.trie, step{depth: p.trie[at].depth + 1})
			p.trie[at].names = append(p.trie[at].names, name)
			p.trie[at].below = append(p.trie[at].below, len(p.trie)-1)
		}
		at = p.trie[at].below[i]
		l.steps = append(l.steps, at)
	}
	p.trie[at].leaves = append(p.trie[at].leaves, id)
}

// end returns the step of the leaf's field.
func (l *leaf) end() int { return l.steps[len(l.steps)-1] }

// clause is a leaf, or a list of branches of which each is a list of clauses.
type clause struct {
	leaf     int
	branches [][]clause
	at       string // of the branches
}

// expand returns the combinations that the clauses stand for behind those that come before. Like EventBridge it goes in the order written, so that
// of two leaves of one field the later one stays.
func (p *Pattern) expand(before [][]int, clauses []clause) ([][]int, *Error) {
	for _, c := range clauses {
		if c.branches == nil {
			for i := range before {
				var wrong *Error
				if before[i], wrong = p.write(before[i], c.leaf); wrong != nil {
					return nil, wrong
				}
			}
			continue
		}
		var after [][]int
		for _, branch := range c.branches {
			own := make([][]int, len(before))
			for i := range before {
				own[i] = slices.Clone(before[i])
			}
			own, wrong := p.expand(own, branch)
			if wrong != nil {
				return nil, wrong
			}
			if after = append(after, own...); len(after) > MaxCombinations {
				return nil, &Error{Path: c.at, Reason: fmt.Sprintf("makes more than %d combinations, with the branches of every other $or; want fewer branches", MaxCombinations)}
			}
		}
		before = after
	}
	return before, nil
}

// write adds a leaf to a combination, in the place of one of the same field.
func (p *Pattern) write(combination []int, id int) ([]int, *Error) {
	for i, old := range combination {
		if p.leaves[old].end() != p.leaves[id].end() {
			continue
		}
		if p.leaves[old].branch == p.leaves[id].branch {
			return nil, &Error{Path: p.leaves[id].at, Reason: fmt.Sprintf("is the same field as %s; want it once", p.leaves[old].at)}
		}
		if one := (replacement{old, id}); !slices.Contains(p.replaced, one) {
			p.replaced = append(p.replaced, one)
		}
		combination[i] = id
		return combination, nil
	}
	return append(combination, id), nil
}

// sort brings each combination into the order in which EventBridge compares fields: by path, in UTF-16.
func (p *Pattern) sort() {
	order := make([][]uint16, len(p.leaves))
	for i, l := range p.leaves {
		order[i] = utf16.Encode([]rune(strings.Join(l.names, ".")))
	}
	for _, c := range p.combinations {
		slices.SortFunc(c, func(a, b int) int { return slices.Compare(order[a], order[b]) })
	}
}

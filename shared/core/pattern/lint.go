package pattern

import (
	"fmt"
	"slices"
	"strings"
)

// Doubt names the trouble with a pattern, or with one of its leaves.
type Doubt string

// The doubts.
const (
	Never    Doubt = "never"    // matches no metadata
	Always   Doubt = "always"   // matches all metadata
	AnyValue Doubt = "any"      // matches every value that the field may have
	Replaced Doubt = "replaced" // is not looked at in some branch of $or, as the branch names the same field
	PlainOr  Doubt = "or"       // $or is read as the name of a field
)

// Finding is something in a valid pattern that was hardly meant.
type Finding struct {
	Path   string `json:"path"` // in the pattern: $or[1].customer.country; "" for the whole pattern
	Doubt  Doubt  `json:"doubt"`
	Reason string `json:"reason"`
}

// String returns "path: reason".
func (f Finding) String() string { return Error{f.Path, f.Reason}.Error() }

// Known is a field that all metadata has. Fields of the same object that are not known as well are never there: with drover.run known,
// drover.name is absent.
type Known struct {
	Path   string   // names separated by dots: drover.stage
	Number bool     // the field is a number; else text
	Values []string // one of these texts, or of these numbers as written; nil if it may be any
}

// Lint returns what surely is so for all metadata that has the known fields, in the order written: fields and whole patterns that never or always
// match, fields that match any value, fields that $or replaces. It is silent where it cannot be sure.
func (p Pattern) Lint(known ...Known) []Finding {
	var findings []Finding
	truths := make([]truthOf, len(p.leaves))
	for id := range p.leaves {
		l := &p.leaves[id]
		var f Finding
		truths[id], f = l.judge(known)
		if f.Doubt != "" {
			findings = append(findings, f)
		}
		for _, r := range p.replaced {
			if r.old == id {
				findings = append(findings, Finding{l.at, Replaced, fmt.Sprintf("is not looked at where %s names the same field, which replaces it", p.leaves[r.by].at)})
			}
		}
		if at := slices.Index(l.names, or); p.orIsField && at >= 0 {
			findings = append(findings, Finding{l.at, PlainOr, "$or is read as the name of a field here, as it is no list of two or more objects of fields"})
		}
	}
	if whole, ok := p.whole(truths); ok {
		findings = append([]Finding{whole}, findings...)
	}
	return findings
}

// truthOf says whether a leaf holds in all metadata or in none.
type truthOf int

const (
	unsure truthOf = iota
	always
	never
)

func (p Pattern) whole(truths []truthOf) (Finding, bool) {
	if len(p.combinations) == 0 {
		return Finding{}, false
	}
	nowhere := true
	for _, c := range p.combinations {
		if !slices.ContainsFunc(c, func(id int) bool { return truths[id] != always }) {
			return Finding{"", Always, "matches all metadata; want a field that some metadata fails"}, true
		}
		nowhere = nowhere && slices.ContainsFunc(c, func(id int) bool { return truths[id] == never })
	}
	return Finding{"", Never, "matches no metadata"}, nowhere
}

// judge returns what is sure of a leaf, and a finding if that is worth telling.
func (l *leaf) judge(known []Known) (truthOf, Finding) {
	path := strings.Join(l.names, ".")
	siblings := false
	for _, k := range known {
		if k.Path == path {
			return l.judgeKnown(k)
		}
		object := parent(k.Path)
		siblings = siblings || object != "" && (path == object || strings.HasPrefix(path, object+"."))
	}
	switch {
	case siblings && l.absent:
		return always, Finding{l.at, Always, "always matches: there is no such field"}
	case siblings:
		return never, Finding{l.at, Never, "never matches: there is no such field"}
	case l.absent && l.all():
		return always, Finding{l.at, Always, fmt.Sprintf("%s always matches, with the field and without", shorten(l.want))}
	case l.all() && !slices.ContainsFunc(l.values, func(o operator) bool { _, ok := o.(exists); return ok }):
		return unsure, Finding{l.at, AnyValue, fmt.Sprintf(`%s matches every value; want {"exists": true} if that is meant, or else one anything-but with a list`, shorten(l.want))}
	case !l.absent && !slices.ContainsFunc(l.values, possible):
		return never, Finding{l.at, Never, fmt.Sprintf("%s never matches: no number is between the bounds", shorten(l.want))}
	}
	return unsure, Finding{}
}

func (l *leaf) judgeKnown(k Known) (truthOf, Finding) {
	if k.Values == nil {
		sample := scalar{kind: kindText}
		if k.Number {
			sample = numeral("1")
		}
		switch {
		case l.all():
			return always, Finding{l.at, Always, "always matches: every metadata has the field"}
		case !slices.ContainsFunc(l.values, func(o operator) bool { return takes(o, sample.kind) }):
			return never, Finding{l.at, Never, fmt.Sprintf("never matches: the field always is %s", sample.kind)}
		}
		return unsure, Finding{}
	}
	held := 0
	for _, text := range k.Values {
		s := scalar{kind: kindText, text: text}
		if k.Number {
			s = numeral(text)
		}
		if l.any(s) {
			held++
		}
	}
	told := shorten(strings.Join(k.Values, ", "))
	switch {
	case held == len(k.Values):
		return always, Finding{l.at, Always, "always matches: the field has one of " + told}
	case held == 0:
		return never, Finding{l.at, Never, "never matches: the field has one of " + told}
	}
	return unsure, Finding{}
}

func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

func (l *leaf) any(s scalar) bool {
	return slices.ContainsFunc(l.values, func(o operator) bool { return o.holds(s) })
}

// all reports whether every value surely meets the leaf. So it is if what an anything-but excludes is met by another value of the list.
func (l *leaf) all() bool {
	return slices.ContainsFunc(l.values, func(o operator) bool {
		switch o := o.(type) {
		case exists:
			return true
		case none:
			return !slices.ContainsFunc(o, func(excluded operator) bool {
				literal, ok := excluded.(equal)
				return !ok || !l.any(literal.scalar)
			})
		}
		return false
	})
}

// possible reports whether an operator may hold for some value.
func possible(o operator) bool {
	bounds, ok := o.(interval)
	return !ok || !bounds.empty()
}

// takes reports whether an operator may hold for some value of a kind.
func takes(o operator, k kind) bool {
	switch o := o.(type) {
	case equal:
		return o.kind == k
	case interval:
		return k == kindNumber
	case none, exists:
		return true
	}
	return k == kindText
}

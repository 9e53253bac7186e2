package pattern

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/spelling"
)

// Parse reads a pattern, a JSON object. It refuses what EventBridge refuses and what would match everything by mistake: unknown operators, empty
// objects and lists, values of the wrong type, names that appear twice. The errors are in the order written, each with the path of its cause.
func Parse(text []byte) (Pattern, Errors) {
	compact, wrong := compacted(text)
	if wrong != nil {
		return Pattern{}, Errors{*wrong}
	}
	asOperator := reader{or: true}
	p, errs := asOperator.pattern(compact)
	if errs == nil || !asOperator.metOr {
		return p, errs
	}
	// EventBridge reads $or as a field's name if it is no operator. https://github.com/aws/event-ruler#the-or-primitive
	if p, asField := (&reader{}).pattern(compact); len(asField) < len(errs) {
		return p, asField
	}
	return Pattern{}, errs
}

func compacted(text []byte) ([]byte, *Error) {
	if err := exact.Check(text); err != nil {
		return nil, &Error{Reason: err.Error()}
	}
	if !utf8.Valid(text) {
		return nil, &Error{Reason: "is not UTF-8"}
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, &Error{Reason: "is not JSON"}
	}
	if size := utf8.RuneCount(out.Bytes()); size > MaxSize {
		return nil, &Error{Reason: fmt.Sprintf("has %d characters; want at most %d, not counting spaces between its parts", size, MaxSize)}
	}
	return out.Bytes(), nil
}

// reader collects everything that is wrong with a pattern, instead of stopping at the first error.
type reader struct {
	or       bool // $or is the operator
	metOr    bool
	branches int // that were read so far
	errors   Errors
	leaves   []leaf
}

func (r *reader) refuse(at, format string, arguments ...any) {
	r.errors = append(r.errors, Error{Path: at, Reason: fmt.Sprintf(format, arguments...)})
}

func (r *reader) pattern(text []byte) (Pattern, Errors) {
	if kindOf(text) != kindObject {
		return Pattern{}, Errors{{Reason: fmt.Sprintf("is %s; want an object of fields", kindOf(text))}}
	}
	clauses := r.object(text, place{})
	if r.errors != nil {
		return Pattern{}, r.errors
	}
	p := Pattern{text: string(text), leaves: r.leaves, trie: []step{{}}, orIsField: !r.or}
	for id := range p.leaves {
		p.place(id)
	}
	var wrong *Error
	if p.combinations, wrong = p.expand([][]int{nil}, clauses); wrong != nil {
		return Pattern{}, Errors{*wrong}
	}
	p.sort()
	return p, nil
}

// place is where in a pattern a value is.
type place struct {
	at     string   // customer.country[1].prefix
	names  []string // of the field in the metadata
	branch int      // of $or
}

func (w place) member(name string) place {
	return place{join(w.at, name), append(slices.Clip(w.names), name), w.branch}
}

// reserved are the names that no field within $or may have: EventBridge keeps them for operators.
// https://github.com/aws/event-ruler/blob/main/src/main/software/amazon/event/ruler/Constants.java
var reserved = []string{
	"exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr", "=", "<", "<=", ">", ">=",
	"regex", "not-wildcard", "not-equals-ignore-case", "date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range",
	"ip-address-in-range", "ip-address-not-in-range",
}

const or = "$or"

func (r *reader) object(text []byte, w place) []clause {
	var clauses []clause
	members := r.members(text, w.at)
	if len(members) == 0 {
		r.refuse(w.at, "is an empty object, which would match everything; want at least one field")
	}
	for _, m := range members {
		below := w.member(m.Name)
		switch {
		case r.or && m.Name == or:
			clauses = append(clauses, r.branching(m.Value, below.at, w))
		case w.branch > 0 && slices.Contains(reserved, m.Name):
			r.refuse(below.at, "is the name of an operator, which a field within $or must not have")
		case kindOf(m.Value) == kindObject:
			clauses = append(clauses, r.object(m.Value, below)...)
		case kindOf(m.Value) == kindList:
			clauses = append(clauses, clause{leaf: r.leaf(m.Value, below)})
		default:
			r.refuse(below.at, "is %s; want a list of values, as in [%s], or an object of fields", kindOf(m.Value), shorten(string(m.Value)))
		}
	}
	return clauses
}

// members returns the members of an object, and refuses names that appear twice.
func (r *reader) members(text []byte, at string) []exact.Member {
	members, err := exact.Members(text)
	if err != nil {
		r.refuse(at, "%v", err)
		return nil
	}
	seen := map[string]bool{}
	for _, m := range members {
		if seen[m.Name] {
			r.refuse(join(at, m.Name), "appears twice; want it once")
		}
		seen[m.Name] = true
	}
	return members
}

func (r *reader) items(text []byte, at string) []json.RawMessage {
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		r.refuse(at, "is not JSON")
	}
	return items
}

// branching reads the value of $or, which stands in the place of w.
func (r *reader) branching(text []byte, at string, w place) clause {
	r.metOr = true
	c := clause{at: at, branches: [][]clause{}}
	if kindOf(text) != kindList {
		r.refuse(at, "is %s; want a list of two or more objects of fields", kindOf(text))
		return c
	}
	items := r.items(text, at)
	if len(items) < 2 {
		r.refuse(at, "has %s; want two or more, of which one has to match", counted(len(items), "branch", "branches"))
	}
	for i, item := range items {
		if kindOf(item) != kindObject {
			r.refuse(index(at, i), "is %s; want an object of fields", kindOf(item))
			continue
		}
		r.branches++
		c.branches = append(c.branches, r.object(item, place{index(at, i), w.names, r.branches}))
	}
	return c
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (r *reader) leaf(text []byte, w place) int {
	names := strings.Split(strings.Join(w.names, "."), ".")
	l := leaf{at: w.at, names: names, want: string(text), branch: w.branch}
	for _, name := range names {
		l.field = join(l.field, name)
	}
	items := r.items(text, w.at)
	if len(items) == 0 {
		r.refuse(w.at, "is an empty list; want at least one value")
	}
	for i, item := range items {
		one, absent := r.value(item, index(w.at, i))
		if absent {
			l.absent = true
		} else {
			l.values = append(l.values, one)
		}
	}
	r.leaves = append(r.leaves, l)
	return len(r.leaves) - 1
}

// value reads one value of a field. For {"exists": false} it returns absent.
func (r *reader) value(text []byte, at string) (o operator, absent bool) {
	switch kindOf(text) {
	case kindList:
		r.refuse(at, "is a list; want text, a number, true, false, null, or an object with one operator")
		return nil, false
	case kindObject:
		return r.operator(text, at)
	case kindText:
		content, _ := exact.Text(text)
		if found, ok := address(content); ok {
			return sameAddress(found), false
		}
		return equal{scalar{kind: kindText, text: content}}, false
	case kindNumber:
		return equal{numeral(string(text))}, false
	case kindBoolean, kindNull:
	}
	return equal{scalar{kind: kindOf(text), text: string(text)}}, false
}

// operators are the names of all operators.
var operators = []string{"anything-but", "cidr", "equals-ignore-case", "exactly", "exists", "numeric", "prefix", "suffix", "wildcard"}

func (r *reader) operator(text []byte, at string) (o operator, absent bool) {
	members := r.members(text, at)
	if len(members) != 1 {
		r.refuse(at, "has %s; want one, of %s", counted(len(members), "operator", "operators"), strings.Join(operators, ", "))
		return nil, false
	}
	name, value, below := members[0].Name, members[0].Value, join(at, members[0].Name)
	nearest, near := spelling.Nearest(name, operators)
	switch known := slices.Contains(operators, name); {
	case !known && near:
		r.refuse(below, "is no operator; did you mean %s?", nearest)
	case !known && kindOf(value) >= kindList:
		r.refuse(below, "is no operator; want one of %s; or write the fields of an object without a list around it", strings.Join(operators, ", "))
	case !known:
		r.refuse(below, "is no operator; want one of %s", strings.Join(operators, ", "))
	case name != "exists":
		return r.operand(name, value, below), false
	case kindOf(value) != kindBoolean:
		r.refuse(below, "is %s; want true or false", kindOf(value))
	default:
		return exists{}, string(value) == "false"
	}
	return nil, false
}

// operand reads the value of an operator other than exists.
func (r *reader) operand(name string, text []byte, at string) operator {
	switch name {
	case "anything-but":
		return r.anythingBut(text, at)
	case "cidr":
		return r.cidr(text, at)
	case "numeric":
		return r.numeric(text, at)
	case "prefix":
		return r.either(text, at, func(content string) operator { return prefix(content) }, func(f folded) operator { return hasFold{f} })
	case "suffix":
		return r.either(text, at, func(content string) operator { return suffix(content) }, func(f folded) operator { return endsFold{f} })
	case ignoringCase:
		return sameFold{fold(r.text(text, at))}
	case "wildcard":
		return r.wildcard(text, at)
	}
	return equal{scalar{kind: kindText, text: r.text(text, at)}} // exactly
}

func (r *reader) text(text []byte, at string) string {
	content, ok := exact.Text(text)
	if !ok {
		r.refuse(at, "is %s; want text", kindOf(text))
	}
	return content
}

const ignoringCase = "equals-ignore-case"

// either reads text, or an object with text that is compared ignoring case.
func (r *reader) either(text []byte, at string, whole func(string) operator, ignoring func(folded) operator) operator {
	if kindOf(text) != kindObject {
		return whole(r.text(text, at))
	}
	members := r.members(text, at)
	if len(members) != 1 || members[0].Name != ignoringCase {
		r.refuse(at, `is another object; want text or {"equals-ignore-case": "…"}`)
		return nil
	}
	return ignoring(fold(r.text(members[0].Value, join(at, ignoringCase))))
}

func (r *reader) cidr(text []byte, at string) operator {
	if kindOf(text) != kindText {
		r.refuse(at, "is %s; want text, as in \"10.0.0.0/24\"", kindOf(text))
		return nil
	}
	content, _ := exact.Text(text)
	found, err := block(content)
	if err != nil {
		r.refuse(at, "%v", err)
	}
	return within{found}
}

func (r *reader) wildcard(text []byte, at string) operator {
	parts, wrong := splitWildcard(r.text(text, at))
	if wrong != "" {
		r.refuse(at, "%s", wrong)
		return nil
	}
	return parts
}

// excludable are the operators that anything-but takes, each with a text or a list of texts.
var excludable = []string{"equals-ignore-case", "prefix", "suffix", "wildcard"}

func (r *reader) anythingBut(text []byte, at string) operator {
	switch kindOf(text) {
	case kindText, kindNumber:
		return none{r.excluded(text, at)}
	case kindList:
		return r.anyOf(text, at)
	case kindObject:
	case kindNull, kindBoolean:
		r.refuse(at, "is %s; want text, a number, a list of texts or of numbers, or an object with one of %s", kindOf(text), strings.Join(excludable, ", "))
		return nil
	}
	members := r.members(text, at)
	if len(members) != 1 {
		r.refuse(at, "has %s; want one, of %s", counted(len(members), "operator", "operators"), strings.Join(excludable, ", "))
		return nil
	}
	name, value, below := members[0].Name, members[0].Value, join(at, members[0].Name)
	if !slices.Contains(excludable, name) {
		r.refuse(below, "is nothing that anything-but takes; want one of %s", strings.Join(excludable, ", "))
		return nil
	}
	if kindOf(value) != kindList {
		return none{r.negated(name, value, below)}
	}
	items := r.items(value, below)
	if len(items) == 0 {
		r.refuse(below, "is an empty list, which would match everything; want at least one text")
	}
	out := none{}
	for i, item := range items {
		out = append(out, r.negated(name, item, index(below, i)))
	}
	return out
}

// negated reads the text of an operator within anything-but.
func (r *reader) negated(name string, text []byte, at string) operator {
	if kindOf(text) != kindText {
		r.refuse(at, "is %s; want text", kindOf(text))
		return nil
	}
	if content, _ := exact.Text(text); content == "" && (name == "prefix" || name == "suffix") {
		r.refuse(at, "is empty, which every text has; want at least one character")
	}
	return r.operand(name, text, at)
}

// anyOf reads the list of anything-but: texts or numbers, not both.
func (r *reader) anyOf(text []byte, at string) operator {
	items := r.items(text, at)
	if len(items) == 0 {
		r.refuse(at, "is an empty list, which would match everything; want at least one text or number")
	}
	out := none{}
	for i, item := range items {
		switch found := kindOf(item); {
		case found != kindText && found != kindNumber:
			r.refuse(index(at, i), "is %s; want text or a number", found)
		case found != kindOf(items[0]):
			r.refuse(index(at, i), "is %s beside %s; want texts alone or numbers alone", found, kindOf(items[0]))
		default:
			out = append(out, r.excluded(item, index(at, i)))
		}
	}
	return out
}

func (r *reader) excluded(text []byte, at string) operator {
	if kindOf(text) == kindText {
		return equal{scalar{kind: kindText, text: r.text(text, at)}}
	}
	return equal{r.number(text, at)}
}

// number reads a number that has to be compared by value.
func (r *reader) number(text []byte, at string) scalar {
	n := numeral(string(text))
	if !n.compares {
		r.refuse(at, "is %s, which a double cannot hold; want at most 15 digits, between -1.7e308 and 1.7e308", shorten(n.text))
	}
	return n
}

func (r *reader) numeric(text []byte, at string) operator {
	const form = `want a comparison, as in [">", 0], or a lower and then an upper bound, as in [">", 0, "<=", 5]`
	if kindOf(text) != kindList {
		r.refuse(at, "is %s; %s", kindOf(text), form)
		return nil
	}
	items := r.items(text, at)
	if len(items) != 2 && len(items) != 4 {
		r.refuse(at, "has %s; %s", counted(len(items), "part", "parts"), form)
		return nil
	}
	before := len(r.errors)
	bounds := interval{low: -math.MaxFloat64, high: math.MaxFloat64}
	for i := 0; i < len(items); i += 2 {
		known := []string{"=", "<", "<=", ">", ">="}
		switch {
		case len(items) == 4 && i == 0:
			known = []string{">", ">="}
		case len(items) == 4:
			known = []string{"<", "<="}
		}
		sign, _ := exact.Text(items[i])
		if !slices.Contains(known, sign) {
			r.refuse(index(at, i), "is %s; want one of %s", shorten(string(items[i])), strings.Join(known, " "))
			continue
		}
		if kindOf(items[i+1]) != kindNumber {
			r.refuse(index(at, i+1), "is %s; want a number", kindOf(items[i+1]))
			continue
		}
		bounds.bound(sign, r.number(items[i+1], index(at, i+1)).number)
	}
	if len(r.errors) == before && len(items) == 4 && bounds.low >= bounds.high {
		r.refuse(at, "begins at %s and ends at %s, so that no number is between; want a lower bound below the upper one", items[1], items[3])
	}
	return bounds
}

func (o *interval) bound(sign string, value float64) {
	switch sign {
	case "=":
		o.low, o.high = value, value
	case "<", "<=":
		o.high, o.highOpen = value, sign == "<"
	default:
		o.low, o.lowOpen = value, sign == ">"
	}
}

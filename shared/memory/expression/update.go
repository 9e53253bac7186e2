package expression

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Update is what is to be changed of an item.
type Update struct{ actions []action }

type action struct {
	clause string // SET, REMOVE, ADD, DELETE
	path   path
	value  sumOf // of SET; of ADD and DELETE the first term is a value
}

// sumOf is one term, or the sum or difference of two.
type sumOf struct {
	terms []term
	minus bool
}

// term is an operand, or a function of some.
type term struct {
	function  string // "", if_not_exists, list_append
	operand   operand
	arguments []term
}

// ParseUpdate reads an update.
func ParseUpdate(text string) (*Update, error) {
	p, err := parse(text)
	if err != nil {
		return nil, err
	}
	u := &Update{}
	var clauses []string
	for p.peek() != "" {
		clause := strings.ToUpper(string(p.next()))
		if !slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE"}, clause) {
			return nil, syntax(token(clause))
		}
		if slices.Contains(clauses, clause) {
			return nil, refuse("The %q section can only be used once in an update expression;", clause)
		}
		clauses = append(clauses, clause)
		for {
			a, err := p.action(clause)
			if err != nil {
				return nil, err
			}
			u.actions = append(u.actions, a)
			if !p.accept(",") {
				break
			}
		}
	}
	return u, nil
}

func (p *parser) action(clause string) (action, error) {
	a := action{clause: clause}
	var err error
	if a.path, err = p.path(); err != nil || clause == "REMOVE" {
		return a, err
	}
	if clause != "SET" {
		if t := p.peek(); t == "" || t[0] != ':' {
			return a, syntax(t)
		}
		o, err := p.operand()
		a.value.terms = []term{{operand: o}}
		return a, err
	}
	if err := p.expect("="); err != nil {
		return a, err
	}
	first, err := p.term()
	if err != nil {
		return a, err
	}
	a.value.terms = []term{first}
	if p.peek() == "+" || p.peek() == "-" {
		a.value.minus = p.next() == "-"
		second, err := p.term()
		if err != nil {
			return a, err
		}
		a.value.terms = append(a.value.terms, second)
	}
	return a, nil
}

func (p *parser) term() (term, error) {
	name := string(p.peek())
	if len(p.rest) < 2 || p.rest[1] != "(" {
		o, err := p.operand()
		return term{operand: o}, err
	}
	if name != "if_not_exists" && name != "list_append" {
		return term{}, refuse("Invalid function name; function: %s", name)
	}
	if err := p.deeper(); err != nil {
		return term{}, err
	}
	defer func() { p.depth-- }()
	p.next()
	p.next()
	t := term{function: name}
	for {
		one, err := p.term()
		if err != nil {
			return t, err
		}
		t.arguments = append(t.arguments, one)
		if !p.accept(",") {
			break
		}
	}
	if len(t.arguments) != 2 {
		return t, refuse("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(t.arguments))
	}
	if name == "if_not_exists" && (t.arguments[0].function != "" || t.arguments[0].operand.path == nil) {
		return t, refuse("Operator or function requires a document path; operator or function: %s", name)
	}
	return t, p.expect(")")
}

// BoundUpdate is an update with its names and values.
type BoundUpdate struct{ actions []action }

// Bind checks the update against the placeholders of a request, and marks those that it uses. It refuses paths that overlap.
func (u *Update) Bind(s *Scope) (*BoundUpdate, error) {
	out := &BoundUpdate{actions: make([]action, len(u.actions))}
	for i, a := range u.actions {
		var err error
		if a.path, err = s.resolve(a.path); err != nil {
			return nil, err
		}
		for _, earlier := range out.actions[:i] {
			if a.path.overlaps(earlier.path) {
				return nil, refuse("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [%s], path two: [%s]", earlier.path, a.path)
			}
		}
		terms := make([]term, len(a.value.terms))
		for j, t := range a.value.terms {
			if terms[j], err = t.bind(s); err != nil {
				return nil, err
			}
		}
		a.value.terms = terms
		if err := a.check(); err != nil {
			return nil, err
		}
		out.actions[i] = a
	}
	return out, nil
}

func (t term) bind(s *Scope) (term, error) {
	if t.function == "" {
		var err error
		t.operand, err = t.operand.bind(s)
		return t, err
	}
	arguments := make([]term, len(t.arguments))
	for i, one := range t.arguments {
		var err error
		if arguments[i], err = one.bind(s); err != nil {
			return t, err
		}
	}
	t.arguments = arguments
	return t, nil
}

// check refuses what no item can make right.
func (a action) check() error {
	if a.clause != "ADD" && a.clause != "DELETE" {
		return nil
	}
	// Deeper paths would work with some types; the documentation promises the top alone.
	if len(a.path) > 1 {
		return refuse("The %s action can only be used on top-level attributes; path: [%s]", a.clause, a.path)
	}
	kind := Kind(a.value.terms[0].operand.values)
	if a.clause == "ADD" && kind == "N" || kind == "SS" || kind == "NS" || kind == "BS" {
		return nil
	}
	return refuse("Incorrect operand type for operator or function; operator: %s, operand type: %s", a.clause, kind)
}

// Attributes calls with each attribute that the update writes to, by its name at the top.
func (u *BoundUpdate) Attributes(each func(name string)) {
	for _, a := range u.actions {
		each(a.path[0].name)
	}
}

// Empty tells whether the update changes nothing but that there is an item.
func (u *BoundUpdate) Empty() bool { return len(u.actions) == 0 }

// Creates tells whether the update makes an item where there is none: one that only takes away does not.
func (u *BoundUpdate) Creates() bool {
	return slices.ContainsFunc(u.actions, func(a action) bool { return a.clause == "SET" || a.clause == "ADD" })
}

// Apply is the item after the update; the item itself stays as it is. All values are those from before the update.
func (u *BoundUpdate) Apply(before Item) (Item, error) {
	after := CloneItem(before)
	if after == nil {
		after = Item{}
	}
	// Elements of lists are taken away last, from the back, as the numbers of the others are those from before.
	var removals []path
	for _, a := range u.actions {
		if a.clause == "REMOVE" {
			removals = append(removals, a.path)
			continue
		}
		v, err := a.result(before)
		if err != nil {
			return nil, err
		}
		if v == nil { // DELETE of a set's last elements, or of what is not there
			delete(after, a.path[0].name)
			continue
		}
		if err := a.path.set(after, v); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(removals, func(a, b path) int { return b[len(b)-1].index - a[len(a)-1].index })
	for _, one := range removals {
		if err := one.remove(after); err != nil {
			return nil, err
		}
	}
	return after, nil
}

var errOperand = refuse("An operand in the update expression has an incorrect data type")

func (a action) result(before Item) (types.AttributeValue, error) {
	switch a.clause {
	case "SET":
		return a.value.of(before)
	case "ADD":
		return added(a.path.in(before), a.value.terms[0].operand.values)
	}
	return without(a.path.in(before), a.value.terms[0].operand.values)
}

func (s sumOf) of(before Item) (types.AttributeValue, error) {
	first, err := s.terms[0].of(before)
	if err != nil || len(s.terms) == 1 {
		return first, err
	}
	second, err := s.terms[1].of(before)
	if err != nil {
		return nil, err
	}
	x, ok1 := first.(*types.AttributeValueMemberN)
	y, ok2 := second.(*types.AttributeValueMemberN)
	if !ok1 || !ok2 {
		return nil, errOperand
	}
	n, err := sum(x.Value, y.Value, s.minus)
	return &types.AttributeValueMemberN{Value: n}, err
}

func (t term) of(before Item) (types.AttributeValue, error) {
	switch t.function {
	case "if_not_exists":
		if v := t.arguments[0].operand.path.in(before); v != nil {
			return Clone(v), nil
		}
		return t.arguments[1].of(before)
	case "list_append":
		a, err := t.arguments[0].of(before)
		if err != nil {
			return nil, err
		}
		b, err := t.arguments[1].of(before)
		if err != nil {
			return nil, err
		}
		x, ok1 := a.(*types.AttributeValueMemberL)
		y, ok2 := b.(*types.AttributeValueMemberL)
		if !ok1 || !ok2 {
			return nil, errOperand
		}
		return &types.AttributeValueMemberL{Value: append(slices.Clone(x.Value), y.Value...)}, nil
	}
	v := t.operand.of(before)
	if v == nil {
		return nil, refuse("The provided expression refers to an attribute that does not exist in the item")
	}
	return Clone(v), nil
}

// added is a number plus another, or the union of two sets; what is not there counts as nought, or as the empty set.
func added(v, more types.AttributeValue) (types.AttributeValue, error) {
	if v == nil {
		return Clone(more), nil
	}
	switch v := v.(type) {
	case *types.AttributeValueMemberN:
		if more, ok := more.(*types.AttributeValueMemberN); ok {
			n, err := sum(v.Value, more.Value, false)
			return &types.AttributeValueMemberN{Value: n}, err
		}
	case *types.AttributeValueMemberSS:
		if more, ok := more.(*types.AttributeValueMemberSS); ok {
			return stringSet(union(v.Value, more.Value)), nil
		}
	case *types.AttributeValueMemberNS:
		if more, ok := Clone(more).(*types.AttributeValueMemberNS); ok {
			return numberSet(union(v.Value, more.Value)), nil
		}
	case *types.AttributeValueMemberBS:
		if more, ok := more.(*types.AttributeValueMemberBS); ok {
			return binaries(union(texts(v.Value), texts(more.Value))), nil
		}
	}
	return nil, errOperand
}

// without is a set without these elements; nil when none is left.
func without(v, less types.AttributeValue) (types.AttributeValue, error) {
	if v == nil {
		return nil, nil
	}
	var left int
	var out types.AttributeValue
	switch v := v.(type) {
	case *types.AttributeValueMemberSS:
		if less, ok := less.(*types.AttributeValueMemberSS); ok {
			rest := difference(v.Value, less.Value)
			left, out = len(rest), stringSet(rest)
		}
	case *types.AttributeValueMemberNS:
		if less, ok := Clone(less).(*types.AttributeValueMemberNS); ok {
			rest := difference(v.Value, less.Value)
			left, out = len(rest), numberSet(rest)
		}
	case *types.AttributeValueMemberBS:
		if less, ok := less.(*types.AttributeValueMemberBS); ok {
			rest := difference(texts(v.Value), texts(less.Value))
			left, out = len(rest), binaries(rest)
		}
	}
	switch {
	case out == nil:
		return nil, errOperand
	case left == 0:
		return nil, nil
	}
	return out, nil
}

func union(a, b []string) []string {
	have := make(map[string]bool, len(a))
	out := slices.Clone(a)
	for _, one := range a {
		have[one] = true
	}
	for _, one := range b {
		if !have[one] {
			out = append(out, one)
		}
	}
	return out
}

func difference(a, b []string) []string {
	gone := make(map[string]bool, len(b))
	for _, one := range b {
		gone[one] = true
	}
	var out []string
	for _, one := range a {
		if !gone[one] {
			out = append(out, one)
		}
	}
	return out
}

func texts(elements [][]byte) []string {
	out := make([]string, len(elements))
	for i, b := range elements {
		out[i] = string(b)
	}
	return out
}

func binaries(elements []string) types.AttributeValue {
	out := make([][]byte, len(elements))
	for i, text := range elements {
		out[i] = []byte(text)
	}
	return binarySet(out)
}

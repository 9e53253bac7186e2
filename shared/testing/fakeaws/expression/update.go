package expression

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Update is an expression that changes an item.
type Update struct{ actions []action }

type action struct {
	clause      string // SET, REMOVE, ADD or DELETE
	path        path
	placeholder string
	value       types.AttributeValue // of the placeholder, once bound
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
		switch {
		case !slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE"}, clause):
			return nil, syntax(token(clause))
		case slices.Contains(clauses, clause):
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
	switch clause {
	case "SET":
		if a.path, err = p.path(); err == nil {
			err = p.expect("=")
		}
	case "REMOVE":
		a.path, err = p.path()
	default:
		var name string
		name, err = p.attribute()
		a.path = path{name}
	}
	if err != nil || clause == "REMOVE" {
		return a, err
	}
	if a.placeholder, err = p.placeholder(); err != nil {
		return a, err
	}
	if next := p.peek(); next == "+" || next == "-" {
		return a, unsupported("arithmetic in SET")
	}
	return a, nil
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
				return nil, overlap(earlier.path, a.path)
			}
		}
		if a.placeholder != "" {
			if a.value, err = s.value(a.placeholder); err != nil {
				return nil, err
			}
		}
		if err := a.check(); err != nil {
			return nil, err
		}
		out.actions[i] = a
	}
	return out, nil
}

func overlap(one, two path) error {
	return refuse("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [%s], path two: [%s]", one, two)
}

// check refuses values that fit no item.
func (a action) check() error {
	if a.clause != "ADD" && a.clause != "DELETE" {
		return nil
	}
	switch kind := Kind(a.value); {
	case kind == "NS", kind == "N" && a.clause == "ADD":
		return nil
	case kind == "SS", kind == "BS":
		return unsupported(a.clause + " of a value of type " + kind)
	default:
		return refuse("Incorrect operand type for operator or function; operator: %s, operand type: %s", a.clause, kind)
	}
}

// Attributes calls each with the name of every top-level attribute that the update writes to.
func (u *BoundUpdate) Attributes(each func(name string)) {
	for _, a := range u.actions {
		each(a.path[0])
	}
}

// Empty reports whether the update has no action. Such an update still creates a missing item.
func (u *BoundUpdate) Empty() bool { return len(u.actions) == 0 }

// Creates reports whether the update creates a missing item. An update that only removes does not.
func (u *BoundUpdate) Creates() bool {
	return slices.ContainsFunc(u.actions, func(a action) bool { return a.clause == "SET" || a.clause == "ADD" })
}

// Apply returns the item after the update and leaves the given item unchanged.
func (u *BoundUpdate) Apply(before Item) (Item, error) {
	after := CopyItem(before)
	if after == nil {
		after = Item{}
	}
	for _, a := range u.actions {
		v, err := a.result(before)
		if err == nil {
			err = a.path.set(after, v)
		}
		if err != nil {
			return nil, err
		}
	}
	return after, nil
}

// result returns the value that an action leaves at its path; nil for none.
func (a action) result(before Item) (types.AttributeValue, error) {
	switch a.clause {
	case "SET":
		return Clone(a.value), nil
	case "ADD":
		return added(a.path.of(before), a.value)
	case "DELETE":
		return without(a.path.of(before), a.value)
	}
	return nil, nil
}

var errOperand = refuse("An operand in the update expression has an incorrect data type")

// added returns the sum of two numbers or the union of two sets of numbers. A missing value counts as zero or as the empty set.
func added(v, more types.AttributeValue) (types.AttributeValue, error) {
	switch v := v.(type) {
	case nil:
		return Clone(more), nil
	case *types.AttributeValueMemberN:
		if more, ok := more.(*types.AttributeValueMemberN); ok {
			n, err := sum(v.Value, more.Value)
			return &types.AttributeValueMemberN{Value: n}, err
		}
	case *types.AttributeValueMemberNS:
		if more, ok := Clone(more).(*types.AttributeValueMemberNS); ok {
			return numberSet(union(v.Value, more.Value)), nil
		}
	}
	return nil, errOperand
}

// without returns a set of numbers without the elements of another; nil when none is left.
func without(v, less types.AttributeValue) (types.AttributeValue, error) {
	if v == nil {
		return nil, nil
	}
	set, ok1 := v.(*types.AttributeValueMemberNS)
	gone, ok2 := Clone(less).(*types.AttributeValueMemberNS)
	if !ok1 || !ok2 {
		return nil, errOperand
	}
	rest := slices.DeleteFunc(slices.Clone(set.Value), func(n string) bool { return slices.Contains(gone.Value, n) })
	if len(rest) == 0 {
		return nil, nil
	}
	return numberSet(rest), nil
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

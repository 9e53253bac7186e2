package expression

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Condition is an expression that holds for an item or does not.
type Condition struct{ root node }

// ParseCondition reads a condition or a key condition.
func ParseCondition(text string) (*Condition, error) {
	p, err := parse(text)
	if err != nil {
		return nil, err
	}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	return &Condition{root}, p.end()
}

// Bind checks the condition against the placeholders of a request, and marks those that it uses.
func (c *Condition) Bind(s *Scope) (*Bound, error) {
	root, err := c.root.bind(s)
	if err != nil {
		return nil, err
	}
	return &Bound{root}, nil
}

// Bound is a condition with its names and values.
type Bound struct{ root node }

// Holds reports whether the condition holds for an item. A missing item has no attributes.
func (b *Bound) Holds(it Item) bool { return b.root.holds(it) }

// node is a part of a condition. bind returns it with its names and values; only then may holds be called.
type node interface {
	bind(s *Scope) (node, error)
	holds(it Item) bool
}

// ---- reading

func (p *parser) or() (node, error) {
	left, err := p.and()
	for err == nil && p.accept("OR") {
		var right node
		right, err = p.and()
		left = logic{or: true, left: left, right: right}
	}
	return left, err
}

func (p *parser) and() (node, error) {
	left, err := p.primary()
	for err == nil && p.accept("AND") {
		var right node
		right, err = p.primary()
		left = logic{left: left, right: right}
	}
	return left, err
}

func (p *parser) primary() (node, error) {
	switch {
	case strings.EqualFold(string(p.peek()), "NOT"):
		return nil, unsupported("NOT")
	case p.accept("("):
		return p.group()
	}
	if name := string(p.peek()); p.callsNext() && name != "size" {
		return p.function()
	}
	return p.comparison()
}

func (p *parser) group() (node, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	of, err := p.or()
	p.depth--
	if err != nil {
		return nil, err
	}
	if _, twice := of.(group); twice {
		return nil, refuse("The expression has redundant parentheses;")
	}
	return group{of}, p.expect(")")
}

func (p *parser) function() (node, error) {
	t := test{operator: string(p.next())}
	switch t.operator {
	case "attribute_exists", "attribute_not_exists", "begins_with":
	case "attribute_type", "contains":
		return nil, unsupported(t.operator)
	default:
		return nil, refuse("Invalid function name; function: %s", t.operator)
	}
	p.next() // the parenthesis
	var err error
	if t.at, err = p.path(); err != nil {
		return nil, err
	}
	if t.operator == "begins_with" {
		if err := p.expect(","); err != nil {
			return nil, err
		}
		if err := p.placeholders(&t, ""); err != nil {
			return nil, err
		}
	}
	return t, p.expect(")")
}

func (p *parser) comparison() (node, error) {
	if t := p.peek(); strings.HasPrefix(string(t), ":") {
		return nil, unsupported("a value on the left of an operator")
	}
	t := test{size: p.peek() == "size" && p.callsNext()}
	var err error
	if t.size {
		p.next()
		p.next()
	}
	if t.at, err = p.path(); err != nil {
		return nil, err
	}
	if t.size {
		if err := p.expect(")"); err != nil {
			return nil, err
		}
	}
	operator := p.next()
	switch t.operator = strings.ToUpper(string(operator)); t.operator {
	case "=", "<=", ">":
		err := p.placeholders(&t, "")
		return t, err
	case "<>", "<", ">=":
		return nil, unsupported("the operator " + t.operator)
	case "BETWEEN":
		err := p.placeholders(&t, "AND")
		return t, err
	case "IN":
		if err := p.expect("("); err != nil {
			return nil, err
		}
		for {
			if err := p.placeholders(&t, ""); err != nil {
				return nil, err
			}
			if !p.accept(",") {
				break
			}
		}
		if len(t.placeholders) > 100 {
			return nil, refuse("Invalid operand count for operator; operator: IN, operand count: %d", len(t.placeholders))
		}
		return t, p.expect(")")
	}
	return nil, syntax(operator)
}

// ---- the kinds of conditions

type group struct{ of node }

func (g group) bind(s *Scope) (node, error) { return g.of.bind(s) }
func (g group) holds(it Item) bool          { return g.of.holds(it) }

type logic struct {
	or          bool
	left, right node
}

func (l logic) bind(s *Scope) (node, error) {
	var err error
	if l.left, err = l.left.bind(s); err != nil {
		return nil, err
	}
	l.right, err = l.right.bind(s)
	return l, err
}

func (l logic) holds(it Item) bool {
	if l.or {
		return l.left.holds(it) || l.right.holds(it)
	}
	return l.left.holds(it) && l.right.holds(it)
}

// test compares an attribute, or what is in one, or its size, with values.
type test struct {
	operator     string // =, <=, >, BETWEEN, IN, begins_with, attribute_exists or attribute_not_exists
	at           path
	size         bool
	placeholders []string
	values       []types.AttributeValue // of the placeholders, once bound
}

func (t test) bind(s *Scope) (node, error) {
	var err error
	if t.at, err = s.resolve(t.at); err != nil {
		return nil, err
	}
	t.values = make([]types.AttributeValue, len(t.placeholders))
	for i, name := range t.placeholders {
		if t.values[i], err = s.value(name); err != nil {
			return nil, err
		}
	}
	return t, t.check()
}

// check refuses values whose types no item can match.
func (t test) check() error {
	switch t.operator {
	case "<=", ">", "BETWEEN":
		for _, v := range t.values {
			if _, ok := Compare(v, v); !ok {
				return t.wrongType(v)
			}
		}
	case "begins_with":
		switch v := t.values[0]; Kind(v) {
		case "S":
		case "B":
			return unsupported("begins_with on binary values")
		default:
			return t.wrongType(v)
		}
	}
	if t.operator != "BETWEEN" {
		return nil
	}
	switch order, ok := Compare(t.values[0], t.values[1]); {
	case !ok:
		return refuse("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: %s, upper bound operand: %s", t.placeholders[0], t.placeholders[1])
	case order > 0:
		return refuse("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "+
			"lower bound operand: %s, upper bound operand: %s", t.placeholders[0], t.placeholders[1])
	}
	return nil
}

func (t test) wrongType(v types.AttributeValue) error {
	return refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", t.operator, Kind(v))
}

func (t test) holds(it Item) bool {
	v := t.at.of(it)
	switch t.operator {
	case "attribute_exists":
		return v != nil
	case "attribute_not_exists":
		return v == nil
	}
	if v != nil && t.size {
		v = sizeOf(v)
	}
	if v == nil {
		return false
	}
	switch t.operator {
	case "=":
		return Equal(v, t.values[0])
	case "<=":
		return atMost(v, t.values[0])
	case ">":
		order, ok := Compare(v, t.values[0])
		return ok && order > 0
	case "BETWEEN":
		return atMost(t.values[0], v) && atMost(v, t.values[1])
	case "IN":
		return slices.ContainsFunc(t.values, func(w types.AttributeValue) bool { return Equal(v, w) })
	}
	whole, ok1 := v.(*types.AttributeValueMemberS)
	prefix, ok2 := t.values[0].(*types.AttributeValueMemberS)
	return ok1 && ok2 && strings.HasPrefix(whole.Value, prefix.Value)
}

func atMost(a, b types.AttributeValue) bool {
	order, ok := Compare(a, b)
	return ok && order <= 0
}

// sizeOf returns the length of a text or binary value, or the number of elements; nil for a type without a size.
func sizeOf(v types.AttributeValue) types.AttributeValue {
	var n int
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		n = len(v.Value)
	case *types.AttributeValueMemberB:
		n = len(v.Value)
	case *types.AttributeValueMemberSS:
		n = len(v.Value)
	case *types.AttributeValueMemberNS:
		n = len(v.Value)
	case *types.AttributeValueMemberBS:
		n = len(v.Value)
	case *types.AttributeValueMemberM:
		n = len(v.Value)
	case *types.AttributeValueMemberL:
		n = len(v.Value)
	default:
		return nil
	}
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

package expression

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Condition is an expression that holds for an item or does not.
type Condition struct{ root node }

// ParseCondition reads a condition, a filter or a key condition.
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
type Bound struct{ root boundNode }

// Holds tells whether the condition holds for an item; an item that is not there has no attributes.
func (b *Bound) Holds(it Item) bool { return b.root.holds(it) }

// Paths calls what is asked of at the top: the names of all attributes in the condition.
func (b *Bound) Paths(each func(name string)) { b.root.paths(each) }

type node interface {
	bind(s *Scope) (boundNode, error)
}

type boundNode interface {
	holds(it Item) bool
	paths(each func(name string))
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
	left, err := p.not()
	for err == nil && p.accept("AND") {
		var right node
		right, err = p.not()
		left = logic{left: left, right: right}
	}
	return left, err
}

func (p *parser) not() (node, error) {
	if !p.accept("NOT") {
		return p.primary()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	of, err := p.not()
	p.depth--
	return negation{of}, err
}

func (p *parser) primary() (node, error) {
	if p.accept("(") {
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
	if name := string(p.peek()); len(p.rest) > 1 && p.rest[1] == "(" && name != "size" && isLetter(name[0]) {
		return p.function()
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	operator := p.next()
	switch {
	case slices.Contains([]token{"=", "<>", "<", "<=", ">", ">="}, operator):
		right, err := p.operand()
		return comparison{string(operator), left, right}, err
	case strings.EqualFold(string(operator), "BETWEEN"):
		from, err := p.operand()
		if err != nil {
			return nil, err
		}
		if err := p.expect("AND"); err != nil {
			return nil, err
		}
		to, err := p.operand()
		return between{left, from, to}, err
	case strings.EqualFold(string(operator), "IN"):
		if err := p.expect("("); err != nil {
			return nil, err
		}
		out := membership{of: left}
		for {
			one, err := p.operand()
			if err != nil {
				return nil, err
			}
			out.in = append(out.in, one)
			if !p.accept(",") {
				break
			}
		}
		if len(out.in) > 100 {
			return nil, refuse("Invalid operand count for operator; operator: IN, operand count: %d", len(out.in))
		}
		return out, p.expect(")")
	}
	return nil, syntax(operator)
}

var arguments = map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2}

func (p *parser) function() (node, error) {
	f := function{name: string(p.next())}
	count, known := arguments[f.name]
	if !known {
		return nil, refuse("Invalid function name; function: %s", f.name)
	}
	p.next() // the bracket
	for {
		one, err := p.operand()
		if err != nil {
			return nil, err
		}
		f.arguments = append(f.arguments, one)
		if !p.accept(",") {
			break
		}
	}
	if len(f.arguments) != count {
		return nil, refuse("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", f.name, len(f.arguments))
	}
	if f.arguments[0].path == nil && f.name != "contains" && f.name != "begins_with" {
		return nil, refuse("Operator or function requires a document path; operator or function: %s", f.name)
	}
	return f, p.expect(")")
}

// operand is a path, a value's placeholder, or the size of what a path leads to.
type operand struct {
	path   path
	value  string
	size   bool
	values types.AttributeValue // of the placeholder, once bound
}

func (p *parser) operand() (operand, error) {
	if t := p.peek(); t != "" && t[0] == ':' {
		return operand{value: string(p.next())}, nil
	}
	if len(p.rest) > 1 && p.rest[0] == "size" && p.rest[1] == "(" {
		p.next()
		p.next()
		inner, err := p.path()
		if err != nil {
			return operand{}, err
		}
		return operand{path: inner, size: true}, p.expect(")")
	}
	inner, err := p.path()
	return operand{path: inner}, err
}

func (o operand) bind(s *Scope) (operand, error) {
	var err error
	if o.path != nil {
		o.path, err = s.resolve(o.path)
	} else {
		o.values, err = s.value(o.value)
	}
	return o, err
}

// of is the operand's value for an item; nil when there is none.
func (o operand) of(it Item) types.AttributeValue {
	if o.path == nil {
		return o.values
	}
	v := o.path.in(it)
	if !o.size || v == nil {
		return v
	}
	n, sized := sizeOf(v)
	if !sized {
		return nil
	}
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

// literal is the value of a placeholder; nil for a path.
func (o operand) literal() types.AttributeValue {
	if o.path != nil {
		return nil
	}
	return o.values
}

func (o operand) paths(each func(string)) {
	if o.path != nil {
		each(o.path[0].name)
	}
}

func sizeOf(v types.AttributeValue) (int, bool) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value), true
	case *types.AttributeValueMemberB:
		return len(v.Value), true
	case *types.AttributeValueMemberSS:
		return len(v.Value), true
	case *types.AttributeValueMemberNS:
		return len(v.Value), true
	case *types.AttributeValueMemberBS:
		return len(v.Value), true
	case *types.AttributeValueMemberM:
		return len(v.Value), true
	case *types.AttributeValueMemberL:
		return len(v.Value), true
	}
	return 0, false
}

// ---- the kinds of conditions

type group struct{ of node }

func (g group) bind(s *Scope) (boundNode, error) { return g.of.bind(s) }

type logic struct {
	or          bool
	left, right node
}

type boundLogic struct {
	or          bool
	left, right boundNode
}

func (l logic) bind(s *Scope) (boundNode, error) {
	left, err := l.left.bind(s)
	if err != nil {
		return nil, err
	}
	right, err := l.right.bind(s)
	return boundLogic{l.or, left, right}, err
}

func (l boundLogic) holds(it Item) bool {
	if l.or {
		return l.left.holds(it) || l.right.holds(it)
	}
	return l.left.holds(it) && l.right.holds(it)
}

func (l boundLogic) paths(each func(string)) { l.left.paths(each); l.right.paths(each) }

type negation struct{ of node }

type boundNegation struct{ of boundNode }

func (n negation) bind(s *Scope) (boundNode, error) {
	of, err := n.of.bind(s)
	return boundNegation{of}, err
}

func (n boundNegation) holds(it Item) bool      { return !n.of.holds(it) }
func (n boundNegation) paths(each func(string)) { n.of.paths(each) }

type comparison struct {
	operator    string
	left, right operand
}

func (c comparison) bind(s *Scope) (boundNode, error) {
	var err error
	if c.left, err = c.left.bind(s); err != nil {
		return nil, err
	}
	if c.right, err = c.right.bind(s); err != nil {
		return nil, err
	}
	if same(c.left, c.right) {
		return nil, refuse("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: [%s]", c.operator, c.left.path)
	}
	if c.operator != "=" && c.operator != "<>" {
		for _, o := range []operand{c.left, c.right} {
			if err := ordered(c.operator, o); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func same(a, b operand) bool {
	return a.path != nil && b.path != nil && a.size == b.size && slices.Equal(a.path, b.path)
}

// ordered refuses a literal that has no order.
func ordered(operator string, o operand) error {
	if v := o.literal(); v != nil {
		if _, ok := Compare(v, v); !ok {
			return refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", operator, Kind(v))
		}
	}
	return nil
}

func (c comparison) holds(it Item) bool {
	a, b := c.left.of(it), c.right.of(it)
	if a == nil || b == nil {
		return c.operator == "<>" // what is missing differs from everything
	}
	switch c.operator {
	case "=":
		return Equal(a, b)
	case "<>":
		return !Equal(a, b)
	}
	order, ok := Compare(a, b)
	if !ok {
		return false
	}
	switch c.operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func (c comparison) paths(each func(string)) { c.left.paths(each); c.right.paths(each) }

type between struct{ of, from, to operand }

func (b between) bind(s *Scope) (boundNode, error) {
	for _, o := range []*operand{&b.of, &b.from, &b.to} {
		var err error
		if *o, err = o.bind(s); err != nil {
			return nil, err
		}
		if err := ordered("BETWEEN", *o); err != nil {
			return nil, err
		}
	}
	if from, to := b.from.literal(), b.to.literal(); from != nil && to != nil {
		order, ok := Compare(from, to)
		if !ok {
			return nil, refuse("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: %s, upper bound operand: %s", b.from.value, b.to.value)
		}
		if order > 0 {
			return nil, refuse("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "+
				"lower bound operand: %s, upper bound operand: %s", b.from.value, b.to.value)
		}
	}
	return b, nil
}

func (b between) holds(it Item) bool {
	v, from, to := b.of.of(it), b.from.of(it), b.to.of(it)
	if v == nil || from == nil || to == nil {
		return false
	}
	low, ok1 := Compare(v, from)
	high, ok2 := Compare(v, to)
	return ok1 && ok2 && low >= 0 && high <= 0
}

func (b between) paths(each func(string)) { b.of.paths(each); b.from.paths(each); b.to.paths(each) }

type membership struct {
	of operand
	in []operand
}

func (m membership) bind(s *Scope) (boundNode, error) {
	var err error
	if m.of, err = m.of.bind(s); err != nil {
		return nil, err
	}
	in := make([]operand, len(m.in))
	for i, o := range m.in {
		if in[i], err = o.bind(s); err != nil {
			return nil, err
		}
	}
	m.in = in
	return m, nil
}

func (m membership) holds(it Item) bool {
	v := m.of.of(it)
	return v != nil && slices.ContainsFunc(m.in, func(o operand) bool { w := o.of(it); return w != nil && Equal(v, w) })
}

func (m membership) paths(each func(string)) {
	m.of.paths(each)
	for _, o := range m.in {
		o.paths(each)
	}
}

type function struct {
	name      string
	arguments []operand
}

func (f function) bind(s *Scope) (boundNode, error) {
	bound := make([]operand, len(f.arguments))
	for i, o := range f.arguments {
		var err error
		if bound[i], err = o.bind(s); err != nil {
			return nil, err
		}
	}
	f.arguments = bound
	if len(bound) == 2 {
		wrong := func(v types.AttributeValue) error {
			return refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", f.name, Kind(v))
		}
		second := bound[1].literal()
		switch {
		case f.name == "attribute_type" && (second == nil || !slices.Contains([]string{"S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL"}, text(second))):
			return nil, wrong(second)
		case f.name == "begins_with" && second != nil && Kind(second) != "S" && Kind(second) != "B":
			return nil, wrong(second)
		}
	}
	return f, nil
}

func text(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func (f function) holds(it Item) bool {
	v := f.arguments[0].of(it)
	switch f.name {
	case "attribute_exists":
		return v != nil
	case "attribute_not_exists":
		return v == nil
	}
	w := f.arguments[1].of(it)
	if v == nil || w == nil {
		return false
	}
	switch f.name {
	case "attribute_type":
		return Kind(v) == text(w)
	case "begins_with":
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			prefix, ok := w.(*types.AttributeValueMemberS)
			return ok && strings.HasPrefix(v.Value, prefix.Value)
		case *types.AttributeValueMemberB:
			prefix, ok := w.(*types.AttributeValueMemberB)
			return ok && bytes.HasPrefix(v.Value, prefix.Value)
		}
		return false
	}
	return contains(v, w)
}

func contains(v, w types.AttributeValue) bool {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		part, ok := w.(*types.AttributeValueMemberS)
		return ok && strings.Contains(v.Value, part.Value)
	case *types.AttributeValueMemberB:
		part, ok := w.(*types.AttributeValueMemberB)
		return ok && bytes.Contains(v.Value, part.Value)
	case *types.AttributeValueMemberSS:
		part, ok := w.(*types.AttributeValueMemberS)
		return ok && slices.Contains(v.Value, part.Value)
	case *types.AttributeValueMemberNS:
		part, ok := w.(*types.AttributeValueMemberN)
		return ok && slices.ContainsFunc(v.Value, func(n string) bool { return compareNumbers(n, part.Value) == 0 })
	case *types.AttributeValueMemberBS:
		part, ok := w.(*types.AttributeValueMemberB)
		return ok && slices.ContainsFunc(v.Value, func(b []byte) bool { return bytes.Equal(b, part.Value) })
	case *types.AttributeValueMemberL:
		return slices.ContainsFunc(v.Value, func(one types.AttributeValue) bool { return Equal(one, w) })
	}
	return false
}

func (f function) paths(each func(string)) {
	for _, o := range f.arguments {
		o.paths(each)
	}
}

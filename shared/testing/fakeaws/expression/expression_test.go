package expression_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/testing/fakeaws/expression"
)

func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }

var given = expression.Item{":one": number("1"), ":two": number("2"), ":x": text("x"), ":list": &types.AttributeValueMemberL{Value: []types.AttributeValue{text("z")}},
	":set": &types.AttributeValueMemberNS{Value: []string{"1", "2"}}, ":texts": &types.AttributeValueMemberSS{Value: []string{"x"}}, ":bytes": &types.AttributeValueMemberB{Value: []byte("x")}}

// among returns those of the given values that the text names.
func among(of string) expression.Item {
	var out expression.Item
	for name, v := range given {
		if strings.Contains(of, name) {
			if out == nil {
				out = expression.Item{}
			}
			out[name] = v
		}
	}
	return out
}

// refusalOf returns the reason for which an update is refused.
func refusalOf(t *testing.T, update string, names map[string]string) string {
	t.Helper()
	scope, err := expression.NewScope(names, among(update))
	require.NoError(t, err)
	u, err := expression.ParseUpdate(update)
	if err == nil {
		var bound *expression.BoundUpdate
		if bound, err = u.Bind(scope); err == nil {
			_, err = bound.Apply(expression.Item{"s": text("s"), "m": &types.AttributeValueMemberM{Value: expression.Item{}}})
		}
	}
	var refused *expression.Error
	require.ErrorAs(t, err, &refused, update)
	return refused.Reason
}

func TestWrongUpdatesAreRefusedInDynamoDBsWords(t *testing.T) {
	for update, why := range map[string]string{
		"":                          "The expression can not be empty;", // english: quoted
		"SET a :one":                `Syntax error; token: ":one"`,
		"SET a = :one,":             `Syntax error; token: "<EOF>"`,
		"SET a = ":                  `Syntax error; token: "<EOF>"`,
		"SET a = :one b = :two":     `Syntax error; token: "B"`,
		"SET a = :one SET b = :two": `The "SET" section can only be used once in an update expression;`,
		"SET a = :one, a = :two":    "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
		"SET a.b = :one REMOVE a":   "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a.b], path two: [a]",
		"SET #a = :one":             "An expression attribute name used in the document path is not defined; attribute name: #a",
		"SET a = :nine":             "An expression attribute value used in expression is not defined; attribute value: :nine",
		"SET status = :one":         "Attribute name is a reserved keyword; reserved keyword: status",
		"SET a.b = :one":            "The document path provided in the update expression is invalid for update",
		"SET s.b = :one":            "The document path provided in the update expression is invalid for update",
		"REMOVE a.b":                "The document path provided in the update expression is invalid for update",
		"ADD s :one":                "An operand in the update expression has an incorrect data type",
		"DELETE a :one":             "Incorrect operand type for operator or function; operator: DELETE, operand type: N",
		"DELETE s :set":             "An operand in the update expression has an incorrect data type",
		"ADD a :x":                  "Incorrect operand type for operator or function; operator: ADD, operand type: S",
		"SET a = :one; DROP":        `Syntax error; token: ";"`,
		"SET _a = :one":             `Syntax error; token: "_"`,
		strings.Repeat("x", 5000):   "Expression size has exceeded the maximum allowed size; expression size: 5000",
	} {
		require.Equal(t, why, refusalOf(t, update, nil), update)
	}
	require.Equal(t, "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
		refusalOf(t, "SET #a = :one, #b = :two", map[string]string{"#a": "a", "#b": "a"}), "placeholders of the same name")
}

func TestWhatDroverDoesNotUseIsRefusedByItsName(t *testing.T) {
	for what, update := range map[string]string{
		"DELETE of a value of type SS":                                        "DELETE a :texts",
		"arithmetic in SET":                                                   "SET a = :one + :two",
		"an attribute as a value":                                             "SET a = b",
		"the function if_not_exists as a value":                               "SET a = if_not_exists(a, :one)",
		"the function list_append as a value":                                 "SET a = list_append(a, :list)",
		"an element of a list":                                                "SET a[0] = :one",
		"ADD of a value of type SS":                                           "ADD a :texts",
		"a path into an attribute, other than in SET, REMOVE or a condition,": "ADD m.b :one",
	} {
		require.Equal(t, what+" is not supported by this DynamoDB, as Drover does not use it", refusalOf(t, update, nil), update)
	}
	for what, condition := range map[string]string{
		"NOT":                                "NOT a = :one",
		"the operator <>":                    "a <> :one",
		"the operator <":                     "a < :one",
		"the operator >=":                    "a >= :one",
		"contains":                           "contains(a, :x)",
		"attribute_type":                     "attribute_type(a, :x)",
		"an attribute as a value":            "a = b",
		"a value on the left of an operator": ":one = a",
		"begins_with on binary values":       "begins_with(a, :bytes)",
	} {
		c, err := expression.ParseCondition(condition)
		if err == nil {
			scope, wrong := expression.NewScope(nil, among(condition))
			require.NoError(t, wrong)
			_, err = c.Bind(scope)
		}
		require.EqualError(t, err, what+" is not supported by this DynamoDB, as Drover does not use it", condition)
	}
}

func TestEachWordOfAnExpressionHasToBeDefinedAndUsed(t *testing.T) {
	for name, c := range map[string]struct {
		names  map[string]string
		values expression.Item
		why    string
	}{
		"an unused name":     {names: map[string]string{"#a": "a", "#b": "b"}, why: "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}"},
		"an unused value":    {names: map[string]string{"#a": "a"}, values: given, why: "Value provided in ExpressionAttributeValues unused in expressions: keys: {:bytes, :list, :one, :set, :texts, :two, :x}"},
		"names without any":  {names: map[string]string{}, why: "ExpressionAttributeNames must not be empty"},
		"values without any": {values: expression.Item{}, why: "ExpressionAttributeValues must not be empty"},
		"a name's form":      {names: map[string]string{"a": "a"}, why: `ExpressionAttributeNames contains invalid key: Syntax error; key: "a"`},
		"a value's form":     {values: expression.Item{"one": number("1")}, why: `ExpressionAttributeValues contains invalid key: Syntax error; key: "one"`},
		"no number":          {values: expression.Item{":n": number("1o")}, why: "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: 1o for key :n"},
	} {
		t.Run(name, func(t *testing.T) {
			scope, err := expression.NewScope(c.names, c.values)
			if err == nil {
				condition, parsed := expression.ParseCondition("attribute_exists(#a)")
				require.NoError(t, parsed)
				_, bound := condition.Bind(scope)
				require.NoError(t, bound)
				err = scope.Unused(true)
			}
			require.EqualError(t, err, c.why)
		})
	}
	scope, err := expression.NewScope(nil, given)
	require.NoError(t, err)
	require.EqualError(t, scope.Unused(false), "ExpressionAttributeValues can only be specified when using expressions")
}

func TestAnUpdateLeavesTheItemBeforeItUnchanged(t *testing.T) {
	before := expression.Item{"a": number("1"), "b": number("2"), "m": &types.AttributeValueMemberM{Value: expression.Item{"x": text("x"), "z": text("z")}}}
	kept := expression.CloneItem(before)

	after := apply(t, "SET m.y = :x ADD b :two REMOVE a, m.z, m.absent", before)

	require.True(t, expression.EqualItems(expression.Item{"b": number("4"), "m": &types.AttributeValueMemberM{Value: expression.Item{"x": text("x"), "y": text("x")}}}, after), "%v", after)
	require.Equal(t, kept, before)
}

// apply returns an item after an update with the given values.
func apply(t require.TestingT, update string, it expression.Item) expression.Item {
	u, err := expression.ParseUpdate(update)
	require.NoError(t, err)
	scope, err := expression.NewScope(nil, among(update))
	require.NoError(t, err)
	bound, err := u.Bind(scope)
	require.NoError(t, err)
	after, err := bound.Apply(it)
	require.NoError(t, err)
	return after
}

func TestNumbersHaveOneForm(t *testing.T) {
	for given, want := range map[string]string{
		"0": "0", "-0": "0", "007": "7", "+1": "1", "1.0": "1", "1.50": "1.5", "-.5": "-0.5", "1e3": "1000", "1.5E-3": "0.0015", "12e-1": "1.2",
		"99999999999999999999": "99999999999999999999", "0.00000": "0", "-9223372036854775809": "-9223372036854775809",
	} {
		got, err := expression.Canonical(given)
		require.NoError(t, err, given)
		require.Equal(t, want, got, given)
	}
	for _, wrong := range []string{"", "-", "one", "1e", "0x10", "1_000", "NaN", "Infinity", "1e126", "1e-131", "123456789012345678901234567890123456789", "1.2.3", " 1"} {
		_, err := expression.Canonical(wrong)
		require.Error(t, err, wrong)
	}
}

func TestNumbersCompareAndAddUpExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int32().Draw(t, "a"), rapid.Int32().Draw(t, "b")
		as, err := expression.Canonical(itoa(int64(a)) + rapid.SampledFrom([]string{"", "e0", ".0"}).Draw(t, "form"))
		require.NoError(t, err)
		order, ok := expression.Compare(number(as), number(itoa(int64(b))))
		require.True(t, ok)
		switch {
		case a < b:
			require.Negative(t, order)
		case a > b:
			require.Positive(t, order)
		default:
			require.Zero(t, order)
		}
		u, err := expression.ParseUpdate("ADD n :b")
		require.NoError(t, err)
		scope, err := expression.NewScope(nil, expression.Item{":b": number(itoa(int64(b)))})
		require.NoError(t, err)
		bound, err := u.Bind(scope)
		require.NoError(t, err)
		after, err := bound.Apply(expression.Item{"n": number(as)})
		require.NoError(t, err)
		require.Equal(t, number(itoa(int64(a)+int64(b))), after["n"])
	})
	fifth, _ := expression.Compare(number("0.2"), number("0.20"))
	require.Zero(t, fifth)
	tiny, _ := expression.Compare(number("1e-130"), number("0"))
	require.Positive(t, tiny)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestSetsAreEqualWhateverTheirOrder(t *testing.T) {
	require.True(t, expression.Equal(&types.AttributeValueMemberNS{Value: []string{"1", "10", "2"}}, &types.AttributeValueMemberNS{Value: []string{"10.0", "2", "1"}}))
	require.False(t, expression.Equal(&types.AttributeValueMemberNS{Value: []string{"1"}}, &types.AttributeValueMemberSS{Value: []string{"1"}}))
	require.True(t, expression.Equal(&types.AttributeValueMemberSS{Value: []string{"a", "b"}}, &types.AttributeValueMemberSS{Value: []string{"b", "a"}}))
	require.Error(t, expression.Check(&types.AttributeValueMemberNS{Value: []string{"1", "1.0"}}), "the same number twice")
	require.Error(t, expression.Check(&types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberSS{}}}), "also deep inside")
}

func TestDeepNestingIsRefusedAndNotACrash(t *testing.T) {
	_, err := expression.ParseCondition(strings.Repeat("(a = :x OR ", 200) + "a = :x")
	require.ErrorContains(t, err, "nested too deeply")
}

func FuzzCondition(f *testing.F) {
	for _, seed := range []string{"a = :one AND (b IN (:two, :x) OR size(c) <= :one)", "attribute_not_exists(a.b[3].#c)", "attribute_exists(#c)", "a BETWEEN :one AND :two", "begins_with(a, :x) or contains(b, :x)", "((a", "a =", ":one = :one"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		condition, err := expression.ParseCondition(text)
		if err != nil {
			return
		}
		scope, err := expression.NewScope(map[string]string{"#c": "c"}, given)
		require.NoError(t, err)
		if bound, err := condition.Bind(scope); err == nil {
			require.Equal(t, bound.Holds(nil), bound.Holds(expression.Item{}), "a missing item has no attributes")
		}
	})
}

func FuzzUpdate(f *testing.F) {
	for _, seed := range []string{"SET a = :one, m.c = :two REMOVE d ADD e :one", "SET a = list_append(a, :list) + :one", "SET #c = :x REMOVE l[0]", "DELETE a :set", "REMOVE a", "SET"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		update, err := expression.ParseUpdate(text)
		if err != nil {
			return
		}
		scope, err := expression.NewScope(map[string]string{"#c": "c"}, given)
		require.NoError(t, err)
		bound, err := update.Bind(scope)
		if err != nil {
			return
		}
		before := expression.Item{"a": number("1"), "l": &types.AttributeValueMemberL{Value: []types.AttributeValue{number("1")}}, "m": &types.AttributeValueMemberM{Value: expression.Item{}}}
		kept := expression.CloneItem(before)
		if after, err := bound.Apply(before); err == nil {
			for name, v := range after {
				require.NoError(t, expression.Check(v), name)
			}
		}
		require.True(t, expression.EqualItems(kept, before), "the item before stays unchanged")
	})
}

func holds(t *testing.T, condition string, values, it expression.Item) bool {
	t.Helper()
	c, err := expression.ParseCondition(condition)
	require.NoError(t, err)
	scope, err := expression.NewScope(nil, values)
	require.NoError(t, err)
	bound, err := c.Bind(scope)
	require.NoError(t, err)
	require.NoError(t, scope.Unused(true))
	return bound.Holds(it)
}

func TestEveryTypeHasItsSizeAndItsKind(t *testing.T) {
	for _, c := range []struct {
		value types.AttributeValue
		kind  string
		size  string // "" for a type without a size
	}{
		{text("größe"), "S", "7"},
		{number("1"), "N", ""},
		{&types.AttributeValueMemberB{Value: []byte("abc")}, "B", "3"},
		{&types.AttributeValueMemberSS{Value: []string{"a", "b"}}, "SS", "2"},
		{&types.AttributeValueMemberNS{Value: []string{"1", "2"}}, "NS", "2"},
		{&types.AttributeValueMemberBS{Value: [][]byte{{1}, {2}}}, "BS", "2"},
		{&types.AttributeValueMemberL{Value: []types.AttributeValue{text("x"), &types.AttributeValueMemberNULL{Value: true}}}, "L", "2"},
		{&types.AttributeValueMemberM{Value: expression.Item{"x": text("y")}}, "M", "1"},
		{&types.AttributeValueMemberBOOL{Value: true}, "BOOL", ""},
		{&types.AttributeValueMemberNULL{Value: true}, "NULL", ""},
	} {
		it := expression.Item{"a": c.value}
		require.Equal(t, c.kind, expression.Kind(c.value))
		require.NoError(t, expression.Check(c.value), c.kind)
		require.True(t, expression.Equal(c.value, expression.Clone(c.value)), c.kind)
		require.True(t, holds(t, "a = :v", expression.Item{":v": expression.Clone(c.value)}, it), c.kind)
		require.False(t, holds(t, "a = :v", expression.Item{":v": text("no such")}, it), c.kind)
		if c.size != "" {
			require.True(t, holds(t, "size(a) = :n", expression.Item{":n": number(c.size)}, it), c.kind)
		} else {
			require.False(t, holds(t, "size(a) <= :n", expression.Item{":n": number("100")}, it), c.kind)
		}
	}
	require.Empty(t, expression.Kind(nil))
	require.Error(t, expression.Check(nil))
	require.Error(t, expression.Check(&types.AttributeValueMemberNULL{}))
	require.Error(t, expression.Check(&types.AttributeValueMemberM{Value: expression.Item{"a": nil}}))
}

func TestAConditionLooksIntoMaps(t *testing.T) {
	it := expression.Item{"m": &types.AttributeValueMemberM{Value: expression.Item{"a": number("2")}}, "n": number("2")}
	one, two := expression.Item{":v": number("1")}, expression.Item{":v": number("2")}
	require.True(t, holds(t, "m.a = :v", two, it))
	require.False(t, holds(t, "m.a = :v", one, it))
	require.False(t, holds(t, "m.b = :v", two, it))
	require.False(t, holds(t, "n.a = :v", two, it), "it is no map")
	require.False(t, holds(t, "absent.a = :v", two, it))
	require.True(t, holds(t, "attribute_exists(m.a) AND attribute_not_exists(m.b)", nil, it))
	require.True(t, holds(t, "n > :v", one, it))
	require.False(t, holds(t, "n > :v", two, it))
	require.False(t, holds(t, "absent > :v", one, it))
	require.False(t, holds(t, "n > :v", expression.Item{":v": text("1")}, it), "another type")
}

func TestASetOfNumbersGrowsAndShrinks(t *testing.T) {
	set := func(elements ...string) types.AttributeValue { return &types.AttributeValueMemberNS{Value: elements} }
	it := apply(t, "ADD a :set", expression.Item{})
	require.True(t, expression.Equal(set("1", "2"), it["a"]))
	it = apply(t, "ADD a :set", expression.Item{"a": set("2", "3")})
	require.True(t, expression.Equal(set("1", "2", "3"), it["a"]))
	it = apply(t, "DELETE a :set", it)
	require.True(t, expression.Equal(set("3"), it["a"]))
	require.Empty(t, apply(t, "DELETE a :set", expression.Item{"a": set("2")}), "a set without elements is no attribute")
	require.Empty(t, apply(t, "DELETE a :set", expression.Item{}))
}

func TestAProjectionHasTheAttributesAskedForAndNoOthers(t *testing.T) {
	it := expression.Item{"a": number("1"), "b": text("x"), "c": number("2")}
	for asked, want := range map[string]expression.Item{"a": {"a": number("1")}, "absent": {}, "b, absent, a": {"a": number("1"), "b": text("x")}} {
		p, err := expression.ParseProjection(asked)
		require.NoError(t, err)
		scope, err := expression.NewScope(nil, nil)
		require.NoError(t, err)
		bound, err := p.Bind(scope)
		require.NoError(t, err)
		require.Equal(t, want, bound.Of(it), asked)
	}
	for _, wrong := range []string{"", "a,", "a b", "a[1]", "status", ".a", "a..b", "a.b"} {
		_, err := expression.ParseProjection(wrong)
		require.Error(t, err, wrong)
	}
	overlapping, err := expression.ParseProjection("a, a")
	require.NoError(t, err)
	scope, err := expression.NewScope(nil, nil)
	require.NoError(t, err)
	_, err = overlapping.Bind(scope)
	require.Error(t, err)
}

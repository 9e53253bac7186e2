package pattern

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsNoPatternIsRefusedWithItsPath(t *testing.T) {
	const (
		operatorNames = "anything-but, cidr, equals-ignore-case, exactly, exists, numeric, prefix, suffix, wildcard"
		negatable     = "equals-ignore-case, prefix, suffix, wildcard"
		comparison    = `want a comparison, as in [">", 0], or a lower and then an upper bound, as in [">", 0, "<=", 5]`
	)
	for _, c := range []struct{ pattern, want string }{
		{``, "line 1, column 1: is not JSON: it ends too early"},
		{`{"a":["x"]`, "line 1, column 11: is not JSON: it ends too early"},
		{"{\"a\":\n [x]}", "line 2, column 3: is not JSON"},
		{"{\"a\":[\"\xff\"]}", "is not UTF-8"},
		{strings.Repeat(`{"a":`, 501) + "1" + strings.Repeat("}", 501), "line 1, column 2501: is nested deeper than 500 levels"},
		{`["x"]`, "is a list; want an object of fields"},
		{`null`, "is null; want an object of fields"},
		{`"x"`, "is text; want an object of fields"},
		{`{}`, "is an empty object, which would match everything; want at least one field"},
		{`{"a":{}}`, "a: is an empty object, which would match everything; want at least one field"},
		{`{"a":{"b":{}}}`, "a.b: is an empty object, which would match everything; want at least one field"},
		{`{"a":[]}`, "a: is an empty list; want at least one value"},
		{`{"a":"x"}`, `a: is text; want a list of values, as in ["x"], or an object of fields`},
		{`{"a":null}`, "a: is null; want a list of values, as in [null], or an object of fields"},
		{`{"a":true}`, "a: is true or false; want a list of values, as in [true], or an object of fields"},
		{`{"a":1.50}`, "a: is a number; want a list of values, as in [1.50], or an object of fields"},
		{`{"a":[["x"]]}`, "a[0]: is a list; want text, a number, true, false, null, or an object with one operator"},
		{`{"a":[{}]}`, "a[0]: has 0 operators; want one, of " + operatorNames},
		{`{"a":["x",{"prefix":"x","suffix":"y"}]}`, "a[1]: has 2 operators; want one, of " + operatorNames},
		{`{"a":[{"regex":"x"}]}`, "a[0].regex: is no operator; want one of " + operatorNames},
		{`{"a":[{"prefixes":"x"}]}`, "a[0].prefixes: is no operator; did you mean prefix?"},
		{`{"a":[{"equals-ignorecase":"x"}]}`, "a[0].equals-ignorecase: is no operator; did you mean equals-ignore-case?"},
		{`{"a":[{"Prefix":"x"}]}`, "a[0].Prefix: is no operator; did you mean prefix?"},
		{`{"a":[{"city":["x"]}]}`, "a[0].city: is no operator; want one of " + operatorNames + "; or write the fields of an object without a list around it"},
		{`{"a b":{"c.d":[{"":1}]}}`, `["a b"]["c.d"][0][""]: is no operator; want one of ` + operatorNames},
		{`{"a":["x"],"a":["y"]}`, "a: appears twice; want it once"},
		{`{"a":[{"prefix":"x","prefix":"y"}]}`, "a[0].prefix: appears twice; want it once\na[0]: has 2 operators; want one, of " + operatorNames},
		{`{"a.b":["x"],"a":{"b":["y"]}}`, `a.b: is the same field as ["a.b"]; want it once`},
		{`{"a":1,"b":{"c":2}}`, "a: is a number; want a list of values, as in [1], or an object of fields\nb.c: is a number; want a list of values, as in [2], or an object of fields"},

		{`{"a":[{"exactly":33}]}`, "a[0].exactly: is a number; want text"},
		{`{"a":[{"prefix":1}]}`, "a[0].prefix: is a number; want text"},
		{`{"a":[{"prefix":["x"]}]}`, "a[0].prefix: is a list; want text"},
		{`{"a":[{"prefix":{"suffix":"x"}}]}`, `a[0].prefix: is another object; want text or {"equals-ignore-case": "…"}`},
		{`{"a":[{"suffix":{"equals-ignore-case":1}}]}`, "a[0].suffix.equals-ignore-case: is a number; want text"},
		{`{"a":[{"suffix":{"equals-ignore-case":"x","prefix":"y"}}]}`, `a[0].suffix: is another object; want text or {"equals-ignore-case": "…"}`},
		{`{"a":[{"suffix":null}]}`, "a[0].suffix: is null; want text"},
		{`{"a":[{"equals-ignore-case":["x"]}]}`, "a[0].equals-ignore-case: is a list; want text"},
		{`{"a":[{"wildcard":["x"]}]}`, "a[0].wildcard: is a list; want text"},
		{`{"a":[{"wildcard":"a**b"}]}`, "a[0].wildcard: has two stars in a row; want one"},
		{`{"a":[{"wildcard":"a\\b"}]}`, `a[0].wildcard: has a backslash that escapes neither * nor \; want \\ for a backslash`},
		{`{"a":[{"wildcard":"a\\"}]}`, `a[0].wildcard: has a backslash that escapes neither * nor \; want \\ for a backslash`},
		{`{"a":[{"exists":"yes"}]}`, "a[0].exists: is text; want true or false"},
		{`{"a":[{"exists":null}]}`, "a[0].exists: is null; want true or false"},
		{`{"a":[{"cidr":8}]}`, `a[0].cidr: is a number; want text, as in "10.0.0.0/24"`},
		{`{"a":[{"cidr":"foo"}]}`, "a[0].cidr: has no mask; want an address and its bits, as in 10.0.0.0/24"},
		{`{"a":[{"cidr":"foo/8"}]}`, `a[0].cidr: begins with "foo"; want an IPv4 or IPv6 address`},
		{`{"a":[{"cidr":"10.0.0.0/33"}]}`, `a[0].cidr: has the mask "33"; want 0 to 32 bits`},
		{`{"a":[{"cidr":"::1/129"}]}`, `a[0].cidr: has the mask "129"; want 0 to 128 bits`},
		{`{"a":[{"cidr":"10.0.0.0/-1"}]}`, `a[0].cidr: has the mask "-1"; want 0 to 32 bits`},

		{`{"a":[{"anything-but":null}]}`, "a[0].anything-but: is null; want text, a number, a list of texts or of numbers, or an object with one of " + negatable},
		{`{"a":[{"anything-but":true}]}`, "a[0].anything-but: is true or false; want text, a number, a list of texts or of numbers, or an object with one of " + negatable},
		{`{"a":[{"anything-but":[]}]}`, "a[0].anything-but: is an empty list, which would match everything; want at least one text or number"},
		{`{"a":[{"anything-but":["x",1]}]}`, "a[0].anything-but[1]: is a number beside text; want texts alone or numbers alone"},
		{`{"a":[{"anything-but":[null]}]}`, "a[0].anything-but[0]: is null; want text or a number"},
		{`{"a":[{"anything-but":9007199254740993}]}`, "a[0].anything-but: is 9007199254740993, which a double cannot hold; want at most 15 digits, between -1.7e308 and 1.7e308"},
		{`{"a":[{"anything-but":{"numeric":[">",1]}}]}`, "a[0].anything-but.numeric: is nothing that anything-but takes; want one of " + negatable},
		{`{"a":[{"anything-but":{}}]}`, "a[0].anything-but: has 0 operators; want one, of " + negatable},
		{`{"a":[{"anything-but":{"prefix":[]}}]}`, "a[0].anything-but.prefix: is an empty list, which would match everything; want at least one text"},
		{`{"a":[{"anything-but":{"prefix":""}}]}`, "a[0].anything-but.prefix: is empty, which every text has; want at least one character"},
		{`{"a":[{"anything-but":{"suffix":["x",""]}}]}`, "a[0].anything-but.suffix[1]: is empty, which every text has; want at least one character"},
		{`{"a":[{"anything-but":{"prefix":{"equals-ignore-case":"x"}}}]}`, "a[0].anything-but.prefix: is an object; want text"},
		{`{"a":[{"anything-but":{"wildcard":["a","a**"]}}]}`, "a[0].anything-but.wildcard[1]: has two stars in a row; want one"},

		{`{"a":[{"numeric":5}]}`, "a[0].numeric: is a number; " + comparison},
		{`{"a":[{"numeric":[]}]}`, "a[0].numeric: has 0 parts; " + comparison},
		{`{"a":[{"numeric":[">"]}]}`, "a[0].numeric: has 1 part; " + comparison},
		{`{"a":[{"numeric":[">",0,"<",5,"<",9]}]}`, "a[0].numeric: has 6 parts; " + comparison},
		{`{"a":[{"numeric":["~",1]}]}`, `a[0].numeric[0]: is "~"; want one of = < <= > >=`},
		{`{"a":[{"numeric":[1,">"]}]}`, "a[0].numeric[0]: is 1; want one of = < <= > >="},
		{`{"a":[{"numeric":[">","5"]}]}`, "a[0].numeric[1]: is text; want a number"},
		{`{"a":[{"numeric":["<",0,">",5]}]}`, `a[0].numeric[0]: is "<"; want one of > >=` + "\n" + `a[0].numeric[2]: is ">"; want one of < <=`},
		{`{"a":[{"numeric":["=",0,"<",5]}]}`, `a[0].numeric[0]: is "="; want one of > >=`},
		{`{"a":[{"numeric":[">",5,"<",5]}]}`, "a[0].numeric: begins at 5 and ends at 5, so that no number is between; want a lower bound below the upper one"},
		{`{"a":[{"numeric":[">=",5,"<=",5]}]}`, "a[0].numeric: begins at 5 and ends at 5, so that no number is between; want a lower bound below the upper one"},
		{`{"a":[{"numeric":[">",1e400]}]}`, "a[0].numeric[1]: is 1e400, which a double cannot hold; want at most 15 digits, between -1.7e308 and 1.7e308"},

		{`{"$or":[{"a":["x"]}]}`, "$or: has 1 branch; want two or more, of which one has to match"},
		{`{"$or":[{"a":["x"]},5]}`, "$or[1]: is a number; want an object of fields"},
		{`{"$or":[{"a":["x"]},{}]}`, "$or[1]: is an empty object, which would match everything; want at least one field"},
		{`{"$or":[{"a":["x"]},{"prefix":["y"]}]}`, "$or[1].prefix: is the name of an operator, which a field within $or must not have"},
		{`{"$or":[{"a":["x"]},{"b":{"exists":["y"]}}]}`, "$or[1].b.exists: is the name of an operator, which a field within $or must not have"},
		{`{"$or":[{"a":["x"]},{"b":"y"}]}`, `$or[1].b: is text; want a list of values, as in ["y"], or an object of fields`},
		{`{"$or":[{"a":["x"],"b":["y"]},{"c.d":["x"],"c":{"d":["y"]}}]}`, `$or[1].c.d: is the same field as $or[1]["c.d"]; want it once`},
		{`{"d":{"$or":[{"a":["x"]},{"$or":[{"b":["x"]}]}]}}`, "d.$or[1].$or: has 1 branch; want two or more, of which one has to match"},
		{`{"$or":["x"],"b":5}`, "b: is a number; want a list of values, as in [5], or an object of fields"},
	} {
		p, errs := Parse([]byte(c.pattern))

		require.EqualError(t, errs.Err(), c.want, c.pattern)
		require.Equal(t, Pattern{}, p, c.pattern)
	}
}

func TestErrorsAreToldWithinALargerDocument(t *testing.T) {
	_, errs := Parse([]byte(`{"a b":1,"c":2}`))
	require.Equal(t, `plugins.check.filter["a b"]`, errs.Under("plugins.check.filter")[0].Path)
	require.Equal(t, "plugins.check.filter.c", errs.Under("plugins.check.filter")[1].Path)

	_, errs = Parse([]byte(`[]`))
	require.EqualError(t, errs.Under("plugins.check.filter"), "plugins.check.filter: is a list; want an object of fields")

	_, errs = Parse([]byte(`{"a":["x"]}`))
	require.NoError(t, errs.Err())
}

func TestAPatternAsLargeAsMaxSizeIsRead(t *testing.T) {
	frame := len(`{"a":[""]}`)
	full := `{"a":["` + strings.Repeat("ü", MaxSize-frame) + `"]}`

	_, errs := Parse([]byte(" { \"a\" :\n\t[ " + full[len(`{"a":[`):]))
	require.NoError(t, errs.Err())

	_, errs = Parse([]byte(strings.Replace(full, "ü", "üü", 1)))
	require.EqualError(t, errs.Err(), "has 2049 characters; want at most 2048, not counting spaces between its parts")
}

func TestCombinationsAreCountedAsBranchesMultiply(t *testing.T) {
	branches := func(n int, name string) string {
		return "[" + repeated(n, func(i int) string { return fmt.Sprintf(`{"%s%d":[1]}`, name, i) }) + "]"
	}
	p, errs := Parse([]byte(`{"$or":` + branches(25, "a") + `,"x":{"$or":` + branches(40, "b") + `}}`))
	require.NoError(t, errs.Err())
	require.Len(t, p.combinations, MaxCombinations)

	_, errs = Parse([]byte(`{"$or":` + branches(25, "a") + `,"x":{"$or":` + branches(41, "b") + `}}`))
	require.EqualError(t, errs.Err(), "x.$or: makes more than 1000 combinations, with the branches of every other $or; want fewer branches")

	nested := `{"$or":[{"a":[1]},{"$or":` + branches(3, "b") + `}]}`
	p, errs = Parse([]byte(nested))
	require.NoError(t, errs.Err())
	require.Len(t, p.combinations, 4, "branches of branches add")
}

func TestAPatternIsShownAsCompactJSON(t *testing.T) {
	p, errs := Parse([]byte(" { \"a\" : [ 1.50, \"ü\\u00fc\" ] }\n"))

	require.NoError(t, errs.Err())
	require.Equal(t, `{"a":[1.50,"ü\u00fc"]}`, p.String())
}

func TestTheZeroPatternMatchesNothing(t *testing.T) {
	require.False(t, Pattern{}.Match(Metadata{}).Matches)
	require.Empty(t, Pattern{}.Lint())
}

package pattern

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func match(t *testing.T, pattern, metadata string) Verdict {
	t.Helper()
	p, errs := Parse([]byte(pattern))
	require.NoError(t, errs.Err(), pattern)
	m, err := Read([]byte(metadata))
	require.NoError(t, err, metadata)
	return p.Match(m)
}

func TestAMissNamesTheFieldAndTheValueThatDecided(t *testing.T) {
	metadata := `{"country":"AT","total":300,"none":[],"obj":{"in":1},"tags":["a","b"],"many":[1,2,3,4,5,6],"mixed":[{"x":1},[],null],
		"items":[{"sku":"A","qty":1,"lot":"p"},{"sku":"B","qty":5,"lot":"q"}],"a.b":"dotted","long":"` + strings.Repeat("ü", 100) + `"}`
	for _, c := range []struct{ pattern, want string }{
		{`{"country":["DE","CH"]}`, `country is "AT"; want ["DE","CH"]`},
		{`{"total":[{"numeric":[">",400]}]}`, `total is 300; want [{"numeric":[">",400]}]`},
		{`{"missing":{"deep":["x"]}}`, `missing.deep is absent; want ["x"]`},
		{`{"country":{"deep":["x"]}}`, `country.deep is absent; want ["x"]`},
		{`{"total":[{"exists":false}]}`, `total is 300; want [{"exists":false}]`},
		{`{"none":[{"exists":true}]}`, `none is []; want [{"exists":true}]`},
		{`{"obj":["x"]}`, `obj is {…}; want ["x"]`},
		{`{"tags":["c"]}`, `tags is ["a", "b"]; want ["c"]`},
		{`{"many":[7]}`, `many is [1, 2, 3, 4, 5, …]; want [7]`},
		{`{"mixed":["x"]}`, `mixed is [{…}, [], null]; want ["x"]`},
		{`{"items":{"sku":["C"]}}`, `items.sku is ["A", "B"]; want ["C"]`},
		{`{"a":{"b":["x"]}}`, `a.b is "dotted"; want ["x"]`},
		{`{"long":["x"]}`, `long is "` + strings.Repeat("ü", 40) + `… (200 bytes)"; want ["x"]`},
		{`{"total":[300],"country":["DE"]}`, `country is "AT"; want ["DE"]`},
		{`{"total":[3],"country":["DE"]}`, `total is 300; want [3]`},

		{`{"items":{"qty":[5],"sku":["A"]}}`, `items.sku matches in no element of its list in which items.qty matches; want ["A"]`},
		{`{"items":{"lot":["p"],"qty":[1],"sku":["B"]}}`, `items.sku matches in no element of its list in which items.lot, items.qty matches; want ["B"]`},
		{`{"country":["AT"],"items":{"lot":["p"],"qty":[{"exists":false}]}}`, `items.qty is [1, 5]; want [{"exists":false}]`},

		{`{"$or":[{"country":["DE"]},{"total":[1]}]}`, `country is "AT"; want ["DE"]; and total is 300; want [1]`},
		{`{"$or":[{"country":["DE"]},{"total":[1]}],"tags":["c"]}`, `tags is ["a", "b"]; want ["c"]`},
		{`{"$or":[{"country":["AT"],"total":[1]},{"total":[2]}],"tags":["b"]}`, `total is 300; want [1]; and total is 300; want [2]`},
		{`{"$or":[{"total":[1]},{"total":[2]},{"total":[3]},{"total":[4]},{"total":[5]}]}`, `total is 300; want [1]; and total is 300; want [2]; and total is 300; want [3]; and 2 more`},
	} {
		v := match(t, c.pattern, metadata)

		assert.False(t, v.Matches, c.pattern)
		assert.Equal(t, c.want, v.Reason(), c.pattern)
	}
}

func TestAMissNamesThePlaceInThePatternToo(t *testing.T) {
	v := match(t, `{"d":{"$or":[{"e":{"f":[1]}},{"g.h":[2]}]}}`, `{"d":{"e":{"f":3}}}`)

	require.Equal(t, []Miss{
		{Path: "d.e.f", At: "d.$or[0].e.f", Want: "[1]", Value: "3"},
		{Path: "d.g.h", At: `d.$or[1]["g.h"]`, Want: "[2]"},
	}, v.Misses)
}

func TestAMatchHasNoReason(t *testing.T) {
	v := match(t, `{"a":[1]}`, `{"a":1}`)

	require.Equal(t, Verdict{Matches: true}, v)
	require.Empty(t, v.Reason())
}

func TestOfAPathThatStandsTwiceInMetadataTheLastValueCounts(t *testing.T) {
	for _, c := range []struct {
		pattern, metadata string
		matches           bool
	}{
		{`{"k":["last"]}`, `{"k":"first","k":"last"}`, true},
		{`{"k":["first"]}`, `{"k":"first","k":"last"}`, false},
		{`{"k":{"x":[1]}}`, `{"k":{"x":1},"k":{"y":2}}`, false},
		{`{"a":{"b":["last"]}}`, `{"a.b":"first","a":{"b":"last"}}`, true},
		{`{"a":{"b":["last"]}}`, `{"a":{"b":"first"},"a.b":"last"}`, true},
		{`{"a":{"b":["first"]}}`, `{"a":{"b":"first"},"a.b":"last"}`, false},
		{`{"a":{"b":[1],"c":[2]}}`, `{"a":{"b":1},"a.c":2}`, true},
		{`{"a":{"b":[1],"c":[2]}}`, `{"a.c":2,"a":{"b":1}}`, true},
		{`{"a":{"b":[1]}}`, `{"a":[{"b":1}],"a.c":2}`, false},
		{`{"a":{"b":{"c":[1],"d":[2]}}}`, `{"a.b":{"c":1},"a":{"b":{"d":2}}}`, true},
	} {
		assert.Equal(t, c.matches, match(t, c.pattern, c.metadata).Matches, "%s of %s", c.pattern, c.metadata)
	}
}

func TestANameWithMoreDotsThanAPatternHasRoomForIsLeftAlone(t *testing.T) {
	for _, c := range []struct{ dots, children int }{{MaxSize, 1}, {MaxSize + 1, 0}} {
		m, err := Read([]byte(`{"` + strings.Repeat(".", c.dots) + `":1}`))
		require.NoError(t, err)
		require.Len(t, m.root.children[0].children, c.children)
	}
}

func TestMetadataIsOneObject(t *testing.T) {
	for text, want := range map[string]string{
		``:                                 "line 1, column 1: is not JSON: it ends too early",
		`[]`:                               "is a list; want an object",
		`"x"`:                              "is text; want an object",
		`{"a":1} 2`:                        "line 1, column 9: is not JSON",
		`{"a":` + strings.Repeat("[", 500): "line 1, column 505: is nested deeper than 500 levels",
	} {
		_, err := Read([]byte(text))
		assert.EqualError(t, err, want, text)
	}
}

func TestMetadataIsReadWithoutLoss(t *testing.T) {
	names := repeated(40, func(i int) string { return `"n` + strings.Repeat("x", i) + `":` + strings.Repeat("1", i+1) })
	for i := range 40 {
		require.True(t, match(t, `{"n`+strings.Repeat("x", i)+`":[`+strings.Repeat("1", i+1)+`]}`, "{"+names+"}").Matches, i)
	}
}

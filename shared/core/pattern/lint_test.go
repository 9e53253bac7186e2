package pattern

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ofRun are the fields that the metadata of every run has.
var ofRun = []Known{
	{Path: "drover.workflow", Values: []string{"intake", "returns"}}, {Path: "drover.stage", Values: []string{"parallel"}},
	{Path: "drover.uid"}, {Path: "drover.run", Number: true},
}

func TestLintTellsWhatWasHardlyMeant(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    []string
	}{
		{`{"a":["x"]}`, nil},
		{`{"a":[{"anything-but":["x","y"]}],"b":[{"exists":false}]}`, nil},
		{`{"a":[{"exists":true}]}`, nil},
		{`{"a":["x",{"exists":false}],"b":[{"numeric":[">",1,"<",2]}]}`, nil},
		{`{"drover":{"workflow":["intake"],"uid":[{"prefix":"u"}],"run":[{"numeric":[">",1]}]}}`, nil},

		{`{"a":[{"anything-but":"x"},{"anything-but":"y"}]}`, []string{
			`a: [{"anything-but":"x"},{"anything-but":"y"}] matches every value; want {"exists": true} if that is meant, or else one anything-but with a list`}},
		{`{"a":[{"anything-but":["x",  "y"]},"x",{"prefix":"y"}],"b":[1]}`, []string{
			`a: [{"anything-but":["x","y"]},"x",{"prefix":"y"}] matches every value; want {"exists": true} if that is meant, or else one anything-but with a list`}},
		{`{"a":[{"anything-but":["x","y"]},"x"]}`, nil},
		{`{"a":[{"anything-but":{"prefix":"x"}},{"anything-but":{"suffix":"y"}}]}`, nil},
		{`{"a":[{"anything-but":1},{"anything-but":"1"}]}`, []string{
			`a: [{"anything-but":1},{"anything-but":"1"}] matches every value; want {"exists": true} if that is meant, or else one anything-but with a list`}},

		{`{"a":[{"exists":true},{"exists":false}]}`, []string{
			`matches all metadata; want a field that some metadata fails`,
			`a: [{"exists":true},{"exists":false}] always matches, with the field and without`}},
		{`{"a":[{"exists":true},{"exists":false}],"b":["x"]}`, []string{
			`a: [{"exists":true},{"exists":false}] always matches, with the field and without`}},
		{`{"$or":[{"b":["x"]},{"a":[{"anything-but":"x"},"x",{"exists":false}]}]}`, []string{
			`matches all metadata; want a field that some metadata fails`,
			`$or[1].a: [{"anything-but":"x"},"x",{"exists":false}] always matches, with the field and without`}},

		{`{"a":[{"numeric":[">",1,"<",1.0000000000000002]}]}`, []string{
			`matches no metadata`,
			`a: [{"numeric":[">",1,"<",1.0000000000000002]}] never matches: no number is between the bounds`}},
		{`{"a":[{"numeric":[">",1.7976931348623157e308]}]}`, []string{
			`matches no metadata`,
			`a: [{"numeric":[">",1.7976931348623157e308]}] never matches: no number is between the bounds`}},
		{`{"$or":[{"a":[{"numeric":[">",1,"<",1.0000000000000002]}]},{"b":["x"]}]}`, []string{
			`$or[0].a: [{"numeric":[">",1,"<",1.0000000000000002]}] never matches: no number is between the bounds`}},

		{`{"a":["x"],"$or":[{"a":["y"]},{"b":[1]}]}`, []string{
			`a: is not looked at where $or[0].a names the same field, which replaces it`}},
		{`{"$or":[{"a":["y"]},{"b":[1]}],"a":["x"]}`, []string{
			`$or[0].a: is not looked at where a names the same field, which replaces it`}},
		{`{"$or":["x"]}`, []string{
			`$or: $or is read as the name of a field here, as it is no list of two or more objects of fields`}},
		{`{"d":{"$or":{"a":["x"]}}}`, []string{
			`d.$or.a: $or is read as the name of a field here, as it is no list of two or more objects of fields`}},

		{`{"drover":{"run":["1"]}}`, []string{
			`matches no metadata`,
			`drover.run: never matches: the field always is a number`}},
		{`{"drover":{"uid":[1,{"numeric":[">",0]}]},"a":["x"]}`, []string{
			`matches no metadata`,
			`drover.uid: never matches: the field always is text`}},
		{`{"drover":{"workflow":["other"]}}`, []string{
			`matches no metadata`,
			`drover.workflow: never matches: the field has one of intake, returns`}},
		{`{"drover":{"stage":[{"prefix":"p"}]},"a":["x"]}`, []string{
			`drover.stage: always matches: the field has one of parallel`}},
		{`{"drover":{"run":[{"exists":true}]}}`, []string{
			`matches all metadata; want a field that some metadata fails`,
			`drover.run: always matches: every metadata has the field`}},
		{`{"drover":{"plugin":["x"]}}`, []string{
			`matches no metadata`,
			`drover.plugin: never matches: there is no such field`}},
		{`{"drover":{"plugin":{"name":["x",{"exists":false}]}}}`, []string{
			`matches all metadata; want a field that some metadata fails`,
			`drover.plugin.name: always matches: there is no such field`}},
		{`{"drover":["x"]}`, []string{
			`matches no metadata`,
			`drover: never matches: there is no such field`}},
	} {
		p, errs := Parse([]byte(c.pattern))
		require.NoError(t, errs.Err(), c.pattern)

		var got []string
		for _, f := range p.Lint(ofRun...) {
			got = append(got, f.String())
		}

		assert.Equal(t, c.want, got, c.pattern)
	}
}

func TestLintKnowsNothingOfFieldsThatItIsNotTold(t *testing.T) {
	p, errs := Parse([]byte(`{"drover":{"run":["1"],"plugin":["x"]}}`))
	require.NoError(t, errs.Err())

	require.Empty(t, p.Lint())
}

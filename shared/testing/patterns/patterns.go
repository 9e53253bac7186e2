// Package patterns draws event patterns and metadata for tests that compare matchers.
//
// It draws from small pools, so that a pattern and metadata often have to do with each other. Both are JSON text, as it matters how a number is
// written. It draws nothing on which docs/referees.md lists a disagreement.
package patterns

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"pgregory.net/rapid"
)

var (
	someNames = rapid.SampledFrom([]string{"a", "a", "a", "b", "b", "b", "c", "a-b", "ä"})
	someTexts = rapid.SampledFrom([]string{
		"", "a", "A", "ab", "aB", "abc", "b", "ba", "a*b", `a\b`, "straße", "STRASSE", "ς", "Σ", "ⱥȺ",
		"10.0.0.1", "010.0.0.1", "10.0.0.9", "10.0.0.256", "2001:db8::1", "2001:DB8:0::01", "1", "true", "null",
	})
	someNumbers = rapid.SampledFrom([]string{"0", "-0.0", "1", "1.0", "10e-1", "2", "-1", "0.1", "1.5", "300", "3.0e2", "1e300", "4e-300", "9007199254740992"})
	moreNumbers = rapid.SampledFrom([]string{"9007199254740993", "9007199254740993.0", "18446744073709551615", "0.1234567890123456789", "1e400"})
	someStars   = rapid.SampledFrom([]string{"*", "", "a*", "*b", "a*b", "*a*", "*a*b*", `a\*b`, `a\\b`, "a*a*a", "ß*", "*:*"})
	someBlocks  = rapid.SampledFrom([]string{"10.0.0.0/24", "10.0.0.7/29", "10.0.0.1/31", "2001:db8::/64", "2001:db8::/127"})
)

func quoted(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic(err)
	}
	return strings.TrimSpace(out.String())
}

func drawText(t *rapid.T) string { return quoted(someTexts.Draw(t, "text")) }

func drawScalar(t *rapid.T) string {
	switch rapid.IntRange(0, 15).Draw(t, "kind of scalar") {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		return few.Draw(t, "few")
	case 8, 9, 10:
		return drawText(t)
	case 11, 12, 13:
		return someNumbers.Draw(t, "number")
	case 14:
		return moreNumbers.Draw(t, "number")
	}
	return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
}

func drawList(t *rapid.T, most int, draw func(*rapid.T) string) string {
	items := make([]string, rapid.IntRange(1, most).Draw(t, "items"))
	for i := range items {
		items[i] = draw(t)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func drawOneOrMany(t *rapid.T, draw func(*rapid.T) string) string {
	if rapid.Bool().Draw(t, "a list") {
		return drawList(t, 3, draw)
	}
	return draw(t)
}

func drawStars(t *rapid.T) string { return quoted(someStars.Draw(t, "wildcard")) }

func drawLongText(t *rapid.T) string {
	return quoted(someTexts.Filter(func(text string) bool { return text != "" }).Draw(t, "text"))
}

func drawNumber(t *rapid.T) string { return someNumbers.Draw(t, "number") }

func drawExcluded(t *rapid.T) string {
	switch rapid.IntRange(0, 5).Draw(t, "kind of anything-but") {
	case 0:
		return drawOneOrMany(t, drawText)
	case 1:
		return drawOneOrMany(t, drawNumber)
	case 2:
		return `{"prefix":` + drawOneOrMany(t, drawLongText) + "}"
	case 3:
		return `{"suffix":` + drawOneOrMany(t, drawLongText) + "}"
	case 4:
		return `{"wildcard":` + drawOneOrMany(t, drawStars) + "}"
	}
	return `{"equals-ignore-case":` + drawOneOrMany(t, drawText) + "}"
}

func drawInterval(t *rapid.T) string {
	if rapid.Bool().Draw(t, "two bounds") {
		bounds := rapid.SampledFrom([][2]string{{"-1", "0"}, {"0", "1"}, {"0", "300"}, {"0.1", "1.5"}, {"1", "1e300"}, {"0", "1e-300"}}).Draw(t, "bounds")
		return fmt.Sprintf(`["%s",%s,"%s",%s]`, rapid.SampledFrom([]string{">", ">="}).Draw(t, "lower"), bounds[0], rapid.SampledFrom([]string{"<", "<="}).Draw(t, "upper"), bounds[1])
	}
	return fmt.Sprintf(`["%s",%s]`, rapid.SampledFrom([]string{"=", "<", "<=", ">", ">="}).Draw(t, "sign"), drawNumber(t))
}

func drawValue(t *rapid.T) string {
	affix := func() string {
		if rapid.Bool().Draw(t, "ignoring case") {
			return `{"equals-ignore-case":` + drawText(t) + "}"
		}
		return drawText(t)
	}
	switch rapid.IntRange(0, 13).Draw(t, "operator") {
	case 0, 1, 2, 3:
		return drawScalar(t)
	case 4:
		return `{"exactly":` + drawText(t) + "}"
	case 5:
		return `{"prefix":` + affix() + "}"
	case 6:
		return `{"suffix":` + affix() + "}"
	case 7:
		return `{"equals-ignore-case":` + drawText(t) + "}"
	case 8:
		return `{"wildcard":` + drawStars(t) + "}"
	case 9, 10:
		return `{"anything-but":` + drawExcluded(t) + "}"
	case 11:
		return `{"numeric":` + drawInterval(t) + "}"
	case 12:
		return `{"cidr":` + quoted(someBlocks.Draw(t, "block")) + "}"
	}
	return `{"exists":` + rapid.SampledFrom([]string{"true", "false"}).Draw(t, "whether") + "}"
}

// drawValues draws the values of a field: now and then such that together exclude nothing.
func drawValues(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "loose") == 0 {
		return rapid.SampledFrom([]string{
			`[{"anything-but":"a"},{"anything-but":"b"}]`, `[{"exists":true},{"exists":false}]`, `["a",{"anything-but":["a","b"]},"b",{"exists":false}]`,
			`[{"numeric":[">",1,"<",1.0000000000000002]}]`, `[{"anything-but":[1,2]},{"numeric":[">",0]}]`, `[{"anything-but":"a"},{"anything-but":["a","b"]}]`,
		}).Draw(t, "values")
	}
	return drawList(t, 2, drawValue)
}

// drawFields draws the fields of an object, or of a branch of $or. At a depth of 0 they are not nested, below it they have no $or either.
func drawFields(t *rapid.T, depth int) string {
	var members []string
	for _, name := range rapid.SliceOfNDistinct(someNames, 1, 3, rapid.ID[string]).Draw(t, "names") {
		if depth > 0 && rapid.IntRange(0, 2).Draw(t, "nested") > 0 {
			members = append(members, quoted(name)+":"+drawFields(t, depth-1))
		} else {
			members = append(members, quoted(name)+":"+drawValues(t))
		}
	}
	if depth >= 0 && rapid.IntRange(0, 3).Draw(t, "or") == 0 {
		branches := make([]string, rapid.IntRange(2, 3).Draw(t, "branches"))
		for i := range branches {
			branches[i] = drawFields(t, depth-1)
		}
		at := rapid.IntRange(0, len(members)).Draw(t, "place of $or")
		members = append(members[:at:at], append([]string{`"$or":[` + strings.Join(branches, ",") + "]"}, members[at:]...)...)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// Pattern draws a valid pattern of all operators; or one for rows, which asks for few values of few fields in lists of objects.
func Pattern(t *rapid.T, rows bool) string {
	if rows {
		return `{"a":` + drawRowFields(t, rapid.IntRange(0, 2).Draw(t, "depth")) + "}"
	}
	for {
		one := drawFields(t, rapid.IntRange(0, 2).Draw(t, "depth"))
		if ors := strings.Count(one, "$or"); ors == 0 || ors <= mostOrs && !mixed.MatchString(one) {
			return one
		}
	}
}

// mostOrs bounds the combinations of a pattern to 81.
const mostOrs = 4

// mixed finds {"exists": false} beside other values, which event-ruler loses in some patterns with $or.
var mixed = regexp.MustCompile(`,\{"exists":false\}|\{"exists":false\},`)

var (
	few      = rapid.SampledFrom([]string{`"a"`, `"b"`, "1"})
	rowNames = []string{"a", "b", "c"}
)

// drawRowFields draws a pattern of what drawRow draws.
func drawRowFields(t *rapid.T, depth int) string {
	var members []string
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(rowNames), 2, 3, rapid.ID[string]).Draw(t, "names") {
		value := func(t *rapid.T) string {
			return rapid.SampledFrom([]string{`"a"`, `"b"`, "1", `"a"`, `"b"`, "1", `{"exists":false}`, `{"exists":true}`, `{"anything-but":"a"}`}).Draw(t, "value")
		}
		if depth > 0 && rapid.Bool().Draw(t, "nested") {
			members = append(members, quoted(name)+":"+drawRowFields(t, depth-1))
		} else {
			members = append(members, quoted(name)+":"+drawList(t, 2, value))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// drawRow draws lists of objects of lists, with few names and values.
func drawRow(t *rapid.T, depth int) string {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case depth <= 0 || kind == 0:
		return few.Draw(t, "value")
	case kind < 4:
		return drawList(t, 4, func(t *rapid.T) string { return drawRow(t, depth-1) })
	}
	var members []string
	for _, name := range rowNames {
		if rapid.IntRange(0, 3).Draw(t, "there") > 0 {
			members = append(members, quoted(name)+":"+drawRow(t, depth-1))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func drawObject(t *rapid.T, depth int) string {
	var members []string
	for _, name := range rapid.SliceOfNDistinct(someNames, 0, 4, rapid.ID[string]).Draw(t, "names") {
		members = append(members, quoted(name)+":"+drawJSON(t, depth-1))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func drawJSON(t *rapid.T, depth int) string {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case depth <= 0 || kind < 1:
		return drawScalar(t)
	case kind < 3:
		return drawObject(t, depth)
	}
	if rapid.IntRange(0, 5).Draw(t, "empty") == 0 {
		return "[]"
	}
	return drawList(t, 3, func(t *rapid.T) string { return drawJSON(t, depth-1) })
}

// Metadata draws metadata for patterns of Pattern.
func Metadata(t *rapid.T, rows bool) string {
	if rows {
		return `{"a":` + drawRow(t, rapid.IntRange(1, 4).Draw(t, "depth")) + "}"
	}
	return drawObject(t, rapid.IntRange(1, 4).Draw(t, "depth"))
}

// Question is a pattern and metadata.
type Question struct {
	Pattern  string `json:"pattern"`
	Metadata string `json:"metadata"`
}

var (
	questions = rapid.Custom(func(t *rapid.T) Question {
		rows := rapid.Bool().Draw(t, "rows")
		return Question{Pattern(t, rows), Metadata(t, rows)}
	})
	doubtful = rapid.Custom(Doubtful)
)

// Questions returns the first n questions of a fixed sequence.
func Questions(n int) []Question {
	out := make([]Question, n)
	for seed := range out {
		out[seed] = questions.Example(seed)
	}
	return out
}

// DoubtfulPatterns returns the first n patterns of a fixed sequence, of which many are refused.
func DoubtfulPatterns(n int) []string {
	out := make([]string, n)
	for seed := range out {
		out[seed] = doubtful.Example(seed)
	}
	return out
}

// drawOperand draws what may stand behind an operator, right or wrong.
func drawOperand(t *rapid.T) string {
	number := func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"0", "1", "-1", "9007199254740993"}).Draw(t, "number")
	}
	part := func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "sign") {
			return quoted(rapid.SampledFrom([]string{"=", "<", "<=", ">", ">=", "!="}).Draw(t, "sign"))
		}
		return number(t)
	}
	switch rapid.IntRange(0, 12).Draw(t, "operand") {
	case 0:
		return drawText(t)
	case 1:
		return drawNumber(t)
	case 2:
		return rapid.SampledFrom([]string{"true", "false", "null", "{}", "[]", `""`}).Draw(t, "word")
	case 3:
		return drawList(t, 3, drawText)
	case 4:
		return drawList(t, 3, drawScalar)
	case 5:
		return drawExcluded(t)
	case 6:
		return drawInterval(t)
	case 7:
		return drawList(t, 5, part)
	case 8:
		lower, upper := rapid.SampledFrom([]string{">", ">=", "=", "<"}), rapid.SampledFrom([]string{"<", "<=", "=", ">"})
		return fmt.Sprintf(`["%s",%s,"%s",%s]`, lower.Draw(t, "lower"), number(t), upper.Draw(t, "upper"), number(t))
	case 9:
		return quoted(rapid.SampledFrom([]string{
			"10.0.0.0/24", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/a", "10.0.0/24", "10.0.0.256/8", "/8", "::1/129", "1::2::3/64", "10.0.0.0", "host/8",
		}).Draw(t, "block"))
	case 10:
		return quoted(rapid.SampledFrom([]string{"**", "a**", `\`, `a\`, `\a`, `\\`, `\**`, `\***`, "*\\**", "*"}).Draw(t, "wildcard"))
	case 11:
		return fmt.Sprintf(`{%s:%s}`, quoted(drawOperator(t)), drawOneOrMany(t, drawScalar))
	}
	return fmt.Sprintf(`{"prefix":"a",%s:"a"}`, quoted(rapid.SampledFrom([]string{"suffix", "exactly", "equals-ignore-case"}).Draw(t, "second")))
}

func drawOperator(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		"anything-but", "cidr", "equals-ignore-case", "exactly", "exists", "numeric", "prefix", "suffix", "wildcard", "prefixes", "Prefix", "regex", "$or", "=",
	}).Draw(t, "operator")
}

// Doubtful draws patterns of which many are refused.
func Doubtful(t *rapid.T) string {
	field := func(t *rapid.T) string {
		switch rapid.IntRange(0, 7).Draw(t, "field") {
		case 0:
			return drawOperand(t)
		case 1:
			return "[" + drawOperand(t) + "]"
		case 2:
			return "[" + drawOperand(t) + ",1]"
		}
		return fmt.Sprintf(`[{%s:%s}]`, quoted(drawOperator(t)), drawOperand(t))
	}
	name := func() string {
		return quoted(rapid.SampledFrom([]string{"a", "b", "a", "b", "$or", "prefix", "regex", "exists"}).Draw(t, "name"))
	}
	if rapid.IntRange(0, 2).Draw(t, "or") > 0 {
		return "{" + name() + ":" + field(t) + "}"
	}
	branch := func(t *rapid.T) string {
		switch rapid.IntRange(0, 5).Draw(t, "branch") {
		case 0:
			return drawOperand(t)
		case 1:
			return "{" + name() + ":" + field(t) + "}"
		}
		return "{" + name() + `:["a"]}`
	}
	return `{"$or":` + drawList(t, 3, branch) + "}"
}

package labourer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
)

func TestAnInvalidDocumentIsRefusedWithItsLine(t *testing.T) {
	tests := map[string]struct{ file, text, want string }{
		"empty":                      {"f.yaml", "", "f.yaml:1: the file is empty; want labourers or job_schemas"},
		"only comments":              {"f.yaml", "# nothing\n", "f.yaml:1: the file is empty; want labourers or job_schemas"},
		"null":                       {"f.yaml", "\n~\n", "f.yaml:2: the file is empty; want labourers or job_schemas"},
		"an empty mapping":           {"f.yaml", "{}", "f.yaml:1: the file has no content; want labourers or job_schemas"},
		"just words":                 {"f.yaml", "just words", `f.yaml:1: is the text "just words"; want a mapping with labourers or job_schemas`},
		"a list":                     {"f.yaml", "- a\n", "f.yaml:1: is a list; want a mapping with labourers or job_schemas"},
		"a tab":                      {"f.yaml", "\t", "f.yaml:1: the text is not YAML: a tab indents this line; want only spaces there"},
		"a tab as indentation":       {"f.yaml", "labourers:\n\tw:\n", "f.yaml:2: the text is not YAML: a tab indents this line; want only spaces there"},
		"a tab after spaces":         {"f.yaml", "labourers:\n  w:\n  \t  target: x\n", "f.yaml:3: the text is not YAML: a tab indents this line; want only spaces there"},
		"a tab in a list":            {"f.yaml", "labourers:\n  - a\n\t- b\n", "f.yaml:3: the text is not YAML: a tab indents this line; want only spaces there"},
		"a tab before a comment":     {"f.yaml", "labourers: {}\r\n\t# mine\r\n", "f.yaml:2: the text is not YAML: a tab indents this line; want only spaces there"},
		"a tab in the second one":    {"f.yaml", "labourers: {}\n---\n\tx: y\n", "f.yaml:3: the text is not YAML: a tab indents this line; want only spaces there"},
		"a tab elsewhere":            {"f.yaml", "labourers: {}\nx:\t[\n", "f.yaml:2: the text is not YAML: did not find expected node content; the line has a tab, where YAML may require spaces"},
		"an open list":               {"f.yaml", "labourers: [", "f.yaml:1: the text is not YAML: did not find expected node content"},
		"an unknown anchor":          {"f.yaml", "labourers: *x", "f.yaml: the text is not YAML: unknown anchor 'x' referenced"},
		"a tag":                      {"f.yaml", "labourers:\n  w: !Sub x", `f.yaml:2: the tag "!Sub" is unknown`},
		"a mapping as a name":        {"f.yaml", "{{a: b}: c}", "f.yaml:1: a mapping cannot be a name"},
		"a tag in a list":            {"f.yaml", "[!x y]", `f.yaml:1: the tag "!x" is unknown`},
		"a tag in a name":            {"f.yaml", "{!x y: z}", `f.yaml:1: the tag "!x" is unknown`},
		"a merge of a text":          {"f.yaml", "<<: x", "f.yaml:1: << takes a mapping or a list of them, not a text"},
		"a merge of texts":           {"f.yaml", "<<:\n- x", "f.yaml:2: << takes a mapping or a list of them, not a list with a text"},
		"a merge of lists":           {"f.yaml", "<<:\n- [a]", "f.yaml:2: << takes a mapping or a list of them, not a list with a list"},
		"two documents":              {"f.yaml", "labourers: {}\n---\njob_schemas: {}\n", "f.yaml:3: a second document begins here; want one document in a file"},
		"an invalid second document": {"f.yaml", "labourers: {}\n---\n[", "f.yaml:3: the text is not YAML: did not find expected node content"},
		"not UTF-8":                  {"f.yaml", "labourers:\n  w: \xff", "f.yaml:2: the text is not UTF-8"},
		"JSON cut off":               {"f.json", "{\"labourers\":\n{", "f.json:2: the text is not JSON: unexpected end of JSON input"},
		"JSON with a comma":          {"f.JSON", "{\"labourers\": {},\n}", "f.JSON:2: the text is not JSON: invalid character '}' looking for beginning of object key string"},
		"empty JSON":                 {"f.json", "", "f.json:1: the file is empty; want labourers or job_schemas"},
		"a JSON list":                {"", "[[1, true, null]]", "line 1: is a list; want a mapping with labourers or job_schemas"},
		"a number that is too large": {"", `{"labourers": {"w": {"target": {"lambda": "f"}, "max_simultaneous_invocations": 1e999}}}`, "line 1: labourers.w.max_simultaneous_invocations: must be a finite number, not 1e999"},
		"YAML's infinity":            {"", `{labourers: {w: {target: {lambda: f}, max_simultaneous_invocations: .inf}}}`, "line 1: labourers.w.max_simultaneous_invocations: must be a finite number, not .inf"},
		"YAML's no number":           {"", `{labourers: {w: {target: {lambda: f}, max_simultaneous_invocations: .nan}}}`, "line 1: labourers.w.max_simultaneous_invocations: must be a finite number, not .nan"},
		"a number by its tag alone":  {"", `{labourers: {w: {target: {lambda: f}, max_attempts: !!int x}}}`, "line 1: labourers.w.max_attempts: must be a finite number, not x"},
		"a name twice in JSON":       {"f.json", "{\"labourers\": {},\n\"labourers\": {}}", "f.json:2: labourers: appears a second time, first in line 1"},
		"a very long name":           {"", "{" + strings.Repeat("ü", 99) + ": 1}", `line 1: ["` + strings.Repeat("ü", 40) + `…"]: is unknown; want one of activities, job_schemas, labourers, plugins, workflows`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, errs := labourer.Read(test.file, []byte(test.text))
			require.EqualError(t, errs.Err(), test.want)
		})
	}
}

func TestASmallFileCannotExpandIntoALargeOne(t *testing.T) {
	var aliases, merges strings.Builder
	aliases.WriteString("a0: &a0 [x]\n")
	merges.WriteString("a0: &a0 {x: y}\n")
	for i := 1; i < 30; i++ {
		last := strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10)
		fmt.Fprintf(&aliases, "a%d: &a%d [%s]\n", i, i, last)
		fmt.Fprintf(&merges, "a%d: &a%d {<<: [%s]}\n", i, i, last)
	}
	tests := map[string]struct{ file, text, want string }{
		"aliases of aliases":    {"", aliases.String(), "the file expands into more than 200000 values"},
		"merges of merges":      {"", merges.String(), "the file expands into more than 200000 values"},
		"an alias of itself":    {"", "a: &a [*a]", "nested deeper than 64 levels"},
		"a merge of itself":     {"", "a: &a {<<: *a}", "nested deeper than 64 levels"},
		"deep YAML":             {"", strings.Repeat("[", 100) + "x" + strings.Repeat("]", 100), "nested deeper than 64 levels"},
		"deep JSON lists":       {"", strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested deeper than 64 levels"},
		"deep JSON mappings":    {"", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), "nested deeper than 64 levels"},
		"deeper JSON than read": {"f.json", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "exceeded max depth"},
		"very long JSON":        {"", "[" + strings.Repeat("1,", 200_000) + "1]", "the file expands into more than 200000 values"},
		"a very large file":     {"", strings.Repeat("#", 4<<20+1), "the file has 4194305 bytes; want at most 4194304"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, errs := labourer.Read(test.file, []byte(test.text))
			require.ErrorContains(t, errs.Err(), test.want)
			require.Len(t, errs, 1)
		})
	}
}

// labelled returns a configuration with this value for a dimension, which may be any text.
func labelled(value string) []byte {
	return []byte("labourers:\n  w:\n    target: {lambda: f}\n    health_metrics:\n      m:\n        feelings: {4: 1}\n" +
		"        details: {MetricName: M, Namespace: N, Dimensions: [{Name: D, Value: " + value + "}]}\n")
}

// TestG9ScalarsThatYAMLVersionsReadDifferentlyAreRefused: "NO" may mean Norway or false, and 010 eight or ten.
func TestG9ScalarsThatYAMLVersionsReadDifferentlyAreRefused(t *testing.T) {
	for value, is := range map[string]string{
		"yes": "true or false", "NO": "true or false", "on": "true or false", "Off": "true or false",
		"010": "a number in octal", "0o17": "a number in octal", "000000000000": "a number in octal", "09": "a number", "0b101": "a number in binary",
		"1_000": "a number", "1_000.5": "a number", "0x_1F": "a number", "12:30": "a number of base 60", "190:20:30": "a number of base 60", "1:30.5": "a number of base 60",
		"2026-01-31": "a date", "2026-01-31T12:00:00Z": "a date", "2026-1-1 12:00:00": "a date",
	} {
		_, _, wrong := labourer.Read("f.yaml", labelled(value))
		require.EqualError(t, wrong.Err(), "f.yaml:7:78: "+value+" is "+is+" for some YAML parsers but not for others; quote it, or write its value", value)

		for _, quoted := range []string{`"` + value + `"`, "'" + value + "'"} {
			c, _, wrong := labourer.Read("f.yaml", labelled(quoted))
			require.NoError(t, wrong.Err(), quoted)
			require.Equal(t, value, c.Labourers["w"].HealthMetrics["m"].Query.Dimensions[0].Value)
		}
	}
}

func TestScalarsThatEveryYAMLParserReadsAlikeAreAccepted(t *testing.T) {
	for _, value := range []string{"y", "N", "yesterday", "v1_000", "a:30", "10:80", "2026-week-1", "1.2.3", "127.0.0.1:80", "0.5.0", "x010"} {
		c, _, wrong := labourer.Read("f.yaml", labelled(value))
		require.NoError(t, wrong.Err(), value)
		require.Equal(t, value, c.Labourers["w"].HealthMetrics["m"].Query.Dimensions[0].Value)
	}
	for written, want := range map[string]float64{"10": 10, "0x1F": 31, "1e3": 1000, "2.50": 2.5, "+7": 7, "0": 0, "0.5": 0.5} {
		c, _, wrong := labourer.Read("f.yaml", []byte("labourers: {w: {target: {lambda: f}, max_simultaneous_invocations: "+written+"}}"))
		require.NoError(t, wrong.Err(), written)
		require.Equal(t, want, c.Labourers["w"].MaxSimultaneousInvocations, written)
	}
}

func TestG9ANameThatIsNotATextIsRefused(t *testing.T) {
	for name, reason := range map[string]string{
		"yes": "f.yaml:1:13: yes is true or false for some", "010": "f.yaml:1:13: 010 is a number in octal for some", "true": "f.yaml:1: true cannot be a name",
		"1.0": "f.yaml:1: 1.0 cannot be a name", "0x10": "f.yaml:1: 0x10 cannot be a name", "~": "f.yaml:1: nothing cannot be a name",
	} {
		_, _, wrong := labourer.Read("f.yaml", []byte("labourers: {"+name+": {target: {lambda: f}}}"))
		require.ErrorContains(t, wrong.Err(), reason, name)
	}
	c, _, wrong := labourer.Read("f.yaml", []byte(`labourers: {7: {target: {lambda: f}}, "010": {target: {lambda: f}}}`))
	require.NoError(t, wrong.Err())
	require.Contains(t, c.Labourers, "7")
	require.Contains(t, c.Labourers, "010")
}

func TestG9ANumberThatCannotBeStoredExactlyIsRefused(t *testing.T) {
	for _, file := range []string{"f.json", "f.yaml"} {
		for written, kept := range map[string]string{
			"3.0000000000000000001": "3", "0.10000000000000000001": "0.1", "9007199254740993": "9.007199254740992e+15", "1e-400": "0",
		} {
			_, _, wrong := labourer.Read(file, []byte(`{"labourers": {"w": {"target": {"lambda": "f"}, "max_simultaneous_invocations": `+written+`}}}`))
			require.EqualError(t, wrong.Err(), file+":1: labourers.w.max_simultaneous_invocations: "+written+" has more digits than can be stored; it would become "+kept)
		}
		for _, written := range []string{"0.1", "1000000", "123456.789", "1E2", "0.30000000000000004"} {
			_, _, wrong := labourer.Read(file, []byte(`{"labourers": {"w": {"target": {"lambda": "f"}, "max_simultaneous_invocations": `+written+`}}}`))
			require.NoError(t, wrong.Err(), written)
		}
	}
}

// TestG9ARepeatedNameIsRefusedAnywhere covers also settings of sosw that are not carried over.
func TestG9ARepeatedNameIsRefusedAnywhere(t *testing.T) {
	for text, want := range map[string]string{
		"{\"labourers\": {\"w\": {\"arn\": \"arn:aws:lambda:us-west-2:0000000000:function:w\"}},\n\"dynamo_db_config\": {\"a\": 1,\n\"a\": 2}}":         "f.json:3: dynamo_db_config.a: appears a second time, first in line 2",
		"{\"labourers\": {\"w\": {\"arn\": \"arn:aws:lambda:us-west-2:0000000000:function:w\"}},\n\"dynamo_db_config\": [{\"a\": 1,\n\"\\u0061\": 1}]}": "f.json:3: dynamo_db_config[0].a: appears a second time, first in line 2",
	} {
		_, _, wrong := labourer.Read("f.json", []byte(text))
		require.EqualError(t, wrong.Err(), want)
	}
}

func TestG9HalfASurrogatePairIsRefused(t *testing.T) {
	for text, ok := range map[string]bool{`\ud83d\ude00`: true, `\\ud83d`: true, `\u00e9`: true, `\ud83d`: false, `\ude00\ud83d`: false, `\ud83d\u0041`: false, `a\ud83dx`: false} {
		_, _, wrong := labourer.Read("f.json", []byte("{\"labourers\":\n{\"w\": {\"target\": {\"lambda\": \"f\"}, \"not_retryable\": [\""+text+"\"]}}}"))
		if ok {
			require.NoError(t, wrong.Err(), text)
			continue
		}
		require.ErrorContains(t, wrong.Err(), "f.json:2: ", text)
		require.ErrorContains(t, wrong.Err(), "is half of a surrogate pair, which is not a character", text)
	}
}

package labourer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/labourer"
)

func TestWhatIsNoDocumentIsRefusedWithItsLine(t *testing.T) {
	tests := map[string]struct{ file, text, want string }{
		"empty":                     {"f.yaml", "", "f.yaml:1: the file is empty; labourers or job_schemas are expected"},
		"comments alone":            {"f.yaml", "# nothing\n", "f.yaml:1: the file is empty; labourers or job_schemas are expected"},
		"null":                      {"f.yaml", "\n~\n", "f.yaml:2: the file is empty; labourers or job_schemas are expected"},
		"an empty mapping":          {"f.yaml", "{}", "f.yaml:1: the file says nothing; labourers or job_schemas are expected"},
		"just words":                {"f.yaml", "just words", `f.yaml:1: a mapping with labourers or job_schemas is expected, not the text "just words"`},
		"a list":                    {"f.yaml", "- a\n", "f.yaml:1: a mapping with labourers or job_schemas is expected, not a list"},
		"a tab":                     {"f.yaml", "\t", "f.yaml:1: the text is not YAML: a tab indents this line; YAML takes spaces alone there"},
		"a tab as indentation":      {"f.yaml", "labourers:\n\tw:\n", "f.yaml:2: the text is not YAML: a tab indents this line; YAML takes spaces alone there"},
		"a tab behind spaces":       {"f.yaml", "labourers:\n  w:\n  \t  target: x\n", "f.yaml:3: the text is not YAML: a tab indents this line; YAML takes spaces alone there"},
		"a tab in a list":           {"f.yaml", "labourers:\n  - a\n\t- b\n", "f.yaml:3: the text is not YAML: a tab indents this line; YAML takes spaces alone there"},
		"a tab before a comment":    {"f.yaml", "labourers: {}\r\n\t# mine\r\n", "f.yaml:2: the text is not YAML: a tab indents this line; YAML takes spaces alone there"},
		"a tab in the second one":   {"f.yaml", "labourers: {}\n---\n\tx: y\n", "f.yaml:3: the text is not YAML: a tab indents this line; YAML takes spaces alone there"},
		"a tab elsewhere":           {"f.yaml", "labourers: {}\nx:\t[\n", "f.yaml:2: the text is not YAML: did not find expected node content; there is a tab in this line, where YAML may want spaces"},
		"an open list":              {"f.yaml", "labourers: [", "f.yaml:1: the text is not YAML: did not find expected node content"},
		"an unknown anchor":         {"f.yaml", "labourers: *x", "f.yaml: the text is not YAML: unknown anchor 'x' referenced"},
		"a tag":                     {"f.yaml", "labourers:\n  w: !Sub x", `f.yaml:2: the tag "!Sub" is not understood here`},
		"a mapping as a name":       {"f.yaml", "{{a: b}: c}", "f.yaml:1: a mapping can not be a name"},
		"a tag in a list":           {"f.yaml", "[!x y]", `f.yaml:1: the tag "!x" is not understood here`},
		"a tag in a name":           {"f.yaml", "{!x y: z}", `f.yaml:1: the tag "!x" is not understood here`},
		"a merge of a text":         {"f.yaml", "<<: x", "f.yaml:1: << takes a mapping or a list of them, not a text"},
		"a merge of texts":          {"f.yaml", "<<:\n- x", "f.yaml:2: << takes a mapping or a list of them, not a list with a text"},
		"a merge of lists":          {"f.yaml", "<<:\n- [a]", "f.yaml:2: << takes a mapping or a list of them, not a list with a list"},
		"two documents":             {"f.yaml", "labourers: {}\n---\njob_schemas: {}\n", "f.yaml:3: a second document begins here: one document a file"},
		"a second one that is none": {"f.yaml", "labourers: {}\n---\n[", "f.yaml:3: the text is not YAML: did not find expected node content"},
		"no UTF-8":                  {"f.yaml", "labourers:\n  w: \xff", "f.yaml:2: the text is not UTF-8"},
		"JSON cut off":              {"f.json", "{\"labourers\":\n{", "f.json:2: the text is not JSON: unexpected end of JSON input"},
		"JSON with a comma":         {"f.JSON", "{\"labourers\": {},\n}", "f.JSON:2: the text is not JSON: invalid character '}' looking for beginning of object key string"},
		"no JSON at all":            {"f.json", "", "f.json:1: the text is not JSON: unexpected end of JSON input"},
		"a JSON list":               {"", "[[1, true, null]]", "line 1: a mapping with labourers or job_schemas is expected, not a list"},
		"a number no one can hold":  {"", `{"labourers": {"w": {"target": {"lambda": "f"}, "max_simultaneous_invocations": 1e999}}}`, "line 1: labourers.w.max_simultaneous_invocations: must be a finite number, not 1e999"},
		"YAML's infinity":           {"", `{labourers: {w: {target: {lambda: f}, max_simultaneous_invocations: .inf}}}`, "line 1: labourers.w.max_simultaneous_invocations: must be a finite number, not .inf"},
		"YAML's no number":          {"", `{labourers: {w: {target: {lambda: f}, max_simultaneous_invocations: .nan}}}`, "line 1: labourers.w.max_simultaneous_invocations: must be a finite number, not .nan"},
		"a number by its tag alone": {"", `{labourers: {w: {target: {lambda: f}, max_attempts: !!int x}}}`, "line 1: labourers.w.max_attempts: must be a finite number, not x"},
		"a name twice in JSON":      {"f.json", "{\"labourers\": {},\n\"labourers\": {}}", "f.json:2: labourers: stands here a second time, first in line 1"},
		"a very long name":          {"", "{" + strings.Repeat("ü", 99) + ": 1}", `line 1: ["` + strings.Repeat("ü", 40) + `…"]: is not a known field; known are job_schemas, labourers`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, errs := labourer.Read(test.file, []byte(test.text))
			require.EqualError(t, errs.Err(), test.want)
		})
	}
}

func TestASmallFileCanNotUnfoldIntoALargeOne(t *testing.T) {
	var aliases, merges strings.Builder
	aliases.WriteString("a0: &a0 [x]\n")
	merges.WriteString("a0: &a0 {x: y}\n")
	for i := 1; i < 30; i++ {
		last := strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10)
		fmt.Fprintf(&aliases, "a%d: &a%d [%s]\n", i, i, last)
		fmt.Fprintf(&merges, "a%d: &a%d {<<: [%s]}\n", i, i, last)
	}
	tests := map[string]struct{ file, text, want string }{
		"aliases of aliases":    {"", aliases.String(), "the file unfolds into more than 200000 values"},
		"merges of merges":      {"", merges.String(), "the file unfolds into more than 200000 values"},
		"an alias of itself":    {"", "a: &a [*a]", "nested deeper than 64 levels"},
		"a merge of itself":     {"", "a: &a {<<: *a}", "nested deeper than 64 levels"},
		"deep YAML":             {"", strings.Repeat("[", 100) + "x" + strings.Repeat("]", 100), "nested deeper than 64 levels"},
		"deep JSON lists":       {"", strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested deeper than 64 levels"},
		"deep JSON mappings":    {"", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), "nested deeper than 64 levels"},
		"deeper JSON than read": {"f.json", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "exceeded max depth"},
		"very long JSON":        {"", "[" + strings.Repeat("1,", 200_000) + "1]", "the file unfolds into more than 200000 values"},
		"a very large file":     {"", strings.Repeat("#", 4<<20+1), "the file has 4194305 bytes, 4194304 is the most"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, errs := labourer.Read(test.file, []byte(test.text))
			require.ErrorContains(t, errs.Err(), test.want)
			require.Len(t, errs, 1)
		})
	}
}

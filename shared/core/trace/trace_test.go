package trace_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/trace"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

func TestATraceparentIsReadByTheRulesOfTheW3C(t *testing.T) {
	for text, want := range map[string]string{
		parent:                                      parent,
		"00-" + traceID + "-" + spanID + "-ff":      "00-" + traceID + "-" + spanID + "-ff",
		"cc-" + traceID + "-" + spanID + "-01":      parent,
		"cc-" + traceID + "-" + spanID + "-01-what": parent,
		"":                                     "",
		parent + "-what":                       "",
		parent + "0":                           "",
		parent[:54]:                            "",
		" " + parent:                           "",
		"ff-" + traceID + "-" + spanID + "-01": "",
		"cc-" + traceID + "-" + spanID + "-01.what":   "",
		"0X-" + traceID + "-" + spanID + "-01":        "",
		strings.ToUpper(parent):                       "",
		strings.ReplaceAll(parent, "-", "_"):          "",
		"00-" + strings.Repeat("0", 32) + parent[35:]: "",
		parent[:36] + strings.Repeat("0", 16) + "-01": "",
		"00-" + traceID + "-" + spanID + "-0g":        "",
		"00-" + traceID[1:] + "--" + spanID + "-01":   "",
	} {
		require.Equal(t, want, trace.Parse(text, "").Parent(), "%q", text)
	}
}

func TestAnUnreadableTracestateIsLeftOut(t *testing.T) {
	var many []string
	for i := range 33 {
		many = append(many, fmt.Sprintf("k%d=v", i))
	}
	for state, kept := range map[string]bool{
		"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE": true,
		"rojo=1 , ,congo=2":                       true,
		"fw529a3039@dt=FfAAAA":                    true,
		"a-b_c*d/e=x y":                           true,
		strings.Join(many[:32], ","):              true,
		strings.Join(many, ","):                   false,
		"rojo":                                    false,
		"rojo=":                                   false,
		"=1":                                      false,
		"Rojo=1":                                  false,
		"_rojo=1":                                 false,
		"a@=1":                                    false,
		"a@9b=1":                                  false,
		"a=1,a=2":                                 false,
		"a=1=2":                                   false,
		"a=\u00e9":                                false,
		"a=" + strings.Repeat("x", 257):           false,
		strings.Repeat("a", 256) + "=" + strings.Repeat("x", 256): false,
	} {
		c := trace.Parse(parent, state)
		require.Equal(t, parent, c.Parent(), "the traceparent counts without it")
		if kept {
			require.Equal(t, state, c.State)
		} else {
			require.Empty(t, c.State, "%q", state)
		}
	}
	require.Equal(t, trace.Context{}, trace.Parse("", "rojo=1"), "it means nothing without a traceparent")
}

func TestAContextIsReadFromAnObjectWhateverElseItHas(t *testing.T) {
	require.Equal(t, trace.Parse(parent, "a=1"), trace.Of([]byte(`{"traceparent": "`+parent+`", "x": {}, "tracestate": "a=1"}`)))
	for _, object := range []string{`{}`, `{"traceparent": 7}`, `{"traceparent": null}`, `{"traceparent": ["` + parent + `"]}`, `[]`, `{`, `{"Traceparent": "` + parent + `"}`} {
		require.False(t, trace.Of([]byte(object)).Traced(), object)
	}
}

// TestASpanHasOneIDForEver fixes ids that workers have got as their parents.
func TestASpanHasOneIDForEver(t *testing.T) {
	require.Equal(t, "b9d2e5adb7629f66", trace.AttemptSpan("abcdefghijklmnop.7", 1))
	require.NotEqual(t, trace.AttemptSpan("abcdefghijklmnop.7", 1), trace.AttemptSpan("abcdefghijklmnop.7", 2))
	require.NotEqual(t, trace.AttemptSpan("abcdefghijklmnop.7", 11), trace.AttemptSpan("abcdefghijklmnop.71", 1))

	c := trace.Parse(parent, "a=1").Under(trace.AttemptSpan("abcdefghijklmnop.7", 1))

	require.Equal(t, "00-"+traceID+"-"+trace.AttemptSpan("abcdefghijklmnop.7", 1)+"-01", c.Parent())
	require.Equal(t, "a=1", c.State)
	require.Equal(t, trace.Context{}, trace.Context{}.Under("x"), "what belongs to no trace starts none")
}

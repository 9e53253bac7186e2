package exact_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/exact"
)

type head struct {
	ID string `json:"id"`
}

type inner struct {
	Name string            `json:"name"`
	Tags map[string]string `json:"tags"`
}

type outer struct {
	head
	Count  int             `json:"count"`
	Size   *float64        `json:"size"`
	At     time.Time       `json:"at"`
	Raw    json.RawMessage `json:"raw"`
	Inner  *inner          `json:"inner,omitempty"`
	List   []inner         `json:"list"`
	Loose  any             `json:"loose"`
	Hidden string          `json:"-"`
	Plain  bool
}

// TestUnambiguousTextIsDecodedLikeTheStandardLibrary: without odd names, a text has only one meaning.
func TestUnambiguousTextIsDecodedLikeTheStandardLibrary(t *testing.T) {
	for _, text := range []string{
		`{}`, `null`, ` { } `,
		`{"id": "a", "count": 7, "size": 1.5, "at": "2026-11-22T12:00:00Z", "raw": {"a": [1, 2]}, "inner": {"name": "x", "tags": {"A": "1", "a": "2"}}, "Plain": true}`,
		`{"list": [{"name": "a"}, {"name": "b"}], "loose": {"a": [1, null]}, "size": null, "inner": null}`,
		`{"list": [], "inner": {}, "unknown": {"count": "text"}, "-": "x"}`,
		`{"list": null, "count": -0, "id": "\ud83d\ude00\n"}`,
	} {
		var got, want outer
		require.NoError(t, json.Unmarshal([]byte(text), &want), text)

		require.NoError(t, exact.Decode([]byte(text), &got), text)

		require.Equal(t, want, got, text)
	}
}

func TestNamesAreMatchedExactly(t *testing.T) {
	var got outer

	err := exact.Decode([]byte(`{"id": "a", "ID": "b", "Id": 7, "count": 1, "Count": {}, "inner": {"name": "x", "NAME": "y"}, "Inner": 1, "plain": true, "ſize": 3, "list": [{"Name": 1}]}`), &got)

	require.NoError(t, err)
	require.Equal(t, outer{head: head{"a"}, Count: 1, Inner: &inner{Name: "x"}, List: []inner{{}}}, got)
}

func TestG9ErrorsNameThePlace(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "line 1, column 1: is not JSON: it ends too early",
		`{"count": 1`:                            "line 1, column 12: is not JSON: it ends too early",
		"{\"a\": 1,\n \"é\": x}":                 "line 2, column 7: is not JSON",
		`{"count": NaN}`:                         "line 1, column 11: is not JSON: it has no number NaN",
		`{} {}`:                                  "line 1, column 4: is not JSON",
		`[]`:                                     "is a list; want an object",
		`{"id": 1}`:                              "id: is a number; want text",
		`{"count": "1"}`:                         "count: is text; want a whole number in range",
		`{"count": 1.5}`:                         "count: is a number; want a whole number in range",
		`{"count": 99999999999999999999}`:        "count: is a number; want a whole number in range",
		`{"size": 1e999}`:                        "size: is a number; want a number in range",
		`{"at": "noon"}`:                         "at: is text; want the text of a time",
		`{"inner": [1]}`:                         "inner: is a list; want an object",
		`{"inner": {"tags": {"a": 1}}}`:          "inner.tags.a: is a number; want text",
		`{"list": {}}`:                           "list: is an object; want a list",
		`{"list": [{"name": "a"}, {"name": 1}]}`: "list[1].name: is a number; want text",
		`{"Plain": "true"}`:                      "Plain: is text; want true or false",
		`{"id": "a", "id": "a"}`:                 "id: appears twice",
		`{"unknown": 1, "unknown": 1}`:           "unknown: appears twice",
		`{"list": [{"name": "a", "n\u0061me": "b"}]}`:                                 "list[0].name: appears twice",
		`{"inner": {"tags": {"a": "1", "a": "2"}}}`:                                   "inner.tags.a: appears twice",
		strings.Repeat("[", exact.MaxDepth+1) + strings.Repeat("]", exact.MaxDepth+1): "line 1, column 501: is nested deeper than 500 levels",
	} {
		var got outer
		require.EqualError(t, exact.Decode([]byte(text), &got), want, text)
	}
}

func TestBracketsInTextAreNotLevels(t *testing.T) {
	require.NoError(t, exact.Check([]byte(`["`+strings.Repeat("[", 1000)+`\"[["]`)))
	require.NoError(t, exact.Check([]byte(strings.Repeat("[", exact.MaxDepth)+strings.Repeat("]", exact.MaxDepth))))
}

func TestAnObjectIsSplitAroundValuesThatAreNotJSON(t *testing.T) {
	for text, want := range map[string][]exact.Member{
		`{}`:                                   nil,
		"\ufeff {\"a\" : 1 , \"b\":\n[2] }\n":  {{"a", raw(`1`)}, {"b", raw(`[2]`)}},
		`{"a": NaN, "b": {"c": -Infinity}}`:    {{"a", raw(`NaN`)}, {"b", raw(`{"c": -Infinity}`)}},
		`{"a": "}{,\"", "b": [{"c": "]"}, 1]}`: {{"a", raw(`"}{,\""`)}, {"b", raw(`[{"c": "]"}, 1]`)}},
		`{"a": 1, "a": 2,}`:                    {{"a", raw(`1`)}, {"a", raw(`2`)}},
		`{"a": 1, "b": {"c": [1, 2`:            {{"a", raw(`1`)}, {"b", raw(`{"c": [1, 2`)}},
		`{"a": 1, "b": "half a te`:             {{"a", raw(`1`)}, {"b", raw(`"half a te`)}},
		`{"a": 1, "b`:                          {{"a", raw(`1`)}},
		`{"a": 1, "b"`:                         {{"a", raw(`1`)}},
		`{"a": 1`:                              {{"a", raw(`1`)}},
		`{"\u0061": , "b": 2}`:                 {{"a", raw(``)}, {"b", raw(`2`)}},
	} {
		got, err := exact.Members([]byte(text))

		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func raw(text string) json.RawMessage { return json.RawMessage(text) }

func TestOtherTextsAreNotSplit(t *testing.T) {
	for text, want := range map[string]string{
		``:               "line 1, column 1: is not an object; want {",
		`[1]`:            "line 1, column 1: is not an object; want {",
		`{'a': 1}`:       "line 1, column 2: has no name here; want one in double quotes",
		`{"a" 1}`:        "line 1, column 6: has no colon after the name; want one",
		"{\"a\": 1}\n{}": "line 2, column 1: has more text after the object; want nothing there",
		`{"a": 1]}`:      "line 1, column 8: has no name here; want one in double quotes",
		`{"\x": 1}`:      "line 1, column 2: has no name here; want one in double quotes",
	} {
		_, err := exact.Members([]byte(text))
		require.EqualError(t, err, want, text)
	}
}

// FuzzDecode checks that Decode agrees with the standard library if all names in objects for structs and maps are unique and exact.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{`{"id":"a","Id":"b"}`, `{"list":[{"name":"x"}],"inner":{"tags":{"a":"b"}}}`, `{"raw":NaN}`, `[`, `{"a":1,"a":2}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got outer
		if err := exact.Decode(text, &got); err != nil {
			require.Less(t, len(err.Error()), 2000)
			return
		}
		var loose any
		require.NoError(t, json.Unmarshal(text, &loose), "it is JSON")
		again, err := json.Marshal(got)
		require.NoError(t, err)
		var same outer
		require.NoError(t, exact.Decode(again, &same))
	})
}

func FuzzMembers(f *testing.F) {
	for _, text := range []string{`{"a":NaN,"b":"}"}`, `{"a":[{}`, "\ufeff{}", `{"a":"\"`, `{"a`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		members, err := exact.Members(text)
		if !json.Valid(text) || err != nil {
			return
		}
		var object map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(text, &object), "JSON that splits is an object")
		for _, m := range members {
			require.True(t, json.Valid(m.Value), "each value in JSON is JSON")
			require.Contains(t, object, m.Name)
		}
	})
}

package job_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/job"
)

var (
	noon     = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	shop     = job.Schema{ChunkableAttrs: []string{"section", "store", "product"}}
	sections = job.Schema{ChunkableAttrs: []string{"section"}}
)

// refusal returns the error of a job that is refused when it is read or planned.
func refusal(t require.TestingT, text string, schema job.Schema) *job.Error {
	_, err := expand([]byte(text), schema, noon)
	var wrong *job.Error
	require.ErrorAs(t, err, &wrong, text)
	return wrong
}

func TestAJobIsReadPlainWrappedOrAsText(t *testing.T) {
	for name, text := range map[string]string{
		"object":              `{"job_id": "1", "labourer": "w", "a": [1, {"b": null}]}`,
		"text":                `"{\"job_id\": \"1\", \"labourer\": \"w\", \"a\": [1, {\"b\": null}]}"`,
		"wrapped":             `{"job": {"job_id": "1", "labourer": "w", "a": [1, {"b": null}]}}`,
		"wrapped text":        `{"job": "{\"job_id\": \"1\", \"labourer\": \"w\", \"a\": [1, {\"b\": null}]}"}`,
		"text of a wrapper":   `"{\"job\": {\"job_id\": \"1\", \"labourer\": \"w\", \"a\": [1, {\"b\": null}]}}"`,
		"id at the wrapper":   `{"job_id": "1", "job": {"labourer": "w", "a": [1, {"b": null}]}}`,
		"id at both":          `{"job_id": "1", "job": {"labourer": "w", "a": [1, {"b": null}], "job_id": "1"}}`,
		"more at the wrapper": `{"logging_level": "DEBUG", "job": {"job_id": "1", "labourer": "w", "a": [1, {"b": null}]}}`,
		"with white space":    "\t{\r\n \"job_id\" : \"1\" , \"labourer\":\"w\",\"a\":[ 1 ,{ \"b\":null } ] }\n",
	} {
		j, err := job.Parse([]byte(text))
		require.NoError(t, err, name)
		require.Equal(t, "1", j.ID, name)
		require.Equal(t, "w", j.Labourer, name)
		plan, err := j.Plan(job.Schema{}, noon)
		require.NoError(t, err)
		payload, err := plan.Payload(0)
		require.NoError(t, err)
		require.Equal(t, `{"a":[1,{"b":null}]}`, string(payload), name)
	}
}

func TestTheLabourerIsReadFromNamesAndARNs(t *testing.T) {
	for given, want := range map[string][2]string{
		"w":                            {"w", ""},
		"some-function_2.fifo":         {"some-function_2.fifo", ""},
		"w:prod":                       {"w", "prod"},
		"w:42":                         {"w", "42"},
		"w:$LATEST":                    {"w", "$LATEST"},
		"function:w":                   {"w", ""},
		"function:w:prod":              {"w", "prod"},
		"000000000000:function:w":      {"w", ""},
		"000000000000:function:w:prod": {"w", "prod"},
		"arn:aws:lambda:us-west-2:000000000000:function:w":                    {"w", ""},
		"arn:aws:lambda:us-west-2:000000000000:function:w:prod":               {"w", "prod"},
		"arn:aws-us-gov:lambda:us-gov-west-1:000000000000:function:w:$LATEST": {"w", "$LATEST"},
		"arn:aws:sqs:us-west-2:000000000000:w":                                {"w", ""},
		"arn:aws:states:us-west-2:000000000000:stateMachine:w":                {"w", ""},
		"arn:aws-cn:states:cn-north-1:000000000000:stateMachine:w:7":          {"w", "7"},
	} {
		for _, attribute := range []string{"labourer", "lambda_name"} {
			j, err := job.Parse(fmt.Appendf(nil, `{%q: %q}`, attribute, given))
			require.NoError(t, err, given)
			require.Equal(t, want, [2]string{j.Labourer, j.Qualifier}, given)
		}
	}
	both, err := job.Parse([]byte(`{"labourer": "w:1", "lambda_name": "arn:aws:lambda:us-west-2:000000000000:function:w:1"}`))
	require.NoError(t, err)
	require.Equal(t, "w", both.Labourer)
}

func TestSteeringAttributesAreRead(t *testing.T) {
	j, err := job.Parse([]byte(`{"labourer": "w", "job_schema_name": "other", "not_before": "2026-12-24T18:00", "time_zone": "Europe/Berlin", "max_attempts": 7, "max_duration": "1h30m"}`))
	require.NoError(t, err)
	require.Equal(t, "other", j.Schema)
	require.Equal(t, "2026-12-24T17:00:00Z", j.NotBefore.Format(time.RFC3339))
	require.Equal(t, "Europe/Berlin", j.Zone().String())
	require.Equal(t, 7, j.MaxAttempts)
	require.Equal(t, 90*time.Minute, j.MaxDuration)

	seconds, err := job.Parse([]byte(`{"labourer": "w", "max_duration": 90}`))
	require.NoError(t, err)
	require.Equal(t, 90*time.Second, seconds.MaxDuration)

	absent, err := job.Parse([]byte(`{"labourer": "w", "job_schema_name": null, "not_before": null, "time_zone": null, "max_attempts": null, "max_duration": null, "period": null, "lambda_name": null}`))
	require.NoError(t, err)
	require.True(t, absent.NotBefore.IsZero())
	require.Equal(t, time.UTC, absent.Zone())
	require.Zero(t, absent.MaxAttempts)
	require.Zero(t, absent.MaxDuration)
	require.Empty(t, absent.ID+absent.Schema+absent.Qualifier)
}

func TestBadInputIsRefusedWithItsFieldItsValueAndWhatIsWanted(t *testing.T) {
	for _, c := range []struct{ name, job, field, reason string }{
		{"nothing", ``, "job", "found the end, want a JSON value"},
		{"not JSON", `{labourer: "w"}`, "job", `line 1, column 2: found 'l', want a name in double quotes`},
		{"not JSON in a later line", "{\n\"a\": 1,\n}", "job", "line 3, column 1"},
		{"a list", `[{"labourer": "w"}]`, "job", "is a list; want an object"},
		{"text of a number", `"7"`, "job", "is a number; want an object"},
		{"text of text", `"\"{}\""`, "job", "is text; want an object"},
		{"text that is not JSON", `"w"`, "job", "is not JSON"},
		{"a wrapped list", `{"job": []}`, "job", "is a list; want an object, or the text of one"},
		{"a wrapped null", `{"job": null}`, "job", "is null; want an object"},
		{"wrapped text that is not JSON", `{"job": "run"}`, "job", "is not JSON"},
		{"more after the end", `{"labourer": "w"} {}`, "job", "want nothing after the end"},
		{"too large", `{"labourer": "w", "a": "` + strings.Repeat("x", job.MaxJobBytes) + `"}`, "job", "has 1048602 bytes; want at most 1048576"},
		{"too deep", `{"labourer": "w", "deep": ` + strings.Repeat(`[`, 300) + strings.Repeat(`]`, 300) + `}`, "deep", "is nested deeper than 256 levels"},
		{"too deep from the start", strings.Repeat(`[`, 300), "job", "is nested deeper than 256 levels"},
		{"no labourer", `{"x": 1}`, "labourer", "is missing; want a labourer's id"},
		{"labourer null", `{"lambda_name": null}`, "labourer", "is missing"},
		{"labourer misspelt", `{"Laborer": "w"}`, "labourer", `is missing; did you write "Laborer" for labourer? want a labourer's id`},
		{"lambda_name misspelt", `{"x": 1, "lamda_name": "w"}`, "labourer", `did you write "lamda_name" for lambda_name?`},
		{"labourer a number", `{"labourer": 7}`, "labourer", "is 7; want a labourer's id"},
		{"labourer empty", `{"labourer": ""}`, "labourer", `"" is not a labourer's id`},
		{"labourer with a space", `{"lambda_name": "a b"}`, "lambda_name", `"a b" is not a labourer's id`},
		{"alias with a space", `{"labourer": "w:a b"}`, "labourer", `"a b" is not an alias or a version`},
		{"alias empty", `{"labourer": "w:"}`, "labourer", `"w:" contains no labourer's name`},
		{"too many parts", `{"labourer": "a:b:c"}`, "labourer", `"a:b:c" contains no labourer's name`},
		{"half an ARN", `{"labourer": "arn:aws:lambda:w"}`, "labourer", `contains no labourer's name`},
		{"an ARN of something else", `{"labourer": "arn:aws:s3:::w"}`, "labourer", "want a labourer's id, a function's"},
		{"two labourers", `{"labourer": "w", "lambda_name": "v"}`, "lambda_name", `is "v", but labourer is "w"`},
		{"labourer outside the wrapper", `{"labourer": "w", "job": {"a": 1}}`, "labourer", "is beside job"},
		{"period outside the wrapper", `{"period": "today", "job": {"labourer": "w"}}`, "period", "put it into the job"},
		{"two ids", `{"job_id": "1", "job": {"labourer": "w", "job_id": "2"}}`, "job_id", "differs from the one in the job"},
		{"id null", `{"labourer": "w", "job_id": null}`, "job_id", "is null; want text of 1 to 128"},
		{"id empty", `{"labourer": "w", "job_id": ""}`, "job_id", `is ""; want`},
		{"id a number", `{"labourer": "w", "job_id": 5}`, "job_id", "is 5; want"},
		{"id with a space", `{"labourer": "w", "job_id": "a b"}`, "job_id", `is "a b"; want`},
		{"id with a line break", `{"labourer": "w", "job_id": "a\n"}`, "job_id", `is "a\n"; want`},
		{"id too long", `{"labourer": "w", "job_id": "` + strings.Repeat("x", 129) + `"}`, "job_id", "(131 bytes); want"},
		{"schema a list", `{"labourer": "w", "job_schema_name": []}`, "job_schema_name", "is []; want the name of a schema"},
		{"zone unknown", `{"labourer": "w", "time_zone": "europe/berlin"}`, "time_zone", `did you mean "Europe/Berlin"?`},
		{"zone a number", `{"labourer": "w", "time_zone": 1}`, "time_zone", "is 1; want the name of a time zone"},
		{"period misspelt", `{"labourer": "w", "period": "last_3_day"}`, "period", `did you mean "last_3_days"?`},
		{"period a number", `{"labourer": "w", "period": 3}`, "period", `is 3; want text such as "last_3_days"`},
		{"period a list", `{"labourer": "w", "period": ["2026-01-01"]}`, "period", `is ["2026-01-01"]; want text`},
		{"range empty", `{"labourer": "w", "period": {}}`, "period.from", "is missing"},
		{"range without end", `{"labourer": "w", "period": {"from": "2026-01-01"}}`, "period.to", "is missing"},
		{"range with another field", `{"labourer": "w", "period": {"from": "2026-01-01", "till": "2026-01-01"}}`, "period.till", "want only from and to"},
		{"range of numbers", `{"labourer": "w", "period": {"from": 1, "to": 2}}`, "period.from", "is 1; want the text of a date"},
		{"range to an impossible date", `{"labourer": "w", "period": {"from": "2026-01-01", "to": "2026-13-01"}}`, "period.to", `"2026-13-01" does not exist as a date or a time`},
		{"range backwards", `{"labourer": "w", "period": {"from": "2026-01-02", "to": "2026-01-01"}}`, "period.to", "is before from"},
		{"before the first year", `{"labourer": "w", "period": "last_99999999999_days"}`, "period", "before the year 0001"},
		{"start a number", `{"labourer": "w", "not_before": 1764000000}`, "not_before", "is 1764000000; want the text of a date or time"},
		{"start that is not a time", `{"labourer": "w", "not_before": "soon"}`, "not_before", `"soon" is not a date or a time`},
		{"start too early", `{"labourer": "w", "not_before": "1969-12-31"}`, "not_before", "want a time from 1970 to 2285"},
		{"start too late", `{"labourer": "w", "not_before": "2286-01-02"}`, "not_before", "want a time from 1970 to 2285"},
		{"no attempt", `{"labourer": "w", "max_attempts": 0}`, "max_attempts", "is 0; want a whole number from 1 to 1000"},
		{"half an attempt", `{"labourer": "w", "max_attempts": 1.5}`, "max_attempts", "is 1.5; want a whole number"},
		{"attempts as text", `{"labourer": "w", "max_attempts": "3"}`, "max_attempts", `is "3"; want a whole number`},
		{"too many attempts", `{"labourer": "w", "max_attempts": 1001}`, "max_attempts", "is 1001"},
		{"duration without unit", `{"labourer": "w", "max_duration": "90"}`, "max_duration", `is "90"; want a duration such as "90s"`},
		{"no duration", `{"labourer": "w", "max_duration": 0}`, "max_duration", "from 1s to 336h"},
		{"half a second", `{"labourer": "w", "max_duration": 1.5}`, "max_duration", "whole seconds"},
		{"too long", `{"labourer": "w", "max_duration": "337h"}`, "max_duration", "from 1s to 336h"},
		{"far too many seconds", `{"labourer": "w", "max_duration": 1e99}`, "max_duration", "is 1e99"},
		{"duration a list", `{"labourer": "w", "max_duration": []}`, "max_duration", "is []; want"},
		{"Drover's name for the task", `{"labourer": "w", "task_id": "1"}`, "task_id", "is a name that Drover gives every task"},
		{"Drover's own name", `{"labourer": "w", "drover": null}`, "drover", "want another name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := refusal(t, c.job, shop)
			require.Equal(t, c.field, wrong.Field)
			require.Contains(t, wrong.Reason, c.reason)
			require.Less(t, len(wrong.Reason), 600)
			require.Equal(t, wrong.Field+": "+wrong.Reason, wrong.Error())
		})
	}
}

func TestJSONIsReadStrictly(t *testing.T) {
	for text, reason := range map[string]string{
		`{"labourer": "w" "a": 1}`:               `want "," or "}"`,
		`{"labourer" "w"}`:                       `want ":"`,
		`{"labourer": "w", "a": [1 2]}`:          `want "," or "]"`,
		`{"labourer": "w", "a": [1,]}`:           "want a JSON value",
		`{"labourer": "w", "a": tru}`:            "want a JSON value",
		`{"labourer": "w", "a": NaN}`:            "want a JSON value",
		`{"labourer": "w", "a": 01}`:             `want "," or "}"`,
		`{"labourer": "w", "a": -}`:              "want a digit",
		`{"labourer": "w", "a": 1.}`:             "want a digit",
		`{"labourer": "w", "a": 1e+}`:            "want a digit",
		`{"labourer": "w", "a": "b`:              `want the closing "`,
		`{"labourer": "w", "a`:                   `want the closing "`,
		"{\"labourer\": \"w\", \"a\": \"b\nc\"}": "control characters",
		"{\"labourer\": \"w\", \"a\": \"\xff\"}": "want UTF-8",
		"{\"labourer\": \"w\", \"\xc3\x28\": 1}": "want UTF-8",
		`{"labourer": "w", "a": "\x"}`:           `want one of \"`,
		`{"labourer": "w", "a": "\`:              `want one of \"`,
		`{"labourer": "w", "a": "\u12"}`:         "four hexadecimal digits",
		`{"labourer": "w", "a": "\u12g4"}`:       "four hexadecimal digits",
		`{"labourer": "w", "a": "\u1`:            "four hexadecimal digits",
		`{"labourer": "w", "a": "\ud800"}`:       "both halves of a surrogate pair",
		`{"labourer": "w", "a": "\ud800\u0041"}`: "both halves of a surrogate pair",
		`{"labourer": "w", "a": "\udc00\ud800"}`: "both halves of a surrogate pair",
	} {
		wrong := refusal(t, text, shop)
		require.Equal(t, "job", wrong.Field, text)
		require.Contains(t, wrong.Reason, reason, text)
	}
}

func TestThePayloadIsAsWritten(t *testing.T) {
	tasks, err := expand([]byte(`{"labourer": "w", "z": 1.0, "a": [1e3, -0, 2.50, 12345678901234567890123], "t": "<&>\u00fc\ud83d\ude00\u2028\/\"\\\b\f\n\r\t\u0001\u007f",
		"n": {"b": {}, "a": [], "": null, "b.c": true}, "after": false}`), shop, noon)
	require.NoError(t, err)
	require.Equal(t, []string{`{"z":1.0,"a":[1e3,-0,2.50,12345678901234567890123],"t":"<&>ü😀` + "\u2028" + `/\"\\\b\f\n\r\t\u0001` + "\u007f" + `",` +
		`"n":{"b":{},"a":[],"":null,"b.c":true},"after":false}`}, tasks)
}

func TestAnObjectOfManyKeysKeepsTheirOrder(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"many":{`)
	for i := range 50 {
		fmt.Fprintf(&text, `"k%d":0,`, 99-i)
	}
	many := strings.TrimSuffix(text.String(), ",")

	tasks, err := expand([]byte(`{"labourer":"w",`+many[1:]+`}}`), shop, noon)

	require.NoError(t, err)
	require.Equal(t, []string{many + "}}"}, tasks)
	wrong := refusal(t, `{"labourer":"w",`+many[1:]+`,"k50":1}}`, shop)
	require.Equal(t, "many.k50", wrong.Field)
}

// TestG9ARepeatedKeyIsRefusedWithItsPlace: Python uses the last value, other readers the first.
func TestG9ARepeatedKeyIsRefusedWithItsPlace(t *testing.T) {
	for _, c := range []struct{ job, field, place string }{
		{`{"labourer": "w", "labourer": "v"}`, "labourer", "line 1, column 19"},
		{"{\"labourer\": \"w\",\n \"a\": 1, \"a\": 1}", "a", "line 2, column 10"},
		{`{"labourer": "w", "a": {"b.c": [0, {"d": 1, "\u0064": 2}]}}`, `a["b.c"][1].d`, "line 1, column 45"},
		{`{"labourer": "w", "sections": {"a": null, "a": null}}`, "sections.a", "column 43"},
		{`{"labourer": "w", "a": {}, "b": 1, "b": {"c": 1, "c": 1}}`, "b", "column 36"},
		{`{"job": {"labourer": "w", "a": 1, "a": 2}}`, "a", "column 35"},
		{`{"job": {"labourer": "w", "a": {"b": 1, "b": 2}}}`, "a.b", "column 41"},
		{`{"job": "{\"labourer\": \"w\", \"a\": 1, \"a\": 2}"}`, "a", "column 27"},
		{`{"job": {"labourer": "w"}, "job": {"labourer": "v"}}`, "job", "column 28"},
	} {
		wrong := refusal(t, c.job, shop)
		require.Equal(t, c.field, wrong.Field, c.job)
		require.Contains(t, wrong.Reason, "appears twice, the second time in ", c.job)
		require.Contains(t, wrong.Reason, c.place, c.job)
	}
}

func TestAJobWithARepeatedKeyKeepsItsID(t *testing.T) {
	for text, id := range map[string]string{
		`{"a": 1, "a": 2, "job_id": "1"}`:                 "1",
		`{"a": 1, "a": 2, "job_id": "a b"}`:               "",
		`{"labourer": "w", "job_id": "1", "job_id": "2"}`: "",
	} {
		j, err := job.Parse([]byte(text))
		require.Error(t, err)
		require.Equal(t, job.Job{ID: id}, j, text)
	}
}

// TestG9AWordInTwoCasesIsRefused: a reader that ignores case would mistake one for the other. Without the other word, such a name is payload.
func TestG9AWordInTwoCasesIsRefused(t *testing.T) {
	for text, field := range map[string]string{
		`{"labourer": "w", "Labourer": "v"}`:                                                                               "Labourer",
		`{"labourer": "w", "period": "today", "PERIOD": "yesterday"}`:                                                      "PERIOD",
		`{"labourer": "w", "job_id": "1", "Job_Id": "2"}`:                                                                  "Job_Id",
		`{"labourer": "w", "sections": ["a"], "Sections": ["b"]}`:                                                          "Sections",
		`{"labourer": "w", "isolate_sections": true, "isolate_Sections": false, "sections": ["a", "b"]}`:                   "isolate_Sections",
		`{"labourer": "w", "isolate_stores": true, "sections": {"a": {"stores": ["x", "y"], "Stores": ["z"]}, "b": null}}`: "sections.a.Stores",
	} {
		wrong := refusal(t, text, shop)
		require.Equal(t, field, wrong.Field, text)
		require.Contains(t, wrong.Reason, "differs only by case from "+strings.ToLower(field[strings.LastIndex(field, ".")+1:]), text)
	}
	tasks, err := expand([]byte(`{"labourer": "w", "Period": 60, "Drover": {"task_id": "x"}, "note": 1, "Note": 2}`), shop, noon)
	require.NoError(t, err)
	require.Equal(t, []string{`{"Period":60,"Drover":{"task_id":"x"},"note":1,"Note":2}`}, tasks)
}

// TestG9ATextThatMeansNoIsNotAFlag: sosw treats any text as true, including this one.
func TestG9ATextThatMeansNoIsNotAFlag(t *testing.T) {
	for text, field := range map[string]string{
		`{"labourer": "w", "sections": ["a", "b"], "isolate_sections": "False"}`:                             "isolate_sections",
		`{"labourer": "w", "sections": ["a", "b"], "isolate_section": "no"}`:                                 "isolate_section",
		`{"labourer": "w", "sections": {"a": {"stores": ["x", "y"], "isolate_stores": " OFF "}, "b": null}}`: "sections.a.isolate_stores",
		`{"labourer": "w", "period": "last_3_days", "isolate_days": "0"}`:                                    "isolate_days",
	} {
		wrong := refusal(t, text, shop)
		require.Equal(t, field, wrong.Field, text)
		require.Contains(t, wrong.Reason, "want true or false without quotes", text)
	}
}

func TestAJobThatCannotBeReadKeepsItsID(t *testing.T) {
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	large := `"` + strings.Repeat("x", job.MaxJobBytes) + `"`
	for name, c := range map[string]struct{ text, id string }{
		"too large":                   {`{"a": ` + large + `, "job_id": "nightly"}`, "nightly"},
		"too deep":                    {`{"a": ` + deep + `, "job_id": "nightly"}`, "nightly"},
		"cut off":                     {`{"job_id": "nightly", "a": {"b": [1, `, "nightly"},
		"wrapped":                     {`{"job": {"a": ` + deep + `, "job_id": "nightly"}}`, "nightly"},
		"wrapped, with the id beside": {`{"job_id": "nightly", "job": {"a": ` + deep + `}}`, "nightly"},
		"wrapped as text":             {`{"job": "{\"a\": ` + deep + `, \"job_id\": \"nightly\"}"}`, "nightly"},
		"text":                        {`"{\"job_id\": \"nightly\", \"a\": ` + deep + `}"`, "nightly"},
		"an invalid id":               {`{"job_id": "two words", "a": ` + deep + `}`, ""},
		"an id that is a number":      {`{"job_id": 7, "a": ` + deep + `}`, ""},
		"an id of a nested object":    {`{"a": {"job_id": "other"}, "b": ` + deep + `}`, ""},
		"an id after invalid JSON":    {`{"a": nonsense, "job_id": "nightly"}`, ""},
		"an id in another case":       {`{"JOB_ID": "nightly", "a": ` + deep + `}`, ""},
		"a list":                      {`[` + large + `]`, ""},
		"empty":                       {``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := job.Parse([]byte(c.text))
			require.Error(t, err)
			require.Equal(t, c.id, j.ID)
		})
	}
}

func TestAJobStartsWithinTenYears(t *testing.T) {
	for text, refused := range map[string]bool{
		`{"labourer": "w"}`: false,
		`{"labourer": "w", "not_before": "2036-11-22T12:00:00Z"}`:     false,
		`{"labourer": "w", "not_before": "2036-11-22T12:00:00.001Z"}`: true,
		`{"labourer": "w", "not_before": "2285-12-31"}`:               true,
	} {
		j, err := job.Parse([]byte(text))
		require.NoError(t, err)
		err = j.CheckStart(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
		if refused {
			require.ErrorContains(t, err, "not_before: ")
			require.ErrorContains(t, err, "is more than 10 years ahead; want a time up to 2036-11-22")
		} else {
			require.NoError(t, err)
		}
	}
}

func TestTheSameJobHasTheSameCanonicalText(t *testing.T) {
	canonical := func(text string) string {
		j, err := job.Parse([]byte(text))
		require.NoError(t, err)
		return string(j.Canonical())
	}
	same := canonical(`{"job_id": "1", "labourer": "w:prod", "b": {"y": 1, "x": 2}, "a": "\u00fc"}`)
	require.Equal(t, `{"a":"ü","b":{"y":1,"x":2},"labourer":"w:prod"}`, same)
	require.Equal(t, same, canonical(`{"a": "ü", "b": {"y": 1, "x": 2}, "lambda_name": "arn:aws:lambda:us-west-2:000000000000:function:w:prod"}`))
	require.Equal(t, same, canonical(`{"job": "{\"a\": \"ü\", \"job_id\": \"2\", \"labourer\": \"function:w:prod\", \"b\": {\"y\": 1, \"x\": 2}}"}`))
	for _, other := range []string{
		`{"labourer": "w", "b": {"y": 1, "x": 2}, "a": "ü"}`,
		`{"labourer": "w:prod", "b": {"x": 2, "y": 1}, "a": "ü"}`,
		`{"labourer": "w:prod", "b": {"y": 1.0, "x": 2}, "a": "ü"}`,
		`{"labourer": "w:prod", "b": {"y": 1, "x": 2}, "a": "ü", "c": null}`,
	} {
		require.NotEqual(t, same, canonical(other))
	}
	require.Equal(t, `{"job":{"job":"x","labourer":"w"}}`, canonical(`{"job": {"labourer": "w", "job": "x"}}`), "an attribute named job is not the wrapper")
}

func TestAnUnknownSchemaIsRefusedWithTheNearestKnown(t *testing.T) {
	j, err := job.Parse([]byte(`{"labourer": "w", "job_schema_name": "defualt"}`))
	require.NoError(t, err)
	require.EqualError(t, j.UnknownSchema([]string{"default", "other"}), `job_schema_name: there is no schema "defualt"; did you mean "default"?`)
	require.EqualError(t, j.UnknownSchema([]string{"wide", "narrow"}), `job_schema_name: there is no schema "defualt"; want one of narrow, wide`)
	none, err := job.Parse([]byte(`{"labourer": "w"}`))
	require.NoError(t, err)
	require.EqualError(t, none.UnknownSchema(nil), `job_schema_name: there is no schema "default"; none has been applied`)
}

func TestASchemasErrorsAreAllReturned(t *testing.T) {
	require.Empty(t, shop.Validate())
	require.Empty(t, job.Schema{}.Validate())
	wrong := job.Schema{ChunkableAttrs: []string{"sections", "", "store", "store", "date_list", "max_attempt"}}.Validate()
	require.Len(t, wrong, 5)
	for i, want := range []string{
		`chunkable_attrs[0]: "sections" ends in s; want the singular`,
		"chunkable_attrs[1]: is empty",
		`chunkable_attrs[3]: "store" appears twice`,
		`chunkable_attrs[4]: "date_list", or its plural, already has a meaning in a job`,
		`chunkable_attrs[5]: "max_attempt", or its plural, already has a meaning in a job`,
	} {
		require.ErrorContains(t, wrong[i], want)
	}
	require.Contains(t, refusal(t, `{"labourer": "w"}`, job.Schema{ChunkableAttrs: []string{"days"}}).Error(), `job_schema_name: the schema cannot be used: chunkable_attrs[0]: "days" ends in s`)
}

func TestMisspeltWordsOfTheJobLanguageRaiseDoubts(t *testing.T) {
	j, err := job.Parse([]byte(`{"labourer": "w", "peroid": "today", "isolate_sectoins": true, "isolate_stores": true, "max_sections_per_batchs": 2, "sections": [], "colour": "red", "stor": 1, "job_schema_nam": 1}`))
	require.NoError(t, err)
	found := map[string]string{}
	for _, doubt := range j.Doubts(shop) {
		found[doubt.Field] = doubt.Reason[strings.LastIndex(doubt.Reason, " ")+1:]
	}
	require.Equal(t, map[string]string{"peroid": "period?", "isolate_sectoins": "isolate_sections?", "max_sections_per_batchs": "max_sections_per_batch?", "job_schema_nam": "job_schema_name?"}, found)
}

func TestWordsThatArePayloadByTheirCaseOrPlaceRaiseDoubts(t *testing.T) {
	j, err := job.Parse([]byte(`{"logging_level": "DEBUG", "job": {"labourer": "w", "Period": "today", "ISOLATE_STORES": true}}`))
	require.NoError(t, err)
	var doubts []string
	for _, doubt := range j.Doubts(shop) {
		doubts = append(doubts, doubt.Error())
	}
	require.Equal(t, []string{
		"logging_level: is beside job, where it is ignored and does not reach a worker; put it into the job",
		"Period: is unknown and goes to the worker as payload; did you mean period?",
		"ISOLATE_STORES: is unknown and goes to the worker as payload; did you mean isolate_stores?",
	}, doubts)
}

func TestASingularBatchSizeRaisesADoubt(t *testing.T) {
	j, err := job.Parse([]byte(`{"labourer": "w", "max_section_per_batch": 2, "max_stores_per_batch": 2}`))
	require.NoError(t, err)
	doubts := j.Doubts(shop)
	require.Len(t, doubts, 1)
	require.Equal(t, "max_section_per_batch: cuts into single values, whatever its number; use max_sections_per_batch for the size of a batch", doubts[0].Error())
}

func TestIsolateDaysWithoutAPeriodRaisesADoubt(t *testing.T) {
	for text, doubts := range map[string]int{
		`{"labourer": "w", "isolate_days": true}`:                    1,
		`{"labourer": "w", "isolate_days": true, "period": null}`:    1,
		`{"labourer": "w", "isolate_days": false}`:                   0,
		`{"labourer": "w", "isolate_days": true, "period": "today"}`: 0,
	} {
		j, err := job.Parse([]byte(text))
		require.NoError(t, err)
		require.Len(t, j.Doubts(shop), doubts, text)
	}
}

func TestARefusedJobKeepsItsIDAndNothingElse(t *testing.T) {
	for _, text := range []string{`{"job_id": "1"}`, `{"period": "sometimes", "labourer": "w", "job_id": "1"}`, `{"job_id": "1", "labourer": "w", "drover": 1}`} {
		j, err := job.Parse([]byte(text))
		require.Error(t, err)
		require.Equal(t, job.Job{ID: "1"}, j, text)
	}
	j, err := job.Parse([]byte(`{"job_id": "a b", "labourer": "w"}`))
	require.Error(t, err)
	require.Empty(t, j.ID, "a bad id is dropped")
}

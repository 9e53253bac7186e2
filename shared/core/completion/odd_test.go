package completion_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/task"
)

// told returns a worker's message with additional members, which replace its own.
func told(status, members string) string {
	if members != "" {
		members = ", " + members
	}
	return `{"version": 1, "task_id": "` + taskID + `", "status": "` + status + `"` + members + `}`
}

// TestG1AnEndCountsEvenIfOtherPartsOfItsMessageAreUnreadable: a refused end would be lost, and the work would be repeated.
func TestG1AnEndCountsEvenIfOtherPartsOfItsMessageAreUnreadable(t *testing.T) {
	for name, c := range map[string]struct{ members, why string }{
		"NaN":                        {`"result": {"mean": NaN}`, "the result cannot be read: line 1, column 10: is not JSON: it has no number NaN"},
		"NaN alone":                  {`"result": NaN`, "the result cannot be read: line 1, column 1: is not JSON: it has no number NaN"},
		"an infinity":                {`"result": [1, Infinity]`, "column 5: is not JSON: it has no number Infinity"},
		"an infinity below zero":     {`"result": [-Infinity]`, "is not JSON: it has no number Infinity"},
		"a bare word":                {`"result": undefined`, "the result cannot be read: line 1, column 1: is not JSON"},
		"a line break in a text":     {"\"result\": \"a\nb\"", "the result cannot be read"},
		"text that is not escaped":   {`"result": "say "no" now"`, "the result cannot be read"},
		"quotes of another kind":     {`"result": {'a': None}`, "the result cannot be read"},
		"half an escape":             {`"result": "\u12"`, "the result cannot be read"},
		"too deep a result":          {`"result": ` + strings.Repeat("[", 501) + strings.Repeat("]", 501), "the result cannot be read: line 1, column 501: is nested deeper than 500 levels"},
		"far too deep a result":      {`"result": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), "is nested deeper than 500 levels"},
		"a result that is cut off":   {`"result": {"rows": [1, 2`, "the result cannot be read: line 1, column 15: is not JSON: it ends too early"},
		"a result that occurs twice": {`"result": 1, "result": 2`, "the result cannot be read: it appears twice, with different values"},
		"stats of NaN":               {`"stats": {"s": NaN}`, "the stats cannot be read: line 1, column 7: is not JSON"},
		"both":                       {`"result": NaN, "stats": NaN`, "it has no number NaN; the stats cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			text := told("completed", `"attempt": 2, `+c.members)
			if strings.Contains(name, "cut off") {
				text = strings.TrimSuffix(text, "}")
			}

			r, err := completion.Read([]byte(text))

			require.NoError(t, err)
			require.Contains(t, r.Unreadable, c.why)
			r.Unreadable = ""
			require.Equal(t, report(completion.Completed, with(2, "", "")), r)
		})
	}
}

func TestReadablePartsAreKeptDespiteUnreadableOnes(t *testing.T) {
	r, err := completion.Read([]byte(told("failed", `"result": NaN, "stats": {"rows": 10}, "error": {"type": "Timeout", "message": "slow"}, "retryable": false, "retry_after": "90s", "extra": NaN`)))

	require.NoError(t, err)
	require.Contains(t, r.Unreadable, "the result cannot be read")
	r.Unreadable = ""
	require.Equal(t, report(completion.Failed, with(0, "", `{"rows": 10}`), failed("Timeout", "slow"), func(r *completion.Report) {
		r.Permanent, r.RetryAfter = true, 90*time.Second
	}), r)
}

func TestOtherSpellingsOfAValueAreAccepted(t *testing.T) {
	for members, want := range map[string]func(*completion.Report){
		`"attempt": "2"`:          func(r *completion.Report) { r.Attempt = 2 },
		`"attempt": 2.0`:          func(r *completion.Report) { r.Attempt = 2 },
		`"attempt": null`:         func(*completion.Report) {},
		`"version": "1"`:          func(*completion.Report) {},
		`"retryable": "false"`:    func(r *completion.Report) { r.Permanent = true },
		`"retryable": "False"`:    func(r *completion.Report) { r.Permanent = true },
		`"retryable": 0`:          func(r *completion.Report) { r.Permanent = true },
		`"retryable": "true"`:     func(*completion.Report) {},
		`"retryable": null`:       func(*completion.Report) {},
		`"retry_after": "90"`:     func(r *completion.Report) { r.RetryAfter = 90 * time.Second },
		`"result": "\ud800"`:      func(r *completion.Report) { r.Result = json.RawMessage(`"\ud800"`) }, // half a surrogate pair arrives as sent
		`"result": 1e999`:         func(r *completion.Report) { r.Result = json.RawMessage(`1e999`) },
		`"result": 1, "result":1`: func(r *completion.Report) { r.Result = json.RawMessage(`1`) },
		`"status": "failed",`:     func(*completion.Report) {},
	} {
		t.Run(members, func(t *testing.T) {
			text := told("failed", members)
			if strings.HasPrefix(members, `"version"`) {
				text = strings.Replace(text, `"version": 1, `, "", 1)
			}
			expected := report(completion.Failed, with(0, "", ""), failed("Failed", ""))
			want(&expected)

			r, err := completion.Read([]byte("\ufeff" + text))

			require.NoError(t, err)
			require.Equal(t, expected, r)
		})
	}
}

// An unreadable retryable or retry_after is ignored, and the error says so.
func TestAnOddFieldOfAFailureIsNamed(t *testing.T) {
	for members, why := range map[string]string{
		`"retryable": "perhaps"`:                "retryable cannot be read",
		`"retryable": []`:                       "retryable cannot be read",
		`"retryable": true, "retryable": false`: "retryable cannot be read",
		`"retry_after": "soon"`:                 "retry_after cannot be read",
		`"retry_after": -1`:                     "retry_after cannot be read",
		`"retry_after": "-1s"`:                  "retry_after cannot be read",
		`"retry_after": {}`:                     "retry_after cannot be read",
		`"retry_after": NaN`:                    "retry_after cannot be read",
		`"retry_after": Infinity`:               "retry_after cannot be read",
		`"retry_after": 1e999`:                  "retry_after cannot be read",
	} {
		t.Run(members, func(t *testing.T) {
			r, err := completion.Read([]byte(told("failed", members)))

			require.NoError(t, err)
			require.Contains(t, r.Unreadable, why)
			r.Unreadable = ""
			require.Equal(t, report(completion.Failed, with(0, "", ""), failed("Failed", "")), r)
		})
	}
}

// An invalid attempt counts as absent: the end belongs to the running one.
func TestAnInvalidAttemptIsTheRunningOne(t *testing.T) {
	for _, attempt := range []string{`"two"`, `0`, `-1`, `1.5`, `1e99`, `NaN`, `{}`, `true`} {
		r, err := completion.Read([]byte(told("completed", `"attempt": `+attempt)))

		require.NoError(t, err, attempt)
		require.Zero(t, r.Attempt, attempt)
	}
}

func TestAnErrorOfAnyShapeIsKept(t *testing.T) {
	for text, want := range map[string]task.Error{
		`7`:                                   {Type: "Failed", Message: "7"},
		`["a", "b"]`:                          {Type: "Failed", Message: `["a", "b"]`},
		`NaN`:                                 {Type: "Failed", Message: "NaN"},
		`{"code": 7}`:                         {Type: "Failed", Message: `{"code": 7}`},
		`{}`:                                  {Type: "Failed"},
		`{"type": 500, "message": {"a": 1}}`:  {Type: "500", Message: `{"a": 1}`},
		`{"type": "Timeout", "message": NaN}`: {Type: "Timeout", Message: "NaN"},
		`{"Type": "Other", "type": "T", "message": "m", "MESSAGE": "n"}`: {Type: "T", Message: "m"},
		`1, "error": 2`: {Type: "Failed", Message: "the completion has two errors that differ"},
	} {
		t.Run(text, func(t *testing.T) {
			r, err := completion.Read([]byte(told("failed", `"error": `+text)))

			require.NoError(t, err)
			require.Equal(t, want, *r.Error)
		})
	}
}

// TestG9ATaskIsNotMistakenForAnother: a payload may have names that differ from Drover's only by case. They belong to the worker.
func TestG9ATaskIsNotMistakenForAnother(t *testing.T) {
	other := `{"version": 1, "task_id": "ponmlkjihgfedcba.9", "attempt": 1}`
	for _, odd := range []string{`"Drover": ` + other, `"DROVER": true`, `"dROVER": null`, `"Task_Id": "ponmlkjihgfedcba.9"`, `"x": NaN`} {
		t.Run(odd, func(t *testing.T) {
			r, err := completion.Read([]byte(`{"version": "1.0", "requestContext": {"condition": "RetriesExhausted", "Condition": "Success"},
				"requestPayload": {"task_id": "` + taskID + `", "drover": {"version": 1, "task_id": "` + taskID + `", "attempt": 2, "Attempt": 1}, ` + odd + `},
				"RequestPayload": {"drover": ` + other + `},
				"responseContext": {"functionError": "Unhandled"}, "responsePayload": {"errorType": "Boom", "errorMessage": "x", "ErrorType": "Other"}}`))

			require.NoError(t, err)
			require.Equal(t, report(completion.Failed, with(2, "", ""), failed("Boom", "x")), r)
		})
	}
}

func TestG1AnOutputThatCannotBeReadIsStillAnEnd(t *testing.T) {
	text := strings.Replace(string(form(t, "states-succeeded")), `"{\"rows\": 10}"`, `"{cut off"`, 1)

	r, err := completion.Read([]byte(text))

	require.NoError(t, err)
	require.Equal(t, completion.Completed, r.Kind)
	require.Nil(t, r.Result)
	require.Contains(t, r.Unreadable, "the result cannot be read: line 1, column 2: is not JSON")
}

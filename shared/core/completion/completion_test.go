package completion_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

const taskID = "abcdefghijklmnop.7"

// forms holds the meaning of each message in testdata/forms. The messages of AWS come from its documentation or from a local AWS.
var forms = map[string]completion.Report{
	"message-completed":          report(completion.Completed, with(2, `{"rows": 10}`, `{"ms": 3}`)),
	"message-completed-in-short": report(completion.Completed, with(0, ``, ``)),
	"message-failed": report(completion.Failed, with(2, ``, `{"ms": 3}`), failed("Timeout", "the database took too long"),
		func(r *completion.Report) { r.RetryAfter = 90 * time.Second }),
	"message-failed-for-good": report(completion.Failed, with(2, ``, ``), failed("BadInput", "no such store"), func(r *completion.Report) { r.Permanent = true }),
	"message-failed-in-short": report(completion.Failed, with(0, ``, ``), failed("Failed", "")),
	"message-failed-in-words": report(completion.Failed, with(0, ``, ``), failed("Failed", "it went wrong"), func(r *completion.Report) { r.RetryAfter = 90 * time.Second }),
	"message-heartbeat":       report(completion.Running, with(2, ``, ``)),

	"lambda-success":                 report(completion.Completed, with(2, `{"rows": 10}`, ``)),
	"lambda-success-without-answer":  report(completion.Completed, with(2, ``, ``)),
	"lambda-failure":                 report(completion.Failed, with(2, ``, ``), failed("BadInput", "no such store")),
	"lambda-failure-of-a-moe-plugin": report(completion.Failed, with(2, ``, ``), failed("BadInput", "no such store")),
	"lambda-failure-without-retries": report(completion.Failed, with(2, ``, ``), failed("RetriesExhausted", "no such store")),
	"lambda-timeout": report(completion.Failed, with(2, ``, ``),
		failed("Sandbox.Timedout", "RequestId: e4b46cbf-b738-xmpl-8880-a18cdf61200e Error: Task timed out after 3.00 seconds")),
	"lambda-timeout-in-words": report(completion.Failed, with(2, ``, ``),
		failed("RetriesExhausted", "2026-11-22T12:03:07.915Z e4b46cbf-b738-xmpl-8880-a18cdf61200e Task timed out after 3.00 seconds")),
	"lambda-exit": report(completion.Failed, with(2, ``, ``),
		failed("Runtime.ExitError", "RequestId: e4b46cbf-b738-xmpl-8880-a18cdf61200e Error: Runtime exited with error: signal: killed")),
	"lambda-answers-text": report(completion.Failed, with(2, ``, ``), failed("RetriesExhausted", "")),
	"lambda-too-old": report(completion.NeverStarted, with(2, ``, ``), failed("Throttled", "the function could not be started in time"),
		func(r *completion.Report) { r.At = time.Date(2026, 11, 22, 18, 3, 7, 915_000_000, time.UTC) }),
	"lambda-too-old-after-a-failure": report(completion.Failed, with(2, ``, ``), failed("Boom", "")),
	"lambda-throttled":               report(completion.NeverStarted, with(2, ``, ``), failed("Throttled", "the function could not be started in time")),

	"states-succeeded":                report(completion.Completed, with(2, `{"rows": 10}`, ``), executed),
	"states-succeeded-without-output": report(completion.Completed, with(2, ``, ``), executed, leftOut),
	"states-failed":                   report(completion.Failed, with(2, ``, ``), failed("BadInput", "no such store"), executed),
	"states-failed-without-error":     report(completion.Failed, with(2, ``, ``), failed("Failed", ""), executed),
	"states-timed-out":                report(completion.Failed, with(2, ``, ``), failed("TimedOut", ""), executed),
	"states-aborted":                  report(completion.Failed, with(2, ``, ``), failed("Stopped", "by hand"), executed),

	"sosw-completed":            report(completion.Completed, with(0, `{"rows": 10}`, `{"time_run": 3, "kill_count": 0}`)),
	"sosw-completed-as-text":    report(completion.Completed, with(0, `{"rows": 10}`, `{"time_run": 3, "kill_count": 0}`)),
	"sosw-completed-in-short":   report(completion.Completed, with(0, ``, ``)),
	"sosw-completed-with-words": report(completion.Completed, with(0, `"all is well"`, ``)),
	"sosw-failed":               report(completion.Failed, with(0, `{"error": "no such store"}`, `{"time_run": 3}`), failed("Failed", "marked as failed by the worker")),
}

// others names readable messages that do not concern a task.
var others = []string{
	"lambda-of-another-application", "lambda-of-another-topic", "states-of-another-application", "states-running", "states-from-another-bus-source", "states-named-for-no-attempt",
	"states-named-for-an-attempt-before-the-first",
}

func report(kind completion.Kind, options ...func(*completion.Report)) completion.Report {
	r := completion.Report{TaskID: taskID, Kind: kind}
	for _, set := range options {
		set(&r)
	}
	return r
}

func with(attempt int, result, stats string) func(*completion.Report) {
	return func(r *completion.Report) {
		r.Attempt = attempt
		if result != "" {
			r.Result = json.RawMessage(result)
		}
		if stats != "" {
			r.Stats = json.RawMessage(stats)
		}
	}
}

func failed(kind, message string) func(*completion.Report) {
	return func(r *completion.Report) { r.Error = &task.Error{Type: kind, Message: message} }
}

// executed adds the report's state machine.
func executed(r *completion.Report) {
	r.Machine = "arn:aws:states:us-west-2:000000000000:stateMachine:worker"
}

// leftOut turns a report into one for an output that is too large for a status event.
func leftOut(r *completion.Report) {
	r.Execution = "arn:aws:states:us-west-2:000000000000:execution:worker:drover-abcdefghijklmnop-7-2"
	r.TooLarge = "the execution's output was left out of its status event, as it has more than 248 KB: store it elsewhere, in S3 for instance, and return its key"
}

func form(t testing.TB, name string) []byte {
	text, err := os.ReadFile(filepath.Join("testdata", "forms", name+".json"))
	require.NoError(t, err)
	return text
}

func TestEachFormOfAnEndIsRead(t *testing.T) {
	for name, want := range forms {
		t.Run(name, func(t *testing.T) {
			got, err := completion.Read(form(t, name))

			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestMessagesThatDoNotConcernATaskAreIgnored(t *testing.T) {
	for _, name := range others {
		t.Run(name, func(t *testing.T) {
			_, err := completion.Read(form(t, name))

			require.ErrorIs(t, err, completion.Ignored)
		})
	}
}

func TestEveryFormIsTested(t *testing.T) {
	files, err := filepath.Glob("testdata/forms/*.json")
	require.NoError(t, err)

	require.Len(t, files, len(forms)+len(others))
}

func TestBothFormsOfASoswWorkersCallMeanTheSame(t *testing.T) {
	for name, want := range forms {
		if strings.HasPrefix(name, "sosw-") {
			got, err := completion.ReadCall(form(t, name))

			require.NoError(t, err, name)
			require.Equal(t, want, got, name)
		}
	}
}

func TestG9AnUnreadableMessageIsRefusedWithItsReason(t *testing.T) {
	for name, c := range map[string]struct{ text, reason string }{
		"empty":                     {``, "not a JSON object"},
		"no JSON":                   {`completed`, "not a JSON object"},
		"cut off within the task":   {`{"version": 1, "task_id": "abc`, "task_id is something of 4 bytes"},
		"cut off before the status": {`{"version": 1, "task_id": "abcdefghijklmnop.7", "stat`, `status is ""`},
		"two objects":               {`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "completed"} {}`, "line 1, column 72: has more text after the object"},
		"two tasks":                 {`{"version": 1, "task_id": "abcdefghijklmnop.7", "task_id": "abcdefghijklmnop.8", "status": "completed"}`, "task_id appears twice, with different values"},
		"two ends":                  {`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "completed", "status": "failed"}`, "status appears twice"},
		"two attempts":              {`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "completed", "attempt": 1, "attempt": 2}`, "attempt appears twice"},
		"two versions":              {`{"version": 2, "version": 1, "task_id": "abcdefghijklmnop.7", "status": "completed"}`, "version appears twice"},
		"two actions":               {`{"action": "mark_task_as_completed", "action": "mark_task_as_failed", "task_id": "abcdefghijklmnop.7"}`, "action appears twice"},
		"a status of a number":      {`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": NaN}`, `status is "NaN"`},
		"a list":                    {`[{"version": 1}]`, "not a JSON object"},
		"null":                      {`null`, "not a JSON object"},
		"nothing":                   {`{}`, "no task_id"},
		"no task":                   {`{"version": 1, "status": "completed"}`, "no task_id"},
		"a task of null":            {`{"version": 1, "task_id": null, "status": "completed"}`, "no task_id"},
		"a task that is a number":   {`{"version": 1, "task_id": 7, "status": "completed"}`, `task_id is "7"`},
		"no version":                {`{"task_id": "abcdefghijklmnop.7", "status": "completed"}`, `version is ""; want 1`},
		"a version to come":         {`{"version": 2, "task_id": "abcdefghijklmnop.7", "status": "completed"}`, `version is "2"; want 1`},
		"a version in words":        {`{"version": "one", "task_id": "abcdefghijklmnop.7", "status": "completed"}`, `want 1`},
		"no status":                 {`{"version": 1, "task_id": "abcdefghijklmnop.7"}`, `status is ""; want completed, failed or running`},
		"an unknown status":         {`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "done"}`, `status is "done"`},
		"a status of Drover's own":  {`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "never started"}`, `status is something of 13 bytes; want completed, failed or running`},
		"an unknown action":         {`{"action": "mark_task_as_done", "task_id": "abcdefghijklmnop.7"}`, `action is "mark_task_as_done"`},
		"a call without a task":     {`{"action": "mark_task_as_completed"}`, "task_id is"},
		"a call with a number":      {`{"action": "mark_task_as_completed", "task_id": 7}`, "task_id"},
		"a call with an empty text": {`{"action": "mark_task_as_completed", "task_id": ""}`, "task_id is"},
		"a call of a number":        {`{"action": 7}`, "task_id is"},
		"a record of numbers":       {`{"requestContext": 7}`, "record of an invocation cannot be read"},
		"an event of numbers":       {`{"detail-type": "Step Functions Execution Status Change", "detail": 7}`, "status change of an execution cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := completion.Read([]byte(c.text))

			require.ErrorContains(t, err, c.reason)
			require.NotErrorIs(t, err, completion.Ignored)
			require.Less(t, len(err.Error()), 400, "the reason does not repeat the message")
		})
	}
}

func TestAnUnreadableCallIsRefusedWithItsReason(t *testing.T) {
	for _, text := range []string{``, `7`, `[]`} {
		_, err := completion.ReadCall([]byte(text))
		require.ErrorContains(t, err, "the call cannot be read", text)
	}
	_, err := completion.ReadCall([]byte(`{}`))
	require.ErrorContains(t, err, "task_id is")
}

// TestNoErrorQuotesAPayload is needed because errors are logged.
func TestNoErrorQuotesAPayload(t *testing.T) {
	const canary = "4111 1111 1111 1111"
	number := strings.Repeat("4111", 8)
	for _, text := range []string{
		canary, `"` + canary + `"`, number,
		`{"version": "` + canary + `", "task_id": "abcdefghijklmnop.7"}`,
		`{"version": ["` + canary + `"], "task_id": "abcdefghijklmnop.7"}`,
		`{"version": 1, "task_id": {"` + canary + `": 1}}`,
		`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "` + canary + `"}`,
		`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": {"` + canary + `": 1}}`,
		`{"version": 1, "task_id": "abcdefghijklmnop.7", "` + canary + `": 1, "status": "` + canary,
		`{"version": 1, "task_id": "abcdefghijklmnop.7", "` + canary + `" 1}`,
		`{"action": "` + canary + `", "task_id": "abcdefghijklmnop.7"}`,
		`{"action": "mark_task_as_completed", "task_id": {"` + canary + `": 1}}`,
		`{"action": "mark_task_as_completed", "task_id": ["` + canary + `"]}`,
		`{"requestContext": "` + canary + `"}`,
		`{"detail-type": "Step Functions Execution Status Change", "detail": "` + canary + `"}`,
	} {
		for _, read := range []func([]byte) (completion.Report, error){completion.Read, completion.ReadCall} {
			_, err := read([]byte(text))

			require.Error(t, err, text)
			require.NotContains(t, err.Error(), canary, text)
			require.NotContains(t, err.Error(), number, text)
		}
	}
}

// TestG1AResultThatIsTooLargeIsStillAnEnd: if the report were refused, the next attempt would report the same.
func TestG1AResultThatIsTooLargeIsStillAnEnd(t *testing.T) {
	answer := `{"requestContext": {"condition": "Success"}, "requestPayload": {"drover": {"version": 1, "task_id": "abcdefghijklmnop.7", "attempt": 1}}, "responsePayload": %s}`
	for name, c := range map[string]struct{ text, why string }{
		"a result":            {message("result", completion.MaxResult+1), "the result has 262145 bytes; want at most 262144"},
		"stats":               {message("stats", completion.MaxStats+1), "the stats have 16385 bytes; want at most 16384"},
		"a call's result":     {`{"action": "mark_task_as_completed", "task_id": "abcdefghijklmnop.7", "result": ` + long(completion.MaxResult+1) + `}`, "the result has 262145 bytes"},
		"a function's answer": {fmt.Sprintf(answer, long(completion.MaxResult+1)), "the result has 262145 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := completion.Read([]byte(c.text))

			require.NoError(t, err)
			require.Equal(t, completion.Completed, r.Kind)
			require.Contains(t, r.TooLarge, c.why)
			require.Empty(t, r.Result)
			require.Empty(t, r.Stats)
		})
	}
}

func long(size int) string { return `"` + strings.Repeat("x", size-2) + `"` }

func message(field string, size int) string {
	return `{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "completed", "` + field + `": ` + long(size) + `}`
}

func TestResultsAndStatsOfTheLargestSizeAreKept(t *testing.T) {
	r, err := completion.Read([]byte(message("result", completion.MaxResult)))
	require.NoError(t, err)
	require.Len(t, r.Result, completion.MaxResult)

	r, err = completion.Read([]byte(message("stats", completion.MaxStats)))
	require.NoError(t, err)
	require.Len(t, r.Stats, completion.MaxStats)
	require.Empty(t, r.TooLarge)
}

// The wait that a worker asks for is clamped and not refused: with a refused message the end of the attempt would be lost.
func TestG10AWaitThatAWorkerAsksFor(t *testing.T) {
	const most = 14 * 24 * time.Hour
	for text, want := range map[string]time.Duration{
		`null`:           0,
		`0`:              0,
		`90`:             90 * time.Second,
		`0.5`:            500 * time.Millisecond,
		`1e3`:            1000 * time.Second,
		`1209600`:        most,
		`1209601`:        most,
		`1e300`:          most,
		`"0s"`:           0,
		`"1.5s"`:         1500 * time.Millisecond,
		`"90s"`:          90 * time.Second,
		`"1h30m"`:        90 * time.Minute,
		`"9999h"`:        most,
		`"2562047h47m"`:  most,
		`  "90s"  `:      90 * time.Second,
		"\n\t90\n":       90 * time.Second,
		`"1000000000ns"`: time.Second,
	} {
		r, err := completion.Read([]byte(`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "failed", "retry_after": ` + text + `}`))

		require.NoError(t, err, text)
		require.Equal(t, want, r.RetryAfter, text)
	}
}

func TestLongErrorsAreCut(t *testing.T) {
	kind, words := strings.Repeat("T", 300), strings.Repeat("ä", 3000) // letters of two bytes, which a cut must not split
	text, err := json.Marshal(map[string]any{"version": 1, "task_id": taskID, "status": "failed", "error": map[string]string{"type": kind, "message": "x" + words}})
	require.NoError(t, err)

	r, err := completion.Read(text)

	require.NoError(t, err)
	require.Equal(t, kind[:256]+"…", r.Error.Type)
	require.True(t, utf8.ValidString(r.Error.Message))
	require.True(t, strings.HasSuffix(r.Error.Message, "ä…"))
	require.LessOrEqual(t, len(r.Error.Message), 4<<10+len("…"))
}

// TestG4AnExecutionIsNamedAfterItsAttempt: because of the name, a repeated start has no effect, and the end belongs to the right attempt.
func TestG4AnExecutionIsNamedAfterItsAttempt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := task.ID{Segment: segment.IDOf(rapid.String().Draw(t, "job"), 0), N: rapid.IntRange(0, segment.Size-1).Draw(t, "n")}
		attempt := rapid.IntRange(1, 100_000).Draw(t, "attempt")

		name := completion.ExecutionName(id, attempt)

		require.True(t, strings.HasPrefix(name, "drover-"))
		require.Regexp(t, `^[A-Za-z0-9_-]{1,80}$`, name)
		r, err := completion.Read(fmt.Appendf(nil, `{"detail-type": "Step Functions Execution Status Change", "source": "aws.states", "detail": {"name": %q, "status": "FAILED"}}`, name))
		require.NoError(t, err)
		require.Equal(t, id.String(), r.TaskID)
		require.Equal(t, attempt, r.Attempt)
	})
}

func seeds(f *testing.F) {
	files, err := filepath.Glob("testdata/forms/*.json")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(text)
	}
}

// sound checks the invariants of every report, whatever its source.
func sound(t *testing.T, r completion.Report) {
	require.Contains(t, []completion.Kind{completion.Completed, completion.Failed, completion.Running, completion.NeverStarted}, r.Kind)
	require.Equal(t, r.Kind == completion.Failed || r.Kind == completion.NeverStarted, r.Error != nil, "only a failure has an error")
	if r.Error != nil {
		require.NotEmpty(t, r.Error.Type)
		require.LessOrEqual(t, len(r.Error.Type), 260)
		require.LessOrEqual(t, len(r.Error.Message), 5<<10)
	}
	for _, text := range []json.RawMessage{r.Result, r.Stats} {
		require.True(t, text == nil || json.Valid(text))
	}
	require.LessOrEqual(t, len(r.Result), completion.MaxResult)
	require.LessOrEqual(t, len(r.Stats), completion.MaxStats)
	require.True(t, r.TooLarge == "" || r.Result == nil && r.Stats == nil)
	require.GreaterOrEqual(t, r.RetryAfter, time.Duration(0))
	require.GreaterOrEqual(t, r.Attempt, 0)
}

func FuzzRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := completion.Read(text)
		if err == nil {
			sound(t, r)
			return
		}
		if !errors.Is(err, completion.Ignored) {
			require.Less(t, len(err.Error()), 1000)
		}
	})
}

func FuzzReadCall(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := completion.ReadCall(text); err == nil {
			sound(t, r)
			require.NotEmpty(t, r.TaskID)
		}
	})
}

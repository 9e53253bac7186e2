package event_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/escape"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/event/schemas"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const taskID = "abcdefghijklmnop.7"

func totals() event.Totals {
	return event.Totals{JobID: "nightly", Labourer: "f", Total: 6, Completed: 3, Dead: 2, Cancelled: 1, StartedAt: noon,
		FinishedAt: noon.Add(time.Minute + 123*time.Millisecond), Generation: 2}
}

func aRun(state, message string) event.Run {
	r := event.Run{RunID: "run-abc", Workflow: "Order intake", UID: "order-1", Run: 2, DefinitionVersion: 7, State: state, StartedAt: noon, Message: message}
	if state != "In Progress" {
		end := noon.Add(time.Minute + 123*time.Millisecond)
		r.FinishedAt = &end
	}
	return r
}

// facts returns each fact by the file in testdata/facts that has its detail.
func facts() map[string]event.Fact {
	cpu := 97.5
	return map[string]event.Fact{
		"WorkflowStarted":   event.WorkflowStarted(aRun("In Progress", "")),
		"ActivityCompleted": event.ActivityCompleted(aRun("In Progress", ""), "validate", "Error"),
		"WorkflowCompleted": event.WorkflowEnded(aRun("Optional Task Error", "")),
		"WorkflowFailed":    event.WorkflowEnded(aRun("Timed Out", "the run took longer than its timeout of 1h")),
		"WorkflowCancelled": event.WorkflowEnded(aRun("Cancelled", "")),
		"WorkflowOverdue":   event.WorkflowOverdue(aRun("In Progress", "")),
		"WorkflowRejected":  event.WorkflowRejected("event-1", "w", "u", event.FieldError{Field: "metadata.country", Reason: "is missing"}),

		"JobRejected":              event.JobRejected("nightly", "0a1b2c3d", event.FieldError{Field: "sections[1]", Reason: "has no name"}, []byte(`{"job_id":"nightly","labourer":"f","sections":["a",""]}`)),
		"JobRejected-without-id":   event.JobRejected("", "0a1b2c3d", event.FieldError{Field: "job", Reason: "is a list; want an object"}, []byte(`[1]`)),
		"JobRejected-no-json":      event.JobRejected("", "0a1b2c3d", event.FieldError{Field: "job", Reason: "is cut off"}, []byte(`{"labourer": "f`)),
		"JobScheduled":             event.JobScheduled("nightly", "f", 600),
		"JobCompleted":             event.JobEnded(totals(), false),
		"JobCancelled":             event.JobEnded(totals(), true),
		"TaskDead":                 event.TaskDead(taskID, 1, "nightly", "f", 6, event.TaskError{Type: "BadInput", Message: "no such store"}),
		"TaskDead-without-message": event.TaskDead(taskID, 0, "nightly", "f", 3, event.TaskError{Type: "Expired"}),
		"TasksDue":                 event.TasksDue("an-invocation", "f", "g"),
		"LabourerCapChanged":       event.LabourerCapChanged("f", adaptive.Noted{At: noon, From: 12, To: 9, Reason: "SomeDBCPU: the load is 112 % of the target", Metric: "SomeDBCPU", Value: &cpu}, noon.Add(-time.Minute)),
		"LabourerHealthChanged": event.LabourerHealthChanged("f", 4, 0, map[string]ecology.MetricAssessment{
			"SomeDBCPU": {Status: ecology.Bad, Counted: true, Value: &cpu, Age: 3 * time.Second, Reason: "97.5 is not <= 50 (Good)"},
			"Backlog":   {Status: ecology.High, Reason: "there is no data, which is ignored"},
		}, noon.Add(123*time.Millisecond)),
	}
}

func TestFactsHaveTheseNamesAndTypes(t *testing.T) {
	for file, fact := range facts() {
		t.Run(file, func(t *testing.T) {
			golden, err := os.ReadFile(filepath.Join("testdata", "facts", file+".json"))
			require.NoError(t, err)
			kind, _, _ := strings.Cut(file, "-")

			detail, err := json.Marshal(fact.Detail)

			require.NoError(t, err)
			require.Equal(t, kind, fact.Type)
			require.JSONEq(t, string(golden), string(detail))
			require.NoError(t, schemas.Validate(fact.Type, detail))
		})
	}
	files, err := filepath.Glob("testdata/facts/*.json")
	require.NoError(t, err)
	require.Len(t, files, len(facts()), "each file belongs to a fact")
}

func id(t require.TestingT, f event.Fact) string {
	text, err := json.Marshal(f.Detail)
	require.NoError(t, err)
	var detail struct{ ID string }
	require.NoError(t, json.Unmarshal(text, &detail))
	require.NotEmpty(t, detail.ID)
	return detail.ID
}

// TestG5ARepeatedFactHasTheSameID: this holds whatever else has changed, and another fact has another id.
func TestG5ARepeatedFactHasTheSameID(t *testing.T) {
	later := totals()
	later.FinishedAt = later.FinishedAt.Add(time.Hour)
	require.Equal(t, id(t, event.JobEnded(totals(), false)), id(t, event.JobEnded(later, false)))
	require.Equal(t, id(t, event.JobScheduled("nightly", "f", 1)), id(t, event.JobScheduled("nightly", "g", 2)))
	require.Equal(t, id(t, event.TaskDead(taskID, 0, "nightly", "f", 3, event.TaskError{})), id(t, event.TaskDead(taskID, 0, "nightly", "f", 3, event.TaskError{Type: "Boom"})))

	again := totals()
	again.Generation++
	other := totals()
	other.JobID = "weekly"
	ids := map[string]bool{}
	for _, f := range []event.Fact{
		event.JobEnded(totals(), false), event.JobEnded(totals(), true), event.JobEnded(again, false), event.JobEnded(other, false),
		event.JobScheduled("nightly", "f", 1), event.JobScheduled("weekly", "f", 1),
		event.TaskDead(taskID, 0, "nightly", "f", 3, event.TaskError{}), event.TaskDead(taskID, 1, "nightly", "f", 3, event.TaskError{}),
		event.JobRejected("nightly", "a", event.FieldError{}, nil), event.JobRejected("nightly", "b", event.FieldError{}, nil), event.JobRejected("", "a", event.FieldError{}, nil),
		event.LabourerHealthChanged("f", 4, 0, nil, noon), event.LabourerHealthChanged("f", 4, 0, nil, noon.Add(time.Millisecond)), event.LabourerHealthChanged("g", 4, 0, nil, noon),
		event.LabourerCapChanged("f", adaptive.Noted{To: 3}, noon), event.LabourerCapChanged("f", adaptive.Noted{To: 4}, noon), event.LabourerCapChanged("g", adaptive.Noted{To: 3}, noon),
		event.TasksDue("a"), event.TasksDue("b"),
		event.WorkflowStarted(aRun("In Progress", "")), event.WorkflowOverdue(aRun("In Progress", "")), event.WorkflowEnded(aRun("Complete", "")),
		event.ActivityCompleted(aRun("In Progress", ""), "a", "Complete"), event.ActivityCompleted(aRun("In Progress", ""), "b", "Complete"),
		event.WorkflowRejected("a", "w", "u", event.FieldError{}), event.WorkflowRejected("b", "w", "u", event.FieldError{}),
	} {
		require.False(t, ids[id(t, f)], "%s shares its id with another fact", id(t, f))
		ids[id(t, f)] = true
	}
}

// eventLimit holds EventBridge's limit, without the envelope around a detail.
const eventLimit = 1<<20 - 1<<10

// TestG9ARejectionAlwaysFitsIntoAnEvent: the rejection of any text fits into an event, and contains as much of the text as fits.
func TestG9ARejectionAlwaysFitsIntoAnEvent(t *testing.T) {
	for name, job := range map[string]string{
		"long":                          `{"a": "` + strings.Repeat("x", 250<<10) + `"}`,
		"long text":                     strings.Repeat("x", 250<<10),
		"long and with foreign words":   `{"a": "` + strings.Repeat("äß", 60<<10) + `"}`,
		"bytes that JSON writes as six": `{"a": "` + strings.Repeat("<", 120<<10) + `"}`,
		"text that JSON writes as six":  strings.Repeat("<&>", 80<<10),
		"control characters":            strings.Repeat("\x01", 200<<10),
		"not UTF-8":                     strings.Repeat("\xffa", 100<<10),
		"quotes":                        strings.Repeat(`"`, 120<<10),
		"the largest":                   `{"a": "` + strings.Repeat("x", 1<<20-32<<10) + `"}`,
		"as large as an event":          `{"a": "` + strings.Repeat("x", 1<<20-9) + `"}`,
		"no characters":                 `{"a": "` + strings.Repeat("\uffff", 340<<10) + `"}`,
		"empty":                         "",
	} {
		t.Run(name, func(t *testing.T) {
			f := event.JobRejected("nightly", "a", event.FieldError{Field: strings.Repeat("<", 100<<10), Reason: strings.Repeat("\x01", 100<<10)}, []byte(job))

			detail, err := json.Marshal(f.Detail)

			require.NoError(t, err)
			require.True(t, utf8.Valid(detail))
			require.Less(t, len(detail), eventLimit)
			require.NoError(t, schemas.Validate(f.Type, detail))
			require.Less(t, len(escape.JSON(detail)), eventLimit, "in the form in which it is sent")
			var told struct{ Job json.RawMessage }
			require.NoError(t, json.Unmarshal(detail, &told))
			var text string
			if json.Unmarshal(told.Job, &text) != nil {
				require.JSONEq(t, job, string(told.Job))
				return
			}
			require.Greater(t, len(told.Job), min(len(job), 1<<20)/2-32<<10, "it is cut no more than necessary")
			begins := strings.ToValidUTF8(strings.TrimSuffix(text, "…"), "�")
			require.True(t, strings.HasPrefix(strings.ToValidUTF8(job, "�"), begins))
		})
	}
}

func TestARejectionContainsTheWholeJobIfItFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 200, 1000).Draw(t, "text")
		job, err := json.Marshal(map[string]string{"a": text})
		require.NoError(t, err)

		detail, err := json.Marshal(event.JobRejected("nightly", "a", event.FieldError{Field: "a", Reason: text}, job).Detail)

		require.NoError(t, err)
		var told struct {
			Job   json.RawMessage
			Error event.FieldError
		}
		require.NoError(t, json.Unmarshal(detail, &told))
		require.JSONEq(t, string(job), string(told.Job))
		require.Equal(t, event.FieldError{Field: "a", Reason: text}, told.Error)
	})
}

func TestAnEventIsReadAsEventBridgeDeliversIt(t *testing.T) {
	e, err := event.Read([]byte(`{"version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": "SubmitJob", "source": "shop", "account": "000000000000",
		"time": "2026-11-22T12:00:00Z", "region": "us-west-2", "resources": [], "detail": {"labourer": "f"}}`))

	require.NoError(t, err)
	require.Equal(t, event.Envelope{ID: "6a7e8feb-b491-4cf7-a9f1-bf3703467718", Source: "shop", DetailType: event.SubmitJob, Time: noon, Detail: json.RawMessage(`{"labourer": "f"}`)}, e)
}

func TestG9AnInvalidEventIsRefusedWithItsReason(t *testing.T) {
	for text, reason := range map[string]string{
		``:                                   "not an event",
		`SubmitJob`:                          "not an event",
		`[]`:                                 "not an event",
		`{}`:                                 "it has no detail-type",
		`null`:                               "it has no detail-type",
		`{"id": "1", "detail": {}}`:          "it has no detail-type",
		`{"detail-type": "A", "detail": {}}`: "it has no id",
		`{"detail-type": "A", "id": "1"}`:    "it has no detail",
		`{"detail-type": "A", "id": 1}`:      "not an event",
		`{"detail-type": "A", "id": "1", "time": "noon", "detail": {}}`: "not an event",
	} {
		_, err := event.Read([]byte(text))
		require.ErrorContains(t, err, reason, text)
	}
}

func TestARefusedCommandSaysWhy(t *testing.T) {
	require.EqualError(t, &event.Refused{Reason: "job_id: it is missing"}, "job_id: it is missing")
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"version": "0", "id": "1", "detail-type": "SubmitJob", "source": "shop", "time": "2026-11-22T12:00:00Z", "detail": {"labourer": "f"}}`))
	f.Add([]byte(`{"id": "continue/nightly", "source": "drover", "detail-type": "ContinueJob", "time": "0001-01-01T00:00:00Z", "detail": {"job_id": "nightly"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := event.Read(text)
		if err != nil {
			return
		}
		require.NotEmpty(t, e.ID)
		require.NotEmpty(t, e.DetailType)
		require.True(t, json.Valid(e.Detail))
		again, err := json.Marshal(e)
		if err != nil { // a year after 9999 can be read but not written
			return
		}
		twice, err := event.Read(again)
		require.NoError(t, err, "one scheduler reads what another writes")
		require.Equal(t, e.ID, twice.ID)
		require.Equal(t, e.DetailType, twice.DetailType)
	})
}

// FuzzJobRejected looks for a job whose rejection cannot be published.
func FuzzJobRejected(f *testing.F) {
	f.Add("nightly", "sections[1]", "has no name", []byte(`{"labourer": "f"}`))
	f.Add("", "job", "is no JSON", []byte("\xff\x00<"))
	f.Fuzz(func(t *testing.T, jobID, field, reason string, job []byte) {
		if len(jobID) > 128 {
			return
		}
		detail, err := json.Marshal(event.JobRejected(jobID, "a", event.FieldError{Field: field, Reason: reason}, job).Detail)
		require.NoError(t, err)
		require.Less(t, len(detail), eventLimit)
	})
}

// TestAnOverdueRunIsToldOfAlikeWhenItHasEnded: an alert that was interrupted is sent again, under the same id.
func TestAnOverdueRunIsToldOfAlikeWhenItHasEnded(t *testing.T) {
	at := time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)
	ended := aRun("Error", "why")
	ended.FinishedAt = &at
	require.Equal(t, event.WorkflowOverdue(aRun("In Progress", "")), event.WorkflowOverdue(ended))
}

package schemas_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/event/schemas"
)

const aTask = "abcdefghijklmnop.7"

// facts returns one of each fact that Drover publishes, and the variants with a different form.
func facts() []event.Fact {
	at := time.Date(2026, 11, 22, 9, 30, 0, 123_000_000, time.UTC)
	totals := event.Totals{JobID: "nightly", Labourer: "some_function", Total: 6, Completed: 3, Dead: 2, Cancelled: 1, StartedAt: at, FinishedAt: at.Add(time.Minute), Generation: 1}
	value := 17.5
	run := event.Run{RunID: "run-abc", Workflow: "Order intake EU", UID: "order-1", Run: 2, DefinitionVersion: 7, State: "In Progress", StartedAt: at}
	ended := func(state, message string) event.Run {
		r, end := run, at.Add(time.Minute)
		r.State, r.FinishedAt, r.Message = state, &end, message
		return r
	}
	return []event.Fact{
		event.WorkflowStarted(run),
		event.ActivityCompleted(run, "validate", "Optional Task Error"),
		event.WorkflowEnded(ended("Complete", "")),
		event.WorkflowEnded(ended("Error", "plugin a of validate (pre) failed")),
		event.WorkflowEnded(ended("Cancelled", "")),
		event.WorkflowOverdue(run),
		event.WorkflowRejected("event-1", "w", "u", event.FieldError{Field: "metadata.lines[1].sku", Reason: "is missing"}),
		event.WorkflowRejected("event-2", "", "", event.FieldError{Field: "workflow", Reason: "is missing"}),
		event.LabourerCapChanged("some_function", adaptive.Noted{At: at, From: 12, To: 9, Reason: "the load is 112 % of the target", Metric: "SomeDBCPU", Value: &value}, at),
		event.LabourerCapChanged("some_function", adaptive.Noted{At: at, From: 12, To: 10, Reason: "no value for 4m0s", Shadow: true}, at),
		event.TasksDue("an-invocation", "some_function", "another"),
		event.JobRejected("nightly", "0a1b", event.FieldError{Field: "labourer", Reason: "no such labourer"}, []byte(`{"labourer": "nobody"}`)),
		event.JobRejected("", "0a1b", event.FieldError{Field: "job", Reason: "not an object"}, []byte(`[1`)),
		event.JobRejected("big", "0a1b", event.FieldError{Field: "sections[1]", Reason: "too long"}, []byte(`"`+strings.Repeat("x", 300<<10)+`"`)),
		event.JobScheduled("nightly", "some_function", 6),
		event.JobScheduled("empty", "some_function", 0),
		event.JobEnded(totals, false),
		event.JobEnded(totals, true),
		event.TaskDead(aTask, 0, "nightly", "some_function", 3, event.TaskError{Type: "Boom", Message: "as told"}),
		event.TaskDead(aTask, 2, "nightly", "some_function", 9, event.TaskError{Type: "Expired"}),
		event.LabourerHealthChanged("some_function", 4, 0, map[string]ecology.MetricAssessment{
			"cpu":   {Status: ecology.Bad, Counted: true, Value: &value, Age: 3 * time.Second, Reason: "17.5 is above 5"},
			"queue": {Status: ecology.High, Reason: "no data, which is ignored"},
		}, at),
	}
}

func TestDroversFactsMatchTheirSchemas(t *testing.T) {
	for _, fact := range facts() {
		detail, err := json.Marshal(fact.Detail)
		require.NoError(t, err)

		require.NoError(t, schemas.Validate(fact.Type, detail), "%s", detail)
	}
}

func TestAFactWithoutOneOfItsFieldsDoesNotMatchItsSchema(t *testing.T) {
	optional := map[string]bool{"JobRejected.job_id": true, "WorkflowRejected.uid": true,
		"LabourerCapChanged.metric": true, "LabourerCapChanged.value": true, "LabourerCapChanged.shadow": true}
	for _, fact := range facts() {
		text, err := json.Marshal(fact.Detail)
		require.NoError(t, err)
		var whole map[string]any
		require.NoError(t, json.Unmarshal(text, &whole))
		for field, value := range whole {
			if optional[fact.Type+"."+field] {
				continue
			}
			delete(whole, field)
			less, err := json.Marshal(whole)
			require.NoError(t, err)

			require.ErrorContains(t, schemas.Validate(fact.Type, less), field, "%s without %s", fact.Type, field)

			whole[field] = value
		}
	}
}

func TestApplicationsCommandsMatchTheirSchemas(t *testing.T) {
	for name, command := range map[string]struct{ detailType, detail string }{
		"a job":                        {"SubmitJob", `{"job_id": "nightly-2026-11-22", "labourer": "f", "period": "last_3_days", "isolate_days": true, "sections": {"a": {"stores": ["x"]}}}`},
		"an exact range":               {"SubmitJob", `{"labourer": "f", "period": {"from": "2026-01-01", "to": "2026-01-31"}, "time_zone": "Europe/Paris", "max_attempts": 5}`},
		"sosw's words":                 {"SubmitJob", `{"lambda_name": "arn:aws:lambda:us-west-2:000000000000:function:f", "max_sections_per_batch": 2}`},
		"sosw's wrapper":               {"SubmitJob", `{"job": {"lambda_name": "f"}}`},
		"sosw's wrapper as text":       {"SubmitJob", `{"job": "{\"lambda_name\": \"f\"}"}`},
		"starting a workflow":          {"StartWorkflow", `{"workflow": "Order intake EU", "uid": "order-1", "metadata": {"country": "AT"}, "from": "ship", "metadata_override": true, "start_id": "s-1"}`},
		"cancelling a run":             {"CancelWorkflow", `{"run_id": "run-abc"}`},
		"cancelling a uid's run":       {"CancelWorkflow", `{"workflow": "w", "uid": "u"}`},
		"cancelling":                   {"CancelJob", `{"job_id": "nightly"}`},
		"cancelling running tasks too": {"CancelJob", `{"job_id": "nightly", "force": true}`},
		"replaying tasks":              {"ReplayTasks", `{"tasks": ["` + aTask + `"], "replay_id": "again"}`},
		"replaying a job":              {"ReplayTasks", `{"job_id": "nightly"}`},
		"replaying a labourer":         {"ReplayTasks", `{"labourer": "f"}`},
		"a wake":                       {"TasksDue", `{"id": "by-hand", "version": 1, "labourers": ["f"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, schemas.Validate(command.detailType, []byte(command.detail)))
		})
	}
}

func TestSchemasRefuseWhatDroverWouldRefuse(t *testing.T) {
	for name, command := range map[string]struct{ detailType, detail string }{
		"a job without a labourer":        {"SubmitJob", `{"period": "today"}`},
		"a job with a bad id":             {"SubmitJob", `{"labourer": "f", "job_id": "with space"}`},
		"a job with a worker's attribute": {"SubmitJob", `{"labourer": "f", "drover": {}}`},
		"a range without an end":          {"SubmitJob", `{"labourer": "f", "period": {"from": "2026-01-01"}}`},
		"starting nothing":                {"StartWorkflow", `{"uid": "u"}`},
		"metadata with Drover's own name": {"StartWorkflow", `{"workflow": "w", "metadata": {"drover": 1}}`},
		"cancelling half a run":           {"CancelWorkflow", `{"uid": "u"}`},
		"cancelling nothing":              {"CancelJob", `{}`},
		"replaying nothing":               {"ReplayTasks", `{"replay_id": "again"}`},
		"replaying no task":               {"ReplayTasks", `{"tasks": []}`},
		"an impossible task id":           {"ReplayTasks", `{"tasks": ["nonsense"]}`},
		"an unknown command":              {"DoTheDishes", `{}`},
		"not JSON":                        {"CancelJob", `{"job_id"`},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, schemas.Validate(command.detailType, []byte(command.detail)))
		})
	}
}

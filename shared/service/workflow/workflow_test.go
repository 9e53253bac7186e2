package workflow_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

const order = `
workflows:
  order: {activities: [validate, ship], sla: 15m}
plugins:
  first: {activity: validate, stage: pre, order: 1}
  second: {activity: validate, stage: pre, order: 2}
  stock: {activity: validate, stage: parallel, labourer: crew}
  risky: {activity: validate, stage: parallel, labourer: crew, mandatory: false}
  never: {activity: validate, stage: parallel, filter: {country: [nowhere]}}
  audit: {activity: [validate, ship], stage: post}
`

// complete ends the turns of an order run, one after the other; risky fails.
func complete(m *memory, run string) {
	m.end(run, "first", true)
	m.end(run, "second", true)
	m.end(run, "risky", false)
	m.end(run, "stock", true)
	m.end(run, "audit", true)
	m.end(run, "audit", true)
}

func TestARunGoesThroughItsActivitiesToItsEnd(t *testing.T) {
	m := world(t, order)

	run := m.start("e-1", `{"workflow": "order", "uid": "u", "metadata": {"country": "AT"}}`)
	complete(m, run)

	r := m.records[run]
	require.Equal(t, flow.OptionalTaskError, r.Head.State)
	require.Equal(t, []string{"WorkflowStarted", "ActivityCompleted validate", "ActivityCompleted ship", "WorkflowCompleted"}, m.told(run))
	require.Equal(t, []string{"Begin", "validate/pre", "validate/parallel", "validate/post", "ship/post"}, m.execution(run).shows,
		"two transitions for a stage, however many plugins it has")
	require.Equal(t, "SUCCEEDED", m.execution(run).outcome)
	require.Equal(t, flow.Skipped, m.states(run)["validate/never"])
	require.True(t, m.retired[run])
	require.Empty(t, m.claims[key("order", "u")].Active)
	require.Equal(t, "Boom: as asked", m.details[run][flow.Place{Stage: flow.Parallel}][1].Message)
}

func TestAWorkerGetsItsPlaceItsMetadataAndEarlierResults(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u", "metadata": {"country": "AT"}}`)
	m.end(run, "first", true)

	filled, unbriefed, err := m.briefing().Fill(t.Context(), []task.Task{m.open(run)["second"], {JobID: "a-job", Payload: json.RawMessage(`{"x":1}`)}}, 1)

	require.NoError(t, err)
	require.Empty(t, unbriefed)
	require.JSONEq(t, fmt.Sprintf(`{"uid": "u", "workflow": "order", "run": 1, "run_id": %q, "activity": "validate", "stage": "pre", "plugin": "second",
		"metadata": {"country": "AT"}, "results": {"validate": {"first": "first"}}}`, run), string(filled[0].Payload))
	require.JSONEq(t, `{"x":1}`, string(filled[1].Payload), "a job's task stays as it is")
}

func TestATurnWhoseRunIsGoneIsNeverStarted(t *testing.T) {
	m := world(t, order)
	gone := task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: 1}, JobID: "run-gone", Turn: "000#0"}
	odd := task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: 2}, JobID: "run-gone", Turn: "nowhere"}

	_, unbriefed, err := m.briefing().Fill(t.Context(), []task.Task{gone, odd}, 1)

	require.NoError(t, err)
	require.Len(t, unbriefed, 2)
	require.Equal(t, "its run run-gone is gone", unbriefed[gone.ID])
}

// TestARunComesOutTheSameWhereverItIsInterrupted: each request fails, or succeeds without an answer; what was being handled comes again.
// TestARunIsReadOnceForTurnsThatBeginTogether: what comes before them is final. A later turn needs what ended since.
func TestARunIsReadOnceForTurnsThatBeginTogether(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u", "metadata": {"country": "AT"}}`)
	briefing := m.briefing()
	reads := 0
	m.interrupt = func(_ int, name string) (error, error) {
		if name == "Whole" {
			reads++
		}
		return nil, nil
	}
	payloads := func() map[string]string {
		out := map[string]string{}
		for name, one := range m.open(run) {
			filled, unbriefed, err := briefing.Fill(t.Context(), []task.Task{one}, 1)
			require.NoError(t, err)
			require.Empty(t, unbriefed)
			out[name] = string(filled[0].Payload)
		}
		return out
	}

	require.Contains(t, payloads(), "first")
	require.Equal(t, 1, reads)
	m.end(run, "first", true)
	second := payloads()["second"]
	require.Contains(t, second, `"results":{"validate":{"first":`)
	require.Equal(t, 2, reads, "the result of the turn before it was not read yet")
	m.end(run, "second", true)
	together := payloads()
	require.Len(t, together, 2)
	require.Equal(t, 3, reads, "of turns that begin together")
	for plugin, payload := range together {
		require.Contains(t, payload, `"second":`, plugin)
	}
	fresh, _, err := m.briefing().Fill(t.Context(), []task.Task{m.open(run)["stock"]}, 1)
	require.NoError(t, err)
	require.Equal(t, together["stock"], string(fresh[0].Payload))
}

func TestARunComesOutTheSameWhereverItIsInterrupted(t *testing.T) {
	play := func(interrupt func(n int, name string) (error, error)) *memory {
		m := world(t, order)
		m.interrupt = interrupt
		run := m.start("e-1", `{"workflow": "order", "uid": "u", "metadata": {"country": "AT"}}`)
		complete(m, run)
		m.tick(time.Minute)
		return m
	}
	want := play(nil)
	run := flow.RunID("e-1")
	require.Greater(t, want.requests, 100)
	for n := 1; n <= want.requests; n++ {
		for _, after := range []bool{false, true} {
			name := ""
			got := play(func(i int, request string) (error, error) {
				if i != n {
					return nil, nil
				}
				name = request
				if after {
					return nil, errInterrupted
				}
				return errInterrupted, nil
			})
			where := fmt.Sprintf("request %d, %s, interrupted after it: %v", n, name, after)
			require.Equal(t, want.records[run].Head.State, got.records[run].Head.State, where)
			require.Equal(t, want.told(run), got.told(run), where)
			require.Equal(t, want.states(run), got.states(run), where)
			require.Equal(t, want.execution(run).outcome, got.execution(run).outcome, where)
			require.Len(t, got.tasks, len(want.tasks), where)
			require.Len(t, got.queued, len(want.queued), where)
			require.Empty(t, got.claims[key("order", "u")].Active, where)
			require.True(t, got.retired[run], where)
		}
	}
}

func TestARepeatedStartIsTheSameRunAndAnotherOneIsRefused(t *testing.T) {
	m := world(t, order)
	m.start("e-1", `{"workflow": "order", "uid": "u", "start_id": "s"}`)
	m.start("e-2", `{"workflow": "order", "uid": "u", "start_id": "s"}`)
	require.Len(t, m.records, 1)
	require.Len(t, m.machines, 1)

	m.start("e-3", `{"workflow": "order", "uid": "other", "start_id": "s"}`)

	require.Len(t, m.records, 1)
	require.Contains(t, fmt.Sprint(m.facts["WorkflowRejected/e-3"]), "start_id")
}

func TestAStartThatIsRefusedIsTold(t *testing.T) {
	m := world(t, order)
	m.start("e-1", `{"workflow": "nothing"}`)
	m.start("e-2", `{"workflow": "order", "metadata": {"drover": {}}}`)
	m.start("e-3", `{"workflow": "order", "from": "shipp"}`)
	m.start("e-4", `{}`)
	for id, field := range map[string]string{"e-1": "workflow", "e-2": "metadata.drover", "e-3": "from", "e-4": "workflow"} {
		text, err := json.Marshal(m.facts["WorkflowRejected/"+id].Detail)
		require.NoError(t, err)
		require.Contains(t, string(text), `"field":"`+field+`"`)
	}
	require.Empty(t, m.records)
	require.Empty(t, m.machines)
}

func TestAUsersExecutionIsTheRunsOwn(t *testing.T) {
	m := world(t, order)
	m.machines["arn:execution:by-hand"] = &execution{arn: "arn:execution:by-hand", input: []byte(`{"workflow": "order"}`), shows: []string{"Begin"}, pending: true}
	m.deliver()
	run := flow.RunID("arn:execution:by-hand")

	require.Equal(t, "by-hand", m.records[run].UID)
	require.Len(t, m.machines, 1)
	complete(m, run)
	require.Equal(t, "SUCCEEDED", m.machines["arn:execution:by-hand"].outcome)
	require.Equal(t, []string{"WorkflowStarted", "ActivityCompleted validate", "ActivityCompleted ship", "WorkflowCompleted"}, m.told(run))
}

func TestAUsersExecutionThatIsRefusedFails(t *testing.T) {
	m := world(t, order)
	m.machines["arn:execution:bad"] = &execution{arn: "arn:execution:bad", input: []byte(`{"workflow": "nothing"}`), shows: []string{"Begin"}, pending: true}
	m.deliver()
	require.Equal(t, "FAILED: WorkflowRejected", m.machines["arn:execution:bad"].outcome)
	require.Contains(t, m.facts, "WorkflowRejected/arn:execution:bad")

	m.start("e-1", `{"workflow": "order", "uid": "u", "start_id": "s"}`)
	run := flow.RunID("s")
	m.machines["arn:execution:twin"] = &execution{arn: "arn:execution:twin", input: []byte(`{"workflow": "order", "uid": "u", "start_id": "s"}`), shows: []string{"Begin"}, pending: true}
	m.deliver()
	require.Equal(t, "FAILED: WorkflowRejected", m.machines["arn:execution:twin"].outcome, "one execution a run")
	complete(m, run)
	require.Equal(t, "SUCCEEDED", m.execution(run).outcome)
}

func TestAForeignExecutionCannotDriveARun(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	m.machines["arn:execution:foreign"] = &execution{arn: "arn:execution:foreign", input: []byte(`{"workflow": "order", "uid": "v", "run_id": "` + run + `"}`), shows: []string{"Begin"}, pending: true}
	m.deliver()
	require.Len(t, m.records, 2, "it is a start of its own")
	complete(m, run)
	require.Equal(t, "SUCCEEDED", m.execution(run).outcome)
	require.Empty(t, m.machines["arn:execution:foreign"].outcome)
}

func TestACancelledRunCancelsItsTasksAndIgnoresLateEnds(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	m.end(run, "first", true)
	m.end(run, "second", true)
	open := m.open(run)
	require.Len(t, open, 2)

	for range 2 {
		m.handled(func() error {
			return m.service.Cancel(t.Context(), event.Envelope{ID: "c", Detail: json.RawMessage(`{"workflow": "order", "uid": "u"}`)})
		})
	}
	m.deliver()

	require.Equal(t, flow.Cancelled, m.records[run].Head.State)
	require.Equal(t, flow.Cancelled, m.states(run)["validate/stock"])
	for _, before := range open {
		require.Equal(t, task.Cancelled, m.tasks[before.ID].Status)
	}
	require.Equal(t, []string{"WorkflowStarted", "ActivityCompleted validate", "WorkflowCancelled"}, m.told(run))
	require.Equal(t, "FAILED: Cancelled", m.execution(run).outcome)
	m.ended(open["stock"], "stock", true) // its worker ran on
	require.Equal(t, flow.Cancelled, m.states(run)["validate/stock"])
	require.Equal(t, []string{"WorkflowStarted", "ActivityCompleted validate", "WorkflowCancelled"}, m.told(run))
}

func TestACancelOfNothingIsRefused(t *testing.T) {
	m := world(t, order)
	for _, detail := range []string{`{}`, `{"uid": "u"}`, `[]`, `{"run_id": "run-none"}`} {
		var refused *event.Refused
		require.ErrorAs(t, m.service.Cancel(t.Context(), event.Envelope{Detail: json.RawMessage(detail)}), &refused, detail)
	}
	require.NoError(t, m.service.Cancel(t.Context(), event.Envelope{Detail: json.RawMessage(`{"workflow": "order", "uid": "none"}`)}))
}

func TestAMandatoryErrorEndsTheRunWithItsReason(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	m.end(run, "first", true)
	m.end(run, "second", true)

	m.end(run, "stock", false)

	require.Equal(t, flow.Error, m.records[run].Head.State)
	require.Equal(t, "plugin stock of validate (parallel) failed: Boom: as asked", m.records[run].Head.Message)
	require.Equal(t, flow.Cancelled, m.states(run)["validate/risky"])
	require.Equal(t, "FAILED: Error", m.execution(run).outcome)
	require.Equal(t, []string{"WorkflowStarted", "ActivityCompleted validate", "WorkflowFailed"}, m.told(run))
}

func TestAReRunKeepsResultsAndGetsTheNextNumber(t *testing.T) {
	m := world(t, order)
	first := m.start("e-1", `{"workflow": "order", "uid": "u", "metadata": {"a": {"x": 1}}}`)
	m.end(first, "first", true)
	m.end(first, "second", false)
	require.Equal(t, flow.Error, m.records[first].Head.State)

	m.start("e-2", `{"workflow": "order", "uid": "u", "metadata": {"a": {"x": 2}}}`)
	require.Contains(t, m.facts, "WorkflowRejected/e-2", "metadata is compared deeply")
	second := m.start("e-3", `{"workflow": "order", "uid": "u"}`)

	require.Equal(t, 2, m.records[second].Run)
	require.Equal(t, flow.Complete, m.states(second)["validate/first"])
	filled, unbriefed, err := m.briefing().Fill(t.Context(), []task.Task{m.open(second)["second"]}, 1)
	require.NoError(t, err)
	require.Empty(t, unbriefed)
	require.Contains(t, string(filled[0].Payload), `"results":{"validate":{"first":"first"}}`)
	require.Equal(t, m.details[first][flow.Place{}][0].TaskID, m.details[second][flow.Place{}][0].TaskID, "the task that completed it")
	m.end(second, "second", true)
	m.end(second, "stock", true)
	m.end(second, "risky", true)
	m.end(second, "audit", true)
	m.end(second, "audit", true)
	require.Equal(t, flow.Complete, m.records[second].Head.State)
}

func TestAStartOfAnActiveUIDFollowsTheConcurrencyOfItsWorkflow(t *testing.T) {
	text := `
workflows: {w: {activities: [a], concurrency: %s}}
plugins: {p: {activity: a, stage: parallel}}
`
	t.Run("reject", func(t *testing.T) {
		m := world(t, fmt.Sprintf(text, "reject"))
		m.start("e-1", `{"workflow": "w", "uid": "u"}`)
		m.start("e-2", `{"workflow": "w", "uid": "u"}`)
		m.start("e-3", `{"workflow": "w", "uid": "v"}`)
		require.Contains(t, fmt.Sprint(m.facts["WorkflowRejected/e-2"]), "has an active run")
		require.Len(t, m.records, 2)
	})
	t.Run("queue", func(t *testing.T) {
		m := world(t, fmt.Sprintf(text, "queue"))
		first := m.start("e-1", `{"workflow": "w", "uid": "u"}`)
		second := m.start("e-2", `{"workflow": "w", "uid": "u"}`)
		third := m.start("e-3", `{"workflow": "w", "uid": "u"}`)
		require.Equal(t, flow.NotStarted, m.records[second].Head.State)
		require.Empty(t, m.told(second))
		m.tick(time.Minute)
		require.Empty(t, m.told(second))

		m.end(first, "p", false)

		require.Equal(t, []string{"WorkflowStarted"}, m.told(second))
		require.Equal(t, 2, m.records[second].Run)
		m.end(second, "p", true)
		require.Equal(t, flow.Complete, m.records[third].Head.State, "what was Complete stays so, and nothing else is left")
		require.Equal(t, 3, m.records[third].Run)
		for _, run := range []string{second, third} {
			require.Equal(t, "SUCCEEDED", m.execution(run).outcome)
			require.True(t, m.retired[run])
		}
	})
	t.Run("replace", func(t *testing.T) {
		m := world(t, fmt.Sprintf(text, "replace"))
		first := m.start("e-1", `{"workflow": "w", "uid": "u"}`)
		second := m.start("e-2", `{"workflow": "w", "uid": "u"}`)
		require.Equal(t, flow.Cancelled, m.records[first].Head.State)
		require.Equal(t, flow.InProgress, m.records[second].Head.State)
		m.end(second, "p", true)
		require.Equal(t, flow.Complete, m.records[second].Head.State)
	})
}

func TestTimeoutsAndTheSLAAreFoundByTheTick(t *testing.T) {
	m := world(t, `
workflows: {w: {activities: [a], sla: 15m, timeout: 1h}}
plugins: {p: {activity: a, stage: parallel}, may: {activity: a, stage: parallel, mandatory: false, timeout: 10m}}
`)
	run := m.start("e-1", `{"workflow": "w", "uid": "u"}`)
	m.tick(10 * time.Minute)
	require.Equal(t, flow.TimedOut, m.states(run)["a/may"])
	require.Empty(t, m.paged)
	for range 3 {
		m.tick(5 * time.Minute)
	}
	require.Equal(t, []string{run}, m.paged, "people are told once")
	require.Equal(t, []string{"WorkflowStarted", "WorkflowOverdue"}, m.told(run))

	m.tick(35 * time.Minute)

	require.Equal(t, flow.TimedOut, m.records[run].Head.State)
	require.Equal(t, []string{"WorkflowStarted", "WorkflowOverdue", "ActivityCompleted a", "WorkflowFailed"}, m.told(run))
	require.Equal(t, "FAILED: Timed Out", m.execution(run).outcome)
	require.Equal(t, "the run took longer than its timeout of 1h", m.records[run].Head.Message)

	again := m.start("e-2", `{"workflow": "w", "uid": "u"}`)
	for range 3 {
		m.tick(15 * time.Minute)
	}
	require.Equal(t, []string{run, again}, m.paged, "of a re-run they are told too, once")
}

func TestAPausedRunBeginsNothingUntilItIsResumed(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	require.NoError(t, m.service.SetPaused(t.Context(), run, true))
	m.end(run, "first", true)
	require.Empty(t, m.open(run))

	require.NoError(t, m.service.SetPaused(t.Context(), run, false))

	require.Contains(t, m.open(run), "second")
}

func TestAnExecutionThatIsStoppedEndsItsRun(t *testing.T) {
	for as, want := range map[flow.State]string{flow.Cancelled: "WorkflowCancelled", flow.TimedOut: "WorkflowFailed", flow.Error: "WorkflowFailed"} {
		m := world(t, order)
		run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
		m.execution(run).outcome = "ABORTED"

		for range 2 {
			require.NoError(t, m.service.Stopped(t.Context(), run, as))
		}

		require.Equal(t, as, m.records[run].Head.State)
		require.Contains(t, m.told(run), want)
		require.True(t, m.retired[run])
		require.NoError(t, m.service.Stopped(t.Context(), "run-none", as))
	}
}

// TestAnExecutionWhoseEndWasNotReportedEndsItsRun: the event may be lost, and the execution may have been stopped before the run had its token.
func TestAnExecutionWhoseEndWasNotReportedEndsItsRun(t *testing.T) {
	for _, begun := range []bool{true, false} {
		m := world(t, order)
		run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
		if !begun {
			r := m.records[run]
			r.Token = ""
			m.records[run] = r
		}
		m.execution(run).outcome = "ABORTED"

		for range 10 {
			m.tick(time.Minute)
		}

		require.Equal(t, flow.Cancelled, m.records[run].Head.State)
		require.Contains(t, m.told(run), "WorkflowCancelled")
		require.True(t, m.retired[run])
	}
}

// TestARunThatEndedBeforeItsStoppedExecutionCameIsRetired: no execution will ever ask for it.
func TestARunThatEndedBeforeItsStoppedExecutionCameIsRetired(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	r := m.records[run]
	r.Token = ""
	m.records[run] = r
	require.NoError(t, m.service.CancelRun(t.Context(), run))
	require.False(t, m.retired[run])
	m.execution(run).outcome = "ABORTED"

	for range 10 {
		m.tick(time.Minute)
	}

	require.True(t, m.retired[run])
}

func TestWhatIsStoredOfALongRunIsExtended(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	for range 10 {
		m.tick(24 * time.Hour)
	}

	extended := m.extended[run]
	require.Len(t, extended, 3)
	for i, at := range append(extended, m.now) {
		before := m.records[run].RecordedAt
		if i > 0 {
			before = extended[i-1]
		}
		require.Less(t, at.Sub(before), workflow.KeptFor/2+24*time.Hour, "some ticks may be lost")
	}
}

func TestARunWhoseLaunchWasInterruptedIsLaunchedByTheTick(t *testing.T) {
	m := world(t, order)
	m.interrupt = func(_ int, name string) (error, error) {
		if name == "StartExecution" {
			return errInterrupted, nil
		}
		return nil, nil
	}
	err := m.service.Start(t.Context(), event.Envelope{ID: "e-1", Detail: json.RawMessage(`{"workflow": "order", "uid": "u"}`)})
	require.ErrorIs(t, err, errInterrupted)
	m.interrupt = nil

	m.tick(time.Minute)

	run := flow.RunID("e-1")
	require.Contains(t, m.open(run), "first")
	complete(m, run)
	require.Equal(t, "SUCCEEDED", m.execution(run).outcome)
}

func TestAWakeThatWasLostIsMadeUpForByTheTick(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	first := m.open(run)["first"]
	closed, err := first.Close(task.End{Attempt: 1, Status: task.Completed, At: m.now})
	require.NoError(t, err)
	m.tasks[first.ID] = closed
	p := flow.Place{}
	require.NoError(t, stages{m}.Keep(t.Context(), run, []flow.Detail{workflow.Detail(closed, p)}))
	_, _, err = stages{m}.Count(t.Context(), run, p, workflow.Ends{Completed: m.stages[run][p].Published})
	require.NoError(t, err)
	require.NotContains(t, m.open(run), "second")

	m.tick(time.Minute)

	require.Contains(t, m.open(run), "second")
}

func TestAStageOf200LabourersIsPublishedInSeveralTransactions(t *testing.T) {
	text := "workflows: {w: {activities: [a]}}\nplugins:\n"
	for i := range 200 {
		text += fmt.Sprintf("  p%03d: {activity: a, stage: parallel}\n", i)
	}
	m := world(t, text)

	run := m.start("e-1", `{"workflow": "w", "uid": "u"}`)

	require.Len(t, m.open(run), 200)
	for i := range 200 {
		m.end(run, fmt.Sprintf("p%03d", i), true)
	}
	require.Equal(t, flow.Complete, m.records[run].Head.State)
	require.Equal(t, []string{"Begin", "a/parallel"}, m.execution(run).shows)
}

func TestARunKeepsTheDefinitionThatItBeganWith(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	d := flow.NewDefinitions()
	w := flow.NewWorkflow("order")
	w.Activities = []string{"nothing"}
	d.Workflows["order"] = w
	m.apply(d, "order")

	complete(m, run)

	require.Equal(t, flow.OptionalTaskError, m.records[run].Head.State)
	next := m.start("e-2", `{"workflow": "order", "uid": "u"}`)
	require.Equal(t, 2, m.records[next].Version)
	require.Equal(t, flow.Complete, m.records[next].Head.State)
}

// TestAStartThatWasRefusedStaysRefused: its event may be delivered again when nothing stands in its way any more. Another event is another start.
func TestAStartThatWasRefusedStaysRefused(t *testing.T) {
	m := world(t, order)
	m.start("e-1", `{"workflow": "order", "uid": "u", "start_id": "one"}`)
	m.start("e-2", `{"workflow": "order", "uid": "u", "start_id": "two"}`)
	require.Contains(t, m.facts, "WorkflowRejected/e-2")
	m.handled(func() error { return m.service.CancelRun(t.Context(), flow.RunID("one")) })
	m.deliver()

	m.start("e-2", `{"workflow": "order", "uid": "u", "start_id": "two"}`)

	require.Len(t, m.records, 1)
	m.start("e-3", `{"workflow": "order", "uid": "u", "start_id": "two"}`)
	require.Equal(t, flow.InProgress, m.records[flow.RunID("two")].Head.State)
}

// TestALateMessageOfAnExecutionTakesNothingBack: it has the token of a state that the execution has left.
func TestALateMessageOfAnExecutionTakesNothingBack(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	x := m.execution(run)
	m.end(run, "first", true)
	m.end(run, "second", true)
	token := m.records[run].Token
	require.Equal(t, flow.Place{Stage: flow.Parallel}, m.records[run].TokenAt)

	for activity, stage := range map[string]string{"": "", "validate": "pre"} {
		m.handled(func() error { return m.service.Wait(t.Context(), run, x.arn, "an earlier token", activity, stage) })
	}

	require.Equal(t, token, m.records[run].Token)
	m.end(run, "risky", false)
	m.end(run, "stock", true)
	m.end(run, "audit", true)
	m.end(run, "audit", true)
	require.Equal(t, "SUCCEEDED", x.outcome)
}

// TestATaskThatCannotBeReadIsCancelledWithItsRun: what is unreadable of it is not needed for that.
func TestATaskThatCannotBeReadIsCancelledWithItsRun(t *testing.T) {
	m := world(t, order)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	first := m.open(run)["first"]
	m.damaged = map[task.ID]bool{first.ID: true}

	m.handled(func() error { return m.service.CancelRun(t.Context(), run) })
	m.deliver()

	require.Equal(t, flow.Cancelled, m.records[run].Head.State)
	require.Equal(t, task.Cancelled, m.tasks[first.ID].Status)
}

// TestWhatIsToldOfARunIsWhatIsStored: an event that is published again comes from the table, which has milliseconds.
func TestWhatIsToldOfARunIsWhatIsStored(t *testing.T) {
	m := world(t, order)
	m.now = m.now.Add(123456789 * time.Nanosecond)
	run := m.start("e-1", `{"workflow": "order", "uid": "u"}`)
	complete(m, run)
	r := m.records[run]
	for _, at := range []time.Time{r.RecordedAt, r.Head.StartedAt, r.Head.BegunAt, r.Head.FinishedAt} {
		require.Equal(t, at.Truncate(time.Millisecond), at)
	}
}

// TestARunFromALaterActivityGetsTheResultsOfThoseBeforeIt, which an earlier run completed.
func TestARunFromALaterActivityGetsTheResultsOfThoseBeforeIt(t *testing.T) {
	m := world(t, order)
	complete(m, m.start("e-1", `{"workflow": "order", "uid": "u"}`))

	run := m.start("e-2", `{"workflow": "order", "uid": "u", "from": "ship"}`)

	filled, unbriefed, err := m.briefing().Fill(t.Context(), []task.Task{m.open(run)["audit"]}, 1)
	require.NoError(t, err)
	require.Empty(t, unbriefed)
	require.Contains(t, string(filled[0].Payload), `"results":{"validate":{"audit":"audit","first":"first","second":"second","stock":"stock"}}`)
}

// TestAnActivitysEndIsToldAlthoughAnAlertWasInterruptedToo: the alert is repeated when the run has ended, and stores what was told.
func TestAnActivitysEndIsToldAlthoughAnAlertWasInterruptedToo(t *testing.T) {
	m := world(t, `
workflows: {w: {activities: [a], sla: 1m}}
plugins: {p: {activity: a, stage: parallel}}
`)
	run := m.start("e-1", `{"workflow": "w", "uid": "u"}`)
	m.interrupt = func(_ int, name string) (error, error) {
		if name == "Overdue" || name == "Publish" {
			return errInterrupted, nil
		}
		return nil, nil
	}
	m.now = m.now.Add(2 * time.Minute)
	_ = m.service.Look(t.Context(), run)
	require.Equal(t, flow.Alerting, m.records[run].Alert)
	one := m.open(run)["p"]
	one, err := one.Close(task.End{Attempt: 1, Status: task.Completed, At: m.now})
	require.NoError(t, err)
	m.tasks[one.ID] = one
	_ = workflow.Recorder{Counter: stages{m}, Waker: m.service}.Record(t.Context(), []task.Task{one})
	require.Equal(t, flow.Complete, m.records[run].Head.State)

	m.interrupt = nil
	m.now = m.now.Add(10 * time.Minute)
	m.handled(func() error { return m.service.Look(t.Context(), run) })

	require.Contains(t, m.told(run), "ActivityCompleted a")
	require.Contains(t, m.told(run), "WorkflowCompleted")
}

// TestARunThatHasWaitedIsToldToBegin, although what had it begin was interrupted and does not come again.
func TestARunThatHasWaitedIsToldToBegin(t *testing.T) {
	m := world(t, `
workflows: {w: {activities: [a], concurrency: queue}}
plugins: {p: {activity: a, stage: parallel}}
`)
	first := m.start("e-1", `{"workflow": "w", "uid": "u"}`)
	second := m.start("e-2", `{"workflow": "w", "uid": "u"}`)
	activated := false
	m.interrupt = func(_ int, name string) (error, error) {
		if activated {
			return errInterrupted, nil
		}
		activated = name == "Activate"
		return nil, nil
	}
	_ = m.service.CancelRun(t.Context(), first)
	require.True(t, activated)
	require.Empty(t, m.told(second))

	m.interrupt = nil
	m.handled(func() error { return m.service.Look(t.Context(), second) })
	m.deliver()
	m.end(second, "p", true)

	require.Equal(t, []string{"WorkflowStarted", "ActivityCompleted a", "WorkflowCompleted"}, m.told(second))
}

package workflow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// graveyard keeps reasons.
type graveyard struct{ reasons []string }

func (g *graveyard) Bury(_ context.Context, _, reason string) error {
	g.reasons = append(g.reasons, reason)
	return nil
}

func envelope(id, kind, detail string) string {
	return fmt.Sprintf(`{"id": %q, "source": "shop", "detail-type": %q, "time": "2026-11-28T12:00:00Z", "detail": %s}`, id, kind, detail)
}

// send hands a message to the service, and returns what it buried.
func (m *memory) send(body string) []string {
	m.t.Helper()
	var dead graveyard
	failed, summary := m.service.Handle(m.t.Context(), &dead, []workflow.Message{{ID: "1", Body: body}})
	require.Empty(m.t, failed, summary.Errors)
	m.deliver()
	return dead.reasons
}

func TestCommandsTokensTicksAndEndsOfExecutionsComeByOneQueue(t *testing.T) {
	m := world(t, order)
	require.Empty(t, m.send(envelope("e-1", "StartWorkflow", `{"workflow": "order", "uid": "u"}`)))
	run := flow.RunID("e-1")
	require.Contains(t, m.open(run), "first")
	require.Empty(t, m.send(string(workflow.LookMessage(run))))
	require.Empty(t, m.send(envelope("e-2", "Scheduled Event", `{}`)))
	x := m.execution(run)
	require.Empty(t, m.send(fmt.Sprintf(`{"step": "stage", "token": "another", "execution": %q, "run_id": %q, "activity": "validate", "stage": "pre"}`, x.arn, run)))
	require.Equal(t, "another", m.records[run].Token)
	require.Empty(t, m.send(fmt.Sprintf(`{"step": "stage", "token": "strange", "execution": "arn:execution:other", "run_id": %q}`, run)))
	require.Equal(t, "another", m.records[run].Token, "an execution that is not the run's does not wait for it")

	detail, err := json.Marshal(map[string]any{"executionArn": x.arn, "name": x.arn[len("arn:execution:"):], "status": "ABORTED", "input": string(x.input)})
	require.NoError(t, err)
	x.outcome = "ABORTED"
	require.Empty(t, m.send(envelope("e-3", "Step Functions Execution Status Change", string(detail))))
	require.Equal(t, flow.Cancelled, m.records[run].Head.State)

	require.Empty(t, m.send(envelope("e-4", "CancelWorkflow", `{"run_id": "`+run+`"}`)))
	require.Empty(t, m.send(envelope("e-5", "Step Functions Execution Status Change", `{"executionArn": "arn:execution:none", "name": "none", "status": "FAILED", "input": "{}"}`)))
}

func TestWhatCannotBeReadIsBuried(t *testing.T) {
	m := world(t, order)
	for _, body := range []string{"", "nonsense", `{}`, `{"step": "dance"}`, envelope("e", "SubmitJob", `{}`), envelope("e", "CancelWorkflow", `{}`),
		envelope("e", "Step Functions Execution Status Change", `[]`)} {
		require.Len(t, m.send(body), 1, body)
	}
	require.Empty(t, m.records)
}

func TestAMessageThatFailsIsRedeliveredAlone(t *testing.T) {
	m := world(t, order)
	good, bad := envelope("e-1", "StartWorkflow", `{"workflow": "order", "uid": "u"}`), envelope("e-2", "CancelWorkflow", `{"run_id": "run-broken"}`)
	failed, summary := m.service.Handle(t.Context(), &graveyard{}, []workflow.Message{{ID: "1", Body: good}})
	require.Empty(t, failed)
	require.Equal(t, 1, summary.Handled)
	m.interrupt = func(int, string) (error, error) { return errInterrupted, nil }
	failed, summary = m.service.Handle(t.Context(), &graveyard{}, []workflow.Message{{ID: "2", Body: bad}})
	require.Equal(t, []string{"2"}, failed)
	require.Len(t, summary.Errors, 1)
}

package moe_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/moe"
	"github.com/drover-run/drover/shared/core/workflow"
)

const intake = `
workflows: {intake: {activities: [validate, ship]}}
plugins:
  address: {activity: validate, stage: pre, envelope: moe}
  stock: {activity: [validate, ship], stage: parallel, envelope: moe}
  report: {activity: validate, stage: post, envelope: moe}
`

// subject returns a run of intake with this metadata.
func subject(t *testing.T, metadata string) workflow.Subject {
	t.Helper()
	root, err := document.Parse("intake.yaml", []byte(intake))
	require.NoError(t, err)
	r := &document.Reader{}
	sections := r.Fields(document.Value{Node: root}, workflow.Sections...)
	definitions := workflow.Read(r, sections)
	require.Empty(t, r.Errors)
	c, found := workflow.Compose(definitions, "intake")
	require.True(t, found)
	return workflow.Subject{Composition: c, UID: "order-1", Run: 1, Metadata: json.RawMessage(metadata)}
}

func payload(t *testing.T, s workflow.Subject, h workflow.Head) json.RawMessage {
	t.Helper()
	plan, err := s.Plan(h.At)
	require.NoError(t, err)
	return moe.Payload(s, h, plan)
}

func TestAPluginFindsTheMetadataAtTheTopOfItsMessage(t *testing.T) {
	s := subject(t, `{"country": "AT", "total": 120.50, "gift": false, "lines": [{"sku": 7}]}`)
	text := moe.Text(payload(t, s, workflow.Head{At: workflow.Place{Stage: workflow.Parallel}, Stages: []workflow.State{workflow.OptionalTaskError}}),
		time.UnixMilli(1_795_000_000_123), json.RawMessage(`{"task_id": "abcdefghijklmnop.0", "attempt": 2}`))

	require.JSONEq(t, `{
		"country": "AT", "total": 120.50, "gift": false, "lines": [{"sku": 7}],
		"uid": "order-1", "workflow": "intake", "activity": "validate", "stage": "async", "now": 1795000000123,
		"status": {"state": "In Progress"},
		"activities": {"validate": {
			"status": {"state": "In Progress"},
			"pre": {"mandatory": {}, "optional": {}, "status": {"state": "Optional Task Error"}},
			"async": {"mandatory": {}, "optional": {}, "status": {"state": "In Progress"}},
			"post": {"mandatory": {}, "optional": {}, "status": {"state": "Not Started"}}}},
		"drover": {"task_id": "abcdefghijklmnop.0", "attempt": 2}}`, string(text))
	require.Contains(t, string(text), `"total":120.50`, "numbers stay as written")
}

// TestScenario16MetadataDoesNotReplaceWhatDroverSays: moe let such keys overwrite its own, and could not publish true or an object.
func TestScenario16MetadataDoesNotReplaceWhatDroverSays(t *testing.T) {
	s := subject(t, `{"activity": "other", "stage": 7, "uid": "x", "workflow": "y", "activities": {}, "status": "new", "now": "later", "Stage": "mine", "urgent": true}`)
	var message map[string]any

	text := moe.Text(payload(t, s, workflow.Head{}), time.UnixMilli(5), json.RawMessage(`{}`))

	require.NoError(t, json.Unmarshal(text, &message))
	require.Equal(t, []any{"validate", "pre", "order-1", "intake", float64(5), "mine", true},
		[]any{message["activity"], message["stage"], message["uid"], message["workflow"], message["now"], message["Stage"], message["urgent"]})
	require.Len(t, message, 10, "each name once: %s", text)
}

func TestAStageThatFailedBeforePostIsAnErrorInTheMessage(t *testing.T) {
	s := subject(t, `{}`)

	text := payload(t, s, workflow.Head{At: workflow.Place{Stage: workflow.Post}, Stages: []workflow.State{workflow.Complete, workflow.TimedOut}})

	require.Contains(t, string(text), `"async":{"mandatory":{},"optional":{},"status":{"state":"Error"}}`)
	require.Contains(t, string(text), `"pre":{"mandatory":{},"optional":{},"status":{"state":"Complete"}}`)
}

func TestTheEnvelopeIsThatOfSNSAndItsFailureNamesTheAttempt(t *testing.T) {
	s := subject(t, `{"note": "say \"yes\"\n…"}`)
	text := moe.Text(payload(t, s, workflow.Head{}), time.UnixMilli(5), json.RawMessage(`{"version":1,"task_id":"abcdefghijklmnop.0","attempt":2}`))

	envelope := moe.Envelope(text)

	var event struct {
		Records []struct{ Sns struct{ Message string } }
	}
	require.NoError(t, json.Unmarshal(envelope, &event))
	require.Equal(t, string(text), event.Records[0].Sns.Message)
	r, err := completion.Read([]byte(`{"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}, "requestPayload": ` + string(envelope) +
		`, "responseContext": {"functionError": "Unhandled"}, "responsePayload": {"errorType": "Error", "errorMessage": "boom"}}`))
	require.NoError(t, err)
	require.Equal(t, []any{completion.Failed, "abcdefghijklmnop.0", 2, false}, []any{r.Kind, r.TaskID, r.Attempt, r.Permanent})
}

func TestMoesNamesOfTheStages(t *testing.T) {
	for _, s := range workflow.Stages {
		back, known := moe.ParseStage(moe.StageName(s))
		require.True(t, known)
		require.Equal(t, s, back)
	}
	_, known := moe.ParseStage("parallel")
	require.False(t, known)
}

package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/workflow"
)

func TestAStartIsReadAndItsFieldAtFaultNamed(t *testing.T) {
	s, err := workflow.ReadStart([]byte(`{"workflow": "Order intake EU", "metadata": {"a": 1}, "metadata_override": true, "traceparent": "00-…"}`), "event-1", "event-1")
	require.NoError(t, err)
	require.Equal(t, workflow.Start{Workflow: "Order intake EU", UID: "event-1", StartID: "event-1", Override: true, Metadata: json.RawMessage(`{"a": 1}`)}, s)

	for detail, field := range map[string]string{
		`{}`:                             "workflow",
		`[]`:                             "workflow",
		`{"workflow": 7}`:                "workflow",
		`{"workflow": "a  b"}`:           "workflow",
		`{"workflow": "w", "uid": 7}`:    "uid",
		`{"workflow": "w", "uid": "\n"}`: "uid",
		`{"workflow": "w", "uid": "` + strings.Repeat("x", 257) + `"}`: "uid",
		`{"workflow": "w", "from": []}`:                                "from",
		`{"workflow": "w", "start_id": {}}`:                            "start_id",
		`{"workflow": "w", "metadata_override": "yes"}`:                "metadata_override",
	} {
		_, err := workflow.ReadStart([]byte(detail), "e", "e")
		var refusal *workflow.Refusal
		require.ErrorAs(t, err, &refusal, detail)
		require.Equal(t, field, refusal.Field, detail)
	}
}

func TestARepeatedStartHasTheSameRunAndFingerprint(t *testing.T) {
	require.NotEqual(t, workflow.RunID("s-1"), workflow.RunID("s-2"))
	require.Regexp(t, `^run-[a-z2-7]{20}$`, workflow.RunID("s-1"))
	a := workflow.Start{Workflow: "w", UID: "u", StartID: "1", Metadata: json.RawMessage(`{"a":1}`)}
	b := a
	require.Equal(t, a.Fingerprint(), b.Fingerprint())
	b.Metadata = json.RawMessage(`{"a":2}`)
	require.NotEqual(t, a.Fingerprint(), b.Fingerprint())
}

func TestMetadataIsRefusedWithItsPath(t *testing.T) {
	schema := json.RawMessage(`{"type": "object", "required": ["country"], "properties": {"lines": {"type": "array", "items": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}}}}`)
	require.NoError(t, workflow.CheckMetadata(json.RawMessage(`{"country": "AT", "lines": [{"sku": "a"}]}`), schema))
	for metadata, field := range map[string]string{
		`{}`:                            "metadata",
		`[]`:                            "metadata",
		`null`:                          "metadata",
		`"x"`:                           "metadata",
		`{"country": "AT", "lines": 5}`: "metadata.lines",
		`{"country": "AT", "lines": [{"sku": "a"}, {"sku": 5}]}`: "metadata.lines[1].sku",
		`{"country": "AT", "lines": [{}]}`:                       "metadata.lines[0]",
		`{"country": "AT", "drover": {}}`:                        "metadata.drover",
		`{"country": "` + strings.Repeat("x", 200_000) + `"}`:    "metadata",
	} {
		err := workflow.CheckMetadata(json.RawMessage(metadata), schema)
		var refusal *workflow.Refusal
		require.ErrorAs(t, err, &refusal, "%.80s", metadata)
		require.Equal(t, field, refusal.Field, "%.80s", metadata)
		require.NotEmpty(t, refusal.Reason)
		require.NotContains(t, refusal.Reason, "\n")
	}
	require.NoError(t, workflow.CheckMetadata(json.RawMessage(`{"any": [1, {"x": null}]}`), nil))
}

func TestMetadataIsComparedDeeply(t *testing.T) {
	same := func(a, b string) bool { return workflow.SameMetadata(json.RawMessage(a), json.RawMessage(b)) }
	require.True(t, same(`{"a": {"x": 1, "y": [1, 2.0]}}`, `{"a": {"y": [1.0, 2], "x": 1e0}}`))
	require.False(t, same(`{"a": {"x": 1}}`, `{"a": {"x": 2}}`))
	require.False(t, same(`{"a": [1, 2]}`, `{"a": [2, 1]}`))
	require.False(t, same(`{"a": null}`, `{}`))
	require.False(t, same(`{"a": 12345678901234567}`, `{"a": 12345678901234568}`))
	require.False(t, same(`{"a": 1e999999999}`, `{"a": 1e999999998}`))
	require.False(t, same(`{"a": "1"}`, `{"a": 1}`))
}

// rerun begins the next run of the same uid.
func rerun(t *testing.T, before *run, start workflow.Start) (*run, []workflow.Keep, error) {
	t.Helper()
	start.Workflow, start.UID = "w", "u"
	s, keeps, err := workflow.Begin(before.subject.Composition, start, &workflow.Previous{Subject: before.subject, Head: before.head, Progress: before.progress})
	if err != nil {
		return nil, nil, err
	}
	return begin(t, s), keeps, nil
}

func begin(t *testing.T, s workflow.Subject) *run {
	t.Helper()
	return start(t, s)
}

const again = `
workflows: {w: {activities: [a, b]}}
activities: {a: {on_error: wait_all}}
plugins:
  good: {activity: a, stage: parallel}
  bad: {activity: a, stage: parallel}
  always: {activity: a, stage: parallel, always_run: true}
  late: {activity: b, stage: post}
  ever: {activity: b, stage: post, always_run: true, order: 99}
`

func failed(t *testing.T) *run {
	t.Helper()
	r := begin(t, subject(t, again, "w", `{"a": 1}`))
	r.end("good", true)
	r.end("bad", false)
	r.end("always", true)
	require.Equal(t, workflow.Error, r.head.State)
	return r
}

func TestAReRunKeepsWhatWasComplete(t *testing.T) {
	first := failed(t)

	second, keeps, err := rerun(t, first, workflow.Start{})

	require.NoError(t, err)
	require.Equal(t, 2, second.subject.Run)
	require.Equal(t, []workflow.Keep{{From: workflow.Place{Stage: workflow.Parallel}, To: workflow.Place{Stage: workflow.Parallel}, Number: 2, Before: 2}}, keeps)
	require.Equal(t, []string{"always", "bad"}, second.open(), "what failed, and what always runs")
	require.Equal(t, workflow.Complete, second.states()["a/parallel/good"])
	for _, plugin := range []string{"bad", "always", "late", "ever"} {
		second.end(plugin, true)
	}
	require.Equal(t, workflow.Complete, second.head.State)

	third, _, err := rerun(t, second, workflow.Start{})
	require.NoError(t, err)
	require.Equal(t, []string{"always"}, third.open(), "a Complete run runs again what always runs")
	third.end("always", true)
	third.end("ever", true)
	require.Equal(t, []string{"a/parallel/always", "b/post/ever"}, third.started)

	fourth, _, err := rerun(t, third, workflow.Start{From: "b"})
	require.NoError(t, err)
	require.Equal(t, []string{"b/post/late"}, fourth.started, "nothing before it, and everything from it on")
	fourth.end("late", true)
	fourth.end("ever", true)
	require.Equal(t, workflow.Complete, fourth.head.State)
	require.Equal(t, []string{"b: Complete"}, fourth.told)
	require.Equal(t, workflow.Complete, fourth.states()["a/parallel/good"])
}

func TestAReRunFromAnActivityPassesOverWhatWasNotComplete(t *testing.T) {
	second, _, err := rerun(t, failed(t), workflow.Start{From: "b"})
	require.NoError(t, err)
	require.Equal(t, workflow.Skipped, second.states()["a/parallel/bad"])
	require.Equal(t, workflow.Complete, second.tree().Activities[0].State)
}

func TestAReRunWithOtherMetadataIsRefused(t *testing.T) {
	first := failed(t)
	_, _, err := rerun(t, first, workflow.Start{Metadata: json.RawMessage(`{"a": 2}`)})
	var refusal *workflow.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "metadata", refusal.Field)

	second, _, err := rerun(t, first, workflow.Start{Metadata: json.RawMessage(`{"a": 2}`), Override: true})
	require.NoError(t, err)
	require.JSONEq(t, `{"a": 2}`, string(second.subject.Metadata))
}

func TestAnUnknownActivityToBeginWithIsRefused(t *testing.T) {
	_, _, err := rerun(t, failed(t), workflow.Start{From: "c"})
	var refusal *workflow.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "from", refusal.Field)
}

func TestKeptTurnsFollowTheirPluginsIntoANewVersion(t *testing.T) {
	first := failed(t)
	next := composed(t, again+"\n  aaa: {activity: a, stage: parallel}\n", "w")
	s, keeps, err := workflow.Begin(next, workflow.Start{Workflow: "w", UID: "u"}, &workflow.Previous{Subject: first.subject, Head: first.head, Progress: first.progress})
	require.NoError(t, err)
	require.Equal(t, 3, keeps[0].Number, "aaa comes before it now")
	require.Equal(t, 2, keeps[0].Before)
	require.Equal(t, segment.Of(3), s.Kept[workflow.Place{Stage: workflow.Parallel}])
}

func TestAnExplanationSaysWhatEachPluginWouldDo(t *testing.T) {
	got, err := subject(t, order, "order", `{"country": "FR", "total": 300}`).Explain()
	require.NoError(t, err)
	var lines []string
	for _, e := range got {
		lines = append(lines, fmt.Sprintf("%s/%s/%s %v %d %v: %s", e.Activity, e.Stage, e.Plugin, e.Mandatory, e.Order, e.Matches, e.Reason))
	}
	require.Equal(t, []string{
		"validate/pre/z true 5 true: it has no filter",
		"validate/pre/a true 90 true: it has no filter",
		"validate/pre/b true 90 true: it has no filter",
		"validate/parallel/here true 90 true: its filter matches",
		"validate/parallel/risky false 90 true: it has no filter",
		`validate/parallel/stock true 90 false: country is "FR"; want ["AT","DE"]`,
		"validate/post/audit true 90 true: it has no filter",
		"ship/post/audit false 90 false: vip is absent; want [true]",
	}, lines)
}

package dynamo_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

var began = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func runs(t *testing.T) (dynamo.Runs, *fakeaws.DynamoDB) {
	t.Helper()
	db := fakeaws.NewDynamoDB(func() time.Time { return began }, fakeaws.StackTables("")...)
	return dynamo.Runs{API: db, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable, Retention: 30 * 24 * time.Hour}, db
}

func record(id, uid string) flow.Record {
	return flow.Record{ID: id, Workflow: "Order intake", UID: uid, Run: 1, Version: 3, Fingerprint: "f", Execution: "arn:x", RecordedAt: began, TokenAt: flow.Place{Activity: -1},
		Head: flow.Head{State: flow.InProgress, StartedAt: began, BegunAt: began}}
}

func create(t *testing.T, r dynamo.Runs, one flow.Record) flow.Record {
	t.Helper()
	claim, err := r.Claim(t.Context(), one.Workflow, one.UID)
	require.NoError(t, err)
	after := claim
	if after.Active == "" {
		after.Active, after.Last, after.Run = one.ID, one.ID, one.Run
	}
	require.NoError(t, r.Create(t.Context(), one, workflow.Stored{Metadata: []byte(`{"a":1}`), From: "ship", Start: []byte(`{}`),
		Kept: flow.Kept{{Activity: 1, Stage: flow.Post}: segment.Of(0, 1, 7)}}, claim, after))
	got, found, err := r.Get(t.Context(), one.ID)
	require.NoError(t, err)
	require.True(t, found)
	return got
}

func TestARunsRecordIsReadAsItWasStored(t *testing.T) {
	r, _ := runs(t)
	got := create(t, r, record("run-1", "u"))
	want := record("run-1", "u")
	want.Revision = 1
	require.Equal(t, want, got)

	after := got
	after.Token, after.TokenAt, after.Told, after.Alert, after.AlertedAt, after.ExtendedAt, after.Stopped, after.Foreign = "token", flow.Place{Activity: 2, Stage: flow.Post}, 2, flow.Alerting, began.Add(time.Minute),
		began.Add(time.Second), true, true
	after.Head = flow.Head{At: flow.Place{Activity: 3}, BegunAt: began.Add(time.Second), Stages: []flow.State{flow.Complete, flow.OptionalTaskError}, Activities: []flow.State{flow.TimedOut},
		Lapsed: true, Verdict: flow.Cancelled, Paused: true, State: flow.Error, StartedAt: began, FinishedAt: began.Add(time.Hour), Message: "why"}
	saved, err := r.Save(t.Context(), got, after)
	require.NoError(t, err)
	again, _, err := r.Get(t.Context(), "run-1")
	require.NoError(t, err)
	require.Equal(t, saved, again)
	_, err = r.Save(t.Context(), got, after)
	require.ErrorIs(t, err, workflow.ErrChanged)

	subject, err := r.Subject(t.Context(), "run-1")
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(subject.Metadata))
	require.Equal(t, "ship", subject.From)
	require.Equal(t, flow.Kept{{Activity: 1, Stage: flow.Post}: segment.Of(0, 1, 7)}, subject.Kept)
	_, found, err := r.Get(t.Context(), "run-2")
	require.NoError(t, err)
	require.False(t, found)
}

func TestARunIsListedAndActiveUntilItIsRetired(t *testing.T) {
	r, _ := runs(t)
	got := create(t, r, record("run-1", "u"))
	later := record("run-2", "v")
	later.Head.StartedAt = began.Add(time.Minute)
	create(t, r, later)
	active, err := r.Active(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"run-1", "run-2"}, active)

	after := got
	after.Head.State, after.Head.FinishedAt = flow.Complete, began
	ended, err := r.Save(t.Context(), got, after)
	require.NoError(t, err)
	require.NoError(t, r.Retire(t.Context(), ended))
	require.ErrorIs(t, r.Retire(t.Context(), ended), workflow.ErrChanged)
	_, err = r.Save(t.Context(), ended, after)
	require.ErrorIs(t, err, workflow.ErrChanged, "a late writer does not bring it back")

	active, err = r.Active(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"run-2"}, active)
	listed, err := r.List(t.Context(), "Order intake", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"run-2", "run-1"}, []string{listed[0].ID, listed[1].ID})
	require.Equal(t, flow.Complete, listed[1].Head.State)
	listed, err = r.List(t.Context(), "Order intake", 1)
	require.NoError(t, err)
	require.Len(t, listed, 1)
}

func TestTheClaimOfAUIDGoesToTheRunThatHasWaitedLongest(t *testing.T) {
	r, _ := runs(t)
	first := create(t, r, record("run-1", "u"))
	for i, id := range []string{"run-2", "run-3"} {
		waiting := record(id, "u")
		waiting.RecordedAt, waiting.Head.State, waiting.Version, waiting.Run = began.Add(time.Duration(i+1)*time.Second), flow.NotStarted, 0, 0
		create(t, r, waiting)
	}
	line, err := r.Waiting(t.Context(), "Order intake", "u")
	require.NoError(t, err)
	require.Equal(t, []string{"run-2", "run-3"}, line)

	for range 2 { // the second time it is released already
		next, err := r.Release(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, "run-2", next)
	}

	claim, err := r.Claim(t.Context(), "Order intake", "u")
	require.NoError(t, err)
	require.Equal(t, "run-1", claim.Last)
	second, _, err := r.Get(t.Context(), "run-2")
	require.NoError(t, err)
	after, claimed := second, claim
	after.Head.State, after.Run, after.Version, claimed.Last, claimed.Run = flow.InProgress, 2, 3, "run-2", 2
	require.NoError(t, r.Activate(t.Context(), second, after, workflow.Stored{Metadata: []byte(`{}`)}, claim, claimed))
	require.ErrorIs(t, r.Activate(t.Context(), second, after, workflow.Stored{}, claim, claimed), workflow.ErrChanged)
	for _, want := range []string{"run-3", ""} {
		claim, err = r.Claim(t.Context(), "Order intake", "u")
		require.NoError(t, err)
		next, err := r.Release(t.Context(), flow.Record{ID: claim.Active, Workflow: "Order intake", UID: "u", Head: flow.Head{FinishedAt: began}})
		require.NoError(t, err)
		require.Equal(t, want, next)
	}
	stale := workflow.Claim{Workflow: "Order intake", UID: "u"}
	require.ErrorIs(t, r.Create(t.Context(), record("run-9", "u"), workflow.Stored{}, stale, stale), workflow.ErrChanged)
}

func TestAStageCountsEachTurnOnceAndRefusesStaleWriters(t *testing.T) {
	r, db := runs(t)
	plan := flow.Plan{Place: flow.Place{Activity: 1, Stage: flow.Parallel}, Options: flow.NewActivity("a"),
		Turns: []flow.Turn{{Number: 0, Mandatory: true, Matches: true}, {Number: 1, Matches: true}, {Number: 2, Mandatory: true, Matches: true}}}
	none, err := r.Progress(t.Context(), "run-1", plan.Place)
	require.NoError(t, err)
	require.Equal(t, flow.Progress{}, none)
	_, _, err = r.Count(t.Context(), "run-1", plan.Place, workflow.Ends{Completed: segment.Of(0)})
	require.ErrorIs(t, err, workflow.ErrChanged, "a stage that is gone counts nothing")

	after := flow.Progress{Published: segment.Of(0, 1, 2), PublishedAt: began}
	entries := []queue.Entry{{Labourer: "f", Due: began, Segment: segment.IDOf("x", 0), Tasks: segment.Of(0, 1, 2), Attempt: 1}}
	require.NoError(t, r.Publish(t.Context(), "run-1", plan, none, after, entries, nil))
	require.ErrorIs(t, r.Publish(t.Context(), "run-1", plan, none, after, nil, nil), workflow.ErrChanged)
	due, err := dynamo.Control{API: db, Table: fakeaws.ControlTable}.Due(t.Context(), "f", began, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)

	for range 2 {
		p, fatal, err := r.Count(t.Context(), "run-1", plan.Place, workflow.Ends{Completed: segment.Of(0), Dead: segment.Of(1)})
		require.NoError(t, err)
		require.Equal(t, segment.Of(0, 2), fatal)
		require.Equal(t, segment.Of(0), p.Completed)
		require.Equal(t, segment.Of(1), p.Dead)
	}
	p, err := r.Progress(t.Context(), "run-1", plan.Place)
	require.NoError(t, err)
	given := p
	given.Cancelled, given.TimedOut = segment.Of(2), segment.Of(1)
	require.NoError(t, r.GiveUp(t.Context(), "run-1", plan, p, given, began))
	require.ErrorIs(t, r.GiveUp(t.Context(), "run-1", plan, p, given, began), workflow.ErrChanged)
	p, err = r.Progress(t.Context(), "run-1", plan.Place)
	require.NoError(t, err)
	require.Equal(t, segment.Of(2), p.Cancelled)
	require.Equal(t, segment.Of(1), p.TimedOut)
	require.Equal(t, segment.Of(0, 1, 2), p.Published)
	require.NoError(t, r.GiveUp(t.Context(), "run-2", plan, none, flow.Progress{Cancelled: segment.Of(0)}, began), "before anything was published")
}

func TestARunIsReadByOneQuery(t *testing.T) {
	r, _ := runs(t)
	create(t, r, record("run-1", "u"))
	d := flow.Detail{Place: flow.Place{Activity: 12, Stage: flow.Post}, Number: 7, TaskID: "abcdefghijklmnop.7", Attempts: 2, StartedAt: began, FinishedAt: began.Add(time.Minute),
		Message: "Boom: as asked", Result: json.RawMessage(`{"by":"p"}`)}
	other := flow.Detail{Place: flow.Place{}, Number: 0, TaskID: "abcdefghijklmnop.0", FinishedAt: began}
	require.NoError(t, r.Keep(t.Context(), "run-1", []flow.Detail{d, other}))
	plan := flow.Plan{Place: flow.Place{}, Options: flow.NewActivity("a")}
	require.NoError(t, r.Publish(t.Context(), "run-1", plan, flow.Progress{}, flow.Progress{Published: segment.Of(0), PublishedAt: began}, nil, nil))

	whole, found, err := r.Whole(t.Context(), "run-1")

	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, map[flow.Place]map[int]flow.Detail{d.Place: {7: d}, {}: {0: other}}, whole.Details)
	require.Equal(t, segment.Of(0), whole.Progress[flow.Place{}].Published)
	stored, _, err := r.Get(t.Context(), "run-1")
	require.NoError(t, err)
	require.Equal(t, stored, whole.Record)
	subject, err := r.Subject(t.Context(), "run-1")
	require.NoError(t, err)
	require.Equal(t, subject, whole.Stored)
	_, found, err = r.Whole(t.Context(), "run-2")
	require.NoError(t, err)
	require.False(t, found)
	one, found, err := r.Detail(t.Context(), "run-1", d.Place, 7)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, d, one)
	_, found, err = r.Detail(t.Context(), "run-1", d.Place, 8)
	require.NoError(t, err)
	require.False(t, found)
}

// TestWhatIsStoredBesideARecordExpiresAfterIt: within a week, and not while the run lasts.
func TestWhatIsStoredBesideARecordExpiresAfterIt(t *testing.T) {
	r, db := runs(t)
	create(t, r, record("run-1", "u"))
	plan := flow.Plan{Place: flow.Place{}, Options: flow.NewActivity("a")}
	require.NoError(t, r.Publish(t.Context(), "run-1", plan, flow.Progress{}, flow.Progress{Published: segment.Of(0), PublishedAt: began}, nil, nil))
	require.NoError(t, r.GiveUp(t.Context(), "run-1", flow.Plan{Place: flow.Place{Stage: flow.Post}, Options: plan.Options}, flow.Progress{}, flow.Progress{Cancelled: segment.Of(0)}, began))
	require.NoError(t, r.Keep(t.Context(), "run-1", []flow.Detail{{TaskID: "abcdefghijklmnop.0", FinishedAt: began}}))
	expires := func() map[string]string {
		out, err := db.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String(fakeaws.RunsTable), KeyConditionExpression: aws.String("run = :run"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":run": &types.AttributeValueMemberS{Value: "run-1"}}})
		require.NoError(t, err)
		of := map[string]string{}
		for _, it := range out.Items {
			at, _ := it["expires_at"].(*types.AttributeValueMemberN)
			if of[it["item"].(*types.AttributeValueMemberS).Value] = ""; at != nil {
				of[it["item"].(*types.AttributeValueMemberS).Value] = at.Value
			}
		}
		return of
	}
	all := func(at time.Time) map[string]string {
		text := strconv.FormatInt(at.Add(workflow.KeptFor+r.Retention).Unix(), 10)
		return map[string]string{"run": "", "subject": text, "stage#000#0": text, "stage#000#2": text, "turn#000#0#000": text}
	}
	require.Equal(t, all(began), expires())

	require.NoError(t, r.Extend(t.Context(), "run-1", began.Add(time.Hour)))

	require.Equal(t, all(began.Add(time.Hour)), expires(), "the record expires once the run has ended")
}

func TestAVersionOfAWorkflowNeverChanges(t *testing.T) {
	_, db := runs(t)
	c := dynamo.NewCompositions(db, fakeaws.RunsTable)
	_, found, err := c.Newest(t.Context(), "w")
	require.NoError(t, err)
	require.False(t, found)
	composition := func(version int, activities ...string) flow.Composition {
		d := flow.NewDefinitions()
		w := flow.NewWorkflow("w")
		w.Activities = activities
		d.Workflows["w"] = w
		one, _ := flow.Compose(d, "w")
		one.Version = version
		return one
	}
	require.NoError(t, c.Add(t.Context(), composition(1, "a")))
	require.ErrorIs(t, c.Add(t.Context(), composition(1, "other")), workflow.ErrChanged)
	require.NoError(t, c.Add(t.Context(), composition(2, "a", "b")))

	for _, from := range []*dynamo.Compositions{c, dynamo.NewCompositions(db, fakeaws.RunsTable)} {
		newest, found, err := from.Newest(t.Context(), "w")
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, composition(2, "a", "b"), newest)
		first, err := from.Version(t.Context(), "w", 1)
		require.NoError(t, err)
		require.Equal(t, composition(1, "a"), first)
	}
	version, fingerprint, removed, err := c.Head(t.Context(), "w")
	require.NoError(t, err)
	require.Equal(t, 2, version)
	require.Equal(t, composition(2, "a", "b").Fingerprint(), fingerprint)
	require.False(t, removed)
	require.NoError(t, c.Remove(t.Context(), "w", 2))
	_, found, err = c.Newest(t.Context(), "w")
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, c.Add(t.Context(), composition(3, "a")), "a workflow that comes back goes on counting")
	_, err = c.Version(t.Context(), "w", 9)
	require.ErrorContains(t, err, "has no version 9")
}

func TestARefusedStartIsNoRunAndMayBecomeOne(t *testing.T) {
	r, _ := runs(t)
	refused := record("run-1", "u")
	refused.By, refused.Refused = "event-1", &flow.Refusal{Field: "uid", Reason: "has an active run"}
	require.NoError(t, r.Refuse(t.Context(), refused))
	require.NoError(t, r.Refuse(t.Context(), refused))
	got, found, err := r.Get(t.Context(), "run-1")
	require.NoError(t, err)
	require.False(t, found)
	require.Equal(t, refused.Refused, got.Refused)
	require.Equal(t, "event-1", got.By)
	_, found, err = r.Whole(t.Context(), "run-1")
	require.NoError(t, err)
	require.False(t, found)

	one := record("run-1", "u")
	claim := workflow.Claim{Workflow: one.Workflow, UID: "u"}
	require.ErrorIs(t, r.Create(t.Context(), one, workflow.Stored{}, claim, claim), workflow.ErrChanged, "it has not read the refusal")
	one.By = "event-0"
	require.ErrorIs(t, r.Create(t.Context(), one, workflow.Stored{}, claim, claim), workflow.ErrChanged)
	one.By = "event-1"
	require.NoError(t, r.Create(t.Context(), one, workflow.Stored{}, claim, claim))

	got, found, err = r.Get(t.Context(), "run-1")
	require.NoError(t, err)
	require.True(t, found)
	require.Nil(t, got.Refused)
	require.ErrorIs(t, r.Refuse(t.Context(), refused), workflow.ErrChanged)
}

// TestAnotherVersionsAttributesStayInARunsItems: during an update, functions of two versions write the same items.
func TestAnotherVersionsAttributesStayInARunsItems(t *testing.T) {
	r, db := runs(t)
	got := create(t, r, record("run-1", "u"))
	waiting := record("run-2", "u")
	waiting.Head.State, waiting.Version, waiting.Run = flow.NotStarted, 0, 0
	waiting = create(t, r, waiting)
	for _, it := range db.Items(fakeaws.RunsTable) {
		it["novelty"] = &types.AttributeValueMemberBOOL{Value: true}
		require.NoError(t, db.Put(fakeaws.RunsTable, it))
	}

	after := got
	after.Head.State, after.Head.FinishedAt = flow.Complete, began
	ended, err := r.Save(t.Context(), got, after)
	require.NoError(t, err)
	_, err = r.Release(t.Context(), ended)
	require.NoError(t, err)
	claim, err := r.Claim(t.Context(), "Order intake", "u")
	require.NoError(t, err)
	begun := waiting
	begun.Head.State, begun.Version, begun.Run = flow.InProgress, 3, 2
	claimed := claim
	claimed.Last, claimed.Run = "run-2", 2
	require.NoError(t, r.Activate(t.Context(), waiting, begun, workflow.Stored{Metadata: []byte(`{"a":2}`)}, claim, claimed))

	for _, it := range db.Items(fakeaws.RunsTable) {
		require.Contains(t, it, "novelty", "%v", it["item"])
	}
	subject, err := r.Subject(t.Context(), "run-2")
	require.NoError(t, err)
	require.Equal(t, workflow.Stored{Metadata: []byte(`{"a":2}`)}, subject, "nothing of what waited stays")
}

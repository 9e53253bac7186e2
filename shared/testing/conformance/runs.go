package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// RunRuns tests the store of the runs of workflows.
func RunRuns(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"a run's record and subject are read as they were stored":  runStored,
		"a run is created once":                                    runCreatedOnce,
		"one of two concurrent writers of a record succeeds":       runSavedOnce,
		"a run is listed, and active until it is retired":          runListed,
		"a refused start is no run, and may become one":            runRefused,
		"one of two starts of a uid becomes its active run":        runClaimedOnce,
		"the claim of a uid goes to the run that waited longest":   runClaimPassed,
		"turns are published with their entries, once":             turnsPublished,
		"some turns are granted directly, all or none":             turnsGranted,
		"an end is counted once, however often it is told":         turnsCounted,
		"a count by many at once loses no end":                     turnsCountedAtOnce,
		"what is given up is written over what was read":           turnsGivenUp,
		"a stage that never began counts nothing":                  turnsOfNoStage,
		"a run is read whole, with its stages and turns":           runWhole,
		"which workflows had active runs is read as it was stored": runsGauged,
	})
}

// start returns a run that begins, as yet nowhere stored.
func start(uid string) flow.Record {
	id := unique("run")
	return flow.Record{ID: id, Workflow: unique("order intake"), UID: uid, Run: 1, Version: 3, Fingerprint: "f", Execution: "arn:" + id, RecordedAt: noon,
		TokenAt: flow.Place{Activity: -1}, Head: flow.Head{State: flow.InProgress, StartedAt: noon, BegunAt: noon}}
}

func waiting(behind flow.Record, after time.Duration) flow.Record {
	r := start(behind.UID)
	r.Workflow, r.Run, r.Version, r.RecordedAt = behind.Workflow, 0, 0, noon.Add(after)
	r.Head = flow.Head{State: flow.NotStarted, StartedAt: r.RecordedAt}
	return r
}

var subjectOfRuns = workflow.Stored{Metadata: []byte(`{"a":1}`), From: "ship", Kept: flow.Kept{{Activity: 1, Stage: flow.Post}: segment.Of(0, 1, 7)}}

// begin stores a run with its claim, and returns its record as it is stored.
func begin(t *testing.T, s Stores, r flow.Record) flow.Record {
	t.Helper()
	require.NoError(t, beginning(t, s, r))
	got, found, err := s.Runs.Get(t.Context(), r.ID)
	require.NoError(t, err)
	require.True(t, found)
	return got
}

func beginning(t *testing.T, s Stores, r flow.Record) error {
	t.Helper()
	claim, err := s.Runs.Claim(t.Context(), r.Workflow, r.UID)
	require.NoError(t, err)
	after := claim
	if after.Active == "" {
		after.Active, after.Last, after.Run = r.ID, r.ID, r.Run
	}
	return s.Runs.Create(t.Context(), r, subjectOfRuns, claim, after)
}

func runStored(t *testing.T, s Stores) {
	r := start("u")
	got := begin(t, s, r)
	r.Revision = got.Revision
	require.Equal(t, r, got)
	subject, err := s.Runs.Subject(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, subjectOfRuns, subject)

	after := got
	after.Token, after.TokenAt, after.Told, after.Stopped, after.Begins = "token", flow.Place{Activity: 2, Stage: flow.Post}, 2, true, true
	after.Alert, after.AlertedAt, after.ExtendedAt = flow.Alerting, noon.Add(time.Minute), noon.Add(time.Second)
	after.Head = flow.Head{At: flow.Place{Activity: 3}, BegunAt: noon.Add(time.Second), Stages: []flow.State{flow.Complete, flow.OptionalTaskError},
		Activities: []flow.State{flow.TimedOut}, Lapsed: true, Verdict: flow.Cancelled, Paused: true, State: flow.Error, StartedAt: noon, FinishedAt: noon.Add(time.Hour), Message: "why"}
	saved, err := s.Runs.Save(t.Context(), got, after)
	require.NoError(t, err)
	again, _, err := s.Runs.Get(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, saved, again)

	back := saved
	back.Token, back.TokenAt, back.Begins, back.Alert, back.AlertedAt = "", flow.Place{Activity: -1}, false, "", time.Time{}
	back.Head = got.Head
	saved, err = s.Runs.Save(t.Context(), saved, back)
	require.NoError(t, err)
	again, _, err = s.Runs.Get(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, saved, again, "what is not there any more is gone")
	_, found, err := s.Runs.Get(t.Context(), unique("run"))
	require.NoError(t, err)
	require.False(t, found)
}

func runCreatedOnce(t *testing.T, s Stores) {
	r := start("u")
	begin(t, s, r)

	require.ErrorIs(t, beginning(t, s, r), workflow.ErrChanged)
}

func runSavedOnce(t *testing.T, s Stores) {
	got := begin(t, s, start("u"))
	var racers []func() error
	for i := range 4 {
		racers = append(racers, func() error {
			after := got
			after.Told = i + 1
			_, err := s.Runs.Save(t.Context(), got, after)
			return err
		})
	}

	require.Equal(t, 1, race(t, workflow.ErrChanged, racers...))
}

func runListed(t *testing.T, s Stores) {
	first := begin(t, s, start("u"))
	later := start("v")
	later.Workflow, later.Head.StartedAt = first.Workflow, noon.Add(time.Minute)
	begin(t, s, later)
	active := func(id string) func() bool {
		return func() bool {
			ids, err := s.Runs.Active(t.Context())
			require.NoError(t, err)
			return slices.Contains(ids, id)
		}
	}
	shortly(t, active(first.ID), "a run that begins is active")

	after := first
	after.Head.State, after.Head.FinishedAt = flow.Complete, noon
	ended, err := s.Runs.Save(t.Context(), first, after)
	require.NoError(t, err)
	require.NoError(t, s.Runs.Retire(t.Context(), ended))

	require.ErrorIs(t, s.Runs.Retire(t.Context(), ended), workflow.ErrChanged)
	_, err = s.Runs.Save(t.Context(), ended, after)
	require.ErrorIs(t, err, workflow.ErrChanged, "a late writer does not bring it back")
	retired, _, err := s.Runs.Get(t.Context(), first.ID)
	require.NoError(t, err)
	require.True(t, retired.Retired)
	shortly(t, func() bool { return !active(first.ID)() }, "a retired run is not active")
	shortly(t, func() bool {
		listed, err := s.Runs.List(t.Context(), first.Workflow, 0)
		require.NoError(t, err)
		return len(listed) == 2 && listed[0].ID == later.ID && listed[1].ID == first.ID && listed[1].Head.State == flow.Complete
	}, "the newest run is listed first")
}

func runRefused(t *testing.T, s Stores) {
	r := start("u")
	refused := r
	refused.By, refused.Refused = "event-1", &flow.Refusal{Field: "uid", Reason: "has an active run"}
	require.NoError(t, s.Runs.Refuse(t.Context(), refused))
	got, found, err := s.Runs.Get(t.Context(), r.ID)
	require.NoError(t, err)
	require.False(t, found)
	require.Equal(t, refused.Refused, got.Refused)
	require.Equal(t, refused.By, got.By)

	require.ErrorIs(t, beginning(t, s, r), workflow.ErrChanged, "it has not read the refusal")
	r.By = "event-1"
	begin(t, s, r)

	require.ErrorIs(t, s.Runs.Refuse(t.Context(), refused), workflow.ErrChanged)
}

func runClaimedOnce(t *testing.T, s Stores) {
	first := start("u")
	claim, err := s.Runs.Claim(t.Context(), first.Workflow, "u")
	require.NoError(t, err)
	require.Equal(t, workflow.Claim{Workflow: first.Workflow, UID: "u"}, claim)
	var racers []func() error
	for range 4 {
		one := start("u")
		one.Workflow = first.Workflow
		after := claim
		after.Active, after.Last, after.Run = one.ID, one.ID, 1
		racers = append(racers, func() error { return s.Runs.Create(t.Context(), one, subjectOfRuns, claim, after) })
	}

	require.Equal(t, 1, race(t, workflow.ErrChanged, racers...))
}

func runClaimPassed(t *testing.T, s Stores) {
	first := begin(t, s, start("u"))
	second := begin(t, s, waiting(first, 2*time.Second))
	third := begin(t, s, waiting(first, 3*time.Second))
	line, err := s.Runs.Waiting(t.Context(), first.Workflow, "u")
	require.NoError(t, err)
	require.Equal(t, []string{second.ID, third.ID}, line)

	first.Head.FinishedAt = noon
	for range 2 { // the second time it is released already
		next, err := s.Runs.Release(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, second.ID, next)
	}

	claim, err := s.Runs.Claim(t.Context(), first.Workflow, "u")
	require.NoError(t, err)
	begun, claimed := second, claim
	begun.Run, begun.Version, begun.Head = 2, 4, start("u").Head
	claimed.Last, claimed.Run = second.ID, 2
	require.NoError(t, s.Runs.Activate(t.Context(), second, begun, workflow.Stored{Metadata: []byte(`{}`)}, claim, claimed))
	require.ErrorIs(t, s.Runs.Activate(t.Context(), second, begun, workflow.Stored{}, claim, claimed), workflow.ErrChanged)
	line, err = s.Runs.Waiting(t.Context(), first.Workflow, "u")
	require.NoError(t, err)
	require.Equal(t, []string{third.ID}, line)
	subject, err := s.Runs.Subject(t.Context(), second.ID)
	require.NoError(t, err)
	require.Equal(t, workflow.Stored{Metadata: []byte(`{}`)}, subject)
}

// planned is a stage of three turns, of which two are mandatory.
var planned = flow.Plan{Place: flow.Place{Activity: 1, Stage: flow.Parallel}, Options: flow.NewActivity("a"),
	Turns: []flow.Turn{{Number: 0, Mandatory: true, Matches: true}, {Number: 1, Matches: true}, {Number: 2, Mandatory: true, Matches: true}}}

func publishTurns(t *testing.T, s Stores, run, labourer string) error {
	t.Helper()
	e := queue.Entry{Labourer: labourer, Due: noon, Segment: flow.Segment(run, planned.Place), Tasks: segment.Of(0, 1, 2), Attempt: 1}
	return s.Runs.Publish(t.Context(), run, planned, flow.Progress{}, flow.Progress{Published: segment.Of(0, 1, 2), PublishedAt: noon}, []queue.Entry{e}, nil)
}

func turnsPublished(t *testing.T, s Stores) {
	run, labourer := unique("run"), unique("labourer")
	require.NoError(t, publishTurns(t, s, run, labourer))

	require.ErrorIs(t, publishTurns(t, s, run, labourer), workflow.ErrChanged)

	p, err := s.Runs.Progress(t.Context(), run, planned.Place)
	require.NoError(t, err)
	require.Equal(t, flow.Progress{Published: segment.Of(0, 1, 2), PublishedAt: noon, Revision: 1}, p)
	entries, err := s.Control.Queue(t.Context(), labourer)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, segment.Of(0, 1, 2), entries[0].Tasks)
}

func turnsCounted(t *testing.T, s Stores) {
	run := unique("run")
	require.NoError(t, publishTurns(t, s, run, unique("labourer")))

	for range 2 {
		p, fatal, err := s.Runs.Count(t.Context(), run, planned.Place, workflow.Ends{Completed: segment.Of(0), Dead: segment.Of(1)})
		require.NoError(t, err)
		require.Equal(t, segment.Of(0, 2), fatal)
		require.Equal(t, segment.Of(0), p.Completed)
		require.Equal(t, segment.Of(1), p.Dead)
	}
}

func turnsCountedAtOnce(t *testing.T, s Stores) {
	run := unique("run")
	require.NoError(t, publishTurns(t, s, run, unique("labourer")))
	var racers []func() error
	for n := range 3 {
		racers = append(racers, func() error {
			_, _, err := s.Runs.Count(t.Context(), run, planned.Place, workflow.Ends{Completed: segment.Of(n)})
			return err
		})
	}

	require.Equal(t, 3, race(t, workflow.ErrChanged, racers...))

	p, err := s.Runs.Progress(t.Context(), run, planned.Place)
	require.NoError(t, err)
	require.Equal(t, segment.Of(0, 1, 2), p.Completed)
}

func turnsGivenUp(t *testing.T, s Stores) {
	run := unique("run")
	require.NoError(t, publishTurns(t, s, run, unique("labourer")))
	stale, err := s.Runs.Progress(t.Context(), run, planned.Place)
	require.NoError(t, err)
	p, _, err := s.Runs.Count(t.Context(), run, planned.Place, workflow.Ends{Completed: segment.Of(0)})
	require.NoError(t, err)
	given := func(p flow.Progress) flow.Progress {
		p.Cancelled, p.TimedOut = segment.Of(2), segment.Of(1)
		return p
	}

	require.ErrorIs(t, s.Runs.GiveUp(t.Context(), run, planned, stale, given(stale), noon), workflow.ErrChanged, "a turn has ended in the meantime")
	require.NoError(t, s.Runs.GiveUp(t.Context(), run, planned, p, given(p), noon))

	p, err = s.Runs.Progress(t.Context(), run, planned.Place)
	require.NoError(t, err)
	require.Equal(t, segment.Of(0), p.Succeeded())
	require.Equal(t, segment.Of(2), p.Cancelled)
	require.Equal(t, segment.Of(1), p.TimedOut)
	other := unique("run")
	require.NoError(t, s.Runs.GiveUp(t.Context(), other, planned, flow.Progress{}, flow.Progress{Cancelled: segment.Of(0)}, noon), "before anything was published")
}

func turnsOfNoStage(t *testing.T, s Stores) {
	_, _, err := s.Runs.Count(t.Context(), unique("run"), planned.Place, workflow.Ends{Completed: segment.Of(0)})

	require.ErrorIs(t, err, workflow.ErrChanged)
}

func runWhole(t *testing.T, s Stores) {
	r := begin(t, s, start("u"))
	require.NoError(t, publishTurns(t, s, r.ID, unique("labourer")))
	var details []flow.Detail
	kept := map[int]flow.Detail{}
	for n := range 60 { // more than one batch
		d := flow.Detail{Place: flow.Place{Activity: 12, Stage: flow.Post}, Number: n, TaskID: fmt.Sprintf("abcdefghijklmnop.%d", n), Attempts: 2, StartedAt: noon,
			FinishedAt: noon.Add(time.Minute), Message: "Boom: as asked", Result: json.RawMessage(`{"by":"p"}`)}
		details, kept[n] = append(details, d), d
	}
	for range 2 {
		require.NoError(t, s.Runs.Keep(t.Context(), r.ID, details))
	}
	require.NoError(t, s.Runs.Extend(t.Context(), r.ID, noon.Add(time.Hour)))

	whole, found, err := s.Runs.Whole(t.Context(), r.ID)

	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, r, whole.Record)
	require.Equal(t, subjectOfRuns, whole.Stored)
	require.Equal(t, segment.Of(0, 1, 2), whole.Progress[planned.Place].Published)
	require.Equal(t, map[flow.Place]map[int]flow.Detail{details[0].Place: kept}, whole.Details)
	one, found, err := s.Runs.Detail(t.Context(), r.ID, details[0].Place, 7)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, kept[7], one)
	_, found, err = s.Runs.Whole(t.Context(), unique("run"))
	require.NoError(t, err)
	require.False(t, found)
}

func runsGauged(t *testing.T, s Stores) {
	for _, names := range [][]string{{"a", "b c"}, nil, {"b c"}} {
		require.NoError(t, s.Runs.SetGauged(t.Context(), names))
		shortly(t, func() bool {
			got, err := s.Runs.Gauged(t.Context())
			require.NoError(t, err)
			return slices.Equal(names, got)
		}, "the names are read")
	}
}

package workflow_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/workflow"
)

var began = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// run carries out the decisions about a run on sets in memory.
type run struct {
	t        rapid.TB
	subject  workflow.Subject
	head     workflow.Head
	progress map[workflow.Place]workflow.Progress
	now      time.Time
	started  []string // activity/stage/plugin, as they were published
	told     []string // activities that ended, with their states
}

func start(t rapid.TB, s workflow.Subject) *run {
	r := &run{t: t, subject: s, head: s.Head(began), progress: map[workflow.Place]workflow.Progress{}, now: began}
	r.settle()
	return r
}

// settle carries out decisions until the run waits.
func (r *run) settle() {
	for range 10_000 {
		if !r.once() {
			return
		}
	}
	r.t.Fatalf("the run never waits: %+v", r.head)
}

// once carries out one decision; it returns false for Wait.
func (r *run) once() bool {
	plan, err := r.subject.Plan(r.head.At)
	require.NoError(r.t, err)
	p := r.progress[r.head.At]
	d := workflow.Step(r.subject, r.head, plan, p, r.now)
	require.Equal(r.t, d, workflow.Step(r.subject, r.head, plan, p, r.now))
	switch d.Action {
	case workflow.Wait:
		return false
	case workflow.GiveUp:
		require.True(r.t, d.Numbers.Intersect(p.Ended()).Empty(), "a turn that has ended is given up")
		require.False(r.t, d.Numbers.Empty())
		if d.As == workflow.Cancelled {
			p.Cancelled = p.Cancelled.Union(d.Numbers)
		} else {
			p.TimedOut = p.TimedOut.Union(d.Numbers)
		}
	case workflow.Publish:
		require.False(r.t, d.Numbers.Empty())
		require.True(r.t, d.Numbers.Minus(plan.Running()).Empty(), "a turn is published that does not run")
		require.True(r.t, d.Numbers.Intersect(p.Published).Empty(), "a turn is published twice")
		require.False(r.t, r.head.Paused)
		if plan.Stage.Sequential() {
			require.Equal(r.t, 1, d.Numbers.Len())
			require.True(r.t, p.Published.Minus(p.Ended()).Empty(), "two turns of %s at once", plan.Stage)
		}
		for n := range d.Numbers.All() {
			r.started = append(r.started, plan.Activity+"/"+plan.Stage.String()+"/"+plan.Turns[n].Plugin)
		}
		p.Published, p.PublishedAt = p.Published.Union(d.Numbers), r.now
	case workflow.Condemn:
		require.NotEqual(r.t, r.head, d.Head)
		r.head = d.Head
		return true
	case workflow.Move:
		require.True(r.t, plan.Running().Minus(p.Ended()).Empty(), "a stage ends before its turns")
		for i := len(r.head.Activities); i < len(d.Head.Activities); i++ {
			r.told = append(r.told, fmt.Sprintf("%s: %s", r.subject.Composition.Workflow.Activities[r.subject.First()+i], d.Head.Activities[i]))
		}
		if d.Culprit >= 0 && d.Head.Message == "" {
			d.Head.Message = plan.Blame(d.Culprit, p, "Boom: as asked")
		}
		r.head = d.Head
		return true
	}
	p.Revision++
	r.progress[plan.Place] = p
	return true
}

// open returns the plugins whose tasks wait or run.
func (r *run) open() []string {
	plan, err := r.subject.Plan(r.head.At)
	require.NoError(r.t, err)
	p := r.progress[r.head.At]
	var out []string
	for n := range p.Published.Minus(p.Ended()).All() {
		out = append(out, plan.Turns[n].Plugin)
	}
	return out
}

// end ends the task of a plugin at the present stage.
func (r *run) end(plugin string, completed bool) {
	plan, err := r.subject.Plan(r.head.At)
	require.NoError(r.t, err)
	p := r.progress[r.head.At]
	for _, t := range plan.Turns {
		if t.Plugin != plugin {
			continue
		}
		require.True(r.t, p.Published.Contains(t.Number), "%s ends and was never published", plugin)
		if completed {
			p.Completed = p.Completed.Union(segment.Of(t.Number))
		} else {
			p.Dead = p.Dead.Union(segment.Of(t.Number))
		}
	}
	p.Revision++
	r.progress[r.head.At] = p
	if p.Decided(plan.Fatal()) { // as a recorder does
		r.settle()
	}
}

func (r *run) later(d time.Duration) {
	r.now = r.now.Add(d)
	r.settle()
}

func (r *run) cancel() {
	if !r.head.Ended() {
		r.head.Verdict = workflow.Cancelled
	}
	r.settle()
}

// states returns the states of the plugins in the tree, by activity/stage/plugin.
func (r *run) states() map[string]workflow.State {
	out := map[string]workflow.State{}
	for _, a := range r.tree().Activities {
		for _, s := range a.Stages {
			for _, t := range s.Turns {
				out[a.Activity+"/"+s.Stage.String()+"/"+t.Plugin] = t.State
			}
		}
	}
	return out
}

func (r *run) tree() workflow.Tree {
	tree, err := r.subject.Tree(r.head, r.progress)
	require.NoError(r.t, err)
	return tree
}

func (r *run) stage(activity int, s workflow.Stage) workflow.State {
	return r.tree().Activities[activity].Stages[s].State
}

const two = `
workflows: {w: {activities: [a]}}
plugins:
  one: {activity: a, stage: parallel}
  two: {activity: a, stage: parallel}
  last: {activity: a, stage: post}
`

func TestARunGoesOnWhenAllMandatoryPluginsAreComplete(t *testing.T) {
	r := start(t, subject(t, two, "w", `{}`))
	require.Equal(t, []string{"one", "two"}, r.open())
	require.Equal(t, workflow.InProgress, r.stage(0, workflow.Parallel))
	require.Equal(t, workflow.NotStarted, r.stage(0, workflow.Post))

	r.end("two", true)
	require.Equal(t, []string{"one"}, r.open())
	r.end("one", true)

	require.Equal(t, []string{"last"}, r.open())
	r.end("last", true)
	require.Equal(t, workflow.Complete, r.head.State)
	require.Equal(t, []string{"a: Complete"}, r.told)
}

const optional = `
workflows: {w: {activities: [a]}}
plugins:
  must: {activity: a, stage: parallel}
  may: {activity: a, stage: parallel, mandatory: false}
  last: {activity: a, stage: post}
`

func TestAnOptionalPluginIsWaitedFor(t *testing.T) {
	r := start(t, subject(t, optional, "w", `{}`))
	r.end("must", true)
	require.Equal(t, workflow.MandatoryCompleted, r.stage(0, workflow.Parallel))
	require.Equal(t, workflow.InProgress, r.tree().State)
	require.Equal(t, []string{"may"}, r.open())

	r.end("may", true)

	require.Equal(t, []string{"last"}, r.open())
}

func TestAnOptionalErrorNeitherAdvancesAStageNorFailsARun(t *testing.T) {
	r := start(t, subject(t, optional, "w", `{}`))
	r.end("may", false)
	require.Equal(t, []string{"must"}, r.open())
	require.Equal(t, workflow.InProgress, r.stage(0, workflow.Parallel))

	r.end("must", true)
	r.end("last", true)

	require.Equal(t, workflow.OptionalTaskError, r.head.State)
	require.Equal(t, workflow.OptionalTaskError, r.stage(0, workflow.Parallel))
	require.Equal(t, []string{"a: Optional Task Error"}, r.told)
}

func TestAMandatoryErrorCancelsTheRestOfItsStage(t *testing.T) {
	r := start(t, subject(t, two, "w", `{}`))

	r.end("one", false)

	require.Equal(t, workflow.Error, r.head.State)
	require.Equal(t, "plugin one of a (parallel) failed: Boom: as asked", r.head.Message)
	require.Equal(t, map[string]workflow.State{"a/parallel/one": workflow.Error, "a/parallel/two": workflow.Cancelled, "a/post/last": workflow.NotStarted}, r.states())
	require.Equal(t, workflow.NotStarted, r.stage(0, workflow.Post))
}

func TestWithWaitAllAStageIsWaitedForAndPostMayRunAlways(t *testing.T) {
	r := start(t, subject(t, two+"activities: {a: {on_error: wait_all, post: always}}", "w", `{}`))
	r.end("one", false)
	require.Equal(t, []string{"two"}, r.open())
	require.Equal(t, workflow.InProgress, r.stage(0, workflow.Parallel))
	r.end("two", true)
	require.Equal(t, []string{"last"}, r.open())

	r.end("last", true)

	require.Equal(t, workflow.Error, r.head.State)
	require.Equal(t, workflow.Complete, r.stage(0, workflow.Post))
}

const row = `
workflows: {w: {activities: [a, b]}}
activities: {a: {post: %s}}
plugins:
  first: {activity: a, stage: pre, order: 1, mandatory: %s}
  second: {activity: a, stage: pre, order: 2}
  middle: {activity: a, stage: parallel}
  last: {activity: a, stage: post}
  next: {activity: b, stage: pre}
`

func TestPluginsOfPreRunOneByOne(t *testing.T) {
	r := start(t, subject(t, fmt.Sprintf(row, "on_success", "true"), "w", `{}`))
	for _, plugin := range []string{"first", "second", "middle", "last", "next"} {
		require.Equal(t, []string{plugin}, r.open())
		r.end(plugin, true)
	}
	require.Equal(t, workflow.Complete, r.head.State)
	require.Equal(t, []string{"a: Complete", "b: Complete"}, r.told)
}

func TestAnErrorInPreEndsTheRun(t *testing.T) {
	r := start(t, subject(t, fmt.Sprintf(row, "on_success", "true"), "w", `{}`))

	r.end("first", false)

	require.Equal(t, workflow.Error, r.head.State)
	require.Equal(t, workflow.Cancelled, r.states()["a/pre/second"])
	require.Equal(t, workflow.NotStarted, r.states()["a/parallel/middle"])
	require.Equal(t, []string{"a: Error"}, r.told)
}

func TestPostAlwaysRunsAfterAnErrorInPre(t *testing.T) {
	r := start(t, subject(t, fmt.Sprintf(row, "always", "true"), "w", `{}`))
	r.end("first", false)
	require.Equal(t, []string{"last"}, r.open())

	r.end("last", true)

	require.Equal(t, workflow.Error, r.head.State)
	require.Equal(t, workflow.NotStarted, r.stage(0, workflow.Parallel))
	require.Equal(t, workflow.Complete, r.stage(0, workflow.Post))
}

func TestAnOptionalErrorInPreGoesOn(t *testing.T) {
	r := start(t, subject(t, fmt.Sprintf(row, "on_success", "false"), "w", `{}`))
	r.end("first", false)
	for _, plugin := range []string{"second", "middle", "last", "next"} {
		r.end(plugin, true)
	}
	require.Equal(t, workflow.OptionalTaskError, r.head.State)
}

func TestStagesWithoutMatchingPluginsAreComplete(t *testing.T) {
	r := start(t, subject(t, `
workflows: {w: {activities: [empty, none]}}
plugins:
  never: {activity: none, stage: parallel, filter: {country: [nowhere]}}
  neither: {activity: none, stage: pre, mandatory: false, filter: {x: [{exists: true}]}}
`, "w", `{}`))
	require.Equal(t, workflow.Complete, r.head.State)
	require.Empty(t, r.started)
	require.Equal(t, []string{"empty: Complete", "none: Complete"}, r.told)
	require.Equal(t, workflow.Skipped, r.states()["none/parallel/never"])
}

func TestAPluginOutOfTimeCountsAsAnError(t *testing.T) {
	text := `
workflows: {w: {activities: [a]}}
plugins:
  slow: {activity: a, stage: parallel, timeout: 10m, mandatory: %s}
  other: {activity: a, stage: parallel}
`
	t.Run("mandatory", func(t *testing.T) {
		r := start(t, subject(t, fmt.Sprintf(text, "true"), "w", `{}`))
		r.later(10*time.Minute - time.Second)
		require.Len(t, r.open(), 2)
		r.later(time.Second)
		require.Equal(t, workflow.Error, r.head.State)
		require.Equal(t, map[string]workflow.State{"a/parallel/slow": workflow.TimedOut, "a/parallel/other": workflow.Cancelled}, r.states())
		require.Equal(t, "plugin slow of a (parallel) took longer than its timeout of 10m", r.head.Message)
	})
	t.Run("optional", func(t *testing.T) {
		r := start(t, subject(t, fmt.Sprintf(text, "false"), "w", `{}`))
		r.later(10 * time.Minute)
		require.Equal(t, []string{"other"}, r.open())
		r.end("other", true)
		require.Equal(t, workflow.OptionalTaskError, r.head.State)
	})
}

func TestAnActivityOutOfTimeIsTimedOutAndItsRunError(t *testing.T) {
	for post, want := range map[string][]string{"on_success": {"a/parallel/one", "a/parallel/two"}, "always": {"a/parallel/one", "a/parallel/two", "a/post/last"}} {
		t.Run(post, func(t *testing.T) {
			r := start(t, subject(t, two+"activities: {a: {timeout: 1h, post: "+post+"}}", "w", `{}`))
			r.end("one", true)
			r.later(time.Hour)
			if post == "always" {
				require.Equal(t, []string{"last"}, r.open())
				r.later(time.Hour)
				r.end("last", true)
			}
			require.Equal(t, workflow.Error, r.head.State)
			require.Equal(t, []string{"a: Timed Out"}, r.told)
			require.Equal(t, workflow.TimedOut, r.stage(0, workflow.Parallel))
			require.Equal(t, workflow.Complete, r.states()["a/parallel/one"])
			require.Equal(t, workflow.TimedOut, r.states()["a/parallel/two"])
			require.Equal(t, want, r.started)
			require.Equal(t, "activity a took longer than its timeout of 1h", r.head.Message)
		})
	}
}

func TestARunOutOfTimeIsTimedOutAndPostDoesNotRun(t *testing.T) {
	r := start(t, subject(t, `
workflows: {w: {activities: [a], timeout: 1h}}
activities: {a: {post: always}}
plugins: {one: {activity: a, stage: parallel}, last: {activity: a, stage: post}}
`, "w", `{}`))
	r.later(time.Hour)
	require.Equal(t, workflow.TimedOut, r.head.State)
	require.Equal(t, []string{"a: Timed Out"}, r.told)
	require.Equal(t, workflow.TimedOut, r.states()["a/parallel/one"])
	require.Equal(t, workflow.NotStarted, r.states()["a/post/last"])
}

func TestACancelledRunIsCancelledAndLateEndsChangeNothing(t *testing.T) {
	r := start(t, subject(t, two+"activities: {a: {post: always}}", "w", `{}`))
	r.end("one", true)

	r.cancel()

	want := map[string]workflow.State{"a/parallel/one": workflow.Complete, "a/parallel/two": workflow.Cancelled, "a/post/last": workflow.NotStarted}
	require.Equal(t, workflow.Cancelled, r.head.State)
	require.Equal(t, want, r.states())
	r.end("two", true)
	require.Equal(t, want, r.states())
	require.Equal(t, workflow.Cancelled, r.stage(0, workflow.Parallel))
	require.Equal(t, workflow.Cancelled, r.tree().Activities[0].State)
}

func TestAPausedRunPublishesNothing(t *testing.T) {
	r := start(t, subject(t, fmt.Sprintf(row, "on_success", "true"), "w", `{}`))
	r.head.Paused = true
	require.Equal(t, workflow.Paused, r.tree().State)
	r.end("first", true)
	require.Empty(t, r.open())

	r.head.Paused = false
	r.settle()

	require.Equal(t, []string{"second"}, r.open())
}

// TestARunEndsInTheStateThatItsTurnsGiveIt: any workflow, any ends in any order, with timeouts, pauses and a cancellation in between.
func TestARunEndsInTheStateThatItsTurnsGiveIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := workflow.NewDefinitions()
		w := workflow.NewWorkflow("w")
		for i := range rapid.IntRange(1, 3).Draw(t, "activities") {
			a := workflow.NewActivity(fmt.Sprintf("a%d", i))
			a.OnError = rapid.SampledFrom([]workflow.OnError{workflow.FailFast, workflow.WaitAll}).Draw(t, "on_error")
			a.Post = rapid.SampledFrom([]workflow.PostWhen{workflow.OnSuccess, workflow.Always}).Draw(t, "post")
			a.Timeout = rapid.SampledFrom([]time.Duration{0, 7 * time.Minute}).Draw(t, "timeout")
			d.Activities[a.Name] = a
			w.Activities = append(w.Activities, a.Name)
		}
		w.Timeout = rapid.SampledFrom([]time.Duration{workflow.MaxSpan, 15 * time.Minute}).Draw(t, "timeout")
		d.Workflows["w"] = w
		for i := range rapid.IntRange(0, 8).Draw(t, "plugins") {
			p := workflow.NewPlugin(fmt.Sprintf("p%d", i))
			p.Activities = rapid.SliceOfNDistinct(rapid.SampledFrom(w.Activities), 1, len(w.Activities), rapid.ID[string]).Draw(t, "of")
			p.Stage = rapid.SampledFrom(workflow.Stages).Draw(t, "stage")
			p.Mandatory = rapid.Bool().Draw(t, "mandatory")
			p.Timeout = rapid.SampledFrom([]time.Duration{0, 0, 3 * time.Minute}).Draw(t, "timeout")
			if rapid.IntRange(0, 3).Draw(t, "filter") == 0 {
				p.Filter = []byte(`{"nowhere":[1]}`)
			}
			d.Plugins[p.Name] = p
		}
		c, _ := workflow.Compose(d, "w")
		r := start(t, workflow.Subject{Composition: c, UID: "u", Run: 1, Metadata: []byte(`{}`)})
		cancelled := false
		for range 1000 {
			if r.head.Ended() {
				break
			}
			open := r.open()
			switch k := rapid.IntRange(0, 20).Draw(t, "what"); {
			case k == 0 && !cancelled:
				cancelled = true
				r.cancel()
			case k == 1:
				r.head.Paused = !r.head.Paused
				r.settle()
			case k < 5 || len(open) == 0:
				r.head.Paused = false
				r.later(time.Duration(rapid.IntRange(0, 5).Draw(t, "minutes")) * time.Minute)
			default:
				r.end(rapid.SampledFrom(open).Draw(t, "which"), rapid.IntRange(0, 3).Draw(t, "end") > 0)
			}
		}
		require.True(t, r.head.Ended(), "the run never ends: %+v", r.head)
		judge(t, r)
	})
}

// judge checks an ended run against what its turns say.
func judge(t *rapid.T, r *run) {
	tree := r.tree()
	require.Equal(t, r.head.State, tree.State)
	require.False(t, r.head.FinishedAt.IsZero())
	ended := 0
	for i, a := range tree.Activities {
		var mandatory, failed bool
		for _, s := range a.Stages {
			for _, turn := range s.Turns {
				require.NotEqual(t, workflow.InProgress, turn.State, "%s is under way in an ended run", turn.Plugin)
				if !turn.Matches {
					require.Contains(t, []workflow.State{workflow.Skipped, workflow.NotStarted}, turn.State)
				}
				bad := turn.State == workflow.Error || turn.State == workflow.TimedOut
				mandatory = mandatory || bad && turn.Mandatory
				failed = failed || bad
			}
		}
		if i < len(r.head.Activities) {
			ended++
			require.Equal(t, r.head.Activities[i], a.State)
			switch a.State {
			case workflow.Complete:
				require.False(t, failed)
			case workflow.OptionalTaskError:
				require.True(t, failed && !mandatory)
			case workflow.Error:
				require.True(t, mandatory)
			}
		} else {
			require.Equal(t, workflow.NotStarted, a.State)
		}
	}
	require.Len(t, r.told, ended, "each activity that began and ended is told of once")
	if r.head.State.Good() {
		require.Equal(t, len(tree.Activities), ended)
	} else if r.head.State == workflow.Error {
		require.NotEmpty(t, r.head.Message)
	}
	before := r.states()
	for at, p := range r.progress { // late ends of all turns
		p.Completed, p.Dead = p.Completed.Union(p.GivenUp()), p.Dead.Union(p.GivenUp())
		r.progress[at] = p
	}
	require.Equal(t, before, r.states(), "a late end changes a state")
}

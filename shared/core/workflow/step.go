package workflow

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/segment"
)

// Head holds the part of a run's record that changes. Each write of it is conditioned on the revision that was read, and raises it.
type Head struct {
	At         Place     // the stage that the run is at; of an ended run, the one that it ended at
	BegunAt    time.Time // when the activity began
	Stages     []State   // the states of the stages of this activity that have ended
	Activities []State   // the states of the activities that have ended, in their order
	Lapsed     bool      // the activity's timeout is over
	Verdict    State     // Cancelled or Timed Out once that is decided for the run, else ""
	Paused     bool      // nothing further is published
	State      State     // InProgress, or the state in which the run ended
	StartedAt  time.Time
	FinishedAt time.Time // zero until the run has ended
	Message    string    // why the run failed
}

// Ended reports whether the run has ended.
func (h Head) Ended() bool { return h.State.Final() }

// Progress holds how far a stage is, as stored: sets of numbers, so that nothing is counted twice.
//
// A number may be in several sets. What Drover gave up counts before everything: it is written on condition that the turn had not ended, so an
// end that comes later changes nothing. A completed turn counts before a dead one.
type Progress struct {
	Published   segment.Numbers // their tasks exist
	PublishedAt time.Time       // of the last ones
	Completed   segment.Numbers
	Dead        segment.Numbers
	Cancelled   segment.Numbers // given up: cancelled by Drover
	TimedOut    segment.Numbers // given up: out of time
	Revision    int             // 0: the stage has not begun
}

// GivenUp returns the turns that Drover ended.
func (p Progress) GivenUp() segment.Numbers { return p.Cancelled.Union(p.TimedOut) }

// Ended returns the turns that have ended.
func (p Progress) Ended() segment.Numbers { return p.GivenUp().Union(p.Completed).Union(p.Dead) }

// Succeeded returns the turns that completed before they were given up.
func (p Progress) Succeeded() segment.Numbers { return p.Completed.Minus(p.GivenUp()) }

// Failed returns the turns that died, or were out of time.
func (p Progress) Failed() segment.Numbers {
	return p.Dead.Minus(p.Completed).Minus(p.Cancelled).Union(p.TimedOut.Minus(p.Cancelled))
}

// Decided reports whether the run may have something to do at the stage: all that is published has ended, or a turn failed whose error is fatal.
func (p Progress) Decided(fatal segment.Numbers) bool {
	return !p.Published.Empty() && p.Published.Minus(p.Ended()).Empty() || !p.Failed().Intersect(fatal).Empty()
}

// of returns the state of a turn, as far as the sets tell it: an open one is In Progress if it is published.
func (p Progress) of(t Turn, reached bool) State {
	switch one := segment.Of(t.Number); {
	case t.Kept:
		return Complete
	case !p.Cancelled.Intersect(one).Empty():
		return Cancelled
	case !p.TimedOut.Intersect(one).Empty():
		return TimedOut
	case !p.Completed.Intersect(one).Empty():
		return Complete
	case !p.Dead.Intersect(one).Empty():
		return Error
	case !p.Published.Intersect(one).Empty():
		return InProgress
	case !t.Matches && reached:
		return Skipped
	}
	return NotStarted
}

// Action says what a run needs next.
type Action int

// The actions.
const (
	// Wait leaves the run alone until a turn ends, or until the decision's time.
	Wait Action = iota
	// Condemn writes the head: a verdict, or a lapsed activity. It is written before anything that follows from it.
	Condemn
	// GiveUp adds numbers to the progress as Cancelled or Timed Out, on its revision, and cancels their tasks.
	GiveUp
	// Publish creates the tasks of numbers and adds these to what is published.
	Publish
	// Move writes the head: the stage has ended, and the run is at another one or has ended.
	Move
)

// Decision says what a run needs next.
type Decision struct {
	Action  Action
	Until   time.Time // of Wait: when to look again at the latest; zero: no time
	Numbers segment.Numbers
	As      State // of GiveUp
	Head    Head  // of Condemn and Move
	Culprit int   // of Move: the number of a turn whose failure made the stage Error, else -1
}

// Step decides what a run needs next, at its present stage. It is called again after each action, with what was written.
func Step(s Subject, h Head, plan Plan, p Progress, now time.Time) Decision {
	if h.Ended() {
		return Decision{Action: Wait}
	}
	w, running := s.Composition.Workflow, plan.Running()
	open := running.Minus(p.Ended())
	runEnd, activityEnd := ending(h.StartedAt, w.Timeout), time.Time{}
	if !h.Lapsed && h.endsWithActivity(plan) {
		activityEnd = ending(h.BegunAt, plan.Options.Timeout)
	}
	switch {
	case h.Verdict == "" && over(runEnd, now):
		h.Verdict = TimedOut
		h.Message = fmt.Sprintf("the run took longer than its timeout of %s", document.Brief(w.Timeout))
		return Decision{Action: Condemn, Head: h}
	case h.Verdict != "" && !open.Empty():
		return Decision{Action: GiveUp, Numbers: open, As: h.Verdict}
	case h.Verdict == "" && over(activityEnd, now) && !open.Empty():
		h.Lapsed = true
		if h.Message == "" {
			h.Message = fmt.Sprintf("activity %s took longer than its timeout of %s", plan.Activity, document.Brief(plan.Options.Timeout))
		}
		return Decision{Action: Condemn, Head: h}
	case h.Verdict == "" && h.lapsedHere(plan) && !open.Empty():
		return Decision{Action: GiveUp, Numbers: open, As: TimedOut}
	}
	late, next := overdue(plan, p, now)
	if !late.Empty() {
		return Decision{Action: GiveUp, Numbers: late, As: TimedOut}
	}
	if !open.Empty() && !p.Failed().Intersect(plan.Fatal()).Empty() {
		return Decision{Action: GiveUp, Numbers: open, As: Cancelled}
	}
	if open.Empty() {
		return move(s, h, plan, p, now)
	}
	if todo := due(plan, open, p); !todo.Empty() && !h.Paused {
		return Decision{Action: Publish, Numbers: todo}
	}
	return Decision{Action: Wait, Until: earliest(runEnd, activityEnd, next)}
}

// endsWithActivity reports whether the activity's timeout ends the present stage. It does not end post that runs after a failure.
func (h Head) endsWithActivity(plan Plan) bool {
	return plan.Stage != Post || !bad(worst(h.Stages...))
}

// lapsedHere reports whether the activity's timeout is over and ends the present stage.
func (h Head) lapsedHere(plan Plan) bool { return h.Lapsed && h.endsWithActivity(plan) }

// overdue returns the published turns whose time is over, and when the next one's will be.
func overdue(plan Plan, p Progress, now time.Time) (late segment.Numbers, next time.Time) {
	for n := range p.Published.Minus(p.Ended()).All() {
		if n >= len(plan.Turns) {
			continue
		}
		at := ending(p.PublishedAt, plan.Turns[n].Timeout)
		if over(at, now) {
			late = late.Union(segment.Of(n))
			continue
		}
		next = earliest(next, at)
	}
	return late, next
}

// due returns the turns to publish now: in pre and post the first that is open, if none is under way; in parallel all.
func due(plan Plan, open segment.Numbers, p Progress) segment.Numbers {
	todo := open.Minus(p.Published)
	if plan.Stage.Sequential() {
		if !open.Intersect(p.Published).Empty() {
			return segment.Numbers{}
		}
		return todo.First(1)
	}
	return todo
}

// stageState returns the state of a stage whose turns have all ended.
func stageState(h Head, plan Plan, p Progress) State {
	running := plan.Running()
	switch failed := p.Failed().Intersect(running); {
	case h.Verdict != "" && !p.GivenUp().Intersect(running).Empty():
		return h.Verdict
	case h.lapsedHere(plan) && !p.TimedOut.Intersect(running).Empty():
		return TimedOut
	case !failed.Intersect(plan.Mandatory()).Empty():
		return Error
	case !failed.Empty():
		return OptionalTaskError
	}
	return Complete
}

func bad(s State) bool { return !s.Good() }

// move returns the head after the end of the present stage.
func move(s Subject, h Head, plan Plan, p Progress, now time.Time) Decision {
	d := Decision{Action: Move, Culprit: -1}
	state := stageState(h, plan, p)
	h.Stages = append(slices.Clone(h.Stages), state)
	if state == Error {
		for n := range p.Failed().Intersect(plan.Mandatory()).All() {
			d.Culprit = n
			break
		}
	}
	next, more := h.after(plan)
	if more {
		h.At = next
		d.Head = h
		return d
	}
	ended := worst(h.Stages...)
	switch {
	case h.Verdict != "":
		ended = h.Verdict
	case h.Lapsed:
		ended = TimedOut
	}
	h.Activities = append(slices.Clone(h.Activities), ended)
	last := h.At.Activity == len(s.Composition.Workflow.Activities)-1
	switch {
	case h.Verdict != "":
		h.State = h.Verdict
	case bad(ended):
		h.State = Error
	case last:
		h.State = worst(h.Activities...)
	}
	if h.State.Final() {
		h.FinishedAt = now
		d.Head = h
		return d
	}
	h.At, h.BegunAt, h.Stages, h.Lapsed = Place{h.At.Activity + 1, Pre}, now, nil, false
	d.Head = h
	return d
}

// after returns the stage of the same activity that comes next, if there is one.
func (h Head) after(plan Plan) (Place, bool) {
	switch failed := bad(worst(h.Stages...)); {
	case plan.Stage == Post, h.Verdict != "":
		return Place{}, false
	case failed && plan.Options.Post == Always:
		return Place{plan.Place.Activity, Post}, true
	case failed:
		return Place{}, false
	}
	return plan.Next(), true
}

// Blame returns why a turn's failure is the run's: the plugin, its place, and what happened. message is that of its last error, "" if none.
func (p Plan) Blame(number int, progress Progress, message string) string {
	t := p.Turns[number]
	what := "failed"
	switch {
	case progress.TimedOut.Contains(number):
		what = fmt.Sprintf("took longer than its timeout of %s", document.Brief(t.Timeout))
	case message != "":
		what = "failed: " + message
	}
	return fmt.Sprintf("plugin %s of %s (%s) %s", t.Plugin, p.Activity, p.Stage, what)
}

// Overdue returns when a run has taken longer than its workflow's sla.
func (h Head) Overdue(w Workflow) time.Time { return h.StartedAt.Add(w.SLA) }

// ending returns when a span that begins then is over; zero if there is none.
func ending(from time.Time, span time.Duration) time.Time {
	if span == 0 {
		return time.Time{}
	}
	return from.Add(span)
}

func over(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

package workflow

import "slices"

// Tree holds the states of a run's parts, computed from its record.
type Tree struct {
	State      State
	Activities []ActivityTree
}

// ActivityTree holds the states of an activity and of its stages.
type ActivityTree struct {
	Activity string
	State    State
	Stages   [3]StageTree // pre, parallel, post
}

// StageTree holds the states of a stage and of its plugins.
type StageTree struct {
	Place
	State State
	Turns []TurnTree
}

// TurnTree holds the state of a plugin in a stage. A published turn that has not ended is In Progress here: whether its task was handed out, the
// reader has to find where the task is.
type TurnTree struct {
	Turn

	State State
}

// Tree returns the states of all parts of a run: a pure function of its record. progress has the stages that have begun.
func (s Subject) Tree(h Head, progress map[Place]Progress) (Tree, error) {
	tree := Tree{State: h.shown()}
	for i, name := range s.Composition.Workflow.Activities {
		a := ActivityTree{Activity: name, State: NotStarted}
		own, reached := s.headOf(h, i)
		before := i < s.First()
		for _, stage := range Stages {
			at := Place{i, stage}
			plan, err := s.Plan(at)
			if err != nil {
				return Tree{}, err
			}
			own.At = at
			state, here := NotStarted, reached && own.includes(h, plan)
			switch {
			case before:
				state = Complete
			case here && at == h.At && !h.Ended():
				state = openState(plan, progress[at])
			case here:
				state = stageState(own, plan, progress[at])
				own.Stages = append(slices.Clone(own.Stages), state)
			}
			a.Stages[stage] = stageTree(s, plan, progress[at], state, here, before)
		}
		switch {
		case before:
			a.State = Complete
		case i-s.First() < len(h.Activities):
			a.State = h.Activities[i-s.First()]
		case reached:
			a.State = InProgress
		}
		tree.Activities = append(tree.Activities, a)
	}
	return tree, nil
}

// shown returns the state of the run as people see it.
func (h Head) shown() State {
	if h.Paused && !h.Ended() {
		return Paused
	}
	return h.State
}

// headOf returns the head as it is for the stages of the i-th activity, and whether the run has reached that.
func (s Subject) headOf(h Head, i int) (Head, bool) {
	n := i - s.First()
	if n < 0 || i > h.At.Activity {
		return Head{}, false
	}
	if h.State == NotStarted {
		return Head{}, false
	}
	own := Head{State: h.State, At: h.At}
	if n < len(h.Activities) {
		own.Lapsed = h.Activities[n] == TimedOut && h.Verdict == ""
		if n == len(h.Activities)-1 && h.Ended() {
			own.Verdict = h.Verdict
		}
		return own, true
	}
	own.Lapsed, own.Verdict = h.Lapsed, h.Verdict
	return own, true
}

// includes reports whether a reached activity has come to this stage: no stage before it ended in a way that passes over it, and the run is not
// still before it.
func (h Head) includes(now Head, plan Plan) bool {
	if plan.Place.Activity == now.At.Activity && plan.Stage > now.At.Stage {
		return false
	}
	if len(h.Stages) == 0 {
		return plan.Stage == Pre
	}
	last := plan
	last.Stage = Stage(len(h.Stages) - 1)
	if plan.Stage == Post && len(h.Stages) == 1 {
		last.Stage = Pre // parallel was passed over
	}
	h.Verdict = "" // it ends the activity at the stage that the run is at, which is looked at above
	next, more := h.after(last)
	return more && next == plan.Place
}

// openState returns the state of the stage that a run is at.
func openState(plan Plan, p Progress) State {
	open := plan.Running().Minus(p.Ended())
	if !open.Empty() && plan.Mandatory().Minus(p.Succeeded()).Empty() {
		return MandatoryCompleted
	}
	return InProgress
}

func stageTree(s Subject, plan Plan, p Progress, state State, reached, before bool) StageTree {
	out := StageTree{Place: plan.Place, State: state}
	for _, t := range plan.Turns {
		one := TurnTree{t, p.of(t, reached)}
		if before && !t.Kept {
			one.State, one.Reason = Skipped, "the run begins with the activity "+s.From
		}
		out.Turns = append(out.Turns, one)
	}
	return out
}

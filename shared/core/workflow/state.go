package workflow

import "slices"

// State names the state of a plugin, a stage, an activity or a run.
type State string

// The states. Complete, Optional Task Error and Error of a stage, activity or run are shown only when it has ended.
const (
	NotStarted         State = "Not Started"
	InProgress         State = "In Progress"
	MandatoryCompleted State = "Mandatory Completed"
	Complete           State = "Complete"
	Error              State = "Error"
	OptionalTaskError  State = "Optional Task Error"
	Skipped            State = "Skipped"
	TimedOut           State = "Timed Out"
	Cancelled          State = "Cancelled"
	Paused             State = "Paused"
)

// Final reports whether a stage, an activity or a run of this state has ended.
func (s State) Final() bool {
	return slices.Contains([]State{Complete, OptionalTaskError, Error, TimedOut, Cancelled}, s)
}

// Good reports whether a run of this state has succeeded.
func (s State) Good() bool { return s == Complete || s == OptionalTaskError }

// ParseState returns the state of this name.
func ParseState(name string) (State, bool) {
	known := []State{NotStarted, InProgress, MandatoryCompleted, Complete, Error, OptionalTaskError, Skipped, TimedOut, Cancelled, Paused}
	return State(name), slices.Contains(known, State(name))
}

// worst returns the state of something that ended, from the states of its parts, which have ended too.
func worst(parts ...State) State {
	for _, s := range []State{Cancelled, TimedOut, Error, OptionalTaskError} {
		if slices.Contains(parts, s) {
			return s
		}
	}
	return Complete
}

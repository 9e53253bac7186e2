package event

import (
	"strings"
	"time"
)

// Commands about runs of workflows, by their detail-type. Any source may send them.
const (
	StartWorkflow  = "StartWorkflow"
	CancelWorkflow = "CancelWorkflow"
)

// Run names a run in its events, and says where it stands.
type Run struct {
	RunID             string     `json:"run_id"`
	Workflow          string     `json:"workflow"`
	UID               string     `json:"uid"`
	Run               int        `json:"run"`
	DefinitionVersion int        `json:"definition_version"`
	State             string     `json:"state"`
	StartedAt         time.Time  `json:"started_at"`
	FinishedAt        *time.Time `json:"finished_at,omitempty"`
	Message           string     `json:"message,omitempty"`
}

type runFact struct {
	head
	Run
}

// WorkflowStarted says that a run has begun.
func WorkflowStarted(r Run) Fact {
	return Fact{"WorkflowStarted", runFact{heading("WorkflowStarted", r.RunID), r}}
}

// ActivityCompleted says that an activity of a run has ended, in any state.
func ActivityCompleted(r Run, activity, state string) Fact {
	r.State, r.FinishedAt, r.Message = state, nil, ""
	return Fact{"ActivityCompleted", struct {
		runFact
		Activity string `json:"activity"`
	}{runFact{heading("ActivityCompleted", r.RunID, activity), r}, activity}}
}

// WorkflowEnded says that a run has ended: WorkflowCompleted, WorkflowFailed or WorkflowCancelled, by its state.
func WorkflowEnded(r Run) Fact {
	kind := "WorkflowFailed"
	switch r.State {
	case "Complete", "Optional Task Error":
		kind = "WorkflowCompleted"
	case "Cancelled":
		kind = "WorkflowCancelled"
	}
	return Fact{kind, runFact{heading(kind, r.RunID), r}}
}

// WorkflowOverdue says that a run takes longer than the sla of its workflow. It says the same if it is told again when the run has ended.
func WorkflowOverdue(r Run) Fact {
	r.State, r.FinishedAt, r.Message = "In Progress", nil, ""
	return Fact{"WorkflowOverdue", runFact{heading("WorkflowOverdue", r.RunID), r}}
}

// WorkflowRejected says that a start was refused, and why. start names the start: a repeated one has the same id.
func WorkflowRejected(start, workflow, uid string, err FieldError) Fact {
	return Fact{"WorkflowRejected", struct {
		head
		Workflow string     `json:"workflow"`
		UID      string     `json:"uid,omitempty"`
		Error    FieldError `json:"error"`
	}{heading("WorkflowRejected", start), shorten(strings.ToValidUTF8(workflow, "�"), rejectedField), shorten(strings.ToValidUTF8(uid, "�"), rejectedField), err.Bounded()}}
}

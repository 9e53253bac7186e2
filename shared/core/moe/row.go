package moe

import (
	"time"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/core/workflow"
)

// Row is a run's row in the status table, as it is before the run's first attempt.
type Row struct {
	UID, Workflow string // its key
	RunID         string
	StartedAt     time.Time // of the run: the row belongs to the uid's latest run
	Activities    []string
}

// Turn names a plugin's record in a row.
type Turn struct {
	Activity string
	Stage    workflow.Stage
	Plugin   string
}

// Key returns the name under which the row keeps the turn's task: activity|async|plugin. No part of it contains the bar.
func (t Turn) Key() string { return t.Activity + "|" + StageName(t.Stage) + "|" + t.Plugin }

// Attempt is an attempt at a turn that is about to start.
type Attempt struct {
	Row     Row
	Turn    Turn
	TaskID  task.ID
	Attempt int
}

// Names of a row's attributes, and of the members of its maps.
const (
	Activities = "activities"
	Drover     = "drover" // what Drover knows the row by
	RunID      = "run_id"
	StartedAt  = "started_at" // epoch milliseconds
	Tasks      = "tasks"
	TaskID     = "task_id"
	AttemptNo  = "attempt"
	Mandatory  = "mandatory"
	Optional   = "optional"
	State      = "state"
	Message    = "message"
)

// Lists are the two maps of a stage that hold its plugins' records. Drover writes in both and reads both: which of them a plugin uses is told by the
// plugin's own code, and whether it is mandatory by its definition.
var Lists = []string{Mandatory, Optional}

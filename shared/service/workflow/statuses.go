package workflow

import (
	"context"
	"errors"
	"time"

	"github.com/drover-run/drover/shared/core/moe"
)

// Statuses stands for the table that plugins of moe's orchestrator write their states to.
type Statuses interface {
	// Begin makes a row ready for an attempt that is about to start. Doing it again is the same. ErrNoStatuses, ErrOvertaken: the attempt can never start.
	Begin(ctx context.Context, a moe.Attempt) error
}

// Rows stands for the same table, as the ends of runs see it.
type Rows interface {
	// Expire lets the run's row go so long after the run's end as its record. A row of a later run, and one that is gone, stay as they are.
	Expire(ctx context.Context, uid, workflow, run string, finishedAt time.Time) error
}

// ErrNoStatuses says that the stack has no status table.
var ErrNoStatuses = errors.New("a plugin with envelope moe needs the status table, which this stack does not have: deploy it with the parameter MoeStatusTable=true")

// ErrOvertaken says that a row belongs to a later run.
var ErrOvertaken = errors.New("a later run of its uid has begun")

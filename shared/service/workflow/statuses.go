package workflow

import (
	"context"
	"errors"

	"github.com/drover-run/drover/shared/core/moe"
)

// Statuses stands for the table that plugins of moe's orchestrator write their states to.
type Statuses interface {
	// Begin makes a row ready for an attempt that is about to start. Doing it again is the same. ErrNoStatuses, ErrOvertaken: the attempt can never start.
	Begin(ctx context.Context, a moe.Attempt) error
}

// ErrNoStatuses says that the stack has no status table.
var ErrNoStatuses = errors.New("a plugin with envelope moe needs the status table, which this stack does not have: deploy it with the parameter MoeStatusTable=true")

// ErrOvertaken says that a row belongs to a later run.
var ErrOvertaken = errors.New("a later run of its uid has begun")

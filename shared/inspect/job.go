package inspect

import (
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
)

// Job is a line: a job in a few numbers.
type Job struct {
	JobID       string            `json:"job_id"`
	Labourer    string            `json:"labourer_id"` // "" when it was rejected before its labourer was known
	State       ledger.State      `json:"state"`
	Total       int               `json:"total"`
	Completed   int               `json:"completed"`
	Dead        int               `json:"dead"`
	Cancelled   int               `json:"cancelled"`
	Open        int               `json:"open"`
	SubmittedAt time.Time         `json:"submitted_at"`
	FinishedAt  *time.Time        `json:"finished_at,omitempty"`
	Error       *event.FieldError `json:"error,omitempty"`
	Cancelling  bool              `json:"cancelling,omitempty"`
	Generation  int               `json:"generation,omitempty"` // from the first replay on: 2, 3, …
}

// JobOf returns the line of a job. It counts by the progress of the job's segments, where that is given; the record alone counts a segment's
// tasks once all of them have ended and are entered.
func JobOf(j ledger.Job, progress []ledger.Progress) Job {
	counts := j.Counts
	if progress != nil {
		counts = ledger.Counts{}
		if j.Cancelling { // what is not published never will be, and has no segment that could count it
			counts.Cancelled = j.Total - min(j.Total, j.Cursor*segment.Size)
		}
		for _, p := range progress {
			counts = counts.Plus(p.Counts())
		}
	}
	j.Counts = counts
	line := Job{JobID: j.ID, Labourer: j.Labourer, State: j.State, Total: j.Total, Completed: counts.Completed, Dead: counts.Dead,
		Cancelled: counts.Cancelled, Open: j.Open(), SubmittedAt: j.SubmittedAt.UTC(), Cancelling: j.Cancelling}
	if j.Generation > 1 {
		line.Generation = j.Generation
	}
	if line.Finished() && !j.FinishedAt.IsZero() {
		at := j.FinishedAt.UTC()
		line.FinishedAt = &at
	}
	if j.State == ledger.Rejected {
		line.Total = 0
		line.Error = &event.FieldError{Field: j.ErrorField, Reason: j.ErrorReason}
	}
	return line
}

// Finished reports whether the job has reached its end. Only a replay takes it further.
func (j Job) Finished() bool {
	return j.State == ledger.Completed || j.State == ledger.Rejected || j.State == ledger.Cancelled
}

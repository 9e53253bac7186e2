package assistant

import (
	"time"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// action names what the assistant does about a report.
type action int

const (
	ignore     action = iota // the report is about an attempt that is not the current one
	repeat                   // the attempt has ended; the effects of its end may be incomplete
	hear                     // record a heartbeat
	putBack                  // queue the task again for the same attempt, which never began
	setTimer                 // the task was put back earlier; the assistant that did so may have died before it set the timer
	end                      // close the attempt
	endIfTried               // close the attempt if the queue holds it after an earlier start
)

// verdict is an action, the attempt that it concerns, and the lease that holds the task for that attempt.
type verdict struct {
	action  action
	attempt int
	lease   queue.Lease
	held    bool // the task is in hand, or waits in the lease
}

// decide returns what to do about a report, given the task and the leases of its segment as they were read.
func decide(t task.Task, leases []queue.Lease, r completion.Report) verdict {
	v := verdict{attempt: r.Attempt}
	if v.attempt == 0 {
		// A report without an attempt means the running attempt, or the one that has just ended and is still in hand.
		v.attempt = t.Attempt
		if _, running := queue.Holding(leases, t.ID, t.Attempt+1); running && !t.Status.Terminal() {
			v.attempt++
		}
	}
	holding, inHand := queue.Holding(leases, t.ID, v.attempt)
	keeping, waits := queue.Keeping(leases, t.ID, v.attempt)
	if v.lease = holding; waits {
		v.lease = keeping
	}
	v.held = inHand || waits
	ended := r.Kind == completion.Completed || r.Kind == completion.Failed
	switch {
	case v.attempt == t.Attempt && v.attempt > 0:
		v.action = repeat
	case t.Status.Terminal() || v.attempt != t.Attempt+1:
		v.action = ignore
	case r.Kind == completion.NeverStarted && inHand && !precedes(r.At, v.lease.Hands[t.ID.N]):
		v.action = putBack
	case r.Kind == completion.NeverStarted:
		v.action = setTimer
	case ended && (inHand || waits && v.lease.Tried):
		v.action = end
	case ended && !waits:
		v.action = endIfTried
	case !ended && inHand:
		v.action = hear
	}
	return v
}

// startSkew bounds the difference between the clocks of Lambda and of Drover's functions. A task that was put back is started again only
// after restart, which is longer.
const startSkew = restart / 2

// precedes reports whether a report of this time cannot be about the start of the task that is in hand.
func precedes(at time.Time, h queue.Hand) bool {
	return !at.IsZero() && at.Add(startSkew).Before(h.Since)
}

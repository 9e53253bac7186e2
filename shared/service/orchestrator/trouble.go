package orchestrator

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
)

// throttleHold limits how long a labourer rests after its target throttled it.
const throttleHold = 3 * time.Second

// fate sums up the starts of all leases of a dispatch.
type fate struct {
	started  int
	troubled int   // starts that failed by what may be trouble of the target
	trouble  error // the last of these
	throttle error // the error of the last start that was throttled
	reached  bool  // the target can be reached: the last dispatch did, or this one has started a worker
}

// fates sums up all starts. probing means that the last dispatch could not reach the target.
func fates(reports []dispatchReport, probing bool) fate {
	out := fate{reached: !probing}
	for _, r := range reports {
		out.started += r.started
		out.reached = out.reached || r.started > 0
	}
	for _, r := range reports {
		for _, b := range r.back {
			switch {
			case b.Throttled():
				out.throttle = b.Err
			case !b.Unsent() && !out.blames(r.lease):
				out.troubled++
				out.trouble = b.Err
			}
		}
	}
	return out
}

// blames reports whether the task itself is the cause of a failed start: its target can be reached, and its start failed before.
func (f fate) blames(l queue.Lease) bool { return f.reached && l.Misfires > 0 }

// note records in the labourer's state why the target could not be reached, or that it can be reached again. It returns the trouble that it
// records.
func (s *Service) note(ctx context.Context, id string, before queue.State, f fate) (*queue.Trouble, error) {
	now := s.Now().UTC().Truncate(time.Millisecond)
	var t *queue.Trouble
	switch {
	case f.trouble != nil && f.started == 0:
		t = queue.Troubled(before.Trouble, f.trouble.Error(), now)
	case f.troubled > 1: // and others started
		t = queue.Troubled(nil, f.trouble.Error(), now)
	case f.throttle != nil:
		t = &queue.Trouble{Error: f.throttle.Error(), At: now, Since: now, Until: now.Add(throttleHold)}
	case before.Trouble == nil || f.started == 0:
		return nil, nil
	}
	return t, s.Control.SetTrouble(ctx, id, t)
}

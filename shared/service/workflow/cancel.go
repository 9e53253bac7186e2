package workflow

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Cancel carries out a CancelWorkflow. The error is *event.Refused if the command names no run.
func (s *Service) Cancel(ctx context.Context, e event.Envelope) error {
	var detail struct {
		RunID    string `json:"run_id"`
		Workflow string `json:"workflow"`
		UID      string `json:"uid"`
	}
	if err := exact.Decode(e.Detail, &detail); err != nil {
		return &event.Refused{Reason: err.Error()}
	}
	if detail.RunID != "" {
		return s.CancelRun(ctx, detail.RunID)
	}
	if detail.Workflow == "" || detail.UID == "" {
		return &event.Refused{Reason: "run_id: it is missing; want the id of a run, or workflow and uid"}
	}
	claim, err := s.Claims.Claim(ctx, detail.Workflow, detail.UID)
	if err != nil || claim.Active == "" {
		return err
	}
	return s.CancelRun(ctx, claim.Active)
}

// CancelRun cancels a run. A run that has ended stays as it is.
func (s *Service) CancelRun(ctx context.Context, id string) error {
	return s.condemn(ctx, id, flow.Cancelled, "", false)
}

// condemn decides how a run ends that has not ended, and carries that out. stopped says that the run's execution has ended.
func (s *Service) condemn(ctx context.Context, id string, verdict flow.State, why string, stopped bool) error {
	return again("ending run "+id, func() error {
		r, found, err := s.Runs.Get(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return &event.Refused{Reason: fmt.Sprintf("run_id: there is no run %.140q", id)}
		}
		if r.Retired {
			return nil
		}
		after := r
		if stopped && (!r.Head.Ended() || r.Token == "") { // else it was the run that ended the execution
			after.Stopped = true
		}
		if !r.Head.Ended() && r.Head.Verdict == "" {
			after.Head.Verdict, after.Head.Message = verdict, why
		}
		if after.Stopped != r.Stopped || after.Head.Verdict != r.Head.Verdict {
			if _, err := s.Runs.Save(ctx, r, after); err != nil {
				return err
			}
		}
		return s.look(ctx, id)
	})
}

// SetPaused pauses a run, so that nothing further of it begins, or resumes it. A run that has ended stays as it is.
func (s *Service) SetPaused(ctx context.Context, id string, paused bool) error {
	return again("pausing run "+id, func() error {
		r, found, err := s.Runs.Get(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return &event.Refused{Reason: fmt.Sprintf("run_id: there is no run %.140q", id)}
		}
		if !r.Head.Ended() && r.Head.Paused != paused {
			after := r
			after.Head.Paused = paused
			if _, err := s.Runs.Save(ctx, r, after); err != nil {
				return err
			}
		}
		return s.look(ctx, id)
	})
}

// Stopped carries out what follows when an execution has ended: if its run has not, that was from outside of Drover.
func (s *Service) Stopped(ctx context.Context, id string, as flow.State) error {
	why := map[flow.State]string{flow.Error: "its execution failed outside of Drover", flow.TimedOut: "its execution ran out of time"}[as]
	err := s.condemn(ctx, id, as, why, true)
	if refused := (*event.Refused)(nil); errors.As(err, &refused) {
		return nil // not a run's execution, or its record has expired
	}
	return err
}

// looks limits how many runs the tick looks at together.
const looks = 16

// Tick looks at every active run: for timeouts, for what an interruption left, and for wakes that were lost. It also publishes how many there are. It
// returns the first error, after all runs were looked at.
func (s *Service) Tick(ctx context.Context) error {
	ids, err := s.Runs.Active(ctx)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(looks)
	var mu sync.Mutex
	active := map[string]int{}
	for _, id := range ids {
		g.Go(func() error {
			r, found, err := s.Runs.Get(ctx, id)
			if err != nil || !found {
				return err
			}
			if !r.Waiting() && !r.Head.Ended() {
				mu.Lock()
				active[r.Workflow]++
				mu.Unlock()
			}
			return s.revive(ctx, r)
		})
	}
	err = g.Wait()
	return errors.Join(err, s.gauge(ctx, active))
}

// launchWithin says after which time a run without an execution that waits for it counts as interrupted.
const launchWithin = time.Minute

// revive looks at a run, and launches it again if its execution never came.
func (s *Service) revive(ctx context.Context, r flow.Record) error {
	if now := s.now(); now.Sub(r.RecordedAt) >= extendEvery && now.Sub(r.ExtendedAt) >= extendEvery {
		if err := s.extend(ctx, r, now); err != nil {
			return err
		}
	}
	if s.describes(r) {
		as, err := s.Executions.Ended(ctx, r.Execution)
		if err != nil {
			return err
		}
		if as != "" {
			return s.Stopped(ctx, r.ID, as)
		}
	}
	if r.Token == "" && s.now().Sub(r.RecordedAt) >= launchWithin {
		return s.launch(ctx, r)
	}
	return s.Look(ctx, r.ID)
}

// describeEvery says every how many ticks a run's execution is described. The event that says that it was stopped may be lost.
const describeEvery = 10

// describes reports whether this tick is one at which the run's execution is described. Each run has its own ticks, so that the calls are spread.
func (s *Service) describes(r flow.Record) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.ID))
	return !r.Stopped && (int64(h.Sum32())+s.now().Unix()/60)%describeEvery == 0
}

// KeptFor says how long what is stored beside a run's record is kept, beyond the retention of runs, from the time at which it is written. It is
// extended while the run lasts. So it is there for as long as the record is, and for this much longer at most: to let it expire with the record
// would mean to write all of it again.
const KeptFor = 7 * 24 * time.Hour

// extendEvery says how often it is extended.
const extendEvery = 3 * 24 * time.Hour

func (s *Service) extend(ctx context.Context, r flow.Record, now time.Time) error {
	if err := s.Stages.Extend(ctx, r.ID, now); err != nil {
		return err
	}
	after := r
	after.ExtendedAt = now
	if _, err := s.Runs.Save(ctx, r, after); err != nil && !errors.Is(err, ErrChanged) {
		return err
	}
	return nil // the next tick extends it again if the record has changed
}

package orchestrator

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/service/direct"
)

// starters limits how many direct grants are started at the same time: each may hold several megabytes of payloads.
const starters = 4

// Begun says what became of direct grants.
type Begun struct {
	Each []Beginning `json:"each"`
}

// Beginning says what became of one direct grant.
type Beginning struct {
	Dispatched
	Woken bool `json:"woken,omitempty"` // an execution was woken, which has something to do

	Start direct.Start `json:"-"`
	At    time.Time    `json:"-"` // when its workers were started
}

// Empty reports whether there was nothing to do any more: the grant had been started before, or others are to take it over.
func (b Beginning) Empty() bool { return b.Dispatched.Dispatched+b.GivenBack+b.Failed+b.Ended == 0 }

// Start starts the workers of direct grants, several labourers at once. An error with one of them is no other's. Start may be tried again after an error: what
// is started by then stays so.
func (s *Service) Start(ctx context.Context, starts []direct.Start) (Begun, error) {
	out, failures := Begun{Each: make([]Beginning, len(starts))}, make([]error, len(starts))
	services := s.readAhead(ctx, starts)
	var g errgroup.Group
	g.SetLimit(starters)
	for i, start := range starts {
		g.Go(func() error {
			out.Each[i], failures[i] = services[i].start(ctx, start)
			return nil
		})
	}
	_ = g.Wait()
	return out, errors.Join(failures...)
}

// start starts the workers of one direct grant, and ends its hold. Tasks that could not be started return to the queue. It wakes an execution for these, and
// for what others left to the hold.
func (s *Service) start(ctx context.Context, start direct.Start) (out Beginning, err error) {
	out.Start, out.At = start, s.Now()
	handouts := []Handout{{Lease: start.Lease, Tasks: start.Tasks}}
	h := s.hold(start.Execution, start.Labourer)
	if out.Dispatched, err = s.begin(ctx, start, handouts); err != nil {
		_, undone := s.GiveBack(ctx, start.Execution, start.Labourer, handouts)
		err = errors.Join(err, undone)
	}
	if failed := h.depart(ctx); failed != nil {
		err = errors.Join(err, failed)
	}
	due, failed := s.leftTo(ctx, h)
	if out.Woken = err != nil || failed != nil || due; out.Woken {
		failed = errors.Join(failed, s.Bus.Publish(ctx, event.TasksDue(start.Execution, start.Labourer)))
	}
	return out, errors.Join(err, failed)
}

// begin starts the workers with the labourer's settings of the grant. It reads no state: a grant is made only in one without trouble, and a trouble that
// another dispatch has noted since is at worst counted anew.
func (s *Service) begin(ctx context.Context, start direct.Start, handouts []Handout) (Dispatched, error) {
	l, err := labourer.Decode(start.Labourer, start.Settings)
	if err != nil { // another version of Drover granted
		return s.Dispatch(ctx, start.Labourer, handouts)
	}
	return s.dispatchAll(ctx, l, queue.State{}, handouts)
}

// leftTo reports whether an execution has something to do after a hold. Mostly there is nothing, which one read shows.
func (s *Service) leftTo(ctx context.Context, h hold) (bool, error) {
	leases, due, err := s.Control.Work(ctx, h.labourer, s.Now(), 1)
	if err != nil || len(due)+queue.Waiting(leases)+queue.Ripe(leases, s.Now()) == 0 {
		return false, err
	}
	k, err := s.read(ctx, h)
	if err != nil {
		return false, err
	}
	d := k.decide(s.Now())
	return d.Start || d.Revoke, nil
}

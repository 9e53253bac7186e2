// Package orchestrator decides how many tasks of each labourer may run now, and hands them out.
//
// Its methods are the steps of the orchestrate state machine, in this order for each labourer:
//
//	Plan      who may have something to do
//	Reap      tasks whose worker is lost; dispatches that nobody finished
//	Assess    health, cap, what runs, what is due: may anything start?
//	Claim     from queue entries to leases, in one transaction
//	Dispatch  start the workers; then Assess again
//
// Any step may run twice, or at the same time as the same step of another execution, or die at any point. The claim transaction alone
// keeps the cap: it goes through only if nobody claimed since the state was read, and the state is read before the leases, so that
// in between others can only have lowered the count.
package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/outcome"
)

// Control is the labourers' states, leases and queues.
type Control interface { //nolint:interfacebloat // one table, all of whose writes the orchestrator makes
	State(ctx context.Context, labourer string) (queue.State, error)
	Leases(ctx context.Context, labourer string) ([]queue.Lease, error)
	Lease(ctx context.Context, labourer, item string) (queue.Lease, bool, error)
	Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error)
	Look(ctx context.Context, labourer string, now time.Time, page int) (queue.Look, error)

	Approach(ctx context.Context, labourer string, now time.Time, hold queue.Hold) error
	Depart(ctx context.Context, labourer, execution string) error
	Claim(ctx context.Context, labourer string, state queue.State, takings []queue.Taking, hold queue.Hold) error
	Dispatched(ctx context.Context, l queue.Lease, at, endsAt time.Time) error
	Adopt(ctx context.Context, l queue.Lease, now time.Time) error
	Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) error
	Waited(ctx context.Context, l queue.Lease, waiting segment.Numbers, at time.Time) error
	SetTrouble(ctx context.Context, labourer string, trouble *queue.Trouble) error

	Suspect(ctx context.Context, labourer, item string, now time.Time) error
	SetAside(ctx context.Context, labourer, item string, now time.Time) error
}

// Tasks is the tasks that are handed out.
type Tasks interface {
	// Chunks reads tasks of a segment in the order of their numbers, some at a time: their payloads may be more than a function's memory.
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
	Save(ctx context.Context, before, after task.Task) error
}

// Registry is what owners have applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
	Labourers(ctx context.Context) (map[string]labourer.Labourer, error)
}

// Health is what the labourers' metrics say, and what was made of it before.
type Health interface {
	Readings(ctx context.Context, metrics map[string]ecology.Metric) (map[string]ecology.Reading, error)
}

// Memory is what assessments remember of a labourer from one to the next.
type Memory interface {
	Recall(ctx context.Context, labourer string) (ecology.Remembered, error)
	Remember(ctx context.Context, labourer string, before, after ecology.Remembered) error
}

// Settler settles attempts that ended without success.
type Settler interface {
	Settle(ctx context.Context, ended []task.Task) (outcome.Settled, error)
}

// Sweeper cancels queued tasks whose jobs are being cancelled.
type Sweeper interface {
	Sweep(ctx context.Context, tasks []task.Task) error
	// FinishWithdrawn cancels tasks that were withdrawn before a time and never cancelled; it returns how many asides it finished.
	FinishWithdrawn(ctx context.Context, labourer string, before time.Time) (int, error)
}

// Bus is where facts are told.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Service is the orchestrator.
type Service struct {
	Control    Control
	Tasks      Tasks
	Registry   Registry
	Health     Health
	Memory     Memory
	Settler    Settler
	Sweeper    Sweeper
	Starter    Starter
	Queues     Queues
	Executions Executions
	Bus        Bus
	Now        func() time.Time

	CompletionsURL string // where workers send what became of their tasks
}

const (
	// asideTerm is how long a withdrawn task is left to its canceller or sweeper. It is longer than either lives.
	asideTerm = time.Minute
	// adoptionMargin is how long before that its first dispatcher keeps off, should he still be at it.
	adoptionMargin = 10 * time.Second
	// claimTerm is how long others give way to one who is about to claim, or who has claimed and comes back when it has dispatched.
	claimTerm = 10 * time.Second
	// lastRound is the round after which the state machine hands over to another execution.
	lastRound = 20
	// lookPage is how many items of a labourer are read at once to tell whether it may have something to do.
	lookPage = 50
	// planners is how many labourers are looked at at the same time.
	planners = 16
	// dueLimit is how many entries one claim takes tasks from at most: 2 × 30 + 1 items in a transaction that takes 100.
	dueLimit = 30
	// planLimit is how many labourers one execution takes: their branches' outputs share the 256 KB of a state's output.
	planLimit = 40
	// handedOver is how many labourers one event hands over to another execution. Their ids have up to 140 bytes: it stays below the 256 KB
	// of an event, and of the input of the execution that it starts.
	handedOver = 1000
	// claimLimit is how many tasks are claimed at once: as many as a dispatcher can start in its time.
	claimLimit = 500
)

// PlanInput is what an execution was started with: nothing for the tick, labourers for a wake.
type PlanInput struct {
	Labourers []string `json:"labourers"`
}

// UnmarshalJSON takes anything: whoever may put events on the bus may start an execution, and what can not be read as labourers
// means what the tick means.
func (p *PlanInput) UnmarshalJSON(text []byte) error {
	var in struct {
		Labourers json.RawMessage `json:"labourers"`
	}
	_ = exact.Decode(text, &in)
	if exact.Decode(in.Labourers, &p.Labourers) != nil {
		p.Labourers = nil
	}
	return nil
}

// Planned is who may have something to do.
type Planned struct {
	Labourers []Turn `json:"labourers"`
	Idle      int    `json:"idle"`              // how many have nothing to do
	Unknown   int    `json:"unknown,omitempty"` // how many were named and are no labourers
	Others    int    `json:"others,omitempty"`  // how many were left to another execution
	Unread    string `json:"unread,omitempty"`  // why the metrics could not be read together
}

// Turn is one labourer's part of an execution.
type Turn struct {
	Labourer string `json:"labourer"`
	Round    int    `json:"round"`
	Reap     bool   `json:"reap"` // there are leases past their end, or without a dispatcher
}

// Plan finds the labourers that may have something to do, with one cheap read of each, and has the metrics of all of them asked for
// together.
func (s *Service) Plan(ctx context.Context, execution string, in PlanInput) (Planned, error) {
	all, unknown, err := s.labourers(ctx, slices.Compact(slices.Sorted(slices.Values(in.Labourers))))
	if err != nil {
		return Planned{}, err
	}
	out := Planned{Labourers: []Turn{}, Unknown: unknown}
	asked := slices.Sorted(maps.Keys(all))
	turns, failures := make([]*Turn, len(asked)), make([]error, len(asked))
	var g errgroup.Group
	g.SetLimit(planners)
	for i, id := range asked {
		g.Go(func() error {
			turns[i], failures[i] = s.turn(ctx, execution, all[id], len(in.Labourers) > 0)
			return nil
		})
	}
	_ = g.Wait()
	if err := errors.Join(failures...); err != nil && !slices.Contains(failures, nil) {
		return Planned{}, err // not even one could be looked at: it is not them
	}
	for i, err := range failures {
		if err != nil { // its own branch tells of it, and leaves the others alone
			turns[i] = &Turn{Labourer: asked[i]}
		}
	}
	metrics := map[string]ecology.Metric{}
	var others []string
	for i, t := range turns {
		if t == nil {
			out.Idle++
			continue
		}
		if len(out.Labourers) == planLimit {
			others = append(others, asked[i])
			continue
		}
		out.Labourers = append(out.Labourers, *t)
		for name, m := range all[asked[i]].HealthMetrics {
			metrics[asked[i]+"/"+name] = m
		}
	}
	// Asking for all of them together saves calls, and is no more than that: whose metrics can not be read finds it in his own branch.
	if _, err := s.Health.Readings(ctx, metrics); err != nil {
		out.Unread = err.Error()
	}
	if out.Others = len(others); out.Others == 0 {
		return out, nil
	}
	var facts []event.Fact
	for some := range slices.Chunk(others, handedOver) {
		facts = append(facts, event.TasksDue(fmt.Sprintf("%s/%d", execution, len(facts)), some...))
	}
	return out, s.Bus.Publish(ctx, facts...)
}

// labourers is the named labourers, or all where none is named, and how many of the names are no labourer's. Named ones are read one by
// one: a wake costs what it names, however many labourers there are.
func (s *Service) labourers(ctx context.Context, named []string) (known map[string]labourer.Labourer, unknown int, err error) {
	if len(named) == 0 {
		known, err = s.Registry.Labourers(ctx)
		return known, 0, err
	}
	known = make(map[string]labourer.Labourer, len(named))
	missing := named
	if len(named) > planLimit { // the list costs less than so many reads
		all, err := s.Registry.Labourers(ctx)
		if err != nil {
			return nil, 0, err
		}
		missing = nil
		for _, id := range named {
			if l, listed := all[id]; listed {
				known[id] = l
			} else {
				missing = append(missing, id) // applied just now, perhaps: the list is eventually consistent, and this may be its only wake
			}
		}
	}
	// Whoever may put events on the bus may name anything, so what is read for it is bounded.
	read := missing[:min(len(missing), planLimit)]
	found := make([]*labourer.Labourer, len(read))
	var g errgroup.Group
	g.SetLimit(planners)
	for i, id := range read {
		g.Go(func() error {
			l, is, err := s.Registry.Labourer(ctx, id)
			if err != nil { // its own branch tells of it, and leaves the others alone
				l, is = labourer.New(id), true
			}
			if is {
				found[i] = &l
			}
			return nil
		})
	}
	_ = g.Wait()
	unknown = len(missing)
	for i, l := range found {
		if l != nil {
			known[read[i]] = *l
			unknown--
		}
	}
	return known, unknown, nil
}

// turn is what a labourer may have to do; nil: nothing.
func (s *Service) turn(ctx context.Context, execution string, l labourer.Labourer, woken bool) (*Turn, error) {
	now := s.Now()
	look, err := s.Control.Look(ctx, l.ID, now, lookPage)
	if err != nil {
		return nil, err
	}
	t := Turn{Labourer: l.ID}
	for _, a := range look.Asides {
		t.Reap = t.Reap || a.Unreadable != nil || a.Since.Before(now.Add(-asideTerm))
	}
	for _, lease := range look.Leases {
		t.Reap = t.Reap || overdue(lease, losing(l), now)
	}
	// A wake says that something has become due or free just now, which an eventually consistent look may not show yet: so it is taken at its
	// word, unless somebody is at work on the labourer, who will look again before he rests.
	if woken && !t.Reap {
		state, err := s.Control.State(ctx, l.ID)
		if err != nil || state.Hold.KeepsOff(execution, now) {
			return nil, err
		}
	}
	if woken || t.Reap || len(look.Due) > 0 {
		return &t, nil
	}
	return nil, nil
}

// overdue tells whether a lease needs a reaper: it cannot be read, tasks of it are lost, nothing of it is held, or nobody finished its dispatch.
func overdue(l queue.Lease, by queue.Losing, now time.Time) bool {
	return l.Unreadable != nil || l.Held().Empty() || !l.Lost(by, now).Empty() || l.Undispatched(now)
}

func losing(l labourer.Labourer) queue.Losing {
	return queue.Losing{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}
}

// Reaped is what a reaper did.
type Reaped struct {
	Expired           int      `json:"expired"`    // attempts closed as lost
	Released          int      `json:"released"`   // tasks that had ended and were still held
	Settled           int      `json:"settled"`    // failed tasks that nobody had settled
	Withdrawn         int      `json:"withdrawn"`  // asides whose canceller had died
	Unreadable        int      `json:"unreadable"` // lost tasks whose items cannot be decoded: failed for good
	SetAside          int      `json:"set_aside"`  // leases that cannot be decoded and would have ended by now
	Heard             int      `json:"heard"`      // executions that had ended, of which no news had come
	Waiting           int      `json:"waiting"`    // tasks that were given their time anew, as their messages are in the target's queue
	Undispatched      []string `json:"undispatched"`
	UndispatchedCount int      `json:"undispatched_count"`
	Errors            []string `json:"errors"` // the first of what could not be done, which the next reaper tries again
	ErrorCount        int      `json:"error_count"`
}

func (r *Reaped) fail(err error) {
	r.ErrorCount++
	if len(r.Errors) < errorsShown {
		r.Errors = append(r.Errors, err.Error())
	}
}

// Reap closes lost attempts, repairs interrupted work, and returns the leases whose dispatch is to be done again. What goes wrong with one
// lease, or with what was withdrawn, is told in the answer and stops nothing else: the labourer's other tasks must not wait for it.
func (s *Service) Reap(ctx context.Context, id string) (Reaped, error) {
	out := Reaped{Undispatched: []string{}, Errors: []string{}}
	l, err := s.labourer(ctx, id)
	if err != nil {
		return out, err
	}
	if out.Withdrawn, err = s.Sweeper.FinishWithdrawn(ctx, id, s.Now().Add(-asideTerm)); err != nil {
		out.fail(err)
	}
	leases, err := s.Control.Leases(ctx, id)
	if err != nil {
		return out, err
	}
	asking := &inquiry{Service: s, labourer: l, leases: leases}
	for _, lease := range leases {
		now := s.Now()
		if !overdue(lease, losing(l), now) {
			continue
		}
		if lease.Unreadable != nil {
			s.reapUnreadable(ctx, l, lease, now, &out)
			continue
		}
		if lost := lease.Lost(losing(l), now); !lost.Empty() || lease.Held().Empty() {
			if err := s.reap(ctx, asking, lease, lost, &out); err != nil {
				out.fail(fmt.Errorf("reaping %s, %w", lease.Item(), err))
			}
			continue
		}
		err := s.Control.Adopt(ctx, lease, now)
		if errors.Is(err, queue.ErrChanged) {
			continue
		}
		if err != nil {
			out.fail(err)
			continue
		}
		out.Undispatched = append(out.Undispatched, lease.Item())
	}
	out.UndispatchedCount = len(out.Undispatched)
	return out, nil
}

// reapUnreadable tells of a lease that cannot be decoded, and sets it aside when it would have ended: until then its tasks may run.
func (s *Service) reapUnreadable(ctx context.Context, l labourer.Labourer, lease queue.Lease, now time.Time, out *Reaped) {
	out.fail(*lease.Unreadable)
	longest := 2*queue.DispatchTerm + max(l.Lease(), lease.MaxDuration+l.Cooldown)
	var err error
	switch from := lease.SetAsideFrom(longest); {
	case from.IsZero():
		err = s.Control.Suspect(ctx, l.ID, lease.Item(), now)
	case now.After(from):
		if err = s.Control.SetAside(ctx, l.ID, lease.Item(), now); err == nil {
			out.SetAside++
		}
	}
	if err != nil && !errors.Is(err, queue.ErrChanged) {
		out.fail(err)
	}
}

// reap ends the lost tasks of a lease. What it closes as expired, the scavenger settles; what was closed before and is still held was
// closed by somebody who died, so it is released or settled here.
func (s *Service) reap(ctx context.Context, q *inquiry, l queue.Lease, lost segment.Numbers, out *Reaped) error {
	if l.Held().Empty() {
		return s.Control.Release(ctx, l, l.Tasks)
	}
	taken, err := q.taken(ctx, l, lost, s.Now())
	if err != nil {
		return err
	}
	out.Waiting += lost.Minus(taken).Len()
	lost = taken
	found := segment.Numbers{}
	for tasks, err := range s.Tasks.Chunks(ctx, l.Segment, lost) {
		end := task.End{Status: task.Expired, Error: &task.Error{Type: "Expired", Message: q.why(s.Now())}}
		ended := &out.Expired
		if unreadable, other := task.Unreadable(err); len(unreadable) > 0 {
			// No other attempt could read it either. Its end is in its item, for the time when it can be read again.
			out.fail(err)
			tasks, err, ended = unreadable, other, &out.Unreadable
			end = task.End{Status: task.Failed, Permanent: true, Error: &task.Error{Type: "Unreadable", Message: "what is stored of the task cannot be read"}}
		}
		if err == nil {
			err = s.reapChunk(ctx, q, l, tasks, end, ended, out)
		}
		if err != nil {
			return err
		}
		for _, t := range tasks {
			found = found.Union(segment.Of(t.ID.N))
		}
	}
	// Numbers without a task can only come of a damaged table; they must not hold a slot for ever.
	if ghosts := lost.Minus(found); !ghosts.Empty() {
		return s.Control.Release(ctx, l, ghosts)
	}
	return nil
}

// reapChunk ends those of the lost tasks that are open, counts them in ended, and puts the others right. An execution that has ended says how
// its task did.
func (s *Service) reapChunk(ctx context.Context, q *inquiry, l queue.Lease, tasks []task.Task, end task.End, ended *int, out *Reaped) error {
	end.Attempt, end.DispatchedAt, end.At = l.Attempt, l.DispatchedAt, s.Now()
	lost := slices.DeleteFunc(slices.Clone(tasks), func(t task.Task) bool { return t.Status.Terminal() || t.Attempt >= l.Attempt })
	if end.Status == task.Expired {
		var err error
		if lost, err = q.ends(ctx, l, lost, end.At, out); err != nil {
			return err
		}
	}
	for _, t := range lost {
		closed, err := t.Close(end)
		if err != nil {
			continue
		}
		if err := s.Tasks.Save(ctx, t, closed); err != nil && !errors.Is(err, task.ErrStale) {
			return err
		} else if err == nil {
			*ended++
		}
	}
	released, settled, err := s.putRight(ctx, l, tasks)
	out.Released += released
	out.Settled += settled
	return err
}

// putRight releases those of a lease's tasks that have reached their end, and settles those whose attempt failed before.
func (s *Service) putRight(ctx context.Context, l queue.Lease, tasks []task.Task) (released, settled int, err error) {
	var ended segment.Numbers
	var failed []task.Task
	for _, t := range tasks {
		switch {
		case t.Status.Terminal():
			ended = ended.Union(segment.Of(t.ID.N))
		case t.Attempt >= l.Attempt:
			failed = append(failed, t)
		}
	}
	if !ended.Empty() {
		if err := s.Control.Release(ctx, l, ended); err != nil {
			return 0, 0, err
		}
	}
	if len(failed) > 0 {
		if _, err := s.Settler.Settle(ctx, failed); err != nil {
			return ended.Len(), 0, err
		}
	}
	return ended.Len(), len(failed), nil
}

// Assessed is how many tasks of a labourer may start, and every number that this stands on.
type Assessed struct {
	Labourer string `json:"labourer"`
	Round    int    `json:"round"`
	Start    bool   `json:"start"`
	Reason   string `json:"reason"`
	Paused   bool   `json:"paused"`
	Due      int    `json:"due"`      // of those looked at
	DueMore  bool   `json:"due_more"` // more are due than were looked at
	ecology.Assessment
	Trouble    *queue.Trouble `json:"trouble,omitempty"`
	Unreadable []string       `json:"unreadable,omitempty"` // the first leases and due entries that cannot be decoded
}

// Assess tells whether tasks of a labourer may start now. In the first round it writes only what it has to remember of the labourer's
// health, when that has changed. In a later one the labourer is held by the claim of the round before: when nothing is left to start the
// hold ends, and it looks once more, as others may have given way to it.
func (s *Service) Assess(ctx context.Context, execution, id string, round int) (Assessed, error) {
	l, err := s.labourer(ctx, id)
	if err != nil {
		return Assessed{}, err
	}
	look, err := s.look(ctx, execution, l)
	if err != nil {
		return Assessed{}, err
	}
	if start, _ := look.decide(s.Now()); !start && round > 0 {
		if look, err = s.lookAgain(ctx, execution, id); err != nil {
			return Assessed{}, err
		}
	}
	out := Assessed{Labourer: id, Round: round + 1, Assessment: look.assessment, Paused: look.state.Paused, Due: look.due, DueMore: look.more, Trouble: look.state.Trouble,
		Unreadable: look.unreadable}
	out.Start, out.Reason = look.decide(s.Now())
	return out, nil
}

// look is what a decision about a labourer stands on, read in the order that keeps the cap: the state before the leases.
type look struct {
	execution  string // whose look it is
	labourer   labourer.Labourer
	state      queue.State
	leases     []queue.Lease
	entries    []queue.Entry
	due        int
	more       bool
	unreadable []string
	assessment ecology.Assessment
}

func (k *look) tell(err error) {
	if len(k.unreadable) < errorsShown {
		k.unreadable = append(k.unreadable, err.Error())
	}
}

func (s *Service) look(ctx context.Context, execution string, l labourer.Labourer) (look, error) {
	out := look{execution: execution, labourer: l}
	var err error
	if out.state, err = s.Control.State(ctx, l.ID); err != nil {
		return out, err
	}
	if out.leases, err = s.Control.Leases(ctx, l.ID); err != nil {
		return out, err
	}
	for _, lease := range out.leases {
		if lease.Unreadable != nil {
			out.tell(*lease.Unreadable)
		}
	}
	if err = s.lookAtDue(ctx, &out); err != nil {
		return out, err
	}
	out.more = len(out.entries) == dueLimit
	for _, e := range out.entries {
		out.due += e.Tasks.Len()
	}
	out.assessment, err = s.assess(ctx, l, queue.Running(out.leases))
	return out, err
}

// lookAtDue reads the first due entries. Those that cannot be decoded are set aside at once, as they hold no slot: they keep no other from being
// among the first.
func (s *Service) lookAtDue(ctx context.Context, k *look) (err error) {
	for range looks {
		if k.entries, err = s.Control.Due(ctx, k.labourer.ID, s.Now(), dueLimit); err != nil {
			return err
		}
		readable := true
		for _, e := range k.entries {
			if e.Unreadable == nil {
				continue
			}
			readable = false
			k.tell(*e.Unreadable)
			if err := s.Control.SetAside(ctx, k.labourer.ID, e.Item(), s.Now()); err != nil && !errors.Is(err, queue.ErrChanged) {
				k.tell(err)
			}
		}
		if readable {
			break
		}
	}
	return nil
}

// lookAgain lets others come and looks once more at everything, the labourer included: whatever has changed while they gave way, who was woken
// for it has gone.
func (s *Service) lookAgain(ctx context.Context, execution, id string) (look, error) {
	if err := s.Control.Depart(ctx, id, execution); err != nil {
		return look{}, err
	}
	l, err := s.labourer(ctx, id)
	if err != nil {
		return look{}, err
	}
	return s.look(ctx, execution, l)
}

// assess applies the ecology, remembers what the next assessment needs, and tells when the status has changed.
func (s *Service) assess(ctx context.Context, l labourer.Labourer, running int) (ecology.Assessment, error) {
	if len(l.HealthMetrics) == 0 {
		return ecology.Assess(l.Subject(), nil, nil, s.Now(), running), nil
	}
	readings, err := s.Health.Readings(ctx, l.HealthMetrics)
	if err != nil {
		return ecology.Assessment{}, err
	}
	before, err := s.Memory.Recall(ctx, l.ID)
	if err != nil {
		return ecology.Assessment{}, err
	}
	now := s.Now()
	a := ecology.Assess(l.Subject(), readings, before.History, now, running)
	after := ecology.Remembered{Status: a.Status, Known: true, History: a.History, At: before.At}
	changed := !before.Known || before.Status != a.Status
	if changed {
		after.At = now.UTC().Truncate(time.Millisecond)
	}
	if !changed && sameHistory(before.History, after.History) {
		return a, nil
	}
	// Told first: were it remembered first, a crash in between would leave the change untold for ever.
	if changed && before.Known {
		if err := s.Bus.Publish(ctx, event.LabourerHealthChanged(l.ID, int(before.Status), int(a.Status), a.Metrics, before.At)); err != nil {
			return a, err
		}
	}
	err = s.Memory.Remember(ctx, l.ID, before, after)
	if errors.Is(err, queue.ErrChanged) { // somebody else has assessed it just now, and told what changed
		err = nil
	}
	return a, err
}

func sameHistory(a, b ecology.History) bool {
	return maps.EqualFunc(a, b, func(x, y ecology.Past) bool {
		return x.Status == y.Status && maps.EqualFunc(x.Since, y.Since, time.Time.Equal)
	})
}

// decide tells whether a claim is worth trying, and why.
func (k look) decide(now time.Time) (bool, string) {
	due := fmt.Sprintf("%d", k.due)
	if k.more {
		due = "more than " + due
	}
	a := k.assessment
	switch {
	case k.state.Paused:
		return false, "the labourer is paused"
	case k.due == 0:
		return false, "nothing is due"
	case a.Desired == 0 && a.Cap == 0:
		return false, "the cap is 0"
	case a.Desired == 0:
		return false, fmt.Sprintf("health is %s: %s", a.Status, a.Reason)
	case a.Free == 0:
		return false, fmt.Sprintf("no slot is free: %d of %d are taken, %s tasks are due", a.Running, a.Desired, due)
	case k.state.Trouble != nil && k.state.Trouble.Until.After(now):
		return false, fmt.Sprintf("the target could not be reached, it is tried again at %s: %s", k.state.Trouble.Until.Format(time.RFC3339), k.state.Trouble.Error)
	case k.state.Hold.KeepsOff(k.execution, now):
		return false, fmt.Sprintf("somebody else is at work on it: %d of %d are free, %s tasks are due", a.Free, a.Desired, due)
	}
	return true, fmt.Sprintf("%d of %d are free, %s tasks are due", a.Free, a.Desired, due)
}

// Claimed is what a claim took.
type Claimed struct {
	Claimed int      `json:"claimed"`
	Leases  []string `json:"leases"`
	Reason  string   `json:"reason"`
}

// looks is how often a claimer looks again before it leaves the rest to the next wake.
const looks = 3

// Claim moves as many due tasks to leases as may start. Only one at a time gets as far as the transaction, and keeps the labourer until it
// has dispatched and looked again: the others give way, and no wake is missed by it, as who was claiming always looks again after, here
// when it took nothing, else in Assess. So slots that become free in the meantime are filled together by its next claim.
//
// The hold is the execution's, by name: who has claimed before in this execution, or has approached and never heard so, goes on. Should the
// hold have run out and somebody else have come, then he has looked at what there was, and this one gives way to him. Should two come under
// one name, as a step is taken twice, the state's version keeps them apart.
func (s *Service) Claim(ctx context.Context, execution, id string, round int) (Claimed, error) {
	out := Claimed{Leases: []string{}}
	l, err := s.labourer(ctx, id)
	if err != nil {
		return out, err
	}
	for range looks {
		now := s.Now()
		hold := queue.Hold{By: execution, Until: now.Add(claimTerm)}
		err := s.Control.Approach(ctx, id, now, hold)
		if errors.Is(err, queue.ErrChanged) {
			out.Reason = "somebody else is at work on it"
			return out, nil
		}
		if err != nil {
			return out, err
		}
		taken, reason, err := s.claim(ctx, execution, l)
		out.Reason = reason
		if errors.As(err, new(*unheardError)) {
			return out, err // its transaction may still be under way, so the hold runs out by itself
		}
		if err != nil {
			return out, errors.Join(err, s.Control.Depart(ctx, id, execution))
		}
		for _, t := range taken {
			out.Claimed += t.Lease.Tasks.Len()
			out.Leases = append(out.Leases, t.Lease.Item())
		}
		if out.Claimed > 0 && round >= lastRound {
			return out, s.Control.Depart(ctx, id, execution) // another execution goes on from here
		}
		if out.Claimed > 0 {
			return out, nil
		}
		k, err := s.lookAgain(ctx, execution, id)
		if err != nil {
			return out, err
		}
		l = k.labourer
		start, reason := k.decide(s.Now())
		if out.Reason = reason; !start {
			return out, nil
		}
	}
	return out, nil
}

// unheardError says that a claim was sent, and that it is not known whether it goes through.
type unheardError struct{ err error }

func (e *unheardError) Error() string { return e.err.Error() }
func (e *unheardError) Unwrap() error { return e.err }

// claim takes what may start. Its transaction holds the labourer as well, and the hold ends only after the transaction has returned: several
// reads that meet a transaction may see one of its writes and not yet another, so a claimer that saw the new version alone would count none
// of the new leases (G3). The state's item has the version and the hold, which no read sees apart.
func (s *Service) claim(ctx context.Context, execution string, l labourer.Labourer) ([]queue.Taking, string, error) {
	k, err := s.look(ctx, execution, l)
	if err != nil {
		return nil, "", err
	}
	now := s.Now()
	start, reason := k.decide(now)
	if !start {
		return nil, reason, nil
	}
	// The attempts' time begins with their dispatch, which sets the lease's end anew. Should their dispatcher die, another one has to come to
	// it before the lease ends, or attempts would be lost that were never begun.
	lasts := func(own time.Duration) time.Duration { return 2*queue.DispatchTerm + term(l, own) }
	takings := queue.Take(k.state, k.entries, min(k.assessment.Free, claimLimit), now, lasts)
	if k.state.Probing() {
		takings = queue.Probe(k.state, k.entries, now, lasts)
	}
	takings = queue.Apart(takings, k.leases)
	err = s.Control.Claim(ctx, l.ID, k.state, takings, queue.Hold{By: execution, Until: now.Add(claimTerm)})
	if errors.Is(err, queue.ErrChanged) {
		return nil, "the labourer was claimed for, paused or resumed in the meantime", nil
	}
	if err != nil {
		return nil, reason, &unheardError{err}
	}
	return takings, reason, nil
}

func term(l labourer.Labourer, own time.Duration) time.Duration {
	if own > 0 {
		return own + l.Cooldown
	}
	return l.Lease()
}

func (s *Service) labourer(ctx context.Context, id string) (labourer.Labourer, error) {
	l, found, err := s.Registry.Labourer(ctx, id)
	if err == nil && !found {
		err = fmt.Errorf("labourer %s is not applied", id)
	}
	return l, err
}

// Step is what the state machine hands to the orchestrator.
type Step struct {
	Step      string    `json:"step"`
	Execution string    `json:"execution"`
	Input     PlanInput `json:"input"`
	Labourer  string    `json:"labourer"`
	Round     int       `json:"round"`
	Leases    []string  `json:"leases"`
}

// Take takes a step.
func (s *Service) Take(ctx context.Context, in Step) (any, error) {
	switch in.Step {
	case "plan":
		return s.Plan(ctx, in.Execution, in.Input)
	case "reap":
		return s.Reap(ctx, in.Labourer)
	case "assess":
		return s.Assess(ctx, in.Execution, in.Labourer, in.Round)
	case "claim":
		return s.Claim(ctx, in.Execution, in.Labourer, in.Round)
	case "dispatch":
		return s.Dispatch(ctx, in.Labourer, in.Leases)
	case "give_back":
		return s.GiveBack(ctx, in.Execution, in.Labourer, in.Leases)
	}
	return nil, fmt.Errorf("step is %q; plan, reap, assess, claim, dispatch and give_back are known", in.Step)
}

// Counts returns what a step is counted as in the metrics of the stack: what it returned, and its error.
func Counts(out any, err error) map[string]int {
	counts := map[string]int{}
	if err != nil {
		counts[metric.OrchestratorFailures] = 1
	}
	if d, is := out.(Dispatched); is {
		counts[metric.TargetFailures] = d.Unreached
	}
	return counts
}

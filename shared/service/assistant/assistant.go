// Package assistant implements the worker assistant: it receives reports on running attempts, closes tasks and frees their slots.
//
// It closes the task first, by one conditional write, and then adds the task's number to those that its lease has released. After an
// interruption the message is redelivered: the assistant finds the task closed, and releases it. An attempt that did not succeed is closed
// and stays in its lease. The scavenger releases it, together with the next attempt or the task's death.
package assistant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Tasks stores the tasks to close.
type Tasks interface {
	Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	Save(ctx context.Context, before, after task.Task) error
}

// Control stores the queue and the leases that hold the tasks.
type Control interface {
	LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
	Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) error
	Hear(ctx context.Context, l queue.Lease, n int, at time.Time) error
	Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error)
	Queue(ctx context.Context, labourer string) ([]queue.Entry, error)
}

// Registry holds the labourers that are applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Timer wakes the orchestrator at a given time.
type Timer interface {
	WakeAt(ctx context.Context, at time.Time, labourers ...string) error
}

// Sweeper cancels those of these tasks that are queued and whose jobs are being cancelled.
type Sweeper interface {
	Sweep(ctx context.Context, tasks []task.Task) error
}

// Graveyard keeps unreadable messages, each with the reason.
type Graveyard interface {
	Bury(ctx context.Context, body, reason string) error
}

// Executions reads the outputs of executions that their status events leave out. found is false if Step Functions no longer knows the
// execution, or may not describe it.
type Executions interface {
	Describe(ctx context.Context, arn string) (x completion.Execution, found bool, err error)
}

// Service implements the worker assistant.
type Service struct {
	Tasks     Tasks
	Control   Control
	Registry  Registry
	Bus       Bus
	Timer     Timer
	Graveyard Graveyard
	Sweeper   Sweeper
	Now       func() time.Time

	Executions Executions
}

// Message is a message of the completions queue.
type Message struct{ ID, Body string }

// Summary counts what a batch led to, for the log.
type Summary struct {
	Completed, Failed, Heard, NeverStarted int
	Repeated, Stale, Unknown               int // changed nothing
	Foreign                                int // reports by executions of a state machine that is not the labourer's; changed nothing
	Ignored, Buried                        int
	Errors                                 []string
}

// Handle processes a batch and returns the ids of the messages to redeliver.
func (s *Service) Handle(ctx context.Context, invocation string, messages []Message) (failed []string, summary Summary) {
	b := batch{Service: s, Summary: &summary, invocation: invocation}
	for _, m := range messages {
		r, err := completion.Read([]byte(m.Body))
		switch {
		case errors.Is(err, completion.Ignored):
			summary.Ignored++
		case err != nil:
			summary.Buried++
			if err := s.Graveyard.Bury(ctx, m.Body, err.Error()); err != nil {
				failed = append(failed, m.ID)
				summary.Errors = append(summary.Errors, err.Error())
			}
		default:
			if r, err = s.fetch(ctx, r); err != nil {
				b.fail(err, m.ID)
				continue
			}
			b.add(m.ID, r)
		}
	}
	b.close(ctx)
	return append(failed, b.failed...), summary
}

// fetch completes a report whose event left out the execution's output. If the output cannot be read, the report stays as it is and carries
// that reason.
func (s *Service) fetch(ctx context.Context, r completion.Report) (completion.Report, error) {
	if r.Execution == "" {
		return r, nil
	}
	x, found, err := s.Executions.Describe(ctx, r.Execution)
	if err != nil || !found {
		return r, err
	}
	whole, ended := x.Report()
	if !ended {
		return r, nil
	}
	whole.TaskID, whole.Attempt, whole.Machine = r.TaskID, r.Attempt, r.Machine
	return whole, nil
}

// Mark processes one report as Handle processes a batch.
func (s *Service) Mark(ctx context.Context, invocation string, r completion.Report) (Summary, error) {
	var summary Summary
	b := batch{Service: s, Summary: &summary, invocation: invocation}
	b.add("call", r)
	b.close(ctx)
	if len(b.failed) > 0 {
		return summary, fmt.Errorf("closing task %s, %s", r.TaskID, summary.Errors)
	}
	return summary, nil
}

// batch holds the reports of one invocation.
type batch struct {
	*Service
	*Summary
	invocation string
	restartAt  time.Time // when tasks that could not be started are due again
	reports    []report
	failed     []string
}

type report struct {
	completion.Report
	id      task.ID
	message string
	at      *place
}

// place is a segment of a labourer, its leases, and the numbers to release from them.
type place struct {
	labourer string
	segment  segment.ID
	leases   []queue.Lease
	released map[string]segment.Numbers // by the lease's item
	messages []string                   // reports after which slots are free; redelivered if waking the orchestrator fails
	restarts []string                   // reports after which tasks are due at restartAt; redelivered if the timer fails
	err      error
}

func (b *batch) add(message string, r completion.Report) {
	id, err := task.ParseID(r.TaskID)
	if err != nil {
		b.Unknown++
		return
	}
	b.reports = append(b.reports, report{Report: r, id: id, message: message})
}

func (b *batch) fail(err error, messages ...string) {
	b.Errors = append(b.Errors, err.Error())
	for _, m := range messages {
		if !slices.Contains(b.failed, m) {
			b.failed = append(b.failed, m)
		}
	}
}

// closers limits how many tasks are closed at once.
const closers = 10

func (b *batch) close(ctx context.Context) {
	if len(b.reports) == 0 {
		return
	}
	b.restartAt = b.Now().Add(restart).UTC().Truncate(time.Millisecond)
	var ids []task.ID
	var messages []string
	for _, r := range b.reports {
		ids, messages = append(ids, r.id), append(messages, r.message)
	}
	tasks, err := b.Tasks.Load(ctx, ids)
	unreadable, other := task.Unreadable(err)
	if other != nil {
		b.fail(other, messages...)
		return
	}
	open := map[task.ID]bool{}
	for _, t := range unreadable {
		if t.Status.Terminal() { // the report changes nothing
			tasks[t.ID] = t
		} else {
			open[t.ID] = true
		}
	}
	places := b.places(ctx, tasks)
	targets := b.targets(ctx, tasks)

	byTask := map[task.ID][]report{}
	for _, r := range b.reports {
		t, found := tasks[r.id]
		if open[r.id] {
			b.fail(err, r.message)
			continue
		}
		if !found {
			b.Unknown++
			continue
		}
		if r.Machine != "" {
			target := targets[t.Labourer]
			if target.err != nil {
				b.fail(target.err, r.message)
				continue
			}
			if !target.Runs(r.Machine) {
				b.Foreign++
				continue
			}
		}
		r.at = places[placeKey{t.Labourer, t.ID.Segment}]
		byTask[r.id] = append(byTask[r.id], r)
	}
	outcomes := make(chan []verdict, len(byTask))
	var g errgroup.Group
	g.SetLimit(closers)
	for id, reports := range byTask {
		g.Go(func() error {
			outcomes <- b.judge(ctx, tasks[id], reports)
			return nil
		})
	}
	_ = g.Wait()
	close(outcomes)
	var back []task.Task
	for verdicts := range outcomes {
		for _, v := range verdicts {
			b.count(v)
			if v.restart && v.err == nil {
				back = append(back, tasks[v.id])
			}
		}
	}
	b.sweep(ctx, back)
	b.release(ctx, places)
}

// target is the target of a labourer, or the reason that it cannot be read.
type target struct {
	labourer.Target
	err error
}

// targets reads the labourers of the tasks whose end an execution reports, and no others. A removed labourer has no target, and so no
// execution.
func (b *batch) targets(ctx context.Context, tasks map[task.ID]task.Task) map[string]target {
	out := map[string]target{}
	for _, r := range b.reports {
		t, found := tasks[r.id]
		if _, read := out[t.Labourer]; !found || read || r.Machine == "" {
			continue
		}
		l, _, err := b.Registry.Labourer(ctx, t.Labourer)
		if err != nil {
			err = fmt.Errorf("reading labourer %s, %w", t.Labourer, err)
		}
		out[t.Labourer] = target{Target: l.Target, err: err}
	}
	return out
}

type placeKey struct {
	labourer string
	segment  segment.ID
}

// places reads the leases of every segment that the batch touches.
func (b *batch) places(ctx context.Context, tasks map[task.ID]task.Task) map[placeKey]*place {
	out := map[placeKey]*place{}
	for _, t := range tasks {
		key := placeKey{t.Labourer, t.ID.Segment}
		if out[key] == nil {
			out[key] = &place{labourer: t.Labourer, segment: t.ID.Segment, released: map[string]segment.Numbers{}}
		}
	}
	var g errgroup.Group
	g.SetLimit(closers)
	for _, p := range out {
		g.Go(func() error {
			p.leases, p.err = b.Control.LeasesOn(ctx, p.labourer, p.segment)
			return nil
		})
	}
	_ = g.Wait()
	return out
}

// verdict is what was made of a report.
type verdict struct {
	report
	counter func(*Summary) *int
	err     error
	release *queue.Lease // the task is to be released from
	restart bool         // the task is in line for its restart
}

// judge goes through the reports of one task in the order in which they came.
func (b *batch) judge(ctx context.Context, t task.Task, reports []report) []verdict {
	var out []verdict
	for _, r := range reports {
		v := verdict{report: r, err: r.at.err}
		if v.err == nil {
			t = b.apply(ctx, t, &v)
		}
		out = append(out, v)
	}
	return out
}

// apply closes the task because of a report, if it concerns the attempt that is running, and is the task after that.
func (b *batch) apply(ctx context.Context, t task.Task, v *verdict) task.Task {
	attempt := v.Attempt
	if attempt == 0 {
		// Who names no attempt means the one that is running, or that has just ended and is not released yet.
		attempt = t.Attempt
		if _, running := queue.Holding(v.at.leases, t.ID, t.Attempt+1); running && !t.Status.Terminal() {
			attempt++
		}
	}
	l, held := queue.Holding(v.at.leases, t.ID, attempt)
	if t.Status.Terminal() || attempt <= t.Attempt {
		v.counter = func(s *Summary) *int { return &s.Stale }
		if attempt == t.Attempt && attempt > 0 {
			v.counter = func(s *Summary) *int { return &s.Repeated }
		}
		if held && t.Status.Terminal() {
			v.release = &l
		}
		return t
	}
	if held && v.Kind == completion.NeverStarted && precedes(v.At, l) {
		held = false // told again: it was put back then, and has been started anew
	}
	unheard := false
	if !held && attempt == t.Attempt+1 && (v.Kind == completion.Completed || v.Kind == completion.Failed) {
		if unheard, v.err = b.tried(ctx, t, attempt); v.err != nil {
			return t
		}
	}
	if (!held || attempt != t.Attempt+1) && !unheard {
		v.counter = func(s *Summary) *int { return &s.Stale }
		// Whoever put it back may have died before the wake.
		v.restart = v.Kind == completion.NeverStarted && attempt == t.Attempt+1
		return t
	}
	now := b.Now()
	switch v.Kind {
	case completion.Running:
		v.counter = func(s *Summary) *int { return &s.Heard }
		if err := b.Control.Hear(ctx, l, t.ID.N, now); err != nil && !errors.Is(err, queue.ErrChanged) {
			v.err = err
		}
		return t
	case completion.NeverStarted:
		v.counter = func(s *Summary) *int { return &s.NeverStarted }
		v.restart, v.err = true, b.putBack(ctx, t, l)
		return t
	}
	dispatchedAt := l.DispatchedAt
	if dispatchedAt.IsZero() { // the worker was faster than its dispatcher, or its start went unheard
		dispatchedAt = l.ClaimedAt
	}
	end := v.End(attempt, dispatchedAt, now)
	closed, err := b.end(ctx, t, end)
	if errors.Is(err, task.ErrStale) {
		return b.lookAgain(ctx, t, v)
	}
	if err != nil {
		v.err = err
		return t
	}
	v.counter = func(s *Summary) *int { return &s.Completed }
	if closed.Status == task.Failed {
		v.counter = func(s *Summary) *int { return &s.Failed }
	}
	if unheard {
		v.release, v.err = b.claimedSince(ctx, closed)
	} else if closed.Status.Terminal() {
		v.release = &l
	}
	return closed
}

// tried reports whether the queue holds the attempt after an earlier start. The dispatcher did not hear that it had started the worker, and
// returned the task to the queue; the worker's report still ends the attempt.
func (b *batch) tried(ctx context.Context, t task.Task, attempt int) (bool, error) {
	entries, err := b.Control.Queue(ctx, t.Labourer)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(entries, func(e queue.Entry) bool {
		return e.Tried && e.Segment == t.ID.Segment && e.Attempt == attempt && e.Tasks.Contains(t.ID.N)
	}), nil
}

// claimedSince returns the lease from which to release a task whose end was reported while it was queued: the dispatcher did not hear that
// it had started the worker, and returned the task. A claim made before the end was written may have moved the task to a lease. A later
// claim finds the end and releases the task itself.
func (b *batch) claimedSince(ctx context.Context, closed task.Task) (*queue.Lease, error) {
	if !closed.Status.Terminal() {
		return nil, nil // the scavenger settles it in its lease, or the dispatcher that claims it does
	}
	leases, err := b.Control.LeasesOn(ctx, closed.Labourer, closed.ID.Segment)
	if err != nil {
		return nil, err
	}
	if l, held := queue.Holding(leases, closed.ID, closed.Attempt); held {
		return &l, nil
	}
	return nil, nil
}

// end closes an attempt at a task. What it left is not kept where there is no room for it beside the task's payload.
func (b *batch) end(ctx context.Context, t task.Task, e task.End) (task.Task, error) {
	closed, err := t.Close(e)
	if err == nil {
		err = b.Tasks.Save(ctx, t, closed)
	}
	if large, is := errors.AsType[*task.TooLargeError](err); is && (e.Result != nil || e.Stats != nil) {
		return b.end(ctx, t, e.Without(large.Error()))
	}
	return closed, err
}

// lookAgain is after a close that was refused, as somebody else has closed the attempt in the meantime.
func (b *batch) lookAgain(ctx context.Context, t task.Task, v *verdict) task.Task {
	v.counter = func(s *Summary) *int { return &s.Repeated }
	now, err := b.Tasks.Load(ctx, []task.ID{t.ID})
	if err != nil {
		v.err = err
		return t
	}
	t = now[t.ID]
	if l, held := queue.Holding(v.at.leases, t.ID, t.Attempt); held && t.Status.Terminal() {
		v.release = &l
	}
	return t
}

// restart delays a task whose function could not be started.
const restart = 5 * time.Second

// tries limits how often a lost race for a lease is retried. A lost race means that another component has moved tasks of the lease.
const tries = 2 * closers

// startSkew bounds the difference between the clocks of Lambda and of Drover's functions. A task that was put back is started again only
// after restart, which is longer.
const startSkew = restart / 2

// precedes reports whether a report of this time cannot be about a start out of this lease.
func precedes(at time.Time, l queue.Lease) bool {
	return !at.IsZero() && at.Add(startSkew).Before(l.ClaimedAt)
}

// putBack queues a task again for the same attempt, which never began. Other tasks of the same lease are put back at the same time: a
// throttled function refuses many starts.
func (b *batch) putBack(ctx context.Context, t task.Task, l queue.Lease) error {
	for range tries {
		err := b.Control.Requeue(ctx, l, queue.Entry{Labourer: t.Labourer, Due: b.restartAt, Segment: t.ID.Segment,
			First: t.ID.N, Tasks: segment.Of(t.ID.N), Attempt: l.Attempt, MaxDuration: l.MaxDuration, Tried: true, Misfires: l.Misfires})
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		leases, err := b.Control.LeasesOn(ctx, t.Labourer, t.ID.Segment)
		if err != nil {
			return err
		}
		again, held := queue.Holding(leases, t.ID, l.Attempt)
		if !held || again.Claim != l.Claim {
			return nil // it was put back and perhaps started again, or it has ended
		}
		l = again
	}
	return fmt.Errorf("putting task %s back: its lease changed %d times in between", t.ID, tries)
}

func (b *batch) count(v verdict) {
	if v.err != nil {
		b.fail(v.err, v.message)
		return
	}
	counter := v.counter(b.Summary)
	*counter++
	if v.release != nil {
		item := v.release.Item()
		v.at.released[item] = v.at.released[item].Union(segment.Of(v.id.N))
	}
	// What comes again may come because who had it before died, released or not, but before the wake.
	if v.release != nil || counter == &b.Repeated {
		v.at.messages = append(v.at.messages, v.message)
	}
	if v.restart {
		v.at.restarts = append(v.at.restarts, v.message)
	}
}

// sweep cancels tasks that were queued again while their jobs were being cancelled: the canceller has not seen them in the queue. It also
// sweeps those of redelivered messages, because the assistant that put them back may have died before it swept them.
func (b *batch) sweep(ctx context.Context, back []task.Task) {
	if len(back) == 0 {
		return
	}
	slices.SortFunc(back, func(x, y task.Task) int { return strings.Compare(x.ID.String(), y.ID.String()) })
	if err := b.Sweeper.Sweep(ctx, back); err != nil {
		for _, r := range b.reports {
			if slices.ContainsFunc(back, func(t task.Task) bool { return t.ID == r.id }) {
				b.fail(err, r.message)
			}
		}
	}
}

// release frees the slots of ended tasks, with one write per lease, and wakes the orchestrator where something is due, or will be.
func (b *batch) release(ctx context.Context, places map[placeKey]*place) {
	var g errgroup.Group
	g.SetLimit(closers)
	for _, p := range places {
		g.Go(func() error {
			for _, l := range p.leases {
				if numbers := p.released[l.Item()]; !numbers.Empty() && p.err == nil {
					p.err = b.Control.Release(ctx, l, numbers)
				}
			}
			return nil
		})
	}
	_ = g.Wait()
	freed := map[string][]string{}
	for _, p := range places {
		if len(p.messages) == 0 {
			continue
		}
		if p.err != nil {
			b.fail(p.err, p.messages...)
			continue
		}
		freed[p.labourer] = append(freed[p.labourer], p.messages...)
	}
	for _, labourer := range slices.Sorted(maps.Keys(freed)) {
		if err := b.wake(ctx, labourer); err != nil {
			b.fail(err, freed[labourer]...)
		}
	}
	b.wakeLater(ctx, places)
}

// wakeLater sets a timer for the tasks that could not be started: one execution for all labourers of the batch.
func (b *batch) wakeLater(ctx context.Context, places map[placeKey]*place) {
	labourers := map[string]bool{}
	var messages []string
	for _, p := range places {
		if len(p.restarts) > 0 {
			labourers[p.labourer] = true
			messages = append(messages, p.restarts...)
		}
	}
	if len(messages) == 0 {
		return
	}
	if err := b.Timer.WakeAt(ctx, b.restartAt, slices.Sorted(maps.Keys(labourers))...); err != nil {
		b.fail(err, messages...)
	}
}

// wake wakes the orchestrator if a task is waiting for the freed slots. The read of the queue is strongly consistent: an entry that is put
// later has a wake of its own, which finds the slots free.
func (b *batch) wake(ctx context.Context, labourer string) error {
	due, err := b.Control.Due(ctx, labourer, b.Now(), 1)
	if err != nil || len(due) == 0 {
		return err
	}
	return b.Bus.Publish(ctx, event.TasksDue(b.invocation, labourer))
}

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
	b := batch{service: s, invocation: invocation}
	for _, m := range messages {
		r, err := completion.Read([]byte(m.Body))
		switch {
		case errors.Is(err, completion.Ignored):
			b.summary.Ignored++
		case err != nil:
			b.summary.Buried++
			if err := s.Graveyard.Bury(ctx, m.Body, err.Error()); err != nil {
				b.fail(err, m.ID)
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
	return b.failed, b.summary
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
	b := batch{service: s, invocation: invocation}
	b.add("call", r)
	b.close(ctx)
	if len(b.failed) > 0 {
		return b.summary, fmt.Errorf("closing task %s, %s", r.TaskID, b.summary.Errors)
	}
	return b.summary, nil
}

// batch holds the reports of one invocation.
type batch struct {
	service    *Service
	summary    Summary
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
		b.summary.Unknown++
		return
	}
	b.reports = append(b.reports, report{Report: r, id: id, message: message})
}

func (b *batch) fail(err error, messages ...string) {
	b.summary.Errors = append(b.summary.Errors, err.Error())
	for _, m := range messages {
		if !slices.Contains(b.failed, m) {
			b.failed = append(b.failed, m)
		}
	}
}

// parallel limits how many tasks are closed at once, and how many leases are read or written.
const parallel = 10

func (b *batch) close(ctx context.Context) {
	if len(b.reports) == 0 {
		return
	}
	b.restartAt = b.service.Now().Add(restart).UTC().Truncate(time.Millisecond)
	tasks := b.load(ctx)
	places := b.places(ctx, tasks)
	b.dropForeign(ctx, tasks)

	byTask := map[task.ID][]report{}
	for _, r := range b.reports {
		t := tasks[r.id]
		r.at = places[placeKey{t.Labourer, t.ID.Segment}]
		byTask[r.id] = append(byTask[r.id], r)
	}
	done := make(chan []outcome, len(byTask))
	var g errgroup.Group
	g.SetLimit(parallel)
	for id, reports := range byTask {
		g.Go(func() error {
			done <- b.closeTask(ctx, tasks[id], reports)
			return nil
		})
	}
	_ = g.Wait()
	close(done)
	var back []task.Task
	for outcomes := range done {
		for _, o := range outcomes {
			b.note(o)
			if o.queued() {
				back = append(back, tasks[o.id])
			}
		}
	}
	b.sweep(ctx, back)
	b.release(ctx, places)
}

// load reads the tasks of the batch and keeps the reports whose tasks it returns. A report on an unreadable task that has not ended fails: it
// is redelivered until the task is readable or has ended.
func (b *batch) load(ctx context.Context) map[task.ID]task.Task {
	var ids []task.ID
	var messages []string
	for _, r := range b.reports {
		ids, messages = append(ids, r.id), append(messages, r.message)
	}
	tasks, err := b.service.Tasks.Load(ctx, ids)
	unreadable, other := task.Unreadable(err)
	if other != nil {
		b.fail(other, messages...)
		b.reports = nil
		return nil
	}
	open := map[task.ID]bool{}
	for _, t := range unreadable {
		if t.Status.Terminal() { // the report changes nothing
			tasks[t.ID] = t
		} else {
			open[t.ID] = true
		}
	}
	b.reports = slices.DeleteFunc(b.reports, func(r report) bool {
		_, found := tasks[r.id]
		switch {
		case open[r.id]:
			b.fail(err, r.message)
			return true
		case !found:
			b.summary.Unknown++
			return true
		}
		return false
	})
	return tasks
}

// dropForeign drops the reports of executions that do not run the state machine of their task's labourer.
func (b *batch) dropForeign(ctx context.Context, tasks map[task.ID]task.Task) {
	targets := b.targets(ctx, tasks)
	b.reports = slices.DeleteFunc(b.reports, func(r report) bool {
		if r.Machine == "" {
			return false
		}
		target := targets[tasks[r.id].Labourer]
		if target.err != nil {
			b.fail(target.err, r.message)
			return true
		}
		if !target.Runs(r.Machine) {
			b.summary.Foreign++
			return true
		}
		return false
	})
}

// target holds the target of a labourer, or the reason that it cannot be read.
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
		l, _, err := b.service.Registry.Labourer(ctx, t.Labourer)
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
	g.SetLimit(parallel)
	for _, p := range out {
		g.Go(func() error {
			p.leases, p.err = b.service.Control.LeasesOn(ctx, p.labourer, p.segment)
			return nil
		})
	}
	_ = g.Wait()
	return out
}

// outcome records what the assistant did about a report.
type outcome struct {
	report
	did     action
	as      task.Status  // the status with which the attempt was closed
	release *queue.Lease // the lease from which to release the task; nil: none
	err     error
}

// queued reports whether the task is in the queue because its attempt never began.
func (o outcome) queued() bool {
	return o.err == nil && (o.did == putBack || o.did == setTimer)
}

// closeTask processes the reports of one task in the order in which they came.
func (b *batch) closeTask(ctx context.Context, t task.Task, reports []report) []outcome {
	out := make([]outcome, len(reports))
	for i, r := range reports {
		out[i] = outcome{report: r, err: r.at.err}
		if r.at.err == nil {
			t = b.apply(ctx, t, &out[i])
		}
	}
	return out
}

// apply does what the verdict on a report says, and returns the task as it then is.
func (b *batch) apply(ctx context.Context, t task.Task, o *outcome) task.Task {
	v := decide(t, o.at.leases, o.Report)
	o.did = v.action
	switch v.action {
	case ignore, repeat:
		if v.held && t.Status.Terminal() {
			o.release = &v.lease
		}
	case hear:
		if err := b.service.Control.Hear(ctx, v.lease, t.ID.N, b.service.Now()); !errors.Is(err, queue.ErrChanged) {
			o.err = err
		}
	case putBack:
		o.err = b.putBack(ctx, t, v.lease)
	case setTimer:
		// The batch sets it for all such tasks.
	case end:
		return b.end(ctx, t, v, o)
	case endIfTried:
		var tried bool
		if tried, o.err = b.tried(ctx, t, v.attempt); tried {
			return b.end(ctx, t, v, o)
		}
		o.did = ignore
	}
	return t
}

// end closes an attempt. If another component has closed it meanwhile, the report is a repetition.
func (b *batch) end(ctx context.Context, t task.Task, v verdict, o *outcome) task.Task {
	o.did = end
	dispatchedAt := v.lease.DispatchedAt
	if dispatchedAt.IsZero() { // the report overtook the dispatcher, or the dispatcher did not hear that it had started the worker
		dispatchedAt = v.lease.ClaimedAt
	}
	closed, err := b.save(ctx, t, o.End(v.attempt, dispatchedAt, b.service.Now()))
	if errors.Is(err, task.ErrStale) {
		return b.readAgain(ctx, t, o)
	}
	if err != nil {
		o.err = err
		return t
	}
	o.as = closed.Status
	if !v.held {
		o.release, o.err = b.claimedSince(ctx, closed)
	} else if closed.Status.Terminal() {
		o.release = &v.lease
	}
	return closed
}

// readAgain reads a task whose attempt another component has closed meanwhile.
func (b *batch) readAgain(ctx context.Context, t task.Task, o *outcome) task.Task {
	o.did = repeat
	found, err := b.service.Tasks.Load(ctx, []task.ID{t.ID})
	if err != nil {
		o.err = err
		return t
	}
	t = found[t.ID]
	if l, held := queue.Holding(o.at.leases, t.ID, t.Attempt); held && t.Status.Terminal() {
		o.release = &l
	}
	return t
}

// save closes an attempt at a task. It drops the result and the stats if there is no room for them next to the task's payload.
func (b *batch) save(ctx context.Context, t task.Task, e task.End) (task.Task, error) {
	closed, err := t.Close(e)
	if err == nil {
		err = b.service.Tasks.Save(ctx, t, closed)
	}
	if large, is := errors.AsType[*task.TooLargeError](err); is && (e.Result != nil || e.Stats != nil) {
		return b.save(ctx, t, e.Without(large.Error()))
	}
	return closed, err
}

// tried reports whether the queue holds the attempt after an earlier start. The dispatcher did not hear that it had started the worker, and
// returned the task to the queue; the worker's report still ends the attempt.
func (b *batch) tried(ctx context.Context, t task.Task, attempt int) (bool, error) {
	entries, err := b.service.Control.Queue(ctx, t.Labourer)
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
	leases, err := b.service.Control.LeasesOn(ctx, closed.Labourer, closed.ID.Segment)
	if err != nil {
		return nil, err
	}
	if l, held := queue.Holding(leases, closed.ID, closed.Attempt); held {
		return &l, nil
	}
	return nil, nil
}

// restart delays a task whose function could not be started.
const restart = 5 * time.Second

// tries limits how often a lost race for a lease is retried. A lost race means that another component has moved tasks of the lease.
const tries = 2 * parallel

// putBack queues a task again for the same attempt, which never began. Other tasks of the same lease are put back at the same time: a
// throttled function refuses many starts.
func (b *batch) putBack(ctx context.Context, t task.Task, l queue.Lease) error {
	for range tries {
		err := b.service.Control.Requeue(ctx, l, queue.Entry{Labourer: t.Labourer, Due: b.restartAt, Segment: t.ID.Segment,
			First: t.ID.N, Tasks: segment.Of(t.ID.N), Attempt: l.Attempt, MaxDuration: l.MaxDuration, Tried: true, Misfires: l.Misfires})
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		leases, err := b.service.Control.LeasesOn(ctx, t.Labourer, t.ID.Segment)
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

// note counts an outcome and adds its effects to its place.
func (b *batch) note(o outcome) {
	if o.err != nil {
		b.fail(o.err, o.message)
		return
	}
	switch o.did {
	case ignore, setTimer:
		b.summary.Stale++
	case repeat:
		b.summary.Repeated++
	case hear:
		b.summary.Heard++
	case putBack:
		b.summary.NeverStarted++
	default:
		if o.as == task.Failed {
			b.summary.Failed++
		} else {
			b.summary.Completed++
		}
	}
	if o.release != nil {
		item := o.release.Item()
		o.at.released[item] = o.at.released[item].Union(segment.Of(o.id.N))
	}
	// A repetition wakes the orchestrator too: the assistant that processed the report before may have died before the wake.
	if o.release != nil || o.did == repeat {
		o.at.messages = append(o.at.messages, o.message)
	}
	if o.queued() {
		o.at.restarts = append(o.at.restarts, o.message)
	}
}

// sweep cancels tasks that were queued again while their jobs were being cancelled: the canceller has not seen them in the queue. It also
// sweeps those of redelivered messages, because the assistant that put them back may have died before it swept them.
func (b *batch) sweep(ctx context.Context, back []task.Task) {
	if len(back) == 0 {
		return
	}
	slices.SortFunc(back, func(x, y task.Task) int { return strings.Compare(x.ID.String(), y.ID.String()) })
	if err := b.service.Sweeper.Sweep(ctx, back); err != nil {
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
	g.SetLimit(parallel)
	for _, p := range places {
		g.Go(func() error {
			for _, l := range p.leases {
				if numbers := p.released[l.Item()]; !numbers.Empty() && p.err == nil {
					p.err = b.service.Control.Release(ctx, l, numbers)
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
	if err := b.service.Timer.WakeAt(ctx, b.restartAt, slices.Sorted(maps.Keys(labourers))...); err != nil {
		b.fail(err, messages...)
	}
}

// wake wakes the orchestrator if a task is waiting for the freed slots. The read of the queue is strongly consistent: an entry that is put
// later has a wake of its own, which finds the slots free.
func (b *batch) wake(ctx context.Context, labourer string) error {
	due, err := b.service.Control.Due(ctx, labourer, b.service.Now(), 1)
	if err != nil || len(due) == 0 {
		return err
	}
	return b.service.Bus.Publish(ctx, event.TasksDue(b.invocation, labourer))
}

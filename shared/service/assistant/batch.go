package assistant

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// batch holds the reports of one invocation.
type batch struct {
	*Service

	invocation string
	restartAt  time.Time // when tasks that could not be started are due again
	senders    senders
	reports    []report
	wakes      []wake
	places     map[placeKey]*place
	order      []*place // the places as they came
	summary    Summary
	failed     []string // messages to redeliver
}

// report holds what a message says of an attempt at a task.
type report struct {
	completion.Report
	id task.ID
	by *sender
}

// sender is a message, as leases know it.
type sender struct {
	message string // its id
	mark    string // of the tasks that it feeds
	again   bool   // it may have been delivered before
	last    bool   // it is not delivered again, so it starts nothing: there would be no further try
}

// senders holds the messages of a batch by their marks.
type senders map[string]*sender

func (s *Service) sender(m Message) *sender {
	return &sender{message: m.ID, mark: queue.Mark(m.ID), again: m.Receives != 1, last: s.MostReceives > 0 && m.Receives >= s.MostReceives}
}

func newBatch(s *Service, invocation string) *batch {
	return &batch{Service: s, invocation: invocation, restartAt: s.Now().Add(restart).UTC().Truncate(time.Millisecond), senders: senders{},
		places: map[placeKey]*place{}}
}

func (b *batch) add(by *sender, r completion.Report) {
	id, err := task.ParseID(r.TaskID)
	if err != nil {
		b.summary.Unknown++
		return
	}
	b.senders[by.mark] = by
	b.reports = append(b.reports, report{Report: r, id: id, by: by})
}

// handle takes the steps of the protocol.
func (b *batch) handle(ctx context.Context) {
	closed := b.close(ctx)
	b.readMoved(ctx, closed)
	fed := b.feed(ctx, closed)
	b.returned(ctx, closed)
	b.early(ctx)
	b.wake(ctx, closed, fed)
}

// bury keeps a message that says nothing usable.
func (b *batch) bury(ctx context.Context, m Message, reason string) {
	b.summary.Buried++
	if err := b.Graveyard.Bury(ctx, m.Body, reason); err != nil {
		b.fail(err, m.ID)
	}
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
const parallel = 25

// together limits the tasks that are read and closed at once: their results, and the payloads in their items, must fit in the function's memory.
const together = parallel

// load reads the tasks of some reports, and returns with them the reports whose tasks it returns. A report on an unreadable task that has not
// ended fails: it is redelivered until the task is readable or has ended.
func (b *batch) load(ctx context.Context, reports []report) (map[task.ID]task.Task, []report) {
	var ids []task.ID
	var messages []string
	for _, r := range reports {
		ids, messages = append(ids, r.id), append(messages, r.by.message)
	}
	tasks, err := b.Tasks.Load(ctx, ids)
	unreadable, other := task.Unreadable(err)
	if other != nil {
		b.fail(other, messages...)
		return nil, nil
	}
	open := map[task.ID]bool{}
	for _, t := range unreadable {
		if t.Status.Terminal() { // the report changes nothing
			tasks[t.ID] = t
		} else {
			open[t.ID] = true
		}
	}
	return tasks, slices.DeleteFunc(reports, func(r report) bool {
		_, found := tasks[r.id]
		switch {
		case open[r.id]:
			b.fail(err, r.by.message)
			return true
		case !found:
			b.summary.Unknown++
			return true
		}
		return b.foreign(ctx, tasks[r.id], r)
	})
}

// foreign reports whether a report is to be dropped because its execution does not run the state machine of its task's labourer, or because
// that cannot be known.
func (b *batch) foreign(ctx context.Context, t task.Task, r report) bool {
	if r.Machine == "" {
		return false
	}
	own, err := b.Labourers.runs(ctx, t.Labourer, r.Machine)
	switch {
	case err != nil:
		b.fail(err, r.by.message)
	case !own:
		b.summary.Foreign++
	}
	return err != nil || !own
}

// place is a segment of a labourer and its leases.
type place struct {
	placeKey

	leases []queue.Lease
	err    error // why they could not be read
}

type placeKey struct {
	labourer string
	segment  segment.ID
}

func placeOf(t task.Task) placeKey { return placeKey{t.Labourer, t.ID.Segment} }

// lookUp reads the leases of places that are not known yet.
func (b *batch) lookUp(ctx context.Context, tasks map[task.ID]task.Task, reports []report) {
	known := len(b.order)
	for _, r := range reports {
		if key := placeOf(tasks[r.id]); b.places[key] == nil {
			b.places[key] = &place{placeKey: key}
			b.order = append(b.order, b.places[key])
		}
	}
	b.readPlaces(ctx, b.order[known:])
}

func (b *batch) readPlaces(ctx context.Context, places []*place) {
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, p := range places {
		g.Go(func() error {
			p.leases, p.err = b.Control.LeasesOn(ctx, p.labourer, p.segment)
			if p.err != nil {
				p.err = fmt.Errorf("reading the leases of segment %s, %w", p.segment, p.err)
			}
			return nil
		})
	}
	_ = g.Wait()
}

// readMoved reads the leases again of tasks that were in the queue when their end was reported: a claim may have moved them to a lease since.
// A later claim finds the end itself.
func (b *batch) readMoved(ctx context.Context, closed []closing) {
	var moved []*place
	for _, c := range closed {
		if p := b.places[placeOf(c.task)]; c.moved && !slices.Contains(moved, p) {
			moved = append(moved, p)
		}
	}
	b.readPlaces(ctx, moved)
	for _, c := range closed {
		if p := b.places[placeOf(c.task)]; slices.Contains(moved, p) && p.err != nil {
			b.fail(p.err, c.by.message)
		}
	}
}

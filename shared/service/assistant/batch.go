package assistant

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

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

// place is a segment of a labourer, its leases as the batch read them, and what to release from these and from later ones.
type place struct {
	labourer string
	segment  segment.ID
	leases   []queue.Lease
	releases []release
	messages []string // reports after which slots are free; redelivered if waking the orchestrator fails
	restarts []string // reports after which tasks are due at restartAt; redelivered if the timer fails
	err      error
}

// release holds the numbers to release from a lease.
type release struct {
	lease   queue.Lease
	numbers segment.Numbers
}

// release adds a task to those that are to be released from a lease.
func (p *place) release(l queue.Lease, n int) {
	i := slices.IndexFunc(p.releases, func(r release) bool { return r.lease.Item() == l.Item() && r.lease.Claim == l.Claim })
	if i < 0 {
		i = len(p.releases)
		p.releases = append(p.releases, release{lease: l})
	}
	p.releases[i].numbers = p.releases[i].numbers.Union(segment.Of(n))
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
			out[key] = &place{labourer: t.Labourer, segment: t.ID.Segment}
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

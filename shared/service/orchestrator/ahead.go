package orchestrator

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/direct"
)

// aheadTerm limits how old what was read ahead may be when it is used: the start may have been made by another meanwhile, and its task may have ended.
const aheadTerm = 2 * time.Second

// readAhead reads the leases of several starts together, and then the tasks of those leases that start one. It returns a service for each start, which
// knows what was read. What could not be read so, each service reads by itself.
func (s *Service) readAhead(ctx context.Context, starts []direct.Start) []*Service {
	services := slices.Repeat([]*Service{s}, len(starts))
	if len(starts) < 2 {
		return services
	}
	var names []queue.LeaseName
	for _, start := range starts {
		if name := nameOf(start); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	until := s.Now().Add(aheadTerm)
	leases, err := s.Control.LeasesNamed(ctx, names)
	if err != nil {
		return services
	}
	var ids []task.ID
	for _, name := range names {
		l := leases[name]
		if open := l.By(queue.Undispatched); open.Len() == 1 { // more of them may have payloads of megabytes
			ids = append(ids, task.ID{Segment: l.Segment, N: open.Min()})
		}
	}
	tasks, err := s.Tasks.Load(ctx, ids)
	if err != nil {
		tasks = nil
	}
	for i, start := range starts {
		l, read := leases[nameOf(start)]
		if !read {
			continue
		}
		own := *s
		own.Control, own.Tasks = &leaseAhead{own.Control, &l, until, s.Now}, tasksAhead{own.Tasks, tasks, until, s.Now}
		services[i] = &own
	}
	return services
}

func nameOf(s direct.Start) queue.LeaseName {
	return queue.LeaseName{Labourer: s.Labourer, Item: s.Lease}
}

// leaseAhead answers the first read of a lease with what was read before. Whatever reads it again does so because it has changed.
type leaseAhead struct {
	Control

	lease *queue.Lease
	until time.Time
	now   func() time.Time
}

func (a *leaseAhead) Lease(ctx context.Context, labourer, item string) (queue.Lease, bool, error) {
	l := a.lease
	if a.lease = nil; l == nil || a.now().After(a.until) {
		return a.Control.Lease(ctx, labourer, item)
	}
	return *l, true, nil
}

// tasksAhead answers reads of tasks with what was read before, if that has all of them with their payloads.
type tasksAhead struct {
	Tasks

	read  map[task.ID]task.Task
	until time.Time
	now   func() time.Time
}

func (a tasksAhead) Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	var known []task.Task
	for n := range numbers.All() {
		if t, is := a.read[task.ID{Segment: s, N: n}]; is && t.Parts == 0 {
			known = append(known, t)
		}
	}
	if len(known) < numbers.Len() || a.now().After(a.until) {
		return a.Tasks.Chunks(ctx, s, numbers)
	}
	return func(yield func([]task.Task, error) bool) { yield(known, nil) }
}

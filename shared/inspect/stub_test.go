package inspect_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

// stack holds what a reader reads. The ports below answer from it.
type stack struct {
	records   []ledger.Job
	progress  map[string][]ledger.Progress // by job
	items     []task.Task
	payloads  map[task.ID][]byte // that lie apart
	leases    []queue.Lease
	entries   []queue.Entry
	aside     []queue.Unreadable
	states    map[string]queue.State
	labourers map[string]labourer.Labourer
	kept      map[string]ecology.Reading
	answers   map[string]ecology.Reading
	asked     int          // queries that CloudWatch got
	leased    atomic.Int32 // readings of all leases of a labourer
	backlog   inspect.Backlog
	files     map[string][]byte
	waits     []func() // one for each wait: what happens meanwhile
	waited    time.Duration
}

// reader returns a reader of the stack at the time now.
func (s *stack) reader() *inspect.Reader {
	return &inspect.Reader{Tasks: tasks{s}, Jobs: jobs{s}, Control: control{s}, Registry: registry{s}, Health: health{s}, Metrics: metrics{s}, Queues: queues{s},
		Archive: files{s}, Created: now.AddDate(0, -3, 0), RetentionDays: 30, Now: func() time.Time { return now },
		Wait: func(ctx context.Context, span time.Duration) error {
			s.waited += span
			if len(s.waits) > 0 {
				s.waits[0]()
				s.waits = s.waits[1:]
			}
			return ctx.Err()
		}}
}

type tasks struct{ *stack }

func (s tasks) Load(_ context.Context, ids []task.ID) (map[task.ID]task.Task, error) {
	out := map[task.ID]task.Task{}
	for _, t := range s.items {
		if slices.Contains(ids, t.ID) {
			out[t.ID] = t
		}
	}
	return out, nil
}

func (s tasks) Range(_ context.Context, id segment.ID, numbers segment.Numbers) ([]task.Task, error) {
	var out []task.Task
	for _, t := range s.items {
		if t.ID.Segment == id && numbers.Contains(t.ID.N) {
			out = append(out, t)
		}
	}
	return out, nil
}

func (s tasks) Filled(_ context.Context, some []task.Task) iter.Seq2[task.Task, error] {
	return func(yield func(task.Task, error) bool) {
		for _, t := range some {
			var err error
			if t.Parts > 0 {
				if t.Payload = s.payloads[t.ID]; t.Payload == nil {
					err = task.ErrNoPayload
				}
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

type jobs struct{ *stack }

func (s jobs) Get(_ context.Context, id string) (ledger.Job, bool, error) {
	for _, j := range s.records {
		if j.ID == id {
			return j, true, nil
		}
	}
	return ledger.Job{}, false, nil
}

func (s jobs) GetAll(ctx context.Context, ids []string) ([]ledger.Job, error) {
	var out []ledger.Job
	for _, id := range ids {
		if j, found, _ := s.Get(ctx, id); found {
			out = append(out, j)
		}
	}
	return out, nil
}

func (s jobs) Text(_ context.Context, job ledger.Job) ([]byte, error) { return job.Text, nil }

func (s jobs) Month(_ context.Context, month time.Time) ([]string, error) {
	var ids []string
	for _, j := range slices.Backward(s.records) {
		if j.SubmittedAt.Format("2006-01") == month.Format("2006-01") {
			ids = append(ids, j.ID)
		}
	}
	return ids, nil
}

func (s jobs) Recent(ctx context.Context, month time.Time, after ledger.Mark, limit int) ([]string, error) {
	ids, err := s.Month(ctx, month)
	ids = ids[slices.Index(ids, after.JobID)+1:]
	return ids[:min(len(ids), limit)], err
}

func (s jobs) Progress(_ context.Context, j ledger.Job) ([]ledger.Progress, error) {
	return s.progress[j.ID], nil
}

type control struct{ *stack }

func (s control) State(_ context.Context, labourer string) (queue.State, error) {
	return s.states[labourer], nil
}

func (s control) Queue(_ context.Context, labourer string) ([]queue.Entry, error) {
	return slices.DeleteFunc(slices.Clone(s.entries), func(e queue.Entry) bool { return e.Labourer != labourer }), nil
}

func (s control) Leases(_ context.Context, labourer string) ([]queue.Lease, error) {
	s.leased.Add(1)
	return slices.DeleteFunc(slices.Clone(s.leases), func(l queue.Lease) bool { return l.Labourer != labourer }), nil
}

func (s control) LeasesOn(_ context.Context, labourer string, id segment.ID) ([]queue.Lease, error) {
	return slices.DeleteFunc(slices.Clone(s.leases), func(l queue.Lease) bool { return l.Labourer != labourer || l.Segment != id }), nil
}

func (s control) Lease(_ context.Context, labourer, name string) (queue.Lease, bool, error) {
	for _, l := range s.leases {
		if l.Labourer == labourer && l.Item() == name {
			return l, true, nil
		}
	}
	return queue.Lease{}, false, nil
}

func (s control) Unreadable(context.Context, string, int) ([]queue.Unreadable, error) {
	return s.aside, nil
}

type registry struct{ *stack }

func (s registry) Has(_ context.Context, id string) (bool, error) {
	_, found := s.labourers[id]
	return found, nil
}

func (s registry) Labourer(_ context.Context, id string) (labourer.Labourer, bool, error) {
	l, found := s.labourers[id]
	return l, found, nil
}

func (s registry) Labourers(context.Context) (map[string]labourer.Labourer, error) {
	return s.labourers, nil
}

func (s registry) Names(context.Context) (labourers, schemas []string, err error) {
	for id := range s.labourers {
		labourers = append(labourers, id)
	}
	return slices.Sorted(slices.Values(labourers)), nil, nil
}

type health struct{ *stack }

func (s health) Readings(context.Context, []string) (map[string]ecology.Reading, error) {
	return s.kept, nil
}

func (s health) Noted(context.Context, string) ([]adaptive.Noted, error) { return nil, nil }

func (s health) Recall(context.Context, string) (ecology.Remembered, error) {
	return ecology.Remembered{}, nil
}

type metrics struct{ *stack }

func (s metrics) Ask(_ context.Context, queries map[string]ecology.Query, _ time.Time) (map[string]ecology.Reading, error) {
	s.asked += len(queries)
	return s.answers, nil
}

type queues struct{ *stack }

func (s queues) Backlog(context.Context, string) (inspect.Backlog, error) { return s.backlog, nil }

type files struct{ *stack }

func (s files) List(_ context.Context, prefix string) ([]string, error) {
	var out []string
	for key := range s.files {
		if strings.HasPrefix(key, prefix) {
			out = append(out, key)
		}
	}
	return slices.Sorted(slices.Values(out)), nil
}

func (s files) Folders(_ context.Context, prefix string) ([]string, error) {
	var out []string
	for key := range s.files {
		if folder, _, _ := strings.Cut(key, "/"); strings.HasPrefix(folder, prefix) && !slices.Contains(out, folder+"/") {
			out = append(out, folder+"/")
		}
	}
	return slices.Sorted(slices.Values(out)), nil
}

func (s files) Get(_ context.Context, key string) ([]byte, error) { return s.files[key], nil }

package inspect

import (
	"context"
	"sync"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
)

// Once returns a Reader that reads a job's record and progress, and a labourer's state, leases and queue, once, also if several goroutines ask for
// them. So what it returns fits together, and is as old as its first reading: use it for one page.
func (r *Reader) Once() *Reader {
	once := *r
	once.Jobs = &jobsOnce{Jobs: r.Jobs}
	once.Control = &controlOnce{Control: r.Control}
	return &once
}

// memory keeps what was read, by key.
type memory[T any] struct {
	mu    sync.Mutex
	reads map[string]func() (T, error)
}

// of returns what was read under a key, and reads it the first time.
func (m *memory[T]) of(key string, read func() (T, error)) (T, error) {
	m.mu.Lock()
	if m.reads == nil {
		m.reads = map[string]func() (T, error){}
	}
	if m.reads[key] == nil {
		m.reads[key] = sync.OnceValues(read)
	}
	known := m.reads[key]
	m.mu.Unlock()
	return known()
}

// sought is a job's record, if there is one.
type sought struct {
	job   ledger.Job
	found bool
}

type jobsOnce struct {
	Jobs

	records  memory[sought]
	progress memory[[]ledger.Progress]
}

func (o *jobsOnce) Get(ctx context.Context, id string) (ledger.Job, bool, error) {
	s, err := o.records.of(id, func() (s sought, err error) {
		s.job, s.found, err = o.Jobs.Get(ctx, id)
		return s, err
	})
	return s.job, s.found, err
}

func (o *jobsOnce) Progress(ctx context.Context, job ledger.Job) ([]ledger.Progress, error) {
	return o.progress.of(job.ID, func() ([]ledger.Progress, error) { return o.Jobs.Progress(ctx, job) })
}

type controlOnce struct {
	Control

	states memory[queue.State]
	leases memory[[]queue.Lease]
	queues memory[[]queue.Entry]
}

func (o *controlOnce) State(ctx context.Context, labourer string) (queue.State, error) {
	return o.states.of(labourer, func() (queue.State, error) { return o.Control.State(ctx, labourer) })
}

func (o *controlOnce) Leases(ctx context.Context, labourer string) ([]queue.Lease, error) {
	return o.leases.of(labourer, func() ([]queue.Lease, error) { return o.Control.Leases(ctx, labourer) })
}

func (o *controlOnce) Queue(ctx context.Context, labourer string) ([]queue.Entry, error) {
	return o.queues.of(labourer, func() ([]queue.Entry, error) { return o.Control.Queue(ctx, labourer) })
}

package inspect

import (
	"context"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Tasks reads the tasks table.
type Tasks interface {
	Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error)
	// Filled yields the tasks with payloads that lie apart, which Load and Range leave out.
	Filled(ctx context.Context, tasks []task.Task) iter.Seq2[task.Task, error]
}

// Jobs reads the jobs table.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Text(ctx context.Context, job ledger.Job) ([]byte, error)
	GetAll(ctx context.Context, ids []string) ([]ledger.Job, error)
	Month(ctx context.Context, month time.Time) ([]string, error)
	Recent(ctx context.Context, month time.Time, after ledger.Mark, limit int) ([]string, error)
	Progress(ctx context.Context, job ledger.Job) ([]ledger.Progress, error)
}

// Control reads the queue, the leases and the state of labourers.
type Control interface {
	State(ctx context.Context, labourer string) (queue.State, error)
	Queue(ctx context.Context, labourer string) ([]queue.Entry, error)
	Leases(ctx context.Context, labourer string) ([]queue.Lease, error)
	LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
	Lease(ctx context.Context, labourer, name string) (queue.Lease, bool, error)
	Unreadable(ctx context.Context, labourer string, limit int) ([]queue.Unreadable, error)
}

// Registry reads the applied labourers. Has also knows a labourer whose configuration cannot be read.
type Registry interface {
	Has(ctx context.Context, id string) (bool, error)
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
	Labourers(ctx context.Context) (map[string]labourer.Labourer, error)
	Names(ctx context.Context) (labourers, schemas []string, err error)
}

// Health reads the answers of CloudWatch, the assessments that the orchestrator keeps, and the changes of caps, oldest first.
type Health interface {
	Readings(ctx context.Context, keys []string) (map[string]ecology.Reading, error)
	Recall(ctx context.Context, labourer string) (ecology.Remembered, error)
	Noted(ctx context.Context, labourer string) ([]adaptive.Noted, error)
}

// Metrics asks CloudWatch.
type Metrics interface {
	Ask(ctx context.Context, queries map[string]ecology.Query, now time.Time) (map[string]ecology.Reading, error)
}

// WorkerQueues counts the messages in the queues that workers read.
type WorkerQueues interface {
	Backlog(ctx context.Context, url string) (Backlog, error)
}

// Archive reads the archive's files.
type Archive interface {
	List(ctx context.Context, prefix string) ([]string, error)
	Folders(ctx context.Context, prefix string) ([]string, error)
	Get(ctx context.Context, key string) ([]byte, error)
}

// Reader reads one stack.
type Reader struct {
	Tasks    Tasks
	Jobs     Jobs
	Control  Control
	Registry Registry
	Health   Health
	Metrics  Metrics
	Queues   WorkerQueues
	Archive  Archive

	Created       time.Time // when the stack was created; no job is older. Zero: not known
	RetentionDays int       // for how many days the tables keep a task after its end
	Now           func() time.Time
	Wait          func(ctx context.Context, span time.Duration) error // returns the context's error if that ends first
}

// Grace says how long after its time something may still happen by itself: one tick of the orchestrator, and as long again to carry it out.
const Grace = 2 * time.Minute

// concurrentReads limits how many items of one kind a Reader reads at the same time.
const concurrentReads = 16

// NotFoundError says that a stack has no such job, task or labourer.
type NotFoundError struct{ Kind, ID string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no %s %q in this stack", e.Kind, e.ID)
}

// NoJob returns the error that a stack has no such job.
func NoJob(id string) error { return &NotFoundError{"job", id} }

// NoLabourer returns the error that a stack has no such labourer.
func NoLabourer(id string) error { return &NotFoundError{"labourer", id} }

// Known returns a [NotFoundError] when no such labourer is applied.
func (r *Reader) Known(ctx context.Context, labourer string) error {
	found, err := r.Registry.Has(ctx, labourer)
	if err == nil && !found {
		err = NoLabourer(labourer)
	}
	return err
}

// each calls a function for the indices 0 to n-1, several at a time, and returns the first error.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentReads)
	for i := range n {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

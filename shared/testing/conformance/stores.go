package conformance

import (
	"context"
	"crypto/rand"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/cancellation"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/health"
	"github.com/drover-run/drover/shared/service/leasing"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/progress"
	"github.com/drover-run/drover/shared/service/replay"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/service/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// Stores holds everything that Drover stores, by port.
type Stores struct {
	Tasks    Tasks
	Control  Control
	Jobs     Jobs
	Registry Registry
	Health   Health
	Replays  Replays
	Deaths   leasing.Deaths
	Runs     Runs
}

// Tasks has all that the services and the command line ask of the store of tasks.
type Tasks interface {
	scheduler.Tasks
	orchestrator.Tasks
	assistant.Tasks
	cancellation.Tasks
	replay.Tasks
	outcome.Tasks
	Add(ctx context.Context, tasks []task.Task) error
	Filled(ctx context.Context, tasks []task.Task) iter.Seq2[task.Task, error]
	Ended(ctx context.Context, of task.Task) error
	Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error)
}

// Control has all that the services and the command line ask of states, leases and queues.
type Control interface {
	orchestrator.Control
	leasing.Control
	outcome.Control
	assistant.Control
	cancellation.Control
	direct.Control
	SetPaused(ctx context.Context, labourer string, paused bool) error
	SetPin(ctx context.Context, labourer string, pin *queue.Pin) error
	Unreadable(ctx context.Context, labourer string, limit int) ([]queue.Unreadable, error)
}

// Jobs has all that the services and the command line ask of jobs' records.
type Jobs interface {
	scheduler.Jobs
	progress.Jobs
	outcome.Jobs
	cancellation.Jobs
	replay.Jobs
	Recent(ctx context.Context, month time.Time, after ledger.Mark, limit int) ([]string, error)
}

// Registry has all that is asked of applied configuration.
type Registry interface {
	scheduler.Registry
	orchestrator.Registry
	outcome.Registry
	direct.Registry
	All(ctx context.Context, strong bool) (dynamo.Applied, error)
	Names(ctx context.Context) (labourers, schemas []string, err error)
	ApplyLabourer(ctx context.Context, id, text string, over int) error
	ApplySchema(ctx context.Context, name, text string, over int) error
	RemoveLabourer(ctx context.Context, id string, revision int) error
}

// Health has all that is asked of metrics and assessments.
type Health interface {
	health.Store
	orchestrator.Memory
	orchestrator.Caps
	Noted(ctx context.Context, labourer string) ([]adaptive.Noted, error)
}

// Replays revives dead tasks.
type Replays interface{ replay.Store }

// Runs has all that the services ask of the runs of workflows.
type Runs interface {
	workflow.Runs
	workflow.Claims
	workflow.Stages
	workflow.Counter
	workflow.Gauges
	List(ctx context.Context, name string, limit int) ([]flow.Record, error)
}

// Retention says how long the stores of [On] keep what has ended.
const Retention = 30 * 24 * time.Hour

// On returns the stores on a DynamoDB with the tables of [fakeaws.StackTables] under this prefix.
func On(api dynamo.API, before string) Stores {
	tasks, control, jobs, runs := before+fakeaws.TasksTable, before+fakeaws.ControlTable, before+fakeaws.JobsTable, before+fakeaws.RunsTable
	return Stores{
		Tasks: dynamo.Tasks{API: api, Table: tasks, Retention: Retention}, Control: dynamo.Control{API: api, Table: control},
		Jobs:     dynamo.Jobs{API: api, Table: jobs, Control: control, Retention: Retention},
		Registry: dynamo.Registry{API: api, Table: control}, Health: dynamo.Health{API: api, Table: control},
		Replays: dynamo.Replays{API: api, Tasks: tasks, Control: control, Jobs: jobs, Retention: Retention},
		Runs:    dynamo.Runs{API: api, Table: runs, Control: control, Retention: Retention},
		Deaths:  dynamo.Deaths{Tasks: dynamo.Tasks{API: api, Table: tasks, Retention: Retention}, Control: dynamo.Control{API: api, Table: control}},
	}
}

// Run runs every suite. open is called for each test; what it opens may be shared.
func Run(t *testing.T, open func(*testing.T) Stores) {
	for name, suite := range map[string]func(*testing.T, func(*testing.T) Stores){
		"tasks": RunTasks, "control": RunControl, "jobs": RunJobs, "registry": RunRegistry, "health": RunHealth, "caps": RunCaps, "replays": RunReplays,
		"deaths": RunDeaths, "runs": RunRuns,
	} {
		t.Run(name, func(t *testing.T) { suite(t, open) })
	}
}

// each runs a suite's tests concurrently: they are independent of each other, and on a remote backend they mostly wait.
func each(t *testing.T, open func(*testing.T) Stores, tests map[string]func(*testing.T, Stores)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// noon is a time to count from: what the tests store depends on no clock.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// unique returns a name that no other test has.
func unique(before string) string { return before + "-" + strings.ToLower(rand.Text()) }

// race runs these concurrently and returns how many succeeded. The others must fail with lost or an error that wraps it.
func race(t *testing.T, lost error, racers ...func() error) (won int) {
	t.Helper()
	start, results := make(chan struct{}), make(chan error, len(racers))
	for _, run := range racers {
		go func() {
			<-start
			results <- run()
		}()
	}
	close(start)
	for range racers {
		if err := <-results; err == nil {
			won++
		} else {
			require.ErrorIs(t, err, lost)
		}
	}
	return won
}

// shortly waits until a condition holds, for what is promised only eventually.
func shortly(t *testing.T, holds func() bool, what string) {
	t.Helper()
	require.Eventually(t, holds, 30*time.Second, 20*time.Millisecond, what)
}

var (
	errQueue = queue.ErrChanged
	errJob   = ledger.ErrChanged
)

package outage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// Stage is a stack on which nothing happens by itself. A test builds a scene step by step, with the real services.
type Stage struct {
	*drovertest.Drover
	Tasks   dynamo.Tasks
	Control dynamo.Control
	Jobs    dynamo.Jobs

	told    int // number of scavenged stream records
	reports int // how many messages of workers were passed on
}

// Start sets when the stage's time begins. It is beyond the machine's own time, with which the deadlines of contexts are compared.
var Start = time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC)

// Worker returns the URL of the queue of a labourer's workers. They receive each message at once; tests can still read it.
func Worker(labourer string) string {
	return "https://sqs.us-west-2.amazonaws.com/000000000000/workers-" + labourer
}

// NewStage returns a stage with a configuration, and with a queue of workers for each of these labourers.
func NewStage(t require.TestingT, configuration string, labourers ...string) *Stage {
	stack, err := fakeaws.NewStack(Start, func() float64 { return 0.5 })
	require.NoError(t, err)
	d := drovertest.Over(stack)
	d.SQS.Create(fakeaws.JobsQueue, fakeaws.Queue{}) // no function reads it
	for _, l := range labourers {
		d.SQS.Create(Worker(l), fakeaws.Queue{Taken: true})
	}
	s := &Stage{Drover: d, Tasks: dynamo.Tasks{API: d.DynamoDB, Table: fakeaws.TasksTable, Retention: time.Hour},
		Control: dynamo.Control{API: d.DynamoDB, Table: fakeaws.ControlTable},
		Jobs:    dynamo.Jobs{API: d.DynamoDB, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: time.Hour}}
	require.NoError(t, d.Apply(configuration))
	return s
}

// Services returns the functions, wired like in a new invocation. None grants directly: what is published waits in the queue until the test claims it.
func (s *Stage) Services() *fakeaws.Functions {
	f := fakeaws.Wire(s.Clients())
	f.Scheduler.Service.Granter, f.Workflow.Service.Granter = direct.Granter{}, direct.Granter{}
	return f
}

// Pass lets time pass.
func (s *Stage) Pass(d time.Duration) { s.World.Advance(s.World.Now().Add(d)) }

// Command returns an application's event in the form that it has in the jobs queue.
func Command(id, kind, detail string) scheduler.Message {
	return scheduler.Message{ID: id, Receives: 1, Body: fmt.Sprintf(`{"version": "0", "id": %q, "detail-type": %q, "source": "shop", "time": %q, "detail": %s}`,
		id, kind, Start.Format(time.RFC3339), detail)}
}

// Schedule passes jobs to the scheduler.
func (s *Stage) Schedule(t require.TestingT, jobs ...string) {
	for i, job := range jobs {
		failed, summary := s.Services().Scheduler.Service.Handle(context.Background(), fmt.Sprintf("schedule-%d", i),
			[]scheduler.Message{Command(fmt.Sprintf("job-%d", i), "SubmitJob", job)})
		require.Empty(t, failed, "%v", summary.Errors)
		require.Zero(t, summary.Rejected, "job %s is rejected", job)
	}
}

// HandOut claims and dispatches as many tasks of a labourer as may start, like the orchestrate machine, and returns their number.
func (s *Stage) HandOut(t require.TestingT, labourer string) int {
	all, round := 0, 0
	for {
		o := s.Services().Orchestrator.Service
		assessed, err := o.Assess(context.Background(), "hand-out", labourer, orchestrator.Decided{Round: round})
		require.NoError(t, err)
		if !assessed.Start {
			return all
		}
		round = assessed.Round
		claimed, err := o.Claim(context.Background(), "hand-out", labourer, orchestrator.Decided{Round: round})
		require.NoError(t, err)
		if claimed.Claimed == 0 {
			return all
		}
		dispatched, err := o.Dispatch(context.Background(), labourer, claimed.Leases)
		require.NoError(t, err)
		all += dispatched.Dispatched
	}
}

// Handed returns the events with which the workers of a labourer were started, in order.
func (s *Stage) Handed(t require.TestingT, labourer string) []Handed {
	var out []Handed
	for _, l := range s.SQS.Letters(Worker(labourer)) {
		var event struct{ Drover Handed }
		require.NoError(t, json.Unmarshal([]byte(l.Body), &event))
		out = append(out, event.Drover)
	}
	return out
}

// Handed holds one attempt for which a worker was started.
type Handed struct {
	TaskID   string    `json:"task_id"`
	Attempt  int       `json:"attempt"`
	Deadline time.Time `json:"deadline"`
}

// Ended returns, in order, the stream's images of the tasks of which an attempt ended since the last call.
func (s *Stage) Ended(t require.TestingT) []task.Task {
	var out []task.Task
	for _, r := range s.DynamoDB.Stream(fakeaws.TasksTable, s.told) {
		s.told++
		if _, has := r.Change.NewImage["status"]; !has {
			continue
		}
		one, err := dynamo.StreamImage(r.Change.NewImage)
		require.NoError(t, err)
		out = append(out, one)
	}
	return out
}

// Scavenge passes all tasks that have ended, and those that end because of it, to the scavenger and the archiver.
func (s *Stage) Scavenge(t require.TestingT) {
	for ended := s.Ended(t); len(ended) > 0; ended = s.Ended(t) {
		_, err := s.Services().Scavenger.Service.Handle(context.Background(), "scavenge", ended)
		require.NoError(t, err)
		_, err = s.Services().Archiver.Service.Handle(context.Background(), ended)
		require.NoError(t, err)
	}
}

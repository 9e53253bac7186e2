// Package drovertest runs a whole Drover in one process and in virtual time, for tests of workers and of applications that use Drover.
package drovertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/service/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// Drover is a whole Drover in one process and in virtual time, for tests of workers and of applications that use Drover. It runs the real
// services on a [fakeaws.Stack]. Hours of retries and leases pass in milliseconds, and the same calls have the same outcome each time.
//
// It is not safe for concurrent use.
type Drover struct {
	*fakeaws.Stack
	tasks    dynamo.Tasks
	control  dynamo.Control
	jobs     dynamo.Jobs
	registry dynamo.Registry
}

// Start sets when virtual time begins in [New].
var Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ErrCrash makes a worker die without reporting its attempt. As on AWS, Drover learns of it at once if the worker is a function with an on-failure
// destination, and otherwise when the lease ends.
var ErrCrash = errors.New("the worker crashed")

// New returns a Drover without labourers. The jitter of retries comes from a fixed seed.
func New() *Drover {
	stack, err := fakeaws.NewStack(Start, rand.New(rand.NewPCG(1, 2)).Float64)
	if err != nil {
		panic(err) // the definitions are part of the program
	}
	return Over(stack)
}

// Over returns a Drover that runs on an existing stack.
func Over(s *fakeaws.Stack) *Drover {
	return &Drover{Stack: s,
		tasks:    dynamo.Tasks{API: s.DynamoDB, Table: fakeaws.TasksTable, Retention: fakeaws.Retention},
		control:  dynamo.Control{API: s.DynamoDB, Table: fakeaws.ControlTable},
		jobs:     dynamo.Jobs{API: s.DynamoDB, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: fakeaws.Retention},
		registry: dynamo.Registry{API: s.DynamoDB, Table: fakeaws.ControlTable},
	}
}

// Apply applies labourers and job schemas from one document of YAML or JSON, as `drover apply` does.
func (d *Drover) Apply(configuration string) error {
	c, _, wrong := labourer.Read("configuration", []byte(configuration))
	if err := wrong.Err(); err != nil {
		return err
	}
	ctx := context.Background()
	applied, err := d.registry.All(ctx, true)
	if err != nil {
		return err
	}
	for id, l := range c.Labourers {
		if err := d.registry.ApplyLabourer(ctx, id, string(l.Stored()), applied.Labourers[id].Revision); err != nil {
			return fmt.Errorf("applying labourer %s, %w", id, err)
		}
	}
	for name, s := range c.JobSchemas {
		if err := d.registry.ApplySchema(ctx, name, string(s.Stored()), applied.Schemas[name].Revision); err != nil {
			return fmt.Errorf("applying job schema %s, %w", name, err)
		}
	}
	for section, texts := range definitions(c.Definitions) {
		revisions := map[string]map[string]dynamo.Stored{"workflows": applied.Workflows, "activities": applied.Activities, "plugins": applied.Plugins}[section]
		for name, text := range texts {
			if err := d.registry.ApplyDefinition(ctx, section, name, text, revisions[name].Revision); err != nil {
				return fmt.Errorf("applying %s.%s, %w", section, name, err)
			}
		}
	}
	if err := d.compile(ctx, c.Definitions); err != nil {
		return err
	}
	d.wake(c.Labourers)
	return nil
}

// definitions returns the stored forms of workflows, activities and plugins, by section and name.
func definitions(d flow.Definitions) map[string]map[string]string {
	out := map[string]map[string]string{"workflows": {}, "activities": {}, "plugins": {}}
	for name, w := range d.Workflows {
		out["workflows"][name] = string(w.Stored())
	}
	for name, a := range d.Activities {
		out["activities"][name] = string(a.Stored())
	}
	for name, p := range d.Plugins {
		out["plugins"][name] = string(p.Stored())
	}
	return out
}

// compile makes a version of each workflow that these definitions touch.
func (d *Drover) compile(ctx context.Context, changed flow.Definitions) error {
	if len(changed.Workflows)+len(changed.Activities)+len(changed.Plugins) == 0 {
		return nil
	}
	all, err := d.registry.Definitions(ctx)
	if err != nil {
		return err
	}
	registrar := workflow.Registrar{Parts: d.registry, Versions: dynamo.NewCompositions(d.DynamoDB, fakeaws.RunsTable)}
	return registrar.Compile(ctx, flow.Touched(all, changed))
}

// wake publishes TasksDue for labourers whose configuration changed, as more of their tasks may start now, or fewer.
func (d *Drover) wake(labourers map[string]labourer.Labourer) {
	for id := range labourers {
		d.put("drover", "TasksDue", map[string]any{"id": "apply/" + id, "version": 1, "labourers": []string{id}})
	}
}

// Worker makes f the worker of an applied labourer with any kind of target. Each run takes this long in virtual time.
func (d *Drover) Worker(id string, takes time.Duration, f worker.Func) error {
	l, found, err := d.registry.Labourer(context.Background(), id)
	if err != nil || !found {
		return errors.Join(err, fmt.Errorf("labourer %q is not applied", id))
	}
	switch l.Target.Kind() {
	case "lambda":
		d.Lambda.Handle(l.Target.Lambda, d.function(takes, f))
	case "sqs":
		run := d.function(takes, f)
		d.SQS.Create(l.Target.SQS, fakeaws.Queue{Visibility: l.Lease()})
		d.SQS.Map(l.Target.SQS, fakeaws.Consumer{Batch: 1, Most: 1 << 20, Take: func(batch []fakeaws.Received, done func([]string, error)) {
			run([]byte(batch[0].Body), func(failure *fakeaws.Failure) {
				if failure == nil {
					done(nil, nil)
				}
			})
		}})
	case "states":
		d.StepFunctions.Handle(l.Target.States, d.machine(takes, f))
	default:
		return fmt.Errorf("labourer %q has no target", id)
	}
	return nil
}

// function runs f in the handler of Go workers. f itself runs at once, but its messages and its result arrive when its virtual time is over.
func (d *Drover) function(takes time.Duration, f worker.Func) fakeaws.Function {
	return func(text []byte, done func(*fakeaws.Failure)) {
		run := &workerRun{sqs: d.SQS}
		handler := worker.Handler(func(ctx context.Context, t worker.Task) (any, error) {
			out, err := f(ctx, t)
			run.crashed = errors.Is(err, ErrCrash)
			return out, err
		}, worker.WithSender(run), worker.Clock(d.World.Now), worker.Logger(slog.New(slog.DiscardHandler)))
		_, err := handler.Invoke(context.Background(), text)
		d.World.At(d.World.Now().Add(takes), fakeaws.Run, "end of "+string(text), func() {
			if run.crashed {
				done(&fakeaws.Failure{Type: "Runtime.ExitError", Message: "RequestId: Error: Runtime exited"})
				return
			}
			for _, m := range run.sent {
				d.Deliver(*m.QueueUrl, *m.MessageBody)
			}
			done(fakeaws.FailureOf(err))
		})
	}
}

// workerRun holds back the messages of a worker until the virtual end of its run.
type workerRun struct {
	sqs     *fakeaws.SQS
	sent    []*sqs.SendMessageInput
	crashed bool
}

func (r *workerRun) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if err := r.sqs.Check(*in.QueueUrl, *in.MessageBody); err != nil {
		return nil, err
	}
	r.sent = append(r.sent, in)
	return &sqs.SendMessageOutput{}, nil
}

// machine runs f as an execution of a state machine.
func (d *Drover) machine(takes time.Duration, f worker.Func) fakeaws.Foreign {
	return func(name string, input []byte, done func([]byte, *fakeaws.Failure)) {
		t, err := worker.ParseTask(input)
		var result any
		if err == nil {
			result, err = f(context.Background(), t)
		}
		output, encodeErr := json.Marshal(result)
		failure := fakeaws.FailureOf(errors.Join(err, encodeErr))
		d.World.At(d.World.Now().Add(takes), fakeaws.Run, "end of "+name, func() { done(output, failure) })
	}
}

// Submit puts a SubmitJob on the bus and returns the job's id. The job is JSON text, or a value that encodes to it.
func (d *Drover) Submit(job any) string {
	id := d.put("memory", event.SubmitJob, job)
	var named struct {
		ID string `json:"job_id"`
	}
	if text, err := encoded(job); err == nil && json.Unmarshal(text, &named) == nil && named.ID != "" {
		return named.ID
	}
	return id
}

// StartWorkflow puts a StartWorkflow on the bus and returns the id of the run that it starts, unless it is refused. The start is JSON text, or a
// value that encodes to it.
func (d *Drover) StartWorkflow(start any) (runID string) {
	id := d.put("memory", event.StartWorkflow, start)
	var named struct {
		ID string `json:"start_id"`
	}
	if text, err := encoded(start); err == nil && json.Unmarshal(text, &named) == nil && named.ID != "" {
		id = named.ID
	}
	return flow.RunID(id)
}

// Workflow returns a run of a workflow with the states of all its parts.
func (d *Drover) Workflow(runID string) (inspect.RunTree, error) {
	tree, _, _, err := d.runs().Tree(context.Background(), runID)
	return tree, err
}

// Graph returns a drawing of a run as a Mermaid flowchart.
func (d *Drover) Graph(runID string) (string, error) {
	run, _, tree, err := d.runs().Tree(context.Background(), runID)
	return flow.Mermaid(run.Workflow, tree, true), err
}

func (d *Drover) runs() inspect.Runs {
	return inspect.Runs{Store: dynamo.Runs{API: d.DynamoDB, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable},
		Compositions: dynamo.NewCompositions(d.DynamoDB, fakeaws.RunsTable), Tasks: d.tasks, Leases: d.control}
}

// Put puts an event on the bus, as an application does, and returns the event's id.
func (d *Drover) Put(detailType string, detail any) string {
	return d.put("memory", detailType, detail)
}

func (d *Drover) put(source, detailType string, detail any) string {
	text, err := encoded(detail)
	if err != nil {
		panic(fmt.Sprintf("drovertest: an event's detail does not encode: %v", err))
	}
	id, why := d.EventBridge.Put(fakeaws.BusName, source, detailType, text)
	if why != "" {
		panic("drovertest: the bus refuses the event: " + why)
	}
	return id
}

func encoded(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return v, nil
	}
	return json.Marshal(v)
}

// Pause stops new starts of a labourer's tasks until Resume, as `drover pause` does: tasks that wait in leases may start until the orchestrator has
// taken the slots of these back.
func (d *Drover) Pause(id string) error { return d.setPaused(id, true) }

// Resume lets a labourer's tasks start again.
func (d *Drover) Resume(id string) error { return d.setPaused(id, false) }

func (d *Drover) setPaused(id string, paused bool) error {
	if err := d.control.SetPaused(context.Background(), id, paused); err != nil {
		return err
	}
	d.wake(map[string]labourer.Labourer{id: {}})
	return nil
}

// patience limits how long Run continues, in virtual time.
const patience = 90 * 24 * time.Hour

// Run lets time pass until the world is at rest: nothing is under way, runs or waits for a later time. Tasks that are due and may not start,
// for example those of a paused labourer or those that wait in a lease without slots, do not count. It returns an error for a world that is not at rest after 90 days.
func (d *Drover) Run() error {
	end := d.World.Now().Add(patience)
	before := "?"
	for d.World.Now().Before(end) {
		if d.Idle() {
			left, changes, err := d.left()
			if err != nil {
				return err
			}
			if left == "" || left == before {
				return nil
			}
			if before = left; changes {
				before = "?"
			}
		}
		d.World.Step()
	}
	var under []string
	for _, c := range d.World.Coming() {
		under = append(under, c.String())
	}
	return fmt.Errorf("not at rest after %s; under way: %s", patience, strings.Join(under, "; "))
}

// RunFor lets this much time pass.
func (d *Drover) RunFor(span time.Duration) {
	end := d.World.Now().Add(span)
	for next := d.World.Next(); next != nil && !next.At.After(end); next = d.World.Next() {
		d.World.Step()
	}
	d.World.Advance(end)
}

// left returns all leases and entries in words, and whether some of them will change by themselves: a task is in hand, or is due at a later time.
func (d *Drover) left() (words string, changes bool, err error) {
	applied, err := d.registry.All(context.Background(), true)
	if err != nil {
		return "", false, err
	}
	var all []string
	for id := range applied.Labourers {
		leases, err := d.control.Leases(context.Background(), id)
		if err != nil {
			return "", false, err
		}
		entries, err := d.control.Queue(context.Background(), id)
		if err != nil {
			return "", false, err
		}
		for _, l := range leases {
			all = append(all, fmt.Sprintf("%s %s %d", l.Item(), l.Idle(), l.Slots))
			changes = changes || l.Running() > 0 || len(l.Retries) > queue.Ripe([]queue.Lease{l}, d.World.Now())
		}
		for _, e := range entries {
			all = append(all, e.Item()+" "+e.Tasks.String())
			changes = changes || e.Due.After(d.World.Now())
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n"), changes, nil
}

// Job returns a job's record.
func (d *Drover) Job(id string) (job ledger.Job, found bool, err error) {
	return d.jobs.Get(context.Background(), id)
}

// Tasks returns the tasks of a job, in the job's order.
func (d *Drover) Tasks(jobID string) ([]task.Task, error) {
	job, found, err := d.Job(jobID)
	if err != nil || !found {
		return nil, errors.Join(err, fmt.Errorf("job %q is not known", jobID))
	}
	var out []task.Task
	for ordinal := range job.Segments() {
		at, numbers := job.SegmentAt(ordinal)
		for part, err := range d.tasks.Chunks(context.Background(), at, numbers) {
			if err != nil {
				return nil, err
			}
			out = append(out, part...)
		}
	}
	return out, nil
}

// Leases returns a labourer's leases: its tasks that run, and those that wait there for a slot or for their next attempt.
func (d *Drover) Leases(labourer string) ([]queue.Lease, error) {
	return d.control.Leases(context.Background(), labourer)
}

// LeasesOn returns a labourer's leases that hold tasks of one segment.
func (d *Drover) LeasesOn(labourer string, s segment.ID) ([]queue.Lease, error) {
	return d.control.LeasesOn(context.Background(), labourer, s)
}

// Facts returns the facts of this type that Drover published on the bus; "" means all.
func (d *Drover) Facts(detailType string) []event.Envelope {
	return slices.DeleteFunc(d.EventBridge.Told(), func(e event.Envelope) bool {
		return e.Source != event.Source || detailType != "" && e.DetailType != detailType
	})
}

// Archived returns every record in the archive, in the order of the files' keys.
func (d *Drover) Archived() ([]archive.Record, error) {
	bucket := s3.Bucket{API: d.S3, Name: fakeaws.ArchiveBucket}
	keys, err := bucket.List(context.Background(), archive.Root) // results that are handed on are in the same bucket
	if err != nil {
		return nil, err
	}
	var out []archive.Record
	for _, key := range keys {
		body, err := bucket.Get(context.Background(), key)
		if err != nil {
			return nil, err
		}
		records, err := archive.Read(body)
		if err != nil {
			return nil, fmt.Errorf("reading %s, %w", key, err)
		}
		out = append(out, records...)
	}
	return out, nil
}

// Package scheduler turns jobs into tasks, each exactly once.
//
// The order of writes ensures that. The scheduler first creates the job's record, on the condition that there is none. Segment by segment,
// it then writes the tasks, and in one transaction puts the segment's queue entry, or grants its tasks directly, and advances the job's cursor. After an interruption, the
// scheduler that receives the job's message next continues at the cursor and writes the same tasks to the same places. A published segment
// is never written again: creation overwrites, so a job has one creator at a time, which owns it no longer than a Lambda function lives.
package scheduler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/spelling"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/direct"
)

// Tasks stores tasks.
type Tasks interface {
	Create(ctx context.Context, tasks []task.Task) error
	// Remove deletes tasks that were created and not published. Tasks that do not exist are no error.
	Remove(ctx context.Context, s segment.ID, numbers segment.Numbers) error
}

// Jobs stores the records of jobs.
type Jobs interface {
	Create(ctx context.Context, job ledger.Job) error
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Text(ctx context.Context, job ledger.Job) ([]byte, error)
	Own(ctx context.Context, job ledger.Job, owner string, now, until time.Time) error
	Disown(ctx context.Context, job ledger.Job) error
	Publish(ctx context.Context, jobs []ledger.Job, entry queue.Entry) error
	PublishGranted(ctx context.Context, jobs []ledger.Job, d queue.Direct) error
}

// Registry holds the labourers and schemas that are applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
	Schema(ctx context.Context, name string) (schema job.Schema, found bool, err error)
	// Names returns the names of all labourers and schemas. Errors about an unknown name use them for a suggestion.
	Names(ctx context.Context) (labourers, schemas []string, err error)
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Queue sends messages to the jobs queue and to its dead-letter queue.
type Queue interface {
	// Continue sends a command to the next scheduler.
	Continue(ctx context.Context, e event.Envelope) error
	// Bury puts an unreadable message into the dead-letter queue, with the reason.
	Bury(ctx context.Context, body, reason string) error
}

// Timer wakes the orchestrator at a given time.
type Timer interface {
	WakeAt(ctx context.Context, at time.Time, labourers ...string) error
}

// Canceller cancels jobs. It stops when late returns true; rest is then the command for the remaining work, else nil.
type Canceller interface {
	Cancel(ctx context.Context, e event.Envelope, late func() bool) (rest *event.Envelope, err error)
}

// Replayer revives dead tasks. late and rest are as in Canceller.
type Replayer interface {
	Replay(ctx context.Context, e event.Envelope, late func() bool) (rest *event.Envelope, err error)
}

// Service implements the scheduler.
type Service struct {
	Tasks     Tasks
	Jobs      Jobs
	Registry  Registry
	Bus       Bus
	Queue     Queue
	Timer     Timer
	Canceller Canceller
	Replayer  Replayer
	Granter   direct.Granter
	Now       func() time.Time
	MaxTasks  int // the most tasks that one job may have
}

// Message is a message of the jobs queue.
type Message struct {
	ID   string
	Body string
	// Receives counts the deliveries of this message, this one included.
	Receives int
}

// Summary counts what a batch of messages led to, for the log.
type Summary struct {
	Scheduled int `json:",omitzero"`
	Continued int `json:",omitzero"`
	HandedOn  int `json:",omitzero"`
	Rejected  int `json:",omitzero"`
	Repeated  int `json:",omitzero"`
	Buried    int `json:",omitzero"`
	Created   int `json:",omitzero"` // tasks
	Granted   int `json:",omitzero"` // tasks that went straight to a lease

	Errors []string `json:",omitzero"`
}

const (
	// spare is reserved before the deadline: a scheduler then stops creating and hands the job on.
	spare = 4 * time.Second
	// skew bounds the difference between the clocks of two functions.
	skew = 30 * time.Second
	// term limits how long a creator owns a job if its context has no deadline.
	term = time.Minute
)

// Handle processes a batch and returns the ids of the messages to redeliver. invocation is unique to this call.
func (s *Service) Handle(ctx context.Context, invocation string, messages []Message) (failed []string, summary Summary) {
	r := &run{service: s, owner: invocation, ownedUntil: s.Now().Add(term + 2*skew), last: map[string]time.Time{}, published: map[string]int{},
		labourers: map[string]foundLabourer{}, schemas: map[string]foundSchema{}}
	if deadline, ok := ctx.Deadline(); ok {
		r.ownedUntil = deadline.Add(2 * skew)
		var cancel context.CancelFunc
		r.stop = deadline.Add(-spare)
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-spare/4))
		defer cancel()
	}
	fail := func(err error, ids ...string) {
		if err != nil {
			failed = append(failed, ids...)
			r.summary.Errors = append(r.summary.Errors, err.Error())
		}
	}
	var fresh []*creation
	for _, m := range messages {
		c, err := r.read(ctx, m)
		fail(err, m.ID)
		if c == nil {
			continue
		}
		if c.fresh {
			fresh = append(fresh, c)
			continue
		}
		fail(r.create(ctx, c), m.ID)
	}
	for _, group := range together(fresh) {
		fail(r.begin(ctx, group), ids(group)...)
	}
	return failed, r.summary
}

// run is one invocation of the service.
type run struct {
	service    *Service
	summary    Summary
	owner      string
	ownedUntil time.Time
	published  map[string]int       // segments of each labourer's jobs
	stop       time.Time            // when to hand on the remaining work; zero: never
	last       map[string]time.Time // the due time of the last entry of each labourer

	// What the jobs of a batch ask for was applied before they were submitted, so one read serves all of them.
	labourers map[string]foundLabourer
	schemas   map[string]foundSchema
}

type foundLabourer struct {
	labourer.Labourer
	found bool
}

type foundSchema struct {
	job.Schema
	found bool
}

func (r *run) late() bool { return !r.stop.IsZero() && !r.service.Now().Before(r.stop) }

// read returns the tasks to create for a message, or nil if there are none.
func (r *run) read(ctx context.Context, m Message) (*creation, error) {
	e, err := event.Read([]byte(m.Body))
	if err != nil {
		r.summary.Buried++
		return nil, r.service.Queue.Bury(ctx, m.Body, err.Error())
	}
	switch e.DetailType {
	case event.SubmitJob:
		return r.submit(ctx, e, m)
	case event.ContinueJob:
		return r.proceed(ctx, e, m)
	case event.CancelJob:
		return nil, r.carryOut(ctx, e, m, r.service.Canceller.Cancel)
	case event.ReplayTasks:
		return nil, r.carryOut(ctx, e, m, r.service.Replayer.Replay)
	}
	r.summary.Buried++
	return nil, r.service.Queue.Bury(ctx, m.Body, fmt.Sprintf("the scheduler does not handle %s", e.DetailType))
}

// carryOut executes a command. Work that remains at the deadline goes to another invocation. A command that can never succeed is buried.
func (r *run) carryOut(ctx context.Context, e event.Envelope, m Message, do func(context.Context, event.Envelope, func() bool) (*event.Envelope, error)) error {
	rest, err := do(ctx, e, r.late)
	if refused, ok := errors.AsType[*event.Refused](err); ok {
		r.summary.Buried++
		return r.service.Queue.Bury(ctx, m.Body, refused.Reason)
	}
	if err != nil || rest == nil {
		return err
	}
	r.summary.HandedOn++
	return r.service.Queue.Continue(ctx, *rest)
}

// submit reads a job. It rejects the job, or returns what remains to be created of it.
func (r *run) submit(ctx context.Context, e event.Envelope, m Message) (*creation, error) {
	at := e.Time
	if at.IsZero() {
		at = r.service.Now()
	}
	record := ledger.Job{ID: e.ID, State: ledger.Scheduling, Text: e.Detail, Generation: 1, SubmittedAt: at.UTC().Truncate(time.Millisecond),
		RecordedAt: r.service.Now().UTC().Truncate(time.Millisecond), Fingerprint: fingerprint(e.Detail)}
	asked, err := job.Parse(e.Detail)
	if asked.ID != "" {
		record.ID = asked.ID
	}
	var refusal *job.Error
	if errors.As(err, &refusal) {
		return nil, r.reject(ctx, record, asked.ID, refusal)
	}
	if err != nil {
		return nil, err
	}
	record.Labourer, record.Fingerprint = asked.Labourer, fingerprint(asked.Canonical())
	known, found, err := r.service.Jobs.Get(ctx, record.ID)
	if err != nil {
		return nil, err
	}
	if found && known.State != ledger.Rejected {
		if known.Fingerprint != record.Fingerprint {
			return nil, r.reject(ctx, record, record.ID, &job.Error{Field: "job_id",
				Reason: fmt.Sprintf("%q is the id of another job, submitted at %s; an id is remembered as long as its job is kept", record.ID, known.SubmittedAt.Format(time.RFC3339))})
		}
		return r.resume(ctx, known, m)
	}
	c, err := r.plan(ctx, asked, record, m)
	if errors.As(err, &refusal) {
		return nil, r.reject(ctx, record, record.ID, refusal)
	}
	if err != nil {
		return nil, err
	}
	c.fresh = true
	return c, nil
}

// plan looks up the job's labourer and schema and plans its tasks. A *job.Error says what is wrong with the job.
func (r *run) plan(ctx context.Context, asked job.Job, record ledger.Job, m Message) (*creation, error) {
	l, found, err := r.labourer(ctx, &asked)
	if err != nil {
		return nil, err
	}
	if !found {
		known, _, err := r.service.Registry.Names(ctx)
		if err != nil {
			return nil, err
		}
		return nil, UnknownLabourer(asked.Labourer, known)
	}
	schema, found, err := r.schema(ctx, asked.Schema)
	if err != nil {
		return nil, err
	}
	if !found && asked.Schema != "" && asked.Schema != DefaultSchema {
		_, known, err := r.service.Registry.Names(ctx)
		if err != nil {
			return nil, err
		}
		return nil, asked.UnknownSchema(known)
	}
	if err := asked.CheckStart(record.RecordedAt); err != nil {
		return nil, err
	}
	plan, err := asked.Plan(schema, record.SubmittedAt)
	if err == nil {
		err = plan.Within(r.service.MaxTasks)
	}
	if err == nil {
		err = plan.Fits(l.Target.EventLimit() - added - len(asked.Trace.State))
	}
	if err != nil {
		return nil, err
	}
	record.Labourer, record.Lanes, record.Total, record.NotBefore = l.ID, l.Lanes(), plan.Len(), asked.NotBefore
	record.ChunkableAttrs, record.Owner, record.OwnedUntil = schema.ChunkableAttrs, r.owner, r.ownedUntil
	return &creation{record: record, asked: asked, plan: plan, message: m}, nil
}

// added approximates the bytes that Drover adds to a payload: the ids, the deadline, the completions' URL. A payload that passes this check
// and still exceeds its target's limit fails when it is started.
const added = 512

// UnknownLabourer returns the error for a job whose labourer is not among those known.
func UnknownLabourer(name string, known []string) error {
	if nearest, ok := spelling.Nearest(name, known); ok {
		return &job.Error{Field: "labourer", Reason: fmt.Sprintf("there is no labourer %.140q; did you mean %q?", name, nearest)}
	}
	return &job.Error{Field: "labourer", Reason: fmt.Sprintf("there is no labourer %.140q; apply it first", name)}
}

// DefaultSchema names the schema of jobs that name none. A stack without it chunks by dates alone.
const DefaultSchema = "default"

// labourer returns the labourer of a job: the one applied under the name with the qualifier, if it exists, else the one applied under the
// name.
func (r *run) labourer(ctx context.Context, asked *job.Job) (labourer.Labourer, bool, error) {
	if asked.Qualifier != "" {
		l, found, err := r.applied(ctx, asked.Labourer+":"+asked.Qualifier)
		if err != nil || found {
			asked.Qualifier = ""
			return l, found, err
		}
	}
	return r.applied(ctx, asked.Labourer)
}

// applied returns a labourer as this invocation first read it.
func (r *run) applied(ctx context.Context, id string) (labourer.Labourer, bool, error) {
	if known, is := r.labourers[id]; is {
		return known.Labourer, known.found, nil
	}
	l, found, err := r.service.Registry.Labourer(ctx, id)
	if err == nil {
		r.labourers[id] = foundLabourer{l, found}
	}
	return l, found, err
}

// schema returns a schema as this invocation first read it.
func (r *run) schema(ctx context.Context, name string) (job.Schema, bool, error) {
	if known, is := r.schemas[name]; is {
		return known.Schema, known.found, nil
	}
	s, found, err := r.service.Registry.Schema(ctx, name)
	if err == nil {
		r.schemas[name] = foundSchema{s, found}
	}
	return s, found, err
}

// resume returns what remains to be created of a job that has a record.
func (r *run) resume(ctx context.Context, known ledger.Job, m Message) (*creation, error) {
	if known.Cancelling || known.State == ledger.Cancelled {
		r.summary.Repeated++
		return nil, r.clear(ctx, known)
	}
	if known.State != ledger.Scheduling {
		r.summary.Repeated++
		return nil, r.tell(ctx, known)
	}
	err := r.service.Jobs.Own(ctx, known, r.owner, r.service.Now(), r.ownedUntil)
	if errors.Is(err, ledger.ErrChanged) {
		if m.Receives > 1 {
			return nil, fmt.Errorf("job %s is being created by another scheduler", known.ID)
		}
		// The owner has a message of its own, which is redelivered if the owner dies.
		r.summary.Repeated++
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known.Owner, known.OwnedUntil = r.owner, r.ownedUntil
	text, err := r.service.Jobs.Text(ctx, known)
	if err != nil {
		return nil, err
	}
	asked, err := job.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("job %s was accepted and is now refused%s", known.ID, inField(err))
	}
	if known.Labourer == asked.Labourer+":"+asked.Qualifier { // the qualifier was part of the labourer's name
		asked.Qualifier = ""
	}
	plan, err := asked.Plan(job.Schema{ChunkableAttrs: known.ChunkableAttrs}, known.SubmittedAt)
	if err != nil || plan.Len() != known.Total {
		return nil, fmt.Errorf("job %s was accepted with %d tasks and cannot be planned again%s", known.ID, known.Total, inField(err))
	}
	return &creation{record: known, asked: asked, plan: plan, message: m}, nil
}

// inField names the wrong field of a job, for the log. It leaves out the reason, which quotes the job: payloads are never logged.
func inField(err error) string {
	if refusal, ok := errors.AsType[*job.Error](err); ok {
		return " for its " + refusal.Field
	}
	return ""
}

// proceed continues a job that another invocation handed on.
func (r *run) proceed(ctx context.Context, e event.Envelope, m Message) (*creation, error) {
	id, err := continued(e)
	if err != nil {
		r.summary.Buried++
		return nil, r.service.Queue.Bury(ctx, m.Body, err.Error())
	}
	known, found, err := r.service.Jobs.Get(ctx, id)
	if err != nil || !found {
		return nil, err
	}
	r.summary.Continued++
	return r.resume(ctx, known, m)
}

// reject records the job with the reason, if its id is free, and publishes JobRejected. A job may name attributes of any length and be as
// large as an event. What the record and the event quote of it is bounded, so that every rejection fits.
func (r *run) reject(ctx context.Context, record ledger.Job, jobID string, refusal *job.Error) error {
	r.summary.Rejected++
	wrong, text := event.FieldError{Field: refusal.Field, Reason: refusal.Reason}.Bounded(), record.Text
	record.State, record.FinishedAt = ledger.Rejected, r.service.Now()
	record.ErrorField, record.ErrorReason = wrong.Field, wrong.Reason
	record.Text = text[:min(len(text), rejectedText)]
	if err := r.service.Jobs.Create(ctx, record); err != nil && !errors.Is(err, ledger.ErrChanged) {
		return err
	}
	return r.service.Bus.Publish(ctx, event.JobRejected(jobID, record.Fingerprint, wrong, text))
}

// rejectedText bounds the bytes of a rejected job's text in its record.
const rejectedText = 128 << 10

// tell publishes the facts of a scheduled job again, under the same ids, and wakes the orchestrator: the scheduler that created the job may
// have died before it did.
func (r *run) tell(ctx context.Context, j ledger.Job) error {
	switch j.State {
	case ledger.Scheduled:
		return r.wake(ctx, j, facts(j))
	case ledger.Completed:
		return r.service.Bus.Publish(ctx, facts(j)...)
	}
	return nil
}

// facts returns the facts to publish once all tasks of a job are created.
func facts(j ledger.Job) []event.Fact {
	out := []event.Fact{event.JobScheduled(j.ID, j.Labourer, j.Total)}
	if j.Total == 0 {
		out = append(out, event.JobEnded(j.Totals(), false))
	}
	return out
}

func fingerprint(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

package inspect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/core/trace"
)

// TracedMost limits how many tasks a trace may have if no limit is given.
const TracedMost = 10_000

// TooManyError says that a job has more tasks than a trace takes.
type TooManyError struct {
	Job   string
	Tasks int
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("job %s has %d tasks, and a trace takes %d; want --task ID for one of them, or --limit N for the first", e.Job, e.Tasks, TracedMost)
}

// Traced says which tasks of a job or a run a trace has. The zero value selects all, up to [TracedMost].
type Traced struct {
	Task  task.ID // the zero ID: all
	Limit int     // 0: no limit
	In    Search  // where to look for what has left the tables
}

// Trace is a trace that is made of what is stored. It begins with the span of the submission, and each task has a span below that, which holds its waits and
// attempts. Of what was submitted without a trace context it makes a trace of its own, which is the same each time.
type Trace struct {
	Context trace.Context
	Spans   []trace.Span
}

// The reasons of waits.
const (
	waitNotBefore = "not_before" // its job begins later
	waitQueued    = "queued"     // due, for a slot of its labourer
	waitBackoff   = "backoff"    // an attempt has failed
	waitReplay    = "replay"     // it was dead, until it was replayed and had a slot
)

// JobTrace returns the trace of a job: a [NotFoundError] if there is no such job, and a [TooManyError] if it has too many tasks. Tasks that have left the
// table are taken from the archive. A job that the stack does not know any more is found there if its labourer and day are given.
func (r *Reader) JobTrace(ctx context.Context, id string, of Traced) (Trace, error) {
	j, found, err := r.Jobs.Get(ctx, id)
	if err != nil {
		return Trace{}, err
	}
	if !found {
		return r.forgottenTrace(ctx, id, of)
	}
	if of.Task == (task.ID{}) && of.Limit == 0 && j.Total > TracedMost {
		return Trace{}, &TooManyError{id, j.Total}
	}
	t, root, err := r.submission(ctx, j)
	if err != nil {
		return t, err
	}
	details, err := r.traced(ctx, j, of)
	for _, d := range details {
		t.add(d, root, j.NotBefore, r.Now())
	}
	return t, err
}

// submission returns the begin of a job's trace, and the id of its first span.
func (r *Reader) submission(ctx context.Context, j ledger.Job) (Trace, string, error) {
	text, err := r.Jobs.Text(ctx, j)
	if err != nil {
		return Trace{}, "", err
	}
	asked, _ := job.Parse(text) // a job that was rejected may be unreadable, and has no context then
	s := jobSpan(j.ID, j.Labourer, j.SubmittedAt)
	s.End = j.RecordedAt
	s.Attributes = append(s.Attributes, trace.Attribute{Key: "drover.tasks", Value: j.Total}, trace.Attribute{Key: "drover.status", Value: string(j.State)})
	if j.State == ledger.Rejected {
		s.Failed, s.Message = true, j.ErrorField+": "+j.ErrorReason
		s.Attributes = append(s.Attributes, trace.Attribute{Key: "drover.reason", Value: j.ErrorField}, trace.Attribute{Key: "error.type", Value: "JobRejected"})
	}
	t := begin(asked.Trace, &s, "job", j.ID, milli(j.SubmittedAt))
	return t, s.ID, nil
}

// jobSpan returns the span of a job's submission. A job's id may be used again after a rejection or a long time, so the time belongs to the span's id.
func jobSpan(id, labourer string, at time.Time) trace.Span {
	return trace.Span{ID: trace.SpanID("submit", id, milli(at)), Name: "submit " + labourer, Kind: trace.Producer, Start: at, End: at,
		Attributes: []trace.Attribute{{Key: "drover.job_id", Value: id}, {Key: "drover.labourer_id", Value: labourer}}}
}

func milli(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// begin returns a trace with its first span, in the context that came with the submission. names make a trace id if none did.
func begin(c trace.Context, first *trace.Span, names ...string) Trace {
	if c.Traced() {
		first.Parent, first.Remote = c.SpanID, true
	} else {
		c = trace.Context{TraceID: trace.TraceID(names...), Flags: "01"}
	}
	if first.End.Before(first.Start) { // clocks differ
		first.End = first.Start
	}
	return Trace{c, []trace.Span{*first}}
}

// traced returns the selected tasks of a job, without payloads and results.
func (r *Reader) traced(ctx context.Context, j ledger.Job, of Traced) ([]Detail, error) {
	if of.Task != (task.ID{}) {
		d, err := r.anywhere(ctx, of.Task, of.In)
		if err == nil && d.JobID != j.ID {
			err = fmt.Errorf("task %s belongs to %s, not to %s", of.Task, d.JobID, j.ID)
		}
		return []Detail{d}, err
	}
	var out []Detail
	known, seen := map[string]*Beat{}, map[string]bool{}
	if j.Total == 0 || j.State == ledger.Rejected {
		return nil, nil
	}
	err := r.EachTask(ctx, Selection{Job: j.ID}, func(s Sighting) (bool, error) {
		waiting, err := r.waits(ctx, s, known)
		seen[s.Task.ID.String()] = true
		out = append(out, stripped(DetailOf(s.Task, s.Place, waiting, s.At)))
		return of.Limit == 0 || len(out) < of.Limit, err
	})
	full := of.Limit > 0 && len(out) >= of.Limit || len(out) >= j.Total
	if err != nil || full || r.Now().Sub(j.SubmittedAt) < time.Duration(r.RetentionDays)*24*time.Hour {
		return out, err
	}
	gone, err := r.archivedOf(ctx, Query{Job: j.ID, Labourer: j.Labourer}, of.Limit-len(out), func(id string) bool { return !seen[id] })
	return append(gone, out...), err
}

// anywhere returns a task from the table or the archive.
func (r *Reader) anywhere(ctx context.Context, id task.ID, where Search) (Detail, error) {
	d, found, err := r.Task(ctx, id)
	if err == nil && !found {
		d, err = r.Archived(ctx, id, where)
	}
	return stripped(d), err
}

// waits returns what a task waits for. It reads its labourer once.
func (r *Reader) waits(ctx context.Context, s Sighting, known map[string]*Beat) (string, error) {
	status := StatusOf(s.Task, s.Place, s.At)
	if status.Ended() {
		return "", nil
	}
	b, read := known[s.Task.Labourer]
	if !read {
		one, err := r.Pulse().One(ctx, s.Task.Labourer)
		if _, missing := errors.AsType[*NotFoundError](err); err != nil && !missing {
			return "", err
		} else if !missing {
			b = &one
		}
		known[s.Task.Labourer] = b
	}
	switch {
	case status == Running && b == nil:
		return RunningFor(s.Place, s.Task.ID.N, nil), nil
	case status == Running:
		limits := limitsOf(b.Configuration)
		return RunningFor(s.Place, s.Task.ID.N, &limits), nil
	case b == nil:
		return WaitingFor(status, s.Place, nil, s.At), nil
	}
	return WaitingFor(status, s.Place, &b.Labourer, s.At), nil
}

// stripped returns a task without what no trace needs.
func stripped(d Detail) Detail {
	d.Payload, d.Result, d.Stats = nil, nil, nil
	return d
}

// archivedOf returns archived tasks that are wanted, each in its last life, in the order in which they ended. A limit of 0 or less is none.
func (r *Reader) archivedOf(ctx context.Context, q Query, limit int, want func(id string) bool) ([]Detail, error) {
	places := map[string]int{}
	var out []Detail
	err := r.EachArchived(ctx, q, func(record archive.Record) (bool, error) {
		d := stripped(Archived(record))
		at, has := places[d.TaskID]
		switch {
		case !want(d.TaskID):
		case has && d.Life > out[at].Life:
			out[at] = d
		case !has && (limit <= 0 || len(out) < limit):
			places[d.TaskID], out = len(out), append(out, d)
		}
		return true, nil
	})
	return out, err
}

// forgottenTrace returns the trace of a job that the stack no longer knows, from the archive alone.
func (r *Reader) forgottenTrace(ctx context.Context, id string, of Traced) (Trace, error) {
	if of.In.Labourer == "" || of.In.Day.IsZero() {
		return Trace{}, fmt.Errorf("%w; if it ended long ago, name its labourer and the day it ended (--labourer, --date)", NoJob(id))
	}
	var first archive.Record
	count := 0
	err := r.EachArchived(ctx, Query{Job: id, Labourer: of.In.Labourer, From: of.In.Day, To: of.In.Day}, func(record archive.Record) (bool, error) {
		if count++; count == 1 {
			first = record
		}
		return true, nil
	})
	if err == nil && count == 0 {
		err = NoJob(id)
	}
	if err == nil && count > TracedMost && of.Limit == 0 && of.Task == (task.ID{}) {
		err = &TooManyError{id, count}
	}
	if err != nil {
		return Trace{}, err
	}
	s := jobSpan(id, first.Labourer, first.CreatedAt) // tasks are created at the time of their job
	t := begin(trace.Parse(first.TraceParent, ""), &s, "job", id, milli(first.CreatedAt))
	details, err := r.archivedOf(ctx, Query{Job: id, Labourer: of.In.Labourer, From: of.In.Day, To: of.In.Day}, of.Limit, func(one string) bool {
		return of.Task == (task.ID{}) || one == of.Task.String()
	})
	for _, d := range details {
		t.add(d, s.ID, time.Time{}, r.Now())
	}
	return t, err
}

// RunTrace returns the trace of a run, with the tasks of its turns; a [NotFoundError] if there is no such run.
func (r *Reader) RunTrace(ctx context.Context, runs Runs, id string, of Traced) (Trace, error) {
	whole, found, err := runs.Store.Whole(ctx, id)
	if err != nil {
		return Trace{}, err
	}
	if !found {
		return Trace{}, &NotFoundError{"run", id}
	}
	record := whole.Record
	tree, _, _, err := runs.Tree(ctx, id)
	if err != nil {
		return Trace{}, err
	}
	s := trace.Span{ID: trace.SpanID("submit", id), Name: "start " + record.Workflow, Kind: trace.Producer, Start: record.RecordedAt, End: record.RecordedAt,
		Attributes: []trace.Attribute{{Key: "drover.run_id", Value: id}, {Key: "drover.workflow", Value: record.Workflow}, {Key: "drover.uid", Value: record.UID},
			{Key: "drover.status", Value: string(tree.State)}}}
	if tree.FinishedAt != nil {
		s.Events = append(s.Events, trace.Event{At: *tree.FinishedAt, Name: string(tree.State)})
	}
	t := begin(record.Trace, &s, "run", id)
	turns := slices.DeleteFunc(turnsOf(tree), func(turn tracedTurn) bool { return of.Task != (task.ID{}) && turn.id != of.Task })
	if of.Limit > 0 {
		turns = turns[:min(len(turns), of.Limit)]
	}
	details, err := r.turns(ctx, tree, turns)
	for i, d := range details {
		if d.JobID == id { // a turn that was kept is a task of an earlier run
			t.add(d, s.ID, time.Time{}, r.Now(), turns[i].attributes...)
		}
	}
	if err == nil && of.Task != (task.ID{}) && len(t.Spans) == 1 {
		err = fmt.Errorf("task %s does not belong to %s", of.Task, id)
	}
	return t, err
}

// turns returns the tasks of turns, in their order. It searches the archive once for those that have left the table.
func (r *Reader) turns(ctx context.Context, run RunTree, turns []tracedTurn) ([]Detail, error) {
	details := make([]Detail, len(turns))
	if err := each(ctx, len(turns), func(ctx context.Context, i int) error {
		d, _, err := r.Task(ctx, turns[i].id)
		details[i] = stripped(d)
		return err
	}); err != nil {
		return nil, err
	}
	gone := map[string]int{}
	for i, d := range details {
		if d.TaskID == "" {
			gone[turns[i].id.String()] = i
		}
	}
	if len(gone) == 0 {
		return details, nil
	}
	q := Query{Job: run.RunID, From: dayOf(run.StartedAt)}
	if run.FinishedAt != nil {
		q.To = dayOf(*run.FinishedAt).AddDate(0, 0, 1) // clocks differ
	}
	archived, err := r.archivedOf(ctx, q, 0, func(id string) bool { _, is := gone[id]; return is })
	for _, d := range archived {
		details[gone[d.TaskID]] = d
	}
	return details, err
}

// tracedTurn is a turn of a run that has a task.
type tracedTurn struct {
	id         task.ID
	attributes []trace.Attribute
}

// turnsOf returns the turns of a run that have tasks, in the order of its stages.
func turnsOf(tree RunTree) []tracedTurn {
	var out []tracedTurn
	for _, a := range tree.Activities {
		for i, stage := range []RunStage{a.Pre, a.Parallel, a.Post} {
			for _, plugins := range []map[string]RunPlugin{stage.Mandatory, stage.Optional} {
				for _, name := range slices.Sorted(maps.Keys(plugins)) {
					if id, err := task.ParseID(plugins[name].TaskID); err == nil {
						out = append(out, tracedTurn{id, []trace.Attribute{{Key: "drover.activity", Value: a.Activity},
							{Key: "drover.stage", Value: []string{"pre", "parallel", "post"}[i]}, {Key: "drover.plugin", Value: name}}})
					}
				}
			}
		}
	}
	return out
}

// add adds the spans of a task below a span: the task's own, and within it those of its waits and attempts.
func (t *Trace) add(d Detail, below string, notBefore, now time.Time, more ...trace.Attribute) {
	own := append([]trace.Attribute{{Key: "drover.job_id", Value: d.JobID}, {Key: "drover.task_id", Value: d.TaskID}, {Key: "drover.labourer_id", Value: d.Labourer}}, more...)
	s := trace.Span{ID: trace.SpanID("task", d.TaskID), Parent: below, Name: "task " + d.Labourer, Kind: trace.Internal, Start: d.CreatedAt, End: now,
		Attributes: append(slices.Clone(own), trace.Attribute{Key: "drover.status", Value: string(d.Status)})}
	if d.ClosedAt != nil {
		s.End = *d.ClosedAt
		s.Events = []trace.Event{{At: s.End, Name: string(d.Status)}}
		s.Failed = d.Status == Dead
	} else {
		s.Attributes = append(s.Attributes, unfinished)
	}
	if last := len(d.Attempts); s.Failed && last > 0 && d.Attempts[last-1].Error != nil {
		s.Message = d.Attempts[last-1].Error.Message
		s.Attributes = append(s.Attributes, trace.Attribute{Key: "error.type", Value: d.Attempts[last-1].Error.Type})
	}
	t.Spans = append(t.Spans, ordered(s))
	from, attempt, reason := d.CreatedAt, 1, waitQueued
	for _, a := range d.Attempts {
		if a.DispatchedAt == nil && a.ClosedAt == nil {
			break // it waits for its start
		}
		one := attemptSpan(d, a, s.ID, own, now)
		t.wait(d, s.ID, own, a.Attempt, reason, from, one.Start, notBefore, "")
		t.Spans = append(t.Spans, ordered(one))
		from, attempt, reason = one.End, a.Attempt+1, waitBackoff
		if d.Life > 0 && a.Attempt == d.ReplayOf {
			reason = waitReplay
		}
	}
	if open := d.ClosedAt == nil; open && !running(d) {
		t.wait(d, s.ID, own, attempt, reason, from, now, notBefore, d.WaitingFor)
	}
}

// unfinished marks a span that ends at the time of the reading, because what it stands for has not ended.
var unfinished = trace.Attribute{Key: "drover.unfinished", Value: true}

// running reports whether a task's last attempt has begun and has not ended.
func running(d Detail) bool {
	last := len(d.Attempts) - 1
	return last >= 0 && d.Attempts[last].DispatchedAt != nil && d.Attempts[last].ClosedAt == nil
}

// ordered returns a span that does not end before it begins: its times come from several clocks.
func ordered(s trace.Span) trace.Span {
	if s.End.Before(s.Start) {
		s.End = s.Start
	}
	return s
}

// attemptSpan returns the span of an attempt, under the id that its worker got as parent. It links to the attempt before.
func attemptSpan(d Detail, a Attempt, below string, own []trace.Attribute, now time.Time) trace.Span {
	s := trace.Span{ID: trace.AttemptSpan(d.TaskID, a.Attempt), Parent: below, Name: "attempt " + d.Labourer, Kind: trace.Consumer, End: now,
		Attributes: append(slices.Clone(own), trace.Attribute{Key: "drover.attempt", Value: a.Attempt}, trace.Attribute{Key: "drover.reason", Value: a.Status})}
	switch {
	case a.ClosedAt == nil:
		s.Start = *a.DispatchedAt
		s.Attributes = append(s.Attributes, unfinished)
	case a.DispatchedAt == nil: // it could not be started
		s.Start, s.End = *a.ClosedAt, *a.ClosedAt
	default:
		s.Start, s.End = *a.DispatchedAt, *a.ClosedAt
	}
	if a.Attempt > 1 {
		s.Links = []string{trace.AttemptSpan(d.TaskID, a.Attempt-1)}
	}
	if a.Status == string(task.Failed) || a.Status == string(task.Expired) {
		s.Failed = true
		kind := a.Status
		if a.Error != nil {
			kind, s.Message = a.Error.Type, a.Error.Message
		}
		s.Attributes = append(s.Attributes, trace.Attribute{Key: "error.type", Value: kind})
	}
	return s
}

// wait adds the span of a task's wait for an attempt. A wait for a time and then for a slot is two. waitingFor says what an open task waits for now; "" if
// the wait has ended.
func (t *Trace) wait(d Detail, below string, own []trace.Attribute, attempt int, reason string, from, to, notBefore time.Time, waitingFor string) {
	type period struct {
		reason   string
		from, to time.Time
	}
	periods := []period{{reason, from, to}}
	if attempt == 1 && notBefore.After(from) {
		begun := earlier(notBefore, to)
		periods = []period{{waitNotBefore, from, begun}}
		if to.After(begun) {
			periods = append(periods, period{reason, begun, to})
		}
	}
	for i, p := range periods {
		s := trace.Span{ID: trace.SpanID("wait", d.TaskID, strconv.Itoa(attempt), p.reason), Parent: below, Name: "wait", Kind: trace.Internal, Start: p.from, End: p.to,
			Attributes: append(slices.Clone(own), trace.Attribute{Key: "drover.attempt", Value: attempt}, trace.Attribute{Key: "drover.reason", Value: p.reason})}
		if waitingFor != "" && i == len(periods)-1 {
			s.Attributes = append(s.Attributes, trace.Attribute{Key: "drover.waiting_for", Value: waitingFor}, unfinished)
		}
		t.Spans = append(t.Spans, ordered(s))
	}
}

// Decided says of a labourer's waits for a slot what bound the labourer meanwhile, by its decisions, the oldest first. The reason of such a wait becomes
// the binding that held longest; each change of it is an event with the decision's own sentence. A wait in which nothing was decided stays as it is.
func (t *Trace) Decided(labourer string, decisions []decision.Record) {
	for i := range t.Spans {
		s := &t.Spans[i]
		at := slices.IndexFunc(s.Attributes, func(a trace.Attribute) bool { return a.Key == "drover.reason" })
		if s.Name != "wait" || at < 0 || s.Attributes[at].Value != waitQueued || !slices.Contains(s.Attributes, trace.Attribute{Key: "drover.labourer_id", Value: labourer}) {
			continue
		}
		held, last := map[decision.Binding]time.Duration{}, decision.Binding("")
		for k, r := range decisions {
			from, to := later(r.At, s.Start), s.End
			if k+1 < len(decisions) {
				to = earlier(decisions[k+1].At, s.End)
			}
			if !to.After(from) || !binds(r.Binding) {
				continue
			}
			held[r.Binding] += to.Sub(from)
			if r.Binding != last {
				s.Events = append(s.Events, trace.Event{At: from, Name: string(r.Binding), Attributes: []trace.Attribute{{Key: "drover.decision", Value: r.Reason}}})
				last = r.Binding
			}
		}
		longest := time.Duration(0)
		for _, b := range decision.Bindings {
			if held[b] > longest {
				longest, s.Attributes[at].Value = held[b], string(b)
			}
		}
	}
}

// binds reports whether a binding keeps due tasks from starting.
func binds(b decision.Binding) bool { return b != decision.None && b != decision.NothingDue }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Labourers returns the labourers whose tasks wait for a slot in the trace.
func (t *Trace) Labourers() []string {
	found := map[string]bool{}
	for _, s := range t.Spans {
		if s.Name == "wait" && slices.Contains(s.Attributes, trace.Attribute{Key: "drover.reason", Value: waitQueued}) {
			for _, a := range s.Attributes {
				if id, is := a.Value.(string); is && a.Key == "drover.labourer_id" {
					found[id] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Why says why something is where it is: what it waits for, step by step, to the decisions about the labourers at the end.
type Why struct {
	Kind       string            `json:"kind"` // labourer, job, task or run
	ID         string            `json:"id"`
	Status     any               `json:"status"`      // as elsewhere: of a labourer its health, a number
	WaitingFor string            `json:"waiting_for"` // in words; "" if it waits for nothing
	Next       string            `json:"next"`        // what to do
	Path       []Link            `json:"path"`        // from the thing itself to its labourers
	Chain      []decision.Record `json:"chain"`       // of its labourers now; none if it waits for no labourer

	*decision.Record // of a labourer: its document has the fields of the record too
}

// Link is a step on the way from a thing to what it waits for.
type Link struct {
	Kind       string `json:"kind"` // run, stage, plugin, job, task or labourer
	ID         string `json:"id"`
	Status     string `json:"status"`
	WaitingFor string `json:"waiting_for"`
}

// Whys finds out why.
type Whys struct {
	*Reader
	Runs    Runs
	Command func(words ...string) string // a command of drover, to paste into a shell
}

// Of explains the labourer, job, task or run with an id. Where several have the id, the first of these in this order is meant. A task that left
// the table is looked for in the archive. where narrows that search.
func (w Whys) Of(ctx context.Context, id string, where Search) (Why, error) {
	for _, of := range []func(context.Context, string) (Why, error){w.Labourer, w.Job, w.Task, w.Run} {
		why, err := of(ctx, id)
		if _, missing := errors.AsType[*NotFoundError](err); !missing {
			return why, err
		}
	}
	parsed, err := task.ParseID(id)
	if err != nil {
		return Why{}, &NotFoundError{"labourer, job, task or run", id}
	}
	d, err := w.Archived(ctx, parsed, where)
	if err != nil {
		return Why{}, err
	}
	return w.ofTask(ctx, d)
}

// Labourer explains why no more tasks of a labourer start.
func (w Whys) Labourer(ctx context.Context, id string) (Why, error) {
	if err := w.Known(ctx, id); err != nil {
		return Why{}, err
	}
	b, err := w.Pulse().One(ctx, id)
	if err != nil {
		return Why{}, err
	}
	why := Why{Kind: "labourer", ID: id, Status: b.Status, WaitingFor: b.Reason, Next: w.Advice(b.Record), Record: &b.Record}
	if b.Binding == decision.NothingDue || b.Binding == decision.None {
		why.WaitingFor = ""
		if unread := w.unread(ctx, b); unread != "" { // where slots are lacking, the task that has held one the longest says it
			why.WaitingFor, why.Next = "a worker: "+unread, "start its workers, or fix what keeps them from reading "+b.Configuration.Target.SQS
		}
	}
	return why.with(b), nil
}

// unread says that no worker reads the queue of a labourer with tasks in hand; "" if that is not so, or not known: reading a worker's queue takes a right
// that this view does without.
func (w Whys) unread(ctx context.Context, b Beat) string {
	since := SentSince(b.Leases)
	if b.Configuration.Target.SQS == "" || since.IsZero() {
		return ""
	}
	q, err := w.Queues.Backlog(ctx, b.Configuration.Target.SQS)
	if err != nil {
		return ""
	}
	return q.Unread(b.Configuration, since, w.Now())
}

// with returns the answer with a labourer at its end.
func (y Why) with(labourers ...Beat) Why {
	y.Chain = []decision.Record{}
	for _, b := range labourers {
		y.Path = append(y.Path, Link{"labourer", b.Record.Labourer, string(b.Binding), b.Reason})
		y.Chain = append(y.Chain, b.Record)
	}
	return y
}

// Advice returns what to do about what binds a labourer.
func (w Whys) Advice(r decision.Record) string {
	switch r.Binding {
	case decision.Paused:
		return "to start its tasks: " + w.Command("resume", r.Labourer)
	case decision.Target:
		return "repair the target, or apply the labourer with another one; to examine it: " + w.Command("doctor")
	case decision.Health:
		if m := metricOf(r); m != nil && m.Value != nil && m.Threshold != nil {
			return fmt.Sprintf("relieve what %s measures: at %s %g more tasks may run; or apply other feelings or coefficients", m.Name, m.Operator, *m.Threshold)
		}
		return "mend what its metric measures, or the metric: " + w.Command("doctor")
	case decision.Cap:
		text := "raise max_simultaneous_invocations: " + w.Command("apply", "-f", "FILE")
		if r.Evidence != nil && len(r.Evidence.Holders) > 0 {
			text = "wait until a slot is free (the longest: " + w.Command("task", r.Evidence.Holders[0].Task) + "), or " + text
		}
		return text
	case decision.Busy:
		return "ask again in a moment"
	case decision.None:
		if r.OldestDue != nil && r.At.Sub(*r.OldestDue) > Grace {
			return "nothing holds them back, and they do not start; to find out why: " + w.Command("doctor")
		}
	case decision.NothingDue:
	}
	return "nothing"
}

func metricOf(r decision.Record) *decision.Metric {
	if r.Evidence == nil {
		return nil
	}
	return r.Evidence.Metric
}

// Task explains where a task of the table is, and what it waits for.
func (w Whys) Task(ctx context.Context, id string) (Why, error) {
	parsed, err := task.ParseID(id)
	if err != nil {
		return Why{}, &NotFoundError{"task", id}
	}
	d, found, err := w.Reader.Task(ctx, parsed)
	if err != nil {
		return Why{}, err
	}
	if !found {
		return Why{}, &NotFoundError{"task", id}
	}
	return w.ofTask(ctx, d)
}

func (w Whys) ofTask(ctx context.Context, d Detail) (Why, error) {
	why := Why{Kind: "task", ID: d.TaskID, Status: string(d.Status), WaitingFor: d.WaitingFor, Next: "nothing", Chain: []decision.Record{},
		Path: []Link{{"task", d.TaskID, string(d.Status), d.WaitingFor}}}
	switch {
	case d.Status == Dead && d.Archived:
		why.Next = "its time to be replayed is over; submit its job again under another id"
	case d.Status == Dead:
		why.Next = "mend the cause, then: " + w.Command("replay", d.TaskID)
	}
	if d.Status.Ended() {
		return why, nil
	}
	b, err := w.Pulse().One(ctx, d.Labourer)
	if _, missing := errors.AsType[*NotFoundError](err); missing {
		why.Next = fmt.Sprintf("apply labourer %s again: %s", d.Labourer, w.Command("apply", "-f", "FILE"))
		return why, nil
	}
	if err != nil {
		return Why{}, err
	}
	if d.Status == Queued {
		why.Next = w.Advice(b.Record)
	}
	return why.with(b), nil
}

// Job explains what a job waits for.
func (w Whys) Job(ctx context.Context, id string) (Why, error) {
	line, err := w.Reader.Job(ctx, id)
	if err != nil {
		return Why{}, err
	}
	why := Why{Kind: "job", ID: id, Status: string(line.State), Next: "nothing", Chain: []decision.Record{}}
	end := func(waiting, next string) Why {
		if why.WaitingFor = waiting; next != "" {
			why.Next = next
		}
		why.Path = []Link{{"job", id, string(line.State), waiting}}
		return why
	}
	switch {
	case line.Error != nil:
		return end("", fmt.Sprintf("mend %s (%s) and submit it again: %s", line.Error.Field, line.Error.Reason, w.Command("submit", "FILE"))), nil
	case line.Finished() && line.Dead > 0:
		return end("", fmt.Sprintf("%s dead; to see why: %s; to try again: %s", tasksAre(line.Dead), w.Command("dead", "--job", id), w.Command("replay", "--job", id))), nil
	case line.Finished():
		return end("", ""), nil
	}
	record, found, err := w.Jobs.Get(ctx, id)
	if err != nil || !found {
		return end("", ""), err
	}
	places, b, err := w.places(ctx, record)
	if _, missing := errors.AsType[*NotFoundError](err); missing {
		return end("its labourer, which is not applied", fmt.Sprintf("apply labourer %s again: %s", line.Labourer, w.Command("apply", "-f", "FILE"))), nil
	}
	if err != nil {
		return Why{}, err
	}
	var waits []string
	next := w.Advice(b.Record)
	if line.State == ledger.Scheduling {
		waits = append(waits, fmt.Sprintf("its tasks are being created: %d of %d segments exist", record.Cursor, record.Segments()))
		if record.SubmittedAt.Before(w.Now().Add(-Late)) && record.OwnedUntil.Before(w.Now().Add(-Late)) {
			waits[0] = fmt.Sprintf("no scheduler creates its tasks any more: %d of %d segments exist", record.Cursor, record.Segments())
			next = "to go on: " + w.Command("redrive", "--job", id)
		}
	}
	if line.Cancelling {
		waits, next = append(waits, "it is being cancelled: what runs may end"), "nothing"
	}
	why = end(strings.Join(append(waits, places.words(b.Reason)...), "; "), next)
	if places.due == 0 && places.inLease == 0 && next == w.Advice(b.Record) { // its tasks run, or their time has not come
		why.Next = "nothing"
	}
	return why.with(b), nil
}

// whereabouts counts where the open tasks of a job are.
type whereabouts struct {
	running, inLease, due, later int
	soonest                      time.Time // of those whose time has not come
	longest                      time.Time // since when the longest one runs
}

// words says what the tasks wait for. bound says what binds the labourer.
func (p whereabouts) words(bound string) []string {
	var out []string
	if p.due+p.inLease > 0 {
		text := fmt.Sprintf("%s due: %s", tasksAre(p.due+p.inLease), bound)
		if p.due == 0 {
			text = fmt.Sprintf("%s granted and %s for a slot: %s", tasksAre(p.inLease), Plural(p.inLease, "waits", "wait"), bound)
		}
		out = append(out, text)
	}
	if p.running > 0 {
		text := tasksAre(p.running) + " running"
		if !p.longest.IsZero() {
			text += ", the longest since " + p.longest.UTC().Format(time.RFC3339)
		}
		out = append(out, text)
	}
	if p.later > 0 {
		out = append(out, fmt.Sprintf("%s until %s", Count(p.later, "task")+Plural(p.later, " waits", " wait, the first"), p.soonest.UTC().Format(time.RFC3339)))
	}
	return out
}

// tasksAre returns "1 task is" or "2 tasks are".
func tasksAre(n int) string { return Count(n, "task") + " " + Plural(n, "is", "are") }

// places finds the open tasks of a job in its labourer's leases and queue, and returns the labourer too. It reads no task.
func (w Whys) places(ctx context.Context, j ledger.Job) (whereabouts, Beat, error) {
	var out whereabouts
	b, err := w.Pulse().One(ctx, j.Labourer)
	if err != nil {
		return out, b, err
	}
	mine := map[segment.ID]segment.Numbers{}
	for _, p := range published(j) {
		mine[p.segment] = p.numbers
	}
	now := w.Now()
	for _, l := range b.Leases {
		numbers, ours := mine[l.Segment]
		if !ours || l.Unreadable != nil {
			continue
		}
		out.inLease += l.Waiting.Intersect(numbers).Len()
		for n, again := range l.Retries {
			if numbers.Contains(n) {
				out.wait(1, again.Due, now)
			}
		}
		for n, h := range l.Hands {
			if !numbers.Contains(n) {
				continue
			}
			if out.running++; h.By != queue.Undispatched && (out.longest.IsZero() || h.Since.Before(out.longest)) {
				out.longest = h.Since
			}
		}
	}
	for _, e := range b.Entries {
		if n := e.Tasks.Intersect(mine[e.Segment]).Len(); n > 0 {
			out.wait(n, e.Due, now)
		}
	}
	return out, b, nil
}

// wait adds n tasks that wait for a time, or for a slot if it has come.
func (p *whereabouts) wait(n int, due, now time.Time) {
	if !due.After(now) {
		p.due += n
		return
	}
	if p.later += n; p.soonest.IsZero() || due.Before(p.soonest) {
		p.soonest = due
	}
}

// pluginsExplained limits the plugins of a stage that Run explains one by one.
const pluginsExplained = 5

// Run explains what a run waits for: its stage, the plugins' tasks there, and their labourers.
func (w Whys) Run(ctx context.Context, id string) (Why, error) {
	if w.Runs.Store == nil {
		return Why{}, &NotFoundError{"run", id}
	}
	tree, _, _, err := w.Runs.Tree(ctx, id)
	if err != nil {
		return Why{}, err
	}
	why := Why{Kind: "run", ID: id, Status: string(tree.State), Next: "nothing", Chain: []decision.Record{}}
	end := func(waiting, next string) Why {
		why.WaitingFor, why.Next = waiting, next
		why.Path = append([]Link{{"run", id, string(tree.State), waiting}}, why.Path...)
		return why
	}
	switch {
	case tree.State.Good():
		return end("", "nothing"), nil
	case tree.State.Final():
		return end("", "mend the cause, then start it again: "+w.Command("workflow", "start", tree.Workflow, "--uid", tree.UID)), nil
	case tree.DefinitionVersion == 0:
		return end("its turn: another run of its uid is active", "to see it: "+w.Command("workflow", "runs", "--workflow", tree.Workflow, "--uid", tree.UID)), nil
	}
	f := pursuit{Whys: w, next: "nothing"}
	for _, a := range tree.Activities {
		for n, s := range []RunStage{a.Pre, a.Parallel, a.Post} {
			if s.State != flow.InProgress && s.State != flow.MandatoryCompleted {
				continue
			}
			if err := f.stage(ctx, a.Activity+"/"+[...]string{"pre", "parallel", "post"}[n], s); err != nil {
				return Why{}, err
			}
		}
	}
	if tree.State == flow.Paused {
		f.waits, f.next = append([]string{"it is paused: nothing further of it begins"}, f.waits...), "to go on: "+w.Command("workflow", "resume", id)
	}
	if len(f.waits) == 0 {
		f.waits = []string{"its next stage"}
	}
	why.Path = f.path
	return end(strings.Join(f.waits, "; "), f.next).with(f.labourers...), nil
}

// pursuit follows a run to what it waits for.
type pursuit struct {
	Whys
	path      []Link
	waits     []string
	labourers []Beat
	next      string
}

// stage follows a stage that is under way.
func (f *pursuit) stage(ctx context.Context, name string, s RunStage) error {
	open := s.open()
	f.path = append(f.path, Link{"stage", name, string(s.State), strings.Join(open, ", ")})
	f.waits = append(f.waits, fmt.Sprintf("%s: %s", name, strings.Join(open, ", ")))
	for _, plugin := range open[:min(len(open), pluginsExplained)] {
		if err := f.plugin(ctx, plugin, s.plugin(plugin)); err != nil {
			return err
		}
	}
	return nil
}

// plugin follows a plugin to its task and labourer.
func (f *pursuit) plugin(ctx context.Context, name string, p RunPlugin) error {
	one, err := f.Task(ctx, p.TaskID)
	if _, missing := errors.AsType[*NotFoundError](err); missing {
		f.path = append(f.path, Link{"plugin", name, string(p.State), "its turn"})
		return nil
	}
	if err != nil {
		return err
	}
	f.path = append(f.path, Link{"plugin", name, string(p.State), "task " + p.TaskID}, one.Path[0])
	f.waits = append(f.waits, fmt.Sprintf("%s: %s", name, one.WaitingFor))
	for _, r := range one.Chain {
		if !slices.ContainsFunc(f.labourers, func(b Beat) bool { return b.Record.Labourer == r.Labourer }) {
			f.labourers = append(f.labourers, Beat{Labourer: Labourer{Record: r}})
		}
	}
	if f.next == "nothing" {
		f.next = one.Next
	}
	return nil
}

// open returns the names of the plugins of a stage that have not ended, in order.
func (s RunStage) open() []string {
	var out []string
	for _, group := range []map[string]RunPlugin{s.Mandatory, s.Optional} {
		for name, p := range group {
			if p.State == flow.InProgress || p.State == flow.NotStarted && p.TaskID != "" {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (s RunStage) plugin(name string) RunPlugin {
	if p, found := s.Mandatory[name]; found {
		return p
	}
	return s.Optional[name]
}

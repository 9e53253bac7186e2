package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// memory has everything that the service acts on. It refuses stale writes as the tables do, and interrupts requests.
type memory struct {
	t         testing.TB
	now       time.Time
	versions  map[string][]flow.Composition
	records   map[string]flow.Record
	refused   map[string]flow.Record
	subjects  map[string]workflow.Stored
	retired   map[string]bool
	claims    map[string]workflow.Claim
	waiting   map[string][]string
	stages    map[string]map[flow.Place]flow.Progress
	fatal     map[string]map[flow.Place]segment.Numbers
	details   map[string]map[flow.Place]map[int]flow.Detail
	tasks     map[task.ID]task.Task
	damaged   map[task.ID]bool // tasks of which only a part can be read
	queued    []queue.Entry
	machines  map[string]*execution
	facts     map[string]event.Fact // by id
	order     []string              // ids, as they were first published
	paged     []string
	extended  map[string][]time.Time
	expired   []string             // the runs whose status rows expire
	plans     map[string]flow.Plan // by run and place
	gauged    []string
	tally     metric.Tally
	reported  []metric.Figures
	requests  int
	interrupt func(n int, name string) (before, after error)
	service   *workflow.Service
}

type gauges struct{ *memory }

func (m gauges) Gauged(context.Context) (names []string, err error) {
	return m.gauged, m.request("Gauged", func() error { return nil })
}

func (m gauges) SetGauged(_ context.Context, names []string) error {
	return m.request("SetGauged", func() error { m.gauged = names; return nil })
}

func (m *memory) Expire(_ context.Context, _, _, run string, _ time.Time) error {
	return m.request("Expire", func() error {
		m.expired = append(m.expired, run)
		return nil
	})
}

// execution is an execution of the machine: it goes from answer to answer.
type execution struct {
	arn     string
	input   []byte
	token   string // of the state that waits; "" if the message with it is not read yet, or the execution has ended
	tokens  int
	shows   []string // the states that it was in
	outcome string
	output  flow.View
	pending bool // a message with the token waits in the queue
}

func world(t testing.TB, definitions string, _ ...string) *memory {
	m := &memory{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), versions: map[string][]flow.Composition{}, records: map[string]flow.Record{}, refused: map[string]flow.Record{},
		subjects: map[string]workflow.Stored{}, retired: map[string]bool{}, claims: map[string]workflow.Claim{}, waiting: map[string][]string{},
		stages: map[string]map[flow.Place]flow.Progress{}, fatal: map[string]map[flow.Place]segment.Numbers{}, details: map[string]map[flow.Place]map[int]flow.Detail{},
		tasks: map[task.ID]task.Task{}, plans: map[string]flow.Plan{}, machines: map[string]*execution{}, facts: map[string]event.Fact{},
		extended: map[string][]time.Time{}}
	root, err := document.Parse("f.yaml", []byte(definitions))
	require.NoError(t, err)
	r := &document.Reader{}
	d := flow.Read(r, r.Fields(document.Value{Node: root}, flow.Sections...))
	require.NoError(t, r.Errors.Err())
	for name := range d.Workflows {
		m.apply(d, name)
	}
	m.service = &workflow.Service{Compositions: m, Runs: runs{m}, Claims: claims{m}, Stages: stages{m}, Tasks: tasks{m}, Executions: executions{m}, Bus: m, Pager: m,
		Gauges: gauges{m}, Rows: m, Tally: &m.tally,
		Now: func() time.Time { return m.now }}
	return m
}

func (m *memory) apply(d flow.Definitions, name string) {
	c, _ := flow.Compose(d, name)
	c.Version = len(m.versions[name]) + 1
	m.versions[name] = append(m.versions[name], c)
}

// request lets a request be interrupted: before it has an effect, or after it.
func (m *memory) request(name string, effect func() error) error {
	m.requests++
	var before, after error
	if m.interrupt != nil {
		before, after = m.interrupt(m.requests, name)
	}
	if before != nil {
		return before
	}
	if err := effect(); err != nil {
		return err
	}
	return after
}

func (m *memory) Newest(_ context.Context, name string) (flow.Composition, bool, error) {
	all := m.versions[name]
	if len(all) == 0 {
		return flow.Composition{}, false, nil
	}
	return all[len(all)-1], true, nil
}

func (m *memory) Version(_ context.Context, name string, version int) (flow.Composition, error) {
	return m.versions[name][version-1], nil
}

func (m *memory) Publish(_ context.Context, facts ...event.Fact) error {
	return m.request("Publish", func() error {
		for _, f := range facts {
			text, err := json.Marshal(f.Detail)
			require.NoError(m.t, err)
			var detail struct{ ID string }
			require.NoError(m.t, json.Unmarshal(text, &detail))
			if before, twice := m.facts[detail.ID]; twice && f.Type != "TasksDue" {
				require.Equal(m.t, before, f, "a fact is published again with other contents")
			} else if f.Type != "TasksDue" {
				m.order = append(m.order, detail.ID)
			}
			m.facts[detail.ID] = f
		}
		return nil
	})
}

func (m *memory) Overdue(_ context.Context, r event.Run) error {
	return m.request("Overdue", func() error {
		m.paged = append(m.paged, r.RunID)
		return nil
	})
}

type runs struct{ *memory }

func (m runs) Get(_ context.Context, id string) (r flow.Record, found bool, err error) {
	err = m.request("Get", func() error {
		if r, found = m.records[id]; !found {
			r = m.refused[id]
		}
		return nil
	})
	return r, found, err
}

func (m runs) Refuse(_ context.Context, r flow.Record) error {
	return m.request("Refuse", func() error {
		if _, there := m.records[r.ID]; there {
			return workflow.ErrChanged
		}
		m.refused[r.ID] = flow.Record{Refused: r.Refused, By: r.By}
		return nil
	})
}

func (m runs) Subject(_ context.Context, id string) (s workflow.Stored, err error) {
	err = m.request("Subject", func() error { s = m.subjects[id]; return nil })
	return s, err
}

func key(name, uid string) string { return name + "\x00" + uid }

func (m runs) Create(_ context.Context, r flow.Record, s workflow.Stored, before, after workflow.Claim) error {
	return m.request("Create", func() error {
		if m.refused[r.ID].By != r.By {
			return workflow.ErrChanged
		}
		r.By = ""
		if _, there := m.records[r.ID]; there || m.claims[key(before.Workflow, before.UID)].Revision != before.Revision {
			return workflow.ErrChanged
		}
		r.Revision, after.Revision = 1, before.Revision+1
		m.records[r.ID], m.subjects[r.ID], m.claims[key(before.Workflow, before.UID)] = r, s, after
		if r.Waiting() {
			m.waiting[key(before.Workflow, before.UID)] = append(m.waiting[key(before.Workflow, before.UID)], r.ID)
		}
		return nil
	})
}

func (m runs) Save(_ context.Context, before, after flow.Record) (flow.Record, error) {
	after.Revision = before.Revision + 1
	return after, m.request("Save", func() error {
		if m.records[before.ID].Revision != before.Revision {
			return workflow.ErrChanged
		}
		require.False(m.t, m.records[before.ID].Head.Ended() && after.Head.State != before.Head.State, "an ended run changes its state")
		m.records[before.ID] = after
		return nil
	})
}

func (m runs) Activate(_ context.Context, before, after flow.Record, s workflow.Stored, claim, claimed workflow.Claim) error {
	return m.request("Activate", func() error {
		if m.records[before.ID].Revision != before.Revision || m.claims[key(claim.Workflow, claim.UID)].Revision != claim.Revision {
			return workflow.ErrChanged
		}
		after.Revision, claimed.Revision = before.Revision+1, claim.Revision+1
		m.records[before.ID], m.subjects[before.ID], m.claims[key(claim.Workflow, claim.UID)] = after, s, claimed
		return nil
	})
}

func (m runs) Retire(_ context.Context, r flow.Record) error {
	return m.request("Retire", func() error {
		if m.records[r.ID].Revision != r.Revision {
			return workflow.ErrChanged
		}
		r.Retired, r.Revision = true, r.Revision+1
		m.records[r.ID], m.retired[r.ID] = r, true
		return nil
	})
}

func (m runs) Active(context.Context) ([]string, error) {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(m.records)) {
		if !m.retired[id] {
			out = append(out, id)
		}
	}
	return out, nil
}

type claims struct{ *memory }

func (m claims) Claim(_ context.Context, name, uid string) (c workflow.Claim, err error) {
	err = m.request("Claim", func() error {
		c = m.claims[key(name, uid)]
		c.Workflow, c.UID = name, uid
		return nil
	})
	return c, err
}

func (m claims) Release(_ context.Context, ended flow.Record) (next string, err error) {
	err = m.request("Release", func() error {
		at := key(ended.Workflow, ended.UID)
		c := m.claims[at]
		if c.Active == ended.ID {
			c.Active, c.Revision = "", c.Revision+1
			if line := m.waiting[at]; len(line) > 0 {
				c.Active, m.waiting[at] = line[0], line[1:]
			}
			m.claims[at] = c
		}
		next = c.Active
		return nil
	})
	return next, err
}

func (m claims) Waiting(_ context.Context, name, uid string) ([]string, error) {
	return slices.Clone(m.waiting[key(name, uid)]), nil
}

type stages struct{ *memory }

func (m stages) Progress(_ context.Context, run string, at flow.Place) (p flow.Progress, err error) {
	err = m.request("Progress", func() error { p = m.stages[run][at]; return nil })
	return p, err
}

func (m stages) put(run string, plan flow.Plan, before, after flow.Progress) error {
	if m.stages[run][plan.Place].Revision != before.Revision {
		return workflow.ErrChanged
	}
	if m.stages[run] == nil {
		m.stages[run], m.fatal[run] = map[flow.Place]flow.Progress{}, map[flow.Place]segment.Numbers{}
	}
	after.Revision = before.Revision + 1
	m.stages[run][plan.Place], m.fatal[run][plan.Place] = after, plan.Fatal()
	return nil
}

func (m stages) Publish(_ context.Context, run string, plan flow.Plan, before, after flow.Progress, entries []queue.Entry, grants []queue.Direct) error {
	return m.request("PublishTurns", func() error {
		require.LessOrEqual(m.t, len(entries), 49, "each may become a direct grant of two items")
		require.Empty(m.t, grants)
		if err := m.put(run, plan, before, after); err != nil {
			return err
		}
		m.queued = append(m.queued, entries...)
		return nil
	})
}

func (m stages) GiveUp(_ context.Context, run string, plan flow.Plan, before, after flow.Progress, _ time.Time) error {
	return m.request("GiveUp", func() error { return m.put(run, plan, before, after) })
}

func (m stages) Whole(_ context.Context, run string) (workflow.Whole, bool, error) {
	r, found := m.records[run]
	w := workflow.Whole{Record: r, Stored: m.subjects[run], Progress: maps.Clone(m.stages[run]), Details: map[flow.Place]map[int]flow.Detail{}}
	for at, turns := range m.details[run] {
		w.Details[at] = maps.Clone(turns)
	}
	return w, found, m.request("Whole", func() error { return nil })
}

func (m stages) Extend(_ context.Context, run string, now time.Time) error {
	return m.request("Extend", func() error {
		m.extended[run] = append(m.extended[run], now)
		return nil
	})
}

func (m stages) Detail(_ context.Context, run string, at flow.Place, n int) (flow.Detail, bool, error) {
	d, found := m.details[run][at][n]
	return d, found, m.request("Detail", func() error { return nil })
}

func (m stages) Keep(_ context.Context, run string, details []flow.Detail) error {
	return m.request("Keep", func() error {
		for _, d := range details {
			if m.details[run] == nil {
				m.details[run] = map[flow.Place]map[int]flow.Detail{}
			}
			if m.details[run][d.Place] == nil {
				m.details[run][d.Place] = map[int]flow.Detail{}
			}
			m.details[run][d.Place][d.Number] = d
		}
		return nil
	})
}

func (m stages) Count(_ context.Context, run string, at flow.Place, ends workflow.Ends) (p flow.Progress, fatal segment.Numbers, err error) {
	err = m.request("Count", func() error {
		one, there := m.stages[run][at]
		if !there {
			return workflow.ErrChanged
		}
		one.Completed, one.Dead, one.Revision = one.Completed.Union(ends.Completed), one.Dead.Union(ends.Dead), one.Revision+1
		m.stages[run][at], p, fatal = one, one, m.fatal[run][at]
		return nil
	})
	return p, fatal, err
}

type tasks struct{ *memory }

func (m tasks) Add(_ context.Context, added []task.Task) error {
	return m.request("Add", func() error {
		for _, one := range added {
			if _, there := m.tasks[one.ID]; !there {
				m.tasks[one.ID] = one
			}
		}
		return nil
	})
}

func (m tasks) Range(_ context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error) {
	var out, unreadable []task.Task
	for n := range numbers.All() {
		one := m.tasks[task.ID{Segment: s, N: n}]
		if m.damaged[one.ID] {
			unreadable = append(unreadable, one)
		} else {
			out = append(out, one)
		}
	}
	if len(unreadable) > 0 {
		return out, &task.UnreadableError{Tasks: unreadable, Reason: errors.New("its payload is damaged")}
	}
	return out, m.request("Range", func() error { return nil })
}

func (m tasks) Save(_ context.Context, before, after task.Task) error {
	return m.request("SaveTask", func() error {
		if was := m.tasks[before.ID]; was.Attempt != before.Attempt || was.Status != before.Status {
			return task.ErrStale
		}
		m.tasks[before.ID] = after
		return nil
	})
}

type executions struct{ *memory }

func (m executions) ARN(name string) string { return "arn:execution:" + name }

func (m executions) Start(_ context.Context, arn string, input []byte) error {
	return m.request("StartExecution", func() error {
		if m.machines[arn] == nil {
			m.machines[arn] = &execution{arn: arn, input: input, shows: []string{"Begin"}, pending: true}
		}
		return nil
	})
}

func (m executions) Answer(_ context.Context, token string, output []byte) error {
	return m.request("Answer", func() error {
		for _, x := range m.machines {
			if x.token != token || x.outcome != "" {
				continue
			}
			x.token = ""
			require.NoError(m.t, json.Unmarshal(output, &x.output))
			switch x.output.Next {
			case "pre", "parallel", "post":
				x.shows, x.pending = append(x.shows, x.output.Activity+"/"+x.output.Next), true
			case "complete":
				x.outcome = "SUCCEEDED"
			case "failed":
				require.NotEmpty(m.t, x.output.Message)
				x.outcome = "FAILED: " + string(x.output.State)
			case "rejected":
				x.outcome = "FAILED: WorkflowRejected"
			default:
				m.t.Fatalf("the machine does not know %q", x.output.Next)
			}
		}
		return nil
	})
}

func (m executions) Ended(_ context.Context, arn string) (as flow.State, err error) {
	return as, m.request("DescribeExecution", func() error {
		if x := m.machines[arn]; x != nil {
			as = map[string]flow.State{"ABORTED": flow.Cancelled, "TIMED_OUT": flow.TimedOut}[x.outcome]
			if strings.HasPrefix(x.outcome, "FAILED") {
				as = flow.Error
			}
		}
		return nil
	})
}

// deliver delivers the messages of executions until none is left. Each is delivered again until it is handled, as a queue does.
func (m *memory) deliver() {
	for range 1000 {
		var x *execution
		for _, arn := range slices.Sorted(maps.Keys(m.machines)) {
			if m.machines[arn].pending {
				x = m.machines[arn]
				break
			}
		}
		if x == nil {
			return
		}
		x.tokens++
		x.token, x.pending = fmt.Sprintf("%s#%d", x.arn, x.tokens), false
		token, at, view := x.token, x.shows[len(x.shows)-1], x.output
		m.handled(func() error {
			if at == "Begin" {
				return m.service.Begin(m.t.Context(), x.arn, strings.TrimPrefix(x.arn, "arn:execution:"), token, x.input)
			}
			activity, stage, _ := strings.Cut(at, "/")
			return m.service.Wait(m.t.Context(), view.RunID, x.arn, token, activity, stage)
		})
	}
	m.t.Fatal("the executions never wait")
}

var errInterrupted = errors.New("interrupted")

// handled repeats the handling of a message until it succeeds.
func (m *memory) handled(f func() error) {
	m.t.Helper()
	for range 50 {
		err := f()
		if err == nil {
			return
		}
		require.ErrorIs(m.t, err, errInterrupted)
	}
	m.t.Fatal("a message is never handled")
}

// start starts a run by an event, and returns its id.
func (m *memory) start(id, detail string) string {
	m.handled(func() error {
		return m.service.Start(m.t.Context(), event.Envelope{ID: id, DetailType: event.StartWorkflow, Detail: json.RawMessage(detail)})
	})
	m.deliver()
	return flow.RunID(id)
}

// open returns the open turns of a run, by plugin.
func (m *memory) open(run string) map[string]task.Task {
	out := map[string]task.Task{}
	r := m.records[run]
	if r.Version == 0 {
		return out
	}
	s := m.subject(run)
	for _, e := range m.queued {
		for n := range e.Tasks.All() {
			t := m.tasks[task.ID{Segment: e.Segment, N: n}]
			if t.JobID != run || t.Status.Terminal() {
				continue
			}
			at, err := flow.ParsePlace(t.Turn)
			require.NoError(m.t, err)
			plan, known := m.plans[run+t.Turn]
			if !known {
				plan, err = s.Plan(at)
				require.NoError(m.t, err)
				m.plans[run+t.Turn] = plan
			}
			require.Equal(m.t, plan.Turns[n].Labourer, e.Labourer)
			out[plan.Turns[n].Plugin] = t
		}
	}
	return out
}

func (m *memory) subject(run string) flow.Subject {
	r := m.records[run]
	stored := m.subjects[run]
	return flow.Subject{Composition: m.versions[r.Workflow][r.Version-1], UID: r.UID, Run: r.Run, Metadata: stored.Metadata, From: stored.From, Kept: stored.Kept}
}

// end ends the task of a plugin, and delivers that as the stream does.
func (m *memory) end(run, plugin string, completed bool) {
	m.t.Helper()
	t, open := m.open(run)[plugin]
	require.True(m.t, open, "%s is not under way; %v are", plugin, slices.Sorted(maps.Keys(m.open(run))))
	m.ended(t, plugin, completed)
}

func (m *memory) ended(t task.Task, plugin string, completed bool) {
	e := task.End{Attempt: t.Attempt + 1, Status: task.Completed, DispatchedAt: m.now, At: m.now.Add(time.Second), Result: json.RawMessage(`"` + plugin + `"`)}
	if !completed {
		e.Status, e.Result, e.Error = task.Failed, nil, &task.Error{Type: "Boom", Message: "as asked"}
	}
	t, err := t.Close(e)
	require.NoError(m.t, err)
	if !completed {
		t, err = t.Kill(m.now)
		require.NoError(m.t, err)
	}
	m.tasks[t.ID] = t
	m.handled(func() error {
		return workflow.Recorder{Counter: stages{m}, Waker: m.service}.Record(m.t.Context(), []task.Task{t})
	})
	m.deliver()
}

func (m *memory) tick(later time.Duration) {
	m.now = m.now.Add(later)
	m.handled(func() error { return m.service.Tick(m.t.Context()) })
	m.reported = append(m.reported, m.tally.Take())
	m.deliver()
}

// states returns the states of a run's plugins by activity/plugin.
func (m *memory) states(run string) map[string]flow.State {
	tree, err := m.subject(run).Tree(m.records[run].Head, m.stages[run])
	require.NoError(m.t, err)
	out := map[string]flow.State{}
	for _, a := range tree.Activities {
		for _, s := range a.Stages {
			for _, t := range s.Turns {
				out[a.Activity+"/"+t.Plugin] = t.State
			}
		}
	}
	return out
}

// told returns the types of a run's facts, in the order in which they were first published.
func (m *memory) told(run string) []string {
	var out []string
	for _, id := range m.order {
		kind, rest, _ := strings.Cut(id, "/")
		if of, activity, _ := strings.Cut(rest, "/"); of == run {
			out = append(out, strings.TrimSuffix(kind+" "+activity, " "))
		}
	}
	return out
}

func (m *memory) execution(run string) *execution { return m.machines[m.records[run].Execution] }

func (m *memory) briefing() *workflow.Briefing {
	return &workflow.Briefing{Compositions: m, Reader: stages{m}}
}

package console

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

func (c *Console) labourersDocument(r request) (any, error) {
	q := queryOf(r, "limit", "after")
	limit, after := q.limit(), q.text("after")
	if q.err != nil {
		return nil, q.err
	}
	applied, err := r.stack.Reader.Registry.Labourers(r.Context())
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(applied)), func(id string) bool { return id <= after })
	out := inspect.Window[inspect.Labourer]{Items: []inspect.Labourer{}}
	if len(names) > limit {
		names, out.Next, out.Truncated = names[:limit], names[limit-1], true
	}
	var some []labourer.Labourer
	for _, id := range names {
		some = append(some, applied[id])
	}
	beats, err := r.stack.Reader.Pulse().Some(r.Context(), some)
	for _, b := range beats {
		out.Items = append(out.Items, b.Labourer)
	}
	return out, err
}

func (c *Console) labourerDocument(r request) (any, error) {
	if q := queryOf(r); q.err != nil {
		return nil, q.err
	}
	b, err := r.stack.Reader.Pulse().One(r.Context(), r.PathValue("id"))
	return b.Labourer, err
}

// whyDocument says why no more tasks of a labourer start or, where no labourer has the id, what a job, a task or a run waits for.
func (c *Console) whyDocument(r request) (any, error) {
	if q := queryOf(r); q.err != nil {
		return nil, q.err
	}
	id, w := r.PathValue("id"), r.stack.Why
	for _, of := range []func(context.Context, string) (inspect.Why, error){w.Labourer, w.Job, w.Task, w.Run} {
		why, err := of(r.Context(), id)
		if _, missing := errors.AsType[*inspect.NotFoundError](err); !missing {
			return why, err
		}
	}
	return nil, &inspect.NotFoundError{Kind: "labourer, job, task or run", ID: id}
}

func (c *Console) pause(r request) (any, error)  { return c.setPaused(r, true) }
func (c *Console) resume(r request) (any, error) { return c.setPaused(r, false) }

func (c *Console) setPaused(r request, paused bool) (any, error) {
	id := r.PathValue("id")
	if err := r.stack.Reader.Known(r.Context(), id); err != nil {
		return nil, err
	}
	if err := r.stack.Actions.SetPaused(r.Context(), id, paused); err != nil {
		return nil, err
	}
	c.live.forget(id)
	return struct {
		Labourer string `json:"labourer_id"`
		Paused   bool   `json:"paused"`
	}{id, paused}, nil
}

// labourerData holds what the page of a labourer shows.
type labourerData struct {
	inspect.Beat

	Now     time.Time
	Heed    heed
	Next    string // what to do about what binds it
	Metrics []metricRow
	Hands   []handRow
	HandsOf int // all running tasks
	Line    []lineRow
	LineOf  int // all groups of the line
	Charts  []chart
	NoChart string           // why there are none
	Caps    []adaptive.Noted // the newest changes of the cap, the last one first
	CapsOf  int              // all that are kept
	Log     string           // address of the worker's log in the AWS console
	Jobs    inspect.Window[inspect.Job]
}

// metricRow is a health metric now.
type metricRow struct {
	Name, Status, Value, Reason, Query string
	Counted                            bool
	Age                                time.Duration
}

// handRow is a running task.
type handRow struct {
	Task     string
	Job      string
	Attempt  int
	Since    time.Time
	Until    time.Time // then the attempt counts as lost
	Starting bool
}

// lineRow is a group of tasks that wait.
type lineRow struct {
	Job, First string
	Tasks      int
	Attempt    int
	Due        time.Time
	Granted    bool // in a lease: they wait there for a slot or for their next attempt
}

// listed limits how many running tasks, and how many groups of the line, the page of a labourer lists.
const listed = 50

func (c *Console) labourer(r request) (view, error) {
	id := r.PathValue("id")
	b, err := r.stack.Reader.Pulse().One(r.Context(), id)
	if err != nil {
		return view{}, err
	}
	d := labourerData{Beat: b, Now: r.now, Next: r.stack.Why.Advice(b.Record), Heed: heedOf(&member{beat: b, at: r.now}, r.now), Metrics: metricsOf(b)}
	d.Hands, d.HandsOf = handsOf(b)
	d.Line, d.LineOf = lineOf(b)
	d.Log = r.stack.logOf(b.Configuration.Target)
	drawn := c.labourerCharts(r.Context(), r.stack, b, r.now)
	d.Charts, d.NoChart = drawn.charts, drawn.why
	d.Caps, d.CapsOf = drawn.caps[:min(len(drawn.caps), listed)], len(drawn.caps)
	if d.Jobs, err = r.stack.Reader.JobWindow(r.Context(), inspect.JobSelection{Labourer: id}, "", 10); err != nil {
		return view{}, err
	}
	return view{"labourer", "Labourer " + id, d}, nil
}

func metricsOf(b inspect.Beat) []metricRow {
	var rows []metricRow
	for _, name := range slices.Sorted(maps.Keys(b.Assessment.Metrics)) {
		m := b.Assessment.Metrics[name]
		row := metricRow{Name: name, Status: m.Status.String(), Value: "–", Reason: m.Reason, Counted: m.Counted, Age: m.Age}
		if m.Value != nil {
			row.Value = number(*m.Value)
		}
		q := b.Configuration.HealthMetrics[name].Query
		if row.Query = strings.TrimSpace(q.Namespace + " " + q.MetricName + " " + q.Statistic); q.Expression != "" {
			row.Query = q.Expression
		}
		rows = append(rows, row)
	}
	return rows
}

// handsOf returns the running tasks of a labourer, those that have run longest first.
func handsOf(b inspect.Beat) (rows []handRow, all int) {
	limits := queue.Limits{MaxDuration: b.Configuration.MaxDuration, Cooldown: b.Configuration.Cooldown, Heartbeat: b.Configuration.Heartbeat}
	for _, l := range b.Leases {
		if l.Unreadable != nil {
			continue
		}
		for _, n := range slices.Sorted(maps.Keys(l.Hands)) {
			h := l.Hands[n]
			rows = append(rows, handRow{Task: task.ID{Segment: l.Segment, N: n}.String(), Job: l.Job, Attempt: l.AttemptAt(n), Since: h.Since,
				Until: l.EndOf(n, limits), Starting: h.By == queue.Undispatched})
		}
	}
	slices.SortStableFunc(rows, func(a, b handRow) int { return a.Since.Compare(b.Since) })
	return rows[:min(len(rows), listed)], len(rows)
}

// lineOf returns the groups of waiting tasks of a labourer, in their order.
func lineOf(b inspect.Beat) (rows []lineRow, all int) {
	for _, l := range b.Leases {
		for n, again := range l.Retries {
			rows = append(rows, lineRow{l.Job, task.ID{Segment: l.Segment, N: n}.String(), 1, again.Attempt, again.Due, true})
		}
		if l.Unreadable == nil && !l.Waiting.Empty() {
			rows = append(rows, lineRow{l.Job, task.ID{Segment: l.Segment, N: l.Waiting.Min()}.String(), l.Waiting.Len(), l.Attempt, l.Due, true})
		}
	}
	for _, e := range b.Entries {
		if e.Unreadable == nil && !e.Tasks.Empty() {
			rows = append(rows, lineRow{e.Job, task.ID{Segment: e.Segment, N: e.Tasks.Min()}.String(), e.Tasks.Len(), e.Attempt, e.Due, false})
		}
	}
	slices.SortStableFunc(rows, func(a, b lineRow) int { return cmp.Or(a.Due.Compare(b.Due), strings.Compare(a.First, b.First)) })
	return rows[:min(len(rows), listed)], len(rows)
}

// labourerCharts draws a labourer's last three hours.
func (c *Console) labourerCharts(ctx context.Context, st *Stack, b inspect.Beat, now time.Time) drawing {
	return c.charts.of(b.Configuration.ID, func() drawing { return draw(ctx, st, c.live.samplesOf(b.Configuration.ID), b, now) })
}

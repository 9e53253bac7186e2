package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

// namedAtOnce limits how many dead tasks are found by their error: so many fit one command.
const namedAtOnce = 5000

// deadOf reads the window of dead tasks that a query asks for.
func deadOf(r request) (inspect.Window[inspect.Sighting], *query, error) {
	q := queryOf(r, "job", "labourer", "error", "limit", "after")
	limit := q.limit()
	if q.err != nil {
		return inspect.Window[inspect.Sighting]{}, q, q.err
	}
	of := inspect.Selection{Job: q.text("job"), Labourer: q.text("labourer"), Status: inspect.Dead}
	if q.text("error") == "" {
		w, err := r.stack.Reader.TaskWindow(r.Context(), of, q.text("after"), limit)
		return w, q, err
	}
	w, err := ofError(r, of, q.text("error"), q.text("after"), limit)
	return w, q, err
}

// ofError returns a window of the tasks that died of one type of error. It looks at up to five times as many dead tasks.
func ofError(r request, of inspect.Selection, kind, after string, limit int) (inspect.Window[inspect.Sighting], error) {
	out := inspect.Window[inspect.Sighting]{Items: []inspect.Sighting{}, Next: after}
	for range 5 {
		w, err := r.stack.Reader.TaskWindow(r.Context(), of, out.Next, limit)
		if err != nil {
			return out, err
		}
		out.Next, out.Truncated = w.Next, w.Truncated
		for i, s := range w.Items {
			if is, _ := errorOf(s); is != kind {
				continue
			}
			out.Items = append(out.Items, s)
			if len(out.Items) == limit && (i < len(w.Items)-1 || w.Truncated) {
				out.Next, out.Truncated = "task:"+s.Task.ID.String(), true
				return out, nil
			}
		}
		if !w.Truncated {
			return out, nil
		}
	}
	return out, nil
}

func (c *Console) deadDocument(r request) (any, error) {
	w, _, err := deadOf(r)
	return lines(w), err
}

// deadData holds what the list of dead tasks shows.
type deadData struct {
	inspect.Window[taskRow]

	Job, Labourer, Error, After string
	Groups                      []failureGroup
}

func (c *Console) dead(r request) (view, error) {
	w, q, err := deadOf(r)
	return view{"dead", "Dead tasks", deadData{taskRows(w), q.text("job"), q.text("labourer"), q.text("error"), q.text("after"), failures(w.Items)}}, err
}

// replayOrder says what is to be replayed: named tasks, or the dead of a job or of a labourer, of which Error selects those that died of it.
type replayOrder struct {
	Tasks    []string `json:"tasks"`
	Job      string   `json:"job"`
	JobID    string   `json:"job_id"` // as in ReplayTasks
	Labourer string   `json:"labourer"`
	Error    string   `json:"error"`
	Expect   *int     `json:"expect"` // how many the preview counted; nil: there was none
}

// check reports what is wrong with an order.
func (o *replayOrder) check() error {
	o.Job = cmp.Or(o.Job, o.JobID)
	given := 0
	for _, is := range []bool{len(o.Tasks) > 0, o.Job != "", o.Labourer != ""} {
		given += boolean(is)
	}
	switch {
	case given != 1:
		return &fieldError{"tasks", "want exactly one of tasks, job and labourer"}
	case o.Error != "" && len(o.Tasks) > 0:
		return &fieldError{"error", "it goes with job or labourer, not with tasks"}
	case len(o.Tasks) > namedAtOnce:
		return &fieldError{"tasks", fmt.Sprintf("%d are named; want at most %d", len(o.Tasks), namedAtOnce)}
	}
	return nil
}

// count returns how many tasks an order replays and, where the command has to name them, their names.
func (o *replayOrder) count(r request) (n int, names []string, err error) {
	reader := r.stack.Reader
	switch {
	case len(o.Tasks) > 0:
		ids := make([]task.ID, len(o.Tasks))
		for i, name := range o.Tasks {
			if ids[i], err = task.ParseID(name); err != nil {
				return 0, nil, &fieldError{"tasks", err.Error()}
			}
		}
		dead, err := reader.DeadNamed(r.Context(), ids)
		return len(dead), o.Tasks, err
	case o.Error == "":
		n, err = reader.CountDead(r.Context(), o.Job, o.Labourer)
		return n, nil, err
	}
	of := inspect.Selection{Job: o.Job, Labourer: o.Labourer, Status: inspect.Dead}
	names = []string{}
	for after := ""; ; {
		w, err := reader.TaskWindow(r.Context(), of, after, inspect.WindowMost)
		if err != nil {
			return 0, nil, err
		}
		for _, s := range w.Items {
			if kind, _ := errorOf(s); kind == o.Error {
				names = append(names, s.Task.ID.String())
			}
		}
		if len(names) > namedAtOnce {
			return 0, nil, &refusal{http.StatusConflict, fmt.Sprintf("more than %d tasks died of %s: choose a job, or replay them all", namedAtOnce, o.Error)}
		}
		if after = w.Next; after == "" {
			return len(names), names, nil
		}
	}
}

// deadCountDocument says how many tasks a replay would revive: the preview of the action.
func (c *Console) deadCountDocument(r request) (any, error) {
	q := queryOf(r, "job", "labourer", "error")
	o := replayOrder{Job: q.text("job"), Labourer: q.text("labourer"), Error: q.text("error")}
	if q.err != nil {
		return nil, q.err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	n, _, err := o.count(r)
	return map[string]int{"dead": n}, err
}

// replay gives dead tasks a new life, as `drover replay` does. It answers when the command is sent; the page that it names follows what happens.
func (c *Console) replay(r request) (any, error) {
	var o replayOrder
	if err := decode(r, &o, "tasks", "job", "job_id", "labourer", "error", "expect"); err != nil {
		return nil, err
	}
	q := queryOf(r, "job", "labourer", "error")
	if q.err != nil {
		return nil, q.err
	}
	o.Job, o.Labourer, o.Error = cmp.Or(o.Job, q.text("job")), cmp.Or(o.Labourer, q.text("labourer")), cmp.Or(o.Error, q.text("error"))
	if err := o.check(); err != nil {
		return nil, err
	}
	n, names, err := o.count(r)
	if err != nil {
		return nil, err
	}
	if o.Expect != nil && *o.Expect != n {
		return nil, &refusal{http.StatusConflict, fmt.Sprintf("%s %s dead now, and not %d: look again before you replay",
			inspect.Count(n, "task"), inspect.Plural(n, "is", "are"), *o.Expect)}
	}
	if n > 0 {
		job, labourer := o.Job, o.Labourer
		if names != nil {
			job, labourer = "", ""
		}
		if err := r.stack.Actions.Replay(r.Context(), names, job, labourer); err != nil {
			return nil, err
		}
	}
	c.live.forget(o.Labourer)
	follow := url.Values{"of": {strconv.Itoa(n)}, "since": {r.now.UTC().Format(time.RFC3339)}}
	for name, value := range map[string]string{"job": o.Job, "labourer": o.Labourer, "error": o.Error} {
		if value != "" {
			follow.Set(name, value)
		}
	}
	if len(o.Tasks) > 0 {
		follow.Set("task", o.Tasks[0])
	}
	return struct {
		Replayed int    `json:"replayed"`
		Follow   string `json:"follow"`
	}{n, "/replays?" + follow.Encode()}, nil
}

// replayData holds what the page that follows a replay shows.
type replayData struct {
	Of, Left, Revived    int
	Since                time.Time
	Job, Labourer, Error string
	Task                 *inspect.Detail // the first one, of named tasks
	Line                 *inspect.Job
}

// replays follows a replay. All that it needs is in its address, so it can be loaded again, kept and shared.
func (c *Console) replays(r request) (view, error) {
	q := queryOf(r, "of", "since", "job", "labourer", "error", "task")
	d := replayData{Job: q.text("job"), Labourer: q.text("labourer"), Error: q.text("error")}
	var err error
	if d.Of, err = strconv.Atoi(q.text("of")); err != nil || d.Of < 0 {
		q.wrong("of", "%.80q is no number", q.text("of"))
	}
	if d.Since, err = time.Parse(time.RFC3339, q.text("since")); err != nil {
		q.wrong("since", "%.80q is no time such as 2026-03-14T05:06:07Z", q.text("since"))
	}
	if q.err != nil {
		return view{}, q.err
	}
	if name := q.text("task"); name != "" {
		id, err := task.ParseID(name)
		if err != nil {
			return view{}, &fieldError{"task", err.Error()}
		}
		one, found, err := r.stack.Reader.Task(r.Context(), id)
		if err != nil {
			return view{}, err
		}
		if found {
			d.Task = &one
		}
		return view{"replays", "Replay", d}, nil
	}
	o := replayOrder{Job: d.Job, Labourer: d.Labourer, Error: d.Error}
	if err := o.check(); err != nil {
		return view{}, err
	}
	if d.Left, _, err = o.count(r); err != nil {
		return view{}, err
	}
	d.Revived = max(d.Of-d.Left, 0)
	if d.Job != "" {
		line, err := r.stack.Reader.Job(r.Context(), d.Job)
		if err != nil {
			return view{}, err
		}
		d.Line = &line
	}
	return view{"replays", "Replay", d}, nil
}

package console

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/inspect"
)

// states are the states of jobs.
var states = []string{string(ledger.Scheduling), string(ledger.Scheduled), string(ledger.Completed), string(ledger.Rejected), string(ledger.Cancelled)}

// jobsOf reads the window of jobs that a query asks for.
func jobsOf(r request) (inspect.Window[inspect.Job], *query, error) {
	q := queryOf(r, "labourer", "state", "limit", "after")
	of := inspect.JobSelection{Labourer: q.text("labourer"), State: ledger.State(q.word("state", states...))}
	limit := q.limit()
	if q.err != nil {
		return inspect.Window[inspect.Job]{}, q, q.err
	}
	if of.Labourer != "" {
		if err := r.stack.Reader.Known(r.Context(), of.Labourer); err != nil {
			return inspect.Window[inspect.Job]{}, q, err
		}
	}
	w, err := r.stack.Reader.JobWindow(r.Context(), of, q.text("after"), limit)
	return w, q, err
}

func (c *Console) jobsDocument(r request) (any, error) {
	w, _, err := jobsOf(r)
	return w, err
}

func (c *Console) jobDocument(r request) (any, error) {
	if q := queryOf(r); q.err != nil {
		return nil, q.err
	}
	return r.stack.Reader.Job(r.Context(), r.PathValue("id"))
}

// jobsData holds what the list of jobs shows.
type jobsData struct {
	inspect.Window[inspect.Job]

	Labourer, State, After string
	States                 []string
}

func (c *Console) jobs(r request) (view, error) {
	w, q, err := jobsOf(r)
	return view{"jobs", "Jobs", jobsData{w, q.text("labourer"), q.text("state"), q.text("after"), states}}, err
}

// cancel cancels a job, as `drover cancel` does.
func (c *Console) cancel(r request) (any, error) {
	id := r.PathValue("id")
	j, found, err := r.stack.Reader.Jobs.Get(r.Context(), id)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, inspect.NoJob(id)
	case j.State == ledger.Completed || j.State == ledger.Rejected:
		return nil, &refusal{http.StatusConflict, "job " + id + " is already " + string(j.State) + ", so there is nothing to cancel"}
	}
	if err := r.stack.Actions.Cancel(r.Context(), id); err != nil {
		return nil, err
	}
	c.live.forget(j.Labourer)
	return map[string]string{"job_id": id}, nil
}

// jobData holds what the page of a job shows.
type jobData struct {
	inspect.Job

	Now      time.Time
	Why      *inspect.Why // nil of a job that has ended
	Standing map[inspect.Status]int
	Statuses []inspect.Status
	Status   string
	After    string
	Tasks    inspect.Window[taskRow]
	Rate     float64
	End      time.Time
	Failures []failureGroup
	Sampled  int // dead tasks that were grouped
	Waits    chart
	Works    chart
	Spread   int // tasks in the two charts
}

// taskRow is a task in a list.
type taskRow struct {
	inspect.Task

	ErrorType, ErrorMessage string
}

func taskRows(w inspect.Window[inspect.Sighting]) inspect.Window[taskRow] {
	out := inspect.Window[taskRow]{Items: []taskRow{}, Next: w.Next, Truncated: w.Truncated}
	for _, s := range w.Items {
		row := taskRow{Task: s.Line()}
		if row.Status != inspect.Completed {
			row.ErrorType, row.ErrorMessage = errorOf(s)
		}
		out.Items = append(out.Items, row)
	}
	return out
}

// sampled says how many tasks of a job are looked at for the groups of its failures, and for the times that its tasks took.
const sampled = 200

func (c *Console) job(r request) (view, error) {
	id, ctx, reader := r.PathValue("id"), r.Context(), r.stack.Reader.Once()
	q := queryOf(r, "status", "after", "limit")
	status, limit := q.word("status", statusWords()...), q.limit()
	if q.err != nil {
		return view{}, q.err
	}
	j, err := reader.Job(ctx, id)
	if err != nil {
		return view{}, err
	}
	d := jobData{Job: j, Now: r.now, Statuses: inspect.Statuses, Status: status, After: q.text("after"), Tasks: taskRows(inspect.Window[inspect.Sighting]{})}
	d.Rate, d.End = c.live.rate(j, r.now)
	d.Standing = map[inspect.Status]int{inspect.Completed: j.Completed, inspect.Dead: j.Dead, inspect.Cancelled: j.Cancelled}
	if j.State == ledger.Rejected {
		return view{"job", "Job " + id, d}, nil
	}
	// The parts are read at the same time, and share what they all need.
	parts, ctx := errgroup.WithContext(ctx)
	if !j.Finished() {
		parts.Go(func() error {
			open, err := reader.Standing(ctx, id)
			maps.Copy(d.Standing, open)
			return err
		})
		parts.Go(func() error {
			whys := r.stack.Why
			whys.Reader = reader
			why, err := whys.Job(ctx, id)
			d.Why = &why
			return err
		})
	}
	parts.Go(func() error {
		w, err := reader.TaskWindow(ctx, inspect.Selection{Job: id, Status: inspect.Status(status)}, d.After, limit)
		d.Tasks = taskRows(w)
		return err
	})
	if j.Dead > 0 {
		parts.Go(func() error {
			dead, err := reader.TaskWindow(ctx, inspect.Selection{Job: id, Status: inspect.Dead}, "", sampled)
			d.Failures, d.Sampled = failures(dead.Items), len(dead.Items)
			return err
		})
	}
	if j.Completed > 0 {
		parts.Go(func() error {
			done, err := reader.TaskWindow(ctx, inspect.Selection{Job: id, Status: inspect.Completed}, "", sampled)
			d.Waits, d.Works = spread(done.Items)
			d.Spread = len(done.Items)
			return err
		})
	}
	if err := parts.Wait(); err != nil {
		return view{}, err
	}
	return view{"job", "Job " + id, d}, nil
}

func statusWords() []string {
	var words []string
	for _, s := range inspect.Statuses {
		words = append(words, string(s))
	}
	return words
}

// spread returns how long tasks were in line before their first attempt, and at work in their last one.
func spread(done []inspect.Sighting) (waits, works chart) {
	var line, work []time.Duration
	for _, s := range done {
		attempts := s.Task.Attempts
		if len(attempts) == 0 || attempts[0].DispatchedAt == nil {
			continue
		}
		line = append(line, max(attempts[0].DispatchedAt.Sub(s.Task.CreatedAt), 0))
		if last := attempts[len(attempts)-1]; last.DispatchedAt != nil && last.ClosedAt != nil {
			work = append(work, max(last.ClosedAt.Sub(*last.DispatchedAt), 0))
		}
	}
	slices.Sort(line)
	slices.Sort(work)
	return histogram("Time in line", line), histogram("Time at work", work)
}

// tasksDocument lists the tasks of a job.
func (c *Console) tasksDocument(r request) (any, error) {
	q := queryOf(r, "status", "limit", "after")
	of := inspect.Selection{Job: r.PathValue("id"), Status: inspect.Status(q.word("status", statusWords()...))}
	limit := q.limit()
	if q.err != nil {
		return nil, q.err
	}
	w, err := r.stack.Reader.TaskWindow(r.Context(), of, q.text("after"), limit)
	return lines(w), err
}

// lines returns a window of tasks as documents.
func lines(w inspect.Window[inspect.Sighting]) inspect.Window[inspect.Task] {
	out := inspect.Window[inspect.Task]{Items: []inspect.Task{}, Next: w.Next, Truncated: w.Truncated}
	for _, s := range w.Items {
		out.Items = append(out.Items, s.Line())
	}
	return out
}

// decode reads the body of an action: an object with members of these names, or nothing. Another name, or one in another spelling, is refused: an action must
// not go beyond what was meant.
func decode(r request, into any, names ...string) error {
	text, err := io.ReadAll(r.Body)
	if err != nil || len(text) == 0 {
		return err
	}
	members, err := exact.Members(text)
	for _, m := range members {
		if err == nil && !slices.Contains(names, m.Name) {
			err = fmt.Errorf("%.140q is unknown; want one of %s", m.Name, strings.Join(names, ", "))
		}
	}
	if err == nil {
		err = exact.Decode(text, into)
	}
	if err != nil {
		return &fieldError{"body", "it is not the JSON object that is wanted: " + err.Error()}
	}
	return nil
}

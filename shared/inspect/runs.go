package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// RunStore reads runs.
type RunStore interface {
	workflow.Reader
	List(ctx context.Context, name string, limit int) ([]flow.Record, error)
	Get(ctx context.Context, id string) (flow.Record, bool, error)
	Active(ctx context.Context) ([]string, error)
}

// TurnTasks reads the tasks of turns that have not ended, and the leases that hold them.
type TurnTasks interface {
	Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error)
}

// Runs reads the runs of a stack.
type Runs struct {
	Store        RunStore
	Compositions workflow.Compositions
	Tasks        TurnTasks
	Leases       interface {
		LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
	}
}

// Run is a run's line.
type Run struct {
	RunID             string     `json:"run_id"`
	Workflow          string     `json:"workflow"`
	UID               string     `json:"uid"`
	Run               int        `json:"run"`
	Version           int        `json:"version"`
	DefinitionVersion int        `json:"definition_version"`
	State             flow.State `json:"state"`
	StartedAt         time.Time  `json:"started_at"`
	FinishedAt        *time.Time `json:"finished_at,omitempty"`
}

// RunTree is a run with the states of all its parts.
type RunTree struct {
	Run

	Metadata   json.RawMessage `json:"metadata"`
	Message    string          `json:"message,omitempty"`
	Activities []RunActivity   `json:"activities"`
}

// RunActivity is an activity of a run.
type RunActivity struct {
	Activity string     `json:"activity"`
	State    flow.State `json:"state"`
	Pre      RunStage   `json:"pre"`
	Parallel RunStage   `json:"parallel"`
	Post     RunStage   `json:"post"`
}

// RunStage is a stage of an activity of a run.
type RunStage struct {
	State     flow.State           `json:"state"`
	Mandatory map[string]RunPlugin `json:"mandatory"`
	Optional  map[string]RunPlugin `json:"optional"`
}

// RunPlugin is a plugin in a stage of a run.
type RunPlugin struct {
	State      flow.State      `json:"state"`
	Message    string          `json:"message,omitempty"`
	TaskID     string          `json:"task_id,omitempty"`
	StartedAt  *time.Time      `json:"started_at,omitempty"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
	Attempts   int             `json:"attempts"`
	Result     json.RawMessage `json:"result,omitempty"`
}

func runLine(r flow.Record) Run {
	line := Run{r.ID, r.Workflow, r.UID, r.Run, r.Version, r.Version, r.Head.State, r.Head.StartedAt, nil}
	switch {
	case r.Head.Ended():
		at := r.Head.FinishedAt
		line.FinishedAt = &at
	case r.Head.Paused:
		line.State = flow.Paused
	}
	return line
}

// List returns the runs of these workflows that keep accepts, the newest first. stored is the state apart from Paused.
func (r Runs) List(ctx context.Context, workflows []string, keep func(r Run, stored flow.State) bool) ([]Run, error) {
	var out []Run
	for _, name := range workflows {
		records, err := r.Store.List(ctx, name, 0)
		if err != nil {
			return nil, err
		}
		for _, one := range records {
			if line := runLine(one); keep(line, one.Head.State) {
				out = append(out, line)
			}
		}
	}
	slices.SortStableFunc(out, newestFirst)
	return out, nil
}

// ActiveOf returns the ids of the active runs that the labourer serves: their definition has a plugin of it.
func (r Runs) ActiveOf(ctx context.Context, labourer string) ([]string, error) {
	ids, err := r.Store.Active(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range ids {
		record, found, err := r.Store.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if !found || record.Version == 0 || record.Head.Ended() {
			continue // one that waits begins with the definitions of that time
		}
		c, err := r.Compositions.Version(ctx, record.Workflow, record.Version)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(slices.Collect(maps.Values(c.Plugins)), func(p flow.Plugin) bool { return p.Labourer == labourer }) {
			out = append(out, id)
		}
	}
	return out, nil
}

// Newest returns the newest runs of a workflow, up to limit.
func (r Runs) Newest(ctx context.Context, workflow string, limit int) ([]Run, error) {
	records, err := r.Store.List(ctx, workflow, limit)
	lines := make([]Run, len(records))
	for i, one := range records {
		lines[i] = runLine(one)
	}
	return lines, err
}

// runsSearched limits how many runs of each workflow are looked at for a window.
const runsSearched = 500

// Window returns the next runs of these workflows that keep accepts behind the run that after names, the newest first. It looks at the newest 500 of
// each workflow; the window is truncated where there may be more, also in the last one.
func (r Runs) Window(ctx context.Context, workflows []string, keep func(r Run, stored flow.State) bool, after string, limit int) (Window[Run], error) {
	out := Window[Run]{Items: []Run{}}
	var runs []Run
	for _, name := range workflows {
		records, err := r.Store.List(ctx, name, runsSearched)
		if err != nil {
			return out, err
		}
		out.Truncated = out.Truncated || len(records) == runsSearched
		for _, one := range records {
			if line := runLine(one); keep(line, one.Head.State) || line.RunID == after {
				runs = append(runs, line)
			}
		}
	}
	slices.SortStableFunc(runs, newestFirst)
	if after != "" {
		at := slices.IndexFunc(runs, func(line Run) bool { return line.RunID == after })
		if at < 0 {
			return out, &PlaceError{after}
		}
		runs = runs[at+1:]
	}
	if len(runs) > limit {
		runs, out.Truncated, out.Next = runs[:limit], true, runs[limit-1].RunID
	}
	out.Items = append(out.Items, runs...)
	return out, nil
}

func newestFirst(a, b Run) int {
	return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(a.RunID, b.RunID))
}

// Tree returns a run with the states of all its parts. It reads the run by one query, and the tasks of what is under way.
func (r Runs) Tree(ctx context.Context, id string) (RunTree, flow.Subject, flow.Tree, error) {
	var out RunTree
	whole, found, err := r.Store.Whole(ctx, id)
	if err == nil && !found {
		err = &NotFoundError{"run", id}
	}
	if err != nil {
		return out, flow.Subject{}, flow.Tree{}, err
	}
	record, progress, details := whole.Record, whole.Progress, whole.Details
	out = RunTree{Run: runLine(record), Metadata: whole.Stored.Metadata, Message: record.Head.Message, Activities: []RunActivity{}}
	if len(out.Metadata) == 0 {
		out.Metadata = json.RawMessage("{}")
	}
	if record.Version == 0 { // it has not begun
		return out, flow.Subject{}, flow.Tree{}, nil
	}
	c, err := r.Compositions.Version(ctx, record.Workflow, record.Version)
	if err != nil {
		return out, flow.Subject{}, flow.Tree{}, err
	}
	subject := whole.Subject(c)
	tree, err := subject.Tree(record.Head, progress)
	if err != nil {
		return out, subject, tree, err
	}
	for i, a := range tree.Activities {
		var stages [3]RunStage
		for n, s := range a.Stages {
			stages[n] = RunStage{State: s.State, Mandatory: map[string]RunPlugin{}, Optional: map[string]RunPlugin{}}
			for k, t := range s.Turns {
				p := plugin(t, details[s.Place][t.Number])
				if progress[s.Place].Published.Contains(t.Number) {
					p.TaskID = task.ID{Segment: flow.Segment(id, s.Place), N: t.Number}.String()
				}
				if t.State == flow.InProgress {
					if p, err = r.underWay(ctx, id, s.Place, t, p); err != nil {
						return out, subject, tree, err
					}
					tree.Activities[i].Stages[n].Turns[k].State = p.State
				}
				if t.Mandatory {
					stages[n].Mandatory[t.Plugin] = p
				} else {
					stages[n].Optional[t.Plugin] = p
				}
			}
		}
		out.Activities = append(out.Activities, RunActivity{a.Activity, a.State, stages[0], stages[1], stages[2]})
	}
	return out, subject, tree, nil
}

func plugin(t flow.TurnTree, d flow.Detail) RunPlugin {
	p := RunPlugin{State: t.State, TaskID: d.TaskID, Attempts: d.Attempts, StartedAt: when(d.StartedAt), FinishedAt: when(d.FinishedAt)}
	switch t.State {
	case flow.Complete:
		p.Result = d.Result
	case flow.Error:
		if p.Message = d.Message; p.Message == "" {
			p.Message = "no error was reported"
		}
	case flow.Skipped:
		p.Message = t.Reason
	case flow.TimedOut:
		p.Message = "it was out of time"
	}
	return p
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// underWay adds what is known of a published turn that has not ended. It is In Progress once its task was handed out.
func (r Runs) underWay(ctx context.Context, run string, at flow.Place, t flow.TurnTree, p RunPlugin) (RunPlugin, error) {
	s := flow.Segment(run, at)
	tasks, err := r.Tasks.Range(ctx, s, segment.Of(t.Number))
	if err != nil {
		return p, err
	}
	for _, one := range tasks {
		p.Attempts = one.Attempt
		if len(one.Attempts) > 0 {
			p.StartedAt = one.Attempts[0].DispatchedAt
		}
	}
	leases, err := r.Leases.LeasesOn(ctx, t.Labourer, s)
	if err != nil {
		return p, err
	}
	for _, l := range leases {
		if hand, is := l.Hands[t.Number]; is {
			p.Attempts = max(p.Attempts, l.AttemptAt(t.Number))
			if p.StartedAt == nil {
				p.StartedAt = when(hand.Since)
			}
		}
	}
	if p.Attempts == 0 {
		p.State = flow.NotStarted
	}
	return p, nil
}

package console

import (
	"context"
	"slices"
	"time"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// runStates are the states of runs.
var runStates = []string{string(flow.InProgress), string(flow.Paused), string(flow.Complete), string(flow.OptionalTaskError), string(flow.Error),
	string(flow.TimedOut), string(flow.Cancelled), string(flow.NotStarted)}

// runsOf reads the window of runs that a query asks for.
func runsOf(r request) (w inspect.Window[inspect.Run], names []string, q *query, err error) {
	q = queryOf(r, "workflow", "uid", "state", "limit", "after")
	uid, state, limit := q.text("uid"), q.word("state", runStates...), q.limit()
	if q.err != nil {
		return w, nil, q, q.err
	}
	if names, err = r.stack.Workflows.Names(r.Context()); err != nil {
		return w, nil, q, err
	}
	chosen := names
	if name := q.text("workflow"); name != "" {
		if !slices.Contains(names, name) {
			return w, names, q, &inspect.NotFoundError{Kind: "workflow", ID: name}
		}
		chosen = []string{name}
	}
	w, err = r.stack.Runs.Window(r.Context(), chosen, func(one inspect.Run, stored flow.State) bool {
		return (uid == "" || one.UID == uid) && (state == "" || string(one.State) == state || string(stored) == state)
	}, q.text("after"), limit)
	return w, names, q, err
}

func (c *Console) runsDocument(r request) (any, error) {
	w, _, _, err := runsOf(r)
	return w, err
}

func (c *Console) runDocument(r request) (any, error) {
	if q := queryOf(r); q.err != nil {
		return nil, q.err
	}
	tree, _, _, err := r.stack.Runs.Tree(r.Context(), r.PathValue("id"))
	return tree, err
}

// runsData holds what the list of runs shows.
type runsData struct {
	inspect.Window[inspect.Run]

	Now                         time.Time
	Workflow, UID, State, After string
	Names, States               []string
}

func (c *Console) runs(r request) (view, error) {
	w, names, q, err := runsOf(r)
	return view{"runs", "Runs", runsData{w, r.now, q.text("workflow"), q.text("uid"), q.text("state"), q.text("after"), names, runStates}}, err
}

// runData holds what the page of a run shows.
type runData struct {
	inspect.RunTree

	Now      time.Time
	Why      *inspect.Why // nil of a run that has ended
	Graph    []graphActivity
	Metadata viewer
	Explain  []flow.Explanation
	Results  []namedViewer
}

// namedViewer is a plugin's result.
type namedViewer struct {
	Name string
	viewer
}

func (c *Console) run(r request) (view, error) {
	id := r.PathValue("id")
	tree, subject, parts, err := r.stack.Runs.Tree(r.Context(), id)
	if err != nil {
		return view{}, err
	}
	d := runData{RunTree: tree, Now: r.now, Graph: graphOf(parts, &tree), Metadata: viewerOf("metadata", tree.Metadata)}
	if !tree.State.Final() {
		why, err := r.stack.Why.Run(r.Context(), id)
		if err != nil {
			return view{}, err
		}
		d.Why = &why
	}
	if len(subject.Composition.Workflow.Activities) > 0 {
		if d.Explain, err = subject.Explain(); err != nil {
			return view{}, err
		}
	}
	for _, a := range d.Graph {
		for _, s := range a.Stages {
			for _, t := range s.Turns {
				if len(raw(t.Result)) > 0 {
					name := a.Activity + "-" + s.Name + "-" + t.Plugin
					d.Results = append(d.Results, namedViewer{a.Activity + " / " + s.Name + " / " + t.Plugin, viewerOf(name, t.Result)})
				}
			}
		}
	}
	return view{"run", "Run " + id, d}, nil
}

// graphActivity is an activity in the graph of a workflow or of a run.
type graphActivity struct {
	Activity string
	State    string // "": it is not of a run
	Stages   []graphStage
}

type graphStage struct {
	Name     string
	State    string
	Parallel bool
	Turns    []graphTurn
}

type graphTurn struct {
	inspect.RunPlugin

	Plugin, Labourer string
	Mandatory        bool
	Shown            string // the state; "": it is not of a run
}

// graphOf returns the graph of a workflow or, where a run is given, of that.
func graphOf(tree flow.Tree, run *inspect.RunTree) []graphActivity {
	var out []graphActivity
	for i, a := range tree.Activities {
		activity := graphActivity{Activity: a.Activity}
		if run != nil {
			activity.State = string(a.State)
		}
		for _, s := range a.Stages {
			if len(s.Turns) == 0 {
				continue
			}
			stage := graphStage{Name: s.Stage.String(), Parallel: !s.Stage.Sequential()}
			if run != nil {
				stage.State = string(s.State)
			}
			for _, t := range s.Turns {
				turn := graphTurn{Plugin: t.Plugin, Labourer: t.Labourer, Mandatory: t.Mandatory}
				if run != nil {
					turn.RunPlugin = pluginOf(run.Activities[i], s.Stage, t)
					turn.Shown = string(turn.RunPlugin.State)
				}
				stage.Turns = append(stage.Turns, turn)
			}
			activity.Stages = append(activity.Stages, stage)
		}
		out = append(out, activity)
	}
	return out
}

func pluginOf(a inspect.RunActivity, stage flow.Stage, t flow.TurnTree) inspect.RunPlugin {
	of := map[flow.Stage]inspect.RunStage{flow.Pre: a.Pre, flow.Parallel: a.Parallel, flow.Post: a.Post}[stage]
	if t.Mandatory {
		return of.Mandatory[t.Plugin]
	}
	return of.Optional[t.Plugin]
}

// changeRun cancels, pauses or resumes a run, as the command of this name does.
func (c *Console) changeRun(verb string) func(request) (any, error) {
	return func(r request) (any, error) {
		id := r.PathValue("id")
		if _, found, err := r.stack.Runs.Store.Get(r.Context(), id); err != nil || !found {
			if err == nil {
				err = &inspect.NotFoundError{Kind: "run", ID: id}
			}
			return nil, err
		}
		// What was begun is carried through, also if the browser goes.
		state, err := r.stack.Actions.ChangeRun(context.WithoutCancel(r.Context()), id, verb)
		c.live.forget("")
		return map[string]string{"run_id": id, "state": string(state)}, err
	}
}

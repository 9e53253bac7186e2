package console

import (
	"slices"
	"time"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// workflowRow is a workflow in the list.
type workflowRow struct {
	Name, Description string
	Activities        []string
	Version           int
	Last              *inspect.Run
}

// workflowsShown limits how many workflows the list shows.
const workflowsShown = 100

type workflowsData struct {
	Items []workflowRow
	All   int
	Now   time.Time
}

func (c *Console) workflows(r request) (view, error) {
	names, err := r.stack.Workflows.Names(r.Context())
	if err != nil {
		return view{}, err
	}
	d := workflowsData{All: len(names), Now: r.now}
	slices.Sort(names)
	for _, name := range names[:min(len(names), workflowsShown)] {
		one, found, err := r.stack.Workflows.Newest(r.Context(), name)
		if err != nil {
			return view{}, err
		}
		row := workflowRow{Name: name}
		if found {
			row.Description, row.Activities, row.Version = one.Workflow.Description, one.Workflow.Activities, one.Version
		}
		last, err := r.stack.Runs.Newest(r.Context(), name, 1)
		if err != nil {
			return view{}, err
		}
		if len(last) > 0 {
			row.Last = &last[0]
		}
		d.Items = append(d.Items, row)
	}
	return view{"workflows", "Workflows", d}, nil
}

// workflowData holds what the page of a workflow shows.
type workflowData struct {
	flow.Composition

	Name    string
	Now     time.Time
	Graph   []graphActivity
	Runs    inspect.Window[inspect.Run]
	Schema  viewer
	Explain []flow.Explanation
}

// runsBelow says how many runs the page of a workflow lists.
const runsBelow = 20

func (c *Console) workflow(r request) (view, error) {
	name := r.PathValue("id")
	one, found, err := r.stack.Workflows.Newest(r.Context(), name)
	if err == nil && !found {
		err = &inspect.NotFoundError{Kind: "workflow", ID: name}
	}
	if err != nil {
		return view{}, err
	}
	subject := flow.Subject{Composition: one, Run: 1, Metadata: []byte("{}")}
	tree, err := subject.Tree(flow.Head{State: flow.NotStarted}, nil)
	if err != nil {
		return view{}, err
	}
	d := workflowData{Composition: one, Name: name, Now: r.now, Graph: graphOf(tree, nil), Schema: viewerOf("schema", one.Workflow.MetadataSchema)}
	if d.Explain, err = subject.Explain(); err != nil {
		return view{}, err
	}
	d.Runs.Items, err = r.stack.Runs.Newest(r.Context(), name, runsBelow+1)
	if len(d.Runs.Items) > runsBelow {
		d.Runs.Items, d.Runs.Truncated = d.Runs.Items[:runsBelow], true
	}
	return view{"workflow", "Workflow " + name, d}, err
}

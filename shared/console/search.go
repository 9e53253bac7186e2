package console

import (
	"net/url"
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/task"
)

// found is a page that a search found.
type found struct{ Kind, ID, Address string }

// searchData holds what a search shows where it does not lead to one page.
type searchData struct {
	Query string
	Found []found
}

// search leads to the page of an id: of a labourer, a job, a task, a run or a workflow.
func (c *Console) search(r request) (view, error) {
	q := queryOf(r, "q")
	text := strings.TrimSpace(q.text("q"))
	if q.err != nil || text == "" {
		return view{"search", "Search", searchData{}}, q.err
	}
	d := searchData{Query: text}
	add := func(is bool, kind string) {
		if is {
			d.Found = append(d.Found, found{kind, text, "/" + kind + "s/" + url.PathEscape(text)})
		}
	}
	ctx, reader := r.Context(), r.stack.Reader
	labourer, err := reader.Registry.Has(ctx, text)
	if err != nil {
		return view{}, err
	}
	add(labourer, "labourer")
	_, job, err := reader.Jobs.Get(ctx, text)
	if err != nil {
		return view{}, err
	}
	add(job, "job")
	_, err = task.ParseID(text)
	add(err == nil, "task") // its page looks in the archive too
	_, run, err := r.stack.Runs.Store.Get(ctx, text)
	if err != nil {
		return view{}, err
	}
	add(run, "run")
	workflows, err := r.stack.Workflows.Names(ctx)
	if err != nil {
		return view{}, err
	}
	add(slices.Contains(workflows, text), "workflow")
	if len(d.Found) == 1 {
		return view{}, &moved{d.Found[0].Address}
	}
	if len(d.Found) == 0 {
		err = c.similar(r, &d)
	}
	return view{"search", "Search", d}, err
}

// similar adds labourers and workflows whose names contain what was searched.
func (c *Console) similar(r request, d *searchData) error {
	labourers, _, err := r.stack.Reader.Registry.Names(r.Context())
	if err != nil {
		return err
	}
	for _, id := range labourers {
		if strings.Contains(strings.ToLower(id), strings.ToLower(d.Query)) && len(d.Found) < listed {
			d.Found = append(d.Found, found{"labourer", id, "/labourers/" + url.PathEscape(id)})
		}
	}
	return nil
}

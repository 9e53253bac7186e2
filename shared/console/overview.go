package console

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/inspect"
)

// rowsShown says how many labourers a page of the overview has.
const rowsShown = 50

// overviewData holds what the overview shows.
type overviewData struct {
	At          time.Time
	Rows        []row
	Matching    int // labourers that match the filter
	All         int
	Unread      int // labourers that no turn has read yet
	From        int
	Match       string
	Order       string
	Orders      []string
	Jobs        []jobRow
	Deaths      []failureGroup
	DeathsShown int
	DeathsMore  bool
	Checked     *checked
}

// jobRow is a job under way.
type jobRow struct {
	inspect.Job

	Rate float64 // tasks that end in a second
	End  time.Time
}

func (c *Console) overview(r request) (view, error) {
	q := queryOf(r, "match", "order", "from")
	d := overviewData{Match: q.text("match"), Order: q.word("order", orders...), Orders: orders}
	if from := q.text("from"); from != "" {
		n, err := strconv.Atoi(from)
		if err != nil || n < 0 {
			q.wrong("from", "%.80q is no number", from)
		}
		d.From = n
	}
	if q.err != nil {
		return view{}, q.err
	}
	err := c.live.look(r.Context(), r.stack, func(h *herd, s shot) {
		rows := h.rows(d.Match, d.Order, r.now)
		for _, one := range rows {
			if one.Heed == unknown {
				d.Unread++
			}
		}
		d.At, d.All, d.Matching = s.at, len(h.members), len(rows)
		d.From = min(d.From, len(rows))
		d.Rows = rows[d.From:min(d.From+rowsShown, len(rows))]
		for _, j := range s.jobs {
			rate, end := rateOf(c.live.pace[j.JobID], j, r.now)
			d.Jobs = append(d.Jobs, jobRow{j, rate, end})
		}
		d.Deaths, d.DeathsShown, d.DeathsMore = failures(s.deaths.Items), len(s.deaths.Items), s.deaths.Truncated
	})
	c.mu.Lock()
	d.Checked = c.checked
	c.mu.Unlock()
	if d.Order == "" {
		d.Order = orders[0]
	}
	return view{"overview", "Overview", d}, err
}

// NextFrom returns where the next labourers begin.
func (d overviewData) NextFrom() int { return d.From + len(d.Rows) }

// DeadPage returns the page that lists all dead tasks.
func (d overviewData) DeadPage() *url.URL { return &url.URL{Path: "/dead"} }

// failureGroup holds the tasks that died of one type of error.
type failureGroup struct {
	Type    string
	Count   int
	Last    time.Time
	Message string // of the last one
	TaskID  string // the last one
	Jobs    []string
}

// failures groups dead tasks by the type of their last error, the largest group first.
func failures(dead []inspect.Sighting) []failureGroup {
	groups := map[string]*failureGroup{}
	for _, s := range dead {
		kind, message := errorOf(s)
		g := groups[kind]
		if g == nil {
			g = &failureGroup{Type: kind}
			groups[kind] = g
		}
		g.Count++
		if g.TaskID == "" || s.Task.ClosedAt.After(g.Last) {
			g.Last, g.Message, g.TaskID = s.Task.ClosedAt, message, s.Task.ID.String()
		}
		if !slices.Contains(g.Jobs, s.Task.JobID) {
			g.Jobs = append(g.Jobs, s.Task.JobID)
		}
	}
	var out []failureGroup
	for _, kind := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, *groups[kind])
	}
	slices.SortStableFunc(out, func(a, b failureGroup) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

// errorOf returns the type and the message of the error of which a task died.
func errorOf(s inspect.Sighting) (kind, message string) {
	if e := s.Task.LastError(); e != nil {
		return e.Type, e.Message
	}
	return "", ""
}

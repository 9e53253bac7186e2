package sosw

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Inventory holds the rows of a sosw's tables at one time, without payloads.
type Inventory struct {
	At   time.Time
	Rows map[Key]Row
}

// Selection says which labourers a move is about, by their ids. Strangers says that rows of all other labourers are about it too: they are
// quarantined, as the configuration does not have their labourer.
type Selection struct {
	Labourers map[string]Labourer
	Strangers bool
}

// StateOf returns the state of a row, and why it is unreadable if it is. among is false for a row that the move is not about.
func (s Selection) StateOf(r Row, now time.Time) (state State, reason string, among bool) {
	l, known := s.Labourers[r.Key.Labourer]
	state = l.StateOf(r, now)
	switch {
	case !known && !s.Strangers:
		return state, "", false
	case !known && state != Moved && state != Completed && r.Key.Labourer != "":
		return Unreadable, fmt.Sprintf("labourer %.80q is not in the configuration", r.Key.Labourer), true
	}
	return state, r.Problem, true
}

// Movable returns the rows of a labourer that can be moved, in order.
func (s Selection) Movable(i Inventory, labourer string) []Row {
	about := s.Labourers[labourer]
	return s.rows(i, labourer, about.Sort, State.Movable)
}

// Marked returns the rows of a labourer that are moved.
func (s Selection) Marked(i Inventory, labourer string) []Row {
	return s.rows(i, labourer, s.Labourers[labourer].Sort, func(state State) bool { return state == Moved })
}

// Running returns the rows that may still run in sosw.
func (s Selection) Running(i Inventory) []Key {
	var keys []Key
	for k, r := range i.Rows {
		if state, _, among := s.StateOf(r, i.At); among && state == Running {
			keys = append(keys, k)
		}
	}
	return keys
}

func (s Selection) rows(i Inventory, labourer string, order func([]Row, time.Time), which func(State) bool) []Row {
	var out []Row
	for _, r := range i.Rows {
		if r.Key.Labourer != labourer {
			continue
		}
		if state, _, _ := s.StateOf(r, i.At); which(state) {
			out = append(out, r)
		}
	}
	order(out, i.At)
	return out
}

// Counts holds the numbers of a move. Queued and Retry count what was found; each row of the source is one of Moved, Running, Quarantined, Left.
type Counts struct {
	Queued      int `json:"queued"`
	Retry       int `json:"retry"`   // with those whose time in sosw is over
	Running     int `json:"running"` // that may still run in sosw
	Moved       int `json:"moved"`
	Quarantined int `json:"quarantined"`
	Left        int `json:"left"` // in sosw's tables: completed and not archived yet, written meanwhile, or not to be moved now
	Source      int `json:"source"`
}

// Adds reports whether every row of the source is accounted for.
func (c Counts) Adds() bool { return c.Source == c.Moved+c.Running+c.Quarantined+c.Left }

func (c Counts) plus(o Counts) Counts {
	return Counts{c.Queued + o.Queued, c.Retry + o.Retry, c.Running + o.Running, c.Moved + o.Moved, c.Quarantined + o.Quarantined, c.Left + o.Left, c.Source + o.Source}
}

// Quarantined is a row that stays in sosw's tables because it cannot be read.
type Quarantined struct {
	TaskID   string `json:"task_id"`
	Labourer string `json:"labourer_id,omitempty"`
	Table    Table  `json:"table"`
	Reason   string `json:"reason"`
}

// Part is one labourer's part of a report.
type Part struct {
	Labourer string `json:"labourer_id"`
	JobID    string `json:"job_id"`
	Fence    string `json:"fence,omitempty"` // what keeps sosw from starting its tasks, or what would
	Counts
}

// Report says what a move found and did.
type Report struct {
	Labourers int `json:"labourers"`
	Counts
	Parts      []Part        `json:"parts"`
	Quarantine []Quarantined `json:"quarantine"`
	Elsewhere  int           `json:"moved_elsewhere,omitempty"` // rows that another move took meanwhile; they are not in Source
	Ended      int           `json:"ended,omitempty"`           // rows that sosw archived or took itself meanwhile; they are not in Source
	Dead       int           `json:"dead,omitempty"`            // of those moved, tasks whose attempts were used up
	History    *History      `json:"history,omitempty"`
	Unclear    []string      `json:"unaccounted,omitempty"` // tasks that are in none of the tables any more
}

// History says what became of sosw's closed tasks.
type History struct {
	Archived   int           `json:"archived"`
	Unreadable []Quarantined `json:"unreadable"`
}

// Gone returns the ids of tasks that were in the first inventory, were not moved, and are in the last one in neither table.
func Gone(first, last Inventory, moved map[Key]State) []string {
	there := map[string]bool{}
	for k := range last.Rows {
		there[k.TaskID] = true
	}
	var gone []string
	for k := range first.Rows {
		if _, is := moved[k]; !is && !there[k.TaskID] {
			gone = append(gone, k.TaskID)
		}
	}
	slices.Sort(gone)
	return slices.Compact(gone)
}

// Reconcile compares the inventories before and after a move. moved holds what the move published. archived says which of the tasks that are gone
// have ended in sosw.
func (s Selection) Reconcile(first, last Inventory, moved map[Key]State, archived map[string]bool) Report {
	r := Report{Labourers: len(s.Labourers), Quarantine: []Quarantined{}}
	parts := map[string]*Counts{}
	for id := range s.Labourers {
		parts[id] = &Counts{}
	}
	part := func(k Key) *Counts {
		if parts[k.Labourer] == nil {
			parts[k.Labourer] = &Counts{}
		}
		return parts[k.Labourer]
	}
	found := func(k Key, state State) {
		c := part(k)
		c.Source++
		switch {
		case state == Queued:
			c.Queued++
		case state == Retry, state == Expired, state == Scavenging:
			c.Retry++
		}
	}
	for k, was := range moved {
		found(k, was)
		if last.Rows[k].MovedTo == "" {
			r.Unclear = append(r.Unclear, k.TaskID) // its row is sosw's again, or gone
			continue
		}
		part(k).Moved++
	}
	for k, row := range last.Rows {
		state, reason, among := s.StateOf(row, last.At)
		if _, ours := moved[k]; ours || !among {
			continue
		}
		if state == Moved {
			if before, was := first.Rows[k]; was && before.MovedTo == "" {
				r.Elsewhere++
			}
			continue
		}
		found(k, state)
		switch state {
		case Running:
			part(k).Running++
		case Unreadable:
			part(k).Quarantined++
			r.Quarantine = append(r.Quarantine, Quarantined{k.TaskID, k.Labourer, k.Table, reason})
		default:
			part(k).Left++
		}
	}
	for _, id := range Gone(first, last, moved) {
		if archived[id] {
			r.Ended++
		} else {
			r.Unclear = append(r.Unclear, id)
			r.Source++
		}
	}
	slices.Sort(r.Unclear)
	slices.SortFunc(r.Quarantine, func(a, b Quarantined) int {
		return cmp.Or(cmp.Compare(a.Labourer, b.Labourer), cmp.Compare(a.TaskID, b.TaskID), cmp.Compare(a.Table, b.Table))
	})
	for _, id := range slices.Sorted(maps.Keys(parts)) {
		r.Counts = r.Counts.plus(*parts[id])
		r.Parts = append(r.Parts, Part{Labourer: id, Counts: *parts[id]})
	}
	return r
}

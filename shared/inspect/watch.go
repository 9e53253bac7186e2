package inspect

import (
	"context"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
)

// Snapshot is all labourers and jobs at one moment.
type Snapshot struct {
	At        time.Time  `json:"at"`
	Labourers []Labourer `json:"labourers"`
	Jobs      []Job      `json:"jobs"` // the open ones and the last ten, the newest first
}

// Watcher takes snapshots of a stack, again and again.
type Watcher struct {
	reader *Reader
	pulse  *Pulse
	open   []string // jobs that were open in the last snapshot
}

const (
	// searchedForOpen is among how many of the newest jobs a Watcher looks for open ones when it begins.
	searchedForOpen = 1000
	// LastJobs says how many of the newest jobs a snapshot holds, open or not.
	LastJobs = 10
)

// Watch returns a Watcher that knows the open jobs among the newest 1,000.
func (r *Reader) Watch(ctx context.Context) (*Watcher, error) {
	w := &Watcher{reader: r, pulse: r.Pulse()}
	seen := 0
	err := r.EachJob(ctx, func(records []ledger.Job) (bool, error) {
		w.remember(records)
		seen += len(records)
		return seen < searchedForOpen, nil
	})
	return w, err
}

func (w *Watcher) remember(records []ledger.Job) {
	for _, j := range records {
		if !JobOf(j, nil).Finished() {
			w.open = append(w.open, j.ID)
		}
	}
}

// Snapshot takes a snapshot. A job that was open in the last snapshot is in this one too, so that its end is seen.
func (w *Watcher) Snapshot(ctx context.Context) (Snapshot, error) {
	s := Snapshot{At: w.reader.Now().UTC().Truncate(time.Millisecond), Labourers: []Labourer{}, Jobs: []Job{}}
	beats, err := w.pulse.All(ctx)
	if err != nil {
		return s, err
	}
	leased := map[string]Places{}
	for _, b := range beats {
		s.Labourers = append(s.Labourers, b.Labourer)
		leased[b.Configuration.ID] = PlacesOf(b.Leases, nil)
	}
	ids, err := w.last(ctx, s.At)
	if err != nil {
		return s, err
	}
	for _, id := range w.open {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	records, err := w.reader.Jobs.GetAll(ctx, ids)
	if err != nil {
		return s, err
	}
	lines, err := w.reader.lines(ctx, records, exactSegments, leased)
	if err != nil { // the open jobs stay remembered for the next snapshot
		return s, err
	}
	w.open = nil
	w.remember(records)
	slices.SortStableFunc(lines, func(a, b Job) int { return b.SubmittedAt.Compare(a.SubmittedAt) })
	s.Jobs = append(s.Jobs, lines...)
	return s, nil
}

// last returns the last jobs of this month and, where these are few, of the month before.
func (w *Watcher) last(ctx context.Context, now time.Time) ([]string, error) {
	ids, err := w.reader.Jobs.Recent(ctx, now, LastJobs)
	if err != nil || len(ids) == LastJobs {
		return ids, err
	}
	before, err := w.reader.Jobs.Recent(ctx, monthOf(now).AddDate(0, -1, 0), LastJobs-len(ids))
	return append(ids, before...), err
}

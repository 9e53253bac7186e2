package inspect

import (
	"context"
	"math"
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
	s := Snapshot{At: w.reader.Now().UTC().Truncate(time.Millisecond), Labourers: []Labourer{}}
	beats, err := w.pulse.All(ctx)
	if err != nil {
		return s, err
	}
	leased := map[string]Places{}
	for _, b := range beats {
		s.Labourers = append(s.Labourers, b.Labourer)
		leased[b.Configuration.ID] = PlacesOf(b.Leases, nil)
	}
	s.Jobs, err = w.jobs(ctx, s.At, leased, math.MaxInt)
	return s, err
}

// Jobs returns the jobs of a snapshot: the open ones and the last ten, the newest first. Only the lines of the newest open ones, up to exact, count
// single tasks.
func (w *Watcher) Jobs(ctx context.Context, exact int) ([]Job, error) {
	return w.jobs(ctx, w.reader.Now(), nil, exact)
}

// jobs returns the jobs of a snapshot. leased has the leases of labourers that were read just now.
func (w *Watcher) jobs(ctx context.Context, now time.Time, leased map[string]Places, exact int) ([]Job, error) {
	ids, err := w.last(ctx, now)
	if err != nil {
		return nil, err
	}
	for _, id := range w.open {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	records, err := w.reader.Jobs.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(records, func(a, b ledger.Job) int { return b.SubmittedAt.Compare(a.SubmittedAt) })
	most := len(records)
	for i, j := range records {
		if !JobOf(j, nil).Finished() {
			if exact == 0 {
				most = i
				break
			}
			exact--
		}
	}
	lines, err := w.reader.lines(ctx, records[:most], exactSegments, leased)
	if err != nil { // the open jobs stay remembered for the next snapshot
		return nil, err
	}
	for _, j := range records[most:] {
		lines = append(lines, JobOf(j, nil))
	}
	w.open = nil
	w.remember(records)
	return lines, nil
}

// last returns the last jobs of this month and, where these are few, of the month before.
func (w *Watcher) last(ctx context.Context, now time.Time) ([]string, error) {
	ids, err := w.reader.Jobs.Recent(ctx, now, ledger.Mark{}, LastJobs)
	if err != nil || len(ids) == LastJobs {
		return ids, err
	}
	before, err := w.reader.Jobs.Recent(ctx, monthOf(now).AddDate(0, -1, 0), ledger.Mark{}, LastJobs-len(ids))
	return append(ids, before...), err
}

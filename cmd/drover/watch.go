package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/view"
)

func newWatch(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "watch all labourers and jobs, live",
		Long: `Shows all labourers, the jobs that are under way and the last ones that ended, once a second, until it is interrupted. Where AWS does
not answer it says so and tries again; after five minutes it ends with exit code 3.

With --json each line is {"at", "labourers": [...], "jobs": [...]}, with the lines of drover labourers and drover jobs.`,
		Example: `  drover watch
  drover --json watch | jq -c '[.at, .labourers[0].running]'`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			if err = s.watch(c.Context(), st); c.Context().Err() != nil {
				err = nil // to be interrupted is how it ends
			}
			return err
		},
	}
}

// watchTick is how far snapshots are apart.
const watchTick = time.Second

// snap is all labourers and jobs at one moment.
type snap struct {
	At        time.Time       `json:"at"`
	Labourers []view.Labourer `json:"labourers"`
	Jobs      []view.Job      `json:"jobs"`
	beats     []beat
}

func (s *shell) watch(ctx context.Context, st *stack) error {
	w := watcher{stack: st, pulse: newPulse(st, s.now), now: s.now}
	if err := w.begin(ctx); err != nil {
		return err
	}
	patient := s.following("the stack goes on")
	for next := s.now(); ; {
		shot, err := w.look(ctx)
		if err != nil {
			if err := patient.bear(ctx, err); err != nil {
				return err
			}
			continue
		}
		patient.answered()
		if s.json {
			err = s.document(shot)
		} else {
			err = s.draw(st, shot)
		}
		if err != nil {
			return err
		}
		// A look that took longer than a tick is followed by the next one at once, and none is made up for.
		if next = next.Add(watchTick); next.Before(s.now()) {
			next = s.now()
		}
		if err := s.wait(ctx, next.Sub(s.now())); err != nil {
			return err
		}
	}
}

// watcher looks at a stack again and again.
type watcher struct {
	*stack
	pulse *pulse
	now   func() time.Time
	open  []string // jobs that were under way the last time
}

const (
	// watchedBack is among how many of the last jobs those that are under way are looked for when it begins.
	watchedBack = 1000
	// watchedLast is how many of the last jobs are shown whether or not they are under way.
	watchedLast = 10
)

func (w *watcher) begin(ctx context.Context) error {
	seen := 0
	return w.eachJob(ctx, w.now(), func(records []ledger.Job) (bool, error) {
		for _, j := range records {
			w.remember(j)
		}
		seen += len(records)
		return seen < watchedBack, nil
	})
}

func (w *watcher) remember(j ledger.Job) {
	if !view.JobOf(j, nil).Finished() {
		w.open = append(w.open, j.ID)
	}
}

func (w *watcher) look(ctx context.Context) (snap, error) {
	shot := snap{At: w.now().UTC().Truncate(time.Millisecond), Labourers: []view.Labourer{}, Jobs: []view.Job{}}
	var err error
	if shot.beats, err = w.pulse.all(ctx); err != nil {
		return shot, err
	}
	for _, b := range shot.beats {
		shot.Labourers = append(shot.Labourers, b.Labourer)
	}
	ids, err := w.last(ctx, shot.At)
	if err != nil {
		return shot, err
	}
	for _, id := range w.open {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	records, err := w.jobs.GetAll(ctx, ids)
	if err != nil {
		return shot, err
	}
	lines, err := w.lines(ctx, records)
	if err != nil { // what was under way is looked for again
		return shot, err
	}
	w.open = nil
	for _, j := range records {
		w.remember(j)
	}
	slices.SortStableFunc(lines, func(a, b view.Job) int { return b.SubmittedAt.Compare(a.SubmittedAt) })
	shot.Jobs = append(shot.Jobs, lines...)
	return shot, nil
}

// last is the last jobs of this month and, where these are few, of the one before.
func (w *watcher) last(ctx context.Context, now time.Time) ([]string, error) {
	ids, err := w.jobs.Recent(ctx, now, watchedLast)
	if err != nil || len(ids) == watchedLast {
		return ids, err
	}
	before, err := w.jobs.Recent(ctx, monthOf(now).AddDate(0, -1, 0), watchedLast-len(ids))
	return append(ids, before...), err
}

// draw shows a snapshot to people: at a terminal over the one before.
func (s *shell) draw(st *stack, shot snap) error {
	if terminal(s.out) {
		fmt.Fprint(s.out, "\033[H\033[2J")
	}
	fmt.Fprintf(s.out, "stack %s, %s\n\n", st.Name, moment(&shot.At))
	if err := printLabourers(s.out, shot.beats); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	t := newTable(s.out, "JOB", "LABOURER", "STATE", "", "TASKS", "COMPLETED", "DEAD", "CANCELLED", "OPEN", "SUBMITTED")
	for _, j := range shot.Jobs {
		cells := jobCells(j)
		t.row(slices.Concat(cells[:3], []string{bar(j)}, cells[3:9])...)
	}
	if err := t.end(); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	return nil
}

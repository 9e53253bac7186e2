package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/archive"
	"github.com/drover-run/drover/shared/task"
	"github.com/drover-run/drover/shared/view"
)

// search is where in the archive a task is looked for.
type search struct {
	labourer string    // "": every one that is applied
	day      time.Time // zero: the last days
}

const (
	// searchedBeyond is how many days before the table's retention the archive is searched. What is in the table is not looked for here, so a
	// task is found without a hint that ended within these days before.
	searchedBeyond = 60
	// defaultRetention is the stack's parameter RetentionDays where it can not be read.
	defaultRetention = 30
	// mostFiles is how many files are read without a day being named; about a minute.
	mostFiles = 20_000
	// searchers is how many files are read at the same time.
	searchers = 16
)

// archived finds a task in the archive: of several lives the last.
func (s *shell) archived(ctx context.Context, st *stack, id task.ID, where search) (view.Detail, error) {
	labourers, err := st.searched(ctx, where)
	if err != nil {
		return view.Detail{}, err
	}
	days := where.days(s.now(), st.Parameters["RetentionDays"])
	read, told := 0, false
	for _, day := range days {
		files, err := st.filesOf(ctx, labourers, day)
		if err != nil {
			return view.Detail{}, err
		}
		for some := range slices.Chunk(files, mostFiles/20) {
			if read >= mostFiles && where.day.IsZero() {
				return view.Detail{}, fmt.Errorf("task %s is neither in the table nor among the last %d files of the archive; say where with --labourer and --date", id, read)
			}
			record, found, err := st.among(ctx, some, id)
			if err != nil || found {
				return view.Archived(record), err
			}
			read += len(some)
			if !told && read >= mostFiles/20 {
				told = true
				s.say("looking through the archive; --labourer and --date say where to look")
			}
		}
	}
	return view.Detail{}, fmt.Errorf("there is no task %s in this stack, nor in its archive from %s on (--labourer and --date look elsewhere)",
		id, days[len(days)-1].Format(time.DateOnly))
}

func (s *stack) searched(ctx context.Context, where search) ([]string, error) {
	if where.labourer != "" {
		return []string{where.labourer}, nil
	}
	all, err := s.registry.All(ctx, false)
	return slices.Sorted(maps.Keys(all.Labourers)), err
}

// days are those that are searched, the newest first, beginning with the one to come, for clocks differ.
func (w search) days(now time.Time, retention string) []time.Time {
	if !w.day.IsZero() {
		return []time.Time{w.day}
	}
	var days []time.Time
	for back := -1; back <= retentionDays(retention)+searchedBeyond; back++ {
		days = append(days, now.UTC().AddDate(0, 0, -back))
	}
	return days
}

// filesOf lists the files of a day.
func (s *stack) filesOf(ctx context.Context, labourers []string, day time.Time) ([]string, error) {
	lists := make([][]string, len(labourers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(searchers)
	for i, l := range labourers {
		g.Go(func() (err error) {
			lists[i], err = s.archive.List(ctx, archive.Prefix(l, day))
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(lists...), err
}

// among reads files, and is the last life of the task that is in one of them.
func (s *stack) among(ctx context.Context, files []string, id task.ID) (archive.Record, bool, error) {
	hits := make([]*archive.Record, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(searchers)
	for i, key := range files {
		g.Go(func() error {
			body, err := s.archive.Get(ctx, key)
			if err != nil {
				return err
			}
			records, err := archive.Read(body)
			if err != nil {
				return fmt.Errorf("file %s: %w", key, err)
			}
			for _, r := range records {
				if r.TaskID == id.String() && (hits[i] == nil || r.Life > hits[i].Life) {
					hits[i] = &r
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return archive.Record{}, false, err
	}
	var last *archive.Record
	for _, hit := range hits {
		if hit != nil && (last == nil || hit.Life > last.Life) {
			last = hit
		}
	}
	if last == nil {
		return archive.Record{}, false, nil
	}
	return *last, true, nil
}

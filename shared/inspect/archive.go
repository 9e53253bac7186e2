package inspect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/task"
)

// Search says where in the archive to look for a task.
type Search struct {
	Labourer string    // "": every applied labourer
	Day      time.Time // the day (UTC) on which the task ended; zero: the last days
	Long     func()    // called once when the search takes long; nil: not called
}

const (
	// searchedBeyond says how many days beyond the table's retention the archive is searched. A task that is still in the table is not searched
	// for, so a search without a day finds a task that ended within these days before.
	searchedBeyond = 60
	// filesSearched limits how many files a search without a day reads, to about a minute's worth.
	filesSearched = 20_000
	// filesAtOnce says after how many files a search checks whether it has found the task.
	filesAtOnce = filesSearched / 20
)

// Archived finds a task in the archive; of several lives it returns the last.
func (r *Reader) Archived(ctx context.Context, id task.ID, where Search) (Detail, error) {
	labourers, err := r.searched(ctx, where)
	if err != nil {
		return Detail{}, err
	}
	days := where.days(r.Now(), r.RetentionDays)
	read, told := 0, false
	for _, day := range days {
		files, err := r.filesOf(ctx, labourers, day)
		if err != nil {
			return Detail{}, err
		}
		for some := range slices.Chunk(files, filesAtOnce) {
			if read >= filesSearched && where.Day.IsZero() {
				return Detail{}, fmt.Errorf("task %s is neither in the table nor in the last %d files of the archive; name its labourer and the day it ended (--labourer, --date)", id, read)
			}
			record, found, err := r.among(ctx, some, id)
			if err != nil || found {
				return Archived(record), err
			}
			read += len(some)
			if !told && read >= filesAtOnce && where.Long != nil {
				told = true
				where.Long()
			}
		}
	}
	return Detail{}, fmt.Errorf("%w, nor in its archive since %s; to search elsewhere, name its labourer and the day it ended (--labourer, --date)",
		&NotFoundError{"task", id.String()}, days[len(days)-1].Format(time.DateOnly))
}

func (r *Reader) searched(ctx context.Context, where Search) ([]string, error) {
	if where.Labourer != "" {
		return []string{where.Labourer}, nil
	}
	labourers, _, err := r.Registry.Names(ctx)
	return labourers, err
}

// days returns the days to search, the newest first. It begins with tomorrow, because clocks differ.
func (s Search) days(now time.Time, retention int) []time.Time {
	if !s.Day.IsZero() {
		return []time.Time{s.Day}
	}
	var days []time.Time
	for back := -1; back <= retention+searchedBeyond; back++ {
		days = append(days, now.UTC().AddDate(0, 0, -back))
	}
	return days
}

// filesOf lists the files of a day.
func (r *Reader) filesOf(ctx context.Context, labourers []string, day time.Time) ([]string, error) {
	lists := make([][]string, len(labourers))
	err := each(ctx, len(labourers), func(ctx context.Context, i int) (err error) {
		lists[i], err = r.Archive.List(ctx, archive.Prefix(labourers[i], day))
		return err
	})
	return slices.Concat(lists...), err
}

// among reads files and returns the last life of the task that it finds in them.
func (r *Reader) among(ctx context.Context, files []string, id task.ID) (last archive.Record, found bool, err error) {
	read := make([][]archive.Record, len(files))
	if err := each(ctx, len(files), func(ctx context.Context, i int) error {
		body, err := r.Archive.Get(ctx, files[i])
		if err != nil {
			return err
		}
		records, err := archive.Read(body)
		if err != nil {
			return fmt.Errorf("file %s: %w", files[i], err)
		}
		read[i] = slices.DeleteFunc(records, func(r archive.Record) bool { return r.TaskID != id.String() })
		return nil
	}); err != nil {
		return last, false, err
	}
	for _, record := range slices.Concat(read...) {
		if !found || record.Life > last.Life {
			last, found = record, true
		}
	}
	return last, found, nil
}

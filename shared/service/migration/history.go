package migration

import (
	"context"
	"iter"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/core/task"
)

// Ended is sosw's table of closed tasks.
type Ended interface {
	// ClosedTasks reads all rows, each as a task that has ended, or with the reason why it cannot be read.
	ClosedTasks(ctx context.Context) iter.Seq2[Closed, error]
}

// Closed is a closed task of sosw.
type Closed struct {
	Task    task.Task
	Problem string
}

// Archive stores files of records.
type Archive interface {
	Put(ctx context.Context, o archive.Object) error
}

// mostInFile and mostHeld limit the tasks of one archived file, and those that are in memory.
const (
	mostInFile = 1000
	mostHeld   = 50_000
)

// History copies the closed tasks of labourers to the archive, and returns how many, and the rows that cannot be read. The rows stay where they
// are. Copying an unchanged table again writes the same files.
func (s Service) History(ctx context.Context, from Ended, to Archive, about sosw.Selection) (copied int, unreadable []sosw.Quarantined, err error) {
	type place struct{ labourer, day string }
	groups, held := map[place][]task.Task{}, 0
	var order []place
	flush := func(p place) error {
		objects, err := archive.Objects(groups[p])
		if err != nil {
			return err
		}
		for _, o := range objects {
			if err := to.Put(ctx, o); err != nil {
				return err
			}
		}
		held, copied = held-len(groups[p]), copied+len(groups[p])
		groups[p] = nil
		return nil
	}
	for one, err := range from.ClosedTasks(ctx) {
		if err != nil {
			return copied, unreadable, err
		}
		if _, ours := about.Labourers[one.Task.Labourer]; !ours {
			continue
		}
		if one.Problem != "" {
			unreadable = append(unreadable, sosw.Quarantined{TaskID: one.Task.Origin.TaskID, Labourer: one.Task.Labourer, Table: sosw.Closed, Reason: one.Problem})
			continue
		}
		p := place{one.Task.Labourer, archive.Prefix(one.Task.Labourer, one.Task.ClosedAt)}
		if _, known := groups[p]; !known {
			order = append(order, p)
		}
		groups[p] = append(groups[p], one.Task)
		if held++; len(groups[p]) == mostInFile {
			if err := flush(p); err != nil {
				return copied, unreadable, err
			}
		}
		for i := 0; held > mostHeld && i < len(order); i++ {
			if err := flush(order[i]); err != nil {
				return copied, unreadable, err
			}
		}
	}
	for _, p := range order {
		if err := flush(p); err != nil {
			return copied, unreadable, err
		}
	}
	return copied, unreadable, nil
}

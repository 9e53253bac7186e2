package console

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

// archiveLists limits how many folders of the archive are listed for a task that has left the table, where its labourer or its day is not given.
const archiveLists = 500

// searchedDays says how many days of the archive are searched where none is given.
const searchedDays = 92

// detailOf reads a task, also from the archive.
func detailOf(r request) (inspect.Detail, error) {
	q := queryOf(r, "labourer", "date")
	where := inspect.Search{Labourer: q.text("labourer"), Day: q.day("date")}
	if q.err != nil {
		return inspect.Detail{}, q.err
	}
	name := r.PathValue("id")
	id, err := task.ParseID(name)
	if err != nil { // no task has such an id
		return inspect.Detail{}, &inspect.NotFoundError{Kind: "task", ID: name}
	}
	d, found, err := r.stack.Reader.Task(r.Context(), id)
	if err != nil || found {
		return d, err
	}
	if where.Labourer == "" && where.Day.IsZero() {
		names, _, err := r.stack.Reader.Registry.Names(r.Context())
		if err != nil {
			return d, err
		}
		if len(names)*searchedDays > archiveLists {
			return d, &unsearchedError{name}
		}
	}
	return r.stack.Reader.Archived(r.Context(), id, where)
}

// unsearchedError says that a task is not in the table, and that the archive was not searched for it.
type unsearchedError struct{ id string }

func (e *unsearchedError) Error() string {
	return fmt.Sprintf("task %s is not in the table; to find it in the archive, name its labourer and the day it ended (labourer, date)", e.id)
}

func (c *Console) taskDocument(r request) (any, error) {
	return detailOf(r)
}

// taskData holds what the page of a task shows.
type taskData struct {
	inspect.Detail

	Now      time.Time
	Why      *inspect.Why // nil of a task that has ended
	Timeline chart
	Attempts []attemptRow
	Payload  viewer
	Result   viewer
	Stats    viewer
	Log      string // addresses in the AWS console; "": none
}

// attemptRow is an attempt with its times.
type attemptRow struct {
	inspect.Attempt

	Waited, Took time.Duration // 0: not known
	Execution    string        // its address in the AWS console; "": none
}

func (c *Console) task(r request) (view, error) {
	detail, err := detailOf(r)
	if err != nil {
		return view{}, err
	}
	d := taskData{Detail: detail, Now: r.now, Timeline: timeline(detail, r.now), Payload: viewerOf("payload", detail.Payload),
		Result: viewerOf("result", detail.Result), Stats: viewerOf("stats", detail.Stats)}
	if !detail.Status.Ended() {
		why, err := r.stack.Why.Task(r.Context(), detail.TaskID)
		if err != nil {
			return view{}, err
		}
		d.Why = &why
	}
	l, applied, err := r.stack.Reader.Registry.Labourer(r.Context(), detail.Labourer)
	if err != nil {
		return view{}, err
	}
	before := detail.CreatedAt
	for _, a := range detail.Attempts {
		row := attemptRow{Attempt: a}
		if a.DispatchedAt != nil {
			row.Waited = a.DispatchedAt.Sub(before)
			if a.ClosedAt != nil {
				row.Took = a.ClosedAt.Sub(*a.DispatchedAt)
			}
		}
		if a.ClosedAt != nil {
			before = *a.ClosedAt
		}
		if applied {
			row.Execution = r.stack.executionOf(l.Target, detail.TaskID, a.Attempt)
		}
		d.Attempts = append(d.Attempts, row)
	}
	if applied {
		d.Log = r.stack.logOf(l.Target)
	}
	return view{"task", "Task " + detail.TaskID, d}, nil
}

// raw returns JSON text, or nil for none.
func raw(text json.RawMessage) []byte {
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	return text
}

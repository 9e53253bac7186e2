package inspect_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

// many returns a stack with so many finished jobs of the labourer shop, of one task each. Every tenth task is dead.
func many(jobs int) *stack {
	s := night()
	s.records, s.items, s.leases, s.entries, s.progress = nil, nil, nil, nil, map[string][]ledger.Progress{}
	for i := range jobs {
		id, at := fmt.Sprintf("job-%04d", i), now.Add(-time.Duration(jobs-i)*time.Hour)
		j := ledger.Job{ID: id, Labourer: "shop", State: ledger.Completed, SubmittedAt: at, RecordedAt: at, FinishedAt: at, Total: 1, Cursor: 1,
			Generation: 1, Counts: ledger.Counts{Completed: 1}}
		one := task.Task{ID: j.TaskAt(0), JobID: id, Labourer: "shop", Status: task.Completed, Attempt: 1, ClosedAt: at}
		p := ledger.Progress{JobID: id, Segment: one.ID.Segment, Completed: []int{one.ID.N}}
		if i%10 == 0 {
			j.Counts, one.Status, p.Completed, p.Dead = ledger.Counts{Dead: 1}, task.Dead, nil, []int{one.ID.N}
		}
		s.records, s.items, s.progress[id] = append(s.records, j), append(s.items, one), []ledger.Progress{p}
	}
	return s
}

func TestTheWindowsOfJobsMakeTheWholeList(t *testing.T) {
	r := many(250).reader() // over ten days: two months or one
	var ids []string
	for after, windows := "", 0; ; windows++ {
		w, err := r.JobWindow(t.Context(), inspect.JobSelection{}, after, 40)
		require.NoError(t, err)
		for _, j := range w.Items {
			ids = append(ids, j.JobID)
		}
		require.Equal(t, w.Next != "", w.Truncated)
		if after = w.Next; after == "" {
			require.Equal(t, 6, windows, "windows before the last")
			break
		}
	}
	require.Len(t, ids, 250)
	require.True(t, slices.IsSortedFunc(ids, func(a, b string) int { return -slices.Compare([]byte(a), []byte(b)) }), "the newest first, none twice")
}

func TestAWindowWithoutAMatchSaysThatTheListGoesOn(t *testing.T) {
	s := many(1100)
	s.records[3].State = ledger.Cancelled
	r := s.reader()
	w, err := r.JobWindow(t.Context(), inspect.JobSelection{State: ledger.Cancelled}, "", 10)
	require.NoError(t, err)
	require.Empty(t, w.Items)
	require.True(t, w.Truncated, "1,000 jobs were looked at, and more are there")
	w, err = r.JobWindow(t.Context(), inspect.JobSelection{State: ledger.Cancelled}, w.Next, 10)
	require.NoError(t, err)
	require.Len(t, w.Items, 1)
	require.False(t, w.Truncated)
}

func TestAWindowCannotBeginAtAnUnknownPlace(t *testing.T) {
	r := many(3).reader()
	var wrong *inspect.PlaceError
	for _, place := range []string{"nowhere", "job:gone", "task:x"} {
		_, err := r.JobWindow(t.Context(), inspect.JobSelection{}, place, 10)
		require.ErrorAs(t, err, &wrong, place)
		_, err = r.TaskWindow(t.Context(), inspect.Selection{Status: inspect.Dead}, place, 10)
		require.ErrorAs(t, err, &wrong, place)
	}
}

func TestTheWindowsOfDeadTasksMakeTheWholeList(t *testing.T) {
	r := many(95).reader()
	var ids []string
	for after := ""; ; {
		w, err := r.TaskWindow(t.Context(), inspect.Selection{Status: inspect.Dead, Labourer: "shop"}, after, 3)
		require.NoError(t, err)
		for _, one := range w.Items {
			ids = append(ids, one.Task.JobID)
		}
		if after = w.Next; after == "" {
			break
		}
	}
	require.Equal(t, []string{"job-0090", "job-0080", "job-0070", "job-0060", "job-0050", "job-0040", "job-0030", "job-0020", "job-0010", "job-0000"}, ids)
	n, err := r.CountDead(t.Context(), "", "shop")
	require.NoError(t, err)
	require.Equal(t, 10, n)
}

func TestTheWindowsOfAJobsTasksMakeTheWholeListAndReadNoMore(t *testing.T) {
	s := night()
	j := ledger.Job{ID: "large", Labourer: "shop", State: ledger.Completed, SubmittedAt: now, RecordedAt: now, Total: 1000, Cursor: 4, Generation: 1,
		Counts: ledger.Counts{Completed: 1000}}
	s.records = []ledger.Job{j}
	for k := range j.Total {
		s.items = append(s.items, task.Task{ID: j.TaskAt(k), JobID: j.ID, Labourer: "shop", Status: task.Completed, Attempt: 1})
	}
	for ordinal := range j.Segments() {
		id, numbers := j.SegmentAt(ordinal)
		s.progress[j.ID] = append(s.progress[j.ID], ledger.Progress{JobID: j.ID, Segment: id, Completed: slices.Collect(numbers.All())})
	}
	for _, of := range []inspect.Selection{{Job: "large"}, {Job: "large", Status: inspect.Completed}} {
		r := s.reader()
		counted := &countedTasks{tasks: tasks{s}}
		r.Tasks = counted
		var listed []task.ID
		for after := ""; ; {
			counted.read = 0
			w, err := r.TaskWindow(t.Context(), of, after, 90)
			require.NoError(t, err)
			require.LessOrEqual(t, counted.read, 2*91, "tasks read for a window of 90")
			for _, one := range w.Items {
				listed = append(listed, one.Task.ID)
			}
			if after = w.Next; after == "" {
				break
			}
		}
		require.Len(t, listed, 1000)
		for k, id := range listed {
			require.Equal(t, j.TaskAt(k), id)
		}
	}
	n, err := s.reader().CountDead(t.Context(), "large", "")
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestTheWindowsOfOpenTasksMakeTheWholeList(t *testing.T) {
	r := night().reader()
	var got []string
	for _, status := range []inspect.Status{inspect.Queued, inspect.Running, inspect.Waiting} {
		w, err := r.TaskWindow(t.Context(), inspect.Selection{Job: "nightly", Status: status}, "", 5)
		require.NoError(t, err)
		for _, one := range w.Items {
			got = append(got, fmt.Sprintf("%d %s", one.Task.ID.N, one.Line().Status))
		}
	}
	require.Equal(t, []string{"0 queued", "1 running", "4 waiting"}, got)
}

// countedTasks counts the tasks that are read.
type countedTasks struct {
	tasks

	read int
}

func (c *countedTasks) Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error) {
	c.read += numbers.Len()
	return c.tasks.Range(ctx, s, numbers)
}

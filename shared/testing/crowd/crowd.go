// Package crowd fills a stack with more than a person looks at, for tests and benchmarks of what shows it.
package crowd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// What a crowded stack holds.
const (
	Labourers = 500     // l000 to l499
	Tasks     = 100_000 // of the job large, whose labourer is l000
	Ended     = 273 * segment.Size
	Dead      = 10_000 // of the ended ones, of the error Bad; the others are completed
	SmallJobs = 300    // small-000 to small-299, younger than the large one, of l001; they have ended
)

// Configuration returns the labourers. They have no health metrics.
func Configuration() string {
	var all strings.Builder
	all.WriteString("labourers:\n")
	for i := range Labourers {
		fmt.Fprintf(&all, "  l%03d: {target: {sqs: \"https://sqs.us-east-1.amazonaws.com/000000000000/q\"}}\n", i)
	}
	return all.String()
}

// DeadAt reports whether the k-th of the ended tasks is dead. The dead ones are spread evenly.
func DeadAt(k int) bool { return k*Dead/Ended != (k+1)*Dead/Ended }

// writers says how many segments are written at the same time.
const writers = 4

// Fill stores the jobs and the tasks, as if the large job had been submitted at this time. Its first segments have ended within a minute, the
// others are due.
func Fill(ctx context.Context, jobs dynamo.Jobs, tasks dynamo.Tasks, at time.Time) error {
	at = at.Truncate(time.Millisecond)
	large := ledger.Job{ID: "large", Labourer: "l000", State: ledger.Scheduling, SubmittedAt: at, RecordedAt: at, Total: Tasks,
		Generation: 1, Cursor: Ended / segment.Size, Owner: "crowd"}
	if err := once(jobs.Create(ctx, large)); err != nil {
		return err
	}
	progress := make([]ledger.Progress, large.Cursor)
	g, group := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for ordinal := range large.Segments() {
		g.Go(func() error {
			ends, err := fillSegment(group, tasks, large, ordinal)
			if err != nil || len(ends) == 0 {
				return err
			}
			id, _ := large.SegmentAt(ordinal)
			progress[ordinal], err = jobs.Record(group, large.ID, id, ends)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, p := range progress { // one after the other, as each changes the record
		if err := once(jobs.Roll(ctx, p, at.Add(time.Minute))); err != nil {
			return err
		}
	}
	for ; large.Cursor < large.Segments(); large.Cursor++ {
		id, numbers := large.SegmentAt(large.Cursor)
		entry := queue.Entry{Labourer: large.Labourer, Due: at, Segment: id, Tasks: numbers, Job: large.ID, Attempt: 1}
		if err := once(jobs.Publish(ctx, []ledger.Job{large}, entry)); err != nil {
			return err
		}
	}
	for i := range SmallJobs {
		small := ledger.Job{ID: fmt.Sprintf("small-%03d", i), Labourer: "l001", State: ledger.Completed, SubmittedAt: at.Add(time.Duration(i+1) * time.Second),
			RecordedAt: at, FinishedAt: at.Add(time.Hour), Total: 1, Cursor: 1, Generation: 1, Counts: ledger.Counts{Completed: 1}}
		if err := once(jobs.Create(ctx, small)); err != nil {
			return err
		}
	}
	return nil
}

// once returns the error of a write, or nil if the write had been made before: the client repeats a write that was not answered in time.
func once(err error) error {
	if errors.Is(err, ledger.ErrChanged) {
		return nil
	}
	return err
}

// fillSegment stores a segment of the large job, and returns which of its tasks have ended.
func fillSegment(ctx context.Context, tasks dynamo.Tasks, large ledger.Job, ordinal int) (ledger.Ends, error) {
	id, numbers := large.SegmentAt(ordinal)
	began, ended := large.SubmittedAt, large.SubmittedAt.Add(time.Minute)
	ends := ledger.Ends{}
	var some []task.Task
	for n := range numbers.All() {
		one := task.Task{ID: task.ID{Segment: id, N: n}, JobID: large.ID, Labourer: large.Labourer, Payload: []byte(`{"a":1}`), CreatedAt: began, Status: task.Open, Attempt: 1}
		if k := ordinal*segment.Size + n; k < Ended {
			attempt := task.Attempt{Attempt: 1, DispatchedAt: &began, ClosedAt: &ended, Status: task.Completed}
			one.Status, one.ClosedAt = task.Completed, ended
			if DeadAt(k) {
				attempt.Status, attempt.Error = task.Failed, &task.Error{Type: "Bad"}
				one.Status = task.Dead
			}
			one.Attempts = []task.Attempt{attempt}
			ends.Add(n, 0, one.Status)
		}
		some = append(some, one)
	}
	return ends, tasks.Create(ctx, some)
}

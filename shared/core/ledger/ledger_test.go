package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestThePlacesOfAJobsTasks(t *testing.T) {
	job := ledger.Job{ID: "nightly", Total: 600, RecordedAt: time.UnixMilli(5)}
	const submission = "nightly\x005" // the id, and the time of the record

	require.Equal(t, 3, job.Segments())
	for ordinal, numbers := range []segment.Numbers{segment.Range(0, 255), segment.Range(0, 255), segment.Range(0, 87)} {
		id, got := job.SegmentAt(ordinal)
		require.Equal(t, segment.IDOf(submission, ordinal), id)
		require.Equal(t, numbers, got)
		require.Equal(t, numbers.Len(), job.SizeOf(id))
	}
	require.Equal(t, task.ID{Segment: segment.IDOf(submission, 0), N: 0}, job.TaskAt(0))
	require.Equal(t, task.ID{Segment: segment.IDOf(submission, 0), N: 255}, job.TaskAt(255))
	require.Equal(t, task.ID{Segment: segment.IDOf(submission, 1), N: 0}, job.TaskAt(256))
	require.Equal(t, task.ID{Segment: segment.IDOf(submission, 2), N: 87}, job.TaskAt(599))
}

// TestTwoJobsUnderOneIDHaveDifferentSegments holds even if both come from the same event.
func TestTwoJobsUnderOneIDHaveDifferentSegments(t *testing.T) {
	first := ledger.Job{ID: "nightly", Total: 600, SubmittedAt: noon, RecordedAt: noon}
	second := first
	second.RecordedAt = noon.Add(720 * time.Hour)
	again := second

	seen := map[segment.ID]bool{}
	var progress []ledger.Progress
	for _, job := range []ledger.Job{first, second} {
		for ordinal := range job.Segments() {
			id, _ := job.SegmentAt(ordinal)
			require.False(t, seen[id])
			seen[id] = true
			progress = append(progress, ledger.Progress{JobID: "nightly", Segment: id})
		}
	}
	require.Equal(t, second.TaskAt(300), again.TaskAt(300))
	require.Equal(t, progress[3:6], second.Own(slices.Clone(progress)))
	shared := ledger.Job{ID: "small", Total: 3, Segment: progress[1].Segment, First: 40}
	require.Equal(t, progress[1:2], shared.Own(slices.Clone(progress)))
}

func TestASmallJobMayShareTheSegmentOfAnother(t *testing.T) {
	host := segment.IDOf("another", 0)
	job := ledger.Job{ID: "small", Total: 3, Segment: host, First: 40}

	id, numbers := job.SegmentAt(0)
	require.Equal(t, host, id)
	require.Equal(t, segment.Of(40, 41, 42), numbers)
	require.Equal(t, task.ID{Segment: host, N: 42}, job.TaskAt(2))
	require.Equal(t, 3, job.SizeOf(host))
}

func TestAJobWithoutTasksHasNoSegment(t *testing.T) {
	require.Zero(t, ledger.Job{ID: "empty"}.Segments())
	require.Zero(t, ledger.Job{ID: "empty"}.Open())
}

// TestG2EachTaskOfAJobHasOnePlace: no two tasks of a job share a place, each place is among its segment's numbers, and the segments are full.
func TestG2EachTaskOfAJobHasOnePlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		job := ledger.Job{ID: rapid.StringMatching(`[A-Za-z0-9_.:-]{1,20}`).Draw(t, "id"), Total: rapid.IntRange(0, 2000).Draw(t, "total"),
			Lanes: rapid.SampledFrom([]int{0, 2, 16}).Draw(t, "lanes")}
		if job.Total > 0 && job.Total < segment.Size && rapid.Bool().Draw(t, "shares") {
			job.Segment, job.First = segment.IDOf("another", 0), rapid.IntRange(0, segment.Size-job.Total).Draw(t, "first")
		}

		places := map[task.ID]bool{}
		for k := range job.Total {
			id := job.TaskAt(k)
			require.False(t, places[id], "task %d shares the place of another", k)
			places[id] = true
		}
		sum := 0
		for ordinal := range job.Segments() {
			id, numbers := job.SegmentAt(ordinal)
			require.True(t, id.Valid())
			require.Equal(t, numbers.Len(), job.SizeOf(id))
			sum += numbers.Len()
			for n := range numbers.All() {
				require.True(t, places[task.ID{Segment: id, N: n}], "number %d of segment %d is not a task of the job", n, ordinal)
			}
		}
		require.Equal(t, job.Total, sum)
	})
}

func TestCountsAddAndSubtract(t *testing.T) {
	a, b := ledger.Counts{Completed: 5, Dead: 2, Cancelled: 1}, ledger.Counts{Completed: 1, Dead: 2}

	require.Equal(t, 8, a.Sum())
	require.Equal(t, ledger.Counts{Completed: 6, Dead: 4, Cancelled: 1}, a.Plus(b))
	require.Equal(t, ledger.Counts{Completed: 4, Cancelled: 1}, a.Minus(b))
	require.Equal(t, a, a.Minus(b).Plus(b))
}

func TestG5AJobIsOpenUntilEachTaskHasReachedAnEnd(t *testing.T) {
	job := ledger.Job{State: ledger.Scheduled, Total: 6, Counts: ledger.Counts{Completed: 3, Dead: 1, Cancelled: 1}}

	require.Equal(t, 1, job.Open())
	job.State = ledger.Rejected
	require.Zero(t, job.Open(), "a rejected job has no tasks, whatever its plan was")
}

func TestTheTotalsOfAFinishedJobAreThoseOfItsRecord(t *testing.T) {
	job := ledger.Job{ID: "nightly", Labourer: "f", Total: 6, Counts: ledger.Counts{Completed: 3, Dead: 2, Cancelled: 1},
		SubmittedAt: noon, FinishedAt: noon.Add(time.Hour), Generation: 2}

	require.Equal(t, event.Totals{JobID: "nightly", Labourer: "f", Total: 6, Completed: 3, Dead: 2, Cancelled: 1,
		StartedAt: noon, FinishedAt: noon.Add(time.Hour), Generation: 2}, job.Totals())
}

func TestEachLifeOfATaskHasItsOwnNumber(t *testing.T) {
	seen := map[int]bool{}
	for life := range 4 {
		for n := range segment.Size {
			l := ledger.Life(n, life)
			require.False(t, seen[l])
			seen[l] = true
			require.Equal(t, segment.Of(n), ledger.Numbers([]int{l}))
		}
	}
	require.Equal(t, segment.Of(3, 7), ledger.Numbers([]int{ledger.Life(3, 0), ledger.Life(3, 1), ledger.Life(7, 2)}))
	require.True(t, ledger.Numbers(nil).Empty())
}

func TestG5AReplayedTaskNoLongerCountsAsDead(t *testing.T) {
	p := ledger.Progress{Completed: []int{0, 1}, Dead: []int{2, 3}, Cancelled: []int{4}}
	require.Equal(t, ledger.Counts{Completed: 2, Dead: 2, Cancelled: 1}, p.Counts())

	p.Replayed = []int{2}
	require.Equal(t, ledger.Counts{Completed: 2, Dead: 1, Cancelled: 1}, p.Counts())

	p.Completed = append(p.Completed, ledger.Life(2, 1))
	require.Equal(t, ledger.Counts{Completed: 3, Dead: 1, Cancelled: 1}, p.Counts())
}

// TestG5ADeathThatIsRecordedLateCountsOnce: any of the task's lives may have been replayed in the meantime.
func TestG5ADeathThatIsRecordedLateCountsOnce(t *testing.T) {
	p := ledger.Progress{Dead: []int{2, 3}, Rolled: ledger.Counts{Dead: 2}}

	p = p.Revived([]int{ledger.Life(2, 0)})
	require.Equal(t, ledger.Progress{Dead: []int{3}, Replayed: []int{2}, Rolled: ledger.Counts{Dead: 1}}, p)
	p.Dead = append(p.Dead, ledger.Life(2, 0), ledger.Life(2, 1))
	require.Equal(t, []int{3, ledger.Life(2, 1)}, p.StillDead())
	p = p.Revived([]int{ledger.Life(2, 1)})
	require.Equal(t, ledger.Progress{Dead: []int{3}, Replayed: []int{ledger.Life(2, 1)}, Rolled: ledger.Counts{Dead: 1}}, p)
	p.Dead = append(p.Dead, ledger.Life(2, 0), ledger.Life(2, 1))
	require.Equal(t, ledger.Counts{Dead: 1}, p.Counts())
}

// TestTheSegmentsOfAJobGoRoundTheLanes: leases on consecutive segments, which run at the same time, must not share a partition key.
func TestTheSegmentsOfAJobGoRoundTheLanes(t *testing.T) {
	begins := map[string]bool{}
	for i := range 50 {
		j := ledger.Job{ID: fmt.Sprintf("job-%d", i), Total: 9 * segment.Size, Lanes: 4, RecordedAt: time.Unix(1, 0)}
		plain := j
		plain.Lanes = 0
		lanes := map[string]int{}
		for ordinal := range j.Segments() {
			at, _ := j.SegmentAt(ordinal)
			without, _ := plain.SegmentAt(ordinal)
			require.Equal(t, without+segment.ID(at.Lane()), at)
			lanes[at.Lane()]++
		}
		require.Len(t, lanes, 4)
		for lane, n := range lanes {
			require.InDelta(t, 2, n, 1, lane)
		}
		first, _ := j.SegmentAt(0)
		begins[first.Lane()] = true
	}
	require.Len(t, begins, 4, "small jobs do not all go to the same lane")
}

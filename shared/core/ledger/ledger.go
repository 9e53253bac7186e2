// Package ledger holds the record of a job: the submitted job, how many of its tasks are created, and how they have ended.
//
// A record only grows, and it counts nothing twice. The progress of creation is a cursor; the transaction that puts a segment's queue entry also moves
// the cursor. The ends of the tasks are sets of numbers, one item for each segment. A transaction adds a segment's sums to the job's totals, and
// records in the segment's item what it has added. A job whose tasks all complete under one lease needs no item: one write enters them and ends
// the job.
package ledger

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// ErrChanged reports that the condition of a write no longer holds. The caller has to read and decide again.
var ErrChanged = errors.New("the job was changed by another writer in the meantime")

// State is a job's state.
type State string

// A job goes scheduling → scheduled → completed, or from either of the first two to cancelled. A rejected job is rejected from the start, and its id
// may be used again. A replay returns a completed job to scheduled.
const (
	Scheduling State = "scheduling"
	Scheduled  State = "scheduled"
	Completed  State = "completed"
	Rejected   State = "rejected"
	Cancelled  State = "cancelled"
)

// Counts holds the number of tasks that have reached each end.
type Counts struct{ Completed, Dead, Cancelled int }

// Sum returns the number of tasks that have reached an end.
func (c Counts) Sum() int { return c.Completed + c.Dead + c.Cancelled }

// Minus returns the difference of each count.
func (c Counts) Minus(o Counts) Counts {
	return Counts{c.Completed - o.Completed, c.Dead - o.Dead, c.Cancelled - o.Cancelled}
}

// Plus returns the sum of each count.
func (c Counts) Plus(o Counts) Counts {
	return Counts{c.Completed + o.Completed, c.Dead + o.Dead, c.Cancelled + o.Cancelled}
}

// Job is a job's record.
type Job struct {
	ID          string
	Labourer    string
	State       State
	Cancelling  bool   // a cancellation has begun and has not finished all segments
	Text        []byte // the SubmitJob as received; a read fills it only if it is short
	TextAt      string // names a long text that is stored beside the record; the store sets it
	Fingerprint string // distinguishes a repeated SubmitJob from a different one with the same id
	SubmittedAt time.Time
	RecordedAt  time.Time // when the record was made
	NotBefore   time.Time // when the tasks become due, or zero for at once

	// ChunkableAttrs holds the schema of the job's plan, because the labourer's schema may change while the job is being created.
	ChunkableAttrs []string

	// Lanes holds how many lanes the job's segments are spread over, 0 for none: the labourer's, as it was applied when the record was made.
	Lanes int

	Total  int
	Cursor int // number of published segments: their tasks exist, and are never created again

	// Several small jobs may share the segment of the first of them. Then each names it here, and has the numbers from First on there.
	Segment segment.ID
	First   int

	// The scheduler that creates the tasks, and the end of its lock. Creation overwrites items, so only one scheduler may create at a time.
	Owner      string
	OwnedUntil time.Time

	Counts     Counts
	Whole      bool // all tasks completed, and were entered at once with the job's end: no item of progress counts
	Generation int  // starts at 1; every replay of a completed job adds 1
	FinishedAt time.Time

	ErrorField, ErrorReason string // why the job was rejected
}

// Mark is a job's place among all jobs, which are in the order of their submission. The zero Mark is before the newest.
type Mark struct {
	SubmittedAt time.Time // to the millisecond
	JobID       string
}

// Mark returns the job's place among all jobs.
func (j Job) Mark() Mark { return Mark{j.SubmittedAt, j.ID} }

// Revivable reports whether the job's dead tasks may be replayed: the job is neither rejected nor cancelled, nor being cancelled. Later segments may
// still be being created.
func (j Job) Revivable() bool {
	return (j.State == Completed || j.State == Scheduled || j.State == Scheduling) && !j.Cancelling
}

// Open returns the number of tasks that have not reached an end.
func (j Job) Open() int {
	if j.State == Rejected {
		return 0
	}
	return j.Total - j.Counts.Sum()
}

// Totals returns the totals of a finished job for its event.
func (j Job) Totals() event.Totals {
	return event.Totals{JobID: j.ID, Labourer: j.Labourer, Total: j.Total, Completed: j.Counts.Completed, Dead: j.Counts.Dead,
		Cancelled: j.Counts.Cancelled, StartedAt: j.SubmittedAt, FinishedAt: j.FinishedAt, Generation: j.Generation}
}

// Shares reports whether other jobs may have tasks in the job's segment. Then ends are entered in progress task by task, and not by lease.
func (j Job) Shares() bool { return j.Segment != "" }

// Segments returns the number of segments that the job's tasks take.
func (j Job) Segments() int { return (j.Total + segment.Size - 1) / segment.Size }

// SegmentAt returns the ordinal-th segment, and the job's numbers in it.
func (j Job) SegmentAt(ordinal int) (segment.ID, segment.Numbers) {
	size := min(segment.Size, j.Total-ordinal*segment.Size)
	if ordinal == 0 && j.Segment != "" {
		return j.Segment, segment.Range(j.First, j.First+size-1)
	}
	return j.named(ordinal), segment.Range(0, size-1)
}

// named returns the id of the job's ordinal-th segment. Consecutive segments are in consecutive lanes, and each job begins with another lane.
func (j Job) named(ordinal int) segment.ID {
	id := segment.IDOf(j.submission(), ordinal)
	if j.Lanes == 0 {
		return id
	}
	return id.InLane((int(segment.IDOf(j.submission(), 0)[0]) + ordinal) % j.Lanes)
}

// submission returns a name that distinguishes the job from all others, also from an earlier job with the same id. A record is made only if none
// exists, so the later of two jobs with one id was recorded after the earlier record was deleted. Remains of the earlier job (its tasks and progress,
// completions of its workers, executions named after its tasks) must not be mistaken for this job's.
func (j Job) submission() string {
	return j.ID + "\x00" + strconv.FormatInt(j.RecordedAt.UnixMilli(), 10)
}

// Own returns this job's progress, without that of an earlier job with the same id.
func (j Job) Own(progress []Progress) []Progress {
	mine := make(map[segment.ID]bool, j.Segments())
	for ordinal := range j.Segments() {
		id, _ := j.SegmentAt(ordinal)
		mine[id] = true
	}
	return slices.DeleteFunc(progress, func(p Progress) bool { return !mine[p.Segment] })
}

// EndsBy reports whether these ends in a segment are the completions of all the job's tasks, and none is counted yet. Then one write can enter
// them and end the job.
func (j Job) EndsBy(s segment.ID, ends Ends) bool {
	if j.State != Scheduled || j.Cancelling || j.Generation != 1 || j.Counts != (Counts{}) || j.Segments() != 1 || len(ends) != 1 {
		return false
	}
	at, numbers := j.SegmentAt(0)
	return at == s && numbers.Minus(Numbers(ends[task.Completed])).Empty()
}

// WholeProgress returns the progress of a job that is whole.
func (j Job) WholeProgress() Progress {
	at, numbers := j.SegmentAt(0)
	return Progress{JobID: j.ID, Segment: at, Completed: slices.Collect(numbers.All()), Rolled: j.Counts}
}

// SizeOf returns the number of the job's tasks in one of its segments.
func (j Job) SizeOf(s segment.ID) int {
	last := j.Segments() - 1
	if last <= 0 {
		return j.Total
	}
	if id, numbers := j.SegmentAt(last); id == s {
		return numbers.Len()
	}
	return segment.Size
}

// TaskAt returns the id of the k-th task of the job.
func (j Job) TaskAt(k int) task.ID {
	id, numbers := j.SegmentAt(k / segment.Size)
	return task.ID{Segment: id, N: numbers.Min() + k%segment.Size}
}

// Revived returns the job after a replay of some of its dead tasks. If it was completed, its next generation starts.
func (j Job) Revived() Job {
	if j.State == Completed {
		j.State, j.Generation = Scheduled, j.Generation+1
	}
	return j
}

// Progress holds the ends of a job's tasks in one segment. The sets hold lives, not tasks: see [Life]. So a record of the stream that arrives twice,
// or a day late, changes no count.
type Progress struct {
	JobID                      string
	Segment                    segment.ID
	Completed, Dead, Cancelled []int
	// Replayed has the last replayed life of each replayed task. Deaths up to that life no longer count.
	Replayed []int
	Rolled   Counts // the part that is in the job's totals
}

// Life returns the number of a task's life within its segment. A replayed task has several lives, and each can end.
func Life(n, life int) int { return life*segment.Size + n }

// Counts returns how many tasks of the segment have ended and were not replayed since.
func (p Progress) Counts() Counts {
	return Counts{len(p.Completed), len(p.StillDead()), len(p.Cancelled)}
}

// StillDead returns the lives that died and were not replayed since.
func (p Progress) StillDead() []int {
	replayed := make(map[int]int, len(p.Replayed))
	for _, life := range p.Replayed {
		replayed[life%segment.Size] = life
	}
	var dead []int
	for _, life := range p.Dead {
		if last, was := replayed[life%segment.Size]; !was || life > last {
			dead = append(dead, life)
		}
	}
	return dead
}

// Revived returns the progress after a replay of these dead lives. It drops earlier lives, so that its size does not grow with the number of replays. It
// lowers the dead count in the job's totals to the number of tasks that are still dead.
func (p Progress) Revived(lives []int) Progress {
	again := Numbers(lives)
	replayed := slices.Clone(lives)
	for _, life := range p.Replayed {
		if !again.Contains(life % segment.Size) {
			replayed = append(replayed, life)
		}
	}
	p.Replayed = replayed
	p.Dead = p.StillDead()
	p.Rolled.Dead = min(p.Rolled.Dead, len(p.Dead))
	return p
}

// Numbers returns the task numbers of these lives.
func Numbers(lives []int) segment.Numbers {
	var s segment.Numbers
	for _, l := range lives {
		s = s.Union(segment.Of(l % segment.Size))
	}
	return s
}

// Ends holds the lives of a segment that have reached each end. A task completes in one life only, so a completion is entered as the task's
// number: a lease, which does not know the lives of its tasks, enters it alike.
type Ends map[task.Status][]int

// Add adds the end of a task's life.
func (e Ends) Add(n, life int, status task.Status) {
	if status == task.Completed {
		life = 0
	}
	e[status] = append(e[status], Life(n, life))
}

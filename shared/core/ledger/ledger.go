// Package ledger is the record of a job: what was asked for, how far its tasks are created, and what has become of them.
//
// Everything in it grows and nothing is counted twice: how far creation has come is a cursor that one transaction moves with each
// queue entry; what became of the tasks is kept as sets of numbers, one item a segment, and a segment's sums enter the job's totals
// by a transaction that remembers what it has entered.
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

// ErrChanged says that what a write was conditioned on is no longer so. Read again and decide anew.
var ErrChanged = errors.New("the job was changed by somebody else in the meantime")

// State is where a job stands.
type State string

// A job goes scheduling → scheduled → completed; cancelled from either of the first two; rejected is a beginning and an end, and
// its id may be used again. A replay takes a finished job back to scheduled.
const (
	Scheduling State = "scheduling"
	Scheduled  State = "scheduled"
	Completed  State = "completed"
	Rejected   State = "rejected"
	Cancelled  State = "cancelled"
)

// Counts is how many tasks have reached which end.
type Counts struct{ Completed, Dead, Cancelled int }

// Sum is how many tasks have reached an end.
func (c Counts) Sum() int { return c.Completed + c.Dead + c.Cancelled }

// Minus is the difference of each count.
func (c Counts) Minus(o Counts) Counts {
	return Counts{c.Completed - o.Completed, c.Dead - o.Dead, c.Cancelled - o.Cancelled}
}

// Plus is the sum of each count.
func (c Counts) Plus(o Counts) Counts {
	return Counts{c.Completed + o.Completed, c.Dead + o.Dead, c.Cancelled + o.Cancelled}
}

// Job is a job's record.
type Job struct {
	ID          string
	Labourer    string
	State       State
	Cancelling  bool   // a cancellation has begun and is not through with all segments
	Text        []byte // the SubmitJob as it came; of a record that was read only where it is short
	TextAt      string // tells a long text that is stored beside the record; set by the store
	Fingerprint string // tells the same job from another one under the same id
	SubmittedAt time.Time
	RecordedAt  time.Time // when the record was made; zero: before this was kept
	NotBefore   time.Time // when the tasks become due; zero: at once

	// ChunkableAttrs is the schema by which the job was planned: it may be applied anew while the job is being created.
	ChunkableAttrs []string

	Total  int
	Cursor int // how many segments are published: their tasks exist, and are never created again

	// A small job may share the first segment of another one: then its tasks lie there, from this number on.
	Segment segment.ID
	First   int

	// Who is creating the tasks, and until when nobody else will: creation overwrites, so there must be one creator at a time.
	Owner      string
	OwnedUntil time.Time

	Counts     Counts
	Generation int // 1, and one more with every replay
	FinishedAt time.Time

	ErrorField, ErrorReason string // why it was rejected
}

// Revivable reports whether the job's dead tasks may be replayed, also while later segments are being created: it is neither rejected nor
// cancelled, nor being cancelled.
func (j Job) Revivable() bool {
	return (j.State == Completed || j.State == Scheduled || j.State == Scheduling) && !j.Cancelling
}

// Open is how many tasks have not reached an end.
func (j Job) Open() int {
	if j.State == Rejected {
		return 0
	}
	return j.Total - j.Counts.Sum()
}

// Totals is how a finished job ended, as its event tells it.
func (j Job) Totals() event.Totals {
	return event.Totals{JobID: j.ID, Labourer: j.Labourer, Total: j.Total, Completed: j.Counts.Completed, Dead: j.Counts.Dead,
		Cancelled: j.Counts.Cancelled, StartedAt: j.SubmittedAt, FinishedAt: j.FinishedAt, Generation: j.Generation}
}

// Segments is how many segments the job's tasks take.
func (j Job) Segments() int { return (j.Total + segment.Size - 1) / segment.Size }

// SegmentAt is the ordinal-th segment, and which numbers of it are the job's.
func (j Job) SegmentAt(ordinal int) (segment.ID, segment.Numbers) {
	size := min(segment.Size, j.Total-ordinal*segment.Size)
	if ordinal == 0 && j.Segment != "" {
		return j.Segment, segment.Range(j.First, j.First+size-1)
	}
	return segment.IDOf(j.submission(), ordinal), segment.Range(0, size-1)
}

// submission tells the job from all others, also from one that had its id before: a record is made where there is none, so of two under one
// id the later was made when the earlier had been deleted, which is long after. What is left of the earlier job, tasks and progress, workers
// that tell of its tasks, executions that are called after them, must not be taken for this one's.
func (j Job) submission() string {
	if j.RecordedAt.IsZero() {
		return j.ID
	}
	return j.ID + "\x00" + strconv.FormatInt(j.RecordedAt.UnixMilli(), 10)
}

// Own is what of these is progress of the job, and not of one that had its id before.
func (j Job) Own(progress []Progress) []Progress {
	mine := make(map[segment.ID]bool, j.Segments())
	for ordinal := range j.Segments() {
		id, _ := j.SegmentAt(ordinal)
		mine[id] = true
	}
	return slices.DeleteFunc(progress, func(p Progress) bool { return !mine[p.Segment] })
}

// SizeOf is how many of the job's tasks lie in one of its segments.
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

// TaskAt is where the k-th task of the job lies.
func (j Job) TaskAt(k int) task.ID {
	id, numbers := j.SegmentAt(k / segment.Size)
	return task.ID{Segment: id, N: numbers.Min() + k%segment.Size}
}

// Revived is the job after some of its dead have come back to life: if it had ended, another generation of it is under way.
func (j Job) Revived() Job {
	if j.State == Completed {
		j.State, j.Generation = Scheduled, j.Generation+1
	}
	return j
}

// Progress is what has become of a job's tasks in one segment. The sets hold lives, not tasks: see [Life]. A record of the stream that comes
// twice, or a day late, changes nothing that counts.
type Progress struct {
	JobID                      string
	Segment                    segment.ID
	Completed, Dead, Cancelled []int
	// Replayed has the last replayed life of each task that was replayed. What died up to that life counts as dead no more.
	Replayed []int
	Rolled   Counts // what of it is in the job's totals
}

// Life names a life of a task within its segment: a task that was replayed can end again.
func Life(n, life int) int { return life*segment.Size + n }

// Counts returns how many tasks of the segment have reached an end that still holds.
func (p Progress) Counts() Counts {
	return Counts{len(p.Completed), len(p.StillDead()), len(p.Cancelled)}
}

// StillDead returns the lives that have died and were not replayed since.
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

// Revived returns the progress after these of the dead have come back to life. It forgets earlier lives, so that it stays as small however
// often tasks are replayed. Of the dead that are in the job's totals no more stay there than are still dead.
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

// Numbers returns the task numbers behind these lives.
func Numbers(lives []int) segment.Numbers {
	var s segment.Numbers
	for _, l := range lives {
		s = s.Union(segment.Of(l % segment.Size))
	}
	return s
}

// Ends is which lives of a segment have reached which end.
type Ends map[task.Status][]int

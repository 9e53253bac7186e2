// Package migration moves the tasks of a live sosw's labourers to Drover.
//
// The tasks of a labourer become those of one job. Some at a time, up to a segment, they take three steps:
//
//	store      the tasks, at numbers beyond the job's total, each on condition that its number is free
//	mark       their rows in sosw, each on condition that it is as it was read: from here on it is not sosw's
//	publish    {queue entries, the job's total, tasks that end at once}, on condition of the job's total
//
// A task can be handed out by sosw until its row is marked, and by Drover once it is published; in between by neither. A move that is interrupted
// anywhere leaves stored tasks beyond the total, from which the next one continues. A stored task is never overwritten, and whether a row can be
// marked for it has one answer for good. So several moves at once agree on every task, and one of them publishes it.
package migration

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/core/task"
)

// Source is a sosw's tables. All reads are strongly consistent.
type Source interface {
	// Rows reads all rows of both tables, without an order.
	Rows(ctx context.Context) iter.Seq2[sosw.Row, error]
	// Load reads these rows. Rows that do not exist are missing in the answer.
	Load(ctx context.Context, keys []sosw.Key) (map[sosw.Key]sosw.Row, error)
	// Mark takes a row out of sosw's index, if it has this place and has not completed. taken is also true if it was marked for this task before.
	Mark(ctx context.Context, key sosw.Key, place int64, id task.ID) (taken bool, err error)
	// Restore gives a row back its place, if it is marked for this task.
	Restore(ctx context.Context, key sosw.Key, place int64, id task.ID) (restored bool, err error)
	// Ended returns those of these tasks that sosw has archived.
	Ended(ctx context.Context, ids []string) (map[string]bool, error)
}

// Tasks stores tasks.
type Tasks interface {
	// Add stores new tasks, and leaves those that exist as they are.
	Add(ctx context.Context, tasks []task.Task) error
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
	// Heads returns the status of each of these tasks. Tasks that do not exist are missing in the answer.
	Heads(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
}

// Jobs stores the records of jobs.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Create(ctx context.Context, job ledger.Job) error
}

// Publisher publishes stored tasks. ledger.ErrChanged: the job has changed since it was read, and nothing was published.
type Publisher interface {
	Extend(ctx context.Context, job ledger.Job, p sosw.Publication) error
}

// Bus wakes the orchestrator.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Service moves tasks, and gives them back.
type Service struct {
	Source    Source
	Tasks     Tasks
	Jobs      Jobs
	Publisher Publisher
	Bus       Bus
	Now       func() time.Time

	Control Control // for Undo
	Leases  Leases
	Asides  Asides
}

// JobOf returns the id of the job to which the moved tasks of a labourer belong.
func JobOf(labourer string) string { return "sosw-" + labourer }

// writers limits the requests that are under way at once.
const writers = 16

// tries limits how often a move in which nothing was published is tried again.
const tries = 10

// Moved holds the outcome of a move.
type Moved struct {
	Tasks     map[sosw.Key]sosw.State // that this move published, with the states of their rows
	Dead      int                     // those of them whose attempts are used up
	Withdrawn int                     // stored tasks whose rows sosw took before they were marked
}

// Move moves rows of a labourer, in this order, and what an interrupted move has left. maxAttempts are the labourer's. Rows that have changed
// since they were read stay where they are. told is called with the number of tasks moved so far.
func (s Service) Move(ctx context.Context, l labourer.Labourer, about sosw.Labourer, rows []sosw.Row, told func(int)) (Moved, error) {
	m := move{Service: s, labourer: l, about: about, rows: rows, out: Moved{Tasks: map[sosw.Key]sosw.State{}}}
	for fruitless := 0; fruitless < tries; {
		again, err := m.step(ctx)
		if errors.Is(err, ledger.ErrChanged) { // another move was first
			fruitless++
			continue
		}
		if err != nil || !again {
			return m.out, err
		}
		fruitless = 0
		told(len(m.out.Tasks))
	}
	return m.out, fmt.Errorf("job %s was changed %d times in between; is it being moved by several commands?", JobOf(l.ID), tries)
}

// move is one call of Move.
type move struct {
	Service
	labourer labourer.Labourer
	about    sosw.Labourer
	rows     []sosw.Row // that are still to be stored
	last     time.Time  // see sosw.Publication.Last
	out      Moved
}

// step stores, marks and publishes some tasks. again is false when nothing is left.
func (m *move) step(ctx context.Context) (again bool, err error) {
	job, err := m.job(ctx)
	if err != nil {
		return false, err
	}
	at, free := beyond(job)
	stored, err := m.stored(ctx, at, free)
	if err != nil {
		return false, err
	}
	if (len(m.rows) > 0 || gaps(free, stored) > 0) && len(stored) < free.Len() {
		if err := m.store(ctx, job, at, free, stored); err != nil {
			return false, err
		}
		if stored, err = m.stored(ctx, at, free); err != nil { // another move may have stored some of them
			return false, err
		}
	}
	var line []task.Task // without a gap from the job's total on
	for n := free.Min(); stored[n].Origin != nil; n++ {
		line = append(line, stored[n])
	}
	if len(line) == 0 {
		return len(m.rows) > 0, nil
	}
	return true, m.publish(ctx, job, line)
}

// job returns the labourer's job, which it creates if there is none.
func (m *move) job(ctx context.Context) (ledger.Job, error) {
	id := JobOf(m.labourer.ID)
	for range tries {
		job, found, err := m.Jobs.Get(ctx, id)
		switch {
		case err != nil:
			return ledger.Job{}, err
		case !found || job.State == ledger.Rejected:
			now := m.Now().UTC().Truncate(time.Millisecond)
			err := m.Jobs.Create(ctx, ledger.Job{ID: id, Labourer: m.labourer.ID, State: ledger.Scheduled, Generation: 1, SubmittedAt: now, RecordedAt: now,
				Text: fmt.Appendf(nil, `{"job_id":%q,"labourer":%q}`, id, m.labourer.ID), Fingerprint: "moved from sosw"})
			if err != nil && !errors.Is(err, ledger.ErrChanged) {
				return ledger.Job{}, err
			}
		case job.Cancelling || job.State == ledger.Cancelled:
			return job, fmt.Errorf("job %s is cancelled, so nothing can be moved into it; drover migrate sosw --undo gives its tasks back to sosw", id)
		case job.Labourer != m.labourer.ID || job.Fingerprint != "moved from sosw":
			return job, fmt.Errorf("job %s was submitted by an application; moved tasks need this id for their own job", id)
		default:
			return job, nil
		}
	}
	return ledger.Job{}, fmt.Errorf("job %s was created and deleted %d times in between", id, tries)
}

// beyond returns the numbers after the job's total, as far as their segment goes.
func beyond(job ledger.Job) (segment.ID, segment.Numbers) {
	grown := job
	grown.Total = job.Total/segment.Size*segment.Size + segment.Size
	at, _ := grown.SegmentAt(job.Total / segment.Size)
	return at, segment.Range(job.Total%segment.Size, segment.Size-1)
}

// stored returns the tasks that are stored under these numbers.
func (s Service) stored(ctx context.Context, at segment.ID, numbers segment.Numbers) (map[int]task.Task, error) {
	out := map[int]task.Task{}
	for chunk, err := range s.Tasks.Chunks(ctx, at, numbers) {
		if err != nil {
			return nil, err
		}
		for _, t := range chunk {
			out[t.ID.N] = t
		}
	}
	return out, nil
}

// store stores tasks for the next rows under the numbers that are free. It reads the rows again, with their payloads, and drops those that have
// changed.
func (m *move) store(ctx context.Context, job ledger.Job, at segment.ID, free segment.Numbers, stored map[int]task.Task) error {
	known := map[sosw.Key]bool{}
	for _, t := range stored {
		known[sosw.KeyOf(t)] = true
	}
	var next []sosw.Row
	room := free.Len() - len(stored)
	for len(m.rows) > 0 && len(next) < room {
		if r := m.rows[0]; !known[r.Key] {
			next = append(next, r)
		}
		m.rows = m.rows[1:]
	}
	// Tasks behind a gap cannot be published. If no other rows fill it, those of the next tasks do, and these numbers are spent.
	gap := false
	for n := free.Min(); n <= free.Max() && len(next) < gaps(free, stored); n++ {
		t, there := stored[n]
		if gap = gap || !there; gap && there {
			next = append(next, sosw.Row{Key: sosw.KeyOf(t), Place: t.Origin.Place})
		}
	}
	keys := make([]sosw.Key, len(next))
	for i, r := range next {
		keys[i] = r.Key
	}
	fresh, err := m.Source.Load(ctx, keys)
	if err != nil {
		return err
	}
	var tasks []task.Task
	n := free.Min()
	for _, r := range next {
		is, state := fresh[r.Key], m.about.StateOf(fresh[r.Key], m.Now())
		if is.Key != r.Key || is.Place != r.Place || !state.Movable() {
			continue
		}
		for stored[n].Origin != nil {
			n++
		}
		one := is.Task(task.ID{Segment: at, N: n}, job.ID, state)
		one.Due = m.Now() // the row may be years old
		tasks = append(tasks, one)
		n++
	}
	return m.Tasks.Add(ctx, tasks)
}

// gaps returns how many of the free numbers below the highest stored one have no task.
func gaps(free segment.Numbers, stored map[int]task.Task) int {
	highest := free.Min() - 1
	for n := range stored {
		highest = max(highest, n)
	}
	return highest - free.Min() + 1 - len(stored)
}

// publish marks the rows of stored tasks and publishes the first of these tasks.
func (m *move) publish(ctx context.Context, job ledger.Job, line []task.Task) error {
	taken := map[task.ID]bool{}
	var mu sync.Mutex
	g, marking := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for _, t := range line {
		g.Go(func() error {
			is, err := m.Source.Mark(marking, sosw.KeyOf(t), t.Origin.Place, t.ID)
			mu.Lock()
			defer mu.Unlock()
			taken[t.ID] = is
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	p := sosw.Publish(line, taken, m.labourer.MaxAttempts, m.Now(), m.last)
	if err := m.Publisher.Extend(ctx, job, p); err != nil {
		if errors.Is(err, ledger.ErrChanged) {
			return errors.Join(err, m.returnCancelled(ctx, line))
		}
		return err
	}
	m.last = p.Last
	for _, t := range line[:p.Tasks] {
		if taken[t.ID] {
			m.out.Tasks[sosw.KeyOf(t)] = stateOf(t)
		} else {
			m.out.Withdrawn++
		}
	}
	for _, c := range p.Ended {
		if c.After.Status == task.Dead {
			m.out.Dead++
		}
	}
	return m.Bus.Publish(ctx, event.TasksDue("migrate/"+job.ID, m.labourer.ID))
}

// stateOf returns the state of the row that a task was moved from.
func stateOf(t task.Task) sosw.State {
	switch {
	case t.Origin.Expired:
		return sosw.Expired
	case sosw.Table(t.Origin.Table) == sosw.Retries:
		return sosw.Retry
	}
	return sosw.Queued
}

// returnCancelled gives back the rows of tasks that an undo has cancelled while this move was about to publish them: it may have marked them
// after the undo had restored them.
func (m *move) returnCancelled(ctx context.Context, line []task.Task) error {
	var numbers segment.Numbers
	for _, t := range line {
		numbers = numbers.Union(segment.Of(t.ID.N))
	}
	is, err := m.stored(ctx, line[0].ID.Segment, numbers)
	if err != nil {
		return err
	}
	_, err = m.restore(ctx, slices.Collect(maps.Values(is)))
	return err
}

// restore gives back the rows of those of these tasks that are cancelled, and returns how many.
func (s Service) restore(ctx context.Context, tasks []task.Task) (int, error) {
	var mu sync.Mutex
	n := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for _, t := range tasks {
		if t.Status != task.Cancelled || t.Origin == nil {
			continue
		}
		g.Go(func() error {
			restored, err := s.Source.Restore(ctx, sosw.KeyOf(t), t.Origin.Place, t.ID)
			mu.Lock()
			defer mu.Unlock()
			if restored {
				n++
			}
			return err
		})
	}
	return n, g.Wait()
}

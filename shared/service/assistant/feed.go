package assistant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// feeding changes one lease for the batch.
type feeding struct {
	*Service

	senders   senders
	restartAt time.Time
	lease     queue.Lease       // as it is stored, as far as is known
	ended     []ended           // are to leave the lease
	unstarted segment.Numbers   // are to be left to the orchestrator
	noted     segment.Numbers   // are to be noted as started, as the target keeps an order
	idle      segment.Numbers   // never started: they go back to the queue
	idleBy    []string          // the messages that say so
	idleAt    map[int]time.Time // when that was, by task; zero: unknown
	tried     segment.Numbers   // were started here, or cannot be
	blocked   error             // why no later task may start, of a target that keeps an order
	spent     bool              // the target takes no more starts: what is fed is left to the orchestrator

	messages  []string // those of ended tasks, and those that have fed tasks in hand
	fed       segment.Numbers
	restarted int     // tasks that an earlier delivery fed, and that were started again
	out       int     // tasks that were left to the orchestrator
	dry       bool    // slots became idle, or the labourer's again, that no task of the lease takes
	waits     bool    // slots are idle, and the tasks that wait for them may not be fed any more
	errs      []error // of starts
	failed    []failure
}

// ended is a task that has ended under the lease, or whose attempt has.
type ended struct {
	n         int
	completed bool      // otherwise it died, was cancelled, or does not exist any more
	again     time.Time // not zero: its attempt failed, and the next is due then
	attempt   int       // that failed
	by        *sender   // the message that says so
}

// failure is an error, and the messages to redeliver because of it.
type failure struct {
	err      error
	messages []string
}

// epoch is since when a task is in hand that the orchestrator is to start at once.
var epoch = time.Unix(0, 0).UTC()

// feed works on every lease that the batch concerns, several at once.
func (b *batch) feed(ctx context.Context, closed []closing) []*feeding {
	var all []*feeding
	for _, p := range b.order {
		for _, l := range p.leases {
			if f := b.feeding(l, closed); f != nil {
				all = append(all, f)
			}
		}
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, f := range all {
		g.Go(func() error {
			f.work(ctx)
			return nil
		})
	}
	_ = g.Wait()
	for _, f := range all {
		b.summary.Fed += f.fed.Len()
		b.summary.Restarted += f.restarted
		b.summary.Unstarted += f.out
		for _, err := range f.errs {
			b.fail(err)
		}
		for _, failure := range f.failed {
			b.fail(failure.err, failure.messages...)
		}
	}
	return all
}

// feeding returns what the batch has to do to a lease, or nil if that is nothing.
func (b *batch) feeding(l queue.Lease, closed []closing) *feeding {
	if l.Unreadable != nil {
		return nil
	}
	f := &feeding{Service: b.Service, senders: b.senders, restartAt: b.restartAt, lease: l, idleAt: map[int]time.Time{}}
	seen := segment.Numbers{}
	for _, c := range closed {
		n := c.task.ID.N
		if placeOf(c.task) != (placeKey{l.Labourer, l.Segment}) || !l.Held().Contains(n) || l.AttemptAt(n) != c.attempt {
			continue
		}
		switch {
		case c.task.Status.Terminal():
			f.messages = append(f.messages, c.by.message)
			if !seen.Contains(n) {
				f.ended = append(f.ended, ended{n: n, completed: c.task.Status == task.Completed, by: c.by})
				seen = seen.Union(segment.Of(n))
			}
		case !c.again.IsZero():
			f.messages = append(f.messages, c.by.message)
			f.ended = append(f.ended, ended{n: n, again: c.again, attempt: c.attempt, by: c.by})
		case c.did == putBack:
			f.idleBy = append(f.idleBy, c.by.message)
			f.idle = f.idle.Union(segment.Of(n))
			f.idleAt[n] = later(f.idleAt[n], c.At)
		}
	}
	for _, h := range l.Hands {
		if by := f.senders[h.By]; by != nil {
			f.messages = append(f.messages, by.message)
		}
	}
	if len(f.messages)+len(f.idleBy) == 0 {
		return nil
	}
	return f
}

// work feeds the lease and starts what was fed, until nothing is left to start. Then it puts back the tasks that never started, whose slots
// stay idle until the target takes starts again.
func (f *feeding) work(ctx context.Context) {
	for {
		if err := f.save(ctx); err != nil {
			f.failed = append(f.failed, failure{err, f.undone()})
			break
		}
		numbers := f.startable()
		if numbers.Empty() {
			break
		}
		f.start(ctx, numbers)
	}
	if err := f.putBack(ctx); err != nil {
		f.failed = append(f.failed, failure{err, f.idleBy})
	}
}

// undone returns the messages whose tasks are still in the lease although they have ended, or that have fed tasks which are not started, or not
// noted as such.
func (f *feeding) undone() []string {
	var out []string
	for _, e := range f.ended {
		out = append(out, e.by.message)
	}
	for n, h := range f.lease.Hands {
		if by := f.senders[h.By]; by != nil && (!f.tried.Contains(n) || f.unstarted.Union(f.noted).Contains(n)) {
			out = append(out, by.message)
		}
	}
	return out
}

// step describes the next write of a lease.
type step struct {
	after     queue.Lease
	ended     bool            // tasks leave the lease
	noted     bool            // tasks are noted as started
	fed       segment.Numbers // tasks that take their slots
	unstarted segment.Numbers // tasks that are left to the orchestrator
}

// next decides on the next write of the lease. Ended tasks leave it. The tasks that take their slots are marked with the messages of the ended
// ones, so that each message can start its own again when it is delivered again. Tasks of a message that is not, and those that could not be
// started, are left to the orchestrator. A lease of a target that keeps an order is fed only when all starts are noted, which may be now.
func (f *feeding) next(now time.Time) step {
	s := step{after: f.lease}
	var completed, gone segment.Numbers
	var freed []*sender
	for _, e := range f.ended {
		_, inHand := s.after.Hands[e.n]
		switch {
		case !f.lease.Held().Contains(e.n):
			continue // it left the lease by another hand
		case !e.again.IsZero() && (!inHand || s.after.AttemptAt(e.n) != e.attempt || len(s.after.Retries) >= queue.MostRetries):
			continue // it is settled, or the scavenger will do it
		case !e.again.IsZero():
			s.after = s.after.Postponed(e.n, e.again)
		case e.completed:
			completed = completed.Union(segment.Of(e.n))
		default:
			gone = gone.Union(segment.Of(e.n))
		}
		freed = append(freed, e.by)
	}
	s.ended = len(freed) > 0
	s.after = s.after.Ended(completed).Without(gone)
	for n, h := range s.after.Hands {
		if by := f.senders[h.By]; by != nil && (by.last || f.unstarted.Contains(n)) {
			s.unstarted = s.unstarted.Union(segment.Of(n))
		}
	}
	s.after = s.after.Marked(s.unstarted, queue.Undispatched, epoch)
	for n := range f.noted.Minus(s.unstarted).All() {
		if by := f.senders[s.after.Hands[n].By]; by != nil {
			s.after, s.noted = s.after.Noted(segment.Of(n)), true
			freed = append(freed, by)
		}
	}
	if len(freed) == 0 || !s.after.MayFeed(now) {
		return s
	}
	s.after, s.fed = s.after.Feed(f.lease.Granted(), queue.Undispatched, now)
	turn := 0
	for n := range s.fed.All() {
		if by := freed[turn%len(freed)]; by.last || f.spent {
			s.after, s.unstarted = s.after.Marked(segment.Of(n), queue.Undispatched, epoch), s.unstarted.Union(segment.Of(n))
		} else {
			s.after = s.after.Marked(segment.Of(n), by.mark, now)
		}
		turn++
	}
	return s
}

// tries limits how often a lost race for a lease is retried.
const tries = 20

// save writes the next step of the lease, if there is anything to write. If another component has changed the lease, it decides anew. A write
// that succeeded although it was reported as lost is found in the same way: its tasks have left, and what it fed bears the batch's marks.
func (f *feeding) save(ctx context.Context) error {
	for range tries {
		now := f.Now()
		s := f.next(now)
		if !s.ended && !s.noted && s.unstarted.Empty() {
			f.clear()
			return nil
		}
		stored, err := f.Leases.Save(ctx, f.lease, s.after)
		if err == nil {
			f.note(s, now)
			f.lease = stored
			f.clear()
			return nil
		}
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		if err := f.readAgain(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("feeding %s: it changed %d times in between", f.lease.Item(), tries)
}

// note records what a write of the lease has done.
func (f *feeding) note(s step, now time.Time) {
	f.fed = f.fed.Union(s.fed)
	f.out += s.unstarted.Len()
	f.dry = f.dry || drier(f.lease, s.after) || relieved(f.lease, s.after)
	f.waits = f.waits || starved(f.lease, s.after, now)
}

// clear forgets what was to be written.
func (f *feeding) clear() {
	f.ended, f.unstarted, f.noted = nil, segment.Numbers{}, segment.Numbers{}
}

// readAgain reads the lease again. A lease that is gone holds nothing.
func (f *feeding) readAgain(ctx context.Context) error {
	l, found, err := f.Control.Lease(ctx, f.lease.Labourer, f.lease.Item())
	if err != nil {
		return err
	}
	if !found {
		l = f.lease
		l.Waiting, l.Hands, l.Retries = segment.Numbers{}, nil, nil
	}
	for n := range f.idle.All() {
		if f.startedAgain(n, l) {
			f.idle = f.idle.Minus(segment.Of(n))
		}
	}
	f.lease = l
	return nil
}

// startedAgain reports whether a task that never started may have been put back and started again, since the batch read its lease: the report of
// its earlier start must not put it back once more. Its hand also changes when its dispatcher notes the start.
func (f *feeding) startedAgain(n int, l queue.Lease) bool {
	was, is := f.lease.Hands[n], l.Hands[n]
	if at := f.idleAt[n]; !at.IsZero() {
		return precedes(at, is)
	}
	return was.By != is.By || !was.Since.Equal(is.Since) || was.Attempt != is.Attempt
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// putBack queues tasks again for the same attempt, which never began: a throttled function refuses many starts. Their slots are not fed.
func (f *feeding) putBack(ctx context.Context) error {
	for range tries {
		numbers := f.idle.Intersect(f.lease.InHand())
		if numbers.Empty() {
			return nil // they were put back, and perhaps started again, or have ended
		}
		numbers = f.lease.ByAttempt(numbers)[0]
		e := f.lease.Returned(numbers)
		e.Due = f.restartAt
		stored, err := f.Leases.Requeue(ctx, f.lease, e)
		if err == nil {
			f.lease = stored
			continue // tasks that are in hand for another attempt, if there are any
		}
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		if err := f.readAgain(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("putting tasks %s of segment %s back: %s changed %d times in between", f.idle, f.lease.Segment, f.lease.Item(), tries)
}

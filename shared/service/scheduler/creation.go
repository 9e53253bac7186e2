package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/direct"
)

// creation is a job and the plan of its tasks, which are to be created from the job's cursor on.
type creation struct {
	record  ledger.Job
	asked   job.Job
	plan    *job.Plan
	message Message
	fresh   bool // it has no record yet
	starts  []direct.Start
}

// together groups fresh jobs that can share a segment: few tasks, the same labourer, due at the same time.
func together(fresh []*creation) [][]*creation {
	type sameness struct {
		labourer    string
		notBefore   time.Time
		maxDuration time.Duration
	}
	var groups [][]*creation
	open := map[sameness]int{} // the group that still has room
	room := map[int]int{}
	for _, c := range fresh {
		key := sameness{c.record.Labourer, c.record.NotBefore, c.asked.MaxDuration}
		if g, ok := open[key]; ok && c.record.Total > 0 && c.record.Total <= room[g] && !has(groups[g], c.record.ID) {
			groups[g], room[g] = append(groups[g], c), room[g]-c.record.Total
			continue
		}
		groups = append(groups, []*creation{c})
		if c.record.Total > 0 && c.record.Total < segment.Size {
			g := len(groups) - 1
			open[key], room[g] = g, segment.Size-c.record.Total
		}
	}
	return groups
}

func has(group []*creation, id string) bool {
	for _, c := range group {
		if c.record.ID == id {
			return true
		}
	}
	return false
}

func ids(group []*creation) []string {
	out := make([]string, len(group))
	for i, c := range group {
		out[i] = c.message.ID
	}
	return out
}

// begin claims fresh jobs that can share a segment, creates the tasks of those that it owns, and then resumes the others.
func (r *run) begin(ctx context.Context, group []*creation) error {
	owned, taken, err := r.claim(ctx, group)
	if err != nil {
		return r.giveUp(err, owned...)
	}
	switch len(owned) {
	case 0:
	case 1:
		err = r.create(ctx, owned[0])
	default:
		err = r.createTogether(ctx, owned)
	}
	for _, c := range taken {
		err = errors.Join(err, r.resumeTaken(ctx, c))
	}
	return err
}

// claim creates the records of fresh jobs that can share a segment, and returns the jobs that this run now owns and those whose records exist
// already: another scheduler created them meanwhile, or this one did by a request that was sent twice.
//
// Only the scheduler that owns the first job may place others in that job's segment. It places each behind all earlier ones, including those
// that are taken, so a number of a segment is never given to two jobs.
func (r *run) claim(ctx context.Context, group []*creation) (owned, taken []*creation, err error) {
	next := 0
	for _, c := range group {
		if len(group) > 1 {
			host := c
			if len(owned) > 0 {
				host = owned[0]
			}
			c.record.Segment, _ = host.record.SegmentAt(0)
			c.record.First = next
		}
		if c.record.Total == 0 {
			c.record.State, c.record.FinishedAt, c.record.Owner, c.record.OwnedUntil = ledger.Completed, r.service.Now().UTC().Truncate(time.Millisecond), "", time.Time{}
		}
		err := r.service.Jobs.Create(ctx, c.record)
		switch {
		case err == nil:
			owned = append(owned, c)
		case errors.Is(err, ledger.ErrChanged):
			taken = append(taken, c)
		default:
			return owned, taken, err
		}
		if len(owned) > 0 {
			next += c.record.Total
		}
	}
	return owned, taken, nil
}

// resumeTaken continues a job whose record appeared after this run had looked for it.
func (r *run) resumeTaken(ctx context.Context, c *creation) error {
	known, found, err := r.service.Jobs.Get(ctx, c.record.ID)
	if err != nil {
		return err
	}
	if !found || known.Fingerprint != c.record.Fingerprint {
		return fmt.Errorf("job %s appeared under the same id while it was being read", c.record.ID)
	}
	left, err := r.resume(ctx, known, c.message)
	if err != nil || left == nil {
		return err
	}
	return r.create(ctx, left)
}

// createTogether creates the tasks of several small jobs as one segment with one entry.
func (r *run) createTogether(ctx context.Context, group []*creation) error {
	var records []ledger.Job
	var numbers segment.Numbers
	for _, c := range group {
		_, own := c.record.SegmentAt(0)
		records, numbers = append(records, c.record), numbers.Union(own)
	}
	var starts []direct.Start
	err := r.store(ctx, 0, group...)
	if err == nil {
		at, _ := group[0].record.SegmentAt(0)
		starts, err = r.publish(ctx, records, r.entry(group[0], at, numbers))
	}
	if errors.Is(err, ledger.ErrChanged) { // one of them is being cancelled, say: it must not delay the others
		return r.createApart(ctx, group)
	}
	if err != nil {
		return r.leave(ctx, fmt.Errorf("creating %d jobs together, %w", len(group), err), false, group...)
	}
	var told []event.Fact
	for _, c := range group {
		r.summary.Scheduled++
		told = append(told, facts(c.record)...)
	}
	r.summary.Created += numbers.Len()
	return r.begun(ctx, group[0].record, told, starts)
}

// publish publishes a segment: by a direct grant if its tasks may start at once, else by an entry. It returns what the orchestrator is to start.
//
// Whatever becomes of a direct grant, the entry may follow: both are conditioned on the jobs' cursors, so at most one of them is written.
func (r *run) publish(ctx context.Context, records []ledger.Job, e queue.Entry) ([]direct.Start, error) {
	if l := r.labourers[e.Labourer]; !l.found || direct.Suits(l.Labourer) {
		name := fmt.Sprintf("%s/%s/%s", r.owner, e.Segment, e.Tasks) // several jobs of an invocation may share a segment
		if g := r.service.Granter.Grant(ctx, direct.Offer{Execution: name, Entry: e})[0]; g.May {
			err := r.service.Jobs.PublishGranted(ctx, records, g.Direct)
			if err == nil {
				r.summary.Granted += e.Tasks.Len()
				return []direct.Start{g.Start}, nil
			}
			if !errors.Is(err, ledger.ErrChanged) {
				r.summary.Errors = append(r.summary.Errors, err.Error())
			}
		}
	}
	return nil, r.service.Jobs.Publish(ctx, records, e)
}

// createApart continues jobs that could not be published together, each by itself, from where its record says.
func (r *run) createApart(ctx context.Context, group []*creation) (err error) {
	for _, c := range group {
		err = errors.Join(err, r.resumeTaken(ctx, c))
	}
	return err
}

// ahead limits how many segments are written while an earlier one is being published.
const ahead = 3

// publications limits the segments that one invocation publishes of a labourer's large jobs: 250 are 64,000 tasks. The entry of each takes two write units
// of the labourer's key, the job's cursor as many of the job's, and a key takes a thousand a second. What is left goes to the next invocation, which begins
// after the window in which jobs are gathered.
const publications = 250

// rewake sets the interval at which the orchestrator is woken while a large job is being created.
const rewake = time.Second

var (
	errLate  = errors.New("time is up")
	errTaken = errors.New("the publication was refused")
)

// create creates the job's tasks from its cursor on, until all exist or time is up.
func (r *run) create(ctx context.Context, c *creation) error {
	began := c.record.Cursor
	err := r.segments(ctx, c)
	switch {
	case errors.Is(err, errLate):
		return r.handOn(ctx, c)
	case errors.Is(err, errTaken):
		return r.lookAgain(ctx, c)
	case err != nil:
		return r.leave(ctx, err, c.record.Cursor > began, c)
	}
	return r.finish(ctx, c)
}

// segments writes and publishes the segments in order. No write is in flight when it returns: creation overwrites, and another scheduler may
// own the job from then on.
func (r *run) segments(ctx context.Context, c *creation) error {
	written := map[int]chan error{}
	defer func() {
		for _, done := range written {
			<-done //nolint:errcheck // the first error is what matters
		}
	}()
	write := func(ordinal int) {
		if ordinal >= c.record.Segments() || written[ordinal] != nil {
			return
		}
		done := make(chan error, 1)
		written[ordinal] = done
		own := *c // a copy, because the cursor advances meanwhile
		go func() { done <- r.store(ctx, ordinal, &own) }()
	}
	var woken time.Time
	for c.record.Cursor < c.record.Segments() {
		ordinal, late := c.record.Cursor, r.late() || c.record.Cursor > 0 && r.published[c.record.Labourer] >= publications
		if late && written[ordinal] == nil { // a segment already written is still published: otherwise the next scheduler would write it again
			return errLate
		}
		write(ordinal)
		if ordinal > 0 && !late { // the first segment is published without waiting for others
			for next := range ahead {
				write(ordinal + 1 + next)
			}
		}
		err := <-written[ordinal]
		delete(written, ordinal)
		if err != nil {
			return err
		}
		at, numbers := c.record.SegmentAt(ordinal)
		starts, err := r.publish(ctx, []ledger.Job{c.record}, r.entry(c, at, numbers))
		if errors.Is(err, ledger.ErrChanged) {
			return errTaken
		}
		if err != nil {
			return err
		}
		c.record.Cursor++
		r.published[c.record.Labourer]++
		c.starts = append(c.starts, starts...)
		r.summary.Created += numbers.Len()
		if now := r.service.Now(); c.record.Cursor < c.record.Segments() && now.Sub(woken) >= rewake {
			woken = now
			if err := r.wake(ctx, c.record, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAgain handles a refused publication. If it had succeeded and only its answer was lost, the job goes on. If the job is being cancelled
// or has another owner, nothing is left to do here.
func (r *run) lookAgain(ctx context.Context, c *creation) error {
	known, found, err := r.service.Jobs.Get(ctx, c.record.ID)
	if err != nil {
		return r.giveUp(err, c)
	}
	switch {
	case !found:
		return nil
	case known.Cancelling || known.State == ledger.Cancelled:
		return r.clear(ctx, known)
	case known.State != ledger.Scheduling:
		return r.tell(ctx, known)
	case known.Owner == r.owner && known.Cursor > c.record.Cursor:
		return r.handOn(ctx, c)
	}
	return fmt.Errorf("job %s was taken over by another scheduler at segment %d", c.record.ID, known.Cursor)
}

// clear removes the tasks of a cancelled job that were written and never published: no count includes them, and they have no time to live.
// The cursor of such a job stands still, and no scheduler writes further ahead of it. A scheduler that is still writing comes here when its
// publication is refused; if it dies before that, its message does. So the last of them leaves nothing behind.
func (r *run) clear(ctx context.Context, j ledger.Job) error {
	for ordinal := j.Cursor; ordinal < min(j.Segments(), j.Cursor+1+ahead); ordinal++ {
		at, numbers := j.SegmentAt(ordinal)
		if err := r.service.Tasks.Remove(ctx, at, numbers); err != nil {
			return fmt.Errorf("removing the unpublished tasks of job %s, %w", j.ID, err)
		}
	}
	return nil
}

// leave handles an error that interrupted the creation of these jobs. If segments were published, or time is up (as when writes stay
// throttled), the rest continues in the next invocation under a message of its own, because a job's message is redelivered only a few times.
// Otherwise the messages are redelivered.
func (r *run) leave(ctx context.Context, why error, progress bool, group ...*creation) error {
	if !progress && !r.late() {
		return r.giveUp(why, group...)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spare/4)
	defer cancel()
	for _, c := range group {
		if err := r.handOn(ctx, c); err != nil {
			return errors.Join(why, err)
		}
	}
	r.summary.Errors = append(r.summary.Errors, why.Error())
	return nil
}

// giveUp releases the jobs, so that the next delivery of their messages can begin at once.
func (r *run) giveUp(why error, group ...*creation) error {
	ctx, cancel := context.WithTimeout(context.Background(), spare/4)
	defer cancel()
	for _, c := range group {
		why = errors.Join(why, r.service.Jobs.Disown(ctx, c.record))
	}
	return why
}

// handOn leaves the rest of the job to another invocation. It releases the job first: in the other order, the next scheduler could find the
// job still owned.
func (r *run) handOn(ctx context.Context, c *creation) error {
	if err := r.service.Jobs.Disown(ctx, c.record); err != nil {
		return err
	}
	r.summary.HandedOn++
	return r.service.Queue.Continue(ctx, event.Continue(c.record.ID))
}

// finish publishes that all tasks of the job are created and wakes the orchestrator for them.
func (r *run) finish(ctx context.Context, c *creation) error {
	r.summary.Scheduled++
	if c.record.Total == 0 {
		return r.tell(ctx, c.record)
	}
	c.record.State = ledger.Scheduled
	return r.begun(ctx, c.record, facts(c.record), c.starts)
}

// begun publishes these facts, and has the orchestrator start what was granted directly, or wakes it. If the starts get lost, the orchestrator takes the
// tasks over, as from a dispatcher that died: here it is woken for that.
func (r *run) begun(ctx context.Context, j ledger.Job, told []event.Fact, starts []direct.Start) error {
	if len(starts) == 0 {
		return r.wake(ctx, j, told)
	}
	err := r.service.Bus.Publish(ctx, told...)
	if failed := r.service.Granter.Starter.Start(ctx, starts); failed != nil {
		err = errors.Join(err, failed, r.service.Timer.WakeAt(ctx, r.service.Now().Add(queue.DispatchTerm+time.Second), j.Labourer))
	}
	return err
}

// wake wakes the orchestrator for a job's tasks, now or when they are due, and publishes these facts.
func (r *run) wake(ctx context.Context, j ledger.Job, told []event.Fact) error {
	if j.NotBefore.After(r.service.Now()) {
		return errors.Join(r.service.Bus.Publish(ctx, told...), r.service.Timer.WakeAt(ctx, j.NotBefore, j.Labourer))
	}
	return r.service.Bus.Publish(ctx, append([]event.Fact{event.TasksDue(r.owner, j.Labourer)}, told...)...)
}

// entry returns the queue entry of a segment. Entries of one job are due in the order of its tasks, at least a millisecond apart. The same
// holds for entries of consecutive jobs.
func (r *run) entry(c *creation, at segment.ID, numbers segment.Numbers) queue.Entry {
	now := r.service.Now()
	due := now.UTC().Truncate(time.Millisecond)
	if nb := c.record.NotBefore.Add(time.Duration(c.record.Cursor) * time.Millisecond); nb.After(due) {
		due = nb
	}
	if !c.record.NotBefore.After(now) { // entries with a due time of their own neither wait for others nor delay them
		if last := r.last[c.record.Labourer]; !due.After(last) {
			due = last.Add(time.Millisecond)
		}
		r.last[c.record.Labourer] = due
	}
	e := queue.Entry{Labourer: c.record.Labourer, Due: due, Segment: at, First: numbers.Min(), Tasks: numbers, Attempt: 1, MaxDuration: c.asked.MaxDuration}
	if !c.record.Shares() {
		e.Job = c.record.ID
	}
	return e
}

// room approximates the most bytes of payloads held at once for a segment. A segment of tasks with the largest payloads has 64 MB, and
// sending it takes several times that; a function has 256 MB for all that it writes ahead.
const room = 4 << 20

// store creates the tasks of one segment of these jobs: all at once, unless their payloads are large.
func (r *run) store(ctx context.Context, ordinal int, group ...*creation) error {
	var tasks []task.Task
	held := 0
	for _, c := range group {
		first := ordinal * segment.Size
		for k := first; k < min(first+segment.Size, c.record.Total); k++ {
			one, err := c.task(k)
			if err != nil {
				return err
			}
			tasks, held = append(tasks, one), held+len(one.Payload)
			if held < room {
				continue
			}
			if err := r.service.Tasks.Create(ctx, tasks); err != nil {
				return err
			}
			tasks, held = nil, 0
		}
	}
	return r.service.Tasks.Create(ctx, tasks)
}

// task returns the k-th task of the job.
func (c *creation) task(k int) (task.Task, error) {
	payload, err := c.plan.Payload(k)
	if err != nil {
		return task.Task{}, fmt.Errorf("task %d of job %s, %w", k, c.record.ID, err)
	}
	return task.Task{ID: c.record.TaskAt(k), Labourer: c.record.Labourer, JobID: c.record.ID, Payload: payload, CreatedAt: c.record.SubmittedAt, Due: c.record.NotBefore,
		Shared: c.record.Shares(), MaxAttempts: c.asked.MaxAttempts, MaxDuration: c.asked.MaxDuration, Qualifier: c.asked.Qualifier, Trace: c.asked.Trace}, nil
}

func continued(e event.Envelope) (string, error) {
	var detail struct {
		JobID string `json:"job_id"`
	}
	if err := exact.Decode(e.Detail, &detail); err != nil || detail.JobID == "" {
		return "", fmt.Errorf("a %s without job_id", e.DetailType)
	}
	return detail.JobID, nil
}

package workflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/moe"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Reader reads runs.
type Reader interface {
	// Whole reads a run with its stages and the turns that have ended; false if there is no such run.
	Whole(ctx context.Context, run string) (Whole, bool, error)
}

// Whole is all that is stored of a run.
type Whole struct {
	Record   flow.Record
	Stored   Stored
	Progress map[flow.Place]flow.Progress
	Details  map[flow.Place]map[int]flow.Detail
}

// Subject returns what the run is about. c is the version that the record names.
func (w Whole) Subject(c flow.Composition) flow.Subject {
	return flow.Subject{Composition: c, UID: w.Record.UID, Run: w.Record.Run, Metadata: w.Stored.Metadata, From: w.Stored.From, Kept: w.Stored.Kept}
}

// Objects stores results that are too large for the events of workers.
type Objects interface {
	// Put stores a JSON document, over one of the same key, and returns its address.
	Put(ctx context.Context, key string, document []byte) (url string, err error)
}

// Briefing makes the events of turns' workers. It keeps the runs that it has read last. An event depends only on the turns before its own, which
// had ended when its own was published, so a run that was read for a turn does for all turns before it, and for those beside it.
type Briefing struct {
	Compositions Compositions
	Reader       Reader
	Statuses     Statuses
	Objects      Objects

	mu    sync.Mutex
	known []*briefed // the one that was used last is the last
}

// Fill returns the tasks with the payloads, groups and trace contexts of those that are turns, as their workers get them. Tasks of jobs stay as they are. unbriefed
// has the tasks whose worker can never get its event, and why. Fill reads each run at most once. For plugins
// of moe's orchestrator it makes the run's status row ready for the attempt.
func (b *Briefing) Fill(ctx context.Context, tasks []task.Task, attempt int) (filled []task.Task, unbriefed map[task.ID]string, err error) {
	last := map[string]position{}
	filled, unbriefed = slices.Clone(tasks), map[task.ID]string{}
	for _, t := range tasks {
		if t.Turn == "" {
			continue
		}
		at, err := flow.ParsePlace(t.Turn)
		if err != nil {
			unbriefed[t.ID] = err.Error()
			continue
		}
		if p, known := last[t.JobID]; !known || !p.covers(position{at, t.ID.N}) {
			last[t.JobID] = position{at, t.ID.N}
		}
	}
	var moes []moe.Attempt
	for _, run := range slices.Sorted(maps.Keys(last)) {
		known := b.of(run)
		if err := known.hold(ctx); err != nil {
			return nil, nil, err
		}
		some, err := known.fill(ctx, b, last[run], filled, unbriefed)
		<-known.held
		if err != nil {
			return nil, nil, fmt.Errorf("briefing the workers of run %s, %w", run, err)
		}
		moes = append(moes, some...)
	}
	b.forget()
	if err := b.begin(ctx, moes, attempt, unbriefed); err != nil {
		return nil, nil, err
	}
	return filled, unbriefed, nil
}

// Outsource stores the results that a turn gets as an object, and returns the turn with the object's address in their place. Doing it again is the
// same. It returns false if the turn gets none, or has another envelope.
func (b *Briefing) Outsource(ctx context.Context, t task.Task) (task.Task, bool, error) {
	at, err := flow.ParsePlace(t.Turn)
	if err != nil || t.Moe {
		return t, false, nil
	}
	known := b.of(t.JobID)
	if err := known.hold(ctx); err != nil {
		return t, false, err
	}
	defer func() { <-known.held }()
	if until := (position{at, t.ID.N}); !known.read || !known.until.covers(until) {
		if found, err := known.load(ctx, b, until); err != nil || !found {
			return t, false, err
		}
	}
	plan, turn, err := known.turn(t)
	if err != nil {
		return t, false, err
	}
	results, err := known.subject.Results(known.plan, plan.Place, turn.Number, known.whole.Progress, known.whole.Details)
	if err != nil || len(results) == 0 {
		return t, false, err
	}
	key := plan.ResultsKey(known.run, turn.Number)
	if known.stored[key] == "" { // else another turn of the stage has stored the same
		if known.stored[key], err = b.Objects.Put(ctx, key, document.Encode(results)); err != nil {
			return t, false, fmt.Errorf("storing the results for turns of run %s, %w", known.run, err)
		}
	}
	t.Payload = known.subject.Brief(known.run, plan, turn.Number, nil, known.stored[key])
	return t, true, nil
}

// begin makes the status rows of attempts ready, and adds those that can never start to unbriefed.
func (b *Briefing) begin(ctx context.Context, attempts []moe.Attempt, number int, unbriefed map[task.ID]string) error {
	errs := make([]error, len(attempts))
	var g errgroup.Group
	g.SetLimit(together)
	for i, a := range attempts {
		a.Attempt = number
		g.Go(func() error {
			errs[i] = b.Statuses.Begin(ctx, a)
			return nil
		})
	}
	_ = g.Wait()
	for i, err := range errs {
		if errors.Is(err, ErrNoStatuses) || errors.Is(err, ErrOvertaken) {
			unbriefed[attempts[i].TaskID], errs[i] = err.Error(), nil
		}
	}
	return errors.Join(errs...)
}

// of returns what is known of a run.
func (b *Briefing) of(run string) *briefed {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.known, func(k *briefed) bool { return k.run == run })
	known := newBriefed(run)
	if i >= 0 {
		known = b.known[i]
		b.known = slices.Delete(b.known, i, i+1)
	}
	b.known = append(b.known, known)
	return known
}

// mostKept says how many bytes of metadata and results are kept in memory: a small part of a function's.
const mostKept = 8 << 20

// least says how many bytes a run takes at least.
const least = 1 << 10

// forget drops the runs that were used longest ago, if they take too much memory.
func (b *Briefing) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := 0
	for i, known := range slices.Backward(b.known) {
		sum += int(known.size.Load())
		if sum > mostKept {
			b.known = slices.Delete(b.known, 0, i+1)
			return
		}
	}
}

// position is a turn's place in the order of its run.
type position struct {
	at     flow.Place
	number int
}

// covers reports whether what comes before the other turn had ended when this one was published.
func (p position) covers(other position) bool {
	if p.at != other.at {
		return p.at.Ordinal() > other.at.Ordinal()
	}
	return !p.at.Stage.Sequential() || p.number >= other.number
}

// briefed is a run as it was read for its turns up to one of them.
type briefed struct {
	run  string
	held chan struct{} // has an element while the run is read or used
	size atomic.Int64  // in bytes, about

	read    bool
	until   position
	whole   Whole
	subject flow.Subject
	plans   map[flow.Place]flow.Plan
	stored  map[string]string // the addresses of objects with results, by key
}

func newBriefed(run string) *briefed {
	k := &briefed{run: run, held: make(chan struct{}, 1)}
	k.size.Store(least)
	return k
}

// hold waits until nothing else reads or uses the run.
func (k *briefed) hold(ctx context.Context) error {
	select {
	case k.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for run %s, %w", k.run, ctx.Err())
	}
}

// fill fills in the payloads of the run's turns. It returns the attempts at those whose plugins are moe's, without their numbers.
func (k *briefed) fill(ctx context.Context, b *Briefing, until position, filled []task.Task, unbriefed map[task.ID]string) (moes []moe.Attempt, err error) {
	if !k.read || !k.until.covers(until) {
		found, err := k.load(ctx, b, until)
		if err != nil {
			return nil, err
		}
		if !found {
			for _, t := range filled {
				if t.Turn != "" && t.JobID == k.run {
					unbriefed[t.ID] = "its run " + k.run + " is gone"
				}
			}
			return nil, nil
		}
	}
	for i, t := range filled {
		if _, is := unbriefed[t.ID]; is || t.Turn == "" || t.JobID != k.run {
			continue
		}
		plan, turn, err := k.turn(t)
		var results flow.Results
		if err == nil && turn.Envelope != flow.Moe {
			results, err = k.subject.Results(k.plan, plan.Place, turn.Number, k.whole.Progress, k.whole.Details)
		}
		if err != nil {
			unbriefed[t.ID] = err.Error()
			continue
		}
		filled[i].Group, filled[i].Trace = k.subject.Group(turn.GroupKey), k.whole.Record.Trace
		if turn.Envelope == flow.Moe {
			filled[i].Payload, filled[i].Moe = moe.Payload(k.subject, k.whole.Record.Head, plan), true
			moes = append(moes, k.attempt(plan, turn, t.ID))
			continue
		}
		filled[i].Payload = k.subject.Brief(k.run, plan, turn.Number, results, "")
	}
	return moes, nil
}

// attempt returns an attempt at a turn, as its run's status row knows it.
func (k *briefed) attempt(plan flow.Plan, turn flow.Turn, id task.ID) moe.Attempt {
	r := k.whole.Record
	return moe.Attempt{TaskID: id, Turn: moe.Turn{Activity: plan.Activity, Stage: plan.Stage, Plugin: turn.Plugin},
		Row: moe.Row{UID: r.UID, Workflow: r.Workflow, RunID: r.ID, StartedAt: r.Head.StartedAt, Activities: k.subject.Composition.Workflow.Activities}}
}

// load reads the run. It keeps none that has not begun.
func (k *briefed) load(ctx context.Context, b *Briefing, until position) (bool, error) {
	whole, found, err := b.Reader.Whole(ctx, k.run)
	if err != nil || !found || whole.Record.Version == 0 {
		return false, err
	}
	c, err := b.Compositions.Version(ctx, whole.Record.Workflow, whole.Record.Version)
	if err != nil {
		return false, err
	}
	k.read, k.until, k.whole, k.subject, k.plans = true, until, whole, whole.Subject(c), map[flow.Place]flow.Plan{}
	k.stored = map[string]string{}
	size := least + len(whole.Stored.Metadata)
	for _, turns := range whole.Details {
		for _, d := range turns {
			size += 200 + len(d.Result)
		}
	}
	k.size.Store(int64(size))
	return true, nil
}

// turn returns the turn that a task is, and the plan of its stage.
func (k *briefed) turn(t task.Task) (flow.Plan, flow.Turn, error) {
	at, err := flow.ParsePlace(t.Turn)
	if err != nil {
		return flow.Plan{}, flow.Turn{}, err
	}
	if at.Activity >= len(k.subject.Composition.Workflow.Activities) {
		return flow.Plan{}, flow.Turn{}, fmt.Errorf("run %s has no stage %s", k.run, t.Turn)
	}
	plan, err := k.plan(at)
	if err != nil {
		return flow.Plan{}, flow.Turn{}, err
	}
	if t.ID.N >= len(plan.Turns) {
		return flow.Plan{}, flow.Turn{}, fmt.Errorf("stage %s of run %s has no turn %d", t.Turn, k.run, t.ID.N)
	}
	return plan, plan.Turns[t.ID.N], nil
}

func (k *briefed) plan(at flow.Place) (flow.Plan, error) {
	plan, has := k.plans[at]
	if has {
		return plan, nil
	}
	plan, err := k.subject.Plan(at)
	if err == nil {
		k.plans[at] = plan
	}
	return plan, err
}

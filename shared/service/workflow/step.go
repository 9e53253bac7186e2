package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/direct"
)

// Look carries out what a run needs now. It may be called at any time and any number of times.
func (s *Service) Look(ctx context.Context, id string) error {
	return again("looking at run "+id, func() error { return s.look(ctx, id) })
}

// beginning stands for the place of a token whose execution shows no stage yet.
var beginning = flow.Place{Activity: -1}

// Wait has the run's execution wait by this token, and carries out what the run needs now. activity and stage say what the execution shows.
func (s *Service) Wait(ctx context.Context, id, execution, token, activity, stage string) error {
	return again("looking at run "+id, func() error {
		r, found, err := s.load(ctx, id)
		if err != nil || !found || r.record.Execution != execution {
			return err // the record has expired, or the execution is not the run's
		}
		at := shown(r.subject, activity, stage)
		if err := s.await(ctx, r.record, token, at, at.Activity-r.subject.First()); err != nil {
			return err
		}
		return s.look(ctx, id)
	})
}

// shown returns the place that an execution shows; one that is unknown counts as its beginning, and is answered at once.
func shown(subject flow.Subject, activity, stage string) flow.Place {
	i := slices.Index(subject.Composition.Workflow.Activities, activity)
	at, known := flow.ParseStage(stage)
	if i < 0 || !known {
		return beginning
	}
	return flow.Place{Activity: i, Stage: at}
}

// await stores the token of an execution, and that the first activities were told of: the execution went on only after that. An execution never goes
// back, so the token of an earlier state comes from a message that is late, and waits for nothing.
func (s *Service) await(ctx context.Context, r flow.Record, token string, at flow.Place, told int) error {
	if r.Token == token || r.Token != "" && at.Ordinal() < r.TokenAt.Ordinal() {
		return nil
	}
	after := r
	after.Token, after.TokenAt, after.Told = token, at, max(r.Told, min(told, len(r.Head.Activities)))
	_, err := s.Runs.Save(ctx, r, after)
	return err
}

// look reads the run and carries out decisions until it waits or has ended.
//
// The token is stored before the stage is read. So a turn that ends later is counted by a recorder that looks at the run after that, and one
// that ended before is seen here.
func (s *Service) look(ctx context.Context, id string) error {
	r, found, err := s.load(ctx, id)
	if err != nil || !found || r.record.Retired {
		return err
	}
	if r.record.Waiting() {
		return s.takeTurn(ctx, r.record)
	}
	if r.record.Begins { // what woke it may not come again
		if err := s.started(ctx, r.record); err != nil {
			return err
		}
	}
	for !r.record.Head.Ended() {
		if err := s.tell(ctx, r); err != nil {
			return err
		}
		acted, err := s.step(ctx, &r)
		if err != nil {
			return err
		}
		if !acted {
			break
		}
	}
	if r.record.Head.Ended() { // else all was told before the last step
		if err := s.tell(ctx, r); err != nil {
			return err
		}
	}
	if err := s.alert(ctx, &r); err != nil { // it stores that all was told
		return err
	}
	if r.record.Head.Ended() {
		return s.finish(ctx, r)
	}
	if r.record.Token != "" && r.record.TokenAt != r.record.Head.At {
		return s.answer(ctx, r)
	}
	return nil
}

// step carries out one decision. It returns false if the run waits.
func (s *Service) step(ctx context.Context, r *run) (bool, error) {
	plan, err := r.subject.Plan(r.record.Head.At)
	if err != nil {
		return false, err
	}
	p, err := s.Stages.Progress(ctx, r.record.ID, plan.Place)
	if err != nil {
		return false, err
	}
	d := flow.Step(r.subject, r.record.Head, plan, p, s.now())
	switch d.Action {
	case flow.Wait:
		return false, nil
	case flow.Publish:
		return true, s.publish(ctx, *r, plan, p, d.Numbers)
	case flow.GiveUp:
		return true, s.giveUp(ctx, *r, plan, p, d)
	case flow.Move:
		if err := s.cancelTasks(ctx, *r, plan, p.GivenUp().Intersect(p.Published)); err != nil {
			return false, err
		}
		if d.Culprit >= 0 && d.Head.Message == "" {
			if d.Head.Message, err = s.blame(ctx, *r, plan, p, d.Culprit); err != nil {
				return false, err
			}
		}
	}
	after := r.record
	after.Head, after.Told, after.Begins = d.Head, len(r.record.Head.Activities), false
	if r.record, err = s.Runs.Save(ctx, r.record, after); err == nil && r.record.Head.Ended() {
		s.meterEnd(r.record)
	}
	return true, err
}

func (s *Service) blame(ctx context.Context, r run, plan flow.Plan, p flow.Progress, number int) (string, error) {
	detail, _, err := s.Stages.Detail(ctx, r.record.ID, plan.Place, number)
	return plan.Blame(number, p, detail.Message), err
}

// mostLabourers bounds the labourers of one publication: a transaction takes 100 items. One is the stage, and each labourer adds an entry, or the two
// items of a direct grant.
const mostLabourers = 49

// publish creates the tasks of turns and makes them due. Of more labourers than one transaction takes, the next step publishes the rest.
func (s *Service) publish(ctx context.Context, r run, plan flow.Plan, p flow.Progress, numbers segment.Numbers) error {
	now := s.now()
	at := flow.Segment(r.record.ID, plan.Place)
	own := map[string]segment.Numbers{}
	var tasks []task.Task
	for n := range numbers.All() {
		t := plan.Turns[n]
		if _, has := own[t.Labourer]; !has && len(own) == mostLabourers {
			continue
		}
		own[t.Labourer] = own[t.Labourer].Union(segment.Of(n))
		tasks = append(tasks, task.Task{ID: task.ID{Segment: at, N: n}, Labourer: t.Labourer, JobID: r.record.ID, Turn: plan.Place.String(),
			Payload: json.RawMessage("{}"), CreatedAt: now})
	}
	if err := s.Tasks.Add(ctx, tasks); err != nil {
		return err
	}
	after := p
	after.PublishedAt = now
	var entries []queue.Entry
	for _, labourer := range slices.Sorted(maps.Keys(own)) {
		after.Published = after.Published.Union(own[labourer])
		entries = append(entries, queue.Entry{Labourer: labourer, Due: now, Segment: at, First: own[labourer].Min(), Tasks: own[labourer], Attempt: 1})
	}
	name := fmt.Sprintf("%s/%s", r.record.ID, plan.Place)
	queued, grants, starts := s.grant(ctx, name, entries)
	err := s.Stages.Publish(ctx, r.record.ID, plan, p, after, queued, grants)
	if err != nil && len(grants) > 0 { // perhaps a labourer has changed; the stage's revision lets one publication through
		queued, starts = entries, nil
		err = s.Stages.Publish(ctx, r.record.ID, plan, p, after, queued, nil)
	}
	if err != nil {
		return err
	}
	if len(starts) > 0 {
		// What gets lost of it is taken over by the orchestrator, as from a dispatcher that died.
		err = s.Granter.Starter.Start(ctx, starts)
	}
	if len(queued) > 0 {
		var due []string
		for _, e := range queued {
			due = append(due, e.Labourer)
		}
		err = errors.Join(err, s.Bus.Publish(ctx, event.TasksDue(fmt.Sprintf("%s/%s", name, after.Published), due...)))
	}
	return err
}

// grant decides which entries become direct grants. It returns the others as they are.
func (s *Service) grant(ctx context.Context, name string, entries []queue.Entry) (queued []queue.Entry, grants []queue.Direct, starts []direct.Start) {
	offers := make([]direct.Offer, len(entries))
	for i, e := range entries {
		offers[i] = direct.Offer{Execution: fmt.Sprintf("%s/%d", name, e.First), Entry: e}
	}
	for i, g := range s.Granter.Grant(ctx, offers...) {
		if g.May {
			grants, starts = append(grants, g.Direct), append(starts, g.Start)
		} else {
			queued = append(queued, entries[i])
		}
	}
	return queued, grants, starts
}

// giveUp ends turns for the run, and cancels their tasks. A worker that runs one goes on; its end changes nothing.
func (s *Service) giveUp(ctx context.Context, r run, plan flow.Plan, p flow.Progress, d flow.Decision) error {
	after := p
	if d.As == flow.Cancelled {
		after.Cancelled = after.Cancelled.Union(d.Numbers)
	} else {
		after.TimedOut = after.TimedOut.Union(d.Numbers)
	}
	if err := s.Stages.GiveUp(ctx, r.record.ID, plan, p, after, s.now()); err != nil {
		return err
	}
	return s.cancelTasks(ctx, r, plan, d.Numbers.Intersect(p.Published))
}

// cancelTasks ends the tasks of turns that were given up. A task that waits in the queue or in a lease is found ended there, and not started.
func (s *Service) cancelTasks(ctx context.Context, r run, plan flow.Plan, numbers segment.Numbers) error {
	for range tries {
		if numbers.Empty() {
			return nil
		}
		tasks, err := s.Tasks.Range(ctx, flow.Segment(r.record.ID, plan.Place), numbers)
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return err
		}
		numbers = segment.Numbers{}
		for _, before := range append(tasks, unreadable...) { // cancelling a task does not need its unreadable parts
			after, err := before.Cancel(s.now())
			if err != nil {
				continue // it has ended
			}
			switch err := s.Tasks.Save(ctx, before, after); {
			case errors.Is(err, task.ErrStale):
				numbers = numbers.Union(segment.Of(before.ID.N))
			case err != nil:
				return err
			}
		}
	}
	return fmt.Errorf("cancelling tasks of run %s: they changed %d times in between", r.record.ID, tries)
}

// tell publishes the activities that have ended since the record's last write but one. A record that was written later has them as told: its
// writer published them first.
func (s *Service) tell(ctx context.Context, r run) error {
	names := r.subject.Composition.Workflow.Activities
	var facts []event.Fact
	for i := r.record.Told; i < len(r.record.Head.Activities); i++ {
		facts = append(facts, event.ActivityCompleted(r.record.Event(), names[r.subject.First()+i], string(r.record.Head.Activities[i])))
	}
	if len(facts) == 0 {
		return nil
	}
	return s.Bus.Publish(ctx, facts...)
}

// alertingFor says after which time an alert counts as interrupted.
const alertingFor = 3 * time.Minute

// alert reports once that the run takes longer than its workflow's sla.
func (s *Service) alert(ctx context.Context, r *run) error {
	now := s.now()
	switch {
	case r.record.Head.Ended() && r.record.Alert == "", r.record.Alert == flow.Alerted:
		return nil
	case r.record.Alert == "" && now.Before(r.record.Head.Overdue(r.subject.Composition.Workflow)):
		return nil
	case r.record.Alert == flow.Alerting && now.Before(r.record.AlertedAt.Add(alertingFor)):
		return nil
	}
	var err error
	for _, state := range []flow.Alert{flow.Alerting, flow.Alerted} {
		if state == flow.Alerted {
			if err := errors.Join(s.Bus.Publish(ctx, event.WorkflowOverdue(r.record.Event())), s.Pager.Overdue(ctx, r.record.Event())); err != nil {
				return err
			}
		}
		after := r.record
		after.Alert, after.AlertedAt, after.Told = state, now, len(r.record.Head.Activities)
		if r.record, err = s.Runs.Save(ctx, r.record, after); err != nil {
			return err
		}
	}
	s.meterOverdue(r.record)
	return nil
}

// finish carries out what follows from a run's end. Each part may be repeated; the run leaves the list of active runs last.
func (s *Service) finish(ctx context.Context, r run) error {
	next, err := s.Claims.Release(ctx, r.record)
	if err != nil {
		return err
	}
	switch why := r.record.Refused; {
	case r.record.Version > 0:
		err = s.Bus.Publish(ctx, event.WorkflowEnded(r.record.Event()))
	case why != nil:
		err = s.reject(ctx, flow.Start{Workflow: r.record.Workflow, UID: r.record.UID}, r.record.ID, why)
	}
	if err != nil {
		return err
	}
	if r.record.Token != "" {
		if err := s.answer(ctx, r); err != nil {
			return err
		}
	}
	if r.subject.Composition.Has(flow.Moe) {
		if err := s.Rows.Expire(ctx, r.record.UID, r.record.Workflow, r.record.ID, r.record.Head.FinishedAt); err != nil {
			return err
		}
	}
	if r.record.Token != "" || r.record.Stopped { // else its execution is still to come
		if err := s.Runs.Retire(ctx, r.record); err != nil {
			return err
		}
	}
	if next == "" {
		return nil
	}
	return s.Look(ctx, next)
}

// answer has the run's execution go on to what the run is at.
func (s *Service) answer(ctx context.Context, r run) error {
	output, err := json.Marshal(r.record.View(r.subject))
	if err != nil {
		return fmt.Errorf("encoding the view of run %s, %w", r.record.ID, err)
	}
	return s.Executions.Answer(ctx, r.record.Token, output)
}

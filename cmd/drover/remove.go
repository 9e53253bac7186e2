package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/segment"
)

// leaver is a labourer that is to be taken away.
type leaver struct {
	id     string
	stored dynamo.Stored
}

// leaving finds the labourers that are to be taken away.
func (s *stack) leaving(ctx context.Context, ids []string) ([]leaver, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	applied, err := s.registry.All(ctx, true)
	if err != nil {
		return nil, err
	}
	var out []leaver
	for _, id := range ids {
		stored, found := applied.Labourers[id]
		if !found {
			return nil, noLabourer(id)
		}
		out = append(out, leaver{id, stored})
	}
	return out, nil
}

func noLabourer(id string) error { return fmt.Errorf("there is no labourer %q in this stack", id) }

// drainLook is how often a labourer that is being drained is looked at.
const drainLook = time.Second

// removeLabourer takes a labourer away that has no work left; with drain it waits until that is so.
func (s *shell) removeLabourer(ctx context.Context, st *stack, l leaver, drain bool) error {
	said := ""
	patient := s.following(fmt.Sprintf("labourer %s stays, and its work goes on", l.id))
	for {
		running, queued, err := s.workLeft(ctx, st, l.id)
		if err != nil && drain {
			if err := patient.bear(ctx, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		patient.answered()
		if running+queued == 0 {
			break
		}
		if !drain {
			return fmt.Errorf("labourer %s has work left: %d tasks run, %d are queued; cancel their jobs, or wait for them with --drain", l.id, running, queued)
		}
		if now := fmt.Sprintf("waiting for labourer %s: %d tasks run, %d are queued", l.id, running, queued); now != said {
			s.say("%s", now)
			said = now
		}
		if err := s.wait(ctx, drainLook); err != nil {
			return err
		}
	}
	err := st.registry.RemoveLabourer(ctx, l.id, l.stored.Revision)
	if errors.Is(err, queue.ErrChanged) {
		return fmt.Errorf("labourer %s was applied by somebody else in the meantime, and stays", l.id)
	}
	if err != nil {
		return err
	}
	// A job that the scheduler had read before may have put tasks in the queue just now.
	running, queued, err := s.workLeft(ctx, st, l.id)
	if err != nil || running+queued == 0 {
		return err
	}
	if err := st.registry.ApplyLabourer(ctx, l.id, l.stored.Text, 0); err != nil && !errors.Is(err, queue.ErrChanged) {
		return fmt.Errorf("labourer %s got %d tasks while it was being removed, and could not be put back, %w", l.id, running+queued, err)
	}
	return errors.Join(fmt.Errorf("labourer %s got %d tasks while it was being removed, and stays", l.id, running+queued), st.wake(ctx, []string{l.id}))
}

// workLeft returns how many tasks of a labourer run, or still hold a slot, and how many are in its queue or will be: between two segments
// of a job that is being created both may be empty.
func (s *shell) workLeft(ctx context.Context, st *stack, id string) (running, queued int, err error) {
	entries, err := st.control.Queue(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	leases, err := st.control.Leases(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		if queued += e.Tasks.Len(); e.Unreadable != nil {
			queued++ // at least
		}
	}
	if running = queue.Running(leases); running+queued > 0 {
		return running, queued, nil
	}
	err = st.eachJob(ctx, s.now(), func(jobs []ledger.Job) (bool, error) {
		for _, j := range jobs {
			if j.Labourer == id && j.State == ledger.Scheduling && !j.Cancelling {
				queued += max(j.Total-j.Cursor*segment.Size, 0)
			}
		}
		return true, nil
	})
	return running, queued, err
}

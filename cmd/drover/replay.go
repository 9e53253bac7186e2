package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/event"
	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
	"github.com/drover-run/drover/shared/view"
)

func newReplay(s *shell) *cobra.Command {
	var job, labourer string
	c := &cobra.Command{
		Use:   "replay TASK... | --job ID | --labourer ID",
		Short: "revive the dead: by name, by job or by labourer",
		Long: `Gives dead tasks a new life: they are queued again under their own ids, with a fresh set of attempts, and their job is scheduled again.
The command ends when that has happened, and prints how many they are. The tasks of a cancelled job stay dead.`,
		Example: `  drover replay 2jxtsgokhmkcw7cc.17 2jxtsgokhmkcw7cc.18
  drover replay --job nightly-2026-11-22
  drover replay --labourer shop`,
	}
	c.Flags().StringVar(&job, "job", "", "all dead tasks of this `job`")
	c.Flags().StringVar(&labourer, "labourer", "", "all dead tasks of this `labourer`")
	c.Args = func(_ *cobra.Command, names []string) error {
		given := 0
		for _, is := range []bool{len(names) > 0, job != "", labourer != ""} {
			if is {
				given++
			}
		}
		if given != 1 {
			return errors.New("exactly one of TASK..., --job ID and --labourer ID is wanted")
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, names []string) error {
		ctx := c.Context()
		st, err := s.stack(ctx)
		if err != nil {
			return err
		}
		var dead []task.Task
		if len(names) > 0 {
			dead, err = s.deadByName(ctx, st, names)
		} else {
			dead, err = s.deadOf(ctx, &census{stack: st, now: s.now, job: job, labourer: labourer, status: view.Dead})
		}
		if err != nil {
			return err
		}
		if len(dead) > 0 {
			if err := st.replay(ctx, names, job, labourer); err != nil {
				return err
			}
			if err := s.awaitRevival(ctx, st, dead); err != nil {
				return err
			}
		}
		if s.json {
			return s.document(map[string]int{"replayed": len(dead)})
		}
		fmt.Fprintf(s.out, "%d tasks are replayed\n", len(dead))
		return nil
	}
	return c
}

// deadByName finds tasks by name, all of which have to be dead.
func (s *shell) deadByName(ctx context.Context, st *stack, names []string) ([]task.Task, error) {
	var ids []task.ID
	for _, name := range names {
		id, err := task.ParseID(name)
		if err != nil {
			return nil, fmt.Errorf("there is no such task: %w", err)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	found, err := st.tasks.Load(ctx, ids)
	if err != nil {
		return nil, err
	}
	var dead []task.Task
	for _, id := range ids {
		t, ok := found[id]
		switch {
		case !ok:
			return nil, fmt.Errorf("there is no task %s in this stack", id)
		case t.Status != task.Dead:
			return nil, fmt.Errorf("task %s is not dead (see drover task %s): only the dead are replayed", id, id)
		}
		dead = append(dead, t)
	}
	return dead, s.replayable(ctx, st, dead)
}

// replayable waits until the deaths of tasks are counted, which is when they can be replayed; that takes a moment after the task itself.
func (s *shell) replayable(ctx context.Context, st *stack, dead []task.Task) error {
	byJob := map[string][]task.Task{}
	for _, t := range dead {
		byJob[t.JobID] = append(byJob[t.JobID], t)
	}
	for id, tasks := range byJob {
		record, found, err := st.jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		if !found || !revivable(record) {
			return fmt.Errorf("job %s, whose task %s is, is %s: its tasks stay dead", id, tasks[0].ID, standing(record, found))
		}
		for look := 1; ; look++ {
			progress, err := st.jobs.Progress(ctx, record)
			if err != nil {
				return err
			}
			counted := map[segment.ID]segment.Numbers{}
			for _, p := range progress {
				counted[p.Segment] = endedAs(p, view.Dead)
			}
			if !slices.ContainsFunc(tasks, func(t task.Task) bool { return !counted[t.ID.Segment].Contains(t.ID.N) }) || look > countLooks {
				break
			}
			if err := s.wait(ctx, followLook); err != nil {
				return err
			}
		}
	}
	return nil
}

// countLooks is how often it is looked whether deaths are counted.
const countLooks = 20

// revivable tells whether the dead of a job can be replayed.
func revivable(j ledger.Job) bool {
	return (j.State == ledger.Completed || j.State == ledger.Scheduled) && !j.Cancelling
}

func standing(j ledger.Job, found bool) string {
	switch {
	case !found:
		return "not kept any more"
	case j.Cancelling:
		return "being cancelled"
	}
	return string(j.State)
}

// deadOf finds the dead of a job or a labourer that can be replayed.
func (s *shell) deadOf(ctx context.Context, asked *census) ([]task.Task, error) {
	var dead []task.Task
	jobs := map[string]bool{}
	err := asked.each(ctx, func(one sight) (bool, error) {
		id := one.task.JobID
		can, known := jobs[id]
		if !known {
			record, found, err := asked.jobs.Get(ctx, id)
			if err != nil {
				return false, err
			}
			can = found && revivable(record)
			jobs[id] = can
		}
		if can {
			dead = append(dead, one.task)
		}
		return true, nil
	})
	if err == nil && len(dead) > 0 {
		err = s.replayable(ctx, asked.stack, dead)
	}
	return dead, err
}

// replayMost is how many tasks one command names: their ids have 20 bytes, and an event takes 256 KB.
const replayMost = 5000

// revival is the detail of a ReplayTasks: one of the last three says what is replayed.
type revival struct {
	ReplayID string   `json:"replay_id"`
	Tasks    []string `json:"tasks,omitempty"`
	JobID    string   `json:"job_id,omitempty"`
	Labourer string   `json:"labourer,omitempty"`
}

// replay puts ReplayTasks on the bus, with an id so that it may be delivered any number of times.
func (s *stack) replay(ctx context.Context, names []string, job, labourer string) error {
	parts := [][]string{nil}
	if len(names) > 0 {
		parts = slices.Collect(slices.Chunk(names, replayMost))
	}
	for _, part := range parts {
		detail, err := json.Marshal(revival{"cli-" + rand.Text(), part, job, labourer})
		if err != nil {
			return err
		}
		if _, err := s.bus.Send(ctx, source, event.ReplayTasks, detail); err != nil {
			return err
		}
	}
	return nil
}

const (
	// revivalLook is how many tasks one look takes in while they are being revived.
	revivalLook = 500
	// revivalPatience is how long nothing may happen.
	revivalPatience = time.Minute
)

// awaitRevival waits until the tasks have left the life in which they died.
func (s *shell) awaitRevival(ctx context.Context, st *stack, dead []task.Task) error {
	left, last := slices.Clone(dead), s.now()
	patient := s.following("the replay was sent and goes on")
	for {
		some := left[:min(len(left), revivalLook)]
		ids := make([]task.ID, len(some))
		for i, t := range some {
			ids[i] = t.ID
		}
		found, err := st.tasks.Load(ctx, ids)
		if err != nil {
			if err := patient.bear(ctx, err); err != nil {
				return err
			}
			last = s.now()
			continue
		}
		patient.answered()
		before := len(left)
		left = slices.DeleteFunc(left, func(t task.Task) bool {
			now, there := found[t.ID]
			return there && now.Life > t.Life
		})
		switch {
		case len(left) == 0:
			return nil
		case len(left) < before:
			last = s.now()
			continue
		case s.now().Sub(last) > revivalPatience:
			return fmt.Errorf("the replay was sent, but %d of %d tasks are still dead, %s the first; drover doctor may tell why", len(left), len(dead), left[0].ID)
		}
		if err := s.wait(ctx, followLook/2); err != nil {
			return err
		}
	}
}

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

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/service/replay"
)

func newReplay(s *shell) *cobra.Command {
	var job, labourer string
	c := &cobra.Command{
		Use:   "replay TASK... | --job ID | --labourer ID",
		Short: "give dead tasks new attempts: by name, by job or by labourer",
		Long: `Gives dead tasks a new life: they are queued again under their own ids with a fresh set of attempts, and their job is scheduled again. The
command waits until all are queued, and prints how many there are. The tasks of a cancelled job stay dead.`,
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
			return errors.New("want exactly one of TASK..., --job ID and --labourer ID")
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, names []string) error {
		ctx := c.Context()
		ids, err := taskIDs(names)
		if err != nil {
			return err
		}
		st, err := s.stack(ctx)
		if err != nil {
			return err
		}
		var dead []task.Task
		if len(ids) > 0 {
			dead, err = s.reader(st).DeadNamed(ctx, ids)
		} else {
			dead, err = s.reader(st).Dead(ctx, job, labourer)
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
		if len(dead) == 0 {
			fmt.Fprintln(s.out, "No dead task can be replayed.")
			return nil
		}
		fmt.Fprintf(s.out, "Replayed %s.\n", inspect.Count(len(dead), "task"))
		return nil
	}
	return c
}

func taskIDs(names []string) ([]task.ID, error) {
	var ids []task.ID
	for _, name := range names {
		id, err := task.ParseID(name)
		if err != nil {
			return nil, fmt.Errorf("there is no such task: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// replayedAtOnce limits how many tasks one command names: an id has 20 bytes, and an event at most 256 KB.
const replayedAtOnce = 5000

// replay puts ReplayTasks on the bus. The command's id makes it idempotent: the bus may deliver it any number of times.
func (s *stack) replay(ctx context.Context, names []string, job, labourer string) error {
	parts := [][]string{nil}
	if len(names) > 0 {
		parts = slices.Collect(slices.Chunk(names, replayedAtOnce))
	}
	for _, part := range parts {
		detail, err := json.Marshal(replay.Command{ReplayID: "cli-" + rand.Text(), Tasks: part, JobID: job, Labourer: labourer})
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
	// revivalsRead limits how many tasks one read returns while they are being revived.
	revivalsRead = 500
	// revivalPause separates two reads.
	revivalPause = 250 * time.Millisecond
	// revivalPatience limits how long the command waits for the next task to be revived.
	revivalPatience = time.Minute
)

// awaitRevival waits until the tasks have left the life in which they died.
func (s *shell) awaitRevival(ctx context.Context, st *stack, dead []task.Task) error {
	left, last := slices.Clone(dead), s.now()
	patient := s.following("the replay was sent and continues")
	for {
		some := left[:min(len(left), revivalsRead)]
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
			return fmt.Errorf("the replay was sent, but %d of %s %s still dead, %s the first; to find out why: %s",
				len(left), inspect.Count(len(dead), "task"), inspect.Plural(len(left), "is", "are"), left[0].ID, st.own("doctor"))
		}
		if err := s.wait(ctx, revivalPause); err != nil {
			return err
		}
	}
}

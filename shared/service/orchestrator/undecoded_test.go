package orchestrator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

// stored returns the items of a labourer in the control table whose keys have this prefix.
func stored(s *outage.Stage, labourer, prefix string) (found []fakeaws.Item) {
	for _, it := range s.DynamoDB.Items(fakeaws.ControlTable) {
		if it["labourer"].(*types.AttributeValueMemberS).Value == labourer && strings.HasPrefix(it["item"].(*types.AttributeValueMemberS).Value, prefix) {
			found = append(found, it)
		}
	}
	return found
}

// hands returns the stored form of tasks in hand: their numbers and what is known of them, by turns.
func hands(all ...string) types.AttributeValue {
	out := fakeaws.Item{}
	for i := 0; i < len(all); i += 2 {
		out[all[i]] = text(all[i+1])
	}
	return &types.AttributeValueMemberM{Value: out}
}

// spoil changes one attribute of an item; nil removes it.
func spoil(t *testing.T, s *outage.Stage, it fakeaws.Item, attribute string, value types.AttributeValue) string {
	t.Helper()
	if it[attribute] = value; value == nil {
		delete(it, attribute)
	}
	require.NoError(t, s.DynamoDB.Put(fakeaws.ControlTable, it))
	return it["item"].(*types.AttributeValueMemberS).Value
}

// TestG8ALeaseThatCannotBeDecodedHoldsItsSlotsUntilItWouldHaveEnded: and no longer. Meanwhile its labourer's other tasks run within the cap.
func TestG8ALeaseThatCannotBeDecodedHoldsItsSlotsUntilItWouldHaveEnded(t *testing.T) {
	for name, c := range map[string]struct {
		attribute string
		value     types.AttributeValue
	}{
		"its tasks":                     {"tasks", text("x")},
		"no tasks at all":               {"tasks", nil},
		"a part of its tasks":           {"tasks", text("0-1,x")},
		"one that is in hand":           {"hands", hands("0", "?", "1", "0.d")},
		"the number of one in hand":     {"hands", hands("0", "0.d", "x", "0.d")},
		"the tasks in hand":             {"hands", text("0")},
		"nothing in hand":               {"hands", nil},
		"its revision":                  {"revision", nil},
		"its revision, being no number": {"revision", text("7")},
		"its slots":                     {"slots", text("2")},
		"its place in the queue":        {"due", text("soon")},
		"when it was made":              {"claimed_at", nil},
		"those that wait":               {"waiting", text("-")},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 3, 2)
			require.Equal(t, 2, s.HandOut(t, "f"))
			item := spoil(t, s, stored(s, "f", "lease#")[0], c.attribute, c.value)
			s.Schedule(t, outage.Job("other", "f", 9))

			require.Equal(t, 2, held(t, s))
			s.Pass(time.Minute)
			require.NoError(t, execute(s, "tick"))

			require.Equal(t, 3, held(t, s), "the others fill the cap, and no more")
			require.Len(t, s.Handed(t, "f"), 3)
			reaped, err := s.Services().Orchestrator.Service.Reap(ctx, "f")
			require.NoError(t, err)
			require.Contains(t, fmt.Sprint(reaped.Errors), item+" cannot be read: ")
			assessed, err := s.Services().Orchestrator.Service.Assess(ctx, "test", "f", orchestrator.Decided{Round: 0})
			require.NoError(t, err)
			require.Contains(t, fmt.Sprint(assessed.Unreadable), item+" cannot be read: ")

			for range 40 {
				s.Pass(time.Minute)
				require.NoError(t, execute(s, "tick"))
				require.LessOrEqual(t, held(t, s), 3)
				s.Report(t, completions(t, s, "other")...)
			}

			require.Zero(t, held(t, s), "it holds no slot for ever")
			tasks, err := s.Drover.Tasks("other")
			require.NoError(t, err)
			for _, one := range tasks {
				require.Equal(t, task.Completed, one.Status)
			}
			aside, err := s.Control.Unreadable(ctx, "f", 0)
			require.NoError(t, err)
			require.Len(t, aside, 1)
			require.Equal(t, item, aside[0].Was)
			require.Contains(t, aside[0].Reason, c.attribute)
			it := stored(s, "f", "unreadable#")[0]
			if require.Equal(t, c.value, it[c.attribute], "nothing of it is lost"); c.attribute != "claimed_at" {
				require.NotNil(t, it["claimed_at"])
			}
		})
	}
}

// completions returns the completions of a job's running tasks that were not sent yet.
func completions(t *testing.T, s *outage.Stage, job string) (ends []string) {
	tasks, err := s.Drover.Tasks(job)
	require.NoError(t, err)
	open := map[string]bool{}
	for _, one := range tasks {
		open[one.ID.String()] = !one.Status.Terminal()
	}
	for _, h := range s.Handed(t, "f") {
		if open[h.TaskID] {
			ends = append(ends, h.Completed())
			open[h.TaskID] = false
		}
	}
	return ends
}

// TestG8ALeaseThatChangesIsNotSetAside: a person may repair it at the same moment.
func TestG8ALeaseThatChangesIsNotSetAside(t *testing.T) {
	s := stage(t, 3, 2)
	require.Equal(t, 2, s.HandOut(t, "f"))
	whole := stored(s, "f", "lease#")[0]["tasks"]
	item := spoil(t, s, stored(s, "f", "lease#")[0], "tasks", text("x"))
	s.DynamoDB.Before = beforeTransaction(func() {
		spoil(t, s, stored(s, "f", "lease#")[0], "tasks", whole)
	})

	require.ErrorIs(t, s.Control.SetAside(ctx, "f", item, s.World.Now()), queue.ErrChanged)

	require.Equal(t, 2, held(t, s))
	require.Nil(t, leases(t, s)[0].Unreadable)
	require.NoError(t, s.Control.SetAside(ctx, "f", item, s.World.Now()), "it can be read by now")
	require.Empty(t, stored(s, "f", "unreadable#"))
}

// TestG8AnEntryThatCannotBeDecodedBlocksNoneBehindIt: also if there are more of them than one read of the queue returns.
func TestG8AnEntryThatCannotBeDecodedBlocksNoneBehindIt(t *testing.T) {
	for _, n := range []int{1, 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := stage(t, 3, 2)
			for i := range n {
				require.NoError(t, s.DynamoDB.Put(fakeaws.ControlTable, fakeaws.Item{"labourer": text("f"), "item": text(fmt.Sprintf("queue#0000000000001#nonsense#%03d", i)),
					"tasks": text("1-x"), "attempt": &types.AttributeValueMemberN{Value: "1"}}))
			}
			entry := stored(s, "f", "queue#")[n]
			spoil(t, s, fakeaws.Item{"labourer": text("f"), "item": text("queue#0000000000002"), "tasks": entry["tasks"], "attempt": entry["attempt"]}, "more", nil)

			require.NoError(t, execute(s, "tick"))

			require.Len(t, s.Handed(t, "f"), 2)
			require.Empty(t, stored(s, "f", "queue#"))
			aside, err := s.Control.Unreadable(ctx, "f", 0)
			require.NoError(t, err)
			require.Len(t, aside, n+1)
		})
	}
}

// TestG8AnAsideThatCannotBeDecodedBlocksNoOther: it is reported and set aside, and the other withdrawn tasks are cancelled.
func TestG8AnAsideThatCannotBeDecodedBlocksNoOther(t *testing.T) {
	s := stage(t, 1, 2, 1)
	all, err := s.Control.Queue(ctx, "f")
	require.NoError(t, err)
	for _, e := range all {
		_, err := s.Control.Withdraw(ctx, e, e.Tasks, s.World.Now())
		require.NoError(t, err)
	}
	item := spoil(t, s, stored(s, "f", "cancel#")[0], "tasks", text("x"))
	s.Pass(5 * time.Minute)

	planned, err := s.Services().Orchestrator.Service.Plan(ctx, "tick", planInput())
	require.NoError(t, err)
	require.True(t, planned.Labourers[0].Reap)
	reaped, err := s.Services().Orchestrator.Service.Reap(ctx, "f")

	require.NoError(t, err)
	require.Equal(t, 1, reaped.Withdrawn)
	require.Contains(t, fmt.Sprint(reaped.Errors), item+" cannot be read: ")
	require.Empty(t, stored(s, "f", "cancel#"))
	require.Len(t, stored(s, "f", "unreadable#"), 1)
}

// TestG8ATroubleThatCannotBeDecodedBlocksNothing: it is only a note.
func TestG8ATroubleThatCannotBeDecodedBlocksNothing(t *testing.T) {
	s := stage(t, 1, 1)
	require.NoError(t, s.DynamoDB.Put(fakeaws.ControlTable, fakeaws.Item{"labourer": text("f"), "item": text("state"), "trouble": text("{")}))

	require.NoError(t, execute(s, "tick"))

	require.Len(t, s.Handed(t, "f"), 1)
}

// TestG8ALeaseThatCannotBeDecodedBlocksNoReader: the assistant, the settler and a forced cancellation pass it over, also on its own segment.
func TestG8ALeaseThatCannotBeDecodedBlocksNoReader(t *testing.T) {
	s := stage(t, 2, 4)
	require.Equal(t, 2, s.HandOut(t, "f"))
	first := s.Handed(t, "f")
	spoil(t, s, copied(stored(s, "f", "lease#")[0], "#9#000"), "revision", nil) // another lease on the segment

	s.Report(t, first[0].Completed())
	s.ReportUnsettled(t, first[1].Failed("Boom"))
	s.Scavenge(t)

	require.Equal(t, 2+1, held(t, s), "what the odd one names, and the task that followed the completed one")
	require.Equal(t, 1, waiting(t, s))
	require.Equal(t, 1, queued(t, s), "the failed one")

	failures, summary := s.Services().Scheduler.Service.Handle(ctx, "cancel", commands(outage.Command("cancel", "CancelJob", `{"job_id": "job-0", "force": true}`)))
	require.Empty(t, failures, "%v", summary.Errors)
	s.Scavenge(t)
	job, _, err := s.Drover.Job("job-0")
	require.NoError(t, err)
	require.Equal(t, 3, job.Counts.Cancelled)
}

package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// damage makes an attribute of a job's n-th task undecodable.
func damage(t *testing.T, s *outage.Stage, id, attribute string, n int) task.ID {
	t.Helper()
	tasks, err := s.Drover.Tasks(id)
	require.NoError(t, err)
	for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
		if it["segment"].(*types.AttributeValueMemberS).Value == string(tasks[n].ID.Segment) && it["n"].(*types.AttributeValueMemberN).Value == fmt.Sprint(tasks[n].ID.N) {
			it[attribute] = &types.AttributeValueMemberB{Value: []byte{0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3}}
			require.NoError(t, s.DynamoDB.Put(fakeaws.TasksTable, it))
			return tasks[n].ID
		}
	}
	require.Fail(t, "there is no such task")
	return task.ID{}
}

// TestG8AnUnreadableTaskBlocksNoOther: neither in its lease nor of its labourer, and it holds a slot only until its lease ends.
func TestG8AnUnreadableTaskBlocksNoOther(t *testing.T) {
	for _, attribute := range []string{"payload", "attempts", "result"} {
		for name, handedOut := range map[string]bool{"while it is queued": false, "while it runs and is lost": true} {
			t.Run(attribute+" "+name, func(t *testing.T) {
				s := stage(t, 2, 2)
				if handedOut {
					require.Equal(t, 2, s.HandOut(t, "f"))
				}
				id := damage(t, s, "job-0", attribute, 0)
				s.Schedule(t, outage.Job("other", "f", 3))

				work(t, s, time.Hour)

				for _, other := range []struct {
					job string
					n   int
				}{{"job-0", 1}, {"other", 0}, {"other", 1}, {"other", 2}} {
					tasks, err := s.Drover.Tasks(other.job)
					_, err = task.Unreadable(err)
					require.NoError(t, err)
					for _, one := range tasks {
						if one.ID != id {
							require.Equal(t, task.Completed, one.Status, "%s of %s", one.ID, other.job)
						}
					}
				}
				require.Zero(t, held(t, s), "it holds no slot for ever")
				_, err := s.Tasks.Range(ctx, id.Segment, segment.Of(id.N))
				unreadable, err := task.Unreadable(err)
				require.NoError(t, err)
				if len(unreadable) > 0 { // the ends of its attempts replace the damaged attribute
					require.Equal(t, task.Dead, unreadable[0].Status)
				}
			})
		}
	}
}

// TestG8ATaskThatWaitsLongerThanItsPayloadIsKeptDies, says why, and blocks no other.
func TestG8ATaskThatWaitsLongerThanItsPayloadIsKeptDies(t *testing.T) {
	s := stage(t, 2)
	s.Schedule(t, fmt.Sprintf(`{"job_id": "nightly", "labourer": "f", "text": %q}`, random(4000)))
	s.Pass(fakeaws.Retention + 397*24*time.Hour)
	require.Equal(t, 1, s.DynamoDB.Expire(fakeaws.TasksTable, "expires_at", s.World.Now()))
	s.Schedule(t, outage.Job("other", "f", 1))

	told := work(t, s, time.Hour)
	s.Scavenge(t)

	dead, _, err := s.Drover.Job("nightly")
	require.NoError(t, err)
	require.Equal(t, 1, dead.Counts.Dead)
	other, _, err := s.Drover.Job("other")
	require.NoError(t, err)
	require.Equal(t, 1, other.Counts.Completed)
	require.Contains(t, told, "its payload cannot be read: 0 of its 1 parts exist")
	facts := s.Drover.Facts("TaskDead")
	require.Len(t, facts, 1)
	require.Contains(t, string(facts[0].Detail), "Unreadable")
}

// random returns letters that hardly compress.
func random(length int) string {
	dice, out := rand.New(rand.NewPCG(1, 2)), make([]byte, length)
	for i := range out {
		out[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[dice.IntN(64)]
	}
	return string(out)
}

// work lets time pass, with a tick a minute. The workers of tasks that can be read complete them. It returns the errors of the reaper.
func work(t *testing.T, s *outage.Stage, during time.Duration) (told string) {
	for range during / time.Minute {
		s.Pass(time.Minute)
		require.NoError(t, execute(s, "tick"))
		for _, h := range s.Handed(t, "f") {
			s.Report(t, finishing(t, s, h)...)
		}
		reaped, err := s.Services().Orchestrator.Service.Reap(ctx, "f")
		require.NoError(t, err)
		told += strings.Join(reaped.Errors, "\n")
	}
	return told
}

// finishing returns the completion of a worker whose task can still be read.
func finishing(t *testing.T, s *outage.Stage, h outage.Handed) []string {
	id, err := task.ParseID(h.TaskID)
	require.NoError(t, err)
	tasks, err := s.Tasks.Load(ctx, []task.ID{id})
	if err != nil || tasks[id].Attempt >= h.Attempt {
		return nil
	}
	return []string{h.Completed()}
}

// TestG8OneLeaseThatCannotBeReapedBlocksNoOther: its error is reported, and the others are reaped.
func TestG8OneLeaseThatCannotBeReapedBlocksNoOther(t *testing.T) {
	s := stage(t, 3, 1, 1, 1)
	require.Equal(t, 3, s.HandOut(t, "f"))
	s.Pass(20 * time.Minute)
	bad := leases(t, s)[1]
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		in, is := r.Input.(*dynamodb.UpdateItemInput)
		if !is {
			return nil
		}
		if at, is := in.Key["segment"].(*types.AttributeValueMemberS); is && at.Value == string(bad.Segment) {
			return errors.New("as the test wants it")
		}
		return nil
	}

	reaped, err := s.Services().Orchestrator.Service.Reap(ctx, "f")

	require.NoError(t, err, "the assessment that comes next is reached")
	require.Equal(t, 2, reaped.Expired)
	require.Equal(t, 1, reaped.ErrorCount)
	require.Contains(t, reaped.Errors[0], bad.Item())
	require.Contains(t, reaped.Errors[0], "as the test wants it")
}

// TestG8ACompletionOfAnUnreadableTaskBlocksNoOther: the other completions of its batch are handled.
func TestG8ACompletionOfAnUnreadableTaskBlocksNoOther(t *testing.T) {
	s := stage(t, 3, 3)
	require.Equal(t, 3, s.HandOut(t, "f"))
	h := s.Handed(t, "f")
	damage(t, s, "job-0", "payload", 1)

	missing, summary := s.Services().Assistant.Service.Handle(ctx, "invocation", messages(h[0].Completed(), h[1].Completed(), h[2].Completed()))

	require.Equal(t, []string{"message-1"}, missing)
	require.Equal(t, 2, summary.Completed)
	require.Equal(t, segment.Of(1), heldOf(t, s))
}

func heldOf(t *testing.T, s *outage.Stage) segment.Numbers {
	all := leases(t, s)
	require.Len(t, all, 1)
	return all[0].Held()
}

package assistant_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	attribute "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// granted returns a stage on which as many tasks run as a labourer may start. Others wait in the lease, and perhaps some in the queue.
func granted(t require.TestingT, limit, tasks int) (*outage.Stage, []outage.Handed) {
	s := stage(t, limit)
	s.Schedule(t, outage.Job("nightly", "f", tasks))
	require.Equal(t, limit, s.HandOut(t, "f"))
	return s, s.Handed(t, "f")
}

// lease returns the only lease of the labourer.
func lease(t require.TestingT, s *outage.Stage) queue.Lease {
	leases, err := s.Control.Leases(context.Background(), "f")
	require.NoError(t, err)
	require.Len(t, leases, 1)
	return leases[0]
}

// change replaces the only lease of the labourer.
func change(t require.TestingT, s *outage.Stage, as func(queue.Lease) queue.Lease) {
	before := lease(t, s)
	require.NoError(t, s.Control.Save(context.Background(), before, as(before)))
}

// wakes returns how often the orchestrator was woken.
func wakes(s *outage.Stage) int {
	n := 0
	for _, e := range s.EventBridge.Told() {
		if e.DetailType == "TasksDue" {
			n++
		}
	}
	return n
}

// TestACompletionStartsTheNextTaskOfItsLease in the invocation that closes its task, with these requests and no others.
func TestACompletionStartsTheNextTaskOfItsLease(t *testing.T) {
	s, h := granted(t, 2, 5)
	s.Pass(time.Minute)
	s.DynamoDB.ResetUsage()
	told := wakes(s)
	var requests []string
	record := fakeaws.Hooks{Before: func(_ context.Context, r fakeaws.Request) error {
		requests = append(requests, r.Service+" "+r.Operation)
		return nil
	}}
	s.DynamoDB.Hooks, s.SQS.Hooks, s.EventBridge.Hooks = record, record, record

	summary := handle(t, s, h[0].Completed())

	uncut(s.Stack)
	require.Equal(t, assistant.Summary{Completed: 1, Fed: 1}, summary)
	next := s.Handed(t, "f")
	require.Len(t, next, 3)
	require.Equal(t, 1, next[2].Attempt)
	require.Equal(t, s.World.Now().Add(10*time.Minute), next[2].Deadline)
	require.Equal(t, []string{"DynamoDB BatchGetItem", "DynamoDB Query", "DynamoDB UpdateItem", "DynamoDB UpdateItem", "DynamoDB GetItem", "DynamoDB Query",
		"SQS SendMessageBatch"}, requests)
	var cost fakeaws.Cost
	for _, c := range s.DynamoDB.Usage() {
		cost.WriteUnits, cost.ReadUnits = cost.WriteUnits+c.WriteUnits, cost.ReadUnits+c.ReadUnits
	}
	require.Equal(t, 2.0, cost.WriteUnits, "the task and the lease")
	require.LessOrEqual(t, cost.ReadUnits, 4.0, "the task, the lease, the next task, and the labourer once in a few seconds")
	require.Equal(t, told, wakes(s))
	require.Equal(t, 2, held(t, s))
}

// TestG3AMessageThatComesAgainStartsItsOwnTaskAgain, and feeds no other: the assistant that received it first may have died before the start.
func TestG3AMessageThatComesAgainStartsItsOwnTaskAgain(t *testing.T) {
	s, h := granted(t, 2, 8)
	batch := messages(h[0].Completed(), h[1].Completed())
	require.Equal(t, assistant.Summary{Completed: 2, Fed: 2}, deliver(t, s, batch))
	s.Pass(time.Minute)

	summary := deliver(t, s, again(batch[:1], 2))

	require.Equal(t, assistant.Summary{Repeated: 1, Restarted: 1}, summary)
	all := s.Handed(t, "f")
	require.Len(t, all, 5)
	require.Equal(t, all[2], all[4], "the same task, with the same deadline")
	require.Equal(t, 2, held(t, s))

	handle(t, s, all[2].Completed())
	require.Equal(t, assistant.Summary{Repeated: 1}, deliver(t, s, again(batch[:1], 3)), "what it fed has ended")
	require.Equal(t, 2, held(t, s))
}

// TestG3AnotherMessageOnTheSameAttemptStartsNothing: it did not feed the slot, and its slot is taken.
func TestG3AnotherMessageOnTheSameAttemptStartsNothing(t *testing.T) {
	s, h := granted(t, 2, 8)
	handle(t, s, h[0].Completed(), h[0].Completed())
	require.Len(t, s.Handed(t, "f"), 3)

	require.Equal(t, assistant.Summary{Repeated: 1}, handle(t, s, h[0].Completed()))

	require.Len(t, s.Handed(t, "f"), 3)
	require.Equal(t, 2, held(t, s))
}

// TestATaskThatHasEndedAndIsStillInHandIsTakenOut by the next message about it: the assistant that closed it died before it fed the slot.
func TestATaskThatHasEndedAndIsStillInHandIsTakenOut(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(task.Task) (task.Task, error)
		want assistant.Summary
		done int
	}{
		"completed": {func(one task.Task) (task.Task, error) {
			return one.Close(task.End{Attempt: 1, Status: task.Completed, At: outage.Start})
		}, assistant.Summary{Repeated: 1, Fed: 1}, 1},
		"cancelled": {func(one task.Task) (task.Task, error) { return one.Cancel(outage.Start) }, assistant.Summary{Stale: 1, Fed: 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := granted(t, 2, 8)
			one := stored(t, s, h[0].TaskID)
			after, err := c.end(one)
			require.NoError(t, err)
			require.NoError(t, s.Tasks.Save(t.Context(), one, after))

			require.Equal(t, c.want, handle(t, s, h[0].Completed()))

			require.Equal(t, 2, held(t, s))
			require.Equal(t, c.done, lease(t, s).Done().Len(), "tasks whose completion the lease enters")
			require.Len(t, s.Handed(t, "f"), 3)
		})
	}
}

// diesBefore refuses a request and all that follow it.
func diesBefore(s *outage.Stage, operation string) {
	var dead atomic.Bool
	hooks := fakeaws.Hooks{Before: func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == operation {
			dead.Store(true)
		}
		if dead.Load() {
			return errors.New("the function is dead")
		}
		return nil
	}}
	s.DynamoDB.Hooks, s.SQS.Hooks, s.EventBridge.Hooks = hooks, hooks, hooks
}

// TestAMessageThatIsNotDeliveredAgainLeavesItsTaskToTheOrchestrator: if the start failed, no other delivery would try it again.
func TestAMessageThatIsNotDeliveredAgainLeavesItsTaskToTheOrchestrator(t *testing.T) {
	const last = 5
	t.Run("as it feeds the slot", func(t *testing.T) {
		s, h := granted(t, 2, 8)
		told := wakes(s)

		summary := deliver(t, s, again(messages(h[0].Completed()), last))

		require.Equal(t, assistant.Summary{Completed: 1, Fed: 1, Unstarted: 1}, summary)
		require.Len(t, s.Handed(t, "f"), 2)
		require.Equal(t, told+1, wakes(s))
		orchestrate(t, s)
		require.Len(t, s.Handed(t, "f"), 3)
	})
	t.Run("as an earlier delivery has fed it", func(t *testing.T) {
		s, h := granted(t, 2, 8)
		batch := messages(h[0].Completed())
		diesBefore(s, "SendMessageBatch")
		missing, _ := s.Services().Assistant.Service.Handle(t.Context(), "invocation", batch)
		require.Len(t, missing, 1)
		uncut(s.Stack)

		summary := deliver(t, s, again(batch, last))

		require.Equal(t, assistant.Summary{Repeated: 1, Unstarted: 1}, summary)
		require.Len(t, s.Handed(t, "f"), 2)
		orchestrate(t, s)
		require.Len(t, s.Handed(t, "f"), 3)
	})
}

// TestWhatCannotBeStartedIsLeftToTheOrchestrator, with the rest of the lease that this batch feeds, and no message is redelivered.
func TestWhatCannotBeStartedIsLeftToTheOrchestrator(t *testing.T) {
	for name, refuse := range map[string]func(*outage.Stage, error){
		"the target is unreachable": func(s *outage.Stage, err error) {
			s.SQS.Before = func(context.Context, fakeaws.Request) error { return err }
		},
		"the labourer cannot be read": func(s *outage.Stage, err error) {
			s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == "GetItem" {
					return err
				}
				return nil
			}
		},
		"its tasks cannot be read": func(s *outage.Stage, err error) {
			queries := 0
			s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == "Query" {
					if queries++; queries == 2 {
						return err
					}
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := granted(t, 3, 9)
			told := wakes(s)
			refuse(s, errors.New("it is down"))

			summary := handle(t, s, h[0].Completed(), h[2].Completed())

			uncut(s.Stack)
			require.Equal(t, []int{2, 2, 2}, []int{summary.Completed, summary.Fed, summary.Unstarted})
			require.NotEmpty(t, summary.Errors)
			for _, err := range summary.Errors {
				require.Contains(t, err, "it is down")
			}
			require.Equal(t, told+1, wakes(s))
			l := lease(t, s)
			require.Equal(t, 2, l.Forsaken(s.World.Now()).Len())
			require.Equal(t, 3, held(t, s))
			orchestrate(t, s)
			require.Len(t, s.Handed(t, "f"), 5)
		})
	}
}

// TestG1AMessageIsRedeliveredIfItsTaskIsNeitherStartedNorLeftToTheOrchestrator, and the other messages of the batch are not.
func TestG1AMessageIsRedeliveredIfItsTaskIsNeitherStartedNorLeftToTheOrchestrator(t *testing.T) {
	s, h := granted(t, 2, 8)
	writes := 0
	s.SQS.Before = func(context.Context, fakeaws.Request) error { return errors.New("it is down") }
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "UpdateItem" {
			if writes++; writes > 2 { // the task is closed and the lease is fed
				return errors.New("it is down")
			}
		}
		return nil
	}
	batch := messages(h[0].Completed(), running(outage.Handed{TaskID: h[0].TaskID, Attempt: 1}))

	missing, summary := s.Services().Assistant.Service.Handle(t.Context(), "invocation", batch)

	uncut(s.Stack)
	require.Equal(t, []string{batch[0].ID}, missing)
	require.Equal(t, []int{1, 1, 0}, []int{summary.Completed, summary.Fed, summary.Unstarted})
	require.Equal(t, assistant.Summary{Repeated: 1, Restarted: 1}, deliver(t, s, again(batch[:1], 2)))
	require.Len(t, s.Handed(t, "f"), 3)
}

// TestG1ATaskThatEndedWhileItWaitedGivesItsSlotToTheNext in the same invocation.
func TestG1ATaskThatEndedWhileItWaitedGivesItsSlotToTheNext(t *testing.T) {
	s, h := granted(t, 2, 8)
	waiting := lease(t, s).Waiting
	for n := range waiting.First(3).All() {
		one := stored(t, s, task.ID{Segment: lease(t, s).Segment, N: n}.String())
		gone, err := one.Cancel(s.World.Now())
		require.NoError(t, err)
		require.NoError(t, s.Tasks.Save(t.Context(), one, gone))
	}

	summary := handle(t, s, h[0].Completed(), h[1].Completed())

	require.Equal(t, assistant.Summary{Completed: 2, Fed: 5}, summary)
	l := lease(t, s)
	require.Equal(t, waiting.Minus(waiting.First(3)).First(2), l.InHand())
	require.Equal(t, 2, l.Done().Len(), "what was cancelled is not completed")
	require.Len(t, s.Handed(t, "f"), 4)
}

// TestG4ATaskThatWasStartedBeforeItWaitsEndsThere: a start may happen although it is reported as failed.
func TestG4ATaskThatWasStartedBeforeItWaitsEndsThere(t *testing.T) {
	for name, c := range map[string]struct {
		report func(outage.Handed) string
		want   assistant.Summary
	}{
		"completed": {outage.Handed.Completed, assistant.Summary{Completed: 1}},
		"failed":    {func(h outage.Handed) string { return h.Failed("Boom") }, assistant.Summary{Failed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := granted(t, 2, 8)
			change(t, s, func(l queue.Lease) queue.Lease { l.Tried = true; return l })
			l := lease(t, s)
			n := l.Waiting.Max()

			summary := handle(t, s, c.report(outage.Handed{TaskID: task.ID{Segment: l.Segment, N: n}.String(), Attempt: 1}))

			require.Equal(t, c.want, summary)
			require.Len(t, s.Handed(t, "f"), 2, "it took no slot")
			require.Equal(t, name != "completed", lease(t, s).Waiting.Contains(n), "a failed task stays in its lease until it is settled")
		})
	}
}

// TestATaskThatFailedWhileItWaitedIsLeftToTheOrchestrator: the scavenger may have looked for it in vain before it was in hand.
func TestATaskThatFailedWhileItWaitedIsLeftToTheOrchestrator(t *testing.T) {
	s, h := granted(t, 2, 8)
	change(t, s, func(l queue.Lease) queue.Lease { l.Tried = true; return l })
	next := task.ID{Segment: lease(t, s).Segment, N: lease(t, s).Waiting.Min()}
	handle(t, s, outage.Handed{TaskID: next.String(), Attempt: 1}.Failed("Boom"))
	told := wakes(s)

	summary := handle(t, s, h[0].Completed())

	require.Equal(t, assistant.Summary{Completed: 1, Fed: 1, Unstarted: 1}, summary)
	require.Equal(t, segment.Of(next.N), lease(t, s).By(queue.Undispatched))
	require.Len(t, s.Handed(t, "f"), 2)
	require.Equal(t, told+1, wakes(s))
}

// TestATaskThatIsNotStoredAnyMoreGivesItsSlotToTheNext, and so does one that has ended and cannot be decoded.
func TestATaskThatIsNotStoredAnyMoreGivesItsSlotToTheNext(t *testing.T) {
	s, h := granted(t, 1, 4)
	waiting := lease(t, s).Waiting
	missing, ended := task.ID{Segment: lease(t, s).Segment, N: waiting.Min()}, task.ID{Segment: lease(t, s).Segment, N: waiting.Min() + 1}
	_, err := s.DynamoDB.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(fakeaws.TasksTable), Key: map[string]attribute.AttributeValue{
		"segment": &attribute.AttributeValueMemberS{Value: string(missing.Segment)}, "n": &attribute.AttributeValueMemberN{Value: fmt.Sprint(missing.N)}}})
	require.NoError(t, err)
	one := stored(t, s, ended.String())
	gone, err := one.Cancel(s.World.Now())
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(t.Context(), one, gone))
	damage(t, s, ended)

	summary := handle(t, s, h[0].Completed())

	require.Equal(t, []int{1, 3, 0}, []int{summary.Completed, summary.Fed, summary.Unstarted})
	require.Equal(t, segment.Of(waiting.Max()), lease(t, s).InHand())
	require.Len(t, s.Handed(t, "f"), 2)
}

// TestAnEndBeforeTheDispatchHasTheTimeOfTheGrant: a task that is left to the orchestrator is in hand since the earliest time.
func TestAnEndBeforeTheDispatchHasTheTimeOfTheGrant(t *testing.T) {
	s, h := granted(t, 1, 1)
	forsaken(t, s)

	handle(t, s, h[0].Completed())

	require.Equal(t, outage.Start, *stored(t, s, h[0].TaskID).Attempts[0].DispatchedAt)
}

// TestATaskThatItsTargetRefusesFailsInItsSlot, which the scavenger frees.
func TestATaskThatItsTargetRefusesFailsInItsSlot(t *testing.T) {
	s := stage(t, 1)
	s.Schedule(t, outage.Job("nightly", "f", 2))
	require.Equal(t, 1, s.HandOut(t, "f"))
	require.NoError(t, s.Apply(`labourers: {f: {target: {lambda: missing}, max_duration: 10m, cooldown: 5m}}`))
	s.Lambda.Before = func(context.Context, fakeaws.Request) error {
		return &types.RequestTooLargeException{Message: aws.String("1048577 bytes")}
	}
	told := wakes(s)

	summary := handle(t, s, s.Handed(t, "f")[0].Completed())

	require.Equal(t, []int{1, 1, 0}, []int{summary.Completed, summary.Fed, summary.Unstarted})
	l := lease(t, s)
	require.Len(t, l.Hands, 1)
	one := stored(t, s, task.ID{Segment: l.Segment, N: l.InHand().Min()}.String())
	require.Equal(t, []any{task.Failed, "PayloadTooLarge"}, []any{one.Status, one.LastError().Type})
	require.Equal(t, told, wakes(s))
}

// ordered returns a stage with a FIFO queue as target on which as many tasks run as may start, and others wait.
func ordered(t *testing.T, limit, tasks int) (*outage.Stage, []outage.Handed) {
	s := stageOf(t, "f.fifo", limit)
	s.Schedule(t, outage.Job("nightly", "f", tasks))
	require.Equal(t, limit, s.HandOut(t, "f"))
	require.True(t, lease(t, s).Ordered)
	return s, s.Handed(t, "f.fifo")
}

// TestG6TasksOfAFIFOQueueDoNotOvertakeEachOther: while the first assistant starts what it has fed, a second one frees another slot. The first
// feeds it when its start is noted.
func TestG6TasksOfAFIFOQueueDoNotOvertakeEachOther(t *testing.T) {
	s, h := ordered(t, 2, 8)
	told := wakes(s)
	first := true
	s.SQS.Before = func(context.Context, fakeaws.Request) error {
		if first {
			first = false
			require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, h[1].Completed()))
		}
		return nil
	}

	require.Equal(t, assistant.Summary{Completed: 1, Fed: 2}, handle(t, s, h[0].Completed()))

	uncut(s.Stack)
	requireInOrder(t, s)
	l := lease(t, s)
	require.Equal(t, segment.Of(2, 3), l.By(queue.Dispatched))
	require.Equal(t, told, wakes(s), "no slot stays idle")
}

// TestG6NothingIsFedBehindATaskThatTheOrchestratorIsToStart: the orchestrator feeds the slot afterwards.
func TestG6NothingIsFedBehindATaskThatTheOrchestratorIsToStart(t *testing.T) {
	s, h := ordered(t, 2, 8)
	change(t, s, func(l queue.Lease) queue.Lease { return l.Marked(segment.Of(1), queue.Undispatched, s.World.Now()) })
	told := wakes(s)

	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, h[0].Completed()))

	require.Len(t, s.Handed(t, "f.fifo"), 2)
	require.Equal(t, told, wakes(s))
}

// TestG6AFIFOQueueThatIsDownGetsNothingBehindTheTaskThatItMissed.
func TestG6AFIFOQueueThatIsDownGetsNothingBehindTheTaskThatItMissed(t *testing.T) {
	s, h := ordered(t, 3, 9)
	told := wakes(s)
	s.SQS.Before = func(context.Context, fakeaws.Request) error { return errors.New("it is down") }

	summary := handle(t, s, h[0].Completed(), h[1].Completed())

	uncut(s.Stack)
	require.Equal(t, []int{2, 2, 2}, []int{summary.Completed, summary.Fed, summary.Unstarted})
	require.Equal(t, told+1, wakes(s))
	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, h[2].Completed()))
	orchestrate(t, s)
	requireInOrder(t, s)
	require.Equal(t, 3, held(t, s))
}

// TestG6AStartThatCannotBeNotedIsRepeated: its queue takes the message once, and nothing else is fed before.
func TestG6AStartThatCannotBeNotedIsRepeated(t *testing.T) {
	s, h := ordered(t, 1, 4)
	writes := 0
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "UpdateItem" {
			if writes++; writes > 2 { // the task is closed and the lease is fed
				return errors.New("it is down")
			}
		}
		return nil
	}
	batch := messages(h[0].Completed())
	missing, _ := s.Services().Assistant.Service.Handle(t.Context(), "invocation", batch)
	require.Len(t, missing, 1)
	uncut(s.Stack)

	require.Equal(t, assistant.Summary{Repeated: 1, Restarted: 1}, deliver(t, s, again(batch, 2)))

	require.Equal(t, segment.Of(1), lease(t, s).By(queue.Dispatched))
}

// TestASlotThatMayNotBeFedWhenAStartIsNotedWakesTheOrchestrator: the completion that freed it did not.
func TestASlotThatMayNotBeFedWhenAStartIsNotedWakesTheOrchestrator(t *testing.T) {
	s, h := ordered(t, 2, 8)
	change(t, s, func(l queue.Lease) queue.Lease { l.FeedUntil = s.World.Now().Add(time.Second); return l })
	told := wakes(s)
	first := true
	s.SQS.Before = func(context.Context, fakeaws.Request) error {
		if first {
			first = false
			handle(t, s, h[1].Completed())
			require.Equal(t, told, wakes(s))
			s.Pass(time.Minute)
		}
		return nil
	}

	require.Equal(t, assistant.Summary{Completed: 1, Fed: 1}, handle(t, s, h[0].Completed()))

	require.Equal(t, told+1, wakes(s))
}

// TestACallOfASoswWorkerFeedsItsSlot. Lambda tries the call again with the same request id.
func TestACallOfASoswWorkerFeedsItsSlot(t *testing.T) {
	s, h := granted(t, 1, 3)
	call := []byte(fmt.Sprintf(`{"action": "mark_task_as_completed", "task_id": %q}`, h[0].TaskID))
	invoked := func(id string) context.Context {
		return lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: id})
	}
	diesBefore(s, "SendMessageBatch")
	require.Error(t, s.Services().Assistant.HandleCall(invoked("request-1"), call))
	uncut(s.Stack)

	require.NoError(t, s.Services().Assistant.HandleCall(invoked("request-2"), call))
	require.Len(t, s.Handed(t, "f"), 1, "another call does not know what that one has fed")
	require.NoError(t, s.Services().Assistant.HandleCall(invoked("request-1"), call))

	require.Len(t, s.Handed(t, "f"), 2)
	require.Equal(t, 1, held(t, s))
}

// TestCompletionsThatWereFedWakeNothing, and others only if there is something to decide on.
func TestCompletionsThatWereFedWakeNothing(t *testing.T) {
	const limit = 16 // so an eighth is two slots
	for name, c := range map[string]struct {
		tasks int // of which a first grant takes 64
		given func(*testing.T, *outage.Stage)
		batch func([]outage.Handed) []assistant.Message
		wakes int
	}{
		"slots that were fed": {tasks: 64, batch: func(h []outage.Handed) []assistant.Message {
			return messages(h[0].Completed(), h[1].Completed(), h[2].Completed())
		}},
		"a failure and a heartbeat": {tasks: 64, batch: func(h []outage.Handed) []assistant.Message {
			return messages(h[0].Failed("Boom"), running(h[1]))
		}},
		"idle slots, and tasks are due":         {tasks: 200, given: drained, batch: firstTwo, wakes: 1},
		"an idle slot less than an eighth":      {tasks: 200, given: drained, batch: func(h []outage.Handed) []assistant.Message { return firstTwo(h)[:1] }},
		"idle slots, and nothing is due":        {tasks: limit, batch: firstTwo},
		"tasks wait that may not be fed":        {tasks: 64, given: expired, batch: firstTwo, wakes: 1},
		"the last of a lease over its slots":    {tasks: 64, given: slotsLeft(14), batch: firstTwo, wakes: 1},
		"two of many of a lease over its slots": {tasks: 64, given: slotsLeft(4), batch: firstTwo},
		"a message that comes again":            {tasks: 200, batch: secondTime, wakes: 1},
		"a message again, and nothing is left":  {tasks: limit, batch: secondTime},
		"a message again, and tasks wait":       {tasks: 64, batch: secondTime, wakes: 1},
		"a message again, and tasks are unfed":  {tasks: 64, given: func(t *testing.T, s *outage.Stage) { idled(t, s); expired(t, s) }, batch: secondTime, wakes: 1},
		"another message on an ended attempt":   {tasks: 200, batch: func(h []outage.Handed) []assistant.Message { return again(secondTime(h), 1) }},
		"a message again, and one is unstarted": {tasks: 64, given: forsaken, batch: secondTime, wakes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := granted(t, limit, c.tasks)
			handle(t, s, h[15].Completed()) // what is repeated
			if c.given != nil {
				c.given(t, s)
			}
			told := wakes(s)

			deliver(t, s, c.batch(h))

			require.Equal(t, told+c.wakes, wakes(s))
		})
	}
}

func firstTwo(h []outage.Handed) []assistant.Message {
	return messages(h[0].Completed(), h[1].Completed())
}

func secondTime(h []outage.Handed) []assistant.Message {
	return again(messages(h[15].Completed()), 2)
}

// drained takes what waits out of the lease, as a cancellation does.
func drained(t *testing.T, s *outage.Stage) {
	change(t, s, func(l queue.Lease) queue.Lease { return l.Without(l.Waiting) })
}

// expired ends the time until which the lease may be fed.
func expired(t *testing.T, s *outage.Stage) {
	change(t, s, func(l queue.Lease) queue.Lease { l.FeedUntil = s.World.Now().Add(-time.Second); return l })
}

// slotsLeft takes slots of the lease back but for these.
func slotsLeft(n int) func(*testing.T, *outage.Stage) {
	return func(t *testing.T, s *outage.Stage) {
		change(t, s, func(l queue.Lease) queue.Lease { l.Slots = n; return l })
	}
}

// idled leaves a slot idle, as the scavenger does.
func idled(t *testing.T, s *outage.Stage) {
	change(t, s, func(l queue.Lease) queue.Lease { return l.Without(l.InHand().First(1)) })
}

// forsaken leaves a task in hand to the orchestrator.
func forsaken(t *testing.T, s *outage.Stage) {
	change(t, s, func(l queue.Lease) queue.Lease {
		return l.Marked(l.InHand().First(1), queue.Undispatched, time.Unix(0, 0))
	})
}

// TestAMessageIsRedeliveredUntilTheOrchestratorIsWoken for the slot that it freed.
func TestAMessageIsRedeliveredUntilTheOrchestratorIsWoken(t *testing.T) {
	for name, refused := range map[string]struct {
		operation string
		nth       int
	}{
		"the bus is unavailable":      {"PutEvents", 2}, // after the fact that the job has completed
		"the queue cannot be read":    {"Query", 2},     // after the leases
		"the lease cannot be written": {"DeleteItem", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := granted(t, 1, 1)
			s.Schedule(t, outage.Job("next", "f", 1))
			told, requests := wakes(s), 0
			hooks := fakeaws.Hooks{Before: func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == refused.operation {
					requests++
				}
				if r.Operation == refused.operation && requests == refused.nth {
					return errors.New("it is down")
				}
				return nil
			}}
			s.DynamoDB.Hooks, s.EventBridge.Hooks = hooks, hooks
			batch := messages(h[0].Completed())

			missing, summary := s.Services().Assistant.Service.Handle(t.Context(), "invocation", batch)

			uncut(s.Stack)
			require.Equal(t, []string{batch[0].ID}, missing)
			require.Contains(t, summary.Errors[0], "it is down")
			require.Equal(t, told, wakes(s))
			require.Equal(t, assistant.Summary{Repeated: 1}, deliver(t, s, again(batch, 2)))
			require.Equal(t, told+1, wakes(s))
			require.Equal(t, 1, s.HandOut(t, "f"))
		})
	}
}

// TestOneEventWakesForAllLabourersOfABatch.
func TestOneEventWakesForAllLabourersOfABatch(t *testing.T) {
	s := outage.NewStage(t, fmt.Sprintf("labourers: {f: {target: {sqs: %q}}, g: {target: {sqs: %q}}}", outage.Worker("f"), outage.Worker("g")), "f", "g")
	s.Schedule(t, `{"job_id": "one", "labourer": "f"}`, `{"job_id": "other", "labourer": "g"}`)
	require.Equal(t, 1, s.HandOut(t, "f"))
	require.Equal(t, 1, s.HandOut(t, "g"))
	s.Schedule(t, `{"job_id": "next", "labourer": "f"}`, `{"job_id": "later", "labourer": "g"}`)
	told := wakes(s)

	handle(t, s, s.Handed(t, "f")[0].Completed(), s.Handed(t, "g")[0].Completed())

	require.Equal(t, told+1, wakes(s))
	all := s.EventBridge.Told()
	require.Contains(t, string(all[len(all)-1].Detail), `"labourers":["f","g"]`)
}

// TestFortyCompletionsAtOnceOnOneLeaseAreCheap, whether they come in one batch or in four that race for the lease.
func TestFortyCompletionsAtOnceOnOneLeaseAreCheap(t *testing.T) {
	for name, batches := range map[string]int{"one batch": 1, "four batches": 4} {
		t.Run(name, func(t *testing.T) {
			s, h := granted(t, 40, 200)
			s.DynamoDB.ResetUsage()
			var all []assistant.Message
			for _, one := range h {
				all = append(all, messages(one.Completed())...)
			}
			size := len(all) / batches
			var together, done sync.WaitGroup
			together.Add(batches)
			services := s.Services()
			read := services.Assistant.Service.Control
			services.Assistant.Service.Control = meeting{read, &together}

			for i := range batches {
				done.Go(func() {
					missing, summary := services.Assistant.Service.Handle(context.Background(), fmt.Sprint(i), all[i*size:(i+1)*size])
					require.Empty(t, missing, "%v", summary.Errors)
				})
			}
			done.Wait()

			written := 0.0
			for _, c := range s.DynamoDB.Usage() {
				written += c.WriteUnits
			}
			t.Logf("%.3f write units a task", written/40)
			require.LessOrEqual(t, written/40, 1.3)
			require.Equal(t, 40, held(t, s))
			require.Len(t, s.Handed(t, "f"), 80)
		})
	}
}

type readers = assistant.Control

// meeting reads leases for the first time when all batches do.
type meeting struct {
	readers

	all *sync.WaitGroup
}

func (m meeting) LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error) {
	out, err := m.readers.LeasesOn(ctx, labourer, s)
	m.all.Done()
	m.all.Wait()
	return out, err
}

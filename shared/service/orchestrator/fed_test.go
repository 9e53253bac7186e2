package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// written counts the writes of leases from here on, by operation.
func written(s *outage.Stage) map[string]int {
	out := map[string]int{}
	s.DynamoDB.After = func(_ context.Context, r fakeaws.Request) error {
		switch in := r.Input.(type) {
		case *dynamodb.UpdateItemInput:
			if at, is := in.Key["item"].(*types.AttributeValueMemberS); is && strings.HasPrefix(at.Value, "lease#") {
				out[r.Operation]++
			}
		case *dynamodb.TransactWriteItemsInput, *dynamodb.DeleteItemInput:
			out[r.Operation]++
		}
		return nil
	}
	return out
}

func version(t *testing.T, s *outage.Stage) int {
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	return state.Version
}

// TestG7ATickRenewsTheFeedingOfLeases: the assistant feeds a lease for 90 seconds after an assessment, and each tick assesses.
func TestG7ATickRenewsTheFeedingOfLeases(t *testing.T) {
	s := outage.NewStage(t, healthy(2), "f", "g")
	s.Schedule(t, outage.Job("nightly", "f", 10))
	cpu(s, 20)
	require.NoError(t, execute(s, "first", "f"))
	require.Equal(t, s.World.Now().Add(90*time.Second), leases(t, s)[0].FeedUntil)

	for range 3 {
		s.Pass(time.Minute)
		cpu(s, 20)
		require.NoError(t, execute(s, "a wake", "g")) // of another labourer
		was, writes := version(t, s), written(s)

		require.NoError(t, execute(s, "tick"))

		require.Equal(t, s.World.Now().Add(90*time.Second), leases(t, s)[0].FeedUntil)
		require.Equal(t, map[string]int{"UpdateItem": 1}, writes, "one write of the lease")
		require.Equal(t, was, version(t, s), "it takes no slot, so it needs no fence")
		require.NoError(t, execute(s, "a wake at once", "f"))
		require.Equal(t, map[string]int{"UpdateItem": 1}, writes, "not at each look")
	}
	s.Pass(80 * time.Second)
	s.Report(t, s.Handed(t, "f")[0].Completed())
	require.Len(t, s.Handed(t, "f"), 3, "it is fed")

	s.Pass(11 * time.Second)
	s.Report(t, s.Handed(t, "f")[1].Completed())
	require.Len(t, s.Handed(t, "f"), 3, "the news is too old")
	cpu(s, 20)
	require.NoError(t, execute(s, "wake", "f"))
	require.Len(t, s.Handed(t, "f"), 4, "the orchestrator fills the slot")
}

// TestAHungryLeaseIsFilledWithoutAFence: a slot that the assistant did not feed costs one write, and one when its task is started.
func TestAHungryLeaseIsFilledWithoutAFence(t *testing.T) {
	s := stage(t, 3, 10)
	require.Equal(t, 3, s.HandOut(t, "f"))
	s.ReportUnsettled(t, s.Handed(t, "f")[1].Failed("Boom"))
	s.Scavenge(t) // the failed task leaves the lease
	require.Equal(t, 2, held(t, s))
	require.Equal(t, 3, granted(t, s))
	was, writes := version(t, s), written(s)

	require.NoError(t, execute(s, "wake", "f"))

	require.Equal(t, map[string]int{"UpdateItem": 2}, writes)
	require.Equal(t, was, version(t, s))
	require.Equal(t, 3, held(t, s))
	require.Len(t, s.Handed(t, "f"), 4)
	require.Equal(t, segment.Of(0, 2, 3), leases(t, s)[0].By(queue.Dispatched))
}

// TestALeaseIsFedByOnlyOneOfTwoThatWantTo: the assistant feeds it just before the orchestrator does.
func TestALeaseIsFedByOnlyOneOfTwoThatWantTo(t *testing.T) {
	s := stage(t, 3, 10)
	require.Equal(t, 3, s.HandOut(t, "f"))
	h := s.Handed(t, "f")
	s.ReportUnsettled(t, h[1].Failed("Boom"))
	s.Scavenge(t)
	fed := between(s, "UpdateItem", func() { s.Report(t, h[0].Completed()) })

	require.NoError(t, execute(s, "wake", "f"))

	require.True(t, *fed)
	require.Equal(t, 3, held(t, s))
	require.Len(t, s.Handed(t, "f"), 5, "one task for each of the two slots")
	for attempt, times := range starts(t, s) {
		require.Equal(t, 1, times, attempt)
	}
}

// TestALeaseThatRunsDryIsExtended: the next tasks of its segment join it, so a job of one segment keeps one lease.
func TestALeaseThatRunsDryIsExtended(t *testing.T) {
	s := stage(t, 2, 100)
	require.Equal(t, 2, s.HandOut(t, "f"))
	require.Equal(t, 58, waiting(t, s))
	item := leases(t, s)[0].Item()

	for n := range 100 {
		require.Len(t, leases(t, s), 1)
		require.Equal(t, item, leases(t, s)[0].Item())
		require.Equal(t, min(2, 100-n), held(t, s))
		s.Pass(time.Second)
		s.Report(t, s.Handed(t, "f")[n].Completed())
		require.NoError(t, execute(s, "wake", "f"))
	}

	require.Empty(t, leases(t, s))
	require.Contains(t, outage.Picture(s.Stack), "job job-0 completed of f total=100 cursor=1 completed=100")
	require.Len(t, s.Handed(t, "f"), 100)
}

// TestSixtySlotsNeedTwoLeases: one lease has forty slots at most.
func TestSixtySlotsNeedTwoLeases(t *testing.T) {
	s := stage(t, 60, 250)

	require.Equal(t, 60, s.HandOut(t, "f"))

	all := queue.InOrder(leases(t, s))
	require.Len(t, all, 2)
	require.Equal(t, []int{40, 20}, []int{all[0].Slots, all[1].Slots})
	require.Equal(t, []int{166, 84}, []int{all[0].Tasks.Len(), all[1].Tasks.Len()})
	reported := map[string]bool{}
	for range 5 {
		reportAll(t, s, reported)
		require.LessOrEqual(t, granted(t, s), 60)
		require.NoError(t, execute(s, "wake", "f"))
	}
	require.Empty(t, leases(t, s))
	require.Contains(t, outage.Picture(s.Stack), "job job-0 completed of f total=250 cursor=1 completed=250")
	require.Len(t, s.Handed(t, "f"), 250)
}

// TestG4ATaskThatTheAssistantCouldNotStartIsTakenOverAtOnce: also while others of its lease end.
func TestG4ATaskThatTheAssistantCouldNotStartIsTakenOverAtOnce(t *testing.T) {
	s := stage(t, 3, 10)
	require.Equal(t, 3, s.HandOut(t, "f"))
	h := s.Handed(t, "f")
	a := s.Services().Assistant.Service
	a.Launcher.Starter = &starter{answer: func(int) error { return errors.New("connection reset") }}
	_, _ = a.Handle(ctx, "invocation", messages(h[0].Completed()))
	require.Equal(t, segment.Of(3), leases(t, s)[0].By(queue.Undispatched))
	require.Len(t, s.Handed(t, "f"), 3)
	raced := between(s, "UpdateItem", func() { s.Report(t, h[1].Completed()) })

	require.NoError(t, execute(s, "wake", "f"))

	require.True(t, *raced)
	require.Empty(t, leases(t, s)[0].By(queue.Undispatched))
	require.Equal(t, 3, held(t, s))
	require.Len(t, s.Handed(t, "f"), 5)
	for attempt, times := range starts(t, s) {
		require.Equal(t, 1, times, attempt)
	}
}

// TestG4ForsakenTasksAreTakenOverOnce: two executions find them at the same time.
func TestG4ForsakenTasksAreTakenOverOnce(t *testing.T) {
	s := stage(t, 3, 10)
	claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "dead", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	require.Equal(t, 3, claimed.Claimed)
	s.Pass(queue.DispatchTerm + time.Second)
	overtaken := between(s, "UpdateItem", func() { require.NoError(t, execute(s, "other")) })

	require.NoError(t, execute(s, "tick"))

	require.True(t, *overtaken)
	require.Len(t, s.Handed(t, "f"), 3)
	l := leases(t, s)[0]
	require.Equal(t, segment.Range(0, 2), l.By(queue.Dispatched))
	require.Equal(t, s.World.Now(), l.Hands[0].Since, "its time begins with the start")
}

// TestG4ADispatchThatLosesTheRaceForItsNoteStartsNothingTwice: some or all of the tasks that it has started end before it notes that.
func TestG4ADispatchThatLosesTheRaceForItsNoteStartsNothingTwice(t *testing.T) {
	for name, ended := range map[string]int{"one has ended": 1, "all have ended": 3} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 3, 5)
			o := s.Services().Orchestrator.Service
			claimed, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
			require.NoError(t, err)
			s.Pass(time.Second)
			raced := between(s, "UpdateItem", func() {
				for _, h := range s.Handed(t, "f")[:ended] {
					s.Report(t, h.Completed())
				}
			})

			dispatched, err := o.Dispatch(ctx, "f", claimed.Leases)

			require.NoError(t, err)
			require.True(t, *raced)
			require.Equal(t, orchestrator.Dispatched{Dispatched: 3, Errors: []string{}}, dispatched)
			require.Len(t, s.Handed(t, "f"), 3+min(ended, 2), "what was fed is started by the assistant")
			for _, l := range leases(t, s) {
				require.Empty(t, l.By(queue.Undispatched))
				require.Equal(t, segment.Range(ended, 2), l.By(queue.Dispatched))
			}
			again, err := o.Dispatch(ctx, "f", claimed.Leases)
			require.NoError(t, err)
			require.Zero(t, again.Dispatched)
			for attempt, times := range starts(t, s) {
				require.Equal(t, 1, times, attempt)
			}
		})
	}
}

// contended is a writer of leases that loses every race for a return.
type contended struct{ orchestrator.Leases }

func (contended) Requeue(_ context.Context, l queue.Lease, _ queue.Entry) (queue.Lease, error) {
	return l, queue.ErrChanged
}

// TestG1ATaskWhoseReturnLosesEveryRaceIsTakenOver: it must not count as started.
func TestG1ATaskWhoseReturnLosesEveryRaceIsTakenOver(t *testing.T) {
	s, o, starts, items := claimed(t, 3)
	starts.answer = func(n int) error {
		if n == 1 {
			return errors.New("connection reset")
		}
		return nil
	}
	o.Leases = contended{o.Leases}

	_, err := o.Dispatch(ctx, "f", items)

	require.NoError(t, err)
	require.Equal(t, segment.Of(0, 2), leases(t, s)[0].By(queue.Dispatched))
	require.Equal(t, segment.Of(1), leases(t, s)[0].By(queue.Undispatched))
	s.Pass(time.Minute)
	require.NoError(t, execute(s, "tick"))
	require.Equal(t, segment.Range(0, 2), leases(t, s)[0].By(queue.Dispatched))
	require.Len(t, s.Handed(t, "f"), 1)
}

// TestG1G3G4LeasesAreFilledRaisedAndMadeWhereverTheOrchestratorIsCutOff: one slot of a lease is idle, the cap is higher than before, and another
// job is due. In the end all tasks have run.
func TestG1G3G4LeasesAreFilledRaisedAndMadeWhereverTheOrchestratorIsCutOff(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 2, 5)
		require.Equal(t, 2, s.HandOut(t, "f"))
		s.ReportUnsettled(t, s.Handed(t, "f")[0].Failed("Boom"))
		s.Scavenge(t)
		require.NoError(t, s.Apply(labourers(6)))
		s.Schedule(t, outage.Job("second", "f", 100))
		s.Pass(10 * time.Second)
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return execute(s, fmt.Sprintf("execution-%d", delivery), "f") })

		cut.Off()
		settle(t, s)
		require.Equal(t, 6, held(t, s))
		require.Equal(t, 6, granted(t, s))
		for attempt, times := range starts(t, s) {
			require.LessOrEqual(t, times, 2, attempt)
		}
		finish(t, s)
		require.Empty(t, leases(t, s))
		return outage.Picture(s.Stack)
	})
}

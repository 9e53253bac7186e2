package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/target"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// rounds hands out the tasks that may start, as a tick does.
func rounds(t *testing.T, s *outage.Stage, starts *starter) {
	o := s.Services().Orchestrator.Service
	o.Launcher.Starter = starts
	require.NoError(t, executeBy(o, "rounds", "f"))
}

// end completes all started tasks that have not ended.
func end(t *testing.T, s *outage.Stage, starts *starter) {
	a := s.Services().Assistant.Service
	a.Launcher.Starter = starts
	ends := starts.started
	starts.started = nil
	for _, one := range ends {
		failed, _ := a.Handle(ctx, "end", []assistant.Message{{ID: fmt.Sprint(one.Task.ID, one.Attempt), Body: fmt.Sprintf(
			`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed"}`, one.Task.ID, one.Attempt)}})
		require.Empty(t, failed)
	}
}

func TestG8ATroubledTargetIsProbedAtGrowingIntervalsWithOneTask(t *testing.T) {
	s, tries := stage(t, 10, 30), []time.Duration{}
	starts := &starter{answer: func(int) error { return errors.New("access denied") }}
	begin := s.World.Now()
	before := 0
	for range 40 * 6 {
		rounds(t, s, starts)
		if starts.asked > before {
			tries = append(tries, s.World.Now().Sub(begin))
			if len(tries) > 1 {
				require.Equal(t, 1, starts.asked-before, "one task finds out")
			}
		}
		before = starts.asked
		s.Pass(10 * time.Second)
	}

	minutes := func(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }
	require.Equal(t, []time.Duration{0, minutes(0.5), minutes(1.5), minutes(3.5), minutes(7.5), minutes(12.5), minutes(17.5), minutes(22.5), minutes(27.5), minutes(32.5), minutes(37.5)}, tries)
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, "access denied", state.Trouble.Error)
	require.Equal(t, begin, state.Trouble.Since)
	require.Equal(t, len(tries), state.Trouble.Times)
	require.Empty(t, s.Ended(t), "no attempt is used up")

	starts.answer = nil
	s.Pass(5 * time.Minute)
	rounds(t, s, starts)

	require.Len(t, starts.started, 10, "all start once one has")
	state, err = s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Nil(t, state.Trouble)
}

// TestG8ATroubledTargetWhoseSlotsAllBelongToLeasesIsProbed: by a task that waits in one of them, although others are due.
func TestG8ATroubledTargetWhoseSlotsAllBelongToLeasesIsProbed(t *testing.T) {
	s := stage(t, 2, 10)
	require.Equal(t, 2, s.HandOut(t, "f"))
	for _, h := range s.Handed(t, "f") {
		s.ReportUnsettled(t, h.Failed("Boom"))
	}
	s.Scavenge(t)
	require.Zero(t, held(t, s))
	require.Equal(t, 2, granted(t, s))
	now := s.World.Now()
	require.NoError(t, s.Control.SetTrouble(ctx, "f", &queue.Trouble{Error: "no such queue", At: now, Since: now, Until: now.Add(30 * time.Second), Times: 2}))
	s.Pass(time.Minute)
	probe := &starter{answer: func(int) error { return errors.New("no such queue") }}

	rounds(t, s, probe)

	require.Equal(t, 1, probe.asked)
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, 3, state.Trouble.Times)
	require.Zero(t, granted(t, s), "what waits is due again, so that other tasks can probe")
	s.Pass(5 * time.Minute)
	require.NoError(t, execute(s, "wake", "f"))
	require.Equal(t, 2, held(t, s))
}

// TestG8TasksThatCannotBeStartedBlockNoOthers: whatever the cap and their number, and they fail after five starts each.
func TestG8TasksThatCannotBeStartedBlockNoOthers(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		for name, odd := range map[string][]int{"the first": {0}, "a later one": {3}, "the first two": {0, 1}, "five, from the first on": {0, 1, 2, 3, 4}} {
			t.Run(fmt.Sprintf("cap %d, %s", limit, name), func(t *testing.T) {
				s := stage(t, limit, 8)
				tasks, err := s.Drover.Tasks("job-0")
				require.NoError(t, err)
				misses, others := map[task.ID]int{}, 0
				for _, n := range odd {
					misses[tasks[n].ID] = 0
				}
				starts := &starter{answerTo: func(id task.ID) error {
					if _, is := misses[id]; is {
						misses[id]++
						return errors.New("a policy of its own")
					}
					others++
					return nil
				}}
				ended := map[task.ID]task.Task{}
				const rest = 20 // minutes in which nothing starts, at most
				last, before := 0, 0
				for minute := range 180 { // with a new job each minute
					s.Schedule(t, outage.Job(fmt.Sprintf("later-%d", minute), "f", 1))
					for range 6 {
						rounds(t, s, starts)
						end(t, s, starts)
						s.Pass(10 * time.Second)
					}
					if others > before {
						last, before = minute, others
					}
					require.Less(t, minute-last, rest, "others start all the while")
					for some := s.Ended(t); len(some) > 0; some = s.Ended(t) {
						for _, one := range some {
							if one.Status == task.Failed {
								ended[one.ID] = one
							}
						}
						_, err := s.Services().Scavenger.Service.Handle(ctx, "end", some)
						require.NoError(t, err)
					}
					if len(ended) == len(odd) {
						break
					}
				}

				require.Len(t, ended, len(odd), "some are tried for ever")
				for id, one := range ended {
					require.Contains(t, misses, id)
					require.Equal(t, "Unstartable", one.LastError().Type)
					require.Contains(t, one.LastError().Message, "a policy of its own")
					require.False(t, one.Permanent, "its labourer's policy decides whether it is tried again")
					require.GreaterOrEqual(t, misses[id], queue.MisfiresMost)
				}
			})
		}
	}
}

// TestG8ProbesPassOverTasksThatFailedBesideStartedOnes: the last task of the job cannot be started either.
func TestG8ProbesPassOverTasksThatFailedBesideStartedOnes(t *testing.T) {
	s := stage(t, 4, 9)
	tasks, err := s.Drover.Tasks("job-0")
	require.NoError(t, err)
	var started []int
	starts := &starter{answerTo: func(id task.ID) error {
		if id.N < 3 || id == tasks[8].ID {
			return errors.New("a policy of its own")
		}
		started = append(started, id.N)
		return nil
	}}
	rounds(t, s, starts)
	require.Equal(t, []int{3}, started)
	entries, err := s.Control.Due(ctx, "f", s.World.Now(), 0)
	require.NoError(t, err)
	require.Equal(t, segment.Range(0, 2), entries[0].Tasks, "they keep their place, and share an entry")
	require.Equal(t, 1, entries[0].Misfires)

	s.Pass(31 * time.Second)
	rounds(t, s, starts) // the first of them
	s.Pass(61 * time.Second)
	rounds(t, s, starts)

	require.Contains(t, started, 4)
}

// TestG8TasksThatCannotBeStartedDoNotHideTheOneThatCan: each is an entry of its own, and there are more of them than a claim takes tasks from.
func TestG8TasksThatCannotBeStartedDoNotHideTheOneThatCan(t *testing.T) {
	s := stage(t, 1, slices.Repeat([]int{1}, 60)...)
	entries, err := s.Control.Due(ctx, "f", s.World.Now(), 0)
	require.NoError(t, err)
	require.Len(t, entries, 60)
	starts := &starter{answerTo: func(id task.ID) error {
		if id.Segment == entries[59].Segment {
			return nil
		}
		return errors.New("a policy of its own")
	}}

	for len(starts.started) == 0 && starts.asked < 10 {
		rounds(t, s, starts)
		s.Pass(6 * time.Minute)
	}

	require.Len(t, starts.started, 1, "the last in line is soon a probe")
}

// TestG4TheCompletionOfAWorkerWhoseStartWentUnheardCounts: the answer to a start is lost, so the task returns to the queue while its worker runs.
func TestG4TheCompletionOfAWorkerWhoseStartWentUnheardCounts(t *testing.T) {
	const machine = "arn:aws:states:us-west-2:000000000000:stateMachine:f"
	for name, c := range map[string]struct {
		detail string // of the execution's end
		during func(t *testing.T, s *outage.Stage)
		want   task.Status
	}{
		"it ends while the task is queued":   {`"status": "SUCCEEDED", "output": "{}"`, func(*testing.T, *outage.Stage) {}, task.Completed},
		"it ends when the task is out again": {`"status": "SUCCEEDED", "output": "{}"`, func(t *testing.T, s *outage.Stage) { s.Pass(31 * time.Second); require.Equal(t, 1, s.HandOut(t, "f")) }, task.Completed},
		"it fails while the task is queued":  {`"status": "FAILED", "error": "Broken"`, func(*testing.T, *outage.Stage) {}, task.Dead},
	} {
		t.Run(name, func(t *testing.T) {
			s := outage.NewStage(t, "labourers:\n  f: {target: {states: \""+machine+"\"}, max_attempts: 1}\n")
			s.StepFunctions.Handle(machine, func(string, []byte, func([]byte, *fakeaws.Failure)) {})
			s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
			tasks, err := s.Drover.Tasks("nightly")
			require.NoError(t, err)
			s.StepFunctions.After = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == "StartExecution" {
					return errors.New("connection reset")
				}
				return nil
			}
			require.Zero(t, s.HandOut(t, "f"))
			s.StepFunctions.After = nil
			c.during(t, s)

			failed, summary := s.Services().Assistant.Service.Handle(ctx, "ended", []assistant.Message{{ID: "1", Body: fmt.Sprintf(
				`{"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": {"stateMachineArn": %q, "name": "drover-%s-0-1", %s}}`, machine, tasks[0].ID.Segment, c.detail)}})
			require.Empty(t, failed)
			require.Zero(t, summary.Stale)
			s.Scavenge(t)
			s.Pass(31 * time.Second)
			s.HandOut(t, "f") // finds the ends of the tasks that are still queued
			s.Scavenge(t)

			tasks, err = s.Drover.Tasks("nightly")
			require.NoError(t, err)
			require.Equal(t, c.want, tasks[0].Status)
			require.Zero(t, held(t, s))
			entries, err := s.Control.Queue(ctx, "f")
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}

func TestG6NoLeaseOvertakesOneThatAFIFOQueueRefused(t *testing.T) {
	url := outage.Worker("f") + ".fifo"
	s := outage.NewStage(t, "labourers:\n  f: {target: {sqs: \""+url+"\"}, max_simultaneous_invocations: 10}\n")
	s.SQS.Create(url, fakeaws.Queue{})
	for n := range 3 {
		s.Schedule(t, fmt.Sprintf(`{"job_id": "job-%d", "labourer": "f"}`, n))
		s.Pass(time.Second)
	}
	s.SQS.Before = failNext("SendMessageBatch")
	require.Zero(t, s.HandOut(t, "f"))
	require.Empty(t, s.SQS.Letters(url))

	s.Pass(time.Minute)
	require.Equal(t, 3, s.HandOut(t, "f"))

	for n, l := range s.SQS.Letters(url) {
		require.Contains(t, l.Body, fmt.Sprintf(`"job_id":"job-%d"`, n))
	}
}

// failNext makes the next request of this kind fail.
func failNext(operation string) func(context.Context, fakeaws.Request) error {
	failed := false
	return func(_ context.Context, r fakeaws.Request) error {
		if failed || r.Operation != operation {
			return nil
		}
		failed = true
		return errors.New("connection reset")
	}
}

// holding is a starter that counts the bytes of events that it gets at once.
type holding struct{ most int }

func (h *holding) Start(_ context.Context, _ labourer.Labourer, starts []target.Start) []error {
	bytes := 0
	for _, one := range starts {
		bytes += len(one.Event)
	}
	h.most = max(h.most, bytes)
	return make([]error, len(starts))
}

// TestG8ADispatchHoldsFewPayloadsAtOnce: 200 tasks of 100 KB have 20 MB, and their copies several times as much.
func TestG8ADispatchHoldsFewPayloadsAtOnce(t *testing.T) {
	s, h := stage(t, 1000), &holding{}
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprintf(`"s%03d"`, i)
	}
	s.Schedule(t, fmt.Sprintf(`{"job_id": "large", "labourer": "f", "isolate_stores": true, "stores": [%s], "ballast": %q}`,
		strings.Join(names, ","), strings.Repeat("row 17; ", 100<<10/8)))
	o := s.Services().Orchestrator.Service
	o.Launcher.Starter = h
	claimed, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	require.Equal(t, 200, claimed.Claimed)

	out, err := o.Dispatch(ctx, "f", claimed.Leases)

	require.NoError(t, err)
	require.Equal(t, 200, out.Dispatched)
	require.Less(t, h.most, 5<<20)
}

// TestG1UnreadTasksReturnToTheQueueWhenOthersOfTheirLeaseRun: a lease is read in parts, and reading the second part fails.
func TestG1UnreadTasksReturnToTheQueueWhenOthersOfTheirLeaseRun(t *testing.T) {
	_, o, starts, items := claimed(t, 10)
	tasks := o.Tasks
	o.Tasks = halting{tasks}

	_, err := o.Dispatch(ctx, "f", items)

	require.ErrorContains(t, err, "the table is throttled")
	require.Len(t, starts.started, 5)
	o.Tasks = tasks
	_, err = o.Dispatch(ctx, "f", items)
	require.NoError(t, err)
	require.Len(t, starts.started, 5, "what runs is not started again")
	entries, err := o.Control.Due(ctx, "f", o.Now(), 0)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, segment.Range(5, 9), entries[0].Tasks)
}

// halting reads the first half of the requested tasks and then fails.
type halting struct{ orchestrator.Tasks }

func (h halting) Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	return func(yield func([]task.Task, error) bool) {
		for tasks, err := range h.Tasks.Chunks(ctx, s, numbers.First(numbers.Len()/2)) {
			if !yield(tasks, err) {
				return
			}
		}
		yield(nil, errors.New("the table is throttled"))
	}
}

// TestG3G4NoRunningTaskReturnsToTheQueueWithAnotherTask: of two tasks one is started. The other returns to the queue, or fails for good, and the
// write for that fails.
func TestG3G4NoRunningTaskReturnsToTheQueueWithAnotherTask(t *testing.T) {
	for name, c := range map[string]struct {
		answer   error
		misfires int
	}{
		"returned to the queue": {errors.New("access denied"), 0},
		"failed as unstartable": {errors.New("access denied"), queue.MisfiresMost - 1},
		"refused":               {&target.Refusal{Type: "PayloadTooLarge", Reason: "too large"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, o, starts, items := claimed(t, 2)
			starts.answer = func(n int) error {
				if n == 1 {
					return c.answer
				}
				return nil
			}
			o.Control = misfired{o.Control, c.misfires}
			o.Leases = unrequeued{o.Leases}
			o.Tasks = unwritable{o.Tasks}
			o.Launcher.Tasks = o.Tasks

			out, err := o.Dispatch(ctx, "f", items)
			if err != nil {
				require.ErrorContains(t, err, "the table is throttled")
				o.Leases = s.Services().Orchestrator.Service.Leases
				_, err = o.GiveBack(ctx, "execution", "f", items)
				require.NoError(t, err)
			}

			require.Equal(t, 1, out.Dispatched)
			held := leases(t, s)
			require.Len(t, held, 1)
			require.Equal(t, segment.Of(0), held[0].By(queue.Dispatched).Intersect(segment.Of(0)), "it runs")
			require.NotContains(t, outage.Picture(s.Stack), ".0 is queued")
		})
	}
}

// misfired holds leases whose tasks have misfired before.
type misfired struct {
	orchestrator.Control
	times int
}

func (m misfired) Lease(ctx context.Context, labourer, item string) (queue.Lease, bool, error) {
	l, found, err := m.Control.Lease(ctx, labourer, item)
	l.Misfires = m.times
	return l, found, err
}

// unrequeued is a writer of leases that returns no task to the queue.
type unrequeued struct{ orchestrator.Leases }

func (unrequeued) Requeue(_ context.Context, l queue.Lease, _ queue.Entry) (queue.Lease, error) {
	return l, errors.New("the table is throttled")
}

type unwritable struct{ orchestrator.Tasks }

func (unwritable) Save(context.Context, task.Task, task.Task) error {
	return errors.New("the table is throttled")
}

func TestTroubleIsRecordedBesideAnUnreadableLease(t *testing.T) {
	s := stage(t, 10, 2, 2)
	o, starts := s.Services().Orchestrator.Service, &starter{answer: func(int) error { return errors.New("access denied") }}
	o.Launcher.Starter = starts
	claimed, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	require.Len(t, claimed.Leases, 2)
	o.Control = unread{o.Control, claimed.Leases[0].Lease}

	out, err := o.Dispatch(ctx, "f", claimed.Leases)

	require.ErrorContains(t, err, "the table is throttled")
	require.Equal(t, 1, out.Unreached)
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, "access denied", state.Trouble.Error)
}

// unread is a control table in which one lease cannot be read.
type unread struct {
	orchestrator.Control
	item string
}

func (u unread) Lease(ctx context.Context, labourer, item string) (queue.Lease, bool, error) {
	if item == u.item {
		return queue.Lease{}, false, errors.New("the table is throttled")
	}
	return u.Control.Lease(ctx, labourer, item)
}

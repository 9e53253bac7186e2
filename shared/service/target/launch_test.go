package target_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/target"
)

var (
	noon    = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	errDown = errors.New("the target is down")
)

const at = segment.ID("abcdefghijklmnop")

// desk starts workers, stores tasks and briefs turns.
type desk struct {
	answers map[int]error // of a start, by the task's number
	started []target.Start
	saved   []task.Task
	saving  error
	never   map[task.ID]string // turns that never get a payload
	filling error

	smaller     json.RawMessage // the payload of a turn whose results have an address; nil: it cannot be smaller
	outsourcing error
	limit       int // the largest event that the target takes; 0: any
}

func (d *desk) Start(_ context.Context, _ labourer.Labourer, starts []target.Start) []error {
	errs := make([]error, len(starts))
	for i, s := range starts {
		errs[i] = d.answers[s.Task.ID.N]
		if d.limit > 0 && len(s.Event) > d.limit {
			errs[i] = &target.Refusal{Type: target.TooLarge, Reason: "its event is too large"}
		}
	}
	d.started = append(d.started, starts...)
	return errs
}

func (d *desk) Save(_ context.Context, _, after task.Task) error {
	if d.saving == nil {
		d.saved = append(d.saved, after)
	}
	return d.saving
}

func (d *desk) Fill(_ context.Context, tasks []task.Task, _ int) ([]task.Task, map[task.ID]string, error) {
	filled := make([]task.Task, len(tasks))
	for i, t := range tasks {
		t.Payload = briefing
		filled[i] = t
	}
	return filled, d.never, d.filling
}

func (d *desk) Outsource(_ context.Context, t task.Task) (task.Task, bool, error) {
	t.Payload = d.smaller
	return t, d.smaller != nil, d.outsourcing
}

// launch starts the second attempt of tasks 0 to n-1, as edit has changed them.
func (d *desk) launch(t *testing.T, l labourer.Labourer, n int, blocked error, edit func([]task.Task)) target.Launched {
	t.Helper()
	out, err := d.try(l, lease(), n, blocked, edit)
	require.NoError(t, err)
	return out
}

func (d *desk) try(l labourer.Labourer, in queue.Lease, n int, blocked error, edit func([]task.Task)) (target.Launched, error) {
	tasks := make([]task.Task, n)
	for i := range tasks {
		tasks[i] = task.Task{ID: task.ID{Segment: at, N: i}, JobID: "nightly", Labourer: l.ID, Status: task.Failed, Attempt: 1, Payload: json.RawMessage(`{"store": 7}`)}
	}
	if edit != nil {
		edit(tasks)
	}
	s := target.Launcher{Starter: d, Briefer: d, Tasks: d, Now: func() time.Time { return noon.Add(time.Second) }, CompletionsURL: "https://completions"}
	return s.Launch(context.Background(), l, in, tasks, noon, blocked)
}

func lease() queue.Lease { return queue.Lease{Labourer: "f", Segment: at, Attempt: 2} }

func worker(where labourer.Target) labourer.Labourer {
	l := labourer.New("f")
	l.Target, l.MaxDuration, l.Cooldown = where, 10*time.Minute, 5*time.Minute
	return l
}

var (
	function = labourer.Target{Lambda: "f"}
	fifo     = labourer.Target{SQS: "https://sqs.eu-west-1.amazonaws.com/123456789012/f.fifo"}
)

var briefing = json.RawMessage(`{"run": "r1", "results": "` + strings.Repeat("x", 1000) + `"}`)

func numbers(starts []target.Start) []int {
	out := []int{}
	for _, s := range starts {
		out = append(out, s.Task.ID.N)
	}
	return out
}

func back(l target.Launched) []int {
	out := []int{}
	for _, b := range l.Back {
		out = append(out, b.Task.ID.N)
	}
	return out
}

func TestAWorkerGetsItsPayloadAndTheIdentityOfItsAttempt(t *testing.T) {
	d := &desk{}

	out := d.launch(t, worker(function), 1, nil, nil)

	require.Equal(t, target.Launched{Started: 1}, out)
	require.Equal(t, 2, d.started[0].Attempt)
	require.JSONEq(t, `{"store": 7, "task_id": "abcdefghijklmnop.0", "drover": {"version": 1, "task_id": "abcdefghijklmnop.0", "job_id": "nightly",
		"labourer_id": "f", "attempt": 2, "deadline": "2026-11-28T12:10:00Z", "completions_url": "https://completions"}}`, string(d.started[0].Event))
}

func TestAWorkerWithoutAttributesGetsItsIdentityAlone(t *testing.T) {
	d := &desk{}

	d.launch(t, worker(function), 1, nil, func(tasks []task.Task) { tasks[0].Payload = json.RawMessage(` { } `) })

	var event map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(d.started[0].Event, &event))
	require.Len(t, event, 2)
}

func TestTheDeadlineIsThatOfTheLease(t *testing.T) {
	for name, c := range map[string]struct {
		given func(*queue.Lease)
		want  string
	}{
		"the labourer's duration":                          {func(*queue.Lease) {}, "2026-11-28T12:10:00Z"},
		"the job's own duration":                           {func(l *queue.Lease) { l.MaxDuration = time.Minute }, "2026-11-28T12:01:00Z"},
		"what the lease was given, without the cooldown":   {func(l *queue.Lease) { l.Lasts = 25 * time.Minute }, "2026-11-28T12:20:00Z"},
		"a cooldown that has grown past what was given it": {func(l *queue.Lease) { l.Lasts = time.Minute }, "2026-11-28T12:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			d, l := &desk{}, lease()
			c.given(&l)

			_, err := d.try(worker(function), l, 1, nil, nil)

			require.NoError(t, err)
			require.Contains(t, string(d.started[0].Event), `"deadline":"`+c.want+`"`)
		})
	}
}

func TestTasksThatHaveEndedAreNotStarted(t *testing.T) {
	d := &desk{}

	out := d.launch(t, worker(function), 4, nil, func(tasks []task.Task) {
		tasks[0].Status = task.Cancelled
		tasks[1].Status, tasks[1].Attempt = task.Completed, 2
		tasks[2].Attempt = 2 // its second attempt has failed already
	})

	require.Equal(t, []int{3}, numbers(d.started))
	require.Len(t, out.Ended, 3)
	require.Equal(t, 1, out.Started)
}

func TestARefusedTaskFailsAndTheOthersStart(t *testing.T) {
	for name, c := range map[string]target.Refusal{
		"for good":        {Type: "PayloadTooLarge", Reason: "1048577 bytes"},
		"for the time":    {Type: "NoSuchQualifier", Reason: "alias next is missing", Retryable: true},
		"in a FIFO queue": {Type: "InvalidPayload", Reason: "U+FFFE"},
	} {
		t.Run(name, func(t *testing.T) {
			where := function
			if name == "in a FIFO queue" {
				where = fifo
			}
			d := &desk{answers: map[int]error{0: &c}}

			out := d.launch(t, worker(where), 2, nil, nil)

			require.Equal(t, []int{1, 1}, []int{out.Started, out.Failed})
			require.Empty(t, out.Back)
			require.NoError(t, out.Blocked)
			require.ErrorContains(t, errors.Join(out.Errs...), c.Reason)
			require.Len(t, d.saved, 1)
			one := d.saved[0]
			require.Equal(t, []any{task.Failed, 2, !c.Retryable, &task.Error{Type: c.Type, Message: c.Reason}}, []any{one.Status, one.Attempt, one.Permanent, one.LastError()})
			require.Equal(t, []time.Time{noon, noon.Add(time.Second)}, []time.Time{*one.Attempts[0].DispatchedAt, *one.Attempts[0].ClosedAt})
		})
	}
}

func TestARefusedTaskThatCannotBeClosedIsUnsent(t *testing.T) {
	d := &desk{answers: map[int]error{0: &target.Refusal{Type: "PayloadTooLarge", Reason: "1048577 bytes"}}, saving: errDown}

	out := d.launch(t, worker(function), 1, nil, nil)

	require.Zero(t, out.Failed)
	require.Equal(t, []int{0}, back(out))
	require.True(t, out.Back[0].Unsent())
	require.ErrorIs(t, out.Back[0].Err, errDown)
}

// TestARefusedTaskThatHasEndedMeanwhileCountsAsFailed: another component has closed the attempt.
func TestARefusedTaskThatHasEndedMeanwhileCountsAsFailed(t *testing.T) {
	d := &desk{answers: map[int]error{0: &target.Refusal{Type: "PayloadTooLarge", Reason: "1048577 bytes"}}, saving: task.ErrStale}

	out := d.launch(t, worker(function), 1, nil, nil)

	require.Equal(t, 1, out.Failed)
	require.Empty(t, out.Back)
}

func TestWhatTheTargetDoesNotTakeGoesBackWithoutItsPayload(t *testing.T) {
	d := &desk{answers: map[int]error{0: &target.Throttled{Err: errDown}, 2: errDown}}

	out := d.launch(t, worker(function), 3, nil, nil)

	require.Equal(t, 1, out.Started)
	require.Equal(t, []int{0, 2}, back(out))
	require.Equal(t, []bool{true, false}, []bool{out.Back[0].Throttled(), out.Back[1].Throttled()})
	for _, b := range out.Back {
		require.Equal(t, task.Task{ID: b.Task.ID, JobID: "nightly", Labourer: "f"}, b.Task)
		require.False(t, b.Unsent())
	}
	require.NoError(t, out.Blocked, "a function keeps no order")
	require.Empty(t, d.saved)
}

func TestG6NothingStartsBehindAFailureOfAFIFOQueue(t *testing.T) {
	d := &desk{answers: map[int]error{1: errDown, 2: &target.Unsent{Err: errDown}}}
	first := d.launch(t, worker(fifo), 3, nil, nil)
	require.Equal(t, 1, first.Started)
	require.Equal(t, []bool{false, true}, []bool{first.Back[0].Unsent(), first.Back[1].Unsent()})
	require.Equal(t, errDown, first.Blocked)
	d.started = nil

	next := d.launch(t, worker(fifo), 2, first.Blocked, func(tasks []task.Task) { tasks[0].Status = task.Cancelled })

	require.Empty(t, d.started)
	require.Equal(t, []int{1}, back(next))
	require.True(t, next.Back[0].Unsent())
	require.ErrorIs(t, next.Back[0].Err, errDown)
	require.Equal(t, errDown, next.Blocked)
	require.Len(t, next.Ended, 1, "what has ended waits for no other task")
}

func TestATurnWithoutABriefingFailsForGoodAndTheOthersGetTheirs(t *testing.T) {
	d := &desk{never: map[task.ID]string{{Segment: at, N: 0}: "the run's metadata is gone"}}

	out := d.launch(t, worker(function), 2, nil, func(tasks []task.Task) {
		tasks[0].Turn, tasks[1].Turn = "1.parallel", "1.parallel"
	})

	require.Equal(t, []int{1}, numbers(d.started))
	require.Contains(t, string(d.started[0].Event), `"run": "r1"`)
	require.Equal(t, []int{1, 1}, []int{out.Started, out.Failed})
	require.Equal(t, []any{"NoBriefing", true}, []any{d.saved[0].LastError().Type, d.saved[0].Permanent})
}

func TestATurnThatIsTooLargeStartsWithTheAddressOfItsResults(t *testing.T) {
	for name, c := range map[string]struct {
		given           desk
		starts          int
		started, failed int
		unsent          []int
	}{
		"it is smaller so":                {given: desk{smaller: json.RawMessage(`{}`)}, starts: 2, started: 1},
		"it is still too large":           {given: desk{smaller: briefing}, starts: 2, failed: 1},
		"it cannot be smaller":            {starts: 1, failed: 1},
		"the results cannot be put there": {given: desk{outsourcing: errDown}, starts: 1, unsent: []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.given
			d.limit = 1000

			out := d.launch(t, worker(function), 1, nil, func(tasks []task.Task) { tasks[0].Turn = "1.parallel" })

			require.Len(t, d.started, c.starts)
			require.Equal(t, []int{c.started, c.failed}, []int{out.Started, out.Failed})
			require.ElementsMatch(t, c.unsent, back(out))
			for _, b := range out.Back {
				require.True(t, b.Unsent())
			}
		})
	}
}

func TestNothingStartsIfTurnsCannotBeBriefed(t *testing.T) {
	d := &desk{filling: errDown}

	_, err := d.try(worker(function), lease(), 2, nil, func(tasks []task.Task) { tasks[1].Turn = "1.parallel" })

	require.ErrorIs(t, err, errDown)
	require.Empty(t, d.started)
	require.Empty(t, d.saved)
}

func TestTargetsStartByKind(t *testing.T) {
	functions, queues, machines := &desk{}, &desk{}, &desk{}
	all := target.Targets{Lambda: functions, SQS: queues, States: machines}
	starts := []target.Start{{Attempt: 1}}
	for _, where := range []labourer.Target{function, fifo, {States: "arn:aws:states:eu-west-1:123456789012:stateMachine:f"}} {
		require.Equal(t, []error{nil}, all.Start(t.Context(), worker(where), starts))
	}
	require.Equal(t, []int{1, 1, 1}, []int{len(functions.started), len(queues.started), len(machines.started)})

	errs := all.Start(t.Context(), worker(labourer.Target{}), starts)

	require.EqualError(t, errs[0], "labourer f has no target")
}

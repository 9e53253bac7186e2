package inspect_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

// written returns v as the command line prints it. Tests compare it with the promised documents, to the byte.
func written(t *testing.T, v any) string {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(v))
	return strings.TrimSuffix(text.String(), "\n")
}

func job(state ledger.State) ledger.Job {
	return ledger.Job{ID: "nightly", Labourer: "shop", State: state, SubmittedAt: earlier, Total: 600, Cursor: 3, Generation: 1,
		Counts: ledger.Counts{Completed: 256}}
}

func TestTheLineOfAJob(t *testing.T) {
	finished := job(ledger.Completed)
	finished.Counts, finished.FinishedAt = ledger.Counts{Completed: 598, Dead: 2}, now
	require.Equal(t, `{"job_id":"nightly","labourer_id":"shop","state":"completed","total":600,"completed":598,"dead":2,"cancelled":0,"open":0,`+
		`"submitted_at":"2026-11-22T08:59:00Z","finished_at":"2026-11-22T09:00:00Z"}`, written(t, inspect.JobOf(finished, nil)))

	rejected := ledger.Job{ID: "bad", State: ledger.Rejected, SubmittedAt: earlier, FinishedAt: now, ErrorField: "period", ErrorReason: "is odd"}
	require.Equal(t, `{"job_id":"bad","labourer_id":"","state":"rejected","total":0,"completed":0,"dead":0,"cancelled":0,"open":0,`+
		`"submitted_at":"2026-11-22T08:59:00Z","finished_at":"2026-11-22T09:00:00Z","error":{"field":"period","reason":"is odd"}}`, written(t, inspect.JobOf(rejected, nil)))

	replayed := job(ledger.Scheduled)
	replayed.Generation, replayed.FinishedAt = 2, now // left from its first end
	require.Equal(t, `{"job_id":"nightly","labourer_id":"shop","state":"scheduled","total":600,"completed":256,"dead":0,"cancelled":0,"open":344,`+
		`"submitted_at":"2026-11-22T08:59:00Z","generation":2}`, written(t, inspect.JobOf(replayed, nil)))
}

func lives(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = ledger.Life(i, 0)
	}
	return out
}

func TestProgressCountsATaskBeforeItsSegmentIsComplete(t *testing.T) {
	first := ledger.Progress{Segment: segment.IDOf("nightly", 0), Completed: lives(256), Rolled: ledger.Counts{Completed: 256}}
	second := ledger.Progress{Segment: segment.IDOf("nightly", 1), Completed: lives(10), Dead: []int{20, 21}, Replayed: []int{21}}
	line := inspect.JobOf(job(ledger.Scheduled), []ledger.Progress{first, second})
	require.Equal(t, [4]int{266, 1, 0, 333}, [4]int{line.Completed, line.Dead, line.Cancelled, line.Open})

	line = inspect.JobOf(job(ledger.Scheduled), []ledger.Progress{})
	require.Equal(t, 600, line.Open, "the progress counts: it was read after the record")
}

func TestTasksThatWereNeverCreatedAreCancelledWithTheirJob(t *testing.T) {
	half := job(ledger.Scheduling)
	half.Cursor, half.Cancelling, half.Counts = 1, true, ledger.Counts{Cancelled: 344}
	line := inspect.JobOf(half, []ledger.Progress{{Segment: segment.IDOf("nightly", 0), Completed: lives(6), Cancelled: lives(200)}})
	require.Equal(t, [4]int{6, 0, 544, 50}, [4]int{line.Completed, line.Dead, line.Cancelled, line.Open})
	require.Contains(t, written(t, line), `"cancelling":true`)
}

func TestTheLineOfATask(t *testing.T) {
	require.Equal(t, `{"task_id":"`+string(at)+`.3","job_id":"nightly","labourer_id":"shop","status":"queued","attempt":0,"created_at":"2026-11-22T08:59:00Z"}`,
		written(t, inspect.TaskOf(ended(0, task.Open), inspect.Place{}, now)))
	require.Equal(t, `{"task_id":"`+string(at)+`.3","job_id":"nightly","labourer_id":"shop","status":"dead","attempt":3,"created_at":"2026-11-22T08:59:00Z",`+
		`"closed_at":"2026-11-22T08:59:00Z"}`, written(t, inspect.TaskOf(ended(3, task.Dead), inspect.Place{}, now)))
}

func TestADetailHasEveryAttemptAndTheOneThatRuns(t *testing.T) {
	one := ended(0, task.Open)
	one.Payload = json.RawMessage(`{"day":"2026-11-21"}`)
	one, err := one.Close(task.End{Attempt: 1, Status: task.Failed, DispatchedAt: earlier, At: now, Error: &task.Error{Type: "Timeout", Message: "too slow"}})
	require.NoError(t, err)
	running, fed := lease(2, 3), queue.Hand{Since: earlier, By: queue.Mark("the message that fed it")}
	require.Equal(t, `{"task_id":"`+string(at)+`.3","job_id":"nightly","labourer_id":"shop","status":"running","attempt":2,"created_at":"2026-11-22T08:59:00Z",`+
		`"payload":{"day":"2026-11-21"},"attempts":[`+
		`{"attempt":1,"dispatched_at":"2026-11-22T08:59:00Z","closed_at":"2026-11-22T09:00:00Z","status":"failed","error":{"type":"Timeout","message":"too slow"}},`+
		`{"attempt":2,"dispatched_at":"2026-11-22T08:59:00Z","status":"running"}],"waiting_for":"its worker"}`,
		written(t, inspect.DetailOf(one, inspect.Place{Attempt: 2, Lease: &running, Hand: &fed}, "its worker", now)))

	undispatched := queue.Hand{Since: earlier, By: queue.Undispatched}
	require.Equal(t, []inspect.Attempt{{Attempt: 2, Status: "running"}}, inspect.DetailOf(one, inspect.Place{Attempt: 2, Lease: &running, Hand: &undispatched}, "", now).Attempts[1:])
	require.Len(t, inspect.DetailOf(one, inspect.Place{Attempt: 2, Lease: &running}, "", now).Attempts, 1, "no attempt has begun while the task waits in the lease")
}

func TestADetailHasResultAndStatsAsTheWorkerSentThem(t *testing.T) {
	one := ended(0, task.Open)
	one.Payload = json.RawMessage(`{}`)
	one, err := one.Close(task.End{Attempt: 1, Status: task.Completed, DispatchedAt: earlier, At: now, Result: json.RawMessage(`{"sum":1.50}`), Stats: json.RawMessage(`{"rows":7}`)})
	require.NoError(t, err)
	const rest = `"payload":{},"attempts":[{"attempt":1,"dispatched_at":"2026-11-22T08:59:00Z","closed_at":"2026-11-22T09:00:00Z","status":"completed"}],` +
		`"result":{"sum":1.50},"stats":{"rows":7}`
	head := `{"task_id":"` + string(at) + `.3","job_id":"nightly","labourer_id":"shop","status":"completed","attempt":1,"created_at":"2026-11-22T08:59:00Z",` +
		`"closed_at":"2026-11-22T09:00:00Z",`
	require.Equal(t, head+rest+`}`, written(t, inspect.DetailOf(one, inspect.Place{}, "", now)))
	require.Equal(t, head+rest+`,"archived":true}`, written(t, inspect.Archived(archive.RecordOf(one))), "the archive says the same")
}

func TestAReplayedTaskShowsItsFormerLife(t *testing.T) {
	one, err := ended(3, task.Dead).Revive()
	require.NoError(t, err)
	d := inspect.DetailOf(one, inspect.Place{}, "", now)
	require.Equal(t, [3]any{inspect.Queued, 1, 3}, [3]any{d.Status, d.Life, d.ReplayOf})
	require.Equal(t, "[]", written(t, d.Attempts))
}

func TestTheLineOfALabourer(t *testing.T) {
	cpu := 60.0
	metrics := map[string]ecology.Metric{"cpu": {Feelings: ecology.Feelings{3: 50, 2: 70}, Operator: ecology.AtMost}}
	a := ecology.Assess(ecology.Subject{Cap: 10, Coefficients: ecology.DefaultCoefficients(), Metrics: metrics},
		map[string]ecology.Reading{"cpu": {Value: &cpu, At: now}}, nil, now, 5)
	entries := []queue.Entry{entry(1, earlier, 1, 2), entry(1, now, 3), entry(2, soon, 4)}
	hungry, dry := queueing(lease(1, 10), 11, 12, 13), lease(1, 20)
	hungry.Slots, dry.Slots = 3, 4
	require.Equal(t, `{"at":"2026-11-22T09:00:00Z","labourer_id":"shop","status":2,"metrics":{"cpu":2},"cap":10,"desired":5,"running":2,"free":3,"due":6,`+
		`"binding":"none","reason":"tasks are being started: 3 of 5 are free, 6 tasks are due","started":0,"oldest_due":"2026-11-22T08:59:00Z",`+
		`"paused":false,"slots":7,"granted":4,"waiting":3,"later":1}`, written(t, inspect.LabourerOf("shop", a, queue.State{}, []queue.Lease{hungry, dry}, entries, now)))
	require.Equal(t, `{"labourer_id":"shop","status":2,"metrics":{"cpu":2},"desired":5,"running":5,"free":0}`, written(t, inspect.PaceOf("shop", a)))
	full := inspect.LabourerOf("shop", a, queue.State{}, []queue.Lease{lease(1, 1, 2, 3, 4, 5)}, entries, now)
	require.Equal(t, "no slot is free: 5 of 5 are taken, 3 tasks are due; health is Moderate: cpu is Moderate: 60 <= 70", full.Reason)
	over := inspect.LabourerOf("shop", a, queue.State{}, []queue.Lease{lease(1, 1, 2, 3, 4, 5, 6)}, entries, now)
	require.Equal(t, [4]int{5, 6, 6, 0}, [4]int{over.Desired, over.Running, over.Granted, over.Free}, "more than is desired now may be in hand")

	without := ecology.Assess(ecology.Subject{Cap: 2.5, Coefficients: ecology.DefaultCoefficients()}, nil, nil, now, 0)
	require.Equal(t, `{"at":"2026-11-22T09:00:00Z","labourer_id":"shop","status":4,"metrics":{},"cap":2.5,"desired":2,"running":0,"free":2,"due":0,`+
		`"binding":"paused","reason":"the labourer is paused","started":0,"paused":true,"slots":0,"granted":0,"waiting":0,"later":0}`, written(t, inspect.LabourerOf("shop", without, queue.State{Paused: true}, nil, nil, now)))
}

func TestWhyNoMoreTasksStart(t *testing.T) {
	due := []queue.Entry{entry(1, earlier, 1)}
	trouble := &queue.Trouble{Error: "no such queue", At: earlier, Until: soon}
	assess := func(limit float64, status ecology.Status) ecology.Assessment {
		return ecology.Assessment{Status: status, Reason: "cpu is high", Cap: limit, Desired: int(limit) * int(status) / 4}
	}
	fed := queueing(lease(1, 7, 8, 9), 10)
	fed.Slots = 4
	for name, c := range map[string]struct {
		assessment ecology.Assessment
		state      queue.State
		leases     []queue.Lease
		entries    []queue.Entry
		reason     string
		blocked    bool
	}{
		"paused":              {assess(4, ecology.High), queue.State{Paused: true, Trouble: trouble}, nil, due, "the labourer is paused", true},
		"cap 0":               {assess(0, ecology.High), queue.State{}, nil, due, "the cap is 0", true},
		"unwell":              {assess(4, ecology.Bad), queue.State{}, nil, due, "health is Bad: cpu is high", true},
		"unreachable":         {assess(4, ecology.High), queue.State{Trouble: trouble}, nil, due, "the target could not be reached, it is tried again at 2026-11-22T09:01:00Z: no such queue", false},
		"untried":             {assess(4, ecology.High), queue.State{Trouble: &queue.Trouble{Error: "no such queue", At: earlier, Until: now, Times: 1}}, nil, due, "the target could not be reached at 2026-11-22T08:59:00Z and is tried again within a minute: no such queue", false},
		"idle":                {assess(4, ecology.High), queue.State{}, nil, nil, "nothing is due", false},
		"full":                {assess(4, ecology.High), queue.State{}, []queue.Lease{lease(1, 6, 7, 8, 9)}, due, "no slot is free: 4 of 4 are taken, 1 task is due", false},
		"at work":             {assess(4, ecology.High), queue.State{}, []queue.Lease{lease(1, 7, 8, 9)}, due, "tasks are being started: 1 of 4 are free, 1 task is due", false},
		"at work in leases":   {assess(4, ecology.High), queue.State{}, []queue.Lease{queueing(lease(1, 8, 9), 10)}, nil, "tasks are being started: 2 of 4 are free, 1 task is due", false},
		"a granted slot free": {assess(4, ecology.High), queue.State{}, []queue.Lease{fed}, nil, "tasks are being started: 1 of 4 are free, 1 task is due", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := inspect.LabourerOf("shop", c.assessment, c.state, c.leases, c.entries, now)
			require.Equal(t, c.reason, l.Reason)
			require.Equal(t, c.blocked, l.Blocked())
		})
	}
}

func TestWhatATaskWaitsFor(t *testing.T) {
	failed, due, later := lease(1, 3), entry(1, earlier, 3), entry(2, soon, 3)
	granted := queueing(lease(1, 4, 5), 3)
	granted.Hands[5] = queue.Hand{Since: earlier.Add(-time.Hour), By: queue.Dispatched}
	left := queueing(lease(1, 4, 5), 3)
	left.Hands[5] = queue.Hand{Since: time.Unix(0, 0), By: queue.Undispatched}
	hungry := queueing(lease(1, 4), 3)
	hungry.Slots = 2
	revoked := queueing(lease(1, 4), 3)
	revoked.Slots = 0
	alone := revoked.Ended(segment.Of(4))
	bound := func(by decision.Binding, reason string) *inspect.Labourer {
		return &inspect.Labourer{Record: decision.Record{Desired: 3, Binding: by, Reason: reason}, Paused: by == decision.Paused}
	}
	free, full := bound(decision.None, "tasks are being started"), bound(decision.Cap, "no slot is free: 3 of 3 are taken, 5 tasks are due")
	paused, troubled := bound(decision.Paused, "the labourer is paused"), bound(decision.Target, "the target could not be reached")
	idle := bound(decision.NothingDue, "nothing is due")
	for name, c := range map[string]struct {
		status   inspect.Status
		place    inspect.Place
		labourer *inspect.Labourer
		waiting  string
	}{
		"ended":                     {inspect.Completed, inspect.Place{}, free, ""},
		"failed just now":           {inspect.Waiting, inspect.Place{Lease: &failed, Hand: &queue.Hand{}}, free, "the last attempt has just failed; its retry is being decided"},
		"backing off":               {inspect.Waiting, inspect.Place{Entry: &later}, full, "its time, 2026-11-22T09:01:00Z, for attempt 2"},
		"due, all slots taken":      {inspect.Queued, inspect.Place{Entry: &due}, full, "no slot is free: 3 of 3 are taken, 5 tasks are due"},
		"due, slots free":           {inspect.Queued, inspect.Place{Entry: &due}, free, "tasks are being started"},
		"due, taken just now":       {inspect.Queued, inspect.Place{Entry: &due}, idle, "its worker is being started"},
		"due, labourer paused":      {inspect.Queued, inspect.Place{Entry: &due}, paused, "the labourer is paused"},
		"due, target gone":          {inspect.Queued, inspect.Place{Entry: &due}, troubled, "the target could not be reached"},
		"due, labourer removed":     {inspect.Queued, inspect.Place{Entry: &due}, nil, "its labourer, which is not applied"},
		"between two places":        {inspect.Queued, inspect.Place{}, free, "its place in the queue"},
		"granted":                   {inspect.Queued, inspect.Place{Lease: &granted}, full, "granted, waits for a slot of its lease: 2 in hand of 2 slots, the longest since 2026-11-22T07:59:00Z"},
		"granted, one not started":  {inspect.Queued, inspect.Place{Lease: &left}, full, "granted, waits for a slot of its lease: 2 in hand of 2 slots, the longest since 2026-11-22T08:59:00Z"},
		"granted, a slot is free":   {inspect.Queued, inspect.Place{Lease: &hungry}, free, "granted, waits for a slot of its lease: 1 in hand of 2 slots, the longest since 2026-11-22T08:59:00Z"},
		"granted, slots revoked":    {inspect.Queued, inspect.Place{Lease: &revoked}, full, "granted, waits for a slot of its lease: it has none now"},
		"granted, then paused":      {inspect.Queued, inspect.Place{Lease: &alone}, paused, "granted, waits for a slot of its lease: it has none now; the labourer is paused"},
		"granted, labourer removed": {inspect.Queued, inspect.Place{Lease: &granted}, nil, "granted, waits for a slot of its lease: 2 in hand of 2 slots, the longest since 2026-11-22T07:59:00Z"},
		"cancelled before it began": {inspect.Cancelled, inspect.Place{}, nil, ""},
		"waits in its lease":        {inspect.Waiting, inspect.Place{Lease: &granted, Retry: &queue.Retry{Due: now.Add(time.Minute), Attempt: 2}, Attempt: 2}, full, "its time, 2026-11-22T09:01:00Z, for attempt 2"},
		"due in its lease":          {inspect.Queued, inspect.Place{Lease: &granted, Retry: &queue.Retry{Due: now, Attempt: 2}, Attempt: 2}, full, "no slot is free: 3 of 3 are taken, 5 tasks are due"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.waiting, inspect.WaitingFor(c.status, c.place, c.labourer, now))
		})
	}
}

func TestWhatARunningTaskWaitsFor(t *testing.T) {
	limits := &queue.Limits{MaxDuration: 10 * time.Minute, Cooldown: 5 * time.Minute}
	beating := &queue.Limits{MaxDuration: 10 * time.Minute, Cooldown: 5 * time.Minute, Heartbeat: 3 * time.Minute}
	fed := queue.Hand{Since: earlier, By: queue.Mark("the message that fed it")}
	heard := queue.Hand{Since: earlier, By: queue.Dispatched, Heard: now}
	for name, c := range map[string]struct {
		hand    queue.Hand
		limits  *queue.Limits
		waiting string
	}{
		"not started yet":           {queue.Hand{Since: earlier, By: queue.Undispatched}, limits, "its worker is being started"},
		"started":                   {queue.Hand{Since: earlier, By: queue.Dispatched}, limits, "its worker, until 2026-11-22T09:14:00Z; then the attempt counts as lost"},
		"fed":                       {fed, limits, "its worker, until 2026-11-22T09:14:00Z; then the attempt counts as lost"},
		"heard of":                  {heard, limits, "its worker, until 2026-11-22T09:15:00Z; then the attempt counts as lost"},
		"to be heard of":            {heard, beating, "its worker, until 2026-11-22T09:03:00Z; then the attempt counts as lost"},
		"of a labourer not applied": {fed, nil, "its worker"},
	} {
		t.Run(name, func(t *testing.T) {
			l := lease(1, 3)
			l.Hands[3] = c.hand
			require.Equal(t, c.waiting, inspect.RunningFor(inspect.Place{Lease: &l, Hand: &c.hand}, 3, c.limits))
		})
	}
}

package inspect_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

// numbered returns task n of the job nightly.
func numbered(n, attempt int, status task.Status) task.Task {
	t := ended(attempt, status)
	t.ID.N = n
	if status != task.Open {
		t.ClosedAt = now.Add(-10 * time.Minute)
	}
	return t
}

// night returns a stack with the labourer shop and the job nightly. Of its tasks 0 is queued, 1 is running, 2 is completed, 3 is dead, and 4 waits.
func night() *stack {
	shop := labourer.New("shop")
	shop.Target.SQS, shop.MaxSimultaneousInvocations = "https://sqs/1/shop", 3
	return &stack{
		labourers: map[string]labourer.Labourer{"shop": shop},
		records: []ledger.Job{{ID: "nightly", Labourer: "shop", State: ledger.Scheduled, SubmittedAt: now.Add(-time.Hour), RecordedAt: now.Add(-time.Hour),
			Total: 5, Cursor: 1, Generation: 1, Segment: at, First: 0}},
		items:  []task.Task{numbered(0, 0, task.Open), numbered(1, 0, task.Open), numbered(2, 1, task.Completed), numbered(3, 3, task.Dead), numbered(4, 1, task.Failed)},
		leases: []queue.Lease{lease(1, 1)}, entries: []queue.Entry{entry(1, earlier, 0), entry(2, soon, 4)},
		progress: map[string][]ledger.Progress{"nightly": {{Segment: at, Completed: []int{ledger.Life(2, 0)}, Dead: []int{ledger.Life(3, 0)}}}},
	}
}

func TestTasksAreSelectedByJobLabourerAndStatus(t *testing.T) {
	every := []string{"0 queued", "1 running", "2 completed", "3 dead", "4 waiting"}
	for name, c := range map[string]struct {
		of   inspect.Selection
		want []string
	}{
		"all":                          {inspect.Selection{}, every},
		"of the job":                   {inspect.Selection{Job: "nightly"}, every},
		"of the labourer":              {inspect.Selection{Labourer: "shop"}, every},
		"of another labourer":          {inspect.Selection{Labourer: "other"}, nil},
		"of the job for another one":   {inspect.Selection{Job: "nightly", Labourer: "other"}, nil},
		"queued":                       {inspect.Selection{Status: inspect.Queued}, every[:1]},
		"running of the job":           {inspect.Selection{Status: inspect.Running, Job: "nightly"}, every[1:2]},
		"completed":                    {inspect.Selection{Status: inspect.Completed}, every[2:3]},
		"dead of the labourer":         {inspect.Selection{Status: inspect.Dead, Labourer: "shop"}, every[3:4]},
		"waiting of the labourer":      {inspect.Selection{Status: inspect.Waiting, Labourer: "shop"}, every[4:]},
		"waiting of another labourer":  {inspect.Selection{Status: inspect.Waiting, Labourer: "other"}, nil},
		"cancelled, of which are none": {inspect.Selection{Status: inspect.Cancelled}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := night()
			s.labourers["other"] = labourer.New("other")
			var got []string
			require.NoError(t, s.reader().EachTask(t.Context(), c.of, func(one inspect.Sighting) (bool, error) {
				got = append(got, fmt.Sprintf("%d %s", one.Task.ID.N, one.Line().Status))
				return true, nil
			}))
			require.ElementsMatch(t, c.want, got)
		})
	}
}

func TestAnUnknownJobOrLabourerIsNotFound(t *testing.T) {
	r := night().reader()
	none := func(inspect.Sighting) (bool, error) { return true, nil }
	for _, of := range []inspect.Selection{{Job: "nope"}, {Labourer: "nope"}, {Job: "nope", Status: inspect.Queued}, {Labourer: "nope", Status: inspect.Queued}, {Job: "nightly", Labourer: "nope"}} {
		var missing *inspect.NotFoundError
		require.ErrorAs(t, r.EachTask(t.Context(), of, none), &missing, of)
		require.Equal(t, "nope", missing.ID)
	}
	_, err := r.Job(t.Context(), "nope")
	require.EqualError(t, err, `there is no job "nope" in this stack`)
	_, err = r.Pulse().One(t.Context(), "nope")
	require.EqualError(t, err, `there is no labourer "nope" in this stack`)
	require.EqualError(t, r.Known(t.Context(), "nope"), `there is no labourer "nope" in this stack`)
	_, err = r.DeadNamed(t.Context(), []task.ID{{Segment: at, N: 9}})
	require.EqualError(t, err, `there is no task "`+string(at)+`.9" in this stack`)
}

func TestJobsAreReadTheNewestFirstUpToTheAgeOfTheStack(t *testing.T) {
	s := night()
	s.records = nil
	for back := 5; back >= 0; back-- {
		s.records = append(s.records, ledger.Job{ID: fmt.Sprint(back), SubmittedAt: now.AddDate(0, -back, 0)})
	}
	var ids []string
	visit := func(most int) func([]ledger.Job) (bool, error) {
		ids = nil
		return func(records []ledger.Job) (bool, error) {
			for _, j := range records {
				ids = append(ids, j.ID)
			}
			return len(ids) < most, nil
		}
	}
	require.NoError(t, s.reader().EachJob(t.Context(), visit(100)))
	require.Equal(t, []string{"0", "1", "2", "3"}, ids, "the stack is three months old")
	require.NoError(t, s.reader().EachJob(t.Context(), visit(2)))
	require.Equal(t, []string{"0", "1"}, ids)
}

func TestAJobIsCountedByItsProgress(t *testing.T) {
	line, err := night().reader().Job(t.Context(), "nightly")
	require.NoError(t, err)
	require.Equal(t, [4]int{5, 1, 1, 3}, [4]int{line.Total, line.Completed, line.Dead, line.Open})
}

// underLease returns the night with task 2 completed under its lease, and not entered in the job's progress. Task 0 waits in that lease.
func underLease() *stack {
	s := night()
	s.leases = []queue.Lease{queueing(lease(1, 1, 2), 0).Ended(segment.Of(2))}
	s.leases[0].Job = "nightly"
	s.entries = s.entries[1:]
	s.progress["nightly"][0].Completed = nil
	return s
}

func TestWhatWasCompletedUnderALeaseCountsBeforeItIsEntered(t *testing.T) {
	entered := []ledger.Progress{{Segment: at, Completed: []int{ledger.Life(2, 0)}, Dead: []int{ledger.Life(3, 0)}}}
	for name, c := range map[string]struct {
		progress []ledger.Progress
		job      string // of the lease
		want     ledger.Counts
	}{
		"entered nowhere":             {underLease().progress["nightly"], "nightly", ledger.Counts{Completed: 1, Dead: 1}},
		"in a segment without any":    {nil, "nightly", ledger.Counts{Completed: 1}},
		"entered already":             {entered, "nightly", ledger.Counts{Completed: 1, Dead: 1}},
		"of a segment that is shared": {entered[:1:1], "", ledger.Counts{Completed: 1, Dead: 1}},
		"of another job":              {nil, "other", ledger.Counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := underLease()
			s.progress["nightly"], s.leases[0].Job = c.progress, c.job
			line, err := s.reader().Job(t.Context(), "nightly")
			require.NoError(t, err)
			require.Equal(t, c.want, ledger.Counts{Completed: line.Completed, Dead: line.Dead, Cancelled: line.Cancelled})
			require.Equal(t, 5-c.want.Sum(), line.Open)
		})
	}
}

func TestALeaseOfAnEarlierJobWithTheIdDoesNotCount(t *testing.T) {
	s := underLease()
	s.leases[0].Segment = segment.IDOf("an earlier submission", 0)
	line, err := s.reader().Job(t.Context(), "nightly")
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 1}, [2]int{line.Completed, line.Dead})
}

// TestACompletionIsNotMissedWhileItIsEntered: the lease goes between the two reads.
func TestACompletionIsNotMissedWhileItIsEntered(t *testing.T) {
	s := underLease()
	r := s.reader()
	r.Jobs = entering{jobs{s}, func() {
		s.leases = nil
		s.progress["nightly"][0].Completed = []int{ledger.Life(2, 0)}
	}}
	line, err := r.Job(t.Context(), "nightly")
	require.NoError(t, err)
	require.Equal(t, 1, line.Completed)
}

// entering enters completions just before a job's progress is read.
type entering struct {
	jobs
	enter func()
}

func (e entering) Progress(ctx context.Context, j ledger.Job) ([]ledger.Progress, error) {
	e.enter()
	return e.jobs.Progress(ctx, j)
}

func TestTheLeasesOfALabourerAreReadOnceForAllItsJobs(t *testing.T) {
	s := underLease()
	for i := range 5 {
		s.records = append(s.records, ledger.Job{ID: fmt.Sprint(i), Labourer: "shop", State: ledger.Scheduled, SubmittedAt: now, Total: 3, Cursor: 1})
	}
	s.records = append(s.records, ledger.Job{ID: "done", Labourer: "other", State: ledger.Completed, SubmittedAt: now, Total: 3, Cursor: 1})
	lines, err := s.reader().JobLines(t.Context(), s.records)
	require.NoError(t, err)
	require.Equal(t, 1, lines[0].Completed)
	require.EqualValues(t, 1, s.leased.Load())

	w, err := s.reader().Watch(t.Context())
	require.NoError(t, err)
	shot, err := w.Snapshot(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, shot.Jobs[len(shot.Jobs)-1].Completed)
	require.EqualValues(t, 2, s.leased.Load(), "the labourer's line and its jobs are of one reading")
}

func TestAReaderOnceReadsEachThingOnce(t *testing.T) {
	s := underLease()
	reader, entered := s.reader(), 0
	reader.Jobs = entering{jobs{s}, func() { entered++ }}
	once := reader.Once()
	g, ctx := errgroup.WithContext(t.Context())
	for range 3 {
		g.Go(func() error { _, err := once.Job(ctx, "nightly"); return err })
		g.Go(func() error { _, err := once.Standing(ctx, "nightly"); return err })
	}
	require.NoError(t, g.Wait())
	require.Equal(t, 1, entered)
	require.EqualValues(t, 1, s.leased.Load())
	line, err := s.reader().Job(t.Context(), "nightly")
	require.NoError(t, err)
	again, err := once.Job(t.Context(), "nightly")
	require.NoError(t, err)
	require.Equal(t, line, again)
}

func TestTasksOfALargeJobAreFoundUnderItsLeases(t *testing.T) {
	s := underLease()
	const segments = 70
	s.records[0].Total, s.records[0].Cursor, s.records[0].Segment = segments*segment.Size, segments, ""
	first, _ := s.records[0].SegmentAt(0)
	s.leases[0].Segment, s.progress["nightly"][0].Segment = first, first
	for i := range s.items {
		s.items[i].ID.Segment = first
	}
	var got []int
	require.NoError(t, s.reader().EachTask(t.Context(), inspect.Selection{Job: "nightly", Status: inspect.Completed}, func(one inspect.Sighting) (bool, error) {
		got = append(got, one.Task.ID.N)
		return true, nil
	}))
	require.Equal(t, []int{2}, got)
}

func TestALabourerIsAskedAboutInCloudWatchOnlyWhereTheKeptAnswerIsOld(t *testing.T) {
	s := night()
	shop := s.labourers["shop"]
	metric := ecology.Metric{Query: ecology.Query{Namespace: "AWS/RDS", MetricName: "CPU", Statistic: "Average", Period: time.Minute}, Feelings: ecology.Feelings{4: 50}, Operator: ecology.AtMost}
	shop.HealthMetrics = map[string]ecology.Metric{"cpu": metric}
	s.labourers["shop"] = shop
	value := 40.0
	fresh := map[string]ecology.Reading{metric.Key(): {Value: &value, At: now}}
	s.kept = fresh
	b, err := s.reader().Pulse().One(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, [3]int{1, 1, 1}, [3]int{b.Running, b.Due, b.Later})
	require.Equal(t, "40 <= 50", b.Assessment.Metrics["cpu"].Reason)
	require.Zero(t, s.asked)

	s.kept, s.answers = nil, fresh
	pulse := s.reader().Pulse()
	for range 2 {
		beats, err := pulse.All(t.Context())
		require.NoError(t, err)
		require.Equal(t, ecology.High, beats[0].Status)
	}
	require.Equal(t, 1, s.asked, "the answer is used while it is valid")
}

func TestOverdueWorkIsFound(t *testing.T) {
	shop := labourer.New("shop")
	shop.MaxDuration, shop.Cooldown = 50*time.Minute, 10*time.Minute
	since := func(by string, ago ...time.Duration) queue.Lease {
		l := queue.Lease{Labourer: "shop", Segment: segment.IDOf("other", 0), Attempt: 1, Tasks: segment.Range(0, len(ago)-1), ClaimedAt: now.Add(-5 * time.Hour),
			Slots: len(ago), Hands: map[int]queue.Hand{}}
		for n, span := range ago {
			l.Hands[n] = queue.Hand{Since: now.Add(-span), By: by}
		}
		return l
	}
	for name, c := range map[string]struct {
		lease queue.Lease
		want  inspect.Overdue
	}{
		"within its time":       {since(queue.Dispatched, time.Minute, 59*time.Minute), inspect.Overdue{}},
		"over since a moment":   {since(queue.Dispatched, 61*time.Minute), inspect.Overdue{}},
		"over for long":         {since(queue.Dispatched, 63*time.Minute, 64*time.Minute), inspect.Overdue{Lost: 2}},
		"one of them fed later": {since(queue.Mark("m"), 63*time.Minute, time.Minute), inspect.Overdue{Lost: 1}},
		"one of them completed": {since(queue.Dispatched, 63*time.Minute, 63*time.Minute).Ended(segment.Of(1)), inspect.Overdue{Lost: 1}},
		"just granted":          {since(queue.Undispatched, time.Minute), inspect.Overdue{}},
		"within both its terms": {since(queue.Undispatched, inspect.Grace+queue.DispatchTerm), inspect.Overdue{}},
		"never dispatched":      {since(queue.Undispatched, 3*time.Minute, 4*time.Hour), inspect.Overdue{Undispatched: 2}},
		"left by the assistant": {since(queue.Undispatched, 3*time.Minute, now.Sub(time.Unix(0, 0))), inspect.Overdue{Undispatched: 2}},
		"left just now":         {since(queue.Undispatched, time.Minute, now.Sub(time.Unix(0, 0))), inspect.Overdue{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := night()
			s.leases = []queue.Lease{c.lease}
			got, err := s.reader().Overdue(t.Context(), inspect.Beat{Labourer: inspect.Labourer{Record: decision.Record{Desired: 1}}, Configuration: shop, Leases: s.leases})
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestAnEndedTaskThatHoldsItsSlotIsOverdue(t *testing.T) {
	s := night()
	s.leases = []queue.Lease{lease(1, 1, 2)}
	s.leases[0].ClaimedAt = now.Add(-time.Hour)
	read := inspect.Beat{Configuration: s.labourers["shop"], Leases: s.leases}
	got, err := s.reader().Overdue(t.Context(), read)
	require.NoError(t, err)
	require.Equal(t, 1, got.Unsettled)

	s.leases = nil
	got, err = s.reader().Overdue(t.Context(), read)
	require.NoError(t, err)
	require.Zero(t, got.Unsettled, "it left the lease after this was read")
}

func TestTasksThatWaitInALeaseWithFreeSlotsAreOverdue(t *testing.T) {
	hungry := queueing(lease(1, 1), 5, 6)
	hungry.Slots, hungry.Revision = 2, 7
	hungry.Hands[1] = queue.Hand{Since: now.Add(-3 * time.Minute), By: queue.Dispatched}
	hungry.ClaimedAt = now.Add(-time.Hour)
	full := queueing(lease(1, 1), 5)
	full.Hands[1] = queue.Hand{Since: now.Add(-time.Hour), By: queue.Dispatched}
	recent := queueing(lease(1, 1), 5)
	recent.Slots = 2
	free := inspect.Labourer{Record: decision.Record{Desired: 3, Free: 1}}
	for name, c := range map[string]struct {
		line  inspect.Labourer
		lease queue.Lease
		then  func(*stack) // meanwhile
		want  int
	}{
		"for long":                   {free, hungry, func(*stack) {}, 2},
		"no slot of it is free":      {free, full, func(*stack) {}, 0},
		"fed a minute ago":           {free, recent, func(*stack) {}, 0},
		"fed meanwhile":              {free, hungry, func(s *stack) { s.leases[0].Revision++ }, 0},
		"ended meanwhile":            {free, hungry, func(s *stack) { s.leases = nil }, 0},
		"the labourer is paused":     {inspect.Labourer{Record: decision.Record{Desired: 3}, Paused: true}, hungry, func(*stack) {}, 0},
		"the target is out of reach": {inspect.Labourer{Record: decision.Record{Desired: 3, Free: 1}, Trouble: &queue.Trouble{}}, hungry, func(*stack) {}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := night()
			s.leases, s.waits = []queue.Lease{c.lease}, []func(){func() { c.then(s) }}
			got, err := s.reader().Overdue(t.Context(), inspect.Beat{Labourer: c.line, Leases: []queue.Lease{c.lease}, Configuration: labourer.New("shop")})
			require.NoError(t, err)
			require.Equal(t, c.want, got.Unfed)
		})
	}
}

func TestItemsThatCannotBeDecodedAreNamedThoseSetAsideFirst(t *testing.T) {
	odd := func(item string) queue.Unreadable { return queue.Unreadable{Item: item, Reason: "odd"} }
	s := night()
	s.aside = []queue.Unreadable{odd("unreadable#1")}
	l, e := odd("lease#odd"), odd("queue#odd")
	got, err := s.reader().Overdue(t.Context(), inspect.Beat{Leases: []queue.Lease{{Unreadable: &l}}, Entries: []queue.Entry{{Unreadable: &e}}})
	require.NoError(t, err)
	require.Equal(t, inspect.Overdue{Undecoded: []queue.Unreadable{odd("unreadable#1"), l, e}, SetAside: 1}, got)
}

func TestDueTasksAreOverdueOnlyWhereTheyCouldStart(t *testing.T) {
	entries := []queue.Entry{{Due: now.Add(-3 * time.Minute), Tasks: segment.Of(1)}, {Due: now.Add(time.Minute), Tasks: segment.Of(2)}, {Due: now.Add(-time.Hour)}}
	for name, c := range map[string]struct {
		line inspect.Labourer
		want time.Duration
	}{
		"slots free":      {inspect.Labourer{Record: decision.Record{Desired: 2, Free: 1}}, 3 * time.Minute},
		"paused":          {inspect.Labourer{Record: decision.Record{Desired: 2, Free: 1}, Paused: true}, 0},
		"health is Bad":   {inspect.Labourer{Record: decision.Record{Desired: 0}}, 0},
		"no slot free":    {inspect.Labourer{Record: decision.Record{Desired: 2}}, 0},
		"target troubled": {inspect.Labourer{Record: decision.Record{Desired: 2, Free: 2}, Trouble: &queue.Trouble{}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := night().reader().Overdue(t.Context(), inspect.Beat{Labourer: c.line, Entries: entries})
			require.NoError(t, err)
			require.Equal(t, inspect.Overdue{Idle: c.want}, got)
		})
	}
}

func TestWorkLeftCountsTasksThatAreStillToBeCreated(t *testing.T) {
	s := night()
	running, queued, err := s.reader().WorkLeft(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 2}, [2]int{running, queued})

	s.leases[0] = queueing(s.leases[0], 7, 8)
	running, queued, err = s.reader().WorkLeft(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 4}, [2]int{running, queued}, "two wait in a lease")

	s.leases, s.entries = nil, nil
	s.records = append(s.records, ledger.Job{ID: "large", Labourer: "shop", State: ledger.Scheduling, SubmittedAt: now, Total: 600, Cursor: 1})
	running, queued, err = s.reader().WorkLeft(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 344}, [2]int{running, queued})
}

func TestAJobWhoseEndsWereNotCountedIsStalled(t *testing.T) {
	s := night()
	found, err := s.reader().Stalled(t.Context())
	require.NoError(t, err)
	require.Empty(t, found, "the open tasks are under way, and the others are counted")

	s.progress = nil
	found, err = s.reader().Stalled(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "job nightly: 2 tasks ended more than 2m0s ago and are not counted", found[0].Why())

	s.items[2].ClosedAt = earlier
	found, err = s.reader().Stalled(t.Context(), "nightly")
	require.NoError(t, err)
	require.Equal(t, "job nightly: 1 task ended more than 2m0s ago and is not counted", found[0].Why())
}

func TestACompletionThatALeaseWillEnterIsNotStalled(t *testing.T) {
	s := underLease()
	found, err := s.reader().Stalled(t.Context())
	require.NoError(t, err)
	require.Empty(t, found)

	s.leases[0].Job = "" // the stream reports the completions of a segment that jobs share
	found, err = s.reader().Stalled(t.Context())
	require.NoError(t, err)
	require.Equal(t, "job nightly: 1 task ended more than 2m0s ago and is not counted", found[0].Why())
}

func TestAJobThatOneSchedulerHandsToTheNextIsNotStalled(t *testing.T) {
	for name, goesOn := range map[string]bool{"the next one takes it": true, "its message is lost": false} {
		t.Run(name, func(t *testing.T) {
			s := night()
			s.records = []ledger.Job{{ID: "large", Labourer: "shop", State: ledger.Scheduling, SubmittedAt: now.Add(-time.Hour), RecordedAt: now.Add(-time.Hour), Total: 600}}
			if goesOn {
				s.waits = []func(){func() { s.records[0].Cursor = 1 }}
			}
			found, err := s.reader().Stalled(t.Context())
			require.NoError(t, err)
			require.Equal(t, 5*time.Second, s.waited)
			require.Equal(t, goesOn, len(found) == 0)
			if !goesOn {
				require.Equal(t, "job large: no scheduler creates its tasks any more, 0 of 3 segments exist", found[0].Why())
			}
		})
	}
}

func TestOnlyDeadTasksOfJobsThatGoOnAreReplayed(t *testing.T) {
	s := night()
	dead, err := s.reader().Dead(t.Context(), "nightly", "")
	require.NoError(t, err)
	require.Len(t, dead, 1)
	id := dead[0].ID
	dead, err = s.reader().DeadNamed(t.Context(), []task.ID{id, id})
	require.NoError(t, err)
	require.Len(t, dead, 1, "each once")
	_, err = s.reader().DeadNamed(t.Context(), []task.ID{{Segment: at, N: 2}})
	require.ErrorContains(t, err, "is not dead")

	s.records[0].State = ledger.Cancelled
	_, err = s.reader().DeadNamed(t.Context(), []task.ID{id})
	require.EqualError(t, err, "task "+id.String()+" stays dead: its job nightly is cancelled")
}

func TestADeathIsReplayedOnceItIsCounted(t *testing.T) {
	s := night()
	counted := s.progress
	s.progress = nil
	s.waits = []func(){func() {}, func() { s.progress = counted }}
	_, err := s.reader().DeadNamed(t.Context(), []task.ID{{Segment: at, N: 3}})
	require.NoError(t, err)
	require.Equal(t, time.Second, s.waited)
}

func TestATaskInAnUnreadQueueWaitsForAWorker(t *testing.T) {
	s := night()
	shop := s.labourers["shop"]
	shop.MaxDuration, shop.Cooldown = time.Hour, time.Minute
	s.labourers["shop"] = shop
	s.leases[0].Hands[1] = queue.Hand{Since: now.Add(-time.Hour), By: queue.Dispatched}
	d, found, err := s.reader().Task(t.Context(), task.ID{Segment: at, N: 1})
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "its worker, until 2026-11-22T09:01:00Z; then the attempt counts as lost", d.WaitingFor)

	s.backlog = inspect.Backlog{Waiting: 1}
	d, _, err = s.reader().Task(t.Context(), task.ID{Segment: at, N: 1})
	require.NoError(t, err)
	require.Equal(t, "a worker: 1 message waits in the queue, the oldest for about 1h0m0s, and no worker reads them (the attempt counts as lost at 2026-11-22T09:01:00Z)", d.WaitingFor)

	s.leases[0].Hands[1] = queue.Hand{Since: now.Add(-time.Hour), By: queue.Undispatched}
	d, _, err = s.reader().Task(t.Context(), task.ID{Segment: at, N: 1})
	require.NoError(t, err)
	require.Equal(t, "its worker is being started", d.WaitingFor)
}

func TestATaskIsShownWithAPayloadThatLiesApart(t *testing.T) {
	s := underLease()
	id := s.items[0].ID
	s.items[0].Parts, s.items[0].Payload = 1, nil
	_, _, err := s.reader().Task(t.Context(), id)
	require.ErrorIs(t, err, task.ErrNoPayload)

	s.payloads = map[task.ID][]byte{id: []byte(`{"n":1}`)}
	d, _, err := s.reader().Task(t.Context(), id)

	require.NoError(t, err)
	require.JSONEq(t, `{"n":1}`, string(d.Payload))
}

func TestAGrantedTaskWaitsForASlot(t *testing.T) {
	s := underLease()
	d, found, err := s.reader().Task(t.Context(), task.ID{Segment: at, N: 0})
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, inspect.Queued, d.Status)
	require.Equal(t, "granted, waits for a slot of its lease: 1 in hand of 2 slots, the longest since 2026-11-22T08:59:00Z", d.WaitingFor)
}

func TestAQueueIsUnreadBeforeAShortLeaseEnds(t *testing.T) {
	l := labourer.New("shop")
	l.MaxDuration, l.Cooldown = 10*time.Second, 10*time.Second
	q := inspect.Backlog{Waiting: 2}
	require.Empty(t, q.Unread(l, now.Add(-9*time.Second), now))
	require.Equal(t, "2 messages wait in the queue, the oldest for about 10s, and no worker reads them", q.Unread(l, now.Add(-10*time.Second), now))
	l.MaxDuration = time.Hour
	require.Empty(t, q.Unread(l, now.Add(-4*time.Minute), now))
	require.NotEmpty(t, q.Unread(l, now.Add(-5*time.Minute), now))
	require.Empty(t, inspect.Backlog{Waiting: 2, InFlight: 1}.Unread(l, now.Add(-time.Hour), now), "a worker has one")
	require.Empty(t, q.Unread(l, time.Time{}, now), "no lease is out, so the messages are no tasks")
}

func TestATaskIsFoundInTheArchiveByItsLastLife(t *testing.T) {
	s := night()
	id := task.ID{Segment: at, N: 3}
	s.files = map[string][]byte{}
	for life := range 2 {
		one := numbered(3, 3+life, task.Dead)
		one.Life = life
		objects, err := archive.Objects([]task.Task{one})
		require.NoError(t, err)
		for _, o := range objects {
			s.files[fmt.Sprintf("%s%d", archive.Prefix("shop", now), life)+o.Key[len(o.Key)-1:]] = o.Body
		}
	}
	d, err := s.reader().Archived(t.Context(), id, inspect.Search{})
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 4}, [2]int{d.Life, d.Attempt})
	require.True(t, d.Archived)

	_, err = s.reader().Archived(t.Context(), id, inspect.Search{Labourer: "other"})
	require.ErrorContains(t, err, "nor in its archive since 2026-08-24")
	_, err = s.reader().Archived(t.Context(), id, inspect.Search{Day: now.AddDate(0, 0, -1)})
	require.ErrorContains(t, err, "since 2026-11-21")
}

func TestASnapshotHoldsTheLastJobsAndTheOpenOnes(t *testing.T) {
	s := night()
	for i := range 2 * inspect.LastJobs {
		s.records = append(s.records, ledger.Job{ID: fmt.Sprintf("j%02d", i), Labourer: "shop", State: ledger.Completed, SubmittedAt: now.Add(time.Duration(i-40) * time.Minute)})
	}
	w, err := s.reader().Watch(t.Context())
	require.NoError(t, err)
	for _, want := range []int{inspect.LastJobs + 1, inspect.LastJobs + 1, inspect.LastJobs} { // the end of nightly is shown once
		shot, err := w.Snapshot(t.Context())
		require.NoError(t, err)
		require.Equal(t, "shop", shot.Labourers[0].Labourer)
		require.Len(t, shot.Jobs, want)
		require.Equal(t, "j19", shot.Jobs[0].JobID)
		s.records[0].State = ledger.Completed
	}
}

func TestATargetIsOutOfReachInAnotherRegionOrPartition(t *testing.T) {
	home := labourer.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	for address, want := range map[string]string{
		"arn:aws:lambda:us-east-1:000000000000:function:f": "",
		"arn:aws:lambda:us-east-1:111122223333:function:f": "",
		"f": "",
		"arn:aws:lambda:eu-west-1:000000000000:function:f":    "is in region eu-west-1, and the stack in us-east-1",
		"arn:aws-cn:lambda:us-east-1:000000000000:function:f": "is in partition aws-cn, and the stack in aws",
	} {
		why, fix := inspect.OutOfReach(labourer.Target{Lambda: address}, home)
		require.Equal(t, want == "", why == "", address)
		require.Equal(t, why == "", fix == "", address)
		require.Contains(t, why, want)
	}
	why, _ := inspect.OutOfReach(labourer.Target{States: "arn:aws:states:us-east-1:111122223333:stateMachine:m"}, home)
	require.Contains(t, why, "starts no machine of another account")
	require.Equal(t, "111122223333", inspect.Abroad(labourer.Place{Account: "111122223333"}, home))
	require.Empty(t, inspect.Abroad(labourer.Place{}, home))
}

func TestARNsAreMatchedAsInPolicies(t *testing.T) {
	const arn = "arn:aws:sqs:us-east-1:1:work-a"
	for pattern, want := range map[string]bool{arn: true, "arn:aws:sqs:us-east-1:1:work-*": true, "arn:aws:sqs:*:*:*": true, "arn:aws:sqs:us-east-1:1:work-?": true,
		"arn:aws:sqs:us-east-1:1:work": false, "arn:aws:sqs:us-east-1:1:other-*": false, "work-a": false, "arn.aws:sqs:us-east-1:1:work-a": false} {
		require.Equal(t, want, inspect.Covers(pattern, arn), pattern)
	}
}

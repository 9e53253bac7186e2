package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// RunJobs tests the store of jobs.
func RunJobs(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"a job is read as it was created":                               jobAsGiven,
		"an id is given once":                                           jobOnce,
		"one of many concurrent creations succeeds":                     jobRace,
		"the id of a rejected job may be used again":                    jobRejected,
		"a long text is kept beside the record":                         jobLongText,
		"a job that is not there is not found":                          jobMissing,
		"one creator owns a job at a time":                              owns,
		"a job that is given up has a new owner at once":                disowns,
		"publishing puts the entry and moves the cursor":                publishes,
		"the last segment makes the job scheduled":                      publishesLast,
		"a segment is published once":                                   publishesOnce,
		"one of two concurrent publications succeeds":                   publishRace,
		"only the owner publishes":                                      publishesOwned,
		"small jobs are published together or not at all":               publishesTogether,
		"a job that is being cancelled publishes nothing":               publishesCancelled,
		"publishing may grant the tasks directly":                       publishesGranted,
		"a labourer that has changed stops a direct grant":              publishesGrantedFenced,
		"ends are recorded as sets":                                     records,
		"recording no ends is reading":                                  recordsNothing,
		"ends that are recorded at the same time are all there":         recordRace,
		"one write completes a whole job":                               completes,
		"a job with ends in its totals is not completed as a whole":     completesNot,
		"one of many completions of a whole job succeeds":               completeRace,
		"a segment's sums enter the totals once":                        rolls,
		"only what is new is entered":                                   rollsMore,
		"one of many rolls of the same sums succeeds":                   rollRace,
		"sums of a job that is gone are refused":                        rollsUnknown,
		"the totals are the sums of all segments in any order":          rollsAll,
		"a job is finished once":                                        finishes,
		"another generation is not finished by the former one":          finishesGeneration,
		"a finished job is neither owned nor published":                 finishedRests,
		"the jobs of a month are listed newest first":                   months,
		"many jobs are read in the order asked for":                     readsMany,
		"a cancellation begins once and counts what was never created":  cancels,
		"a job that has moved on is not cancelled by what was read":     cancelsStale,
		"a finished job is not cancelled":                               cancelsFinished,
		"the progress of a job is not that of one whose id is its head": progressApart,
	})
}

func newJob(total int) ledger.Job {
	return ledger.Job{ID: unique("job"), Labourer: "labourer", State: ledger.Scheduling, Text: []byte(`{"labourer":"labourer"}`), Fingerprint: "f1",
		SubmittedAt: noon, RecordedAt: noon, Total: total, Owner: "me", OwnedUntil: noon.Add(time.Minute), Generation: 1}
}

func get(t *testing.T, j Jobs, id string) ledger.Job {
	t.Helper()
	job, found, err := j.Get(t.Context(), id)
	require.NoError(t, err)
	require.True(t, found, "job %s", id)
	return job
}

func entryOf(j ledger.Job, ordinal int) queue.Entry {
	at, numbers := j.SegmentAt(ordinal)
	return queue.Entry{Labourer: j.Labourer, Due: noon, Segment: at, First: numbers.Min(), Tasks: numbers, Attempt: 1}
}

// created returns the record of a job that was just created.
func created(t *testing.T, s Stores, total int) ledger.Job {
	t.Helper()
	job := newJob(total)
	require.NoError(t, s.Jobs.Create(t.Context(), job))
	return job
}

// scheduled returns a job all of whose segments are published.
func scheduled(t *testing.T, s Stores, total int) ledger.Job {
	t.Helper()
	job := created(t, s, total)
	for ordinal := range job.Segments() {
		require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, ordinal)))
		job = get(t, s.Jobs, job.ID)
	}
	return job
}

// publish publishes an entry, for a job with its tasks.
func publish(t *testing.T, j Jobs, e queue.Entry) {
	t.Helper()
	job := newJob(e.Tasks.Len())
	job.Labourer = e.Labourer
	require.NoError(t, j.Create(t.Context(), job))
	require.NoError(t, j.Publish(t.Context(), []ledger.Job{job}, e))
}

func jobAsGiven(t *testing.T, s Stores) {
	job := newJob(1000)
	job.Labourer, job.NotBefore, job.ChunkableAttrs = "some_function:live", noon.Add(time.Hour+time.Millisecond), []string{"section", "store"}
	job.Segment, job.First, job.Cursor = newSegment(), 17, 0

	require.NoError(t, s.Jobs.Create(t.Context(), job))

	require.Equal(t, job, get(t, s.Jobs, job.ID))
	text, err := s.Jobs.Text(t.Context(), get(t, s.Jobs, job.ID))
	require.NoError(t, err)
	require.Equal(t, job.Text, text)
}

func jobOnce(t *testing.T, s Stores) {
	job := created(t, s, 10)
	other := job
	other.Total, other.Fingerprint = 20, "f2"

	require.ErrorIs(t, s.Jobs.Create(t.Context(), job), errJob)
	require.ErrorIs(t, s.Jobs.Create(t.Context(), other), errJob)

	require.Equal(t, job, get(t, s.Jobs, job.ID))
}

func jobRace(t *testing.T, s Stores) {
	job := newJob(10)
	var racers []func() error
	for i := range 8 {
		mine := job
		mine.Owner = fmt.Sprintf("owner-%d", i)
		racers = append(racers, func() error { return s.Jobs.Create(t.Context(), mine) })
	}

	require.Equal(t, 1, race(t, errJob, racers...))
}

func jobRejected(t *testing.T, s Stores) {
	rejected := newJob(0)
	rejected.State, rejected.Owner, rejected.OwnedUntil = ledger.Rejected, "", time.Time{}
	rejected.ErrorField, rejected.ErrorReason, rejected.FinishedAt = "labourer", "it is not applied", noon
	require.NoError(t, s.Jobs.Create(t.Context(), rejected))
	require.Equal(t, rejected, get(t, s.Jobs, rejected.ID))
	require.NoError(t, s.Jobs.Create(t.Context(), rejected), "rejected again")
	job := newJob(3)
	job.ID = rejected.ID

	require.NoError(t, s.Jobs.Create(t.Context(), job))

	require.Equal(t, job, get(t, s.Jobs, job.ID), "nothing of the rejection is left")
	require.ErrorIs(t, s.Jobs.Create(t.Context(), rejected), errJob)
}

func jobLongText(t *testing.T, s Stores) {
	for _, length := range []int{2000, 200 << 10, 1<<20 - 12} {
		job := newJob(10)
		job.Text = []byte(`{"noise":"` + noise(length) + `"}`)
		require.NoError(t, s.Jobs.Create(t.Context(), job))

		read := get(t, s.Jobs, job.ID)
		require.Empty(t, read.Text, "it is not in the record")
		text, err := s.Jobs.Text(t.Context(), read)
		require.NoError(t, err)
		require.Equal(t, string(job.Text), string(text))

		for name, change := range map[string]func(*ledger.Job){
			"another job under the same id": func(j *ledger.Job) {
				j.Text, j.Fingerprint = []byte(`{"noise":"`+noise(2000)+`"}`), "f2"
			},
			"another spelling of the same job": func(j *ledger.Job) { j.Text = []byte(`{"noise": "` + noise(length/2) + `"}`) },
		} {
			other := job
			change(&other)
			require.ErrorIs(t, s.Jobs.Create(t.Context(), other), errJob)
			text, err = s.Jobs.Text(t.Context(), get(t, s.Jobs, job.ID))
			require.NoError(t, err)
			require.Equal(t, string(job.Text), string(text), "%s leaves the text as it was", name)
		}
	}
}

func jobMissing(t *testing.T, s Stores) {
	_, found, err := s.Jobs.Get(t.Context(), unique("none"))
	require.NoError(t, err)
	require.False(t, found)
	progress, err := s.Jobs.Progress(t.Context(), newJob(1))
	require.NoError(t, err)
	require.Empty(t, progress)
}

// ---- creation

func owns(t *testing.T, s Stores) {
	job := created(t, s, 300)
	until := job.OwnedUntil

	require.ErrorIs(t, s.Jobs.Own(t.Context(), job, "you", until.Add(-time.Millisecond), until.Add(time.Minute)), errJob)
	require.NoError(t, s.Jobs.Own(t.Context(), job, "me", noon, until.Add(time.Second)), "by the owner")
	require.NoError(t, s.Jobs.Own(t.Context(), job, "you", until.Add(time.Second), until.Add(time.Minute)), "the time is over")
	require.Equal(t, "you", get(t, s.Jobs, job.ID).Owner)
	require.Equal(t, until.Add(time.Minute), get(t, s.Jobs, job.ID).OwnedUntil)

	done := scheduled(t, s, 3)
	require.ErrorIs(t, s.Jobs.Own(t.Context(), done, "me", noon.Add(time.Hour), noon.Add(2*time.Hour)), errJob, "creation is through")
	ghost := newJob(1)
	require.ErrorIs(t, s.Jobs.Own(t.Context(), ghost, "me", noon, noon.Add(time.Hour)), errJob)
	_, found, err := s.Jobs.Get(t.Context(), ghost.ID)
	require.NoError(t, err)
	require.False(t, found)
}

func disowns(t *testing.T, s Stores) {
	job := created(t, s, 300)

	require.NoError(t, s.Jobs.Disown(t.Context(), job))
	require.Empty(t, get(t, s.Jobs, job.ID).Owner)
	require.NoError(t, s.Jobs.Own(t.Context(), job, "you", noon, noon.Add(time.Minute)))

	require.NoError(t, s.Jobs.Disown(t.Context(), job), "another creator owns it")
	require.Equal(t, "you", get(t, s.Jobs, job.ID).Owner)
}

func publishes(t *testing.T, s Stores) {
	job := newJob(300)
	job.Labourer = unique("labourer")
	require.NoError(t, s.Jobs.Create(t.Context(), job))

	require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)))

	want := job
	want.Cursor = 1
	require.Equal(t, want, get(t, s.Jobs, job.ID))
	entries, err := s.Control.Queue(t.Context(), job.Labourer)
	require.NoError(t, err)
	require.Equal(t, []queue.Entry{entryOf(job, 0)}, entries)
}

func publishesLast(t *testing.T, s Stores) {
	job := created(t, s, 300)
	require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)))

	job = get(t, s.Jobs, job.ID)
	require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 1)))

	job.State, job.Cursor, job.Owner, job.OwnedUntil = ledger.Scheduled, 2, "", time.Time{}
	require.Equal(t, job, get(t, s.Jobs, job.ID))
}

func publishesOnce(t *testing.T, s Stores) {
	job := newJob(300)
	job.Labourer = unique("labourer")
	require.NoError(t, s.Jobs.Create(t.Context(), job))
	require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)))

	require.ErrorIs(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)), errJob)
	later := entryOf(job, 0)
	later.Due = later.Due.Add(time.Second)
	require.ErrorIs(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, later), errJob, "with another due time")
	moved := get(t, s.Jobs, job.ID)
	require.ErrorIs(t, s.Jobs.Publish(t.Context(), []ledger.Job{moved}, entryOf(job, 0)), errJob, "the entry is there")

	require.Equal(t, 1, get(t, s.Jobs, job.ID).Cursor)
	entries, err := s.Control.Queue(t.Context(), job.Labourer)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func publishRace(t *testing.T, s Stores) {
	job := newJob(300)
	job.Labourer = unique("labourer")
	require.NoError(t, s.Jobs.Create(t.Context(), job))
	var racers []func() error
	for i := range 8 {
		e := entryOf(job, 0)
		e.Due = e.Due.Add(time.Duration(i) * time.Millisecond)
		racers = append(racers, func() error { return s.Jobs.Publish(t.Context(), []ledger.Job{job}, e) })
	}

	require.Equal(t, 1, race(t, errJob, racers...))

	entries, err := s.Control.Queue(t.Context(), job.Labourer)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func publishesOwned(t *testing.T, s Stores) {
	job := created(t, s, 300)
	require.NoError(t, s.Jobs.Own(t.Context(), job, "you", noon.Add(time.Hour), noon.Add(2*time.Hour)))

	require.ErrorIs(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)), errJob)

	require.Zero(t, get(t, s.Jobs, job.ID).Cursor)
}

func publishesTogether(t *testing.T, s Stores) {
	labourer := unique("labourer")
	var group []ledger.Job
	first := 0
	for range 5 {
		job := newJob(10)
		job.Labourer = labourer
		if len(group) > 0 {
			job.Segment, _ = group[0].SegmentAt(0)
			job.First = first
		}
		first += job.Total
		require.NoError(t, s.Jobs.Create(t.Context(), job))
		group = append(group, job)
	}
	e := entryOf(group[0], 0)
	e.Tasks = segment.Range(0, first-1)

	stolen := slices.Clone(group)
	stolen[3].Owner = "you"
	require.ErrorIs(t, s.Jobs.Publish(t.Context(), stolen, e), errJob)
	for _, job := range group {
		require.Equal(t, job, get(t, s.Jobs, job.ID), "nothing of it was done")
	}
	require.NoError(t, s.Jobs.Publish(t.Context(), group, e))

	for _, job := range group {
		require.Equal(t, ledger.Scheduled, get(t, s.Jobs, job.ID).State)
	}
	entries, err := s.Control.Queue(t.Context(), labourer)
	require.NoError(t, err)
	require.Equal(t, []queue.Entry{e}, entries)
}

func publishesCancelled(t *testing.T, s Stores) {
	job := created(t, s, 300)
	require.NoError(t, s.Jobs.Cancel(t.Context(), job))

	require.ErrorIs(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)), errJob)
}

// ---- progress

// record records ends of tasks in the job's first segment.
func record(t *testing.T, s Stores, job ledger.Job, ends ledger.Ends) ledger.Progress {
	t.Helper()
	at, _ := job.SegmentAt(0)
	p, err := s.Jobs.Record(t.Context(), job.ID, at, ends)
	require.NoError(t, err)
	return p
}

func records(t *testing.T, s Stores) {
	job := scheduled(t, s, 10)
	at, _ := job.SegmentAt(0)

	record(t, s, job, ledger.Ends{task.Completed: {3, 1}, task.Dead: {7}})
	record(t, s, job, ledger.Ends{task.Completed: {1, 2, 2}})
	p := record(t, s, job, ledger.Ends{task.Cancelled: {9}, task.Dead: {7, ledger.Life(7, 1)}})

	want := ledger.Progress{JobID: job.ID, Segment: at, Completed: []int{1, 2, 3}, Dead: []int{7, 263}, Cancelled: []int{9}}
	require.Equal(t, want, p)
	all, err := s.Jobs.Progress(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, []ledger.Progress{want}, all)
	require.Equal(t, ledger.Counts{}, get(t, s.Jobs, job.ID).Counts, "nothing is entered yet")
}

func recordsNothing(t *testing.T, s Stores) {
	job := scheduled(t, s, 10)
	record(t, s, job, ledger.Ends{task.Completed: {3}})

	p := record(t, s, job, ledger.Ends{})

	require.Equal(t, []int{3}, p.Completed)
}

func recordRace(t *testing.T, s Stores) {
	job := scheduled(t, s, 16)
	at, _ := job.SegmentAt(0)
	var racers []func() error
	for n := range 16 {
		racers = append(racers, func() error {
			_, err := s.Jobs.Record(t.Context(), job.ID, at, ledger.Ends{task.Completed: {n}})
			return err
		})
	}
	require.Equal(t, 16, race(t, errJob, racers...))

	require.Len(t, record(t, s, job, ledger.Ends{task.Completed: {0}}).Completed, 16)
}

func rolls(t *testing.T, s Stores) {
	job := scheduled(t, s, 10)
	p := record(t, s, job, ledger.Ends{task.Completed: {0, 1, 2}, task.Dead: {3}})

	require.NoError(t, s.Jobs.Roll(t.Context(), p, noon))
	require.ErrorIs(t, s.Jobs.Roll(t.Context(), p, noon), errJob)

	require.Equal(t, ledger.Counts{Completed: 3, Dead: 1}, get(t, s.Jobs, job.ID).Counts)
	require.Equal(t, p.Counts(), record(t, s, job, ledger.Ends{task.Completed: {0}}).Rolled)
}

func completes(t *testing.T, s Stores) {
	job := scheduled(t, s, 3)
	p := record(t, s, job, ledger.Ends{task.Completed: {0, 1, 2}})

	require.NoError(t, s.Jobs.Complete(t.Context(), job, noon))

	whole := get(t, s.Jobs, job.ID)
	require.True(t, whole.Whole)
	require.Equal(t, ledger.Completed, whole.State)
	require.Equal(t, noon, whole.FinishedAt)
	require.Equal(t, ledger.Counts{Completed: 3}, whole.Counts)
	require.ErrorIs(t, s.Jobs.Complete(t.Context(), job, noon), errJob)
	require.ErrorIs(t, s.Jobs.Roll(t.Context(), p, noon), errJob, "its ends would count twice")
	require.ErrorIs(t, s.Jobs.Finish(t.Context(), whole, ledger.Completed, noon), errJob)
	all, err := s.Jobs.Progress(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, []ledger.Progress{whole.WholeProgress()}, all, "also for a reader that read the record before")
	require.Equal(t, whole.Counts, all[0].Counts())
	require.Equal(t, whole.Counts, all[0].Rolled)
}

func completesNot(t *testing.T, s Stores) {
	counted := scheduled(t, s, 3)
	require.NoError(t, s.Jobs.Roll(t.Context(), record(t, s, counted, ledger.Ends{task.Completed: {0}}), noon))
	cancelled := scheduled(t, s, 3)
	require.NoError(t, s.Jobs.Cancel(t.Context(), cancelled))
	grown := scheduled(t, s, 3)
	grown.Total = 2
	open := created(t, s, 3)

	for name, job := range map[string]ledger.Job{"counted": counted, "cancelled": cancelled, "grown": grown, "still being created": open} {
		require.ErrorIs(t, s.Jobs.Complete(t.Context(), job, noon), errJob, name)
		require.False(t, get(t, s.Jobs, job.ID).Whole, name)
	}
}

func completeRace(t *testing.T, s Stores) {
	job := scheduled(t, s, 3)
	p := record(t, s, job, ledger.Ends{task.Completed: {0, 1, 2}})
	racers := make([]func() error, 8)
	for i := range racers {
		racers[i] = func() error { return s.Jobs.Complete(t.Context(), job, noon) }
		if i%2 == 0 {
			racers[i] = func() error { return s.Jobs.Roll(t.Context(), p, noon) }
		}
	}

	require.Equal(t, 1, race(t, errJob, racers...))

	require.Equal(t, ledger.Counts{Completed: 3}, get(t, s.Jobs, job.ID).Counts)
}

func rollsMore(t *testing.T, s Stores) {
	job := scheduled(t, s, 10)
	require.NoError(t, s.Jobs.Roll(t.Context(), record(t, s, job, ledger.Ends{task.Completed: {0}}), noon))

	p := record(t, s, job, ledger.Ends{task.Completed: {0, 1}, task.Cancelled: {5}})
	require.NoError(t, s.Jobs.Roll(t.Context(), p, noon))

	require.Equal(t, ledger.Counts{Completed: 2, Cancelled: 1}, get(t, s.Jobs, job.ID).Counts)
}

func rollRace(t *testing.T, s Stores) {
	job := scheduled(t, s, 10)
	p := record(t, s, job, ledger.Ends{task.Completed: {0, 1, 2}})
	racers := make([]func() error, 8)
	for i := range racers {
		racers[i] = func() error { return s.Jobs.Roll(t.Context(), p, noon) }
	}

	require.Equal(t, 1, race(t, errJob, racers...))

	require.Equal(t, ledger.Counts{Completed: 3}, get(t, s.Jobs, job.ID).Counts)
}

func rollsUnknown(t *testing.T, s Stores) {
	ghost := newJob(1)
	p := record(t, s, ghost, ledger.Ends{task.Completed: {0}})

	require.ErrorIs(t, s.Jobs.Roll(t.Context(), p, noon), errJob)

	_, found, err := s.Jobs.Get(t.Context(), ghost.ID)
	require.NoError(t, err)
	require.False(t, found, "the totals made a job")
}

func rollsAll(t *testing.T, s Stores) {
	job := scheduled(t, s, 600)
	var racers []func() error
	for ordinal := range job.Segments() {
		at, numbers := job.SegmentAt(ordinal)
		for n := range numbers.All() {
			if n%50 != 0 {
				continue
			}
			racers = append(racers, func() error {
				for {
					p, err := s.Jobs.Record(t.Context(), job.ID, at, ledger.Ends{task.Completed: {n}})
					if err != nil {
						return err
					}
					if p.Counts() == p.Rolled {
						return nil
					}
					if err := s.Jobs.Roll(t.Context(), p, noon); err == nil {
						return nil
					} else if err != errJob { //nolint:errorlint // the store promises this very error
						return err
					}
				}
			})
		}
	}

	require.Equal(t, len(racers), race(t, errJob, racers...))

	require.Equal(t, ledger.Counts{Completed: len(racers)}, get(t, s.Jobs, job.ID).Counts)
	all, err := s.Jobs.Progress(t.Context(), job)
	require.NoError(t, err)
	require.Len(t, all, 3)
}

func progressApart(t *testing.T, s Stores) {
	job := scheduled(t, s, 3)
	longer := newJob(3)
	longer.ID = job.ID + "1"
	require.NoError(t, s.Jobs.Create(t.Context(), longer))
	record(t, s, longer, ledger.Ends{task.Completed: {0}})

	progress, err := s.Jobs.Progress(t.Context(), job)

	require.NoError(t, err)
	require.Empty(t, progress)
}

// ---- ends

func finishes(t *testing.T, s Stores) {
	job := scheduled(t, s, 3)
	at := noon.Add(time.Hour + time.Millisecond)

	require.NoError(t, s.Jobs.Finish(t.Context(), job, ledger.Completed, at))
	require.ErrorIs(t, s.Jobs.Finish(t.Context(), job, ledger.Completed, at.Add(time.Second)), errJob)
	require.ErrorIs(t, s.Jobs.Finish(t.Context(), job, ledger.Cancelled, at), errJob)

	job.State, job.FinishedAt = ledger.Completed, at
	require.Equal(t, job, get(t, s.Jobs, job.ID))
	require.ErrorIs(t, s.Jobs.Finish(t.Context(), newJob(1), ledger.Completed, at), errJob, "a job that is not there")
}

func finishesGeneration(t *testing.T, s Stores) {
	job := scheduled(t, s, 3)
	former := job
	former.Generation = 0

	require.ErrorIs(t, s.Jobs.Finish(t.Context(), former, ledger.Completed, noon), errJob)

	require.Equal(t, ledger.Scheduled, get(t, s.Jobs, job.ID).State)
}

func finishedRests(t *testing.T, s Stores) {
	job := created(t, s, 300)
	require.NoError(t, s.Jobs.Finish(t.Context(), job, ledger.Cancelled, noon))

	require.ErrorIs(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)), errJob)
	require.ErrorIs(t, s.Jobs.Own(t.Context(), job, "you", noon.Add(time.Hour), noon.Add(2*time.Hour)), errJob)
	require.ErrorIs(t, s.Jobs.Create(t.Context(), job), errJob, "its id is taken")
	require.Empty(t, get(t, s.Jobs, job.ID).Owner)
}

// ---- lists

func months(t *testing.T, s Stores) {
	// A month of the past that no other test has, by the digits of a random name.
	digits := 0
	for _, letter := range unique("")[1:9] {
		digits = (digits*31 + int(letter)) % 12000
	}
	month := time.Date(1000+digits/12, time.Month(1+digits%12), 1, 0, 0, 0, 0, time.UTC)
	var ids []string
	for i := range 5 {
		job := newJob(1)
		job.SubmittedAt = month.Add(time.Duration(i) * time.Hour)
		require.NoError(t, s.Jobs.Create(t.Context(), job))
		ids = append(ids, job.ID)
	}
	next := newJob(1)
	next.SubmittedAt = month.AddDate(0, 1, 0)
	require.NoError(t, s.Jobs.Create(t.Context(), next))
	slices.Reverse(ids)

	shortly(t, func() bool {
		listed, err := s.Jobs.Month(t.Context(), month.AddDate(0, 0, 20))
		require.NoError(t, err)
		mine := slices.DeleteFunc(listed, func(id string) bool { return !slices.Contains(ids, id) && id != next.ID })
		return slices.Equal(ids, mine)
	}, "the month has its jobs, the newest first")
	for limit, want := range map[int][]string{1: ids[:1], 3: ids[:3], 0: ids, 9: ids} {
		shortly(t, func() bool {
			listed, err := s.Jobs.Recent(t.Context(), month, ledger.Mark{}, limit)
			require.NoError(t, err)
			return slices.Equal(want, listed)
		}, fmt.Sprintf("the last %d jobs of the month", limit))
	}
	second := ledger.Mark{SubmittedAt: month.Add(3 * time.Hour), JobID: ids[1]}
	shortly(t, func() bool {
		listed, err := s.Jobs.Recent(t.Context(), month, second, 2)
		require.NoError(t, err)
		return slices.Equal(ids[2:4], listed)
	}, "two jobs behind the second")
}

func readsMany(t *testing.T, s Stores) {
	var jobs []ledger.Job
	var ids []string
	for i := range 110 {
		job := created(t, s, i+1)
		jobs, ids = append(jobs, job), append(ids, job.ID)
	}
	slices.Reverse(jobs)
	slices.Reverse(ids)
	asked := slices.Concat([]string{unique("none")}, ids)

	shortly(t, func() bool {
		read, err := s.Jobs.GetAll(t.Context(), asked)
		require.NoError(t, err)
		return slices.EqualFunc(jobs, read, func(a, b ledger.Job) bool { return a.ID == b.ID && a.Total == b.Total })
	}, "all that exist, in the order asked for")

	read, err := s.Jobs.GetAll(t.Context(), []string{ids[0], ids[1], ids[0]})
	require.NoError(t, err)
	require.Equal(t, strings.Join([]string{ids[0], ids[1], ids[0]}, " "), read[0].ID+" "+read[1].ID+" "+read[2].ID, "one that is asked for twice")
	none, err := s.Jobs.GetAll(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

// ---- cancelling

func cancels(t *testing.T, s Stores) {
	job := created(t, s, 600)
	require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)))
	job = get(t, s.Jobs, job.ID)

	require.NoError(t, s.Jobs.Cancel(t.Context(), job))
	require.ErrorIs(t, s.Jobs.Cancel(t.Context(), job), errJob)

	read := get(t, s.Jobs, job.ID)
	require.True(t, read.Cancelling)
	require.Equal(t, ledger.Counts{Cancelled: 600 - 256}, read.Counts)
	require.Equal(t, ledger.Scheduling, read.State)

	whole := scheduled(t, s, 300)
	require.NoError(t, s.Jobs.Cancel(t.Context(), whole))
	require.Equal(t, ledger.Counts{}, get(t, s.Jobs, whole.ID).Counts, "all of it was created")
	require.NoError(t, s.Jobs.Finish(t.Context(), whole, ledger.Cancelled, noon))
	require.False(t, get(t, s.Jobs, whole.ID).Cancelling)
}

func cancelsStale(t *testing.T, s Stores) {
	job := created(t, s, 600)
	require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, entryOf(job, 0)))

	require.ErrorIs(t, s.Jobs.Cancel(t.Context(), job), errJob, "a segment more is published than was read")

	require.False(t, get(t, s.Jobs, job.ID).Cancelling)
	require.ErrorIs(t, s.Jobs.Cancel(t.Context(), newJob(1)), errJob, "a job that is not there")
}

func cancelsFinished(t *testing.T, s Stores) {
	job := scheduled(t, s, 3)
	require.NoError(t, s.Jobs.Finish(t.Context(), job, ledger.Completed, noon))

	require.ErrorIs(t, s.Jobs.Cancel(t.Context(), job), errJob)
}

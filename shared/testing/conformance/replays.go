package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// RunReplays tests the store that revives dead tasks.
func RunReplays(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"a replay has begun when it first began":                       replayBegins,
		"the dead begin another life and are queued":                   revives,
		"the dead of a job that runs on are taken out of its totals":   revivesRunning,
		"the dead that are not in the totals yet are revived too":      revivesUnrolled,
		"the dead are revived once":                                    revivesOnce,
		"one of two concurrent revivals succeeds":                      reviveRace,
		"a revival that missed another one revives nothing":            revivesUnseen,
		"a job of which dead came back meanwhile is not finished":      revivesBeforeTheEnd,
		"what is not dead is not revived and nothing with it":          revivesDeadOnly,
		"a job that is finished again ends under the next generation":  revivesGeneration,
		"the dead of a job that is being cancelled stay so":            revivesCancelled,
		"ninety-seven are revived at once":                             revivesMany,
		"a death that is told again after a revival is counted once":   revivesAndHearsAgain,
		"the counts of a replayed job are exact when it has run again": revivesAndEnds,
	})
}

func replayBegins(t *testing.T, s Stores) {
	id := unique("replay")

	first, err := s.Replays.Begin(t.Context(), id, noon)
	require.NoError(t, err)
	again, err := s.Replays.Begin(t.Context(), id, noon.Add(time.Hour))
	require.NoError(t, err)

	require.Equal(t, noon, first)
	require.Equal(t, noon, again)
}

// mortal is a job whose tasks were claimed and died, all but one that completed. totals says whether the totals contain that and the job is
// finished.
type mortal struct {
	job      ledger.Job
	at       segment.ID
	dead     []task.Task
	labourer string
}

func died(t *testing.T, s Stores, total int, rolled, finished bool) mortal {
	t.Helper()
	job := newJob(total)
	job.Labourer = unique("labourer")
	require.NoError(t, s.Jobs.Create(t.Context(), job))
	m := mortal{labourer: job.Labourer}
	var numbers segment.Numbers
	m.at, numbers = job.SegmentAt(0)
	var all []task.Task
	var lives []int
	for n := range numbers.All() {
		one := newTask(m.at, n)
		one.JobID, one.Labourer = job.ID, job.Labourer
		all = append(all, one)
	}
	create(t, s, all...)
	e := entryOf(job, 0)
	require.NoError(t, s.Jobs.Publish(t.Context(), []ledger.Job{job}, e))
	c := control{Control: s.Control, jobs: s.Jobs, labourer: job.Labourer}
	l := c.grant(t, e, numbers, 1)
	c.save(t, l, l.Ended(numbers))
	for _, one := range all[1:] {
		before := failed(t, one)
		require.NoError(t, s.Tasks.Save(t.Context(), one, before))
		dead, err := before.Kill(noon)
		require.NoError(t, err)
		require.NoError(t, s.Tasks.Save(t.Context(), before, dead))
		m.dead, lives = append(m.dead, dead), append(lives, ledger.Life(one.ID.N, 0))
	}
	require.NoError(t, s.Tasks.Save(t.Context(), all[0], completed(t, all[0])))
	p, err := s.Jobs.Record(t.Context(), job.ID, m.at, ledger.Ends{task.Completed: {0}, task.Dead: lives})
	require.NoError(t, err)
	if rolled {
		require.NoError(t, s.Jobs.Roll(t.Context(), p, noon))
	}
	job = get(t, s.Jobs, job.ID)
	if finished {
		require.NoError(t, s.Jobs.Finish(t.Context(), job, ledger.Completed, noon.Add(time.Hour)))
	}
	m.job = get(t, s.Jobs, job.ID)
	return m
}

// entry returns the entry that queues these dead tasks again.
func (m mortal) entry(dead []task.Task, due time.Time) queue.Entry {
	var numbers segment.Numbers
	for _, one := range dead {
		numbers = numbers.Union(segment.Of(one.ID.N))
	}
	return queue.Entry{Labourer: m.labourer, Due: due, Segment: m.at, First: numbers.Min(), Tasks: numbers, Attempt: 2}
}

func (m mortal) progress(t *testing.T, s Stores) ledger.Progress {
	t.Helper()
	all, err := s.Jobs.Progress(t.Context(), m.job)
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

func (m mortal) revive(t *testing.T, s Stores, dead []task.Task) error {
	t.Helper()
	return s.Replays.Revive(t.Context(), m.job, m.progress(t, s), dead, m.entry(dead, noon.Add(2*time.Hour)))
}

func revives(t *testing.T, s Stores) {
	m := died(t, s, 4, true, true)

	require.NoError(t, m.revive(t, s, m.dead))

	for _, before := range m.dead {
		after, err := before.Revive()
		require.NoError(t, err)
		require.Equal(t, after, load(t, s, before.ID))
	}
	job := get(t, s.Jobs, m.job.ID)
	require.Equal(t, ledger.Scheduled, job.State)
	require.Equal(t, 2, job.Generation)
	require.True(t, job.FinishedAt.IsZero())
	require.Equal(t, ledger.Counts{Completed: 1}, job.Counts)
	require.Equal(t, ledger.Counts{Completed: 1}, m.progress(t, s).Counts())
	require.Equal(t, ledger.Counts{Completed: 1}, m.progress(t, s).Rolled)
	entries, err := s.Control.Queue(t.Context(), m.labourer)
	require.NoError(t, err)
	require.Equal(t, []queue.Entry{m.entry(m.dead, noon.Add(2*time.Hour))}, entries)
}

func revivesRunning(t *testing.T, s Stores) {
	m := died(t, s, 4, true, false)

	require.NoError(t, m.revive(t, s, m.dead[:1]))

	job := get(t, s.Jobs, m.job.ID)
	require.Equal(t, 1, job.Generation)
	require.Equal(t, ledger.Counts{Completed: 1, Dead: 2}, job.Counts)
	require.Equal(t, ledger.Counts{Completed: 1, Dead: 2}, m.progress(t, s).Rolled)
}

func revivesUnrolled(t *testing.T, s Stores) {
	m := died(t, s, 4, false, false)
	before := m.progress(t, s)

	require.NoError(t, m.revive(t, s, m.dead))

	require.ErrorIs(t, s.Jobs.Roll(t.Context(), before, noon), errJob, "sums with revived tasks")
	require.Equal(t, ledger.Counts{}, get(t, s.Jobs, m.job.ID).Counts)
	p := m.progress(t, s)
	require.Equal(t, ledger.Counts{Completed: 1}, p.Counts())
	require.NoError(t, s.Jobs.Roll(t.Context(), p, noon))
	require.Equal(t, ledger.Counts{Completed: 1}, get(t, s.Jobs, m.job.ID).Counts)
}

func revivesOnce(t *testing.T, s Stores) {
	m := died(t, s, 4, true, true)
	p := m.progress(t, s)
	require.NoError(t, m.revive(t, s, m.dead))

	require.ErrorIs(t, s.Replays.Revive(t.Context(), m.job, p, m.dead, m.entry(m.dead, noon.Add(3*time.Hour))), errJob)
	m.job = get(t, s.Jobs, m.job.ID)
	require.ErrorIs(t, s.Replays.Revive(t.Context(), m.job, m.progress(t, s), m.dead, m.entry(m.dead, noon.Add(3*time.Hour))), errJob)

	entries, err := s.Control.Queue(t.Context(), m.labourer)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, ledger.Counts{Completed: 1}, get(t, s.Jobs, m.job.ID).Counts)
}

func reviveRace(t *testing.T, s Stores) {
	m := died(t, s, 4, true, true)
	p := m.progress(t, s)
	var racers []func() error
	for i := range 4 {
		racers = append(racers, func() error {
			return s.Replays.Revive(t.Context(), m.job, p, m.dead, m.entry(m.dead, noon.Add(time.Duration(i)*time.Minute)))
		})
	}

	require.Equal(t, 1, race(t, errJob, racers...))

	require.Equal(t, 2, get(t, s.Jobs, m.job.ID).Generation)
}

func revivesUnseen(t *testing.T, s Stores) {
	m := died(t, s, 4, false, false)
	require.NoError(t, m.revive(t, s, m.dead[:1]))
	p := m.progress(t, s)
	require.NoError(t, m.revive(t, s, m.dead[1:2]))

	require.ErrorIs(t, s.Replays.Revive(t.Context(), m.job, p, m.dead[2:], m.entry(m.dead[2:], noon)), errJob)

	require.Equal(t, m.dead[2], load(t, s, m.dead[2].ID))
}

func revivesBeforeTheEnd(t *testing.T, s Stores) {
	m := died(t, s, 4, true, false)
	require.Zero(t, m.job.Open())
	require.NoError(t, m.revive(t, s, m.dead[:1]))

	require.ErrorIs(t, s.Jobs.Finish(t.Context(), m.job, ledger.Completed, noon), errJob)

	require.Equal(t, ledger.Scheduled, get(t, s.Jobs, m.job.ID).State)
}

func revivesDeadOnly(t *testing.T, s Stores) {
	m := died(t, s, 4, true, true)
	alive := load(t, s, task.ID{Segment: m.at, N: 0})

	require.ErrorIs(t, m.revive(t, s, []task.Task{m.dead[0], alive}), errJob)

	require.Equal(t, m.dead[0], load(t, s, m.dead[0].ID))
	require.Equal(t, m.job, get(t, s.Jobs, m.job.ID))
}

func revivesGeneration(t *testing.T, s Stores) {
	m := died(t, s, 2, true, true)
	require.NoError(t, m.revive(t, s, m.dead))

	require.ErrorIs(t, s.Jobs.Finish(t.Context(), m.job, ledger.Completed, noon), errJob, "the first generation is over")

	require.NoError(t, s.Jobs.Finish(t.Context(), get(t, s.Jobs, m.job.ID), ledger.Completed, noon))
}

func revivesCancelled(t *testing.T, s Stores) {
	m := died(t, s, 4, true, false)
	require.NoError(t, s.Jobs.Cancel(t.Context(), m.job))

	require.ErrorIs(t, m.revive(t, s, m.dead), errJob)

	require.Equal(t, m.dead[0], load(t, s, m.dead[0].ID))
}

func revivesMany(t *testing.T, s Stores) {
	m := died(t, s, 98, true, true)
	require.Len(t, m.dead, 97)

	require.NoError(t, m.revive(t, s, m.dead))

	require.Equal(t, ledger.Counts{Completed: 1}, get(t, s.Jobs, m.job.ID).Counts)
}

func revivesAndHearsAgain(t *testing.T, s Stores) {
	m := died(t, s, 2, true, true)
	require.NoError(t, m.revive(t, s, m.dead))

	p, err := s.Jobs.Record(t.Context(), m.job.ID, m.at, ledger.Ends{task.Dead: {ledger.Life(1, 0)}})

	require.NoError(t, err)
	require.Equal(t, ledger.Counts{Completed: 1}, p.Counts(), "a record of the stream that comes late tells of the former life")
}

func revivesAndEnds(t *testing.T, s Stores) {
	m := died(t, s, 4, true, true)
	require.NoError(t, m.revive(t, s, m.dead))

	p, err := s.Jobs.Record(t.Context(), m.job.ID, m.at, ledger.Ends{task.Completed: {ledger.Life(1, 1), ledger.Life(2, 1)}, task.Dead: {ledger.Life(3, 1)}})
	require.NoError(t, err)
	require.NoError(t, s.Jobs.Roll(t.Context(), p, noon))

	require.Equal(t, ledger.Counts{Completed: 3, Dead: 1}, get(t, s.Jobs, m.job.ID).Counts)
	require.Zero(t, get(t, s.Jobs, m.job.ID).Open())
}

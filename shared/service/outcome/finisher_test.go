package outcome_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/service/outcome"
)

var (
	midday         = time.Date(2026, 11, 22, 12, 0, 0, 123_456_789, time.UTC)
	errUnavailable = errors.New("the table is unavailable")
)

// records holds one job.
type records struct {
	job    ledger.Job
	none   bool
	fails  string
	before func(*ledger.Job) // a change by another component just before Finish
	gets   int
}

func (r *records) Get(context.Context, string) (ledger.Job, bool, error) {
	r.gets++
	if r.fails == "Get" || r.fails == "second Get" && r.gets == 2 {
		return ledger.Job{}, false, errUnavailable
	}
	return r.job, !r.none, nil
}

func (r *records) Finish(_ context.Context, _ ledger.Job, state ledger.State, at time.Time) error {
	if r.fails == "Finish" {
		return errUnavailable
	}
	if r.before != nil {
		r.before(&r.job)
		return ledger.ErrChanged
	}
	r.job.State, r.job.FinishedAt, r.job.Cancelling = state, at, false
	return nil
}

type bus struct {
	told []event.Fact
	err  error
}

func (b *bus) Publish(_ context.Context, facts ...event.Fact) error {
	b.told = append(b.told, facts...)
	return b.err
}

func done() ledger.Job {
	return ledger.Job{ID: "nightly", Labourer: "f", State: ledger.Scheduled, Total: 3, Counts: ledger.Counts{Completed: 2, Dead: 1}, Generation: 1, SubmittedAt: midday.Add(-time.Hour)}
}

func end(r *records) (bool, *bus, error) {
	b := &bus{}
	ended, err := outcome.Finisher{Jobs: r, Bus: b, Now: func() time.Time { return midday }}.Finish(context.Background(), "nightly")
	return ended, b, err
}

func TestG5AJobEndsWithItsLastTask(t *testing.T) {
	r := &records{job: done()}

	ended, b, err := end(r)

	require.NoError(t, err)
	require.True(t, ended)
	require.Equal(t, ledger.Completed, r.job.State)
	require.Equal(t, midday.Truncate(time.Millisecond), r.job.FinishedAt)
	require.Equal(t, []event.Fact{event.JobEnded(r.job.Totals(), false)}, b.told)
}

func TestG5AJobThatIsBeingCancelledEndsAsCancelled(t *testing.T) {
	r := &records{job: done()}
	r.job.Cancelling, r.job.State = true, ledger.Scheduling

	ended, b, err := end(r)

	require.NoError(t, err)
	require.True(t, ended)
	require.Equal(t, ledger.Cancelled, r.job.State)
	require.Equal(t, "JobCancelled", b.told[0].Type)
}

// TestG5TheEndOfAnEndedJobIsPublishedAgain: as it is stored, because the component that ended the job may have died first.
func TestG5TheEndOfAnEndedJobIsPublishedAgain(t *testing.T) {
	for state, kind := range map[ledger.State]string{ledger.Completed: "JobCompleted", ledger.Cancelled: "JobCancelled"} {
		r := &records{job: done()}
		r.job.State, r.job.FinishedAt = state, midday.Add(-time.Minute)

		ended, b, err := end(r)

		require.NoError(t, err)
		require.True(t, ended)
		require.Equal(t, kind, b.told[0].Type)
		text, err := json.Marshal(b.told[0].Detail)
		require.NoError(t, err)
		require.Contains(t, string(text), `"finished_at":"2026-11-22T11:59:00.123456789Z"`)
	}
}

func TestG5AJobIsNotEnded(t *testing.T) {
	for name, r := range map[string]*records{
		"while tasks are open":          {job: func() ledger.Job { j := done(); j.Counts.Dead = 0; return j }()},
		"when it was rejected":          {job: ledger.Job{State: ledger.Rejected}},
		"when it is gone":               {none: true},
		"when dead tasks were replayed": {job: done(), before: func(j *ledger.Job) { j.Counts.Dead = 0 }},
		"when its next generation runs": {job: done(), before: func(j *ledger.Job) { j.Generation++; j.Counts.Dead = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			ended, b, err := end(r)

			require.NoError(t, err)
			require.False(t, ended)
			require.Empty(t, b.told)
		})
	}
}

func TestG5ALateFinisherPublishesTheStoredEnd(t *testing.T) {
	r := &records{job: done(), before: func(j *ledger.Job) { j.State, j.FinishedAt = ledger.Completed, midday.Add(-time.Second) }}

	ended, b, err := end(r)

	require.NoError(t, err)
	require.True(t, ended)
	require.Equal(t, []event.Fact{event.JobEnded(r.job.Totals(), false)}, b.told)
}

func TestAFailedCallIsAnError(t *testing.T) {
	for _, call := range []string{"Get", "Finish", "second Get"} {
		ended, b, err := end(&records{job: done(), fails: call})
		require.ErrorIs(t, err, errUnavailable, call)
		require.False(t, ended)
		require.Empty(t, b.told)
	}
	b := &bus{err: errUnavailable}
	_, err := outcome.Finisher{Jobs: &records{job: done()}, Bus: b, Now: func() time.Time { return midday }}.Finish(context.Background(), "nightly")
	require.ErrorIs(t, err, errUnavailable)
}

package endtoend

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
)

// onLambda returns the definition of a labourer whose worker is one of the functions deployed for the tests.
func onLambda(function string, most int, more object) object {
	return with(object{"target": object{"lambda": world.workers[function]}, "max_simultaneous_invocations": most, "retry": impatient}, more)
}

func TestG1AJobsTasksAllCompleteAndAreArchived(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 4, nil))

	id := s.submit(t, object{
		"job_schema_name": "sections", "period": object{"from": "2026-02-27", "to": "2026-03-01"}, "isolate_days": true,
		"isolate_stores": true, "sections": object{"a": object{"stores": []string{"x", "y"}}, "b": object{"stores": []string{"z"}}},
	})

	require.EqualValues(t, 9, s.fact(t, "JobScheduled", object{"job_id": id})["tasks"])
	ended := s.fact(t, "JobCompleted", object{"job_id": id})
	require.Equal(t, []any{named(t), 9., 9., 0., 0.},
		[]any{ended["labourer_id"], ended["total"], ended["completed"], ended["dead"], ended["cancelled"]})
	require.Equal(t, ledger.Counts{Completed: 9}, s.ended(t, id).Counts)
	records := s.archived(t, id)
	require.Len(t, records, 9)
	done := map[string]bool{}
	for _, r := range records {
		requireCompleted(t, r, 1)
		var payload struct {
			Dates    []string `json:"date_list"`
			Sections []string `json:"sections"`
			Stores   []string `json:"stores"`
		}
		require.NoError(t, json.Unmarshal(r.Payload, &payload))
		done[strings.Join(append(append(payload.Dates, payload.Sections...), payload.Stores...), " ")] = true
	}
	require.Equal(t, map[string]bool{
		"2026-02-27 a x": true, "2026-02-27 a y": true, "2026-02-27 b z": true,
		"2026-02-28 a x": true, "2026-02-28 a y": true, "2026-02-28 b z": true,
		"2026-03-01 a x": true, "2026-03-01 a y": true, "2026-03-01 b z": true,
	}, done)
	s.idle(t)
}

// requireCompleted checks the whole record of a task that the worker function completed in its n-th attempt.
func requireCompleted(t *testing.T, r archive.Record, attempts int) {
	t.Helper()
	require.Equal(t, task.Completed, r.Status)
	require.Equal(t, attempts, r.Attempt)
	require.Len(t, r.Attempts, attempts)
	require.JSONEq(t, `{"attempt": `+string(rune('0'+attempts))+`}`, string(r.Result))
	require.JSONEq(t, `{"rows": 1}`, string(r.Stats))
	for i, a := range r.Attempts {
		require.Equal(t, i+1, a.Attempt)
		require.NotNil(t, a.DispatchedAt)
		require.NotNil(t, a.ClosedAt)
		require.False(t, a.DispatchedAt.Before(r.CreatedAt), "attempt %d was dispatched at %s, the task created at %s", a.Attempt, a.DispatchedAt, r.CreatedAt)
		require.False(t, a.ClosedAt.Before(*a.DispatchedAt), "attempt %d was closed at %s, dispatched at %s", a.Attempt, a.ClosedAt, a.DispatchedAt)
	}
	last := r.Attempts[attempts-1]
	require.Equal(t, task.Completed, last.Status)
	require.Nil(t, last.Error)
	require.Equal(t, last.ClosedAt, r.ClosedAt)
}

func TestG2AJobSubmittedManyTimesRunsOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(100, nil))

	for range 5 {
		s.submit(t, tasks(12, nil))
	}
	work := d.take(t, 12)
	s.submit(t, tasks(12, nil)) // while it runs
	s.complete(t, work...)
	s.ended(t, named(t))
	s.submit(t, tasks(12, nil)) // after its end

	s.settled(t, "JobsQueueUrl")
	require.Equal(t, "nothing is due", s.look(t).Reason)
	require.Zero(t, d.waiting(t), "tasks were dispatched again")
	seen := map[string]bool{}
	for _, one := range work {
		seen[one.taskID] = true
	}
	require.Len(t, seen, 12)
	require.Len(t, s.archived(t, named(t)), 12)
	s.fact(t, "JobScheduled", object{"job_id": named(t)})
	require.Equal(t, 12, s.ended(t, named(t)).Total)
}

func TestG9AnotherJobUnderAUsedIDIsRejected(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, nil))
	s.submit(t, tasks(1, nil))
	work := d.take(t, 1)

	s.submit(t, tasks(2, nil))

	refusal := s.fact(t, "JobRejected", object{"job_id": named(t)})
	require.Equal(t, "job_id", refusal["error"].(object)["field"])
	s.complete(t, work...)
	require.Equal(t, 1, s.ended(t, named(t)).Total, "the first job is not affected")
}

func TestG9AJobForAnUnknownLabourerIsRejectedAndItsIDMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	s := shared(t)

	s.submit(t, tasks(1, nil))

	refusal := s.fact(t, "JobRejected", object{"job_id": named(t)})
	require.Equal(t, "labourer", refusal["error"].(object)["field"])
	require.Contains(t, refusal["error"].(object)["reason"], named(t))
	require.Equal(t, named(t), refusal["job"].(object)["labourer"], "the job as submitted")
	job, found, err := s.jobs.Get(t.Context(), named(t))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, ledger.Rejected, job.State)

	s.apply(t, onLambda("Worker", 1, nil))
	s.submit(t, tasks(1, nil))
	require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, named(t)).Counts)
}

func TestAJobWithoutAnIDHasThatOfItsEvent(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 1, nil))

	id := s.put(t, "SubmitJob", object{"labourer": named(t)})

	require.Equal(t, named(t), s.ended(t, id).Labourer)
}

func TestTasksWaitForTheirTime(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 2, nil))
	notBefore := time.Now().Add(3 * time.Second).UTC().Truncate(time.Millisecond)

	s.submit(t, tasks(2, object{"not_before": notBefore.Format(time.RFC3339Nano)}))

	s.ended(t, named(t))
	for _, r := range s.archived(t, named(t)) {
		require.False(t, r.Attempts[0].DispatchedAt.Before(notBefore), "started at %s", r.Attempts[0].DispatchedAt)
	}
}

func TestG2ManySmallJobsAtOnceAllComplete(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 6, nil))
	jobs := map[string]int{}

	for i := range 12 {
		id := fmt.Sprintf("%s-%d", named(t), i)
		jobs[id] = i % 4 // also jobs without tasks
		s.put(t, "SubmitJob", tasks(jobs[id], object{"labourer": named(t), "job_id": id}))
	}

	for id, n := range jobs {
		require.EqualValues(t, n, s.fact(t, "JobScheduled", object{"job_id": id})["tasks"])
		require.Equal(t, ledger.Counts{Completed: n}, s.ended(t, id).Counts)
	}
	done := map[string]int{}
	for _, r := range s.archived(t, named(t)) {
		requireCompleted(t, r, 1)
		done[r.JobID]++
	}
	for id, n := range jobs {
		require.Equal(t, n, done[id], id)
	}
	s.idle(t)
}

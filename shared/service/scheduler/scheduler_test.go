package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func record(t *testing.T, d *drovertest.Drover, id string) ledger.Job {
	job, found, err := dynamo.Jobs{API: d.DynamoDB, Table: fakeaws.JobsTable}.Get(context.Background(), id)
	require.NoError(t, err)
	require.True(t, found, "there is no job %s", id)
	return job
}

func entries(t *testing.T, d *drovertest.Drover, labourer string) []queue.Entry {
	out, err := dynamo.Control{API: d.DynamoDB, Table: fakeaws.ControlTable}.Queue(context.Background(), labourer)
	require.NoError(t, err)
	return out
}

// rejected returns the error of the last JobRejected.
func rejected(t *testing.T, d *drovertest.Drover) (field, reason string) {
	var detail struct {
		Error struct{ Field, Reason string }
	}
	for _, e := range d.EventBridge.Told() {
		if e.DetailType == "JobRejected" {
			require.NoError(t, json.Unmarshal(e.Detail, &detail))
		}
	}
	return detail.Error.Field, detail.Error.Reason
}

func TestAJobBecomesTasks(t *testing.T) {
	d := stage(t)

	summary, err := handle(d, "only", messages(1, submitted(stores("nightly", "f", 3))))

	require.NoError(t, err)
	require.Equal(t, scheduler.Summary{Scheduled: 1, Created: 3, Granted: 3}, summary)
	require.Equal(t, map[string][]string{"nightly": {
		`{"isolate_stores":true,"stores":["s000"]}`, `{"isolate_stores":true,"stores":["s001"]}`, `{"isolate_stores":true,"stores":["s002"]}`,
	}}, created(t, d))
	job := record(t, d, "nightly")
	require.Equal(t, ledger.Scheduled, job.State)
	require.Equal(t, start, job.SubmittedAt)
	require.Empty(t, job.Owner)
	require.Equal(t, []string{"JobScheduled/nightly"}, facts(d))
}

func TestAJobWithoutIDGetsTheIDOfItsEvent(t *testing.T) {
	d := stage(t)

	_, err := handle(d, "only", messages(1, `{"id": "6a7e8feb", "detail-type": "SubmitJob", "source": "shop", "time": "2150-01-01T00:00:00Z", "detail": {"labourer": "f"}}`))

	require.NoError(t, err)
	require.Equal(t, 1, record(t, d, "6a7e8feb").Total)
}

func TestG2AJobDeliveredAgainDaysLaterIsTheSameJob(t *testing.T) {
	d := stage(t)
	guard(t, d)
	body := submitted(stores("nightly", "f", 3))
	_, err := handle(d, "first", messages(1, body))
	require.NoError(t, err)
	before, told := created(t, d), len(d.EventBridge.Told())
	d.World.Advance(start.Add(72 * time.Hour))

	summary, err := handle(d, "second", messages(1, body, body))

	require.NoError(t, err)
	require.Equal(t, scheduler.Summary{Repeated: 2}, summary)
	require.Equal(t, before, created(t, d))
	require.Equal(t, []string{"JobScheduled/nightly"}, facts(d))
	require.True(t, woken(d, told, "f"), "the scheduler that created it may have died before the wake")
}

// TestG2AnotherJobWithTheSameIDIsRejected, in the same batch, later, or in another spelling.
func TestG2AnotherJobWithTheSameIDIsRejected(t *testing.T) {
	d := stage(t)
	_, err := handle(d, "first", messages(1, submitted(`{"job_id": "nightly", "labourer": "f", "a": 1}`)))
	require.NoError(t, err)

	summary, err := handle(d, "second", messages(1, submitted(`{"job_id": "nightly", "labourer": "f", "a": 2}`)))

	require.NoError(t, err)
	require.Equal(t, scheduler.Summary{Rejected: 1}, summary)
	field, reason := rejected(t, d)
	require.Equal(t, "job_id", field)
	require.Equal(t, `"nightly" is the id of another job, submitted at 2150-01-01T00:00:00Z; an id is remembered as long as its job is kept`, reason)
	require.Equal(t, map[string][]string{"nightly": {`{"a":1}`}}, created(t, d))
	require.Equal(t, ledger.Scheduled, record(t, d, "nightly").State, "the job that has the id is unchanged")

	summary, err = handle(d, "third", messages(1, submitted("{\n \"labourer\": \"f\", \"a\": 1,\t\"job_id\": \"nightly\"}")))
	require.NoError(t, err)
	require.Equal(t, scheduler.Summary{Repeated: 1}, summary, "the same job in another spelling")
}

func TestG2OfTwoJobsWithOneIDInABatchOneIsCreatedAndOneRejected(t *testing.T) {
	d := stage(t)
	batch := []string{submitted(`{"job_id": "nightly", "labourer": "f", "a": 1}`), submitted(`{"job_id": "nightly", "labourer": "f", "a": 2}`)}

	_, err := handle(d, "first", messages(1, batch...))
	require.ErrorContains(t, err, "1 messages must be redelivered")
	summary, err := handle(d, "second", messages(2, batch[1]))

	require.NoError(t, err)
	require.Equal(t, scheduler.Summary{Rejected: 1}, summary)
	require.Equal(t, map[string][]string{"nightly": {`{"a":1}`}}, created(t, d))
}

func TestTheIDOfARejectedJobMayBeUsedAgain(t *testing.T) {
	d := stage(t)
	_, err := handle(d, "first", messages(1, submitted(`{"job_id": "nightly", "labourer": "missing"}`)))
	require.NoError(t, err)
	require.Equal(t, ledger.Rejected, record(t, d, "nightly").State)

	summary, err := handle(d, "second", messages(1, submitted(stores("nightly", "f", 2))))

	require.NoError(t, err)
	require.Equal(t, 1, summary.Scheduled)
	require.Len(t, created(t, d)["nightly"], 2)
	require.Empty(t, record(t, d, "nightly").ErrorField)
}

func TestG9AWrongJobIsRejectedByFieldAndRecorded(t *testing.T) {
	for name, c := range map[string]struct{ job, field, reason string }{
		"an unknown labourer":  {`{"job_id": "x", "labourer": "no_such_labourer"}`, "labourer", `there is no labourer "no_such_labourer"; apply it first`},
		"no labourer":          {`{"job_id": "x"}`, "labourer", ""},
		"an unknown schema":    {`{"job_id": "x", "labourer": "f", "job_schema_name": "defalt"}`, "job_schema_name", "default"},
		"an invalid period":    {`{"job_id": "x", "labourer": "f", "period": "todayXYZ"}`, "period", "todayXYZ"},
		"a worker's attribute": {`{"job_id": "x", "labourer": "f", "drover": {}}`, "drover", ""},
		"too many tasks": {
			`{"job_id": "x", "labourer": "f", "period": {"from": "1900-01-01", "to": "2100-01-01"}, "isolate_hours": true}`, "period", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)

			summary, err := handle(d, "only", messages(1, submitted(c.job)))

			require.NoError(t, err)
			require.Equal(t, scheduler.Summary{Rejected: 1}, summary)
			field, reason := rejected(t, d)
			require.Equal(t, c.field, field)
			require.Contains(t, reason, c.reason)
			require.Empty(t, d.DynamoDB.Items(fakeaws.TasksTable), "no task is stored")
			kept := record(t, d, "x")
			require.Equal(t, ledger.Rejected, kept.State)
			require.Equal(t, c.field, kept.ErrorField)
			require.Equal(t, reason, kept.ErrorReason)
			require.JSONEq(t, c.job, string(kept.Text))
		})
	}
}

// TestG9APayloadOverItsTargetsLimitIsRejected, and a payload within it is not: 1 MB, or 256 KB for a state machine, with what Drover adds.
func TestG9APayloadOverItsTargetsLimitIsRejected(t *testing.T) {
	for labourer, most := range map[string]int{"m": 256 << 10, "f": 1 << 20, "f:prod": 1 << 20} {
		d := stage(t)
		job := func(id string, payload int) string {
			return fmt.Sprintf(`{"job_id": %q, "labourer": %q, "ballast": %q}`, id, labourer, strings.Repeat("x", payload-len(`{"ballast":""}`)))
		}

		_, err := handle(d, "only", messages(1, submitted(job("large", most-511)), submitted(job("fits", most-512))))

		require.NoError(t, err)
		require.Equal(t, ledger.Rejected, record(t, d, "large").State)
		field, reason := rejected(t, d)
		require.Equal(t, "ballast", field)
		require.Contains(t, reason, fmt.Sprintf("%d bytes long; want at most %d", most-511, most-512))
		require.Equal(t, ledger.Scheduled, record(t, d, "fits").State)
		require.Len(t, created(t, d)["fits"], 1)
	}
}

// long is longer than a DynamoDB key may be.
var long = strings.Repeat("x", 3000)

// TestG9ARejectionIsPublishedWhateverItQuotes: names and values have any length that the job's author gives them, up to that of the event.
func TestG9ARejectionIsPublishedWhateverItQuotes(t *testing.T) {
	huge := strings.Repeat("\U0010ffff", 30_000)
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	for name, c := range map[string]struct{ job, field string }{
		"the name of an attribute":   {`{"job_id": "x", "labourer": "f", ".` + huge + `": ` + deep + `}`, ""},
		"the name of a nested one":   {`{"job_id": "x", "labourer": "f", "isolate_stores": true, "stores": {"` + huge + `": {"task_id": 1}}}`, ""},
		"a labourer":                 {`{"job_id": "x", "labourer": "` + huge + `"}`, "labourer"},
		"a labourer of many letters": {`{"job_id": "x", "labourer": "` + long + `"}`, "labourer"},
		"a schema":                   {`{"job_id": "x", "labourer": "f", "job_schema_name": "` + huge + `"}`, "job_schema_name"},
		"a job_id":                   {`{"job_id": "` + huge + `", "labourer": "f"}`, "job_id"},
		"a time zone":                {`{"job_id": "x", "labourer": "f", "time_zone": "` + huge + `"}`, "time_zone"},
		"a period":                   {`{"job_id": "x", "labourer": "f", "period": "` + huge + `"}`, "period"},
		"a time":                     {`{"job_id": "x", "labourer": "f", "not_before": "` + huge + `"}`, "not_before"},
		"a misspelt attribute":       {`{"job_id": "x", "` + huge + `": "f"}`, "labourer"},
	} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)

			summary, err := handle(d, "only", messages(1, submitted(c.job)))

			require.NoError(t, err)
			require.Equal(t, scheduler.Summary{Rejected: 1}, summary)
			field, reason := rejected(t, d)
			require.NotEmpty(t, reason)
			require.Less(t, len(field)+len(reason), 6<<10)
			if c.field != "" {
				require.Equal(t, c.field, field)
			}
		})
	}
}

// TestG9AnUnreadableJobIsRejectedUnderItsID, if the id is readable.
func TestG9AnUnreadableJobIsRejectedUnderItsID(t *testing.T) {
	d := stage(t)

	_, err := handle(d, "only", messages(1, submitted(`{"labourer": "f", "a": `+strings.Repeat("[", 300)+strings.Repeat("]", 300)+`, "job_id": "nightly"}`)))

	require.NoError(t, err)
	require.Equal(t, ledger.Rejected, record(t, d, "nightly").State)
	told := d.EventBridge.Told()
	require.Contains(t, string(told[len(told)-1].Detail), `"job_id":"nightly"`)
}

// TestG5TheEndOfAnEmptyJobIsPublishedIdentically: when its message is redelivered the end is published again, from the record, which keeps
// milliseconds.
func TestG5TheEndOfAnEmptyJobIsPublishedIdentically(t *testing.T) {
	d := stage(t)
	d.World.Advance(start.Add(123_456_789 * time.Nanosecond))
	for delivery := range 2 {
		_, err := handle(d, fmt.Sprint(delivery), messages(delivery+1, submitted(stores("empty", "f", 0))))
		require.NoError(t, err)
	}

	told := map[string]int{}
	for _, e := range d.EventBridge.Told() {
		if e.DetailType != "TasksDue" {
			told[string(e.Detail)]++
		}
	}
	require.Len(t, told, 2, "JobScheduled and JobCompleted")
	for detail, times := range told {
		require.Equal(t, 2, times, detail)
	}
}

// TestG8AJobInTheFarFutureDelaysNoOther: keys of entries sort as text, so they must have one length, and a job ten years ahead sorts last.
func TestG8AJobInTheFarFutureDelaysNoOther(t *testing.T) {
	d := stage(t)
	require.NoError(t, d.Pause("f")) // so that nothing is granted directly
	far := func(id, at string) string {
		return strings.Replace(stores(id, "f", 600), "{", `{"not_before": "`+at+`", `, 1)
	}

	_, err := handle(d, "only", messages(1, submitted(far("far", "2159-12-31T23:59:59Z")), submitted(far("farther", "2160-01-02")), submitted(stores("now", "f", 2))))

	require.NoError(t, err)
	field, reason := rejected(t, d)
	require.Equal(t, "not_before", field)
	require.Equal(t, "2160-01-02T00:00:00Z is more than 10 years ahead; want a time up to 2160-01-01", reason)
	lengths := map[int]bool{}
	for _, e := range entries(t, d, "f") {
		lengths[len(e.Item())] = true
	}
	require.Len(t, lengths, 1)
	due, err := dynamo.Control{API: d.DynamoDB, Table: fakeaws.ControlTable}.Due(context.Background(), "f", d.World.Now(), 0)
	require.NoError(t, err)
	require.Len(t, due, 1)
}

// TestG8PoisonDoesNotStopTheRestOfItsBatch: an unreadable message goes to the dead-letter queue unchanged, with the reason.
func TestG8PoisonDoesNotStopTheRestOfItsBatch(t *testing.T) {
	for body, reason := range map[string]string{
		`nonsense`:                                                         "not an event",
		`{"detail-type": "X"}`:                                             "it has no id",
		command("Dance", `{}`):                                             "the scheduler does not handle Dance",
		command("CancelJob", `{}`):                                         "job_id: it is missing",
		command("CancelJob", `{"job_id": "missing"}`):                      `job_id: there is no job "missing"`,
		command("ReplayTasks", `{}`):                                       "want tasks, job_id or labourer",
		command("ReplayTasks", `{"tasks": ["x"]}`):                         "does not have the form <segment>.<number>",
		command("ReplayTasks", `{"job_id": "missing"}`):                    `there is no job "missing"`,
		command("ReplayTasks", `[]`):                                       "the replay cannot be read",
		command("ContinueJob", `{}`):                                       "a ContinueJob without job_id",
		command("CancelJob", `{"job_id": "`+long+`"}`):                     "job_id: there is no job",
		command("ReplayTasks", `{"job_id": "`+long+`"}`):                   "job_id: there is no job",
		command("ReplayTasks", `{"job_id": "x", "replay_id": "`+long+`"}`): "replay_id: it has 3000 bytes; want at most 256",
		`{"id": "` + long + `", "detail-type": "SubmitJob", "detail": {}}`: "its id has 3000 bytes; want at most 256",
	} {
		t.Run(fmt.Sprintf("%.60s", body), func(t *testing.T) {
			d := stage(t)

			summary, err := handle(d, "only", messages(1, submitted(stores("a", "f", 1)), body, submitted(`{"job_id": "wrong"}`), submitted(stores("b", "g", 1))))

			require.NoError(t, err)
			require.Equal(t, scheduler.Summary{Scheduled: 2, Created: 2, Granted: 2, Rejected: 1, Buried: 1}, summary)
			require.Len(t, created(t, d), 2)
			letters := d.SQS.Letters(fakeaws.JobsDeadLetters)
			require.Len(t, letters, 1)
			require.Equal(t, body, letters[0].Body)
			require.Contains(t, letters[0].Reason, reason)
		})
	}
}

func TestAContinuationOfADeletedJobIsIgnored(t *testing.T) {
	d := stage(t)

	summary, err := handle(d, "only", messages(1, command("ContinueJob", `{"job_id": "gone"}`)))

	require.NoError(t, err)
	require.Equal(t, scheduler.Summary{}, summary)
	require.Empty(t, d.SQS.Letters(fakeaws.JobsDeadLetters))
}

func TestSmallJobsOfALabourerShareASegmentAndATransaction(t *testing.T) {
	d := stage(t)
	d.DynamoDB.ResetUsage()

	_, err := handle(d, "only", messages(1, submitted(stores("a", "f", 100)), submitted(stores("b", "f", 100)), submitted(stores("c", "f", 100)), submitted(stores("d", "f", 56)), submitted(stores("e", "g", 1))))

	require.NoError(t, err)
	queued := entries(t, d, "f")
	require.Len(t, queued, 2)
	require.Equal(t, 200, queued[0].Tasks.Len(), "a and b")
	require.Equal(t, 156, queued[1].Tasks.Len(), "c, for which there is no room beside them, and d")
	require.Equal(t, 3, d.DynamoDB.Usage()[fakeaws.Use{Operation: "TransactWriteItems", Table: fakeaws.ControlTable}].Calls)
}

// TestAnEntryOrALeaseNamesItsJobUnlessJobsShareTheSegment: leases enter the completions of one job together.
func TestAnEntryOrALeaseNamesItsJobUnlessJobsShareTheSegment(t *testing.T) {
	for name, c := range map[string]struct {
		batch []string
		want  []string
	}{
		"a small job":           {[]string{submitted(stores("a", "f", 3))}, []string{"a"}},
		"a segment":             {[]string{submitted(stores("a", "f", 256))}, []string{"a"}},
		"several segments":      {[]string{submitted(stores("a", "f", 300))}, []string{"a", "a"}},
		"small jobs together":   {[]string{submitted(stores("a", "f", 3)), submitted(stores("b", "f", 2))}, []string{""}},
		"jobs that do not fit":  {[]string{submitted(stores("a", "f", 200)), submitted(stores("b", "f", 100))}, []string{"a", "b"}},
		"jobs of two labourers": {[]string{submitted(stores("a", "f", 3)), submitted(stores("b", "g", 2))}, []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)

			_, err := handle(d, "only", messages(1, c.batch...))

			require.NoError(t, err)
			var got []string
			for _, labourer := range []string{"f", "g"} {
				for _, e := range entries(t, d, labourer) {
					got = append(got, e.Job)
				}
				leases, err := d.Leases(labourer)
				require.NoError(t, err)
				for _, l := range leases {
					got = append(got, l.Job)
				}
			}
			require.Equal(t, c.want, got)
			created(t, d)
		})
	}
}

// TestG8AJobThatIsCancelledMeanwhileDelaysNoneOfThoseThatShareItsSegment: nothing of a transaction is written if one of its conditions fails.
func TestG8AJobThatIsCancelledMeanwhileDelaysNoneOfThoseThatShareItsSegment(t *testing.T) {
	d := stage(t)
	d.DynamoDB.Before = func(ctx context.Context, r fakeaws.Request) error {
		if r.Operation == "BatchWriteItem" {
			d.DynamoDB.Before = nil
			b := record(t, d, "b")
			jobs := dynamo.Jobs{API: d.DynamoDB, Table: fakeaws.JobsTable}
			return jobs.Cancel(ctx, b)
		}
		return nil
	}

	summary, err := handle(d, "only", messages(1, submitted(stores("a", "f", 3)), submitted(stores("b", "f", 2)), submitted(stores("c", "f", 4))))

	require.NoError(t, err)
	require.Equal(t, 2, summary.Scheduled)
	require.Equal(t, ledger.Scheduled, record(t, d, "a").State)
	require.Equal(t, ledger.Scheduled, record(t, d, "c").State)
	require.Equal(t, ledger.Scheduling, record(t, d, "b").State)
	queued := map[string]bool{}
	for _, e := range entries(t, d, "f") {
		require.False(t, queued[e.Tasks.String()], "an entry for each job")
		queued[e.Tasks.String()] = true
	}
	require.Equal(t, map[string]bool{"0-2": true, "5-8": true}, queued)
	require.Len(t, d.DynamoDB.Items(fakeaws.TasksTable), 7, "those of the cancelled job are removed")
}

// TestAJobIsQueuedIfItsDirectGrantFails, whatever the reason: another writer of its labourer, say.
func TestAJobIsQueuedIfItsDirectGrantFails(t *testing.T) {
	for name, err := range map[string]error{
		"refused":  &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("ConditionalCheckFailed")}}},
		"an error": errors.New("out of order"),
	} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)
			tries := 0
			d.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
				if tries++; r.Operation == "TransactWriteItems" {
					d.DynamoDB.Before = nil
					return err
				}
				return nil
			}

			summary, err := handle(d, "only", messages(1, submitted(stores("lone", "f", 1))))

			require.NoError(t, err)
			require.Equal(t, []int{1, 0}, []int{summary.Scheduled, summary.Granted})
			require.Equal(t, name == "an error", len(summary.Errors) == 1, "an error that is no conflict is logged")
			require.Len(t, entries(t, d, "f"), 1)
		})
	}
}

// TestTheJobsOfABatchShareTheReadsOfTheirLabourerAndSchema: each job is one read more, of its record. The direct grant of all of them reads the labourer's
// state and, after it, the labourer.
func TestTheJobsOfABatchShareTheReadsOfTheirLabourerAndSchema(t *testing.T) {
	d := stage(t)
	var bodies []string
	for i := range 10 {
		bodies = append(bodies, submitted(stores(fmt.Sprintf("j%d", i), "f", 1)))
	}
	d.DynamoDB.ResetUsage()

	_, err := handle(d, "only", messages(1, bodies...))

	require.NoError(t, err)
	require.Equal(t, 4, d.DynamoDB.Usage()[fakeaws.Use{Operation: "GetItem", Table: fakeaws.ControlTable}].Calls)
	require.Equal(t, 10, d.DynamoDB.Usage()[fakeaws.Use{Operation: "GetItem", Table: fakeaws.JobsTable}].Calls)
}

func TestJobsWithOtherDueTimesOrDurationsShareNoSegment(t *testing.T) {
	d := stage(t)
	require.NoError(t, d.Pause("f"))

	_, err := handle(d, "only", messages(1,
		submitted(`{"job_id": "a", "labourer": "f"}`),
		submitted(`{"job_id": "b", "labourer": "f", "not_before": "2150-01-01T01:00:00Z"}`),
		submitted(`{"job_id": "c", "labourer": "f", "max_duration": "1h"}`),
		submitted(`{"job_id": "d", "labourer": "f", "max_attempts": 9}`)))

	require.NoError(t, err)
	queued := entries(t, d, "f")
	require.Len(t, queued, 3, "jobs with different attempt limits share a segment")
	require.Equal(t, start, queued[0].Due)
	require.Equal(t, start.Add(time.Millisecond), queued[1].Due, "a job that is due now does not wait for an earlier job that is due later")
	require.Equal(t, start.Add(time.Hour), queued[2].Due)
}

func TestAJobForLaterWakesTheOrchestratorThen(t *testing.T) {
	d := stage(t)
	before := len(d.EventBridge.Told())

	_, err := handle(d, "only", messages(1, submitted(`{"job_id": "later", "labourer": "f", "not_before": "2150-01-01T01:00:00Z"}`)))

	require.NoError(t, err)
	require.Equal(t, []string{"JobScheduled/later"}, facts(d))
	require.False(t, woken(d, before, "f"))
	require.Equal(t, 1, d.StepFunctions.Running(fakeaws.BackoffMachine), "an execution waits until then")
}

func TestG6EntriesOfAJobAreDueInTheOrderOfItsTasks(t *testing.T) {
	for name, more := range map[string]string{"now": ``, "later": `, "not_before": "2150-01-01T01:00:00Z"`} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)

			_, err := handle(d, "only", messages(1, submitted(strings.TrimSuffix(stores("nightly", "f", 600), "}")+more+"}")))

			require.NoError(t, err)
			queued, job := entries(t, d, "f"), record(t, d, "nightly")
			require.Len(t, queued, 3)
			for i, e := range queued {
				at, numbers := job.SegmentAt(i)
				require.Equal(t, at, e.Segment)
				require.Equal(t, numbers, e.Tasks)
				require.Equal(t, 1, e.Attempt)
				if i > 0 {
					require.True(t, e.Due.After(queued[i-1].Due))
				}
			}
		})
	}
}

func TestTheFirstSegmentIsPublishedBeforeTheOthersAreWritten(t *testing.T) {
	d := stage(t)
	written, atFirst := 0, 0
	d.DynamoDB.Watch = func(table string, _, after fakeaws.Item) {
		if table == fakeaws.TasksTable {
			written++
		}
		if table == fakeaws.ControlTable && strings.HasPrefix(text(after, "item"), "queue#") && atFirst == 0 {
			atFirst = written
		}
	}

	_, err := handle(d, "only", messages(1, submitted(stores("nightly", "f", 1000))))

	require.NoError(t, err)
	require.Equal(t, 256, atFirst)
	require.Equal(t, 1000, written)
}

// spied is a store of tasks that records how many bytes of payloads it holds at once.
type spied struct {
	scheduler.Tasks
	now, most *atomic.Int64
}

func (s spied) Create(ctx context.Context, tasks []task.Task) error {
	sum := int64(0)
	for _, one := range tasks {
		sum += int64(len(one.Payload))
	}
	for now := s.now.Add(sum); ; {
		if most := s.most.Load(); now <= most || s.most.CompareAndSwap(most, now) {
			break
		}
	}
	defer s.now.Add(-sum)
	return s.Tasks.Create(ctx, tasks)
}

// TestLargePayloadsDoNotExhaustMemory: 1,200 tasks of 200 KB are 240 MB, of which 200 MB would be written at once.
func TestLargePayloadsDoNotExhaustMemory(t *testing.T) {
	large := func(id string, n int) string {
		return submitted(strings.TrimSuffix(stores(id, "f", n), "}") + fmt.Sprintf(`, "note": %q}`, strings.Repeat("x", 200<<10)))
	}
	for name, batch := range map[string][]string{"a large job": {large("nightly", 1200)}, "small jobs together": {large("a", 100), large("b", 100)}} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)
			s := fakeaws.Wire(d.Clients()).Scheduler.Service
			spy := spied{s.Tasks, &atomic.Int64{}, &atomic.Int64{}}
			s.Tasks = spy

			failed, summary := s.Handle(context.Background(), "only", messages(1, batch...))

			require.Empty(t, failed, "%v", summary.Errors)
			require.Positive(t, summary.Created)
			tasks := 0
			for _, payloads := range created(t, d) {
				tasks += len(payloads)
			}
			require.Equal(t, summary.Created, tasks)
			require.LessOrEqual(t, spy.most.Load(), int64(20<<20))
		})
	}
}

func TestAQualifierIsKeptUnlessItIsPartOfALabourersName(t *testing.T) {
	d := stage(t)

	_, err := handle(d, "only", messages(1, submitted(`{"job_id": "a", "lambda_name": "f:prod"}`), submitted(`{"job_id": "b", "lambda_name": "arn:aws:lambda:us-west-2:000000000000:function:f:42"}`)))

	require.NoError(t, err)
	require.Equal(t, "f:prod", record(t, d, "a").Labourer)
	require.Equal(t, "f", record(t, d, "b").Labourer)
	qualifiers := map[string]string{}
	for _, it := range d.DynamoDB.Items(fakeaws.TasksTable) {
		qualifiers[text(it, "job")] = text(it, "qualifier")
	}
	require.Equal(t, map[string]string{"a": "", "b": "42"}, qualifiers)
}

// TestAJobIsContinuedForTheLabourerThatItWasAcceptedFor, whatever is applied or removed in between.
func TestAJobIsContinuedForTheLabourerThatItWasAcceptedFor(t *testing.T) {
	for name, c := range map[string]struct{ job, then, labourer, qualifier string }{
		"one with its name and alias is applied":  {`{"job_id": "x", "lambda_name": "g:blue"}`, `{"g:blue": {"target": {"sqs": "https://sqs.us-west-2.amazonaws.com/000000000000/g"}}}`, "g", "blue"},
		"that with its name and alias is removed": {`{"job_id": "x", "lambda_name": "f:prod"}`, ``, "f:prod", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)
			d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == "BatchWriteItem" {
					return fmt.Errorf("the table is unavailable")
				}
				return nil
			}
			_, err := handle(d, "first", messages(1, submitted(c.job)))
			require.Error(t, err)
			d.DynamoDB.Hooks.Before = nil
			if c.then != "" {
				require.NoError(t, d.Apply(`{"job_schemas": {}, "labourers": `+c.then+`}`))
			} else {
				require.NoError(t, dynamo.Registry{API: d.DynamoDB, Table: fakeaws.ControlTable}.RemoveLabourer(context.Background(), c.labourer, 1))
			}

			_, err = handle(d, "second", messages(2, submitted(c.job)))

			require.NoError(t, err)
			require.Equal(t, c.labourer, record(t, d, "x").Labourer)
			it := d.DynamoDB.Items(fakeaws.TasksTable)[0]
			require.Equal(t, c.labourer, text(it, "labourer"))
			require.Equal(t, c.qualifier, text(it, "qualifier"))
		})
	}
}

func TestAJobIsPlannedToItsEndByTheSchemaThatItWasAcceptedWith(t *testing.T) {
	d := stage(t)
	// The scheduler dies after the job is accepted, and the schema changes before the message is redelivered.
	dies := true
	d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
		if dies && r.Operation == "BatchWriteItem" {
			return fmt.Errorf("the table is unavailable")
		}
		return nil
	}
	_, err := handle(d, "first", messages(1, submitted(stores("nightly", "f", 3))))
	require.Error(t, err)
	dies = false
	require.NoError(t, d.Apply("job_schemas: {default: {chunkable_attrs: [[section, {}]]}}\nlabourers: {}\n"))

	_, err = handle(d, "second", messages(2, submitted(stores("nightly", "f", 3))))

	require.NoError(t, err)
	require.Len(t, created(t, d)["nightly"], 3)
}

func TestG1AnInterruptedJobContinuesWhateverItsAttributesAreCalled(t *testing.T) {
	for _, name := range []string{"a,b", `a"b`, "ä b", "[", ","} {
		t.Run(name, func(t *testing.T) {
			quoted, err := json.Marshal(name)
			require.NoError(t, err)
			values, err := json.Marshal(map[string]any{"job_id": "nightly", "labourer": "f", name + "s": []string{"x", "y"}, "isolate_" + name + "s": true})
			require.NoError(t, err)
			d := stage(t)
			require.NoError(t, d.Apply(fmt.Sprintf("job_schemas: {default: {chunkable_attrs: [[%s, {}], [other, {}]]}}\n", quoted)))
			dies := true
			d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
				if dies && r.Operation == "BatchWriteItem" {
					return fmt.Errorf("the table is unavailable")
				}
				return nil
			}
			_, err = handle(d, "first", messages(1, submitted(string(values))))
			require.Error(t, err)
			dies = false

			_, err = handle(d, "second", messages(2, submitted(string(values))))

			require.NoError(t, err)
			require.Len(t, created(t, d)["nightly"], 2)
		})
	}
}

func TestASecondSchedulerDoesNotWaitForTheOwner(t *testing.T) {
	d := stage(t)
	stopped := true
	d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
		if stopped && (r.Operation == "BatchWriteItem" || r.Operation == "UpdateItem") {
			return fmt.Errorf("the table is unavailable")
		}
		return nil
	}
	body := submitted(stores("nightly", "f", 3))
	_, err := handle(d, "dead", messages(1, body)) // it could not even release the job
	require.Error(t, err)
	stopped = false

	summary, err := handle(d, "copy", messages(1, body))
	require.NoError(t, err, "the owner has a message of its own")
	require.Equal(t, scheduler.Summary{Repeated: 1}, summary)

	_, err = handle(d, "again", messages(2, body))
	require.ErrorContains(t, err, "job nightly is being created by another scheduler")

	d.World.Advance(start.Add(10 * time.Minute))
	_, err = handle(d, "third", messages(3, body))
	require.NoError(t, err)
	require.Len(t, created(t, d)["nightly"], 3)
}

// TestG1JobsClaimedBeforeAFailedClaimAreReleased: the next delivery creates them at once, without waiting for the end of the ownership.
func TestG1JobsClaimedBeforeAFailedClaimAreReleased(t *testing.T) {
	d := stage(t)
	claims := 0
	d.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation != "PutItem" {
			return nil
		}
		if claims++; claims == 2 {
			return fmt.Errorf("the table is unavailable")
		}
		return nil
	}
	batch := []string{submitted(stores("a", "f", 3)), submitted(stores("b", "f", 2))}
	_, err := handle(d, "first", messages(1, batch...))
	require.ErrorContains(t, err, "the table is unavailable")

	d.DynamoDB.Before = nil
	summary, err := handle(d, "second", messages(2, batch...))

	require.NoError(t, err)
	require.Equal(t, 5, summary.Created)
	require.Len(t, created(t, d)["a"], 3)
	require.Len(t, created(t, d)["b"], 2)
}

// TestG9AJobThatIsNoLongerReadableIsLeftUnchanged: it was accepted, its scheduler died, and another version reads it differently. The error
// is for a log, and quotes nothing of the job.
func TestG9AJobThatIsNoLongerReadableIsLeftUnchanged(t *testing.T) {
	for reason, change := range map[string]func(fakeaws.Item){
		"was accepted and is now refused for its labourer": func(it fakeaws.Item) {
			it["text"] = &types.AttributeValueMemberB{Value: []byte(`{"labourr": "secret"}`)}
		},
		"was accepted and is now refused for its period": func(it fakeaws.Item) {
			it["text"] = &types.AttributeValueMemberB{Value: []byte(`{"labourer": "f", "period": "secret"}`)}
		},
		"was accepted with 4 tasks and cannot be planned again": func(it fakeaws.Item) { it["total"] = &types.AttributeValueMemberN{Value: "4"} },
	} {
		d := stage(t)
		away := true
		d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
			if away && r.Operation == "BatchWriteItem" {
				return fmt.Errorf("the table is unavailable")
			}
			return nil
		}
		body := submitted(stores("nightly", "f", 3))
		_, err := handle(d, "first", messages(1, body))
		require.Error(t, err)
		away = false
		for _, it := range d.DynamoDB.Items(fakeaws.JobsTable) {
			if text(it, "item") == "job" {
				change(it)
				require.NoError(t, d.DynamoDB.Put(fakeaws.JobsTable, it))
			}
		}

		_, err = handle(d, "second", messages(2, command("ContinueJob", `{"job_id": "nightly"}`)))

		require.ErrorContains(t, err, reason)
		require.NotContains(t, err.Error(), "secret")
		require.Empty(t, d.DynamoDB.Items(fakeaws.TasksTable))
		require.Equal(t, ledger.Scheduling, record(t, d, "nightly").State)
	}
}

// TestG1ALargeJobIsPublishedInParts: a partition key takes a thousand write units a second, and the entry of each segment takes two.
func TestG1ALargeJobIsPublishedInParts(t *testing.T) {
	const segments = 256
	d := stage(t)

	summary, err := handle(d, "first", messages(1, submitted(stores("big", "f", segments*segment.Size)), submitted(stores("small", "f", 3))))

	require.NoError(t, err)
	require.Equal(t, 1, summary.HandedOn)
	first := len(entries(t, d, "f"))
	require.Less(t, first, 260, "entries of one invocation")
	require.Equal(t, ledger.Scheduled, record(t, d, "small").State, "a small job does not wait for a large one")
	letters := d.SQS.Letters(fakeaws.JobsQueue)
	require.Len(t, letters, 1)
	summary, err = handle(d, "second", messages(1, letters[0].Body))
	require.NoError(t, err)
	require.Equal(t, scheduler.Summary{Continued: 1, Scheduled: 1, Created: (segments - first + 1) * segment.Size}, summary)
	require.Len(t, created(t, d)["big"], segments*segment.Size)
}

package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

var ctx = context.Background()

// stage returns a stack with labourers f and g, whose tasks get one attempt per life.
func stage(t require.TestingT) *outage.Stage {
	return outage.NewStage(t, fmt.Sprintf(`
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: 300, max_attempts: 1}
  g: {target: {sqs: %q}, max_simultaneous_invocations: 300, max_attempts: 1}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker("f"), outage.Worker("g")), "f", "g")
}

// end dispatches all due tasks of a labourer, and reports for each task of this round whether it fails.
func end(t require.TestingT, s *outage.Stage, labourer string, fails func(n int) bool) int {
	before := len(s.Handed(t, labourer))
	s.Pass(time.Second)
	s.HandOut(t, labourer)
	var batch []assistant.Message
	for i, h := range s.Handed(t, labourer)[before:] {
		status := "completed"
		if fails(i) {
			status = "failed"
		}
		batch = append(batch, assistant.Message{ID: fmt.Sprintf("message of %s for %d", h.TaskID, h.Attempt), Body: fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": %q}`, h.TaskID, h.Attempt, status)})
	}
	missing, summary := s.Services().Assistant.Service.Handle(ctx, "invocation", batch)
	require.Empty(t, missing, "%v", summary.Errors)
	s.Scavenge(t)
	return len(batch)
}

func all(int) bool  { return true }
func none(int) bool { return false }

// replay lets the scheduler execute a ReplayTasks.
func replay(s *outage.Stage, invocation, detail string) error {
	failed, summary := s.Services().Scheduler.Service.Handle(ctx, invocation, []scheduler.Message{outage.Command("replay", "ReplayTasks", detail)})
	if len(failed) > 0 {
		return errors.New(strings.Join(summary.Errors, "; "))
	}
	return nil
}

func record(t require.TestingT, s *outage.Stage, id string) ledger.Job {
	j, found, err := s.Jobs.Get(ctx, id)
	require.NoError(t, err)
	require.True(t, found)
	return j
}

// died returns a stage on which two of the five tasks of one job, and all tasks of another, have died.
func died(t require.TestingT) *outage.Stage {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 5), outage.Job("other", "g", 2))
	require.Equal(t, 5, end(t, s, "f", func(n int) bool { return n < 2 }))
	require.Equal(t, 2, end(t, s, "g", all))
	s.Pass(time.Minute)
	return s
}

// TestG5TheEndOfAJobThatIsReplayedBeforeItsPublicationIsPublished: the component that ended the job died in between.
func TestG5TheEndOfAJobThatIsReplayedBeforeItsPublicationIsPublished(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 1))
	s.HandOut(t, "f")
	h := s.Handed(t, "f")[0]
	missing, _ := s.Services().Assistant.Service.Handle(ctx, "invocation", []assistant.Message{{ID: "end",
		Body: fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "failed"}`, h.TaskID)}})
	require.Empty(t, missing)
	_, err := s.Services().Scavenger.Service.Handle(ctx, "kills", s.Ended(t))
	require.NoError(t, err)
	batch := s.Ended(t)
	s.EventBridge.Before = func(context.Context, fakeaws.Request) error {
		if record(t, s, "nightly").State == ledger.Completed {
			return errors.New("it has died")
		}
		return nil
	}
	_, err = s.Services().Scavenger.Service.Handle(ctx, "ends it", batch)
	require.ErrorContains(t, err, "it has died")
	s.EventBridge.Before = nil
	s.Pass(time.Minute)

	require.NoError(t, replay(s, "only", `{"job_id": "nightly"}`))

	_, err = s.Services().Scavenger.Service.Handle(ctx, "again", batch)
	require.NoError(t, err)
	require.Equal(t, 2, record(t, s, "nightly").Generation)
	require.Contains(t, outage.Picture(s.Stack), "fact JobCompleted/nightly/1")
}

// TestG1G5AReplayedJobOutlivesItsExpiry: its record and progress remain until it has ended again, and for the retention after that.
func TestG1G5AReplayedJobOutlivesItsExpiry(t *testing.T) {
	s := died(t)
	require.NoError(t, replay(s, "only", `{"job_id": "nightly"}`))

	s.DynamoDB.Expire(fakeaws.JobsTable, "expires_at", s.World.Now().AddDate(1, 0, 0))

	require.Equal(t, ledger.Scheduled, record(t, s, "nightly").State)
	_, found, err := s.Jobs.Get(ctx, "other")
	require.NoError(t, err)
	require.False(t, found, "a job that was not replayed expires")
	require.Equal(t, 2, end(t, s, "f", none))
	require.Equal(t, ledger.Completed, record(t, s, "nightly").State)
	require.Equal(t, ledger.Counts{Completed: 5}, record(t, s, "nightly").Counts)
}

// TestG2G5DeadTasksAreRevivedOnceWhereverTheReplayIsInterrupted: then they end again, and so does the job, in its second generation.
func TestG2G5DeadTasksAreRevivedOnceWhereverTheReplayIsInterrupted(t *testing.T) {
	first := func(s *outage.Stage) string {
		return fmt.Sprintf(`{"tasks": [%q, %q, %q]}`, s.Handed(t, "f")[0].TaskID, s.Handed(t, "f")[1].TaskID, s.Handed(t, "f")[2].TaskID)
	}
	for name, detail := range map[string]func(s *outage.Stage) string{
		"by task":     first,
		"by job":      func(*outage.Stage) string { return `{"job_id": "nightly", "replay_id": "again"}` },
		"by labourer": func(*outage.Stage) string { return `{"labourer": "f"}` },
	} {
		t.Run(name, func(t *testing.T) {
			outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
				s := died(t)
				command := detail(s)
				told := len(s.EventBridge.Told())
				cut.On(s.Stack)

				cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return replay(s, fmt.Sprintf("invocation-%d", delivery), command) })

				cut.Off()
				require.True(t, woken(s, told), "the orchestrator is woken without a tick")
				j := record(t, s, "nightly")
				require.Equal(t, ledger.Scheduled, j.State)
				require.Equal(t, 2, j.Generation)
				require.Equal(t, 2, j.Open())
				require.Equal(t, ledger.Completed, record(t, s, "other").State, "other jobs are unchanged")
				require.Equal(t, 2, end(t, s, "f", func(n int) bool { return n == 0 }), "the dead tasks, once, and no others")
				h := s.Handed(t, "f")
				require.Equal(t, 2, h[len(h)-1].Attempt, "attempt numbers continue")
				picture := outage.Picture(s.Stack)
				require.Contains(t, picture, "job nightly completed of f total=5 cursor=1 completed=4 dead=1 cancelled=0 generation=2")
				require.Contains(t, picture, "fact JobCompleted/nightly/1")
				require.Contains(t, picture, "fact JobCompleted/nightly/2")

				// However late the replay is redelivered, it does not include tasks that have died since.
				s.Pass(time.Hour)
				require.NoError(t, replay(s, "late", command))
				require.Equal(t, picture, outage.Picture(s.Stack))
				return picture
			})
		})
	}
}

// TestG5AReplayThatRacesWithTheEndOfItsJob interrupts each request of the assistant whose message ends the job's last lease. The counts stay exact,
// and a job with open tasks is not completed.
func TestG5AReplayThatRacesWithTheEndOfItsJob(t *testing.T) {
	for at := 1; ; at++ {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 300))
		s.Pass(time.Second)
		require.Equal(t, 300, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		status := func(h outage.Handed, status string) assistant.Message {
			return assistant.Message{ID: h.TaskID, Body: fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": %q}`, h.TaskID, h.Attempt, status)}
		}
		batch := []assistant.Message{status(h[0], "failed"), status(h[1], "failed")}
		for _, one := range h[2:299] {
			batch = append(batch, status(one, "completed"))
		}
		missing, _ := s.Services().Assistant.Service.Handle(ctx, "first", batch)
		require.Empty(t, missing)
		s.Scavenge(t)
		s.Pass(time.Second)
		requests := 0
		s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
			if requests++; requests == at {
				require.NoError(t, replay(s, "second", `{"job_id": "nightly"}`))
			}
			return nil
		}

		missing, _ = s.Services().Assistant.Service.Handle(ctx, "last", []assistant.Message{status(h[299], "completed")})

		s.DynamoDB.Before = nil
		require.Empty(t, missing, "at request %d", at)
		if requests < at {
			require.Greater(t, at, 4)
			return
		}
		j := record(t, s, "nightly")
		require.Equal(t, 2, j.Open(), "at request %d", at)
		require.Equal(t, ledger.Scheduled, j.State, "at request %d: a job with two open tasks has not ended", at)
		require.Equal(t, 2, end(t, s, "f", none))
		j = record(t, s, "nightly")
		require.Equal(t, ledger.Completed, j.State, "at request %d", at)
		require.Equal(t, ledger.Counts{Completed: 300}, j.Counts, "at request %d", at)
		require.Contains(t, outage.Picture(s.Stack), fmt.Sprintf("fact JobCompleted/nightly/%d", j.Generation), "at request %d", at)
	}
}

// retention is as long as the functions keep ended tasks and jobs.
const retention = 30 * 24 * time.Hour

// expire lets DynamoDB delete expired items.
func expire(s *outage.Stage) {
	for _, table := range []string{fakeaws.TasksTable, fakeaws.ControlTable, fakeaws.JobsTable} {
		s.DynamoDB.Expire(table, "expires_at", s.World.Now())
	}
}

// TestG5AReplayShortlyBeforeTheExpiryEndsLikeAnyOther: the items that the job needs until it ends again are not deleted meanwhile.
func TestG5AReplayShortlyBeforeTheExpiryEndsLikeAnyOther(t *testing.T) {
	s := died(t)
	s.Pass(retention - time.Hour)
	require.NoError(t, replay(s, "invocation", `{"job_id": "nightly"}`))
	s.Pass(48 * time.Hour)

	expire(s)

	require.Equal(t, 2, end(t, s, "f", none))
	j := record(t, s, "nightly")
	require.Equal(t, ledger.Completed, j.State)
	require.Equal(t, ledger.Counts{Completed: 5}, j.Counts)
	s.Pass(retention + time.Hour)
	expire(s)
	require.Empty(t, s.DynamoDB.Items(fakeaws.TasksTable))
	require.Empty(t, s.DynamoDB.Items(fakeaws.JobsTable))
}

// TestG2G5AJobWithTheIDOfAnEarlierJobIsSeparate: DynamoDB deletes expired items in any order and some days late. The record of the earlier
// job may be gone, and its id free, while its tasks or its progress still exist.
func TestG2G5AJobWithTheIDOfAnEarlierJobIsSeparate(t *testing.T) {
	for name, gone := range map[string][]string{
		"only the record is deleted":              {fakeaws.JobsTable + "/job"},
		"the record and the tasks are deleted":    {fakeaws.JobsTable + "/job", fakeaws.TasksTable + "/"},
		"the record and progress are deleted":     {fakeaws.JobsTable + "/"},
		"all expired items are deleted":           {fakeaws.JobsTable + "/", fakeaws.TasksTable + "/"},
		"the record of a job in a shared segment": {fakeaws.JobsTable + "/job"},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t)
			batch := []scheduler.Message{outage.Command("a", "SubmitJob", outage.Job("nightly", "f", 5))}
			if strings.Contains(name, "shared") {
				batch = []scheduler.Message{outage.Command("b", "SubmitJob", outage.Job("other", "f", 3)), batch[0]}
			}
			submit := func() {
				failed, summary := s.Services().Scheduler.Service.Handle(ctx, "invocation", batch)
				require.Empty(t, failed, "%v", summary.Errors)
			}
			submit()
			first := end(t, s, "f", func(n int) bool { return n%2 == 0 })
			require.Equal(t, ledger.Completed, record(t, s, "nightly").State)
			before := record(t, s, "nightly").Counts
			s.Pass(retention + time.Minute)
			for _, one := range gone {
				table, item, _ := strings.Cut(one, "/")
				for _, it := range s.DynamoDB.Items(table) {
					name, _ := it["item"].(*types.AttributeValueMemberS)
					key := fakeaws.Item{"segment": it["segment"], "n": it["n"]}
					if table == fakeaws.JobsTable {
						key = fakeaws.Item{"job_id": it["job_id"], "item": it["item"]}
					}
					if item == "" || name.Value == item {
						_, err := s.DynamoDB.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key})
						require.NoError(t, err)
					}
				}
			}

			submit() // the same event

			require.Equal(t, 0, record(t, s, "nightly").Counts.Sum())
			require.NoError(t, replay(s, "invocation", `{"job_id": "nightly"}`))
			require.Equal(t, ledger.Scheduled, record(t, s, "nightly").State, "it has no dead")
			require.Equal(t, first, end(t, s, "f", func(n int) bool { return n%2 == 0 }))
			require.Equal(t, before, record(t, s, "nightly").Counts)
			require.Equal(t, ledger.Completed, record(t, s, "nightly").State)
			s.Pass(time.Minute)
			require.NoError(t, replay(s, "invocation", `{"job_id": "nightly", "replay_id": "again"}`))
			require.Equal(t, before.Dead, record(t, s, "nightly").Open(), "its own dead")
			require.Equal(t, before.Dead, end(t, s, "f", none))
			require.Equal(t, ledger.Counts{Completed: 5}, record(t, s, "nightly").Counts)
			seen := map[string]bool{}
			for _, h := range s.Handed(t, "f") {
				key := fmt.Sprint(h.TaskID, h.Attempt)
				require.False(t, seen[key], "attempt %d of task %s was started twice", h.Attempt, h.TaskID)
				seen[key] = true
			}
		})
	}
}

// handedOn executes a replay with schedulers that live this long each, until none hands it on any more, and returns how many it took. Each
// transaction takes a second. between is called whenever the replay is handed on.
func handedOn(t *testing.T, s *outage.Stage, cut *outage.Cut, left time.Duration, detail string, between func()) int {
	before := s.DynamoDB.Before
	s.DynamoDB.Before = func(c context.Context, r fakeaws.Request) error {
		if r.Operation == "TransactWriteItems" {
			s.Pass(time.Second)
		}
		if before == nil {
			return nil
		}
		return before(c, r)
	}
	invocations := 0
	next := []scheduler.Message{outage.Command("replay", "ReplayTasks", detail)}
	for len(next) > 0 {
		message := next[0]
		next = next[1:]
		cut.Redeliver(t, s.World, time.Minute, func(int) error {
			invocations++
			limited, cancel := context.WithDeadline(ctx, s.World.Now().Add(left))
			defer cancel()
			failed, summary := s.Services().Scheduler.Service.Handle(limited, fmt.Sprintf("invocation-%d", invocations), []scheduler.Message{message})
			if len(failed) > 0 {
				return errors.New(strings.Join(summary.Errors, "; "))
			}
			return nil
		})
		for _, l := range s.SQS.Take(fakeaws.JobsQueue, func(fakeaws.Letter) bool { return true }) {
			next = append(next, scheduler.Message{ID: l.Body, Body: l.Body, Receives: 1})
		}
		between()
	}
	return invocations
}

// TestG1G2AReplayIsHandedOnNearTheDeadline, and continues at its position within a segment, a job or a month, wherever one of its schedulers
// is interrupted.
func TestG1G2AReplayIsHandedOnNearTheDeadline(t *testing.T) {
	most := 0
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.Schedule(t, outage.Job("healthy", "f", 2))
		require.Equal(t, 2, end(t, s, "f", none))
		s.Schedule(t, outage.Job("large", "f", 100), outage.Job("nightly", "f", 3), outage.Job("weekly", "f", 3), outage.Job("other", "g", 2))
		require.Equal(t, 106, end(t, s, "f", all))
		require.Equal(t, 2, end(t, s, "g", all))
		s.Pass(time.Minute)
		cut.On(s.Stack)

		most = max(most, handedOn(t, s, cut, 6*time.Second, `{"labourer": "f"}`, func() {}))

		cut.Off()
		for id, open := range map[string]int{"large": 100, "healthy": 0, "nightly": 3, "weekly": 3, "other": 0} {
			require.Equal(t, open, record(t, s, id).Open(), "job %s", id)
		}
		require.Equal(t, 106, end(t, s, "f", none))
		return outage.Picture(s.Stack)
	})
	require.Greater(t, most, 2, "no replay was handed on")
}

// TestAReplayOfAsManyTasksAsAMessageHoldsIsHandedOn: the command becomes shorter as tasks are done, and the scheduler holds few tasks in
// memory.
func TestAReplayOfAsManyTasksAsAMessageHoldsIsHandedOn(t *testing.T) {
	const messageLimit = 1 << 20
	s := stage(t)
	s.Schedule(t, outage.Job("large", "f", 280), outage.Job("nightly", "f", 3))
	for handed := 0; handed < 283; handed += end(t, s, "f", all) {
	}
	s.Pass(time.Minute)
	var names []string
	for _, id := range []string{"large", "nightly"} {
		for k := range record(t, s, id).Total {
			names = append(names, fmt.Sprintf("%q", record(t, s, id).TaskAt(k)))
		}
	}
	detail := func(replayID string) string {
		return fmt.Sprintf(`{"tasks":[%s],"replay_id":%q}`, strings.Join(names, ","), replayID)
	}
	room := func() int { return messageLimit - len(outage.Command("replay", "ReplayTasks", detail("")).Body) }
	for ordinal := range (room() - 1) / (len(names[0]) + 3) {
		names = append(names, fmt.Sprintf("%q", task.ID{Segment: segment.IDOf("never", ordinal), N: 255}))
	}
	require.Less(t, room(), 64<<10)
	for room() > event.MaxID {
		names = append(names, names[len(names)-1])
	}
	full := detail(strings.Repeat("r", room()))

	invocations := handedOn(t, s, &outage.Cut{}, 6*time.Second, full, func() {})

	require.Greater(t, invocations, 1)
	require.Equal(t, 280, record(t, s, "large").Open())
	require.Equal(t, 3, record(t, s, "nightly").Open())
}

// TestG8AnUnreadableDeadTaskDelaysNoOther, whichever way it is replayed: it is revived with the others, and the orchestrator reports what is
// wrong.
func TestG8AnUnreadableDeadTaskDelaysNoOther(t *testing.T) {
	for name, detail := range map[string]func(ids []string) string{
		"by name":     func(ids []string) string { return fmt.Sprintf(`{"tasks": [%q, %q]}`, ids[0], ids[1]) },
		"by job":      func([]string) string { return `{"job_id": "nightly"}` },
		"by labourer": func([]string) string { return `{"labourer": "f"}` },
	} {
		t.Run(name, func(t *testing.T) {
			s := died(t)
			var ids []string
			for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
				if it["status"].(*types.AttributeValueMemberS).Value != "dead" || it["job"].(*types.AttributeValueMemberS).Value != "nightly" {
					continue
				}
				ids = append(ids, it["segment"].(*types.AttributeValueMemberS).Value+"."+it["n"].(*types.AttributeValueMemberN).Value)
				if len(ids) == 1 {
					it["attempts"] = &types.AttributeValueMemberB{Value: []byte("no JSON")}
					require.NoError(t, s.DynamoDB.Put(fakeaws.TasksTable, it))
				}
			}
			require.Len(t, ids, 2)

			require.NoError(t, replay(s, "only", detail(ids)))

			require.Equal(t, 2, record(t, s, "nightly").Open())
		})
	}
}

// TestAReplayThatIsHandedOnDoesNotBeginAnew: otherwise it might never get beyond tasks that have died again in the meantime.
func TestAReplayThatIsHandedOnDoesNotBeginAnew(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 1000))
	for handed := 0; handed < 1000; handed += end(t, s, "f", all) {
	}
	s.Pass(time.Minute)
	reads, counting := map[string]int{}, true
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if in, ok := r.Input.(*dynamodb.QueryInput); ok && counting && *in.TableName == fakeaws.TasksTable {
			reads[in.ExpressionAttributeValues[":segment"].(*types.AttributeValueMemberS).Value]++
		}
		return nil
	}
	again := 0

	invocations := handedOn(t, s, &outage.Cut{}, 7*time.Second, `{"job_id": "nightly"}`, func() {
		counting = false
		for n := 1; n > 0; again += n {
			n = end(t, s, "f", all)
		}
		counting = true
	})

	require.Greater(t, invocations, 3)
	require.Equal(t, 1000, again, "all tasks were revived, and died again")
	require.Len(t, reads, 4)
	total := 0
	for _, n := range reads {
		total += n
	}
	require.Less(t, total, 4+invocations, "each segment once, and once more the one at which an invocation stopped")
}

func TestADeadTaskMayBeRevivedManyTimes(t *testing.T) {
	s := died(t)
	for life := 2; life < 6; life++ {
		require.NoError(t, replay(s, "invocation", fmt.Sprintf(`{"job_id": "nightly", "replay_id": "replay-%d"}`, life)))
		require.Equal(t, 2, end(t, s, "f", all))
		require.Equal(t, ledger.Counts{Completed: 3, Dead: 2}, record(t, s, "nightly").Counts)
		s.Pass(time.Minute)
	}
	require.Equal(t, 5, record(t, s, "nightly").Generation)
}

func TestMoreDeadTasksThanATransactionTakesAreRevivedInParts(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 300))
	s.Pass(time.Second)
	require.Equal(t, 300, end(t, s, "f", all))
	s.Pass(time.Minute)
	s.DynamoDB.ResetUsage()

	require.NoError(t, replay(s, "invocation", `{"job_id": "nightly"}`))

	require.Equal(t, 300, record(t, s, "nightly").Open())
	require.Equal(t, 4, s.DynamoDB.Usage()[fakeaws.Use{Operation: "TransactWriteItems", Table: fakeaws.TasksTable}].Calls)
	require.Equal(t, 300, end(t, s, "f", none))
	require.Equal(t, ledger.Counts{Completed: 300}, record(t, s, "nightly").Counts)
}

// TestTasksThatDiedAfterDifferentAttemptsAreRevivedInOneDelivery, although each group of them takes a transaction.
func TestTasksThatDiedAfterDifferentAttemptsAreRevivedInOneDelivery(t *testing.T) {
	const sorts = 15
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", sorts))
	require.Equal(t, sorts, end(t, s, "f", all))
	for life := 1; life < sorts; life++ { // all but the first few are revived and die once more
		s.Pass(time.Minute)
		var names []string
		for _, h := range s.Handed(t, "f")[:sorts] {
			if n, _ := task.ParseID(h.TaskID); n.N >= life {
				names = append(names, fmt.Sprintf("%q", h.TaskID))
			}
		}
		require.NoError(t, replay(s, "invocation", fmt.Sprintf(`{"replay_id": "life-%d", "tasks": [%s]}`, life, strings.Join(names, ","))))
		require.Equal(t, sorts-life, end(t, s, "f", all))
	}
	s.Pass(time.Minute)

	require.NoError(t, replay(s, "invocation", `{"job_id": "nightly"}`))

	require.Equal(t, sorts, end(t, s, "f", none))
	require.Equal(t, ledger.Counts{Completed: sorts}, record(t, s, "nightly").Counts)
}

func TestTasksThatAreNotDeadAreUnchanged(t *testing.T) {
	s := died(t)
	h := s.Handed(t, "f")
	before := outage.Picture(s.Stack)

	require.NoError(t, replay(s, "invocation", fmt.Sprintf(`{"tasks": [%q, "abcdefghijklmnop.7"]}`, h[4].TaskID)))

	require.Equal(t, before, outage.Picture(s.Stack))
}

// TestG1NamedTasksAreRevivedOnceHoweverClocksDiffer: the function that executes a replay after a TaskDead has a clock behind that of the
// function that recorded the death.
func TestG1NamedTasksAreRevivedOnceHoweverClocksDiffer(t *testing.T) {
	s := died(t)
	h := s.Handed(t, "f")
	again := func() {
		clients := s.Clients()
		clients.Now = func() time.Time { return s.World.Now().Add(-2 * time.Minute) }
		message := outage.Command("replay", "ReplayTasks", fmt.Sprintf(`{"replay_id": "r", "tasks": [%q]}`, h[1].TaskID))
		failed, summary := fakeaws.Wire(clients).Scheduler.Service.Handle(ctx, "behind", []scheduler.Message{message})
		require.Empty(t, failed, "%v", summary.Errors)
	}

	again()
	require.Equal(t, 1, end(t, s, "f", all), "the task is revived")
	s.Pass(time.Second)
	again()

	require.Zero(t, end(t, s, "f", all), "a later death is not revived")
}

func TestASingleDeadTaskIsRevivedByName(t *testing.T) {
	s := died(t)
	h := s.Handed(t, "f")

	require.NoError(t, replay(s, "invocation", fmt.Sprintf(`{"tasks": [%q]}`, h[1].TaskID)))

	require.Equal(t, 1, end(t, s, "f", none))
	now := s.Handed(t, "f")
	require.Equal(t, h[1].TaskID, now[len(now)-1].TaskID)
	require.Equal(t, ledger.Counts{Completed: 4, Dead: 1}, record(t, s, "nightly").Counts)
}

// woken reports whether the orchestrator was woken for f after the first so many events.
func woken(s *outage.Stage, told int) bool {
	return slices.ContainsFunc(s.EventBridge.Told()[told:], func(e event.Envelope) bool {
		return e.DetailType == "TasksDue" && strings.Contains(string(e.Detail), `["f"]`)
	})
}

func TestTheOrchestratorIsWokenForRevivedTasks(t *testing.T) {
	s := died(t)
	told := len(s.EventBridge.Told())

	require.NoError(t, replay(s, "invocation", `{"job_id": "nightly"}`))

	require.True(t, woken(s, told))
}

func TestG2TwoConcurrentReplaysReviveEachTaskOnce(t *testing.T) {
	s := died(t)
	raced := false
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "TransactWriteItems" && !raced {
			raced = true
			return replay(s, "second", `{"job_id": "nightly", "replay_id": "second"}`)
		}
		return nil
	}

	require.NoError(t, replay(s, "first", `{"job_id": "nightly", "replay_id": "first"}`))

	s.DynamoDB.Before = nil
	require.True(t, raced)
	j := record(t, s, "nightly")
	require.Equal(t, ledger.Scheduled, j.State)
	require.Equal(t, 2, j.Generation)
	require.Equal(t, 2, j.Open())
}

// TestDeadTasksOfAJobThatIsStillBeingCreatedAreRevived: the tasks of its first segment have died while the others wait for the next
// scheduler. The job ends when all tasks have ended.
func TestDeadTasksOfAJobThatIsStillBeingCreatedAreRevived(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
			if r.Operation == "BatchWriteItem" && len(s.DynamoDB.Items(fakeaws.TasksTable)) >= 256 {
				return errors.New("the table is unavailable")
			}
			return nil
		}
		message := outage.Command("job", "SubmitJob", outage.Job("nightly", "f", 300))
		_, summary := s.Services().Scheduler.Service.Handle(ctx, "creating", []scheduler.Message{message})
		require.Equal(t, 1, summary.HandedOn)
		s.DynamoDB.Before = nil
		require.Equal(t, 256, end(t, s, "f", func(n int) bool { return n < 3 }))
		require.Equal(t, ledger.Scheduling, record(t, s, "nightly").State)
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error {
			return replay(s, fmt.Sprintf("invocation-%d", delivery), `{"replay_id": "r", "job_id": "nightly"}`)
		})

		cut.Off()
		require.Equal(t, ledger.Scheduling, record(t, s, "nightly").State)
		require.Equal(t, 3, end(t, s, "f", none))
		message.Receives = 2
		failed, summary := s.Services().Scheduler.Service.Handle(ctx, "creating again", []scheduler.Message{message})
		require.Empty(t, failed, "%v", summary.Errors)
		require.Equal(t, 44, end(t, s, "f", none))
		j := record(t, s, "nightly")
		require.Equal(t, ledger.Completed, j.State)
		require.Equal(t, ledger.Counts{Completed: 300}, j.Counts)
		return fmt.Sprint(j.Counts, j.Generation)
	})
}

// TestG4ATaskWhoseSettlersDisagreeRunsOnceAtATime: a record of the stream comes twice while max_attempts changes. One settler ends the task.
// At one of its requests the other settler, which has read the new configuration, queues the task. Whatever the result, a replay revives
// only dead tasks.
func TestG4ATaskWhoseSettlersDisagreeRunsOnceAtATime(t *testing.T) {
	configuration := func(attempts int) string {
		return fmt.Sprintf("labourers: {f: {target: {sqs: %q}, max_simultaneous_invocations: 300, max_attempts: %d}}", outage.Worker("f"), attempts)
	}
	for _, attempts := range [][2]int{{1, 3}, {3, 1}} {
		for at := 1; ; at++ {
			s := stage(t)
			require.NoError(t, s.Apply(configuration(attempts[0])))
			s.Schedule(t, outage.Job("nightly", "f", 2))
			require.Equal(t, 2, s.HandOut(t, "f"))
			for _, h := range s.Handed(t, "f") {
				s.ReportUnsettled(t, h.Failed("Boom"))
			}
			failed := s.Ended(t)
			requests := 0
			s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
				if requests++; requests == at {
					require.NoError(t, s.Apply(configuration(attempts[1])))
					_, err := s.Services().Scavenger.Service.Handle(ctx, "second", failed)
					require.NoError(t, err)
				}
				return nil
			}

			_, err := s.Services().Scavenger.Service.Handle(ctx, "first", failed)

			require.NoError(t, err)
			s.DynamoDB.Before = nil
			s.Scavenge(t)
			require.NoError(t, replay(s, "invocation", `{"job_id": "nightly"}`))
			s.Pass(time.Hour)
			s.HandOut(t, "f")
			picture := outage.Picture(s.Stack)
			require.Equal(t, 2, strings.Count(picture, "is held")+strings.Count(picture, "is queued"), "at request %d:\n%s", at, picture)
			require.Equal(t, 2, strings.Count(picture, "is held for attempt 2"), "at request %d:\n%s", at, picture)
			if requests < at {
				break
			}
		}
	}
}

// TestLargeTasksAreRevivedInPartsThatFitATransaction: DynamoDB accepts 4 MB of items in one transaction. These dead tasks have more, by their results
// and by the messages of many attempts, and their results alone fit in one chunk of tasks.
func TestLargeTasksAreRevivedInPartsThatFitATransaction(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 90))
	require.Equal(t, 90, end(t, s, "f", all))
	noise := func(length int) string {
		out := make([]byte, length)
		for i := range out {
			out[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[rand.IntN(64)]
		}
		return string(out)
	}
	chunk, bytes := 0, 0
	for _, h := range s.Handed(t, "f") {
		id, err := task.ParseID(h.TaskID)
		require.NoError(t, err)
		found, err := s.Tasks.Load(ctx, []task.ID{id})
		require.NoError(t, err)
		before := found[id]
		after := before
		after.Result = json.RawMessage(`"` + noise(20<<10) + `"`)
		for after.Attempt < 16 {
			after.Attempt++
			after.Attempts = append(slices.Clip(after.Attempts), task.Attempt{Attempt: after.Attempt, Status: task.Failed, Error: &task.Error{Type: "Boom", Message: noise(4 << 10)}})
		}
		require.NoError(t, s.Tasks.Save(ctx, before, after))
		chunk += len(after.Payload) + len(after.Result)
	}
	for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
		bytes += fakeaws.Size(it)
	}
	require.Less(t, chunk, task.ChunkBytes)
	require.Greater(t, bytes, 4<<20)

	require.NoError(t, replay(s, "invocation", `{"job_id": "nightly"}`))

	require.Equal(t, 90, end(t, s, "f", none))
	require.Equal(t, ledger.Counts{Completed: 90}, record(t, s, "nightly").Counts)
}

func TestG9AReplayThatCanNeverSucceedIsBuried(t *testing.T) {
	for detail, reason := range map[string]string{
		`[1]`:                               "the replay cannot be read",
		`{}`:                                "want tasks, job_id or labourer",
		`{"job_id": "missing"}`:             `there is no job "missing"`,
		`{"tasks": ["x"]}`:                  "tasks: ",
		`{"job_id": "a", "job_id": "b"}`:    "job_id: appears twice",
		`{"job_id": 7}`:                     "job_id: is a number; want text",
		`{"job_id": "a", "labourer": "f"}`:  "more than one of them is given",
		`{"job_id": "a", "tasks": ["x.1"]}`: "more than one of them is given",
		`{"Job_Id": "a"}`:                   "want tasks, job_id or labourer",
	} {
		s := stage(t)

		require.NoError(t, replay(s, "only", detail))

		letters := s.SQS.Letters(fakeaws.JobsDeadLetters)
		require.Len(t, letters, 1, detail)
		require.Contains(t, letters[0].Reason, reason, detail)
	}
}

// TestG5AReplayLeavesAJobThatIsCancelledMeanwhile: one task still runs, so that the job can be cancelled.
func TestG5AReplayLeavesAJobThatIsCancelledMeanwhile(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 3))
	require.Equal(t, 3, s.HandOut(t, "f"))
	h := s.Handed(t, "f")
	for i, status := range []string{"failed", "completed"} {
		_, summary := s.Services().Assistant.Service.Handle(ctx, "invocation", []assistant.Message{{ID: "end",
			Body: fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": %q}`, h[i].TaskID, status)}})
		require.Empty(t, summary.Errors)
	}
	s.Scavenge(t)
	cancelled := false
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "TransactWriteItems" && !cancelled {
			cancelled = true
			_, summary := s.Services().Scheduler.Service.Handle(ctx, "other", []scheduler.Message{outage.Command("cancel", "CancelJob", `{"job_id": "nightly"}`)})
			require.Empty(t, summary.Errors)
		}
		return nil
	}

	require.NoError(t, replay(s, "only", `{"job_id": "nightly"}`))

	require.True(t, cancelled)
	require.NotContains(t, outage.Picture(s.Stack), "is queued")
	require.True(t, record(t, s, "nightly").Cancelling)
}

func TestAReplayFailsForNowAfterLosingEveryRace(t *testing.T) {
	s := died(t)
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "TransactWriteItems" {
			return &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("ConditionalCheckFailed")}}}
		}
		return nil
	}

	require.ErrorContains(t, replay(s, "only", `{"job_id": "nightly"}`), "changed 10 times in between")

	s.DynamoDB.Before = nil
	require.NoError(t, replay(s, "again", `{"job_id": "nightly"}`))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
	"github.com/drover-run/drover/shared/worker"
)

const wide = `
labourers:
  shop:
    target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/shop"}
    max_simultaneous_invocations: 400
    max_attempts: 1
job_schemas:
  default: {chunkable_attrs: [[section, {}]]}
`

// sections returns a job of n tasks.
func sections(id string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	return fmt.Sprintf(`{"job_id": %q, "labourer": "shop", "sections": [%s], "isolate_sections": true}`, id, strings.Join(names, ","))
}

func someDie(_ context.Context, t worker.Task) (any, error) {
	if strings.Contains(string(t.Payload), `7]`) {
		return nil, worker.Permanent(errors.New("no such section"))
	}
	return map[string]bool{"ok": true}, nil
}

// breaking makes a function fail whenever fails returns true.
func (g *ground) breaking(function string, fails func() bool) {
	invoke := g.Invoke
	g.Invoke = func(i fakeaws.Invocation) {
		if i.Function == function && fails() {
			i.Done(nil, errors.New("out of order"))
			return
		}
		invoke(i)
	}
}

// published returns the ids of facts of a type, with how often each was published.
func (g *ground) published(kind string) map[string]int {
	out := map[string]int{}
	for _, e := range g.Facts(kind) {
		id, _, _ := strings.Cut(strings.TrimPrefix(string(e.Detail), `{"id":"`), `"`)
		out[id]++
	}
	return out
}

// TestG1G5RedriveProcessesEndsThatTheStreamDropped: the scavenger fails until the stream has dropped all records, or those after the first few.
// Two days later the stream keeps none of them. After redrive, each end is counted, archived and published once, and the jobs end.
func TestG1G5RedriveProcessesEndsThatTheStreamDropped(t *testing.T) {
	for name, c := range map[string]struct{ tasks, taken int }{"all": {20, 0}, "those of a second segment": {270, 3}, "all but some": {20, 1}} {
		t.Run(name, func(t *testing.T) {
			g := healthy(t)
			require.NoError(t, g.Apply(wide))
			require.NoError(t, g.Worker("shop", time.Second, someDie))
			broken, calls := true, 0
			g.breaking("scavenger", func() bool {
				calls++
				return broken && calls > c.taken
			})
			g.Submit(sections("nightly", c.tasks))
			g.Submit(sections("other", 20))
			g.RunFor(time.Minute)
			require.Contains(t, g.drover("doctor").out, "no job is stalled", "it is not overdue yet")
			g.RunFor(48 * time.Hour)
			require.NotEmpty(t, g.SQS.Letters(fakeaws.StreamFailures))
			require.Zero(t, g.Stream.Waiting(), "the stream has no more records")
			stuck, _, err := g.Job("nightly")
			require.NoError(t, err)
			require.Equal(t, ledger.Scheduled, stuck.State)
			said := g.drover("doctor")
			require.Equal(t, failed, said.code)
			require.Regexp(t, `stalled: .*job nightly: (1 task|\d+ tasks) ended more than 2m0s ago and (is|are) not counted`, said.out)
			require.Contains(t, said.out, "then drover redrive")

			broken = false
			require.Contains(t, g.drover("redrive").ok(), "reported again, 0 jobs submitted again")
			require.NoError(t, g.Run())

			dead := c.tasks / 10
			nightly := g.drover("--json", "job", "nightly").one()
			require.Equal(t, []any{"completed", float64(c.tasks), float64(c.tasks - dead), float64(dead)}, []any{nightly["state"], nightly["total"], nightly["completed"], nightly["dead"]})
			other := g.drover("--json", "job", "other").one()
			require.Equal(t, []any{"completed", 18.0, 2.0}, []any{other["state"], other["completed"], other["dead"]})
			require.Equal(t, map[string]int{"JobCompleted/nightly/1": 1, "JobCompleted/other/1": 1}, g.published("JobCompleted"))
			require.Len(t, g.published("TaskDead"), dead+2)
			archived, err := g.Archived()
			require.NoError(t, err)
			lives := map[string]bool{} // an end that is reported again may be archived again
			for _, one := range archived {
				lives[fmt.Sprint(one.TaskID, one.Life)] = true
			}
			require.Len(t, lives, c.tasks+20)
			require.Contains(t, g.drover("doctor").out, "no job is stalled")

			// Nothing is left to report. Redrive publishes the end of a named finished job again, under the same id.
			after := len(g.Stream.Log())
			require.Equal(t, "No job is stalled.\n", g.drover("redrive").ok())
			require.NoError(t, g.Run())
			require.Len(t, g.Stream.Log(), after)
			picture := outage.Picture(g.Stack)
			require.Equal(t, map[string]any{"tasks": 1.0, "submitted": []any{}}, g.drover("--json", "redrive", "nightly").one())
			require.NoError(t, g.Run())
			require.Equal(t, map[string]int{"JobCompleted/nightly/1": 2, "JobCompleted/other/1": 1}, g.published("JobCompleted"))
			require.Equal(t, picture, outage.Picture(g.Stack))
		})
	}
}

// TestG5RedriveEndsAJobWhoseEndWasProcessedInPart: the scavenger counted the tasks of jobs that share a segment, of which one each died, and
// the stream dropped the batch before the rest.
func TestG5RedriveEndsAJobWhoseEndWasProcessedInPart(t *testing.T) {
	for name, operation := range map[string]string{"before its totals": "TransactWriteItems", "before its end": "UpdateItem", "before it is published": "PutEvents"} {
		t.Run(name, func(t *testing.T) {
			g := healthy(t)
			require.NoError(t, g.Apply(wide))
			require.NoError(t, g.Worker("shop", time.Second, someDie))
			g.Submit(sections("nightly", 12)) // one scheduler gets both jobs, and they share a segment
			g.Submit(sections("other", 12))
			g.RunFor(1900 * time.Millisecond)
			tasks, err := g.Tasks("nightly")
			require.NoError(t, err)
			require.True(t, tasks[0].Shared)
			refuse := func(_ context.Context, r fakeaws.Request) error {
				refused := r.Operation == operation
				switch in := r.Input.(type) {
				case *dynamodb.UpdateItemInput:
					refused = refused && strings.Contains(*in.UpdateExpression, "finished_at")
				case *dynamodb.TransactWriteItemsInput: // the tasks' deaths are another one
					refused = refused && in.TransactItems[0].Update != nil && *in.TransactItems[0].Update.TableName == fakeaws.JobsTable
				}
				if refused {
					return errors.New("no")
				}
				return nil
			}
			g.DynamoDB.Before, g.EventBridge.Before = refuse, refuse
			g.RunFor(48 * time.Hour)
			require.Zero(t, g.Stream.Waiting())
			require.NotEmpty(t, g.SQS.Letters(fakeaws.StreamFailures))
			require.Empty(t, g.published("JobCompleted"))

			g.DynamoDB.Before, g.EventBridge.Before = nil, nil
			g.drover("redrive", "nightly", "other").ok()
			require.NoError(t, g.Run())

			for _, id := range []string{"nightly", "other"} {
				line := g.drover("--json", "job", id).one()
				require.Equal(t, []any{"completed", 11.0, 1.0}, []any{line["state"], line["completed"], line["dead"]})
			}
			require.Equal(t, map[string]int{"JobCompleted/nightly/1": 1, "JobCompleted/other/1": 1}, g.published("JobCompleted"))
		})
	}
}

// TestG5AJobWhoseLeaseCannotEnterItsCompletionsEndsWithoutRedrive: the assistant has given up the completions by then, and the lease still has
// their tasks in hand.
func TestG5AJobWhoseLeaseCannotEnterItsCompletionsEndsWithoutRedrive(t *testing.T) {
	g := healthy(t)
	require.NoError(t, g.Apply(wide))
	require.NoError(t, g.Worker("shop", time.Second, well))
	g.Submit(sections("nightly", 300))
	g.RunFor(1900 * time.Millisecond)
	g.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if update, is := r.Input.(*dynamodb.UpdateItemInput); is && *update.TableName == fakeaws.JobsTable {
			return errors.New("no")
		}
		return nil
	}
	g.RunFor(time.Hour)
	require.NotEmpty(t, g.SQS.Letters(fakeaws.CompletionsDead))
	require.Equal(t, "scheduled", g.drover("--json", "job", "nightly").one()["state"])

	g.DynamoDB.Before = nil
	require.NoError(t, g.Run())

	line := g.drover("--json", "job", "nightly").one()
	require.Equal(t, []any{"completed", 300.0}, []any{line["state"], line["completed"]})
	require.Equal(t, map[string]int{"JobCompleted/nightly/1": 1}, g.published("JobCompleted"))
}

// TestG5RedriveEntersCompletionsOfALeaseThatIsGone: it could not be decoded, was set aside, and was deleted.
func TestG5RedriveEntersCompletionsOfALeaseThatIsGone(t *testing.T) {
	g := healthy(t)
	require.NoError(t, g.Apply(strings.Replace(wide, "invocations: 400", "invocations: 2", 1)))
	require.NoError(t, g.Worker("shop", time.Second, well))
	g.Submit(sections("nightly", 300))
	g.RunFor(3500 * time.Millisecond)
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	leases, err := st.control.Leases(t.Context(), "shop")
	require.NoError(t, err)
	lost := 0
	for _, l := range leases {
		lost += l.Done().Len()
		require.NoError(t, st.control.Requeue(t.Context(), l, queue.Lease{}, l.Returned(l.Held())))
	}
	require.Positive(t, lost)
	require.NoError(t, g.Run())
	require.Equal(t, "scheduled", g.drover("--json", "job", "nightly").one()["state"])

	require.Contains(t, g.drover("redrive").ok(), fmt.Sprintf("%d tasks reported again", lost))
	require.NoError(t, g.Run())

	line := g.drover("--json", "job", "nightly").one()
	require.Equal(t, []any{"completed", 300.0}, []any{line["state"], line["completed"]})
	require.Contains(t, g.drover("doctor").out, "no job is stalled")
}

// abandoned returns a stack with a job of 520 tasks in three segments. Its schedulers died after they had published one segment.
func abandoned(t *testing.T) *ground {
	t.Helper()
	g := healthy(t)
	require.NoError(t, g.Apply(wide))
	require.NoError(t, g.Worker("shop", time.Second, well))
	published := 0
	g.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation != "TransactWriteItems" {
			return nil
		}
		if published++; published > 1 {
			return errors.New("killed")
		}
		return nil
	}
	g.Submit(sections("nightly", 520))
	g.RunFor(30 * time.Second)
	require.Contains(t, g.drover("doctor").out, "no job is stalled", "it is being retried")
	g.RunFor(time.Hour)
	require.Len(t, g.SQS.Letters(fakeaws.JobsDeadLetters), 1)
	g.DynamoDB.Before = nil
	return g
}

// TestAJobThatOneSchedulerHandsToTheNextIsNotAbandoned: for a moment it has no scheduler.
func TestAJobThatOneSchedulerHandsToTheNextIsNotAbandoned(t *testing.T) {
	for name, goesOn := range map[string]bool{"it continues": true, "its message is lost": false} {
		t.Run(name, func(t *testing.T) {
			g := abandoned(t)
			st, err := g.open(t.Context(), "drover")
			require.NoError(t, err)
			record, _, err := g.Job("nightly")
			require.NoError(t, err)
			require.NoError(t, st.jobs.Disown(t.Context(), record))
			if goesOn {
				g.before = func() { g.Deliver(fakeaws.JobsQueue, g.SQS.Letters(fakeaws.JobsDeadLetters)[0].Body) }
			}

			require.Equal(t, !goesOn, strings.Contains(g.drover("doctor").out, "no scheduler creates its tasks any more"))
		})
	}
}

// TestG1AnAbandonedJobIsFoundAndRestarted: by redrive, or by submitting it again.
func TestG1AnAbandonedJobIsFoundAndRestarted(t *testing.T) {
	for name, resume := range map[string]func(*ground){
		"redrive": func(g *ground) {
			require.Equal(g.t, map[string]any{"tasks": 0.0, "submitted": []any{"nightly"}}, g.drover("--json", "redrive").one())
		},
		"redrive by name": func(g *ground) { g.drover("redrive", "nightly").ok() },
		"the same job":    func(g *ground) { g.drover("submit", "-", "<", sections("nightly", 520)).ok() },
		"its dead letter": func(g *ground) { g.Deliver(fakeaws.JobsQueue, g.SQS.Letters(fakeaws.JobsDeadLetters)[0].Body) },
		"redrive, and more": func(g *ground) {
			g.drover("redrive").ok()
			g.drover("redrive").ok()
			g.Submit(sections("nightly", 520))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := abandoned(t)
			said := g.drover("doctor")
			require.Contains(t, said.out, "1 job is stalled: job nightly: no scheduler creates its tasks any more, 1 of 3 segments exist")

			resume(g)
			require.NoError(t, g.Run())

			line := g.drover("--json", "job", "nightly").one()
			require.Equal(t, []any{"completed", 520.0, 520.0}, []any{line["state"], line["total"], line["completed"]})
			require.Equal(t, map[string]int{"JobCompleted/nightly/1": 1}, g.published("JobCompleted"))
			require.Contains(t, g.drover("doctor").out, "no job is stalled")
		})
	}
}

func TestRedriveOfJobsThatAreMissingRunningOrRejected(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.drover("redrive", "nope").fails(failed, `there is no job "nope"`)
	g.Submit(sections("long", 5))
	g.Submit(`{"job_id": "bad", "labourer": "nobody"}`)
	g.RunFor(30 * time.Minute)
	require.Equal(t, "No job is stalled.\n", g.drover("redrive").ok())
	g.DynamoDB.ResetUsage()
	require.Equal(t, "No job is stalled.\n", g.drover("redrive", "long").ok(), "running tasks are under way")
	for use := range g.DynamoDB.Usage() {
		require.NotEqual(t, fakeaws.TasksTable, use.Table, "its tasks need not be read")
	}
	g.drover("redrive", "long", "bad").fails(failed, "job bad was rejected")
	g.Put("SubmitJob", `{"job_id": "worse"}`)
	g.RunFor(time.Second)
	g.drover("redrive", "worse").fails(failed, "job worse was rejected")
}

package migration_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
	"github.com/drover-run/drover/shared/worker"
)

// mixed puts rows of every kind into sosw's tables.
func (s *stage) mixed() {
	s.put("sosw_tasks", queued(0, 4)...)
	s.put("sosw_tasks",
		with("again", row{"greenfield": 1500, "attempts": 1}),
		with("lost", row{"greenfield": invoked(time.Hour), "attempts": 1}),
		with("spent", row{"greenfield": invoked(2 * time.Hour), "attempts": 3}),
		with("runs", row{"greenfield": invoked(time.Minute), "attempts": 1}),
		with("done", row{"greenfield": invoked(time.Minute), "attempts": 1, "completed_at": int(start.Unix())}),
		with("list", row{"greenfield": 2500, "payload": `[1, 2]`}),
		with("text", row{"greenfield": 2600, "attempts": "two"}),
		with("alien", row{"greenfield": 2700, "labourer_id": "g"}))
	s.put("sosw_retry_tasks",
		with("later", row{"desired_launch_time": int(start.Add(time.Hour).Unix()), "attempts": 2}),
		with("due", row{"desired_launch_time": int(start.Add(-time.Minute).Unix()), "attempts": 1}),
		with("poison", row{"desired_launch_time": int(start.Unix()), "attempts": 1, "payload": `"text"`}))
}

func TestEachKindOfRowBecomesWhatItWas(t *testing.T) {
	s := newStage(t)
	s.mixed()

	report, err := s.move(t.Context())

	require.NoError(t, err)
	require.Equal(t, sosw.Counts{Queued: 5, Retry: 4, Running: 1, Moved: 9, Quarantined: 4, Left: 1, Source: 15}, report.Counts)
	require.True(t, report.Adds())
	require.Equal(t, []sosw.Quarantined{
		{TaskID: "list", Labourer: "f", Table: sosw.Tasks, Reason: "payload is no JSON object, so no worker could run it"},
		{TaskID: "poison", Labourer: "f", Table: sosw.Retries, Reason: "payload is no JSON object, so no worker could run it"},
		{TaskID: "text", Labourer: "f", Table: sosw.Tasks, Reason: `attempts is the text "two"; want a whole number`},
		{TaskID: "alien", Labourer: "g", Table: sosw.Tasks, Reason: `labourer "g" is not in the configuration`},
	}, report.Quarantine)
	require.Equal(t, []string{"alien", "done", "list", "poison", "runs", "text"}, s.own())

	tasks, order := s.published()
	require.Equal(t, "due again 000 007 014 021 lost later", strings.Join(order, " "), "sosw's order")
	require.JSONEq(t, `{"name": "021"}`, string(tasks["021"].Payload))
	require.Equal(t, []int{0, 1, 1, 2}, []int{tasks["000"].Attempt, tasks["again"].Attempt, tasks["lost"].Attempt, tasks["later"].Attempt})
	require.Equal(t, task.Expired, tasks["lost"].Attempts[0].Status)
	job, _, err := s.Job("sosw-f")
	require.NoError(t, err)
	require.Equal(t, 9, job.Total)
	for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
		if status, ended := it["status"].(*types.AttributeValueMemberS); ended {
			require.Equal(t, "dead", status.Value, "all attempts of the last one are used up")
		}
	}
}

// TestAMoveThatDiesAnywhereGoesOn: before and after each of its requests, and after each error, no task is in both, and in the end everything
// is as if nothing had happened. The first rows are near the end of a segment.
func TestAMoveThatDiesAnywhereGoesOn(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := newStage(t)
		s.earlier(segment.Size - 4)
		s.mixed()
		cut.On(s.Stack, s.sosw)
		var report sosw.Report

		cut.Redeliver(t, s.World, time.Second, func(int) (err error) {
			report, err = s.move(t.Context())
			s.neverInBoth()
			return err
		})

		cut.Off()
		require.True(t, report.Adds())
		tasks, order := s.published()
		require.Len(t, tasks, 8)
		job, _, err := s.Job("sosw-f")
		require.NoError(t, err)
		cancelled := 0
		for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
			if status, ended := it["status"].(*types.AttributeValueMemberS); ended && status.Value == "cancelled" {
				cancelled++
			}
		}
		return fmt.Sprint(order, s.own(), job.Total-cancelled)
	})
}

// TestTwoMovesAtOnceMoveEachTaskOnce: the second makes a whole move before some request of the first.
func TestTwoMovesAtOnceMoveEachTaskOnce(t *testing.T) {
	for at := int64(1); ; at++ {
		s := newStage(t)
		s.mixed()
		var requests atomic.Int64
		var second sosw.Report
		var inside atomic.Bool
		intrude := func(ctx context.Context, _ fakeaws.Request) error {
			if requests.Add(1) != at || !inside.CompareAndSwap(false, true) {
				return nil
			}
			var err error
			second, err = s.move(ctx)
			return err
		}
		s.DynamoDB.Before, s.sosw.Before = intrude, intrude

		first, err := s.move(t.Context())

		require.NoError(t, err, "at request %d", at)
		require.True(t, first.Adds() && (!inside.Load() || second.Adds()), "at request %d", at)
		require.Equal(t, 9, first.Moved+second.Moved, "at request %d", at)
		tasks, _ := s.published()
		require.Len(t, tasks, 8, "at request %d", at)
		s.neverInBoth()
		if !inside.Load() {
			require.Greater(t, at, int64(20), "a move makes fewer requests than it needs")
			return
		}
	}
}

// TestWhatSoswTakesMeanwhileStaysSosws: a live sosw invokes or completes a queued row at any moment of the move, on condition that it is there.
func TestWhatSoswTakesMeanwhileStaysSosws(t *testing.T) {
	for name, takes := range map[string]string{"invokes": "SET greenfield = :far ADD attempts :one", "completes": "SET completed_at = :far ADD attempts :one"} {
		t.Run(name, func(t *testing.T) {
			for at := int64(1); ; at++ {
				s := newStage(t)
				s.mixed()
				var requests atomic.Int64
				var taken atomic.Bool
				s.sosw.Before = func(ctx context.Context, _ fakeaws.Request) error {
					if requests.Add(1) == at {
						_, err := s.sosw.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String("sosw_tasks"),
							Key: fakeaws.Item{"task_id": &types.AttributeValueMemberS{Value: "007"}}, UpdateExpression: &takes,
							ConditionExpression: aws.String("attribute_exists(greenfield)"), ExpressionAttributeValues: fakeaws.Item{
								":far": &types.AttributeValueMemberN{Value: strconv.Itoa(invoked(0))}, ":one": &types.AttributeValueMemberN{Value: "1"}}})
						taken.Store(err == nil)
					}
					return nil
				}

				report, err := s.move(t.Context())

				require.NoError(t, err, "at request %d", at)
				require.True(t, report.Adds() && len(report.Unclear) == 0, "at request %d: %+v", at, report)
				s.neverInBoth()
				tasks, _ := s.published()
				_, moved := tasks["007"]
				require.Equal(t, taken.Load(), !moved, "at request %d", at)
				if requests.Load() < at {
					return
				}
			}
		})
	}
}

// TestALiveScavengerKeepsWhatItMayTake: it moves due retries and expired rows without conditions.
func TestALiveScavengerKeepsWhatItMayTake(t *testing.T) {
	s := newStage(t)
	s.mixed()
	s.about.Labourers["f"] = sosw.Labourer{Lease: 20 * time.Minute, Scavenged: true}

	report, err := s.move(t.Context())

	require.NoError(t, err)
	require.Equal(t, sosw.Counts{Queued: 5, Retry: 4, Running: 1, Moved: 6, Quarantined: 4, Left: 4, Source: 15}, report.Counts)
	require.Subset(t, s.own(), []string{"due", "lost", "spent"})
}

// TestUndoGivesBackWhatHasNotBegun, interrupted anywhere, and the rows are what they were.
func TestUndoGivesBackWhatHasNotBegun(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := newStage(t)
		s.mixed()
		before := s.sosw.Items("sosw_tasks")
		retries := s.sosw.Items("sosw_retry_tasks")
		_, err := s.move(t.Context())
		require.NoError(t, err)
		cut.On(s.Stack, s.sosw)

		cut.Redeliver(t, s.World, time.Second, func(int) error {
			_, err := s.service.Undo(t.Context(), labourer.New("f"), s.about.Labourers["f"])
			s.neverInBoth()
			return err
		})

		cut.Off()
		there, _ := s.published()
		require.Empty(t, there)
		back := s.sosw.Items("sosw_tasks")
		for i, it := range before {
			if it["task_id"].(*types.AttributeValueMemberS).Value != "spent" { // it is dead in Drover
				require.Equal(t, it, back[i])
			}
		}
		require.Equal(t, retries, s.sosw.Items("sosw_retry_tasks"))
		return strings.Join(s.own(), " ")
	})
}

func TestUndoKeepsWhatHasBegun(t *testing.T) {
	s := newStage(t)
	s.put("sosw_tasks", queued(0, 5)...)
	require.NoError(t, s.Worker("f", time.Hour, func(context.Context, worker.Task) (any, error) { return nil, nil }))
	_, err := s.move(t.Context())
	require.NoError(t, err)
	s.RunFor(5 * time.Second)
	there, _ := s.published()
	require.Len(t, there, 5)

	n, err := s.service.Undo(t.Context(), labourer.New("f"), s.about.Labourers["f"])

	require.NoError(t, err)
	there, _ = s.published()
	require.Len(t, there, 1, "the cap is 1, and it runs")
	require.Equal(t, 4, n)
	require.Len(t, s.own(), 4)
	s.neverInBoth()
	again, err := s.move(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, again.Moved, "what was given back can be moved again")
}

func TestTheJobOfMovedTasksEndsAndGoesOnWithTheNextMove(t *testing.T) {
	s := newStage(t)
	ids := map[string]bool{}
	require.NoError(t, s.Worker("f", time.Second, func(_ context.Context, t worker.Task) (any, error) {
		ids[t.SoswTaskID] = true
		return nil, nil
	}))
	for generation := 1; generation <= 3; generation++ {
		s.put("sosw_tasks", queued(generation*10, generation*10+3)...)
		_, err := s.move(t.Context())
		require.NoError(t, err)

		require.NoError(t, s.Run())

		job, _, err := s.Job("sosw-f")
		require.NoError(t, err)
		require.Equal(t, ledger.Completed, job.State)
		require.Equal(t, generation, job.Generation)
		require.Equal(t, 3*generation, job.Counts.Completed)
		require.Len(t, ids, 3*generation, "each worker gets sosw's id")
	}
}

// TestAnyHistoryOfMovesLosesAndDoublesNothing draws rows, deaths and commands.
func TestAnyHistoryOfMovesLosesAndDoublesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := newStage(t)
		all := map[string]bool{}
		next := 0
		dying := func(do func() error) {
			at := rapid.Int64Range(1, 60).Draw(r, "request at which it dies")
			after := rapid.Bool().Draw(r, "after the request")
			var requests atomic.Int64
			die := func(is bool) func(context.Context, fakeaws.Request) error {
				return func(context.Context, fakeaws.Request) error {
					n := requests.Load()
					if is == after {
						n = requests.Add(1)
					}
					if n >= at {
						return context.Canceled
					}
					return nil
				}
			}
			hooks := fakeaws.Hooks{Before: die(false), After: die(true)}
			s.DynamoDB.Hooks, s.sosw.Hooks, s.EventBridge.Hooks = hooks, hooks, hooks
			_ = do() // it may die
			s.DynamoDB.Hooks, s.sosw.Hooks, s.EventBridge.Hooks = fakeaws.Hooks{}, fakeaws.Hooks{}, fakeaws.Hooks{}
			s.World.Advance(s.World.Now().Add(time.Second))
			s.neverInBoth()
		}
		actions := []func(){
			func() { // sosw writes
				for range rapid.IntRange(1, 4).Draw(r, "rows") {
					next++
					id := fmt.Sprintf("t%d", next)
					all[id] = true
					if rapid.Bool().Draw(r, "retry") {
						s.put("sosw_retry_tasks", with(id, row{"desired_launch_time": int(start.Unix()) + next, "attempts": 1}))
					} else {
						s.put("sosw_tasks", with(id, row{"greenfield": 1000 * next}))
					}
				}
			},
			func() { dying(func() error { _, err := s.move(context.Background()); return err }) },
			func() {
				dying(func() error {
					_, err := s.service.Undo(context.Background(), labourer.New("f"), s.about.Labourers["f"])
					return err
				})
			},
		}
		for range rapid.IntRange(1, 6).Draw(r, "actions") {
			rapid.SampledFrom(actions).Draw(r, "action")()
		}
		_, err := s.move(context.Background())
		require.NoError(t, err)
		tasks, _ := s.published()
		require.Len(t, tasks, len(all), "each task once")
		require.Empty(t, s.own())
	})
}

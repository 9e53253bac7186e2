package orchestrator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// healthy configures labourer f, whose pace depends on two metrics, and g, which has none.
func healthy(limit int) string {
	return fmt.Sprintf(`
labourers:
  f:
    target: {sqs: %q}
    max_simultaneous_invocations: %d
    health_metrics:
      CPU:
        details: {MetricName: CPUUtilization, Namespace: AWS/RDS, Period: 60, Statistics: [Average], Dimensions: [{Name: DBInstanceIdentifier, Value: shop}]}
        feelings: {3: 50, 4: 25}
        feeling_comparison_operator: "<="
      Backlog:
        details: {MetricName: ApproximateNumberOfMessagesVisible, Namespace: AWS/SQS, Period: 60, Statistics: [Maximum], Dimensions: [{Name: QueueName, Value: orders}]}
        feelings: {2: 1000, 4: 10}
        feeling_comparison_operator: "<="
        missing: ignore
  g: {target: {sqs: %q}}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker("f"), limit, outage.Worker("g"))
}

// cpu writes a value of the metric that f depends on.
func cpu(s *outage.Stage, value float64) {
	s.CloudWatch.Put("AWS/RDS", "CPUUtilization", map[string]string{"DBInstanceIdentifier": "shop"}, s.World.Now(), value)
}

// TestAnAssessmentSaysWhyNothingStarted: or what may start. People read its output in the console.
func TestAnAssessmentSaysWhyNothingStarted(t *testing.T) {
	for name, set := range map[string]func(s *outage.Stage){
		"free-slots": func(s *outage.Stage) {
			cpu(s, 20)
			s.HandOut(t, "f")
			require.NoError(t, s.Apply(healthy(20)))
		},
		"no-slot": func(s *outage.Stage) {
			cpu(s, 20)
			s.HandOut(t, "f")
		},
		"fewer-slots": func(s *outage.Stage) { cpu(s, 40) },
		"paused": func(s *outage.Stage) {
			cpu(s, 20)
			require.NoError(t, s.Control.SetPaused(ctx, "f", true))
		},
		"bad-health": func(s *outage.Stage) { cpu(s, 97.5) },
		"nothing-due": func(s *outage.Stage) {
			cpu(s, 20)
			require.NoError(t, s.Apply(healthy(100)))
			s.HandOut(t, "f")
		},
		"cap-0": func(s *outage.Stage) {
			cpu(s, 20)
			require.NoError(t, s.Apply(healthy(0)))
		},
		"trouble": func(s *outage.Stage) {
			cpu(s, 20)
			now := s.World.Now()
			require.NoError(t, s.Control.SetTrouble(ctx, "f", &queue.Trouble{Error: "no such queue", At: now, Until: now.Add(30 * time.Second)}))
		},
		"held": func(s *outage.Stage) {
			cpu(s, 20)
			_, err := s.Services().Orchestrator.Service.Claim(ctx, "another", "f", orchestrator.Decided{Round: 1})
			require.NoError(t, err)
			require.NoError(t, s.Apply(healthy(20)))
		},
		"lower-cap": func(s *outage.Stage) {
			cpu(s, 20)
			s.HandOut(t, "f")
			require.NoError(t, s.Apply(healthy(4)))
		},
		"worse-health": func(s *outage.Stage) {
			cpu(s, 20)
			s.HandOut(t, "f")
			s.Pass(2 * time.Minute)
			cpu(s, 97.5)
		},
		"paused-while-tasks-wait": func(s *outage.Stage) {
			cpu(s, 20)
			s.HandOut(t, "f")
			require.NoError(t, s.Control.SetPaused(ctx, "f", true))
		},
		"hungry": func(s *outage.Stage) {
			cpu(s, 20)
			s.HandOut(t, "f")
			s.ReportUnsettled(t, s.Handed(t, "f")[0].Failed("Boom"))
			s.Scavenge(t)
		},
		"more-due-than-is-looked-at": func(s *outage.Stage) {
			cpu(s, 20)
			for i := range 40 {
				s.Schedule(t, fmt.Sprintf(`{"job_id": "more-%d", "labourer": "f"}`, i))
			}
			s.Pass(time.Second)
		},
		"no-data": func(*outage.Stage) {},
		"broken-metric": func(s *outage.Stage) {
			s.CloudWatch.Before = func(context.Context, fakeaws.Request) error { return errors.New("the service is unavailable") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := outage.NewStage(t, healthy(10), "f", "g")
			s.Schedule(t, outage.Job("nightly", "f", 30))
			s.Pass(90 * time.Second)
			set(s)

			assessed, err := s.Services().Orchestrator.Service.Assess(ctx, "execution", "f", orchestrator.Decided{Round: 0})

			require.NoError(t, err)
			var shown bytes.Buffer
			text, err := json.Marshal(struct {
				Step   any             `json:"step"`
				Record decision.Record `json:"record"`
			}{assessed, assessed.Record})
			require.NoError(t, err)
			require.NoError(t, json.Indent(&shown, text, "", "  "))
			golden(t, filepath.Join("testdata", "assess", name+".json"), shown.String())
		})
	}
}

// TestG7AValueThatExpiresBetweenItsReadAndItsUseCounts: without it a labourer whose health is Bad would be granted slots, as a value that is too
// old is ignored.
func TestG7AValueThatExpiresBetweenItsReadAndItsUseCounts(t *testing.T) {
	s := outage.NewStage(t, healthy(10), "f", "g")
	s.Schedule(t, outage.Job("nightly", "f", 30))
	s.Pass(90 * time.Second)
	cpu(s, 97.5)
	require.Zero(t, s.HandOut(t, "f"))
	s.Pass(time.Minute - time.Millisecond)
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if in, is := r.Input.(*dynamodb.GetItemInput); is && in.Key["item"].(*types.AttributeValueMemberS).Value == "assessment" {
			s.Pass(2 * time.Millisecond)
		}
		return nil
	}

	claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})

	require.NoError(t, err)
	require.Zero(t, claimed.Claimed)
	require.Equal(t, decision.Health, claimed.Decisions[0].Binding)
}

var update = flag.Bool("update", false, "rewrite the golden files; review them before you commit")

func golden(t *testing.T, file, got string) {
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got+"\n"), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got+"\n")
}

// TestG7ALabourerInBadHealthGetsNothing: others are not affected, and it continues when its health is better.
func TestG7ALabourerInBadHealthGetsNothing(t *testing.T) {
	s := outage.NewStage(t, healthy(10), "f", "g")
	s.Schedule(t, outage.Job("nightly", "f", 30), outage.Job("other", "g", 2))
	cpu(s, 97)
	s.Pass(time.Second)

	require.NoError(t, execute(s, "bad"))
	require.Zero(t, held(t, s))
	require.Len(t, s.Handed(t, "g"), 1)

	s.Pass(2 * time.Minute)
	cpu(s, 40) // Good: three quarters
	require.NoError(t, execute(s, "good"))
	require.Equal(t, 7, held(t, s))

	s.Pass(2 * time.Minute)
	cpu(s, 97)
	require.NoError(t, execute(s, "bad again"))
	require.Equal(t, 7, held(t, s), "what runs may end")
	require.Equal(t, 23, waiting(t, s), "what waits keeps its place")
	for _, h := range s.Handed(t, "f")[:5] {
		s.Report(t, h.Completed())
	}
	require.NoError(t, execute(s, "draining"))
	require.Equal(t, 2, held(t, s), "it drains, and the assistant feeds nothing")

	s.Pass(2 * time.Minute)
	cpu(s, 40)
	require.NoError(t, execute(s, "good again"))
	require.Equal(t, 7, held(t, s))

	var told []string
	for _, e := range s.EventBridge.Told() {
		if e.DetailType == "LabourerHealthChanged" {
			var d struct {
				Labourer string `json:"labourer_id"`
				From, To int
			}
			require.NoError(t, json.Unmarshal(e.Detail, &d))
			told = append(told, fmt.Sprintf("%s from %d to %d", d.Labourer, d.From, d.To))
		}
	}
	require.Equal(t, []string{"f from 0 to 3", "f from 3 to 0", "f from 0 to 3"}, told)
}

func TestG7APausedLabourerGetsNothing(t *testing.T) {
	s := stage(t, 3, 5)
	s.Schedule(t, outage.Job("other", "g", 1))
	require.NoError(t, s.Control.SetPaused(ctx, "f", true))

	require.NoError(t, execute(s, "paused"))
	require.Zero(t, held(t, s))
	require.Len(t, s.Handed(t, "g"), 1, "others are not affected")

	require.NoError(t, s.Control.SetPaused(ctx, "f", false))
	require.NoError(t, execute(s, "resumed"))
	require.Equal(t, 3, held(t, s))
}

// TestG7AChangeOfHealthIsPublishedUnderOneID: wherever the assessment is interrupted.
func TestG7AChangeOfHealthIsPublishedUnderOneID(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := outage.NewStage(t, healthy(10), "f", "g")
		s.Schedule(t, outage.Job("nightly", "f", 3))
		cpu(s, 97)
		require.NoError(t, execute(s, "bad"))
		s.Pass(2 * time.Minute)
		cpu(s, 20)
		cut.On(s.Stack)

		// Soon enough for the reading from CloudWatch to count.
		cut.Redeliver(t, s.World, time.Second, func(int) error { return execute(s, "good") })

		cut.Off()
		settle(t, s)
		return outage.Picture(s.Stack)
	})
}

// TestCloudWatchIsReadOnceForFiftyWakes: in one period, for the metrics of all labourers together.
func TestCloudWatchIsReadOnceForFiftyWakes(t *testing.T) {
	s := outage.NewStage(t, healthy(10), "f", "g")
	calls := 0
	s.CloudWatch.Before = func(context.Context, fakeaws.Request) error { calls++; return nil }
	cpu(s, 20)
	for i := range 50 {
		s.Schedule(t, fmt.Sprintf(`{"job_id": "job-%d", "labourer": "f"}`, i))
		require.NoError(t, execute(s, fmt.Sprintf("wake-%d", i), "f"))
		s.Pass(time.Second)
	}
	require.Equal(t, 1, calls)

	s.Pass(time.Minute)
	require.NoError(t, execute(s, "later", "f"))
	require.Equal(t, 2, calls)
}

func TestAPlanNamesTheLabourersThatMayHaveSomethingToDo(t *testing.T) {
	s := stage(t, 1, 2)
	o := s.Services().Orchestrator.Service
	plan := func(woken ...string) orchestrator.Planned {
		out, err := o.Plan(ctx, "execution", orchestrator.PlanInput{Labourers: woken})
		require.NoError(t, err)
		return out
	}

	require.Equal(t, orchestrator.Planned{Labourers: []orchestrator.Turn{undecided("f")}, Idle: 1}, plan())
	require.Equal(t, orchestrator.Planned{Labourers: []orchestrator.Turn{undecided("g")}}, plan("g"), "a woken labourer has a turn, whatever an eventually consistent read shows")
	require.Equal(t, orchestrator.Planned{Labourers: []orchestrator.Turn{undecided("f"), undecided("g")}, Unknown: 1}, plan("g", "f", "unknown", "g"))

	s.HandOut(t, "f")
	s.Pass(time.Hour)
	overdue := undecided("f")
	overdue.Reap = true
	require.Equal(t, orchestrator.Planned{Labourers: []orchestrator.Turn{overdue}, Idle: 1}, plan())
}

func TestAPlanLeavesTheLabourersBeyondItsLimitToAnotherExecution(t *testing.T) {
	var text bytes.Buffer
	text.WriteString("labourers:\n")
	for i := range 60 {
		fmt.Fprintf(&text, "  l%02d: {target: {sqs: %q}}\n", i, outage.Worker("f"))
	}
	s := outage.NewStage(t, text.String())
	for i := range 60 {
		s.Schedule(t, fmt.Sprintf(`{"job_id": "job-%d", "labourer": "l%02d"}`, i, i))
	}
	told := len(s.EventBridge.Told())

	planned, err := s.Services().Orchestrator.Service.Plan(ctx, "execution", orchestrator.PlanInput{})

	require.NoError(t, err)
	require.Len(t, planned.Labourers, 40)
	require.Equal(t, 20, planned.Others)
	wakes := s.EventBridge.Told()[told:]
	require.Len(t, wakes, 1)
	var detail struct{ Labourers []string }
	require.NoError(t, json.Unmarshal(wakes[0].Detail, &detail))
	require.Len(t, detail.Labourers, 20)
	require.NotContains(t, detail.Labourers, planned.Labourers[0].Labourer)
}

// TestG8AnExecutionMayBeStartedWithAnything: an input without readable labourers means the same as the tick.
func TestG8AnExecutionMayBeStartedWithAnything(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`: nil, `[]`: nil, `null`: nil, `7`: nil, `"f"`: nil, `{"labourers": null}`: nil, `{"labourers": "f"}`: nil, `{"labourers": [1]}`: nil,
		`{"labourers": {"f": 1}}`: nil, `{"id": "x", "version": 7, "labourers": ["f", "g"]}`: {"f", "g"}, `{"labourers": ["f", 7]}`: nil,
	} {
		var in orchestrator.PlanInput
		require.NoError(t, json.Unmarshal([]byte(text), &in), text)
		require.Equal(t, want, in.Labourers, text)
	}
}

// TestG8AnUnreadableLabourerAffectsNoOther: neither one with unreadable items nor one with a damaged configuration.
func TestG8AnUnreadableLabourerAffectsNoOther(t *testing.T) {
	s := stage(t, 3, 5)
	s.Schedule(t, outage.Job("other", "g", 1))
	text := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	require.NoError(t, s.DynamoDB.Put(fakeaws.ControlTable, fakeaws.Item{"labourer": text("#labourers"), "item": text("h"), "config": text("{nonsense")}))
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if in, is := r.Input.(*dynamodb.QueryInput); is && fmt.Sprint(in.ExpressionAttributeValues[":labourer"]) == fmt.Sprint(text("f")) {
			return errors.New("as the test wants it")
		}
		return nil
	}

	err := execute(s, "tick")

	require.ErrorContains(t, err, "as the test wants it", "the branch of the labourer shows it")
	require.Len(t, s.Handed(t, "g"), 1)
}

func TestALabourerThatIsNotAppliedIsAnError(t *testing.T) {
	o := stage(t, 1).Services().Orchestrator.Service
	for _, step := range []string{"reap", "revoke", "claim", "dispatch"} {
		_, err := o.Take(ctx, orchestrator.Step{Step: step, Labourer: "unknown"})
		require.EqualError(t, err, "labourer unknown is not applied", step)
	}
	_, err := o.Take(ctx, orchestrator.Step{Step: "dance"})
	require.EqualError(t, err, `step is "dance"; plan, reap, revoke, claim, dispatch, start and give_back are known`)
}

// TestG8HandedOverLabourersFitIntoTheirEvents: events name the labourers beyond one execution's limit to the next executions.
func TestG8HandedOverLabourersFitIntoTheirEvents(t *testing.T) {
	const labourers = 2500
	var configuration strings.Builder
	configuration.WriteString("labourers:\n")
	var all []string
	for i := range labourers {
		id := fmt.Sprintf("%s%04d", strings.Repeat("l", 120), i)
		all = append(all, id)
		fmt.Fprintf(&configuration, "  %s: {target: {sqs: %q}}\n", id, outage.Worker("f"))
	}
	s := outage.NewStage(t, configuration.String())

	planned, err := s.Services().Orchestrator.Service.Plan(ctx, "execution", orchestrator.PlanInput{Labourers: all})

	require.NoError(t, err)
	named := map[string]bool{}
	for _, turn := range planned.Labourers {
		named[turn.Labourer] = true
	}
	require.Equal(t, labourers-len(named), planned.Others)
	for _, e := range s.EventBridge.Told() {
		require.Less(t, len(e.Detail), 256<<10)
		var detail struct{ Labourers []string }
		require.NoError(t, json.Unmarshal(e.Detail, &detail))
		for _, id := range detail.Labourers {
			named[id] = true
		}
	}
	require.Len(t, named, labourers, "each is planned or handed over")
}

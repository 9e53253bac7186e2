package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// The scenarios that a successor of moe's orchestrator is judged by, on the whole stack in memory and in virtual time. Each has its number in its
// name: 12, 13, 14 and 17 are in moe_test.go too, with plugins of moe's, and 22 is in meter_test.go, 24 in stack_test.go.

// act says what the worker of a plugin does.
type act struct {
	takes  time.Duration
	queue  string // its target is this queue; "": a function
	does   func(worker.Task) (any, error)
	result any // without does
}

// scene is a stack with workflows. Each plugin has a labourer of its own.
type scene struct {
	*drovertest.Drover
	t     *testing.T
	begun []string // the turns that were started, as activity/plugin
}

// definitionsOf returns definitions with a labourer for each plugin.
func definitionsOf(definitions string, acts map[string]act) string {
	text := definitions + "\nlabourers:\n"
	for name, a := range acts {
		target := fmt.Sprintf("{lambda: \"arn:aws:lambda:us-west-2:000000000000:function:%s\"}", name)
		if a.queue != "" {
			target = fmt.Sprintf("{sqs: \"https://sqs.us-west-2.amazonaws.com/000000000000/%s\"}", a.queue)
		}
		text += fmt.Sprintf("  %s: {target: %s, max_simultaneous_invocations: 10, max_attempts: 2, max_duration: 5m, cooldown: 1m, retry: {initial: 1s, max: 1s}}\n", name, target)
	}
	return text
}

func set(t *testing.T, definitions string, acts map[string]act) *scene {
	t.Helper()
	s := &scene{Drover: drovertest.New(), t: t}
	s.apply(definitions, acts)
	return s
}

func (s *scene) apply(definitions string, acts map[string]act) {
	s.t.Helper()
	require.NoError(s.t, s.Apply(definitionsOf(definitions, acts)))
	for name, a := range acts {
		require.NoError(s.t, s.Worker(name, max(a.takes, time.Second), func(_ context.Context, task worker.Task) (any, error) {
			s.begun = append(s.begun, task.Activity+"/"+task.Plugin)
			if a.does != nil {
				return a.does(task)
			}
			return a.result, nil
		}))
	}
}

func (s *scene) start(workflow, uid, metadata string) string {
	return s.StartWorkflow(map[string]any{"workflow": workflow, "uid": uid, "metadata": json.RawMessage(metadata)})
}

func (s *scene) run() {
	s.t.Helper()
	require.NoError(s.t, s.Run())
}

func (s *scene) tree(run string) inspect.RunTree {
	s.t.Helper()
	tree, err := s.Workflow(run)
	require.NoError(s.t, err)
	return tree
}

// states returns the states of the run (""), of its activities ("a"), stages ("a/pre") and plugins ("a/pre/x").
func (s *scene) states(run string) map[string]flow.State {
	s.t.Helper()
	tree := s.tree(run)
	out := map[string]flow.State{"": tree.State}
	for _, a := range tree.Activities {
		out[a.Activity] = a.State
		for name, stage := range map[string]inspect.RunStage{"pre": a.Pre, "parallel": a.Parallel, "post": a.Post} {
			out[a.Activity+"/"+name] = stage.State
			for _, plugins := range []map[string]inspect.RunPlugin{stage.Mandatory, stage.Optional} {
				for plugin, p := range plugins {
					out[a.Activity+"/"+name+"/"+plugin] = p.State
				}
			}
		}
	}
	return out
}

// requireStates requires some of the states of a run.
func (s *scene) requireStates(run string, want map[string]flow.State) {
	s.t.Helper()
	got := s.states(run)
	for where := range got {
		if _, asked := want[where]; !asked {
			delete(got, where)
		}
	}
	require.Equal(s.t, want, got)
}

// count returns how often a turn was started.
func (s *scene) count(turn string) int {
	n := 0
	for _, one := range s.begun {
		if one == turn {
			n++
		}
	}
	return n
}

// refusals returns the fields at fault of the starts that were refused.
func (s *scene) refusals() []string {
	var fields []string
	for _, e := range s.Facts("WorkflowRejected") {
		var detail struct{ Error struct{ Field string } }
		require.NoError(s.t, json.Unmarshal(e.Detail, &detail))
		fields = append(fields, detail.Error.Field)
	}
	return fields
}

var errBad = worker.Permanent(worker.Errorf("Bad", "no luck"))

func fails(worker.Task) (any, error) { return nil, errBad }

const pair = `
workflows: {w: {activities: [a]}}
plugins:
  one: {activity: a, stage: parallel}
  two: {activity: a, stage: parallel}
  after: {activity: a, stage: post}
`

// optional makes the plugin two optional.
var optional = strings.Replace(pair, "two: {", "two: {mandatory: false, ", 1)

func TestScenario01TwoMandatoryPluginsAreWaitedForAndTheStageAdvancesOnce(t *testing.T) {
	s := set(t, pair, map[string]act{"one": {}, "two": {takes: 20 * time.Second}, "after": {}})
	run := s.start("w", "u", `{}`)

	s.RunFor(10 * time.Second)
	s.requireStates(run, map[string]flow.State{"": flow.InProgress, "a/parallel": flow.InProgress, "a/parallel/one": flow.Complete,
		"a/parallel/two": flow.InProgress, "a/post": flow.NotStarted})
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete, "a": flow.Complete, "a/parallel": flow.Complete, "a/post": flow.Complete})
	require.Equal(t, 1, s.count("a/after"))
}

func TestScenario02AnOptionalPluginInProgressHoldsItsStageAtMandatoryCompleted(t *testing.T) {
	s := set(t, optional, map[string]act{"one": {}, "two": {takes: 20 * time.Second}, "after": {}})
	run := s.start("w", "u", `{}`)

	s.RunFor(10 * time.Second)
	s.requireStates(run, map[string]flow.State{"": flow.InProgress, "a/parallel": flow.MandatoryCompleted, "a/post": flow.NotStarted})
	require.Zero(t, s.count("a/after"))
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete, "a/parallel": flow.Complete, "a/post/after": flow.Complete})
}

func TestScenario03AnOptionalErrorDoesNotAdvanceAStageBeforeItsMandatoryPluginHasEnded(t *testing.T) {
	s := set(t, optional, map[string]act{"one": {takes: 20 * time.Second}, "two": {does: fails}, "after": {}})
	run := s.start("w", "u", `{}`)

	s.RunFor(10 * time.Second)
	s.requireStates(run, map[string]flow.State{"": flow.InProgress, "a/parallel": flow.InProgress, "a/parallel/two": flow.Error, "a/post": flow.NotStarted})
	require.Zero(t, s.count("a/after"))
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.OptionalTaskError, "a": flow.OptionalTaskError, "a/parallel": flow.OptionalTaskError, "a/post": flow.Complete})
}

func TestScenario04AMandatoryErrorEndsTheRunAtOnceAndCancelsItsSibling(t *testing.T) {
	s := set(t, pair, map[string]act{"one": {does: fails}, "two": {takes: 4 * time.Minute}, "after": {}})
	run := s.start("w", "u", `{}`)

	s.RunFor(10 * time.Second)
	s.requireStates(run, map[string]flow.State{"": flow.Error, "a": flow.Error, "a/parallel": flow.Error, "a/parallel/one": flow.Error,
		"a/parallel/two": flow.Cancelled, "a/post": flow.NotStarted, "a/post/after": flow.NotStarted})
	require.Equal(t, "plugin one of a (parallel) failed: Bad: no luck", s.tree(run).Message)
	require.Zero(t, s.StepFunctions.Running(fakeaws.WorkflowMachine))
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Error, "a/parallel/two": flow.Cancelled})
	require.Zero(t, s.count("a/after"), "the late end of two changes nothing")
}

func TestScenario05AMandatoryPluginWhoseFilterDoesNotMatchIsSkipped(t *testing.T) {
	s := set(t, strings.Replace(pair, "two: {", "two: {filter: {country: [AT]}, ", 1), map[string]act{"one": {}, "two": {}, "after": {}})
	run := s.start("w", "u", `{"country": "CH"}`)
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete, "a/parallel": flow.Complete, "a/parallel/two": flow.Skipped})
	require.Equal(t, []string{"a/one", "a/after"}, s.begun)
	require.Equal(t, "country is \"CH\"; want [\"AT\"]", s.tree(run).Activities[0].Parallel.Mandatory["two"].Message)
}

func TestScenario06AStageOfOptionalPluginsAloneWaitsForThemOrTheirTimeout(t *testing.T) {
	const alone = `
workflows: {w: {activities: [a]}}
plugins:
  one: {activity: a, stage: parallel, mandatory: false}
  two: {activity: a, stage: parallel, mandatory: false, timeout: 2m}
  after: {activity: a, stage: post}
`
	s := set(t, alone, map[string]act{"one": {takes: 20 * time.Second}, "two": {takes: 4 * time.Minute}, "after": {}})
	run := s.start("w", "u", `{}`)

	s.RunFor(time.Minute)
	s.requireStates(run, map[string]flow.State{"a/parallel": flow.MandatoryCompleted, "a/parallel/one": flow.Complete, "a/parallel/two": flow.InProgress})
	require.Zero(t, s.count("a/after"))
	s.RunFor(2*time.Minute + 10*time.Second)

	s.requireStates(run, map[string]flow.State{"": flow.OptionalTaskError, "a/parallel/two": flow.TimedOut, "a/post": flow.Complete})
}

func TestScenario07AnActivityWithoutPluginsIsCompleteAtOnce(t *testing.T) {
	s := set(t, "workflows: {w: {activities: [a, b]}}\nplugins: {one: {activity: b, stage: pre}}", map[string]act{"one": {}})
	run := s.start("w", "u", `{}`)

	s.RunFor(time.Second / 2)
	s.requireStates(run, map[string]flow.State{"a": flow.Complete, "a/pre": flow.Complete, "a/parallel": flow.Complete, "a/post": flow.Complete, "b": flow.InProgress})
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete})
	require.Equal(t, []string{"b/one"}, s.begun)
}

func TestScenario08PluginsThatOnlyReadAQueueGetTheirMessagesAndAreAwaited(t *testing.T) {
	s := set(t, pair, map[string]act{"one": {queue: "one", takes: 5 * time.Second}, "two": {queue: "two", takes: 20 * time.Second}, "after": {queue: "after"}})
	run := s.start("w", "u", `{}`)

	s.RunFor(10 * time.Second)
	require.ElementsMatch(t, []string{"a/one", "a/two"}, s.begun)
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete, "a/parallel/one": flow.Complete, "a/parallel/two": flow.Complete, "a/post/after": flow.Complete})
}

func TestScenario09PluginsOfAStageRunByTheirOrderThenByName(t *testing.T) {
	s := set(t, `
workflows: {w: {activities: [a]}}
plugins:
  c_last: {activity: a, stage: pre, order: 95}
  b_default: {activity: a, stage: pre}
  a_default: {activity: a, stage: pre}
  z_first: {activity: a, stage: pre, order: 1}
`, map[string]act{"c_last": {}, "b_default": {}, "a_default": {takes: 9 * time.Second}, "z_first": {takes: 9 * time.Second}})
	run := s.start("w", "u", `{}`)
	s.run()

	require.Equal(t, []string{"a/z_first", "a/a_default", "a/b_default", "a/c_last"}, s.begun)
	tree := s.tree(run).Activities[0].Pre.Mandatory
	for _, one := range [][2]string{{"z_first", "a_default"}, {"a_default", "b_default"}, {"b_default", "c_last"}} {
		require.False(t, tree[one[1]].StartedAt.Before(*tree[one[0]].FinishedAt), "%s begins after the end of %s", one[1], one[0])
	}
}

func TestScenario10AnOptionalErrorInPreOrPostDoesNotFailTheRun(t *testing.T) {
	s := set(t, `
workflows: {w: {activities: [a, b]}}
plugins:
  early: {activity: a, stage: pre, order: 1, mandatory: false}
  next: {activity: a, stage: pre, order: 2}
  late: {activity: a, stage: post, mandatory: false}
  last: {activity: b, stage: post}
`, map[string]act{"early": {does: fails}, "next": {}, "late": {does: fails}, "last": {}})
	run := s.start("w", "u", `{}`)
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.OptionalTaskError, "a": flow.OptionalTaskError, "a/pre": flow.OptionalTaskError,
		"a/post": flow.OptionalTaskError, "b": flow.Complete})
	require.Equal(t, []string{"a/early", "a/next", "a/late", "b/last"}, s.begun)
}

func TestScenario11AResultThatContainsTheWordErrorIsAResult(t *testing.T) {
	s := set(t, "workflows: {w: {activities: [a]}}\nplugins: {one: {activity: a, stage: pre}}", map[string]act{"one": {result: "Error: none was found"}})
	run := s.start("w", "u", `{}`)
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete})
	require.JSONEq(t, `"Error: none was found"`, string(s.tree(run).Activities[0].Pre.Mandatory["one"].Result))
}

func TestScenario12AWorkerThatPanicsDiesOrLosesItsMessageEndsAsErrorOrTimedOut(t *testing.T) {
	panics := func(worker.Task) (any, error) { panic("oh dear") }
	dies := func(worker.Task) (any, error) { return nil, drovertest.ErrCrash }
	for name, c := range map[string]struct {
		act     act
		timeout string
		want    flow.State
		reason  string
	}{
		"a panic":              {act{does: panics}, "", flow.Error, "oh dear"},
		"a function that dies": {act{does: dies}, "", flow.Error, "Runtime.ExitError"},
		"a message that ends in the dead letters": {act{queue: "one"}, "", flow.Error, "Expired: "},
		"one with a timeout":                      {act{queue: "one"}, "3m", flow.TimedOut, ""},
	} {
		t.Run(name, func(t *testing.T) {
			plugin := "one: {activity: a, stage: parallel"
			if c.timeout != "" {
				plugin += ", timeout: " + c.timeout
			}
			s := set(t, "workflows: {w: {activities: [a]}}\nplugins:\n  "+plugin+"}\n", map[string]act{"one": c.act})
			lost := "https://sqs.us-west-2.amazonaws.com/000000000000/lost"
			if c.act.queue != "" {
				queue := strings.Replace(lost, "lost", c.act.queue, 1)
				s.SQS.Create(lost, fakeaws.Queue{})
				s.SQS.Create(queue, fakeaws.Queue{MaxReceives: 2, DeadLetters: lost})
				s.SQS.Map(queue, fakeaws.Consumer{Batch: 1, Most: 1, Take: func(_ []fakeaws.Received, done func([]string, error)) { done(nil, errors.New("killed")) }})
			}
			run := s.start("w", "u", `{}`)

			s.RunFor(20 * time.Minute)

			if c.act.queue != "" {
				require.NotEmpty(t, s.SQS.Letters(lost))
			}
			s.requireStates(run, map[string]flow.State{"": flow.Error, "a/parallel/one": c.want})
			require.Contains(t, s.tree(run).Activities[0].Parallel.Mandatory["one"].Message, c.reason)
		})
	}
}

func TestScenario13ADuplicateReportAfterTheEndChangesNothing(t *testing.T) {
	var turn worker.Task
	s := set(t, pair, map[string]act{"one": {does: func(task worker.Task) (any, error) { turn = task; return 1, nil }}, "two": {takes: 20 * time.Second}, "after": {}})
	run := s.start("w", "u", `{}`)
	s.RunFor(10 * time.Second)
	s.requireStates(run, map[string]flow.State{"a/parallel/one": flow.Complete})
	late := func(status string) {
		s.Deliver(fakeaws.CompletionsQueue, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": %q, "error": {"type": "Late"}}`, turn.ID, status))
	}

	late("failed")
	late("running")
	late("completed")
	s.RunFor(5 * time.Second)
	s.requireStates(run, map[string]flow.State{"": flow.InProgress, "a/parallel/one": flow.Complete})
	s.run()
	late("failed")
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete, "a/parallel/one": flow.Complete})
	require.Len(t, s.Facts("WorkflowCompleted"), 1)
	require.Equal(t, 1, s.count("a/one"))
}

func TestScenario14AReRunSkipsWhatWasCompleteAndRunsWhatFailed(t *testing.T) {
	broken := true
	s := set(t, pair, map[string]act{"one": {result: "first"}, "two": {does: func(worker.Task) (any, error) {
		if broken {
			return nil, errBad
		}
		return "mended", nil
	}}, "after": {}})
	first := s.start("w", "u", `{}`)
	s.run()
	s.requireStates(first, map[string]flow.State{"": flow.Error, "a/parallel/one": flow.Complete, "a/parallel/two": flow.Error})

	broken = false
	second := s.start("w", "u", `{}`)
	s.run()

	s.requireStates(second, map[string]flow.State{"": flow.Complete, "a/parallel/one": flow.Complete, "a/parallel/two": flow.Complete, "a/post": flow.Complete})
	require.Equal(t, []int{1, 2, 1}, []int{s.count("a/one"), s.count("a/two"), s.count("a/after")})
	tree := s.tree(second)
	require.Equal(t, 2, tree.Run.Run)
	require.JSONEq(t, `"first"`, string(tree.Activities[0].Parallel.Mandatory["one"].Result), "it keeps its result")
	s.requireStates(first, map[string]flow.State{"": flow.Error})
}

func TestScenario15AReRunWithMetadataThatDifferDeepWithinIsRefused(t *testing.T) {
	s := set(t, pair, map[string]act{"one": {}, "two": {does: fails}, "after": {}})
	s.start("w", "u", `{"order": {"lines": [{"sku": "x", "n": 1}]}}`)
	s.run()

	s.start("w", "u", `{"order": {"lines": [{"sku": "x", "n": 2}]}}`)
	s.run()
	require.Equal(t, []string{"metadata"}, s.refusals())
	same := s.start("w", "u", `{"order": {"lines": [{"n": 1.0, "sku": "x"}]}}`)
	s.run()
	require.Equal(t, 2, s.tree(same).Run.Run, "the same in other words is the same")
	other := s.StartWorkflow(`{"workflow": "w", "uid": "u", "metadata": {}, "metadata_override": true}`)
	s.run()

	require.Equal(t, 3, s.tree(other).Run.Run)
	require.JSONEq(t, `{}`, string(s.tree(other).Metadata))
}

func TestScenario16AnyJSONIsMetadataAndNoNameCollides(t *testing.T) {
	const metadata = `{"vip": true, "zero": 0, "none": "", "no": false, "nil": null, "nested": {"list": [1, {"x": [true]}]},
		"activity": "mine", "stage": 7, "status": {"state": "x"}, "activities": [], "uid": "other", "workflow": "other", "task_id": "t", "run_id": 1}`
	var got worker.Task
	s := set(t, `
workflows: {w: {activities: [a]}}
plugins:
  one: {activity: a, stage: parallel, filter: {vip: [true], zero: [0], none: [""], "no": [false], nil: [null], nested: {list: [1]}, activity: [mine], drover: {activity: [a]}}}
`, map[string]act{"one": {does: func(task worker.Task) (any, error) { got = task; return nil, nil }}})
	run := s.start("w", "u", metadata)
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete, "a/parallel/one": flow.Complete})
	require.Equal(t, []string{"w", "u", "a", "parallel", "one", run}, []string{got.Workflow, got.UID, got.Activity, got.Stage, got.Plugin, got.RunID})
	require.JSONEq(t, metadata, string(got.Metadata))
}

func TestScenario17RunsOfOneUIDInTwoWorkflowsBothComplete(t *testing.T) {
	s := set(t, strings.Replace(pair, "{w: {activities: [a]}}", "{w: {activities: [a]}, other: {activities: [a]}}", 1),
		map[string]act{"one": {}, "two": {}, "after": {}})
	runs := []string{s.start("w", "u", `{"n": 1}`), s.start("other", "u", `{"n": 2}`)}
	s.run()

	for _, run := range runs {
		s.requireStates(run, map[string]flow.State{"": flow.Complete, "a/parallel/one": flow.Complete, "a/parallel/two": flow.Complete})
	}
	require.Equal(t, []int{2, 2, 2}, []int{s.count("a/one"), s.count("a/two"), s.count("a/after")})
}

func TestScenario18OneProgramRunsSeveralPlugins(t *testing.T) {
	s := &scene{Drover: drovertest.New(), t: t}
	require.NoError(t, s.Apply(strings.ReplaceAll(pair, "activity: a,", "activity: a, labourer: crew,")+
		"labourers: {crew: {target: {lambda: \"arn:aws:lambda:us-west-2:000000000000:function:crew\"}, max_simultaneous_invocations: 5}}"))
	say := func(what string) worker.Func {
		return func(context.Context, worker.Task) (any, error) { return what, nil }
	}
	require.NoError(t, s.Worker("crew", time.Second, worker.Plugins(map[string]worker.Func{"one": say("I am one"), "two": say("I am two"), "after": say("I am last")})))
	run := s.start("w", "u", `{}`)
	s.run()

	a := s.tree(run).Activities[0]
	require.JSONEq(t, `["I am one", "I am two", "I am last"]`, fmt.Sprintf("[%s, %s, %s]",
		a.Parallel.Mandatory["one"].Result, a.Parallel.Mandatory["two"].Result, a.Post.Mandatory["after"].Result))
}

func TestScenario19AnOverrideToOptionalHoldsForAPluginBehindAQueueToo(t *testing.T) {
	s := set(t, `
workflows: {w: {activities: [a, b]}}
plugins:
  one: {activity: [a, b], stage: parallel, overrides: {a: {mandatory: false}}}
`, map[string]act{"one": {queue: "one", does: func(task worker.Task) (any, error) {
		if task.Activity == "a" {
			return nil, errBad
		}
		return nil, nil
	}}})
	run := s.start("w", "u", `{}`)
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.OptionalTaskError, "a": flow.OptionalTaskError, "b": flow.Complete})
	tree := s.tree(run)
	require.Contains(t, tree.Activities[0].Parallel.Optional, "one")
	require.Contains(t, tree.Activities[1].Parallel.Mandatory, "one")
}

func TestScenario20AFIFOQueueNeedsNoDeduplicationByContent(t *testing.T) {
	s := set(t, strings.Replace(pair, "two: {", "two: {group_key: customer.id, ", 1), map[string]act{"one": {queue: "one.fifo"}, "two": {queue: "two.fifo", does: fails}, "after": {}})
	sent := map[string][]types.SendMessageBatchRequestEntry{}
	s.SQS.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
		if in, is := r.Input.(*sqs.SendMessageBatchInput); is {
			sent[*in.QueueUrl] = append(sent[*in.QueueUrl], in.Entries...)
		}
		return nil
	}
	run := s.start("w", "u 1", `{"customer": {"id": "c-17"}}`)
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Error, "a/parallel/one": flow.Complete})
	one, two := sent["https://sqs.us-west-2.amazonaws.com/000000000000/one.fifo"], sent["https://sqs.us-west-2.amazonaws.com/000000000000/two.fifo"]
	require.Len(t, one, 1)
	require.Len(t, two, 1)
	require.Equal(t, "c-17", *two[0].MessageGroupId)
	require.Len(t, *one[0].MessageGroupId, 64, "SQS takes no space in a group; the uid is hashed")
	tree := s.tree(run).Activities[0].Parallel.Mandatory
	require.Equal(t, tree["one"].TaskID+"-1", *one[0].MessageDeduplicationId)
}

func TestScenario21APluginThatAlwaysRunsRunsInAReRunAndIsAwaited(t *testing.T) {
	s := set(t, strings.Replace(pair, "two: {", "two: {always_run: true, ", 1), map[string]act{"one": {}, "two": {takes: 20 * time.Second}, "after": {}})
	s.start("w", "u", `{}`)
	s.run()

	run := s.start("w", "u", `{}`)
	s.RunFor(10 * time.Second)
	s.requireStates(run, map[string]flow.State{"": flow.InProgress, "a/parallel/one": flow.Complete, "a/parallel/two": flow.InProgress})
	s.run()

	s.requireStates(run, map[string]flow.State{"": flow.Complete, "a/parallel/two": flow.Complete})
	require.Equal(t, []int{1, 2, 1}, []int{s.count("a/one"), s.count("a/two"), s.count("a/after")})
}

func TestScenario23ACancelledRunIsCancelledEverywhereWithinSeconds(t *testing.T) {
	s := set(t, pair, map[string]act{"one": {}, "two": {takes: 4 * time.Minute}, "after": {}})
	run := s.start("w", "u", `{}`)
	s.RunFor(10 * time.Second)

	s.Put("CancelWorkflow", map[string]any{"workflow": "w", "uid": "u"})
	s.RunFor(5 * time.Second)
	want := map[string]flow.State{"": flow.Cancelled, "a": flow.Cancelled, "a/parallel": flow.Cancelled, "a/parallel/one": flow.Complete,
		"a/parallel/two": flow.Cancelled, "a/post": flow.NotStarted, "a/post/after": flow.NotStarted}
	s.requireStates(run, want)
	require.Zero(t, s.StepFunctions.Running(fakeaws.WorkflowMachine))
	require.Len(t, s.Facts("WorkflowCancelled"), 1)
	s.run()

	s.requireStates(run, want)
	require.Empty(t, slices.Concat(s.Facts("WorkflowCompleted"), s.Facts("WorkflowFailed")), "the late result is ignored")
}

func TestScenario25APluginThatIsAppliedDuringARunIsInTheNextOne(t *testing.T) {
	s := set(t, pair, map[string]act{"one": {}, "two": {takes: 20 * time.Second}, "after": {}})
	active := s.start("w", "u", `{}`)
	s.RunFor(10 * time.Second)

	s.apply("plugins:\n  three: {activity: a, stage: parallel}\n  early: {activity: a, stage: post, order: 1}\n", map[string]act{"three": {}, "early": {}})
	s.run()
	require.Zero(t, s.count("a/three")+s.count("a/early"))
	s.requireStates(active, map[string]flow.State{"": flow.Complete})
	next := s.start("w", "u2", `{}`)
	s.run()

	s.requireStates(next, map[string]flow.State{"": flow.Complete, "a/parallel/three": flow.Complete, "a/post/early": flow.Complete})
	require.Equal(t, []int{1, 2}, []int{s.tree(active).Version, s.tree(next).Version})
}

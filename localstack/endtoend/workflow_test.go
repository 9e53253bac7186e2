package endtoend

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// flow is a workflow of a test: two activities, and plugins that share one labourer.
type flow struct {
	*stack
	name string // of the workflow; of the labourer, activities and plugins it is a part
}

// newFlow applies a workflow: first, then stock, vip and risky (optional) together, then last in the second activity.
func newFlow(t *testing.T) flow {
	t.Helper()
	f := flow{shared(t), named(t)}
	check, ship := "check-"+f.name, "ship-"+f.name
	plugin := func(activity, stage string, more object) object {
		return with(object{"activity": activity, "stage": stage, "labourer": f.name}, more)
	}
	said := f.apply(t, object{
		"labourers": object{f.name: onLambda("Worker", 4, object{"max_attempts": 2})},
		"workflows": object{f.workflow(): object{"activities": []string{check, ship}}},
		"plugins": object{
			f.plugin("first"): plugin(check, "pre", nil),
			f.plugin("stock"): plugin(check, "parallel", nil),
			f.plugin("vip"):   plugin(check, "parallel", object{"filter": object{"customer": []string{"vip"}}}),
			f.plugin("risky"): plugin(check, "parallel", object{"mandatory": false}),
			f.plugin("last"):  plugin(ship, "post", object{"always_run": true}),
		},
	})
	require.Len(t, said["applied"], 7, "a labourer, a workflow and five plugins")
	return f
}

// workflow returns the name of the workflow, which has a space.
func (f flow) workflow() string { return "flow " + f.name }

func (f flow) plugin(name string) string { return name + "-" + f.name }

func (f flow) apply(t *testing.T, definitions object) object {
	t.Helper()
	printed, said, code := f.drover(t, definitions, "apply", "-f", "-")
	require.Zero(t, code, said)
	return document(t, printed)
}

// orders returns metadata that tells plugins how to end.
func (f flow) orders(do map[string]string) object {
	out := object{}
	for name, what := range do {
		out[f.plugin(name)] = object{"do": what}
	}
	return out
}

// plugins returns the plugins of a run's tree, by their short names.
func (f flow) plugins(tree object) map[string]object {
	out := map[string]object{}
	for _, activity := range tree["activities"].([]any) {
		for _, stage := range []string{"pre", "parallel", "post"} {
			for _, need := range []string{"mandatory", "optional"} {
				for name, p := range activity.(object)[stage].(object)[need].(object) {
					out[strings.TrimSuffix(name, "-"+f.name)] = p.(object)
				}
			}
		}
	}
	return out
}

func states(plugins map[string]object) map[string]any {
	out := map[string]any{}
	for name, p := range plugins {
		out[name] = p["state"]
	}
	return out
}

// requireExecution waits until the execution of a run has ended with this status. Not on a local AWS that enforces roles: it judges the right to
// SendTaskSuccess without the state machine, which it does not find from a token, and so refuses each answer.
func (f flow) requireExecution(t *testing.T, status sfntypes.ExecutionStatus, run string) {
	t.Helper()
	if !f.target.OnAWS() {
		return
	}
	require.Equal(t, status, await(t, "the execution of "+run+" to end", func() (sfntypes.ExecutionStatus, bool) {
		pages := sfn.NewListExecutionsPaginator(f.machines, &sfn.ListExecutionsInput{StateMachineArn: aws.String(f.out["WorkflowStateMachineArn"])})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			require.NoError(t, err)
			for _, e := range page.Executions {
				if strings.HasPrefix(aws.ToString(e.Name), run) {
					return e.Status, e.Status != sfntypes.ExecutionStatusRunning
				}
			}
		}
		return "none", false
	}))
}

func TestScenario14ARunOfAWorkflowIsMendedByAReRun(t *testing.T) {
	t.Parallel()
	f := newFlow(t)

	printed, said, code := f.drover(t, f.orders(map[string]string{"risky": "permanent", "first": "complete"}), "workflow", "start", f.workflow(), "--uid", "u", "--metadata", "-", "--wait")
	require.Zero(t, code, said)
	first := document(t, printed)
	require.Equal(t, "Optional Task Error", first["state"])
	plugins := f.plugins(first)
	require.Equal(t, map[string]any{"first": "Complete", "stock": "Complete", "vip": "Skipped", "risky": "Error", "last": "Complete"}, states(plugins))
	require.Contains(t, plugins["risky"]["message"], "Hopeless")
	seen := func(names ...string) []any {
		out := []any{}
		for _, name := range names {
			out = append(out, "check-"+f.name+"/"+f.plugin(name))
		}
		return out
	}
	require.Equal(t, object{"attempt": 1., "before": seen("first", "stock")}, plugins["last"]["result"])
	id := first["run_id"].(string)
	for _, kind := range []string{"WorkflowStarted", "WorkflowCompleted"} {
		fact := f.fact(t, kind, object{"run_id": id})
		require.Equal(t, []any{f.workflow(), "u", 1.}, []any{fact["workflow"], fact["uid"], fact["run"]})
	}
	for activity, state := range map[string]string{"check-": "Optional Task Error", "ship-": "Complete"} {
		require.Equal(t, state, f.fact(t, "ActivityCompleted", object{"run_id": id, "activity": activity + f.name})["state"])
	}
	f.requireExecution(t, sfntypes.ExecutionStatusSucceeded, id)

	printed, said, code = f.drover(t, f.orders(map[string]string{"first": "permanent"}), "workflow", "start", f.workflow(), "--uid", "u", "--metadata", "-", "--override", "--wait")
	require.Zero(t, code, said)
	second := document(t, printed)
	require.Equal(t, []any{"Complete", 2.}, []any{second["state"], second["run"]})
	again := f.plugins(second)
	require.Equal(t, plugins["first"]["task_id"], again["first"]["task_id"], "what was Complete did not run again, though it would fail now")
	require.Equal(t, object{"attempt": 1., "before": seen("first", "risky", "stock")}, again["last"]["result"])
	require.Len(t, lines(t, f.cli(t, "workflow", "runs", "--workflow", f.workflow(), "--uid", "u")), 2)
}

func TestScenario04AMandatoryErrorEndsARunThatAnEventStarted(t *testing.T) {
	t.Parallel()
	f := newFlow(t)

	f.put(t, "StartWorkflow", object{"workflow": f.workflow(), "uid": "u", "metadata": f.orders(map[string]string{"stock": "fail"})})

	fact := f.fact(t, "WorkflowFailed", object{"workflow": f.workflow(), "uid": "u"})
	require.Equal(t, "Error", fact["state"])
	require.Contains(t, fact["message"], "Boom: attempt 2 was told to fail")
	id := fact["run_id"].(string)
	plugins := f.plugins(document(t, f.cli(t, "workflow", "run", id)))
	require.Equal(t, []any{"Error", 2.}, []any{plugins["stock"]["state"], plugins["stock"]["attempts"]})
	require.Equal(t, "Not Started", plugins["last"]["state"])
	f.requireExecution(t, sfntypes.ExecutionStatusFailed, id)
	require.Equal(t, id, document(t, f.cli(t, "task", plugins["stock"]["task_id"].(string)))["job_id"])
}

// TestResultsTooLargeForTheirWorkersEventAreHandedOnInS3: five results of a quarter of a megabyte, for a function that takes one.
func TestResultsTooLargeForTheirWorkersEventAreHandedOnInS3(t *testing.T) {
	t.Parallel()
	f := flow{shared(t), named(t)}
	activity, plugins, orders := "sum-"+f.name, object{}, object{}
	seen := []any{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		plugins[f.plugin(name)] = object{"activity": activity, "stage": "parallel", "labourer": f.name}
		orders[f.plugin(name)] = object{"bytes": 240 << 10}
		seen = append(seen, activity+"/"+f.plugin(name))
	}
	plugins[f.plugin("last")] = object{"activity": activity, "stage": "post", "labourer": f.name}
	f.apply(t, object{"labourers": object{f.name: onLambda("Worker", 4, nil)}, "workflows": object{f.workflow(): object{"activities": []string{activity}}},
		"plugins": plugins})

	printed, said, code := f.drover(t, orders, "workflow", "start", f.workflow(), "--uid", "u", "--metadata", "-", "--wait")

	require.Zero(t, code, said)
	tree := document(t, printed)
	require.Equal(t, "Complete", tree["state"])
	last := f.plugins(tree)["last"]["result"].(object)
	require.Equal(t, seen, last["before"], "it has read them")
	require.Equal(t, "s3://"+f.out["ArchiveBucketName"]+"/runs/"+tree["run_id"].(string)+"/"+activity+"/post/"+f.plugin("last")+".json", last["results_url"])
}

// atDesk applies a workflow of one activity, whose two parallel plugins take their tasks from a queue, and starts it.
func atDesk(t *testing.T, s *stack, url string, metadata object) flow {
	t.Helper()
	f := flow{s, named(t)}
	activity := "a-" + f.name
	plugin := func(stage string) object {
		return object{"activity": activity, "stage": stage, "labourer": f.name, "group_key": "customer"}
	}
	f.apply(t, object{
		"labourers": object{f.name: object{"target": object{"sqs": url}, "max_simultaneous_invocations": 4}},
		"workflows": object{f.workflow(): object{"activities": []string{activity}}},
		"plugins":   object{f.plugin("one"): plugin("parallel"), f.plugin("two"): plugin("parallel"), f.plugin("last"): plugin("post")},
	})
	f.put(t, "StartWorkflow", object{"workflow": f.workflow(), "uid": "u", "metadata": metadata})
	return f
}

func TestScenario23ARunIsCancelledInItsParallelStage(t *testing.T) {
	t.Parallel()
	d := shared(t).desk(t)
	f := atDesk(t, d.stack, d.url, object{})
	turns := d.take(t, 2)
	run := turns[0].object["run_id"].(string)

	require.Equal(t, run, document(t, f.cli(t, "workflow", "cancel", run))["run_id"])
	require.Equal(t, "Cancelled", f.fact(t, "WorkflowCancelled", object{"run_id": run})["state"])
	d.complete(t, turns...)
	d.settled(t, "CompletionsQueueUrl")

	tree := document(t, f.cli(t, "workflow", "run", run))
	require.Equal(t, "Cancelled", tree["state"])
	require.Equal(t, map[string]any{"one": "Cancelled", "two": "Cancelled", "last": "Not Started"}, states(f.plugins(tree)), "late ends change nothing")
	f.requireExecution(t, sfntypes.ExecutionStatusFailed, run)
}

func TestScenario20PluginsBehindAFIFOQueueAreDeliveredAndAwaited(t *testing.T) {
	t.Parallel()
	s := shared(t)
	q, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(s.called(t) + ".fifo"),
		Attributes: map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "false"}})
	require.NoError(t, err)
	f := atDesk(t, s, *q.QueueUrl, object{"customer": "c-17"})

	var came []any
	await(t, "three turns in the FIFO queue", func() ([]any, bool) {
		got, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
		require.NoError(t, err)
		for _, m := range got.Messages {
			one := read(t, *m.Body)
			require.Equal(t, []string{"c-17", one.taskID + "-1"}, []string{m.Attributes["MessageGroupId"], m.Attributes["MessageDeduplicationId"]})
			came = append(came, one.object["plugin"])
			_, err := s.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: q.QueueUrl, ReceiptHandle: m.ReceiptHandle})
			require.NoError(t, err)
			s.complete(t, one)
		}
		return came, len(came) == 3
	})
	require.Equal(t, []any{f.plugin("one"), f.plugin("two"), f.plugin("last")}, came)
	require.Equal(t, "Complete", f.fact(t, "WorkflowCompleted", object{"workflow": f.workflow(), "uid": "u"})["state"])
}

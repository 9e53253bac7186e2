package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// slots counts the slots that are freed in each way.
const slots = 9

// work says how long a task runs: long enough that no execution for the end before is still under way, which would see the next free slot.
const work = 2 * time.Second

// BenchmarkSlot measures how long a freed slot stands empty: from the call of the worker assistant with a completion to the arrival of the
// next worker's message in its queue.
//
// In a lease in which tasks wait the assistant starts the next one itself. With one task a job it cannot: the completion empties the lease, and
// the next task is started through an event, an execution of the orchestrate machine, a claim and a dispatch, as every task was before leases
// were fed. Both are measured in one run, as only their ratio holds on other machines.
func BenchmarkSlot(b *testing.B) {
	s := start(b)
	queues := map[string]string{}
	configuration := "labourers:\n"
	for _, id := range []string{"fed", "woken"} {
		out, err := s.sqs.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String("bench-" + id)})
		require.NoError(b, err)
		queues[id] = *out.QueueUrl
		configuration += fmt.Sprintf("  %s: {target: {sqs: %q}, max_simultaneous_invocations: 1}\n", id, *out.QueueUrl)
	}
	require.NoError(b, apply(b.Context(), s.registry, configuration+"job_schemas: {default: {chunkable_attrs: [[section, {}]]}}\n"))
	for b.Loop() {
		sections, err := json.Marshal(make([]int, 40*slots))
		require.NoError(b, err)
		require.NoError(b, s.submit(b.Context(), fmt.Sprintf(`{"labourer": "fed", "sections": %s, "isolate_sections": true}`, sections)))
		for i := range slots + 1 { // jobs of different durations share no segment, and so no lease
			require.NoError(b, s.submit(b.Context(), fmt.Sprintf(`{"labourer": "woken", "max_duration": "%ds"}`, 600+i)))
		}
		// The first grant of a labourer takes a few tasks, and empties its lease after these: what is woken then does not count as fed.
		fed, woken := median(s.turns(b, queues["fed"])), median(s.turns(b, queues["woken"]))
		b.Logf("fed %s, woken %s", fed, woken)
		b.ReportMetric(float64(fed.Milliseconds()), "fed-ms")
		b.ReportMetric(float64(woken.Milliseconds()), "woken-ms")
		b.ReportMetric(fed.Seconds()/woken.Seconds(), "ratio")
		require.Less(b, fed, woken/5, "a slot of a lease in which tasks wait is filled by one invocation")
	}
}

// turns completes the task of the only slot again and again, and returns how long the slot then stood empty each time.
func (s *stack) turns(b *testing.B, queue string) []time.Duration {
	b.Helper()
	task, _ := s.received(b, queue)
	var out []time.Duration
	for range slots {
		time.Sleep(work)
		freed := time.Now()
		require.NoError(b, s.complete(b.Context(), task))
		next, sent := s.received(b, queue)
		out = append(out, sent.Sub(freed))
		task = next
	}
	return out
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// received takes the next worker's message from its queue. It returns its task, and when the queue got it, to the millisecond. It seldom asks,
// because each request takes time of the local AWS from the path that is measured.
func (s *stack) received(b *testing.B, queue string) (task string, sent time.Time) {
	b.Helper()
	await(b, "the next worker's message", 200*time.Millisecond, time.Minute, func() (bool, error) {
		out, err := s.sqs.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, VisibilityTimeout: 600,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp}})
		if err != nil || len(out.Messages) == 0 {
			return false, err
		}
		var one struct {
			TaskID string `json:"task_id"`
		}
		if err := json.Unmarshal([]byte(*out.Messages[0].Body), &one); err != nil {
			return false, err
		}
		millis, err := strconv.ParseInt(out.Messages[0].Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
		task, sent = one.TaskID, time.UnixMilli(millis)
		return true, err
	})
	return task, sent
}

// complete calls the worker assistant with a completion, as the mapping of the completions queue does.
func (s *stack) complete(ctx context.Context, task string) error {
	batch, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{MessageId: "end of " + task, Attributes: map[string]string{"ApproximateReceiveCount": "1"},
		Body: fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed"}`, task)}}})
	if err != nil {
		return err
	}
	out, err := s.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(s.Outputs["WorkerAssistantFunctionName"]), Payload: batch})
	if err != nil {
		return err
	}
	var answer events.SQSEventResponse
	if err := json.Unmarshal(out.Payload, &answer); err != nil || out.FunctionError != nil || len(answer.BatchItemFailures) > 0 {
		return fmt.Errorf("the worker assistant answers %s", out.Payload)
	}
	return nil
}

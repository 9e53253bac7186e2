package endtoend

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/worker"
)

func TestAWorkerMayBeAStateMachine(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, object{"target": object{"states": world.workers["Machine"]}, "max_simultaneous_invocations": 2, "retry": impatient})

	s.submit(t, object{"job_schema_name": "sections", "isolate_sections": true,
		"sections": object{"a": object{"refuse": true}, "b": object{"refuse": false}, "c": nil}})

	require.Equal(t, ledger.Counts{Completed: 3}, s.ended(t, named(t)).Counts)
	refused := 0
	for _, r := range s.archived(t, named(t)) {
		if len(r.Attempts) == 1 {
			require.Contains(t, string(r.Result), `"attempt":1`)
			continue
		}
		refused++
		require.Equal(t, task.Failed, r.Attempts[0].Status)
		require.Equal(t, &task.Error{Type: "Refused", Message: "the first attempt is refused"}, r.Attempts[0].Error)
		require.JSONEq(t, `{"attempt": 2, "sections": ["a"]}`, string(r.Result))
	}
	require.Equal(t, 1, refused)
	s.idle(t)
}

func TestAWorkerMayBeAProcessThatPollsAQueue(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(10, nil))
	ctx, stop := context.WithCancel(t.Context())
	polled := make(chan error, 1)
	go func() {
		polled <- worker.Poll(ctx, d.url, 5, func(_ context.Context, task worker.Task) (any, error) {
			task.Stats("rows", 1)
			if task.Attempt == 1 && task.ID[len(task.ID)-1] == '7' {
				return nil, worker.Errorf("Boom", "as told")
			}
			return map[string]int{"attempt": task.Attempt}, nil
		}, worker.WithQueue(s.sqs), worker.Logger(slog.New(slog.DiscardHandler)))
	}()

	s.submit(t, tasks(30, nil))

	require.Equal(t, ledger.Counts{Completed: 30}, s.ended(t, named(t)).Counts)
	stop()
	require.NoError(t, <-polled)
	again := 0
	for _, r := range s.archived(t, named(t)) {
		requireCompleted(t, r, r.Attempt)
		again += r.Attempt - 1
	}
	require.Equal(t, 3, again, "tasks 7, 17 and 27 were retried")
	s.idle(t)
}

func TestG6AFIFOQueueGetsTasksInOrderByGroup(t *testing.T) {
	t.Parallel()
	s := shared(t)
	q, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(s.called(t) + ".fifo"), Attributes: map[string]string{"FifoQueue": "true"}})
	require.NoError(t, err)
	s.apply(t, object{"target": object{"sqs": *q.QueueUrl}, "max_simultaneous_invocations": 6, "group_key": "customer"})

	s.submit(t, object{"job_schema_name": "sections", "isolate_stores": true, "sections": object{
		"a": object{"customer": "one", "stores": []int{1, 2, 3}}, "b": object{"customer": "two", "stores": []int{1, 2, 3}}}})

	stores := map[string][]float64{}
	await(t, "six tasks in the FIFO queue", func() (map[string][]float64, bool) {
		got, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
		require.NoError(t, err)
		for _, m := range got.Messages {
			one := read(t, *m.Body)
			group := m.Attributes["MessageGroupId"]
			require.Equal(t, one.object["customer"], group)
			require.Equal(t, one.taskID+"-1", m.Attributes["MessageDeduplicationId"])
			stores[group] = append(stores[group], one.object["stores"].([]any)[0].(float64))
			_, err := s.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: q.QueueUrl, ReceiptHandle: m.ReceiptHandle})
			require.NoError(t, err)
			s.complete(t, one)
		}
		return stores, len(stores["one"])+len(stores["two"]) == 6
	})
	require.Equal(t, map[string][]float64{"one": {1, 2, 3}, "two": {1, 2, 3}}, stores)
	s.ended(t, named(t))
}

// A throttled function has not begun: its task is retried, and no attempt is used up.
func TestAThrottledFunctionUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	s := shared(t)
	_, err := s.lambda.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{
		FunctionName: aws.String(world.workers["NarrowWorker"]), ReservedConcurrentExecutions: aws.Int32(1)})
	require.NoError(t, err)
	s.apply(t, onLambda("NarrowWorker", 3, object{"max_attempts": 1}))

	s.submit(t, tasks(4, object{"do": "meet", "meet": 1}))

	s.tick(t, "the job to be done", func() bool { return len(s.bus.told("JobCompleted", object{"job_id": named(t)})) > 0 })
	require.Equal(t, ledger.Counts{Completed: 4}, s.ended(t, named(t)).Counts)
	s.awaitCount(t, "NeverStarted", 1) // else nothing was throttled
	for _, r := range s.archived(t, named(t)) {
		require.Equal(t, 1, r.Attempt)
		require.JSONEq(t, `{"running": 1}`, string(r.Result))
	}
	s.idle(t)
}

package endtoend

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// desk is a queue that is the target of the test's labourer. The test itself is the worker, and decides when each task ends.
type desk struct {
	*stack
	url string
}

// delivery is a task as the desk received it.
type delivery struct {
	object // the whole message

	taskID  string
	attempt int
}

// hidden sets for how many seconds a received message is hidden. A test at a desk deletes it at once. If the answer was lost on a busy machine, the
// message is redelivered after that time.
const hidden = "60"

// desk makes a queue for the test.
func (s *stack) desk(t *testing.T) desk {
	t.Helper()
	q, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(s.called(t)), Attributes: map[string]string{"VisibilityTimeout": hidden}})
	require.NoError(t, err)
	return desk{s, aws.ToString(q.QueueUrl)}
}

// labourer returns the definition of a labourer whose target is the desk.
func (d desk) labourer(most int, more object) object {
	return with(object{"target": object{"sqs": d.url}, "max_simultaneous_invocations": most, "retry": impatient}, more)
}

// take waits for the next n tasks.
func (d desk) take(t *testing.T, n int) []delivery {
	t.Helper()
	var out []delivery
	await(t, fmt.Sprintf("%d tasks at the desk of %s", n, named(t)), func() (string, bool) {
		got, err := d.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &d.url, MaxNumberOfMessages: int32(min(n-len(out), 10)), WaitTimeSeconds: 1})
		require.NoError(t, err)
		for _, m := range got.Messages {
			out = append(out, read(t, aws.ToString(m.Body)))
			_, err := d.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &d.url, ReceiptHandle: m.ReceiptHandle})
			require.NoError(t, err)
		}
		return fmt.Sprintf("%d of %d; %s", len(out), n, d.situation(t)), len(out) == n
	})
	return out
}

func read(t *testing.T, body string) delivery {
	t.Helper()
	d := delivery{}
	require.NoError(t, json.Unmarshal([]byte(body), &d.object))
	drover, is := d.object["drover"].(object)
	require.True(t, is, "a task without the field drover: %s", body)
	d.taskID, d.attempt = d.object["task_id"].(string), int(drover["attempt"].(float64))
	require.Equal(t, d.taskID, drover["task_id"])
	return d
}

// waiting returns the number of tasks at the desk.
func (d desk) waiting(t *testing.T) int {
	t.Helper()
	return d.depth(t, d.url)
}

// depth returns the number of messages in a queue, in flight or not. Wakes that are delayed until they are due are not among them.
func (s *stack) depth(t *testing.T, url string) int {
	t.Helper()
	out, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	require.NoError(t, err)
	n := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		part, err := strconv.Atoi(out.Attributes[name])
		require.NoError(t, err)
		n += part
	}
	return n
}

// completed returns the completion of a task with a result.
func (d delivery) completed() object {
	return object{"version": 1, "task_id": d.taskID, "attempt": d.attempt, "status": "completed", "result": object{"attempt": d.attempt}, "stats": object{"rows": 1}}
}

// failed returns the completion of a task that failed, with the fields of more added or replaced.
func (d delivery) failed(more object) object {
	return with(object{"version": 1, "task_id": d.taskID, "attempt": d.attempt, "status": "failed", "error": object{"type": "Boom", "message": "as told"}}, more)
}

// running returns a heartbeat of a task.
func (d delivery) running() object {
	return object{"version": 1, "task_id": d.taskID, "attempt": d.attempt, "status": "running"}
}

// report sends messages to the completions queue.
func (s *stack) report(t *testing.T, messages ...object) {
	t.Helper()
	for _, m := range messages {
		s.send(t, s.out["CompletionsQueueUrl"], m)
	}
}

// complete completes all of these tasks.
func (s *stack) complete(t *testing.T, tasks ...delivery) {
	t.Helper()
	for _, d := range tasks {
		s.report(t, d.completed())
	}
}

// send sends a message: text as it is, anything else as JSON.
func (s *stack) send(t *testing.T, url string, message any) {
	t.Helper()
	text, is := message.(string)
	if !is {
		body, err := json.Marshal(message)
		require.NoError(t, err)
		text = string(body)
	}
	_, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &text})
	require.NoError(t, err)
}

// settled waits until Drover has processed every message that was sent to one of its queues so far.
func (s *stack) settled(t *testing.T, output string) {
	t.Helper()
	await(t, output+" to be processed", func() (int, bool) {
		left := s.depth(t, s.out[output])
		return left, left == 0
	})
}

// buried waits for a message in a queue that contains this text, deletes it, and returns its body and its reason.
func (s *stack) buried(t *testing.T, url, text string) (body, reason string) {
	t.Helper()
	m := await(t, fmt.Sprintf("a message with %q", text), func() (types.Message, bool) {
		got, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 1, WaitTimeSeconds: 1,
			MessageAttributeNames: []string{"All"}})
		require.NoError(t, err)
		for _, m := range got.Messages {
			if strings.Contains(aws.ToString(m.Body), text) {
				return m, true
			}
		}
		return types.Message{}, false
	})
	_, err := s.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
	require.NoError(t, err)
	return aws.ToString(m.Body), aws.ToString(m.MessageAttributes["reason"].StringValue)
}

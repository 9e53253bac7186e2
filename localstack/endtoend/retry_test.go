package endtoend

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
)

// only returns the one archived record of the test's labourer.
func (s *stack) only(t *testing.T) archive.Record {
	t.Helper()
	records := s.archived(t, named(t))
	require.Len(t, records, 1)
	return records[0]
}

func TestG10AFailedTaskIsRetriedAfterItsBackoff(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 1, object{"max_attempts": 3, "retry": object{"min": "1s", "initial": "1s", "max": "1s"}}))

	s.submit(t, tasks(1, object{"do": "fail", "until": 2}))

	require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, named(t)).Counts)
	r := s.only(t)
	requireCompleted(t, r, 3)
	for i, a := range r.Attempts[:2] {
		require.Equal(t, task.Failed, a.Status)
		require.Equal(t, "Boom", a.Error.Type)
		require.Contains(t, a.Error.Message, "told to fail")
		waited := r.Attempts[i+1].DispatchedAt.Sub(*a.ClosedAt)
		require.GreaterOrEqual(t, waited, time.Second, "attempt %d was started too soon", i+2)
	}
	s.idle(t)
}

func TestG4G5ATaskThatKeepsFailingDiesAndIsReported(t *testing.T) {
	t.Parallel()
	s := shared(t)
	told := s.alarms(t)
	s.apply(t, onLambda("Worker", 2, object{"max_attempts": 3}))

	s.submit(t, object{"job_schema_name": "sections", "isolate_sections": true,
		"sections": object{"good": object{"do": "complete"}, "bad": object{"do": "fail"}}})

	dead := s.fact(t, "TaskDead", object{"job_id": named(t)})
	require.EqualValues(t, 3, dead["attempts"])
	require.Equal(t, named(t), dead["labourer_id"])
	require.Equal(t, object{"type": "Boom", "message": "attempt 3 was told to fail"}, dead["error"])
	require.Equal(t, ledger.Counts{Completed: 1, Dead: 1}, s.ended(t, named(t)).Counts)
	ended := s.fact(t, "JobCompleted", object{"job_id": named(t)})
	require.EqualValues(t, 1, ended["dead"])
	for _, r := range s.archived(t, named(t)) {
		if r.TaskID == dead["task_id"] {
			require.Equal(t, task.Dead, r.Status)
			require.Len(t, r.Attempts, 3)
			require.Contains(t, string(r.Payload), "bad")
		}
	}
	alarm, _ := s.buried(t, told, named(t))
	require.Contains(t, alarm, "Boom")
	s.idle(t)
}

// alarms returns a queue that subscribes to the stack's alarm topic.
func (s *stack) alarms(t *testing.T) string {
	t.Helper()
	q, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(s.called(t))})
	require.NoError(t, err)
	attributes, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: q.QueueUrl, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	require.NoError(t, err)
	arn := attributes.Attributes["QueueArn"]
	policy, err := json.Marshal(object{"Version": "2012-10-17", "Statement": []object{{
		"Effect": "Allow", "Principal": object{"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}}})
	require.NoError(t, err)
	_, err = s.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: q.QueueUrl, Attributes: map[string]string{"Policy": string(policy)}})
	require.NoError(t, err)
	_, err = s.sns.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: aws.String(s.out["AlarmTopicArn"]), Protocol: aws.String("sqs"), Endpoint: &arn})
	require.NoError(t, err)
	return aws.ToString(q.QueueUrl)
}

func TestTasksThatMustNotBeRetriedDieAtOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for name, c := range map[string]struct {
		labourer, job object
		failure       string
	}{
		"its worker says so":            {nil, object{"do": "permanent"}, "Hopeless"},
		"its labourer says so":          {object{"not_retryable": []string{"Other", "Boom"}}, object{"do": "fail"}, "Boom"},
		"its job allows one attempt":    {object{"max_attempts": 5}, object{"do": "fail", "max_attempts": 1}, "Boom"},
		"its worker panics for nothing": {object{"max_attempts": 1}, object{"do": "panic"}, "Panic"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.apply(t, onLambda("Worker", 1, c.labourer))

			s.submit(t, tasks(1, c.job))

			dead := s.fact(t, "TaskDead", object{"job_id": named(t)})
			require.EqualValues(t, 1, dead["attempts"])
			require.Equal(t, c.failure, dead["error"].(object)["type"])
			require.Equal(t, ledger.Counts{Dead: 1}, s.ended(t, named(t)).Counts)
		})
	}
}

func TestAJobMaySetItsNumberOfAttempts(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 1, object{"max_attempts": 1}))

	s.submit(t, tasks(1, object{"do": "fail", "until": 1, "max_attempts": 2}))

	s.ended(t, named(t))
	requireCompleted(t, s.only(t), 2)
}

func TestG10AWorkerMaySetTheWaitBeforeTheRetry(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, object{"retry": object{"min": "1s", "initial": "10m", "max": "20m"}}))
	s.submit(t, tasks(1, nil))
	first := d.take(t, 1)[0]

	s.report(t, first.failed(object{"retry_after": "2s"}))

	second := d.take(t, 1)[0]
	require.Equal(t, first.taskID, second.taskID)
	require.Equal(t, 2, second.attempt)
	s.complete(t, second)
	s.ended(t, named(t))
	r := s.only(t)
	require.GreaterOrEqual(t, r.Attempts[1].DispatchedAt.Sub(*r.Attempts[0].ClosedAt), 2*time.Second)
}

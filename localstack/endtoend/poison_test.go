package endtoend

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ledger"
)

// requireWellBeing submits a job and requires it to complete: earlier poison must stop no other job.
func (s *stack) requireWellBeing(t *testing.T) {
	t.Helper()
	s.apply(t, onLambda("Worker", 2, nil))
	s.submit(t, tasks(3, nil))
	require.Equal(t, ledger.Counts{Completed: 3}, s.ended(t, named(t)).Counts)
}

func TestG8G9AnUnreadableCommandGoesToTheDeadLettersAndStopsNoJob(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for name, c := range map[string]struct{ message, reason string }{
		"no JSON":            {`{"poison": "no JSON`, "not an event"},
		"no event":           {`{"poison": "no event"}`, "not an event"},
		"an unknown command": {`{"id": "poison", "source": "x", "detail-type": "DoTheDishes", "detail": {"poison": "an unknown command"}}`, "DoTheDishes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.send(t, s.out["JobsQueueUrl"], c.message)

			s.requireWellBeing(t)
			body, reason := s.buried(t, s.out["JobsDeadLetterQueueUrl"], name)
			require.Equal(t, c.message, body)
			require.Contains(t, reason, c.reason)
		})
	}
}

func TestG8AnUnreadableCompletionGoesToTheDeadLettersAndStopsNoJob(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for name, c := range map[string]struct{ message, reason string }{
		"no JSON":             {`{"poison": "no JSON`, "no JSON"},
		"no task":             {`{"version": 1, "status": "completed", "poison": "no task"}`, "task_id"},
		"a version to come":   {`{"version": 2, "task_id": "aaaaaaaaaaaaaaaa.0", "status": "completed", "poison": "a version to come"}`, "version"},
		"a status of its own": {`{"version": 1, "task_id": "aaaaaaaaaaaaaaaa.0", "status": "a status of its own"}`, "status"},
		"two attempts":        {`{"version": 1, "task_id": "aaaaaaaaaaaaaaaa.0", "attempt": 1, "attempt": 2, "status": "completed", "poison": "two attempts"}`, "attempt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.send(t, s.out["CompletionsQueueUrl"], c.message)

			s.requireWellBeing(t)
			body, reason := s.buried(t, s.out["CompletionsDeadLetterQueueUrl"], name)
			require.Equal(t, c.message, body)
			require.Contains(t, reason, c.reason)
		})
	}
}

func TestG8AnUnreadableRecordGoesToTheStreamFailuresAndStopsNoJob(t *testing.T) {
	t.Parallel()
	s := shared(t)
	_, err := s.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(s.out["TasksTableName"]), Item: map[string]types.AttributeValue{
		"segment": &types.AttributeValueMemberS{Value: "poisonpoisonpois"}, "n": &types.AttributeValueMemberN{Value: "0"},
		"status": &types.AttributeValueMemberS{Value: "completed"}, "payload": &types.AttributeValueMemberS{Value: "neither labourer nor job"}}})
	require.NoError(t, err)

	s.requireWellBeing(t)
	body, reason := s.buried(t, s.out["StreamFailuresQueueUrl"], "poisonpoisonpois")
	require.Contains(t, body, `"keys"`)
	require.NotEmpty(t, reason)
}

func TestCompletionsOfTasksThatDoNotExistChangeNothing(t *testing.T) {
	t.Parallel()
	s := shared(t)

	s.report(t, object{"version": 1, "task_id": "aaaaaaaaaaaaaaaa.0", "status": "completed"},
		object{"version": 1, "task_id": "no id of Drover's", "status": "failed"})

	s.settled(t, "CompletionsQueueUrl")
	s.requireWellBeing(t)
	s.awaitCount(t, "Unknown", 2)
}

// The labourer shows that its target is missing. The failure uses up no attempt and stops no other labourer (G8).
func TestG8AnUnreachableLabourerStopsNoOther(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for name, target := range map[string]object{
		"function": {"lambda": beside(world.workers["Worker"], ":")},
		"queue":    {"sqs": beside(s.out["JobsQueueUrl"], "/")},
		"machine":  {"states": beside(world.workers["Machine"], ":")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := s.desk(t)
			s.apply(t, object{"target": target, "max_simultaneous_invocations": 2})
			s.submit(t, tasks(3, nil))

			seen := await(t, "the trouble to be shown", func() (*orchestrated, bool) {
				seen := s.look(t)
				return seen, seen.Binding == decision.Target
			})
			require.Contains(t, seen.Reason, "could not be reached")
			require.Zero(t, s.running(t), "tasks that could not be started were given back")

			// The owner fixes the target, and the task completes: no attempt was used up.
			s.apply(t, d.labourer(3, nil))
			require.NoError(t, s.control.SetTrouble(t.Context(), named(t), nil))
			s.look(t)
			for _, one := range d.take(t, 3) {
				require.Equal(t, 1, one.attempt)
				s.complete(t, one)
			}
			s.ended(t, named(t))
		})
	}
}

// beside returns the address of a similar resource that does not exist.
func beside(address, separator string) string {
	return address[:strings.LastIndex(address, separator)+1] + "that-was-never-made"
}

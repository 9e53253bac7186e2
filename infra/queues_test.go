package infra_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// deadEnds names the queues that only people and the command line read.
var deadEnds = map[string]string{
	"JobsDeadLetterQueue":        "commands",
	"CompletionsDeadLetterQueue": "completions",
	"RunsDeadLetterQueue":        "messages about runs",
	"StreamFailuresQueue":        "ends of tasks",
	"EventFailuresQueue":         "events",
}

func TestEveryQueueHasADeadLetterQueueOrIsOne(t *testing.T) {
	queues := read(t).of("AWS::SQS::Queue")
	for id, properties := range queues {
		redrive := at[object](properties, "RedrivePolicy")
		if deadEnds[id] != "" {
			require.Nil(t, redrive, id)
			continue
		}
		require.Equal(t, 5, redrive["maxReceiveCount"], id)
		dead := mentioned(redrive["deadLetterTargetArn"])
		require.Len(t, dead, 1, id)
		require.Contains(t, deadEnds, dead[0], id)
	}
	for id := range deadEnds {
		require.Contains(t, queues, id)
	}
}

func TestQueuesAreEncryptedAndKeepMessagesForTheLongestTime(t *testing.T) {
	for id, properties := range read(t).of("AWS::SQS::Queue") {
		require.Equal(t, true, properties["SqsManagedSseEnabled"], id)
		require.Equal(t, 14*24*3600, properties["MessageRetentionPeriod"], id)
	}
}

// AWS recommends six times the function's timeout, so that no message is redelivered while the function may still process it
// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html).
func TestMessagesAreHiddenForSixTimesTheirFunctionsTimeout(t *testing.T) {
	s := read(t)
	served := map[string]bool{}
	for id, function := range s.of("AWS::Serverless::Function") {
		for _, event := range objects(function["Events"]) {
			if event["Type"] != "SQS" {
				continue
			}
			queue := mentioned(at[any](event, "Properties", "Queue"))[0]
			served[queue] = true
			require.Equal(t, 6*function["Timeout"].(int), s.resources[queue]["Properties"].(object)["VisibilityTimeout"], "%s of %s", queue, id)
		}
	}
	require.Equal(t, []string{"CompletionsQueue", "JobsQueue", "RunsQueue"}, keys(served))
}

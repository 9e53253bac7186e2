package localstack

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// mapped makes a function with an event source mapping, which Mappings carry out, and returns what the function is handed.
func mapped(t *testing.T, m *Meter, e *Emulator, of lambda.CreateEventSourceMappingInput) (*Mappings, <-chan []json.RawMessage) {
	t.Helper()
	function(t, e, "receives", "def handler(event, context): pass\n")
	of.FunctionName = aws.String("receives")
	_, err := lambda.NewFromConfig(e.Config()).CreateEventSourceMapping(t.Context(), &of)
	require.NoError(t, err)
	received := make(chan []json.RawMessage, 10)
	m.Employ("receives", func(payload []byte) {
		var batch struct{ Records []json.RawMessage }
		if json.Unmarshal(payload, &batch) == nil {
			received <- batch.Records
		}
	})
	mappings, err := TakeMappings(t.Context(), e, m)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mappings.Stop()) })
	return mappings, received
}

func TestMessagesOfAWindowAreHandedOnTogetherAndDeleted(t *testing.T) {
	t.Parallel()
	m, e := metered(t)
	queues := sqs.NewFromConfig(e.Config())
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("messages")})
	require.NoError(t, err)
	_, received := mapped(t, m, e, lambda.CreateEventSourceMappingInput{EventSourceArn: aws.String("arn:aws:sqs:us-east-1:000000000000:messages"),
		BatchSize: aws.Int32(20), MaximumBatchingWindowInSeconds: aws.Int32(300)})

	for range 2 { // more than one request receives
		in := &sqs.SendMessageBatchInput{QueueUrl: queue.QueueUrl}
		for i := range 10 {
			in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String("hello")})
		}
		_, err := queues.SendMessageBatch(t.Context(), in)
		require.NoError(t, err)
	}

	require.Len(t, <-received, 20) // as the batch is full: its window has not passed
	require.Eventually(t, func() bool {
		left, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl,
			AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
		return err == nil && left.Attributes["ApproximateNumberOfMessages"] == "0" && left.Attributes["ApproximateNumberOfMessagesNotVisible"] == "0"
	}, time.Minute, 50*time.Millisecond)
	require.Empty(t, received, "nothing is handed on twice")
	require.Equal(t, map[string]int{"arn:aws:lambda:us-east-1:000000000000:function:receives": 1}, m.Usage()[Poller].Invoked)
}

func TestABatchThatIsNotFullIsHandedOnWhenItsWindowHasPassed(t *testing.T) {
	t.Parallel()
	m, e := metered(t)
	queues := sqs.NewFromConfig(e.Config())
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("messages")})
	require.NoError(t, err)
	_, received := mapped(t, m, e, lambda.CreateEventSourceMappingInput{EventSourceArn: aws.String("arn:aws:sqs:us-east-1:000000000000:messages"),
		BatchSize: aws.Int32(20), MaximumBatchingWindowInSeconds: aws.Int32(1)})

	_, err = queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("hello")})
	require.NoError(t, err)
	require.Len(t, <-received, 1)
}

func TestRecordsOfAStreamThatPassTheFilterAreHandedOnTogether(t *testing.T) {
	t.Parallel()
	m, e := metered(t)
	tables := dynamodb.NewFromConfig(e.Config())
	made, err := tables.CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: aws.String("shelf"), BillingMode: dynamodbtypes.BillingModePayPerRequest,
		KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: dynamodbtypes.KeyTypeHash}},
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: dynamodbtypes.ScalarAttributeTypeS}},
		StreamSpecification:  &dynamodbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: dynamodbtypes.StreamViewTypeNewImage}})
	require.NoError(t, err)
	mappings, received := mapped(t, m, e, lambda.CreateEventSourceMappingInput{EventSourceArn: made.TableDescription.LatestStreamArn,
		StartingPosition: lambdatypes.EventSourcePositionTrimHorizon, BatchSize: aws.Int32(3), MaximumBatchingWindowInSeconds: aws.Int32(300),
		FilterCriteria: &lambdatypes.FilterCriteria{Filters: []lambdatypes.Filter{{Pattern: aws.String(`{"dynamodb": {"NewImage": {"id": {"S": [{"prefix": "b"}]}}}}`)}}}})

	put := func(ids ...string) {
		for _, id := range ids {
			_, err := tables.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("shelf"),
				Item: map[string]dynamodbtypes.AttributeValue{"id": &dynamodbtypes.AttributeValueMemberS{Value: id}}})
			require.NoError(t, err)
		}
	}
	ids := func(batch []json.RawMessage) (ids []string) {
		for _, record := range batch {
			var one struct {
				Dynamodb struct {
					NewImage struct{ ID struct{ S string } }
				}
			}
			require.NoError(t, json.Unmarshal(record, &one))
			ids = append(ids, one.Dynamodb.NewImage.ID.S)
		}
		return ids
	}

	put("b1", "a1", "b2", "a2", "b3")
	require.Equal(t, []string{"b1", "b2", "b3"}, ids(<-received), "the batch is full: its window has not passed")

	put("b4", "a3", "b5")
	require.NoError(t, mappings.Flush(t.Context()))
	require.Len(t, received, 1, "a flush has handed on the others, before their window has passed")
	require.Equal(t, []string{"b4", "b5"}, ids(<-received))
	require.NoError(t, mappings.Flush(t.Context()))
	require.Empty(t, received)
}

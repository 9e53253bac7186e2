package localstack

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

func metered(t *testing.T) (*Meter, *Emulator) {
	m, err := StartMeter()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Stop()) })
	e := start(t, Options{FunctionEndpoint: m.Endpoint})
	require.NoError(t, m.Forward(e.Endpoint))
	return m, e
}

// through returns the settings of a caller with this name that goes through the meter.
func through(m *Meter, e *Emulator, caller string) aws.Config {
	cfg := e.Config()
	cfg.BaseEndpoint, cfg.AppID = aws.String(m.Endpoint), caller
	return cfg
}

func TestTheMeterCountsWhatEachCallerUses(t *testing.T) {
	t.Parallel()
	m, e := metered(t)
	table := aws.String("shelf")
	_, err := dynamodb.NewFromConfig(e.Config()).CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: table,
		KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: dynamodbtypes.KeyTypeHash}},
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: dynamodbtypes.ScalarAttributeTypeS}},
		BillingMode:          dynamodbtypes.BillingModePayPerRequest})
	require.NoError(t, err)
	id := func(id string) map[string]dynamodbtypes.AttributeValue {
		return map[string]dynamodbtypes.AttributeValue{"id": &dynamodbtypes.AttributeValueMemberS{Value: id}}
	}
	large := id("a")
	large["text"] = &dynamodbtypes.AttributeValueMemberS{Value: strings.Repeat("x", 5<<10)}

	writer := dynamodb.NewFromConfig(through(m, e, "writer"))
	_, err = writer.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: large}) // 6
	require.NoError(t, err)
	_, err = writer.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: table, Key: id("a"), UpdateExpression: aws.String("SET n = :n"),
		ExpressionAttributeValues: map[string]dynamodbtypes.AttributeValue{":n": &dynamodbtypes.AttributeValueMemberN{Value: "1"}}}) // 6
	require.NoError(t, err)
	_, err = writer.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []dynamodbtypes.TransactWriteItem{
		{Put: &dynamodbtypes.Put{TableName: table, Item: id("b")}}, {Put: &dynamodbtypes.Put{TableName: table, Item: id("c")}}}}) // 4
	require.NoError(t, err)
	_, err = writer.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: id("b"), ConditionExpression: aws.String("attribute_not_exists(id)")}) // 1
	var refused *dynamodbtypes.ConditionalCheckFailedException
	require.ErrorAs(t, err, &refused, "the meter passes on the emulator's answer")
	reader := dynamodb.NewFromConfig(through(m, e, "reader"))
	got, err := reader.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: id("a"), ConsistentRead: aws.Bool(true)}) // 2
	require.NoError(t, err)
	require.Len(t, got.Item, 3)

	usage := m.Usage()

	none := map[string]int{}
	require.Equal(t, Usage{Calls: map[string]int{"dynamodb PutItem": 2, "dynamodb UpdateItem": 1, "dynamodb TransactWriteItems": 1},
		Tables: map[string]Units{"shelf": {Write: 6 + 6 + 4 + 1}}, Refused: 1, Invoked: none}, usage["writer"])
	require.Equal(t, Usage{Calls: map[string]int{"dynamodb GetItem": 1}, Tables: map[string]Units{"shelf": {Read: 2}}, Invoked: none}, usage["reader"])
	require.Len(t, usage, 2, "the table was created without the meter")
	require.Equal(t, 4, usage["writer"].Total())
}

func TestAFunctionIsCountedUnderItsGivenName(t *testing.T) {
	t.Parallel()
	m, e := metered(t)
	_, err := s3.NewFromConfig(through(m, e, ""), func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("shelf")})
	require.NoError(t, err)
	function(t, e, "reads", `
import boto3
def handler(event, context): return len(boto3.client("s3").list_objects_v2(Bucket="shelf").get("Contents", []))
`)
	functions := lambda.NewFromConfig(e.Config())
	require.NoError(t, NameFunction(t.Context(), functions, "reads", "the-reader"))

	answer, err := functions.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("reads")})

	require.NoError(t, err)
	require.Equal(t, "0", string(answer.Payload))
	require.Equal(t, map[string]int{"s3 GET": 1}, m.Usage()["the-reader"].Calls)
	require.Equal(t, map[string]int{"s3 PUT": 1}, m.Usage()[""].Calls)
}

func TestTheMeterRefusesRequestsBeforeForward(t *testing.T) {
	t.Parallel()
	m, err := StartMeter()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Stop()) })

	answer, err := http.Get(m.Endpoint)

	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
}

func TestTheMeterCountsInvocationsAndEvents(t *testing.T) {
	t.Parallel()
	m, e := metered(t)
	function(t, e, "echoes", "def handler(event, context): return event\n")
	cfg := through(m, e, "caller")

	_, err := lambda.NewFromConfig(cfg).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("echoes"), Payload: []byte(`{}`)})
	require.NoError(t, err)
	one := eventtypes.PutEventsRequestEntry{Source: aws.String("test"), DetailType: aws.String("Test"), Detail: aws.String(`{}`)}
	_, err = eventbridge.NewFromConfig(cfg).PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []eventtypes.PutEventsRequestEntry{one, one}})
	require.NoError(t, err)

	require.Equal(t, Usage{Calls: map[string]int{"lambda Invoke": 1, "events PutEvents": 1}, Tables: map[string]Units{}, Invoked: map[string]int{"echoes": 1}, Events: 2},
		m.Usage()["caller"])
}

func TestTheMeterAnswersForTheWorkersThatItEmploys(t *testing.T) {
	t.Parallel()
	m, e := metered(t)
	payloads := make(chan string, 1)
	m.Employ("work", func(payload []byte) { payloads <- string(payload) })

	out, err := lambda.NewFromConfig(through(m, e, "caller")).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String("arn:aws:lambda:us-east-1:000000000000:function:work"), InvocationType: lambdatypes.InvocationTypeEvent, Payload: []byte(`{"a": 1}`)})

	require.NoError(t, err)
	require.EqualValues(t, http.StatusAccepted, out.StatusCode)
	require.Equal(t, `{"a": 1}`, <-payloads)
	require.Equal(t, map[string]int{"lambda Invoke": 1}, m.Usage()["caller"].Calls)
}

func TestUsageIsAddedAndSubtracted(t *testing.T) {
	a := Usage{map[string]int{"s3 GET": 2, "s3 PUT": 1}, map[string]Units{"t": {3, 1.5}, "u": {1, 0}}, 1, map[string]int{"f": 2}, 5}
	b := Usage{map[string]int{"s3 GET": 1, "sqs SendMessage": 4}, map[string]Units{"t": {1, .5}}, 0, map[string]int{"g": 1}, 1}

	require.Equal(t, Usage{map[string]int{"s3 GET": 3, "s3 PUT": 1, "sqs SendMessage": 4}, map[string]Units{"t": {4, 2}, "u": {1, 0}}, 1,
		map[string]int{"f": 2, "g": 1}, 6}, a.Plus(b))
	require.Equal(t, b, a.Plus(b).Since(a))
	require.Equal(t, Units{4, 1.5}, a.Units())
}

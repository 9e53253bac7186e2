package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

// service gives every request the same answer, and records the requests.
type service struct {
	answer string

	mu     sync.Mutex
	bodies []string
}

func (s *service) Do(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(body))
	answer := s.answer
	if answer == "" {
		answer = "{}"
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// under returns settings with a plan of faults, whose requests go to s.
func under(t *testing.T, s *service, plan string) aws.Config {
	t.Helper()
	p, err := Parse(plan)
	require.NoError(t, err)
	return p.Into(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), HTTPClient: s, RetryMaxAttempts: 5,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
	}, "an instance")
}

func get(ctx context.Context, cfg aws.Config) error {
	_, err := dynamodb.NewFromConfig(cfg).GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("tasks"),
		Key: map[string]dynamotypes.AttributeValue{"segment": &dynamotypes.AttributeValueMemberS{Value: "a"}}})
	return err
}

func TestACallThatFailsBeforeItIsSentNeverReachesItsService(t *testing.T) {
	s := &service{}
	err := get(t.Context(), under(t, s, "before=1,through=1"))

	var fault *Fault
	require.ErrorAs(t, err, &fault)
	require.Equal(t, Fault{Kind: Before, Service: "DynamoDB", Operation: "GetItem"}, *fault)
	require.Empty(t, s.bodies)
}

func TestACallThatFailsAfterItWasSentHasTakenEffect(t *testing.T) {
	s := &service{}
	err := get(t.Context(), under(t, s, "after=1,through=1"))

	var fault *Fault
	require.ErrorAs(t, err, &fault)
	require.Equal(t, After, fault.Kind)
	require.Len(t, s.bodies, 1)
}

func TestTheSDKRetriesFaultsThatDoNotGetThrough(t *testing.T) {
	s := &service{}
	err := get(t.Context(), under(t, s, "after=1,through=0"))

	require.Error(t, err)
	require.Len(t, s.bodies, 5)
}

func TestASlowCallEndsWithItsContext(t *testing.T) {
	s := &service{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()

	require.ErrorIs(t, get(ctx, under(t, s, "slow=1,delay=1000h")), context.DeadlineExceeded)
	require.NoError(t, get(t.Context(), under(t, s, "slow=1,delay=1ms")))
}

// calls makes one request to each service that Drover uses.
func calls(ctx context.Context, cfg aws.Config) map[string]error {
	out := map[string]error{"DynamoDB": get(ctx, cfg)}
	_, out["SQS"] = sqs.NewFromConfig(cfg).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String("http://127.0.0.1:1/0/q"), MessageBody: aws.String("x")})
	_, out["SFN"] = sfn.NewFromConfig(cfg).StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String("arn:x")})
	_, out["EventBridge"] = eventbridge.NewFromConfig(cfg).PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []eventtypes.PutEventsRequestEntry{{}}})
	_, out["Lambda"] = lambda.NewFromConfig(cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f")})
	_, out["S3"] = s3.NewFromConfig(cfg).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"), Body: bytes.NewReader([]byte("x"))})
	_, out["SNS"] = sns.NewFromConfig(cfg).Publish(ctx, &sns.PublishInput{Message: aws.String("x")})
	_, out["CloudWatch"] = cloudwatch.NewFromConfig(cfg).GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(time.Unix(0, 0)), EndTime: aws.Time(time.Unix(60, 0)),
		MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("a")}}})
	return out
}

func TestEachServiceThrottlesWithItsOwnError(t *testing.T) {
	codes := map[string]string{
		"DynamoDB": "ProvisionedThroughputExceededException", "SQS": "RequestThrottled", "SFN": "ThrottlingException", "EventBridge": "ThrottlingException",
		"Lambda": "TooManyRequestsException", "S3": "SlowDown", "SNS": "Throttled", "CloudWatch": "ThrottlingException",
	}
	s := &service{}
	for name, err := range calls(t.Context(), under(t, s, "throttle=1,through=1")) {
		t.Run(name, func(t *testing.T) {
			var said smithy.APIError
			require.ErrorAs(t, err, &said)
			require.Equal(t, codes[name], said.ErrorCode())
		})
	}
	require.Empty(t, s.bodies)
}

func TestTheSDKRecognisesEachThrottle(t *testing.T) {
	s := &service{}
	all := calls(t.Context(), under(t, s, "throttle=1,through=1"))

	var much *dynamotypes.ProvisionedThroughputExceededException
	require.ErrorAs(t, all["DynamoDB"], &much)
	var many *lambdatypes.TooManyRequestsException
	require.ErrorAs(t, all["Lambda"], &many)
	for name, err := range all {
		if name == "SNS" {
			continue // its SDK retries only the code Throttling, but the service answers Throttled
		}
		var said smithy.APIError
		require.ErrorAs(t, err, &said)
		require.Contains(t, retry.DefaultThrottleErrorCodes, said.ErrorCode(), name)
	}
}

func transaction(ctx context.Context, cfg aws.Config, writes int) error {
	in := &dynamodb.TransactWriteItemsInput{}
	for i := range writes {
		in.TransactItems = append(in.TransactItems, dynamotypes.TransactWriteItem{Put: &dynamotypes.Put{TableName: aws.String("tasks"),
			Item: map[string]dynamotypes.AttributeValue{"n": &dynamotypes.AttributeValueMemberN{Value: fmt.Sprint(i)}}}})
	}
	_, err := dynamodb.NewFromConfig(cfg).TransactWriteItems(ctx, in)
	return err
}

func TestATransactionThatConflictsIsCancelledWithAReasonForEachWrite(t *testing.T) {
	s := &service{}
	err := transaction(t.Context(), under(t, s, "conflict=1"), 3)

	var cancelled *dynamotypes.TransactionCanceledException
	require.ErrorAs(t, err, &cancelled)
	reasons := map[string]int{}
	for _, r := range cancelled.CancellationReasons {
		reasons[aws.ToString(r.Code)]++
	}
	require.Equal(t, map[string]int{"None": 2, "TransactionConflict": 1}, reasons)
	require.Empty(t, s.bodies)
}

func TestASingleWriteThatConflictsSaysSo(t *testing.T) {
	s := &service{}
	_, err := dynamodb.NewFromConfig(under(t, s, "conflict=1")).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("tasks"),
		Item: map[string]dynamotypes.AttributeValue{}})

	var conflict *dynamotypes.TransactionConflictException
	require.ErrorAs(t, err, &conflict)
}

func TestReadsDoNotConflict(t *testing.T) {
	require.NoError(t, get(t.Context(), under(t, &service{}, "conflict=1")))
}

func TestABatchOfWritesTakesPartialEffect(t *testing.T) {
	s := &service{}
	client := dynamodb.NewFromConfig(under(t, s, "partial=0.7,seed=2"))
	left, tries := make([]dynamotypes.WriteRequest, 25), 0
	for i := range left {
		left[i] = dynamotypes.WriteRequest{PutRequest: &dynamotypes.PutRequest{Item: map[string]dynamotypes.AttributeValue{"n": &dynamotypes.AttributeValueMemberN{Value: fmt.Sprintf("10%02d", i)}}}}
	}
	for ; len(left) > 0; tries++ {
		out, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]dynamotypes.WriteRequest{"tasks": left}})
		require.NoError(t, err)
		left = out.UnprocessedItems["tasks"]
	}

	require.Greater(t, tries, 1)
	for i := range 25 {
		require.Equal(t, 1, strings.Count(strings.Join(s.bodies, ""), fmt.Sprintf(`"10%02d"`, i)), "item %d was written once", i)
	}
}

func TestABatchOfReadsIsAnsweredInPart(t *testing.T) {
	s := &service{}
	keys := []map[string]dynamotypes.AttributeValue{}
	for i := range 10 {
		keys = append(keys, map[string]dynamotypes.AttributeValue{"n": &dynamotypes.AttributeValueMemberN{Value: fmt.Sprintf("10%02d", i)}})
	}
	out, err := dynamodb.NewFromConfig(under(t, s, "partial=1")).BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{
		RequestItems: map[string]dynamotypes.KeysAndAttributes{"tasks": {Keys: keys, ConsistentRead: aws.Bool(true)}}})

	require.NoError(t, err)
	left := out.UnprocessedKeys["tasks"]
	require.NotEmpty(t, left.Keys)
	require.True(t, *left.ConsistentRead)
	require.Equal(t, 10, len(left.Keys)+strings.Count(strings.Join(s.bodies, ""), `{"n"`))
}

func TestAQueryComesInShortPages(t *testing.T) {
	s := &service{}
	_, err := dynamodb.NewFromConfig(under(t, s, "partial=1")).Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String("tasks")})

	require.NoError(t, err)
	var asked struct{ Limit int }
	require.NoError(t, json.Unmarshal([]byte(s.bodies[0]), &asked))
	require.Contains(t, []int{1, 2, 3}, asked.Limit)
}

func TestABatchOfMessagesIsSentInPart(t *testing.T) {
	s := &service{}
	in := &sqs.SendMessageBatchInput{QueueUrl: aws.String("http://127.0.0.1:1/0/q")}
	for i := range 10 {
		in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String("x")})
	}
	out, err := sqs.NewFromConfig(under(t, s, "partial=1,seed=3")).SendMessageBatch(t.Context(), in)

	require.NoError(t, err)
	require.NotEmpty(t, out.Failed)
	require.Equal(t, 10, len(out.Failed)+strings.Count(strings.Join(s.bodies, ""), `"Id"`))
	require.Len(t, in.Entries, 10, "the caller's own request does not change")
}

func TestFailedEventsKeepTheirPlaces(t *testing.T) {
	s := &service{answer: `{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}, {"EventId": "2"}, {"EventId": "3"}, {"EventId": "4"}, {"EventId": "5"}]}`}
	in := &eventbridge.PutEventsInput{}
	for i := range 5 {
		in.Entries = append(in.Entries, eventtypes.PutEventsRequestEntry{Detail: aws.String(fmt.Sprintf(`{"n": %d}`, i))})
	}
	out, err := eventbridge.NewFromConfig(under(t, s, "partial=1")).PutEvents(t.Context(), in)

	require.NoError(t, err)
	require.Len(t, out.Entries, 5)
	failed := 0
	for i, e := range out.Entries {
		sent := strings.Contains(strings.Join(s.bodies, ""), fmt.Sprintf(`{\"n\": %d}`, i))
		require.Equal(t, sent, e.ErrorCode == nil, "event %d", i)
		if !sent {
			failed++
		}
	}
	require.EqualValues(t, failed, out.FailedEntryCount)
	require.Positive(t, failed)
}

// story records which of a hundred requests went wrong, and how.
func story(t *testing.T, plan, instance string) string {
	t.Helper()
	p, err := Parse(plan)
	require.NoError(t, err)
	cfg := p.Into(under(t, &service{}, ""), instance)
	var out strings.Builder
	for range 100 {
		err := get(t.Context(), cfg)
		var fault *Fault
		switch {
		case errors.As(err, &fault):
			out.WriteString(string(fault.Kind[0]))
		case err != nil:
			out.WriteString("t")
		default:
			out.WriteString(".")
		}
	}
	return out.String()
}

func TestTheSameSeedMakesTheSameFaults(t *testing.T) {
	const plan = "before=0.1,after=0.1,throttle=0.1,through=1,seed="
	one := story(t, plan+"1", "i")

	require.Equal(t, one, story(t, plan+"1", "i"))
	require.NotEqual(t, one, story(t, plan+"2", "i"))
	require.NotEqual(t, one, story(t, plan+"1", "j"))
	for _, kind := range []string{"b", "a", "t", "."} {
		require.Contains(t, one, kind)
	}
}

func TestTheMostSpecificChanceCounts(t *testing.T) {
	p, err := Parse("after=0.1, SQS.after=0.2,sqs.SendMessage.after=0 , EventBridge.after=0.3")
	require.NoError(t, err)

	require.InDelta(t, 0.1, p.chance(After, "DynamoDB", "GetItem"), 0)
	require.InDelta(t, 0.2, p.chance(After, "SQS", "SendMessageBatch"), 0)
	require.Zero(t, p.chance(After, "SQS", "SendMessage"))
	require.InDelta(t, 0.3, p.chance(After, "EventBridge", "PutEvents"), 0)
	require.Zero(t, p.chance(Before, "SQS", "SendMessage"))
}

func TestAMalformedPlanIsRefused(t *testing.T) {
	for plan, why := range map[string]string{
		"before=2":                 `"before=2"`,
		"before=NaN":               "want a number from 0 to 1",
		"before":                   "want a number from 0 to 1",
		"seed=x":                   `"seed=x"`,
		"delay=-1s":                "want a time above 0",
		"often=0.5":                "seed, through, delay",
		"a.b.c.before=0.5":         "seed, through, delay",
		"before=0.6,after=0.6":     "1.2",
		"before=0.6,sqs.after=0.6": `"sqs"`,
	} {
		_, err := Parse(plan)
		require.ErrorContains(t, err, why, plan)
	}
}

// A function contains faults only if it is built with the tag.
func TestNoDeployedFunctionContainsFaults(t *testing.T) {
	for _, c := range []struct {
		tags string
		want bool
	}{{"lambda.norpc", false}, {"lambda.norpc,faults", true}} {
		for _, function := range []string{"scheduler", "orchestrator", "worker-assistant", "scavenger"} {
			out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", c.tags, "../../../functions/"+function).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, c.want, strings.Contains(string(out), "/shared/testing/faults\n"), "%s with the tags %s", function, c.tags)
		}
	}
}

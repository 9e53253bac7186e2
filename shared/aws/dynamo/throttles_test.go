package dynamo_test

import (
	"context"

	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
)

// answering returns a client whose requests get these answers, one after the other: names of errors, or "" for success.
func answering(t *testing.T, answers ...string) *dynamodb.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		kind := answers[0]
		answers = answers[1:]
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if kind == "" {
			_, _ = w.Write([]byte(`{}`))
			return
		}
		status := http.StatusBadRequest
		if kind == "InternalServerError" {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"__type": "com.amazonaws.dynamodb.v20120810#` + kind + `", "message": "not now"}`))
	}))
	t.Cleanup(server.Close)
	return dynamodb.New(dynamodb.Options{BaseEndpoint: &server.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		DisableValidateResponseChecksum: true,
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.Backoff = 3, retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})})
}

func TestThrottledRequestsAreCountedAlsoWhereTheyAreRepeatedWithSuccess(t *testing.T) {
	const throttle, other = "ProvisionedThroughputExceededException", "InternalServerError"
	for name, c := range map[string]struct {
		answers []string
		want    int
		fails   bool
	}{
		"none":                   {[]string{""}, 0, false},
		"one, then success":      {[]string{throttle, ""}, 1, false},
		"two, then success":      {[]string{throttle, throttle, ""}, 2, false},
		"all":                    {[]string{throttle, throttle, throttle}, 3, true},
		"another error, success": {[]string{other, ""}, 0, false},
		"another error":          {[]string{"ValidationException"}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			count := 0
			api := dynamo.Watched{API: answering(t, c.answers...), Throttled: func(n int) { count += n }}
			_, err := api.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("t"), Key: map[string]types.AttributeValue{"a": &types.AttributeValueMemberS{Value: "b"}}})
			require.Equal(t, c.fails, err != nil, err)
			require.Equal(t, c.want, count)
		})
	}
}

// scripted answers with what is set.
type scripted struct {
	dynamo.API
	unprocessed map[string][]types.WriteRequest
	cancelled   string
}

func (s scripted) BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return &dynamodb.BatchWriteItemOutput{UnprocessedItems: s.unprocessed}, nil
}

func (s scripted) TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return nil, &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: &s.cancelled}}}
}

func TestItemsLeftUnprocessedAndThrottledTransactionsCount(t *testing.T) {
	for _, c := range []struct {
		api  scripted
		want int
	}{
		{scripted{cancelled: "ConditionalCheckFailed"}, 0},
		{scripted{cancelled: "ThrottlingError"}, 1},
		{scripted{cancelled: "TransactionConflict", unprocessed: map[string][]types.WriteRequest{"t": {{}}}}, 1},
	} {
		count := 0
		api := dynamo.Watched{API: c.api, Throttled: func(n int) { count += n }}
		_, err := api.BatchWriteItem(t.Context(), nil)
		require.NoError(t, err)
		_, err = api.TransactWriteItems(t.Context(), nil)
		require.ErrorAs(t, err, new(*types.TransactionCanceledException))
		require.Equal(t, c.want, count)
	}
}

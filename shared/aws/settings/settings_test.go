package settings_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/settings"
)

// The worker assistant has ten seconds. A request that is throttled until the SDK gives up must leave time to report the failure.
func TestACallThatIsAlwaysThrottledEndsBeforeTheFunctionsTimeout(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	cfg, err := settings.AWS(t.Context())
	require.NoError(t, err)
	retryer := cfg.Retryer()
	throttled := &smithy.GenericAPIError{Code: "ThrottlingException"}

	require.True(t, retryer.IsErrorRetryable(throttled))
	require.Equal(t, 5, retryer.MaxAttempts())
	for range 1000 {
		all := time.Duration(0)
		for attempt := 1; attempt < retryer.MaxAttempts(); attempt++ {
			wait, err := retryer.RetryDelay(attempt, throttled)
			require.NoError(t, err)
			all += wait
		}
		require.Less(t, all, 3200*time.Millisecond)
	}
}

func TestAnAnswerThatEndsEarlyIsTriedAgain(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_REGION", "us-east-1")
	answers := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answers++
		body := `{"Item": {"n": {"N": "1"}}}`
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if answers == 1 {
			body = body[:9] // the server closes the connection then
		}
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	cfg, err := settings.AWS(t.Context())
	require.NoError(t, err)
	cfg.BaseEndpoint = &server.URL

	out, err := dynamodb.NewFromConfig(cfg).GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("t"), Key: map[string]types.AttributeValue{"n": &types.AttributeValueMemberN{Value: "1"}}})

	require.NoError(t, err)
	require.Len(t, out.Item, 1)
	require.Equal(t, 2, answers)
}

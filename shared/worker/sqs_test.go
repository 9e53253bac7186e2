package worker

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

// The client made from the environment uses AWS_ENDPOINT_URL, regardless of the host in the queue's URL, and isFinal distinguishes SQS's real answers.
func TestTheDefaultClientGoesToTheEndpointOfTheEnvironment(t *testing.T) {
	const completionsURL = "https://sqs.eu-west-1.amazonaws.com/000000000000/completions"
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		text, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		var message struct{ QueueUrl, MessageBody string }
		if err := json.Unmarshal(text, &message); err != nil {
			t.Error(err)
		}
		answer.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if message.QueueUrl != completionsURL {
			answer.WriteHeader(http.StatusBadRequest)
			_, _ = answer.Write([]byte(`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`))
			return
		}
		bodies = append(bodies, message.MessageBody)
		_, _ = answer.Write([]byte(`{"MessageId":"1"}`))
	}))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	w := newWorker(nil, nil)

	require.NoError(t, w.send(t.Context(), Task{completionsURL: completionsURL}, []byte(`{"a":1}`)))
	require.Equal(t, []string{`{"a":1}`}, bodies)

	err := w.send(t.Context(), Task{completionsURL: server.URL + "/gone"}, []byte(`{}`))
	require.ErrorContains(t, err, "no such queue")
	require.True(t, isFinal(err))
}

func TestACallGoesToTheRegionOfTheQueue(t *testing.T) {
	endpoint := "http://localhost:4566"
	for name, c := range map[string]struct {
		url      string
		endpoint *string
		region   string
	}{
		"another region":     {"https://sqs.eu-west-1.amazonaws.com/0/q", nil, "eu-west-1"},
		"China":              {"https://sqs.cn-north-1.amazonaws.com.cn/0/q", nil, "cn-north-1"},
		"FIPS":               {"https://sqs-fips.us-gov-west-1.amazonaws.com/0/q", nil, "us-gov-west-1"},
		"dual stack":         {"https://sqs.eu-west-1.api.aws/0/q", nil, "eu-west-1"},
		"a local AWS":        {"http://localhost:4566/0/q", nil, "us-east-1"},
		"an endpoint is set": {"https://sqs.eu-west-1.amazonaws.com/0/q", &endpoint, "us-east-1"},
		"no URL":             {"://", nil, "us-east-1"},
		"a lookalike":        {"https://sqs.eu-west-1.amazonaws.com.example.org/0/q", nil, "us-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			options := sqs.Options{Region: "us-east-1", BaseEndpoint: c.endpoint}
			inRegionOf(c.url)(&options)
			require.Equal(t, c.region, options.Region)
		})
	}
}

func TestWaitsDoubleUpToALimitAndAreHalfRandom(t *testing.T) {
	for try, whole := range map[int]time.Duration{1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 6: 6400 * time.Millisecond, 7: longestWait, 1000: longestWait} {
		for range 100 {
			wait := backoff(try)
			require.GreaterOrEqual(t, wait, whole/2)
			require.Less(t, wait, whole)
		}
	}
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, pause(ctx, time.Hour))
}

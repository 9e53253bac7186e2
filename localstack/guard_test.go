package localstack

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

type recorder struct{ hosts []string }

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	r.hosts = append(r.hosts, request.URL.Host)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestTheGuardRefusesAWSAndNothingElse(t *testing.T) {
	t.Setenv(AllowAWS, "")
	for url, refused := range map[string]bool{
		"https://sqs.us-east-1.amazonaws.com/":          true,
		"https://SQS.us-east-1.AmazonAWS.com.:443/":     true,
		"https://bucket.s3.cn-north-1.amazonaws.com.cn": true,
		"https://sqs.us-east-1.api.aws":                 true,
		"http://localhost:4566/bucket":                  false,
		"http://127.0.0.1:4566/amazonaws.com":           false,
		"https://notamazonaws.com/":                     false,
	} {
		t.Run(url, func(t *testing.T) {
			next := &recorder{}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
			require.NoError(t, err)

			response, err := Guard(next).Do(request)

			if refused {
				require.ErrorContains(t, err, AllowAWS)
				require.Empty(t, next.hosts)
				return
			}
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Len(t, next.hosts, 1)
		})
	}
}

func TestAClientWithTheGuardGivesUpOnAWSAtOnce(t *testing.T) {
	t.Setenv(AllowAWS, "")
	client := sqs.New(sqs.Options{Region: Region, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), HTTPClient: Guard(&recorder{})})

	_, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{})

	require.ErrorContains(t, err, "a test would call AWS itself")
	require.NotContains(t, err.Error(), "exceeded maximum number of attempts", "the SDK retried it")
}

func TestTheGuardLetsEverythingThroughWhenAskedTo(t *testing.T) {
	t.Setenv(AllowAWS, "1")
	next := &recorder{}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://sqs.us-east-1.amazonaws.com/", http.NoBody)
	require.NoError(t, err)

	response, err := Guard(next).Do(request)

	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, []string{"sqs.us-east-1.amazonaws.com"}, next.hosts)
}

var _ aws.HTTPClient = (*recorder)(nil)

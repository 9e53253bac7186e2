package settings_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/lambda"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/service/target"
)

// recorder records the headers of requests, and refuses each.
type recorder struct{ sent []http.Header }

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	r.sent = append(r.sent, request.Header)
	return &http.Response{StatusCode: http.StatusBadRequest, Body: http.NoBody, Header: http.Header{}}, nil
}

// TestAStartOfAWorkerBeginsANewChain: in a function of Lambda, which handles a completion of the worker before.
func TestAStartOfAWorkerBeginsANewChain(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "worker-assistant")
	t.Setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=25:a87bd80c:15")
	r := &recorder{}
	cfg := aws.Config{Region: "us-east-1", HTTPClient: r, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "c")}
	functions, queues := awslambda.NewFromConfig(cfg), awssqs.NewFromConfig(cfg)
	_, err := functions.Invoke(context.Background(), &awslambda.InvokeInput{FunctionName: aws.String("f")})
	require.Error(t, err)
	require.Contains(t, r.sent[0].Get("X-Amzn-Trace-Id"), "Lineage", "the SDK continues the chain by itself")
	r.sent = nil

	l, starts := labourer.New("w"), []target.Start{{Attempt: 1, Event: []byte("{}")}}
	l.Target.Lambda = "f"
	lambda.Starter{API: functions}.Start(context.Background(), l, starts)
	l.Target = labourer.Target{SQS: "https://sqs.us-east-1.amazonaws.com/000000000000/q"}
	sqs.Starter{API: queues}.Start(context.Background(), l, starts)

	require.Len(t, r.sent, 2)
	for _, header := range r.sent {
		require.Empty(t, header.Get("X-Amzn-Trace-Id"))
	}
}

package wiring

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/aws/lambda"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/sns"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/core/metric"
)

// Clients are the functions' connections to the outside. Each function uses those that its constructor names; the others may be nil.
type Clients struct {
	DynamoDB      dynamo.API
	SQS           sqs.API
	EventBridge   eventbridge.API
	StepFunctions stepfunctions.API
	Tokens        stepfunctions.Tokens
	Lambda        lambda.API
	S3            s3.API
	SNS           sns.API
	CloudWatch    cloudwatch.API

	Now    func() time.Time
	Random func() float64              // uniform in [0,1)
	Wait   func(context.Context) error // returns when another function may have an answer from CloudWatch
	Log    *slog.Logger

	tally *metric.Tally // of the function's figures
}

// metered returns the clients of a function with a tally of its own, which counts requests that DynamoDB throttles.
func (c Clients) metered() Clients {
	tally := &metric.Tally{}
	c.tally = tally
	c.DynamoDB = dynamo.Watched{API: c.DynamoDB, Throttled: func(n int) { tally.Count(metric.Subject{}, metric.TableThrottles, n) }}
	return c
}

// invocation returns an id that is unique to this invocation.
func invocation(ctx context.Context, now time.Time) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" {
		return lc.AwsRequestID
	}
	return strconv.FormatInt(now.UnixNano(), 36)
}

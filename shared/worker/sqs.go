package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// Sender has the SQS call that reports need. *sqs.Client implements it.
type Sender interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Queue has the SQS calls that [Poll] needs. *sqs.Client implements it.
type Queue interface {
	Sender
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
}

var _ Queue = (*sqs.Client)(nil)

// newClient makes a client from the environment, like every AWS tool. The SDK itself reads AWS_ENDPOINT_URL.
func newClient() (Queue, error) {
	settings, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		return nil, fmt.Errorf("reading the AWS settings: %w", err)
	}
	return sqs.NewFromConfig(settings), nil
}

var regionalHost = regexp.MustCompile(`^(?:sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?|sqs\.([a-z0-9-]+)\.api\.aws)$`)

// inRegionOf sends a call to the region in the queue's URL, because a worker may run in another region than Drover. A client with its own endpoint (a
// local AWS, a proxy) uses that endpoint.
func inRegionOf(queueURL string) func(*sqs.Options) {
	return func(options *sqs.Options) {
		parsed, err := url.Parse(queueURL)
		if err != nil || options.BaseEndpoint != nil {
			return
		}
		match := regionalHost.FindStringSubmatch(parsed.Hostname())
		if match != nil {
			options.Region = match[1] + match[2]
		}
	}
}

// isFinal reports whether the same call would fail again (no such queue, no permission, message no longer held). Other errors are temporary
// (throttles, faults of the service or the network).
func isFinal(err error) bool {
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		if _, throttled := retry.DefaultThrottleErrorCodes[coded.ErrorCode()]; throttled {
			return false
		}
	}
	var answered interface{ HTTPStatusCode() int }
	if !errors.As(err, &answered) {
		var told smithy.APIError
		return errors.As(err, &told) && told.ErrorFault() == smithy.FaultClient
	}
	status := answered.HTTPStatusCode()
	return status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
}

// isOfContents reports whether a queue refused a message for its characters or its size, and so would refuse the same text again. A queue whose
// MaximumMessageSize is below SQS's limit answers InvalidParameterValue.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func isOfContents(err error) bool {
	var told interface{ ErrorCode() string }
	if !errors.As(err, &told) {
		return false
	}
	switch code := told.ErrorCode(); code[strings.LastIndex(code, ".")+1:] {
	case "InvalidMessageContents", "InvalidParameterValue", "InvalidParameterValueException", "RequestEntityTooLarge", "RequestEntityTooLargeException":
		return true
	}
	return false
}

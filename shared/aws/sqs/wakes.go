package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/core/completion"
)

// Wakes sends wakes to the completions queue. The worker assistant gets them when they are due, and wakes the orchestrator.
type Wakes struct {
	API API
	URL string
	Now func() time.Time
}

// longestDelay limits the delay of a message. A wake that is due later comes too early, and the worker assistant sends it again. SQS allows 15
// minutes, but the alarm for completions that wait for five minutes, and drover doctor, know only the age of the queue's oldest message, and AWS does
// not say that delays are not part of it.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-timers.html
const longestDelay = 4 * time.Minute

// WakeAt wakes the orchestrator for labourers at a time, or up to a second later: SQS delays by whole seconds. Nothing deduplicates wakes. Those that
// arrive together share a publication.
func (w Wakes) WakeAt(ctx context.Context, at time.Time, labourers ...string) error {
	left := min(max(at.Sub(w.Now()), 0), longestDelay)
	delay := int32((left + time.Second - 1) / time.Second)
	for _, body := range (completion.Wake{Labourers: labourers, DueAt: at}).Messages() {
		if _, err := w.API.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &w.URL, MessageBody: aws.String(body), DelaySeconds: delay}); err != nil {
			return fmt.Errorf("sending a wake for %s, %w", at.Format(time.RFC3339), err)
		}
	}
	return nil
}

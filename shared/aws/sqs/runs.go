package sqs

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/service/workflow"
)

// Runs sends to the runs queue.
type Runs struct {
	API API
	URL string
}

var _ workflow.Waker = Runs{}

// Look has the workflow function look at a run.
func (r Runs) Look(ctx context.Context, run string) error {
	if _, err := r.API.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &r.URL, MessageBody: aws.String(string(workflow.LookMessage(run)))}); err != nil {
		return fmt.Errorf("waking run %s, %w", run, err)
	}
	return nil
}

package sqs

import "github.com/aws/aws-lambda-go/events"

// Failures returns the answer to a batch of which these messages must be redelivered. The list is never null, because not every caller of a function
// reads null as an empty list.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func Failures(ids []string) events.SQSEventResponse {
	out := events.SQSEventResponse{BatchItemFailures: make([]events.SQSBatchItemFailure, len(ids))}
	for i, id := range ids {
		out.BatchItemFailures[i].ItemIdentifier = id
	}
	return out
}

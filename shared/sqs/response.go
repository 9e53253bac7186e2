package sqs

import "github.com/aws/aws-lambda-go/events"

// Failures is the answer to a batch of which these messages have to come again. The list is never null: not everything that invokes
// functions takes that for an empty one.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func Failures(ids []string) events.SQSEventResponse {
	out := events.SQSEventResponse{BatchItemFailures: make([]events.SQSBatchItemFailure, len(ids))}
	for i, id := range ids {
		out.BatchItemFailures[i].ItemIdentifier = id
	}
	return out
}

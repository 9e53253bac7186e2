package completion_test

import (
	"testing"

	"github.com/drover-run/drover/shared/core/completion"
)

// BenchmarkRead reads what workers, Lambda and Step Functions send when a task has ended.
func BenchmarkRead(b *testing.B) {
	for name, text := range map[string]string{
		"completed": `{"version": 1, "task_id": "2jxtsgokhmkcw7cc.17", "attempt": 1, "status": "completed", "result": {"rows": 1000, "file": "s3://bucket/key"}, "stats": {"rows": 10}}`,
		"failed":    `{"version": 1, "task_id": "2jxtsgokhmkcw7cc.17", "attempt": 1, "status": "failed", "error": {"type": "Timeout", "message": "after 30 s"}, "retryable": true}`,
		"failure destination": `{"version": "1.0", "requestContext": {"requestId": "1", "functionArn": "arn:aws:lambda:us-east-1:0:function:f", "condition": "RetriesExhausted"},
			"requestPayload": {"n": 1, "task_id": "2jxtsgokhmkcw7cc.17", "drover": {"version": 1, "task_id": "2jxtsgokhmkcw7cc.17", "attempt": 1}},
			"responseContext": {"statusCode": 200, "functionError": "Unhandled"}, "responsePayload": {"errorType": "Boom", "errorMessage": "no"}}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := completion.Read([]byte(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

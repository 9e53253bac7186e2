package worker

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/lambda"
)

// Start runs the program as a Lambda function that runs Drover's tasks. It is the last call of main, and does not return.
//
// The Lambda may be the target of a labourer itself, or serve (by an event source mapping) the SQS queue that is the
// target. For a queue, enable ReportBatchItemFailures and set the queue's visibility timeout to at least six times the
// function's timeout. Start processes the messages of a batch one after the other.
//
// The function's error goes to Drover and not to Lambda, whose own retries would only repeat an attempt that has ended.
// Lambda sees an error when there is no task to report on (*[BadEvent]) or the report could not be sent (*[CompletionError]).
func Start(function Func, options ...Option) {
	lambda.Start(Handler(function, options...))
}

// Handler returns the handler that [Start] runs, for tests or to wrap it in a handler of your own. It answers an invocation for one task with the
// completion message that it sent.
func Handler(function Func, options ...Option) lambda.Handler {
	return &handler{newWorker(function, options)}
}

type handler struct{ *worker }

func (h *handler) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	if batch, ok := sqsBatch(event); ok {
		return json.Marshal(h.performBatch(ctx, batch))
	}
	task, err := ParseTask(event)
	if err != nil {
		return nil, err
	}
	return h.performOne(ctx, task)
}

// performOne runs a task and reports its end. It returns an error if it could not report.
func (w *worker) performOne(ctx context.Context, task Task) ([]byte, error) {
	r := w.newRun(ctx, task)
	defer r.lease.stop()
	o := r.perform()
	if err := r.report(ctx, o); err != nil {
		return nil, err
	}
	return o.text, nil
}

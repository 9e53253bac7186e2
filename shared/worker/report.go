package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/core/escape"
)

const (
	// sendTries limits the calls for one message. With the SDK's three tries in each call, and the waits between them, they bridge about half a minute
	// in which SQS answers with errors. sendTime limits all of them together if SQS does not answer.
	sendTries = 7
	sendTime  = 45 * time.Second
)

// CompletionError reports that a run ended, but its completion could not be sent. For Drover the attempt is still running. The error goes to Lambda's
// on-failure destination, or the message returns to the queue.
type CompletionError struct {
	TaskID  string
	Attempt int
	Status  string // the unreported status: "completed" or "failed"
	Err     error
}

func (e *CompletionError) Error() string {
	return fmt.Sprintf("attempt %d of task %s %s, but its completion could not be sent: %v", e.Attempt, e.TaskID, e.Status, e.Err)
}

func (e *CompletionError) Unwrap() error { return e.Err }

// send sends one message about a task to its completions queue, and retries temporary errors.
func (w *worker) send(ctx context.Context, task Task, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	for try := 1; ; try++ {
		err := w.sendOnce(ctx, task, text)
		if err == nil || isFinal(err) || try == sendTries {
			return err
		}
		if !pause(ctx, backoff(try)) {
			return err
		}
	}
}

func (w *worker) sendOnce(ctx context.Context, task Task, text []byte) error {
	sender, err := w.sender()
	if err != nil {
		return err
	}
	body := string(escape.JSON(text))
	_, err = sender.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &task.completionsURL, MessageBody: &body}, inRegionOf(task.completionsURL))
	return err
}

package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/core/escape"
)

const (
	// sendTries, with the SDK's own three tries in each, and the waits between them bridge about half a minute in which
	// SQS answers every call with an error. sendTime limits the whole when SQS does not answer.
	sendTries = 7
	sendTime  = 45 * time.Second
)

// CompletionError reports that a run ended and its completion could not be sent. For Drover the attempt is then still
// running; the error goes to Lambda's on-failure destination, or the message back into the queue.
type CompletionError struct {
	TaskID  string
	Attempt int
	Status  string // what would have been reported: "completed" or "failed"
	Err     error
}

func (e *CompletionError) Error() string {
	return fmt.Sprintf("attempt %d of task %s %s, but its completion could not be sent: %v", e.Attempt, e.TaskID, e.Status, e.Err)
}

func (e *CompletionError) Unwrap() error { return e.Err }

// send puts one message about a task into its completions queue, and retries errors that may pass.
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

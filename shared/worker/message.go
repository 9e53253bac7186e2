package worker

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// performMessage runs the task of one message and settles the message: it deletes or returns it, or lets it reappear.
func (p *poller) performMessage(ctx context.Context, message types.Message) {
	task, err := ParseTask([]byte(deref(message.Body)))
	if err != nil {
		p.log.Error("message is not a task", "message_id", deref(message.MessageId), "error", err)
		return
	}
	task.sentAt = sentAt(message.Attributes)
	task = p.received(ctx, task)
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	r := p.beatingWorker(task).newRun(ctx, task)
	defer r.lease.stop()
	p.enter(r)
	defer p.leave(r)

	letGo := p.keepHidden(ctx, message, lose)
	defer letGo()
	p.settle(ctx, message, letGo, r, r.perform())
}

// beatingWorker returns the worker with Poll's default for heartbeats, which depends on the task's time.
func (p *poller) beatingWorker(task Task) *worker {
	if p.beat != nil {
		return p.worker
	}
	since := task.sentAt
	if since.IsZero() {
		since = p.now()
	}
	every := max(task.Deadline.Sub(since)/3, time.Second)
	beating := *p.worker
	beating.beat = &every
	return &beating
}

// settle reports how a run ended, unless it ended only because this worker lost its message or is being stopped.
func (p *poller) settle(ctx context.Context, message types.Message, letGo func(), r *run, o outcome) {
	ended := context.Cause(ctx)
	if o.err != nil && errors.Is(ended, ErrLeaseLost) {
		p.log.Warn("task abandoned", "task_id", r.task.ID, "attempt", r.task.Attempt, "error", ended)
		return
	}
	// The following calls have to work even while the worker is being stopped.
	ctx = context.WithoutCancel(ctx)
	if o.err != nil && errors.Is(ended, ErrDraining) {
		p.log.Info("task returned to the queue", "task_id", r.task.ID, "attempt", r.task.Attempt)
		letGo() // a renewal could hide the message again
		p.show(ctx, message)
		return
	}
	if r.report(ctx, o) != nil {
		return // report has logged it; the message is redelivered, with the same attempt
	}
	p.remove(ctx, message)
}

// show makes a message visible to all workers at once.
func (p *poller) show(ctx context.Context, message types.Message) {
	if err := p.hide(ctx, message, 0); err != nil {
		p.log.Warn("message not returned; it becomes visible by itself", "message_id", deref(message.MessageId), "within", p.visibility, "error", err)
	}
}

// remove deletes a message whose task is reported. If that fails, the task runs again, which at-least-once delivery allows.
func (p *poller) remove(ctx context.Context, message types.Message) {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	for try := 1; ; try++ {
		_, err := p.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &p.queueURL, ReceiptHandle: message.ReceiptHandle}, inRegionOf(p.queueURL))
		if err == nil {
			return
		}
		if isFinal(err) || try == sendTries || !pause(ctx, backoff(try)) {
			p.log.Warn("message not deleted", "message_id", deref(message.MessageId), "error", err)
			return
		}
	}
}

// keepHidden renews the message's invisibility until the returned function is called. It calls lose if SQS answers that this worker no longer holds
// the message, or if SQS has not confirmed a renewal for so long that others may see it.
func (p *poller) keepHidden(ctx context.Context, message types.Message, lose context.CancelCauseFunc) (letGo func()) {
	hiddenUntil := p.now().Add(p.visibility)
	// Without the cancellation of ctx: a task that is being drained has to stay hidden until its message is settled.
	return repeat(context.WithoutCancel(ctx), p.visibility/3, func(call context.Context) {
		asked := p.now()
		err := p.hide(call, message, p.visibility)
		if err == nil {
			hiddenUntil = asked.Add(p.visibility)
			return
		}
		p.log.Warn("message not kept hidden", "message_id", deref(message.MessageId), "error", err)
		if isFinal(err) || !p.now().Before(hiddenUntil) {
			lose(ErrLeaseLost)
		}
	})
}

func (p *poller) hide(ctx context.Context, message types.Message, d time.Duration) error {
	_, err := p.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &p.queueURL, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: wholeSeconds(d),
	}, inRegionOf(p.queueURL))
	return err
}

// wholeSeconds rounds up, because hiding a message too briefly is worse than hiding it too long.
func wholeSeconds(d time.Duration) int32 {
	return int32((d + time.Second - 1) / time.Second)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

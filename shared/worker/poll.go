package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The reasons for which [Poll] ends a context before its deadline. context.Cause returns them.
var (
	// ErrLeaseLost: the message has become visible to other workers, and one of them may be running the task.
	ErrLeaseLost = errors.New("worker: the task is no longer this worker's")
	// ErrDraining: the worker is being stopped, and the task did not end within [Drain].
	ErrDraining = errors.New("worker: stopping; the task goes back to the queue")
)

const (
	longPoll = 20 // seconds that SQS waits for a message; SQS allows no more
	// receiveMost is SQS's limit of messages a call: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
	receiveMost = 10
	// settleTime limits Poll's wait for functions to return after it has cancelled them.
	settleTime      = 4 * time.Second
	leastVisibility = 10 * time.Second
	mostVisibility  = 12 * time.Hour
)

// Poll runs the tasks that arrive in an SQS queue (a labourer's target), at most concurrency at a time, until ctx ends. It receives no more messages
// than it can run, so that no message waits here while another worker is idle.
//
// While a task runs, Poll keeps its message hidden from other workers, and heartbeats extend its lease. Its context ends when
// the lease expires, when the message could not be kept hidden (cause [ErrLeaseLost]; Poll does not report a failure
// that follows, because another worker may have started the same attempt), or when the worker is stopped.
//
// When ctx ends, Poll stops receiving and gives running tasks the time of [Drain] to end. It then cancels those that still run (cause [ErrDraining])
// and returns their messages to the queue, for the same attempt. Poll returns nil if all functions have returned, and otherwise an error that names
// the tasks whose functions did not return. A message that SQS was delivering when ctx ended is redelivered after [Visibility].
//
// A message without a task stays in the queue until its redrive policy moves it to the dead letter queue. Poll waits until faults of SQS
// pass. An error that does not pass, such as a queue that does not exist, ends Poll as if ctx had ended, and Poll returns it.
func Poll(ctx context.Context, queueURL string, concurrency int, function Func, options ...Option) error {
	w := newWorker(function, options)
	if err := w.checkPoll(queueURL, concurrency); err != nil {
		return err
	}
	queue, err := w.queue()
	if err != nil {
		return err
	}
	p := &poller{worker: w, queue: queue, queueURL: queueURL, free: make(chan struct{}, concurrency), running: map[*run]struct{}{}}
	for range concurrency {
		p.free <- struct{}{}
	}
	return p.poll(ctx)
}

func (w *worker) checkPoll(queueURL string, concurrency int) error {
	if queueURL == "" {
		return errors.New("queueURL is empty; want the URL of the labourer's SQS target")
	}
	if concurrency < 1 {
		return fmt.Errorf("concurrency is %d; want at least 1", concurrency)
	}
	if w.visibility < leastVisibility || w.visibility > mostVisibility {
		return fmt.Errorf("visibility is %s; want %s to %s", w.visibility, leastVisibility, mostVisibility)
	}
	if w.drain < 0 {
		return fmt.Errorf("drain is %s; want 0 or more", w.drain)
	}
	return nil
}

type poller struct {
	*worker
	queue    Queue
	queueURL string
	free     chan struct{} // a token for each free place

	tasks   sync.WaitGroup
	mu      sync.Mutex
	running map[*run]struct{}
}

func (p *poller) poll(ctx context.Context) error {
	// The tasks outlive ctx, because its end only starts the draining.
	tasks, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	pollErr := p.receiveAll(ctx, tasks)
	return errors.Join(pollErr, p.drainTasks(cancel))
}

// receiveAll starts tasks until ctx ends (nil) or SQS returns an error that does not pass.
func (p *poller) receiveAll(ctx, tasks context.Context) error {
	failures := 0
	for {
		places := p.takePlaces(ctx)
		if places == 0 {
			return nil
		}
		messages, err := p.receive(ctx, places)
		p.freePlaces(places - len(messages))
		for _, message := range messages {
			p.tasks.Go(func() {
				defer p.freePlaces(1)
				p.performMessage(tasks, message)
			})
		}
		if err == nil {
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if isFinal(err) {
			return fmt.Errorf("receiving from %s: %w", p.queueURL, err)
		}
		failures++
		p.log.Warn("receiving failed", "queue", p.queueURL, "error", err)
		pause(ctx, backoff(failures))
	}
}

// takePlaces waits for a free place, takes more free places up to the limit of one receive, and returns their number. It returns 0 if ctx has ended.
func (p *poller) takePlaces(ctx context.Context) int {
	if ctx.Err() != nil {
		return 0
	}
	select {
	case <-ctx.Done():
		return 0
	case <-p.free:
	}
	for places := 1; ; places++ {
		if places == receiveMost {
			return places
		}
		select {
		case <-p.free:
		default:
			return places
		}
	}
}

func (p *poller) freePlaces(n int) {
	for range n {
		p.free <- struct{}{}
	}
}

func (p *poller) receive(ctx context.Context, most int) ([]types.Message, error) {
	answer, err := p.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &p.queueURL,
		MaxNumberOfMessages:         int32(most),
		WaitTimeSeconds:             longPoll,
		VisibilityTimeout:           wholeSeconds(p.visibility),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp},
	}, inRegionOf(p.queueURL))
	if err != nil {
		return nil, err
	}
	return answer.Messages, nil
}

// drainTasks waits until the running tasks end by themselves, then cancels their contexts and waits again.
func (p *poller) drainTasks(cancel context.CancelCauseFunc) error {
	ended := make(chan struct{})
	go func() { p.tasks.Wait(); close(ended) }()
	if happens(ended, p.drain) {
		return nil
	}
	cancel(ErrDraining)
	if happens(ended, settleTime) {
		return nil
	}
	return fmt.Errorf("tasks still running after they were cancelled: %s", strings.Join(p.runningIDs(), ", "))
}

func happens(event <-chan struct{}, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-event:
		return true
	case <-timer.C:
		return false
	}
}

func (p *poller) enter(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[r] = struct{}{}
}

func (p *poller) leave(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, r)
}

func (p *poller) runningIDs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]string, 0, len(p.running))
	for r := range p.running {
		ids = append(ids, r.task.ID)
	}
	slices.Sort(ids)
	return ids
}

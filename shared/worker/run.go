package worker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
	"time"
)

// Func processes one task. Its return value is encoded as JSON and stored as the task's result; a [Result] adds figures. The context ends shortly
// before the task's deadline, or when this worker loses the task.
type Func func(ctx context.Context, task Task) (result any, err error)

// reportMargin reserves time at the end of a run for its report, but at most a tenth of the run.
const reportMargin = 2 * time.Second

// run holds the state of one run of one attempt.
type run struct {
	worker *worker
	task   Task
	lease  *lease
	// length holds the time that a heartbeat grants, at most the labourer's max_duration. The event does not contain max_duration. But the
	// dispatch was that long before the deadline, and the task was received (or put into the queue) after the dispatch.
	length time.Duration
	margin time.Duration

	mu    sync.Mutex
	stats map[string]any
}

// outcome holds the end of a run: the completion to send, or the error that ended the run without a completion.
type outcome struct {
	status string
	text   []byte
	err    error // nil exactly when the status is completed
}

// received returns the task with its deadline. A message may wait long in its queue: if that took more than half of the task's time, a heartbeat
// gives the task its whole time again. If the heartbeat fails, the task keeps its old deadline.
func (w *worker) received(ctx context.Context, task Task) Task {
	now := w.now()
	if task.sentAt.IsZero() || now.Sub(task.sentAt) < task.Deadline.Sub(now) {
		return task
	}
	length := task.Deadline.Sub(task.sentAt)
	if length <= 0 {
		return task
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if err := w.sendOnce(ctx, task, running(task)); err != nil {
		w.log.Warn("heartbeat failed", "task_id", task.ID, "attempt", task.Attempt, "error", err)
		return task
	}
	task.Deadline, task.sentAt = now.Add(length), now
	return task
}

// newRun starts the clock of a run. The caller has to stop its lease.
func (w *worker) newRun(ctx context.Context, task Task) *run {
	now := w.now()
	r := &run{worker: w, length: task.Deadline.Sub(now)}
	if !task.sentAt.IsZero() {
		r.length = max(r.length, task.Deadline.Sub(task.sentAt))
	}
	latest, bounded := ctx.Deadline()
	if w.timeout > 0 {
		latest, bounded = earlier(latest, now.Add(w.timeout)), true
	}
	left := task.Deadline.Sub(now)
	if bounded {
		left = min(left, latest.Sub(now))
		r.margin = marginOf(left)
		latest = latest.Add(-r.margin)
	} else {
		r.margin = marginOf(left)
	}
	r.lease = newLease(ctx, w.now, task.Deadline.Add(-r.margin), latest)
	r.task = task
	r.task.run = r
	return r
}

func marginOf(left time.Duration) time.Duration {
	return max(min(reportMargin, left/10), 0)
}

// perform calls the function and never panics. It sends nothing.
func (r *run) perform() outcome {
	if late := r.worker.now().Sub(r.task.Deadline); late >= 0 {
		return r.failed(Errorf("Timeout", "deadline %s had passed by %s when the worker received the task", r.task.Deadline.Format(time.RFC3339), late.Round(time.Millisecond)))
	}
	stopBeating := r.startBeating()
	text, err := r.call()
	stopBeating()
	if err != nil {
		return r.failed(err)
	}
	return outcome{status: statusCompleted, text: text}
}

// call runs the function and encodes its result, which may also run the user's code (MarshalJSON).
func (r *run) call() (text []byte, err error) {
	defer func() {
		if value := recover(); value != nil {
			stack := debug.Stack()
			r.worker.log.Error("task panicked", "task_id", r.task.ID, "attempt", r.task.Attempt, "panic", fmt.Sprint(value), "stack", string(stack))
			err = &panicked{value, fromPanic(stack)}
		}
	}()
	result, err := r.worker.function(withTrace(r.lease, r.task.Trace), r.task)
	if err != nil {
		return nil, err
	}
	return completed(r.task, result, r.figures())
}

// fromPanic removes the frames of the recovery: the text is cut before it is sent, and the place of the panic matters most.
func fromPanic(stack []byte) []byte {
	if start := bytes.Index(stack, []byte("\npanic(")); start >= 0 {
		return stack[start+1:]
	}
	return stack
}

func (r *run) failed(err error) outcome {
	return outcome{status: statusFailed, text: failed(r.task, err, r.figures()), err: err}
}

func (r *run) stat(name string, value any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stats == nil {
		r.stats = map[string]any{}
	}
	r.stats[name] = value
}

// figures returns a copy, because a goroutine that outlives the function may still call Stats.
func (r *run) figures() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.stats)
}

// heartbeat tries once: if it fails, the next heartbeat follows soon.
func (r *run) heartbeat(ctx context.Context) error {
	sent := r.worker.now()
	if err := r.worker.sendOnce(ctx, r.task, running(r.task)); err != nil {
		return fmt.Errorf("sending a heartbeat of task %s: %w", r.task.ID, err)
	}
	r.lease.extend(sent.Add(r.length - r.margin))
	return nil
}

// startBeating sends heartbeats until the returned function is called. That function waits for a heartbeat in progress.
func (r *run) startBeating() (stop func()) {
	if r.worker.beat == nil || *r.worker.beat <= 0 {
		return func() {}
	}
	return repeat(r.lease, *r.worker.beat, func(ctx context.Context) {
		if err := r.heartbeat(ctx); err != nil && ctx.Err() == nil {
			r.worker.log.Warn("heartbeat failed", "task_id", r.task.ID, "attempt", r.task.Attempt, "error", err)
		}
	})
}

// report sends the outcome. It has its own time limit, because it must work at the end of the lease too. If the queue refuses the message's contents,
// report sends a failure that says so, and the attempt still ends.
func (r *run) report(ctx context.Context, o outcome) error {
	err := r.worker.send(ctx, r.task, o.text)
	if err != nil && isOfContents(err) {
		if o.err == nil {
			o.err = Permanent(Errorf("ResultTooLarge", "completions queue refused a completion of %d bytes: %w", len(o.text), err))
		}
		o = outcome{status: statusFailed, text: failed(r.task, o.err, nil), err: o.err}
		err = r.worker.send(ctx, r.task, o.text)
	}
	r.logEnd(o, err)
	if err != nil {
		return &CompletionError{TaskID: r.task.ID, Attempt: r.task.Attempt, Status: o.status, Err: err}
	}
	return nil
}

func (r *run) logEnd(o outcome, reportErr error) {
	attributes := []any{"task_id", r.task.ID, "job_id", r.task.JobID, "attempt", r.task.Attempt, "status", o.status}
	level := slog.LevelInfo
	if o.err != nil {
		level = slog.LevelWarn
		attributes = append(attributes, "error_type", kindOf(o.err)) // the error's message may quote the payload, so only drover task shows it
	}
	if reportErr != nil {
		level = slog.LevelError
		attributes = append(attributes, "unreported", reportErr)
	}
	r.worker.log.Log(context.Background(), level, "task ended", attributes...)
}

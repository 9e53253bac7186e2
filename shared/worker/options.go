package worker

import (
	"log/slog"
	"sync"
	"time"
)

// Option changes how [Start], [Handler] or [Poll] work.
type Option func(*worker)

// WithSender sends completions and heartbeats through the given client instead of one made from the environment.
func WithSender(sender Sender) Option {
	return func(w *worker) { w.sender = func() (Sender, error) { return sender, nil } }
}

// WithQueue makes [Poll] receive its tasks through the given client. Poll also sends completions through it, unless WithSender names another one.
func WithQueue(queue Queue) Option {
	return func(w *worker) { w.queue = func() (Queue, error) { return queue, nil } }
}

// HeartbeatEvery sends a heartbeat each d while the function runs; 0 sends none. If the labourer has a `heartbeat`, d must
// be well below it: a third of it allows two heartbeats to be lost.
//
// Default: none in a Lambda, whose time is limited anyway; a third of max_duration in [Poll]. With heartbeats a function
// that hangs keeps its slot as long as its process lives; limit it with [Timeout].
func HeartbeatEvery(d time.Duration) Option {
	return func(w *worker) { w.beat = &d }
}

// Timeout limits the time of one run, regardless of heartbeats. The context ends shortly before. Default: no limit.
func Timeout(d time.Duration) Option {
	return func(w *worker) { w.timeout = d }
}

// Visibility sets how long [Poll] hides a message from other workers at a time. Poll renews it after each third of d while the task runs. With a
// shorter d a task whose process died starts sooner elsewhere. From 10s to 12h; default 1m.
func Visibility(d time.Duration) Option {
	return func(w *worker) { w.visibility = d }
}

// Drain sets how long [Poll] lets running tasks continue after its context has ended. It then cancels those that still run and returns their
// messages to the queue. Default 25s, which fits into the 30s between SIGTERM and SIGKILL of ECS and Kubernetes.
func Drain(d time.Duration) Option {
	return func(w *worker) { w.drain = d }
}

// Logger receives one line for each run, with the task, the attempt, how it ended and the type of its error, but without payload, result and the
// error's message. Default: slog.Default().
func Logger(logger *slog.Logger) Option {
	return func(w *worker) { w.log = logger }
}

// Clock replaces time.Now in comparisons with deadlines.
func Clock(now func() time.Time) Option {
	return func(w *worker) { w.now = now }
}

// worker holds a function with the settings of its runs.
type worker struct {
	function   Func
	sender     func() (Sender, error)
	queue      func() (Queue, error)
	beat       *time.Duration // nil: the default of Start or Poll
	timeout    time.Duration
	visibility time.Duration
	drain      time.Duration
	log        *slog.Logger
	now        func() time.Time
}

func newWorker(function Func, options []Option) *worker {
	w := &worker{function: function, visibility: time.Minute, drain: 25 * time.Second, log: slog.Default(), now: time.Now}
	// The client is made at its first use. A warm Lambda keeps it, and a client that is passed as an option makes it unnecessary.
	w.queue = sync.OnceValues(newClient)
	for _, option := range options {
		option(w)
	}
	if w.sender == nil {
		w.sender = func() (Sender, error) { return w.queue() }
	}
	return w
}

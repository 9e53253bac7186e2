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

// WithQueue makes [Poll] receive its tasks through the given client, and send completions through it unless WithSender says otherwise.
func WithQueue(queue Queue) Option {
	return func(w *worker) { w.queue = func() (Queue, error) { return queue, nil } }
}

// HeartbeatEvery sends a heartbeat each d while the function runs; 0 sends none. It has to be well under the `heartbeat`
// of the labourer where that has one: a third of it leaves room for two that get lost.
//
// Default: none in a Lambda, whose time is bounded anyway; a third of max_duration in [Poll]. With heartbeats a function
// that hangs keeps its slot for as long as its process lives: bound it with [Timeout].
func HeartbeatEvery(d time.Duration) Option {
	return func(w *worker) { w.beat = &d }
}

// Timeout is the longest that one run may take, however many heartbeats it sends; its context ends shortly
// before. Default: no such bound.
func Timeout(d time.Duration) Option {
	return func(w *worker) { w.timeout = d }
}

// Visibility is how long [Poll] hides a message from other workers at a time; it renews that each third of d while the
// task runs. The shorter, the sooner a task whose process died starts elsewhere. From 10s to 12h; default 1m.
func Visibility(d time.Duration) Option {
	return func(w *worker) { w.visibility = d }
}

// Drain is how long [Poll] lets running tasks go on after its context has ended. What then still runs is cancelled and its
// messages go back to the queue. Default 25s, which fits into the 30s between SIGTERM and SIGKILL of ECS and Kubernetes.
func Drain(d time.Duration) Option {
	return func(w *worker) { w.drain = d }
}

// Logger takes the one line that is written for each run: which task and attempt, how it ended, the type of its error. Neither payload nor
// result nor the error's message is in it. Default: slog.Default().
func Logger(logger *slog.Logger) Option {
	return func(w *worker) { w.log = logger }
}

// Clock replaces time.Now for what is compared with deadlines.
func Clock(now func() time.Time) Option {
	return func(w *worker) { w.now = now }
}

// worker is a function with everything that its runs need; the same for all of them.
type worker struct {
	function   Func
	sender     func() (Sender, error)
	queue      func() (Queue, error)
	beat       *time.Duration // nil: the default of the way the worker is run
	timeout    time.Duration
	visibility time.Duration
	drain      time.Duration
	log        *slog.Logger
	now        func() time.Time
}

func newWorker(function Func, options []Option) *worker {
	w := &worker{function: function, visibility: time.Minute, drain: 25 * time.Second, log: slog.Default(), now: time.Now}
	// The client is made once, at the first need: a warm Lambda keeps it, and one that is given need not be made.
	w.queue = sync.OnceValues(newClient)
	for _, option := range options {
		option(w)
	}
	if w.sender == nil {
		w.sender = func() (Sender, error) { return w.queue() }
	}
	return w
}

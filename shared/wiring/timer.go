package wiring

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/scheduler"
)

// waits wakes the orchestrator when tasks are due. A wait of up to [completion.LongestWake] is a message, a longer one an execution of the backoff
// machine: a person can look at it, but its two transitions cost as much as fifty messages.
type waits struct {
	short sqs.Wakes
	long  stepfunctions.Backoff
	now   func() time.Time
	sent  *sent
}

// sent remembers the wakes for failed tasks that this process has sent and that have not come yet. Tasks that fail one after the other are often due at the
// same rounded time, and one wake serves them all.
type sent struct {
	mu    sync.Mutex
	wakes map[wakeKey]bool
}

type wakeKey struct {
	labourer string
	at       time.Time
}

func (s *sent) has(k wakeKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wakes[k]
}

// add notes a wake, and forgets those that have come.
func (s *sent) add(k wakeKey, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.wakes, func(old wakeKey, _ bool) bool { return !old.at.After(now) })
	s.wakes[k] = true
}

var (
	_ assistant.Timer = waits{}
	_ scheduler.Timer = waits{}
	_ outcome.Waiter  = waits{}
)

func timer(e Environment, c Clients) waits {
	return waits{now: c.Now, sent: &sent{wakes: map[wakeKey]bool{}}, short: sqs.Wakes{API: c.SQS, URL: e.Completions, Now: c.Now},
		long: stepfunctions.Backoff{API: c.StepFunctions, Machine: e.Backoff}}
}

// WakeAt wakes the orchestrator for labourers at a time.
func (w waits) WakeAt(ctx context.Context, at time.Time, labourers ...string) error {
	if w.isShort(at) {
		return w.short.WakeAt(ctx, at, labourers...)
	}
	return w.long.WakeAt(ctx, at, labourers...)
}

// Backoff wakes the orchestrator for failed tasks when they are due.
func (w waits) Backoff(ctx context.Context, b outcome.Backoff) error {
	if w.isShort(b.Until) {
		return w.Remind(ctx, b.Until, b.Labourer)
	}
	return w.long.Backoff(ctx, b)
}

// Remind wakes the orchestrator for a labourer at a time, unless this process has sent a wake for it.
func (w waits) Remind(ctx context.Context, at time.Time, labourer string) error {
	k := wakeKey{labourer, at.UTC()}
	if at.After(w.now()) && w.sent.has(k) {
		return nil
	}
	if err := w.WakeAt(ctx, at, labourer); err != nil {
		return err
	}
	w.sent.add(k, w.now())
	return nil
}

func (w waits) isShort(until time.Time) bool { return until.Sub(w.now()) <= completion.LongestWake }

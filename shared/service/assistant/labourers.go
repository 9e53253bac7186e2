package assistant

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
)

// Registry holds the labourers that are applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
}

// Labourers reads labourers and remembers them for [recent]. It is safe for concurrent use.
type Labourers struct {
	Registry Registry
	Now      func() time.Time

	mu   sync.Mutex
	read map[string]reading
}

type reading struct {
	labourer labourer.Labourer
	at       time.Time
}

// recent limits how long a labourer is remembered: each batch would read it otherwise, and it seldom changes.
const recent = 30 * time.Second

// Recent returns a labourer as it was within the last seconds. A labourer that was removed has no target.
func (l *Labourers) Recent(ctx context.Context, id string) (labourer.Labourer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, is := l.read[id]
	if age := l.Now().Sub(known.at); is && age >= 0 && age < recent {
		return known.labourer, nil
	}
	return l.current(ctx, id) // others that need it wait for the one read
}

// Current returns a labourer as it is now. A labourer that was removed has no target.
func (l *Labourers) Current(ctx context.Context, id string) (labourer.Labourer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current(ctx, id)
}

func (l *Labourers) current(ctx context.Context, id string) (labourer.Labourer, error) {
	now := l.Now()
	found, is, err := l.Registry.Labourer(ctx, id)
	if err != nil {
		return labourer.Labourer{}, fmt.Errorf("reading labourer %s, %w", id, err)
	}
	if !is {
		return labourer.New(id), nil
	}
	if l.read == nil {
		l.read = map[string]reading{}
	}
	l.read[id] = reading{found, now}
	return found, nil
}

// runs reports whether executions of a state machine may be those of a labourer's target. It does not trust a memory that says no, as the
// report of such an execution is dropped.
func (l *Labourers) runs(ctx context.Context, id, machine string) (bool, error) {
	known, err := l.Recent(ctx, id)
	if err != nil || known.Target.Runs(machine) {
		return err == nil, err
	}
	known, err = l.Current(ctx, id)
	return err == nil && known.Target.Runs(machine), err
}

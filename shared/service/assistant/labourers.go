package assistant

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/drover-run/drover/shared/core/labourer"
)

// Registry holds the labourers that are applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
	// Named reads labourers together, without those that are not applied or cannot be decoded.
	Named(ctx context.Context, ids []string) (map[string]labourer.Labourer, error)
}

// Labourers reads labourers and remembers them for [recent]. It is safe for concurrent use.
type Labourers struct {
	Registry Registry
	Now      func() time.Time

	reads singleflight.Group // others that need a labourer wait for the one read; no lock is held meanwhile
	mu    sync.Mutex
	read  map[string]reading
}

type reading struct {
	labourer labourer.Labourer
	at       time.Time
}

// recent limits how long a labourer is remembered: each batch would read it otherwise, and it seldom changes.
const recent = 30 * time.Second

// Recent returns a labourer as it was within the last seconds. A labourer that was removed has no target.
func (l *Labourers) Recent(ctx context.Context, id string) (labourer.Labourer, error) {
	if known, is := l.remembered(id); is {
		return known, nil
	}
	found, err, _ := l.reads.Do(id, func() (any, error) {
		if known, is := l.remembered(id); is { // a read has ended since
			return known, nil
		}
		return l.Current(ctx, id)
	})
	if err != nil {
		return labourer.Labourer{}, err
	}
	return found.(labourer.Labourer), nil //nolint:forcetypeassert // both are
}

// Learn reads those of these labourers together that are not remembered. Whichever it cannot read, Recent reads by itself.
func (l *Labourers) Learn(ctx context.Context, ids ...string) {
	missing := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(ids))), func(id string) bool {
		_, is := l.remembered(id)
		return is
	})
	if len(missing) < 2 {
		return
	}
	now := l.Now()
	found, err := l.Registry.Named(ctx, missing)
	if err != nil {
		return
	}
	for _, one := range found {
		l.remember(one, now)
	}
}

// remembered returns a labourer that was read within the last seconds.
func (l *Labourers) remembered(id string) (known labourer.Labourer, is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, is := l.read[id]
	age := l.Now().Sub(r.at)
	return r.labourer, is && age >= 0 && age < recent
}

// Current returns a labourer as it is now. A labourer that was removed has no target.
func (l *Labourers) Current(ctx context.Context, id string) (labourer.Labourer, error) {
	now := l.Now()
	found, is, err := l.Registry.Labourer(ctx, id)
	if err != nil {
		return labourer.Labourer{}, fmt.Errorf("reading labourer %s, %w", id, err)
	}
	if !is {
		return labourer.New(id), nil
	}
	l.remember(found, now)
	return found, nil
}

func (l *Labourers) remember(found labourer.Labourer, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read == nil {
		l.read = map[string]reading{}
	}
	l.read[found.ID] = reading{found, at}
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

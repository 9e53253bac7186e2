package orchestrator

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/queue"
)

// Caps stores what is known of caps that find themselves.
type Caps interface {
	Controllers(ctx context.Context, keys []string) (map[string]adaptive.Controller, error)
	// Control replaces a controller. queue.ErrChanged: another assessment was faster.
	Control(ctx context.Context, key string, before, after adaptive.Controller) error
	Note(ctx context.Context, labourer string, n adaptive.Noted) error
}

// findCap returns the labourer's cap as its metrics allow it now, and why it is that. It stores what the controllers have learned, and tells a change.
// Another execution that is faster has found the same: both have the same numbers, or the next assessment corrects the one that is late.
func (s *Service) findCap(ctx context.Context, k snapshot, readings map[string]ecology.Reading, before adaptive.Found, a ecology.Assessment) (adaptive.Found, error) {
	l, now := k.labourer, s.Now().UTC().Truncate(time.Millisecond)
	aims := l.Aims()
	keys := make([]string, 0, len(aims))
	for _, aim := range aims {
		keys = append(keys, aim.Key())
	}
	slices.Sort(keys)
	controllers, err := s.Caps.Controllers(ctx, keys)
	if err != nil {
		return before, err
	}
	values := make(map[string]adaptive.Reading, len(aims))
	for name := range aims {
		values[name] = adaptive.Reading{Value: readings[name].Value, At: readings[name].At, About: readings[name].About}
	}
	trouble := k.state.Trouble
	due := queue.Waiting(k.leases)
	for _, e := range k.entries {
		due += e.Tasks.Len()
	}
	numbers := adaptive.Numbers{Min: l.Adaptive.Min, Max: l.Adaptive.Max, Running: queue.Running(k.leases), Due: due,
		Burst:   trouble != nil && trouble.Times == 0 && trouble.Until.After(now),
		Blocked: k.state.Paused || trouble != nil || a.Coefficient < 1 || k.state.Pin.Holds(now) || l.Adaptive.Shadow}
	next, found, _ := adaptive.Find(l.ID, aims, values, controllers, before, numbers, now)
	for _, key := range slices.Sorted(maps.Keys(next)) {
		if controllers[key].Same(next[key]) {
			continue
		}
		if err := s.Caps.Control(ctx, key, controllers[key], next[key]); err != nil && !errors.Is(err, queue.ErrChanged) {
			return before, err
		}
	}
	if found.Cap == before.Cap {
		return before, nil
	}
	noted := adaptive.Noted{At: found.Changed, From: before.Cap, To: found.Cap, Reason: found.Reason, Metric: found.Metric, Value: found.Value, Shadow: l.Adaptive.Shadow}
	if err := s.Caps.Note(ctx, l.ID, noted); err != nil {
		return before, err
	}
	if before.Cap == 0 {
		return found, nil
	}
	return found, s.Bus.Publish(ctx, event.LabourerCapChanged(l.ID, noted, before.Changed))
}

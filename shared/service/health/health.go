// Package health asks CloudWatch for what labourers depend on, no more often than the answers change.
//
// An answer is kept in the control table with its time and serves every labourer that asks the same, and every orchestration: a metric
// is asked for at most once in its period, and at least a minute apart, however many wakes there are.
package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
)

// Store keeps readings by the key of their query.
type Store interface {
	Readings(ctx context.Context, keys []string) (map[string]ecology.Reading, error)
	// Ask notes that the query is being asked now, unless somebody asked it after `since`: then it is queue.ErrChanged.
	Ask(ctx context.Context, key string, now, since time.Time) error
	Keep(ctx context.Context, readings map[string]ecology.Reading) error
}

// Source answers queries, by key. An error of one query is in its reading.
type Source interface {
	Ask(ctx context.Context, queries map[string]ecology.Query, now time.Time) (map[string]ecology.Reading, error)
}

// Service is the reader of metrics.
type Service struct {
	Store  Store
	Source Source
	Now    func() time.Time
	// Wait waits until another reader may have answered, or ctx ends.
	Wait func(ctx context.Context) error
}

const (
	// patience is how often a reading that somebody else is asking for is looked for.
	patience = 20
	// asking is how long ago somebody may have begun to ask who is still believed to be at it when patience is at its end: less than all
	// the waiting takes.
	asking = 2 * time.Second
)

// Readings is what is known of these metrics, by name, asked anew where it is no longer fresh. What can not be asked carries the reason.
func (s Service) Readings(ctx context.Context, metrics map[string]ecology.Metric) (map[string]ecology.Reading, error) {
	if len(metrics) == 0 {
		return nil, nil
	}
	queries := map[string]ecology.Query{}
	for _, m := range metrics {
		queries[m.Key()] = m.Query
	}
	known, err := s.fresh(ctx, queries)
	if err != nil {
		return nil, err
	}
	out := make(map[string]ecology.Reading, len(metrics))
	for name, m := range metrics {
		out[name] = known[m.Key()]
	}
	return out, nil
}

func (s Service) fresh(ctx context.Context, queries map[string]ecology.Query) (map[string]ecology.Reading, error) {
	keys := slices.Sorted(maps.Keys(queries))
	var known map[string]ecology.Reading
	for try := range patience {
		if try > 0 {
			if err := s.Wait(ctx); err != nil {
				return nil, err
			}
		}
		var err error
		if known, err = s.Store.Readings(ctx, keys); err != nil {
			return nil, err
		}
		now := s.Now()
		mine, others := map[string]ecology.Query{}, false
		for _, key := range keys {
			q := queries[key]
			if !q.Due(known[key], now) {
				continue
			}
			since := now.Add(-q.Lasts())
			if try == patience-1 { // who asked has died, or failed to keep the answer
				since = now.Add(-asking)
			}
			err := s.Store.Ask(ctx, key, now, since)
			switch {
			case errors.Is(err, queue.ErrChanged):
				others = true
			case err != nil:
				return nil, err
			default:
				mine[key] = q
			}
		}
		if len(mine) > 0 {
			answers, err := s.Source.Ask(ctx, mine, now)
			if err != nil {
				answers = map[string]ecology.Reading{}
				for key := range mine {
					answers[key] = ecology.Reading{At: now, Error: fmt.Sprintf("CloudWatch could not be asked: %v", err)}
				}
			}
			if err := s.Store.Keep(ctx, answers); err != nil {
				return nil, err
			}
			maps.Copy(known, answers)
		}
		if !others {
			return known, nil
		}
	}
	// What is too old now is so because nobody could ask, not because there is no data: that must not pass for a metric without values.
	for key, q := range queries {
		if now := s.Now(); q.Due(known[key], now) {
			known[key] = ecology.Reading{At: now, Error: "somebody else has been asking CloudWatch, and there is no answer yet"}
		}
	}
	return known, nil
}

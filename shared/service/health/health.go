// Package health reads the metrics that labourers depend on from CloudWatch, no more often than they change.
//
// An answer is stored in the control table with its time. It serves all labourers with the same query, and all orchestrations: a metric is read at most
// once in its period, and at most once a minute, regardless of the number of wakes.
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
	// Ask records that the query is being asked now. If it was already asked after since, Ask returns queue.ErrChanged.
	Ask(ctx context.Context, key string, now, since time.Time) error
	Keep(ctx context.Context, readings map[string]ecology.Reading) error
}

// Source answers queries, by key. The reading of a failed query has the error.
type Source interface {
	Ask(ctx context.Context, queries map[string]ecology.Query, now time.Time) (map[string]ecology.Reading, error)
}

// Service reads metrics.
type Service struct {
	Store  Store
	Source Source
	Now    func() time.Time
	// Wait returns when another reader may have an answer, or when ctx ends.
	Wait func(ctx context.Context) error
}

const (
	// patience limits how many times the service reads the store for the answer of another reader.
	patience = 20
	// When patience is exhausted, the service still trusts a reader that began to ask within asking, which is shorter than all the waiting.
	asking = 2 * time.Second
)

// Readings returns the readings of these metrics, by name, and reads those that are no longer fresh. The reading of an unreadable metric has the reason.
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
			if try == patience-1 { // the other reader died, or failed to store the answer
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
					answers[key] = ecology.Reading{At: now, Error: fmt.Sprintf("CloudWatch could not be read: %v", err)}
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
	// A reading that is still stale could not be refreshed, which differs from a metric without data.
	for key, q := range queries {
		if now := s.Now(); q.Due(known[key], now) {
			known[key] = ecology.Reading{At: now, Error: "another reader is asking CloudWatch, and there is no answer yet"}
		}
	}
	return known, nil
}

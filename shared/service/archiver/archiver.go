// Package archiver writes the lasting record of ended tasks, which the stream of the tasks table delivers.
//
// It has a mapping of the stream of its own, which gathers records for half a minute: an object of the archive costs as much as eight writes of
// a table, and no component waits for it. The same batch writes the same objects, so it may be delivered any number of times.
package archiver

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/task"
)

// Payloads stores payloads that are too large for the stream's images.
type Payloads interface {
	// Payload returns task.ErrNoPayload if the payload is gone.
	Payload(ctx context.Context, of task.Task) ([]byte, error)
	// Ended lets the payload of an ended task expire.
	Ended(ctx context.Context, of task.Task) error
}

// Store keeps archived files.
type Store interface {
	Put(ctx context.Context, o archive.Object) error
}

// Service implements the archiver.
type Service struct {
	Payloads Payloads
	Store    Store
}

// parallel limits how many files are written at once.
const parallel = 8

// largeTogether limits how many large payloads, of up to 1 MB each, are in memory at once.
const largeTogether = 16

// Handle archives those tasks of a chunk of a batch (see [task.Chunks]) that have ended, each as it was after a write, and returns their number.
// After an error the whole batch must be redelivered.
func (s *Service) Handle(ctx context.Context, tasks []task.Task) (archived int, err error) {
	for _, part := range parts(tasks) {
		if err := s.archive(ctx, part); err != nil {
			return archived, err
		}
		archived += len(part)
	}
	return archived, nil
}

// parts returns the tasks that have ended, in parts whose large payloads fit in memory.
func parts(tasks []task.Task) [][]task.Task {
	var out [][]task.Task
	large := 0
	for _, t := range tasks {
		if !t.Status.Terminal() {
			continue
		}
		if len(out) == 0 || t.Parts > 0 && large == largeTogether {
			out, large = append(out, nil), 0
		}
		if t.Parts > 0 {
			large++
		}
		out[len(out)-1] = append(out[len(out)-1], t)
	}
	return out
}

func (s *Service) archive(ctx context.Context, ended []task.Task) error {
	for i, t := range ended {
		if t.Parts == 0 {
			continue
		}
		payload, err := s.Payloads.Payload(ctx, t)
		if err != nil && !errors.Is(err, task.ErrNoPayload) { // the record is complete but for the payload
			return err
		}
		ended[i].Payload = payload
	}
	if err := s.put(ctx, ended); err != nil {
		return err
	}
	for _, t := range ended {
		if t.Parts == 0 {
			continue
		}
		if err := s.Payloads.Ended(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) put(ctx context.Context, ended []task.Task) error {
	objects, err := archive.Objects(ended)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, o := range objects {
		g.Go(func() error { return s.Store.Put(ctx, o) })
	}
	return g.Wait()
}

// Package archiver writes the lasting record of ended tasks, which the stream of the tasks table delivers.
//
// It has a mapping of the stream of its own, which gathers records for half a minute: an object of the archive costs as much as eight writes of
// a table, and no component waits for it. The same batch writes the same objects, so it may be delivered any number of times.
package archiver

import (
	"context"
	"errors"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/task"
)

// Payloads stores the payloads that lie apart from their tasks, which the stream's images lack.
type Payloads interface {
	// Filled yields the tasks with their payloads; beside one whose payload is gone it yields task.ErrNoPayload, and goes on. Another error ends it.
	Filled(ctx context.Context, tasks []task.Task) iter.Seq2[task.Task, error]
	// Ended keeps the payload of an ended task for as long as a replay may need it.
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

// Handle archives those tasks of a chunk of a batch (see [task.Chunks]) that have ended, each as it was after a write, and returns their number.
// After an error the whole batch must be redelivered.
func (s *Service) Handle(ctx context.Context, tasks []task.Task) (archived int, err error) {
	for ended, err := range task.Chunks(s.ended(ctx, tasks)) {
		if err == nil {
			err = s.archive(ctx, ended)
		}
		if err != nil {
			return archived, err
		}
		archived += len(ended)
	}
	return archived, nil
}

// ended yields the tasks that have ended, with their payloads. The record of one whose payload is gone is complete but for that.
func (s *Service) ended(ctx context.Context, tasks []task.Task) iter.Seq2[task.Task, error] {
	open := func(t task.Task) bool { return !t.Status.Terminal() }
	return func(yield func(task.Task, error) bool) {
		for t, err := range s.Payloads.Filled(ctx, slices.DeleteFunc(slices.Clone(tasks), open)) {
			if errors.Is(err, task.ErrNoPayload) {
				err = nil
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

func (s *Service) archive(ctx context.Context, ended []task.Task) error {
	if err := s.put(ctx, ended); err != nil {
		return err
	}
	for _, t := range ended {
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

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/shared/worker"
)

// objects reads the store that has the data.
type objects interface {
	open(ctx context.Context, bucket, key string) (io.ReadCloser, error)
}

type summing struct{ objects objects }

// work processes one task. A worker for Drover needs no more than this function.
func (s summing) work(ctx context.Context, task worker.Task) (any, error) {
	var request weather.Request
	if err := task.Decode(&request); err != nil {
		return nil, err
	}
	if err := request.Check(); err != nil {
		return nil, badInput(err)
	}
	if err := misbehave(request, task.Attempt); err != nil {
		return nil, err
	}
	days, err := s.read(ctx, request)
	if err != nil {
		return nil, err
	}
	answer, err := request.Answer(days)
	if err != nil {
		return nil, badInput(err)
	}
	task.Stats("records_read", len(days))
	task.Stats("records_used", len(request.Dates))
	return answer, nil
}

func (s summing) read(ctx context.Context, request weather.Request) (weather.Days, error) {
	object, err := s.objects.open(ctx, request.Bucket, request.Key)
	if err != nil {
		return nil, fmt.Errorf("opening s3://%s/%s: %w", request.Bucket, request.Key, err)
	}
	defer func() { _ = object.Close() }() // it is only read, so a failed close loses nothing
	days, err := weather.Read(object)
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", request.Bucket, request.Key, err)
	}
	return days, nil
}

// misbehave returns an error if the payload asks for one.
func misbehave(request weather.Request, attempt int) error {
	if request.Named(request.Poison) {
		return worker.Permanent(worker.Errorf("Poison", "the payload's poison names this task"))
	}
	if attempt == 1 && request.Named(request.FailFirst) {
		return worker.Errorf("FailFirst", "the payload's fail_first names this task, and this is its first attempt")
	}
	return nil
}

func badInput(err error) error {
	return worker.Permanent(worker.Errorf("BadInput", "%w", err))
}

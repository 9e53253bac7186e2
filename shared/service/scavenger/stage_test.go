package scavenger_test

import (
	"context"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// stage returns a stack with labourers f, whose tasks get two attempts, and g and many, whose tasks get one.
func stage(t require.TestingT) *outage.Stage {
	return outage.NewStage(t, fmt.Sprintf(`
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: 8, max_attempts: 2, not_retryable: [BadInput], retry: {min: 10s, initial: 60s, rate: 2, max: 1h}}
  g: {target: {sqs: %q}, max_simultaneous_invocations: 8, max_attempts: 1}
  many: {target: {sqs: %q}, max_simultaneous_invocations: 300, max_attempts: 1}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker("f"), outage.Worker("g"), outage.Worker("many")), "f", "g", "many")
}

// scavenge passes a batch to a scavenger.
func scavenge(s *outage.Stage, invocation string, batch []task.Task) error {
	_, err := s.Services().Scavenger.Service.Handle(context.Background(), invocation, batch)
	return err
}

// interrupt calls a function at the at-th request from here on; at counts down over several calls.
func interrupt(s *outage.Stage, at *int, happened *bool, do func()) {
	s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
		if *at--; *at == 0 {
			*happened = true
			do()
		}
		return nil
	}
}

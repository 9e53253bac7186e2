package scavenger_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
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

// job returns a job that makes n tasks.
func job(id, labourer string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"s%03d"`, i)
	}
	return fmt.Sprintf(`{"job_id": %q, "labourer": %q, "stores": [%s], "isolate_stores": true}`, id, labourer, strings.Join(names, ","))
}

// report sends reports of the ends of attempts to the assistant.
func report(t require.TestingT, s *outage.Stage, ends ...string) {
	batch := make([]assistant.Message, len(ends))
	for i, end := range ends {
		batch[i] = assistant.Message{ID: "message of " + end, Body: end}
	}
	missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "invocation", batch)
	require.Empty(t, missing, "%v", summary.Errors)
}

func completed(h outage.Handed) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed", "result": {"rows": 1}}`, h.TaskID, h.Attempt)
}

func failed(h outage.Handed, kind string) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "failed", "error": {"type": %q, "message": "as told"}}`, h.TaskID, h.Attempt, kind)
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

package outage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/service/assistant"
)

// Job returns a SubmitJob of n tasks, each for one store.
func Job(id, labourer string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"s%03d"`, i)
	}
	return fmt.Sprintf(`{"job_id": %q, "labourer": %q, "stores": [%s], "isolate_stores": true}`, id, labourer, strings.Join(names, ","))
}

// Completed returns the message that the attempt completed.
func (h Handed) Completed() string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed", "result": {"rows": 1}}`, h.TaskID, h.Attempt)
}

// Failed returns the message that the attempt failed with an error of this type.
func (h Handed) Failed(kind string) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "failed", "error": {"type": %q, "message": "as told"}}`, h.TaskID, h.Attempt, kind)
}

// Report passes messages of workers to the worker assistant, each under an id of its own: a lease names the message that fed a task.
func (s *Stage) Report(t require.TestingT, bodies ...string) {
	s.report(t, s.Services().Assistant.Service, bodies)
}

// ReportUnsettled does the same while the assistant cannot read labourers. So it starts nothing, and leaves failed tasks to the scavenger.
func (s *Stage) ReportUnsettled(t require.TestingT, bodies ...string) {
	blind := *s.Services().Assistant.Service
	blind.Labourers = &assistant.Labourers{Registry: unreadable{}, Now: s.World.Now}
	s.report(t, &blind, bodies)
}

type unreadable struct{}

func (unreadable) Labourer(context.Context, string) (labourer.Labourer, bool, error) {
	return labourer.Labourer{}, false, errors.New("labourers cannot be read")
}

func (unreadable) Named(context.Context, []string) (map[string]labourer.Labourer, error) {
	return nil, errors.New("labourers cannot be read")
}

func (s *Stage) report(t require.TestingT, to *assistant.Service, bodies []string) {
	batch := make([]assistant.Message, len(bodies))
	for i, body := range bodies {
		s.reports++
		batch[i] = assistant.Message{ID: fmt.Sprintf("report-%d", s.reports), Body: body, Receives: 1}
	}
	missing, summary := to.Handle(context.Background(), "invocation", batch)
	require.Empty(t, missing, "%v", summary.Errors)
}

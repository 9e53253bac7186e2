package assistant_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/outage"
)

// TestG1ATaskOfACancelledJobIsNotStartedAgain, wherever the assistant that puts it back is interrupted: the cancellation has read the queue
// before that, and does not read it again.
func TestG1ATaskOfACancelledJobIsNotStartedAgain(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s, h := out(t, 2)
		failed, summary := s.Services().Scheduler.Service.Handle(context.Background(), "cancel",
			[]scheduler.Message{outage.Command("cancel", "CancelJob", `{"job_id": "nightly"}`)})
		require.Empty(t, failed, "%v", summary.Errors)
		cut.On(s.Stack)

		redeliver(t, s, cut, time.Second, messages(neverStarted(h[0]), h[1].Completed()))

		cut.Off()
		s.Scavenge(t)
		s.Pass(10 * time.Second)
		require.Zero(t, s.HandOut(t, "f"))
		s.Pass(10 * time.Minute) // after which the orchestrator finishes what the interrupted assistant had withdrawn
		_, err := s.Services().Orchestrator.Service.Reap(context.Background(), "f")
		require.NoError(t, err)
		require.Equal(t, task.Cancelled, stored(t, s, h[0].TaskID).Status)
		require.Equal(t, task.Completed, stored(t, s, h[1].TaskID).Status)
		return outage.Picture(s.Stack)
	})
}

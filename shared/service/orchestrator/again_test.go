package orchestrator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
)

// TestG7RetriesAreFedByFreshHealthOnly: ticks assess a labourer with metrics of which only a task runs and another waits in the lease for its next
// attempt. As long as its health is good, the assistant may start the retry as the task ends; if it is bad, the lease has no slot for it.
func TestG7RetriesAreFedByFreshHealthOnly(t *testing.T) {
	for name, load := range map[string]float64{"good": 10, "bad": 99} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 2, 2)
			require.NoError(t, s.Apply(strings.Replace(healthy(2), "  g:", "  unused:", 1)))
			cpu(s, 10)
			require.NoError(t, execute(s, "first", "f"))
			h := s.Handed(t, "f")
			require.Len(t, h, 2)
			s.Pass(30 * time.Second)
			s.Report(t, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "failed", "retry_after": "55s"}`, h[0].TaskID))
			require.Equal(t, 1, queue.Retries(leases(t, s)))
			s.Pass(35 * time.Second)
			cpu(s, load)
			require.NoError(t, execute(s, "tick"))
			s.Pass(35 * time.Second) // the retry is due, and the health of the first claim is too old

			s.Report(t, h[1].Completed())

			require.Len(t, s.Handed(t, "f"), map[string]int{"good": 3, "bad": 2}[name])
		})
	}
}

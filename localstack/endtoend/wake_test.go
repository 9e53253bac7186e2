package endtoend

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tick of the stack is off, so only wakes start executions. Nearly every other test relies on the wakes of new work and of elapsed
// backoffs.

func TestAFreedSlotWakes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, nil))
	s.submit(t, tasks(3, nil))

	for range 3 {
		work := d.take(t, 1)
		require.Zero(t, d.waiting(t), "the cap is 1")
		s.complete(t, work...)
	}

	s.ended(t, named(t))
}

func TestAFailureFreesItsSlotAndWakesWhileTheRetryHoldsNone(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, object{"retry": object{"min": "1h", "initial": "1h", "max": "1h"}}))
	s.submit(t, tasks(2, nil))
	first := d.take(t, 1)[0]

	s.report(t, first.failed(nil))

	require.NotEqual(t, first.taskID, d.take(t, 1)[0].taskID)
}

func TestG7ResumingWakes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(2, nil))
	s.cli(t, "pause", named(t))
	s.submit(t, tasks(2, nil))
	s.fact(t, "JobScheduled", object{"job_id": named(t)})

	require.Contains(t, s.look(t).Reason, "the labourer is paused by arn:", "by the identity of the credentials")
	require.Zero(t, d.waiting(t))
	s.cli(t, "resume", named(t))

	s.complete(t, d.take(t, 2)...)
	s.ended(t, named(t))
}

func TestG3ARaisedCapWakesAndALoweredOneDrains(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.applyByHand(t, d.labourer(1, nil))
	s.submit(t, tasks(8, nil))
	work := d.take(t, 1)

	s.applyByHand(t, d.labourer(4, nil))

	work = append(work, d.take(t, 3)...)
	require.Zero(t, d.waiting(t), "the cap is 4")

	s.applyByHand(t, d.labourer(2, nil))
	require.Equal(t, "no slot is free: 4 of 2 are taken, 4 tasks are due", s.look(t).Reason) // and takes back the slots that are too many
	s.complete(t, work[:2]...)                                                               // two keep running, as many as the cap now allows
	s.settled(t, "CompletionsQueueUrl")
	require.Equal(t, "no slot is free: 2 of 2 are taken, 4 tasks are due", s.look(t).Reason)
	require.Zero(t, d.waiting(t), "no task starts while more run than the cap allows")

	s.applyByHand(t, d.labourer(0, nil))
	require.Equal(t, "the cap is 0", s.look(t).Reason)
	s.complete(t, work[2:]...)
	s.settled(t, "CompletionsQueueUrl")
	require.Equal(t, "the cap is 0", s.look(t).Reason)
	require.Zero(t, d.waiting(t))

	s.applyByHand(t, d.labourer(4, nil))
	s.complete(t, d.take(t, 4)...)
	s.ended(t, named(t))
}

// applyByHand applies a labourer under the test's name with the command line.
func (s *stack) applyByHand(t *testing.T, definition object) {
	t.Helper()
	text, err := json.Marshal(object{"labourers": object{named(t): definition}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "labourers.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	s.cli(t, "apply", "-f", file)
}

func TestAStormOfWakesCostsLittle(t *testing.T) {
	t.Parallel()
	s := shared(t)
	requireWitness(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, nil))
	require.NoError(t, s.control.SetPaused(t.Context(), named(t), true))
	s.submit(t, tasks(5, nil))
	s.fact(t, "JobScheduled", object{"job_id": named(t)})
	s.look(t)
	require.NoError(t, s.control.SetPaused(t.Context(), named(t), false))
	before := s.claims(t)

	s.orchestrateAtOnce(t, 20, wake(t))

	d.take(t, 1)
	require.Zero(t, d.waiting(t), "the cap is 1")
	require.LessOrEqual(t, s.claims(t)-before, 3, "claim transactions of 20 wakes at once for one free slot")
}

// claims returns the number of transactions that tried to put a lease of the test's labourer.
func (s *stack) claims(t *testing.T) int {
	t.Helper()
	return world.witness.count("TransactWriteItems", `"`+named(t)+`"`, "lease#")
}

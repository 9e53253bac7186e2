package endtoend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// metered is a stack on its own local AWS. Its meter counts only the work of one test, and only the functions' calls.
type metered struct {
	*stack
	meter *localstack.Meter
}

func newMetered(t *testing.T) metered {
	t.Helper()
	shared(t) // builds the binaries to deploy
	ctx, cancel := context.WithTimeout(t.Context(), begin)
	defer cancel()
	m, err := localstack.StartMeter()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Stop()) })
	emulator, err := localstack.Start(ctx, localstack.Options{FunctionEndpoint: m.Endpoint})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, emulator.Stop()) })
	require.NoError(t, m.Forward(emulator.Endpoint))
	s, err := newStack(ctx, emulator, "metered")
	require.NoError(t, err)
	t.Cleanup(func() { require.Empty(t, s.bus.close()) })
	require.NoError(t, s.schema(ctx, "sections", "section"))
	return metered{s, m}
}

// usage waits until no orchestration runs, and returns the cost of all functions together so far.
func (m metered) usage(t *testing.T) localstack.Usage {
	t.Helper()
	await(t, "all orchestrations to end", func() (int, bool) {
		running, err := m.machines.ListExecutions(t.Context(), &sfn.ListExecutionsInput{
			StateMachineArn: aws.String(m.out["OrchestrateStateMachineArn"]), StatusFilter: sfntypes.ExecutionStatusRunning})
		require.NoError(t, err)
		return len(running.Executions), len(running.Executions) == 0
	})
	var all localstack.Usage
	for _, usage := range m.meter.Usage() {
		all = all.Plus(usage)
	}
	return all
}

// reportTogether sends completions in full batches, like a busy fleet of workers.
func (m metered) reportTogether(t *testing.T, messages []object) {
	t.Helper()
	for first := 0; first < len(messages); first += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(m.out["CompletionsQueueUrl"])}
		for i, message := range messages[first:min(first+10, len(messages))] {
			text, err := json.Marshal(message)
			require.NoError(t, err)
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(string(text))})
		}
		out, err := m.sqs.SendMessageBatch(t.Context(), in)
		require.NoError(t, err)
		require.Empty(t, out.Failed)
	}
}

// waves groups deliveries of one segment so that ten in a row belong to one lease, which has 40 tasks, and no two tens of a wave to the same. Batches that
// change one lease at the same time would repeat its write, as often as chance has it.
func waves(t *testing.T, all []delivery) [][]delivery {
	t.Helper()
	out := make([][]delivery, 4)
	for _, d := range all {
		id, err := task.ParseID(d.taskID)
		require.NoError(t, err)
		wave := id.N / 10 % 4
		out[wave] = append(out[wave], d)
	}
	for _, wave := range out {
		slices.SortFunc(wave, func(a, b delivery) int {
			return cmp.Or(len(a.taskID)-len(b.taskID), strings.Compare(a.taskID, b.taskID))
		})
	}
	return out
}

func TestTheCostOfWork(t *testing.T) { // its parts run one after the other: each measures all calls of its time
	t.Parallel()
	m := newMetered(t)
	t.Run("tasks", m.tasks)
	for _, n := range []int{1, 10, 100} {
		t.Run(fmt.Sprintf("a claim of %d", n), func(t *testing.T) { m.claim(t, n) })
	}
}

func (m metered) tasks(t *testing.T) {
	d := m.desk(t)
	const all = 200
	m.apply(t, d.labourer(all, object{"retry": object{"min": "1s", "initial": "1s", "max": "1s"}}))
	var last localstack.Usage
	each := func(t *testing.T, name string) (units, calls float64) {
		now := m.usage(t)
		spent := now.Since(last)
		last = now
		units, calls = spent.Units().Write/all, float64(spent.Total())/all
		t.Logf("%s: %.2f write units, %.2f read units, %.2f calls a task: %v", name, units, spent.Units().Read/all, calls, spent.Calls)
		return units, calls
	}
	last = m.usage(t)

	id := m.submit(t, tasks(all, object{"job_id": "happy"}))
	var reports []object
	for _, wave := range waves(t, d.take(t, all)) {
		reports = nil
		for _, one := range wave {
			reports = append(reports, one.completed())
		}
		m.reportTogether(t, reports)
		m.settled(t, "CompletionsQueueUrl")
	}
	m.ended(t, id)
	happy, calls := each(t, "created, run, completed, archived")
	require.LessOrEqual(t, happy, 2.5, "write units of a task")
	require.LessOrEqual(t, calls, 4., "calls of a task")

	id = m.submit(t, tasks(all, object{"job_id": "again"}))
	reports = nil
	for _, one := range d.take(t, all) {
		reports = append(reports, one.failed(nil))
	}
	m.reportTogether(t, reports)
	reports = nil
	for _, one := range d.take(t, all) {
		require.Equal(t, 2, one.attempt)
		reports = append(reports, one.completed())
	}
	m.reportTogether(t, reports)
	m.ended(t, id)
	retried, _ := each(t, "the same with a retry of each")
	require.LessOrEqual(t, retried-happy, 2.5, "write units of a retry")
	waits, err := m.machines.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: aws.String(m.out["BackoffStateMachineArn"])})
	require.NoError(t, err)
	require.Empty(t, waits.Executions, "short waits are messages")
}

// claim requires that the cost of a claim depends on the number of its leases alone, and not on how many tasks are queued behind them.
func (m metered) claim(t *testing.T, n int) {
	d := m.desk(t)
	m.apply(t, d.labourer(n, nil))
	require.NoError(t, m.control.SetPaused(t.Context(), named(t), true))
	m.submit(t, tasks(600, nil))
	m.fact(t, "JobScheduled", object{"job_id": named(t)})
	require.Equal(t, "the labourer is paused", m.look(t).Reason)
	before := m.usage(t) // an execution that the job woke would start tasks as soon as they may start
	require.NoError(t, m.control.SetPaused(t.Context(), named(t), false))

	require.Equal(t, n, m.look(t).Started)

	spent := m.usage(t).Since(before)
	t.Logf("a claim of %d and its dispatch: %.0f write units, %v", n, spent.Units().Write, spent.Calls)
	leases := float64((n + queue.MostSlots - 1) / queue.MostSlots)
	require.LessOrEqual(t, spent.Units().Write, 6+3*leases, "write units of a claim and its dispatch: three for each lease of forty slots")
	delete(spent.Calls, "sqs SendMessageBatch") // of ten each
	require.LessOrEqual(t, spent.Total(), 30, "calls of an execution that claims once, reads included")
}

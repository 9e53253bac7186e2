package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
)

// calamities lists the faults of the functions' calls. About one attempt in fifteen meets a fault, and the SDK retries every second failure.
const calamities = "before=0.015,after=0.015,throttle=0.01,conflict=0.02,slow=0.01,partial=0.05,delay=500ms,through=0.5"

// Jobs of all kinds end in every possible way, and each task ends once, while calls fail, succeed but are reported as failed, are throttled, conflict,
// are slow, or take partial effect (G1, G2, G3, G4, G5).
func TestTheGuaranteesHoldWhileCallsFail(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t, "1") {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			o := newOrdeal(t, seed, fmt.Sprintf("seed=%d,%s", seed, calamities))
			o.undergo(t, func(context.Context) {})
			require.Contains(t, o.complaints(t), "by a fault", "the functions met no faults")
		})
	}
}

// seedsWanted names the variable that replaces the usual seeds.
const seedsWanted = "DROVER_SEEDS"

// seeds returns the requested seeds, a comma-separated list, or these by default.
func seeds(t *testing.T, otherwise string) []uint64 {
	t.Helper()
	text := os.Getenv(seedsWanted)
	if text == "" {
		text = otherwise
	}
	var out []uint64
	for one := range strings.SplitSeq(text, ",") {
		seed, err := strconv.ParseUint(one, 10, 64)
		require.NoError(t, err, seedsWanted)
		out = append(out, seed)
	}
	return out
}

// The sizes of an ordeal's jobs, in tasks. The large job has two segments and takes some minutes; it runs only with requested seeds.
const (
	large  = 262
	middle = 24
	small  = 3
)

// doomed names a job whose tasks all die and are replayed.
const doomed = "doomed"

// narrow sets a cap that is much smaller than the number of due tasks.
const narrow = 5

// undergo runs jobs on the stack together with mischief, and requires the guarantees to hold in the end.
func (o *ordeal) undergo(t *testing.T, mischief func(ctx context.Context)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	o.open(t, ctx)
	defer o.desk.work.Wait()
	defer stop()
	o.desk.work.Go(func() { o.tick(ctx) })
	o.desk.work.Go(func() { mischief(ctx) })

	patient := object{"max_attempts": 8, "max_duration": ordealDuration.String(), "cooldown": ordealCooldown.String(),
		"retry": object{"min": "500ms", "initial": "500ms", "max": "1s"}}
	o.hire(t, "desk", object{"target": object{"sqs": o.desk.url}, "max_simultaneous_invocations": narrow}, patient)
	o.hire(t, "hall", object{"target": object{"sqs": o.desk.url}, "max_simultaneous_invocations": 60}, patient)
	o.hire(t, "functions", object{"target": object{"lambda": o.workers["Worker"]}, "max_simultaneous_invocations": 4}, patient)
	o.hire(t, "machines", object{"target": object{"states": o.workers["Machine"]}, "max_simultaneous_invocations": 2}, patient)
	if os.Getenv(seedsWanted) != "" {
		o.begin(t, "large", "hall", large, nil)
	}
	o.begin(t, "cancelled", "desk", middle, nil)
	o.begin(t, "middle", "desk", middle, nil)
	o.begin(t, doomed, "desk", small, nil)
	for i := range 3 {
		o.begin(t, fmt.Sprintf("small-%d", i), "desk", small, nil)
	}
	o.begin(t, "lambdas", "functions", 4, object{"do": "fail", "until": 1})
	o.begin(t, "hopeless", "functions", 2, object{"do": "permanent"})
	o.begin(t, "executions", "machines", 3, object{"refuse": true})

	o.await(t, "the scheduling of the job that the test cancels", func() bool { return len(o.bus.told("JobScheduled", object{"job_id": "cancelled"})) > 0 })
	o.put(t, "CancelJob", object{"job_id": "cancelled"})
	o.await(t, "the cancellation to be recorded", func() bool {
		job, _, err := o.stack.jobs.Get(t.Context(), "cancelled")
		require.NoError(t, err)
		return job.Cancelling || job.State == ledger.Cancelled
	})
	o.desk.cancelled.Store(true)
	o.rest(t)
	o.check(t, 1)

	o.desk.revived.Store(true)
	o.put(t, "ReplayTasks", object{"job_id": doomed, "replay_id": "once"})
	o.put(t, "ReplayTasks", object{"job_id": doomed, "replay_id": "once"})
	o.await(t, "the doomed job's second end", func() bool {
		return len(o.bus.told("JobCompleted", object{"job_id": doomed, "generation": 2.})) > 0
	})
	o.rest(t)
	o.check(t, 2)
}

func (o *ordeal) hire(t *testing.T, id string, definitions ...object) {
	t.Helper()
	all := object{}
	for _, d := range definitions {
		maps.Copy(all, d)
	}
	o.configure(t, object{"labourers": object{id: all}})
	o.labourers = append(o.labourers, id)
}

// begin submits a job twice.
func (o *ordeal) begin(t *testing.T, id, labourer string, n int, more object) {
	t.Helper()
	o.jobs[id] = n
	detail := tasks(n, more)
	detail["job_id"], detail["labourer"] = id, labourer
	for range 2 {
		o.put(t, "SubmitJob", detail)
	}
}

// tick replaces the minute tick at shorter intervals.
func (o *ordeal) tick(ctx context.Context) {
	for ctx.Err() == nil {
		_, err := o.machines.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(o.out["OrchestrateStateMachineArn"]), Input: aws.String("{}")})
		if ctx.Err() == nil {
			o.desk.note(err)
		}
		pause(ctx, 2*time.Second)
	}
}

// endurance limits a wait of an ordeal: a job whose scheduler was killed waits for more than a minute.
const endurance = 4 * time.Minute

// await waits for a condition. On a timeout it fails with the whole state.
func (o *ordeal) await(t *testing.T, what string, there func() bool) {
	t.Helper()
	begun := time.Now()
	defer func() { t.Logf("%s took %s", what, time.Since(begun).Round(time.Second)) }()
	for until := begun.Add(endurance); !there(); pause(t.Context(), 10*glance) {
		if time.Now().After(until) || t.Context().Err() != nil {
			require.FailNow(t, fmt.Sprintf("waited %s in vain for %s", endurance, what), "%s\n%s", strings.Join(o.unfinished(t), "\n"), o.complaints(t))
		}
	}
}

// rest waits until nothing is left to do.
func (o *ordeal) rest(t *testing.T) {
	t.Helper()
	o.await(t, "everything to come to rest", func() bool { return len(o.unfinished(t)) == 0 })
}

// unfinished lists what is left to do.
func (o *ordeal) unfinished(t *testing.T) []string {
	t.Helper()
	var out []string
	for id := range o.jobs {
		job, found, err := o.stack.jobs.Get(t.Context(), id)
		require.NoError(t, err)
		if !found || job.FinishedAt.IsZero() {
			out = append(out, fmt.Sprintf("job %s is %q with %+v of %d", id, job.State, job.Counts, o.jobs[id]))
		}
	}
	for _, it := range o.scan(t, "ControlTableName") {
		name := text(it["item"])
		for _, kind := range []string{"lease#", "queue#", "cancel#"} {
			if strings.HasPrefix(name, kind) {
				out = append(out, fmt.Sprintf("%s has %s: %s", text(it["labourer"]), name, shown(plain(it))))
			}
		}
	}
	for _, output := range []string{"JobsQueueUrl", "CompletionsQueueUrl"} {
		if n := o.depth(t, o.out[output]); n > 0 {
			out = append(out, fmt.Sprintf("%s has %d messages", output, n))
		}
	}
	return out
}

// check requires the guarantees to hold, with dead tasks in their life-th life.
func (o *ordeal) check(t *testing.T, life int) {
	t.Helper()
	o.desk.mu.Lock()
	defer o.desk.mu.Unlock()
	require.Empty(t, o.desk.wrong, "what the worker received")
	require.LessOrEqual(t, o.desk.most["desk"], narrow, "tasks that the worker had at the same time")
	for _, output := range []string{"JobsDeadLetterQueueUrl", "CompletionsDeadLetterQueueUrl", "StreamFailuresQueueUrl", "EventFailuresQueueUrl"} {
		require.Zero(t, o.depth(t, o.out[output]), "messages in %s", output)
	}

	stored := map[string]map[string]task.Task{} // by job and id
	for _, one := range o.tasks(t, "") {
		if stored[one.JobID] == nil {
			stored[one.JobID] = map[string]task.Task{}
		}
		stored[one.JobID][one.ID.String()] = one
	}
	records := map[string]archive.Record{}
	for _, labourer := range o.labourers {
		for _, r := range o.archived(t, labourer) {
			key := fmt.Sprintf("%s/%d", r.TaskID, r.Life)
			if before, twice := records[key]; twice {
				require.Equal(t, before, r, "the archive's two records of %s", key)
			}
			records[key] = r
		}
	}
	require.Len(t, stored, len(o.jobs))
	lives := 0
	for id, n := range o.jobs {
		job, found, err := o.stack.jobs.Get(t.Context(), id)
		require.NoError(t, err)
		require.True(t, found)
		require.Len(t, stored[id], n, "tasks of job %s", id)
		counts := ledger.Counts{}
		for k := range n {
			one, there := stored[id][job.TaskAt(k).String()]
			require.True(t, there, "task %d of job %s is not in its segment", k, id)
			lives += one.Life + 1
			o.checkTask(t, one, k, records)
			switch one.Status {
			case task.Completed:
				counts.Completed++
			case task.Dead:
				counts.Dead++
			case task.Cancelled:
				counts.Cancelled++
			}
		}
		require.Equal(t, counts, job.Counts, "counts of job %s", id)
		require.Equal(t, o.expected(id, n, life, counts), counts, "ends of job %s", id)
		kind := "JobCompleted"
		if id == "cancelled" {
			kind = "JobCancelled"
		}
		for generation := 1; generation <= job.Generation; generation++ {
			ended := o.fact(t, kind, object{"job_id": id, "generation": float64(generation)})
			if generation == job.Generation {
				require.Equal(t, []any{float64(n), float64(counts.Completed), float64(counts.Dead), float64(counts.Cancelled)},
					[]any{ended["total"], ended["completed"], ended["dead"], ended["cancelled"]}, "the published end of job %s", id)
			}
		}
		if id != "cancelled" { // its cancellation may have come before all its tasks were created
			require.EqualValues(t, n, o.fact(t, "JobScheduled", object{"job_id": id})["tasks"])
		}
	}
	require.Len(t, records, lives, "lives in the archive")
	items := o.scan(t, "JobsTableName")
	whole := map[string]bool{} // jobs that one write ended: what was entered of them before is in no totals
	for _, it := range items {
		if it["whole"] != nil {
			whole[text(it["job_id"])] = true
		}
	}
	for _, it := range items {
		if strings.HasPrefix(text(it["item"]), "segment#") && !whole[text(it["job_id"])] {
			require.NotNil(t, it["rolled"], "progress that its job's totals lack: %s", shown(plain(it)))
		}
	}
}

// expected returns how the tasks of a job must end. A cancelled job may have completed any number of them before.
func (o *ordeal) expected(id string, n, life int, counts ledger.Counts) ledger.Counts {
	dead := 0
	switch {
	case id == "cancelled":
		return ledger.Counts{Completed: counts.Completed, Dead: counts.Dead, Cancelled: n - counts.Completed - counts.Dead}
	case id == "hopeless", id == doomed && life == 1:
		dead = n
	case id == "middle", id == "large", strings.HasPrefix(id, "small"):
		for i := range n {
			if o.habitOf(id, i) == hopeless {
				dead++
			}
		}
	}
	return ledger.Counts{Completed: n - dead, Dead: dead}
}

// checkTask requires a task to have ended once in each of its lives, within its max_attempts.
func (o *ordeal) checkTask(t *testing.T, one task.Task, section int, records map[string]archive.Record) {
	t.Helper()
	require.True(t, one.Status.Terminal(), "task %s of job %s is %q", one.ID, one.JobID, one.Status)
	var payload struct{ Sections []int }
	require.NoError(t, json.Unmarshal(one.Payload, &payload))
	require.Equal(t, []int{section}, payload.Sections, "task %s of job %s", one.ID, one.JobID)
	require.LessOrEqual(t, one.Failures(), 8, "attempts of task %s", one.ID)
	require.Len(t, one.Attempts, one.Attempt)
	for i, a := range one.Attempts {
		require.Equal(t, i+1, a.Attempt)
	}
	if one.Status != task.Cancelled { // a start that was reported as failed may be requeued, and cancelled in the queue
		require.LessOrEqual(t, o.desk.starts[one.ID.String()], one.Attempt, "the worker saw a later attempt of %s than the task has", one.ID)
	}
	for life := range one.Life + 1 {
		r, there := records[fmt.Sprintf("%s/%d", one.ID, life)]
		require.True(t, there, "life %d of task %s of job %s is not in the archive", life, one.ID, one.JobID)
		if life == one.Life {
			require.Equal(t, []any{one.Status, one.Attempt, one.JobID, len(one.Attempts)}, []any{r.Status, r.Attempt, r.JobID, len(r.Attempts)})
		}
		if life == one.Life && r.Status == task.Dead || life < one.Life {
			// Another function may have ended the job while the scavenger that publishes the death was killed.
			told := await(t, fmt.Sprintf("a published death of task %s of job %s", one.ID, one.JobID), func() ([]object, bool) {
				told := o.bus.told("TaskDead", object{"task_id": one.ID.String()})
				return told, len(told) > 0
			})
			require.LessOrEqual(t, len(told), one.Life+1, "published deaths of task %s", one.ID)
		}
	}
}

func text(v dbtypes.AttributeValue) string {
	s, _ := v.(*dbtypes.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

// plain returns a readable form of an item.
func plain(it map[string]dbtypes.AttributeValue) map[string]string {
	out := map[string]string{}
	for name, value := range it {
		switch v := value.(type) {
		case *dbtypes.AttributeValueMemberS:
			out[name] = v.Value
		case *dbtypes.AttributeValueMemberN:
			out[name] = v.Value
		case *dbtypes.AttributeValueMemberNS:
			out[name] = strings.Join(v.Value, ",")
		default:
			out[name] = fmt.Sprintf("%T", v)
		}
	}
	return out
}

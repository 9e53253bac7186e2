package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

var ctx = context.Background()

// labourers returns a configuration of labourers f, with this cap, and g.
func labourers(limit int) string {
	return fmt.Sprintf(`
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: %d, max_attempts: 2, max_duration: 10m, cooldown: 5m}
  g: {target: {sqs: %q}, max_simultaneous_invocations: 2}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker("f"), limit, outage.Worker("g"))
}

// stage returns a stack with labourer f, which has this cap, and jobs of so many tasks.
func stage(t require.TestingT, limit int, tasks ...int) *outage.Stage {
	s := outage.NewStage(t, labourers(limit), "f", "g")
	for i, n := range tasks {
		s.Schedule(t, outage.Job(fmt.Sprintf("job-%d", i), "f", n))
	}
	return s
}

// execute runs the steps of an execution of the orchestrate machine for labourers, without retries: the first error ends it.
func execute(s *outage.Stage, name string, woken ...string) error {
	return executeBy(s.Services().Orchestrator.Service, name, woken...)
}

func executeBy(o *orchestrator.Service, name string, woken ...string) error {
	planned, err := o.Plan(ctx, name, orchestrator.PlanInput{Labourers: woken})
	if err != nil {
		return err
	}
	var errs []error
	for _, turn := range planned.Labourers {
		errs = append(errs, serve(o, name, turn))
	}
	return errors.Join(errs...)
}

// undecided returns the turn of a labourer about which nothing is decided yet.
func undecided(id string) orchestrator.Turn {
	return orchestrator.Turn{Labourer: id, Decided: orchestrator.Decided{Round: 1, Decisions: []decision.Record{}}}
}

func serve(o *orchestrator.Service, name string, turn orchestrator.Turn) error {
	if turn.Reap {
		reaped, err := o.Reap(ctx, turn.Labourer)
		if err != nil {
			return err
		}
		if _, err := dispatch(o, name, turn.Labourer, orchestrator.Decided{}, reaped.Undispatched); err != nil {
			return err
		}
	}
	if turn.Labourer == "" {
		return nil // it holds decisions only
	}
	for decided := turn.Decided; ; {
		claimed, err := o.Claim(ctx, name, turn.Labourer, decided)
		if err != nil {
			return err
		}
		start, revoke := false, claimed.Revoke
		if claimed.Claimed > 0 {
			dispatched, err := dispatch(o, name, turn.Labourer, claimed.Decided, claimed.Leases)
			if err != nil {
				return err
			}
			start, revoke, decided = dispatched.Start, dispatched.Revoke, dispatched.Decided
		}
		if !start && revoke {
			_, err = o.Revoke(ctx, turn.Labourer)
		}
		if err != nil || !start {
			return err
		}
	}
}

func dispatch(o *orchestrator.Service, name, labourer string, decided orchestrator.Decided, leases []orchestrator.Handout) (orchestrator.Continued, error) {
	if len(leases) == 0 {
		return orchestrator.Continued{}, nil
	}
	out, err := o.DispatchAndAssess(ctx, name, labourer, decided, leases)
	if err != nil {
		_, undone := o.GiveBack(ctx, name, labourer, leases)
		return out, errors.Join(err, undone)
	}
	return out, nil
}

func leases(t require.TestingT, s *outage.Stage) []queue.Lease {
	out, err := s.Control.Leases(ctx, "f")
	require.NoError(t, err)
	return out
}

// held returns how many tasks of f are in hand, granted how many slots its leases take, and waiting how many tasks wait in them.
func held(t require.TestingT, s *outage.Stage) int    { return queue.Running(leases(t, s)) }
func granted(t require.TestingT, s *outage.Stage) int { return queue.Granted(leases(t, s)) }
func waiting(t require.TestingT, s *outage.Stage) int { return queue.Waiting(leases(t, s)) }

// queued returns how many tasks of f are in the queue.
func queued(t require.TestingT, s *outage.Stage) int {
	entries, err := s.Control.Queue(ctx, "f")
	require.NoError(t, err)
	n := 0
	for _, e := range entries {
		n += e.Tasks.Len()
	}
	return n
}

// picture returns the stage's picture, with the tasks that wait in leases among those that are queued: which of them a grant takes depends on
// the pace that was seen.
func picture(t require.TestingT, s *outage.Stage) string {
	out := outage.Picture(s.Stack)
	for _, l := range leases(t, s) {
		for n := range l.Waiting.All() {
			out = strings.Replace(out, fmt.Sprintf("f: %s.%d is held for", l.Segment, n), fmt.Sprintf("f: %s.%d is queued for", l.Segment, n), 1)
		}
	}
	return out
}

func messages(bodies ...string) []assistant.Message {
	out := make([]assistant.Message, len(bodies))
	for i, body := range bodies {
		out[i] = assistant.Message{ID: fmt.Sprintf("message-%d", i), Body: body}
	}
	return out
}

func planInput(woken ...string) orchestrator.PlanInput {
	return orchestrator.PlanInput{Labourers: woken}
}

func commands(all ...scheduler.Message) []scheduler.Message { return all }

// copied returns an item of the same segment under another key.
func copied(it fakeaws.Item, end string) fakeaws.Item {
	out := maps.Clone(it)
	parts := strings.Split(it["item"].(*types.AttributeValueMemberS).Value, "#")
	out["item"] = text(parts[0] + "#" + parts[1] + end)
	return out
}

// beforeTransaction returns a hook that calls a function before the next transaction.
func beforeTransaction(do func()) func(context.Context, fakeaws.Request) error {
	done := false
	return func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "TransactWriteItems" && !done {
			done = true
			do()
		}
		return nil
	}
}

// unwritten is a writer of leases whose assistant dies before each write.
type unwritten struct{ assistant.Leases }

func (unwritten) Save(_ context.Context, l, _ queue.Lease) (queue.Lease, error) {
	return l, errors.New("the assistant has died")
}

// handouts names all tasks of leases, as a claim does.
func handouts(leases ...queue.Lease) []orchestrator.Handout {
	var out []orchestrator.Handout
	for _, l := range leases {
		out = append(out, orchestrator.Handout{Lease: l.Item(), Tasks: l.Tasks.String()})
	}
	return out
}

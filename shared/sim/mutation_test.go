package sim

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/assistant"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/event"
	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/memory"
	"github.com/drover-run/drover/shared/orchestrator"
	"github.com/drover-run/drover/shared/outcome"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/scheduler"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
)

// mutations are faults that are planted into the services, each of which breaks a guarantee: the simulator is worth something only if it
// catches them. They live here and nowhere else.
var mutations = []struct {
	name       string
	guarantees []string // that it may break first
	first      uint64   // a seed from which on it is caught soon
	options    Options
}{
	{"the claim does not look at the version", []string{"G3", "G7"}, 199, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		if u := in.TransactItems[0].Update; u != nil && strings.HasPrefix(*u.UpdateExpression, "SET version = :next") {
			u.ConditionExpression = aws.String("attribute_not_exists(nothing) OR version = :version")
		}
	})},
	{"leases are read before the version", []string{"G3", "G7"}, 696, Options{Rewire: func(s *memory.Services) {
		s.Orchestrator.Control = &leasesFirst{Control: s.Orchestrator.Control}
	}}},
	{"leases are read eventually consistent", []string{"G3"}, 2, Options{Tamper: func(c memory.Clients) memory.Clients {
		c.DynamoDB = weakReads{c.DynamoDB}
		return c
	}}},
	{"a release counts, and does not name", []string{"G1", "G3", "G4"}, 1, Options{Rewire: func(s *memory.Services) {
		s.Assistant.Control = counting{s.Assistant.Control}
	}}},
	{"a close does not look at the attempt", []string{"G2", "G4", "G5", "G1"}, 9, Options{Tamper: func(c memory.Clients) memory.Clients {
		c.DynamoDB = blindCloses{c.DynamoDB}
		return c
	}}},
	{"an entry is published before its tasks are written", []string{"G1", "G2", "G4"}, 1, Options{Rewire: func(s *memory.Services) {
		early := &entryFirst{Tasks: s.Scheduler.Tasks, Jobs: s.Scheduler.Jobs}
		s.Scheduler.Tasks, s.Scheduler.Jobs = early, earlyJobs{s.Scheduler.Jobs, early}
	}}},
	{"the orchestrator is woken before the entry is published", []string{"G1"}, 229, Options{Rewire: func(s *memory.Services) {
		s.Scheduler.Jobs = wakeFirst{s.Scheduler.Jobs, s.Scheduler.Bus}
		s.Scheduler.Bus = withoutWakes{s.Scheduler.Bus}
	}}},
	{"a retry is queued whether or not its lease holds the task", []string{"G1"}, 74, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		for _, w := range in.TransactItems {
			if w.Delete != nil && isLease(w.Delete.Key) && len(in.TransactItems) == 2 {
				w.Delete.ConditionExpression, w.Delete.ExpressionAttributeValues = nil, nil
			}
			if w.Update != nil && isLease(w.Update.Key) && len(in.TransactItems) == 2 {
				w.Update.ConditionExpression = nil
				w.Update.ExpressionAttributeValues = memory.Item{":numbers": w.Update.ExpressionAttributeValues[":numbers"]}
			}
		}
	})},
	{"who claimed nothing does not look again", []string{"G1"}, 7361, Options{Rewire: func(s *memory.Services) {
		s.Orchestrator.Control = &looksOnce{Control: s.Orchestrator.Control}
	}}},
	{"sums are entered without being remembered", []string{"G5"}, 349, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		if u := in.TransactItems[0].Update; u != nil && strings.HasPrefix(*u.UpdateExpression, "SET rolled = :is") {
			u.ConditionExpression = aws.String("attribute_not_exists(nothing) OR rolled = :was")
			delete(u.ExpressionAttributeValues, ":replayed")
		}
	})},
	{"a job's record is created whether or not there is one", []string{"G2", "G5", "G1"}, 3, Options{Tamper: func(c memory.Clients) memory.Clients {
		c.DynamoDB = blindCreation{c.DynamoDB}
		return c
	}}},
	{"a retry does not wait", []string{"G10"}, 1, Options{Rewire: func(s *memory.Services) {
		settler := s.Scavenger.Settler.(outcome.Settler)
		settler.Control = impatient{settler.Control}
		s.Scavenger.Settler = settler
	}}},
	{"what is due is taken from the end", []string{"G6"}, 3, Options{Tamper: func(c memory.Clients) memory.Clients {
		c.DynamoDB = backwards{c.DynamoDB}
		return c
	}}},
	{"an end takes away what another version wrote", []string{"G1"}, 1, Options{Tamper: func(c memory.Clients) memory.Clients {
		c.DynamoDB = forgetful{c.DynamoDB}
		return c
	}}},
	{"a state with something more can not be read", []string{"G1"}, 1, Options{Tamper: func(c memory.Clients) memory.Clients {
		c.DynamoDB = strict{c.DynamoDB}
		return c
	}}},
}

// TestMutationsAreCaught shows that the simulator sees each of the planted faults.
func TestMutationsAreCaught(t *testing.T) {
	t.Parallel()
	const most = 400
	for _, m := range mutations {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			for s := m.first; s < m.first+most; s++ {
				r := inBubble(t, newPlan(s), m.options)
				if r.Violation == nil {
					continue
				}
				t.Logf("%s: seed %d, after %d seeds: %s", m.name, s, s-m.first+1, r.Violation)
				require.Contains(t, m.guarantees, r.Violation.Guarantee)
				return
			}
			require.Fail(t, "it was not caught", "%s: %d seeds from %d on saw nothing", m.name, most, m.first)
		})
	}
}

// The tampering with requests.

type dynamoTamper struct {
	dynamo.API
	change func(*dynamodb.TransactWriteItemsInput)
}

func tampered(change func(*dynamodb.TransactWriteItemsInput)) Options {
	return Options{Tamper: func(c memory.Clients) memory.Clients {
		c.DynamoDB = dynamoTamper{c.DynamoDB, change}
		return c
	}}
}

func (d dynamoTamper) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	d.change(in)
	return d.API.TransactWriteItems(ctx, in, o...)
}

func isLease(key memory.Item) bool { return strings.HasPrefix(str(key, "item"), "lease#") }

type weakReads struct{ dynamo.API }

func (d weakReads) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if strings.HasPrefix(str(in.ExpressionAttributeValues, ":prefix"), "lease#") {
		in.ConsistentRead = aws.Bool(false)
	}
	return d.API.Query(ctx, in, o...)
}

type backwards struct{ dynamo.API }

func (d backwards) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if strings.HasPrefix(str(in.ExpressionAttributeValues, ":from"), "queue#") {
		in.ScanIndexForward = aws.Bool(false)
	}
	return d.API.Query(ctx, in, o...)
}

type blindCloses struct{ dynamo.API }

func (d blindCloses) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if *in.TableName == memory.TasksTable {
		in.ConditionExpression = aws.String("attribute_exists(n)")
		maps.DeleteFunc(in.ExpressionAttributeValues, func(name string, _ types.AttributeValue) bool { return strings.HasPrefix(name, ":was_") })
		maps.DeleteFunc(in.ExpressionAttributeNames, func(name, _ string) bool {
			return !slices.Contains(strings.FieldsFunc(*in.UpdateExpression, func(r rune) bool { return r == ' ' || r == ',' }), name)
		})
	}
	return d.API.UpdateItem(ctx, in, o...)
}

type blindCreation struct{ dynamo.API }

func (d blindCreation) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if *in.TableName == memory.JobsTable && str(in.Item, "item") == "job" {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = nil, nil, nil
	}
	return d.API.PutItem(ctx, in, o...)
}

type forgetful struct{ dynamo.API }

func (d forgetful) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	out, err := d.API.UpdateItem(ctx, in, o...)
	if err == nil && *in.TableName == memory.TasksTable {
		_, _ = d.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: in.TableName, Key: in.Key, UpdateExpression: aws.String("REMOVE " + novelty)})
	}
	return out, err
}

type strict struct{ dynamo.API }

func (d strict) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	out, err := d.API.GetItem(ctx, in, o...)
	if err == nil && str(out.Item, "item") == "state" && out.Item[novelty] != nil {
		return nil, errors.New("unknown attribute " + novelty)
	}
	return out, err
}

// The rewiring of services.

type leasesFirst struct {
	orchestrator.Control
	leases []queue.Lease
	read   bool
}

func (c *leasesFirst) State(ctx context.Context, id string) (queue.State, error) {
	var err error
	if c.leases, err = c.Control.Leases(ctx, id); err != nil {
		return queue.State{}, err
	}
	c.read = true
	return c.Control.State(ctx, id)
}

func (c *leasesFirst) Leases(ctx context.Context, id string) ([]queue.Lease, error) {
	if c.read {
		c.read = false
		return c.leases, nil
	}
	return c.Control.Leases(ctx, id)
}

type counting struct{ assistant.Control }

func (c counting) Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error {
	leases, err := c.LeasesOn(ctx, l.Labourer, l.Segment)
	if err != nil {
		return err
	}
	for _, now := range leases {
		if now.Item() == l.Item() {
			return c.Control.Release(ctx, now, now.Held().First(numbers.Len()))
		}
	}
	return nil
}

type entryFirst struct {
	scheduler.Tasks
	Jobs  scheduler.Jobs
	tasks []task.Task
}

func (e *entryFirst) Create(_ context.Context, tasks []task.Task) error {
	e.tasks = tasks
	return nil
}

type earlyJobs struct {
	scheduler.Jobs
	tasks *entryFirst
}

func (j earlyJobs) Publish(ctx context.Context, jobs []ledger.Job, e queue.Entry) error {
	if err := j.Jobs.Publish(ctx, jobs, e); err != nil {
		return err
	}
	return j.tasks.Tasks.Create(ctx, j.tasks.tasks)
}

type wakeFirst struct {
	scheduler.Jobs
	bus scheduler.Bus
}

func (j wakeFirst) Publish(ctx context.Context, jobs []ledger.Job, e queue.Entry) error {
	if err := j.bus.Publish(ctx, event.TasksDue("early", e.Labourer)); err != nil {
		return err
	}
	return j.Jobs.Publish(ctx, jobs, e)
}

type withoutWakes struct{ scheduler.Bus }

func (b withoutWakes) Publish(ctx context.Context, facts ...event.Fact) error {
	return b.Bus.Publish(ctx, slices.DeleteFunc(slices.Clone(facts), func(f event.Fact) bool { return f.Type == "TasksDue" })...)
}

type looksOnce struct {
	orchestrator.Control
	departed bool
}

func (c *looksOnce) Depart(ctx context.Context, id, execution string) error {
	c.departed = true
	return c.Control.Depart(ctx, id, execution)
}

func (c *looksOnce) State(ctx context.Context, id string) (queue.State, error) {
	s, err := c.Control.State(ctx, id)
	s.Paused = s.Paused || c.departed
	return s, err
}

type impatient struct{ outcome.Control }

func (c impatient) Requeue(ctx context.Context, l queue.Lease, e queue.Entry) error {
	e.Due = l.ClaimedAt.Truncate(time.Millisecond)
	return c.Control.Requeue(ctx, l, e)
}

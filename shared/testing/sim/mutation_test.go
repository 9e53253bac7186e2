package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bus "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	events "github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/archiver"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/leasing"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/replay"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

type mutation struct {
	name       string
	guarantees []string // each that it may violate first
	first      uint64   // a seed shortly before the first one that shows it
	options    Options
}

// mutations are faults to plant into the services, each of which breaks a guarantee. The simulator is useful only if it catches them. No other
// code contains them.
var mutations = []mutation{
	// The lock keeps most claimers apart, so that few lose the race for the version. It expires, so it cannot replace the version.
	{"without a lock, a claim ignores the version", []string{"G1", "G3", "G7"}, rushes, unfenced(func(bool) bool { return true })},
	{"without a lock, slots are raised whatever the version is", []string{"G1", "G3", "G7"}, rushes + 480, unfenced(func(makes bool) bool { return !makes })},
	{"a claimer counts what is in hand instead of the granted slots", []string{"G3"}, rushes, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = handsOnly{s.Orchestrator.Service.Control}
	}}},
	{"a lease is fed above its slots", []string{"G3"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Assistant.Service.Control = generous{s.Assistant.Service.Control}
	}}},
	{"leases are written whatever their revision is", []string{"G1", "G3", "G4"}, 18, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = blindFeeds{c.DynamoDB}
		return c
	}}},
	{"a revocation sets slots whatever they are", []string{"G3"}, rushes, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		for _, w := range in.TransactItems {
			if w.Update != nil && strings.HasPrefix(*w.Update.UpdateExpression, "SET slots = :slots ADD revision") {
				w.Update.ConditionExpression = aws.String("attribute_exists(labourer) OR slots > :slots")
			}
		}
	})},
	{"a fill ignores the revision", []string{"G1", "G3"}, rushes + 410, Options{Rewire: func(s *fakeaws.Functions) {
		blind := s.Orchestrator.Service.Leases.(leasing.Writer)
		control := storeUnder(blind.Control)
		control.API = blindFeeds{control.API}
		blind.Control = control
		s.Orchestrator.Service.Leases = blindFills{s.Orchestrator.Service.Leases, blind}
	}}},
	{"tasks that wait in a lease return without its revision", []string{"G1", "G5"}, rushes + 400, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		if u := in.TransactItems[0].Update; u != nil && isLease(u.Key) && len(in.TransactItems) == 2 && in.TransactItems[1].Put != nil && u.ExpressionAttributeNames["#hands"] == "" {
			u.ConditionExpression = aws.String("attribute_exists(labourer) OR revision = :read")
		}
	})},
	{"a start is noted before it", []string{"G4"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = notesFirst{s.Orchestrator.Service.Control, s.Orchestrator.Service.Leases}
	}}},
	// A message that feeds a further task each time it is delivered breaks no guarantee as long as it respects the slots: the task that it fed at
	// first expires without a start. The harmful form is "a lease is fed above its slots".
	{"a message starts again what another has fed", []string{"G4"}, 225, Options{Rewire: func(s *fakeaws.Functions) {
		s.Assistant.Service.Leases = restarting{s.Assistant.Service.Leases, s.Assistant.Service}
	}}},
	{"a revocation takes tasks out of hand", []string{"G1"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = grabbing{s.Orchestrator.Service.Control, s.Orchestrator.Service.Leases}
	}}},
	// A retry of the attempt that failed breaks no guarantee: its start finds that the attempt has ended, and the task is settled again.
	{"a retry takes a slot that its lease was not granted", []string{"G3", "G7"}, 250, retries(func(_, after queue.Lease, now time.Time) queue.Lease {
		if queue.Ripe([]queue.Lease{after}, now) > 0 {
			after, _ = after.Feed(queue.MostSlots, queue.Undispatched, now)
		}
		return after
	})},
	{"a retry starts before its time", []string{"G10"}, 1, retries(func(before, after queue.Lease, now time.Time) queue.Lease {
		after, _ = after.Feed(before.Granted(), queue.Undispatched, now.Add(time.Hour))
		return after
	})},
	{"a task leaves its lease as its next attempt is set", []string{"G1", "G5"}, 1, retries(func(_, after queue.Lease, _ time.Time) queue.Lease {
		after.Retries = nil
		return after
	})},
	{"a lease is fed before its task is closed", []string{"G1"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		late := &lateCloses{Tasks: s.Assistant.Service.Tasks}
		s.Assistant.Service.Tasks, s.Assistant.Service.Leases = late, closesLate{s.Assistant.Service.Leases, late}
	}}},
	{"a task leaves its lease before its next entry is durable", []string{"G1"}, 1, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = apart{c.DynamoDB, func(w types.TransactWriteItem) bool {
			return w.Put != nil && strings.HasPrefix(str(w.Put.Item, "item"), "queue#")
		}}
		return c
	}}},
	{"a task leaves its lease before it is dead", []string{"G1"}, 1, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = apart{c.DynamoDB, func(w types.TransactWriteItem) bool {
			return w.Update != nil && *w.Update.TableName == fakeaws.TasksTable
		}}
		return c
	}}},
	{"a revision begins again under a used key", []string{"G1"}, 1, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		for _, w := range in.TransactItems {
			if w.Put != nil && strings.HasPrefix(str(w.Put.Item, "item"), "lease#") {
				w.Put.Item["revision"] = &types.AttributeValueMemberN{Value: "1"}
			}
		}
	})},
	{"leases are read before the state", []string{"G3", "G7"}, rushes, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = &leasesFirst{Control: s.Orchestrator.Service.Control}
	}}},
	{"leases are read with eventual consistency", []string{"G3", "G4", "G6"}, 2, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = weakReads{c.DynamoDB}
		return c
	}}},
	{"an end frees the slot of another task", []string{"G1", "G3", "G4"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Assistant.Service.Leases = counting{s.Assistant.Service.Leases}
	}}},
	{"a close ignores the attempt", []string{"G2", "G4", "G5", "G1"}, 20, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = blindCloses{c.DynamoDB}
		return c
	}}},
	{"an entry is published before its tasks are written", []string{"G1", "G2", "G4"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		early := &entryFirst{Tasks: s.Scheduler.Service.Tasks, Jobs: s.Scheduler.Service.Jobs}
		s.Scheduler.Service.Tasks, s.Scheduler.Service.Jobs = early, earlyJobs{s.Scheduler.Service.Jobs, early}
	}}},
	{"the orchestrator is woken before the entry is published", []string{"G1"}, 719, Options{Rewire: func(s *fakeaws.Functions) {
		s.Scheduler.Service.Jobs = wakeFirst{s.Scheduler.Service.Jobs, s.Scheduler.Service.Bus}
		s.Scheduler.Service.Bus = withoutWakes{s.Scheduler.Service.Bus}
	}}},
	{"a retry is queued whether or not its lease holds the task", []string{"G1", "G5"}, rushes, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		for _, w := range in.TransactItems {
			if w.Delete != nil && isLease(w.Delete.Key) && len(in.TransactItems) == 2 {
				w.Delete.ConditionExpression = aws.String("attribute_not_exists(nothing) OR revision = :read")
			}
			if w.Update != nil && isLease(w.Update.Key) && len(in.TransactItems) == 2 && strings.HasPrefix(aws.ToString(w.Update.ConditionExpression), "revision = :read") {
				w.Update.ConditionExpression = aws.String("attribute_exists(labourer) OR revision = :read")
			}
		}
	})},
	{"a claim releases the lock before its transaction has returned", []string{"G3"}, rushes + 440, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = hasty{s.Orchestrator.Service.Control}
	}}},
	{"a claimer without a claim does not read the state again", []string{"G1"}, rushes, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = &looksOnce{Control: s.Orchestrator.Service.Control}
	}}},
	{"a segment's totals are added without a record of the addition", []string{"G5", "G1"}, 349, tampered(func(in *dynamodb.TransactWriteItemsInput) {
		if u := in.TransactItems[0].Update; u != nil && strings.HasPrefix(*u.UpdateExpression, "SET rolled = :is") {
			u.ConditionExpression = aws.String("attribute_not_exists(nothing) OR rolled = :was")
			delete(u.ExpressionAttributeValues, ":replayed")
		}
	})},
	{"a job's record is created over an existing one", []string{"G2", "G5", "G1"}, 3, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = blindCreation{c.DynamoDB}
		return c
	}}},
	{"a retry does not wait", []string{"G10"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		settler := s.Scavenger.Service.Settler.(outcome.Settler)
		settler.Leases = impatient{settler.Leases}
		s.Scavenger.Service.Settler = settler
	}}},
	{"a retry has no wake", []string{"G1"}, 140, Options{Rewire: func(s *fakeaws.Functions) {
		settler := s.Scavenger.Service.Settler.(outcome.Settler)
		settler.Waiter = asleep{}
		s.Scavenger.Service.Settler, s.Orchestrator.Service.Settler = settler, settler
	}}},
	{"a wake that comes too early is dropped", []string{"G1"}, 140, Options{
		Tamper: func(c fakeaws.Clients) fakeaws.Clients {
			c.SQS = undelayed{c.SQS}
			return c
		},
		Rewire: func(s *fakeaws.Functions) { s.Assistant.Service.Timer = asleep{} },
	}},
	{"the claim takes the latest entries first", []string{"G6"}, 3, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = backwards{c.DynamoDB}
		return c
	}}},
	{"an end removes the attribute of another version", []string{"G1"}, 1, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = forgetful{c.DynamoDB}
		return c
	}}},
	{"a state with an unknown attribute is unreadable", []string{"G1", "G8"}, 1, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = strict{c.DynamoDB}
		return c
	}}},
	{"a worker gets the payload of another task", []string{"G2"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Tasks = mixed{s.Orchestrator.Service.Tasks}
	}}},
	{"the parts of a payload are put together in another order", []string{"G1", "G2", "G8"}, 1, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = shuffled{c.DynamoDB}
		return c
	}}},
	{"the archive keeps no payloads", []string{"G1"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Archiver.Service.Store = hollow{s.Archiver.Service.Store}
	}}},
	{"a dead task is requeued", []string{"G5", "G1"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		settler := s.Scavenger.Service.Settler.(outcome.Settler)
		settler.Leases = revenants{settler.Leases, s.Assistant.Service.Tasks}
		s.Scavenger.Service.Settler = settler
	}}},
	{"an end is accepted and not stored", []string{"G4"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Assistant.Service.Tasks = deaf{s.Assistant.Service.Tasks}
	}}},
	{"requeued tasks of a cancelled job are not withdrawn", []string{"G5"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		settler := s.Scavenger.Service.Settler.(outcome.Settler)
		settler.Sweeper = resting{settler.Sweeper}
		s.Scavenger.Service.Settler, s.Orchestrator.Service.Settler, s.Orchestrator.Service.Sweeper = settler, settler, idle{s.Orchestrator.Service.Sweeper}
	}}},
	{"a dispatcher starts ended tasks", []string{"G5", "G1", "G4"}, rushes, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Tasks = blind{s.Orchestrator.Service.Tasks}
	}}},
	{"the reaper reads only the first lease", []string{"G1"}, rushes, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = shortSighted{s.Orchestrator.Service.Control}
	}}},
	{"the trouble of a target does not end", []string{"G8", "G1"}, 15, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = resentful{s.Orchestrator.Service.Control}
	}}},
	{"a readable message goes to the dead letters", []string{"G8"}, 1, Options{Rewire: func(s *fakeaws.Functions) {
		s.Assistant.Service.Tasks = undertaker{s.Assistant.Service.Tasks, s.Assistant.Service.Graveyard}
	}}},
	{"a replay is dropped", []string{"G1"}, 18, Options{Rewire: func(s *fakeaws.Functions) {
		s.Scheduler.Service.Replayer = dropper{s.Scheduler.Service.Replayer}
	}}},
	{"tasks are revived together whatever their size is", []string{"G1"}, 426, Options{Rewire: func(s *fakeaws.Functions) {
		r := s.Scheduler.Service.Replayer.(replay.Service)
		w := &weightless{Tasks: r.Tasks, Store: r.Store, whole: map[task.ID]task.Task{}}
		r.Tasks, r.Store = w, w
		s.Scheduler.Service.Replayer = r
	}}},
	{"a pause is ignored", []string{"G7"}, 1, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = restless{c.DynamoDB}
		return c
	}}},
	{"the refusal of a job is not published", []string{"G9"}, 1, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.EventBridge = silent{c.EventBridge}
		return c
	}}},
}

// TestEachGuaranteeHasAMutationThatBreaksItAlone requires a mutation for each guarantee. With TestMutationsAreCaught, it shows that the
// invariants of every guarantee can fail.
func TestEachGuaranteeHasAMutationThatBreaksItAlone(t *testing.T) {
	var guarantees []string
	for n := range 10 {
		guarantees = append(guarantees, fmt.Sprintf("G%d", n+1))
	}
	for n := range 6 {
		guarantees = append(guarantees, fmt.Sprintf("R%d", n+1))
	}
	for _, g := range guarantees {
		alone := []string{g}
		require.True(t, slices.ContainsFunc(slices.Concat(mutations, flowMutations), func(m mutation) bool { return slices.Equal(m.guarantees, alone) }), "no mutation breaks %s alone", alone)
	}
}

// TestMutationsAreCaught shows that the simulator detects each planted fault.
func TestMutationsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute: some mutations show only in one world of hundreds")
	}
	t.Parallel()
	const most = 400
	for _, m := range slices.Concat(mutations, flowMutations, seekMutations, directMutations) {
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
			require.Fail(t, "the mutation was not caught", "%s: no violation in %d seeds from %d on", m.name, most, m.first)
		})
	}
}

// Mutations of requests.

type dynamoTamper struct {
	dynamo.API
	change func(*dynamodb.TransactWriteItemsInput)
}

type shuffled struct{ dynamo.API }

func (d shuffled) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	out, err := d.API.BatchGetItem(ctx, in, o...)
	if err != nil {
		return out, err
	}
	parts := map[string]int{}
	for _, it := range out.Responses[fakeaws.TasksTable] {
		parts[str(it, "segment")]++
	}
	for _, it := range out.Responses[fakeaws.TasksTable] {
		if of := str(it, "segment"); strings.Contains(of, "#") && !strings.Contains(of, "-") { // a bundle is one item
			it["n"] = &types.AttributeValueMemberN{Value: strconv.Itoa(parts[of] - 1 - num(it, "n"))}
		}
	}
	return out, nil
}

// asleep starts no waits.
type asleep struct{}

func (asleep) Backoff(context.Context, outcome.Backoff) error     { return nil }
func (asleep) WakeAt(context.Context, time.Time, ...string) error { return nil }

func (asleep) Remind(context.Context, time.Time, string) error { return nil }

type undelayed struct{ sqs.API }

func (q undelayed) SendMessage(ctx context.Context, in *awssqs.SendMessageInput, o ...func(*awssqs.Options)) (*awssqs.SendMessageOutput, error) {
	in.DelaySeconds = 0
	return q.API.SendMessage(ctx, in, o...)
}

// isGrant reports whether a write fences a grant.
func isGrant(u *types.Update) bool {
	return u != nil && aws.ToString(u.ConditionExpression) == "version = :read"
}

// unfenced takes the lock and the version from grants, from those that make leases or those that do not.
func unfenced(takes func(makes bool) bool) Options {
	o := tampered(func(in *dynamodb.TransactWriteItemsInput) {
		makes := slices.ContainsFunc(in.TransactItems, func(w types.TransactWriteItem) bool { return w.Put != nil })
		if u := in.TransactItems[0].Update; isGrant(u) && takes(makes) {
			u.ConditionExpression = aws.String("attribute_not_exists(nothing) OR version = :read")
		}
	})
	o.Rewire = func(s *fakeaws.Functions) { s.Orchestrator.Service.Control = unlocked{s.Orchestrator.Service.Control} }
	return o
}

func tampered(change func(*dynamodb.TransactWriteItemsInput)) Options {
	return Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.DynamoDB = dynamoTamper{c.DynamoDB, change}
		return c
	}}
}

func (d dynamoTamper) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	d.change(in)
	return d.API.TransactWriteItems(ctx, in, o...)
}

type weakReads struct{ dynamo.API }

func (d weakReads) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if strings.HasPrefix(str(in.ExpressionAttributeValues, ":prefix"), "lease#") || str(in.ExpressionAttributeValues, ":from") == "lease#" {
		in.ConsistentRead = aws.Bool(false)
	}
	return d.API.Query(ctx, in, o...)
}

type backwards struct{ dynamo.API }

func (d backwards) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if from := str(in.ExpressionAttributeValues, ":from"); from == "queue#" || from == "lease#" {
		in.ScanIndexForward = aws.Bool(false)
	}
	return d.API.Query(ctx, in, o...)
}

type blindCloses struct{ dynamo.API }

func (d blindCloses) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if *in.TableName == fakeaws.TasksTable {
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
	if *in.TableName == fakeaws.JobsTable && str(in.Item, "item") == "job" {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = nil, nil, nil
	}
	return d.API.PutItem(ctx, in, o...)
}

type forgetful struct{ dynamo.API }

func (d forgetful) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	out, err := d.API.UpdateItem(ctx, in, o...)
	if err == nil && *in.TableName == fakeaws.TasksTable {
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

// Mutations of services.

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

func (c *leasesFirst) Work(ctx context.Context, id string, now time.Time, limit int) ([]queue.Lease, []queue.Entry, error) {
	leases, entries, err := c.Control.Work(ctx, id, now, limit)
	if c.read {
		c.read = false
		return c.leases, entries, err
	}
	return leases, entries, err
}

type handsOnly struct{ orchestrator.Control }

func (c handsOnly) Work(ctx context.Context, id string, now time.Time, limit int) ([]queue.Lease, []queue.Entry, error) {
	leases, entries, err := c.Control.Work(ctx, id, now, limit)
	for i := range leases {
		leases[i].Slots = len(leases[i].Hands)
	}
	return leases, entries, err
}

type generous struct{ assistant.Control }

func (c generous) LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error) {
	leases, err := c.Control.LeasesOn(ctx, labourer, s)
	for i := range leases {
		leases[i].Slots++
	}
	return leases, err
}

type blindFeeds struct{ dynamo.API }

func (d blindFeeds) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if isLease(in.Key) && aws.ToString(in.ConditionExpression) == "revision = :read" {
		in.ConditionExpression = aws.String("attribute_exists(labourer) OR revision = :read")
	}
	return d.API.UpdateItem(ctx, in, o...)
}

// blindFills ignores revisions when it fills slots.
type blindFills struct {
	orchestrator.Leases
	blind leasing.Writer
}

func (f blindFills) Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error) {
	if after.InHand().Minus(before.InHand()).Empty() {
		return f.Leases.Save(ctx, before, after)
	}
	return f.blind.Save(ctx, before, after)
}

// notesFirst notes that tasks are started as soon as their dispatcher reads them.
type notesFirst struct {
	orchestrator.Control
	leases orchestrator.Leases
}

func (c notesFirst) Lease(ctx context.Context, labourer, item string) (queue.Lease, bool, error) {
	l, found, err := c.Control.Lease(ctx, labourer, item)
	if tasks := l.By(queue.Undispatched); err == nil && found && !tasks.Empty() {
		if stored, err := c.leases.Save(ctx, l, l.Noted(tasks)); err == nil {
			l.Revision = stored.Revision
		}
	}
	return l, found, err
}

// restarting starts the tasks again that other messages have fed.
type restarting struct {
	assistant.Leases
	service *assistant.Service
}

func (r restarting) Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error) {
	stored, err := r.Leases.Save(ctx, before, after)
	if err != nil {
		return stored, err
	}
	var again segment.Numbers
	for n, h := range stored.Hands {
		if h.By != queue.Undispatched && h.By != queue.Dispatched && before.Hands[n] == h {
			again = again.Union(segment.Of(n))
		}
	}
	if l, err := r.service.Labourers.Recent(ctx, stored.Labourer); err == nil {
		for tasks, err := range r.service.Tasks.Chunks(ctx, stored.Segment, again) {
			if err == nil {
				_, _ = r.service.Launcher.Launch(ctx, l, stored, tasks, r.service.Now(), nil)
			}
		}
	}
	return stored, nil
}

// grabbing takes tasks out of hand as it revokes their slots.
type grabbing struct {
	orchestrator.Control
	leases orchestrator.Leases
}

func (c grabbing) Revoke(ctx context.Context, _ string, change queue.Change) error {
	_, err := c.leases.Save(ctx, change.Before, change.After.Without(change.Before.InHand()))
	return err
}

// lateCloses keeps completions back until closesLate has written their lease.
type lateCloses struct {
	assistant.Tasks
	mu   sync.Mutex
	kept [][2]task.Task
}

func (l *lateCloses) Save(ctx context.Context, before, after task.Task) error {
	if after.Status != task.Completed {
		return l.Tasks.Save(ctx, before, after)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, [2]task.Task{before, after})
	return nil
}

type closesLate struct {
	assistant.Leases
	late *lateCloses
}

func (c closesLate) Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error) {
	stored, err := c.Leases.Save(ctx, before, after)
	if err != nil {
		return stored, err
	}
	c.late.mu.Lock()
	kept := c.late.kept
	c.late.kept = nil
	c.late.mu.Unlock()
	for _, k := range kept {
		if err := c.late.Tasks.Save(ctx, k[0], k[1]); err != nil {
			return stored, err
		}
	}
	return stored, nil
}

// retries plants what the assistant writes of leases beside or instead of what is right.
func retries(change func(before, after queue.Lease, now time.Time) queue.Lease) Options {
	return Options{Rewire: func(s *fakeaws.Functions) {
		s.Assistant.Service.Leases = retrying{s.Assistant.Service.Leases, change, s.Assistant.Service.Now}
	}}
}

type retrying struct {
	assistant.Leases
	change func(before, after queue.Lease, now time.Time) queue.Lease
	now    func() time.Time
}

func (r retrying) Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error) {
	return r.Leases.Save(ctx, before, r.change(before, after, r.now()))
}

// apart writes the lease of a transaction first, by itself, and then what its tasks go to.
type apart struct {
	dynamo.API
	second func(types.TransactWriteItem) bool
}

func (d apart) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	var leases, others []types.TransactWriteItem
	for _, w := range in.TransactItems {
		switch {
		case w.Update != nil && isLease(w.Update.Key), w.Delete != nil && isLease(w.Delete.Key):
			leases = append(leases, w)
		case d.second(w):
			others = append(others, w)
		}
	}
	if len(leases) != 1 || len(others) == 0 || len(leases)+len(others) != len(in.TransactItems) {
		return d.API.TransactWriteItems(ctx, in, o...)
	}
	if _, err := d.API.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: leases}, o...); err != nil {
		return nil, err
	}
	return d.API.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: others}, o...)
}

// counting takes as many tasks out of hand as have ended, but the first ones.
type counting struct{ assistant.Leases }

func (c counting) Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error) {
	gone := before.InHand().Minus(after.InHand())
	wrong := before.InHand().First(gone.Len())
	for n := range gone.All() {
		after.Hands[n] = before.Hands[n]
	}
	return c.Leases.Save(ctx, before, after.Ended(wrong))
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

// looksOnce ends its lock only after it has read the queue for the last time.
type looksOnce struct {
	orchestrator.Control
	by string // the execution whose lock is to end
}

func (c *looksOnce) Depart(_ context.Context, _, execution string) error {
	c.by = execution
	return nil
}

func (c *looksOnce) Work(ctx context.Context, id string, now time.Time, limit int) ([]queue.Lease, []queue.Entry, error) {
	leases, entries, err := c.Control.Work(ctx, id, now, limit)
	if by := c.by; err == nil && by != "" {
		c.by = ""
		for range 8 { // it takes its time, so that others look at the lock meanwhile
			if _, err := c.Control.State(ctx, id); err != nil {
				return leases, entries, err
			}
		}
		err = c.Control.Depart(ctx, id, by)
	}
	return leases, entries, err
}

// unlocked locks no labourer before a grant.
type unlocked struct{ orchestrator.Control }

func (unlocked) Approach(context.Context, string, time.Time, queue.Hold) error { return nil }

type hasty struct{ orchestrator.Control }

func (c hasty) Grant(ctx context.Context, id string, g queue.Grant, _ queue.Hold) error {
	return c.Control.Grant(ctx, id, g, queue.Hold{})
}

type impatient struct{ outcome.Leases }

func (c impatient) Requeue(ctx context.Context, l queue.Lease, e queue.Entry) (queue.Lease, error) {
	e.Due = l.ClaimedAt.Truncate(time.Millisecond)
	return c.Leases.Requeue(ctx, l, e)
}

// mixed swaps the payloads of a segment's tasks.
type mixed struct{ orchestrator.Tasks }

func (m mixed) Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	return eachChunk(m.Tasks.Chunks(ctx, s, numbers), func(tasks []task.Task) {
		for i := 1; i < len(tasks); i++ {
			tasks[i].Payload, tasks[i-1].Payload = tasks[i-1].Payload, tasks[i].Payload
		}
	})
}

// eachChunk applies a change to each chunk of a sequence.
func eachChunk(chunks iter.Seq2[[]task.Task, error], change func([]task.Task)) iter.Seq2[[]task.Task, error] {
	return func(yield func([]task.Task, error) bool) {
		for tasks, err := range chunks {
			change(tasks)
			if !yield(tasks, err) {
				return
			}
		}
	}
}

// hollow archives records without their payloads.
type hollow struct{ archiver.Store }

func (h hollow) Put(ctx context.Context, o archive.Object) error {
	records, err := archive.Read(o.Body)
	if err != nil {
		return err
	}
	tasks := make([]task.Task, len(records))
	for i, r := range records {
		id, err := task.ParseID(r.TaskID)
		if err != nil || r.ClosedAt == nil {
			return err
		}
		tasks[i] = task.Task{ID: id, Labourer: r.Labourer, JobID: r.JobID, Status: r.Status, Attempt: r.Attempt, Attempts: r.Attempts, CreatedAt: r.CreatedAt,
			ClosedAt: *r.ClosedAt, Life: r.Life, Payload: []byte("{}")}
	}
	objects, err := archive.Objects(tasks)
	if err != nil {
		return err
	}
	for _, one := range objects {
		if err := h.Store.Put(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// revenants requeues each task that dies.
type revenants struct {
	outcome.Leases
	tasks assistant.Tasks
}

func (r revenants) Kill(ctx context.Context, l queue.Lease, failed, dead []task.Task) (queue.Lease, error) {
	var numbers segment.Numbers
	for i, t := range dead {
		if err := r.tasks.Save(ctx, failed[i], t); err != nil {
			return l, queue.ErrChanged
		}
		numbers = numbers.Union(segment.Of(t.ID.N))
	}
	return r.Requeue(ctx, l, l.Next(numbers, l.Due.Add(time.Minute)))
}

// deaf does not find the first task of a segment when its end arrives.
type deaf struct{ assistant.Tasks }

func (d deaf) Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error) {
	found, err := d.Tasks.Load(ctx, ids)
	maps.DeleteFunc(found, func(id task.ID, _ task.Task) bool { return id.N == 0 })
	return found, err
}

// idle sweeps nothing.
type idle struct{ orchestrator.Sweeper }

// resting sweeps nothing for the settler.
type resting struct{ outcome.Sweeper }

func (resting) Sweep(context.Context, []task.Task) error { return nil }

func (idle) Sweep(context.Context, []task.Task) error { return nil }

// blind presents ended tasks as open.
type blind struct{ orchestrator.Tasks }

func (b blind) Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	return eachChunk(b.Tasks.Chunks(ctx, s, numbers), func(tasks []task.Task) {
		for i := range tasks {
			if tasks[i].Status.Terminal() {
				tasks[i].Status, tasks[i].Attempt = task.Open, max(0, tasks[i].Attempt-1)
			}
		}
	})
}

// shortSighted shows the reaper only one lease.
type shortSighted struct{ orchestrator.Control }

func (c shortSighted) Look(ctx context.Context, labourer string, now time.Time, limit int) (queue.Look, error) {
	look, err := c.Control.Look(ctx, labourer, now, limit)
	look.Leases = look.Leases[:min(1, len(look.Leases))]
	return look, err
}

// resentful keeps trouble for days.
type resentful struct{ orchestrator.Control }

func (c resentful) SetTrouble(ctx context.Context, labourer string, trouble *queue.Trouble) error {
	if trouble == nil {
		return nil
	}
	long := *trouble
	long.Until = long.Until.Add(100 * time.Hour)
	return c.Control.SetTrouble(ctx, labourer, &long)
}

// undertaker sends a readable message to the dead letters with each end.
type undertaker struct {
	assistant.Tasks
	graveyard assistant.Graveyard
}

func (u undertaker) Save(ctx context.Context, before, after task.Task) error {
	if err := u.graveyard.Bury(ctx, `{"version": 1, "task_id": "`+before.ID.String()+`", "status": "completed"}`, "misread"); err != nil {
		return err
	}
	return u.Tasks.Save(ctx, before, after)
}

// dropper ignores replays.
type dropper struct{ scheduler.Replayer }

func (dropper) Replay(context.Context, event.Envelope, func() bool) (*event.Envelope, error) {
	return nil, nil
}

// weightless lets tasks seem small until they are revived.
type weightless struct {
	replay.Tasks
	replay.Store
	whole map[task.ID]task.Task
}

func (w *weightless) Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	return eachChunk(w.Tasks.Chunks(ctx, s, numbers), func(tasks []task.Task) {
		for i, t := range tasks {
			w.whole[t.ID] = t
			tasks[i].Result, tasks[i].Attempts = nil, nil
		}
	})
}

func (w *weightless) Revive(ctx context.Context, job ledger.Job, p ledger.Progress, dead []task.Task, entry queue.Entry) error {
	all := make([]task.Task, len(dead))
	for i, t := range dead {
		all[i] = w.whole[t.ID]
	}
	return w.Store.Revive(ctx, job, p, all, entry)
}

// restless reads every labourer as not paused.
type restless struct{ dynamo.API }

func (d restless) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	out, err := d.API.GetItem(ctx, in, o...)
	if err == nil {
		delete(out.Item, "paused")
	}
	return out, err
}

func (d restless) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out, err := d.API.Query(ctx, in, o...)
	if err == nil {
		for _, it := range out.Items {
			delete(it, "paused")
		}
	}
	return out, err
}

// silent reports the refusal of a job as published, and drops it.
type silent struct{ events.API }

func (s silent) PutEvents(ctx context.Context, in *eventbridge.PutEventsInput, o ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	if slices.ContainsFunc(in.Entries, func(e bus.PutEventsRequestEntry) bool { return aws.ToString(e.DetailType) == "JobRejected" }) {
		return &eventbridge.PutEventsOutput{Entries: make([]bus.PutEventsResultEntry, len(in.Entries))}, nil
	}
	return s.API.PutEvents(ctx, in, o...)
}

// storeUnder returns the store under the one that counts for the metrics, which only the wiring knows.
func storeUnder(counting leasing.Control) dynamo.Control {
	return reflect.ValueOf(counting).FieldByName("Control").Interface().(dynamo.Control)
}

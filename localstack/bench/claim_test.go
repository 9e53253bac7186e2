package bench

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// claimed counts the free slots of the labourer, and so the tasks that a claim takes in hand.
const claimed = 10

// BenchmarkClaim claims for ten slots from queues of three lengths, on tables in memory that count as DynamoDB does. The cost of a claim must not
// depend on the length of the queue. (The time does: the tables in memory sort a partition's items for each query.) A pass consists of the
// steps of the orchestrate machine before it starts workers: plan, assess, claim.
func BenchmarkClaim(b *testing.B) {
	for _, queued := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("queued=%d", queued), func(b *testing.B) {
			f := newField(b, queued)
			b.Run("claim", func(b *testing.B) { f.measure(b, f.claim) })
			b.Run("pass", func(b *testing.B) { f.measure(b, f.pass) })
		})
	}
}

// field is a labourer with a queue.
type field struct {
	db      *fakeaws.DynamoDB
	control dynamo.Control
	service orchestrator.Service
	first   fakeaws.Item // the queue entry that the claim reads, in its stored form
}

func newField(b *testing.B, queued int) *field {
	b.Helper()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	db := fakeaws.NewDynamoDB(clock)
	registry, control := dynamo.Registry{API: db, Table: fakeaws.ControlTable}, dynamo.Control{API: db, Table: fakeaws.ControlTable}
	require.NoError(b, apply(b.Context(), registry, fmt.Sprintf(
		`labourers: {harvest: {target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/harvest"}, max_simultaneous_invocations: %d}}`, claimed)))
	for first := 0; first < queued; first += segment.Size {
		e := queue.Entry{Labourer: "harvest", Due: now.Add(-time.Hour + time.Duration(first)*time.Microsecond), Segment: segment.IDOf("million", first/segment.Size),
			Tasks: segment.Range(0, min(segment.Size, queued-first)-1), Attempt: 1}
		require.NoError(b, db.Put(fakeaws.ControlTable, fakeaws.Item{"labourer": text("harvest"), "item": text(e.Item()), "tasks": text(e.Tasks.String()),
			"attempt": &types.AttributeValueMemberN{Value: "1"}}))
	}
	f := &field{db: db, control: control, service: orchestrator.Service{Control: control, Registry: registry, Health: healthy{}, Now: clock}}
	for _, it := range db.Items(fakeaws.ControlTable) {
		if f.first == nil && strings.HasPrefix(it["item"].(*types.AttributeValueMemberS).Value, "queue#") {
			f.first = maps.Clone(it)
		}
	}
	return f
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// healthy is a CloudWatch for labourers without metrics.
type healthy struct{}

func (healthy) Readings(context.Context, map[string]ecology.Metric) (map[string]ecology.Reading, error) {
	return nil, nil
}

// measure counts the cost of each turn. Between turns it restores the tables, which does not count.
func (f *field) measure(b *testing.B, turn func(*testing.B) []string) {
	b.Helper()
	var sum fakeaws.Cost
	n := 0.0
	for b.Loop() {
		f.db.ResetUsage()
		leases := turn(b)
		for _, cost := range f.db.Usage() {
			sum.Calls += cost.Calls
			sum.ReadUnits += cost.ReadUnits
			sum.WriteUnits += cost.WriteUnits
		}
		n++
		f.putBack(b, leases)
	}
	b.ReportMetric(float64(sum.Calls)/n, "calls/op")
	b.ReportMetric(sum.ReadUnits/n, "read-units/op")
	b.ReportMetric(sum.WriteUnits/n, "write-units/op")
}

func (f *field) putBack(b *testing.B, leases []string) {
	b.Helper()
	require.Len(b, leases, 1)
	_, err := f.db.DeleteItem(b.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(fakeaws.ControlTable),
		Key: fakeaws.Item{"labourer": text("harvest"), "item": text(leases[0])}})
	require.NoError(b, err)
	require.NoError(b, f.db.Put(fakeaws.ControlTable, maps.Clone(f.first)))
	require.NoError(b, f.control.Depart(b.Context(), "harvest", "execution")) // a claimer holds its lock until it has dispatched
}

func (f *field) claim(b *testing.B) []string {
	b.Helper()
	out, err := f.service.Claim(b.Context(), "execution", "harvest", orchestrator.Decided{Round: 1})
	require.NoError(b, err)
	require.Equal(b, claimed, out.Claimed)
	var leases []string
	for _, h := range out.Leases {
		leases = append(leases, h.Lease)
	}
	return leases
}

func (f *field) pass(b *testing.B) []string {
	b.Helper()
	planned, err := f.service.Plan(b.Context(), "execution", orchestrator.PlanInput{Labourers: []string{"harvest"}})
	require.NoError(b, err)
	require.Len(b, planned.Labourers, 1)
	assessed, err := f.service.Assess(b.Context(), "execution", "harvest", orchestrator.Decided{Round: 0})
	require.NoError(b, err)
	require.True(b, assessed.Start, assessed.Reason)
	return f.claim(b)
}

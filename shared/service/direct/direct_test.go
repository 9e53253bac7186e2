package direct_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

const labourers = `
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: 3}
  measured:
    target: {sqs: %q}
    health_metrics: {load: {details: {Namespace: AWS/RDS, MetricName: CPUUtilization}, feelings: {3: 50}}}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`

// idle accepts starts and starts nothing.
type idle struct{}

func (idle) Start(context.Context, []direct.Start) error { return nil }

// TestADirectGrantIsMadeOnlyWhereNothingStandsAgainstIt: in all other cases the tasks go to the queue.
func TestADirectGrantIsMadeOnlyWhereNothingStandsAgainstIt(t *testing.T) {
	now := outage.Start
	entry := queue.Entry{Labourer: "f", Due: now, Segment: "new", Tasks: segment.Of(0, 1), Attempt: 1}
	later := entry
	later.Due = now.Add(time.Millisecond)
	unknown := entry
	unknown.Labourer = "missing"
	measured := entry
	measured.Labourer = "measured"
	many := entry
	many.Tasks = segment.Range(0, queue.MostSlots)
	noReads := func(s *outage.Stage, operation string) {
		s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
			if r.Operation == operation {
				return errors.New("out of order")
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		entry queue.Entry
		given func(*testing.T, *outage.Stage)
		want  bool
		calls int // of DynamoDB
	}{
		"nothing stands against it":          {entry: entry, want: true, calls: 3},
		"the tasks are due later":            {entry: later},
		"more tasks than a lease starts":     {entry: many},
		"a labourer that is not applied":     {entry: unknown, calls: 2},
		"health metrics":                     {entry: measured, calls: 2},
		"a paused labourer":                  {entry: entry, calls: 1, given: func(t *testing.T, s *outage.Stage) { require.NoError(t, s.Pause("f")) }},
		"an execution that is claiming":      {entry: entry, calls: 1, given: held(time.Second)},
		"an execution that claimed long ago": {entry: entry, want: true, calls: 3, given: held(-time.Second)},
		"a target in trouble": {entry: entry, calls: 1, given: func(t *testing.T, s *outage.Stage) {
			require.NoError(t, s.Control.SetTrouble(t.Context(), "f", queue.Troubled(nil, "no", now)))
		}},
		"a cap that is used up": {entry: entry, calls: 3, given: func(t *testing.T, s *outage.Stage) {
			s.Schedule(t, outage.Job("before", "f", 3))
			require.Equal(t, 3, s.HandOut(t, "f"))
		}},
		"a pin that lets none start": {entry: entry, calls: 3, given: func(t *testing.T, s *outage.Stage) {
			require.NoError(t, s.Control.SetPin(t.Context(), "f", &queue.Pin{Cap: 0, Until: now.Add(time.Hour)}))
		}},
		"a task that is due": {entry: entry, calls: 3, given: func(t *testing.T, s *outage.Stage) { s.Schedule(t, outage.Job("before", "f", 1)) }},
		"more leases than are read": {entry: entry, calls: 3, given: func(t *testing.T, s *outage.Stage) {
			for i := range 11 {
				s.Schedule(t, outage.Job(fmt.Sprint("before-", i), "f", 1))
				require.NoError(t, s.Control.SetPin(t.Context(), "f", &queue.Pin{Cap: 20}))
				require.Equal(t, 1, s.HandOut(t, "f"))
			}
		}},
		"items that cannot be read":   {entry: entry, calls: 1, given: func(_ *testing.T, s *outage.Stage) { noReads(s, "GetItem") }},
		"a queue that cannot be read": {entry: entry, calls: 3, given: func(_ *testing.T, s *outage.Stage) { noReads(s, "Query") }},
	} {
		t.Run(name, func(t *testing.T) {
			s := outage.NewStage(t, fmt.Sprintf(labourers, outage.Worker("f"), outage.Worker("measured")), "f")
			if c.given != nil {
				c.given(t, s)
			}
			g := direct.Granter{Control: s.Control, Registry: dynamo.Registry{API: s.DynamoDB, Table: fakeaws.ControlTable}, Starter: idle{}, Now: s.World.Now}
			calls := 0
			before := s.DynamoDB.Before
			s.DynamoDB.Before = func(ctx context.Context, r fakeaws.Request) error {
				calls++
				if before != nil {
					return before(ctx, r)
				}
				return nil
			}

			granted := g.Grant(t.Context(), direct.Offer{Execution: "publisher", Entry: c.entry})[0]

			require.Equal(t, c.want, granted.May)
			require.Equal(t, c.calls, calls)
			if !granted.May {
				require.Zero(t, granted)
				return
			}
			d, start := granted.Direct, granted.Start
			require.Equal(t, "f", d.Labourer)
			require.Equal(t, queue.Hold{By: "publisher", Until: now.Add(queue.HoldTerm)}, d.Hold)
			require.Equal(t, []string{"publisher", "f", d.Lease().Item(), "0-1"}, []string{start.Execution, start.Labourer, start.Lease, start.Tasks})
			require.Equal(t, []any{2, 2, 3, decision.None}, []any{start.Decision.Started, start.Decision.Due, start.Decision.Free, start.Decision.Binding})
		})
	}
}

// TestStatesAndSettingsOfManyLabourersAreReadTogether, the states first and the leases last. One labourer keeps no other from its grant.
func TestStatesAndSettingsOfManyLabourersAreReadTogether(t *testing.T) {
	s := outage.NewStage(t, fmt.Sprintf(labourers, outage.Worker("f"), outage.Worker("measured")), "f")
	require.NoError(t, s.Apply(fmt.Sprintf("labourers: {g: {target: {sqs: %q}}, paused: {target: {sqs: %q}}}", outage.Worker("g"), outage.Worker("paused"))))
	require.NoError(t, s.Pause("paused"))
	g := direct.Granter{Control: s.Control, Registry: dynamo.Registry{API: s.DynamoDB, Table: fakeaws.ControlTable}, Starter: idle{}, Now: s.World.Now}
	var offers []direct.Offer
	for i, l := range []string{"missing", "f", "paused", "g", "measured"} {
		offers = append(offers, direct.Offer{Execution: "publisher/" + l, Entry: queue.Entry{Labourer: l, Due: outage.Start, Segment: "new", First: i, Tasks: segment.Of(i), Attempt: 1}})
	}
	var calls []string
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		calls = append(calls, r.Operation)
		return nil
	}

	granted := g.Grant(t.Context(), offers...)

	require.Equal(t, []string{"BatchGetItem", "BatchGetItem", "Query", "Query"}, calls)
	for i, may := range []bool{false, true, false, true, false} {
		require.Equal(t, may, granted[i].May, offers[i].Entry.Labourer)
		if may {
			require.Equal(t, offers[i].Execution, granted[i].Start.Execution)
			require.Equal(t, segment.Of(i), granted[i].Direct.Lease().InHand())
		}
	}
}

// TestAStartHasTheSettingsOfItsLabourerUnlessTheyAreLarge.
func TestAStartHasTheSettingsOfItsLabourerUnlessTheyAreLarge(t *testing.T) {
	for types, has := range map[int]bool{1: true, 50: false} {
		var named []string
		for i := range types {
			named = append(named, fmt.Sprintf("%s%d", strings.Repeat("x", 200), i))
		}
		s := outage.NewStage(t, fmt.Sprintf("labourers: {f: {target: {sqs: %q}, not_retryable: [%s]}}", outage.Worker("f"), strings.Join(named, ", ")), "f")
		g := direct.Granter{Control: s.Control, Registry: dynamo.Registry{API: s.DynamoDB, Table: fakeaws.ControlTable}, Starter: idle{}, Now: s.World.Now}

		granted := g.Grant(t.Context(), direct.Offer{Execution: "publisher", Entry: queue.Entry{Labourer: "f", Due: outage.Start, Segment: "new", Tasks: segment.Of(0), Attempt: 1}})[0]

		require.True(t, granted.May)
		l, err := labourer.Decode("f", granted.Start.Settings)
		require.Equal(t, has, err == nil)
		if has {
			require.Equal(t, outage.Worker("f"), l.Target.SQS)
		}
	}
}

// TestWithoutAStarterNothingIsGrantedDirectly, and nothing is read.
func TestWithoutAStarterNothingIsGrantedDirectly(t *testing.T) {
	granted := direct.Granter{}.Grant(t.Context(), direct.Offer{Execution: "publisher", Entry: queue.Entry{Labourer: "f", Tasks: segment.Of(0)}})

	require.Equal(t, []direct.Granted{{}}, granted)
}

// held has another execution hold the labourer until some time from now on.
func held(term time.Duration) func(*testing.T, *outage.Stage) {
	return func(t *testing.T, s *outage.Stage) {
		require.NoError(t, s.Control.Approach(t.Context(), "f", outage.Start, queue.Hold{By: "another", Until: outage.Start.Add(term)}))
	}
}

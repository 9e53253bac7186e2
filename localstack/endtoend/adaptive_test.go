package endtoend

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
)

// age moves everything that is remembered of the cap of the test's labourer into the past: it has the same effect as waiting, without the wait of a
// minute at least that lies between two changes.
func (s *stack) age(t *testing.T, by time.Duration) {
	t.Helper()
	health := dynamo.Health{API: s.db, Table: s.out["ControlTableName"]}
	l, found, err := s.registry.Labourer(t.Context(), named(t))
	require.NoError(t, err)
	require.True(t, found)
	key := l.Aims()["load"].Key()
	// An execution that is still under way may write the same.
	unless := func(err error) bool {
		if errors.Is(err, queue.ErrChanged) {
			return false
		}
		require.NoError(t, err)
		return true
	}
	await(t, "the past of what finds the cap", func() (string, bool) {
		controllers, err := health.Controllers(t.Context(), []string{key})
		require.NoError(t, err)
		before := controllers[key]
		require.NotZero(t, before.Cap)
		after := before
		for _, at := range []*time.Time{&after.Changed, &after.Settled, &after.UsedSince, &after.Heard, &after.Last, &after.First} {
			if !at.IsZero() {
				*at = at.Add(-by)
			}
		}
		return key, unless(health.Control(context.WithoutCancel(t.Context()), key, before, after))
	})
	await(t, "the past of the cap", func() (string, bool) {
		remembered, err := health.Recall(t.Context(), named(t))
		require.NoError(t, err)
		aged := remembered
		aged.Cap.Changed = aged.Cap.Changed.Add(-by)
		return named(t), unless(health.Remember(t.Context(), named(t), remembered, aged))
	})
}

// TestACapIsFoundByAMetric: the values are real ones in CloudWatch, and the cap that they lead to is handed out, told and shown.
func TestACapIsFoundByAMetric(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	metrics := depends(t)
	delete(metrics["health_metrics"].(object)["load"].(object), "feelings")
	definition := d.labourer(0, metrics)
	definition["max_simultaneous_invocations"] = object{"min": 2, "max": 20, "toward": object{"load": 60}}
	s.apply(t, definition)
	s.submit(t, tasks(7, nil))

	work := d.take(t, 2)
	require.Equal(t, []int{2, 2, 5}, []int{int(s.look(t).Cap), s.running(t), s.look(t).Due}, "it begins at its minimum")

	s.age(t, 10*time.Minute)
	s.measure(t, 20, 3*time.Minute)
	s.look(t)
	s.fact(t, "LabourerCapChanged", object{"labourer_id": named(t), "from": 2., "to": 5., "metric": "load", "value": 20.})
	work = append(work, d.take(t, 3)...)
	shown := document(t, s.cli(t, "labourer", named(t)))
	require.Equal(t, object{"cap": 5., "cap_min": 2., "cap_max": 20., "cap_reason": "load: the load is 33 % of the target", "status": 4.},
		fieldsOf(shown, "cap", "cap_min", "cap_max", "cap_reason", "status"))

	s.age(t, 10*time.Minute)
	s.measure(t, 95, time.Minute)
	low := s.look(t)
	require.Equal(t, []int{2, 5, 0}, []int{int(low.Cap), low.Running, low.Free}, "an emergency halves it, and kills nothing")
	s.fact(t, "LabourerCapChanged", object{"labourer_id": named(t), "from": 5., "to": 2.})
	changes := lines(t, s.cli(t, "labourer", named(t), "--caps")) // one that was made in the same minute is replaced
	last := changes[len(changes)-1]
	require.Equal(t, object{"from": 5., "to": 2., "reason": "load: the load is 158 % of the target: an emergency", "metric": "load", "value": 95.},
		fieldsOf(last, "from", "to", "reason", "metric", "value"))

	s.cli(t, "pin", named(t), "20", "--by", "the test")
	work = append(work, d.take(t, 2)...)
	require.Contains(t, document(t, s.cli(t, "labourer", named(t)))["cap_reason"], "pinned to 20 by the test at ")
	await(t, "what ran to be known for an export", func() (string, bool) {
		_, said, code := s.drover(t, nil, "labourer", named(t), "--export-series", "--since", "10m")
		return said, code == 0
	})

	s.complete(t, work...)
	require.Equal(t, ledger.Counts{Completed: 7}, s.ended(t, named(t)).Counts)
	s.idle(t)
}

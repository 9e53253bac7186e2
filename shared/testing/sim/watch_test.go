package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// TestWhenAnExpiredLeaseBreaksItsBound: the time of a lease begins again while its queue has messages. Seed 6005958 took such a lease for one
// that is never reaped.
func TestWhenAnExpiredLeaseBreaksItsBound(t *testing.T) {
	for name, c := range map[string]struct {
		lease  holder
		breaks bool
	}{
		"soon after its end":                {holder{ends: epoch.Add(27 * time.Minute)}, false},
		"long after its end":                {holder{ends: epoch.Add(25 * time.Minute)}, true},
		"with a heartbeat":                  {holder{ends: epoch.Add(25 * time.Minute), heard: true}, false},
		"its time began again":              {holder{ends: epoch.Add(5 * time.Minute), waited: epoch.Add(25 * time.Minute)}, false},
		"its time began again long ago":     {holder{ends: epoch.Add(5 * time.Minute), waited: epoch.Add(23 * time.Minute)}, true},
		"its job has more time":             {holder{ends: epoch.Add(5 * time.Minute), waited: epoch.Add(23 * time.Minute), own: 4 * time.Minute}, false},
		"its time began before its own end": {holder{ends: epoch.Add(27 * time.Minute), waited: epoch.Add(2 * time.Minute)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			stack, err := fakeaws.NewStack(epoch, rand.New(rand.NewPCG(1, 1)).Float64)
			require.NoError(t, err)
			stack.World.Advance(epoch.Add(30 * time.Minute))
			r := &run{stack: stack, world: stack.World, start: epoch, calm: true, calmAt: epoch}
			k := newChecker(r)
			k.labourers["l"] = &labourerSeen{Labourer: labourer.Labourer{ID: "l", MaxDuration: time.Minute, Cooldown: time.Minute}}
			c.lease.kind, c.lease.labourer, c.lease.tasks = "lease", "l", segment.Of(7)
			k.holders["l lease"] = &c.lease

			k.bounds()

			require.Equal(t, c.breaks, r.violation != nil, "%v", r.violation)
		})
	}
}

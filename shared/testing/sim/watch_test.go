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

func TestWhenAnExpiredLeaseBreaksItsBound(t *testing.T) {
	for name, c := range map[string]struct {
		lease  holder
		breaks bool
	}{
		"soon after its end":       {holder{ends: epoch.Add(27 * time.Minute)}, false},
		"long after its end":       {holder{ends: epoch.Add(25 * time.Minute)}, true},
		"with a heartbeat":         {holder{ends: epoch.Add(25 * time.Minute), heard: true}, false},
		"nothing of it is in hand": {holder{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			stack, err := fakeaws.NewStack(epoch, rand.New(rand.NewPCG(1, 1)).Float64)
			require.NoError(t, err)
			stack.World.Advance(epoch.Add(30 * time.Minute))
			r := &run{stack: stack, world: stack.World, start: epoch, calm: true, calmAt: epoch}
			k := newChecker(r)
			k.labourers["l"] = &labourerSeen{Labourer: labourer.Labourer{ID: "l", MaxDuration: time.Minute, Cooldown: time.Minute}}
			c.lease.kind, c.lease.labourer, c.lease.tasks = "lease", "l", segment.Of(7)
			if !c.lease.ends.IsZero() {
				c.lease.inHand = c.lease.tasks
			}
			k.holders["l lease"] = &c.lease

			k.bounds()

			require.Equal(t, c.breaks, r.violation != nil, "%v", r.violation)
		})
	}
}

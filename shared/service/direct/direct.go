// Package direct grants tasks to a lease in the transaction that publishes them.
//
// A small job, or a turn of a workflow's run, often finds a free slot and nothing before it. The component that publishes it then does what the
// orchestrator's claim would do a moment later, by the same rule and under the same fence and lock, and has the orchestrator start the workers.
// Otherwise the tasks go to the queue: if health or an adaptive cap is to be assessed, if anything is due before them, if the labourer is paused,
// locked or in trouble, and whenever something cannot be read. So a direct grant saves an entry and an execution, and is never needed.
package direct

import (
	"context"
	"encoding/json"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

// Control stores the labourers' states and leases.
type Control interface {
	// States reads the states of labourers, strongly consistent.
	States(ctx context.Context, labourers []string) (map[string]queue.State, error)
	// Quiet reads a labourer's leases, strongly consistent, if they are no more than most and nothing in the queue is due. Otherwise quiet is false.
	Quiet(ctx context.Context, labourer string, now time.Time, most int) (leases []queue.Lease, quiet bool, err error)
}

// Registry stores the labourers that were applied.
type Registry interface {
	// Named reads labourers, strongly consistent, without those that are not applied or cannot be decoded.
	Named(ctx context.Context, ids []string) (map[string]labourer.Labourer, error)
}

// Starter has the orchestrator start workers.
type Starter interface {
	Start(ctx context.Context, starts []Start) error
}

// Start names a lease that was granted directly and whose workers are to be started.
type Start struct {
	Execution string          `json:"execution"` // the name of the hold
	Labourer  string          `json:"labourer"`
	Lease     string          `json:"lease"` // its item
	Tasks     string          `json:"tasks"` // ranges of numbers
	Decision  decision.Record `json:"decision"`
	Settings  json.RawMessage `json:"settings,omitempty"` // the labourer's, as the grant was decided; none if they are large
}

// Granter decides on direct grants. The zero Granter grants nothing.
type Granter struct {
	Control  Control
	Registry Registry
	Starter  Starter
	Now      func() time.Time
}

// tasksMost limits the tasks that are granted directly: more are rarely granted as a whole, and a look at their labourer would be in vain.
const tasksMost = queue.MostSlots

// leasesMost limits the leases of a labourer with direct grants, and so what a look at it costs.
const leasesMost = 10

// settingsMost limits the settings of a start, in bytes: several starts share an invocation, whose event has up to 256 KB.
const settingsMost = 8 << 10

// Suits reports whether tasks of a labourer may be granted directly at all: without health metrics, as these would have to be assessed.
func Suits(l labourer.Labourer) bool { return len(l.HealthMetrics) == 0 }

// Offer is an entry that is about to be published.
type Offer struct {
	Execution string // the name of the hold, unique to this entry
	Entry     queue.Entry
}

// Granted answers an offer.
type Granted struct {
	May    bool // the tasks go straight to a lease
	Direct queue.Direct
	Start  Start
}

// granters limits how many labourers' leases are read at once.
const granters = 16

// Grant decides which offers go straight to a lease. They are of different labourers. The answers are in the order of the offers.
//
// Each labourer's state is read before its settings, and these before its leases, as by a claim. So whatever changes in between fails the publication.
// States and settings of all labourers are read together.
func (g Granter) Grant(ctx context.Context, offers ...Offer) []Granted {
	out := make([]Granted, len(offers))
	if g.Starter == nil {
		return out
	}
	var asked []string
	for _, o := range offers {
		if o.Entry.Tasks.Len() <= tasksMost && !o.Entry.Due.After(g.Now()) {
			asked = append(asked, o.Entry.Labourer)
		}
	}
	states, err := g.Control.States(ctx, asked)
	if err != nil {
		return out
	}
	var open []string
	for _, o := range offers {
		state, read := states[o.Entry.Labourer]
		if read && !state.Paused && state.Trouble == nil && !state.Hold.KeepsOff(o.Execution, g.Now()) {
			open = append(open, o.Entry.Labourer)
		}
	}
	labourers, err := g.Registry.Named(ctx, open)
	if err != nil {
		return out
	}
	var reads errgroup.Group
	reads.SetLimit(granters)
	for i, o := range offers {
		l, known := labourers[o.Entry.Labourer]
		if !known || !Suits(l) {
			continue
		}
		reads.Go(func() error {
			out[i] = g.grant(ctx, o, states[o.Entry.Labourer], l)
			return nil
		})
	}
	_ = reads.Wait()
	return out
}

// grant reads the leases of an offer's labourer, and decides.
func (g Granter) grant(ctx context.Context, o Offer, state queue.State, l labourer.Labourer) Granted {
	e := o.Entry
	leases, quiet, err := g.Control.Quiet(ctx, e.Labourer, g.Now(), leasesMost)
	if err != nil || !quiet {
		return Granted{}
	}
	at := g.Now()
	a := ecology.Assess(l.Limited(state.Pin, adaptive.Found{}, at), nil, nil, at, queue.Granted(leases))
	d := decision.Snapshot{Labourer: e.Labourer, Execution: o.Execution, State: state, Leases: leases, Entries: []queue.Entry{e}, Assessment: a}.Decide(at)
	if !d.Start {
		return Granted{}
	}
	limits := queue.Limits{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}
	room := queue.Room{Free: a.Free, Slots: a.Desired, Starts: tasksMost, Ordered: l.Target.FIFO(), Limits: limits}
	grant, whole := queue.GrantDirectly(state, leases, e, room, at)
	if !whole {
		return Granted{}
	}
	direct := queue.Direct{Labourer: e.Labourer, Grant: grant, Hold: queue.Hold{By: o.Execution, Until: at.Add(queue.HoldTerm)}}
	lease := direct.Lease()
	start := Start{Execution: o.Execution, Labourer: e.Labourer, Lease: lease.Item(), Tasks: lease.InHand().String(), Decision: d.Started(lease.InHand().Len())}
	if settings := l.Stored(); len(settings) <= settingsMost {
		start.Settings = settings
	}
	return Granted{May: true, Direct: direct, Start: start}
}

package queue

import "time"

// Direct is a grant to tasks at their publication: they go straight to a lease, and never wait in the queue. That takes fewer writes than an
// entry and a claim, and no execution.
type Direct struct {
	Labourer string
	Grant    Grant
	// Hold keeps executions off until the workers are started, as after a claim. It has a name of its own.
	Hold Hold
}

// Lease returns the lease that the grant makes.
func (d Direct) Lease() Lease { return d.Grant.Changed[0].After }

// GrantDirectly decides whether the tasks of an entry that is about to be published may go straight to a lease. They may if one new lease takes all of them
// as [Plan] decides, and no task waits in another. The caller has found that nothing is due in the queue.
func GrantDirectly(state State, leases []Lease, e Entry, room Room, now time.Time) (Grant, bool) {
	if Waiting(leases)+Ripe(leases, now) > 0 {
		return Grant{}, false
	}
	g := Plan(state, leases, []Entry{e}, room, now)
	if len(g.Filled) > 0 || len(g.Changed) != 1 || !g.Changed[0].New() || g.Changed[0].After.Tasks != e.Tasks {
		return Grant{}, false
	}
	g.Takings = nil
	return g, true
}

package queue

// Apart changes the keys of the takings' leases so that they differ from the keys of these leases and from each other.
//
// Tasks that were returned from a lease, for the same attempt, can be claimed while the rest of that lease still runs. If the new lease were
// named for its lowest task as well, the two keys could be equal, and every claim of the labourer would fail until the old lease is gone.
// leases are all of the labourer's, read after its state: the claim's version keeps other executions from adding to them.
func Apart(takings []Taking, leases []Lease) []Taking {
	taken := make(map[string]bool, len(leases)+len(takings))
	for _, l := range leases {
		taken[l.Item()] = true
	}
	for i := range takings {
		l := &takings[i].Lease
		// Each lease with a conflicting key holds a task that no other lease holds, so there are fewer of them than numbers.
		for n := 0; taken[l.Item()]; n++ {
			l.First = n
		}
		taken[l.Item()] = true
	}
	return takings
}

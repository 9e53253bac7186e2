package queue

// Apart gives the leases of takings keys that none of these leases has.
//
// Tasks that were given back from a lease, for the same attempt, can be claimed while the rest of that lease still runs; were the new
// lease named for its lowest task as well, the two would meet, and no claim of the labourer would go through until the old one has
// gone. leases are all of the labourer's, read after its state: the claim's version keeps others from adding to them.
func Apart(takings []Taking, leases []Lease) []Taking {
	taken := make(map[string]bool, len(leases)+len(takings))
	for _, l := range leases {
		taken[l.Item()] = true
	}
	for i := range takings {
		l := &takings[i].Lease
		// A lease in the way holds a task that no other does, so there are fewer of them than numbers.
		for n := 0; taken[l.Item()]; n++ {
			l.First = n
		}
		taken[l.Item()] = true
	}
	return takings
}

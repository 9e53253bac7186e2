package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// BenchmarkPlan plans a claim of 500 free slots over 40 leases with tasks in hand and waiting, and 100 due entries of 256 tasks.
func BenchmarkPlan(b *testing.B) {
	var leases []queue.Lease
	for i := range 40 {
		l := queue.Lease{Labourer: "l", Segment: segment.IDOf("nightly", i), Attempt: 1, Due: noon, Slots: 10, Waiting: segment.Range(10, 60), Hands: map[int]queue.Hand{}}
		for n := range 10 {
			l.Hands[n] = queue.Hand{Since: noon}
		}
		leases = append(leases, l)
	}
	var entries []queue.Entry
	for i := range 100 {
		entries = append(entries, queue.Entry{Labourer: "l", Segment: segment.IDOf("later", i), Attempt: 1, Due: noon.Add(time.Duration(i) * time.Millisecond), Tasks: segment.Range(0, 255),
			Job: fmt.Sprint("job-", i)})
	}
	room := queue.Room{Free: 500, Slots: 900, Starts: 500, Limits: queue.Limits{MaxDuration: time.Minute, Cooldown: time.Minute}}
	b.ReportAllocs()
	for b.Loop() {
		g := queue.Plan(queue.State{Version: 7, Pace: queue.Pace{Rate: 30}}, leases, entries, room, noon.Add(time.Minute))
		require.Positive(b, g.Starting())
	}
}

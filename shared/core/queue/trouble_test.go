package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

func TestTheRestOfATroubledTargetGrows(t *testing.T) {
	throttled := &queue.Trouble{Error: "busy", At: noon, Since: noon, Until: noon.Add(3 * time.Second)}
	trouble, now := throttled, noon
	for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		trouble = queue.Troubled(trouble, "gone", now)

		require.Equal(t, &queue.Trouble{Error: "gone", At: now, Until: now.Add(want), Since: noon, Times: i + 1}, trouble)
		require.True(t, queue.State{Trouble: trouble}.Probing())
		now = trouble.Until
	}
	require.Equal(t, 5*time.Minute, queue.Troubled(&queue.Trouble{Times: 1 << 40, Since: noon}, "gone", noon).Until.Sub(noon))
	require.False(t, queue.State{Trouble: throttled}.Probing(), "a target that throttles can be reached")
	require.False(t, queue.State{}.Probing())
}

// TestAProbeTakesOneDueTask: first the foremost, then by turns the foremost of the tasks that have not misfired, and another of them: the hindmost at first.
func TestAProbeTakesOneDueTask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []queue.Entry
		var due, fresh segment.Numbers
		for i := range rapid.IntRange(0, 4).Draw(t, "entries") {
			numbers := segment.Of(rapid.SliceOfNDistinct(rapid.IntRange(i*20, i*20+19), 1, 8, rapid.ID).Draw(t, "tasks")...)
			e := entry(noon.Add(time.Duration(rapid.IntRange(-3, 1).Draw(t, "due"))*time.Minute), numbers)
			e.Misfires = rapid.IntRange(0, 2).Draw(t, "misfires")
			entries = append(entries, e)
			if !e.Due.After(noon) {
				due = due.Union(numbers)
				if e.Misfires == 0 {
					fresh = fresh.Union(numbers)
				}
			}
		}
		if due.Empty() {
			require.Empty(t, queue.Probe(probing(1), nil, entries, plenty, noon).Changes())
			return
		}

		var tried segment.Numbers
		for times := 1; times <= 1+due.Len(); times++ {
			grant := queue.Probe(probing(times), nil, entries, plenty, noon)

			require.Len(t, grant.Changed, 1)
			require.Len(t, grant.Takings, 1)
			lease, one := grant.Changed[0].After, grant.Takings[0]
			require.Equal(t, 1, lease.Tasks.Len())
			require.Equal(t, lease.Tasks, lease.InHand())
			require.Equal(t, one.Entry.Tasks, lease.Tasks.Union(one.Rest))
			require.True(t, lease.Tasks.Intersect(one.Rest).Empty())
			require.Equal(t, lease.Tasks.Min(), lease.First)
			require.False(t, one.Entry.Due.After(noon))
			switch {
			case times == 1:
				require.Equal(t, due.First(1), lease.Tasks)
			case fresh.Empty():
				tried = tried.Union(lease.Tasks)
			case times%2 == 0:
				require.Equal(t, fresh.First(1), lease.Tasks)
			case times == 3:
				require.Equal(t, fresh.Minus(fresh.First(fresh.Len()-1)), lease.Tasks)
			default:
				require.True(t, lease.Tasks.Minus(fresh).Empty())
			}
		}
		if fresh.Empty() {
			require.Equal(t, due, tried, "if all have misfired, each is tried in turn")
		}
	})
}

// TestG8ProbesSpreadOverWhatIsDue: those in between find the one that can be started among many that cannot, and leave none out.
func TestG8ProbesSpreadOverWhatIsDue(t *testing.T) {
	entries := []queue.Entry{entry(noon.Add(-time.Hour), segment.Range(0, 29)), entry(noon, segment.Range(100, 129))}
	var order []int
	tried := segment.Numbers{}
	for times := 3; times <= 129; times += 2 {
		one := queue.Probe(probing(times), nil, entries, plenty, noon).Changed[0].After.Tasks
		order, tried = append(order, one.Min()), tried.Union(one)
	}
	require.Equal(t, []int{129, 100, 15, 115, 7}, order[:5])
	require.Equal(t, segment.Range(0, 29).Union(segment.Range(100, 129)), tried)
}

func TestASuspectedTaskKeepsItsPlaceInTheQueue(t *testing.T) {
	l := queue.Lease{Labourer: "f", Segment: seg, Attempt: 3, Tasks: segment.Of(4, 5), Hands: map[int]queue.Hand{4: {}, 5: {}}, Due: noon, MaxDuration: time.Hour}
	want := l.Returned(segment.Of(5))
	want.Misfires = 1
	require.Equal(t, want, l.Suspected(segment.Of(5)))
	l.Misfires, want.Misfires = 3, 3
	require.Equal(t, want, l.Suspected(segment.Of(5)), "the count does not change")
}

func TestAMisfiredTaskWaitsWhileOthersStart(t *testing.T) {
	l := queue.Lease{Labourer: "f", Segment: seg, Attempt: 3, Tasks: segment.Of(4, 5), Hands: map[int]queue.Hand{4: {}, 5: {}}, Due: noon, MaxDuration: time.Hour, Misfires: 2}
	want := queue.Entry{Labourer: "f", Segment: seg, Attempt: 3, First: 5, Tasks: segment.Of(5), Due: noon.Add(-time.Millisecond), MaxDuration: time.Hour, Tried: true, Misfires: 3}

	require.Equal(t, want, l.Misfired(5, false, noon))
	want.Due = noon.Add(2 * time.Minute)
	require.Equal(t, want, l.Misfired(5, true, noon))
	want.Tasks, want.First, want.Due, want.Misfires = segment.Of(4, 5), 4, noon.Add(-time.Millisecond), 2
	require.Equal(t, want, l.Returned(segment.Of(4, 5)))
	taken := queue.Plan(queue.State{}, nil, []queue.Entry{want}, plenty, noon).Changed[0].After
	require.True(t, taken.Tried)
	require.Equal(t, 2, taken.Misfires, "the count stays with the task")
}

var plenty = queue.Room{Free: 500, Slots: 500, Starts: 500}

func probing(times int) queue.State {
	return queue.State{Version: 7, Trouble: &queue.Trouble{Times: times}}
}

package queue_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

const seg = segment.ID("abcdefghijklmnop")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func entry(due time.Time, tasks segment.Numbers) queue.Entry {
	return queue.Entry{Labourer: "f", Due: due, Segment: seg, First: tasks.Min(), Tasks: tasks, Attempt: 1}
}

func TestKeysOfEntriesAndLeases(t *testing.T) {
	e := queue.Entry{Due: noon.Add(5 * time.Millisecond), Segment: seg, First: 7}
	l := queue.Lease{Segment: seg, Attempt: 12, First: 7}

	require.Equal(t, "queue#1795348800005#abcdefghijklmnop#007", e.Item())
	require.Equal(t, "lease#abcdefghijklmnop#12#007", l.Item())
	require.True(t, strings.HasPrefix(l.Item(), queue.LeasePrefix(seg)))
	require.Less(t, l.Item(), e.Item(), "leases sort before the queue, so one read from the front returns both")
}

// TestG6KeysSortInTheOrderOfDispatch: the table returns entries in the order of their keys, which must be the order of their due times, and
// for equal times that of segments and numbers.
func TestG6KeysSortInTheOrderOfDispatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) queue.Entry {
			return queue.Entry{
				Due:     time.UnixMilli(rapid.Int64Range(0, 9_999_999_999_999).Draw(t, "due")),
				Segment: segment.IDOf("nightly", rapid.IntRange(0, 3).Draw(t, "ordinal")),
				First:   rapid.IntRange(0, segment.Size-1).Draw(t, "first"),
			}
		}), 2, 2).Draw(t, "entries")
		a, b := entries[0], entries[1]
		if !a.Due.Equal(b.Due) {
			require.Equal(t, a.Due.Before(b.Due), a.Item() < b.Item())
			return
		}
		if a.Segment == b.Segment {
			require.Equal(t, a.First < b.First, a.Item() < b.Item())
		}
	})
}

func TestTroubleIsStoredUnderTheseNames(t *testing.T) {
	text, err := json.Marshal(queue.Trouble{Error: "no such function", At: noon, Until: noon.Add(time.Minute)})

	require.NoError(t, err)
	require.JSONEq(t, `{"error": "no such function", "at": "2026-11-22T12:00:00Z", "until": "2026-11-22T12:01:00Z"}`, string(text))
}

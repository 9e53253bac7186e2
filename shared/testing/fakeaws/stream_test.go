package fakeaws_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// TestAFullBatchDoesNotWaitForItsWindow, but for the next poll of the stream; the rest of its lane does.
// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
func TestAFullBatchDoesNotWaitForItsWindow(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for ended, want := range map[int][]time.Duration{1100: {time.Second, time.Minute + time.Second}, 900: {time.Minute}} {
		s, err := fakeaws.NewStack(start, func() float64 { return 0.5 })
		require.NoError(t, err)
		var archived []time.Duration
		s.Invoke = func(i fakeaws.Invocation) {
			if i.Function == "archiver" {
				archived = append(archived, s.World.Now().Sub(start).Truncate(time.Second))
				i.Done(nil, nil)
			}
		}
		end := func(from, to int) {
			for n := from; n < to; n++ {
				it := taskKey(n)
				it["status"] = text("completed")
				require.NoError(t, s.DynamoDB.Put(fakeaws.TasksTable, it))
			}
		}
		end(0, ended/2)
		s.World.At(start.Add(time.Second), fakeaws.Run, "more", func() { end(ended/2, ended) })

		for s.World.Next().At.Before(start.Add(3 * time.Minute)) {
			s.World.Step()
		}

		require.Equal(t, want, archived, "%d ends", ended)
		require.Len(t, s.Archiving.Log(), ended)
		require.Zero(t, s.Archiving.Waiting())
		s.Forget()
		require.Empty(t, s.Archiving.Log())
		require.Empty(t, s.DynamoDB.Stream(fakeaws.TasksTable, 0))
	}
}

package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	queues "github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/completion"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func wakes(f *fake) queues.Wakes {
	return queues.Wakes{API: f, URL: "https://completions", Now: func() time.Time { return noon }}
}

func TestAWakeIsAMessageThatComesWhenItIsDue(t *testing.T) {
	for wait, delay := range map[time.Duration]int32{
		-time.Hour: 0, 0: 0, time.Nanosecond: 1, time.Millisecond: 1, time.Second: 1, 1001 * time.Millisecond: 2, 59500 * time.Millisecond: 60,
		4 * time.Minute: 240, 899 * time.Second: 240, 900 * time.Second: 240,
	} {
		f := &fake{}

		require.NoError(t, wakes(f).WakeAt(context.Background(), noon.Add(wait), "f", "g"))

		require.Len(t, f.sent, 1, wait)
		require.Equal(t, "https://completions", *f.sent[0].QueueUrl)
		require.Equal(t, delay, f.sent[0].DelaySeconds, wait)
		r, err := completion.Read([]byte(*f.sent[0].MessageBody))
		require.NoError(t, err)
		require.Equal(t, completion.Wake{Labourers: []string{"f", "g"}, DueAt: noon.Add(wait)}, r.Wake)
	}
}

// TestG10AWakeIsNeverTooSoon unless its wait is longer than the longest delay: then its time is in the message.
func TestG10AWakeIsNeverTooSoon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, wait := &fake{}, time.Duration(rapid.Int64Range(0, int64(4*time.Minute)).Draw(t, "wait"))

		require.NoError(t, wakes(f).WakeAt(context.Background(), noon.Add(wait), "f"))

		delay := time.Duration(f.sent[0].DelaySeconds) * time.Second
		require.GreaterOrEqual(t, delay, wait)
		require.Less(t, delay-wait, time.Second)
	})
}

func TestAWakeForManyLabourersIsSentInParts(t *testing.T) {
	f := &fake{}
	var all []string
	for i := range 25 {
		all = append(all, fmt.Sprint("f", i))
	}

	require.NoError(t, wakes(f).WakeAt(context.Background(), noon, all...))

	require.Len(t, f.sent, 3)
}

func TestAWakeThatCannotBeSentIsAnError(t *testing.T) {
	f := &fake{err: errors.New("access denied")}

	require.EqualError(t, wakes(f).WakeAt(context.Background(), noon, "f"), "sending a wake for 2026-11-22T12:00:00Z, access denied")
}

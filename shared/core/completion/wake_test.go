package completion_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/completion"
)

var due = time.Date(2026, 11, 22, 12, 0, 0, 5_000_000, time.UTC)

func TestAWakeIsReadAsItWasWritten(t *testing.T) {
	w := completion.Wake{Labourers: []string{"f", "some.other:one"}, DueAt: due}

	messages := w.Messages()

	require.Len(t, messages, 1)
	require.JSONEq(t, `{"source": "drover", "detail-type": "TasksDue",
		"detail": {"version": 1, "labourers": ["f", "some.other:one"], "due_at": "2026-11-22T12:00:00.005Z"}}`, messages[0])
	r, err := completion.Read([]byte(messages[0]))
	require.NoError(t, err)
	require.Equal(t, completion.Report{Kind: completion.TasksDue, Wake: w}, r)
}

func TestAWakeForManyLabourersHasSeveralMessages(t *testing.T) {
	var all []string
	for i := range 2*completion.MostWoken + 1 {
		all = append(all, fmt.Sprint("f", i))
	}

	var read []string
	for _, text := range (completion.Wake{Labourers: all, DueAt: due}).Messages() {
		r, err := completion.Read([]byte(text))
		require.NoError(t, err)
		read = append(read, r.Wake.Labourers...)
	}

	require.Equal(t, all, read)
	require.Len(t, completion.Wake{Labourers: all, DueAt: due}.Messages(), 3)
}

// TestAWakeOfALaterVersionIsRead: a version adds to what it sends.
func TestAWakeOfALaterVersionIsRead(t *testing.T) {
	r, err := completion.Read([]byte(`{"source": "drover", "detail-type": "TasksDue", "new": 1, "detail": {"version": 1, "labourers": ["f"], "due_at": "2026-11-22T12:00:00Z", "new": 1}}`))

	require.NoError(t, err)
	require.Equal(t, []string{"f"}, r.Wake.Labourers)
}

func TestG9AHostileWakeIsRefusedWithItsReason(t *testing.T) {
	const canary = "4111 1111 1111 1111"
	many := strings.Repeat(`"f",`, completion.MostWoken) + `"f"`
	for name, c := range map[string]struct{ detail, reason string }{
		"no detail":                {`null`, "version is 0; want 1"},
		"a detail of text":         {`"` + canary + `"`, "the wake cannot be read: detail"},
		"a version to come":        {`{"version": 2, "labourers": ["f"], "due_at": "2026-11-22T12:00:00Z"}`, "version is 2; want 1"},
		"no time":                  {`{"version": 1, "labourers": ["f"]}`, "no due_at"},
		"a time in words":          {`{"version": 1, "labourers": ["f"], "due_at": "` + canary + `"}`, "the wake cannot be read: detail.due_at"},
		"two times":                {`{"version": 1, "labourers": ["f"], "due_at": "2026-11-22T12:00:00Z", "due_at": "2026-11-22T12:00:00Z"}`, "due_at"},
		"a name spelled otherwise": {`{"version": 1, "Labourers": ["f"], "due_at": "2026-11-22T12:00:00Z"}`, "0 labourers"},
		"no labourers":             {`{"version": 1, "labourers": [], "due_at": "2026-11-22T12:00:00Z"}`, "0 labourers; want 1 to 10"},
		"too many":                 {`{"version": 1, "labourers": [` + many + `], "due_at": "2026-11-22T12:00:00Z"}`, "11 labourers"},
		"an empty name":            {`{"version": 1, "labourers": ["f", ""], "due_at": "2026-11-22T12:00:00Z"}`, "labourers[1] has 0 bytes"},
		"a long name":              {`{"version": 1, "labourers": ["` + strings.Repeat("x", 129) + `"], "due_at": "2026-11-22T12:00:00Z"}`, "labourers[0] has 129 bytes"},
		"a name of a key":          {`{"version": 1, "labourers": ["#labourers"], "due_at": "2026-11-22T12:00:00Z"}`, "not the form of a labourer's id"},
		"a secret name":            {`{"version": 1, "labourers": ["` + canary + `"], "due_at": "2026-11-22T12:00:00Z"}`, "not the form of a labourer's id"},
		"a number as name":         {`{"version": 1, "labourers": [7], "due_at": "2026-11-22T12:00:00Z"}`, "the wake cannot be read: detail.labourers[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := completion.Read([]byte(`{"source": "drover", "detail-type": "TasksDue", "detail": ` + c.detail + `}`))

			require.ErrorContains(t, err, c.reason)
			require.NotContains(t, err.Error(), canary)
			require.NotErrorIs(t, err, completion.Ignored)
		})
	}
}

// TestAnEventTasksDueIsNoWake: the assistant publishes one for a wake, so a rule that brought it here would make a loop.
func TestAnEventTasksDueIsNoWake(t *testing.T) {
	_, err := completion.Read([]byte(`{"version": "0", "id": "1", "source": "drover", "detail-type": "TasksDue", "time": "2026-11-22T12:00:00Z",
		"detail": {"id": "TasksDue/1", "version": 1, "labourers": ["f"]}}`))
	require.ErrorContains(t, err, "no due_at")

	_, err = completion.Read([]byte(`{"source": "shop", "detail-type": "TasksDue", "detail": {"version": 1, "labourers": ["f"], "due_at": "2026-11-22T12:00:00Z"}}`))
	require.ErrorIs(t, err, completion.Ignored, "of another source")
}

package assistant_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// noise returns a JSON text of this many bytes that hardly compresses.
func noise(length int) string {
	const letters = ` !#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz{|}~` + "`"
	random, out := rand.New(rand.NewPCG(3, uint64(length))), []byte(`"`)
	for len(out) < length-1 {
		out = append(out, letters[random.IntN(len(letters))])
	}
	return string(append(out, '"'))
}

// TestG1G4AnEndWithTooLargeAResultEndsItsTask: another attempt would leave a result of the same size, and an end that is not recorded causes
// another attempt.
func TestG1G4AnEndWithTooLargeAResultEndsItsTask(t *testing.T) {
	for name, c := range map[string]struct {
		payload, result, stats int
		inside                 bool     // an earlier version stored the payload in the task's item
		says                   []string // "": it completed
	}{
		"the largest ones fit beside a payload": {payload: 250 << 10, result: completion.MaxResult, stats: completion.MaxStats},
		"payload and result fit in one item":    {payload: 100 << 10, result: completion.MaxResult, inside: true},
		"payload and result do not fit in one item": {payload: 250 << 10, result: completion.MaxResult, stats: 10 << 10, inside: true,
			says: []string{"a payload of 2560", "a result of 262144", "stats of 10240", "want at most 408576"}},
		"the result alone is more than is kept": {payload: 10, result: completion.MaxResult + 1, stats: 10, says: []string{"the result has 262145 bytes; want at most 262144"}},
		"the stats are more than are kept":      {payload: 10, result: 10, stats: completion.MaxStats + 1, says: []string{"the stats have 16385 bytes; want at most 16384"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 1)
			s.Schedule(t, fmt.Sprintf(`{"job_id": "nightly", "labourer": "f", "blob": %s}`, noise(c.payload)))
			if c.inside {
				putInside(t, s)
			}
			require.Equal(t, 1, s.HandOut(t, "f"))
			h := s.Handed(t, "f")[0]
			stats := ""
			if c.stats > 0 {
				stats = `, "stats": ` + noise(c.stats)
			}
			report := fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed", "result": %s%s}`, h.TaskID, noise(c.result), stats)
			missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "invocation", messages(report))
			require.Empty(t, missing, "%v", summary.Errors)
			one := stored(t, s, h.TaskID)
			for whole, err := range s.Tasks.Filled(t.Context(), []task.Task{one}) {
				require.NoError(t, err)
				require.JSONEq(t, fmt.Sprintf(`{"blob": %s}`, noise(c.payload)), string(whole.Payload))
			}
			if c.says == nil {
				require.Equal(t, assistant.Summary{Completed: 1}, summary)
				require.JSONEq(t, noise(c.result), string(one.Result))
				return
			}
			require.Equal(t, assistant.Summary{Failed: 1}, summary)
			require.Equal(t, []any{task.Failed, true, "ResultTooLarge", json.RawMessage(nil), json.RawMessage(nil)},
				[]any{one.Status, one.Permanent, one.LastError().Type, one.Result, one.Stats})
			for _, words := range c.says {
				require.Contains(t, one.LastError().Message, words)
			}
			require.Equal(t, assistant.Summary{Repeated: 1}, handle(t, s, report), "reported again")

			s.Scavenge(t)
			s.Pass(time.Hour)
			require.Zero(t, s.HandOut(t, "f"), "it is not tried again")
			picture := outage.Picture(s.Stack)
			require.Contains(t, picture, "completed=0 dead=1")
			require.NotContains(t, picture, "dead letter")
		})
	}
}

// putInside moves the payload of the only task into its item, where earlier versions stored it.
func putInside(t *testing.T, s *outage.Stage) {
	t.Helper()
	items := s.DynamoDB.Items(fakeaws.TasksTable)
	require.Len(t, items, 2)
	own, part := items[0], items[1]
	if own["parts"] == nil {
		own, part = part, own
	}
	own["payload"] = part["payload"]
	delete(own, "parts")
	delete(own, "payload_until")
	require.NoError(t, s.DynamoDB.Put(fakeaws.TasksTable, own))
}

// TestAFailureWithTooLargeStatsStaysThatFailure, and is retried.
func TestAFailureWithTooLargeStatsStaysThatFailure(t *testing.T) {
	s, h := out(t, 1)

	require.Equal(t, assistant.Summary{Failed: 1}, handle(t, s, strings.TrimSuffix(h[0].Failed("Boom"), "}")+`, "stats": `+noise(completion.MaxStats+1)+`}`))

	one := stored(t, s, h[0].TaskID)
	require.False(t, one.Permanent)
	require.Equal(t, "Boom", one.LastError().Type)
	require.Contains(t, one.LastError().Message, "as told; result and stats are not kept: the stats have")
	s.Scavenge(t)
	s.Pass(time.Hour)
	require.Equal(t, 1, s.HandOut(t, "f"))
}

package worker_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

func TestParseTaskReadsTheEventOfTheContract(t *testing.T) {
	text, err := os.ReadFile("testdata/event.json")
	require.NoError(t, err)

	task, err := worker.ParseTask(text)

	require.NoError(t, err)
	require.Equal(t, "abcdefghijklmnop.17", task.ID)
	require.Equal(t, "nightly-2026-11-22", task.JobID)
	require.Equal(t, "some_function", task.LabourerID)
	require.Equal(t, 2, task.Attempt)
	require.Equal(t, time.Date(2026, 11, 22, 8, 15, 0, 0, time.UTC), task.Deadline)
}

func TestThePayloadIsTheEventWithoutDroversPart(t *testing.T) {
	const attributes = `"z":1.50,"a":{"drover":1},"Drover":"mine","html":"<&>","big":12345678901234567890,`

	task, err := worker.ParseTask([]byte(event("t.1", 1, time.Now(), attributes)))

	require.NoError(t, err)
	require.Equal(t, `{"z":1.50,"a":{"drover":1},"Drover":"mine","html":"<&>","big":12345678901234567890}`, string(task.Payload),
		"order, digits and text do not change")
}

func TestATaskWithoutAttributesHasAnEmptyPayload(t *testing.T) {
	task, err := worker.ParseTask([]byte(event("t.1", 1, time.Now(), "")))

	require.NoError(t, err)
	require.Equal(t, `{}`, string(task.Payload))
}

func TestUnknownAttributesOfDroverAreIgnored(t *testing.T) {
	text := strings.Replace(event("t.1", 1, time.Now(), ""), `"version":1`, `"version":1,"lane":7`, 1)

	_, err := worker.ParseTask([]byte(text))

	require.NoError(t, err)
}

func TestParseTaskRefusesOtherEvents(t *testing.T) {
	valid := event("t.1", 1, time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), "")
	with := func(old, changed string) string {
		require.Contains(t, valid, old)
		return strings.Replace(valid, old, changed, 1)
	}
	for name, c := range map[string]struct{ event, field, reason string }{
		"no JSON":              {`{"a":`, "event", "not one JSON document"},
		"two documents":        {valid + valid, "event", "not one JSON document"},
		"a list":               {`[1]`, "event", "not a JSON object"},
		"a text":               {`"x"`, "event", "not a JSON object"},
		"null":                 {`null`, "event", "not a JSON object"},
		"another program's":    {`{"detail-type":"x"}`, "drover", "is missing"},
		"drover is a list":     {`{"drover":[]}`, "drover", "want an object"},
		"drover is null":       {`{"drover":null}`, "drover.version", "is missing"},
		"no version":           {with(`"version":1,`, ``), "drover.version", "is missing"},
		"a newer version":      {with(`"version":1`, `"version":2`), "drover.version", "is 2; this worker knows version 1"},
		"a version in quotes":  {with(`"version":1`, `"version":"1"`), "drover.version", `is "1"; this worker knows version 1`},
		"no id":                {strings.ReplaceAll(valid, `"t.1"`, `""`), "drover.task_id", "is missing"},
		"two ids":              {with(`"task_id":"t.1"`, `"task_id":"t.2"`), "task_id", `is "t.2", but drover.task_id is "t.1"`},
		"an id that is no id":  {with(`"task_id":"t.1"`, `"task_id":1`), "task_id", "is not a string"},
		"attempt zero":         {with(`"attempt":1`, `"attempt":0`), "drover.attempt", "is 0; attempts count from 1"},
		"attempt in words":     {with(`"attempt":1`, `"attempt":"one"`), "drover.attempt", "is text; want a whole number in range"},
		"no deadline":          {with(`"deadline":"2026-11-22T08:00:00Z",`, ``), "drover.deadline", "want a time such as 2026-11-22T08:00:00Z"},
		"a deadline by number": {with(`"2026-11-22T08:00:00Z"`, `17`), "drover.deadline", "is a number; want text"},
		"nowhere to report":    {with(completionsURL, ""), "drover.completions_url", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := worker.ParseTask([]byte(c.event))

			var bad *worker.BadEvent
			require.ErrorAs(t, err, &bad)
			require.Equal(t, c.field, bad.Field)
			require.Contains(t, bad.Reason, c.reason)
			require.Equal(t, bad.Field+": "+bad.Reason, err.Error())
		})
	}
}

func TestTheVersionIsCheckedBeforeAnythingElse(t *testing.T) {
	_, err := worker.ParseTask([]byte(`{"drover":{"version":9,"attempt":"a word","deadline":{}}}`))

	require.EqualError(t, err, "drover.version: is 9; this worker knows version 1: build it with a newer shared/worker")
}

func TestDecodeFillsTheUsersStruct(t *testing.T) {
	task := worker.Task{ID: "t.1", Payload: json.RawMessage(`{"measures":["wind"]}`)}
	var payload struct{ Measures []string }

	require.NoError(t, task.Decode(&payload))
	require.Equal(t, []string{"wind"}, payload.Measures)
}

func FuzzParseTask(f *testing.F) {
	text, err := os.ReadFile("testdata/event.json")
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(event("t.1", 1, time.Unix(0, 0), `"a":[{"b":null}],"a":2,`)))
	f.Add(turnText(f))
	f.Add([]byte(`{"drover":{"version":2}}`))
	f.Add([]byte(`{"":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		task, err := worker.ParseTask(text)
		if err != nil {
			var bad *worker.BadEvent
			require.ErrorAs(t, err, &bad)
			require.NotEmpty(t, bad.Field)
			require.NotEmpty(t, bad.Reason)
			return
		}
		require.NotEmpty(t, task.ID)
		require.Positive(t, task.Attempt)
		// The payload is the event without Drover's two attributes.
		var whole, payload map[string]any
		require.NoError(t, json.Unmarshal(text, &whole))
		require.NoError(t, json.Unmarshal(task.Payload, &payload))
		delete(whole, "task_id")
		delete(whole, "drover")
		require.Equal(t, whole, payload)
	})
}

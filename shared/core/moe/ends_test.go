package moe_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/moe"
	"github.com/drover-run/drover/shared/core/task"
)

const taskID = "abcdefghijklmnop.0"

// row returns a row with the records of the plugin stock in the stage async of validate, and with its task.
func row(mandatory, optional string) moe.Image {
	return image(`{"activities": {"validate": {"pre": {"mandatory": {}, "optional": {}}, "post": {"mandatory": {}, "optional": {}},
		"async": {"mandatory": {"stock": ` + mandatory + `}, "optional": {"stock": ` + optional + `}}}},
		"drover": {"run_id": "run-1", "tasks": {"validate|async|stock": {"task_id": "` + taskID + `", "attempt": 2}}}}`)
}

func image(text string) moe.Image {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var out moe.Image
	if err := d.Decode(&out); err != nil {
		panic(err)
	}
	return out
}

const fresh = `{"state": "Not Started"}`

func TestARecordThatBecomesCompleteOrErrorEndsTheCurrentAttempt(t *testing.T) {
	completed := completion.Report{TaskID: taskID, Attempt: 2, Kind: completion.Completed}
	failed := completion.Report{TaskID: taskID, Attempt: 2, Kind: completion.Failed, Permanent: true,
		Error: &task.Error{Type: "OrchestratorError", Message: "no stock"}}
	nameless := failed
	nameless.Error = &task.Error{Type: "OrchestratorError"}
	for name, c := range map[string]struct {
		before, after moe.Image
		ends          []completion.Report
	}{
		"complete, from In Progress":    {row(`{"state": "In Progress"}`, fresh), row(`{"state": "Complete"}`, fresh), []completion.Report{completed}},
		"complete, without In Progress": {row(fresh, fresh), row(`{"state": "Complete"}`, fresh), []completion.Report{completed}},
		"complete, as optional":         {row(fresh, `{"state": "In Progress"}`), row(fresh, `{"state": "Complete"}`), []completion.Report{completed}},
		"complete, after an error":      {row(`{"state": "Error"}`, fresh), row(`{"state": "Complete"}`, fresh), []completion.Report{completed}},
		"error":                         {row(fresh, fresh), row(`{"state": "Error", "message": "no stock"}`, fresh), []completion.Report{failed}},
		"error without a message":       {row(fresh, fresh), row(`{"state": "Error"}`, fresh), []completion.Report{nameless}},
		"the record is new":             {image(`{}`), row(`{"state": "Complete"}`, fresh), []completion.Report{completed}},
		"it began":                      {row(fresh, fresh), row(`{"state": "In Progress"}`, fresh), nil},
		"Drover begins an attempt":      {row(`{"state": "Complete"}`, fresh), row(fresh, fresh), nil},
		"the same once more":            {row(`{"state": "Complete"}`, fresh), row(`{"state": "Complete"}`, fresh), nil},
		"another message":               {row(`{"state": "Error", "message": "a"}`, fresh), row(`{"state": "Error", "message": "b"}`, fresh), nil},
		"a duplicate that runs late":    {row(`{"state": "Complete"}`, fresh), row(`{"state": "In Progress"}`, fresh), nil},
	} {
		t.Run(name, func(t *testing.T) {
			ends, faults := moe.Ends(c.before, c.after)

			require.Empty(t, faults)
			require.Equal(t, c.ends, ends)
		})
	}
}

func TestAWriteThatMakesNoSenseIsAFaultWithTheRecordAndTheReason(t *testing.T) {
	complete := `{"state": "Complete"}`
	for name, c := range map[string]struct {
		after          moe.Image
		record, reason string
	}{
		"a state of the package's successors": {row(`{"state": "Do Not Run"}`, fresh), "activities.validate.async.mandatory.stock", `"Do Not Run" is none of a plugin's`},
		"a state of stages":                   {row(`{"state": "Mandatory Completed"}`, fresh), "activities.validate.async.mandatory.stock", "is none of a plugin's"},
		"no state":                            {row(`{"message": "x"}`, fresh), "activities.validate.async.mandatory.stock", "its state is not a text"},
		"no record":                           {row(`"Complete"`, fresh), "activities.validate.async.mandatory.stock", "not a map"},
		"another name": {image(`{"activities": {"validate": {"async": {"mandatory": {"Stock": ` + complete + `}}}}, "drover": {"tasks": {"validate|async|stock": {}}}}`),
			"activities.validate.async.mandatory.Stock", "must be its pluginName; it has started validate|async|stock"},
		"another stage": {image(`{"activities": {"validate": {"parallel": {"mandatory": {"stock": ` + complete + `}}}}, "drover": {"tasks": {}}}`),
			"activities.validate.parallel.mandatory.stock", "has started no such plugin"},
		"a row of moe's own": {image(`{"activities": {"validate": {"async": {"mandatory": {"stock": ` + complete + `}}}}}`),
			"activities.validate.async.mandatory.stock", "the row is not Drover's"},
		"a task without an id": {image(`{"activities": {"validate": {"async": {"mandatory": {"stock": ` + complete + `}}}}, "drover": {"tasks": {"validate|async|stock": {"attempt": 1}}}}`),
			"activities.validate.async.mandatory.stock", "task_id cannot be read"},
		"a task without an attempt": {image(`{"activities": {"validate": {"async": {"mandatory": {"stock": ` + complete + `}}}}, "drover": {"tasks": {"validate|async|stock": {"task_id": "` + taskID + `"}}}}`),
			"activities.validate.async.mandatory.stock", "attempt is not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			ends, faults := moe.Ends(row(fresh, fresh), c.after)

			require.Empty(t, ends)
			require.Len(t, faults, 1)
			require.Equal(t, c.record, faults[0].Record)
			require.Contains(t, faults[0].Reason, c.reason)

			_, again := moe.Ends(c.after, c.after)
			require.Empty(t, again, "a later write of the row does not repeat it")
		})
	}
}

// TestScenario19TheListThatAPluginWritesInDoesNotMatter: moe's bridge wrote in one and its worker in the other, and the stage waited for ever.
func TestScenario19TheListThatAPluginWritesInDoesNotMatter(t *testing.T) {
	before := row(`{"state": "In Progress"}`, fresh)
	after := row(`{"state": "In Progress"}`, `{"state": "Complete"}`)

	ends, faults := moe.Ends(before, after)

	require.Empty(t, faults)
	require.Len(t, ends, 1)
}

// TestTheWritesOfARowTellEachEndOnceWhateverTheyAre applies random writes one after the other.
func TestTheWritesOfARowTellEachEndOnceWhateverTheyAre(t *testing.T) {
	states := []string{"Not Started", "In Progress", "Complete", "Error"}
	rapid.Check(t, func(t *rapid.T) {
		now := map[string]string{"mandatory": "Not Started", "optional": "Not Started"}
		show := func() moe.Image {
			return row(`{"state": "`+now["mandatory"]+`"}`, `{"state": "`+now["optional"]+`"}`)
		}
		for range rapid.IntRange(1, 20).Draw(t, "writes") {
			before, was := show(), maps.Clone(now)
			list, state := rapid.SampledFrom(moe.Lists).Draw(t, "list"), rapid.SampledFrom(states).Draw(t, "state")
			now[list] = state

			ends, faults := moe.Ends(before, show())

			require.Empty(t, faults)
			became := was[list] != state && (state == "Complete" || state == "Error")
			require.Equal(t, became, len(ends) == 1)
			require.LessOrEqual(t, len(ends), 1)
		}
	})
}

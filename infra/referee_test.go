//go:build referees

package infra_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// ruled is an event, with a pattern of the template and whether the pattern matches it.
type ruled struct {
	name    string
	pattern any
	event   any
	takes   bool // the answer of the in-memory bus
}

// AWS's own matching library and the in-memory bus agree on which events each rule of the template matches: every fact of Drover, every command,
// and forgeries of them.
func TestRefereeEventRulerTakesWhatMemoryTakes(t *testing.T) {
	s := read(t)
	stack, err := fakeaws.NewStack(drovertest.Start, rand.New(rand.NewPCG(1, 2)).Float64)
	require.NoError(t, err)
	rules := []struct{ id, name, bus string }{
		{"CommandsRule", "commands", fakeaws.BusName}, {"TasksDueRule", "tasks due", fakeaws.BusName}, {"WorkerStateMachinesRule", "worker machines", ""}}

	var asked []ruled
	taken := map[string]int{}
	for _, whole := range envelopes(t) {
		text, err := json.Marshal(whole)
		require.NoError(t, err)
		one, err := event.Read(text)
		if err != nil {
			continue // EventBridge would not deliver this
		}
		for _, rule := range rules {
			q := ruled{name: rule.id + " " + string(text), pattern: at[object](s.resources[rule.id], "Properties")["EventPattern"], event: whole}
			for _, taker := range stack.EventBridge.Takers(rule.bus, one) {
				if taker.Name == rule.name {
					q.takes = true
					taken[rule.id]++
				}
			}
			asked = append(asked, q)
		}
	}
	for _, rule := range rules {
		require.Positive(t, taken[rule.id], "no event matches rule %s", rule.id)
	}
	requireRuled(t, asked)
}

// The stream's filters pass to event-ruler the same records as to the test of the filters.
func TestRefereeEventRulerPassesTheEndsOfAttempts(t *testing.T) {
	s := read(t)
	var asked []ruled
	for function := range streamed {
		filters := at[[]any](s.mapping(function), "FilterCriteria", "Filters")
		require.NotEmpty(t, filters)
		for _, filter := range filters {
			var pattern object
			require.NoError(t, json.Unmarshal([]byte(at[string](filter, "Pattern")), &pattern))
			for _, status := range []task.Status{task.Open, task.Completed, task.Failed, task.Expired, task.Dead, task.Cancelled, "Completed", "running"} {
				for _, of := range []object{{}, {"shared": object{"BOOL": true}}, {"turn": object{"S": "000#1"}}} {
					for _, name := range []string{"INSERT", "MODIFY", "REMOVE"} {
						record := written(name, status, of)
						asked = append(asked, ruled{name: fmt.Sprintf("%s: %s %s %v", function, name, status, of), pattern: pattern, event: record,
							takes: matches(t, pattern, record)})
					}
				}
			}
		}
	}
	requireRuled(t, asked)
}

// envelopes returns the facts of the golden files, the commands, the status events of Step Functions, and forgeries of each.
func envelopes(t *testing.T) []object {
	t.Helper()
	var out []object
	files, err := filepath.Glob("../shared/core/event/testdata/facts/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	envelope := func(source, detailType string, detail any) object {
		return object{"version": "0", "id": "e-1", "source": source, "detail-type": detailType, "account": "111122223333", "region": "eu-west-1",
			"time": "2026-11-22T10:00:00Z", "resources": []any{}, "detail": detail}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var detail any
		require.NoError(t, json.Unmarshal(text, &detail), file)
		kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		out = append(out, envelope(event.Source, kind, detail))
	}
	job := object{"job_id": "j", "labourer": "l"}
	for _, kind := range []string{"SubmitJob", "CancelJob", "ReplayTasks", "TasksDue", "ContinueJob", "submitjob", "SUBMITJOB", "SubmitJob ", " SubmitJob", "SubmitJobs", ""} {
		for _, source := range []string{"drover", "shop", "aws.states"} {
			out = append(out, envelope(source, kind, job))
		}
	}
	const changed = "Step Functions Execution Status Change"
	status := func(more object) object {
		detail := object{"executionArn": "arn:aws:states:eu-west-1:111122223333:execution:import:drover-1", "name": "drover-1", "status": "SUCCEEDED",
			"stateMachineArn": "arn:aws:states:eu-west-1:111122223333:stateMachine:import", "input": "{}", "output": "{}"}
		for name, value := range more {
			if detail[name] = value; value == nil {
				delete(detail, name)
			}
		}
		return envelope("aws.states", changed, detail)
	}
	for _, name := range []any{"drover-1", "drover-", "drover", "Drover-1", "xdrover-1", "", nil, 5, []any{"other"}, object{"prefix": "drover-"}} {
		out = append(out, status(object{"name": name}))
	}
	for _, state := range []any{"RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE", "succeeded", "", nil, 1} {
		out = append(out, status(object{"status": state}))
	}
	forged := status(nil)
	forged["source"] = "aws.state"
	other := status(nil)
	other["detail-type"] = changed + "d"
	return append(out, forged, other)
}

// requireRuled requires that event-ruler gives the same answer for each event.
func requireRuled(t *testing.T, asked []ruled) {
	t.Helper()
	folder := os.Getenv("DROVER_REFEREES")
	require.NotEmpty(t, folder, "DROVER_REFEREES names no folder: make referees sets it")
	var in, out, said bytes.Buffer
	for _, one := range asked {
		line, err := json.Marshal(object{"pattern": one.pattern, "event": one.event})
		require.NoError(t, err)
		in.Write(append(line, '\n'))
	}
	began := time.Now()
	java := exec.CommandContext(t.Context(), "java", "-cp", filepath.Join(folder, "event-ruler-2.1.0", "*"), "testdata/referee/Patterns.java")
	java.Stdin, java.Stdout, java.Stderr = &in, &out, &said
	require.NoError(t, java.Run(), "%s", said.String())
	verdicts := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, verdicts, len(asked))
	for i, one := range asked {
		want := "false"
		if one.takes {
			want = "true"
		}
		assert.Equal(t, want, verdicts[i], "event-ruler's answer for %s", one.name)
	}
	t.Logf("%d events matched in %s", len(asked), time.Since(began).Round(time.Millisecond))
}

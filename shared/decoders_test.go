package shared_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/moe"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/cancellation"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/replay"
	"github.com/drover-run/drover/shared/worker"
)

// outside lists the decoders of text from outside, each with a text that it accepts. open lists the names whose values are the user's own.
var outside = map[string]struct {
	text   string
	read   func([]byte) (any, error)
	open   []string
	misses bool // a duplicate name is not an error: the rest of the text counts
}{
	"an event": {`{"id": "e", "source": "shop", "detail-type": "SubmitJob", "time": "2026-11-22T12:00:00Z", "detail": {}}`,
		func(text []byte) (any, error) { return event.Read(text) }, []string{"detail"}, false},
	"a replay":             {`{"replay_id": "r", "tasks": ["abcdefghijklmnop.7"], "job_id": "j", "labourer": "f"}`, decoded[replay.Command], nil, false},
	"an execution's input": {`{"labourers": ["f"]}`, decoded[orchestrator.PlanInput], nil, true},
	"an archived record":   {`{"task_id": "abcdefghijklmnop.7", "job_id": "j", "attempts": [{"attempt": 1, "status": "failed", "error": {"type": "T", "message": "m"}}]}`, decoded[archive.Record], nil, false},
	"a task's event": {`{"store": "x", "drover": {"version": 1, "task_id": "abcdefghijklmnop.7", "job_id": "j", "labourer_id": "f", "attempt": 2, "deadline": "2026-11-22T12:00:00Z", "completions_url": "u"}}`,
		func(text []byte) (any, error) {
			one, err := worker.ParseTask(text)
			one.Payload = nil
			return one, err
		}, nil, false},
	"a wake": {`{"source": "drover", "detail-type": "TasksDue", "detail": {"version": 1, "labourers": ["f"], "due_at": "2026-11-22T12:00:00Z"}}`,
		func(text []byte) (any, error) { return completion.Read(text) }, nil, true},
	"a start of a workflow": {`{"workflow": "order", "uid": "u", "metadata": {"a": 1}, "from": "pick", "metadata_override": true, "start_id": "s"}`,
		func(text []byte) (any, error) { return flow.ReadStart(text, "e", "") }, []string{"metadata"}, false},
	"a cancellation": {`{"job_id": "nightly", "force": true}`, func(text []byte) (any, error) {
		var jobs sought
		_, err := cancellation.Service{Jobs: &jobs}.Cancel(context.Background(), event.Envelope{Detail: text}, nil)
		return jobs.id, jobs.unless(err)
	}, nil, false},
	"moe's answer about a plugin": {`{"pluginName": "p", "default": {"mandatory": false, "pluginRegisterTimeout": 3}, "overrides": {"pick": {"mandatory": true}}, "order": 7}`,
		func(text []byte) (any, error) {
			one, err := moe.ReadInfo(text)
			one.Unknown = nil
			return one, err
		}, []string{"overrides"}, false},
	"a workflow file of moe": {`{"StartAt": "pickStart", "States": {"Step:pick": "pick", "pickComplete": {"Type": "Succeed"}}}`,
		func(text []byte) (any, error) {
			w, _, err := moe.ReadMachine("order", text)
			return w, err
		}, []string{"States"}, false},
	"a stored labourer": {`{"target": {"lambda": "f"}, "max_simultaneous_invocations": 7, "retry": {"min": "1s", "initial": "30s", "rate": 2, "max": "1h"}, "coefficients": {"1": 0.5}}`,
		func(text []byte) (any, error) { return labourer.Decode("f", text) }, []string{"coefficients"}, false},
}

// sought notes the job that is looked for, and finds none.
type sought struct {
	cancellation.Jobs
	id string
}

func (s *sought) Get(_ context.Context, id string) (ledger.Job, bool, error) {
	s.id = id
	return ledger.Job{}, false, nil
}

// unless returns the error that came before a job was looked for.
func (s *sought) unless(err error) error {
	if s.id != "" {
		return nil
	}
	return err
}

// loose lists the files that may decode JSON without package exact, with the reason.
var loose = map[string]string{
	"core/adaptive/series.go":   "a number",
	"core/archive/archive.go":   "lines, each of which exact decodes",
	"core/document/diff.go":     "what is encoded here",
	"core/document/document.go": "tokens",
	"core/exact/exact.go":       "exact itself",
	"core/exact/members.go":     "exact itself",
	"core/job/identify.go":      "tokens",
	"core/pattern/metadata.go":  "tokens",
	"core/pattern/parse.go":     "a list",
	"core/workflow/metadata.go": "tokens",
	"wiring/assistant.go":       "the source of a batch, to choose its decoder",
	"worker/task.go":            "the user's own type",
	"worker/turn.go":            "the user's own type",
}

// TestG9AllOtherFilesDecodeExactly finds decoders that take a name in any case, or twice.
func TestG9AllOtherFilesDecodeExactly(t *testing.T) {
	found := map[string]bool{}
	for _, root := range []string{"core", "service", "aws", "wiring", "inspect", "console", "worker"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if is := bytes.Contains(text, []byte("json.Unmarshal(")) || bytes.Contains(text, []byte("json.NewDecoder(")); is {
				require.Contains(t, loose, path, "use exact.Decode")
				found[path] = true
			}
			return err
		}))
	}
	for path := range loose {
		require.True(t, found[path], "%s decodes nothing any more", path)
	}
}

func decoded[T any](text []byte) (any, error) {
	var out T
	err := exact.Decode(text, &out)
	return out, err
}

// TestG9NamesAreMatchedExactly holds for every decoder: if each name is repeated in capitals, with another value, the text has the same meaning.
func TestG9NamesAreMatchedExactly(t *testing.T) {
	for name, d := range outside {
		t.Run(name, func(t *testing.T) {
			want, err := d.read([]byte(d.text))
			require.NoError(t, err)

			got, err := d.read(respelt(t, d.text, d.open))

			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

// TestG9DuplicateNamesAreRefused holds for every decoder that may refuse a text.
func TestG9DuplicateNamesAreRefused(t *testing.T) {
	for name, d := range outside {
		for _, member := range membersOf(t, d.text) {
			if d.misses || member == "store" {
				continue
			}
			text := strings.TrimSuffix(d.text, "}") + fmt.Sprintf(`, %q: 7}`, member)

			_, err := d.read([]byte(text))

			require.Error(t, err, "%s: %s", name, text)
			require.Contains(t, err.Error(), member)
		}
	}
	_, err := job.Parse([]byte(`{"labourer": "f", "labourer": "g"}`))
	require.ErrorContains(t, err, "labourer")
}

// Completions have many senders, and so many forms.
func TestG9NamesOfACompletionAreMatchedExactly(t *testing.T) {
	files, err := filepath.Glob("core/completion/testdata/forms/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		want, wrong := completion.Read(text)

		got, again := completion.Read(respelt(t, string(text), []string{"result", "stats", "responsePayload"}))

		require.Equal(t, wrong, again, file)
		got.Result, got.Stats, want.Result, want.Stats = nil, nil, nil, nil
		require.Equal(t, want, got, file)
	}
}

// respelt returns the text with each name repeated in capitals, with another value, after the original.
func respelt(t *testing.T, text string, open []string) []byte {
	t.Helper()
	members, err := exact.Members([]byte(text))
	require.NoError(t, err)
	var out bytes.Buffer
	for i, m := range members {
		if i > 0 {
			out.WriteString(", ")
		}
		value := m.Value
		switch isOpen := strings.Contains(" "+strings.Join(open, " ")+" ", " "+m.Name+" "); {
		case isOpen:
		case value[0] == '{':
			value = respelt(t, string(value), open)
		case value[0] == '[':
			value = respeltItems(t, value, open)
		}
		fmt.Fprintf(&out, "%q: %s", m.Name, value)
		if other := strings.ToUpper(m.Name); other != m.Name {
			fmt.Fprintf(&out, ", %q: {\"odd\": [7]}", other)
		}
	}
	return []byte("{" + out.String() + "}")
}

func respeltItems(t *testing.T, list json.RawMessage, open []string) []byte {
	var items []json.RawMessage
	require.NoError(t, json.Unmarshal(list, &items))
	texts := make([][]byte, len(items))
	for i, item := range items {
		if texts[i] = item; item[0] == '{' {
			texts[i] = respelt(t, string(item), open)
		}
	}
	return append(append([]byte("["), bytes.Join(texts, []byte(", "))...), ']')
}

func membersOf(t *testing.T, text string) []string {
	members, err := exact.Members([]byte(text))
	require.NoError(t, err)
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.Name
	}
	return names
}

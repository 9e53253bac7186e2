package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cli runs bin/drover with --json on the stack, requires exit code 0, and returns the output.
func (s *stack) cli(t *testing.T, arguments ...string) string {
	t.Helper()
	out, said, code := s.drover(t, nil, arguments...)
	require.Zero(t, code, "drover %s: %s", strings.Join(arguments, " "), said)
	return out
}

// drover runs bin/drover with --json on the stack, with input as JSON on its standard input. It returns stdout, stderr and the exit code.
func (s *stack) drover(t *testing.T, input any, arguments ...string) (printed, said string, code int) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(checkout, "bin", "drover"))
	require.NoError(t, err)
	text, err := json.Marshal(input)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, append([]string{"--json"}, arguments...)...)
	command.Env = append(s.target.Environ(), "DROVER_STACK="+s.name)
	command.Stdin = bytes.NewReader(text)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// document returns the one JSON document in a text.
func document(t *testing.T, text string) object {
	t.Helper()
	var out object
	require.NoError(t, json.Unmarshal([]byte(text), &out), "%s", text)
	return out
}

// lines returns the JSON lines in a text.
func lines(t *testing.T, text string) []object {
	t.Helper()
	out := []object{}
	for line := range strings.Lines(text) {
		out = append(out, document(t, line))
	}
	return out
}

// fieldsOf returns a document reduced to these fields.
func fieldsOf(line object, fields ...string) object {
	out := object{}
	for _, name := range fields {
		if value, found := line[name]; found {
			out[name] = value
		}
	}
	return out
}

func TestSubmittingByHandFollowsAJobToItsEnd(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.applyByHand(t, onLambda("Worker", 2, object{"max_attempts": 1}))
	counts := []string{"state", "total", "completed", "dead", "cancelled", "open"}

	printed, said, code := s.drover(t, tasks(3, object{"labourer": named(t), "job_id": named(t)}), "submit", "-", "--wait")
	require.Zero(t, code, said)
	require.Equal(t, object{"state": "completed", "total": 3., "completed": 3., "dead": 0., "cancelled": 0., "open": 0.}, fieldsOf(document(t, printed), counts...))

	printed, said, code = s.drover(t, tasks(2, object{"labourer": named(t), "do": "fail"}), "submit", "-", "--wait")
	require.Equal(t, 1, code, said)
	require.Equal(t, object{"state": "completed", "total": 2., "completed": 0., "dead": 2., "cancelled": 0., "open": 0.}, fieldsOf(document(t, printed), counts...))

	printed, said, code = s.drover(t, tasks(2, object{"labourer": "nobody-of-this-name"}), "submit", "-", "--wait")
	require.Equal(t, 1, code, said)
	require.Contains(t, said, "nobody-of-this-name")
	require.Equal(t, "rejected", document(t, printed)["state"])
}

func TestTheCommandLineShowsEveryJobTaskAndLabourer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.applyByHand(t, d.labourer(1, object{"max_attempts": 2, "retry": object{"min": "1h", "initial": "1h", "max": "1h"}}))
	s.submit(t, tasks(3, nil))
	first := d.take(t, 1)[0]
	s.report(t, first.failed(nil))
	running := d.take(t, 1)[0]

	line := document(t, s.cli(t, "task", first.taskID))
	require.Equal(t, object{"status": "waiting", "attempt": 1.}, fieldsOf(line, "status", "attempt"))
	require.NotEmpty(t, line["waiting_for"])
	require.Equal(t, object{"type": "Boom", "message": "as told"}, line["attempts"].([]any)[0].(object)["error"])
	require.Equal(t, object{"status": "running", "attempt": 1.}, fieldsOf(document(t, s.cli(t, "task", running.taskID)), "status", "attempt"))
	where := map[any]int{}
	for _, one := range lines(t, s.cli(t, "tasks", "--job", named(t))) {
		where[one["status"]]++
	}
	require.Equal(t, map[any]int{"waiting": 1, "running": 1, "queued": 1}, where)
	require.Equal(t, object{"paused": false, "status": 4., "cap": 1., "desired": 1., "running": 1., "slots": 1., "granted": 1., "free": 0., "waiting": 1., "due": 1., "later": 1.},
		fieldsOf(document(t, s.cli(t, "labourer", named(t))), "paused", "status", "cap", "desired", "running", "slots", "granted", "free", "waiting", "due", "later"))
	require.Equal(t, object{"state": "scheduled", "total": 3., "open": 3.}, fieldsOf(document(t, s.cli(t, "job", named(t))), "state", "total", "open"))

	s.cli(t, "cancel", named(t))
	s.withdrawn(t)
	s.complete(t, running)
	s.cancelled(t)

	require.Equal(t, object{"state": "cancelled", "total": 3., "completed": 1., "cancelled": 2., "open": 0.},
		fieldsOf(document(t, s.cli(t, "job", named(t))), "state", "total", "completed", "cancelled", "open"))
	_, said, code := s.drover(t, nil, "task", "aaaaaaaaaaaaaaaa.0")
	require.Equal(t, 1, code)
	require.Contains(t, said, "aaaaaaaaaaaaaaaa.0")
}

func TestDeadTasksAreListedAndReplayedByHand(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.applyByHand(t, d.labourer(2, object{"max_attempts": 1}))
	s.submit(t, tasks(2, nil))
	for _, one := range d.take(t, 2) {
		s.report(t, one.failed(nil))
	}
	s.ended(t, named(t))

	dead := lines(t, s.cli(t, "dead", "--job", named(t)))
	require.Len(t, dead, 2)
	require.Equal(t, object{"status": "dead", "attempt": 1., "job_id": named(t)}, fieldsOf(dead[0], "status", "attempt", "job_id"))
	require.Equal(t, object{"replayed": 1.}, document(t, s.cli(t, "replay", dead[0]["task_id"].(string))))
	again := d.take(t, 1)[0]
	require.Equal(t, dead[0]["task_id"], again.taskID)
	s.complete(t, again)
	s.fact(t, "JobCompleted", object{"job_id": named(t), "generation": 2., "dead": 1.})
	require.Equal(t, object{"replayed": 1.}, document(t, s.cli(t, "replay", "--labourer", named(t))))
	s.complete(t, d.take(t, 1)...)

	s.fact(t, "JobCompleted", object{"job_id": named(t), "generation": 3., "dead": 0.})
	require.Empty(t, lines(t, s.cli(t, "dead", "--job", named(t))))
}

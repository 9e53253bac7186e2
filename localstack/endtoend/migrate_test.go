package endtoend

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
)

// TestALiveSoswIsMoved fills sosw's tables with its own code and moves three labourers, while sosw queues more. The command is killed again and again, and
// two run at once. DROVER_TEST_MOVE sets how many tasks each labourer has, and DROVER_TEST_KILLS how often the command is killed.
func TestALiveSoswIsMoved(t *testing.T) {
	t.Parallel()
	s := shared(t)
	if s.target.OnAWS() {
		t.Skip("not judged here: sosw's tables have fixed names, which may belong to the account")
	}
	number := func(variable string, normally int) int {
		if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
			return n
		}
		return normally
	}
	each, kills := number("DROVER_TEST_MOVE", 40), number("DROVER_TEST_KILLS", 3)
	labourers := []string{"moved_a", "moved_b", "moved_c"}
	config := filepath.Join(t.TempDir(), "task_config.json")
	of := object{}
	for _, id := range labourers {
		of[id] = object{"arn": world.workers["Worker"], "max_simultaneous_invocations": 20}
	}
	text, err := json.Marshal(object{"task_config": object{"labourers": of}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, text, 0o600))
	filled := s.sosw(t, "fill", strings.Join(labourers, ","), strconv.Itoa(each))
	t.Cleanup(func() {
		for _, table := range []string{"sosw_tasks", "sosw_closed_tasks", "sosw_retry_tasks"} {
			_, _ = s.db.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: aws.String(table)})
		}
	})
	sum := func(field string) float64 {
		n := 0.0
		for _, id := range labourers {
			n += filled[id].(object)[field].(float64)
		}
		return n
	}

	dry := document(t, s.cli(t, "migrate", "sosw", "--config", config, "--dry-run"))

	require.Equal(t, object{"labourers": 3.0, "queued": sum("queued"), "retry": sum("retry"), "running": sum("running"), "moved": 0.0, "quarantined": sum("poison"),
		"left": sum("queued") + sum("retry") + sum("completed")}, fieldsOf(dry, "labourers", "queued", "retry", "running", "moved", "quarantined", "left"))
	for _, id := range labourers {
		s.cli(t, "apply", "-f", config)
		s.cli(t, "pause", id)
	}

	began, killed := time.Now(), 0
	const more = 5 // that sosw queues of each labourer while the command runs
	writer := make(chan object, 1)
	go func() {
		defer close(writer)                                                            // also if it fails
		writer <- s.sosw(t, "write", strings.Join(labourers, ","), strconv.Itoa(more)) //nolint:testifylint // a failure closes the channel
	}()
	for range kills {
		if s.killed(t, time.Duration(rand.Int64N(int64(max(time.Second, time.Duration(each)*3*time.Millisecond)))), "migrate", "sosw", "--config", config) {
			killed++
		}
	}
	written := <-writer
	require.Equal(t, object{"moved_a": float64(more), "moved_b": float64(more), "moved_c": float64(more)}, written)
	other := make(chan string, 1)
	go func() {
		defer close(other)
		other <- s.cli(t, "migrate", "sosw", "--config", config) //nolint:testifylint // a failure closes the channel
	}()
	report := document(t, s.cli(t, "migrate", "sosw", "--config", config))
	document(t, <-other)

	t.Logf("killed %d times, %s in all; the last run's report: %v", killed, time.Since(began).Round(time.Millisecond), report)
	require.Equal(t, sum("running"), report["running"])
	require.Equal(t, sum("poison"), report["quarantined"])
	require.Equal(t, sum("completed"), report["left"])
	total := 0
	for id, left := range s.sosw(t, "next", strings.Join(labourers, ",")) {
		require.Equal(t, object{"queue": []any{"[1]"}, "retry": 0.0}, left, "sosw finds only what cannot be read")
		job, found, err := s.jobs.Get(t.Context(), "sosw-"+id)
		require.NoError(t, err)
		require.True(t, found)
		total += job.Total - withdrawn(t, s, id)
	}
	require.Equal(t, int(sum("queued")+sum("retry"))+more*len(labourers), total)
	if each > 1000 {
		return // what follows is judged with fewer tasks
	}
	for _, id := range labourers {
		s.cli(t, "resume", id)
	}
	for _, id := range labourers {
		job := s.ended(t, "sosw-"+id)
		require.Equal(t, ledger.Counts{Completed: more + int(filled[id].(object)["queued"].(float64)+filled[id].(object)["retry"].(float64)), Cancelled: job.Counts.Cancelled}, job.Counts)
	}
}

// withdrawn returns how many stored tasks of a move were given up, because a kill left them behind a gap.
func withdrawn(t *testing.T, s *stack, id string) int {
	t.Helper()
	return len(lines(t, s.cli(t, "tasks", "--job", "sosw-"+id, "--status", "cancelled")))
}

// sosw runs the script that uses sosw's own code.
func (s *stack) sosw(t *testing.T, arguments ...string) object {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(checkout, ".local", "venv", "bin", "python3"))
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, append([]string{filepath.Join("testdata", "sosw_tables.py")}, arguments...)...)
	command.Env = s.target.Environ()
	out, err := command.Output()
	if exit, is := err.(*exec.ExitError); is { //nolint:errorlint // Output returns it as it is
		require.NoError(t, err, "%s", exit.Stderr)
	}
	require.NoError(t, err)
	return document(t, string(out))
}

// killed starts bin/drover and kills it after some time. It reports whether the command was still running.
func (s *stack) killed(t *testing.T, after time.Duration, arguments ...string) bool {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(checkout, "bin", "drover"))
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Env = append(s.target.Environ(), "DROVER_STACK="+s.name)
	require.NoError(t, command.Start())
	timer := time.AfterFunc(after, func() { _ = command.Process.Kill() })
	defer timer.Stop()
	return command.Wait() != nil
}

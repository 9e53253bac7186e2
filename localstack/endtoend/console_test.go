package endtoend

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/browser"
)

// console runs bin/drover console on the stack until the test ends, and returns its address.
func (s *stack) console(t *testing.T, arguments ...string) string {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(checkout, "bin", "drover"))
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, append([]string{"console", "--port", "0"}, arguments...)...)
	command.Env = append(s.target.Environ(), "DROVER_STACK="+s.name)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Wait() }) // the test's context ends it
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Regexp(t, `^http://127\.0\.0\.1:\d+/\n$`, line)
	return strings.TrimSuffix(strings.TrimSpace(line), "/")
}

// TestANightAtTheConsole plays what an operator does, in a real browser: sees a job progress and die, pauses, resumes, replays, cancels.
func TestANightAtTheConsole(t *testing.T) {
	t.Parallel()
	s := shared(t)
	in := browser.Start(t)
	d := s.desk(t)
	s.applyByHand(t, d.labourer(2, object{"max_attempts": 1}))
	b := in.Tab(t, s.console(t))
	id := named(t)
	confirmed := func(key, title string) {
		b.Press(key)
		b.Until(fmt.Sprintf(`document.querySelector("#ask").open && document.querySelector("#ask-title").textContent.includes(%q)`, title))
		b.Click("#ask-yes")
		b.Until(`!document.querySelector("#ask").dataset.asking`)
	}

	b.Visit("/?match=" + id)
	b.Shows("nothing is due")
	s.submit(t, tasks(3, nil))
	b.Shows("2 / 2 / 2") // live: two run
	got := d.take(t, 2)
	b.Visit("/jobs/" + id)
	b.Shows("running 2")
	s.report(t, object{"version": 1, "task_id": got[0].taskID, "attempt": 1, "status": "failed", "retryable": false, "error": object{"type": "Bad<b>", "message": "no\u202e"}})
	s.report(t, object{"version": 1, "task_id": got[1].taskID, "attempt": 1, "status": "completed", "result": object{"rows": 3}})
	b.Shows("dead 1")
	b.Shows("Bad<b>")
	b.Shows("completed 1")

	b.Visit("/labourers/" + id)
	confirmed("p", "Pause")
	b.Shows("paused")
	require.Equal(t, true, document(t, s.cli(t, "labourer", id))["paused"])
	confirmed("p", "Resume")
	b.Until(`document.querySelector(".actions button").textContent === "Pause"`)

	b.Visit("/tasks/" + got[0].taskID)
	b.Shows("Timeline")
	confirmed("y", "Replay task")
	b.Until(`location.pathname === "/replays"`)
	b.Shows("with 1 replay")

	running := d.take(t, 2)
	b.Visit("/jobs/" + id)
	confirmed("c", "Cancel job")
	b.Shows("cancelling")
	s.complete(t, running...)
	s.fact(t, "JobCancelled", object{"job_id": id})
	b.Visit("/search?q=" + id + "-is-unknown")
	b.Shows("Nothing has this id.")
	for _, path := range []string{"/jobs", "/dead", "/workflows", "/runs", "/labourers/" + id, "/doctor?run=1"} {
		b.Visit(path)
		b.Until(`document.querySelector("main h1") !== null && document.body.dataset.page !== "trouble"`)
		b.Examine(path)
	}
	b.Clean()
}

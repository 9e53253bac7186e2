package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/drover-run/drover/localstack"
)

// suites runs the three suites one after the other. It prints the failures of each, and the tests that could not be judged. Each suite deploys what
// it needs.
func (n amounts) suites(ctx context.Context, out io.Writer, target localstack.Target, name string) error {
	bucket := name + "-artifacts"
	if err := makeBucket(ctx, target, bucket); err != nil {
		return err
	}
	environ := append(target.Environ(), "DROVER_TEST_STACK="+name, "DROVER_ARTIFACTS_BUCKET="+bucket)
	endToEnd, checks := os.Getenv("DROVER_TEST_RUN"), os.Getenv("DROVER_TEST_CHECKS")
	if checks == "" {
		checks = "^TestAccount"
	}
	var failed []error
	for _, suite := range []struct {
		title     string
		arguments []string
	}{
		{"the conformance suite", []string{"./localstack/conformance", "-run", "^TestAccount$"}},
		{"the end-to-end tests", []string{"./localstack/endtoend", "-run", endToEnd, "-skip", "^TestAccount"}},
		{"the ten checks", []string{"./localstack/endtoend", "-run", checks, "-parallel", "1"}},
	} {
		fmt.Fprintf(out, "\n%s\n", strings.ToUpper(suite.title[:1])+suite.title[1:])
		if err := test(ctx, out, environ, suite.arguments); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", suite.title, err))
		}
		if ctx.Err() != nil {
			return errors.Join(append(failed, errors.New("interrupted"))...)
		}
	}
	return errors.Join(failed...)
}

// mostOfSuite limits the time of a suite: the checks receive 100,000 messages three times, one after the other.
const mostOfSuite = "8h"

// patient limits the time that an interrupted suite has to clean up.
const patient = time.Minute

// test runs tests and prints each failure with its output, and each test that could not be judged with the reason.
func test(ctx context.Context, out io.Writer, environ, arguments []string) error {
	tests := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1", "-tags", "account", "-timeout", mostOfSuite}, arguments...)...)
	tests.Env, tests.Stderr = environ, out
	tests.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // this program receives the terminal's interrupts, and passes them on
	tests.Cancel = func() error { return syscall.Kill(-tests.Process.Pid, syscall.SIGINT) }
	tests.WaitDelay = patient
	events, err := tests.StdoutPipe()
	if err != nil {
		return err
	}
	if err := tests.Start(); err != nil {
		return err
	}
	passed, failed := read(out, events)
	err = tests.Wait()
	fmt.Fprintf(out, "  %d passed, %d differed\n", passed, failed)
	return err
}

// read reads the events of go test -json and returns how many tests passed and failed. Of a test with subtests it counts only the subtests.
func read(out io.Writer, events io.Reader) (passed, failed int) {
	said := map[string][]string{}
	parents := map[string]bool{}
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if slash := strings.LastIndex(e.Test, "/"); slash > 0 {
			parents[e.Test[:slash]] = true
		}
		switch e.Action {
		case "output":
			said[e.Test] = append(said[e.Test], strings.TrimRight(e.Output, "\n"))
		case "pass":
			if e.Test != "" && !parents[e.Test] {
				passed++
			}
			if i := slices.IndexFunc(said[e.Test], func(line string) bool {
				return strings.HasPrefix(e.Test, "TestAccount") && strings.Contains(line, "_test.go:")
			}); i >= 0 {
				fmt.Fprintf(out, "  measured       %s: %s\n", e.Test, message(said[e.Test][i]))
			}
		case "skip":
			if i := slices.IndexFunc(said[e.Test], func(line string) bool { return strings.Contains(line, "not judged here") }); i >= 0 {
				fmt.Fprintf(out, "  not judged     %s: %s\n", e.Test, strings.TrimPrefix(message(said[e.Test][i]), "not judged here: "))
			}
		case "fail":
			if parents[e.Test] || e.Test == "" && failed > 0 { // its subtests are already printed
				continue
			}
			failed++
			fmt.Fprintf(out, "  DIFFERS        %s\n", cmp.Or(e.Test, "the whole package"))
			for _, line := range said[e.Test] {
				fmt.Fprintf(out, "      %s\n", line)
			}
		}
	}
	return passed, failed
}

// message returns a line of a test's log without its file and line number.
func message(line string) string {
	if _, rest, found := strings.Cut(line, ".go:"); found {
		if _, rest, found = strings.Cut(rest, ": "); found {
			return rest
		}
	}
	return strings.TrimSpace(line)
}

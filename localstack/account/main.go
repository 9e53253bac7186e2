// Command account tests Drover on an AWS account: it runs the conformance suite, the end-to-end tests and the checks that only AWS can settle, in
// stacks of its own, and deletes everything afterwards. `make conformance` runs it.
//
// It needs DROVER_TEST_AWS=1, credentials, and DROVER_TEST_DOLLARS: the cost limit of the run. With AWS_ENDPOINT_URL set, it runs
// on that local AWS instead. -clean NAME deletes what a killed run of that name left behind.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/drover-run/drover/localstack"
)

// prefix begins the names of all stacks, tables, queues and buckets of these runs.
const prefix = "drover-test-"

func main() {
	clean := flag.String("clean", "", "delete what the run of this name left behind")
	flag.Parse()
	// An interrupt ends the tests, not the clean-up.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *clean)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, clean string) error {
	target, err := localstack.Settings(ctx)
	if err != nil {
		return err
	}
	if target.OnAWS() && os.Getenv(localstack.AllowAWS) != "1" {
		return fmt.Errorf("this changes an AWS account: set %s=1 to allow it, or AWS_ENDPOINT_URL to use a local AWS", localstack.AllowAWS)
	}
	if clean != "" {
		if !strings.HasPrefix(clean, prefix) {
			return fmt.Errorf("%q is not the name of a run; want one that begins with %s", clean, prefix)
		}
		return takeAway(ctx, out, target, clean)
	}
	n, err := sizes(target.OnAWS())
	if err != nil {
		return err
	}
	if err := affordable(out, n); err != nil {
		return err
	}

	name := prefix + strings.ToLower(rand.Text()[:8])
	fmt.Fprintf(out, "All resources of this run are named %s…; to delete them if it is killed: make conformance CLEAN=%s\n", name, name)
	began := time.Now()
	failed := n.suites(ctx, out, target, name)
	cost(out, target, name, began)
	ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
	defer cancel()
	return errors.Join(failed, takeAway(ended, out, target, name))
}

// amounts sets the size of the two large checks.
type amounts struct{ tasks, completions, memories int }

func sizes(onAWS bool) (amounts, error) {
	n := amounts{tasks: 2000, completions: 300, memories: 1}
	if onAWS {
		n = amounts{tasks: 1_000_000, completions: 100_000, memories: 3}
	}
	for variable, into := range map[string]*int{"DROVER_TEST_TASKS": &n.tasks, "DROVER_TEST_COMPLETIONS": &n.completions} {
		if text := os.Getenv(variable); text != "" {
			given, err := strconv.Atoi(text)
			if err != nil || given < 1 {
				return n, fmt.Errorf("%s is %q; want a number of at least 1", variable, text)
			}
			*into = given
		}
	}
	return n, nil
}

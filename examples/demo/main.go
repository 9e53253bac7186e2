// Demo shows Drover at work. It starts a local AWS, deploys the stack to it, runs two jobs on real data with two workers, and checks their results.
// It prints what the jobs cost, and ends everything that it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The exit codes are those of the command line, and 128 + SIGINT as in shells.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	calls := flag.Bool("calls", false, "also list the calls of each stage by operation")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	// If the reader of the output goes away, writing fails, and the demo ends as if it were interrupted.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	code := run(ctx, *calls)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, calls bool) int {
	d := demo{screen: newScreen(os.Stdout), calls: calls, started: time.Now()}
	err := d.run(ctx)
	ended := d.end()
	switch {
	case ctx.Err() != nil && ended == nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted; nothing is left behind")
		return exitInterrupted
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted;", ended)
		return exitInterrupted
	case err != nil || ended != nil:
		fmt.Fprintln(os.Stderr, "demo:", errors.Join(err, ended))
		return exitFailed
	}
	return 0
}

// Demo shows Drover at work, from nothing: it starts a local AWS, deploys the stack to it, has two workers do two jobs over real data, and
// checks what they computed. It ends with what that cost. Whatever it started ends with it.
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

// Exit codes: as the command line's, and 128 + SIGINT as shells have it.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	calls := flag.Bool("calls", false, "also list the calls of each stage by operation")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: %q is one argument too many\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	// The reader of the output may go away too: then writing fails, and the demo ends as if it were interrupted.
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

// Command drover checks configurations and jobs, applies and submits them, and shows how they are doing.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, &shell{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now, wait: wait, environment: os.Getenv, open: openStack,
		zone:  time.Local, //nolint:gosmopolitan // people read times in their own zone
		width: func() int { return widthOf(os.Stdout) }}, os.Args[1:])
	stop()
	os.Exit(code)
}

// wait waits for a time. It returns the context's error if the command is interrupted first.
func wait(ctx context.Context, span time.Duration) error {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Package local has what the examples' programs share: each runs on a local AWS of its own, shows its steps, and leaves nothing behind.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// The exit codes are those of the command line, and 128 + SIGINT as in shells.
const (
	exitFailed      = 1
	exitInterrupted = 130
)

// Run does the work of a program until the work ends or the program is interrupted, then calls end, which ends what the work started. It prints what
// failed and returns the program's exit code.
func Run(name string, work func(context.Context) error, end func() error) int {
	// If the reader of the output goes away, writing fails, and the program ends as if it were interrupted.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	err := work(ctx)
	ended := end()
	switch {
	case ctx.Err() != nil && ended == nil:
		fmt.Fprintln(os.Stderr, name+": interrupted; nothing is left behind")
		return exitInterrupted
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, name+": interrupted;", ended)
		return exitInterrupted
	case err != nil || ended != nil:
		fmt.Fprintln(os.Stderr, name+":", errors.Join(err, ended))
		return exitFailed
	}
	return 0
}

// endsWithin limits the time that an interrupted program may take to clean up.
const endsWithin = 5 * time.Second

// Output runs another program and returns what it printed, also if it failed. The error contains what it printed on standard error. When the
// context of the command ends, the program ends with all the processes that it started.
func Output(command *exec.Cmd) (string, error) {
	var said, troubles bytes.Buffer
	command.Stdout, command.Stderr = &said, &troubles
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGINT) } // an interrupt lets it remove its temporary files
	command.WaitDelay = endsWithin
	err := command.Run()
	if command.Process != nil {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // ends the processes that are left
	}
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, bytes.TrimSpace(troubles.Bytes()))
	}
	return strings.TrimSpace(said.String()), err
}

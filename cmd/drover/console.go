package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/console"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// consolePort is where the console is if no port is given and this one is free.
const consolePort = 4500

func newConsole(s *shell) *cobra.Command {
	var port int
	var readOnly, open bool
	c := &cobra.Command{
		Use:   "console [--port N] [--read-only] [--open]",
		Short: "serve a local web page that shows the stack, and acts on it",
		Long: `Serves a web page at 127.0.0.1, with the AWS rights of this command: labourers, jobs, tasks, deaths, workflows and runs, live. It prints the address
as its first line, and runs until you interrupt it. Other machines do not reach it.

While a tab is visible the console reads the stack every five seconds, by at most 250 requests; hidden tabs read nothing. --read-only has no actions.`,
		Example: `  drover console --open
  drover console --port 8080 --read-only`,
		Args: exactly(),
	}
	c.Flags().IntVar(&port, "port", -1, "listen on this `port`, 0 for a free one (default: 4500, or a free one if that is taken)")
	c.Flags().Lookup("port").DefValue = "0" // hides pflag's own default
	c.Flags().BoolVar(&readOnly, "read-only", false, "only show, and refuse each action")
	c.Flags().BoolVar(&open, "open", false, "open the page in the browser")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if c.Flags().Changed("port") && (port < 0 || port > 65535) {
			return fmt.Errorf("--port is %d; want a number from 0 to 65535", port)
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return s.serveConsole(c.Context(), port, readOnly, open) }
	return c
}

// serveConsole serves the console until the context ends.
func (s *shell) serveConsole(ctx context.Context, port int, readOnly, open bool) error {
	// Credentials may be missing or run out while the console runs: its page says so, and goes on once they are there.
	if st, err := s.stack(ctx); cloudformation.IsMissing(err) || errors.Is(err, errNoRegion) || err != nil && st != nil {
		return err
	} else if err != nil {
		s.warn(s.explained(err))
	}
	listener, err := listen(ctx, port)
	if err != nil {
		return err
	}
	host := listener.Addr().String()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := console.New(ctx, console.Options{
		Open: func(ctx context.Context) (*console.Stack, error) { return s.consoleStack(ctx) }, Explain: s.consoleTrouble,
		Host: host, ReadOnly: readOnly, Now: s.now, Log: slog.New(slog.NewTextHandler(s.err, nil)),
	})
	server := &http.Server{Handler: served.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	fmt.Fprintf(s.out, "http://%s/\n", host)
	s.say("Console of stack %s. To end it: Ctrl-C", s.stackName)
	if open {
		s.browse("http://" + host + "/")
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop() // ends the streams of events, which would keep the server
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(last) != nil {
		return server.Close()
	}
	return nil
}

// listen listens on this machine only.
func listen(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	at := func(port int) (net.Listener, error) {
		return config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	if port >= 0 {
		listener, err := at(port)
		if err != nil {
			return nil, fmt.Errorf("port %d cannot be used: %w; choose another with --port, or 0 for a free one", port, err)
		}
		return listener, nil
	}
	if listener, err := at(consolePort); err == nil {
		return listener, nil
	}
	return at(0)
}

// browse opens a page in the browser, if the machine has one.
func (s *shell) browse(address string) {
	command := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		command = []string{"open"}
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	browser := exec.Command(command[0], append(command[1:], address)...) //nolint:noctx // it lives on
	if err := browser.Start(); err != nil {
		s.warn("the browser could not be opened: " + err.Error())
	}
}

// consoleStack returns the stack as the console reads it and acts on it.
func (s *shell) consoleStack(ctx context.Context) (*console.Stack, error) {
	st, err := s.stack(ctx)
	if err != nil {
		return nil, err
	}
	return &console.Stack{Name: st.Name, Region: st.region, Endpoint: st.endpoint,
		Reader: s.reader(st), Runs: st.runReader(), Why: s.whys(st), Workflows: st.compositions,
		History: st.metrics, Actions: consoleActions{s, st}, Doctor: s.consoleChecks}, nil
}

// consoleActions does what the commands do.
type consoleActions struct {
	shell *shell
	stack *stack
}

func (a consoleActions) SetPaused(ctx context.Context, labourer string, paused bool) error {
	return a.stack.setPaused(ctx, labourer, paused, "", a.shell.now())
}

func (a consoleActions) Cancel(ctx context.Context, job string) error {
	return a.stack.cancel(ctx, job, false)
}

func (a consoleActions) Replay(ctx context.Context, tasks []string, job, labourer string) error {
	return a.stack.replay(ctx, tasks, job, labourer)
}

func (a consoleActions) ChangeRun(ctx context.Context, run, verb string) (flow.State, error) {
	return a.shell.runChanged(ctx, a.stack, run, verb)
}

// consoleChecks runs the doctor.
func (s *shell) consoleChecks(ctx context.Context) ([]console.Check, error) {
	checks, err := s.examine(ctx)
	out := make([]console.Check, len(checks))
	for i, one := range checks {
		out[i] = console.Check(one)
	}
	return out, err
}

// consoleTrouble says what an error means, with the status for its response.
func (s *shell) consoleTrouble(err error) console.Trouble {
	if errors.Is(err, context.DeadlineExceeded) {
		return console.Trouble{Status: http.StatusServiceUnavailable, Reason: "AWS did not answer in time.", Fix: "Try again in a minute."}
	}
	switch kindOf(err) {
	case passing:
		return console.Trouble{Status: http.StatusServiceUnavailable, Reason: "AWS fails or is out of reach: " + reason(err) + ".",
			Fix: "The stack goes on without the console. Try again in a minute."}
	case session:
		return console.Trouble{Status: http.StatusBadGateway, Reason: "The credentials have expired.", Fix: signIn(err, s.environment("AWS_PROFILE"))}
	case denied:
		return console.Trouble{Status: http.StatusBadGateway, Reason: "The credentials lack a right: " + reason(err) + ".",
			Fix: "Allow it for the credentials with which drover console was started."}
	}
	return console.Trouble{Status: http.StatusBadGateway, Reason: err.Error() + ".", Fix: "drover doctor may say more."}
}

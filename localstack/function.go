package localstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Function is one process of a Lambda function's program. As in Lambda, a runtime API gives it one invocation after the other. Unlike a function of
// the emulator, it shows its output, its duration and its process.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type Function struct {
	command  *exec.Cmd
	server   *http.Server
	next     chan invocation // the program takes one when it asks for work
	answers  chan answer
	ended    chan struct{} // closed when the process has ended
	printing sync.WaitGroup

	mu    sync.Mutex
	lines []string
	count int
}

type invocation struct {
	id    string
	event []byte
	until time.Time
}

type answer struct {
	result []byte
	failed bool
}

// FunctionError holds the error of a function's handler, as the runtime API received it.
type FunctionError struct{ Text string }

func (e *FunctionError) Error() string { return "the function failed: " + e.Text }

// StartFunction starts a program. Its environment contains only the given variables and those that Lambda itself sets.
func StartFunction(program string, environ []string) (*Function, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a runtime API, %w", err)
	}
	f := &Function{command: exec.CommandContext(context.Background(), program), next: make(chan invocation), answers: make(chan answer, 1), ended: make(chan struct{})}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.hand)
	routes.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", f.hear)
	routes.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", f.hear)
	f.server = &http.Server{Handler: routes, ReadHeaderTimeout: time.Minute}
	go func() { _ = f.server.Serve(listener) }()

	f.command.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()}, environ...)
	out, err := f.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s, %w", program, err)
	}
	f.command.Stderr = f.command.Stdout
	if err := f.command.Start(); err != nil {
		_ = f.server.Close()
		return nil, fmt.Errorf("starting %s, %w", program, err)
	}
	f.printing.Go(func() { f.read(out) })
	go func() {
		f.printing.Wait()
		_ = f.command.Wait()
		close(f.ended)
	}()
	return f, nil
}

func (f *Function) read(out io.Reader) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			f.mu.Lock()
			f.lines = append(f.lines, strings.TrimSuffix(line, "\n"))
			f.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (f *Function) hand(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case i := <-f.next:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.until.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:here")
		_, _ = w.Write(i.event)
	}
}

func (f *Function) hear(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		text = []byte(err.Error())
	}
	f.answers <- answer{result: text, failed: err != nil || strings.HasSuffix(r.URL.Path, "/error")}
	w.WriteHeader(http.StatusAccepted)
}

// PID returns the id of the process.
func (f *Function) PID() int { return f.command.Process.Pid }

// Lines returns what the program has printed so far.
func (f *Function) Lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.lines...)
}

// Invoke calls the function once and returns its result. An error of the handler is a [*FunctionError]. Calls run one after the other, as in
// one process of Lambda.
func (f *Function) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	f.count++
	until, bounded := ctx.Deadline()
	if !bounded {
		until = time.Now().Add(time.Minute)
	}
	select {
	case f.next <- invocation{id: fmt.Sprintf("invocation-%d", f.count), event: event, until: until}:
	case <-f.ended:
		return nil, f.lost()
	case <-ctx.Done():
		return nil, fmt.Errorf("the function asks for no work, %w", ctx.Err())
	}
	select {
	case a := <-f.answers:
		if a.failed {
			return nil, &FunctionError{Text: string(a.result)}
		}
		return a.result, nil
	case <-f.ended:
		return nil, f.lost()
	case <-ctx.Done():
		return nil, fmt.Errorf("the function does not answer, %w", ctx.Err())
	}
}

func (f *Function) lost() error {
	return errors.New("the function's process ended: " + strings.Join(f.Lines(), "\n"))
}

// Stop ends the process.
func (f *Function) Stop() error {
	_ = f.command.Process.Kill() // an error means that it has already ended
	<-f.ended
	if err := f.server.Close(); err != nil {
		return fmt.Errorf("stopping the runtime API, %w", err)
	}
	return nil
}

// Package localstack runs the local AWS that tests and the demo use: MiniStack, on its own port. It leaves nothing behind.
//
// It needs a python3 and a working directory within the project's checkout. The first use installs the emulator into .local/venv.
package localstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	// Region names the region of all resources in the emulator.
	Region = "us-east-1"
	// outlives limits how long Stop waits for the end of the log after the supervisor has ended.
	outlives = 5 * time.Second
	// accessKey also serves as the secret key. It may do everything, even if the emulator enforces roles.
	accessKey = "test"
)

// Options configure the emulator. The zero value suits most tests.
type Options struct {
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Auth makes the emulator enforce the roles of functions, and resource policies.
	Auth bool
	// FunctionEndpoint sets the functions' AWS_ENDPOINT_URL, for example to a proxy that injects faults.
	// Empty: the emulator itself.
	FunctionEndpoint string
	// Settings are further settings of the emulator: the README of this folder names the useful ones.
	Settings map[string]string
	// Log receives the emulator's own warnings and errors; it may be nil. The output of functions goes to their log groups.
	Log io.Writer
}

// Emulator is a running local AWS. It ends with Stop, or when this process ends, even by a kill.
type Emulator struct {
	// Endpoint is its URL, http://localhost:<Port>.
	Endpoint string
	Port     int

	supervisor *exec.Cmd
	lifeline   io.Closer // the supervisor's standard input: it ends the emulator when this closes
	folder     string    // where the emulator has its files
	log        *tail
	stop       sync.Once
	stopped    error
}

// Start runs an emulator and returns when it answers, within a minute. ctx bounds only the start, not the life of the emulator.
// The error names a port that is taken. If the emulator does not start, the error contains the end of its log.
func Start(ctx context.Context, options Options) (*Emulator, error) {
	checkout, err := findCheckout()
	if err != nil {
		return nil, err
	}
	python, err := installPython(ctx, checkout)
	if err != nil {
		return nil, err
	}

	e := &Emulator{log: &tail{also: options.Log}}
	command := append([]string{filepath.Join(checkout, "localstack", "emulator.py"), "run"}, options.arguments()...)
	e.supervisor = exec.Command(python, command...) //nolint:noctx // ctx limits only the start
	e.supervisor.Stderr = e.log
	// In its own process group it gets no interrupt from the terminal. This process may still need the emulator then.
	e.supervisor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	e.supervisor.WaitDelay = outlives
	if e.lifeline, err = e.supervisor.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the emulator: %w", err)
	}
	answers, err := e.supervisor.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the emulator: %w", err)
	}
	if err := e.supervisor.Start(); err != nil {
		return nil, fmt.Errorf("starting the emulator: %w", err)
	}
	if err := e.awaitAnswer(ctx, answers); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

func (o Options) arguments() []string {
	arguments := []string{"--port", strconv.Itoa(o.Port)}
	set := func(name, value string) { arguments = append(arguments, "--set", name+"="+value) }
	if o.Auth {
		set("AUTH", "true")
	}
	if o.FunctionEndpoint != "" {
		set("AWS_ENDPOINT_URL", o.FunctionEndpoint)
	}
	for name, value := range o.Settings {
		set(name, value)
	}
	return arguments
}

// awaitAnswer reads the line in which the supervisor reports that the emulator answers, or why it does not.
func (e *Emulator) awaitAnswer(ctx context.Context, answers io.Reader) error {
	var answer struct {
		Endpoint, Folder, Error string
		Port                    int
	}
	read := make(chan error, 1)
	go func() { read <- json.NewDecoder(answers).Decode(&answer) }()
	select {
	case <-ctx.Done():
		return fmt.Errorf("starting the emulator: %w", context.Cause(ctx))
	case err := <-read:
		if err == nil && answer.Error != "" {
			err = errors.New(answer.Error)
		}
		if err != nil {
			return fmt.Errorf("starting the emulator: %w%s", err, e.log)
		}
	}
	e.Endpoint, e.Port, e.folder = answer.Endpoint, answer.Port, answer.Folder
	return nil
}

// Stop ends the emulator and its functions and deletes its files, within seconds. The error reports that the emulator had ended by itself.
// Calling Stop again has no effect.
func (e *Emulator) Stop() error {
	e.stop.Do(func() {
		_ = e.lifeline.Close()
		if err := e.supervisor.Wait(); err != nil && e.Endpoint != "" {
			e.stopped = fmt.Errorf("stopping the emulator: %w%s", err, e.log)
		}
	})
	return e.stopped
}

// Config returns the settings by which SDK clients reach the emulator. The clients cannot reach AWS itself: see Guard.
func (e *Emulator) Config() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(e.Endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, accessKey, ""),
		HTTPClient:   Guard(nil),
	}
}

// Environ returns the environment of this process with the emulator's settings in place of all AWS settings, for programs started by tests.
func (e *Emulator) Environ() []string {
	var environ []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AWS_") {
			environ = append(environ, variable)
		}
	}
	return append(environ,
		"AWS_ENDPOINT_URL="+e.Endpoint, "AWS_REGION="+Region, "AWS_DEFAULT_REGION="+Region,
		"AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+accessKey,
		// No user profile, and no wait for the role of an EC2 instance.
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
}

// tail keeps the end of what is written to it, for error messages.
type tail struct {
	also io.Writer

	mu  sync.Mutex
	end []byte
}

// tailSize limits how much of the emulator's log an error shows, in bytes: a Python traceback fits.
const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if len(t.end) > tailSize {
		t.end = append(t.end[:0], t.end[len(t.end)-tailSize:]...)
	}
	if t.also != nil {
		return t.also.Write(p)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(bytes.TrimSpace(t.end)) == 0 {
		return ""
	}
	return "; the end of its log:\n" + string(t.end)
}

package endtoend

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
)

// checkout leads to the project's top folder: go test runs in the package's.
const checkout = "../.."

// together counts the tests that run side by side. They mostly wait; what they wait for shares two cores on a small machine.
const together = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() { // all of them need a local AWS
		return
	}
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", together); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if err := world.end(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// world holds what all tests share. It starts when the first test asks for it, and ends with the last, or with this process: the
// emulator does not outlive it.
var world surroundings

type surroundings struct {
	once     sync.Once
	err      error
	target   localstack.Target
	emulator *localstack.Emulator // nil where the tests run on what the AWS settings point to
	witness  *witness             // nil there too
	stack    *stack
	workers  map[string]string // the outputs of the stack of workers
}

// stackVariable, if set, makes the tests run where the AWS settings point instead of on an emulator of their own, in stacks of this name and of
// names that begin with it. The program that set it deletes what they leave there.
const stackVariable = "DROVER_TEST_STACK"

// stackName returns the name of a stack: Drover's own has the part "".
func (w *surroundings) stackName(part string) string {
	name := os.Getenv(stackVariable)
	switch {
	case name == "" && part == "":
		return "drover"
	case name == "" || part == "":
		return name + part
	}
	return name + "-" + part
}

// requireWitness skips a test that counts the functions' calls where they pass no witness.
func requireWitness(t *testing.T) {
	t.Helper()
	if world.witness == nil {
		t.Skip("not judged here: it counts what the functions ask of AWS, which only a proxy before a local AWS sees")
	}
}

// begin limits the time to build, start and deploy everything.
const begin = 10 * time.Minute

// shared returns the stack that all tests share.
func shared(t *testing.T) *stack {
	t.Helper()
	world.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), begin)
		defer cancel()
		world.err = world.begin(ctx)
	})
	require.NoError(t, world.err, "the tests have no stack to run on")
	return world.stack
}

func (w *surroundings) begin(ctx context.Context) (err error) {
	installed, err := os.ReadFile(filepath.Join(checkout, ".local", "venv", "installed.json"))
	if err != nil || !bytes.Contains(installed, []byte("requirements-tests.txt")) {
		return errors.New("the local AWS, or what its tests need besides, is not installed in .local/venv: make test sets it up")
	}
	if err := build(ctx); err != nil {
		return err
	}
	if os.Getenv(stackVariable) != "" {
		w.target, err = localstack.Settings(ctx)
	} else {
		err = w.start(ctx)
	}
	if err != nil {
		return err
	}
	if w.stack, err = newStack(ctx, w.target, w.stackName("")); err != nil {
		return err
	}
	if err := w.stack.schema(ctx, "sections", "section", "store"); err != nil {
		return err
	}
	w.workers, err = deploy(ctx, w.target, w.stackName("workers"), "localstack/endtoend/testdata/workers.yaml", "CompletionsQueueArn="+w.stack.out["CompletionsQueueArn"])
	return err
}

// start starts an emulator whose functions reach it through the witness.
func (w *surroundings) start(ctx context.Context) (err error) {
	if w.witness, err = startWitness(); err != nil {
		return err
	}
	w.emulator, err = localstack.Start(ctx, localstack.Options{Auth: true, FunctionEndpoint: w.witness.endpoint})
	if err != nil {
		return err
	}
	w.target = w.emulator
	target, err := url.Parse(w.emulator.Endpoint)
	if err != nil {
		return err
	}
	w.witness.target.Store(target)
	return nil
}

// end stops what was started, and reports late faults: a fact that breaks its schema, an emulator that ended by itself.
func (w *surroundings) end() error {
	var errs []error
	if w.stack != nil {
		errs = append(errs, w.stack.bus.close()...)
	}
	if w.emulator != nil {
		errs = append(errs, w.emulator.Stop())
	}
	if w.witness != nil {
		errs = append(errs, w.witness.server.Close())
	}
	return errors.Join(errs...)
}

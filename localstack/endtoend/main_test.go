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

// together sets how many tests run in parallel. They mostly wait for the emulator, which on a small machine shares two cores with them.
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

// world holds what all tests share. It starts when the first test needs it, and ends with the last test. The emulator does not outlive this process.
var world surroundings

type surroundings struct {
	once     sync.Once
	err      error
	target   localstack.Target
	emulator *localstack.Emulator // nil if the tests run on the target of the AWS settings
	witness  *witness             // nil in that case too
	stack    *stack
	workers  map[string]string // the outputs of the stack of workers
}

// stackVariable, if set, makes the tests run on the target of the AWS settings instead of on their own emulator, in stacks of this name and of names
// that begin with it. The program that sets it deletes what they leave there.
const stackVariable = "DROVER_TEST_STACK"

// stackName returns the name of a stack. The part is "" for Drover's own.
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

// requireWitness skips a test that counts the functions' calls if they do not pass through a witness.
func requireWitness(t *testing.T) {
	t.Helper()
	if world.witness == nil {
		t.Skip("not judged here: it counts the functions' calls, which only the proxy in front of a local AWS sees")
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
		return errors.New("the local AWS or a package that only tests need is missing in .local/venv: to install them, run make test")
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
	w.workers, err = deploy(ctx, w.target, w.stackName("workers"), "localstack/endtoend/testdata/workers.yaml", "CompletionsQueueArn="+w.stack.out["CompletionsQueueArn"],
		"ArchiveBucketName="+w.stack.out["ArchiveBucketName"])
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

// end stops everything that was started, and reports late failures: a fact that violates its schema, or an emulator that ended by itself.
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

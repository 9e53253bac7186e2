package localstack

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"
)

// asOwner names the variable that makes the test program start an emulator, print where it is, and wait to be killed.
const asOwner = "LOCALSTACK_TEST_OWNER"

// within limits how long an immediate effect may take on a busy machine.
const within = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asOwner) == "" {
		os.Exit(m.Run())
	}
	e, err := Start(context.Background(), Options{Log: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("{\"port\": %d, \"folder\": %q}\n", e.Port, e.folder)
	select {}
}

func TestAnEmulatorAnswersAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	e := start(t, Options{})

	_, err := dynamodb.NewFromConfig(e.Config()).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	require.DirExists(t, e.folder)

	require.NoError(t, e.Stop())
	require.False(t, listening(e.Port), "something still listens on port %d", e.Port)
	require.NoDirExists(t, e.folder)
	require.NoError(t, e.Stop(), "stopping again")
}

func TestATakenPortIsRefusedByName(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	port := taken.Addr().(*net.TCPAddr).Port

	_, err = Start(t.Context(), Options{Port: port})

	require.ErrorContains(t, err, fmt.Sprintf("port %d is taken", port))
}

func TestAnEmulatorEndsWithTheProgramThatStartedIt(t *testing.T) {
	t.Parallel()
	skipIfShort(t)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), asOwner+"=1")
	owner.Stderr = os.Stderr
	said, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	var at struct {
		Port   int
		Folder string
	}
	require.NoError(t, json.NewDecoder(said).Decode(&at))
	require.True(t, listening(at.Port))

	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait()

	require.Eventually(t, func() bool {
		_, err := os.Stat(at.Folder)
		return os.IsNotExist(err) && !listening(at.Port)
	}, within, 20*time.Millisecond)
}

func TestABusyFunctionEndsWithTheEmulator(t *testing.T) {
	t.Parallel()
	e := start(t, Options{})
	mark := filepath.Join(t.TempDir(), "pid")
	function(t, e, "busy", `
import os, time
def handler(event, context):
    with open(event["mark"] + ".new", "w") as f: f.write(str(os.getpid()))
    os.rename(event["mark"] + ".new", event["mark"])
    time.sleep(600)
`)
	_, err := lambda.NewFromConfig(e.Config()).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String("busy"), InvocationType: lambdatypes.InvocationTypeEvent, Payload: fmt.Appendf(nil, `{"mark": %q}`, mark)})
	require.NoError(t, err)
	var pid int
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(mark)
		if err == nil {
			pid, err = strconv.Atoi(string(text))
		}
		return err == nil
	}, within, 20*time.Millisecond)

	require.NoError(t, e.Stop())

	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, within, 20*time.Millisecond,
		"process %d of the function still runs", pid)
}

func TestFunctionsGetTheirEndpointAndNothingOfTheCallersEnvironment(t *testing.T) {
	t.Setenv("AWS_PROFILE", "production")
	t.Setenv("SOME_SECRET", "of the caller")
	e := start(t, Options{FunctionEndpoint: "http://localhost:1", Settings: map[string]string{"SOME_SETTING": "7"}})
	function(t, e, "environment", `
import os
def handler(event, context): return dict(os.environ)
`)

	answer, err := lambda.NewFromConfig(e.Config()).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("environment")})

	require.NoError(t, err)
	require.Nil(t, answer.FunctionError, "%s", answer.Payload)
	var environment map[string]string
	require.NoError(t, json.Unmarshal(answer.Payload, &environment))
	require.Equal(t, "http://localhost:1", environment["AWS_ENDPOINT_URL"])
	require.Equal(t, "7", environment["SOME_SETTING"])
	require.NotContains(t, environment, "AWS_PROFILE")
	require.NotContains(t, environment, "SOME_SECRET")
}

func TestProgramsGetTheEmulatorInPlaceOfTheCallersAWS(t *testing.T) {
	t.Setenv("AWS_PROFILE", "production")
	t.Setenv("AWS_SESSION_TOKEN", "of the caller")
	e := &Emulator{Endpoint: "http://localhost:20000"}

	environ := e.Environ()

	require.Contains(t, environ, "AWS_ENDPOINT_URL=http://localhost:20000")
	require.Contains(t, environ, "PATH="+os.Getenv("PATH"))
	require.NotContains(t, environ, "AWS_PROFILE=production")
	require.NotContains(t, environ, "AWS_SESSION_TOKEN=of the caller")
}

// skipIfShort skips a test that starts an emulator, and with it Python, under go test -short.
func skipIfShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a local AWS")
	}
}

func start(t *testing.T, options Options) *Emulator {
	t.Helper()
	skipIfShort(t)
	options.Log = t.Output()
	e, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Stop()) })
	return e
}

func function(t *testing.T, e *Emulator, name, source string) {
	t.Helper()
	var code bytes.Buffer
	archive := zip.NewWriter(&code)
	file, err := archive.Create("index.py")
	require.NoError(t, err)
	_, err = file.Write([]byte(source))
	require.NoError(t, err)
	require.NoError(t, archive.Close())
	_, err = lambda.NewFromConfig(e.Config()).CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(name), Runtime: lambdatypes.RuntimePython312, Handler: aws.String("index.handler"), Timeout: aws.Int32(900),
		Role: aws.String("arn:aws:iam::000000000000:role/none"), Code: &lambdatypes.FunctionCode{ZipFile: code.Bytes()}})
	require.NoError(t, err)
}

func listening(port int) bool {
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return err == nil && connection.Close() == nil
}

package endtoend

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
)

// TestAReleaseArchiveAloneGetsFromAnEmptyFolderToACompletedJob unpacks the archive of this platform into an empty folder, with no other program in reach,
// and follows the README from there. The worker is the user's: it is there before. Times are logged, not judged.
func TestAReleaseArchiveAloneGetsFromAnEmptyFolderToACompletedJob(t *testing.T) {
	if os.Getenv(stackVariable) != "" {
		t.Skip("not judged here: it needs an account without a bucket for artifacts")
	}
	require.NoError(t, built())
	ctx := t.Context()
	release, code := t.TempDir(), t.TempDir()
	processor := filepath.Join(code, runtime.GOARCH)
	require.NoError(t, os.Mkdir(processor, 0o700))
	functions, err := filepath.Abs(filepath.Join(checkout, ".local", "functions"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(functions, filepath.Join(processor, "functions")))
	require.NoError(t, run(ctx, cleanEnviron(os.Environ()), nil, "go", "run", "./infra/release", release, "1.2.3", code, runtime.GOOS+"/"+runtime.GOARCH))
	emulator, err := localstack.Start(ctx, localstack.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, emulator.Stop()) })
	userWorker(t, emulator)

	begun := time.Now()
	step := func(what string) { t.Logf("%5.1f s  %s", time.Since(begun).Seconds(), what) }
	folder := t.TempDir()
	require.NoError(t, run(ctx, os.Environ(), nil, "tar", "-xzf", filepath.Join(release, "drover_1.2.3_"+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz"), "-C", folder))
	step("unpacked")
	drover := func(arguments ...string) (out, errs string) {
		t.Helper()
		command := exec.CommandContext(ctx, filepath.Join(folder, "drover"), arguments...)
		command.Dir = folder
		command.Env = []string{"PATH=", "HOME=" + folder, "AWS_ENDPOINT_URL=" + emulator.Endpoint, "AWS_REGION=" + localstack.Region, "AWS_ACCESS_KEY_ID=test",
			"AWS_SECRET_ACCESS_KEY=test"}
		var said, complained bytes.Buffer
		command.Stdout, command.Stderr = &said, &complained
		require.NoError(t, command.Run(), "drover %s\n%s%s", strings.Join(arguments, " "), &said, &complained)
		return said.String(), complained.String()
	}

	out, errs := drover("deploy", "--yes")
	require.Contains(t, out, "EventBusName ")
	require.Contains(t, errs, "Stack drover is CREATE_COMPLETE.")
	step("drover deploy")
	drover("init")
	drover("apply", "--wire", "--yes", "-f", "labourers.yaml")
	step("drover init, drover apply")
	out, _ = drover("--json", "submit", "--wait", "job.json")
	var job struct {
		State            string
		Total, Completed int
	}
	require.NoError(t, json.Unmarshal([]byte(out), &job))
	require.Equal(t, "completed", job.State)
	require.Equal(t, 6, job.Total)
	require.Equal(t, job.Total, job.Completed)
	step("drover submit --wait: 6 of 6 tasks completed")

	t.Run("again without changes", func(t *testing.T) {
		before := lastChange(t, emulator)
		out, _ := drover("--json", "deploy", "--yes")
		var said struct {
			Changes []any
			Outputs map[string]string
		}
		require.NoError(t, json.Unmarshal([]byte(out), &said))
		require.Empty(t, said.Changes)
		require.NotEmpty(t, said.Outputs["EventBusName"])
		require.Equal(t, before, lastChange(t, emulator), "CloudFormation did nothing")
	})
	t.Run("with another parameter", func(t *testing.T) {
		_, errs := drover("deploy", "--yes", "--parameter", "RetentionDays=7")
		require.Contains(t, errs, "~ SchedulerFunction (AWS::Lambda::Function): Environment\n")
		require.NotContains(t, errs, "TasksTable", "nothing else changes")
		drover("deploy", "--yes", "--parameter", "OldestDueSeconds=7200")
		described, err := cloudformation.NewFromConfig(emulator.Config()).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("drover")})
		require.NoError(t, err)
		values := map[string]string{}
		for _, p := range described.Stacks[0].Parameters {
			values[*p.ParameterKey] = *p.ParameterValue
		}
		require.Equal(t, "7", values["RetentionDays"], "it keeps what was set before")
		require.Equal(t, "7200", values["OldestDueSeconds"])
	})
	t.Run("and the doctor finds the stack well", func(t *testing.T) {
		out, _ := drover("doctor")
		require.Contains(t, out, "like this program")
	})
}

// userWorker creates the function that the labourer of drover init names. It completes every task.
func userWorker(t *testing.T, emulator *localstack.Emulator) {
	t.Helper()
	api := lambda.NewFromConfig(emulator.Config())
	_, err := api.CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: aws.String("some_function"), Runtime: lambdatypes.RuntimeProvidedal2023,
		Handler: aws.String("bootstrap"), Role: aws.String("arn:aws:iam::000000000000:role/any"), Timeout: aws.Int32(30),
		Code: &lambdatypes.FunctionCode{ZipFile: zipped(t, filepath.Join(checkout, ".local", "localstack", "endtoend", "testdata", "worker", "bootstrap"))}})
	require.NoError(t, err)
}

// lastChange returns the id of the stack's newest event.
func lastChange(t *testing.T, emulator *localstack.Emulator) string {
	t.Helper()
	events, err := cloudformation.NewFromConfig(emulator.Config()).DescribeStackEvents(t.Context(), &cloudformation.DescribeStackEventsInput{StackName: aws.String("drover")})
	require.NoError(t, err)
	require.NotEmpty(t, events.StackEvents)
	return *events.StackEvents[0].EventId
}

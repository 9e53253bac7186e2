package endtoend

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
)

// functions lists Drover's functions, with the outputs that hold their names.
var functions = map[string]string{
	"scheduler": "SchedulerFunctionName", "orchestrator": "OrchestratorFunctionName",
	"worker-assistant": "WorkerAssistantFunctionName", "scavenger": "ScavengerFunctionName",
}

// faulty names the folder of the functions that are built with injected faults. Only these tests deploy them.
const faulty = ".local/localstack/endtoend/faults"

// built remembers whether the deployed programs could be built.
var built = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), begin)
	defer cancel()
	return build(ctx)
})

var buildFaulty = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), begin)
	defer cancel()
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		environ := append(cleanEnviron(os.Environ()), "CGO_ENABLED=0", "GOOS=linux")
		err := run(ctx, environ, nil, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc faults", "-ldflags", "-s -w",
			"-o", filepath.Join(faulty, name, "bootstrap"), "./functions/"+name)
		if err != nil {
			return err
		}
	}
	return nil
})

// ordeal is a stack on its own local AWS, because its faults would disturb other tests, with the jobs that run on it.
type ordeal struct {
	*stack
	workers map[string]string
	seed    uint64
	mark    string // in the environment of the functions' processes

	labourers []string
	jobs      map[string]int // by id: the number of tasks
	desk      *clerk
}

// The times of labourers whose attempts have to expire soon.
const (
	ordealDuration = 5 * time.Second
	ordealCooldown = 3 * time.Second
)

// newOrdeal deploys a stack whose functions meet the faults of this plan. An empty plan deploys the normal functions. Timeouts that are minutes in
// production, so that nothing is given up too soon, are seconds here.
func newOrdeal(t *testing.T, seed uint64, plan string) *ordeal {
	t.Helper()
	require.NoError(t, built())
	o := &ordeal{seed: seed, jobs: map[string]int{}, mark: fmt.Sprintf("%d-%d-%d", os.Getpid(), seed, time.Now().UnixNano())}
	ctx, cancel := context.WithTimeout(t.Context(), begin)
	defer cancel()
	emulator, err := localstack.Start(ctx, localstack.Options{Auth: true, Settings: map[string]string{"DROVER_FAULTS": plan, "DROVER_ORDEAL": o.mark}})
	require.NoError(t, err)
	t.Cleanup(func() {
		if o.stack != nil {
			require.Empty(t, o.bus.close())
		}
		require.NoError(t, emulator.Stop())
	})
	o.stack, err = newStack(ctx, emulator, "drover")
	require.NoError(t, err)
	require.NoError(t, o.schema(ctx, "sections", "section"))
	o.workers, err = deploy(ctx, emulator, "workers", "localstack/endtoend/testdata/workers.yaml", "CompletionsQueueArn="+o.out["CompletionsQueueArn"],
		"ArchiveBucketName="+o.out["ArchiveBucketName"])
	require.NoError(t, err)
	if plan != "" {
		require.NoError(t, buildFaulty())
		for name, output := range functions {
			code := zipped(t, filepath.Join(checkout, faulty, name, "bootstrap"))
			_, err := o.lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: aws.String(o.out[output]), ZipFile: code})
			require.NoError(t, err)
		}
	}
	// The lock of a dead scheduler on its job lasts for the function's timeout and a minute. The message's five deliveries have to outlast it, also if it
	// was a second delivery that took the lock and died.
	_, err = o.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String(o.out["SchedulerFunctionName"]), Timeout: aws.Int32(10)})
	require.NoError(t, err)
	for output, seconds := range map[string]string{"JobsQueueUrl": "30", "CompletionsQueueUrl": "5"} {
		_, err := o.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(o.out[output]),
			Attributes: map[string]string{"VisibilityTimeout": seconds}})
		require.NoError(t, err)
	}
	return o
}

func zipped(t *testing.T, program string) []byte {
	t.Helper()
	code, err := os.ReadFile(program)
	require.NoError(t, err)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	header.SetMode(0o755)
	file, err := z.CreateHeader(header)
	require.NoError(t, err)
	_, err = file.Write(code)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return out.Bytes()
}

// complaints returns the last errors that the functions logged, for the message of a wait that failed.
func (o *ordeal) complaints(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for name, output := range functions {
		function, err := o.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(o.out[output])})
		require.NoError(t, err)
		var lines []string
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(o.logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: function.LoggingConfig.LogGroup})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			require.NoError(t, err)
			for _, line := range page.Events {
				text := aws.ToString(line.Message)
				if strings.HasPrefix(text, "{") && !strings.Contains(text, `"error":null`) && !strings.Contains(text, `"Errors":null`) {
					lines = append(lines, strings.TrimSpace(text))
				}
			}
		}
		fmt.Fprintf(&out, "%s logged %d errors, the last of them:\n", name, len(lines))
		for _, line := range lines[max(0, len(lines)-8):] {
			fmt.Fprintf(&out, "  %s\n", line)
		}
	}
	return out.String()
}

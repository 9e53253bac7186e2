package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/examples/local"
	"github.com/drover-run/drover/examples/weather/data"
	"github.com/drover-run/drover/examples/workflow"
	stacks "github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/inspect"

	"github.com/drover-run/drover/localstack"
)

// The files of the example, from the project's folder.
const (
	folder      = "examples/workflow/"
	definitions = folder + "climate.yaml"
	metadata    = folder + "metadata.json"
	scale       = folder + workflow.Scale
	program     = ".local/examples/workflow/worker/bootstrap"
)

const (
	name = "climate report" // of the workflow
	uid  = "seattle-2014"   // of the runs
)

// demo is one run of the demo, from an empty machine to the report.
type demo struct {
	screen  *local.Screen
	started time.Time

	order    workflow.Order
	emulator *localstack.Emulator
	stack    stacks.Stack
}

func (d *demo) run(ctx context.Context) error {
	for _, built := range []string{local.CommandLine, program} {
		if _, err := os.Stat(built); err != nil {
			return fmt.Errorf("%w; run make demo-workflow in the project's folder, which builds it", err)
		}
	}
	text, err := os.ReadFile(metadata)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &d.order); err != nil {
		return fmt.Errorf("%s: %w", metadata, err)
	}
	expected, err := reports(d.order)
	if err != nil {
		return err
	}

	d.screen.Say("Drover on a local AWS: a workflow that reports on the weather of Seattle in %d.\n", d.order.Year)
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"Starting a local AWS", d.start},
		{"Deploying infra/template.yaml as stack " + local.StackName, d.deploy},
		{"Uploading the data, creating the worker of all plugins", d.createWorker},
	} {
		if err := d.screen.Step(step.what, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	if err := d.apply(ctx); err != nil {
		return err
	}
	if err := d.drover(ctx, "workflow", "explain", name, "--metadata", metadata); err != nil {
		return err
	}

	if _, err := d.perform(ctx, first, expected[0], "--metadata", metadata); err != nil {
		return err
	}
	d.screen.Say("\nThe optional plugin wind failed: the scale of wind forces is not in the bucket. The report lacks a section.\nMending: %s goes to s3://%s/%s.",
		scale, d.order.Bucket, workflow.Scale)
	if err := d.put(ctx, workflow.Scale, scale); err != nil {
		return err
	}
	d.screen.Say("Another start of the same uid is a re-run: what was Complete stays so, wind runs again, and the report is written again.")
	id, err := d.perform(ctx, second, expected[1])
	if err != nil {
		return err
	}
	if err := d.drover(ctx, "workflow", "graph", name, "--run", id); err != nil {
		return err
	}
	d.screen.Say("\nEvery state and both reports are right, after %s. The demo now ends the local AWS and deletes its files.", local.Seconds(time.Since(d.started)))
	return nil
}

// end stops everything that was started.
func (d *demo) end() error {
	d.screen.Settle()
	if d.emulator == nil {
		return nil
	}
	return d.emulator.Stop()
}

func (d *demo) start(ctx context.Context) (err error) {
	d.emulator, err = localstack.Start(ctx, localstack.Options{})
	return err
}

func (d *demo) deploy(ctx context.Context) (err error) {
	if d.stack, err = local.Deploy(ctx, d.emulator); err != nil {
		return err
	}
	return d.stack.Require("CompletionsQueueArn", "WorkflowStateMachineArn")
}

//go:embed worker.yaml
var workerTemplate string

// code names the object with the worker's program.
const code = "climate.zip"

func (d *demo) createWorker(ctx context.Context) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	zipped, err := local.Zipped("bootstrap", binary)
	if err != nil {
		return err
	}
	if err := local.Upload(ctx, d.emulator, d.order.Bucket, map[string][]byte{code: zipped, d.order.Key: data.CSV}); err != nil {
		return err
	}
	return local.CreateStack(ctx, d.emulator, "climate", workerTemplate, map[string]string{
		"Bucket": d.order.Bucket, "Code": code, "CompletionsQueueArn": d.stack.Outputs["CompletionsQueueArn"], "Architecture": local.Architecture(),
	})
}

// apply applies the definitions, and makes Lambda report a worker that crashes. On a new stack everything changes, so only the last line of the
// output is shown, which sums it up.
func (d *demo) apply(ctx context.Context) error {
	arguments := []string{"apply", "--wire", "-f", definitions}
	d.screen.Say("\n$ %s", shown(arguments))
	said, err := local.Drover(ctx, d.emulator, arguments...)
	d.screen.Say("%s", said[strings.LastIndexByte(said, '\n')+1:])
	return err
}

// drover shows a command, runs it, and shows what it printed.
func (d *demo) drover(ctx context.Context, arguments ...string) error {
	d.screen.Say("\n$ %s", shown(arguments))
	said, err := local.Drover(ctx, d.emulator, arguments...)
	if said != "" {
		d.screen.Say("%s", said)
	}
	return err
}

// shown returns a command as it is typed.
func shown(arguments []string) string {
	words := []string{"drover"}
	for _, a := range arguments {
		if strings.Contains(a, " ") {
			a = `"` + a + `"`
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// perform starts a run, shows its tree and its report, and compares both with what is expected. It returns the run's id.
func (d *demo) perform(ctx context.Context, states states, report string, options ...string) (string, error) {
	start := append([]string{"workflow", "start", name, "--uid", uid}, options...)
	if err := d.drover(ctx, append(start, "--wait")...); err != nil {
		return "", err
	}
	run, err := d.newest(ctx)
	if err != nil {
		return "", err
	}
	written, err := d.get(ctx, "reports/"+uid+".md")
	if err != nil {
		return "", err
	}
	d.screen.Say("\ns3://%s/reports/%s.md:\n\n%s", d.order.Bucket, uid, strings.TrimSpace(written))
	return run.RunID, errors.Join(states.check(run), same(written, report))
}

// newest returns the newest run.
func (d *demo) newest(ctx context.Context) (tree inspect.RunTree, err error) {
	said, err := local.Drover(ctx, d.emulator, "--json", "workflow", "runs", "--workflow", name, "--uid", uid)
	if err != nil {
		return tree, err
	}
	var line inspect.Run
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&line); err != nil {
		return tree, fmt.Errorf("reading the runs: %w", err)
	}
	if said, err = local.Drover(ctx, d.emulator, "--json", "workflow", "run", line.RunID); err != nil {
		return tree, err
	}
	if err := json.Unmarshal([]byte(said), &tree); err != nil {
		return tree, fmt.Errorf("reading run %s: %w", line.RunID, err)
	}
	return tree, nil
}

func (d *demo) put(ctx context.Context, key, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := s3.NewClient(d.emulator.Config()).PutObject(ctx, &awss3.PutObjectInput{Bucket: &d.order.Bucket, Key: &key, Body: bytes.NewReader(text)}); err != nil {
		return fmt.Errorf("uploading s3://%s/%s: %w", d.order.Bucket, key, err)
	}
	return nil
}

func (d *demo) get(ctx context.Context, key string) (string, error) {
	object, err := s3.NewClient(d.emulator.Config()).GetObject(ctx, &awss3.GetObjectInput{Bucket: &d.order.Bucket, Key: aws.String(key)})
	if err != nil {
		return "", fmt.Errorf("reading s3://%s/%s: %w", d.order.Bucket, key, err)
	}
	defer func() { _ = object.Body.Close() }()
	text, err := io.ReadAll(object.Body)
	return string(text), err
}

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/examples/local"
	stacks "github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/worker"

	"github.com/drover-run/drover/localstack"
)

const (
	reports  = "reports"
	tasks    = 600             // more than the demo runs
	lasts    = 8 * time.Second // a task
	most     = 60              // tasks at once that the worker takes: the most that the cap may be
	glance   = 2 * time.Second // between two lines
	misses   = 5               // looks in a row that may fail: a busy machine answers late
	settles  = 12 * time.Second
	patience = 4 * time.Minute
)

// demo is one run of the demo, from an empty machine to the knee.
type demo struct {
	screen  *local.Screen
	changes int
	started time.Time

	folder   string
	queue    string
	emulator *localstack.Emulator
	stack    stacks.Stack
	database database
}

func (d *demo) run(ctx context.Context) (err error) {
	if _, err := os.Stat(local.CommandLine); err != nil {
		return fmt.Errorf("%w; run make demo-cap in the project's folder, which builds it", err)
	}
	if d.folder, err = os.MkdirTemp("", "demo-cap"); err != nil {
		return err
	}
	d.screen.Say("Drover on a local AWS: a labourer whose cap is to hold a database's latency at %d ms.\n", target.Milliseconds())
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"Starting a local AWS", d.start},
		{"Deploying infra/template.yaml as stack " + local.StackName, d.deploy},
		{"Applying the labourer, submitting a job of " + inspect.Count(tasks, "task"), d.submit},
	} {
		if err := d.screen.Step(step.what, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	d.screen.Say("\nEach task queries the database for %s. The more tasks do that at once, the slower it is. Drover is not told how much slower.\n", lasts)
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.work(working) }()
	err = d.follow(ctx)
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		return err
	}
	return d.conclude(ctx)
}

// end stops everything that was started.
func (d *demo) end() error {
	d.screen.Settle()
	var err error
	if d.emulator != nil {
		err = d.emulator.Stop()
	}
	if d.folder != "" {
		err = errors.Join(err, os.RemoveAll(d.folder))
	}
	return err
}

func (d *demo) start(ctx context.Context) (err error) {
	d.emulator, err = localstack.Start(ctx, localstack.Options{})
	return err
}

func (d *demo) deploy(ctx context.Context) (err error) {
	if d.stack, err = local.Deploy(ctx, d.emulator); err != nil {
		return err
	}
	return d.stack.Require("OrchestrateStateMachineArn")
}

//go:embed labourers.yaml
var labourers string

func (d *demo) submit(ctx context.Context) error {
	q, err := sqs.NewFromConfig(d.emulator.Config()).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(reports)})
	if err != nil {
		return fmt.Errorf("creating the queue: %w", err)
	}
	d.queue = aws.ToString(q.QueueUrl)
	numbers := make([]int, tasks)
	for i := range numbers {
		numbers[i] = i
	}
	job, err := json.Marshal(map[string]any{"job_id": "all-reports", "labourer": reports, "reports": numbers, "isolate_reports": true})
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"labourers.yaml": strings.Replace(labourers, "QUEUE", d.queue, 1), "job.json": string(job)} {
		if err := os.WriteFile(filepath.Join(d.folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if _, err := local.Drover(ctx, d.emulator, "apply", "-f", filepath.Join(d.folder, "labourers.yaml")); err != nil {
		return err
	}
	_, err = local.Drover(ctx, d.emulator, "submit", filepath.Join(d.folder, "job.json"))
	return err
}

// work takes tasks from the queue and queries the database, as a worker.
func (d *demo) work(ctx context.Context) error {
	queue := sqs.NewFromConfig(d.emulator.Config())
	return worker.Poll(ctx, d.queue, most, func(ctx context.Context, _ worker.Task) (any, error) {
		return nil, d.database.work(ctx, lasts)
	}, worker.WithQueue(queue), worker.Drain(0), worker.Logger(slog.New(slog.DiscardHandler)))
}

// follow draws the cap and the latency until the cap has changed often enough.
func (d *demo) follow(ctx context.Context) error {
	began, last, missed := time.Now(), 0, 0
	var latency time.Duration
	var changed time.Time
	beat := time.NewTicker(glance)
	defer beat.Stop()
	for changes := 0; changes < d.changes || time.Since(changed) < settles; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
		}
		var seen inspect.Labourer
		var err error
		if now, measured := d.database.look(); measured {
			latency = now
			err = d.measure(ctx, latency)
		}
		if err == nil {
			seen, err = d.look(ctx)
		}
		if err != nil {
			if missed++; missed == misses || ctx.Err() != nil {
				return err
			}
			continue
		}
		missed = 0
		if now := int(seen.Cap); now != last && seen.CapChangedAt != nil {
			if last != 0 {
				changes, changed = changes+1, time.Now()
			}
			last = now
			d.screen.Say("        the cap is %d: %s", now, seen.CapReason)
		}
		d.screen.Say("%s", drawn(time.Since(began), last, seen.Running, latency))
		if time.Since(began) > patience {
			return fmt.Errorf("the cap has changed %d times in %s; want %d", changes, patience, d.changes)
		}
	}
	return nil
}

// measure puts the latency into CloudWatch, as the owner of a database would.
func (d *demo) measure(ctx context.Context, latency time.Duration) error {
	_, err := cloudwatch.NewFromConfig(d.emulator.Config()).PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("Toy"),
		MetricData: []types.MetricDatum{{MetricName: aws.String("Latency"), Unit: types.StandardUnitMilliseconds, Value: aws.Float64(float64(latency) / float64(time.Millisecond)),
			Timestamp: aws.Time(time.Now()), StorageResolution: aws.Int32(1)}}})
	if err != nil {
		return fmt.Errorf("putting the latency: %w", err)
	}
	return nil
}

// look lets the orchestrator decide, as the tick does each minute, and returns the labourer as the command line shows it.
func (d *demo) look(ctx context.Context) (seen inspect.Labourer, err error) {
	_, err = sfn.NewFromConfig(d.emulator.Config()).StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(d.stack.Outputs["OrchestrateStateMachineArn"]), Input: aws.String(`{"labourers": ["` + reports + `"]}`)})
	if err != nil {
		return seen, fmt.Errorf("starting the orchestrator: %w", err)
	}
	said, err := local.Drover(ctx, d.emulator, "--json", "labourer", reports)
	if err != nil {
		return seen, err
	}
	if err := json.Unmarshal([]byte(said), &seen); err != nil {
		return seen, fmt.Errorf("reading the labourer: %w", err)
	}
	return seen, nil
}

// conclude shows the changes of the cap.
func (d *demo) conclude(ctx context.Context) error {
	d.screen.Say("\n$ drover labourer %s --caps", reports)
	said, err := local.Drover(ctx, d.emulator, "labourer", reports, "--caps")
	if err != nil {
		return err
	}
	d.screen.Say("%s\n\nAt %.0f queries at once the database takes %d ms: that is the knee. The demo took %s, and now ends the local AWS and deletes its files.", said, knee,
		target.Milliseconds(), local.Seconds(time.Since(d.started)))
	return nil
}

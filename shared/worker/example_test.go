package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/worker"
)

// countWords is a complete worker: a user writes only this function.
func countWords(_ context.Context, task worker.Task) (any, error) {
	var payload struct {
		Text string `json:"text"`
	}
	if err := task.Decode(&payload); err != nil {
		return nil, err // BadInput, permanently
	}
	if payload.Text == "" {
		return nil, worker.Permanent(worker.Errorf("NoText", "text is empty; want some words"))
	}
	words := strings.Fields(payload.Text)
	task.Stats("bytes", len(payload.Text))
	return map[string]int{"words": len(words)}, nil
}

// The main function of a Lambda is one line. (Nothing starts it outside of Lambda, so the example passes an event to its handler, and prints the
// messages that it would send to SQS.)
func ExampleStart() {
	main := func() { worker.Start(countWords) }
	_ = main

	handler := worker.Handler(countWords, worker.WithSender(printer{}), worker.Logger(slog.New(slog.DiscardHandler)))
	for _, text := range []string{"to be or not to be", ""} {
		event := fmt.Sprintf(`{"text": %q, "task_id": "abc.7", "drover": {"version": 1, "task_id": "abc.7", "job_id": "hamlet", "labourer_id": "counter",
			"attempt": 1, "deadline": "2999-01-01T00:00:00Z", "completions_url": "https://sqs.eu-west-1.amazonaws.com/000000000000/completions"}}`, text)
		if _, err := handler.Invoke(context.Background(), []byte(event)); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// {"version":1,"task_id":"abc.7","attempt":1,"status":"completed","result":{"words":6},"stats":{"bytes":18}}
	// {"version":1,"task_id":"abc.7","attempt":1,"status":"failed","error":{"type":"NoText","message":"text is empty; want some words"},"retryable":false}
}

type printer struct{}

func (printer) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	fmt.Println(*in.MessageBody)
	return &sqs.SendMessageOutput{}, nil
}

// A container receives its tasks from a queue until SIGTERM. It lets running tasks end before it stops.
func ExamplePoll() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	queue := newFakeSQS() // instead of the client that Poll makes from the environment
	queue.put(event("abc.7", 1, time.Now().Add(time.Hour), `"text":"to be or not to be",`))
	work := func(ctx context.Context, task worker.Task) (any, error) {
		defer func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) }() // as ECS does to replace the container
		return countWords(ctx, task)
	}

	err := worker.Poll(ctx, tasksURL, 10, work, worker.WithQueue(queue), worker.Logger(slog.New(slog.DiscardHandler)))

	fmt.Println("ended with", err)
	fmt.Println(queue.sent[0].body)
	// Output:
	// ended with <nil>
	// {"version":1,"task_id":"abc.7","attempt":1,"status":"completed","result":{"words":6},"stats":{"bytes":18}}
}

// With `heartbeat: 60s` in the labourer's configuration, Drover counts a silent worker as lost. In addition to the regular
// heartbeats a worker can send one before a long step.
func ExampleTask_Heartbeat() {
	export := func(ctx context.Context, task worker.Task) (any, error) {
		for range 3 {
			if err := task.Heartbeat(ctx); err != nil {
				return nil, err
			}
			// … a long step …
		}
		return nil, nil
	}
	_ = func() { worker.Start(export, worker.HeartbeatEvery(20*time.Second)) }
}

// A test of a worker runs its function like Drover, and reads the completion that it would send.
func ExampleHandler() {
	fetch := func(_ context.Context, task worker.Task) (any, error) {
		if task.Attempt == 1 {
			return nil, worker.RetryAfter(worker.Errorf("Busy", "the server asks to wait"), 30*time.Second)
		}
		return "done", nil
	}
	handler := worker.Handler(fetch, worker.WithSender(discard{}), worker.Logger(slog.New(slog.DiscardHandler)))
	for attempt := 1; attempt <= 2; attempt++ {
		event := fmt.Sprintf(`{"drover": {"version": 1, "task_id": "abc.7", "job_id": "nightly", "labourer_id": "fetch", "attempt": %d,
			"deadline": "2999-01-01T00:00:00Z", "completions_url": "https://sqs.eu-west-1.amazonaws.com/000000000000/completions"}}`, attempt)
		completion, err := handler.Invoke(context.Background(), []byte(event))
		fmt.Println(string(completion), err)
	}
	// Output:
	// {"version":1,"task_id":"abc.7","attempt":1,"status":"failed","error":{"type":"Busy","message":"the server asks to wait"},"retryable":true,"retry_after":"30s"} <nil>
	// {"version":1,"task_id":"abc.7","attempt":2,"status":"completed","result":"done"} <nil>
}

type discard struct{}

func (discard) SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return &sqs.SendMessageOutput{}, nil
}

// One program serves several plugins of a workflow. A plugin gets the run's metadata and what the plugins before it returned.
func ExamplePlugins() {
	checkStock := func(_ context.Context, task worker.Task) (any, error) {
		var order struct{ Pieces int }
		if err := task.DecodeMetadata(&order); err != nil {
			return nil, err
		}
		return map[string]int{"left": 10 - order.Pieces}, nil
	}
	notify := func(_ context.Context, task worker.Task) (any, error) {
		var stock struct{ Left int }
		if found, err := task.Results.Decode("validate", "check_stock", &stock); err != nil || !found {
			return nil, err
		}
		return fmt.Sprintf("%s, run %d of %s: %d left", task.Workflow, task.Run, task.UID, stock.Left), nil
	}
	program := worker.Plugins(map[string]worker.Func{"check_stock": checkStock, "notify": notify})
	main := func() { worker.Start(program) }
	_ = main

	handler := worker.Handler(program, worker.WithSender(printer{}), worker.Logger(slog.New(slog.DiscardHandler)))
	for _, plugin := range []string{
		`"activity": "validate", "plugin": "check_stock", "results": {}`,
		`"activity": "ship", "plugin": "notify", "results": {"validate": {"check_stock": {"left": 3}}}`,
	} {
		event := fmt.Sprintf(`{"uid": "order-7", "workflow": "order intake", "run": 1, "run_id": "run-a", "stage": "parallel", "metadata": {"pieces": 7}, %s,
			"drover": {"version": 1, "task_id": "abc.0", "job_id": "run-a", "labourer_id": "shop", "attempt": 1, "deadline": "2999-01-01T00:00:00Z",
			"completions_url": "https://sqs.eu-west-1.amazonaws.com/000000000000/completions"}}`, plugin)
		if _, err := handler.Invoke(context.Background(), []byte(event)); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// {"version":1,"task_id":"abc.0","attempt":1,"status":"completed","result":{"left":3}}
	// {"version":1,"task_id":"abc.0","attempt":1,"status":"completed","result":"order intake, run 1 of order-7: 3 left"}
}

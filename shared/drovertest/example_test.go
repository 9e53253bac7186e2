package drovertest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/worker"
)

// A job has three tasks: one fails at its first attempt, and one can never succeed.
func ExampleNew() {
	drover := drovertest.New()
	err := drover.Apply(`
labourers:
  resize:
    target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:resize"}
    max_simultaneous_invocations: 2
job_schemas:
  default: {chunkable_attrs: [[image, {}]]}
`)
	if err != nil {
		fmt.Println(err)
	}
	err = drover.Worker("resize", 20*time.Second, func(_ context.Context, t worker.Task) (any, error) {
		var payload struct{ Images []string }
		if err := t.Decode(&payload); err != nil {
			return nil, err
		}
		switch image := payload.Images[0]; {
		case image == "torn.png":
			return nil, worker.Permanent(errors.New("not an image"))
		case image == "far.png" && t.Attempt == 1:
			return nil, errors.New("connection reset")
		}
		return map[string]int{"bytes": 1024}, nil
	})
	if err != nil {
		fmt.Println(err)
	}

	id := drover.Submit(`{"job_id": "album-1", "labourer": "resize", "images": ["near.png", "far.png", "torn.png"], "isolate_images": true}`)
	if err := drover.Run(); err != nil {
		fmt.Println(err)
	}

	job, _, _ := drover.Job(id)
	fmt.Println(job.State, job.Counts.Completed, "completed,", job.Counts.Dead, "dead")
	tasks, _ := drover.Tasks(id)
	for _, t := range tasks {
		fmt.Printf("%s %s after %d\n", t.Payload, t.Status, t.Attempt)
	}
	// Output:
	// completed 2 completed, 1 dead
	// {"isolate_images":true,"images":["near.png"]} completed after 1
	// {"isolate_images":true,"images":["far.png"]} completed after 2
	// {"isolate_images":true,"images":["torn.png"]} dead after 1
}

// A paused labourer starts nothing: its due tasks wait until it is resumed.
func ExampleDrover_Pause() {
	drover := drovertest.New()
	err := errors.Join(
		drover.Apply(`labourers: {mail: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:mail"}, max_simultaneous_invocations: 1}}`),
		drover.Worker("mail", time.Second, func(context.Context, worker.Task) (any, error) { return "sent", nil }))
	if err != nil {
		fmt.Println(err)
	}
	if err := drover.Pause("mail"); err != nil {
		fmt.Println(err)
	}
	id := drover.Submit(`{"job_id": "letter", "labourer": "mail"}`)

	for _, step := range []func(string) error{drover.Pause, drover.Resume} {
		if err := errors.Join(step("mail"), drover.Run()); err != nil {
			fmt.Println(err)
		}
		job, _, _ := drover.Job(id)
		fmt.Println(job.State, job.Counts.Completed, "completed")
	}
	// Output:
	// scheduled 0 completed
	// completed 1 completed
}

// A workflow runs like a job: its plugins are workers, and a run ends in milliseconds.
func ExampleDrover_StartWorkflow() {
	drover := drovertest.New()
	err := errors.Join(
		drover.Apply(`
labourers: {shop: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:shop"}, max_attempts: 1}}
workflows: {order intake: {activities: [validate, ship]}}
plugins:
  check_stock: {activity: validate, stage: parallel, labourer: shop}
  check_vat: {activity: validate, stage: parallel, labourer: shop, filter: {country: [AT, DE]}}
  label: {activity: ship, stage: pre, labourer: shop}`),
		drover.Worker("shop", time.Second, worker.Plugins(map[string]worker.Func{
			"check_stock": func(context.Context, worker.Task) (any, error) { return map[string]int{"left": 3}, nil },
			"label": func(_ context.Context, task worker.Task) (any, error) {
				var stock struct{ Left int }
				_, err := task.Results.Decode("validate", "check_stock", &stock)
				return fmt.Sprintf("%s, %d left", task.UID, stock.Left), err
			},
		})))
	if err != nil {
		fmt.Println(err)
	}

	id := drover.StartWorkflow(`{"workflow": "order intake", "uid": "order-7", "metadata": {"country": "CH"}}`)
	if err := drover.Run(); err != nil {
		fmt.Println(err)
	}

	run, _ := drover.Workflow(id)
	fmt.Println(run.State)
	validate, ship := run.Activities[0], run.Activities[1]
	fmt.Println("check_stock:", validate.Parallel.Mandatory["check_stock"].State)
	fmt.Println("check_vat:", validate.Parallel.Mandatory["check_vat"].State)
	fmt.Println("label:", ship.Pre.Mandatory["label"].State, string(ship.Pre.Mandatory["label"].Result))
	// Output:
	// Complete
	// check_stock: Complete
	// check_vat: Skipped
	// label: Complete "order-7, 3 left"
}

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

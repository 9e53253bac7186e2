package job_test

import (
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/job"
)

func Example() {
	j, err := job.Parse([]byte(`{"labourer": "shop", "sections": {"a": {"stores": ["x", "y"], "note": 1}, "b": null}, "isolate_stores": true}`))
	if err != nil {
		panic(err)
	}
	plan, err := j.Plan(job.Schema{ChunkableAttrs: []string{"section", "store"}}, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	for k := range plan.Len() {
		payload, err := plan.Payload(k)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(payload))
	}
	// Output:
	// {"isolate_stores":true,"sections":["a"],"note":1,"stores":["x"]}
	// {"isolate_stores":true,"sections":["a"],"note":1,"stores":["y"]}
	// {"isolate_stores":true,"sections":["b"]}
}

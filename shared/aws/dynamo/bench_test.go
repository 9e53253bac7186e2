package dynamo

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// BenchmarkTask encodes a task as it is stored, and decodes it, with small payloads and large ones.
func BenchmarkTask(b *testing.B) {
	for _, size := range []int{200, 4 << 10, 50 << 10} {
		var payload bytes.Buffer
		payload.WriteString(`{"stores": [`)
		for i := 0; payload.Len() < size; i++ {
			if i > 0 {
				payload.WriteByte(',')
			}
			fmt.Fprintf(&payload, `"store-%d"`, i*7919)
		}
		payload.WriteString(`]}`)
		one := task.Task{ID: task.ID{Segment: segment.IDOf("nightly", 1), N: 17}, Labourer: "shop", JobID: "nightly", CreatedAt: time.UnixMilli(1e12), Payload: payload.Bytes()}
		it, err := taskItem(one, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("encode %d bytes", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := taskItem(one, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("decode %d bytes", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readTask(it); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package job_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/job"
)

// million returns a job of 100 days times 10,000 values.
func million() string {
	var values strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&values, `,"store-%d"`, i)
	}
	return `{"labourer": "w", "period": "last_100_days", "isolate_days": true, "isolate_stores": true, "note": {"k": [1, 2, 3]}, "sections": {"a": {"stores": [` + values.String()[1:] + `]}}}`
}

func BenchmarkPlanOfAMillionTasks(b *testing.B) {
	text := []byte(million())
	for b.Loop() {
		j, err := job.Parse(text)
		require.NoError(b, err)
		plan, err := j.Plan(shop, noon)
		require.NoError(b, err)
		require.Equal(b, 1_000_000, plan.Len())
	}
}

func BenchmarkPayloadOfAMillionTasks(b *testing.B) {
	plan := planOf(b, million(), shop, noon)
	k := 0
	for b.Loop() {
		if _, err := plan.Payload(k % plan.Len()); err != nil {
			b.Fatal(err)
		}
		k += 7919 // a prime, so that successive tasks are far apart
	}
}

func TestAPlanNeedsMemoryForItsTextAndNotForItsTasks(t *testing.T) {
	before, after := runtime.MemStats{}, runtime.MemStats{}
	text := million()
	runtime.GC()
	runtime.ReadMemStats(&before)
	plan := planOf(t, text, shop, noon)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Equal(t, 1_000_000, plan.Len())
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	require.Less(t, held, int64(20*len(text)), "a plan of %d tasks from %d bytes", plan.Len(), len(text))
	runtime.KeepAlive(plan)
}

// BenchmarkParse reads an ordinary job, as it comes in an event.
func BenchmarkParse(b *testing.B) {
	text := []byte(`{"job_id": "orders-2026-11-22", "labourer": "w", "period": "last_3_days", "isolate_days": true, "isolate_stores": true, "currency": "EUR",
		"sections": {"north": {"stores": ["a", "b"]}, "south": {"stores": ["c"]}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

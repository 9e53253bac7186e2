package drovertest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shapes are the five loads without failures, with fewer tasks.
var shapes = []load{
	{name: "cap 1, 1 s", limit: 1, tasks: 300, takes: time.Second},
	{name: "cap 12, 5 s", limit: 12, tasks: 1000, takes: 5 * time.Second},
	{name: "cap 100, 30 s", limit: 100, tasks: 2000, takes: 30 * time.Second},
	{name: "cap 100, 1 s", limit: 100, tasks: 4000, takes: time.Second},
	{name: "lockstep: cap 256, 1 s", limit: 256, tasks: 4096, takes: time.Second, evenly: true},
}

// mostFor4KB limits what a task with a payload of 4 KB costs, as a multiple of one without.
const mostFor4KB = 2

// TestTheCostOfEachShapeWithSomethingElse counts the five shapes with failures, a queue as target, a health metric, and payloads.
func TestTheCostOfEachShapeWithSomethingElse(t *testing.T) {
	if testing.Short() {
		t.Skip("takes fifteen seconds")
	}
	var out strings.Builder
	for _, shape := range shapes {
		alone := 0.0
		for _, c := range []struct {
			name   string
			change func(*load)
		}{
			{"alone", func(*load) {}},
			{"a fifth of the first attempts fails", func(l *load) { l.fails = 0.2 }},
			{"a queue as target", func(l *load) { l.queue = true }},
			{"a health metric", func(l *load) { l.metric = true }},
			{"a payload of 4 KB", func(l *load) { l.payload = 4 << 10 }},
			{"a payload of 50 KB", func(l *load) { l.payload, l.tasks = 50<<10, l.tasks/4 }},
		} {
			l := shape
			c.change(&l)
			m := measured(t, l)
			_, sum := m.bill(float64(l.tasks))
			if c.name == "alone" {
				alone = sum
			}
			if l.payload == 4<<10 {
				require.LessOrEqual(t, sum, mostFor4KB*alone, "%s: dollars a million tasks with a payload of 4 KB, against those without", l.name)
			}
			fmt.Fprintf(&out, "%-24s %-38s %7.2f write units, %6.2f read units a task, $%.2f a million\n", l.name, c.name,
				m.writes/float64(l.tasks), m.reads/float64(l.tasks), sum)
		}
	}
	requireGolden(t, "shapes.golden", out.String())
}

// requireGolden compares what was counted with a golden file. The counts with payloads that lie apart may differ by half a percent: tasks that end together
// reach the stream in any order, so what a batch of it reads together is not quite the same each time.
func requireGolden(t *testing.T, name, counted string) {
	t.Helper()
	golden := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(counted), 0o600))
	}
	text, err := os.ReadFile(golden)
	require.NoError(t, err)
	const changed = "what a task costs has changed; run this test with -update, and say why"
	want, got := strings.Split(string(text), "\n"), strings.Split(counted, "\n")
	require.Len(t, got, len(want), changed)
	apart := false
	for i, line := range got {
		if !strings.HasPrefix(line, " ") {
			apart = strings.Contains(line, "a payload of")
		}
		if !apart {
			require.Equal(t, want[i], line, changed)
			continue
		}
		require.Equal(t, number.ReplaceAllString(want[i], "N"), number.ReplaceAllString(line, "N"), changed)
		numbers := number.FindAllString(line, -1)
		for k, was := range number.FindAllString(want[i], -1) {
			about := func(text string) float64 {
				n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
				require.NoError(t, err)
				return n
			}
			require.InDelta(t, about(was), about(numbers[k]), about(was)*0.005+0.01, "%s: %s", line, changed)
		}
	}
}

var number = regexp.MustCompile(` *[0-9]+(\.[0-9]+)?`)

package sim

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seed  = flag.Uint64("seed", 0, "the seed that TestSeed simulates; -v prints all its steps")
	seeds = flag.Uint64("seeds", 0, "the number of seeds that TestSeeds simulates; 0: a fixed set")
	from  = flag.Uint64("from", 1, "the first seed of TestSeeds")
	limit = flag.Duration("within", 24*time.Hour, "start no further seed after this time")
)

// explained limits the number of violations to shrink and describe in full.
const explained = 3

// withRuns counts the worlds with runs that TestSeeds simulates beside the fixed ones.
const withRuns = 100

// withCaps counts the worlds with caps that find themselves that TestSeeds simulates beside the fixed ones.
const withCaps = 24

// fixed counts the seeds that TestSeeds simulates by default. With -short it simulates a tenth of them.
const fixed = 300

// reachable lists the states that some of the fixed worlds must reach; otherwise the checks of these states check nothing. A guarantee is
// judged when one of its invariants is applied to something that could break it.
var reachable = []string{"task open", "task completed", "task failed", "task expired", "task dead", "task cancelled", "job scheduling", "job scheduled", "job completed",
	"job cancelled", "job rejected", "jobs share a segment", "claim", "cap used up", "retry",
	"G1 judged", "G2 judged", "G3 judged", "G4 judged", "G5 judged", "G6 judged", "G7 judged", "G8 judged", "G9 judged", "G10 judged",
	"run begun", "run again", "run Complete", "run Optional Task Error", "run Error", "run Cancelled", "run Timed Out",
	"R1 judged", "R2 judged", "R3 judged", "R4 judged", "R5 judged", "R6 judged"}

// TestSeed simulates the world of one seed, step by step.
func TestSeed(t *testing.T) {
	if *seed == 0 {
		*seed = 1
	}
	report := inBubble(t, newPlan(*seed), Options{Trace: true})
	if testing.Verbose() {
		for _, line := range report.Trace {
			fmt.Println(line)
		}
	}
	require.Nil(t, report.Violation)
}

// A violation is useful only if its seed reproduces it.
func TestTheSameSeedIsTheSameWorld(t *testing.T) {
	worlds := uint64(12)
	if testing.Short() {
		worlds = 3
	}
	for s := uint64(1); s <= worlds; s++ {
		first, second := inBubble(t, newPlan(s), Options{}), inBubble(t, newPlan(s), Options{})
		require.Equal(t, first.Hash, second.Hash, "seed %d", s)
		require.Equal(t, first.Faults, second.Faults)
	}
}

// TestSeeds simulates many worlds in parallel.
func TestSeeds(t *testing.T) {
	n, runs, caps := *seeds, uint64(0), uint64(0)
	if n == 0 {
		n, runs, caps = fixed, withRuns, withCaps
		if testing.Short() {
			n, runs, caps = n/10, runs/10, caps/10
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var next atomic.Uint64
	var mu sync.Mutex
	var failed []Report
	sum := Report{Faults: map[Fault]int{}, States: map[string]int{}}
	done := 0
	began := time.Now()
	t.Run("worlds", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("some", func(t *testing.T) {
				t.Parallel()
				for i := next.Add(1); i <= n+runs+caps && time.Since(began) < *limit; i = next.Add(1) {
					s := *from + i - 1
					switch {
					case i > n+runs:
						s = seekers + (i-n-runs-1)/2
						if i%2 == 0 {
							s += lanes - seekers
						}
					case i > n:
						s = flows + i - n - 1
					}
					r := inBubble(t, newPlan(s), Options{})
					mu.Lock()
					done++
					for f, count := range r.Faults {
						sum.Faults[f] += count
					}
					for s, count := range r.States {
						sum.States[s] += count
					}
					sum.Steps, sum.Virtual = sum.Steps+r.Steps, sum.Virtual+r.Virtual
					if r.Violation != nil {
						failed = append(failed, r)
						fmt.Printf("seed %d: %s\n", r.Seed, r.Violation)
					}
					mu.Unlock()
				}
			})
		}
	})
	took := time.Since(began)
	if testing.Verbose() {
		fmt.Printf("%d seeds in %s: %.1f seeds/s, %d steps, %s of virtual time\n", done, took.Round(time.Millisecond), float64(done)/took.Seconds(), sum.Steps, sum.Virtual.Round(time.Second))
		for _, f := range slices.Concat(Faults, FlowFaults, SeekFaults) {
			fmt.Printf("%9d %s\n", sum.Faults[f], f)
		}
		for _, s := range slices.Sorted(maps.Keys(sum.States)) {
			fmt.Printf("%9d reached: %s\n", sum.States[s], s)
		}
	}
	if done >= fixed { // fewer worlds need not contain every fault
		requireCoverage(t, sum, done, runs == withRuns, caps == withCaps)
	}
	slices.SortFunc(failed, func(a, b Report) int { return int(a.Seed) - int(b.Seed) })
	for i, r := range failed {
		if i < explained {
			t.Error(tell(t, r, Options{}))
		} else {
			t.Errorf("seed %d: %s", r.Seed, r.Violation)
		}
	}
}

// requireCoverage requires that the worlds had every fault that they may have, and reached every state.
func requireCoverage(t *testing.T, sum Report, done int, runs, caps bool) {
	t.Helper()
	for _, f := range Faults {
		if *from >= flows && slices.Contains([]Fault{Flood, Hundreds, Incompressible}, f) {
			continue // no world with runs has as many tasks
		}
		require.Positive(t, sum.Faults[f], "no world of %d contains the fault %q", done, f)
	}
	for _, f := range FlowFaults {
		if runs || *from >= flows {
			require.Positive(t, sum.Faults[f], "no world of %d contains the fault %q", done, f)
		}
	}
	if caps || *from >= seekers && *from < flows {
		for _, f := range SeekFaults {
			require.Positive(t, sum.Faults[f], "no world of %d contains the fault %q", done, f)
		}
		for _, s := range []string{"lease in a lane", "cap found", "claim under a cap that was found", "claim under a pin"} {
			require.Positive(t, sum.States[s], "no world of %d reached the state %q", done, s)
		}
	}
	for _, s := range reachable {
		if *from >= flows && s == "jobs share a segment" {
			continue // these worlds have one job
		}
		if strings.HasPrefix(s, "run ") || strings.HasPrefix(s, "R") {
			if !runs && *from < flows {
				continue
			}
		}
		require.Positive(t, sum.States[s], "no world of %d reached the state %q", done, s)
	}
}

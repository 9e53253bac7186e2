package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kills limits how many of the functions' processes are killed, at moments that the seed picks, up to killInterval apart. The kills end before the
// lock of a dead scheduler on its job expires. The last of the message's five deliveries comes later, and a message whose deliveries are all killed
// goes to the dead letters, as intended.
const (
	kills        = 150
	killInterval = 150 * time.Millisecond
	killsEnd     = 40 * time.Second
)

// Jobs of all kinds end in every possible way, and each task ends once, while processes of Drover's functions are killed at any moment (G1, G2, G3,
// G4, G5).
func TestTheGuaranteesHoldWhileFunctionsAreKilled(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t, "1") {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			o := newOrdeal(t, seed, "")
			killed := map[string]int{}
			o.undergo(t, func(ctx context.Context) {
				killed = o.kill(ctx)
			})
			t.Logf("killed %v", killed)
			for name := range functions {
				require.Positive(t, killed[name], "killed processes of the %s; of all: %v", name, killed)
			}
		})
	}
}

// kill kills processes of the functions, in turn and at random, and returns the number of kills by function.
func (o *ordeal) kill(ctx context.Context) map[string]int {
	ctx, cancel := context.WithTimeout(ctx, killsEnd)
	defer cancel()
	r := rand.New(rand.NewPCG(o.seed, 0))
	names := slices.Sorted(maps.Keys(functions))
	killed := map[string]int{}
	for n := 0; n < kills && ctx.Err() == nil; {
		pause(ctx, time.Duration(r.Int64N(int64(killInterval))))
		name := names[r.IntN(len(names))]
		processes, err := o.processes(o.out[functions[name]])
		if o.desk.note(err); len(processes) == 0 {
			continue
		}
		// The process may have ended by itself in the meantime.
		if syscall.Kill(processes[r.IntN(len(processes))], syscall.SIGKILL) == nil {
			killed[name]++
			n++
		}
	}
	return killed
}

// processes returns the processes of one of this ordeal's functions. Their environment contains the ordeal's mark and the function's name.
func (o *ordeal) processes(function string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	mark, name := []byte("DROVER_ORDEAL="+o.mark), []byte("AWS_LAMBDA_FUNCTION_NAME="+function)
	var out []int
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended, or belongs to another user
		}
		variables := bytes.Split(environ, []byte{0})
		has := func(variable []byte) bool {
			return slices.ContainsFunc(variables, func(v []byte) bool { return bytes.Equal(v, variable) })
		}
		if !has(mark) || !has(name) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err != nil {
			return nil, err
		}
		out = append(out, pid)
	}
	return out, nil
}

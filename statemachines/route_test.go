package statemachines_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The golden files hold the names of the states and the transitions between them, which people see in the console, logs and alarms.
func TestTransitionsMatchTheGoldenFiles(t *testing.T) {
	for _, file := range definitionFiles(t) {
		t.Run(file, func(t *testing.T) {
			golden := filepath.Join("testdata", strings.TrimSuffix(file, ".asl.json")+".routes")
			got := routes("", read(t, file))
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "go test ./statemachines -update rewrites %s", golden)
		})
	}
}

// routes lists the states in the order in which they are first reached, and the states inside a Map below it.
func routes(indent string, machine object) string {
	var out strings.Builder
	states, _ := machine["States"].(object)
	listed := map[string]bool{}
	var list func(name string)
	list = func(name string) {
		if listed[name] {
			return
		}
		listed[name] = true
		state, _ := states[name].(object)
		fmt.Fprintf(&out, "%s%s (%s)\n", indent, name, text(state["Type"]))
		if inner, ok := state["ItemProcessor"].(object); ok {
			out.WriteString(routes(indent+"    ", inner))
		}
		for _, w := range ways(state) {
			fmt.Fprintf(&out, "%s  %s: %s\n", indent, w.why, w.to)
		}
		for _, w := range ways(state) {
			list(w.to)
		}
	}
	list(text(machine["StartAt"]))
	return out.String()
}

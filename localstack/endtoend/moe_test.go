package endtoend

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// moeFiles are the parts of examples/moe that its stack is made of.
var moeFiles = []string{"template.yaml", "plugins/package.json", "plugins/package-lock.json", "plugins/endpoint.js", "plugins/address.js", "plugins/stock.js", "plugins/report.js"}

// moeFolder is where the example is built: npm installs the package there, as the lock file names it.
const moeFolder = ".local/examples/moe"

// TestPluginsOfMoeRunUnchangedOnTheirNPMPackage runs the example in examples/moe: @moe-tech/orchestrator 1.0.90 as npm has it, by both of its wrappers.
func TestPluginsOfMoeRunUnchangedOnTheirNPMPackage(t *testing.T) {
	t.Parallel()
	s := shared(t)
	buildMoe(t)
	out, err := deploy(t.Context(), s.target, world.stackName("moe"), moeFolder+"/template.yaml",
		"MoeStatusTableName="+s.out["MoeStatusTableName"], "CompletionsQueueArn="+s.out["CompletionsQueueArn"])
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(checkout, "examples", "moe", "workflow.yaml"))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "workflow.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.NewReplacer("lambda: address", "lambda: "+out["AddressName"], "lambda: report", "lambda: "+out["ReportName"],
		"https://sqs.us-west-2.amazonaws.com/000000000000/stock", out["StockQueueUrl"]).Replace(string(text))), 0o600))
	s.cli(t, "apply", "--wire", "-f", file)

	asked := document(t, s.cli(t, "workflow", "import", out["AddressName"], "--activity", "validate", "--stage", "pre"))
	require.Equal(t, object{"lambda": out["AddressName"]}, asked["labourers"].(object)["address"].(object)["target"])
	require.Equal(t, "moe", asked["plugins"].(object)["address"].(object)["envelope"])

	for _, c := range []struct {
		name          string
		metadata      object
		code          int
		state, plugin string // the plugin whose message is looked at
		message       string
		attempts      float64
	}{
		{"all succeed", object{"country": "AT", "total": 3}, 0, "Complete", "stock", "", 1},
		{"a plugin states an error, in a queue's message", object{"country": "AT", "total": 300, "gift": true}, 1, "Error", "stock", "OrchestratorError: only 100 left, 300 ordered", 1},
		{"a plugin states an error, in SNS's form", object{"total": 3}, 1, "Error", "address", "OrchestratorError: the order has no country", 1},
		{"an optional one does", object{"country": "DE", "total": 3}, 0, "Optional Task Error", "report", "OrchestratorError: the shop in DE is closed", 1},
		{"a plugin crashes at each attempt", object{"country": "AT", "crash": "yes"}, 1, "Error", "address", "the address service is gone", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			metadata := filepath.Join(t.TempDir(), "metadata.json")
			line, err := json.Marshal(c.metadata)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(metadata, line, 0o600))

			printed, said, code := s.drover(t, nil, "workflow", "start", "Order intake", "--uid", named(t), "--metadata", metadata, "--wait")

			require.Equal(t, c.code, code, "%s%s", printed, said)
			tree := document(t, printed)
			require.Equal(t, c.state, tree["state"], printed)
			message, attempts := endOf(tree, c.plugin)
			require.Contains(t, message, c.message, "a crash has the type that the runtime gives it")
			require.InDelta(t, c.attempts, attempts, 0)
		})
	}
}

// endOf returns the message and the attempts of a plugin in a run's tree.
func endOf(tree object, plugin string) (message string, attempts float64) {
	activity := tree["activities"].([]any)[0].(object)
	for _, stage := range []string{"pre", "parallel", "post"} {
		for _, list := range []string{"mandatory", "optional"} {
			if one, is := activity[stage].(object)[list].(object)[plugin].(object); is {
				message, _ = one["message"].(string)
				attempts, _ = one["attempts"].(float64)
				return message, attempts
			}
		}
	}
	return "", 0
}

// buildMoe copies the example and installs its package. It needs Node, and once the npm registry.
func buildMoe(t *testing.T) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("not judged here: the plugins need %s", program)
		}
	}
	changed := false
	for _, name := range moeFiles {
		text, err := os.ReadFile(filepath.Join(checkout, "examples", "moe", name))
		require.NoError(t, err)
		to := filepath.Join(checkout, moeFolder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		if before, err := os.ReadFile(to); err != nil || string(before) != string(text) {
			changed = changed || strings.HasSuffix(name, ".json")
			require.NoError(t, os.WriteFile(to, text, 0o644))
		}
	}
	plugins := filepath.Join(checkout, moeFolder, "plugins")
	if _, err := os.Stat(filepath.Join(plugins, "node_modules", ".package-lock.json")); err == nil && !changed {
		return
	}
	const patience = 3 * time.Minute
	command := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	command.Dir, command.WaitDelay = plugins, patience
	said, err := command.CombinedOutput()
	require.NoError(t, err, "npm ci: %s", said)
}

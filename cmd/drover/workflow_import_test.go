package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// moeData has what moe's users have stored.
const moeData = "../../shared/core/moe/testdata"

func TestAPluginOfMoeIsAskedForItsPlace(t *testing.T) {
	g := newGround(t)
	g.functions.add("check-stock", 3).answer = `{"pluginName": "check_stock", "default": {"mandatory": false}, "idempotent": true}`
	g.functions.add("lost", 3).answer = `"Error: Invalid message"`

	said := g.drover("workflow", "import", "check-stock", "--activity", "validate", "--stage", "async")

	require.Contains(t, said.ok(), "check_stock: {target: {lambda: check-stock}}")
	require.Contains(t, said.ok(), "stage: parallel\n    envelope: moe\n    mandatory: false")
	require.Contains(t, said.err, "warning: plugins.check_stock: idempotent is left out")
	g.drover("validate", "-f", flowFile(t, said.ok())).ok()
	g.drover("workflow", "import", "lost", "--activity", "validate", "--stage", "pre").fails(failed, "Error: Invalid message")
	g.drover("workflow", "import", "nowhere", "--activity", "validate", "--stage", "pre").fails(failed, "nowhere")
	g.drover("workflow", "import", "check-stock", "--stage", "pre").fails(misuse, "--activity")
	g.drover("workflow", "import").fails(misuse, "-f")
}

func TestWhatMoeStoredIsReadWithoutAWS(t *testing.T) {
	said := pure(t, "workflow", "import", "-f", filepath.Join(moeData, "plugins.scan.json"), "-f", filepath.Join(moeData, "workflow.json"))

	require.Contains(t, said.ok(), `"Order Intake": {activities: [Validate, Ship]}`)
	require.Contains(t, said.err, "its order 93 may be one that moe drew at random")
	pure(t, "validate", "-f", flowFile(t, said.ok())).ok()
	asJSON := pure(t, "--json", "workflow", "import", "-f", filepath.Join(moeData, "plugins.json"), "-f", filepath.Join(moeData, "workflow.json"))
	pure(t, "validate", "-f", flowFile(t, asJSON.ok())).ok()
	pure(t, "workflow", "import", "-f", flowFile(t, `{}`)).fails(misuse, "neither a list of rows")
}

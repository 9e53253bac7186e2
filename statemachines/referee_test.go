//go:build referees

package statemachines_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Both linters, the one in AWS's own editors and asl-validator, accept the definitions as they are deployed.
func TestRefereeLintersAcceptTheDefinitions(t *testing.T) {
	var deployed []string
	for _, file := range definitionFiles(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		// asl-validator takes the state that is named Next for the target of a transition.
		named := strings.NewReplacer(`"Next": "Next"`, `"Next": "WhatIsNext"`, `"Next": {`, `"WhatIsNext": {`).Replace(string(text))
		deployed = append(deployed, deployedAs(t, named))
	}

	require.Empty(t, linted(t, deployed...))
}

// A linter that accepts everything would be no referee.
func TestRefereeLintersRefuseWhatIsWrong(t *testing.T) {
	text, err := os.ReadFile("backoff.asl.json")
	require.NoError(t, err)
	files := map[string]string{}
	for wrong, change := range map[string][2]string{
		"a state that leads nowhere":          {`"Next": "`, `"Next": "Nowhere`},
		"a field with the wrong name":         {`"StartAt"`, `"StartsAt"`},
		"a type of state that does not exist": {`"Type": "Wait"`, `"Type": "Sleep"`},
	} {
		broken := strings.Replace(string(text), change[0], change[1], 1)
		require.NotEqual(t, string(text), broken, wrong)
		files[wrong] = deployedAs(t, broken)
	}

	said := linted(t, slices.Collect(maps.Values(files))...)

	for wrong, file := range files {
		require.Contains(t, said, file, wrong)
	}
}

var open = regexp.MustCompile(`\$\{(\w+)\}`)

// deployedAs writes a definition with values of the right form in its placeholders, and returns the file's name.
func deployedAs(t *testing.T, definition string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "definition.asl.json")
	require.NoError(t, os.WriteFile(file, []byte(open.ReplaceAllStringFunc(definition, func(whole string) string {
		switch name := open.FindStringSubmatch(whole)[1]; {
		case name == "Partition":
			return "aws"
		case strings.HasSuffix(name, "Arn"):
			return "arn:aws:lambda:us-east-1:123456789012:function:" + name
		default:
			return name
		}
	})), 0o600))
	return file
}

// linted returns the linters' findings in these files.
func linted(t *testing.T, files ...string) string {
	t.Helper()
	folder := os.Getenv("DROVER_REFEREES")
	require.NotEmpty(t, folder, "DROVER_REFEREES names no folder: make referees sets it")
	out, err := exec.CommandContext(t.Context(), "node", append([]string{"testdata/referee/lint.mjs", filepath.Join(folder, "states")}, files...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

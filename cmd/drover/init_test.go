package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFilesToStartFromAreRight(t *testing.T) {
	g := newGround(t)
	folder := filepath.Join(t.TempDir(), "new")

	said := g.drover("--json", "init", folder)

	require.Equal(t, done, said.code, said.err)
	labourers, job := filepath.Join(folder, "labourers.yaml"), filepath.Join(folder, "job.json")
	require.Contains(t, said.out, "labourers.yaml")
	require.Equal(t, done, g.drover("validate", "-f", labourers).code)
	planned := g.drover("plan", "-f", labourers, job)
	require.Equal(t, done, planned.code, planned.err)
	require.Equal(t, 6, strings.Count(planned.out, "\n"), "three stores on two days")

	// The lines that are commented out are right too.
	text, err := os.ReadFile(labourers)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(labourers, []byte(strings.ReplaceAll(string(text), "\n    # ", "\n    ")), 0o600))
	all := g.drover("validate", "-f", labourers)
	require.Equal(t, done, all.code, all.err)
}

func TestInitOverwritesNothing(t *testing.T) {
	g := newGround(t)
	folder := t.TempDir()
	mine := filepath.Join(folder, "job.json")
	require.NoError(t, os.WriteFile(mine, []byte("mine"), 0o600))

	said := g.drover("init", folder)

	require.Equal(t, misuse, said.code)
	require.Contains(t, said.err, "job.json exists already")
	text, err := os.ReadFile(mine)
	require.NoError(t, err)
	require.Equal(t, "mine", string(text))
	require.NoFileExists(t, filepath.Join(folder, "labourers.yaml"))
}

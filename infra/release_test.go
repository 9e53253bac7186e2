package infra_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/infra"
	"github.com/drover-run/drover/shared/core/packaging"
)

// TestAReleaseHasTheToolTheFunctionsItsBillOfMaterialsAndChecksums builds the archive of this machine's platform, with this test's program in place of a
// function's.
func TestAReleaseHasTheToolTheFunctionsItsBillOfMaterialsAndChecksums(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and links the command line tool")
	}
	if runtime.GOOS == "windows" {
		t.Skip("judges a tar archive")
	}
	name := "drover_1.2.3_" + runtime.GOOS + "_" + runtime.GOARCH
	folder, code := t.TempDir(), t.TempDir()
	own, err := os.Executable()
	require.NoError(t, err)
	function := filepath.Join(code, "arm64", "functions", "scheduler")
	require.NoError(t, os.MkdirAll(function, 0o700))
	require.NoError(t, os.Symlink(own, filepath.Join(function, "bootstrap")))
	build := func() {
		t.Helper()
		command := exec.CommandContext(t.Context(), "go", "run", "./infra/release", folder, "1.2.3", code, runtime.GOOS+"/"+runtime.GOARCH)
		command.Dir = ".."
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}

	build()

	sums, err := os.ReadFile(filepath.Join(folder, "checksums.txt"))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(sums), "\n"))
	for line := range strings.Lines(string(sums)) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		text, err := os.ReadFile(filepath.Join(folder, file))
		require.NoError(t, err)
		is := sha256.Sum256(text)
		require.Equal(t, hex.EncodeToString(is[:]), sum, file)
	}
	files := unpacked(t, filepath.Join(folder, name+".tar.gz"))
	program := filepath.Join(t.TempDir(), "drover")
	require.NoError(t, os.WriteFile(program, files["drover"], 0o700))
	said, err := exec.CommandContext(t.Context(), program, "version").Output()
	require.NoError(t, err)
	require.Contains(t, string(said), "1.2.3")
	require.Contains(t, string(files["LICENSE"]), "Apache License")

	require.Equal(t, infra.TemplateVersion()+"\n", string(files[packaging.VersionFile]))
	zipped := files["functions/arm64/scheduler.zip"]
	archive, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	require.NoError(t, err)
	require.Len(t, archive.File, 1)
	require.Equal(t, "bootstrap", archive.File[0].Name)
	require.Equal(t, "-rwxr-xr-x", archive.File[0].Mode().String())

	var bill struct {
		BomFormat  string
		Components []struct{ Name, Purl string }
	}
	text, err := os.ReadFile(filepath.Join(folder, name+".cdx.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &bill))
	require.Equal(t, "CycloneDX", bill.BomFormat)
	names := map[string]string{}
	for _, c := range bill.Components {
		names[c.Name] = c.Purl
	}
	require.Contains(t, names, "github.com/spf13/cobra")
	require.Contains(t, names["std"], "pkg:golang/std@1.")

	build()

	again, err := os.ReadFile(filepath.Join(folder, "checksums.txt"))
	require.NoError(t, err)
	require.Equal(t, string(sums), string(again), "the same source makes the same files")
}

// unpacked returns the files of an archive by name.
func unpacked(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	packed, err := gzip.NewReader(file)
	require.NoError(t, err)
	out := map[string][]byte{}
	for archive := tar.NewReader(packed); ; {
		entry, err := archive.Next()
		if err == io.EOF { //nolint:errorlint // as the reader returns it
			return out
		}
		require.NoError(t, err)
		out[entry.Name], err = io.ReadAll(archive)
		require.NoError(t, err)
	}
}

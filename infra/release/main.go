// Release builds what a release has, in a folder: make release.
//
//	release FOLDER VERSION CODE PLATFORM...     PLATFORM is linux/amd64, darwin/arm64, windows/amd64, …
//
// For each platform there is an archive with the command line tool, its licence and, in the folder functions, a zip of each function for each processor, as
// drover deploy uploads them, with the version of the template that they are for; and its bill of materials (CycloneDX). checksums.txt has the SHA-256 of
// all files. CODE has the programs of the functions as CODE/PROCESSOR/functions/NAME/bootstrap. The same source and the same Go make the same files.
package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/drover-run/drover/infra"
	"github.com/drover-run/drover/shared/core/packaging"
)

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: release FOLDER VERSION CODE PLATFORM...")
		os.Exit(2)
	}
	if err := release(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release builds a release, in place of an earlier one in the folder.
func release(ctx context.Context, folder, version, code string, platforms []string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // for other users to read
		return err
	}
	old, err := filepath.Glob(filepath.Join(folder, "drover*"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil { //nolint:gosec // the caller names the folder
			return err
		}
	}
	functions, modules, err := zips(code)
	if err != nil {
		return err
	}
	functions = append(functions, packaging.File{Name: packaging.VersionFile, Content: []byte(infra.TemplateVersion() + "\n")})
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		functions = append(functions, packaging.File{Name: name, Content: content})
	}
	for _, platform := range platforms {
		if err := archive(ctx, folder, version, platform, functions, maps.Clone(modules)); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
	}
	return checksums(folder)
}

// zips returns a zip of each function, with the modules that the functions are built from.
func zips(code string) ([]packaging.File, map[string]string, error) {
	programs, err := filepath.Glob(filepath.Join(code, "*", "functions", "*", "bootstrap"))
	if err == nil && len(programs) == 0 {
		err = fmt.Errorf("%s has no PROCESSOR/functions/NAME/bootstrap", code)
	}
	if err != nil {
		return nil, nil, err
	}
	var files []packaging.File
	modules := map[string]string{}
	for _, program := range programs {
		content, err := os.ReadFile(program) //nolint:gosec // the caller names the folder
		if err != nil {
			return nil, nil, err
		}
		zipped, err := packaging.Zip([]packaging.File{{Name: "bootstrap", Content: content, Executable: true}})
		if err != nil {
			return nil, nil, err
		}
		function := filepath.Dir(program)
		processor := filepath.Base(filepath.Dir(filepath.Dir(function)))
		files = append(files, packaging.File{Name: path.Join("functions", processor, filepath.Base(function)+".zip"), Content: zipped})
		if err := addModules(modules, program); err != nil {
			return nil, nil, err
		}
	}
	return files, modules, nil
}

// archive builds the command line tool for a platform, and writes its archive and its bill of materials.
func archive(ctx context.Context, folder, version, platform string, beside []packaging.File, modules map[string]string) error {
	system, processor, found := strings.Cut(platform, "/")
	if !found {
		return errors.New("this is no platform; want one like linux/arm64")
	}
	tool := "drover"
	if system == "windows" {
		tool = "drover.exe"
	}
	program := filepath.Join(folder, tool)
	flags := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + version}
	build := exec.CommandContext(ctx, "go", append(flags, "-o", program, "./cmd/drover")...)
	build.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	content, err := os.ReadFile(program) //nolint:gosec // this has built it
	if err == nil {
		err = errors.Join(addModules(modules, program), os.Remove(program)) //nolint:gosec // the same
	}
	if err != nil {
		return err
	}
	files := append([]packaging.File{{Name: tool, Content: content, Executable: true}}, beside...)
	name := filepath.Join(folder, "drover_"+version+"_"+system+"_"+processor)
	if err := write(name+".cdx.json", bill(version, modules)); err != nil {
		return err
	}
	if system == "windows" {
		zipped, err := packaging.Zip(files)
		if err != nil {
			return err
		}
		return write(name+".zip", zipped)
	}
	packed, err := packaging.Tar(files)
	if err != nil {
		return err
	}
	return write(name+".tar.gz", packed)
}

// addModules adds the modules that Go noted in a program, and Go's own library, with their versions.
func addModules(modules map[string]string, program string) error {
	is, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("reading the modules of %s: %w", program, err)
	}
	modules["std"] = strings.TrimPrefix(is.GoVersion, "go")
	for _, m := range is.Deps {
		modules[used(m).Path] = used(m).Version
	}
	return nil
}

// used returns what a module was replaced by, if it was.
func used(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

// bill returns the bill of materials of an archive. https://cyclonedx.org/docs/1.5/json/
func bill(version string, modules map[string]string) []byte {
	type component struct {
		Type    string `json:"type"`
		Name    string `json:"name"`
		Version string `json:"version"`
		Purl    string `json:"purl,omitempty"`
	}
	components := []component{}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		components = append(components, component{"library", name, modules[name], "pkg:golang/" + name + "@" + modules[name]})
	}
	text, err := json.MarshalIndent(map[string]any{"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata": map[string]any{"component": component{"application", "drover", version, ""}}, "components": components}, "", " ")
	if err != nil {
		panic(err) // texts always marshal
	}
	return append(text, '\n')
}

// checksums writes the SHA-256 of all files of a release, as sha256sum --check reads them, and prints the files with their sizes.
func checksums(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "drover_*")) // in order
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file) //nolint:gosec // the caller names the folder
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), filepath.Base(file))
		fmt.Fprintf(os.Stdout, "%6.1f MB  %s\n", float64(len(content))/1e6, filepath.Base(file))
	}
	return write(filepath.Join(folder, "checksums.txt"), []byte(sums.String()))
}

func write(file string, content []byte) error {
	return os.WriteFile(file, content, 0o644) //nolint:gosec // for other users to read
}

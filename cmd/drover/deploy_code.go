package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/core/packaging"
	"github.com/drover-run/drover/statemachines"
)

// codeBase is a template with the place of the code that it names by local paths: relative to a file or, for Drover's own template, in a folder as a release
// archive has it.
type codeBase struct {
	template packaging.Template
	file     string
	folder   string // "": that of this program
}

// artifact is code for a bucket.
type artifact struct {
	content   []byte
	extension string
}

// definitions holds the state machines of Drover's own template by the names of their files.
var definitions = map[string][]byte{
	"orchestrate.asl.json": statemachines.Orchestrate,
	"backoff.asl.json":     statemachines.Backoff,
	"workflow.asl.json":    statemachines.Workflow,
}

// artifact returns the code at a path of the template.
func (c codeBase) artifact(local, processor string) (artifact, error) {
	if c.file != "" {
		return artifactAt(filepath.Join(filepath.Dir(c.file), filepath.FromSlash(local)))
	}
	if text, known := definitions[path.Base(local)]; known {
		return artifact{text, ".json"}, nil
	}
	content, err := c.released(path.Join("functions", processor, path.Base(local)+".zip"))
	return artifact{content, ".zip"}, err
}

// released returns a file of the release archive.
func (c codeBase) released(name string) ([]byte, error) {
	folder := c.folder
	if folder == "" {
		var err error
		if folder, err = ownFolder(); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(folder, filepath.FromSlash(name))
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, badInput("the functions' code is not beside drover (%s): unpack a release archive and name its folder with --code, or run make deploy in a checkout", file)
	}
	return content, err
}

// matching returns an error if the functions of the release archive are for another template.
func (c codeBase) matching() error {
	text, err := c.released(packaging.VersionFile)
	if err != nil {
		return err
	}
	if is, own := strings.TrimSpace(string(text)), c.template.Version(); is != own {
		return badInput("the functions' code is for version %q of the template, and this drover has %s: use the drover of that release archive, or the archive of this drover",
			is, own)
	}
	return nil
}

// ownFolder returns the folder of this program.
func ownFolder() (string, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	return filepath.Dir(program), err
}

// artifactAt returns a file, or a zip of the files below a folder.
func artifactAt(place string) (artifact, error) {
	is, err := os.Stat(place)
	if err != nil {
		return artifact{}, inputError{err}
	}
	if !is.IsDir() {
		content, err := os.ReadFile(place)
		return artifact{content, filepath.Ext(place)}, err
	}
	root, err := os.OpenRoot(place)
	if err != nil {
		return artifact{}, inputError{err}
	}
	defer root.Close()
	var files []packaging.File
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		is, err := root.Stat(name) // of what a link leads to
		if err != nil {
			return err
		}
		if is.IsDir() {
			return fmt.Errorf("%s is a link to a folder, which a zip cannot have", name)
		}
		content, err := root.ReadFile(name)
		files = append(files, packaging.File{Name: name, Content: content, Executable: executable(runtime.GOOS, is.Mode())})
		return err
	})
	if err != nil {
		return artifact{}, fmt.Errorf("reading %s: %w", place, err)
	}
	if len(files) == 0 {
		return artifact{}, badInput("%s is empty; build the code first", place)
	}
	content, err := packaging.Zip(files)
	return artifact{content, ".zip"}, err
}

// executable reports whether a file of a zip is to be executable, on the system that has it. Windows does not tell; Lambda runs only an executable bootstrap.
func executable(system string, mode fs.FileMode) bool {
	return system == "windows" || mode&0o111 != 0
}

// artifacts returns the code at all paths of the template.
func (c codeBase) artifacts(processor string) (map[string]artifact, error) {
	all := map[string]artifact{}
	for _, local := range c.template.Paths() {
		a, err := c.artifact(local, processor)
		if err != nil {
			return nil, err
		}
		all[local] = a
	}
	if c.file == "" {
		return all, c.matching()
	}
	return all, nil
}

// packed is a template whose code is in a bucket.
type packed struct {
	text []byte
	url  string // of the template in the bucket; "" if it is not there
}

// upload uploads the code and, where CloudFormation would not accept it as text, the template.
func (d deployment) upload(ctx context.Context, s *shell, t packaging.Template, code map[string]artifact, bucket s3.Artifacts) (packed, error) {
	keys, contents := map[string]string{}, map[string][]byte{}
	for local, a := range code {
		keys[local] = packaging.Key(a.content, a.extension)
		contents[keys[local]] = a.content
	}
	text := t.With(bucket.Name, keys)
	var address string
	if len(text) > cloudformation.LargestText || d.write != "" {
		key := packaging.Key(text, ".yaml")
		contents[key] = text
		var err error
		if address, err = bucket.URL(ctx, key); err != nil {
			return packed{}, err
		}
	}
	if len(contents) > 0 {
		s.say("Uploading %s to s3://%s, unless there", numbered(len(contents), "file", "files"), bucket.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(contents)) {
		if err := bucket.Put(ctx, key, contents[key], s.now()); err != nil {
			return packed{}, err
		}
	}
	return packed{text, address}, nil
}

// writeTemplate writes the template for tools that deploy it.
func (d deployment) writeTemplate(s *shell, p packed) error {
	if err := os.WriteFile(d.write, p.text, 0o644); err != nil { //nolint:gosec // for other users to read, like any source
		return inputError{err}
	}
	if s.json {
		return s.document(map[string]string{"template": d.write, "url": p.url})
	}
	fmt.Fprintln(s.out, strings.TrimSpace(p.url))
	return nil
}

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// The files to start from. Tests validate and plan them.
var (
	//go:embed start/labourers.yaml
	startLabourers []byte
	//go:embed start/job.json
	startJob []byte
)

func newInit(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "write a labourers.yaml and a job.json to start from",
		Long: `Writes labourers.yaml, with one labourer and a job schema, and job.json, with a job for it, into a folder (default: this one). It overwrites nothing.
Put the name of your worker's function into labourers.yaml.`,
		Example: `  drover init
  drover plan -f labourers.yaml job.json
  drover apply -f labourers.yaml && drover submit job.json --wait`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			folder := "."
			if len(arguments) > 0 {
				folder = arguments[0]
			}
			return s.writeStart(folder)
		},
	}
}

// writeStart writes the files to start from, both or none.
func (s *shell) writeStart(folder string) error {
	files := []struct {
		path string
		text []byte
	}{{filepath.Join(folder, "labourers.yaml"), startLabourers}, {filepath.Join(folder, "job.json"), startJob}}
	for _, f := range files {
		if _, err := os.Lstat(f.path); err == nil {
			return badInput("%s exists already, and is not overwritten; name another folder", f.path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return inputError{err}
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // as mkdir does
		return inputError{err}
	}
	paths := []string{}
	for _, f := range files {
		to, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // for other users to read, like any source
		if err != nil {
			return inputError{err}
		}
		_, err = to.Write(f.text)
		if err = errors.Join(err, to.Close()); err != nil {
			return err
		}
		paths = append(paths, f.path)
	}
	if s.json {
		return s.document(map[string][]string{"written": paths})
	}
	fmt.Fprintf(s.out, "Wrote %s and %s. Next: put your function's name into the first, then drover apply -f %s && drover submit %s --wait\n", paths[0], paths[1], paths[0], paths[1])
	return nil
}

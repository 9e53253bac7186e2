package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/labourer"
)

// files adds the flag -f, which may be repeated. A shell expands "-f *.yaml" so that the files after the first one are arguments. If extra is true,
// the command reads these files too.
func files(c *cobra.Command, into *[]string, extra bool) {
	c.Flags().StringArrayVarP(into, "file", "f", nil, "a `file` of labourers and job schemas: YAML, JSON or sosw's configuration; - is standard input; may be repeated")
	if !extra {
		return
	}
	c.Args = func(_ *cobra.Command, arguments []string) error {
		if len(*into) == 0 {
			return fmt.Errorf("-f FILE is missing")
		}
		*into = append(*into, arguments...)
		return nil
	}
}

// configuration reads files into one configuration. The error lists all errors of all files.
func (s *shell) configuration(paths []string, options ...labourer.Option) (labourer.Configuration, []string, error) {
	var parts []labourer.Configuration
	var warnings []string
	var wrong document.Errors
	for _, path := range paths {
		name, text, err := s.read(path)
		if err != nil {
			return labourer.Configuration{}, nil, err
		}
		part, said, errs := labourer.Read(name, text, options...)
		parts, warnings, wrong = append(parts, part), append(warnings, said...), append(wrong, errs...)
	}
	if err := wrong.Err(); err != nil {
		return labourer.Configuration{}, nil, inputError{err}
	}
	merged, errs := labourer.Merge(parts...)
	if err := errs.Err(); err != nil {
		return labourer.Configuration{}, nil, inputError{err}
	}
	return merged, warnings, nil
}

// inputLimit is far above the size of any job or configuration. A mistaken path must not fill the memory.
const inputLimit = 16 << 20

// read reads a file that the user named, or standard input for "-". It returns the name for messages, and the text without
// a byte order mark.
func (s *shell) read(path string) (name string, text []byte, err error) {
	from := s.in
	name = "standard input"
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return path, nil, inputError{err}
		}
		defer file.Close()
		name, from = path, file
	}
	text, err = io.ReadAll(io.LimitReader(from, inputLimit+1))
	if err != nil {
		return name, nil, badInput("reading %s: %w", name, err)
	}
	if len(text) > inputLimit {
		return name, nil, badInput("%s has more than %d bytes; no job or configuration is that large", name, inputLimit)
	}
	if text, err = plainText(text); err != nil {
		return name, nil, badInput("%s: %w", name, err)
	}
	return name, text, nil
}

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/labourer"
)

// files adds the flag -f, which may be given several times. What a shell makes of "-f *.yaml" puts the files after the first one among the
// arguments: where extra is true they are taken as well.
func files(c *cobra.Command, into *[]string, extra bool) {
	c.Flags().StringArrayVarP(into, "file", "f", nil, "a `file` of labourers and job schemas, YAML or JSON, also sosw's; - is standard input; may be repeated")
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

// configuration reads all files and makes one configuration of them. The error lists all that is wrong in any of them.
func (s *shell) configuration(paths []string, options ...labourer.Option) (labourer.Configuration, []string, error) {
	var parts []labourer.Configuration
	var warnings []string
	var wrong labourer.Errors
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

// inputLimit is far over any job or configuration, and keeps a mistaken path from filling the memory.
const inputLimit = 16 << 20

// read reads a file that the user named, "-" being standard input, as a text without a byte order mark. It returns the name for messages
// as well.
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
		return name, nil, badInput("%s has more than %d bytes; no job and no configuration is so large", name, inputLimit)
	}
	if text, err = plainText(text); err != nil {
		return name, nil, badInput("%s: %w", name, err)
	}
	return name, text, nil
}

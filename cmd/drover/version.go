package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by make build (-ldflags -X) if git knows one.
var version string

func newVersion(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version of drover",
		Long:  `Prints the version of drover, the commit that it was built from if known, the version of Go and the platform. It needs no stack.`,
		Example: `  drover version
  drover --json version | jq -r .version`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error { return s.printVersion() },
	}
}

// build describes what the program was built from.
type build struct {
	Version  string `json:"version"` // "devel" if it was built without one
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the work tree differed from the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildOf returns what a program was built from. The version that make build sets takes precedence over the module's, which go install sets.
func buildOf(set string, info *debug.BuildInfo) build {
	b := build{Version: set, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if info.Main.Version != "(devel)" {
			b.Version = cmp.Or(b.Version, info.Main.Version)
		}
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				b.Commit = setting.Value
			case "vcs.modified":
				b.Modified = setting.Value == "true"
			}
		}
	}
	b.Version = cmp.Or(b.Version, "devel")
	return b
}

func (s *shell) printVersion() error {
	info, _ := debug.ReadBuildInfo()
	b := buildOf(version, info)
	if s.json {
		return s.document(b)
	}
	_, err := fmt.Fprintln(s.out, b)
	return err
}

// String returns the build on one line.
func (b build) String() string {
	text := "drover " + b.Version
	if b.Commit != "" {
		text += ", commit " + b.Commit
	}
	if b.Modified {
		text += " with changes"
	}
	return text + ", " + b.Go + " " + b.Platform
}

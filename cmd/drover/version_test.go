package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheVersionIsPrintedByTheCommandAndByTheFlag(t *testing.T) {
	text := pure(t, "version").ok()
	require.Regexp(t, `^drover \S+, .*go1\.\S+.* \w+/\w+\n$`, text)
	require.Equal(t, text, pure(t, "--version").ok())
	line := pure(t, "--json", "version").one()
	require.NotEmpty(t, line["version"])
	require.Equal(t, line, pure(t, "--json", "--version").one())
	pure(t, "version", "now").fails(misuse, "now")
}

func TestTheVersionComesFromMakeOrElseFromTheModule(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc123"}, {Key: "vcs.modified", Value: "true"}}
	for name, c := range map[string]struct {
		set  string
		info *debug.BuildInfo
		want string
	}{
		"make build":             {"v1.2.3-4-gabc123", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "drover v1.2.3-4-gabc123, go"},
		"go install at a tag":    {"", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "drover v1.2.3, go"},
		"go build in a checkout": {"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: settings}, "drover devel, commit abc123 with changes, go"},
		"no build information":   {"", nil, "drover devel, go"},
	} {
		t.Run(name, func(t *testing.T) { require.Contains(t, buildOf(c.set, c.info).String(), c.want) })
	}
}

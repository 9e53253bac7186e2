package labourer_test

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
)

// FuzzRead checks that no text makes Read panic or take long, that an accepted configuration is stored, decoded and compared without loss, and that each
// error has a place and a reason.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/sosw_*.json"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(text)
		}
	}
	for _, text := range []string{
		"labourers: {yes: {target: {lambda: 010}}}", `{"labourers": {"w": {"cooldown": 1e-400, "cooldown": "\ud800"}}}`, "", "just words", "\t", "labourers: [", "{}", "a: &a [*a]", "<<: [{labourers: {}}]", "labourers: {w: {target: {lambda: f}, max_duration: 1e9}}",
		`{"labourers": {"w": {"arn": "f"}}, "max_attempts": 3}`, `{"job_schema": {"chunkable_attrs": [["a", null]]}}`, "? [a]\n: b", "a: !!binary x", "- - - -",
		"labourers: {w: {target: {lambda: f}, health_metrics: {m: {details: {Expression: a, Metrics: {a: {Name: M, Namespace: N}}}, feelings: {4: 0x10}}}}}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, options := range [][]labourer.Option{nil, {labourer.TargetOptional()}} {
			c, _, errs := labourer.Read("f", text, options...)
			for _, e := range errs {
				require.NotEmpty(t, e.Reason)
				require.True(t, utf8.ValidString(e.Error()), "%q", e.Error())
			}
			if errs != nil {
				continue
			}
			for id, l := range c.Labourers {
				require.Equal(t, id, l.ID)
				decoded, err := labourer.Decode(id, l.Stored())
				require.NoError(t, err)
				require.Equal(t, l, decoded)
			}
			for name, s := range c.JobSchemas {
				decoded, err := labourer.DecodeSchema(name, s.Stored())
				require.NoError(t, err)
				require.Equal(t, s, decoded)
			}
			merged, wrong := labourer.Merge(c, c)
			require.Empty(t, wrong)
			require.Empty(t, labourer.Diff(c, merged))
		}
	})
}

// FuzzDecode checks that no stored text makes Decode panic.
func FuzzDecode(f *testing.F) {
	f.Add(sample().Stored())
	f.Add([]byte(`{"health_metrics": {"m": {"details": {"Expression": "a"}, "feelings": {"4": 1}}}}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		l, err := labourer.Decode("w", stored)
		if err != nil {
			return
		}
		again, err := labourer.Decode("w", l.Stored())
		require.NoError(t, err)
		require.Equal(t, l, again)
	})
}

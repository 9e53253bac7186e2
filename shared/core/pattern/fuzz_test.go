package pattern

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzParse checks that no text makes Parse panic or take long, that what it accepts is read back as the same and can be matched and linted, and that
// what it refuses has a reason. A pattern never matches both everything and nothing: of metadata and a miss of it, the miss is told.
func FuzzParse(f *testing.F) {
	for _, g := range groups(f) {
		for _, one := range append(g.Match, g.Miss...) {
			f.Add([]byte(one), []byte(g.Metadata))
		}
	}
	for _, pattern := range []string{``, `{}`, `[`, `{"a":[{"prefix":1}]}`, `{"$or":[{"a":["x"]}]}`, `{"$or":["x"]}`, `{"a":["x"],"$or":[{"a":[1]},{"$or":[{"b":[1]},{"a.c":[1]}]}]}`} {
		f.Add([]byte(pattern), []byte(`{"a":[1,[{"c":1}]],"a.c":2}`))
	}
	f.Fuzz(func(t *testing.T, pattern, metadata []byte) {
		began := spent(t)
		p, errs := Parse(pattern)
		for _, e := range errs {
			require.NotEmpty(t, e.Reason)
			require.True(t, utf8.ValidString(e.Error()), "%q", e.Error())
		}
		if errs != nil {
			return
		}
		again, errs := Parse([]byte(p.String()))
		require.NoError(t, errs.Err())
		require.Equal(t, p, again)
		p.Lint(ofRun...)
		m, err := Read(metadata)
		if err != nil {
			return
		}
		v := p.Match(m)
		require.Equal(t, v, p.Match(m))
		require.Equal(t, v.Matches, len(v.Misses) == 0)
		require.Equal(t, v.Matches, v.Reason() == "")
		require.True(t, utf8.ValidString(v.Reason()), "%q", v.Reason())
		require.Less(t, spent(t)-began, 10*time.Second)
	})
}

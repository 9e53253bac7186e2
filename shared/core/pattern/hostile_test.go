package pattern

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// repeated returns n times what write returns, separated by commas.
func repeated(n int, write func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = write(i)
	}
	return strings.Join(parts, ",")
}

func constantly(text string) func(int) string { return func(int) string { return text } }

// spent returns the processor time that the tests have taken. Unlike the clock, it does not depend on what else the machine does.
func spent(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Metadata of 200 KB and the largest patterns take no longer than a second or two, whatever they contain.
func TestHostilePatternsEnd(t *testing.T) {
	const size = 200_000
	as := strings.Repeat("a", size)
	threeOrs := `{"x":{"$or":[` + repeated(10, func(i int) string { return fmt.Sprintf(`{"a%d":[1]}`, i) }) + `]` +
		`},"x.y":{"$or":[` + repeated(10, func(i int) string { return fmt.Sprintf(`{"b%d":[1]}`, i) }) + `]` +
		`},"x.y.z":{"$or":[` + repeated(10, func(i int) string { return fmt.Sprintf(`{"c%d":[1]}`, i) }) + `]}}`
	for name, c := range map[string]struct{ pattern, metadata string }{
		"stars":                    {`{"a":[{"wildcard":"` + strings.Repeat("*a", 900) + `*b"}]}`, `{"a":"` + as + `"}`},
		"stars excluded":           {`{"a":[{"anything-but":{"wildcard":[` + repeated(200, constantly(`"*a*b"`)) + `,"*a"]}}]}`, `{"a":"` + as + `"}`},
		"many wildcards":           {`{"a":[` + repeated(90, func(i int) string { return fmt.Sprintf(`{"wildcard":"*a*b%d"}`, i) }) + `]}`, `{"a":["` + as[:size/2] + `c","` + as[:size/2] + `"]}`},
		"ignoring case":            {`{"a":[{"equals-ignore-case":"` + strings.Repeat("ßs", 900) + `"}]}`, `{"a":"` + strings.Repeat("S", size) + `"}`},
		"ignoring case at the end": {`{"a":[{"suffix":{"equals-ignore-case":"x` + strings.Repeat("ßs", 900) + `"}}]}`, `{"a":"` + strings.Repeat("S", size) + `"}`},
		"many values":              {`{"a":[` + repeated(300, func(i int) string { return fmt.Sprintf(`"%d"`, i) }) + `]}`, `{"a":[` + repeated(size/4, constantly(`"x"`)) + `]}`},
		"digits":                   {`{"a":[1]}`, `{"a":` + strings.Repeat("1", size) + `.` + strings.Repeat("2", size) + `}`},
		"addresses":                {`{"a":[` + repeated(90, constantly(`{"cidr":"10.0.0.0/8"}`)) + `]}`, `{"a":[` + repeated(size/13, constantly(`"11.0.0.111"`)) + `]}`},
		"a list, many combinations": {
			`{"x":{"$or":[` + repeated(31, func(i int) string { return fmt.Sprintf(`{"a%d":[1]}`, i) }) + `]},"x.y":{"$or":[` + repeated(32, func(i int) string { return fmt.Sprintf(`{"b%d":[1]}`, i) }) + `]}}`,
			`{"x":[` + repeated(size/32, func(i int) string { return fmt.Sprintf(`{"a%d":1,"q":1},{"y":{"b%d":1}}`, i%31, i%32) }) + `]}`,
		},
		"lists of lists, many combinations": {threeOrs,
			`{"x":[` + repeated(size/80, func(i int) string {
				return fmt.Sprintf(`{"a%d":1,"y":[{"b%d":1,"z":[{"c%d":2}]},{"b%d":2,"z":{"c%d":1}}]}`, i%10, i%10, i%10, i%10, i%10)
			}) + `]}`,
		},
		"deep lists": {`{"x":["a",{"exists":false}],"x.y":[1],"x.z":[1]}`,
			`{"x":` + strings.Repeat(`["a",`, 480) + `[` + repeated(size/16, constantly(`{"y":1},{"z":1}`)) + `]` + strings.Repeat("]", 480) + `}`},
		"deep names":    {`{"` + strings.Repeat("a.", 900) + `a":["x"]}`, `{"x":1}`},
		"dots in names": {`{"a":["x"]}`, `{` + repeated(size/20, func(i int) string { return fmt.Sprintf(`"a.b%d.c":{"d.e":1}`, i) }) + `}`},
		"dots alone":    {`{"a":["x"]}`, `{"` + strings.Repeat(".", size) + `":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			p, errs := Parse([]byte(c.pattern))
			require.NoError(t, errs.Err())
			began := spent(t)

			metadata, err := Read([]byte(c.metadata))
			require.NoError(t, err)
			read := spent(t) - began
			v := p.Match(metadata)

			require.False(t, v.Matches)
			require.Less(t, len(v.Reason()), 2000)
			took := spent(t) - began
			t.Logf("%d combinations of %d leaves, %d KB: read in %s, matched in %s", len(p.combinations), len(p.leaves), len(c.metadata)/1000, read.Round(time.Microsecond), (took - read).Round(time.Microsecond))
			require.Less(t, took, 20*time.Second)
		})
	}
}

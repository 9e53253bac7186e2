package pattern

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/testing/patterns"
)

// found is a value of the metadata with the elements of the lists that it is in.
type found struct {
	path    string
	value   scalar
	element map[*value]int
}

// flatten returns all values of the metadata.
func flatten(v *value, path []string, element map[*value]int) []found {
	var out []found
	within := func(i int) map[*value]int {
		more := map[*value]int{v: i}
		maps.Copy(more, element)
		return more
	}
	for i := range v.children {
		child := &v.children[i]
		switch {
		case v.kind == kindObject:
			out = append(out, flatten(child, append(slices.Clip(path), v.names[i]), element)...)
		case child.kind >= kindList:
			out = append(out, flatten(child, path, within(i))...)
		default:
			out = append(out, flatten(child, path, element)...)
		}
	}
	if v.kind < kindList {
		out = append(out, found{strings.Join(path, "."), v.scalar, element})
	}
	return out
}

// together returns the elements that two values choose together, nil if they are in different elements of one list.
func together(a, b map[*value]int) map[*value]int {
	both := maps.Clone(a)
	for list, at := range b {
		if other, chosen := both[list]; chosen && other != at {
			return nil
		}
		both[list] = at
	}
	return both
}

// searches tries all values for each leaf in turn, as the documentation of event-ruler describes it, however long that takes.
func searches(p *Pattern, values []found, combination []int, chosen map[*value]int) bool {
	if len(combination) == 0 {
		return true
	}
	l := &p.leaves[combination[0]]
	absent := true
	for _, one := range values {
		if one.path != strings.Join(l.names, ".") {
			continue
		}
		both := together(chosen, one.element)
		if both == nil {
			continue
		}
		absent = false
		if l.any(one.value) && searches(p, values, combination[1:], both) {
			return true
		}
	}
	return absent && l.absent && searches(p, values, combination[1:], chosen)
}

func TestMatchFindsWhatASearchOfAllElementsFinds(t *testing.T) {
	matched, apart := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.Bool().Draw(t, "rows")
		p, errs := Parse([]byte(patterns.Pattern(t, rows)))
		require.NoError(t, errs.Err())
		for range 50 {
			metadata, err := Read([]byte(patterns.Metadata(t, rows)))
			require.NoError(t, err)
			values := flatten(&metadata.root, nil, nil)

			got := p.Match(metadata)

			want := slices.ContainsFunc(p.combinations, func(c []int) bool { return searches(&p, values, c, map[*value]int{}) })
			require.Equal(t, want, got.Matches)
			require.Equal(t, !want, len(got.Misses) > 0)
			if want {
				matched++
			}
			for _, m := range got.Misses {
				if m.Beside != nil {
					apart++
					require.NotEmpty(t, m.Beside)
				}
			}
		}
	})

	if testing.Short() {
		return // too few are drawn for each kind to be among them
	}
	require.Positive(t, matched, "nothing was drawn that matches")
	require.Positive(t, apart, "nothing was drawn that fails in different elements of a list alone")
}

// A miss is true: metadata that has the missed field with a value that meets it, and else the same, is missed elsewhere or matches.
func TestAMissDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.Bool().Draw(t, "rows")
		p, errs := Parse([]byte(patterns.Pattern(t, rows)))
		require.NoError(t, errs.Err())
		metadata, err := Read([]byte(patterns.Metadata(t, rows)))
		require.NoError(t, err)
		values := flatten(&metadata.root, nil, nil)
		for _, miss := range p.Match(metadata).Misses {
			at := slices.IndexFunc(p.leaves, func(l leaf) bool { return l.at == miss.At })
			require.GreaterOrEqual(t, at, 0, miss.At)
			alone := searches(&p, values, []int{at}, map[*value]int{})
			require.Equal(t, alone, miss.Beside != nil, "%s", miss)
			require.Contains(t, miss.String(), miss.Path)
		}
	})
}

func TestAPatternIsReadBackAsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, errs := Parse([]byte(patterns.Pattern(t, false)))
		require.NoError(t, errs.Err())
		again, errs := Parse([]byte(p.String()))
		require.NoError(t, errs.Err())
		require.Equal(t, p, again)
	})
}

// What Lint says is so for all metadata that is drawn.
func TestLintIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.Bool().Draw(t, "rows")
		p, errs := Parse([]byte(patterns.Pattern(t, rows)))
		require.NoError(t, errs.Err())
		findings := p.Lint()
		for range 10 {
			metadata, err := Read([]byte(patterns.Metadata(t, rows)))
			require.NoError(t, err)
			values := flatten(&metadata.root, nil, nil)
			for _, f := range findings {
				at := slices.IndexFunc(p.leaves, func(l leaf) bool { return l.at == f.Path })
				switch {
				case f.Path == "":
					require.Equal(t, f.Doubt == Always, p.Match(metadata).Matches, "%s", f)
				case f.Doubt == Always || f.Doubt == Never:
					require.Equal(t, f.Doubt == Always, searches(&p, values, []int{at}, map[*value]int{}), "%s", f)
				case f.Doubt == AnyValue:
					for _, one := range values {
						require.True(t, p.leaves[at].any(one.value), "%s: %v", f, one.value)
					}
				}
			}
		}
	})
}

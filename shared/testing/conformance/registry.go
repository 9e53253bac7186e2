package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
)

// RunRegistry tests the store of applied configuration.
func RunRegistry(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"a labourer is read as it was applied":                     appliedAsGiven,
		"what is not applied is not found":                         notApplied,
		"labourers are read together by their ids":                 named,
		"a labourer is applied over what was read":                 appliedOver,
		"one of two concurrent applications succeeds":              applyRace,
		"a labourer that is removed is gone with its state":        removed,
		"an unreadable labourer stops no other":                    unreadable,
		"a schema is read as it was applied and has a default one": schemas,
		"all that is applied is listed":                            listed,
	})
}

func newLabourer() labourer.Labourer {
	l := labourer.New(unique("labourer"))
	l.Target.Lambda = "arn:aws:lambda:us-west-2:000000000000:function:some_function"
	l.MaxSimultaneousInvocations, l.MaxDuration, l.MaxDurationGiven, l.Heartbeat = 2.5, 90*time.Second, true, time.Minute
	l.NotRetryable = []string{"BadInput"}
	return l
}

func apply(t *testing.T, r Registry, l labourer.Labourer, over int) {
	t.Helper()
	require.NoError(t, r.ApplyLabourer(t.Context(), l.ID, string(l.Stored()), over))
}

func appliedAsGiven(t *testing.T, s Stores) {
	l := newLabourer()
	apply(t, s.Registry, l, 0)

	read, found, err := s.Registry.Labourer(t.Context(), l.ID)

	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, l, read)
}

func named(t *testing.T, s Stores) {
	first, second := newLabourer(), newLabourer()
	apply(t, s.Registry, first, 0)
	apply(t, s.Registry, second, 0)
	undecodable := unique("labourer")
	require.NoError(t, s.Registry.ApplyLabourer(t.Context(), undecodable, "{", 0))

	for _, ids := range [][]string{{}, {first.ID}, {second.ID, unique("none"), first.ID, undecodable, ""}, {unique("none")}, {undecodable}} {
		want := map[string]labourer.Labourer{}
		for _, l := range []labourer.Labourer{first, second} {
			if slices.Contains(ids, l.ID) {
				want[l.ID] = l
			}
		}
		read, err := s.Registry.Named(t.Context(), ids)
		require.NoError(t, err)
		require.Equal(t, want, read, "of %q", ids)
	}
}

func notApplied(t *testing.T, s Stores) {
	for _, id := range []string{unique("none"), ""} {
		_, found, err := s.Registry.Labourer(t.Context(), id)
		require.NoError(t, err)
		require.False(t, found)
	}
	_, found, err := s.Registry.Schema(t.Context(), unique("none"))
	require.NoError(t, err)
	require.False(t, found)
	require.ErrorIs(t, s.Registry.RemoveLabourer(t.Context(), unique("none"), 1), errQueue)
}

func appliedOver(t *testing.T, s Stores) {
	l := newLabourer()
	apply(t, s.Registry, l, 0)
	apply(t, s.Registry, l, 0) // as a client does whose answer was lost
	require.ErrorIs(t, s.Registry.ApplyLabourer(t.Context(), l.ID, "{}", 0), errQueue, "it is there by now")

	l.MaxSimultaneousInvocations = 7
	apply(t, s.Registry, l, 1)

	read, _, err := s.Registry.Labourer(t.Context(), l.ID)
	require.NoError(t, err)
	require.Equal(t, l, read)
	require.ErrorIs(t, s.Registry.ApplyLabourer(t.Context(), l.ID, "{}", 1), errQueue)
	require.ErrorIs(t, s.Registry.ApplyLabourer(t.Context(), unique("none"), "{}", 1), errQueue)
	all, err := s.Registry.All(t.Context(), true)
	require.NoError(t, err)
	require.Equal(t, 2, all.Labourers[l.ID].Revision)
	require.Equal(t, string(l.Stored()), all.Labourers[l.ID].Text)
}

func applyRace(t *testing.T, s Stores) {
	l := newLabourer()
	racers := make([]func() error, 6)
	for over := range 2 {
		for i := range racers {
			one := l
			one.MaxAttempts = i + 1
			racers[i] = func() error { return s.Registry.ApplyLabourer(t.Context(), l.ID, string(one.Stored()), over) }
		}
		require.Equal(t, 1, race(t, errQueue, racers...))
	}
}

func removed(t *testing.T, s Stores) {
	l := newLabourer()
	apply(t, s.Registry, l, 0)
	require.NoError(t, s.Control.SetPaused(t.Context(), l.ID, true))
	require.ErrorIs(t, s.Registry.RemoveLabourer(t.Context(), l.ID, 2), errQueue)

	require.NoError(t, s.Registry.RemoveLabourer(t.Context(), l.ID, 1))

	_, found, err := s.Registry.Labourer(t.Context(), l.ID)
	require.NoError(t, err)
	require.False(t, found)
	state, err := s.Control.State(t.Context(), l.ID)
	require.NoError(t, err)
	require.False(t, state.Paused)
	require.ErrorIs(t, s.Registry.RemoveLabourer(t.Context(), l.ID, 1), errQueue)
	apply(t, s.Registry, l, 0)
}

func unreadable(t *testing.T, s Stores) {
	good, bad := newLabourer(), newLabourer()
	apply(t, s.Registry, good, 0)
	require.NoError(t, s.Registry.ApplyLabourer(t.Context(), bad.ID, "no JSON", 0))

	_, _, err := s.Registry.Labourer(t.Context(), bad.ID)
	require.ErrorContains(t, err, bad.ID)
	shortly(t, func() bool {
		all, err := s.Registry.Labourers(t.Context())
		require.NoError(t, err)
		_, there := all[good.ID]
		require.NotContains(t, all, bad.ID)
		return there
	}, "the one that can be read is among the labourers")
}

func schemas(t *testing.T, s Stores) {
	name := unique("schema")
	schema := job.Schema{ChunkableAttrs: []string{"section", "store"}}
	require.NoError(t, s.Registry.ApplySchema(t.Context(), name, string(schema.Stored()), 0))
	require.NoError(t, s.Registry.ApplySchema(t.Context(), name, string(schema.Stored()), 0), "no other test has it")
	require.ErrorIs(t, s.Registry.ApplySchema(t.Context(), name, "{}", 0), errQueue)

	read, found, err := s.Registry.Schema(t.Context(), name)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, schema.ChunkableAttrs, read.ChunkableAttrs)

	byDefault := job.Schema{ChunkableAttrs: []string{"product"}}
	// Another test or run may have applied it. It always reads the same.
	if err := s.Registry.ApplySchema(t.Context(), "default", string(byDefault.Stored()), 0); err != nil {
		require.ErrorIs(t, err, errQueue)
	}
	read, found, err = s.Registry.Schema(t.Context(), "")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, byDefault.ChunkableAttrs, read.ChunkableAttrs)
}

func listed(t *testing.T, s Stores) {
	l, schema := newLabourer(), unique("schema")
	apply(t, s.Registry, l, 0)
	require.NoError(t, s.Registry.ApplySchema(t.Context(), schema, string(job.Schema{}.Stored()), 0))

	all, err := s.Registry.All(t.Context(), true)
	require.NoError(t, err)
	require.Contains(t, all.Labourers, l.ID)
	require.Contains(t, all.Schemas, schema)
	require.NotContains(t, all.Labourers, schema)
	shortly(t, func() bool {
		labourers, schemas, err := s.Registry.Names(t.Context())
		require.NoError(t, err)
		require.IsIncreasing(t, append([]string{""}, labourers...))
		return slices.Contains(labourers, l.ID) && slices.Contains(schemas, schema)
	}, "both names")
}

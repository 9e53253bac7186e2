package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/queue"
)

// RunCaps tests the store of caps that find themselves, and of pins.
func RunCaps(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"a controller comes back as it was":           controls,
		"of two controllers at once one is kept":      controlRace,
		"changes of a cap come back in their order":   notes,
		"a pin comes back, and disturbs older claims": pins,
		"a change of the same minute of day is newer": notesWrap,
	})
}

func controller(limit float64) adaptive.Controller {
	return adaptive.Controller{Cap: limit, Changed: noon, Settled: noon, Loads: []float64{0.5, 1.0 / 3}, First: noon, Effects: []adaptive.Effect{{Base: 0.1, Each: 0.02}},
		Members: map[string]adaptive.Member{"f": {Min: 1, Max: 20, Running: 3, Due: 7, At: noon}}}
}

func controls(t *testing.T, s Stores) {
	key, none := unique("metric"), unique("metric")
	require.NoError(t, s.Health.Control(t.Context(), key, adaptive.Controller{}, controller(5)))
	got, err := s.Health.Controllers(t.Context(), []string{key, none})
	require.NoError(t, err)
	require.Equal(t, map[string]adaptive.Controller{key: controller(5)}, got)
	require.NoError(t, s.Health.Control(t.Context(), key, got[key], controller(6)))
	require.ErrorIs(t, s.Health.Control(t.Context(), key, got[key], controller(7)), errQueue)
	require.ErrorIs(t, s.Health.Control(t.Context(), key, adaptive.Controller{}, controller(7)), errQueue)
	got, err = s.Health.Controllers(t.Context(), []string{key})
	require.NoError(t, err)
	require.InDelta(t, 6, got[key].Cap, 0)
}

func controlRace(t *testing.T, s Stores) {
	key := unique("metric")
	var racers []func() error
	for i := range 6 {
		racers = append(racers, func() error {
			return s.Health.Control(t.Context(), key, adaptive.Controller{}, controller(float64(i+1)))
		})
	}
	require.Equal(t, 1, race(t, errQueue, racers...))
}

func notes(t *testing.T, s Stores) {
	id, value := unique("labourer"), 61.5
	law := adaptive.Noted{At: noon.Add(time.Hour), From: 5, To: 4, Reason: "the load is 112 % of the target", Metric: "CPU", Value: &value}
	pin := adaptive.Noted{At: noon, From: 4, To: 9, Reason: "pinned to 9"}
	require.NoError(t, s.Health.Note(t.Context(), id, law))
	require.NoError(t, s.Health.Note(t.Context(), id, pin))
	require.NoError(t, s.Health.Note(t.Context(), id, pin), "twice is once")
	got, err := s.Health.Noted(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []adaptive.Noted{pin, law}, got)
	got, err = s.Health.Noted(t.Context(), unique("labourer"))
	require.NoError(t, err)
	require.Empty(t, got)
}

func notesWrap(t *testing.T, s Stores) {
	id := unique("labourer")
	for day := range 3 {
		require.NoError(t, s.Health.Note(t.Context(), id, adaptive.Noted{At: noon.Add(time.Duration(day) * 24 * time.Hour), To: day + 1, Metric: "CPU"}))
	}
	got, err := s.Health.Noted(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, 3, got[0].To)
}

func pins(t *testing.T, s Stores) {
	id := unique("labourer")
	pin := &queue.Pin{Cap: 7, Until: noon.Add(time.Hour), By: "ada", At: noon}
	require.NoError(t, s.Control.SetPin(t.Context(), id, pin))
	state, err := s.Control.State(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, queue.State{Version: 1, Pin: pin}, state)
	require.NoError(t, s.Control.SetPin(t.Context(), id, nil))
	state, err = s.Control.State(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, queue.State{Version: 2}, state)
}

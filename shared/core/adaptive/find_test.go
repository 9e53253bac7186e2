package adaptive_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/adaptive"
)

func TestAChangeThatAnotherExecutionHasFoundKeepsItsReason(t *testing.T) {
	aim := adaptive.Aim{Target: adaptive.Target{Value: 60}, Period: time.Minute}
	aims := map[string]adaptive.Aim{"load": aim}
	numbers := adaptive.Numbers{Min: 2, Max: 20, Running: 5, Due: 9}
	load := 95.0
	find := func(controllers map[string]adaptive.Controller, before adaptive.Found, now time.Time) (map[string]adaptive.Controller, adaptive.Found) {
		next, found, _ := adaptive.Find("w", aims, map[string]adaptive.Reading{"load": {Value: &load, At: now, About: now}}, controllers, before, numbers, now)
		return next, found
	}
	controllers, before := find(nil, adaptive.Found{}, noon)
	require.Equal(t, 2, before.Cap)
	c := controllers[aim.Key()]
	c.Cap, before.Cap = 5, 5
	controllers[aim.Key()] = c

	controllers, before = find(controllers, before, noon.Add(5*time.Second)) // what runs has come to the cap
	require.Equal(t, 5, before.Cap)
	later := noon.Add(2 * time.Minute)
	changed, found := find(controllers, before, later)
	require.Equal(t, 2, found.Cap)
	require.Equal(t, "load: the load is 158 % of the target: an emergency", found.Reason)

	_, again := find(changed, before, later.Add(100*time.Millisecond))
	require.Equal(t, found.Reason, again.Reason)
	require.Equal(t, found.Cap, again.Cap)
}

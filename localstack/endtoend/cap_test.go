package endtoend

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
)

func TestG3NoMoreWorkersRunThanTheCapAllows(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 3, nil))

	s.submit(t, tasks(40, object{"do": "meet", "meet": 3}))

	require.Equal(t, ledger.Counts{Completed: 40}, s.ended(t, named(t)).Counts)
	most := 0
	for _, r := range s.archived(t, named(t)) {
		var seen struct{ Running int }
		require.NoError(t, json.Unmarshal(r.Result, &seen))
		most = max(most, seen.Running)
	}
	require.Equal(t, 3, most, "the most workers that ran at the same time")
	s.idle(t)
}

func TestG3TwentyOrchestrationsAtOnceKeepTheCap(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(5, nil))
	s.submit(t, tasks(17, nil))

	for left := 17; left > 0; {
		s.orchestrateAtOnce(t, 20, wake(t))
		handed := min(left, 5)
		work := d.take(t, handed)
		require.Zero(t, d.waiting(t), "more than %d tasks were dispatched", handed)
		require.Equal(t, handed, s.running(t))
		s.complete(t, work...)
		left -= handed
		await(t, fmt.Sprintf("the slots of %d tasks to be free", handed), func() (string, bool) {
			return s.situation(t), d.waiting(t)+s.running(t) == 2*min(left, 5) || left == 0
		})
	}
	require.Equal(t, 17, s.ended(t, named(t)).Counts.Completed)
	s.idle(t)
}

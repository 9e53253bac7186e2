package endtoend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
)

// TestWhySaysWhatBindsNowAndWhatDidBefore: an execution shows the decision, the function's log keeps it, and the command line finds it there.
func TestWhySaysWhatBindsNowAndWhatDidBefore(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(2, nil))
	began := time.Now().Add(-time.Minute) // clocks differ
	s.submit(t, tasks(5, nil))
	work := d.take(t, 2)

	seen := s.look(t)
	require.Equal(t, []any{decision.Cap, 2, 2, 0, 3, 0}, []any{seen.Binding, seen.Desired, seen.Running, seen.Free, seen.Due, seen.Started})
	require.Len(t, seen.Evidence.Holders, 2)

	why := document(t, s.cli(t, "why", named(t)))
	require.Equal(t, object{"kind": "labourer", "binding": "cap", "reason": seen.Reason}, fieldsOf(why, "kind", "binding", "reason"))
	why = document(t, s.cli(t, "why", work[0].taskID))
	require.Equal(t, object{"kind": "task", "status": "running"}, fieldsOf(why, "kind", "status"))
	why = document(t, s.cli(t, "why", named(t))) // the job has the same name: the labourer is meant
	require.Equal(t, "labourer", why["kind"])

	s.cli(t, "pause", named(t), "--by", "Ada")
	paused := await(t, "the pause to be decided on and logged", func() (object, bool) {
		all := lines(t, s.cli(t, "why", named(t), "--since", time.Since(began).Round(time.Second).String()))
		return all[len(all)-1], all[len(all)-1]["binding"] == "paused"
	})
	require.Contains(t, paused["reason"], "the labourer is paused by Ada since ")
	all := lines(t, s.cli(t, "why", named(t), "--since", "1h"))
	started := 0.
	for _, one := range all {
		require.Equal(t, named(t), one["labourer_id"])
		started += one["started"].(float64)
	}
	require.EqualValues(t, 2, started, "each claim is logged once")
	require.Equal(t, paused["at"], document(t, s.cli(t, "why", named(t), "--at", paused["at"].(string)))["at"])

	s.cli(t, "resume", named(t))
	s.complete(t, work...)
	s.complete(t, d.take(t, 2)...)
	s.complete(t, d.take(t, 1)...)
	s.ended(t, named(t))
}

package decision_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// paced returns the assessment of a labourer with this cap and these taken slots, whose one metric has this value: up to 25 is High, up to 50
// is Good, and more is Bad.
func paced(limit, cpu float64, granted int) ecology.Assessment {
	metrics := map[string]ecology.Metric{"cpu": {Feelings: ecology.Feelings{3: 50, 4: 25}, Operator: ecology.AtMost}}
	subject := ecology.Subject{Cap: limit, Coefficients: ecology.DefaultCoefficients(), Metrics: metrics}
	return ecology.Assess(subject, map[string]ecology.Reading{"cpu": {Value: &cpu, At: now.Add(-42 * time.Second)}}, nil, now, granted)
}

// lease returns a lease on the job "nightly" with n tasks in hand, the first for a minute and each later one for a second less, and more waiting.
func lease(n, waiting int) queue.Lease {
	l := queue.Lease{Labourer: "shop", Segment: segment.IDOf("nightly", 0), Attempt: 1, Job: "nightly", Slots: n, Hands: map[int]queue.Hand{},
		Due: now.Add(-2 * time.Minute)}
	for i := range n {
		l.Hands[i] = queue.Hand{Since: now.Add(-time.Minute + time.Duration(i)*time.Second), By: queue.Dispatched}
	}
	for i := range waiting {
		l.Waiting = l.Waiting.Union(segment.Of(n + i))
	}
	l.Tasks = l.Held()
	return l
}

func entry(tasks int, due time.Time) queue.Entry {
	e := queue.Entry{Labourer: "shop", Due: due, Segment: segment.IDOf("nightly", 1), Attempt: 1, Job: "nightly"}
	for i := range tasks {
		e.Tasks = e.Tasks.Union(segment.Of(i))
	}
	return e
}

func shop(limit, cpu float64, leases []queue.Lease, entries ...queue.Entry) decision.Snapshot {
	return decision.Snapshot{Labourer: "shop", Execution: "mine", Leases: leases, Entries: entries, Assessment: paced(limit, cpu, queue.Granted(leases))}
}

func TestEveryBindingHasItsReasonAndItsEvidence(t *testing.T) {
	due := entry(5, now.Add(-time.Minute))
	paused, anonymous := shop(4, 20, nil, due), shop(4, 20, nil, due)
	paused.State = queue.State{Paused: true, Pause: queue.Pause{By: "arn:aws:iam::1:user/ada", At: now.Add(-time.Hour)}}
	anonymous.State = queue.State{Paused: true}
	troubled, probing, throttled := shop(4, 20, nil, due), shop(4, 20, nil, due), shop(4, 20, nil, due)
	troubled.State.Trouble = &queue.Trouble{Error: "no such function", At: now, Until: now.Add(30 * time.Second), Times: 1}
	probing.State.Trouble = &queue.Trouble{Error: "no such function", At: now.Add(-time.Minute), Until: now.Add(-30 * time.Second), Times: 1}
	throttled.State.Trouble = &queue.Trouble{Error: "too many requests", At: now, Until: now.Add(3 * time.Second)}
	held := shop(4, 20, nil, due)
	held.State.Hold = queue.Hold{By: "another", Until: now.Add(10 * time.Second)}
	ordered := lease(2, 3)
	ordered.Ordered, ordered.Slots, ordered.Hands[0] = true, 4, queue.Hand{Since: now, By: queue.Undispatched}
	looked := shop(4, 20, []queue.Lease{lease(4, 0)}, due)
	looked.More = true
	for name, c := range map[string]struct {
		of       decision.Snapshot
		binding  decision.Binding
		reason   string
		evidence string
	}{
		"nothing due":        {shop(4, 20, []queue.Lease{lease(2, 0)}, entry(3, now.Add(time.Second))), decision.NothingDue, "nothing is due", "null"},
		"paused":             {paused, decision.Paused, "the labourer is paused by arn:aws:iam::1:user/ada since 2026-11-22T08:00:00Z", `{"pause":{"by":"arn:aws:iam::1:user/ada","at":"2026-11-22T08:00:00Z"}}`},
		"paused by a stack":  {anonymous, decision.Paused, "the labourer is paused", "null"},
		"cap of 0":           {shop(0, 20, nil, due), decision.Cap, "the cap is 0", "null"},
		"cap under 1":        {shop(0.5, 20, nil, due), decision.Cap, "the cap is 0.5", "null"},
		"cap":                {shop(1, 20, []queue.Lease{lease(1, 2)}, due), decision.Cap, "no slot is free: 1 of 1 are taken, 7 tasks are due", `{"holders":[{"task_id":"x.0","job_id":"nightly","attempt":1,"since":"2026-11-22T08:59:00Z"}]}`},
		"more than was read": {looked, decision.Cap, "no slot is free: 4 of 4 are taken, more than 5 tasks are due", `{"holders":[{"task_id":"x.0","job_id":"nightly","attempt":1,"since":"2026-11-22T08:59:00Z"},{"task_id":"x.1","job_id":"nightly","attempt":1,"since":"2026-11-22T08:59:01Z"},{"task_id":"x.2","job_id":"nightly","attempt":1,"since":"2026-11-22T08:59:02Z"}]}`},
		"bad health":         {shop(4, 97.5, nil, due), decision.Health, "health is Bad: cpu is Bad: 97.5 is not <= 50 (Good) or 25 (High)", `{"metric":{"name":"cpu","status":0,"value":97.5,"age_seconds":42,"threshold":50,"operator":"<=","reason":"97.5 is not <= 50 (Good) or 25 (High)"}}`},
		"worse health":       {shop(2, 40, []queue.Lease{lease(1, 0)}, due), decision.Health, "no slot is free: 1 of 1 are taken, 5 tasks are due; health is Good: cpu is Good: 40 <= 50", `{"metric":{"name":"cpu","status":3,"value":40,"age_seconds":42,"threshold":25,"operator":"<=","reason":"40 <= 50"},"holders":[{"task_id":"x.0","job_id":"nightly","attempt":1,"since":"2026-11-22T08:59:00Z"}]}`},
		"target":             {troubled, decision.Target, "the target could not be reached, it is tried again at 2026-11-22T09:00:30Z: no such function", `{"trouble":{"error":"no such function","at":"2026-11-22T09:00:00Z","until":"2026-11-22T09:00:30Z","times":1}}`},
		"target untried":     {probing, decision.Target, "the target could not be reached at 2026-11-22T08:59:00Z and is tried again within a minute: no such function", `{"trouble":{"error":"no such function","at":"2026-11-22T08:59:00Z","until":"2026-11-22T08:59:30Z","times":1}}`},
		"target throttles":   {throttled, decision.Target, "the target could not be reached, it is tried again at 2026-11-22T09:00:03Z: too many requests", `{"trouble":{"error":"too many requests","at":"2026-11-22T09:00:00Z","until":"2026-11-22T09:00:03Z"}}`},
		"held":               {held, decision.Busy, "another execution holds the labourer: 4 of 4 are free, 5 tasks are due", `{"hold":{"by":"another","until":"2026-11-22T09:00:10Z"}}`},
		"in order":           {shop(4, 20, []queue.Lease{ordered}), decision.Busy, "a task before them is being started, and 3 tasks are due", "null"},
		"nothing":            {shop(4, 20, []queue.Lease{lease(1, 0)}, due), decision.None, "tasks are being started: 3 of 4 are free, 5 tasks are due", "null"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.of.Decide(now).Record
			require.Equal(t, c.binding, r.Binding)
			require.Equal(t, c.reason, r.Reason)
			if r.Evidence != nil {
				for i := range r.Evidence.Holders {
					r.Evidence.Holders[i].Task = "x" + r.Evidence.Holders[i].Task[len(r.Evidence.Holders[i].Task)-2:]
				}
			}
			text, err := json.Marshal(r.Evidence)
			require.NoError(t, err)
			require.JSONEq(t, c.evidence, string(text))
		})
	}
}

func TestARecordIsWrittenAsPromised(t *testing.T) {
	s := shop(4, 40, []queue.Lease{lease(1, 1)}, entry(5, now.Add(-time.Hour)), entry(2, now.Add(time.Hour)))
	text, err := json.Marshal(s.Decide(now.Add(123456 * time.Microsecond)).Started(2))
	require.NoError(t, err)
	require.Contains(t, strings.ReplaceAll(string(text), `\u003c`, "<"), `{"at":"2026-11-22T09:00:00.123Z","labourer_id":"shop","status":3,"metrics":{"cpu":3},"cap":4,"desired":3,"running":1,"free":2,"due":6,`+
		`"binding":"health","reason":"no slot is free: 3 of 3 are taken, 4 tasks are due; health is Good: cpu is Good: 40 <= 50","started":2,"oldest_due":"2026-11-22T08:00:00Z","evidence":{`)
}

func TestAClaimSaysWhyItStartedNoMore(t *testing.T) {
	due := entry(5, now)
	trouble := queue.State{Trouble: &queue.Trouble{Error: "no such function", At: now.Add(-time.Minute), Until: now.Add(-30 * time.Second), Times: 1}}
	for name, c := range map[string]struct {
		of      decision.Snapshot
		state   queue.State
		more    bool
		started int
		binding decision.Binding
		reason  string
	}{
		"all":                   {shop(10, 20, nil, due), queue.State{}, false, 5, decision.None, "5 due tasks were started"},
		"all that were read":    {shop(10, 20, nil, due), queue.State{}, true, 5, decision.Busy, "5 tasks were started, more than 5 were due; the next claim starts more"},
		"as many as the cap":    {shop(3, 20, nil, due), queue.State{}, false, 3, decision.Cap, "no slot is free: 3 of 3 are taken, 2 tasks are due"},
		"as health allows":      {shop(4, 40, nil, due), queue.State{}, false, 3, decision.Health, "no slot is free: 3 of 3 are taken, 2 tasks are due; health is Good: cpu is Good: 40 <= 50"},
		"all of exactly enough": {shop(5, 40, nil, entry(3, now)), queue.State{}, false, 3, decision.None, "3 due tasks were started"},
		"one that probes":       {shop(10, 20, nil, due), trouble, false, 1, decision.Target, "the target could not be reached at 2026-11-22T08:59:00Z and is tried again within a minute: no such function"},
		"a probe that is all":   {shop(10, 20, nil, entry(1, now)), trouble, false, 1, decision.None, "1 due task was started"},
		"as many as one claim":  {shop(10, 20, nil, due), queue.State{}, false, 4, decision.Busy, "4 tasks were started, 5 were due; the next claim starts more"},
	} {
		t.Run(name, func(t *testing.T) {
			c.of.State, c.of.More = c.state, c.more
			d := c.of.Decide(now)
			require.True(t, d.Start)
			r := d.Started(c.started)
			require.Equal(t, c.reason, r.Reason)
			require.Equal(t, []any{c.binding, c.started}, []any{r.Binding, r.Started})
		})
	}
	yielded := shop(3, 20, nil, due).Decide(now).Yielded("another was first")
	require.Equal(t, []any{decision.Busy, "another was first", 0}, []any{yielded.Binding, yielded.Reason, yielded.Started})
}

// TestBindingAndNumbersAgree draws snapshots: whatever holds in one, and whatever a claim starts, the record does not contradict itself.
func TestBindingAndNumbersAgree(t *testing.T) {
	dice := rand.New(rand.NewPCG(15, 1))
	seen := map[decision.Binding]int{}
	for range 20000 {
		s := drawn(dice)
		d := s.Decide(now)
		records := []decision.Record{d.Record}
		if d.Start {
			require.NotEqual(t, decision.Paused, d.Record.Binding)
			records = append(records, s.Decide(now).Started(dice.IntN(min(d.Record.Free, d.Record.Due)+1)))
		} else if d.Record.Binding == decision.None {
			t.Fatalf("nothing binds, and nothing starts: %+v", d.Record)
		}
		for i, r := range records {
			agrees(t, r, i == 1)
			seen[r.Binding]++
		}
	}
	for _, b := range decision.Bindings {
		require.Greater(t, seen[b], 50, "%s is drawn too seldom", b)
	}
}

func agrees(t *testing.T, r decision.Record, claimed bool) {
	t.Helper()
	require.Equal(t, max(r.Desired-r.Running, 0), r.Free, "%+v", r)
	require.LessOrEqual(t, r.Started, r.Free, "%+v", r)
	require.LessOrEqual(t, r.Started, r.Due, "%+v", r)
	require.NotEmpty(t, r.Reason)
	require.Equal(t, r.Due > 0, r.OldestDue != nil, "%+v", r)
	switch r.Binding {
	case decision.None:
		require.True(t, !claimed || r.Started == r.Due && !r.DueMore, "%+v", r)
	case decision.NothingDue:
		require.Zero(t, r.Due, "%+v", r)
	case decision.Cap, decision.Health:
		require.Equal(t, r.Free, r.Started, "%+v", r)
		require.Positive(t, r.Due, "%+v", r)
		require.Equal(t, r.Binding == decision.Health, r.Desired < int(r.Cap), "%+v", r)
	case decision.Paused, decision.Target, decision.Busy:
	default:
		t.Fatalf("unknown binding %q", r.Binding)
	}
	if r.Free == r.Started && r.Due > r.Started {
		require.Contains(t, []decision.Binding{decision.Cap, decision.Health, decision.Paused}, r.Binding, "%+v", r)
	}
}

func drawn(dice *rand.Rand) decision.Snapshot {
	var leases []queue.Lease
	for i := range dice.IntN(3) {
		l := lease(dice.IntN(3), dice.IntN(3))
		l.Segment, l.Slots = segment.IDOf("nightly", i), dice.IntN(4)
		if l.Ordered = dice.IntN(4) == 0; l.Ordered && len(l.Hands) > 0 {
			l.Hands[0] = queue.Hand{Since: now, By: queue.Undispatched}
		}
		if !l.Empty() {
			leases = append(leases, l)
		}
	}
	var entries []queue.Entry
	for range dice.IntN(3) {
		entries = append(entries, entry(dice.IntN(4), now.Add(time.Duration(dice.IntN(3)-1)*time.Minute)))
	}
	s := shop(float64(dice.IntN(9)), []float64{20, 20, 40, 90}[dice.IntN(4)], leases, entries...)
	s.State.Paused, s.More = dice.IntN(8) == 0, dice.IntN(8) == 0
	if dice.IntN(5) == 0 {
		s.State.Trouble = &queue.Trouble{Error: "no such function", At: now, Until: now.Add(time.Duration(dice.IntN(3)-1) * time.Minute), Times: dice.IntN(2)}
	}
	if dice.IntN(5) == 0 {
		s.State.Hold = queue.Hold{By: []string{"mine", "another"}[dice.IntN(2)], Until: now.Add(time.Duration(dice.IntN(3)-1) * time.Minute)}
	}
	return s
}

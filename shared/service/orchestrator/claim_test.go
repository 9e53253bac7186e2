package orchestrator_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// drive is a labourer with random steps, which interrupt each other.
type drive struct {
	t       *rapid.T
	s       *outage.Stage
	limit   int // the cap that is applied
	highest int // the highest cap in force since the last check
	paused  bool
	resumed bool // it was not paused all the time since the last check
	drained bool // it is paused, and what waited was revoked since
	undone  []orchestrator.Handout
	handed  int // attempts that were reported on, or forgotten
	jobs    int
	inside  int
}

// execution draws one of two names: two steps under one name may also be one step that runs twice.
func (d *drive) execution() string {
	return rapid.SampledFrom([]string{"one", "other"}).Draw(d.t, "execution")
}

// step runs a random step. Other steps may interrupt its requests, and others again may interrupt those.
func (d *drive) step() {
	d.inside++
	defer func() { d.inside-- }()
	step := rapid.SampledFrom([]string{"claim", "claim", "claim", "dispatch", "dispatch", "close", "close", "close", "reap", "apply", "pause", "revoke", "revoke",
		"pass", "scavenge", "submit", "assess"}).Draw(d.t, "step")
	requests, at := 0, 0
	if d.inside < 3 && slices.Contains([]string{"claim", "dispatch", "reap", "assess", "revoke", "close"}, step) && rapid.Bool().Draw(d.t, "interrupted") {
		at = rapid.IntRange(1, 8).Draw(d.t, "at request")
	}
	outer := d.s.DynamoDB.Before
	d.s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
		if requests++; requests == at {
			hook := d.s.DynamoDB.Before
			d.s.DynamoDB.Before = nil
			for range rapid.IntRange(1, 3).Draw(d.t, "steps in between") {
				d.step()
			}
			d.s.DynamoDB.Before = hook
		}
		return nil
	}
	defer func() { d.s.DynamoDB.Before = outer }()

	o := d.s.Services().Orchestrator.Service
	switch step {
	case "claim":
		claimed, err := o.Claim(ctx, d.execution(), "f", orchestrator.Decided{Round: rapid.IntRange(1, 3).Draw(d.t, "round")})
		require.NoError(d.t, err)
		d.undone = append(d.undone, claimed.Leases...)
	case "dispatch":
		items := d.undone
		if rapid.Bool().Draw(d.t, "once") {
			d.undone = nil
		}
		_, err := o.Dispatch(ctx, "f", items)
		require.NoError(d.t, err)
	case "close":
		h := d.s.Handed(d.t, "f")
		if d.handed >= len(h) {
			return
		}
		one := h[d.handed]
		d.handed++
		switch rapid.IntRange(0, 4).Draw(d.t, "end") {
		case 0:
			d.s.Report(d.t, one.Failed("Boom"))
		case 1: // its worker never reports
		default:
			d.s.Report(d.t, one.Completed(), one.Completed())
		}
	case "reap":
		reaped, err := o.Reap(ctx, "f")
		require.NoError(d.t, err)
		d.undone = append(d.undone, reaped.Undispatched...)
	case "apply":
		d.limit = rapid.IntRange(0, 6).Draw(d.t, "cap")
		d.highest = max(d.highest, d.limit)
		require.NoError(d.t, d.s.Apply(labourers(d.limit)))
	case "pause":
		d.paused, d.drained = rapid.Bool().Draw(d.t, "paused"), false
		d.resumed = d.resumed || !d.paused
		require.NoError(d.t, d.s.Control.SetPaused(ctx, "f", d.paused))
	case "revoke":
		paused := d.paused
		d.drained = false
		_, err := o.Revoke(ctx, "f")
		require.NoError(d.t, err)
		none := waiting(d.t, d.s) == 0 // other steps may interrupt this read too
		d.drained = paused && d.paused && none
	case "pass":
		d.s.Pass(time.Duration(rapid.IntRange(1, 1200).Draw(d.t, "seconds")) * time.Second)
	case "scavenge":
		d.s.Scavenge(d.t)
	case "submit":
		if d.jobs++; d.jobs < 5 {
			d.s.Schedule(d.t, outage.Job(fmt.Sprintf("more-%d", d.jobs), "f", rapid.IntRange(1, 8).Draw(d.t, "tasks")))
		}
	case "assess":
		_, err := o.Assess(ctx, d.execution(), "f", orchestrator.Decided{Round: rapid.IntRange(0, 2).Draw(d.t, "round")})
		require.NoError(d.t, err)
	}
}

// TestG3G7NoInterruptionOfAClaimExceedsTheCap: the leases take no more slots than the highest cap meanwhile, and gain none while the labourer is
// paused. Once they are revoked, nothing is fed either.
func TestG3G7NoInterruptionOfAClaimExceedsTheCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &drive{t: t, s: stage(t, 3, 10), limit: 3}
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			before, drained, inHand := granted(t, d.s), d.drained, held(t, d.s)
			d.highest, d.resumed = d.limit, !d.paused

			d.step()

			after := granted(t, d.s)
			require.LessOrEqual(t, after, max(before, d.highest), "%d slots are granted under a cap of %d", after, d.highest)
			require.LessOrEqual(t, held(t, d.s), after)
			if !d.resumed {
				require.LessOrEqual(t, after, before, "more is granted than before, and the labourer was paused all the time")
			}
			if drained && d.drained {
				require.LessOrEqual(t, held(t, d.s), inHand, "the paused labourer is fed")
			}
		}
	})
}

// TestG3AnOvertakenClaimTakesNothing: a claim fails if another execution claims after its decision, at whichever request that happens.
func TestG3AnOvertakenClaimTakesNothing(t *testing.T) {
	for at := 1; ; at++ {
		s := stage(t, 3, 10)
		requests := 0
		s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
			if requests++; requests == at {
				_, err := s.Services().Orchestrator.Service.Claim(ctx, "second", "f", orchestrator.Decided{Round: 1})
				require.NoError(t, err)
			}
			return nil
		}

		_, err := s.Services().Orchestrator.Service.Claim(ctx, "first", "f", orchestrator.Decided{Round: 1})

		require.NoError(t, err)
		require.Equal(t, 3, held(t, s), "at request %d", at)
		if requests < at {
			require.Greater(t, at, 5)
			return
		}
	}
}

// TestG3TwentyWakesForOneSlotCostFewClaims: all find the free slot at the same time, and then continue side by side.
func TestG3TwentyWakesForOneSlotCostFewClaims(t *testing.T) {
	const wakes = 20
	for name, together := range map[string]bool{"side by side": true, "one after the other": false} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 1, 100)
			s.DynamoDB.ResetUsage()
			var assessed, done sync.WaitGroup
			assessed.Add(wakes)
			one := func(i int) {
				name := fmt.Sprintf("execution-%d", i)
				defer done.Done()
				o := s.Services().Orchestrator.Service
				a, err := o.Assess(ctx, name, "f", orchestrator.Decided{Round: 0})
				assessed.Done()
				if err != nil || !a.Start {
					return
				}
				if together {
					assessed.Wait()
				}
				if err := serve(o, name, orchestrator.Turn{Labourer: "f"}); err != nil {
					t.Error(err)
				}
			}
			for i := range wakes {
				done.Add(1)
				if together {
					go one(i)
				} else {
					one(i)
				}
			}
			done.Wait()

			require.Equal(t, 1, held(t, s))
			require.Len(t, s.Handed(t, "f"), 1)
			claims := s.DynamoDB.Usage()[fakeaws.Use{Operation: "TransactWriteItems", Table: fakeaws.ControlTable}].Calls
			require.LessOrEqual(t, claims, 3)
			t.Logf("%d claims", claims)
		})
	}
}

// TestTheCostOfAClaim: it is the same for one task in hand and for forty, with all that wait behind them.
func TestTheCostOfAClaim(t *testing.T) {
	for tasks, want := range map[int]float64{1: 7, 10: 7, 40: 7, 60: 9, 100: 11} {
		s := stage(t, tasks, 256)
		s.DynamoDB.ResetUsage()

		claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "dead", "f", orchestrator.Decided{Round: 1})

		require.NoError(t, err)
		require.Equal(t, tasks, claimed.Claimed)
		taken := max(6*tasks, 60) // as no pace is known
		if 256 <= taken+taken/2 {
			taken = 256
		}
		require.Equal(t, taken-tasks, claimed.Waiting)
		writes, calls := 0.0, 0
		for _, cost := range s.DynamoDB.Usage() {
			writes += cost.WriteUnits
			calls += cost.Calls
		}
		t.Logf("a claim of %d: %g write units, %d calls", tasks, writes, calls)
		require.InDelta(t, want, writes, 0, "one for the lock; two each for the state, the entry, and each lease of forty slots")
		require.Equal(t, 5, calls, "the state, the labourer, the leases with what is due, the lock, the claim")
	}
}

// TestG6TasksAreHandedOutInTheOrderOfTheirDueTimes: across entries, jobs, claims and what the assistant feeds.
func TestG6TasksAreHandedOutInTheOrderOfTheirDueTimes(t *testing.T) {
	s := stage(t, 3)
	s.Schedule(t, outage.Job("early", "f", 2))
	s.Pass(time.Minute)
	s.Schedule(t, outage.Job("later", "f", 2))
	s.Pass(time.Minute)
	s.Schedule(t, outage.Job("last", "f", 40))
	var want []string
	for _, id := range []string{"early", "later", "last"} {
		j, _, err := s.Jobs.Get(ctx, id)
		require.NoError(t, err)
		for k := range j.Total {
			want = append(want, j.TaskAt(k).String())
		}
	}

	for ended := range want {
		s.HandOut(t, "f")
		s.Report(t, s.Handed(t, "f")[ended].Completed())
		s.Pass(time.Second)
	}

	var got []string
	for _, one := range s.Handed(t, "f") {
		got = append(got, one.TaskID)
	}
	require.Equal(t, want, got)
}

// TestG6ARetriedTaskNeitherStarvesNorIsStarved: its place in the queue is its new due time.
func TestG6ARetriedTaskNeitherStarvesNorIsStarved(t *testing.T) {
	s := stage(t, 1, 1)
	s.HandOut(t, "f")
	first := s.Handed(t, "f")[0]
	s.Report(t, first.Failed("Boom"))
	s.Scavenge(t) // due again some seconds from now
	s.Schedule(t, outage.Job("before", "f", 1))
	s.Pass(time.Minute)
	s.Schedule(t, outage.Job("behind", "f", 1))
	s.Pass(time.Minute)
	var order []string
	for range 3 {
		s.HandOut(t, "f")
		h := s.Handed(t, "f")
		last := h[len(h)-1]
		order = append(order, fmt.Sprintf("%t %d", last.TaskID == first.TaskID, last.Attempt))
		s.Report(t, last.Completed())
		s.Scavenge(t)
		s.Pass(time.Second)
	}

	require.Equal(t, []string{"false 1", "true 2", "false 1"}, order)
}

// TestG1NoWakeIsMissed: something changes at one request of an execution. The execution that this wakes finds the first one at work and may yield.
// One of the two has to see the change, also if the request succeeded, its answer was lost, and it is repeated after the change.
func TestG1NoWakeIsMissed(t *testing.T) {
	for name, change := range map[string]struct {
		set func(t *testing.T, s *outage.Stage) // before the execution
		do  func(t *testing.T, s *outage.Stage)
	}{
		"a job comes": {
			func(*testing.T, *outage.Stage) {},
			func(t *testing.T, s *outage.Stage) { s.Schedule(t, outage.Job("new", "f", 2)) },
		},
		"a job comes while others are handed out": {
			func(t *testing.T, s *outage.Stage) { s.Schedule(t, outage.Job("old", "f", 2)) },
			func(t *testing.T, s *outage.Stage) { s.Schedule(t, outage.Job("new", "f", 1)) },
		},
		"a slot becomes free": {
			func(t *testing.T, s *outage.Stage) {
				s.Schedule(t, outage.Job("old", "f", 3))
				require.Equal(t, 3, s.HandOut(t, "f"))
				s.Schedule(t, outage.Job("new", "f", 3))
			},
			func(t *testing.T, s *outage.Stage) { s.Report(t, s.Handed(t, "f")[0].Completed()) },
		},
		"a slot of a lease becomes free that the assistant does not feed": {
			func(t *testing.T, s *outage.Stage) {
				s.Schedule(t, outage.Job("old", "f", 6))
				require.Equal(t, 3, s.HandOut(t, "f"))
			},
			func(t *testing.T, s *outage.Stage) {
				s.Report(t, s.Handed(t, "f")[0].Failed("Boom"))
				s.Scavenge(t)
			},
		},
		"the labourer is resumed": {
			func(t *testing.T, s *outage.Stage) {
				s.Schedule(t, outage.Job("old", "f", 3))
				require.NoError(t, s.Control.SetPaused(ctx, "f", true))
			},
			func(t *testing.T, s *outage.Stage) { require.NoError(t, s.Control.SetPaused(ctx, "f", false)) },
		},
		"a higher cap is applied": {
			func(t *testing.T, s *outage.Stage) { s.Schedule(t, outage.Job("old", "f", 10)) },
			func(t *testing.T, s *outage.Stage) { require.NoError(t, s.Apply(labourers(6))) },
		},
		"a task returns to the queue": {
			func(t *testing.T, s *outage.Stage) {
				s.Schedule(t, outage.Job("old", "f", 1))
				claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "dead", "f", orchestrator.Decided{Round: 1})
				require.NoError(t, err)
				require.Equal(t, 1, claimed.Claimed)
				s.Pass(30 * time.Second) // its claimer has died
			},
			func(t *testing.T, s *outage.Stage) {
				for _, l := range leases(t, s) {
					_, err := s.Services().Orchestrator.Service.GiveBack(ctx, "dead", "f", []orchestrator.Handout{{Lease: l.Item(), Tasks: l.Tasks.String()}})
					require.NoError(t, err)
				}
			},
		},
	} {
		noWakeIsMissed(t, name, false, change.set, change.do)
		noWakeIsMissed(t, name+" and an answer is lost", true, change.set, change.do)
	}
}

func noWakeIsMissed(t *testing.T, name string, lost bool, set, do func(t *testing.T, s *outage.Stage)) {
	t.Run(name, func(t *testing.T) {
		for at := 1; ; at++ {
			s := stage(t, 3)
			set(t, s)
			requests := 0
			hook := func(_ context.Context, r fakeaws.Request) error {
				if requests++; requests == at {
					before := s.DynamoDB.Before
					s.DynamoDB.Before = nil
					switch in := r.Input.(type) {
					case *dynamodb.UpdateItemInput:
						if lost {
							_, _ = s.DynamoDB.UpdateItem(ctx, in)
						}
					case *dynamodb.TransactWriteItemsInput:
						if lost {
							_, _ = s.DynamoDB.TransactWriteItems(ctx, in)
						}
					}
					do(t, s)
					require.NoError(t, execute(s, "second", "f"))
					s.DynamoDB.Before = before
				}
				return nil
			}
			s.DynamoDB.Before = hook

			require.NoError(t, execute(s, "first", "f"))

			s.DynamoDB.Before = nil
			if requests < at {
				require.Greater(t, at, 4)
				return
			}
			left, err := s.Services().Orchestrator.Service.Assess(ctx, "later", "f", orchestrator.Decided{Round: 0})
			require.NoError(t, err)
			require.False(t, left.Start, "at request %d: %s, and no execution starts them", at, left.Reason)
			require.False(t, left.Free > 0 && left.Due > 0, "at request %d: %s", at, left.Reason)
		}
	})
}

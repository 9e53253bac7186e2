package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// inline is a labourer f whose target is a FIFO queue.
type inline struct {
	*outage.Stage
	url string
}

func fifo(t require.TestingT, limit int) inline {
	url := outage.Worker("f") + ".fifo"
	s := inline{outage.NewStage(t, ordered(limit)), url}
	s.SQS.Create(url, fakeaws.Queue{Taken: true})
	return s
}

func ordered(limit int) string {
	return fmt.Sprintf(`
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: %d, max_attempts: 2, max_duration: 10m, cooldown: 5m}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker("f")+".fifo", limit)
}

// sent returns the messages in the queue, in order.
func (s inline) sent(t require.TestingT) []outage.Handed {
	var out []outage.Handed
	for _, l := range s.SQS.Letters(s.url) {
		var event struct{ Drover outage.Handed }
		require.NoError(t, json.Unmarshal([]byte(l.Body), &event))
		out = append(out, event.Drover)
	}
	return out
}

// inLine returns the tasks of jobs in the order in which they became due.
func (s inline) inLine(t require.TestingT, jobs ...string) []string {
	var out []string
	for _, id := range jobs {
		j, _, err := s.Jobs.Get(ctx, id)
		require.NoError(t, err)
		for k := range j.Total {
			out = append(out, j.TaskAt(k).String())
		}
	}
	return out
}

// requireOrder requires that the first attempts of tasks were sent in order, apart from repetitions.
func (s inline) requireOrder(t require.TestingT, want []string) {
	got := []string{}
	for _, h := range s.sent(t) {
		if h.Attempt == 1 && !slices.Contains(got, h.TaskID) {
			got = append(got, h.TaskID)
		}
	}
	require.Equal(t, want[:len(got)], got)
}

// TestG6NothingThatWaitsOvertakesWhatCameBackFromAFIFOQueue: the queue takes some of the tasks in hand and not the others. These come back, and so
// do those that wait behind them; meanwhile tasks end.
func TestG6NothingThatWaitsOvertakesWhatCameBackFromAFIFOQueue(t *testing.T) {
	reset, throttled := errors.New("connection reset"), &smithy.GenericAPIError{Code: "ThrottlingException", Message: "rate exceeded"}
	for name, c := range map[string]struct {
		slots int
		batch int // the request that the queue refuses
		err   error
		sent  int
	}{
		"all of it":                 {15, 1, reset, 0},
		"the second batch":          {15, 2, reset, 10},
		"the second batch, of one":  {11, 2, reset, 10},
		"too many at once":          {15, 2, throttled, 10},
		"too many at once, by one":  {11, 2, throttled, 10},
		"all of it, being too much": {15, 1, throttled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := fifo(t, c.slots)
			s.Schedule(t, outage.Job("nightly", "f", 40))
			want, batch := s.inLine(t, "nightly"), 0
			s.SQS.Before = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == "SendMessageBatch" {
					if batch++; batch == c.batch {
						return c.err
					}
				}
				return nil
			}
			o := s.Services().Orchestrator.Service
			claimed, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
			require.NoError(t, err)
			require.Equal(t, c.slots, claimed.Claimed)
			require.Equal(t, 40-c.slots, claimed.Waiting)

			_, err = o.Dispatch(ctx, "f", claimed.Leases)

			require.NoError(t, err)
			require.Len(t, s.sent(t), c.sent)
			require.Zero(t, waiting(t, s.Stage))
			require.Equal(t, 40-c.sent, queued(t, s.Stage))
			for _, h := range s.sent(t)[:c.sent/2] {
				s.Report(t, h.Completed())
			}
			require.Len(t, s.sent(t), c.sent, "nothing is fed")
			s.Pass(time.Minute)
			require.NoError(t, execute(s.Stage, "later", "f"))
			require.Len(t, s.sent(t), c.slots+c.sent/2)
			s.requireOrder(t, want)
		})
	}
}

// TestG6NothingThatWaitsOvertakesWhatADispatcherOfAFIFOQueueLeftBehind: it died before it sent all tasks. They are given back, or taken over.
func TestG6NothingThatWaitsOvertakesWhatADispatcherOfAFIFOQueueLeftBehind(t *testing.T) {
	for name, after := range map[string]func(t *testing.T, s inline){
		"given back": func(t *testing.T, s inline) {
			for _, l := range leases(t, s.Stage) {
				_, err := s.Services().Orchestrator.Service.GiveBack(ctx, "execution", "f", handouts(l))
				require.NoError(t, err)
			}
		},
		"taken over": func(*testing.T, inline) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := fifo(t, 15)
			s.Schedule(t, outage.Job("nightly", "f", 40))
			s.Pass(time.Second)
			s.Schedule(t, outage.Job("later", "f", 5))
			want := s.inLine(t, "nightly", "later")
			batches := 0
			s.SQS.Before = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == "SendMessageBatch" {
					batches++
				}
				return nil
			}
			s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
				if batches > 0 {
					return errors.New("the dispatcher has died")
				}
				return nil
			}
			o := s.Services().Orchestrator.Service
			claimed, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
			require.NoError(t, err)
			s.SQS.After = func(context.Context, fakeaws.Request) error {
				if batches > 1 {
					return errors.New("the dispatcher has died")
				}
				return nil
			}
			_, _ = o.Dispatch(ctx, "f", claimed.Leases)
			s.SQS.Before, s.SQS.After, s.DynamoDB.Before = nil, nil, nil
			require.Equal(t, segment.Range(0, 14), leases(t, s.Stage)[0].By(queue.Undispatched))

			after(t, s)
			s.Report(t, s.sent(t)[0].Completed())
			require.NoError(t, s.Apply(ordered(20)))
			s.Pass(11 * time.Second) // the claimer's lock is over
			require.NoError(t, execute(s.Stage, "wake", "f"))
			for range 3 {
				s.Pass(time.Minute)
				require.NoError(t, execute(s.Stage, "tick"))
			}

			require.Len(t, firsts(s.sent(t)), 21, "twenty slots, and one that has ended")
			s.requireOrder(t, want)
		})
	}
}

// TestG6TasksOfAFIFOQueueWaitInOneLeaseOnly: where its slots are not enough for the labourer, none wait at all.
func TestG6TasksOfAFIFOQueueWaitInOneLeaseOnly(t *testing.T) {
	s := fifo(t, 60)
	s.Schedule(t, outage.Job("nightly", "f", 250))
	want := s.inLine(t, "nightly")
	reported := map[string]bool{}
	for range 10 {
		require.NoError(t, execute(s.Stage, "wake", "f"))
		require.Equal(t, min(60, 250-len(reported)), held(t, s.Stage))
		for _, h := range s.sent(t) {
			if !reported[h.TaskID] {
				reported[h.TaskID] = true
				s.Report(t, h.Completed())
			}
		}
		s.Pass(time.Second)
	}
	require.Len(t, s.sent(t), 250)
	s.requireOrder(t, want)
}

// queueing is a labourer of a FIFO queue with random steps, which interrupt each other, fail and die.
type queueing struct {
	inline

	t        require.TestingT
	chance   *rand.Rand // steps interrupt each other in goroutines, in which rapid draws nothing
	inside   int
	refuse   bool // the queue refuses the next batch
	messages []assistant.Message
	reported map[string]bool
}

func (q *queueing) step() {
	q.inside++
	defer func() { q.inside-- }()
	steps := []string{"wake", "wake", "close", "close", "close", "again", "refuse", "pass", "tick"}
	step := steps[q.chance.IntN(len(steps))]
	requests, at, dies := 0, 0, 0
	if q.inside < 3 && step != "refuse" && q.chance.IntN(2) == 0 {
		at = 1 + q.chance.IntN(15)
	}
	if q.chance.IntN(6) == 0 {
		dies = 1 + q.chance.IntN(20)
	}
	outerDB, outerSQS := q.DynamoDB.Before, q.SQS.Before
	var hook func(_ context.Context, r fakeaws.Request) error
	hook = func(_ context.Context, r fakeaws.Request) error {
		if requests++; requests == at {
			q.DynamoDB.Before, q.SQS.Before = nil, nil
			for range 1 + q.chance.IntN(3) {
				q.step()
			}
			q.DynamoDB.Before, q.SQS.Before = hook, hook
		}
		if dies > 0 && requests >= dies {
			return errors.New("it has died")
		}
		if r.Operation == "SendMessageBatch" && q.refuse {
			q.refuse = false
			return errors.New("connection reset")
		}
		return nil
	}
	q.DynamoDB.Before, q.SQS.Before = hook, hook
	defer func() { q.DynamoDB.Before, q.SQS.Before = outerDB, outerSQS }()

	switch step {
	case "wake":
		_ = execute(q.Stage, fmt.Sprint("execution-", q.chance.IntN(2)), "f")
	case "tick":
		_ = execute(q.Stage, "tick")
	case "close":
		for _, h := range q.sent(q.t) {
			if key := fmt.Sprint(h.TaskID, h.Attempt); !q.reported[key] && q.chance.IntN(2) == 0 {
				q.reported[key] = true
				q.deliver(assistant.Message{ID: key, Body: h.Completed(), Receives: 1})
				return
			}
		}
	case "again":
		if len(q.messages) > 0 {
			m := q.messages[0]
			q.messages = q.messages[1:]
			m.Receives++
			q.deliver(m)
		}
	case "refuse": // not twice in a row, also not during the dispatch that was refused: then another task than the first would try
		state, err := q.Control.State(ctx, "f")
		if err == nil && q.inside == 1 && state.Trouble == nil && !q.misfired() {
			q.refuse = true
		}
	case "pass":
		q.Pass(time.Duration(1+q.chance.IntN(70)) * time.Second)
	}
}

// misfired reports whether the start of a task has failed before: then the task itself may be the cause, and others do not wait for it.
func (q *queueing) misfired() bool {
	entries, err := q.Control.Queue(ctx, "f")
	all, failed := q.Control.Leases(ctx, "f")
	return err != nil || failed != nil || slices.ContainsFunc(entries, func(e queue.Entry) bool { return e.Misfires > 0 }) ||
		slices.ContainsFunc(all, func(l queue.Lease) bool { return l.Misfires > 0 })
}

// deliver passes a message to the assistant. It comes again if the assistant fails.
func (q *queueing) deliver(m assistant.Message) {
	if failed, _ := q.Services().Assistant.Service.Handle(ctx, "invocation", []assistant.Message{m}); len(failed) > 0 {
		q.messages = append(q.messages, m)
	}
}

// drain works off what is left, without interruptions.
func (q *queueing) drain(want []string) {
	q.refuse = false
	for round := 0; len(firsts(q.sent(q.t))) < len(want); round++ {
		require.Less(q.t, round, 100, "some are never sent")
		some := q.messages
		q.messages = nil
		for _, m := range some {
			m.Receives++
			q.deliver(m)
		}
		for _, h := range q.sent(q.t) {
			if key := fmt.Sprint(h.TaskID, h.Attempt); !q.reported[key] {
				q.reported[key] = true
				q.deliver(assistant.Message{ID: key, Body: h.Completed(), Receives: 1})
			}
		}
		q.Pass(time.Minute)
		require.NoError(q.t, execute(q.Stage, "tick"))
		q.requireOrder(q.t, want)
	}
}

// TestG6AFIFOQueueKeepsTheOrderOfItsTasks: whichever components run at the same time, fail or die.
func TestG6AFIFOQueueKeepsTheOrderOfItsTasks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &queueing{inline: fifo(t, rapid.IntRange(1, 12).Draw(t, "cap")), t: t, chance: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), reported: map[string]bool{}}
		q.Schedule(t, outage.Job("early", "f", 25))
		q.Pass(time.Second)
		q.Schedule(t, outage.Job("later", "f", 5))
		want := q.inLine(t, "early", "later")

		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			q.step()
			q.requireOrder(t, want)
		}

		q.drain(want)
	})
}

// firsts returns the tasks that were started, each once.
func firsts(handed []outage.Handed) map[string]bool {
	out := map[string]bool{}
	for _, h := range handed {
		out[h.TaskID] = true
	}
	return out
}

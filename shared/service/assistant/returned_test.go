package assistant_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// unheard makes the answers to starts get lost, until the returned function is called.
func unheard(s *outage.Stage) (mend func()) {
	s.SQS.After = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "SendMessageBatch" {
			return errors.New("connection reset")
		}
		return nil
	}
	return func() { s.SQS.After = nil }
}

// TestG4TheEndOfAReturnedAttemptCountsWhereverItsTaskMoves: a worker runs whose start the dispatcher did not hear of, so its task is in the
// queue. Another dispatcher moves the task before some request of the assistant that receives the worker's completion.
func TestG4TheEndOfAReturnedAttemptCountsWhereverItsTaskMoves(t *testing.T) {
	for name, move := range map[string]func(t *testing.T, s *outage.Stage){
		"to a lease, and starts another worker": func(t *testing.T, s *outage.Stage) {
			s.HandOut(t, "f")
		},
		"to a lease, and dies": func(t *testing.T, s *outage.Stage) {
			_, err := s.Services().Orchestrator.Service.Claim(context.Background(), "hand-out", "f", orchestrator.Decided{Round: 1})
			require.NoError(t, err)
		},
		"to a lease and back": func(t *testing.T, s *outage.Stage) {
			mend := unheard(s)
			s.HandOut(t, "f")
			mend()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				s := stage(t, 1)
				s.Schedule(t, outage.Job("nightly", "f", 1))
				mend := unheard(s)
				require.Zero(t, s.HandOut(t, "f"))
				mend()
				h := s.Handed(t, "f")[0]
				s.Pass(31 * time.Second) // the target rests after the failed start
				requests := 0
				s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
					if requests++; requests == at {
						move(t, s)
					}
					return nil
				}

				missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "first", messages(h.Completed()))

				require.Zero(t, summary.Stale, "the end was dropped at request %d", at)
				s.DynamoDB.Before = nil
				if len(missing) > 0 {
					require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, h.Completed()), "redelivered")
				}
				require.Equal(t, task.Completed, stored(t, s, h.TaskID).Status)
				s.Pass(2 * time.Minute)
				s.HandOut(t, "f") // repairs what a dispatcher claimed after the end
				require.Zero(t, held(t, s), "at request %d", at)
				entries, err := s.Control.Queue(context.Background(), "f")
				require.NoError(t, err)
				require.Empty(t, entries)
				if requests < at {
					require.Greater(t, at, 5)
					return
				}
			}
		})
	}
}

// hiding is a control table in whose queue and leases no task can be seen.
type hiding struct{ assistant.Control }

func (hiding) Queue(context.Context, string) ([]queue.Entry, error) { return nil, nil }

func (hiding) LeasesOn(context.Context, string, segment.ID) ([]queue.Lease, error) { return nil, nil }

// TestG4TheEndOfAnAttemptOnItsWayIsRedelivered: during a claim, reads may show a task neither in its old place nor in its new one.
func TestG4TheEndOfAnAttemptOnItsWayIsRedelivered(t *testing.T) {
	s, h := out(t, 1)
	service := *s.Services().Assistant.Service
	service.Control = hiding{service.Control}

	missing, summary := service.Handle(context.Background(), "invocation", messages(h[0].Completed()))

	require.Len(t, missing, 1)
	require.Len(t, summary.Errors, 1)
	require.Contains(t, summary.Errors[0], "neither the queue nor a lease holds attempt 1 of task "+h[0].TaskID)
	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, h[0].Completed()))
}

// TestG1G3AReportOfNoStartPutsItsOwnStartBackAlone: Lambda gives up a start just before its dispatcher notes it. Another delivery of the report
// may put the task back earlier, so that it is started again.
func TestG1G3AReportOfNoStartPutsItsOwnStartBackAlone(t *testing.T) {
	for name, restarted := range map[string]bool{"its dispatcher notes the start": false, "it is put back and started again": true} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 2)
			s.Schedule(t, outage.Job("nightly", "f", 2))
			o := s.Services().Orchestrator.Service
			claimed, err := o.Claim(context.Background(), "execution", "f", orchestrator.Decided{Round: 1})
			require.NoError(t, err)
			leases, err := s.Control.Leases(context.Background(), "f")
			require.NoError(t, err)
			h := outage.Handed{TaskID: task.ID{Segment: leases[0].Segment, N: 0}.String(), Attempt: 1}
			report := fmt.Sprintf(`{"timestamp": %q, "requestContext": {"condition": "EventAgeExceeded"}, "requestPayload": {"drover": {"version": 1, "task_id": %q, "attempt": 1}}}`,
				s.World.Now().Format(time.RFC3339Nano), h.TaskID)
			s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation != "TransactWriteItems" {
					return nil
				}
				s.DynamoDB.Before = nil
				_, err := o.Dispatch(context.Background(), "f", claimed.Leases)
				require.NoError(t, err)
				if restarted {
					handle(t, s, report)
					s.Pass(11 * time.Second) // the first claim locks others out for ten seconds
					s.HandOut(t, "f")
					require.Equal(t, 2, held(t, s))
				}
				return nil
			}

			handle(t, s, report)

			require.Nil(t, s.DynamoDB.Before)
			if restarted {
				require.Equal(t, 2, held(t, s), "it runs")
			} else {
				require.Equal(t, 1, held(t, s), "it does not stay in hand until its time is over")
			}
		})
	}
}

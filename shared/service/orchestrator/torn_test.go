package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// leasesLate has reads see the leases of a transaction a tenth of a second after its other items.
func leasesLate(_ string, key fakeaws.Item) time.Duration {
	if name, is := key["item"].(*types.AttributeValueMemberS); is && strings.HasPrefix(name.Value, "lease#") {
		return 100 * time.Millisecond
	}
	return 0
}

// TestG3AClaimIsCountedAlsoByReadsThatSeeHalfOfIt: while one execution claims, in any round, another one sees the state's new version, but not
// yet the lease of the same transaction. It must not claim as if nothing ran.
func TestG3AClaimIsCountedAlsoByReadsThatSeeHalfOfIt(t *testing.T) {
	for _, round := range []int{1, 19} {
		t.Run(fmt.Sprintf("in round %d", round), func(t *testing.T) {
			s := stage(t, 1, 2)
			s.Pass(time.Second)
			s.DynamoDB.Torn = leasesLate
			met := 0
			s.DynamoDB.After = func(_ context.Context, r fakeaws.Request) error {
				if met++; r.Operation != "TransactWriteItems" || met > 100 {
					return nil
				}
				met = 100
				s.Pass(50 * time.Millisecond)
				require.Zero(t, held(t, s), "the lease is not seen yet")
				require.NoError(t, execute(s, "another", "f"))
				s.Pass(50 * time.Millisecond)
				return nil
			}

			claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "one", "f", orchestrator.Decided{Round: round})

			require.NoError(t, err)
			require.Equal(t, 100, min(met, 100))
			require.Equal(t, 1, claimed.Claimed)
			s.Pass(time.Second)
			require.Equal(t, 1, held(t, s), "the cap is 1")
			state, err := s.Control.State(ctx, "f")
			require.NoError(t, err)
			require.NotEmpty(t, state.Hold, "it is held until the claimer has dispatched")
		})
	}
}

// TestG3ADirectGrantIsCountedAlsoByReadsThatSeeHalfOfIt, as its lock is set in the same write as the version.
func TestG3ADirectGrantIsCountedAlsoByReadsThatSeeHalfOfIt(t *testing.T) {
	s := stage(t, 1)
	s.DynamoDB.Torn = leasesLate
	met := false
	s.DynamoDB.After = func(_ context.Context, r fakeaws.Request) error {
		if met || r.Operation != "TransactWriteItems" {
			return nil
		}
		met = true
		s.Schedule(t, outage.Job("second", "f", 1))
		s.Pass(50 * time.Millisecond)
		require.Zero(t, held(t, s), "the lease is not seen yet")
		require.NoError(t, execute(s, "another", "f"))
		s.Pass(50 * time.Millisecond)
		return nil
	}
	service := s.Services().Scheduler.Service
	service.Granter = granter(s, &kept{})

	_, summary := service.Handle(ctx, "scheduler", []scheduler.Message{outage.Command("lone", "SubmitJob", outage.Job("lone", "f", 1))})

	require.Equal(t, 1, summary.Granted)
	require.True(t, met)
	s.Pass(time.Second)
	require.Equal(t, 1, held(t, s), "the cap is 1")
}

// TestG3DirectGrantsOfOneInvocationDoNotShareTheirLock: jobs that share a segment may be created one after the other, while the answer to the first grant is
// lost and reads see half of it.
func TestG3DirectGrantsOfOneInvocationDoNotShareTheirLock(t *testing.T) {
	s := stage(t, 1)
	batch := []scheduler.Message{outage.Command("a", "SubmitJob", outage.Job("a", "f", 1)), outage.Command("b", "SubmitJob", outage.Job("b", "f", 1))}
	handle := func(invocation string) {
		service := s.Services().Scheduler.Service
		service.Granter = granter(s, &kept{})
		_, _ = service.Handle(ctx, invocation, batch)
	}
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "TransactWriteItems" {
			return errors.New("out of order")
		}
		return nil
	}
	handle("first") // it records both jobs in one segment
	s.DynamoDB.Before = nil
	s.Pass(time.Minute)
	s.DynamoDB.Torn = leasesLate
	granted := false
	s.DynamoDB.After = func(_ context.Context, r fakeaws.Request) error {
		if granted || r.Operation != "TransactWriteItems" {
			return nil
		}
		granted = true
		s.Pass(10 * time.Millisecond) // so that the second job is due as well
		return errors.New("the answer is lost")
	}

	handle("second")

	require.True(t, granted)
	s.Pass(time.Second)
	require.Equal(t, 1, held(t, s), "the cap is 1")
}

// TestG3AClaimWithUnknownOutcomeKeepsTheHold: its transaction may still be under way.
func TestG3AClaimWithUnknownOutcomeKeepsTheHold(t *testing.T) {
	s := stage(t, 1, 2)
	s.Pass(time.Second)
	s.DynamoDB.After = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "TransactWriteItems" {
			return errors.New("connection reset")
		}
		return nil
	}

	_, err := s.Services().Orchestrator.Service.Claim(ctx, "one", "f", orchestrator.Decided{Round: 1})

	require.ErrorContains(t, err, "connection reset")
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.True(t, state.Hold.KeepsOff("another", s.World.Now()))
	require.False(t, state.Hold.KeepsOff("one", s.World.Now()), "a retry of the step goes on")
}

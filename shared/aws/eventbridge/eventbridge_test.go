package eventbridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/stretchr/testify/require"

	buses "github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/core/event"
)

// fake refuses an entry as many times as refuses has for its detail, and records its requests.
type fake struct {
	err     error
	refuses map[string]int
	asked   [][]types.PutEventsRequestEntry
}

func (f *fake) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	f.asked = append(f.asked, in.Entries)
	if f.err != nil {
		return nil, f.err
	}
	out := &eventbridge.PutEventsOutput{}
	for i, e := range in.Entries {
		if f.refuses[*e.Detail] > 0 {
			f.refuses[*e.Detail]--
			out.FailedEntryCount++
			out.Entries = append(out.Entries, types.PutEventsResultEntry{ErrorCode: aws.String("ThrottlingException"), ErrorMessage: aws.String("as told")})
			continue
		}
		out.Entries = append(out.Entries, types.PutEventsResultEntry{EventId: aws.String(fmt.Sprintf("event-%d", i))})
	}
	return out, nil
}

// counted returns a fact that its number identifies.
func counted(n int) event.Fact { return event.Fact{Type: "Counted", Detail: n} }

func TestAFactIsPublishedAsDroversOwn(t *testing.T) {
	f := &fake{}

	require.NoError(t, buses.Bus{API: f, Name: "drover"}.Publish(context.Background(), event.JobScheduled("nightly", "f", 3)))

	require.Equal(t, [][]types.PutEventsRequestEntry{{{EventBusName: aws.String("drover"), Source: aws.String("drover"), DetailType: aws.String("JobScheduled"),
		Detail: aws.String(`{"id":"JobScheduled/nightly","version":1,"job_id":"nightly","labourer_id":"f","tasks":3}`)}}}, f.asked)
}

func TestWithoutFactsThereIsNoCall(t *testing.T) {
	f := &fake{}
	require.NoError(t, buses.Bus{API: f}.Publish(context.Background()))
	require.Empty(t, f.asked)
}

func TestFactsArePublishedTenAtATime(t *testing.T) {
	f := &fake{}
	var facts []event.Fact
	for n := range 25 {
		facts = append(facts, counted(n))
	}

	require.NoError(t, buses.Bus{API: f}.Publish(context.Background(), facts...))

	require.Len(t, f.asked, 3)
	next := 0
	for _, entries := range f.asked {
		require.LessOrEqual(t, len(entries), 10)
		for _, e := range entries {
			require.Equal(t, fmt.Sprint(next), *e.Detail)
			next++
		}
	}
	require.Equal(t, 25, next)
}

func TestACallStaysWithinTheLimitOfTheBus(t *testing.T) {
	f := &fake{}
	var facts []event.Fact
	for range 7 {
		facts = append(facts, event.Fact{Type: "Large", Detail: strings.Repeat("x", 400<<10)})
	}

	require.NoError(t, buses.Bus{API: f}.Publish(context.Background(), facts...))

	require.Len(t, f.asked, 4)
	for _, entries := range f.asked {
		size := 0
		for _, e := range entries {
			size += len(*e.Detail) + len(*e.DetailType) + len(*e.Source)
		}
		require.LessOrEqual(t, size, 1<<20)
	}
}

func TestG1AFactThatTheBusRefusesIsPublishedAgain(t *testing.T) {
	f := &fake{refuses: map[string]int{"1": 1, "3": 1}}

	require.NoError(t, buses.Bus{API: f}.Publish(context.Background(), counted(0), counted(1), counted(2), counted(3)))

	require.Len(t, f.asked, 2)
	var again []string
	for _, e := range f.asked[1] {
		again = append(again, *e.Detail)
	}
	require.Equal(t, []string{"1", "3"}, again, "only the refused facts")
}

func TestG1AFactThatTheBusRefusesTwiceIsAnError(t *testing.T) {
	f := &fake{refuses: map[string]int{"1": 2, "2": 1}}

	err := buses.Bus{API: f}.Publish(context.Background(), counted(0), counted(1), counted(2))

	require.EqualError(t, err, "the bus refuses an event: ThrottlingException: as told")
}

func TestABusThatFailsIsAnError(t *testing.T) {
	var facts []event.Fact
	for n := range 11 {
		facts = append(facts, counted(n))
	}
	err := buses.Bus{API: &fake{err: errors.New("access denied")}}.Publish(context.Background(), facts...)
	require.EqualError(t, err, "putting 10 events on the bus, access denied")

	err = buses.Bus{API: &fake{}}.Publish(context.Background(), event.Fact{Type: "Odd", Detail: func() {}})
	require.ErrorContains(t, err, "encoding Odd")
}

func TestACommandGetsAnID(t *testing.T) {
	f := &fake{}

	id, err := buses.Bus{API: f, Name: "drover"}.Send(context.Background(), "shop", "SubmitJob", []byte(`{"labourer":"f"}`))

	require.NoError(t, err)
	require.Equal(t, "event-0", id)
	require.Equal(t, [][]types.PutEventsRequestEntry{{{EventBusName: aws.String("drover"), Source: aws.String("shop"), DetailType: aws.String("SubmitJob"), Detail: aws.String(`{"labourer":"f"}`)}}}, f.asked)

	_, err = buses.Bus{API: &fake{refuses: map[string]int{"{}": 1}}}.Send(context.Background(), "shop", "SubmitJob", []byte("{}"))
	require.ErrorContains(t, err, "the bus refuses an event")
	_, err = buses.Bus{API: &fake{err: errors.New("access denied")}}.Send(context.Background(), "shop", "SubmitJob", []byte("{}"))
	require.EqualError(t, err, "putting SubmitJob on the bus, access denied")
}

package logs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/logs"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// group answers with a page of one line at a time.
type group struct {
	lines []string
	asked []cloudwatchlogs.FilterLogEventsInput
	err   error
}

func (g *group) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	g.asked = append(g.asked, *in)
	at := len(g.asked) - 1
	if g.err != nil || at >= len(g.lines) {
		return &cloudwatchlogs.FilterLogEventsOutput{}, g.err
	}
	out := &cloudwatchlogs.FilterLogEventsOutput{Events: []types.FilteredLogEvent{{Message: &g.lines[at]}}}
	if at < len(g.lines)-1 {
		out.NextToken = aws.String(g.lines[at])
	}
	return out, nil
}

func record(labourer string, at time.Time) decision.Record {
	value := 80.5
	return decision.Record{At: at, Labourer: labourer, Status: ecology.Poor, Metrics: map[string]ecology.Status{"cpu": ecology.Poor}, Cap: 2.5, Desired: 1, Running: 1,
		Due: 7, Binding: decision.Health, Reason: `no slot is free: "cpu" <= 50`, OldestDue: &now,
		Evidence: &decision.Evidence{Metric: &decision.Metric{Name: "cpu", Value: &value, Reason: "80.5 is not <= 50"}}}
}

// line returns the line that a function writes.
func line(r decision.Record) string {
	var text bytes.Buffer
	slog.New(slog.NewJSONHandler(&text, nil)).Info(decision.Logged, r.Attrs()...)
	return text.String()
}

func TestALoggedDecisionIsReadAsItWasMade(t *testing.T) {
	one, two := record("shop", now.Add(time.Second)), record("shop", now)
	g := &group{lines: []string{line(one), `not JSON`, `{"msg":"step","labourer_id":"shop"}`, line(record("other", now)), line(record("shop", now.Add(-time.Second))),
		line(record("shop", now.Add(time.Hour))), line(two)}}

	got, err := logs.Decisions{API: g, Group: "orchestrator"}.Between(t.Context(), "shop", now, now.Add(time.Minute))

	require.NoError(t, err)
	require.Equal(t, []decision.Record{two, one}, got, "in order, those of the labourer and of the time, from all pages")
	require.Equal(t, "orchestrator", *g.asked[0].LogGroupName)
	require.Equal(t, `{ $.msg = "decision" && $.labourer_id = "shop" }`, *g.asked[0].FilterPattern)
	require.Equal(t, now.UnixMilli(), *g.asked[0].StartTime)
}

func TestAnUnreadableLogIsAnError(t *testing.T) {
	_, err := logs.Decisions{API: &group{err: errors.New("denied")}, Group: "orchestrator"}.Between(t.Context(), "shop", now, now)
	require.ErrorContains(t, err, "log group orchestrator")
	require.ErrorContains(t, err, "denied")
}

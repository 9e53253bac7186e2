package console_test

import (
	"context"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/console"
	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/testing/browser"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

const finding = `
labourers:
  shop:
    target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/shop"}
    max_simultaneous_invocations: {min: 2, max: 60, toward: {CPU: 60}}
    health_metrics: {CPU: {details: {MetricName: CPU, Namespace: Mine}}}
job_schemas:
  default: {chunkable_attrs: [[section, {}]]}
`

// seeking returns a ground where the cap of the labourer shop has found itself for some minutes, and was pinned by a poisonous name.
func seeking(t *testing.T, change ...func(*console.Options)) *ground {
	t.Helper()
	g := newGround(t, change...)
	require.NoError(t, g.Apply(finding))
	require.NoError(t, g.Worker("shop", 30*time.Second, func(context.Context, worker.Task) (any, error) { return struct{}{}, nil }))
	sections := make([]string, 400)
	for i := range sections {
		sections[i] = strings.Repeat("s", i+1)
	}
	g.Submit(map[string]any{"job_id": "nightly", "labourer": "shop", "sections": sections, "isolate_sections": true})
	for range 8 {
		g.RunFor(time.Minute)
		leases, err := g.Leases("shop")
		require.NoError(t, err)
		g.CloudWatch.Put("Mine", "CPU", nil, g.World.Now().Add(-time.Second), 10+2*float64(queue.Running(leases)))
	}
	now := g.World.Now()
	noted := adaptive.Noted{At: now, From: 12, To: 5, Reason: "pinned to 5 by " + poison, By: poison}
	require.NoError(t, dynamo.Health{API: g.DynamoDB, Table: fakeaws.ControlTable}.Note(t.Context(), "shop", noted))
	return g
}

func TestTheCapIsDrawnWithTheReasonOfEachChange(t *testing.T) {
	g := seeking(t)
	page := g.get("/labourers/shop").is(200)

	changes, err := dynamo.Health{API: g.DynamoDB, Table: fakeaws.ControlTable}.Noted(t.Context(), "shop")
	require.NoError(t, err)
	require.Greater(t, len(changes), 3)
	_, rest, drawn := strings.Cut(page, "Running and cap")
	require.True(t, drawn)
	pace, rest, _ := strings.Cut(rest, "</figure>")
	_, metric, drawn := strings.Cut(rest, "Health: CPU")
	require.True(t, drawn)
	metric, _, _ = strings.Cut(metric, "</figure>")
	require.Contains(t, metric, ">target</text>")
	for _, figure := range []string{pace, metric} {
		require.Equal(t, len(changes), strings.Count(figure, `class="mark"`))
		require.Contains(t, figure, html.EscapeString("from 2 to 5, CPU: the load is 23 % of the target"))
	}
	require.Contains(t, pace, "cap 5", "the words say the newest cap")
	require.Contains(t, page, "Changes of its cap <small>")
	require.Contains(t, page, "Cap finds itself")
	require.NotContains(t, page, "<img src=x")
}

func capsOf(t *testing.T, in *browser.Browser) {
	s := watched(t, seeking)
	for _, theme := range []string{"light", "dark"} {
		b := in.Tab(t, s.address)
		b.Theme(theme)
		b.Visit("/labourers/shop")
		require.Positive(t, browser.Value[int](b, `document.querySelectorAll(".charts line.mark > title").length`))
		require.Equal(t, 2, browser.Value[int](b, `[...document.querySelectorAll(".charts figure")].filter(f => f.querySelector("line.mark")).length`), "the cap and its metric")
		require.Contains(t, browser.Value[string](b, `document.querySelector("#caps").closest("section").textContent`), "CPU: the load is 23 % of the target")
		b.Examine("a cap that finds itself in " + theme)
		b.Picture(theme + "/caps")
		b.Clean()
	}
	b := in.Tab(t, s.address)
	b.Phone()
	b.Visit("/labourers/shop")
	require.LessOrEqual(t, browser.Value[int](b, `document.documentElement.scrollWidth`), 390)
	b.Clean()
}

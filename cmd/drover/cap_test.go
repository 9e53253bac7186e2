package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/drovertest"
)

const finding = `
labourers:
  shop:
    target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/shop"}
    max_simultaneous_invocations: {min: 2, max: 60, toward: {CPU: 60}}
    health_metrics:
      CPU: {details: {MetricName: CPU, Namespace: Mine}}
job_schemas:
  default: {chunkable_attrs: [[section, {}]]}
`

// newBusyGround returns a ground on which the cap of a labourer finds itself for some minutes: each of its tasks adds 2 to a CPU of 10.
func newBusyGround(t *testing.T, minutes int) *ground {
	g := newGround(t)
	require.NoError(t, g.Apply(finding))
	require.NoError(t, g.Worker("shop", 30*time.Second, well))
	g.Submit(sections("nightly", 2000))
	g.measureMinutes(minutes)
	return g
}

func (g *ground) measureMinutes(n int) {
	for range n {
		g.RunFor(time.Minute)
		leases, err := g.Leases("shop")
		require.NoError(g.t, err)
		g.CloudWatch.Put("Mine", "CPU", nil, g.World.Now().Add(-time.Second), 10+2*float64(queue.Running(leases)))
	}
}

func TestTheChangesOfACapAreListedWithTheirReasons(t *testing.T) {
	g := newBusyGround(t, 8)
	line := g.drover("--json", "labourer", "shop").one()
	caps := g.drover("--json", "labourer", "shop", "--caps").lines()
	last := caps[len(caps)-1]
	require.Equal(t, []any{line["cap"], line["cap_reason"], line["cap_changed_at"]}, []any{last["to"], last["reason"], last["at"]})
	require.Equal(t, []any{2.0, 60.0}, []any{line["cap_min"], line["cap_max"]})
	require.Equal(t, "CPU", last["metric"])
	require.Contains(t, g.drover("labourer", "shop", "--caps").ok(), last["reason"])
	require.Contains(t, g.drover("labourer", "shop").ok(), "no part of the health, as it has no feelings")
}

func TestAPinRecordsTheName(t *testing.T) {
	g := newBusyGround(t, 3)
	g.drover("pin", "shop", "5", "--for", "1h", "--by", "Ada, upgrade").ok()
	line := g.drover("--json", "labourer", "shop").one()
	require.Equal(t, "pinned to 5 by Ada, upgrade at 2026-01-01T00:03:00Z, until 2026-01-01T01:03:00Z", line["cap_reason"])
	require.Equal(t, "Ada, upgrade", line["pin"].(map[string]any)["by"])
	require.Contains(t, g.drover("labourer", "shop").ok(), "by Ada, upgrade")
	caps := g.drover("--json", "labourer", "shop", "--caps").lines()
	require.Equal(t, []any{5.0, "Ada, upgrade"}, []any{caps[len(caps)-1]["to"], caps[len(caps)-1]["by"]})

	g.World.Advance(g.World.Now().Add(time.Minute))
	g.drover("pin", "shop", "--off").ok()
	caps = g.drover("--json", "labourer", "shop", "--caps").lines()
	const ada = "arn:aws:iam::000000000000:user/ada"
	require.Equal(t, []any{5.0, "no longer pinned, by " + ada, ada}, []any{caps[len(caps)-1]["from"], caps[len(caps)-1]["reason"], caps[len(caps)-1]["by"]},
		"the identity of the credentials")
	require.Contains(t, g.drover("labourer", "shop", "--caps").ok(), "by Ada, upgrade")
}

func TestAPinNeedsANumberOfTasksAndATime(t *testing.T) {
	g := newGround(t)
	g.drover("pin", "shop", "5").fails(failed, "shop")
	g.drover("pin", "shop", "-1").fails(misuse)
	g.drover("pin", "shop", "some").fails(misuse, "N: is some; want a whole number")
	g.drover("pin", "shop", "5", "--for", "0s").fails(misuse, "--for: is 0s")
	g.drover("pin", "shop", "5", "--off").fails(misuse)
}

// TestTheCapOfAnExportedSeriesIsTheCapThatWas: what is exported leads the law, without AWS, to the cap that it found.
func TestTheCapOfAnExportedSeriesIsTheCapThatWas(t *testing.T) {
	g := newBusyGround(t, 40)
	was := g.drover("--json", "labourer", "shop").one()["cap"].(float64)

	series := g.drover("labourer", "shop", "--export-series", "--since", "2h")
	require.Len(t, series.lines(), 41, "one a minute, since the first decision")
	path := file(t, "series.jsonl", series.ok())
	replayed := pure(t, "--json", "assess", "-f", file(t, "shop.yaml", finding), "shop", "--series", path)
	replayed.ok()
	caps := replayed.lines()
	require.Len(t, caps, 41)
	require.InDelta(t, was, caps[len(caps)-1]["cap"], 3)
	require.InDelta(t, 25, caps[len(caps)-1]["cap"], 4, "10 and 2 × 25 are the target, 60")
}

func TestASeriesIsExportedFromCloudWatchWhereItHasWhatRan(t *testing.T) {
	g := newBusyGround(t, 6)
	here := map[string]string{"Stack": "drover", "Labourer": "shop"}
	minute := func(n int) time.Time { return drovertest.Start.Add(time.Duration(n) * time.Minute) }
	for n, running := range []float64{7, 7, 7, 7, 9} {
		g.CloudWatch.Put("Drover", "Running", here, minute(n), running)
		g.CloudWatch.Put("Drover", "Due", here, minute(n), running+1)
		g.CloudWatch.Put("Drover", "Cap", here, minute(n), 12)
	}
	lines := g.drover("labourer", "shop", "--export-series").lines()
	require.Len(t, lines, 6)
	at := func(n int, running float64, metric any) map[string]any {
		return map[string]any{"at": minute(n).Format(time.RFC3339), "running": running, "due": running + 1, "cap": 12.0, "metrics": map[string]any{"CPU": metric}}
	}
	timed := func(n int, value any) map[string]any {
		return map[string]any{"value": value, "at": minute(n).Format(time.RFC3339)}
	}
	require.Equal(t, []map[string]any{at(4, 7, timed(4, 14.0)), at(5, 9, timed(5, 20.0)), at(6, 9, timed(6, 20.0))}, lines[3:],
		"what ran holds until something else is known")
}

func TestAnExportOfNothingSaysSo(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	g.drover("labourer", "shop", "--export-series", "--since", "1h").fails(failed, "nothing is known of labourer shop since")
	g.drover("labourer", "nobody", "--export-series").fails(failed, "nobody")
	g.drover("labourer", "shop", "--export-series", "--since", "30d").fails(misuse, "--since is 30d; want 1m to 15d")
	g.drover("labourer", "shop", "--since", "1h").fails(misuse, "--since needs --export-series")
	g.drover("labourer", "shop", "--caps", "--export-series").fails(misuse)
}

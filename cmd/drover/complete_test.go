package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/testing/crowd"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

func TestAShellCompletesIds(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.Submit(`{"job_id": "shopping", "labourer": "shop"}`)
	g.Submit(`{"job_id": "nightly", "labourer": "shop"}`)
	g.RunFor(time.Second)
	complete := g.completed
	require.ElementsMatch(t, []string{"shop", "shopping", "nightly"}, complete("why", ""))
	require.ElementsMatch(t, []string{"shopping", "nightly"}, complete("job", ""))
	require.Equal(t, []string{"nightly"}, complete("tasks", "--job", "n"))
	require.Equal(t, []string{"shop"}, complete("jobs", "--labourer", ""))
	require.ElementsMatch(t, []string{"shop", "shopping"}, complete("why", "sho"))
	require.Equal(t, []string{"shop"}, complete("pause", "s"))
	require.Empty(t, complete("pause", "shop", ""))
	g.away, g.awayUntil = errors.New("out of reach"), g.World.Now().Add(time.Hour)
	require.Empty(t, complete("why", ""))
}

func TestAShellCompletesDeadTasksAndRuns(t *testing.T) {
	g := newGround(t)
	g.drover("apply", "-f", flowFile(t, flows)).ok()
	require.NoError(t, g.Apply(shop))
	require.NoError(t, g.Worker("crew", time.Hour, well))
	require.NoError(t, g.Worker("shop", time.Second, func(context.Context, worker.Task) (any, error) { return nil, worker.Permanent(errors.New("no")) }))
	g.Submit(`{"job_id": "nightly", "labourer": "shop"}`)
	run := g.drover("--json", "workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `{"country": "FR"}`)).one()["run_id"].(string)
	g.RunFor(time.Minute)
	dead := g.drover("--json", "dead").one()["task_id"].(string)
	for _, c := range []struct {
		line []string
		want []string
	}{
		{[]string{"task", ""}, []string{dead}},
		{[]string{"replay", dead[:3]}, []string{dead}},
		{[]string{"workflow", "run", ""}, []string{run}},
		{[]string{"workflow", "cancel", "run-"}, []string{run}},
		{[]string{"workflow", "cancel", "no"}, nil},
		{[]string{"workflow", "start", ""}, []string{"Order intake"}},
		{[]string{"trace", ""}, []string{"nightly", run}},
	} {
		require.ElementsMatch(t, c.want, g.completed(c.line...), "%s", c.line)
	}
}

func TestCompletionReadsLittleOfALargeStack(t *testing.T) {
	g := newGround(t)
	require.NoError(t, g.Apply(crowd.Configuration()))
	jobs := dynamo.Jobs{API: g.DynamoDB, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable}
	for i := range 2000 {
		require.NoError(t, jobs.Create(t.Context(), ledger.Job{ID: fmt.Sprintf("j%04d", i), Labourer: "l000", State: ledger.Completed, Total: 1, Cursor: 1, Generation: 1,
			SubmittedAt: g.World.Now().Add(-time.Duration(i) * time.Second), RecordedAt: g.World.Now(), FinishedAt: g.World.Now(), Counts: ledger.Counts{Completed: 1}}))
	}
	reads := 0
	g.DynamoDB.Before = func(context.Context, fakeaws.Request) error { reads++; return nil }
	for _, words := range [][]string{{"why", ""}, {"task", ""}, {"workflow", "run", ""}, {"jobs", "--labourer", ""}} {
		reads = 0
		g.completed(words...)
		require.LessOrEqual(t, reads, 25, "%s", words)
	}
}

// completed returns what a shell proposes for the last word of a command line.
func (g *ground) completed(words ...string) []string {
	g.t.Helper()
	lines := strings.Split(strings.TrimSpace(g.drover(append([]string{"__complete"}, words...)...).ok()), "\n")
	return lines[:len(lines)-1] // the last one is for the shell
}

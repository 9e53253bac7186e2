package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/drovertest"
)

func TestPeopleReadTimesInTheirZoneAndProgramsInUTC(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	g.Submit(`{"job_id": "nightly", "labourer": "shop"}`)
	require.NoError(t, g.Run())
	utc, local := drovertest.Start.Format("2006-01-02 15:04:05Z"), drovertest.Start.Add(5*time.Hour+30*time.Minute).Format("2006-01-02 15:04:05")+"+05:30"
	g.zone = time.FixedZone("IST", int((5*time.Hour + 30*time.Minute).Seconds()))
	for _, line := range [][]string{{"job", "nightly"}, {"jobs"}, {"tasks"}} {
		require.Contains(t, g.drover(line...).ok(), local, "%s", line)
		require.NotContains(t, g.drover(line...).ok(), utc, "%s", line)
		require.Contains(t, g.drover(append(line, "--utc")...).ok(), utc, "%s", line)
		require.NotContains(t, g.drover(append(line, "--utc")...).ok(), "+05:30", "%s", line)
	}
	said := g.drover("--json", "job", "nightly").ok()
	require.Equal(t, said, g.drover("--json", "--utc", "job", "nightly").ok())
	require.Contains(t, said, drovertest.Start.Format("2006-01-02T15:04"))
	require.NotContains(t, said, "+05:30")
}

// widest returns the length of the longest line.
func widest(text string) int {
	most := 0
	for line := range strings.Lines(text) {
		most = max(most, utf8.RuneCountInString(strings.TrimRight(line, "\n")))
	}
	return most
}

func TestListsFitATerminalAndAreInFullElsewhere(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	long := "nightly-import-of-all-shops-in-the-north-" + strings.Repeat("x", 40)
	g.Submit(`{"job_id": "nightly", "labourer": "shop", "sections": ["a", "b", "c", "d", "e"], "isolate_sections": true}`)
	g.Submit(`{"job_id": "` + long + `", "labourer": "shop"}`)
	g.RunFor(time.Minute)
	for _, line := range [][]string{{"labourers"}, {"jobs"}, {"tasks"}, {"tasks", "--status", "running"}} {
		full := g.drover(line...).ok()
		require.NotContains(t, strings.Join(strings.Fields(full), " "), "…", "%s", line)
		g.width = 80
		cut := g.drover(line...).ok()
		g.width = 0
		require.Greater(t, widest(full), 80, "%s", line)
		require.LessOrEqual(t, widest(cut), 80, "%s\n%s", line, cut)
		require.Contains(t, cut, "…", "%s", line)
		require.Len(t, strings.Split(cut, "\n"), len(strings.Split(full, "\n")), "%s", line)
	}
	g.width = 300
	require.Contains(t, g.drover("jobs").ok(), long)
	require.Contains(t, g.drover("tasks").ok(), long)
	g.width = 80
	require.Contains(t, g.drover("job", long).ok(), long, "what is shown alone is in full")
	require.Contains(t, g.drover("--json", "jobs").ok(), long)
}

func TestAColumnIsCutWhereItHurtsLeast(t *testing.T) {
	rows := [][]string{{"ID", "N", "WHEN", "WHY"}, {"a-long-identifier", "12345678", "2026-11-29", strings.Repeat("because ", 10)}}
	require.Equal(t, []int{17, 8, 10, 80}, fitting(rows, 0))
	require.Equal(t, []int{17, 8, 10, 19}, fitting(rows, 60), "the longest text first")
	require.Equal(t, []int{17, 8, 4, 5}, fitting(rows, 40), "and the others as far as they go")
	require.Equal(t, []int{8, 8, 4, 4}, fitting(rows, 30), "names last, and numbers never")
	require.Equal(t, []int{4, 8, 4, 4}, fitting(rows, 10), "a line may have to wrap")
}

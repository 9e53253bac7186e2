package console_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/console"
	"github.com/drover-run/drover/shared/testing/crowd"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// counted counts the requests that the console makes.
func counted(g *ground) *atomic.Int64 {
	var reads atomic.Int64
	count := func(context.Context, fakeaws.Request) error { reads.Add(1); return nil }
	g.DynamoDB.Before, g.CloudWatch.Before, g.S3.Before = count, count, count
	return &reads
}

func TestAnOverviewReadsTheStackOnceATurnForAllTabs(t *testing.T) {
	g := inhabited(t)
	reads := counted(g)
	for range 10 {
		g.get("/").is(http.StatusOK)
	}
	first := reads.Swap(0)
	require.LessOrEqual(t, first, int64(40), "two labourers and two jobs, read once")
	g.World.Advance(g.World.Now().Add(console.Turn))
	reads.Store(0)
	g.get("/").is(http.StatusOK)
	require.Positive(t, reads.Load(), "the next turn reads again")
	require.LessOrEqual(t, reads.Load(), first)
}

func TestATurnReadsAFewOfManyLabourers(t *testing.T) {
	g := newGround(t)
	require.NoError(t, g.Apply(crowd.Configuration()))
	reads := counted(g)
	turns := 0
	for ; strings.Contains(g.get("/").is(http.StatusOK), "not read yet") || turns == 0; turns++ {
		require.LessOrEqual(t, reads.Swap(0), int64(console.ReadsATurn))
		g.World.Advance(g.World.Now().Add(time.Second))
		require.Less(t, turns, 15)
		reads.Store(0)
	}
	require.Contains(t, g.get("/?from=450&order=name").is(http.StatusOK), "l499")
}

func TestAPageMakesFewRequests(t *testing.T) {
	g := inhabited(t)
	pages := everyPage(t, g)
	reads := counted(g)
	for path := range pages {
		reads.Store(0)
		g.get(path).is(http.StatusOK)
		require.LessOrEqual(t, reads.Load(), int64(console.ReadsAPage), path)
	}
}

func TestTheStreamTellsWhatWasReadAndRestsWithoutListeners(t *testing.T) {
	g := inhabited(t)
	reads := counted(g)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = host
		g.console.ServeHTTP(w, r)
	}))
	server.Start()
	defer server.Close()
	require.Zero(t, reads.Load(), "nothing is read before a tab listens")
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/live", nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	require.Contains(t, lines.Text(), `"labourer_id":"mill"`)
	require.Contains(t, lines.Text(), `"jobs":[{"job_id":"morning"`)
	leave()
}

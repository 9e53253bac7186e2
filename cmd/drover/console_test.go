package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

// served is a console that runs until the test ends it.
type served struct {
	t       *testing.T
	address string
	end     func()
	code    chan int
	err     bytes.Buffer
}

// serve runs drover console, and waits for its first line.
func (g *ground) serve(arguments ...string) *served {
	g.t.Helper()
	out, in := io.Pipe()
	ctx, end := context.WithCancel(g.t.Context())
	c := &served{t: g.t, end: end, code: make(chan int, 1)}
	go func() {
		c.code <- run(ctx, &shell{in: strings.NewReader(""), out: in, err: &c.err, now: g.World.Now, open: g.open, environment: func(string) string { return "" },
			wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}, append([]string{"console"}, arguments...))
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		c.address = strings.TrimSpace(line)
		g.t.Cleanup(func() { end(); <-c.code; c.code <- done })
	}
	return c
}

func (c *served) get(path string) (int, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.address+path, nil)
	require.NoError(c.t, err)
	response, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return response.StatusCode, string(body)
}

func TestTheConsoleServesUntilItIsInterrupted(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	c := g.serve("--port", "0")
	require.Regexp(t, `^http://127\.0\.0\.1:\d+/$`, c.address)
	c.address = strings.TrimSuffix(c.address, "/")
	status, page := c.get("/")
	require.Equal(t, http.StatusOK, status, page)
	require.Contains(t, page, "shop")
	status, body := c.get("/api/labourers/shop")
	require.Equal(t, http.StatusOK, status)
	var line, same map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &line))
	require.NoError(t, json.Unmarshal([]byte(g.drover("--json", "labourer", "shop").ok()), &same))
	require.Equal(t, same, line, "the document of the command line")

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.address+"/api/live", nil)
	require.NoError(t, err)
	stream, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer stream.Body.Close()
	c.end()
	select {
	case code := <-c.code:
		require.Equal(t, done, code, c.err.String())
		c.code <- code
	case <-time.After(5 * time.Second):
		t.Fatal("an open stream keeps the console")
	}
}

func TestAConsoleSaysThatItsPortIsTaken(t *testing.T) {
	g := newGround(t)
	first := g.serve("--port", "0")
	port := first.address[strings.LastIndex(strings.TrimSuffix(first.address, "/"), ":")+1:]
	g.drover("console", "--port", strings.TrimSuffix(port, "/")).fails(failed, "port "+strings.TrimSuffix(port, "/"), "--port")
	g.drover("console", "--port", "70000").fails(misuse, "--port is 70000")
	require.NotEmpty(t, g.serve().address, "without --port any free one")
}

func TestAConsoleOfAMissingStackDoesNotStart(t *testing.T) {
	g := newGround(t)
	g.drover("--stack", "nope", "console", "--port", "0").fails(failed, "nope")
}

func TestAConsoleWithoutCredentialsSaysWhatToDo(t *testing.T) {
	g := newGround(t)
	g.stack.Outputs = nil
	g.drover("console", "--port", "0").fails(failed, "EventBusName")
	s := &shell{err: io.Discard, now: time.Now, stackName: "drover", environment: func(string) string { return "" },
		open: func(context.Context, string) (*stack, error) {
			return nil, errors.New("no credentials: set AWS_PROFILE")
		}}
	out, in := io.Pipe()
	s.out = in
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serveConsole(ctx, 0, false, false) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	status, page := (&served{t: t, address: strings.TrimSuffix(strings.TrimSpace(line), "/")}).get("/")
	require.Equal(t, http.StatusBadGateway, status)
	require.Contains(t, page, "set AWS_PROFILE")
	end()
	require.NoError(t, <-ended)
}

func TestTheConsoleActsAsTheCommandsDo(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	s := &shell{now: g.World.Now, open: g.open, stackName: "drover", wait: func(_ context.Context, span time.Duration) error { g.RunFor(span); return nil }}
	st, err := s.consoleStack(t.Context())
	require.NoError(t, err)
	require.NoError(t, st.Actions.SetPaused(t.Context(), "shop", true))
	require.Equal(t, true, g.drover("--json", "labourer", "shop").one()["paused"])
	g.Submit(`{"job_id": "late", "labourer": "shop"}`)
	g.RunFor(time.Minute)
	require.NoError(t, st.Actions.Cancel(t.Context(), "late"))
	g.RunFor(time.Minute)
	require.Equal(t, "cancelled", g.drover("--json", "job", "late").one()["state"])
}

func TestTheConsoleSaysWhatTroubleWithAWSMeans(t *testing.T) {
	s := &shell{environment: func(string) string { return "" }}
	for _, c := range []struct {
		err    error
		status int
		words  string
	}{
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "did not answer in time"},
		{&smithy.GenericAPIError{Code: "ThrottlingException"}, http.StatusServiceUnavailable, "AWS fails"},
		{&smithy.GenericAPIError{Code: "ExpiredTokenException"}, http.StatusBadGateway, "have expired"},
		{&smithy.GenericAPIError{Code: "AccessDeniedException"}, http.StatusBadGateway, "lack a right"},
		{errors.New("no credentials: set AWS_PROFILE"), http.StatusBadGateway, "no credentials"},
	} {
		got := s.consoleTrouble(c.err)
		require.Equal(t, c.status, got.Status, c.words)
		require.Contains(t, got.Reason, c.words)
		require.NotEmpty(t, got.Fix)
	}
}

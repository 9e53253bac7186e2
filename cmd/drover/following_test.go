package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

// outages holds ways in which AWS does not answer for a while.
var outages = map[string]error{
	"no connection":   &smithyhttp.RequestSendError{Err: errors.New("dial tcp 10.0.0.1:443: connect: connection refused")},
	"no name server":  &smithyhttp.RequestSendError{Err: &net.DNSError{Err: "no such host", Name: "dynamodb", IsNotFound: true}},
	"a hotel's page":  &smithy.DeserializationError{Err: errors.New("invalid character '<'")},
	"a fault":         answer(http.StatusServiceUnavailable),
	"throttling":      &smithy.GenericAPIError{Code: "ThrottlingException", Message: "slowly"},
	"a session's end": &ssocreds.InvalidTokenError{},
}

func answer(status int) error {
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: errors.New("as told")}
}

// during makes AWS answer with an error for a time, beginning when the command first waits.
func (g *ground) during(err error, span time.Duration) {
	g.before = func() { g.away, g.awayUntil = err, g.World.Now().Add(span) }
}

func TestAJobIsFollowedThroughAnOutage(t *testing.T) {
	for name, away := range outages {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			g.openShop(30*time.Second, well)
			g.during(away, time.Minute)
			said := g.drover("--json", "submit", "--wait", "-", "<", `{"job_id": "j", "labourer": "shop"}`)
			require.Equal(t, "completed", said.one()["state"])
			require.Equal(t, 1, strings.Count(said.err, "trying again"), "the message is printed once: %s", said.err)
			require.Contains(t, said.err, "AWS answers again")
		})
	}
}

func TestAnOutcomeThatStaysUnknownHasAnExitCodeOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		away  error
		words []string
	}{
		"an outage":       {outages["no connection"], []string{"gave up after 5m0s", "connection refused", "job j continues; to see its state: drover job j"}},
		"a session's end": {outages["a session's end"], []string{"aws sso login", "job j continues"}},
		"a right taken":   {&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}, []string{"AccessDenied", "job j continues"}},
		"expired keys":    {&smithy.GenericAPIError{Code: "ExpiredTokenException", Message: "old"}, []string{"credentials have expired", "job j continues"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			g.openShop(time.Hour, well)
			g.during(c.away, 24*time.Hour)
			g.drover("--json", "submit", "--wait", "-", "<", `{"job_id": "j", "labourer": "shop"}`).fails(unknown, c.words...)
		})
	}
}

func TestTheTimeThatAComputerSleptUsesUpLittlePatience(t *testing.T) {
	g := newGround(t)
	s := &shell{now: g.World.Now, err: io.Discard, wait: func(context.Context, time.Duration) error { return nil }, environment: func(string) string { return "" }}
	f := s.following("it continues")
	for range 4 {
		require.NoError(t, f.bear(t.Context(), outages["no connection"]))
		g.World.Advance(g.World.Now().Add(8 * time.Hour))
	}
	require.NoError(t, f.bear(t.Context(), outages["no connection"]))
	for range 3 {
		g.World.Advance(g.World.Now().Add(time.Minute))
	}
	require.ErrorContains(t, f.bear(t.Context(), outages["no connection"]), "gave up")
}

func TestWatchGoesOnAfterAnOutage(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	g.during(outages["no connection"], 20*time.Second)
	g.interruptAt = g.World.Now().Add(40 * time.Second)
	said := g.drover("--json", "watch")
	require.Equal(t, done, said.code, said.err)
	require.Contains(t, said.err, "connection refused; trying again")
	require.Contains(t, said.err, "AWS answers again")
	require.Greater(t, len(said.lines()), 10, "it continues")

	g = newGround(t)
	g.openShop(time.Second, well)
	g.during(outages["a fault"], 24*time.Hour)
	said = g.drover("--json", "watch")
	require.Equal(t, unknown, said.code)
	require.Contains(t, said.err, "gave up after 5m0s")
}

func TestDrainingGoesOnAfterAnOutage(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Minute, well)
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(time.Second)
	g.during(outages["no connection"], 20*time.Second)
	said := g.drover("apply", "--remove", "shop", "--drain")
	require.Contains(t, said.ok(), "Removed 1 labourer")
	require.Contains(t, said.err, "trying again; labourer shop is not removed")
}

func TestErrorsAreSortedByWhatCanBeDone(t *testing.T) {
	api := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "x"} }
	for _, c := range []struct {
		err  error
		want kind
	}{
		{api("AccessDeniedException"), denied}, {api("AuthorizationError"), denied}, {answer(http.StatusForbidden), denied},
		{answer(http.StatusInternalServerError), passing}, {&smithy.GenericAPIError{Code: "Odd", Fault: smithy.FaultServer}, passing},
		{api("Throttling"), passing}, {api("ExpiredToken"), session}, {&smithy.OperationError{ServiceID: "SSO", OperationName: "GetRoleCredentials", Err: api("UnauthorizedException")}, session},
		{errors.New("refresh cached SSO token failed, x"), session}, {api("AWS.SimpleQueueService.NonExistentQueue"), absent}, {answer(http.StatusNotFound), absent},
		{api("ValidationError"), refused}, {api("InvalidClientTokenId"), other}, {errors.New("plain"), other}, {nil, other},
	} {
		var err error
		if c.err != nil {
			err = fmt.Errorf("reading, %w", c.err)
		}
		require.Equal(t, c.want, kindOf(err), "%v", c.err)
	}
}

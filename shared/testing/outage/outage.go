// Package outage lets tests prove that a service recovers. It cuts off the service at each of its requests in turn, in each possible way, and compares
// the final state with that of an undisturbed run.
package outage

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// Way names how a service is cut off.
type Way string

// A service that dies makes no further request until it is called again.
const (
	Refused     Way = "one request fails and takes no effect"
	Unheard     Way = "one request takes effect but is reported as failed"
	DiesBefore  Way = "the service dies before a request"
	DiesBetween Way = "the service dies after a request, before it gets the answer"
)

var ways = []Way{Refused, Unheard, DiesBefore, DiesBetween}

// Cut is one interruption of a service. It is safe for concurrent use.
type Cut struct {
	way Way
	at  int // the number of the request, from 1; 0 for none

	mu       sync.Mutex
	requests int
	happened bool
	over     bool
	marked   any // the input of the request whose answer is withheld
}

// error returns an error that has no special meaning for any service.
func (c *Cut) error() error {
	return &smithy.GenericAPIError{Code: "InternalServerError", Message: fmt.Sprintf("cut off at request %d: %s", c.at, c.way), Fault: smithy.FaultServer}
}

// On makes all further requests to a stack's services, and to other databases, go through the cut.
func (c *Cut) On(s *fakeaws.Stack, others ...*fakeaws.DynamoDB) {
	hooks := fakeaws.Hooks{Before: c.before, After: c.after}
	for _, db := range others {
		db.Hooks = hooks
	}
	s.DynamoDB.Hooks, s.SQS.Hooks, s.EventBridge.Hooks, s.StepFunctions.Hooks = hooks, hooks, hooks, hooks
	s.Lambda.Hooks, s.S3.Hooks, s.SNS.Hooks, s.CloudWatch.Hooks = hooks, hooks, hooks, hooks
}

func (c *Cut) dies() bool { return c.way == DiesBefore || c.way == DiesBetween }

func (c *Cut) before(_ context.Context, r fakeaws.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if c.over || c.at == 0 || c.requests < c.at {
		return nil
	}
	if c.requests > c.at {
		if c.dies() {
			return c.error()
		}
		return nil
	}
	c.happened = true
	if c.way == Unheard || c.way == DiesBetween {
		c.marked = r.Input
		return nil
	}
	return c.error()
}

func (c *Cut) after(_ context.Context, r fakeaws.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.marked == nil || c.marked != r.Input {
		return nil
	}
	return c.error()
}

// mend ends the cut. It reports whether the cut killed the service before it finished.
func (c *Cut) mend() (died bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	died = c.happened && !c.over && c.dies()
	c.over = c.over || c.happened
	return died
}

// Off ends the cut, whether it has happened or not: later requests are not those of the tested service.
func (c *Cut) Off() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// Happened reports whether the service reached the request that is cut off.
func (c *Cut) Happened() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.happened
}

// most limits how often Redeliver calls a service before it concludes that the service never succeeds.
const most = 12

// Redeliver calls the service with the same input until it succeeds, like a queue or a stream. It calls again after an error, and after the service has
// died, whatever it returned. Before each further call time passes.
func (c *Cut) Redeliver(t require.TestingT, w *fakeaws.World, pause time.Duration, call func(delivery int) error) {
	for delivery := 1; ; delivery++ {
		err := call(delivery)
		if died := c.mend(); !died && err == nil {
			return
		}
		require.Less(t, delivery, most, "it fails at every delivery: %v", err)
		w.Advance(w.Now().Add(pause))
	}
}

// Everywhere plays a scene undisturbed, and then again for each of its requests and each way to cut it off there. The scene's final picture must always
// be the same. A scene calls Cut.On when its stage is set, and Cut.Off before it reads the outcome.
//
// Under go test -short each request is cut off in only one way. The ways take turns, so each of them is still tried.
func Everywhere(t *testing.T, scene func(t *testing.T, cut *Cut) string) {
	t.Helper()
	undisturbed := &Cut{}
	want := scene(t, undisturbed)
	require.NotEmpty(t, want)
	cuts := 0
	for at := 1; ; at++ {
		before := cuts
		for i, way := range ways {
			if testing.Short() && i != at%len(ways) {
				continue
			}
			cut := &Cut{way: way, at: at}
			got := scene(t, cut)
			if !cut.Happened() {
				break
			}
			cuts++
			require.Equal(t, want, got, "at request %d %s", at, way)
		}
		if cuts == before {
			break
		}
	}
	require.Positive(t, cuts, "the scene makes no request")
	t.Logf("%d cuts", cuts)
}

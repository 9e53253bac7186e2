package worker_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// carrier holds the methods by which OpenTelemetry's propagators read a context (propagation.TextMapCarrier).
type carrier interface {
	Get(key string) string
	Set(key, value string)
	Keys() []string
}

var _ carrier = worker.Trace{}

func TestTheContextOfAFunctionHasTheTraceOfItsAttempt(t *testing.T) {
	text := strings.Replace(inAnHour(""), `"version":1`, `"version":1,"traceparent":"`+traceparent+`","tracestate":"rojo=1"`, 1)
	var in worker.Trace

	_, err := invoke(t.Context(), newFakeSQS(), text, func(ctx context.Context, task worker.Task) (any, error) {
		require.Equal(t, task.Trace, worker.TraceOf(ctx))
		in = worker.TraceOf(ctx)
		return nil, nil
	})

	require.NoError(t, err)
	require.Equal(t, traceparent, in.Get("traceparent"))
	require.Equal(t, "rojo=1", in.Get("tracestate"))
	require.Equal(t, []string{"traceparent", "tracestate"}, in.Keys())
	require.Equal(t, traceparent, in.Traceparent())
}

func TestAnUnreadableTraceContextIsAsNone(t *testing.T) {
	for name, members := range map[string]string{"none": "", "no text": `,"traceparent":7,"tracestate":{}`, "unreadable": `,"traceparent":"00-x","tracestate":"rojo=1"`} {
		text := strings.Replace(inAnHour(""), `"version":1`, `"version":1`+members, 1)

		_, err := invoke(t.Context(), newFakeSQS(), text, func(ctx context.Context, task worker.Task) (any, error) {
			require.Empty(t, worker.TraceOf(ctx).Keys(), name)
			require.Empty(t, task.Trace.Traceparent(), name)
			return nil, nil
		})

		require.NoError(t, err)
	}
	require.Empty(t, worker.TraceOf(t.Context()).Get("traceparent"))
}

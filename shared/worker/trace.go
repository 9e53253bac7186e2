package worker

import (
	"context"
	"encoding/json"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/trace"
)

// Trace holds the W3C trace context of an attempt: the trace of the job or run, with the attempt's own span as the parent. The zero value belongs to no trace.
//
// A Trace is an OpenTelemetry TextMapCarrier, so the spans of a function belong to the trace after
//
//	ctx = propagation.TraceContext{}.Extract(ctx, worker.TraceOf(ctx))
//
// This package itself does not depend on OpenTelemetry.
type Trace struct{ context trace.Context }

type traceKey struct{}

// TraceOf returns the trace context of the attempt that runs in this context; the zero value if it has none.
func TraceOf(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

func withTrace(ctx context.Context, t Trace) context.Context {
	if !t.context.Traced() {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, t)
}

// readTrace reads a trace context. One that cannot be read is as none: it must not keep a task from being run.
func readTrace(parent, state json.RawMessage) Trace {
	p, _ := exact.Text(parent)
	s, _ := exact.Text(state)
	return Trace{trace.Parse(p, s)}
}

// Traceparent returns the value of the traceparent header for requests that belong to the attempt, or "".
func (t Trace) Traceparent() string { return t.context.Parent() }

// Tracestate returns the value of the tracestate header, or "".
func (t Trace) Tracestate() string { return t.context.State }

// Get returns the value of a header: traceparent or tracestate.
func (t Trace) Get(header string) string {
	switch header {
	case "traceparent":
		return t.Traceparent()
	case "tracestate":
		return t.Tracestate()
	}
	return ""
}

// Set does nothing: a trace context only comes in.
func (t Trace) Set(string, string) {}

// Keys returns the names of the headers that have a value.
func (t Trace) Keys() []string {
	var keys []string
	for _, header := range []string{"traceparent", "tracestate"} {
		if t.Get(header) != "" {
			keys = append(keys, header)
		}
	}
	return keys
}

package trace_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/drover-run/drover/shared/core/trace"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123_000_000, time.UTC)

// spans returns spans with each field of a span.
func spans() []trace.Span {
	return []trace.Span{
		{ID: "00f067aa0ba902b8", Parent: spanID, Remote: true, Name: "submit f", Kind: trace.Producer, Start: noon, End: noon.Add(time.Millisecond)},
		{ID: "00f067aa0ba902b9", Parent: "00f067aa0ba902b8", Links: []string{"00f067aa0ba902ba"}, Name: "attempt f", Kind: trace.Consumer, Start: noon, End: noon.Add(time.Hour),
			Attributes: []trace.Attribute{{Key: "drover.job_id", Value: "nightly <&> é"}, {Key: "drover.attempt", Value: 2}, {Key: "drover.unfinished", Value: true}, {Key: "zero", Value: 0}, {Key: "no", Value: false}},
			Events:     []trace.Event{{At: noon.Add(time.Second), Name: "dead", Attributes: []trace.Attribute{{Key: "x", Value: ""}}}}, Failed: true, Message: "no luck"},
	}
}

func written(t *testing.T, c trace.Context, all ...trace.Span) []byte {
	t.Helper()
	var out bytes.Buffer
	o, err := trace.NewOTLP(&out, c, []trace.Attribute{{Key: "service.name", Value: "drover"}}, "scope", "v1")
	require.NoError(t, err)
	for _, s := range all {
		require.NoError(t, o.Add(s))
	}
	require.NoError(t, o.End())
	return out.Bytes()
}

// respelt replaces the ids in a document, which OTLP writes in hexadecimal and the JSON of protocol buffers in base64.
func respelt(t *testing.T, document []byte, decode func(string) ([]byte, error), encode func([]byte) string) []byte {
	t.Helper()
	var all any
	require.NoError(t, json.Unmarshal(document, &all))
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, one := range v {
				walk(one)
			}
		case map[string]any:
			for name, one := range v {
				if text, is := one.(string); is && (name == "traceId" || name == "spanId" || name == "parentSpanId") {
					id, err := decode(text)
					require.NoError(t, err)
					v[name] = encode(id)
				}
				walk(one)
			}
		}
	}
	walk(all)
	out, err := json.Marshal(all)
	require.NoError(t, err)
	return out
}

// TestTheDocumentIsWhatTheOfficialMappingMakes reads a document by the official definitions, which know each of its names, and writes it again by them.
func TestTheDocumentIsWhatTheOfficialMappingMakes(t *testing.T) {
	document := written(t, trace.Parse(parent, "rojo=1"), spans()...)

	var data collector.TracesData
	require.NoError(t, protojson.Unmarshal(respelt(t, document, hex.DecodeString, base64.StdEncoding.EncodeToString), &data))
	again, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(&data)
	require.NoError(t, err)

	require.JSONEq(t, string(respelt(t, again, base64.StdEncoding.DecodeString, hex.EncodeToString)), string(document))
	read := data.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()
	require.Len(t, read, 2)
	require.Equal(t, collector.Span_SPAN_KIND_PRODUCER, read[0].GetKind())
	require.EqualValues(t, collector.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK|collector.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK|1, read[0].GetFlags())
	attempt := read[1]
	require.Equal(t, collector.Span_SPAN_KIND_CONSUMER, attempt.GetKind())
	require.Equal(t, traceID, hex.EncodeToString(attempt.GetTraceId()))
	require.Equal(t, "rojo=1", attempt.GetTraceState())
	require.EqualValues(t, noon.UnixNano(), attempt.GetStartTimeUnixNano())
	require.EqualValues(t, 2, attempt.GetAttributes()[1].GetValue().GetIntValue())
	require.True(t, attempt.GetAttributes()[2].GetValue().GetBoolValue())
	require.Equal(t, collector.Status_STATUS_CODE_ERROR, attempt.GetStatus().GetCode())
	require.Equal(t, "no luck", attempt.GetStatus().GetMessage())
	require.Equal(t, "00f067aa0ba902ba", hex.EncodeToString(attempt.GetLinks()[0].GetSpanId()))
	require.EqualValues(t, collector.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK|1, attempt.GetFlags())
}

func TestADocumentWithoutSpansIsWhole(t *testing.T) {
	require.JSONEq(t, `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"drover"}}]},
		"scopeSpans":[{"scope":{"name":"scope","version":"v1"},"spans":[]}]}]}`, string(written(t, trace.Context{})))
}

// TestTheDocumentHasOTLPsOwnSpelling fixes a document byte by byte: ids in hexadecimal, 64-bit integers as text, enumerations as numbers.
func TestTheDocumentHasOTLPsOwnSpelling(t *testing.T) {
	require.Equal(t, `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"drover"}}]},"scopeSpans":[{"scope":{"name":"scope","version":"v1"},"spans":[
{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b8","parentSpanId":"00f067aa0ba902b7","flags":769,"name":"submit f","kind":4,`+
		`"startTimeUnixNano":"1795348800123000000","endTimeUnixNano":"1795348800124000000"}
]}]}]}
`, string(written(t, trace.Parse(parent, ""), spans()[0])))
}

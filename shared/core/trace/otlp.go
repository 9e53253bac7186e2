package trace

import (
	"encoding/json"
	"io"
	"strconv"
	"time"
)

// OTLP writes a trace as one document of OTLP in JSON, span by span: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. There ids are
// hexadecimal, 64-bit integers are text and enumerations are numbers.
type OTLP struct {
	to      io.Writer
	context Context
	begun   bool
	origin  []byte
}

// NewOTLP returns a writer of the spans of a trace. resource describes where they come from; scope and version name the program that made them.
func NewOTLP(to io.Writer, c Context, resource []Attribute, scope, version string) (*OTLP, error) {
	origin, err := json.Marshal(struct {
		Attributes []otlpAttribute `json:"attributes"`
	}{attributes(resource)})
	if err != nil {
		return nil, err
	}
	by, err := json.Marshal(map[string]string{"name": scope, "version": version})
	if err != nil {
		return nil, err
	}
	head := append([]byte(`{"resourceSpans":[{"resource":`), origin...)
	head = append(append(head, `,"scopeSpans":[{"scope":`...), by...)
	return &OTLP{to: to, context: c, origin: append(head, `,"spans":[`...)}, nil
}

// Add writes a span.
func (o *OTLP) Add(s Span) error {
	text, err := json.Marshal(o.span(s))
	if err != nil {
		return err
	}
	before := []byte{','}
	if !o.begun {
		before, o.begun = o.origin, true
	}
	_, err = o.to.Write(append(append(before, '\n'), text...))
	return err
}

// End ends the document.
func (o *OTLP) End() error {
	end := "\n]}]}]}\n"
	if !o.begun {
		end = string(o.origin) + end
	}
	_, err := io.WriteString(o.to, end)
	return err
}

type otlpSpan struct {
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId"`
	TraceState string          `json:"traceState,omitempty"`
	Parent     string          `json:"parentSpanId,omitempty"`
	Flags      uint32          `json:"flags"`
	Name       string          `json:"name"`
	Kind       Kind            `json:"kind"`
	Start      string          `json:"startTimeUnixNano"`
	End        string          `json:"endTimeUnixNano"`
	Attributes []otlpAttribute `json:"attributes,omitempty"`
	Events     []otlpEvent     `json:"events,omitempty"`
	Links      []otlpLink      `json:"links,omitempty"`
	Status     *otlpStatus     `json:"status,omitempty"`
}

type otlpEvent struct {
	At         string          `json:"timeUnixNano"`
	Name       string          `json:"name"`
	Attributes []otlpAttribute `json:"attributes,omitempty"`
}

type otlpLink struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
	Flags   uint32 `json:"flags"`
}

type otlpStatus struct {
	Message string `json:"message,omitempty"`
	Code    int    `json:"code"`
}

type otlpAttribute struct {
	Key   string    `json:"key"`
	Value otlpValue `json:"value"`
}

type otlpValue struct {
	String *string `json:"stringValue,omitempty"`
	Int    *string `json:"intValue,omitempty"`
	Bool   *bool   `json:"boolValue,omitempty"`
}

// statusError marks a span that failed.
const statusError = 2

// The flags of a span hold those of its trace, and whether it is known that its parent is remote, and that it is.
const (
	remoteKnown = 1 << 8
	remote      = 1 << 9
)

func (o *OTLP) span(s Span) otlpSpan {
	flags, _ := strconv.ParseUint(o.context.Flags, 16, 8)
	local := uint32(flags) | remoteKnown
	out := otlpSpan{TraceID: o.context.TraceID, SpanID: s.ID, TraceState: o.context.State, Parent: s.Parent, Flags: local, Name: s.Name, Kind: s.Kind,
		Start: nanoseconds(s.Start), End: nanoseconds(s.End), Attributes: attributes(s.Attributes)}
	if s.Remote {
		out.Flags |= remote
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, otlpEvent{nanoseconds(e.At), e.Name, attributes(e.Attributes)})
	}
	for _, id := range s.Links {
		out.Links = append(out.Links, otlpLink{o.context.TraceID, id, local})
	}
	if s.Failed {
		out.Status = &otlpStatus{s.Message, statusError}
	}
	return out
}

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func attributes(all []Attribute) []otlpAttribute {
	var out []otlpAttribute
	for _, a := range all {
		var v otlpValue
		switch value := a.Value.(type) {
		case string:
			v.String = &value
		case int:
			text := strconv.Itoa(value)
			v.Int = &text
		case bool:
			v.Bool = &value
		}
		out = append(out, otlpAttribute{a.Key, v})
	}
	return out
}

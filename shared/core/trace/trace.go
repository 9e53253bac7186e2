// Package trace carries the W3C trace context of a job or a run to its workers, and names the spans of a trace.
//
// Span ids are hashes of what a span stands for, so that the parent that a worker got and the span that is built later are the same, whenever and
// however often the trace is built.
package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/drover-run/drover/shared/core/exact"
)

// Context is a trace context: https://www.w3.org/TR/trace-context/. The zero value belongs to no trace. Values can be compared with ==.
type Context struct {
	TraceID string // 32 hexadecimal digits
	SpanID  string // of the parent, 16 hexadecimal digits
	Flags   string // 2 hexadecimal digits
	State   string // the tracestate; "" if there is none
}

// Traced reports whether the context belongs to a trace.
func (c Context) Traced() bool { return c.TraceID != "" }

// Parent returns the traceparent, in version 00; "" for the zero value.
func (c Context) Parent() string {
	if !c.Traced() {
		return ""
	}
	return "00-" + c.TraceID + "-" + c.SpanID + "-" + c.Flags
}

// Under returns the context of what happens within a span of the same trace.
func (c Context) Under(span string) Context {
	if c.Traced() {
		c.SpanID = span
	}
	return c
}

const (
	parentBytes = 55 // of a traceparent of version 00
	stateBytes  = 512
	stateMost   = 32 // members
)

// Parse reads a traceparent and its tracestate. An unreadable traceparent is as none; an unreadable tracestate, or one of more than 512 bytes, is left
// out. A version after 00 is read as far as version 00 defines it.
func Parse(parent, state string) Context {
	if len(parent) < parentBytes || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return Context{}
	}
	version, c := parent[:2], Context{TraceID: parent[3:35], SpanID: parent[36:52], Flags: parent[53:parentBytes]}
	rest := parent[parentBytes:]
	switch {
	case !digits(version) || !digits(c.TraceID) || !digits(c.SpanID) || !digits(c.Flags):
		return Context{}
	case version == "ff" || strings.Trim(c.TraceID, "0") == "" || strings.Trim(c.SpanID, "0") == "":
		return Context{}
	case rest != "" && (version == "00" || rest[0] != '-'):
		return Context{}
	}
	if state = strings.Trim(state, " \t"); validState(state) {
		c.State = state
	}
	return c
}

// digits reports whether a text has only hexadecimal digits, which have to be lower-case.
func digits(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

// Of reads the attributes traceparent and tracestate of a JSON object. It returns the zero value where there is no readable traceparent.
func Of(object []byte) Context {
	var has struct {
		Parent json.RawMessage `json:"traceparent"`
		State  json.RawMessage `json:"tracestate"`
	}
	if exact.Decode(object, &has) != nil {
		return Context{}
	}
	parent, _ := exact.Text(has.Parent)
	state, _ := exact.Text(has.State)
	return Parse(parent, state)
}

// validState reports whether a tracestate is a list of up to 32 members with different keys.
func validState(state string) bool {
	if len(state) > stateBytes {
		return false
	}
	seen := map[string]bool{}
	for member := range strings.SplitSeq(state, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue // empty members are allowed
		}
		key, value, found := strings.Cut(member, "=")
		if !found || !validKey(key) || !validValue(value) || seen[key] {
			return false
		}
		seen[key] = true
	}
	return len(seen) <= stateMost
}

const lower = "abcdefghijklmnopqrstuvwxyz"

// validKey checks a key, of one vendor or of a tenant of one ("tenant@vendor").
func validKey(key string) bool {
	const letters = lower + "0123456789_-*/"
	tenant, system, multi := strings.Cut(key, "@")
	switch {
	case strings.Trim(tenant, letters) != "" || tenant == "" || strings.Trim(system, letters) != "":
		return false
	case multi:
		return len(tenant) <= 241 && strings.ContainsRune(lower+"0123456789", rune(tenant[0])) && system != "" && len(system) <= 14 && strings.ContainsRune(lower, rune(system[0]))
	}
	return len(tenant) <= 256 && strings.ContainsRune(lower+"0123456789", rune(tenant[0]))
}

func validValue(value string) bool {
	return value != "" && len(value) <= 256 && !strings.HasSuffix(value, " ") &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' || r == ',' || r == '=' })
}

// AttemptSpan returns the id of the span of an attempt at a task: the parent of what its worker does.
func AttemptSpan(task string, attempt int) string {
	return SpanID("attempt", task, strconv.Itoa(attempt))
}

// SpanID returns the id of the span that these texts name.
func SpanID(names ...string) string { return hashed(8, names) }

// TraceID returns the id of a trace for what was submitted without one.
func TraceID(names ...string) string { return hashed(16, names) }

func hashed(bytes int, names []string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	sum[0] |= 1 // ids of zeros are invalid
	return hex.EncodeToString(sum[:bytes])
}

package completion

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/exact"
)

// message holds the members of an object. Each is read separately, so that an unreadable one does not affect the others.
type message struct {
	values map[string]json.RawMessage
	twice  map[string]bool // names that appear more than once, with different values
}

func messageOf(text []byte) (message, error) {
	members, err := exact.Members(text)
	if err != nil {
		return message{}, err
	}
	m := message{values: make(map[string]json.RawMessage, len(members)), twice: map[string]bool{}}
	for _, member := range members {
		if before, again := m.values[member.Name]; again && !bytes.Equal(before, member.Value) {
			m.twice[member.Name] = true
		}
		m.values[member.Name] = member.Value
	}
	return m, nil
}

func (m message) given(name string) bool { return present(m.values[name]) != nil }

// once refuses a message that has two different values under one of the names.
func (m message) once(names ...string) error {
	for _, name := range names {
		if m.twice[name] {
			return fmt.Errorf("%s appears twice, with different values; want it once", name)
		}
	}
	return nil
}

// text returns a string, or "" if the value is no string.
func (m message) text(name string) string {
	text, _ := exact.Text(m.values[name])
	return text
}

// shown returns a string, or the JSON of any other value, for people to read.
func (m message) shown(name string) string {
	if text := m.text(name); text != "" || !m.given(name) {
		return text
	}
	return strings.ToValidUTF8(string(m.values[name]), "\ufffd")
}

// unquoted returns a value without the quotes of a string.
func (m message) unquoted(name string) string {
	return strings.TrimSpace(first(m.text(name), string(m.values[name])))
}

// whole reads a whole number from 1. It accepts strings, because some languages send only strings, and forms like 2.0.
func (m message) whole(name string) (int, bool) {
	n, err := strconv.ParseFloat(m.unquoted(name), 64)
	if err != nil || n != math.Trunc(n) || n < 1 || n > math.MaxInt32 || m.twice[name] {
		return 0, false
	}
	return int(n), true
}

// flag reads a boolean. It accepts strings, 0 and 1. ok is false for any other value.
func (m message) flag(name string, standing bool) (said, ok bool) {
	if !m.given(name) {
		return standing, true
	}
	said, err := strconv.ParseBool(strings.ToLower(m.unquoted(name)))
	if err != nil || m.twice[name] {
		return standing, false
	}
	return said, true
}

// wait reads a Go duration or seconds, up to maxWait. ok is false for any other value.
func (m message) wait(name string) (d time.Duration, ok bool) {
	if !m.given(name) {
		return 0, true
	}
	if m.twice[name] {
		return 0, false
	}
	text := m.unquoted(name)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && !math.IsInf(seconds, 0) {
		return time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second)), true
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return min(d, maxWait), true
	}
	return 0, false
}

// failure reads an error: an object with type and message, or the message alone. Any other value becomes the message, as written.
func (m message) failure(name string) failure {
	if m.twice[name] {
		return failure{Message: "the completion has two errors that differ"}
	}
	if inner, err := messageOf(m.values[name]); err == nil {
		f := failure{inner.shown("type"), inner.shown("message")}
		if f == (failure{}) && len(inner.values) > 0 {
			f.Message = m.shown(name)
		}
		return f
	}
	return failure{Message: m.shown(name)}
}

func (m message) content(name string) content {
	c := contentOf(m.values[name])
	if m.twice[name] {
		c.unreadable = "it appears twice, with different values"
	}
	return c
}

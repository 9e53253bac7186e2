package adaptive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/exact"
)

// Sample holds what was recorded of a labourer at a time.
type Sample struct {
	At      time.Time            `json:"at"`
	Running int                  `json:"running"`
	Due     int                  `json:"due"`
	Metrics map[string]*Recorded `json:"metrics"` // by name; nil: there was no value
}

// Recorded is a value of a metric. Its JSON is a number, or {"value", "at"} where its own time is known.
type Recorded struct {
	Value *float64
	At    time.Time // the end of the time that it is about; zero: the time of the sample
}

// UnmarshalJSON reads a number or {"value", "at"}.
func (r *Recorded) UnmarshalJSON(text []byte) error {
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return json.Unmarshal(text, &r.Value)
	}
	var timed struct {
		Value *float64  `json:"value"`
		At    time.Time `json:"at"`
	}
	err := exact.Decode(text, &timed)
	r.Value, r.At = timed.Value, timed.At
	return err
}

// MarshalJSON writes what UnmarshalJSON reads.
func (r Recorded) MarshalJSON() ([]byte, error) {
	if r.At.IsZero() {
		return json.Marshal(r.Value)
	}
	return json.Marshal(struct {
		Value *float64  `json:"value"`
		At    time.Time `json:"at"`
	}{r.Value, r.At})
}

// Replay finds the cap that a labourer would have had. The zero Replay begins with nothing known.
type Replay struct {
	Aims     map[string]Aim // by the metric's name
	Min, Max int

	last        time.Time
	controllers map[string]Controller
	found       Found
}

// Next returns the cap at the next sample, with the reason that holds it. Samples come in the order of their times.
func (r *Replay) Next(s Sample) (Found, string, error) {
	switch {
	case s.At.IsZero():
		return r.found, "", fmt.Errorf("at is missing")
	case !s.At.After(r.last):
		return r.found, "", fmt.Errorf("at: %s is not after the line before, %s", s.At.Format(time.RFC3339), r.last.Format(time.RFC3339))
	case s.Running < 0:
		return r.found, "", fmt.Errorf("running: is %d; want 0 or more", s.Running)
	case s.Due < 0:
		return r.found, "", fmt.Errorf("due: is %d; want 0 or more", s.Due)
	}
	readings := map[string]Reading{}
	for _, name := range slices.Sorted(maps.Keys(s.Metrics)) {
		if value := s.Metrics[name]; value != nil {
			reading := Reading{Value: value.Value, At: s.At, About: value.At}
			if value.At.IsZero() {
				reading.About = s.At
			}
			readings[name] = reading
		}
	}
	r.last = s.At
	var reason string
	r.controllers, r.found, reason = Find("", r.Aims, readings, r.controllers, r.found, Numbers{Min: r.Min, Max: r.Max, Running: s.Running, Due: s.Due}, s.At)
	return r.found, reason, nil
}

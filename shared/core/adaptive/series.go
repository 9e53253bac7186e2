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
	Cap     *float64             `json:"cap,omitempty"` // that held; nil: not known
	Metrics map[string]*Recorded `json:"metrics"`       // by name; nil: there was no value
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
//
// If the cap that held is known, another cap lets another number of tasks run, and the loads are taken in proportion to that number: a load that is
// not the labourer's own is not told apart from its own. Otherwise all values count as they are.
type Replay struct {
	Aims     map[string]Aim // by the metric's name
	Min, Max int

	last        time.Time
	controllers map[string]Controller
	found       Found
	ran         []ran // oldest first, not longer than anything that a value may be about
}

// ran says how many tasks ran at a time, and how many would have.
type ran struct {
	at           time.Time
	were, others float64
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
	case s.Cap != nil && *s.Cap < 0:
		return r.found, "", fmt.Errorf("cap: is %g; want 0 or more", *s.Cap)
	}
	r.last = s.At
	numbers := Numbers{Min: r.Min, Max: r.Max, Running: s.Running, Due: s.Due}
	if s.Cap != nil {
		numbers.Running = min(r.found.Cap, s.Running+s.Due)
		numbers.Due = s.Running + s.Due - numbers.Running
		r.ran = append(r.ran, ran{s.At, float64(s.Running), float64(numbers.Running)})
		r.ran = slices.DeleteFunc(r.ran, func(one ran) bool { return s.At.Sub(one.at) > longest })
	}
	readings := map[string]Reading{}
	for _, name := range slices.Sorted(maps.Keys(s.Metrics)) {
		value := s.Metrics[name]
		if value == nil || value.Value == nil {
			continue
		}
		about := value.At
		if about.IsZero() {
			about = s.At
		}
		aim := r.Aims[name]
		load := *value.Value
		if share := r.share(about.Add(-aim.Period), about); aim.Target.Over {
			load /= share
		} else {
			load *= share
		}
		readings[name] = Reading{Value: &load, At: s.At, About: about}
	}
	var reason string
	r.controllers, r.found, reason = Find("", r.Aims, readings, r.controllers, r.found, numbers, s.At)
	return r.found, reason, nil
}

// longest is more than the period of any metric: a day.
const longest = 25 * time.Hour

// share returns how many tasks would have run in a time for each that did; 1 if none did, or it is not known.
func (r *Replay) share(from, to time.Time) float64 {
	were, others := 0.0, 0.0
	for _, one := range slices.Backward(r.ran) {
		if !one.at.After(from) {
			break
		}
		if !one.at.After(to) {
			were, others = were+one.were, others+one.others
		}
	}
	if were == 0 || others == 0 {
		return 1
	}
	return others / were
}

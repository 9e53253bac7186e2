package queue

import (
	"fmt"
	"time"
)

// Pin overrides the cap of a labourer for a time.
type Pin struct {
	Cap   int       `json:"cap"`            // 0 or more
	Until time.Time `json:"until,omitzero"` // zero: until it is taken away
	By    string    `json:"by,omitempty"`   // a person, or an identity of AWS
	At    time.Time `json:"at"`
}

// Holds reports whether there is a pin that has not run out.
func (p *Pin) Holds(now time.Time) bool {
	return p != nil && (p.Until.IsZero() || now.Before(p.Until))
}

// Reason says in words that the cap is pinned.
func (p *Pin) Reason() string {
	text := fmt.Sprintf("pinned to %d", p.Cap)
	if p.By != "" {
		text += " by " + p.By
	}
	text += " at " + p.At.UTC().Format(time.RFC3339)
	if !p.Until.IsZero() {
		text += ", until " + p.Until.UTC().Format(time.RFC3339)
	}
	return text
}

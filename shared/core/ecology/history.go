package ecology

import (
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
)

// History holds what assessments remember, by metric name. It is stored as JSON. The zero History remembers nothing.
type History map[string]Past

// Past describes one metric at its last assessment.
type Past struct {
	Status Status `json:"status"` // the status that counts, after settling

	// Since has times for the statuses that are better than Status, up to the one last felt. For each, it has the time since when the metric has been
	// at least that good without interruption.
	Since map[Status]time.Time `json:"since,omitempty"`
}

// Remembered holds what passes from a labourer's last assessment to the next one.
type Remembered struct {
	Status  Status    `json:"status"`
	Known   bool      `json:"known"` // false if the labourer was never assessed
	History History   `json:"history,omitempty"`
	At      time.Time `json:"at"` // when the status last changed

	Cap adaptive.Found `json:"cap,omitzero"` // of a labourer whose cap finds itself
}

// settle returns the status that counts after the metric was felt to have the status felt. Without a past that is felt itself. A worse status counts
// at once, and a better one only after the metric has been at least that good for the duration settle.
func (p *Past) settle(felt Status, settle time.Duration, now time.Time) Past {
	if p == nil || settle <= 0 || felt <= p.Status {
		return Past{Status: felt}
	}

	next := Past{Status: p.Status, Since: map[Status]time.Time{}}
	for s := p.Status + 1; s <= felt; s++ {
		since, ok := p.Since[s]
		if !ok || since.After(now) {
			since = now
		}
		if now.Sub(since) >= settle {
			next.Status = s
			continue
		}
		next.Since[s] = since
	}
	if len(next.Since) == 0 {
		next.Since = nil
	}
	return next
}

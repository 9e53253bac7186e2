package ecology

import "time"

// History is what assessments remember from one to the next, by metric name. It is data of the labourer's state: JSON keeps it whole.
// The zero History remembers nothing.
type History map[string]Past

// Past is what was known of one metric when it was last assessed.
type Past struct {
	Status Status `json:"status"` // in force, after settling

	// Since tells for each better status than the one in force, up to the one last felt, since when the metric has been at
	// least so good without a break.
	Since map[Status]time.Time `json:"since,omitempty"`
}

// Remembered is what a labourer's last assessment leaves for the next one.
type Remembered struct {
	Status  Status    `json:"status"`
	Known   bool      `json:"known"` // false: the labourer was never assessed
	History History   `json:"history,omitempty"`
	At      time.Time `json:"at"` // when the status last changed
}

// settle is the status in force once a metric feels like felt. Without a past it is what is felt; a worse one counts at once; a better
// one only after the metric has been at least so good for as long as settle says.
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

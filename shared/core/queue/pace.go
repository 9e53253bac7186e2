package queue

import (
	"math"
	"time"
)

// Pace remembers how fast a labourer's tasks leave their leases. The zero Pace knows nothing.
type Pace struct {
	Left int       `json:"left"`           // tasks that were in hand or waited after the last grant
	At   time.Time `json:"at"`             // when the observation began
	Rate float64   `json:"rate,omitempty"` // tasks a minute; 0: unknown
}

// A grant is a transaction, and the slots of a lease without tasks go to others one by one. So a grant takes more than a minute of work where that is few
// tasks, and less than ten minutes: [fairDepth] for each slot, or [fairLeast] in all. Before any pace is known it takes [unknownDepth] for each slot, or
// [fairLeast]. However long tasks take, it takes [leastDepth] for each slot.
const (
	unknownDepth = 6
	fairDepth    = 8
	fairLeast    = 60
	fairMinutes  = 10
	leastDepth   = 3
)

// Seen returns the pace at another grant. left is the number of tasks that are in hand or wait before it. The newest observation weighs as
// much as all before it. If nothing is left, the labourer may have rested for some time: its pace was at least what is seen. The tasks of a
// cancelled job count as if they had ended; each later observation halves that error.
func (p Pace) Seen(left int, now time.Time) Pace {
	out := Pace{Left: left, At: truncated(now), Rate: p.Rate}
	ended, spent := p.Left-left, now.Sub(p.At)
	if ended == 0 && left > 0 {
		out.At = p.At // nothing has ended: the observation goes on
	}
	if ended <= 0 || spent <= 0 {
		return out
	}
	rate := float64(ended) / spent.Minutes()
	switch {
	case p.Rate == 0:
	case left == 0:
		rate = max(rate, p.Rate)
	default:
		rate = (rate + p.Rate) / 2
	}
	out.Rate = math.Ceil(rate*100) / 100
	return out
}

// Resumed returns the pace when another observation begins, because tasks may have left their leases without having run.
func (p Pace) Resumed(left int, now time.Time) Pace {
	return Pace{Left: left, At: truncated(now), Rate: p.Rate}
}

// Depth returns how many tasks a grant of slots takes, if the labourer has this many slots in all: about a minute of work, or more where that is little.
func (p Pace) Depth(slots, all int) int {
	if p.Rate == 0 {
		return max(slots*unknownDepth, fairLeast)
	}
	minute := p.Rate * float64(slots) / float64(max(all, slots))
	fair := min(max(slots*fairDepth, fairLeast), int(fairMinutes*minute))
	return max(int(math.Ceil(minute)), fair, slots*leastDepth)
}

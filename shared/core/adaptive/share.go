package adaptive

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Member is a labourer that a controller serves, as it was when it was last assessed.
type Member struct {
	Min     float64   `json:"min"` // of its cap, 1 or more
	Max     float64   `json:"max"` // also its weight
	Running float64   `json:"running"`
	Due     float64   `json:"due"` // tasks that wait for a slot
	At      time.Time `json:"at"`
}

// need returns what a member can use.
func (m Member) need() float64 { return min(max(m.Running+m.Due, m.Min), m.Max) }

// join returns the members with the one that is assessed. A member without work that was not assessed for a while has left.
func (c Controller) join(in Input) map[string]Member {
	out := make(map[string]Member, len(c.Members)+1)
	for id, m := range c.Members {
		if in.Now.Sub(m.At) <= forgets {
			out[id] = m
		}
	}
	in.Need.At = in.Now
	out[in.Member] = in.Need
	return out
}

func (c Controller) bounds() (floor, ceiling float64) {
	for _, m := range c.Members {
		floor += m.Min
		ceiling += m.Max
	}
	return floor, ceiling
}

func (c Controller) running() (sum float64) {
	for _, id := range slices.Sorted(maps.Keys(c.Members)) {
		sum += c.Members[id].Running
	}
	return sum
}

func (c Controller) due() (sum float64) {
	for _, id := range slices.Sorted(maps.Keys(c.Members)) {
		sum += c.Members[id].Due
	}
	return sum
}

// Share returns the cap of one member: its part by weight and need, and no more than the others leave of the whole just now.
func (c Controller) Share(id string) int {
	whole := c.Cap
	ids := slices.Sorted(maps.Keys(c.Members))
	parts := make(map[string]float64, len(ids))
	rest := whole
	for _, id := range ids {
		parts[id] = c.Members[id].Min
		rest -= c.Members[id].Min
	}
	rest = c.fill(ids, parts, rest, Member.need)
	c.fill(ids, parts, rest, func(m Member) float64 { return m.Max })

	free := whole
	for _, other := range ids {
		if other != id {
			free -= c.Members[other].Running
		}
	}
	m := c.Members[id]
	return int(max(math.Floor(min(parts[id], free)+1e-9), m.Min))
}

// fill divides rest by weight among the members whose part is below a limit, and returns what no one takes.
func (c Controller) fill(ids []string, parts map[string]float64, rest float64, limit func(Member) float64) float64 {
	for rest > 1e-9 {
		weight, open := 0.0, []string(nil)
		for _, id := range ids {
			if parts[id] < limit(c.Members[id])-1e-9 {
				open = append(open, id)
				weight += c.Members[id].Max
			}
		}
		if len(open) == 0 {
			return rest
		}
		divided := rest
		for _, id := range open {
			m := c.Members[id]
			part := min(divided*m.Max/weight, limit(m)-parts[id])
			parts[id] += part
			rest -= part
		}
	}
	return max(rest, 0)
}

package adaptive

import "math"

// Target holds the value that a metric is to keep.
type Target struct {
	Value float64 // above 0
	Over  bool    // the metric falls as work rises (free memory): it is held from above
}

// maxLoad bounds a load, so that a value of 0 of a metric that is held from above has one too.
const maxLoad = 100

// Load returns how far a value has gone: 1 at the target, more beyond it, from 0 to 100.
func (t Target) Load(value float64) float64 {
	load := value / t.Value
	if t.Over {
		load = t.Value / max(value, 0)
	}
	if math.IsNaN(load) {
		load = maxLoad
	}
	return min(max(load, 0), maxLoad)
}

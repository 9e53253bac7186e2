package adaptive

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Aim says at which value a metric of a labourer is to be held.
type Aim struct {
	Metric string // which metric; labourers with the same one and the same target share a controller
	Target Target
	Period time.Duration // the time that a value is about
}

// Key identifies the controller of the aim.
func (a Aim) Key() string {
	side := "below"
	if a.Target.Over {
		side = "above"
	}
	return a.Metric + "/" + side + "/" + strconv.FormatFloat(a.Target.Value, 'g', -1, 64)
}

// Reading is a value of a metric. A zero About: it is not known of which time it tells.
type Reading struct {
	Value *float64
	At    time.Time // when it was read
	About time.Time // the end of the time that it is about
}

// lag is taken for the age of a value whose own time is not known, beyond its period.
const lag = 2 * time.Minute

// load returns the reading as a value for a controller, nil without one.
func (r Reading) load(a Aim) *Value {
	if r.Value == nil {
		return nil
	}
	about := r.About
	if about.IsZero() {
		about = r.At.Add(-lag)
	}
	return &Value{Load: a.Target.Load(*r.Value), At: about}
}

// Found holds the cap of a labourer, as it was found.
type Found struct {
	Cap     int       `json:"cap"` // 0: none was found yet
	Changed time.Time `json:"changed"`
	Reason  string    `json:"reason"`
	Metric  string    `json:"metric,omitempty"` // the metric that decided, by name
	Value   *float64  `json:"value,omitempty"`  // its value
}

// Noted is a line: a change of a labourer's cap, by the law or by a pin.
type Noted struct {
	At     time.Time `json:"at"`
	From   int       `json:"from"`
	To     int       `json:"to"`
	Reason string    `json:"reason"`
	Metric string    `json:"metric,omitempty"`
	Value  *float64  `json:"value,omitempty"`
	Shadow bool      `json:"shadow,omitempty"` // the cap that holds is another one
	By     string    `json:"by,omitempty"`     // of a pin: a person, or an identity of AWS
}

// Numbers says what a labourer does while its cap is found.
type Numbers struct {
	Min, Max     int
	Running, Due int
	Burst        bool // starts are throttled or fail in numbers
	Blocked      bool // something else than the cap keeps tasks from starting
}

// Find decides about the cap of a labourer: the least of its shares of what its controllers allow. readings and aims are by the metric's name,
// controllers by their key. It returns the controllers that have to be remembered, and the cap, which changes at most once in the longest of the metrics'
// periods. The reason says what holds the cap now.
func Find(id string, aims map[string]Aim, readings map[string]Reading, controllers map[string]Controller, before Found, n Numbers, now time.Time) (
	map[string]Controller, Found, string) {
	next := make(map[string]Controller, len(aims))
	wait := shortest
	least := Found{Cap: n.Max + 1}
	for _, name := range slices.Sorted(maps.Keys(aims)) {
		aim := aims[name]
		wait = max(wait, aim.Period)
		was := controllers[aim.Key()]
		// What a controller allows beyond the cap that another one sets is not used, however much is due.
		beyond := before.Cap > 0 && was.Cap > 0 && was.Share(id) > before.Cap
		c, _, reason := was.Step(Input{Now: now, Value: readings[name].load(aim), Period: aim.Period, Burst: n.Burst, Blocked: n.Blocked || beyond, Member: id,
			Need: Member{Min: float64(n.Min), Max: float64(n.Max), Running: float64(n.Running), Due: float64(n.Due)}})
		next[aim.Key()] = c
		if share := c.Share(id); share < least.Cap {
			if c.Changed.After(before.Changed) && c.Why != "" { // also if another execution has changed it a moment ago
				reason = c.Why
			}
			least = Found{Cap: share, Reason: fmt.Sprintf("%s: %s", name, reason), Metric: name, Value: readings[name].Value}
		}
	}
	outside := before.Cap < n.Min || before.Cap > n.Max
	if before.Cap != 0 && !outside && (least.Cap == before.Cap || now.Sub(before.Changed) < wait) {
		return next, before, least.Reason
	}
	least.Changed = now
	return next, least, least.Reason
}

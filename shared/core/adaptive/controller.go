package adaptive

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// The law. Loads are fractions of the target.
const (
	aim       = 1.00 // a change aims at this load
	low       = 0.93 // a mean load below this raises the cap
	high      = 1.09 // a mean load above this lowers it
	emergency = 1.5  // a single load above this halves it
	distinct  = 0.85 // a single load below this suffices to raise the cap
	doubtful  = 1.15 // a mean load above this needs no third value to lower it

	maxRaise = 2.5 // by one change
	cautious = 1   // of the raise that the known effect of a task allows
	firm     = 1.3 // a cut for each part of the load that is too much: not all of the load is the labourers' own
	minCut   = 0.8
	maxCut   = 0.5
	decay    = 0.9 // while values are missing

	leap     = 0.2 // a value that is so far from those before tells of another load
	evidence = 3   // values that a decision looks at, at most
	enough   = 2   // values that it needs, if the load is clear; near the target it needs all
	patience = 3   // periods without a value before the cap decays

	shortest  = time.Minute      // between two changes
	remembers = 3 * time.Minute  // how long a cap that was too much bounds raises; and three changes at least
	forgets   = 10 * time.Minute // when a member without work has left
	drains    = 5 * time.Minute  // how long tasks above a lowered cap are waited for, before it is lowered again

	effectsKept  = 7   // their medians are believed
	effectsKnown = 3   // fewer are not
	baseMost     = 0.6 // of a load is taken as not the labourers' own when the cap is raised, at most
	ownShare     = 0.1 // a smaller part of the load is not the labourers' own
)

// Controller remembers the cap that some labourers share, and what decided it. The zero Controller knows nothing. It is stored as JSON.
type Controller struct {
	Cap       float64   `json:"cap"`           // of all members together
	Changed   time.Time `json:"changed"`       // when the cap last changed
	Why       string    `json:"why,omitempty"` // the reason of that change; "" in controllers stored before reasons were
	Settled   time.Time `json:"settled"`       // since when no more tasks run than the cap allows, or are waited for; zero: more are
	UsedSince time.Time `json:"used"`          // since when the cap is used; zero: it is not

	Heard time.Time `json:"heard"`          // when the last value came
	Last  time.Time `json:"last"`           // the end of the time that the last value is about
	Loads []float64 `json:"loads,omitzero"` // the newest values that are entirely about this cap, oldest first
	First time.Time `json:"first"`          // the beginning of the time that these are about

	Good float64   `json:"good,omitzero"` // the highest number of running tasks that was not too much
	Bad  float64   `json:"bad,omitzero"`  // the lowest that was too much; 0: none
	When time.Time `json:"when"`          // when Bad was seen

	Before  Point    `json:"before,omitzero"`  // the load before the last change
	Effects []Effect `json:"effects,omitzero"` // what the last changes of the cap taught

	Foreign bool              `json:"foreign,omitzero"` // the load is too high, and it is not the members'
	Members map[string]Member `json:"members"`
}

// Point is a load at a number of running tasks.
type Point struct {
	Running float64 `json:"running"`
	Load    float64 `json:"load"`
}

// Effect says what a load was made of.
type Effect struct {
	Base float64 `json:"base"` // what it was without the members' tasks
	Each float64 `json:"each"` // what each of the tasks added
}

// Value is a value of the metric, as a load.
type Value struct {
	Load float64
	At   time.Time // the end of the time that the value is about
}

// Input holds what is new when a cap is decided.
type Input struct {
	Now     time.Time
	Value   *Value        // nil: there is none
	Period  time.Duration // the time that a value is about
	Burst   bool          // starts are throttled or fail in numbers
	Blocked bool          // something else than the cap keeps tasks from starting: a pause, health, the target
	Member  string        // the labourer that is assessed
	Need    Member
}

// Change is a change of the cap.
type Change struct {
	From, To float64
	Reason   string
}

// Same reports whether another assessment has taught nothing that has to be stored: the members' numbers alone are stored now and then.
func (c Controller) Same(after Controller) bool {
	for id, m := range after.Members {
		if was, known := c.Members[id]; !known || m.Min != was.Min || m.Max != was.Max || m.At.Sub(was.At) >= shortest {
			return false
		}
	}
	return c.Cap == after.Cap && c.Last.Equal(after.Last) && c.Settled.Equal(after.Settled) && c.UsedSince.Equal(after.UsedSince) &&
		c.Foreign == after.Foreign && len(c.Members) == len(after.Members)
}

// Step returns the controller after an assessment of one of its members, and the change of the cap, nil without one, and says what holds the cap.
func (c Controller) Step(in Input) (Controller, *Change, string) {
	c.Members = c.join(in)
	floor, ceiling := c.bounds()
	if c.Cap == 0 {
		c.Heard = in.Now
		return c.set(in, floor, "the cap begins at its minimum")
	}
	c.observe(in)
	if bounded := min(max(c.Cap, floor), ceiling); bounded != c.Cap {
		return c.set(in, bounded, "the configured bounds have changed")
	}
	to, reason := c.law(in)
	to = min(max(math.Floor(to), floor), ceiling)
	if to == c.Cap {
		return c, nil, reason
	}
	return c.set(in, to, reason)
}

// set changes the cap, and keeps what the load was before.
func (c Controller) set(in Input, to float64, reason string) (Controller, *Change, string) {
	change := Change{From: c.Cap, To: to, Reason: reason}
	if len(c.Loads) > 0 {
		c.learn()
	}
	c.Cap, c.Changed, c.Why, c.Loads = to, in.Now, reason, nil
	c.Settled, c.UsedSince = time.Time{}, time.Time{}
	c.use(in)
	return c, &change, reason
}

// use notes whether the cap is kept and used.
func (c *Controller) use(in Input) {
	running, due := c.running(), c.due()
	if c.Settled.IsZero() && (running <= c.Cap || in.Now.Sub(c.Changed) >= drains) {
		c.Settled = in.Now
		c.Loads = nil // they are about more tasks than the cap allows
	}
	used := running >= 0.9*c.Cap || running+due >= c.Cap && !in.Blocked
	switch {
	case !used:
		c.UsedSince = time.Time{}
	case c.UsedSince.IsZero():
		c.UsedSince = in.Now
	}
}

// observe takes in the value and the numbers of an assessment.
func (c *Controller) observe(in Input) {
	c.use(in)
	if in.Value == nil || !in.Value.At.After(c.Last) {
		return
	}
	c.Heard, c.Last = in.Now, in.Value.At
	from := in.Value.At.Add(-in.Period)
	if from.Before(later(c.Changed, c.Settled)) {
		return
	}
	if len(c.Loads) > 0 && math.Abs(in.Value.Load-mean(c.Loads)) > leap {
		c.Loads = nil // what was there before is no more
	}
	if len(c.Loads) == 0 {
		c.First = from
	}
	c.Loads = append(slices.Clone(c.Loads), in.Value.Load)
	if extra := len(c.Loads) - evidence; extra > 0 {
		c.Loads = c.Loads[extra:]
		c.First = c.First.Add(time.Duration(extra) * in.Period)
	}
}

// learn compares the load before a change with that before the last one.
func (c *Controller) learn() {
	now, was := Point{c.running(), mean(c.Loads)}, c.Before
	c.Before = now
	more := now.Running - was.Running
	if was.Running == 0 || math.Abs(more) < 0.15*max(now.Running, was.Running) {
		return
	}
	each := max((now.Load-was.Load)/more, 0)
	c.Effects = append(slices.Clone(c.Effects), Effect{Base: max(now.Load-each*now.Running, 0), Each: each})
	c.Effects = c.Effects[max(len(c.Effects)-effectsKept, 0):]
}

// law returns the cap that should be, with the reason.
func (c *Controller) law(in Input) (float64, string) {
	wait := max(in.Period, shortest)
	c.Foreign = false
	if early := in.Now.Sub(c.Changed); early < wait {
		recent := fmt.Sprintf("the cap changed %s ago", early.Truncate(time.Second))
		if c.Why != "" {
			recent = c.Why + "; " + recent
		}
		return c.Cap, recent
	}
	if in.Burst {
		return c.lower(maxCut), "starts are throttled or fail in numbers"
	}
	if in.Now.Sub(later(c.Heard, c.Changed)) > patience*wait {
		return c.lower(decay), fmt.Sprintf("no value for %s", in.Now.Sub(c.Heard).Truncate(time.Second))
	}
	if len(c.Loads) == 0 {
		return c.Cap, "no value about this cap yet"
	}
	newest, load := c.Loads[len(c.Loads)-1], mean(c.Loads)
	running := c.running()
	switch {
	case load > high && c.Settled.IsZero():
		return c.Cap, fmt.Sprintf("the load is %s, and tasks above the cap are still ending", percent(load))
	case newest > emergency:
		c.tooMuch(running, in.Now)
		return c.lower(maxCut), fmt.Sprintf("the load is %s: an emergency", percent(newest))
	case len(c.Loads) < needed(load):
		return c.Cap, "one more value about this cap is needed"
	case load > high:
		if c.Foreign = c.foreign(load, running); c.Foreign {
			return c.Cap, fmt.Sprintf("the load is %s, and little of it is the labourer's own", percent(load))
		}
		c.tooMuch(running, in.Now)
		return c.lower(min(max(1-firm*(load-aim), maxCut), minCut)), fmt.Sprintf("the load is %s", percent(load))
	case load > low:
		return c.Cap, fmt.Sprintf("the load is %s: it is held", percent(load))
	case c.UsedSince.IsZero() || c.UsedSince.After(c.First):
		return c.Cap, fmt.Sprintf("the load is %s, and the cap is not used", percent(load))
	}
	return c.raise(load, running, in.Now, wait)
}

// lower returns a part of the cap, less by one at least.
func (c *Controller) lower(part float64) float64 { return min(c.Cap*part, c.Cap-1) }

// raise returns a higher cap. Part of the load is there without the labourers, so a raise in proportion never goes beyond what it aims at.
func (c *Controller) raise(load, running float64, now time.Time, wait time.Duration) (float64, string) {
	c.Good = running
	if c.Bad <= c.Good || now.Sub(c.When) > max(remembers, 3*wait) {
		c.Bad = 0
	}
	to := c.Cap * aim / max(load, aim/maxRaise)
	if base, known := c.effect(func(e Effect) float64 { return e.Base }); known && running > 0 {
		each := (load - min(base, baseMost*load)) / running // what one more task adds
		to = max(to, min(c.Cap+cautious*(aim-load)/each, c.Cap*maxRaise))
		if one := c.Cap + 1; to < one && load+1.5*each <= 1 {
			to = one
		}
	}
	if c.Bad > 0 {
		if middle := (c.Good + c.Bad) / 2; to > middle {
			return max(middle, c.Cap), fmt.Sprintf("the load is %s, and %.0f were too much %s ago", percent(load), c.Bad, now.Sub(c.When).Truncate(time.Second))
		}
	}
	return to, fmt.Sprintf("the load is %s", percent(load))
}

func (c *Controller) tooMuch(running float64, now time.Time) {
	if c.Bad == 0 || running < c.Bad || now.Sub(c.When) > remembers {
		c.Bad, c.When = running, now
	}
	c.Good = min(c.Good, c.Bad*minCut)
}

// foreign reports whether so little of the load is the members' own that lowering their cap would not help.
func (c *Controller) foreign(load, running float64) bool {
	each, known := c.effect(func(e Effect) float64 { return e.Each })
	return known && each*running < ownShare*load
}

// effect returns the median of a part of the effects, if enough are known.
func (c *Controller) effect(of func(Effect) float64) (median float64, known bool) {
	if len(c.Effects) < effectsKnown {
		return 0, false
	}
	values := make([]float64, len(c.Effects))
	for i, e := range c.Effects {
		values[i] = of(e)
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// needed returns how many values a decision at this load needs: the nearer to the target, the more.
func needed(load float64) int {
	switch {
	case load < distinct:
		return 1
	case load > doubtful:
		return enough
	}
	return evidence
}

func mean(loads []float64) float64 {
	sum := 0.0
	for _, l := range loads {
		sum += l
	}
	return sum / float64(len(loads))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func percent(load float64) string { return fmt.Sprintf("%.0f %% of the target", load*100) }

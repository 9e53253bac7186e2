package plant

import (
	"math"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
)

// Drover applies the law of [adaptive.Controller].
type Drover struct {
	State   adaptive.Controller
	Changes []adaptive.Change
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Cap implements [Law].
func (d *Drover) Cap(s Seen) int {
	in := adaptive.Input{Now: start.Add(s.At), Period: time.Minute, Member: string(rune('a' + s.Labourer)),
		Need: adaptive.Member{Min: 1, Max: float64(s.Max), Running: float64(s.Running), Due: float64(s.Due)}}
	if s.Value != nil {
		in.Value = &adaptive.Value{Load: adaptive.Target{Value: Target}.Load(*s.Value), At: start.Add(s.About)}
	}
	var change *adaptive.Change
	d.State, change, _ = d.State.Step(in)
	if change != nil {
		d.Changes = append(d.Changes, *change)
	}
	return d.State.Share(in.Member)
}

// Oracle knows the plant.
type Oracle struct{}

// Cap implements [Law].
func (Oracle) Cap(s Seen) int {
	return (s.Limit + s.Labourer) / s.Labourers
}

// Steps is sosw's way: a coefficient for each of five states of health, of a cap that its owner guessed.
type Steps struct{}

// Cap implements [Law].
func (Steps) Cap(s Seen) int {
	whole := float64(s.Max)
	if s.Value == nil {
		return int(whole)
	}
	switch v := *s.Value; {
	case v <= 0.6*Target:
		return int(whole)
	case v <= 0.8*Target:
		return int(0.75 * whole)
	case v <= Target:
		return int(0.5 * whole)
	case v <= 1.2*Target:
		return int(0.25 * whole)
	}
	return 0
}

// GitLab cuts by a fifth once a minute over the quota, by half far over it, and recovers by a tenth a minute from two minutes after the last cut.
type GitLab struct {
	now map[int]float64
	cut map[int]time.Duration
}

// Cap implements [Law].
func (l *GitLab) Cap(s Seen) int {
	if l.now == nil {
		l.now, l.cut = map[int]float64{}, map[int]time.Duration{}
	}
	i := s.Labourer
	if l.now[i] == 0 {
		l.now[i] = float64(s.Max)
	}
	if s.Value == nil {
		return int(l.now[i])
	}
	switch v := *s.Value; {
	case v > 1.5*Target:
		l.now[i], l.cut[i] = l.now[i]*0.5, s.At
	case v > Target:
		l.now[i], l.cut[i] = l.now[i]*0.8, s.At
	case s.At-l.cut[i] >= 2*time.Minute:
		l.now[i] = max(l.now[i]+1, l.now[i]*1.1)
	}
	l.now[i] = min(max(l.now[i], 1), float64(s.Max))
	return int(l.now[i])
}

// Vitess raises below the target if the cap is used, lowers above it, halves far above it, and searches between the highest good and the lowest bad
// cap, which ages.
type Vitess struct{ at map[int]*vitess }

type vitess struct {
	cap, good, bad float64
	badAt, changed time.Duration
	about          time.Duration
}

// Cap implements [Law].
func (l *Vitess) Cap(s Seen) int {
	if l.at == nil {
		l.at = map[int]*vitess{}
	}
	v := l.at[s.Labourer]
	if v == nil {
		v = &vitess{cap: 1}
		l.at[s.Labourer] = v
	}
	if s.Value == nil || s.About == v.about || s.At-v.changed < time.Minute {
		return int(v.cap)
	}
	v.about = s.About
	before := v.cap
	switch load := *s.Value; {
	case load <= Target:
		if float64(s.Running+s.Due) < 0.9*math.Floor(v.cap) {
			break
		}
		v.good = v.cap
		if s.At-v.badAt > 3*time.Minute {
			v.bad = 0
		}
		if v.bad > v.good {
			v.cap = (v.good + v.bad) / 2
		} else {
			v.cap = max(v.cap+1, min(v.cap*2, v.cap*1.5))
		}
	case load <= 1.2*Target:
		v.bad, v.badAt = v.cap, s.At
		v.cap *= 0.8
	default:
		v.bad, v.badAt = v.cap, s.At
		v.cap *= 0.5
	}
	v.cap = min(max(v.cap, 1), float64(s.Max))
	if v.cap != before {
		v.changed = s.At
	}
	return int(v.cap)
}

// AIMD adds one below the target and halves above it.
type AIMD struct{ now map[int]float64 }

// Cap implements [Law].
func (l *AIMD) Cap(s Seen) int {
	if l.now == nil {
		l.now = map[int]float64{}
	}
	c := max(l.now[s.Labourer], 1)
	if s.Value != nil {
		if *s.Value > Target {
			c = max(c/2, 1)
		} else {
			c = min(c+1, float64(s.Max))
		}
	}
	l.now[s.Labourer] = c
	return int(c)
}

package plant

import (
	"slices"
	"time"
)

// Score says how well a law did in a run. The first phase, in which the cap is found, does not count.
type Score struct {
	Throughput float64 // of the oracle's
	Above      float64 // part of the time at over 110 % of the target
	Overshoot  float64 // the greatest load beyond the target, as a part of it
	Turns      float64 // changes of the cap's direction an hour
	Recovery   float64 // minutes from the beginning of the last phase to 90 % of what the oracle does
}

// Judge compares a law's run with the oracle's run of the same plant.
func Judge(run, oracle []Minute) Score {
	var s Score
	var done, possible, counted float64
	direction, last := 0, run[len(run)-1].Phase
	recovered := false
	for i, m := range run {
		if m.Phase == 0 {
			continue
		}
		counted++
		done += m.Done
		possible += oracle[i].Done
		if m.Load > 1.1*Target {
			s.Above++
		}
		s.Overshoot = max(s.Overshoot, m.Load/Target-1)
		if d := sign(m.Cap - run[i-1].Cap); d != 0 && d != direction {
			if direction != 0 {
				s.Turns++
			}
			direction = d
		}
		if m.Phase == last && !recovered {
			if recovered = m.Done >= 0.9*oracle[i].Done; !recovered {
				s.Recovery++
			}
		}
	}
	s.Throughput = done / possible
	s.Above /= counted
	s.Turns /= counted * time.Minute.Hours()
	return s
}

func sign(i int) int { return min(max(i, -1), 1) }

// Quantile returns the value below which a part of the scores lies.
func Quantile(scores []Score, part float64, of func(Score) float64) float64 {
	values := make([]float64, len(scores))
	for i, s := range scores {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[int(part*float64(len(values)-1)+0.5)]
}

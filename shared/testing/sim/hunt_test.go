package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var huntFor = flag.String("hunt", "", "")

func (p plan) notes(f Fault) bool {
	if p.rates[f] > 0 || p.behaviours[f] > 0 {
		return true
	}
	for _, o := range p.operations {
		if o.fault == f {
			return true
		}
	}
	return false
}

func (p plan) has(any ...Fault) bool {
	for _, f := range any {
		if p.notes(f) {
			return true
		}
	}
	return false
}

func TestHunt(t *testing.T) {
	began := time.Now()
	n, tried := 0, 0
	for s := *from; time.Since(began) < *limit && (*seeds == 0 || uint64(tried) < *seeds); s++ {
		p := newPlan(s)
		loud := p.has(EmptyJob, Damaged, Unstartable, Oversized, OwnQualifier)
		ok := false
		switch *huntFor {
		case "races":
			ok = !loud && p.has(Forced) && !p.has(Unreported, CutCancel, ReplayedAtDeath)
		case "cut":
			ok = !loud && p.has(CutCancel) && !p.has(Unreported, ReplayedAtDeath)
		case "hundreds":
			ok = !loud && p.has(Hundreds) && !p.has(Unreported)
		case "giants":
			ok = p.has(Hundreds) && p.jobs[0].giant
		case "incompressible":
			ok = !loud && p.has(Incompressible)
		case "misspelled":
			ok = !loud && p.has(Misspelled) && p.has(WorkerDies) && !p.has(Unreported)
		case "odd":
			ok = !loud && p.has(OddSchema) && p.has(CrashBefore, CrashAfter) && !p.has(Unreported)
		case "config":
			ok = !loud && p.has(Reconfigured) && !p.has(Unreported)
		case "removed":
			ok = !loud && p.has(Removed) && !p.has(Unreported)
		case "oversized":
			ok = p.has(Oversized)
		case "qualifier":
			ok = p.has(OwnQualifier) && !p.has(Damaged, Unstartable, EmptyJob)
		case "mourned":
			ok = !loud && p.has(ReplayedAtDeath) && !p.has(Unreported)
		case "damaged":
			ok = p.has(Damaged)
		case "unstartable":
			ok = p.has(Unstartable)
		case "skew":
			ok = p.has(Skew) && p.has(ReplayedAtDeath)
		case "quiet":
			ok = !loud && !p.has(Unreported, ReplayedAtDeath)
		}
		if !ok {
			continue
		}
		tried++
		r := inBubble(t, p, Options{})
		if r.Violation != nil {
			n++
			fmt.Printf("seed %d: %.220s [%s]\n", r.Seed, r.Violation, "")
		}
	}
	fmt.Printf("%s: %d of %d worlds\n", *huntFor, n, tried)
}

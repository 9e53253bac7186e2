package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// shrinkTries limits the number of smaller worlds to try.
const shrinkTries = 120

// shrink removes from a world what its violation does not need: kinds of faults, kinds of worker behaviour, operations, tasks, and finally all
// faults after the decisive one. It returns the report of the smallest world found.
func shrink(t *testing.T, found Report, o Options) Report {
	tries := 0
	best := found
	try := func(p plan) bool {
		if tries++; tries > shrinkTries {
			return false
		}
		r := inBubble(t, p, o)
		if r.Violation == nil || r.Violation.Guarantee != found.Violation.Guarantee {
			return false
		}
		best = r
		return true
	}
	for _, f := range Faults {
		if best.plan.rates[f] == 0 && best.plan.behaviours[f] == 0 {
			continue
		}
		p := best.plan.clone()
		delete(p.rates, f)
		delete(p.behaviours, f)
		try(p)
	}
	for i := range slices.Backward(best.plan.operations) {
		p := best.plan.clone()
		p.operations = slices.Delete(p.operations, i, i+1)
		try(p)
	}
	for i := range best.plan.jobs {
		for best.plan.jobs[i].tasks > 1 {
			p := best.plan.clone()
			p.jobs[i].tasks /= 2
			if !try(p) {
				break
			}
		}
	}
	low, high := 0, best.injected // the smallest sufficient number of faults
	for low < high {
		p := best.plan.clone()
		p.most = (low + high) / 2
		if try(p) {
			high = p.most
		} else {
			low = p.most + 1
		}
	}
	return best
}

func (p plan) clone() plan {
	p.labourers, p.jobs, p.operations = slices.Clone(p.labourers), slices.Clone(p.jobs), slices.Clone(p.operations)
	p.starts, p.changes = slices.Clone(p.starts), slices.Clone(p.changes)
	p.rates, p.behaviours = maps.Clone(p.rates), maps.Clone(p.behaviours)
	return p
}

// shown limits the steps in a description to the last ones of the smallest world.
const shown = 80

// tell describes a violation: the seed, the smallest world with the violation, its last steps, and the command that replays it.
func tell(t *testing.T, found Report, o Options) string {
	small := shrink(t, found, o)
	o.Trace = true
	small = inBubble(t, small.plan, o)
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s\n\n", found.Seed, found.Violation)
	if small.Violation == nil {
		b.WriteString("(the violation did not recur)\n\n")
	} else {
		fmt.Fprintf(&b, "the smallest world with this violation (%d steps, originally %d): %s\n", small.Steps, found.Steps, small.Violation)
	}
	for _, l := range small.plan.labourers {
		fmt.Fprintf(&b, "  labourer %s %s\n", l.ID, l.Stored())
	}
	for _, name := range small.plan.workflows() {
		fmt.Fprintf(&b, "  workflow %s %s\n", name, small.plan.definitions.Workflows[name].Stored())
	}
	for _, name := range slices.Sorted(maps.Keys(small.plan.definitions.Plugins)) {
		fmt.Fprintf(&b, "  plugin %s %s\n", name, small.plan.definitions.Plugins[name].Stored())
	}
	for _, o := range small.plan.operations {
		fmt.Fprintf(&b, "  %s\n", o)
		if o.kind == "start" {
			fmt.Fprintf(&b, "           %s\n", small.plan.starts[o.value].text())
		}
	}
	for _, f := range Faults {
		if n := small.Faults[f]; n > 0 {
			fmt.Fprintf(&b, "  %d × %s\n", n, f)
		}
	}
	b.WriteString("its last steps:\n")
	for _, line := range small.Trace[max(0, len(small.Trace)-shown):] {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	fmt.Fprintf(&b, "\nall steps: go test ./shared/testing/sim -run 'TestSeed$' -v -seed=%d\n", found.Seed)
	return b.String()
}

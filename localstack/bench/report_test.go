package bench

import (
	"fmt"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/testing/bill"
)

// What Drover aims at, beside sosw.
const (
	dollarsTarget  = 1. / 3
	writesTarget   = 1. / 4
	vacantTarget   = 1. / 20
	scheduleTarget = 8. // times one PutItem after the other
)

// report is everything that BenchmarkSideBySide has measured.
type report struct {
	date    time.Time
	prices  bill.List
	loads   []compared
	minutes minutes
	speeds  speeds
	sizes   sizes
}

// side is one system's part of a load, for a task.
type side struct {
	name                              string
	writes, reads, calls, invocations float64
	dollars                           float64 // for a million
}

func (r report) side(name string, of bill.Amounts, less bill.Amounts, calls, tasks float64) side {
	rest := bill.Amounts{}
	for what, amount := range of {
		rest[what] = (amount - less[what]) / tasks
	}
	_, dollars := r.prices.Bill(rest)
	return side{name, rest[bill.WriteUnits], rest[bill.ReadUnits], (calls - less[bill.WriteUnits]) / tasks, rest[bill.Invocations], dollars * 1e6}
}

// sides returns Drover, sosw, and sosw without its log of tasks, which its templates' roles refuse.
func (r report) sides(l compared) [3]side {
	n := float64(l.shape.tasks)
	return [3]side{r.side("Drover", l.drover, nil, float64(l.calls), n), r.side("sosw", l.theirs, nil, float64(l.theirCalls), n),
		r.side("sosw without its log", l.theirs, l.meta, float64(l.theirCalls), n)}
}

func (r report) markdown() string {
	var out strings.Builder
	line := func(format string, of ...any) { fmt.Fprintf(&out, format+"\n", of...) }
	line("# Drover and sosw side by side, %s\n", r.date.Format(time.DateOnly))
	line("`make bench` has measured this on one local AWS in one run. How, and what it means: [costs.md](costs.md#side-by-side-with-sosw).")
	line("Dollars are list prices of %s, %s.\n", r.prices.Region, r.prices.AsOf)
	line("| load | tasks | | write units a task | read units | AWS calls | Lambda requests | dollars a million |")
	line("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, l := range r.loads {
		for i, s := range r.sides(l) {
			name, tasks := "", ""
			if i == 0 {
				name, tasks = l.shape.name, fmt.Sprint(l.shape.tasks)
			}
			line("| %s | %s | %s | %.2f | %.2f | %.1f | %.2f | %.2f |", name, tasks, s.name, s.writes, s.reads, s.calls, s.invocations, s.dollars)
		}
	}
	line("\nDrover's part of sosw's:\n")
	line("| load | dollars | write units | dollars, without its log | write units, without its log |")
	line("| --- | --- | --- | --- | --- |")
	for _, l := range r.loads {
		s := r.sides(l)
		line("| %s | %s | %s | %s | %s |", l.shape.name, verdict(s[0].dollars/s[1].dollars, dollarsTarget), verdict(s[0].writes/s[1].writes, writesTarget),
			verdict(s[0].dollars/s[2].dollars, dollarsTarget), verdict(s[0].writes/s[2].writes, writesTarget))
	}
	line("\nThe dollars of a million tasks, line by line (Drover / sosw):\n")
	head, rule := "| |", "| --- |"
	for _, l := range r.loads {
		head, rule = head+" "+l.shape.name+" |", rule+" --- |"
	}
	line("%s\n%s", head, rule)
	for _, p := range r.prices.Prices {
		row, used := "| "+p.What+" |", false
		for _, l := range r.loads {
			each := p.Dollars * 1e6 / float64(l.shape.tasks)
			ours, theirs := l.drover[p.What]*each, l.theirs[p.What]*each
			row, used = row+fmt.Sprintf(" %.2f / %.2f |", ours, theirs), used || ours+theirs > 0
		}
		if used {
			line("%s", row)
		}
	}
	one := r.loads[0]
	line("\n| | Drover | sosw | |")
	line("| --- | --- | --- | --- |")
	line("| from the event to the first start | %s | %s | %.0f times as fast |", seconds(one.first), seconds(r.minutes.first), r.minutes.first.Seconds()/one.first.Seconds())
	line("| from a freed slot to the next start, at a cap of 1 (median) | %s | %s | %s |", seconds(one.vacant), seconds(r.minutes.vacant),
		verdict(one.vacant.Seconds()/r.minutes.vacant.Seconds(), vacantTarget))
	theirs, deepest := one.theirRate, one.shape.tasks
	for _, l := range r.loads {
		if l.shape.tasks > deepest {
			theirs, deepest = l.theirRate, l.shape.tasks
		}
	}
	line("| tasks scheduled a second (one PutItem after the other: %.0f) | %.0f of a job of %d | %.0f of a job of %d | %.1f times PutItem, target 8: %s |", r.speeds.put,
		r.speeds.scheduled, scheduled, theirs, deepest, r.speeds.scheduled/r.speeds.put, holds(r.speeds.scheduled >= scheduleTarget*r.speeds.put))
	ticks := (instant.tasks + instant.limit - 1) / instant.limit
	line("| %d instant tasks at a cap of %d | %s | %d ticks, a minute each: at least %d min | %.0f times as fast |", instant.tasks, instant.limit, seconds(r.speeds.instant), ticks, ticks-1,
		(time.Duration(ticks-1)*time.Minute).Seconds()/r.speeds.instant.Seconds())
	line("| memory of the largest process | %.0f MB | %.0f MB | |", megabytes(r.sizes.memory), megabytes(r.sizes.theirMemory))
	line("| zip of the largest function | %.1f MB | %.2f MB, and boto3 of the runtime | |", megabytes(r.sizes.zip), megabytes(r.sizes.theirZip))
	line("| from the start of a process to the answer to an empty event | %s | %s until sosw is imported | |", milliseconds(r.sizes.init), milliseconds(r.sizes.theirInit))
	return out.String()
}

// verdict says whether a part is at most its target.
func verdict(part, target float64) string {
	return fmt.Sprintf("%.3f, target %.3f: %s", part, target, holds(part <= target))
}

func holds(yes bool) string {
	if yes {
		return "holds"
	}
	return "**missed**"
}

func seconds(d time.Duration) string      { return fmt.Sprintf("%.1f s", d.Seconds()) }
func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
func megabytes(bytes int) float64         { return float64(bytes) / (1 << 20) }

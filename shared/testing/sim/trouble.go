package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/retry"
)

// giantBallast gives the size of the attribute of a giant job in bytes. The attribute repeats one letter, so it compresses to almost nothing.
const giantBallast = 200 << 10

// oddSchema is a schema whose names contain the separator of joined lists of names.
const oddSchema = "odd,name"

// smallQueue limits the messages of a queue that takes small ones only, in bytes. Oversized jobs are near or above it.
const smallQueue = 4 << 10

// rushes begins the seeds whose worlds are all rushes; see planRushes.
const rushes = 1 << 40

// planTrouble adds what happens in some worlds only. Each kind has its own random generator, so that it leaves the rest of the world as it
// was.
func (p *plan) planTrouble() {
	if len(p.rates) == 0 {
		return // a world without faults
	}
	some := func(kind string, share float64, put func(r *rand.Rand)) {
		if r := random(p.seed, "trouble "+kind); chance(r, share) {
			put(r)
		}
	}
	some("odd jobs", 0.3, p.planOddJobs)
	size := random(p.seed, "trouble size")
	switch k := size.Float64(); {
	case k < 0.2:
		p.planRaces(size)
	case p.wakesOnly, p.seed >= flows:
	case k < 0.21:
		p.planHundreds(size)
	case k < 0.22:
		p.planIncompressible()
	}
	some("tears", 0.1, func(r *rand.Rand) {
		p.rates[TornRead] = pick(r, 0.3, 0.9)
		// The lock on a labourer keeps other executions from such reads for as long as its clock says. It cannot do so with clocks 30 s apart, or with
		// calls that outlast it.
		delete(p.rates, Skew)
		delete(p.rates, Slow)
	})
	some("reconfigurations", 0.3, p.planReconfigurations)
	rush := 0.08
	switch {
	case p.seed >= flows:
		rush = 0
	case p.seed >= rushes && p.seed < seekers:
		rush = 1
	}
	some("rushes", rush, p.planRushes)
	some("parts", 0.03, p.planParts)
	some("together", 0.05, p.planTogether)
	some("mourning", 0.1, func(r *rand.Rand) { p.rates[ReplayedAtDeath] = 0.2 + 0.8*r.Float64() })
	if p.wakesOnly {
		return // only a tick repairs the faults below
	}
	some("unstartable", 0.06, func(r *rand.Rand) { p.rates[Unstartable] = 0.05 + 0.3*r.Float64() })
	some("cuts", 0.08, func(r *rand.Rand) {
		p.rates[CutCancel] = 0.3 + 0.6*r.Float64()
		p.planCancellations(r, 1+r.IntN(3))
	})
	some("damage", 0.05, func(r *rand.Rand) {
		for range 1 + r.IntN(2) {
			p.operations = append(p.operations, operation{at: between(r, 0, p.faulty), kind: "damage", fault: Damaged})
		}
	})
}

// planOddJobs makes jobs use rare features, and sends commands with odd ids.
func (p *plan) planOddJobs(r *rand.Rand) {
	for range r.IntN(2) {
		p.operations = append(p.operations, operation{at: between(r, 0, p.faulty), kind: "bad job", value: usualBadJobs + r.IntN(len(badJobs)-usualBadJobs), fault: BadJob})
	}
	if chance(r, 0.1) && !p.wakesOnly {
		long := strings.Repeat("x", 3000)
		p.operations = append(p.operations, operation{at: between(r, 0, p.faulty), kind: "poison jobs", fault: LongID, text: pick(r,
			fmt.Sprintf(`{"id": "long-1", "source": "sim", "detail-type": "CancelJob", "detail": {"job_id": %q}}`, long),
			fmt.Sprintf(`{"id": "long-2", "source": "sim", "detail-type": "ReplayTasks", "detail": {"job_id": "job-0", "replay_id": %q}}`, long))})
	}
	for i := range p.jobs {
		j := &p.jobs[i]
		kind := p.labourers[p.labourer(j.labourer)].Target.Kind()
		note := func(f Fault) {
			p.operations = append(p.operations, operation{kind: "note", on: j.id, fault: f})
		}
		switch r.IntN(12) {
		case 0, 1:
			j.tasks = 0
			note(EmptyJob)
		case 2, 3:
			j.maxDuration = pick(r, 2*time.Second, 20*time.Second, 3*time.Minute)
			note(OwnDuration)
		case 4, 5:
			j.schema = oddSchema
			note(OddSchema)
		case 6, 7:
			j.spelled = pick(r, "Drover", "DROVER", "Task_ID")
			note(Misspelled)
		case 8:
			if kind == "lambda" {
				j.qualifier = pick(r, "live", "none", "forbidden")
				note(OwnQualifier)
			}
		case 9:
			if kind == "sqs" {
				j.ballast = pick(r, smallQueue/2, smallQueue*2)
				note(Oversized)
			}
		}
	}
}

func (p *plan) labourer(id string) int {
	for i, l := range p.labourers {
		if l.ID == id {
			return i
		}
	}
	panic("no labourer " + id)
}

// planRaces cancels jobs by force while their tasks fail, return to the queue, and are dispatched slowly.
func (p *plan) planRaces(r *rand.Rand) {
	for i := range p.labourers {
		p.labourers[i].MaxSimultaneousInvocations = float64(pick(r, 1, 2, 3, 5, 20))
	}
	for i := range p.jobs {
		if j := &p.jobs[i]; j.tasks > 0 && j.tasks < 15 {
			j.tasks += r.IntN(12)
		}
	}
	p.shorten(between(r, time.Minute, 3*time.Minute))
	p.rates[Slow] = 0.1 + 0.5*r.Float64()
	if chance(r, 0.9) {
		p.behaviours[WorkerFails] = 0.3 + 0.6*r.Float64()
	}
	if chance(r, 0.6) {
		p.behaviours[WorkerThrottled] = 0.05 + 0.35*r.Float64()
	}
	p.planCancellations(r, 1+r.IntN(6))
	if chance(r, 0.7) {
		for range 1 + r.IntN(4) {
			p.reconfigure(r, 0, 2)
		}
	}
}

// planRushes gives one labourer all jobs, and lets many executions claim, raise and revoke its slots at once, while the assistant feeds.
func (p *plan) planRushes(r *rand.Rand) {
	if p.wakesOnly {
		p.planCrowd(r)
		return
	}
	p.shorten(between(r, time.Minute, 3*time.Minute))
	l := &p.labourers[0]
	l.MaxSimultaneousInvocations, l.HealthMetrics = float64(pick(r, 2, 3, 5, 5, 20)), nil
	add := func(at time.Duration, kind string, value int, fault Fault) {
		p.operations = append(p.operations, operation{at: at, kind: kind, on: l.ID, value: value, fault: fault})
	}
	for i := range p.jobs {
		p.jobs[i].labourer, p.jobs[i].giant, p.jobs[i].tasks = l.ID, false, 4+r.IntN(20)
		p.jobs[i].qualifier, p.jobs[i].ballast = "", 0
	}
	soon := func() time.Duration { // after a job is submitted
		at := p.submission(p.jobs[r.IntN(len(p.jobs))].id)
		return at + between(r, 0, time.Second) + between(r, 0, pick(r, 0, 10*time.Second, 40*time.Second))
	}
	wake := func(at time.Duration) { add(at, "wake", 1+r.IntN(4), TwoOrchestrations) }
	for range r.IntN(30) {
		wake(soon())
	}
	if chance(r, 0.4) { // several executions revoke slots, each by another cap
		for range 1 + r.IntN(8) {
			at := soon()
			for _, most := range []int{5, 3, 20} {
				add(at, "cap", 1+r.IntN(most), CapLowered)
				wake(at + between(r, 0, 300*time.Millisecond))
				at += between(r, 0, 2*time.Second)
			}
		}
	}
	if chance(r, 0.4) {
		for range 1 + r.IntN(6) {
			at := soon()
			add(at, "pause", 0, Paused)
			wake(at + between(r, 0, 300*time.Millisecond))
			add(at+between(r, 0, 8*time.Second), "resume", 0, "")
		}
	}
	switch r.IntN(4) {
	case 0:
		p.rates[TornRead] = 0.9
		delete(p.rates, Skew)
		delete(p.rates, Slow)
	case 1, 2:
		p.rates[Slow] = 0.1 + 0.4*r.Float64()
		delete(p.rates, TornRead)
	}
	if chance(r, 0.5) { // slots become free that no assistant feeds
		p.behaviours[WorkerFails], p.behaviours[WorkerThrottled] = 0.1+0.5*r.Float64(), 0.2*r.Float64()
	}
	if chance(r, 0.3) { // what is lost beside long tasks, in another lease
		l.MaxDuration = 5 * time.Second
		p.jobs[0].maxDuration, p.behaviours[WorkerHangs] = 30*time.Minute, 0.1+0.3*r.Float64()
	}
}

// planCrowd submits few jobs of one labourer shortly after each other, and nothing else wakes it: each job comes while another execution claims
// for the one before, whose tasks may have ended by then.
func (p *plan) planCrowd(r *rand.Rand) {
	l := &p.labourers[0]
	l.MaxSimultaneousInvocations, l.MaxDuration, l.HealthMetrics = 20, 5*time.Second, nil
	p.jobs, p.operations, p.window = nil, nil, 0
	at := between(r, 0, p.faulty/2)
	for i := range 2 + r.IntN(2) {
		j := jobPlan{id: fmt.Sprintf("job-%d", i), labourer: l.ID, tasks: 1}
		p.jobs = append(p.jobs, j)
		p.operations = append(p.operations, operation{at: at, kind: "submit", on: j.id})
		at += between(r, 200*time.Millisecond, 4*time.Second)
	}
	p.rates[Slow] = 0.2 + 0.5*r.Float64()
	delete(p.rates, TornRead)
}

// planCancellations cancels jobs soon after they are submitted, mostly by force.
func (p *plan) planCancellations(r *rand.Rand, n int) {
	for range n {
		j := p.jobs[r.IntN(len(p.jobs))]
		o := operation{at: p.submission(j.id) + between(r, 0, 40*time.Second), kind: "cancel", on: j.id, value: pick(r, 0, 0, 0, 1), fault: CancelledJob}
		if o.value == 0 {
			o.fault = Forced
		}
		p.operations = append(p.operations, o)
	}
}

// shorten moves everything into a shorter time.
func (p *plan) shorten(faulty time.Duration) {
	p.operations = slices.DeleteFunc(p.operations, func(o operation) bool { return o.at > faulty && o.kind != "submit" && o.kind != "resume" })
	for i := range p.operations {
		p.operations[i].at = min(p.operations[i].at, faulty)
	}
	p.faulty = faulty
}

// submission returns the time at which a job is submitted.
func (p *plan) submission(job string) time.Duration {
	for _, o := range p.operations {
		if o.kind == "submit" && o.on == job {
			return o.at
		}
	}
	return 0
}

// planHundreds makes a labourer run hundreds of tasks at the same time.
func (p *plan) planHundreds(r *rand.Rand) {
	l := &p.labourers[0]
	l.MaxSimultaneousInvocations = float64(pick(r, 60, 100, 100, 200, 500))
	l.MaxDuration, l.Heartbeat, l.HealthMetrics = pick(r, 30*time.Second, 2*time.Minute), 0, nil
	p.jobs[0].labourer, p.jobs[0].giant = l.ID, chance(r, 0.15) && l.Target.Kind() == "lambda"
	p.jobs[0].tasks = int(l.MaxSimultaneousInvocations) + r.IntN(200)
	if len(p.jobs) > 1 { // short tasks that end or hang, and long tasks that take over their slots
		p.jobs[0].maxDuration = pick(r, 0, 20*time.Second)
		p.jobs[1].labourer, p.jobs[1].tasks, p.jobs[1].maxDuration = l.ID, 50+r.IntN(250), pick(r, 0, 30*time.Minute, 30*time.Minute)
	}
	p.operations = append(p.operations, operation{kind: "note", on: p.jobs[0].id, fault: Hundreds})
	p.behaviours[WorkerHangs] = 0.05 + 0.4*r.Float64()
	if chance(r, 0.6) {
		for f := range p.rates {
			if f != StaleRead && f != TwoVersions {
				delete(p.rates, f)
			}
		}
		p.rates[Duplicate] = 0.01
	}
}

// planIncompressible plans a job whose tasks die with results and messages that hardly compress, and are replayed together. In all, they exceed a
// transaction; their results alone fit in one chunk of tasks.
func (p *plan) planIncompressible() {
	l := &p.labourers[0]
	l.Target, l.MaxSimultaneousInvocations, l.Heartbeat, l.HealthMetrics = labourer.Target{Lambda: l.ID}, 100, 0, nil
	l.MaxDuration, l.Cooldown, l.NotRetryable, l.Retry = 30*time.Second, 30*time.Second, nil, retry.Policy{Initial: time.Second, Max: time.Second, Rate: 1}
	j := &p.jobs[0]
	*j = jobPlan{id: j.id, labourer: l.ID, tasks: 90, maxAttempts: 3, report: 45 << 10}
	p.behaviours = map[Fault]float64{WorkerFails: 1}
	p.operations = append(p.operations,
		operation{kind: "note", on: j.id, fault: Incompressible},
		operation{at: p.faulty, kind: "replay", on: j.id, text: "replay-all", fault: ReplayedJob})
}

// planReconfigurations applies labourers again with other values, and removes and restores some.
func (p *plan) planReconfigurations(r *rand.Rand) {
	for range 1 + r.IntN(5) {
		p.reconfigure(r, 0, fields)
	}
	if chance(r, 0.3) {
		on, at := p.labourers[r.IntN(len(p.labourers))].ID, between(r, 0, p.faulty)
		p.operations = append(p.operations, operation{at: at, kind: "remove", on: on, fault: Removed},
			operation{at: at + between(r, 0, 3*time.Minute), kind: "apply again", on: on})
	}
}

// fields counts the fields of a labourer that an operation may change; see [run.reconfigure].
const fields = 9

func (p *plan) reconfigure(r *rand.Rand, from, to int) {
	field := from + r.IntN(to-from)
	if p.wakesOnly && (field == 2 || field == 3 || field == 5 || field == 7) {
		return // only a tick discovers what these fields end
	}
	p.operations = append(p.operations, operation{at: between(r, 0, p.faulty), kind: "config", on: p.labourers[r.IntN(len(p.labourers))].ID, value: field,
		text: fmt.Sprint(r.IntN(1000)), fault: Reconfigured})
}

// static returns a text of this many bytes that hardly compresses: of letters of one byte and of two, so of nearly all bytes.
func static(bytes int) string {
	r := rand.New(rand.NewPCG(uint64(bytes), 8))
	out := make([]byte, 0, bytes)
	for len(out) < bytes-1 {
		if c := rune(' ' + r.IntN('~'-' ')); !strings.ContainsRune(`"\<>&`, c) && chance(r, 0.6) {
			out = append(out, byte(c))
		} else {
			out = utf8.AppendRune(out, 0xa0+rune(r.IntN(0x800-0xa0)))
		}
	}
	return string(out)
}

// noise returns a text of this many bytes that compresses to no less than three quarters of its size.
func noise(bytes int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := rand.New(rand.NewPCG(uint64(bytes), 7))
	var b strings.Builder
	for range bytes {
		b.WriteByte(letters[r.IntN(len(letters))])
	}
	return b.String()
}

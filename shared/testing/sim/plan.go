package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/retry"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// plan describes the world of a seed before anything happens: its labourers and jobs, the operations with their times, and the rates of the
// faults. Shrinking removes parts of it.
type plan struct {
	seed        uint64
	labourers   []labourer.Labourer
	jobs        []jobPlan
	operations  []operation
	rates       map[Fault]float64 // the probability of a fault at each place where it can happen; an absent fault never happens
	behaviours  map[Fault]float64 // the same for what workers do
	faulty      time.Duration     // how long faults happen; after that the world must come to rest
	most        int               // the largest number of injected faults; -1: no bound
	window      time.Duration     // the batching window of the queues
	definitions flow.Definitions  // of workflows, as they are applied first
	starts      []startPlan
	changes     []flow.Definitions
	large       map[string]bool // plugins whose results are large
	moe         bool            // some plugins are those of moe's orchestrator
	queued      bool            // nothing is granted directly: what is published waits in the queue
	wakesOnly   bool            // there is no tick, and no fault that only a tick repairs, so every wake has to arrive by itself
}

// jobPlan is a job to submit.
type jobPlan struct {
	id          string
	labourer    string
	tasks       int
	maxAttempts int
	notBefore   time.Duration // after the start of the world; 0: at once
	giant       bool
	maxDuration time.Duration // the job's own; 0: none
	qualifier   string        // of the labourer's function
	schema      string        // "": the default schema
	spelled     string        // an attribute that differs from one of Drover's only in case
	ballast     int           // bytes that do not compress
	report      int           // bytes in each result, also of a failure, that do not compress
}

// operation is an action on Drover from outside.
type operation struct {
	at    time.Duration
	kind  string
	fault Fault // the fault that it counts as, "" if none
	on    string
	value int
	text  string
}

func (o operation) String() string {
	return strings.TrimSpace(fmt.Sprintf("%8s %s %s %d %s", o.at, o.kind, o.on, o.value, clip(o.text)))
}

func random(seed uint64, purpose string) *rand.Rand {
	h := uint64(14695981039346656037)
	for i := range len(purpose) {
		h = (h ^ uint64(purpose[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

func between(r *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(r.Int64N(int64(b-a)+1))
}

// newPlan returns the plan of a seed.
func newPlan(seed uint64) plan {
	r := random(seed, "plan")
	p := plan{seed: seed, rates: map[Fault]float64{}, behaviours: map[Fault]float64{}, faulty: between(r, 2*time.Minute, 10*time.Minute), most: -1}
	p.wakesOnly = chance(r, 0.15)
	p.planLabourers(r)
	p.planJobs(r)
	p.planFaults(r)
	p.planOperations(r)
	if w := random(seed, "window"); chance(w, 0.3) {
		p.window = pick(w, 20*time.Millisecond, 300*time.Millisecond, 2*time.Second)
	}
	p.queued = chance(random(seed, "direct"), 0.5)
	if v := random(seed, "versions"); chance(v, 0.25) { // at every fault rate, because an update happens at any time
		p.rates[TwoVersions] = pick(v, 0.1, 0.5, 0.9)
	}
	p.planTrouble()
	if seed >= seekers && seed < flows {
		p.planSeekers()
	}
	if seed >= flows {
		p.planFlows()
	}
	slices.SortStableFunc(p.operations, func(a, b operation) int { return int(a.at - b.at) })
	return p
}

func (p *plan) planLabourers(r *rand.Rand) {
	for i := range 1 + r.IntN(3) {
		l := labourer.New(fmt.Sprintf("l%d", i))
		switch r.IntN(6) {
		case 0:
			l.Target.SQS = "https://sqs.us-west-2.amazonaws.com/000000000000/" + l.ID + pick(r, "", ".fifo")
		case 1:
			l.Target.States = "arn:aws:states:us-west-2:000000000000:stateMachine:" + l.ID
		default:
			l.Target.Lambda = l.ID
		}
		l.MaxSimultaneousInvocations = float64(pick(r, 0, 1, 1, 2, 3, 5, 20))
		l.MaxAttempts = 1 + r.IntN(3)
		l.MaxDuration, l.MaxDurationGiven = pick(r, 5*time.Second, 30*time.Second, 2*time.Minute), true
		l.Cooldown = pick(r, 0, 5*time.Second, 30*time.Second)
		if chance(r, 0.15) {
			l.HealthMetrics = map[string]ecology.Metric{"load": {Query: ecology.Query{Namespace: "sim", MetricName: "load", Statistic: "Maximum", Period: time.Minute,
				Dimensions: []ecology.Dimension{{Name: "labourer", Value: l.ID}}}, Operator: ecology.AtMost,
				Feelings: ecology.Feelings{ecology.High: 10, ecology.Good: 50, ecology.Moderate: 90}}}
		}
		if chance(r, 0.25) && !p.wakesOnly {
			l.Heartbeat = pick(r, 3*time.Second, 20*time.Second)
		}
		if chance(r, 0.3) {
			l.NotRetryable = []string{"BadInput"}
		}
		l.Retry = retry.Policy{Min: pick(r, 0, time.Second, 3*time.Second), Initial: pick(r, time.Second, 5*time.Second), Max: 30 * time.Second, Rate: pick(r, 1, 2.0)}
		p.labourers = append(p.labourers, l)
	}
}

func (p *plan) planJobs(r *rand.Rand) {
	n := 1 + r.IntN(4)
	if p.seed >= flows {
		n = 1
	}
	for i := range n {
		j := jobPlan{id: fmt.Sprintf("job-%d", i), labourer: p.labourers[r.IntN(len(p.labourers))].ID}
		// Most jobs have few tasks: faults that two tasks show rarely need more, and small worlds run faster.
		switch k := r.IntN(200); {
		case p.seed >= flows:
			j.tasks = 1 + r.IntN(3)
		case k == 0:
			j.tasks = 257 + r.IntN(344)
		case k < 10:
			j.tasks = 15 + r.IntN(45)
		default:
			j.tasks = 1 + r.IntN(6)
		}
		if chance(r, 0.15) {
			j.maxAttempts = 1 + r.IntN(3)
		}
		if chance(r, 0.15) {
			j.notBefore = between(r, 0, 3*time.Minute)
		}
		j.giant = chance(r, 0.05)
		p.jobs = append(p.jobs, j)
		at := time.Duration(0)
		if chance(r, 0.5) {
			at = between(r, 0, p.faulty/2)
		}
		fault := Fault("")
		switch {
		case j.giant:
			fault = GiantPayload
		case j.tasks >= 15: // at least three times the largest cap of these worlds
			fault = Flood
		}
		p.operations = append(p.operations, operation{at: at, kind: "submit", on: j.id, fault: fault})
	}
}

// planFaults chooses some kinds of faults, so that worlds differ in what can happen.
func (p *plan) planFaults(r *rand.Rand) {
	if chance(r, 0.05) {
		return // some worlds have no faults
	}
	rate := func(f Fault, share, low, high float64) {
		if chance(r, share) {
			p.rates[f] = low + (high-low)*r.Float64()
		}
	}
	if p.wakesOnly {
		rate(Duplicate, 0.5, 0.01, 0.15)
		rate(Late, 0.7, 0.01, 0.3)
		rate(StaleRead, 0.4, 0.1, 0.6)
		rate(Slow, 0.7, 0.05, 0.5)
		p.rates[LostTick] = 1
		rate(Refused, 0.5, 0.002, 0.03) // when an execution takes or releases the lock of a labourer
		rate(Unreported, 0.5, 0.002, 0.03)
		rate(Repeated, 0.5, 0.01, 0.5)
		p.planBehaviours(r, 0)
		return
	}
	rate(CrashBefore, 0.4, 0.002, 0.02)
	rate(CrashAfter, 0.4, 0.002, 0.02)
	rate(Refused, 0.4, 0.002, 0.03)
	rate(Unreported, 0.4, 0.002, 0.03)
	rate(Repeated, 0.4, 0.002, 0.03)
	rate(Storm, 0.2, 0.001, 0.004)
	rate(Conflict, 0.3, 0.005, 0.1)
	rate(Partial, 0.3, 0.01, 0.1)
	rate(StaleRead, 0.4, 0.1, 0.6)
	rate(Slow, 0.4, 0.01, 0.1)
	rate(Skew, 0.4, 1, 1)
	rate(Duplicate, 0.5, 0.01, 0.15)
	rate(Late, 0.5, 0.01, 0.15)
	rate(LostWake, 0.4, 0.05, 0.7)
	rate(LostTick, 0.3, 0.1, 0.6)
	rate(Redriven, 0.5, 1, 1)
	rate(LateTTL, 0.15, 1, 1)
	rate(DayOldStream, 0.2, 1, 1)

	p.planBehaviours(r, 1)
}

// planBehaviours chooses the behaviour of workers. lost scales the share of workers that end silently, which only a tick discovers.
func (p *plan) planBehaviours(r *rand.Rand, lost float64) {
	behave := func(f Fault, share, low, high float64) {
		if chance(r, share) {
			p.behaviours[f] = low + (high-low)*r.Float64()
		}
	}
	behave(WorkerFails, 0.5, 0.05, 0.4)
	behave(WorkerGivesUp, 0.3, 0.02, 0.2)
	behave(WorkerThrottled, 0.2, 0.02, 0.1)
	behave(WorkerDies, 0.3*lost, 0.02, 0.2)
	behave(WorkerHangs, 0.3*lost, 0.02, 0.15)
	behave(WorkerLate, 0.3*lost, 0.02, 0.15)
	behave(WorkerTwice, 0.3, 0.05, 0.4)
	behave(WorkerContradicts, 0.2, 0.02, 0.2)
	behave(WorkerVague, 0.3, 0.05, 0.4)
	behave(WorkerStale, 0.3, 0.2, 0.9)
	behave(WorkerCalls, 0.2, 0.05, 0.3)
}

func (p *plan) planOperations(r *rand.Rand) {
	if len(p.rates) == 0 {
		return
	}
	some := func(share float64, most int, put func(at time.Duration)) {
		if !chance(r, share) {
			return
		}
		for range 1 + r.IntN(most) {
			put(between(r, 0, p.faulty))
		}
	}
	add := func(o operation) { p.operations = append(p.operations, o) }
	someone := func() string { return p.labourers[r.IntN(len(p.labourers))].ID }
	job := func() string { return p.jobs[r.IntN(len(p.jobs))].id }
	some(0.5, 4, func(at time.Duration) {
		add(operation{at: at, kind: "wake", on: someone(), value: 1 + r.IntN(4), fault: TwoOrchestrations})
	})
	some(0.5, 3, func(at time.Duration) {
		add(operation{at: at, kind: "cap", on: someone(), value: pick(r, 0, 1, 2, 5), fault: CapLowered})
	})
	for _, l := range p.labourers {
		if l.HealthMetrics == nil || p.wakesOnly { // an improved metric wakes no execution
			continue
		}
		some(1, 4, func(at time.Duration) {
			add(operation{at: at, kind: "metric", on: l.ID, value: pick(r, 0, 30, 80, 100, 100), fault: Unhealthy})
		})
	}
	some(0.4, 2, func(at time.Duration) {
		on := someone()
		add(operation{at: at, kind: "pause", on: on, fault: Paused})
		add(operation{at: at + between(r, 0, 3*time.Minute), kind: "resume", on: on})
	})
	some(0.35, 2, func(at time.Duration) {
		add(operation{at: at, kind: "cancel", on: job(), value: r.IntN(4), fault: CancelledJob})
	})
	some(0.4, 3, func(at time.Duration) {
		add(operation{at: at, kind: "replay", on: job(), value: r.IntN(3), text: fmt.Sprintf("replay-%d", r.IntN(2)), fault: ReplayedJob})
	})
	some(0.5, 3, func(at time.Duration) {
		add(operation{at: at, kind: "submit again", on: job(), fault: SubmittedAgain})
	})
	some(0.3, 2, func(at time.Duration) { add(operation{at: at, kind: "other job", on: job(), fault: OtherJob}) })
	some(0.3, 2, func(at time.Duration) {
		add(operation{at: at, kind: "bad job", value: r.IntN(usualBadJobs), fault: BadJob})
	})
	if p.wakesOnly {
		return
	}
	some(0.3, 2, func(at time.Duration) {
		add(operation{at: at, kind: "poison jobs", text: pick(r, "not json", `{"detail-type":"SubmitJob"}`, `[]`, `{"id":"x","detail-type":"Unheard","detail":{}}`), fault: PoisonJob})
	})
	some(0.3, 2, func(at time.Duration) {
		add(operation{at: at, kind: "poison completions", text: pick(r, "not json", `{"task_id":"a.1"}`, `{"version":1,"task_id":"a.1","status":"odd"}`, `[1]`,
			`{"source":"drover","detail-type":"TasksDue","detail":{"version":1,"labourers":["l0","#metrics"],"due_at":"2026-11-22T10:00:00Z"}}`,
			`{"source":"drover","detail-type":"TasksDue","detail":{"version":1,"labourers":["l0"],"due_at":"2926-11-22T10:00:00Z"}}`), fault: PoisonCompletion})
	})
	some(0.3, 2, func(at time.Duration) {
		add(operation{at: at, kind: "poison completions", text: `{"version":2,"task_id":"aaaaaaaaaaaaaaaa.1","status":"completed"}`, fault: UnknownVersion})
	})
	some(0.2, 2, func(at time.Duration) {
		add(operation{at: at, kind: "poison record", value: r.IntN(2), fault: PoisonRecord})
	})
	some(0.4, 3, func(at time.Duration) { add(operation{at: at, kind: "stream again", fault: StreamAgain}) })
	if p.rates[Redriven] > 0 { // every dead letter: poison, failed deliveries and unknown versions
		add(operation{at: p.faulty * 9 / 10, kind: "redrive"})
	}
}

// usualBadJobs counts the bad jobs that any world may submit. Only worlds with odd jobs submit the others.
const usualBadJobs = 6

// badJobs are jobs that Drover has to refuse, with the field that the refusal has to name. The field "" marks a job that is too long to be
// quoted.
var badJobs = []struct{ text, field string }{
	{`{"job_id": "bad one"}`, "job_id"},
	{`{"job_id": "bad-1", "labourer": "nobody"}`, "labourer"},
	{`{"job_id": "bad-2", "labourer": "l0", "period": "last_thursday"}`, "period"},
	{`{"job_id": "bad-3", "labourer": "l0", "task_id": "x"}`, "task_id"},
	{`{"job_id": "bad-4", "labourer": "l0", "max_attempts": 0}`, "max_attempts"},
	{`{"job_id": "bad-5", "labourer": "l0", "job_schema_name": "nothing"}`, "job_schema_name"},
	{`{"job_id": "bad-6", "labourer": "l0", "not_before": "2286-11-20T17:46:39.9Z"}`, "not_before"},
	{`{"job_id": "bad-7", "labourer": "l0", ".` + strings.Repeat("\U0010ffff", 30_000) + `": ` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, ""},
}

// attribute returns the name of the attribute by which a job is divided.
func (j jobPlan) attribute() string {
	if j.schema == oddSchema {
		return "odd,things"
	}
	return "things"
}

// mostOf returns the maximum size of a message in a labourer's queue, in bytes; 0: the limit of SQS.
func (p plan) mostOf(labourer string) int {
	for _, j := range p.jobs {
		if j.labourer == labourer && j.ballast > 0 && j.ballast <= 2*smallQueue {
			return smallQueue
		}
	}
	return 0
}

// text returns the job as it is submitted.
func (j jobPlan) text(start time.Time) string {
	var b strings.Builder
	name := j.labourer
	if j.qualifier != "" {
		name += ":" + j.qualifier
	}
	fmt.Fprintf(&b, `{"job_id": %q, "labourer": %q, "isolate_%s": true`, j.id, name, j.attribute())
	if j.schema != "" {
		fmt.Fprintf(&b, `, "job_schema_name": %q`, j.schema)
	}
	if j.maxDuration > 0 {
		fmt.Fprintf(&b, `, "max_duration": %q`, j.maxDuration)
	}
	if j.spelled != "" {
		fmt.Fprintf(&b, `, %q: {"task_id": "aaaaaaaaaaaaaaaa.1", "attempt": 9}`, j.spelled)
	}
	if j.ballast > 0 {
		fmt.Fprintf(&b, `, "noise": %q`, noise(j.ballast))
	}
	if j.maxAttempts > 0 {
		fmt.Fprintf(&b, `, "max_attempts": %d`, j.maxAttempts)
	}
	if j.notBefore > 0 {
		fmt.Fprintf(&b, `, "not_before": %q`, start.Add(j.notBefore).Format(time.RFC3339))
	}
	if j.giant {
		fmt.Fprintf(&b, `, "ballast": %q`, strings.Repeat("x", 200<<10))
	}
	fmt.Fprintf(&b, `, %q: [`, j.attribute())
	for i := range j.tasks {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"t%d"`, i)
	}
	b.WriteString("]}")
	return b.String()
}

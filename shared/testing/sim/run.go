package sim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// Options change a simulation.
type Options struct {
	// Tamper wraps the clients between the functions and the services, as planted mutations do.
	Tamper func(fakeaws.Clients) fakeaws.Clients
	// Rewire changes the services themselves.
	Rewire func(*fakeaws.Functions)
	// Asked receives each DynamoDB call before its execution.
	Asked func(fakeaws.Request)
	// Trace keeps all steps in the report.
	Trace bool
}

// Violation describes a guarantee that did not hold.
type Violation struct {
	Guarantee string // "G1" … "G10", "R1" … "R6"
	Reason    string
	At        time.Duration // since the start of the world
}

func (v *Violation) String() string {
	return fmt.Sprintf("%s at %s: %s", v.Guarantee, v.At, v.Reason)
}

// Report contains the results of a simulation.
type Report struct {
	Seed      uint64
	Violation *Violation
	Faults    map[Fault]int
	States    map[string]int // the number of times that each state of a task, a job or an execution was reached
	Steps     int
	Virtual   time.Duration
	Trace     []string
	Hash      uint64 // of all steps; equal for equal seeds
	injected  int    // the number of faults that are not operations
	plan      plan
}

// run is one simulation.
type run struct {
	plan    plan
	options Options
	stack   *fakeaws.Stack
	world   *fakeaws.World
	drover  *drovertest.Drover
	start   time.Time
	check   *checker
	tokens  atomic.Int64

	randoms    map[string]*rand.Rand
	stormy     time.Time // until when a throttle storm lasts
	noTicks    time.Time // until when every tick is lost
	calm       bool
	calmAt     time.Time
	names      map[string]start // of executions that are workers
	lostTokens []string         // messages with tokens that went to the dead letters
	executions int              // that people have started

	mu        sync.Mutex
	fresh     []*call // calls that arrived since the last step
	active    []*invocation
	current   *invocation
	step      int
	spent     int // injected faults that are not operations
	violation *Violation
	faults    map[Fault]int
	states    map[string]int
	lines     []string
	hash      uint64
}

// Virtual time starts at epoch.
var epoch = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const (
	// settleLimit bounds the virtual time in which a world must come to rest once the faults have stopped.
	settleLimit = 8 * time.Hour
	// stepLimit stops a world that never comes to rest.
	stepLimit = 400_000
	// longestTear bounds the time during which a read may see some writes of a transaction and not yet others. The transaction's caller waits
	// that long. A process that dies during the call leaves nothing torn: its successor starts later than that.
	longestTear = 150 * time.Millisecond
)

// simulate runs a plan. Its caller must run in a bubble of testing/synctest, which reports when all goroutines wait.
func simulate(p plan, o Options) Report {
	r := &run{plan: p, options: o, start: epoch, randoms: map[string]*rand.Rand{}, names: map[string]start{},
		faults: map[Fault]int{}, states: map[string]int{}, hash: 14695981039346656037}
	stack, err := fakeaws.NewStack(epoch, r.random("machines").Float64)
	if err != nil {
		panic(err)
	}
	r.stack, r.world, r.drover = stack, stack.World, drovertest.Over(stack)
	r.check = newChecker(r)
	stack.Invoke = r.invoke
	stack.World.Course = r.course
	own := stack.DynamoDB.Watch
	stack.DynamoDB.Watch = func(table string, before, after fakeaws.Item) {
		own(table, before, after)
		r.check.watch(table, before, after)
	}
	if rate := p.rates[StaleRead]; rate > 0 {
		stale := r.random("stale")
		stack.DynamoDB.Stale = func(string, fakeaws.Item) time.Duration {
			if r.calm || !chance(stale, rate) {
				return 0
			}
			r.count(StaleRead)
			return between(stale, 0, fakeaws.MostStale)
		}
	}
	if rate := p.rates[TornRead]; rate > 0 {
		torn := r.random("torn")
		stack.DynamoDB.Torn = func(table string, key fakeaws.Item) time.Duration {
			if table != fakeaws.ControlTable || !isLease(key) && str(key, "item") != "state" || !r.current.waits(longestTear) || !chance(torn, rate) {
				return 0
			}
			r.count(TornRead)
			return between(torn, 0, longestTear)
		}
	}
	if o.Asked != nil {
		stack.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
			o.Asked(r)
			return nil
		}
	}
	r.watchEnds()
	stack.DynamoDB.Unprocessed = func(string, fakeaws.Item) bool { return r.partial() }
	for _, url := range []string{fakeaws.JobsQueue, fakeaws.CompletionsQueue} {
		stack.SQS.Gather(url, p.window, 10)
	}
	r.employ()
	r.prepare()
	r.loop()
	return Report{Seed: p.seed, Violation: r.violation, Faults: r.faults, States: r.states, Steps: r.step, Virtual: r.world.Now().Sub(epoch),
		Trace: r.lines, Hash: r.hash, injected: r.spent, plan: p}
}

// isLease reports whether a key of the control table belongs to a lease.
func isLease(key fakeaws.Item) bool { return strings.HasPrefix(str(key, "item"), "lease#") }

func (r *run) random(purpose string) *rand.Rand {
	if r.randoms[purpose] == nil {
		r.randoms[purpose] = random(r.plan.seed, purpose)
	}
	return r.randoms[purpose]
}

// prepare applies the configuration and schedules the operations.
func (r *run) prepare() {
	for _, l := range r.plan.labourers {
		r.apply(l)
		if l.HealthMetrics != nil {
			r.check.measured(l.ID, 0)
		}
	}
	registry := dynamo.Registry{API: r.stack.DynamoDB, Table: fakeaws.ControlTable}
	schema := job.Schema{ChunkableAttrs: []string{"thing"}}
	if err := registry.ApplySchema(context.Background(), "default", string(schema.Stored()), 0); err != nil {
		panic(err)
	}
	odd := job.Schema{ChunkableAttrs: []string{"odd,thing"}}
	if err := registry.ApplySchema(context.Background(), oddSchema, string(odd.Stored()), 0); err != nil {
		panic(err)
	}
	r.define()
	for i, o := range r.plan.operations {
		r.world.At(r.start.Add(o.at), fakeaws.Timer, fmt.Sprintf("operation %03d", i), func() { r.operate(o) })
	}
	r.world.At(r.start.Add(r.plan.faulty), fakeaws.Timer, "calm", r.becalm)
}

func (r *run) apply(l labourer.Labourer) {
	registry := dynamo.Registry{API: r.stack.DynamoDB, Table: fakeaws.ControlTable}
	revision := r.check.applied(l)
	if err := registry.ApplyLabourer(context.Background(), l.ID, string(l.Stored()), revision); err != nil {
		panic(err)
	}
}

// loop runs the world until it rests, or until the first violation.
func (r *run) loop() {
	for r.violation == nil {
		if r.calm && r.atRest() {
			r.check.atRest()
			break
		}
		if r.step++; r.step > stepLimit || r.world.Now().Sub(r.start) > r.plan.faulty+settleLimit {
			r.violate("G1", "the world did not come to rest: %s", r.check.unfinished())
			break
		}
		c := r.world.Step()
		if c == nil {
			r.violate("G1", "no event is left, and the world is not at rest: %s", r.check.unfinished())
			break
		}
		r.note(c)
		r.settle()
		r.check.verify(nil)
		r.check.bounds()
	}
	for _, v := range slices.Clone(r.active) {
		v.die("Runtime.ExitError", "the simulation is over")
	}
	r.settle()
}

func (r *run) note(c *fakeaws.Coming) {
	for _, text := range []string{string(c.Kind), c.Label} {
		for i := range len(text) {
			r.hash = (r.hash ^ uint64(text[i])) * 1099511628211
		}
	}
	r.hash = (r.hash ^ uint64(c.At.UnixNano())) * 1099511628211
	if r.options.Trace && !strings.HasPrefix(c.Label, "call ") {
		r.trace("%s %s", c.Kind, clip(c.Label))
	}
}

// settle waits until every goroutine waits, and then handles new calls and ended invocations.
func (r *run) settle() {
	for {
		synctest.Wait()
		r.mu.Lock()
		fresh := r.fresh
		r.fresh = nil
		r.mu.Unlock()
		slices.SortFunc(fresh, func(a, b *call) int {
			if order := cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.operation, b.operation), cmp.Compare(a.label, b.label)); order != 0 {
				return order
			}
			return bytes.Compare(encode(a.input), encode(b.input))
		})
		for _, c := range fresh {
			r.schedule(c)
		}
		asleep, moved := false, false
		for _, v := range slices.Clone(r.active) {
			switch {
			case v.gone && !v.over:
				v.die("Runtime.ExitError", "its process crashed")
				moved = true
			case v.ended && !v.over:
				v.finish(v.out, v.err)
				moved = true
			case v.ended:
				r.active = slices.DeleteFunc(r.active, func(o *invocation) bool { return o == v })
			case len(v.blocked) == 0:
				asleep = true
			}
		}
		if asleep {
			time.Sleep(10 * time.Second) // in the bubble's time: the pauses between retries of unprocessed items
			continue
		}
		if !moved && len(fresh) == 0 {
			return
		}
	}
}

// invoke starts an invocation.
func (r *run) invoke(i fakeaws.Invocation) {
	v := &invocation{Invocation: i, run: r, real: r.stack.Clients(), began: r.step, dueRead: map[string]int{}}
	dice := r.random("invocation")
	if r.plan.rates[Skew] > 0 && !r.calm && r.may() {
		v.skew = between(dice, -30*time.Second, 30*time.Second)
		r.count(Skew)
	}
	if !r.calm && chance(dice, r.plan.rates[Slow]) && r.may() {
		v.slow = between(dice, 500*time.Millisecond, 12*time.Second)
		if r.plan.wakesOnly { // fast enough to avoid the timeout
			v.slow = between(dice, 20*time.Millisecond, 600*time.Millisecond)
		}
		r.count(Slow)
	}
	if chance(r.random("versions"), r.plan.rates[TwoVersions]) && r.may() {
		v.next = true
		r.count(TwoVersions)
	}
	r.active = append(r.active, v)
	r.trace("%s begins: %s", v.ID, v.About)
	v.begin()
}

// wait makes a call wait for its turn. It returns false if the process has died.
func (r *run) wait(c *call) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.gone {
		return false
	}
	r.fresh = append(r.fresh, c)
	c.blocked = append(c.blocked, c)
	return true
}

// schedule decides when a call happens, and its fate.
func (r *run) schedule(c *call) {
	if c.gone {
		return
	}
	dice := r.random("call")
	after := between(dice, time.Millisecond, 12*time.Millisecond)
	if c.slow > 0 {
		after = between(dice, 0, c.slow)
	}
	if c.lasts > 0 {
		after = c.lasts
	} else {
		c.fate = r.fate(c, dice)
	}
	c.lets = r.world.At(r.world.Now().Add(after), fakeaws.Transition, "call "+c.ID+" "+c.operation+" "+c.label, func() {
		r.mu.Lock()
		c.blocked = slices.DeleteFunc(c.blocked, func(o *call) bool { return o == c })
		r.mu.Unlock()
		r.current = c.invocation
		if r.options.Trace {
			r.trace("%s %s %s %s", c.ID, c.operation, c.label, c.fate)
		}
		close(c.proceed)
	})
}

func (r *run) fate(c *call, dice *rand.Rand) Fault {
	u, now := dice.Float64(), r.world.Now()
	if r.calm {
		return ""
	}
	if strings.Contains(c.label, "item=cancel#") && c.operation == "TransactWriteItems" && chance(r.random("cut"), r.plan.rates[CutCancel]) && r.may() {
		r.count(CutCancel)
		return CrashAfter
	}
	if now.Before(r.stormy) {
		if u < 0.5 && r.may() {
			r.count(Storm)
			return Storm
		}
		return ""
	}
	if chance(dice, r.plan.rates[Storm]) && r.may() {
		r.stormy = now.Add(between(dice, time.Second, 20*time.Second))
	}
	if r.plan.wakesOnly && !strings.Contains(c.label, "claiming_until") {
		return "" // only a tick would repair some of these faults
	}
	for _, f := range []Fault{CrashBefore, CrashAfter, Refused, Unreported, Repeated, Conflict} {
		if u -= r.plan.rates[f]; u >= 0 {
			continue
		}
		if !writes(c.operation) && (f == CrashAfter || f == Unreported || f == Repeated) || f == Conflict && !conflicts(c.operation) || !r.may() {
			return ""
		}
		r.count(f)
		return f
	}
	return ""
}

// partial reports whether a service leaves an entry of a batch unprocessed.
func (r *run) partial() bool {
	if r.calm || !chance(r.random("partial"), r.plan.rates[Partial]) || !r.may() {
		return false
	}
	r.count(Partial)
	return true
}

// course returns the delays after which a delivery arrives; an empty result loses it.
func (r *run) course(kind fakeaws.Kind, label string) []time.Duration {
	dice := r.random("course")
	first := between(dice, time.Millisecond, 40*time.Millisecond)
	u, v := dice.Float64(), dice.Float64()
	if r.calm {
		if kind == fakeaws.Tick && r.plan.wakesOnly {
			return nil
		}
		return []time.Duration{first}
	}
	if r.plan.seed >= flows && r.loses(kind, label, r.random("loses").Float64()) {
		return nil
	}
	now := r.world.Now()
	switch {
	case kind == fakeaws.Tick && r.plan.wakesOnly:
		return nil
	case kind == fakeaws.Tick && now.Before(r.noTicks), kind == fakeaws.Tick && u < r.plan.rates[LostTick] && r.may():
		if !now.Before(r.noTicks) {
			r.noTicks = now.Add(time.Duration(v * float64(4*time.Minute)))
		}
		r.count(LostTick)
		return nil
	case (kind == fakeaws.Delivery && strings.HasPrefix(label, "tasks due") || r.isWake(kind, label) || isStart(kind, label)) && u < r.plan.rates[LostWake] && r.may():
		r.count(LostWake)
		return nil
	}
	arrivals := []time.Duration{first}
	if u < r.plan.rates[Late] && r.may() {
		r.count(Late)
		arrivals[0] += time.Duration(v * v * float64(90*time.Second))
		if isStart(kind, label) && r.plan.wakesOnly { // only a tick takes over what starts later than that
			arrivals[0] = min(arrivals[0], 20*time.Second)
		}
	}
	if v < r.plan.rates[Duplicate] && r.may() {
		r.count(Duplicate)
		again := time.Duration(u * u * float64(2*time.Minute))
		if chance(dice, 0.5) { // while the first delivery is still being processed
			again = between(dice, 0, 60*time.Millisecond)
		}
		arrivals = append(arrivals, arrivals[0]+again)
	}
	return arrivals
}

// isWake reports whether a message is a wake of Drover's. A queue does not lose it, but an assistant that fails drops it after the last delivery.
func (r *run) isWake(kind fakeaws.Kind, label string) bool {
	body, of := strings.CutPrefix(label, "completions ")
	return kind == fakeaws.Message && of && strings.HasPrefix(body, `{"source":"drover","detail-type":"TasksDue"`) && !r.check.bodies[body]
}

// isStart reports whether an event is a start of direct grants.
func isStart(kind fakeaws.Kind, label string) bool {
	return kind == fakeaws.Run && strings.HasPrefix(label, "orchestrator ")
}

// may reports whether the plan's bound admits one more fault.
func (r *run) may() bool {
	return r.plan.most < 0 || r.spent < r.plan.most
}

func (r *run) count(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[f]++
	if !isOperation(f) {
		r.spent++
	}
	if r.options.Trace {
		r.lines = append(r.lines, fmt.Sprintf("%12s   FAULT %s", r.world.Now().Sub(r.start), f))
	}
}

func (r *run) reach(state string) { r.states[state]++ }

func (r *run) trace(format string, arguments ...any) {
	if !r.options.Trace {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%12s "+format, append([]any{r.world.Now().Sub(r.start)}, arguments...)...))
}

func (r *run) violate(guarantee, format string, arguments ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.violation == nil {
		r.violation = &Violation{Guarantee: guarantee, Reason: fmt.Sprintf(format, arguments...), At: r.world.Now().Sub(r.start)}
	}
}

// operate carries out an operation.
func (r *run) operate(o operation) { //nolint:funlen // a switch over all that may happen from outside
	if o.fault != "" {
		r.count(o.fault)
	}
	r.trace("OPERATION %s", o)
	switch o.kind {
	case "submit", "submit again":
		j := r.job(o.on)
		r.check.submitted(j)
		r.drover.Put(event.SubmitJob, j.text(r.start))
	case "other job":
		j := r.job(o.on)
		j.tasks++
		r.drover.Put(event.SubmitJob, j.text(r.start))
	case "bad job":
		r.check.refused = append(r.check.refused, o.value)
		r.drover.Put(event.SubmitJob, badJobs[o.value].text)
	case "wake":
		for i := range o.value {
			r.drover.Put("TasksDue", fmt.Sprintf(`{"id":"spare-%d","version":1,"labourers":[%q,"nobody"]}`, i, o.on))
		}
	case "cap":
		l := r.check.labourers[o.on].Labourer
		if float64(o.value) > l.MaxSimultaneousInvocations {
			r.faults[CapLowered]--
			r.count(CapRaised)
		}
		r.apply(setCap(l, o.value))
		if r.plan.wakesOnly { // drover apply also wakes the orchestrator
			r.drover.Put("TasksDue", fmt.Sprintf(`{"id":"apply","version":1,"labourers":[%q]}`, o.on))
		}
	case "config":
		r.reconfigure(o)
	case "remove":
		r.remove(o.on)
	case "apply again":
		if l := r.check.labourers[o.on]; l.removed {
			r.apply(l.Labourer)
			r.woken(o.on)
		}
	case "damage":
		r.damage()
	case "metric":
		r.check.measured(o.on, o.value)
	case "pause":
		_ = r.drover.Pause(o.on)
	case "resume":
		_ = r.drover.Resume(o.on)
	case "pin":
		r.pinned(o)
	case "unpin":
		r.pin(o.on, nil)
	case "cancel":
		r.check.cancelled[o.on] = true
		r.drover.Put(event.CancelJob, map[string]any{"job_id": o.on, "force": o.value == 0})
	case "replay":
		r.replay(o)
	case "poison jobs":
		r.check.poison[fakeaws.JobsDeadLetters]++
		r.stack.Deliver(fakeaws.JobsQueue, o.text)
	case "poison completions":
		r.check.poison[fakeaws.CompletionsDead]++
		r.check.bodies[o.text] = true
		r.stack.Deliver(fakeaws.CompletionsQueue, o.text)
	case "poison record":
		r.check.poison[fakeaws.StreamFailures]++
		r.poisonRecord(o.value)
	case "stream again":
		r.streamAgain()
	case "redrive":
		r.redriveAll(func(fakeaws.Letter) bool { return true })
	case "note": // it only counts
	default:
		r.steer(o)
	}
}

// job returns a planned job; an empty one for a run.
func (r *run) job(id string) jobPlan {
	if isRun(id) {
		return jobPlan{}
	}
	for _, j := range r.plan.jobs {
		if j.id == id {
			return j
		}
	}
	panic("no job " + id)
}

func (r *run) replay(o operation) {
	detail := map[string]any{"replay_id": o.text + "-" + o.on}
	switch o.value {
	case 0:
		detail["job_id"] = o.on
	case 1:
		detail["labourer"] = r.job(o.on).labourer
	default:
		detail["tasks"] = r.check.someTasks(o.on, r.random("replay"))
	}
	r.drover.Put(event.ReplayTasks, detail)
}

// poisonRecord writes a task that no adapter would write: without a labourer, or with a damaged payload.
func (r *run) poisonRecord(kind int) {
	at := "poisonpoisonpoi" + string(rune('a'+r.check.poison[fakeaws.StreamFailures]))
	it := fakeaws.Item{"segment": &types.AttributeValueMemberS{Value: at}, "n": &types.AttributeValueMemberN{Value: "1"},
		"status": &types.AttributeValueMemberS{Value: "failed"}}
	if kind == 1 {
		it["labourer"], it["job"] = &types.AttributeValueMemberS{Value: "l0"}, &types.AttributeValueMemberS{Value: "job-0"}
		it["payload"] = &types.AttributeValueMemberB{Value: []byte{0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3}}
	}
	if err := r.stack.DynamoDB.Put(fakeaws.TasksTable, it); err != nil {
		panic(err)
	}
}

// streamAgain delivers part of the stream again.
func (r *run) streamAgain() {
	dice := r.random("stream")
	for _, mapping := range []*fakeaws.Mapping{r.stack.Stream, r.stack.Archiving} {
		if log := mapping.Log(); len(log) > 0 {
			from := dice.IntN(len(log))
			mapping.Replay(log[from:min(len(log), from+1+dice.IntN(150))])
		}
	}
}

// becalm stops all faults; the world then has to come to rest.
func (r *run) becalm() {
	r.trace("CALM")
	r.calm, r.calmAt = true, r.world.Now()
	for _, id := range r.check.ids() {
		l := r.check.labourers[id].Labourer
		if r.check.labourers[id].removed {
			r.apply(l)
			r.woken(id)
		}
		least := 1.0
		if id == r.plan.labourers[0].ID && r.faults[Hundreds] > 0 {
			least = 60 // few would be at hundreds of tasks for days
		}
		if l.MaxSimultaneousInvocations < least {
			r.apply(setCap(l, int(max(2, least))))
			r.drover.Put("TasksDue", fmt.Sprintf(`{"id":"apply","version":1,"labourers":[%q]}`, id))
		}
		r.check.measured(id, 0)
		if r.check.labourers[id].pin != nil {
			r.pin(id, nil)
		}
		if r.check.labourers[id].paused { // only if paused: resuming wakes the orchestrator, which would hide a missing wake
			_ = r.drover.Resume(l.ID)
		}
	}
	r.calmFlows()
	r.redrive()
}

// redrive returns dead letters without a reason to their source, as an operator does. Such letters failed only by bad luck.
func (r *run) redrive() {
	r.redriveAll(func(l fakeaws.Letter) bool { return l.Reason == "" })
	for _, letter := range r.stack.SQS.Take(fakeaws.StreamFailures, func(l fakeaws.Letter) bool { return strings.HasPrefix(l.Body, `{"records"`) }) {
		r.faults[Redriven]++
		_ = letter
		r.stack.Stream.Replay(r.stack.Stream.Log())
		r.stack.Archiving.Replay(r.stack.Archiving.Log())
	}
}

// redriveAll returns the dead letters that match to their source queues.
func (r *run) redriveAll(such func(fakeaws.Letter) bool) {
	for _, queues := range [][2]string{{fakeaws.JobsDeadLetters, fakeaws.JobsQueue}, {fakeaws.CompletionsDead, fakeaws.CompletionsQueue},
		{fakeaws.RunsDead, fakeaws.RunsQueue}} {
		for _, letter := range r.stack.SQS.Take(queues[0], such) {
			r.faults[Redriven]++
			r.stack.Deliver(queues[1], letter.Body)
		}
	}
}

// atRest reports whether nothing but ticks is scheduled. It first redrives failed deliveries and injects the late faults.
func (r *run) atRest() bool {
	if len(r.active) > 0 || !r.check.empty() {
		return false
	}
	for _, c := range r.world.Coming() {
		if c.Label != "tick" {
			return false
		}
	}
	if r.lettersOfBadLuck() {
		r.redrive()
		return false
	}
	if r.check.late(r) {
		return false
	}
	return true
}

func (r *run) lettersOfBadLuck() bool {
	for _, dead := range []string{fakeaws.JobsDeadLetters, fakeaws.CompletionsDead, fakeaws.StreamFailures, fakeaws.RunsDead} {
		for _, l := range r.stack.SQS.Letters(dead) {
			if l.Reason == "" {
				return true
			}
		}
	}
	return false
}

// measure publishes the labourers' metrics to CloudWatch as of now.
func (r *run) measure(now time.Time) {
	for id, value := range r.check.loads {
		r.stack.CloudWatch.Put("sim", "load", map[string]string{"labourer": id}, now, float64(value))
	}
	r.measureAims(now)
}

func object(text []byte) map[string]any {
	var out map[string]any
	_ = json.Unmarshal(text, &out)
	return out
}

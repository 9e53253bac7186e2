package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/event"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// flows begins the seeds whose worlds have runs of workflows, beside a job or so.
const flows = 1 << 41

// startPlan is a start of a run.
type startPlan struct {
	workflow, uid, startID string
	metadata               string // JSON; "": none
	from                   string
	override               bool
	byExecution            bool
	field                  string // that a refusal has to name; "": the start may be accepted
}

func (s startPlan) text() string {
	out := map[string]any{"workflow": s.workflow}
	for name, text := range map[string]string{"uid": s.uid, "start_id": s.startID, "from": s.from} {
		if text != "" {
			out[name] = text
		}
	}
	if s.metadata != "" {
		out["metadata"] = json.RawMessage(s.metadata)
	}
	if s.override {
		out["metadata_override"] = true
	}
	return string(encode(out))
}

// filters are those that plugins have, with what they mean. The metadata has country and total, and may have vip.
var filters = []struct {
	text  string
	holds func(metadata map[string]any, stage flow.Stage, run int) bool
}{
	{`{"country":["AT","DE"]}`, func(m map[string]any, _ flow.Stage, _ int) bool { return m["country"] == "AT" || m["country"] == "DE" }},
	{`{"country":["AT"]}`, func(m map[string]any, _ flow.Stage, _ int) bool { return m["country"] == "AT" }},
	{`{"total":[{"numeric":[">",100]}]}`, func(m map[string]any, _ flow.Stage, _ int) bool {
		n, is := m["total"].(float64)
		return is && n > 100
	}},
	{`{"vip":[{"exists":false}]}`, func(m map[string]any, _ flow.Stage, _ int) bool { return m["vip"] == nil }},
	{`{"drover":{"run":[1]}}`, func(_ map[string]any, _ flow.Stage, run int) bool { return run == 1 }},
	{`{"drover":{"run":[{"numeric":[">",1]}]}}`, func(_ map[string]any, _ flow.Stage, run int) bool { return run > 1 }},
	{`{"drover":{"stage":["pre","post"]}}`, func(_ map[string]any, stage flow.Stage, _ int) bool { return stage != flow.Parallel }},
	{`{"country":["nowhere"]}`, func(map[string]any, flow.Stage, int) bool { return false }},
}

func matches(filter json.RawMessage, metadata map[string]any, stage flow.Stage, run int) bool {
	for _, f := range filters {
		if f.text == string(filter) {
			return f.holds(metadata, stage, run)
		}
	}
	return filter == nil
}

var flowActivities = []string{"a0", "a1", "a2"}

// planFlows plans workflows, starts of their runs, and what happens to these.
func (p *plan) planFlows() {
	r := random(p.seed, "flows")
	if p.wakesOnly {
		// Only the tick keeps the knowledge of a metric fresh, and frees the slot of a cancelled turn whose worker names no attempt.
		for i := range p.labourers {
			p.labourers[i].HealthMetrics = nil
		}
		delete(p.behaviours, WorkerVague)
		delete(p.behaviours, WorkerCalls)
	}
	p.moe = !p.wakesOnly && chance(random(p.seed, "moe"), 0.12) // only the tick frees a slot whose plugin wrote into the row of a later run
	p.definitions = flow.NewDefinitions()
	for i := range 1 + r.IntN(2) {
		w := flow.NewWorkflow(fmt.Sprintf("flow %d", i))
		for _, a := range flowActivities {
			if chance(r, 0.6) {
				w.Activities = append(w.Activities, a)
			}
		}
		if len(w.Activities) == 0 {
			w.Activities = flowActivities[:1]
		}
		w.SLA = pick(r, 20*time.Second, 3*time.Minute, 15*time.Minute)
		w.Concurrency = pick(r, flow.Reject, flow.Queue, flow.Queue, flow.Replace)
		if chance(r, 0.15) && !p.wakesOnly {
			w.Timeout = pick(r, 40*time.Second, 10*time.Minute)
		}
		p.definitions.Workflows[w.Name] = w
	}
	for _, name := range flowActivities {
		if !chance(r, 0.6) {
			continue
		}
		a := flow.NewActivity(name)
		a.OnError, a.Post = pick(r, flow.FailFast, flow.WaitAll), pick(r, flow.OnSuccess, flow.Always)
		if chance(r, 0.2) && !p.wakesOnly {
			a.Timeout = pick(r, 30*time.Second, 3*time.Minute)
		}
		p.definitions.Activities[name] = a
	}
	for i := range 2 + r.IntN(7) {
		one := p.planPlugin(r, fmt.Sprintf("p%d", i))
		p.definitions.Plugins[one.Name] = one
	}
	if chance(r, 0.03) { // a stage with many plugins
		for i := range 10 + r.IntN(40) {
			one := flow.NewPlugin(fmt.Sprintf("many%02d", i))
			one.Activities, one.Stage, one.Labourer, one.Mandatory = flowActivities[:1], flow.Parallel, p.labourers[0].ID, chance(r, 0.7)
			p.definitions.Plugins[one.Name] = one
		}
	}
	p.planLarge(random(p.seed, "large results"))
	p.planStarts(r)
	if len(p.rates) > 0 {
		p.planSteering(random(p.seed, "steering"))
		p.planFlowFaults(random(p.seed, "flow faults"))
	}
}

func (p *plan) planPlugin(r *rand.Rand, name string) flow.Plugin {
	one := flow.NewPlugin(name)
	one.Activities = []string{pick(r, flowActivities...)}
	if other := pick(r, flowActivities...); chance(r, 0.4) && other != one.Activities[0] {
		one.Activities = append(one.Activities, other)
	}
	one.Stage = pick(r, flow.Pre, flow.Parallel, flow.Parallel, flow.Post)
	one.Labourer = p.labourers[r.IntN(len(p.labourers))].ID
	one.Mandatory, one.Order, one.AlwaysRun = chance(r, 0.7), pick(r, 90, 90, 10, 20), chance(r, 0.2)
	if chance(r, 0.4) {
		one.Filter = json.RawMessage(filters[r.IntN(len(filters))].text)
	}
	if chance(r, 0.2) && !p.wakesOnly {
		one.Timeout = pick(r, 10*time.Second, time.Minute, 5*time.Minute)
	}
	if states := p.labourers[p.labourer(one.Labourer)].Target.States != ""; p.moe && !states && chance(random(p.seed, "moe "+name), 0.7) {
		one.Envelope = flow.Moe
	}
	if chance(r, 0.25) {
		var o flow.Override
		mandatory, always := !one.Mandatory, !one.AlwaysRun
		switch r.IntN(3) {
		case 0:
			o.Mandatory = &mandatory
		case 1:
			o.AlwaysRun = &always
		case 2:
			o.Filter = json.RawMessage(filters[r.IntN(len(filters))].text)
		}
		one.Overrides = map[string]flow.Override{one.Activities[0]: o}
	}
	return one
}

func planMetadata(r *rand.Rand) string {
	text := fmt.Sprintf(`{"country":%q,"total":%d`, pick(r, "AT", "DE", "FR"), pick(r, 50, 150))
	if chance(r, 0.5) {
		text += `,"vip":true`
	}
	return text + "}"
}

func (p *plan) workflows() []string { return slices.Sorted(maps.Keys(p.definitions.Workflows)) }

func (p *plan) planStart(r *rand.Rand) startPlan {
	s := startPlan{workflow: pick(r, p.workflows()...), uid: pick(r, "u0", "u0", "u1", "u2"), byExecution: chance(r, 0.25)}
	if chance(r, 0.6) {
		s.metadata = planMetadata(r)
		s.override = chance(r, 0.6)
	}
	if chance(r, 0.2) {
		s.from = pick(r, flowActivities...)
	}
	if chance(r, 0.2) && !s.byExecution {
		s.startID = fmt.Sprintf("start-%d", len(p.starts))
	}
	return s
}

func (p *plan) planStarts(r *rand.Rand) {
	for i := range 2 + r.IntN(5) {
		at := between(r, 0, p.faulty*3/4)
		if chance(r, 0.3) {
			at = between(r, 0, 2*time.Second)
		}
		p.starts = append(p.starts, p.planStart(r))
		p.operations = append(p.operations, operation{at: at, kind: "start", value: i})
	}
}

// planSteering plans what people do to runs.
func (p *plan) planSteering(r *rand.Rand) {
	add := func(at time.Duration, kind string, fault Fault) {
		p.operations = append(p.operations, operation{at: at, kind: kind, value: r.IntN(1000), fault: fault})
	}
	some := func(share float64, most int, put func(at time.Duration)) {
		if !chance(r, share) {
			return
		}
		for range 1 + r.IntN(most) {
			put(min(p.startedAt(r)+between(r, 0, pick(r, time.Second, 20*time.Second, 2*time.Minute)), p.faulty-time.Second)) // a later pause would not end
		}
	}
	some(0.3, 2, func(at time.Duration) { add(at, "cancel run", CancelledRun) })
	some(0.3, 2, func(at time.Duration) {
		add(at, "pause run", PausedRun)
		p.operations = append(p.operations, operation{at: at + between(r, 0, 2*time.Minute), kind: "resume run", value: p.operations[len(p.operations)-1].value})
	})
	some(0.25, 2, func(at time.Duration) { add(at, "stop execution", StoppedExecution) })
	some(0.1, 1, func(at time.Duration) { add(at, "answer", AnsweredOutside) })
	some(0.4, 3, func(at time.Duration) {
		p.changes = append(p.changes, p.planChange(r))
		p.operations = append(p.operations, operation{at: at, kind: "redefine", value: len(p.changes) - 1, fault: Redefined})
	})
	some(0.25, 2, func(at time.Duration) { add(at, "remove plugin", RemovedPlugin) })
	some(0.3, 2, func(at time.Duration) { add(at, "start again", StartedAgain) })
	some(0.2, 2, func(at time.Duration) {
		p.starts = append(p.starts, pick(r, startPlan{workflow: "nothing", field: "workflow"}, startPlan{workflow: p.workflows()[0], from: "elsewhere", field: "from"},
			startPlan{workflow: p.workflows()[0], metadata: `{"drover":1}`, field: "metadata.drover"}, startPlan{workflow: "nothing", field: "workflow", byExecution: true}))
		p.operations = append(p.operations, operation{at: at, kind: "start", value: len(p.starts) - 1, fault: BadStart})
	})
	if !p.wakesOnly {
		some(0.15, 2, func(at time.Duration) { add(at, "poison runs", PoisonRun) })
	}
}

func (p *plan) startedAt(r *rand.Rand) time.Duration {
	i := r.IntN(len(p.starts))
	for _, o := range p.operations {
		if o.kind == "start" && o.value == i {
			return o.at
		}
	}
	return 0
}

// planChange returns a plugin or a workflow with other values.
func (p *plan) planChange(r *rand.Rand) flow.Definitions {
	d := flow.NewDefinitions()
	if chance(r, 0.25) {
		w := p.definitions.Workflows[pick(r, p.workflows()...)]
		if w.Activities = slices.Clone(w.Activities); chance(r, 0.5) {
			w.Concurrency = pick(r, flow.Reject, flow.Queue, flow.Replace)
		} else {
			slices.Reverse(w.Activities)
		}
		d.Workflows[w.Name] = w
		return d
	}
	one := p.planPlugin(r, fmt.Sprintf("p%d", r.IntN(9)))
	d.Plugins[one.Name] = one
	return d
}

// planFlowFaults chooses the faults that only worlds with runs have.
func (p *plan) planFlowFaults(r *rand.Rand) {
	rate := func(f Fault, share, low, high float64) {
		if chance(r, share) {
			p.rates[f] = low + (high-low)*r.Float64()
		}
	}
	rate(CancelledAtStage, 0.15, 0.05, 0.4)
	rate(RunAgain, 0.6, 0.3, 0.9)
	if p.wakesOnly {
		return
	}
	rate(LostToken, 0.15, 0.05, 0.4)
	rate(UntoldEnd, 0.3, 0.2, 0.9)
	rate(FailedState, 0.2, 0.05, 0.4)
}

// unsent names the error of a state whose message Step Functions could not send.
const unsent = "SQS.AmazonSQSException"

// define applies the definitions of workflows before the world begins.
func (r *run) define() {
	if r.plan.seed < flows {
		return
	}
	r.redefine(r.plan.definitions, nil)
	inner := r.stack.StepFunctions.Call
	r.stack.StepFunctions.Call = func(resource string, input any, done func(any, *fakeaws.Failure)) {
		if strings.Contains(resource, "sqs:sendMessage") && !r.calm && chance(r.random("states"), r.plan.rates[FailedState]) && r.may() {
			r.count(FailedState)
			done(nil, &fakeaws.Failure{Type: unsent, Message: "We encountered an internal error."})
			return
		}
		inner(resource, input, done)
	}
	r.stack.StepFunctions.Record = r.check.executed
	if r.plan.rates[RunAgain] > 0 {
		ends := []string{"WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled"}
		r.stack.EventBridge.AddRule(fakeaws.Rule{Name: "again", Bus: fakeaws.BusName, Target: r.runAgain,
			Takes: func(e event.Envelope) bool { return slices.Contains(ends, e.DetailType) }})
	}
}

// redefine applies definitions and removes a plugin, as `drover apply` does, and makes the versions of the workflows that they touch.
func (r *run) redefine(d flow.Definitions, removed []string) {
	ctx := context.Background()
	registry := dynamo.Registry{API: r.stack.DynamoDB, Table: fakeaws.ControlTable}
	before, err := registry.All(ctx, true)
	must(err)
	r.check.defined = d.Over(r.check.defined)
	touched := d
	for _, name := range removed {
		touched.Plugins[name] = r.check.defined.Plugins[name]
		delete(r.check.defined.Plugins, name)
		must(registry.RemoveDefinition(ctx, "plugins", name, before.Plugins[name].Revision))
	}
	for name, w := range d.Workflows {
		must(registry.ApplyDefinition(ctx, "workflows", name, string(w.Stored()), before.Workflows[name].Revision))
	}
	for name, a := range d.Activities {
		must(registry.ApplyDefinition(ctx, "activities", name, string(a.Stored()), before.Activities[name].Revision))
	}
	for name, one := range d.Plugins {
		if !slices.Contains(removed, name) {
			must(registry.ApplyDefinition(ctx, "plugins", name, string(one.Stored()), before.Plugins[name].Revision))
		}
	}
	registrar := workflow.Registrar{Parts: registry, Versions: dynamo.NewCompositions(r.stack.DynamoDB, fakeaws.RunsTable)}
	must(registrar.Compile(ctx, flow.Touched(r.check.defined, touched)))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// begin starts a run by an event or by an execution.
func (r *run) begin(s startPlan) {
	if !s.byExecution {
		id := r.drover.Put(event.StartWorkflow, s.text())
		r.check.asked(s, id, id)
		return
	}
	r.executions++
	machine, input, name := fakeaws.WorkflowMachine, s.text(), fmt.Sprintf("by-hand-%d", r.executions)
	out, err := r.stack.StepFunctions.StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: &machine, Input: &input, Name: &name})
	must(err)
	r.check.asked(s, *out.ExecutionArn, name)
}

// runAgain starts the uid of a run that has ended again, as people do once they have mended what made it fail.
func (r *run) runAgain(e event.Envelope) {
	var detail struct {
		RunID         string `json:"run_id"`
		Workflow, UID string
		Run           int
	}
	must(json.Unmarshal(e.Detail, &detail))
	dice := random(r.plan.seed, "again "+detail.RunID)
	if r.check.againOf[detail.RunID] || detail.Run >= mostRuns || !chance(dice, r.plan.rates[RunAgain]) || !r.may() {
		return
	}
	r.check.againOf[detail.RunID] = true
	r.count(RunAgain)
	s := startPlan{workflow: detail.Workflow, uid: detail.UID, byExecution: chance(dice, 0.2)}
	if chance(dice, 0.25) {
		s.from = pick(dice, flowActivities...)
	}
	if chance(dice, 0.3) {
		s.metadata, s.override = planMetadata(dice), true
	}
	r.begin(s)
}

// mostRuns bounds the runs of a uid that people start because one ended.
const mostRuns = 4

// steer carries out an operation on runs.
func (r *run) steer(o operation) {
	switch o.kind {
	case "start":
		r.begin(r.plan.starts[o.value])
	case "start again":
		s := r.plan.starts[o.value%len(r.plan.starts)]
		if s.byExecution || s.field != "" {
			r.faults[StartedAgain]--
			return
		}
		r.begin(s)
	case "redefine":
		r.redefine(r.plan.changes[o.value], nil)
	case "remove plugin":
		if names := slices.Sorted(maps.Keys(r.check.defined.Plugins)); len(names) > 1 {
			r.redefine(flow.NewDefinitions(), []string{names[o.value%len(names)]})
		}
	case "poison runs":
		text := []string{"not json", `{"step":"dance"}`, `{"id":"x","source":"sim","detail-type":"CancelWorkflow","detail":{"run_id":"run-none"}}`}[o.value%3]
		r.check.poison[fakeaws.RunsDead]++
		r.stack.Deliver(fakeaws.RunsQueue, text)
	default:
		r.steerOne(o)
	}
}

// steerOne carries out an operation on a run that has not ended. Without one it does nothing.
func (r *run) steerOne(o operation) {
	seen := r.check.openRun(o.value)
	if seen == nil {
		if o.fault != "" {
			r.faults[o.fault]--
		}
		return
	}
	switch o.kind {
	case "cancel run":
		seen.cancellable = true
		if detail := map[string]any{"run_id": seen.id}; o.value%3 > 0 {
			r.drover.Put(event.CancelWorkflow, detail)
		} else {
			r.check.mayCancel(seen.workflow, seen.uid)
			r.drover.Put(event.CancelWorkflow, map[string]any{"workflow": seen.workflow, "uid": seen.uid})
		}
	case "pause run", "resume run":
		r.setPaused(seen.id, o.kind == "pause run")
	case "stop execution":
		as := []types.ExecutionStatus{types.ExecutionStatusAborted, types.ExecutionStatusAborted, types.ExecutionStatusTimedOut}[o.value%3]
		if !r.stack.StepFunctions.Stop(seen.execution, as) {
			r.faults[StoppedExecution]--
			return
		}
		seen.meddled = true
	case "answer":
		for _, token := range slices.Sorted(maps.Keys(r.check.awaited)) {
			if shows := r.check.awaited[token]; shows.execution == seen.execution && !shows.answered {
				seen.meddled = true
				output := `{"next": "elsewhere"}`
				_, _ = r.stack.StepFunctions.SendTaskSuccess(context.Background(), &sfn.SendTaskSuccessInput{TaskToken: &token, Output: &output})
			}
		}
		if !seen.meddled {
			r.faults[AnsweredOutside]--
		}
	}
}

// setPaused pauses or resumes a run as the command line does.
func (r *run) setPaused(id string, paused bool) {
	ctx, runs := context.Background(), dynamo.Runs{API: r.stack.DynamoDB, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable, Retention: fakeaws.Retention}
	before, found, err := runs.Get(ctx, id)
	must(err)
	if !found || before.Head.Ended() || before.Head.Paused == paused {
		return
	}
	after := before
	after.Head.Paused = paused
	_, err = runs.Save(ctx, before, after)
	must(err)
	if !paused {
		r.stack.Deliver(fakeaws.RunsQueue, string(workflow.LookMessage(id)))
	}
}

// calmFlows ends what keeps runs from their end.
func (r *run) calmFlows() {
	for _, id := range slices.Sorted(maps.Keys(r.check.runs)) {
		if seen := r.check.runs[id]; seen.paused && !seen.ended() {
			r.setPaused(id, false)
		}
	}
	for _, body := range r.lostTokens {
		r.faults[Redriven]++
		r.stack.Deliver(fakeaws.RunsQueue, body)
	}
	r.lostTokens = nil
}

// loses reports whether a message with a token goes to the dead letters, or an execution's end is not told.
func (r *run) loses(kind fakeaws.Kind, label string, u float64) bool {
	if body, runs := strings.CutPrefix(label, "runs {"); kind == fakeaws.Message && runs && strings.Contains(body, `"token"`) && u < r.plan.rates[LostToken] && r.may() {
		r.lostTokens = append(r.lostTokens, "{"+body)
		r.count(LostToken)
		return true
	}
	if kind == fakeaws.Delivery && strings.HasPrefix(label, "workflow executions ") && u < r.plan.rates[UntoldEnd] && r.may() {
		r.count(UntoldEnd)
		return true
	}
	return false
}

package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// flowChecker holds what the checker knows of runs. It makes the plan of each run itself, from the definitions that were applied.
type flowChecker struct {
	defined  flow.Definitions
	versions map[string]flow.Definitions // by workflow and version
	asks     map[string][]startPlan      // by run
	askedBy  map[string]string           // the run of each event or execution that asked for one
	runs     map[string]*runSeen
	awaited  map[string]*tokenSeen // of the states of executions
	againOf  map[string]bool       // runs whose end made people start another one
}

func newFlowChecker() flowChecker {
	return flowChecker{versions: map[string]flow.Definitions{}, asks: map[string][]startPlan{}, askedBy: map[string]string{}, runs: map[string]*runSeen{},
		awaited: map[string]*tokenSeen{}, againOf: map[string]bool{}}
}

// runSeen is a run as it is stored.
type runSeen struct {
	id, workflow, uid          string
	number, version            int
	state, verdict, execution  string
	at                         spot
	activities                 []string // the states of those that have ended
	lapsed, paused, active     bool
	startedAt, finishedAt      time.Time
	changed                    time.Time // when an item of it was last written
	told                       int
	condemned, halted          int // the steps in which it got its verdict, and was paused
	start                      startPlan
	metadata                   map[string]any
	visited                    []spot
	stages                     map[spot]*stageSeen
	turns                      map[spot][]turnSeen
	kept                       map[turnName]string // what an earlier run completed, with the result
	results                    map[turnName]string
	gone, cancellable, meddled bool
}

func (s *runSeen) begun() bool { return s.version > 0 }

func (s *runSeen) ended() bool { return s.state != "Not Started" && s.state != "In Progress" }

// spot is a stage of an activity, by its position in the workflow.
type spot struct {
	activity int
	stage    flow.Stage
}

func (s spot) String() string { return fmt.Sprintf("%03d#%d", s.activity, s.stage) }

func readSpot(text string) (spot, bool) {
	var s spot
	n, err := fmt.Sscanf(text, "%03d#%d", &s.activity, &s.stage)
	return s, n == 2 && err == nil
}

type turnName struct {
	activity, plugin string
	stage            flow.Stage
}

type turnSeen struct {
	name                     turnName
	labourer                 string
	order                    int
	mandatory, matches, kept bool
	moe                      bool
	timeout                  time.Duration
}

func (t turnSeen) runs() bool { return t.matches && !t.kept }

type stageSeen struct {
	published, completed, dead, cancelled, timedOut segment.Numbers
	publishedAt                                     time.Time
}

func (s *stageSeen) ended() segment.Numbers {
	return s.completed.Union(s.dead).Union(s.cancelled).Union(s.timedOut)
}

// stateOf returns the state of a turn that has a task.
func (s *stageSeen) stateOf(n int) flow.State {
	switch {
	case s.cancelled.Contains(n):
		return flow.Cancelled
	case s.timedOut.Contains(n):
		return flow.TimedOut
	case s.completed.Contains(n):
		return flow.Complete
	case s.dead.Contains(n):
		return flow.Error
	}
	return flow.InProgress
}

type tokenSeen struct {
	execution, step, run, activity, stage string
	answered                              bool
}

// asked records that a run was asked for. id names the event or the execution; a start without a uid takes uid.
func (k *checker) asked(s startPlan, id, uid string) {
	if s.uid == "" {
		s.uid = uid
	}
	by := s.startID
	if by == "" {
		by = id
	}
	run := flow.RunID(by)
	k.asks[run], k.askedBy[id] = append(k.asks[run], s), run
}

func (k *checker) openRun(n int) *runSeen {
	var open []*runSeen
	for _, id := range slices.Sorted(maps.Keys(k.runs)) {
		if s := k.runs[id]; !s.ended() && !s.gone {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return open[n%len(open)]
}

// mayCancel records that all runs of a uid may be cancelled from now on.
func (k *checker) mayCancel(workflow, uid string) {
	for _, s := range k.runs {
		if s.workflow == workflow && s.uid == uid {
			s.cancellable = true
		}
	}
}

// parts returns what a version of a workflow consisted of.
func (k *checker) parts(s *runSeen) flow.Definitions {
	return k.versions[fmt.Sprintf("%s %d", s.workflow, s.version)]
}

func (k *checker) activitiesOf(s *runSeen) []string {
	return k.parts(s).Workflows[s.workflow].Activities
}

// plan returns the turns of a stage, in their order.
func (k *checker) planOf(s *runSeen, at spot) []turnSeen {
	if turns, known := s.turns[at]; known {
		return turns
	}
	parts := k.parts(s)
	activity := k.activitiesOf(s)[at.activity]
	var turns []turnSeen
	for name, p := range parts.Plugins {
		if p.Stage != at.stage || !slices.Contains(p.Activities, activity) {
			continue
		}
		t := turnSeen{name: turnName{activity, name, at.stage}, labourer: p.Labourer, order: p.Order, mandatory: p.Mandatory, timeout: p.Timeout, moe: p.Envelope == flow.Moe}
		filter, o := p.Filter, p.Overrides[activity]
		if o.Mandatory != nil {
			t.mandatory = *o.Mandatory
		}
		if o.Filter != nil {
			filter = o.Filter
		}
		t.matches = matches(filter, s.metadata, at.stage, s.number)
		_, t.kept = s.kept[t.name]
		turns = append(turns, t)
	}
	slices.SortFunc(turns, func(a, b turnSeen) int {
		return cmp.Or(cmp.Compare(a.order, b.order), strings.Compare(a.name.plugin, b.name.plugin))
	})
	s.turns[at] = turns
	return turns
}

func running(turns []turnSeen) segment.Numbers {
	var out segment.Numbers
	for n, t := range turns {
		if t.runs() {
			out = out.Union(segment.Of(n))
		}
	}
	return out
}

func (s *runSeen) stage(at spot) *stageSeen {
	if s.stages[at] == nil {
		s.stages[at] = &stageSeen{}
	}
	return s.stages[at]
}

// watchRuns records a change of the runs table.
func (k *checker) watchRuns(before, after fakeaws.Item) {
	it := after
	if it == nil {
		it = before
	}
	id, name := str(it, "run"), str(it, "item")
	if workflow, is := strings.CutPrefix(id, "definition#"); is && before == nil && strings.HasPrefix(name, "v#") {
		version, _ := strconv.Atoi(name[2:])
		k.versions[fmt.Sprintf("%s %d", workflow, version)] = flow.NewDefinitions().Over(k.defined)
	}
	if !strings.HasPrefix(id, "run-") || name == "run" && it["refused_by"] != nil {
		return
	}
	seen := k.runs[id]
	if seen == nil && name != "run" {
		return // what a run would keep is stored before it is
	}
	if seen == nil {
		seen = &runSeen{id: id, state: "Not Started", stages: map[spot]*stageSeen{}, turns: map[spot][]turnSeen{}, kept: map[turnName]string{}, results: map[turnName]string{}}
		k.runs[id] = seen
	}
	if after == nil {
		seen.gone = seen.gone || name == "run"
		return
	}
	seen.changed = k.world.Now()
	if name == "run" {
		k.watchHead(seen, after)
	} else if text, is := strings.CutPrefix(name, "stage#"); is {
		if at, is := readSpot(text); is {
			k.watchStage(seen, at, before, after)
		}
	}
}

func truth(it fakeaws.Item, name string) bool {
	v, is := it[name].(*types.AttributeValueMemberBOOL)
	return is && v.Value
}

func millis(it fakeaws.Item, name string) time.Time {
	return time.UnixMilli(int64(num(it, name))).UTC()
}

func (k *checker) watchHead(s *runSeen, it fakeaws.Item) {
	was := *s
	s.workflow, s.uid, s.number, s.version = str(it, "workflow"), str(it, "uid"), num(it, "number"), num(it, "version")
	s.state, s.verdict, s.execution = str(it, "state"), str(it, "verdict"), str(it, "execution")
	s.at, _ = readSpot(str(it, "at"))
	s.lapsed, s.paused, s.told = truth(it, "lapsed"), truth(it, "paused"), num(it, "told")
	s.active, s.startedAt, s.finishedAt = it["active"] != nil, millis(it, "started_at"), millis(it, "finished_at")
	s.activities = nil
	if text := str(it, "activities"); text != "" {
		s.activities = strings.Split(text, ";")
	}
	if s.verdict != "" && was.verdict == "" {
		s.condemned = k.step
	}
	if s.paused && !was.paused {
		s.halted = k.step
	}
	if was.ended() && (s.state != was.state || !slices.Equal(s.activities, was.activities)) {
		k.violate("R1", "run %s ended as %s and became %s with %v", s.id, was.state, s.state, s.activities)
		return
	}
	switch {
	case !s.begun():
	case !was.begun():
		k.begins(s)
	case s.version != was.version || s.number != was.number:
		k.violate("R5", "run %s is run %d by version %d, and was run %d by version %d", s.id, s.number, s.version, was.number, was.version)
	case s.at != was.at || s.ended() && !was.ended():
		k.moved(&was, s)
	}
}

// begins checks a run that begins: it is the only one of its uid, and has the next number (R5). What it keeps is what the run before it completed.
func (k *checker) begins(s *runSeen) {
	k.reach("run begun")
	k.judge("R5")
	var last *runSeen
	for _, id := range slices.Sorted(maps.Keys(k.runs)) {
		other := k.runs[id]
		if other == s || other.workflow != s.workflow || other.uid != s.uid || !other.begun() {
			continue
		}
		if !other.ended() {
			k.violate("R5", "run %s of %s begins beside run %s of the same uid, which has not ended", s.id, s.uid, other.id)
		}
		if last == nil || other.number > last.number {
			last = other
		}
	}
	if want := 1; last != nil && s.number != last.number+1 || last == nil && s.number != want {
		k.violate("R5", "run %s of %s has the number %d", s.id, s.uid, s.number)
		return
	}
	i := slices.IndexFunc(k.asks[s.id], func(a startPlan) bool { return a.workflow == s.workflow && a.uid == s.uid })
	if i < 0 {
		k.violate("R5", "run %s of %s %s was not asked for", s.id, s.workflow, s.uid)
		return
	}
	s.start, s.visited = k.asks[s.id][i], []spot{s.at}
	text := s.start.metadata
	switch {
	case text == "" && last != nil:
		s.metadata = last.metadata
	case text != "":
		s.metadata = object([]byte(text))
	}
	if s.metadata == nil {
		s.metadata = map[string]any{}
	}
	first := 0
	if s.start.from != "" {
		first = slices.Index(k.activitiesOf(s), s.start.from)
	}
	if (s.at != spot{first, flow.Pre}) {
		k.violate("R2", "run %s begins at %s", s.id, s.at)
		return
	}
	if last != nil {
		k.keeps(s, last, first)
	}
}

// keeps finds what a run keeps of the one before it.
func (k *checker) keeps(s, last *runSeen, first int) {
	k.reach("run again")
	complete := map[turnName]string{}
	for i := range k.activitiesOf(last) {
		for _, stage := range flow.Stages {
			at := spot{i, stage}
			for n, t := range k.planOf(last, at) {
				if result, kept := last.kept[t.name]; kept {
					complete[t.name] = result
				} else if last.stage(at).stateOf(n) == flow.Complete {
					complete[t.name] = last.results[t.name]
				}
			}
		}
	}
	parts := k.parts(s)
	for i, activity := range k.activitiesOf(s) {
		for name, p := range parts.Plugins {
			always := p.AlwaysRun
			if o := p.Overrides[activity].AlwaysRun; o != nil {
				always = *o
			}
			is := turnName{activity, name, p.Stage}
			result, was := complete[is]
			if !was || !slices.Contains(p.Activities, activity) || i >= first && (s.start.from != "" || always) {
				continue
			}
			s.kept[is] = result
			k.reach("turn kept")
		}
	}
}

// watchStage checks what is published and counted of a stage (R2).
func (k *checker) watchStage(s *runSeen, at spot, before, after fakeaws.Item) {
	was := *s.stage(at)
	is := s.stage(at)
	is.published, _ = segment.ParseNumbers(str(after, "published"))
	is.publishedAt = millis(after, "published_at")
	for name, into := range map[string]*segment.Numbers{"completed": &is.completed, "dead": &is.dead, "cancelled": &is.cancelled, "timed_out": &is.timedOut} {
		*into = segment.Numbers{}
		if set, ok := after[name].(*types.AttributeValueMemberNS); ok {
			for _, text := range set.Value {
				n, _ := strconv.Atoi(text)
				*into = into.Union(segment.Of(n))
			}
		}
	}
	if !s.begun() || at.activity >= len(k.activitiesOf(s)) {
		k.violate("R2", "stage %s of run %s is written, which the run does not have", at, s.id)
		return
	}
	turns := k.planOf(s, at)
	k.judge("R2")
	if extra := is.published.Union(is.ended()).Minus(running(turns)); !extra.Empty() {
		k.violate("R2", "stage %s of run %s has turns %s, which do not run: %s run", at, s.id, extra, running(turns))
	}
	if more := is.published.Minus(was.published); !more.Empty() {
		k.published(s, at, &was, more)
		if before == nil {
			k.run.cancelAtStage(s)
		}
	}
	if over := was.ended(); !over.Empty() {
		for n := range over.All() {
			if was.stateOf(n) != is.stateOf(n) && was.stateOf(n) != flow.Error {
				k.violate("R2", "turn %d of stage %s of run %s was %s and became %s", n, at, s.id, was.stateOf(n), is.stateOf(n))
			}
		}
	}
}

// published checks the turns that begin (R2): at the stage that the run is at, in their order, and not after a verdict or during a pause.
func (k *checker) published(s *runSeen, at spot, was *stageSeen, more segment.Numbers) {
	k.reach("turn published")
	if s.at != at || s.ended() {
		k.violate("R2", "turns %s of stage %s of run %s begin, which is at %s as %s", more, at, s.id, s.at, s.state)
	}
	if by := k.run.current; by != nil {
		if s.paused && by.began > s.halted {
			k.violate("R2", "%s begins turns %s of stage %s of run %s, which is paused", by.ID, more, at, s.id)
		}
		if s.verdict != "" && by.began > s.condemned {
			k.violate("R2", "%s begins turns %s of stage %s of run %s, which has the verdict %s", by.ID, more, at, s.id, s.verdict)
		}
	}
	if at.stage == flow.Parallel {
		return
	}
	run := running(k.planOf(s, at))
	if first := run.Minus(was.ended()).First(1); more.Len() != 1 || !more.Minus(first).Empty() {
		k.violate("R2", "turns %s of stage %s of run %s begin, and %s is next", more, at, s.id, first)
	}
}

// moved checks that a run leaves a stage only once all of its turns have ended durably (R2), and goes on as their ends say (R4).
func (k *checker) moved(was, is *runSeen) {
	at, turns := was.at, k.planOf(is, was.at)
	stage := is.stage(at)
	if open := running(turns).Minus(stage.ended()); !open.Empty() {
		k.violate("R2", "run %s leaves stage %s while turns %s have not ended", is.id, at, open)
		return
	}
	k.judge("R4")
	names := k.activitiesOf(is)
	activity := k.parts(is).Activities[names[at.activity]]
	failed, weak := k.outcome(is, func(v spot) bool { return v.activity == at.activity })
	want, end, of := spot{at.activity, at.stage + 1}, "", ""
	switch {
	case was.verdict != "":
		end, of = was.verdict, was.verdict
	case was.lapsed:
		if is.ended() && (is.state != "Error" || len(is.activities) == 0 || is.activities[len(is.activities)-1] != "Timed Out") {
			k.violate("R4", "run %s ended as %s with the activities %v, although %s was out of time", is.id, is.state, is.activities, names[at.activity])
		}
		is.visited = append(is.visited, is.at)
		return
	case failed && at.stage < flow.Post && activity.Post == flow.Always:
		want = spot{at.activity, flow.Post}
	case failed:
		end, of = "Error", "Error"
	case at.stage == flow.Post:
		want, of = spot{at.activity + 1, flow.Pre}, "Complete"
		if weak {
			of = "Optional Task Error"
		}
		if want.activity == len(names) {
			end = "Complete"
			if _, ever := k.outcome(is, func(spot) bool { return true }); ever {
				end = "Optional Task Error"
			}
		}
	}
	if end != "" && (!is.ended() || is.state != end) || end == "" && (is.ended() || is.at != want) {
		k.violate("R4", "run %s is %s at %s after stage %s; want %q or %s: its turns are %s", is.id, is.state, is.at, at, end, want, k.describe(is, at))
	}
	if of != "" && (len(is.activities) != len(was.activities)+1 || is.activities[len(was.activities)] != of) {
		k.violate("R4", "run %s has the activities %v after %v; want another one that is %s", is.id, is.activities, was.activities, of)
	}
	if is.ended() {
		k.reach("run " + is.state)
		k.reasoned(is)
	} else {
		is.visited = append(is.visited, is.at)
	}
}

// outcome reports whether a mandatory turn failed in the stages that a run was at, and whether an optional one did.
func (k *checker) outcome(s *runSeen, of func(spot) bool) (failed, weak bool) {
	for _, at := range s.visited {
		if !of(at) {
			continue
		}
		for n, t := range k.planOf(s, at) {
			if t.runs() && s.stage(at).stateOf(n) != flow.Complete {
				failed, weak = failed || t.mandatory, true
			}
		}
	}
	return failed, weak
}

func (k *checker) describe(s *runSeen, at spot) string {
	var out []string
	for n, t := range k.planOf(s, at) {
		switch {
		case t.kept:
			out = append(out, t.name.plugin+" kept")
		case !t.matches:
			out = append(out, t.name.plugin+" Skipped")
		default:
			out = append(out, fmt.Sprintf("%s %s (mandatory: %t)", t.name.plugin, s.stage(at).stateOf(n), t.mandatory))
		}
	}
	return strings.Join(out, ", ")
}

// reasoned checks that a run is cancelled or out of time only for a reason (R1).
func (k *checker) reasoned(s *runSeen) {
	limit := k.parts(s).Workflows[s.workflow].Timeout
	replaced := false
	for run, asks := range k.asks {
		replaced = replaced || run != s.id && slices.ContainsFunc(asks, func(a startPlan) bool { return a.workflow == s.workflow && a.uid == s.uid })
	}
	switch {
	case s.state == "Cancelled" && !s.cancellable && !s.meddled && !replaced, s.state == "Timed Out" && limit > time.Hour && !s.meddled:
		k.violate("R1", "run %s ended as %s without a reason", s.id, s.state)
	}
}

// turnOf returns the run and the turn of a task; false for a task of a job.
func (k *checker) turnOf(t *taskSeen) (*runSeen, spot, turnSeen, bool) {
	s := k.runs[t.job]
	if s == nil || !s.begun() || t.turn == "" {
		return nil, spot{}, turnSeen{}, false
	}
	at, _ := readSpot(t.turn)
	if turns := k.planOf(s, at); t.id.N < len(turns) {
		return s, at, turns[t.id.N], true
	}
	return nil, spot{}, turnSeen{}, false
}

// turnCreated checks that a turn that is skipped or kept gets no task (R2).
func (k *checker) turnCreated(t *taskSeen) {
	s, at, turn, is := k.turnOf(t)
	switch {
	case !is:
		k.violate("R2", "task %s is turn %d of stage %s of run %s, which the run does not have", t.id, t.id.N, t.turn, t.job)
	case !turn.runs():
		k.violate("R2", "plugin %s of stage %s of run %s gets the task %s (it matches: %t, is kept: %t)", turn.name.plugin, at, s.id, t.id, turn.matches, turn.kept)
	case turn.labourer != t.labourer:
		k.violate("R2", "plugin %s of run %s is of labourer %s; its task %s is of %s", turn.name.plugin, s.id, turn.labourer, t.id, t.labourer)
	}
}

// turnEnded records the result of a turn, and that its run may go on.
func (k *checker) turnEnded(t *taskSeen, after fakeaws.Item) {
	s, _, turn, is := k.turnOf(t)
	if is {
		s.changed = k.world.Now()
	}
	if !is || str(after, "status") != "completed" {
		return
	}
	s.results[turn.name] = "null"
	if result, has := after["result"].(*types.AttributeValueMemberB); has {
		s.results[turn.name] = unpacked(result.Value)
	}
}

// turnHanded checks the event of a turn's worker (R2).
func (k *checker) turnHanded(start start, event map[string]json.RawMessage) {
	id, err := task.ParseID(start.TaskID)
	if err != nil || k.tasks[id] == nil {
		return
	}
	s, at, turn, is := k.turnOf(k.tasks[id])
	if !is {
		k.violate("R2", "a worker was started for task %s of run %s, which is no turn of it", start.TaskID, start.JobID)
		return
	}
	results := map[string]map[string]json.RawMessage{}
	add := func(name turnName, result string) {
		if results[name.activity] == nil {
			results[name.activity] = map[string]json.RawMessage{}
		}
		results[name.activity][name.plugin] = json.RawMessage(cmp.Or(result, "null"))
	}
	for i := range at.activity + 1 {
		for _, stage := range flow.Stages {
			if i == at.activity && stage > at.stage {
				break
			}
			here := spot{i, stage}
			for n, t := range k.planOf(s, here) {
				before := here != at || at.stage != flow.Parallel && n < id.N
				if result, kept := s.kept[t.name]; kept {
					add(t.name, result)
				} else if before && s.stage(here).stateOf(n) == flow.Complete {
					add(t.name, s.results[t.name])
				}
			}
		}
	}
	if start.moe {
		k.moeHanded(s, turn, event)
		return
	}
	if turn.moe {
		k.violate("R2", "plugin %s of run %s, which is one of moe's orchestrator, was started with an event of Drover's form", turn.name.plugin, s.id)
		return
	}
	if event["results_url"] != nil {
		event = k.fetched(s, turn, event, results)
	}
	want := map[string]any{"uid": s.uid, "workflow": s.workflow, "run": s.number, "run_id": s.id, "activity": turn.name.activity, "stage": turn.name.stage.String(),
		"plugin": turn.name.plugin, "metadata": s.metadata, "results": results}
	for name, value := range want {
		if got := event[name]; string(encode(plain(got))) != string(encode(plain(encode(value)))) {
			k.violate("R2", "plugin %s of run %s was started with the %s %s; want %s", turn.name.plugin, s.id, name, clip(string(got)), clip(string(encode(value))))
		}
	}
}

func plain(text []byte) any {
	var out any
	_ = json.Unmarshal(text, &out)
	return out
}

// cancelAtStage cancels a run as soon as one of its stages begins, in worlds that do so.
func (r *run) cancelAtStage(s *runSeen) {
	if r.calm || !chance(r.random("at stage"), r.plan.rates[CancelledAtStage]) || !r.may() {
		return
	}
	r.count(CancelledAtStage)
	s.cancellable = true
	r.world.At(r.world.Now(), fakeaws.Timer, "cancel "+s.id, func() { r.drover.Put(event.CancelWorkflow, map[string]any{"run_id": s.id}) })
}

// executed records the tokens of executions.
func (k *checker) executed(machine, execution, event string, data any) {
	if machine != fakeaws.WorkflowMachine || event != "TaskScheduled" {
		return
	}
	var sent struct {
		MessageBody struct {
			Step, Token, Execution, Activity, Stage string
			RunID                                   string `json:"run_id"`
		}
	}
	must(json.Unmarshal(encode(data), &sent))
	m := sent.MessageBody
	for _, t := range k.awaited {
		if t.execution == m.Execution {
			t.answered = true // a state that is tried again, or the next one
		}
	}
	k.awaited[m.Token] = &tokenSeen{execution: m.Execution, step: m.Step, run: m.RunID, activity: m.Activity, stage: m.Stage}
}

// answering checks that an execution goes on only after what it shows is stored (R3).
func (k *checker) answering(v *invocation, token, output string) {
	t := k.awaited[token]
	if t == nil || t.answered {
		return
	}
	t.answered = true
	var view struct {
		Next  string
		RunID string `json:"run_id"`
	}
	must(json.Unmarshal([]byte(output), &view))
	k.judge("R3")
	k.reach("token answered: " + view.Next)
	if view.Next == "rejected" {
		return
	}
	s := k.runs[view.RunID]
	if s == nil || s.execution != t.execution || !s.begun() && !s.ended() {
		k.violate("R3", "%s answers execution %s for the run %q, which is not stored as its own", v.ID, t.execution, view.RunID)
		return
	}
	if good := s.state == "Complete" || s.state == "Optional Task Error"; view.Next == "complete" && !good || view.Next == "failed" && (good || !s.ended()) {
		k.violate("R3", "%s lets execution %s end as %s, and run %s is %s", v.ID, t.execution, view.Next, s.id, s.state)
	}
	if t.step != "stage" || s.ended() {
		return
	}
	shown := spot{slices.Index(k.activitiesOf(s), t.activity), flow.Stage(slices.Index([]string{"pre", "parallel", "post"}, t.stage))}
	if open := running(k.planOf(s, shown)).Minus(s.stage(shown).ended()); s.at == shown || !open.Empty() {
		k.violate("R3", "%s answers the token of stage %s of run %s, where turns %s have not ended", v.ID, shown, s.id, open)
	}
}

// telling checks that an event about a run says what is stored (R6).
func (k *checker) telling(v *invocation, kind, detail string) {
	if !strings.HasPrefix(kind, "Workflow") && kind != "ActivityCompleted" || kind == "WorkflowRejected" {
		return
	}
	var said struct {
		RunID           string `json:"run_id"`
		State, Activity string
	}
	must(json.Unmarshal([]byte(detail), &said))
	k.judge("R6")
	s := k.runs[said.RunID]
	if s == nil || !s.begun() {
		k.violate("R6", "%s tells %s of run %q, which has not begun", v.ID, kind, said.RunID)
		return
	}
	switch kind {
	case "ActivityCompleted":
		first := max(0, slices.Index(k.activitiesOf(s), s.start.from))
		if i := slices.Index(k.activitiesOf(s), said.Activity) - first; i < 0 || i >= len(s.activities) || s.activities[i] != said.State {
			k.violate("R6", "%s tells that activity %s of run %s is %s; those that have ended are %v", v.ID, said.Activity, s.id, said.State, s.activities)
		}
	case "WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled":
		if s.state != said.State || kind != endOf(s.state) {
			k.violate("R6", "%s tells %s of run %s as %s, which is %s", v.ID, kind, s.id, said.State, s.state)
		}
	}
}

// endOf returns the event of a run that ended in a state.
func endOf(state string) string {
	switch state {
	case "Complete", "Optional Task Error":
		return "WorkflowCompleted"
	case "Cancelled":
		return "WorkflowCancelled"
	}
	return "WorkflowFailed"
}

// openRuns returns the runs that have not ended with all that follows.
func (k *checker) openRuns() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(k.runs)) {
		if s := k.runs[id]; !s.gone && (!s.ended() || s.active) {
			out = append(out, fmt.Sprintf("run %s is %s at %s", id, s.state, s.at))
		}
	}
	return out
}

// runTerm bounds the time that a run may stand still, without faults. The tick comes each minute.
const runTerm = 5 * time.Minute

// retireTerm bounds the time that a run may take from its end to the end of all that follows. The message with its execution's token may be redelivered
// a few times, after six minutes each.
const retireTerm = 35 * time.Minute

// standing checks that no run stands still: one without an open task goes on, and what is out of time is given up (R1).
func (k *checker) standing(steady time.Time) {
	now := k.world.Now()
	late := func(since time.Time) bool {
		if since.Before(steady) {
			since = steady
		}
		return now.After(since.Add(runTerm))
	}
	for _, id := range slices.Sorted(maps.Keys(k.runs)) {
		s := k.runs[id]
		switch {
		case s.gone || s.paused || !s.active:
		case s.ended():
			if late(s.changed.Add(retireTerm-runTerm)) && now.Sub(steady) > retireTerm {
				k.violate("R1", "run %s ended at %s and is still active", id, s.finishedAt.Sub(k.run.start))
			}
		case !s.begun():
			if !slices.ContainsFunc(slices.Collect(maps.Values(k.runs)), func(o *runSeen) bool {
				return o.begun() && o.active && o.workflow == s.workflow && o.uid == s.uid
			}) && late(s.changed) {
				k.violate("R1", "run %s waits, and no run of its uid is active", id)
			}
		default:
			k.standingStill(s, late)
		}
	}
}

func (k *checker) standingStill(s *runSeen, late func(time.Time) bool) {
	if limit := k.parts(s).Workflows[s.workflow].Timeout; late(s.startedAt.Add(limit)) {
		k.violate("R1", "run %s has not ended, which may take %s", s.id, limit)
	}
	open, turns := false, k.planOf(s, s.at)
	stage := s.stage(s.at)
	for n := range stage.published.Minus(stage.ended()).All() {
		id := task.ID{Segment: segment.IDOf("run\x00"+s.id, 3*s.at.activity+int(s.at.stage)), N: n}
		open = open || k.tasks[id] != nil && !terminal(k.tasks[id].status)
		if limit := turns[n].timeout; limit > 0 && late(stage.publishedAt.Add(limit)) {
			k.violate("R1", "plugin %s of run %s has not ended, which may take %s", turns[n].name.plugin, s.id, limit)
		}
	}
	if !open && late(s.changed) {
		k.violate("R1", "run %s stands still at %s: %s", s.id, s.at, k.describe(s, s.at))
	}
}

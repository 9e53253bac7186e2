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

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// checker observes every change of the tables and checks the guarantees. It keeps its own model of tasks, entries and leases, and uses none of
// Drover's conclusions.
type checker struct {
	*run
	flowChecker

	labourers map[string]*labourerSeen
	tasks     map[task.ID]*taskSeen
	byJob     map[string][]*taskSeen
	jobs      map[string]*jobSeen
	planned   map[string]jobPlan // submitted jobs
	holders   map[string]*holder // by labourer and sort key
	starts    map[string]int     // by task and attempt
	tried     map[string]bool    // the same: its start was asked for
	revisions map[string]int     // of leases, the last of each key
	cancelled map[string]bool
	vague     map[string]bool   // tasks with a report that names no attempt, and so means the current attempt, whichever it is on arrival
	loads     map[string]int    // of the labourers with a health metric
	refused   []int             // submitted bad jobs
	poison    map[string]int    // the number of poisonous messages that belong in a dead letter queue
	bodies    map[string]bool   // of poisonous messages
	things    map[string]string // by task: its part of the job
	tasksOf   map[string]string // by job and part: its task
	noises    map[int]string    // by size
	statics   map[int]string    // by size
	strays    int               // ends that plugins of moe's orchestrator told in rows that do not know them
	revive    map[task.ID]int   // the life that each replayed task must reach
	looked    time.Time         // the time of the last check of time bounds

	// The changes of the present request.
	touched   []*taskSeen
	taken     []*holder // entries that it claimed from, before the claim
	leased    []*holder // leases that it created, extended or raised
	gained    int       // the tasks that these gained
	raised    []*holder // leases with more slots than before
	freed     []*holder // leases that it removed tasks from
	queued    []*holder // entries that it created
	kept      []kept    // tasks that it set to start again in their leases
	again     []kept    // tasks that it took in hand for the attempt that they waited for, in their leases before
	ended     []string  // jobs that it ended
	unsettled bool
}

type labourerSeen struct {
	labourer.Labourer
	revision   int
	caps       []capSeen
	healths    []capSeen
	most       int // the highest max_attempts that was ever in force
	paused     bool
	wasPaused  bool
	pausedAt   time.Time
	probing    bool // its target was unreachable at the last attempt
	probed     int  // the last step that was written while probing
	removed    bool
	wasRemoved bool
	began      time.Time            // when one of its workers was last started, or refused by its target
	full       time.Time            // when all its slots were last seen taken
	tried      time.Time            // when an unstartable task was last tried that was not tried since began
	sought     map[string]time.Time // the tasks that were tried, and began at that time
	forms      []form
	found      []capNoted
	pin        *queue.Pin
	entries    map[string]*holder
}

// capSeen is a cap, or a share of the cap due to health, from a step on.
type capSeen struct {
	step  int
	at    time.Time
	cap   int
	share float64
}

type taskSeen struct {
	id                         task.ID
	job, labourer              string
	turn                       string // the stage of a run whose turn it is; "": it is a job's
	status                     string
	attempt, life, lifeAttempt int
	published                  bool
	gone                       bool // its time to live has expired
	since                      int  // the step in which it reached its status
	damaged                    bool
	bundle                     string // the name of that in which its payload lies
	holders                    []*holder
}

type jobSeen struct {
	state                                     string
	total, completed, dead, cancelled, cursor int
	generation                                int
	cancelling                                bool
	since                                     int // the step in which its cancellation began
}

// kept is a task that a lease keeps for its next attempt.
type kept struct {
	lease *holder
	n     int
}

// holder is an item of the control table that holds tasks: an entry, a lease, or the tasks that a cancellation has withdrawn.
type holder struct {
	key      string // its sort key
	kind     string // queue, lease, cancel
	labourer string
	segment  segment.ID
	attempt  int
	due      time.Time
	tasks    segment.Numbers
	step     int         // of its creation
	by       *invocation // its creator
	// Of a lease: the tasks in hand, those of them that are noted as started, its slots, and when the last of them counts as lost; heard if one
	// sent a heartbeat; attempts of tasks in hand that differ from the lease's; and the tasks that wait for their next attempt.
	inHand   segment.Numbers
	noted    segment.Numbers
	slots    int
	ends     time.Time
	heard    bool
	attempts map[int]int
	retries  map[int]retrySeen
}

// retrySeen describes the next attempt at a task that waits for it in a lease.
type retrySeen struct {
	due     time.Time
	attempt int
}

// granted returns how many slots a lease takes of the cap.
func (h *holder) granted() int {
	return max(h.inHand.Len(), min(h.slots, h.tasks.Len()-len(h.retries)))
}

// attemptAt returns the attempt for which a task is held.
func (h *holder) attemptAt(n int) int {
	if again, waits := h.retries[n]; waits {
		return again.attempt
	}
	return cmp.Or(h.attempts[n], h.attempt)
}

func newChecker(r *run) *checker {
	return &checker{run: r, flowChecker: newFlowChecker(), labourers: map[string]*labourerSeen{},
		tasks: map[task.ID]*taskSeen{}, byJob: map[string][]*taskSeen{}, jobs: map[string]*jobSeen{},
		planned: map[string]jobPlan{}, holders: map[string]*holder{}, starts: map[string]int{}, tried: map[string]bool{}, revisions: map[string]int{}, cancelled: map[string]bool{},
		bodies: map[string]bool{}, things: map[string]string{}, tasksOf: map[string]string{}, revive: map[task.ID]int{}, loads: map[string]int{},
		vague: map[string]bool{}, poison: map[string]int{}, noises: map[int]string{}, statics: map[int]string{}}
}

// applied records a labourer that is about to be applied. It returns the revision that the apply replaces.
func (k *checker) applied(l labourer.Labourer) int {
	seen := k.labourers[l.ID]
	if seen == nil {
		seen = &labourerSeen{entries: map[string]*holder{}, sought: map[string]time.Time{}}
		k.labourers[l.ID] = seen
	}
	seen.Labourer, seen.most = l, max(seen.most, l.MaxAttempts)
	seen.caps = append(seen.caps, capSeen{step: k.step, cap: int(l.MaxSimultaneousInvocations)})
	seen.forms = append(seen.forms, form{k.step, k.world.Now(), l})
	if seen.removed {
		seen.revision, seen.removed = 0, false
	}
	seen.revision++
	return seen.revision - 1
}

// measured records a labourer's metric.
func (k *checker) measured(id string, load int) {
	l := k.labourers[id]
	if l == nil {
		return
	}
	if _, healthy := l.HealthMetrics["load"]; !healthy {
		return
	}
	k.loads[id] = load
	share := 0.0
	for status, most := range l.HealthMetrics["load"].Feelings {
		if float64(load) <= most {
			share = max(share, l.Coefficients[status])
		}
	}
	l.healths = append(l.healths, capSeen{at: k.world.Now(), share: share})
}

// acquaintance bounds the age of Drover's knowledge of a metric: a minute for the datapoint, a minute for the answer, and two clocks.
const acquaintance = 4 * time.Minute

func (k *checker) ids() []string { return slices.Sorted(maps.Keys(k.labourers)) }

func (k *checker) submitted(j jobPlan) { k.planned[j.id] = j }

// started records the start of a worker, and returns the number of earlier starts of the attempt (G4).
func (k *checker) started(s start) int {
	key := fmt.Sprintf("%s/%d", s.TaskID, s.Attempt)
	k.starts[key]++
	if l := k.labourers[s.labourer.ID]; l != nil {
		l.began = k.world.Now()
	}
	id, err := task.ParseID(s.TaskID)
	t := k.tasks[id]
	if err != nil || t == nil {
		k.violate("G4", "a worker was started for task %s, which does not exist", s.TaskID)
		return 0
	}
	most := k.labourers[t.labourer].most
	if j := k.job(t.job); j.maxAttempts > 0 { // another job under the same id has the same max_attempts
		most = j.maxAttempts
	}
	if s.Attempt-t.lifeAttempt > most && s.Attempt > t.attempt {
		k.violate("G4", "task %s was started for attempt %d of its life; %d are allowed", s.TaskID, s.Attempt-t.lifeAttempt, most)
	}
	if k.starts[key] > 1 && len(k.plan.rates) == 0 && len(k.plan.behaviours) == 0 {
		k.violate("G4", "attempt %d of task %s was started twice without a fault", s.Attempt, s.TaskID)
	}
	return k.starts[key] - 1
}

// isRun reports whether the tasks of a job are the turns of a run.
func isRun(job string) bool { return strings.HasPrefix(job, "run-") }

func str(it fakeaws.Item, name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func num(it fakeaws.Item, name string) int {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, _ := strconv.Atoi(v.Value)
		return n
	}
	return 0
}

// watch records a change of an item.
func (k *checker) watch(table string, before, after fakeaws.Item) {
	k.unsettled = true
	k.watchNovelty(table, before, after)
	switch table {
	case fakeaws.TasksTable:
		it := after
		if it == nil {
			it = before
		}
		if b, is := bundleOf(it); is {
			k.watchBundle(b, before, after)
		} else if id, n, is := partOf(before, after); is {
			k.watchPart(id, n, before, after)
		} else {
			k.watchTask(before, after)
		}
	case fakeaws.ControlTable:
		k.watchControl(before, after)
	case fakeaws.JobsTable:
		k.watchJob(after)
	case fakeaws.RunsTable:
		k.watchRuns(before, after)
	}
}

// watchNovelty checks that a change of an item preserves what another version has added (G1). Three kinds of items may be rewritten without
// it: unpublished tasks, records of rejected jobs, texts that are stored under their own hash, what is kept of a turn, which follows from its task alone, and
// the note of the last tick, and the row in which plugins of moe's orchestrator tell the states of a run, once the next run begins.
func (k *checker) watchNovelty(table string, before, after fakeaws.Item) {
	if before[novelty] == nil || after == nil || after[novelty] != nil {
		return
	}
	if t := k.tasks[task.ID{Segment: segment.ID(str(before, "segment")), N: num(before, "n")}]; table == fakeaws.TasksTable && (t == nil || !t.published) {
		return
	}
	if table == fakeaws.JobsTable && (str(before, "state") == "rejected" || strings.HasPrefix(str(before, "item"), "text#")) {
		return
	}
	if table == fakeaws.StatusTable && rowOf(before).run != rowOf(after).run {
		return
	}
	if table == fakeaws.RunsTable && (strings.HasPrefix(str(before, "item"), "turn#") || str(before, "run") == "#gauged" || before["refused_by"] != nil) {
		return
	}
	k.violate("G1", "the attribute of another version is missing from %s of table %s", firstKey(before), table)
}

func terminal(status string) bool {
	return status == "completed" || status == "dead" || status == "cancelled"
}

// judge records that an invariant of a guarantee is applied to something that could break it. TestSeeds requires it of each guarantee.
func (k *checker) judge(guarantee string) { k.reach(guarantee + " judged") }

func (k *checker) watchTask(before, after fakeaws.Item) {
	it := after
	if it == nil {
		it = before
	}
	id := task.ID{Segment: segment.ID(str(it, "segment")), N: num(it, "n")}
	if strings.HasPrefix(string(id.Segment), "poison") {
		return
	}
	t := k.tasks[id]
	if after == nil {
		if t != nil {
			t.gone = true
		}
		return
	}
	now := taskSeen{id: id, job: str(after, "job"), turn: str(after, "turn"), labourer: str(after, "labourer"), status: str(after, "status"), attempt: num(after, "attempt"),
		life: num(after, "life"), lifeAttempt: num(after, "life_attempt"), bundle: str(after, "bundle")}
	if t == nil {
		t = &now
		k.tasks[id] = t
		k.byJob[now.job] = append(k.byJob[now.job], t)
		if now.status != "" {
			k.violate("G2", "task %s was created as %s", id, now.status)
		}
		k.touched = append(k.touched, t)
		if t.turn != "" {
			k.turnCreated(t)
		}
		return
	}
	k.touched = append(k.touched, t)
	switch {
	case now.job != t.job:
		k.violate("G2", "task %s belonged to job %s and now belongs to job %s", id, t.job, now.job)
	case now.attempt < t.attempt || now.life < t.life:
		k.violate("G2", "task %s was created again: it had reached attempt %d in life %d, and is now at attempt %d in life %d", id, t.attempt, t.life, now.attempt, now.life)
	case terminal(t.status) && now.status != t.status && (t.status != "dead" || now.status != "" || now.life != t.life+1):
		k.violate("G5", "task %s was %s and became %q", id, t.status, now.status)
	case terminal(t.status) && now.status == t.status:
		k.violate("G5", "task %s was %s and was rewritten", id, t.status)
	case now.attempt > t.attempt+1:
		k.violate("G4", "task %s went from attempt %d to attempt %d", id, t.attempt, now.attempt)
	case now.attempt > t.attempt && (now.status == "completed" || now.status == "failed"):
		k.closed(t, now, after)
	}
	if now.status != t.status {
		k.reach("task " + orOpen(now.status))
		t.since = k.step
		k.turnEnded(t, after)
	}
	if t.published && now.bundle != t.bundle {
		k.violate("G1", "task %s, which is published, had its payload in bundle %q and now has it in bundle %q", id, t.bundle, now.bundle)
	}
	t.status, t.attempt, t.life, t.lifeAttempt, t.bundle = now.status, now.attempt, now.life, now.lifeAttempt, now.bundle
}

func orOpen(status string) string {
	if status == "" {
		return "open"
	}
	return status
}

// closed compares the end of an attempt with the workers' reports (G4).
func (k *checker) closed(t *taskSeen, now taskSeen, after fakeaws.Item) {
	if now.status == "failed" && (after["permanent"] != nil || k.run.refused(t)) {
		if l := k.labourers[t.labourer]; l != nil && !k.run.jinxed(t.id.String()) {
			l.began = k.world.Now()
		}
		return // its worker was not started
	}
	k.judge("G4")
	if k.starts[fmt.Sprintf("%s/%d", t.id, now.attempt)] == 0 && !k.vague[t.id.String()] {
		k.violate("G4", "attempt %d of task %s was closed as %s without a start", now.attempt, t.id, now.status)
	}
	result, _ := after["result"].(*types.AttributeValueMemberB)
	if result == nil {
		return
	}
	if text := unpacked(result.Value); text != string(k.result(t, now.attempt)) {
		k.violate("G4", "attempt %d of task %s was closed with the report of another attempt: %s", now.attempt, t.id, clip(text))
	}
}

// owner returns the labourer of an item of the control table, which may lie in one of its lanes.
func (k *checker) owner(it fakeaws.Item) string {
	l, _, laned := strings.Cut(str(it, "labourer"), "#lane#")
	if laned {
		k.reach("lease in a lane")
	}
	return l
}

// kindOf returns how the sort key of an item begins. The number of lanes is of no kind.
func kindOf(key string) string {
	if key == "lease#!lanes" {
		return ""
	}
	kind, _, _ := strings.Cut(key, "#")
	return kind
}

// watchState records what a labourer's state says.
func (k *checker) watchState(seen *labourerSeen, after fakeaws.Item) {
	paused, isBool := after["paused"].(*types.AttributeValueMemberBOOL)
	if isBool && paused.Value && !seen.paused {
		seen.pausedAt = k.world.Now()
	}
	seen.paused = isBool && paused.Value
	seen.wasPaused = seen.wasPaused || seen.paused
	var trouble queue.Trouble
	_ = json.Unmarshal([]byte(str(after, "trouble")), &trouble)
	if seen.probing {
		seen.probed = k.step
	}
	if trouble.Times > 0 && !seen.probing {
		clear(seen.sought) // what failed together before is to be tried one by one now
	}
	seen.probing = trouble.Times > 0
}

func (k *checker) watchControl(before, after fakeaws.Item) {
	it := after
	if it == nil {
		it = before
	}
	l, key := k.owner(it), str(it, "item")
	kind := kindOf(key)
	seen := k.labourers[l]
	if seen == nil {
		return
	}
	k.watchCap(seen, kind, after)
	switch kind {
	case "state":
		k.watchState(seen, after)
		return
	case "queue", "lease", "cancel":
	default:
		return
	}
	full := l + " " + key
	was := k.holders[full]
	if was == nil {
		was = &holder{key: key, kind: kind, labourer: l}
	}
	is := k.read(kind, l, key, after)
	is.step, is.by = was.step, was.by
	if before == nil {
		is.step = k.step
	}
	k.move(was, is)
	switch {
	case kind == "queue" && before == nil:
		k.queued = append(k.queued, is)
		seen.entries[key] = is
		if jobs := k.jobsOf(is); len(jobs) > 1 {
			k.reach("jobs share a segment")
		}
	case kind == "queue" && after == nil:
		delete(seen.entries, key)
		k.taken = append(k.taken, was)
	case kind == "queue":
		seen.entries[key] = is
		k.taken = append(k.taken, was)
	case kind == "lease":
		if !is.tasks.Minus(was.tasks).Empty() || is.granted() > was.granted() {
			k.leased = append(k.leased, is)
			k.gained += is.tasks.Minus(was.tasks).Len()
		}
		if !was.tasks.Minus(is.tasks).Empty() {
			k.freed = append(k.freed, was)
		}
		k.revised(full, before, after)
		if is.slots > was.slots {
			k.raised = append(k.raised, is)
		}
		k.fed(seen, was, is)
		k.noting(was, is)
	}
	if after == nil {
		delete(k.holders, full)
	} else {
		k.holders[full] = is
	}
}

func (k *checker) jobsOf(h *holder) map[string]bool {
	jobs := map[string]bool{}
	for n := range h.tasks.All() {
		if t := k.tasks[task.ID{Segment: h.segment, N: n}]; t != nil {
			jobs[t.job] = true
		}
	}
	return jobs
}

// read returns the holder that an item describes. Without an item it holds nothing.
func (k *checker) read(kind, l, key string, it fakeaws.Item) *holder {
	h := &holder{key: key, kind: kind, labourer: l, attempt: num(it, "attempt")}
	if it == nil {
		return h
	}
	parts := strings.Split(key, "#")
	at := 2
	if kind == "lease" {
		at = 1
		h.attempt, _ = strconv.Atoi(parts[2])
	} else {
		ms, _ := strconv.ParseInt(parts[1], 10, 64)
		h.due = time.UnixMilli(ms).UTC()
	}
	h.segment = segment.ID(parts[at])
	h.tasks, _ = segment.ParseNumbers(str(it, "tasks"))
	if kind == "lease" {
		k.readHands(h, it)
	}
	return h
}

// readHands reads what a lease has in hand. Its other tasks are those that wait.
func (k *checker) readHands(h *holder, it fakeaws.Item) {
	h.tasks, _ = segment.ParseNumbers(str(it, "waiting"))
	h.slots, h.attempts, h.retries = num(it, "slots"), map[int]int{}, map[int]retrySeen{}
	limit := time.Duration(num(it, "max_duration")) * time.Millisecond
	if l := k.labourers[h.labourer]; l != nil {
		longest := time.Duration(0)
		for _, f := range l.forms {
			longest = max(longest, f.MaxDuration)
		}
		if limit == 0 {
			limit = longest
		}
		limit += l.Cooldown
	}
	hands, is := it["hands"].(*types.AttributeValueMemberM)
	if !is {
		return
	}
	for name, v := range hands.Value {
		n, err := segment.ParseNumbers(name)
		text, is := v.(*types.AttributeValueMemberS)
		if err != nil || !is {
			continue
		}
		h.inHand = h.inHand.Union(n)
		parts := strings.Split(text.Value, ".")
		if len(parts) > 1 && parts[1] == queue.Dispatched {
			h.noted = h.noted.Union(n)
		}
		since, _ := strconv.ParseInt(parts[0], 36, 64)
		if len(parts) > 1 && parts[1] == queue.Undispatched && since < 0 { // it is left to the orchestrator now
			since = k.world.Now().UnixMilli() - int64(num(it, "claimed_at"))
		}
		h.heard = h.heard || len(parts) > 2 && parts[2] != ""
		if len(parts) > 4 {
			h.attempts[n.Min()], _ = strconv.Atoi(parts[4])
		}
		if ends := time.UnixMilli(int64(num(it, "claimed_at")) + since).UTC().Add(limit); ends.After(h.ends) {
			h.ends = ends
		}
	}
	h.tasks = h.tasks.Union(h.inHand)
	for part := range strings.SplitSeq(str(it, "retries"), ",") {
		fields := strings.Split(part, ".")
		if len(fields) != 3 {
			continue
		}
		n, _ := strconv.Atoi(fields[0])
		due, _ := strconv.ParseInt(fields[1], 36, 64)
		attempt, _ := strconv.Atoi(fields[2])
		h.retries[n] = retrySeen{time.UnixMilli(int64(num(it, "claimed_at")) + due).UTC(), attempt}
		h.tasks = h.tasks.Union(segment.Of(n))
	}
}

// fed checks that a lease takes no more in hand than it has slots (G3), and that nothing is fed to a labourer that has been paused for long (G7).
func (k *checker) fed(l *labourerSeen, was, is *holder) {
	more := is.inHand.Minus(was.inHand)
	for n := range is.inHand.Intersect(was.inHand).All() {
		if is.attemptAt(n) != was.attemptAt(n) {
			more = more.Union(segment.Of(n))
		}
	}
	for n, again := range is.retries {
		if was.retries[n] != again {
			k.kept = append(k.kept, kept{is, n})
		}
	}
	if more.Empty() {
		return
	}
	for n := range more.All() {
		if _, waited := was.retries[n]; waited {
			k.again = append(k.again, kept{was, n})
		}
	}
	if was.by != nil || !was.tasks.Empty() {
		k.reach("fed")
	}
	k.judge("G3")
	if is.inHand.Len() > is.slots {
		k.violate("G3", "%s of %s has %d slots, and tasks %s were taken in hand beside %s", is.key, is.labourer, is.slots, more, was.inHand)
	}
	if l.paused && k.world.Now().Sub(l.pausedAt) > feedTerm {
		k.violate("G7", "tasks %s of labourer %s were taken in hand, which has been paused since %s", more, is.labourer, l.pausedAt.Sub(k.run.start))
	}
}

// revised checks that the revisions of leases never begin again under a key: a component that has read an earlier lease must not write the later
// one (G1).
func (k *checker) revised(key string, before, after fakeaws.Item) {
	if after == nil {
		return
	}
	revision := num(after, "revision")
	if last, used := k.revisions[key]; used && before == nil && revision <= last {
		k.violate("G1", "%s begins at revision %d, and was used until %d", key, revision, last)
	}
	k.revisions[key] = max(k.revisions[key], revision)
}

// noting checks that a start is noted only after it was asked for, so that a task whose dispatcher dies is started by another (G4).
func (k *checker) noting(was, is *holder) {
	for n := range is.noted.Minus(was.noted).All() {
		id := task.ID{Segment: is.segment, N: n}
		t := k.tasks[id]
		if t != nil && !t.gone && !t.damaged && !terminal(t.status) && t.attempt < is.attemptAt(n) && !k.tried[fmt.Sprintf("%s/%d", id, is.attemptAt(n))] {
			k.violate("G4", "attempt %d of task %s is noted as started, and its start was not asked for", is.attemptAt(n), id)
		}
	}
}

// feedTerm bounds the time during which the assistant feeds on after a pause: a tick must come that is not lost, and succeed.
const feedTerm = 20 * time.Minute

// move updates the holders of the tasks that a holder gains or loses.
func (k *checker) move(was, is *holder) {
	for n := range was.tasks.All() {
		t := k.tasks[task.ID{Segment: was.segment, N: n}]
		if t == nil {
			continue
		}
		i := slices.IndexFunc(t.holders, func(h *holder) bool { return h == was })
		switch {
		case i < 0:
		case is.tasks.Contains(n):
			t.holders[i] = is
			if is.attemptAt(n) != was.attemptAt(n) {
				k.touched = append(k.touched, t)
			}
			continue
		default:
			t.holders = slices.Delete(t.holders, i, i+1)
		}
		k.touched = append(k.touched, t)
	}
	for n := range is.tasks.Minus(was.tasks).All() {
		t := k.tasks[task.ID{Segment: is.segment, N: n}]
		if t == nil {
			k.violate("G1", "%s holds task %d of segment %s, which does not exist", is.key, n, is.segment)
			continue
		}
		t.holders = append(t.holders, is)
		t.published = true
		k.touched = append(k.touched, t)
	}
}

func (k *checker) watchJob(after fakeaws.Item) {
	if str(after, "item") != "job" {
		return
	}
	id := str(after, "job_id")
	now := jobSeen{state: str(after, "state"), total: num(after, "total"), completed: num(after, "completed"), dead: num(after, "dead"),
		cancelled: num(after, "cancelled"), cursor: num(after, "cursor"), generation: num(after, "generation")}
	was := k.jobs[id]
	if was == nil {
		was = &jobSeen{}
	}
	_, now.cancelling = after["cancelling"]
	if now.since = was.since; now.cancelling && !was.cancelling {
		now.since = k.step
	}
	over := func(s string) bool { return s == "completed" || s == "cancelled" }
	switch {
	case now.completed < 0 || now.dead < 0 || now.cancelled < 0 || now.completed+now.dead+now.cancelled > now.total:
		k.violate("G5", "job %s of %d tasks counts %d completed, %d dead, %d cancelled", id, now.total, now.completed, now.dead, now.cancelled)
	case over(was.state) && now.state != was.state && (now.state != "scheduled" || now.generation != was.generation+1):
		k.violate("G5", "job %s was %s and became %s", id, was.state, now.state)
	case over(now.state) && !over(was.state):
		k.ended = append(k.ended, id)
	case was.state != "" && was.state != "rejected" && now.total != was.total:
		k.violate("G2", "job %s had %d tasks and has now %d", id, was.total, now.total)
	}
	if now.state != was.state {
		k.reach("job " + now.state)
	}
	k.jobs[id] = &now
}

// checkCall checks the effects of a request on the guarantees. The invocation that made the request calls it.
func (k *checker) checkCall(c *call) {
	if c.operation == "Query" && (strings.Contains(c.label, ":from=queue#") || strings.Contains(c.label, ":from=lease#")) {
		_, of, _ := strings.Cut(c.label, ":labourer=")
		c.dueRead[strings.Fields(of)[0]] = k.step
	}
	k.verify(c)
}

// verify checks all changes since the last call. c is the request that made them, or nil for changes from outside.
func (k *checker) verify(c *call) {
	if !k.unsettled {
		return
	}
	for _, t := range k.touched {
		k.verifyHolding(t)
	}
	for _, id := range k.ended {
		k.verifyEnd(id)
	}
	if c != nil {
		k.verifyLine(c)
		k.verifyClaim(c)
		k.verifyRetry(c)
		k.verifyKept(c)
	}
	k.touched, k.taken, k.leased, k.gained, k.raised, k.freed, k.queued, k.kept, k.again, k.ended, k.unsettled = k.touched[:0], nil, nil, 0, nil, nil, nil, nil, nil, nil, false
}

// verifyHolding checks that a published task is in exactly one place, or has reached its end (G1).
func (k *checker) verifyHolding(t *taskSeen) {
	if len(t.holders) > 1 {
		k.violate("G1", "task %s is in two places: %s and %s of %s", t.id, t.holders[0].key, t.holders[1].key, t.labourer)
		return
	}
	if !t.published || t.gone {
		return
	}
	k.judge("G1")
	if len(t.holders) == 0 {
		if !terminal(t.status) {
			k.violate("G1", "task %s of job %s is lost: it is %s after attempt %d, and neither queued nor running", t.id, t.job, orOpen(t.status), t.attempt)
		}
		return
	}
	h := t.holders[0]
	if h.labourer != t.labourer {
		k.violate("G1", "task %s of labourer %s is held by %s", t.id, t.labourer, h.labourer)
	}
	if h.kind == "queue" && t.status == "dead" {
		k.violate("G5", "task %s is dead, but queued in %s", t.id, h.key)
	}
	if terminal(t.status) {
		return
	}
	if attempt := h.attemptAt(t.id.N); attempt != t.attempt+1 && (attempt != t.attempt || t.status == "") {
		k.violate("G1", "task %s is %s after attempt %d, and held for attempt %d by %s", t.id, orOpen(t.status), t.attempt, attempt, h.key)
	}
}

// verifyClaim checks the cap (G3), the order (G6), and the pause and health (G7) of a claim, and of direct grants.
func (k *checker) verifyClaim(c *call) {
	if len(k.raised) > 0 && !strings.HasPrefix(c.About, "claim ") && !c.publishes() {
		k.violate("G3", "%s (%s) raised the slots of %s, which only a claim or a publication may", c.ID, c.About, k.raised[0].key)
	}
	seen := map[string]bool{}
	for _, lease := range k.leased {
		if !seen[lease.labourer] {
			seen[lease.labourer] = true
			k.verifyClaimOf(c, lease.labourer)
		}
	}
}

// publishes reports whether a call belongs to a function that publishes tasks.
func (c *call) publishes() bool { return c.Function == "scheduler" || c.Function == "workflow" }

// verifyDirect checks that nothing was due before the tasks of a direct grant (G6), and that it granted their first attempt.
func (k *checker) verifyDirect(c *call, l *labourerSeen, id string) {
	k.reach("direct grant")
	k.judge("G6")
	for key, e := range l.entries {
		if e.step < c.dueRead[id] && !e.due.After(c.start) {
			k.violate("G6", "%s granted directly for labourer %s, before %s, which was due", c.ID, id, key)
		}
	}
	for _, h := range k.holders {
		if h.kind != "lease" || h.labourer != id || slices.Contains(k.leased, h) {
			continue
		}
		if waiting := h.tasks.Len() - h.inHand.Len() - len(h.retries); waiting > 0 {
			k.violate("G6", "%s granted directly for labourer %s, before %d tasks that wait in %s", c.ID, id, waiting, h.key)
		}
	}
	for _, lease := range k.leased {
		if lease.labourer == id && lease.attempt != 1 {
			k.violate("G3", "%s granted attempt %d of %s directly", c.ID, lease.attempt, lease.key)
		}
	}
}

// verifyClaimOf checks a claim, or a direct grant, for a labourer.
func (k *checker) verifyClaimOf(c *call, id string) {
	l := k.labourers[id]
	k.reach("claim")
	if l.wasPaused || len(l.healths) > 0 {
		k.judge("G7")
	}
	if l.paused {
		k.violate("G7", "%s claimed for labourer %s while it was paused", c.ID, id)
	}
	running := 0
	for _, h := range k.holders {
		if h.kind == "lease" && h.labourer == id {
			running += h.granted()
		}
	}
	allowed := k.atMost(l, c)
	if len(l.healths) > 0 {
		share := 0.0
		for i, one := range l.healths {
			if i+1 == len(l.healths) || l.healths[i+1].at.After(k.world.Now().Add(-acquaintance)) {
				share = max(share, one.share)
			}
		}
		allowed = int(float64(allowed) * share)
		if allowed == 0 {
			k.violate("G7", "%s claimed for labourer %s, which has been unhealthy for minutes", c.ID, id)
		}
	}
	k.judge("G3")
	if running > allowed {
		k.violate("G3", "%s claimed for labourer %s: %d slots are granted now, and the cap was at most %d", c.ID, id, running, allowed)
	}
	if running == allowed {
		k.reach("cap used up")
	}
	if c.publishes() {
		k.verifyDirect(c, l, id)
		return
	}
	last := ""
	for _, e := range k.taken {
		last = max(last, e.key)
		if e.due.After(c.now().Add(time.Millisecond)) {
			k.violate("G6", "%s claimed %s before it was due", c.ID, e.key)
		}
	}
	if probe := l.probing || l.probed >= c.began; probe && k.gained == 1 {
		k.reach("probe")
		return // a probe may skip the first task, which may be the cause of the trouble
	}
	for key, e := range l.entries {
		if e.step >= c.dueRead[id] {
			continue
		}
		k.judge("G6")
		if key < last {
			k.violate("G6", "%s claimed %s before %s, which was due earlier", c.ID, last, key)
		}
	}
}

// verifyRetry checks the wait before the next attempt (G10).
func (k *checker) verifyRetry(c *call) {
	for _, e := range k.queued {
		for _, l := range k.freed {
			if l.segment != e.segment || !l.tasks.Contains(e.tasks.Min()) || l.attemptAt(e.tasks.Min())+1 != e.attempt || c.operation != "TransactWriteItems" {
				continue
			}
			least, most := k.labourers[e.labourer].waits(c.began)
			k.reach("retry")
			k.judge("G10")
			if e.due.Before(c.start.Add(least)) {
				k.violate("G10", "%s requeued %s for %s, sooner than %s from the start of the invocation", c.ID, e.key, e.due.Format(time.StampMilli), least)
			}
			if e.due.After(c.now().Add(most + time.Millisecond)) {
				k.violate("G10", "%s requeued %s for %s, later than %s from the write", c.ID, e.key, e.due.Format(time.StampMilli), most)
			}
		}
	}
}

// verifyKept checks the same of the tasks that leases keep for their next attempt. The assistant may know a labourer as it was some time before.
func (k *checker) verifyKept(c *call) {
	for _, one := range k.kept {
		again := one.lease.retries[one.n]
		least, most := k.labourers[one.lease.labourer].waitsSince(c.start.Add(-acquaintedFor))
		k.reach("retry in its lease")
		k.judge("G10")
		if again.due.Before(c.start.Add(least)) {
			k.violate("G10", "%s set task %d of %s to start at %s, sooner than %s from the start of the invocation", c.ID, one.n, one.lease.key, again.due.Format(time.StampMilli), least)
		}
		if again.due.After(c.now().Add(most + time.Millisecond)) {
			k.violate("G10", "%s set task %d of %s to start at %s, later than %s from the write", c.ID, one.n, one.lease.key, again.due.Format(time.StampMilli), most)
		}
		if !strings.HasPrefix(c.About, "messages ") && !strings.HasPrefix(c.About, "call ") {
			k.violate("G3", "%s (%s) keeps task %d of %s for its next attempt, which only the assistant may", c.ID, c.About, one.n, one.lease.key)
		}
	}
	for _, one := range k.again {
		k.reach("retry started in its lease")
		if again := one.lease.retries[one.n]; again.due.After(c.now().Add(time.Millisecond)) {
			k.violate("G10", "%s took task %d of %s in hand, whose attempt %d is due at %s", c.ID, one.n, one.lease.key, again.attempt, again.due.Format(time.StampMilli))
		}
	}
}

// verifyEnd checks that a job ends when all its tasks have ended, with exact counts (G5).
func (k *checker) verifyEnd(id string) {
	k.judge("G5")
	j := k.jobs[id]
	counts := k.tally(id)
	never := 0
	if j.state == "cancelled" { // tasks that were never created count as cancelled
		never = j.total - counts["completed"] - counts["dead"] - counts["cancelled"]
		for _, t := range k.byJob[id] {
			if t.published && !terminal(t.status) {
				k.violate("G5", "job %s was finished while task %s was %s", id, t.id, orOpen(t.status))
			}
		}
	}
	if j.completed != counts["completed"] || j.dead != counts["dead"] || j.cancelled != counts["cancelled"]+never {
		k.violate("G5", "job %s ended as %s with %d completed, %d dead, %d cancelled of %d; its tasks are %v", id, j.state, j.completed, j.dead, j.cancelled, j.total, counts)
	}
}

func (k *checker) tally(id string) map[string]int {
	counts := map[string]int{}
	for _, t := range k.byJob[id] {
		counts[orOpen(t.status)]++
	}
	return counts
}

func (k *checker) someTasks(id string, dice interface{ IntN(int) int }) []string {
	var out []string
	for _, t := range k.byJob[id] {
		if dice.IntN(3) > 0 {
			out = append(out, t.id.String())
		}
	}
	return append(out, "aaaaaaaaaaaaaaaa.1")
}

// empty reports whether nothing is queued or running.
func (k *checker) empty() bool { return len(k.holders) == 0 && len(k.openRuns()) == 0 }

func (k *checker) unfinished() string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(k.planned)) {
		parts = append(parts, fmt.Sprintf("job %s is %+v with tasks %v", id, k.jobs[id], k.tally(id)))
	}
	parts = append(parts, k.openRuns()...)
	parts = append(parts, slices.Sorted(maps.Keys(k.holders))...)
	for _, c := range k.world.Coming() {
		if c.Label != "tick" {
			parts = append(parts, "scheduled: "+clip(c.String()))
		}
	}
	return strings.Join(parts[:min(len(parts), 12)], "; ")
}

package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// form is a labourer as it was applied in a step.
type form struct {
	step int
	labourer.Labourer
}

// since returns the forms of a labourer that were in force at any time since a step.
func (l *labourerSeen) since(step int) []form {
	var out []form
	for i, one := range l.forms {
		if i+1 == len(l.forms) || l.forms[i+1].step >= step {
			out = append(out, one)
		}
	}
	return out
}

// waits returns the shortest and the longest wait for another attempt that was in force since a step.
func (l *labourerSeen) waits(step int) (least, most time.Duration) {
	for i, one := range l.since(step) {
		if i == 0 || one.Retry.Min < least {
			least = one.Retry.Min
		}
		most = max(most, one.Retry.Min, one.Retry.Max)
	}
	return least, most
}

// readStart reads what a worker is started with: who it is, and the attributes of its job.
func readStart(event []byte) (start, map[string]json.RawMessage, error) {
	var s start
	var top map[string]json.RawMessage
	if err := json.Unmarshal(event, &top); err != nil {
		return s, nil, err
	}
	if err := json.Unmarshal(top["drover"], &s); err != nil {
		return s, nil, err
	}
	if s.TaskID == "" || string(top["task_id"]) != fmt.Sprintf("%q", s.TaskID) {
		return s, nil, errors.New("it names no task")
	}
	return s, top, nil
}

// handed holds what a worker got to what its job asked for: each task does one part of its job, the same at each start, and no other task
// does it (G2).
func (k *checker) handed(s start, payload map[string]json.RawMessage) {
	if problem := k.payload(s.JobID, s.TaskID, payload); problem != "" {
		k.violate("G2", "task %s of job %s was started with %s", s.TaskID, s.JobID, problem)
	}
}

// payload returns what is wrong with the payload of a task, "" when nothing is.
func (k *checker) payload(job, id string, payload map[string]json.RawMessage) string {
	j := k.job(job)
	var things []string
	if err := json.Unmarshal(payload[j.attribute()], &things); err != nil || len(things) != 1 {
		return fmt.Sprintf("%s %s", j.attribute(), payload[j.attribute()])
	}
	thing := things[0]
	if before := k.things[id]; before != "" && before != thing {
		return fmt.Sprintf("thing %s, and before with %s", thing, before)
	}
	if other := k.tasksOf[job+" "+thing]; other != "" && other != id {
		return fmt.Sprintf("thing %s, which is the work of task %s", thing, other)
	}
	k.things[id], k.tasksOf[job+" "+thing] = thing, id
	var n int
	if _, err := fmt.Sscanf(thing, "t%d", &n); err != nil || n < 0 || n > j.tasks {
		return fmt.Sprintf("thing %s, which is none of its job", thing)
	}
	for name, want := range map[string]int{"ballast": j.giantBytes(), "noise": j.ballast} {
		if got := max(0, len(payload[name])-len(`""`)); got != want {
			return fmt.Sprintf("a %s of %d bytes instead of %d", name, got, want)
		}
	}
	if j.spelled != "" && payload[j.spelled] == nil {
		return "no " + j.spelled
	}
	return ""
}

// recorded holds a record of the archive to what is known of its task (G1).
func (k *checker) recorded(a archive.Record) {
	id, err := task.ParseID(a.TaskID)
	t := k.tasks[id]
	if err != nil || t == nil {
		k.violate("G1", "the archive has a record of task %s, which does not exist", a.TaskID)
		return
	}
	if a.JobID != t.job || a.Labourer != t.labourer {
		k.violate("G1", "task %s of job %s and labourer %s is in the archive as one of job %s and labourer %s", a.TaskID, t.job, t.labourer, a.JobID, a.Labourer)
	}
	if t.damaged {
		return
	}
	var payload map[string]json.RawMessage
	if err := json.Unmarshal(a.Payload, &payload); err != nil {
		k.violate("G1", "task %s is in the archive with a payload that cannot be read: %v", a.TaskID, err)
	} else if problem := k.payload(t.job, a.TaskID, payload); problem != "" {
		k.violate("G1", "task %s is in the archive with %s", a.TaskID, problem)
	}
	if len(a.Attempts) != a.Attempt {
		k.violate("G1", "task %s is in the archive with %d attempts, and a list of %d", a.TaskID, a.Attempt, len(a.Attempts))
	}
}

func (j jobPlan) giantBytes() int {
	if j.giant {
		return giantBallast
	}
	return 0
}

// watchEnds has the checker hear of each message that was taken in, and of each death that was told.
func (r *run) watchEnds() {
	r.stack.SQS.TakenIn = func(url, body string) {
		if url == fakeaws.CompletionsQueue {
			r.check.takenIn(body)
		}
	}
	if r.plan.rates[ReplayedAtDeath] == 0 {
		return
	}
	r.stack.EventBridge.AddRule(fakeaws.Rule{Name: "mourner", Bus: fakeaws.BusName, Takes: func(e event.Envelope) bool { return e.DetailType == "TaskDead" }, Target: r.mourn})
}

// mostMourned is how many deaths of one task are answered with a replay.
const mostMourned = 2

// mourn replays a task that is said to be dead.
func (r *run) mourn(e event.Envelope) {
	var detail struct {
		ID     string
		TaskID string `json:"task_id"`
	}
	if err := json.Unmarshal(e.Detail, &detail); err != nil {
		return
	}
	id, err := task.ParseID(detail.TaskID)
	t := r.check.tasks[id]
	if err != nil || t == nil || t.life >= mostMourned || r.calm || !chance(random(r.plan.seed, "mourn "+detail.ID), r.plan.rates[ReplayedAtDeath]) || !r.may() {
		return
	}
	if t.status == "dead" && strings.HasSuffix(detail.ID, fmt.Sprintf("/%d", t.life)) { // not told again, after its replay
		r.check.revive[id] = t.life + 1
	}
	r.count(ReplayedAtDeath)
	r.drover.Put(event.ReplayTasks, map[string]any{"replay_id": "mourn-" + strings.ReplaceAll(detail.ID, "/", "-"), "tasks": []string{detail.TaskID}})
}

// revived: a task that was replayed after its death was told has come back (G1).
func (k *checker) revived() {
	for _, id := range slices.SortedFunc(maps.Keys(k.revive), func(a, b task.ID) int { return strings.Compare(a.String(), b.String()) }) {
		t := k.tasks[id]
		if j := k.jobs[t.job]; t.life < k.revive[id] && !t.gone && j != nil && !k.cancelled[t.job] {
			k.violate("G1", "task %s was to be replayed when its death was told, and has not come back: it is %s in life %d", id, orOpen(t.status), t.life)
		}
	}
}

// takenIn: the end of an attempt that was started, and that has no end yet, is its end (G4).
func (k *checker) takenIn(body string) {
	id, attempt, says := k.run.endIn(body)
	t := k.tasks[id]
	if !says || t == nil || t.gone || terminal(t.status) || attempt != t.attempt+1 || k.starts[fmt.Sprintf("%s/%d", id, attempt)] == 0 {
		return
	}
	if j := k.jobs[t.job]; j != nil && (j.cancelling || j.state == "cancelled") {
		return
	}
	k.violate("G4", "the end of attempt %d of task %s was taken in and changed nothing: it is %s after attempt %d", attempt, id, orOpen(t.status), t.attempt)
}

// endIn returns of which attempt a message tells the end, in whichever form it comes. It reads the message by itself.
func (r *run) endIn(body string) (id task.ID, attempt int, says bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &m) != nil {
		return id, 0, false
	}
	var s start
	switch {
	case m["detail-type"] != nil:
		var detail struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(m["detail"], &detail) != nil {
			return id, 0, false
		}
		s = r.names[detail.Name]
	case m["requestContext"] != nil:
		if strings.Contains(string(m["responsePayload"]), "TooManyRequests") {
			return id, 0, false
		}
		s, _, _ = readStart(m["requestPayload"])
	case string(m["version"]) == "1" && (string(m["status"]) == `"completed"` || string(m["status"]) == `"failed"`):
		_ = json.Unmarshal([]byte(body), &s)
	}
	id, err := task.ParseID(s.TaskID)
	return id, s.Attempt, err == nil && s.Attempt > 0
}

// verifyLine: what is put back in line after its job began to be cancelled is taken out again by who put it, and not started (G5).
func (k *checker) verifyLine(c *call) {
	for _, e := range k.queued {
		e.by = c.invocation
	}
	if len(k.leased) == 0 {
		return
	}
	for _, e := range k.taken {
		if e.by == nil || !e.by.over || e.by.crashed || e.by.marred || e.by.err != nil {
			continue
		}
		for _, l := range k.leased {
			if l.segment != e.segment {
				continue
			}
			for n := range l.tasks.Intersect(e.tasks).All() {
				t := k.tasks[task.ID{Segment: e.segment, N: n}]
				if t == nil {
					continue
				}
				if j := k.jobs[t.job]; j != nil && j.cancelling && e.by.began > j.since {
					k.violate("G5", "task %s was put back in line by %s after its job began to be cancelled, and claimed by %s", t.id, e.by.ID, c.ID)
				}
			}
		}
	}
}

// starting: no worker is started for a task that had reached its end before its dispatcher began (G5).
func (k *checker) starting(v *invocation, event []byte) {
	s, _, err := readStart(event)
	if err != nil {
		return
	}
	id, err := task.ParseID(s.TaskID)
	if t := k.tasks[id]; err == nil && t != nil && terminal(t.status) && t.since < v.began {
		k.violate("G5", "%s starts a worker for task %s, which was %s before it began", v.ID, s.TaskID, t.status)
	}
}

// reapTerm is how long after the end of a lease its tasks may still be held, when nothing goes wrong: the tick comes each minute.
const reapTerm = 4 * time.Minute

// standTerm is how long a labourer may have something due, and free slots, and start nothing, when nothing goes wrong.
const standTerm = 20 * time.Minute

// steadySince returns since when nothing goes wrong that may keep a tick from its work; zero: it still may.
func (k *checker) steadySince() time.Time {
	if k.calm {
		return k.calmAt
	}
	if k.faults[Hundreds] > 0 && len(k.plan.rates) <= 3 {
		return k.run.start
	}
	return time.Time{}
}

// bounds: what has run out is reaped within minutes (G1), and a labourer that may start something does (G8).
func (k *checker) bounds() {
	now := k.world.Now()
	steady := k.steadySince()
	if now.Sub(k.looked) < 20*time.Second || steady.IsZero() || k.plan.wakesOnly {
		return
	}
	k.looked = now
	later := func(a, b time.Time) time.Time {
		if a.After(b) {
			return a
		}
		return b
	}
	due := map[string]time.Time{} // by labourer: since when something waits
	running := map[string]int{}
	for _, key := range slices.Sorted(maps.Keys(k.holders)) {
		h := k.holders[key]
		l := k.labourers[h.labourer]
		switch h.kind {
		case "lease":
			running[h.labourer] += h.tasks.Len()
			if !h.heard && !l.removed && now.After(later(h.ends, steady).Add(reapTerm)) {
				k.violate("G1", "%s of %s ended at %s and still holds %s", h.key, h.labourer, h.ends.Sub(k.run.start), h.tasks)
			}
		case "queue":
			if at := later(h.due, steady); at.Before(now) && k.startable(h) && (due[h.labourer].IsZero() || at.Before(due[h.labourer])) {
				due[h.labourer] = at
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(due)) {
		l := k.labourers[id]
		if l.paused || l.removed || running[id] >= int(l.MaxSimultaneousInvocations) || l.HealthMetrics != nil {
			continue
		}
		if since := later(due[id], l.began); now.After(since.Add(standTerm)) {
			k.violate("G8", "labourer %s has started nothing since %s, although tasks are due and %d of %g slots are taken", id, since.Sub(k.run.start), running[id], l.MaxSimultaneousInvocations)
		}
	}
}

// startable tells whether a task of a holder can be started.
func (k *checker) startable(h *holder) bool {
	for n := range h.tasks.All() {
		id := task.ID{Segment: h.segment, N: n}
		t := k.tasks[id]
		if t != nil && !t.damaged && !terminal(t.status) && !k.run.jinxed(id.String()) && k.job(t.job).ballast < smallQueue {
			return true
		}
	}
	return false
}

// unstartable tells whether a task cannot be started now, whatever is tried: what keeps it from that follows the task.
func (r *run) unstartable(id string) bool {
	return r.jinxed(id) && !(r.calm && r.world.Now().After(r.calmAt.Add(2*time.Hour)))
}

// jinxed tells whether something keeps a task from being started, for hours at least.
func (r *run) jinxed(id string) bool {
	share := r.plan.rates[Unstartable]
	return share > 0 && chance(random(r.plan.seed, "unstartable "+id), share)
}

// refused tells whether the target may refuse to start a task, for a reason that is the task's own.
func (r *run) refused(t *taskSeen) bool {
	j := r.job(t.job)
	return r.jinxed(t.id.String()) || j.qualifier == "none" || j.qualifier == "forbidden" || j.ballast > 0 || j.giant
}

// unstartableIn tells the same of what a worker would be started with, and counts it.
func (r *run) unstartableIn(event []byte) bool {
	s, _, err := readStart(event)
	if err != nil || !r.unstartable(s.TaskID) {
		return false
	}
	r.count(Unstartable)
	return true
}

// expected tells whether an error is one that callers live with when nothing goes wrong.
func expected(err error) bool {
	var condition *types.ConditionalCheckFailedException
	var cancelled *types.TransactionCanceledException
	return errors.As(err, &condition) || errors.As(err, &cancelled)
}

// reconfigure applies a labourer with another value of one field.
func (r *run) reconfigure(o operation) {
	seen := r.check.labourers[o.on]
	if seen.removed {
		return
	}
	l := seen.Labourer
	dice := random(r.plan.seed, "config "+o.text)
	switch o.value {
	case 0:
		l.MaxAttempts = 1 + dice.IntN(3)
	case 1:
		l.NotRetryable = pick(dice, nil, []string{"Timeout"}, []string{"BadInput"}, []string{"BadInput", "Timeout"})
	case 2:
		l.MaxDuration = pick(dice, 5*time.Second, 30*time.Second, 2*time.Minute)
	case 3:
		l.Cooldown = pick(dice, 0, 5*time.Second, 30*time.Second)
	case 4:
		l.Retry.Min, l.Retry.Initial, l.Retry.Max = pick(dice, 0, time.Second, 3*time.Second), pick(dice, time.Second, 5*time.Second), pick(dice, 10*time.Second, 30*time.Second)
	case 5:
		l.Heartbeat = pick(dice, 0, 3*time.Second, 20*time.Second)
	case 6:
		if l.Target.Lambda != "" {
			l.Target.Lambda = l.ID + pick(dice, "", ":live")
		}
	case 7:
		l.Coefficients[2] = pick(dice, 0.25, 0.5, 1)
	case 8:
		l.GroupKey = pick(dice, "", "things")
	}
	r.apply(l)
	r.check.measured(l.ID, r.check.loads[l.ID])
	r.woken(l.ID)
}

// woken tells that a labourer was applied, as the command line does.
func (r *run) woken(id string) {
	r.drover.Put("TasksDue", fmt.Sprintf(`{"id":"apply","version":1,"labourers":[%q]}`, id))
}

// remove takes a labourer away that has nothing to do, as the command line does: with work left it is refused.
func (r *run) remove(id string) {
	for _, h := range r.check.holders {
		if h.labourer == id && !h.tasks.Empty() {
			r.faults[Removed]--
			return
		}
	}
	seen := r.check.labourers[id]
	if seen.removed {
		return
	}
	registry := dynamo.Registry{API: r.stack.DynamoDB, Table: fakeaws.ControlTable}
	if err := registry.RemoveLabourer(context.Background(), id, seen.revision); err != nil {
		panic(err)
	}
	seen.removed, seen.wasRemoved = true, true
}

// damage makes a task unreadable that is queued or held.
func (r *run) damage() {
	var open []*taskSeen
	for _, t := range r.check.tasks {
		if t.published && !terminal(t.status) && !t.gone {
			open = append(open, t)
		}
	}
	if len(open) == 0 {
		r.faults[Damaged]--
		return
	}
	slices.SortFunc(open, func(a, b *taskSeen) int { return strings.Compare(a.id.String(), b.id.String()) })
	t := open[r.random("damage").IntN(len(open))]
	for _, it := range r.stack.DynamoDB.Items(fakeaws.TasksTable) {
		if segment.ID(str(it, "segment")) == t.id.Segment && num(it, "n") == t.id.N {
			t.damaged = true
			it = maps.Clone(it)
			it["payload"] = &types.AttributeValueMemberB{Value: []byte{0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3}}
			if err := r.stack.DynamoDB.Put(fakeaws.TasksTable, it); err != nil {
				panic(err)
			}
			return
		}
	}
}

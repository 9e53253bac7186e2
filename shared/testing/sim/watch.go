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
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// form is a labourer's configuration from a step on.
type form struct {
	step int
	at   time.Time
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

// waits returns the shortest and the longest retry wait that was in force at any time since a step.
func (l *labourerSeen) waits(step int) (least, most time.Duration) {
	for i, one := range l.since(step) {
		if i == 0 || one.Retry.Min < least {
			least = one.Retry.Min
		}
		most = max(most, one.Retry.Min, one.Retry.Max)
	}
	return least, most
}

// acquaintedFor bounds how long the assistant remembers a labourer, with a difference of clocks.
const acquaintedFor = 35 * time.Second

// waitsSince returns the same since a time.
func (l *labourerSeen) waitsSince(at time.Time) (least, most time.Duration) {
	step := 0
	for _, one := range l.forms {
		if !one.at.After(at) {
			step = one.step
		}
	}
	return l.waits(step)
}

// readStart returns the task that a worker's input names, and the input's attributes.
func readStart(event []byte) (start, map[string]json.RawMessage, error) {
	var s start
	var top map[string]json.RawMessage
	var notification struct {
		Records []struct{ Sns struct{ Message string } }
	}
	if json.Unmarshal(event, &notification) == nil && len(notification.Records) == 1 {
		event = []byte(notification.Records[0].Sns.Message)
	}
	if err := json.Unmarshal(event, &top); err != nil {
		return s, nil, err
	}
	if err := json.Unmarshal(top["drover"], &s); err != nil {
		return s, nil, err
	}
	if s.moe = top["activities"] != nil && top["task_id"] == nil && s.TaskID != ""; s.moe {
		return s, top, nil
	}
	if s.TaskID == "" || string(top["task_id"]) != fmt.Sprintf("%q", s.TaskID) {
		return s, nil, errors.New("drover.task_id is empty or differs from task_id")
	}
	return s, top, nil
}

// handed compares a worker's input with its job: each task does one part of the job, the same part at each start, and no other task does it
// (G2).
func (k *checker) handed(s start, payload map[string]json.RawMessage) {
	if isRun(s.JobID) {
		k.turnHanded(s, payload)
		return
	}
	if problem := k.payload(s.JobID, s.TaskID, payload); problem != "" {
		k.violate("G2", "task %s of job %s was started with a wrong payload: %s", s.TaskID, s.JobID, problem)
	}
}

// payload describes the fault of a task's payload. It returns "" for a correct one.
func (k *checker) payload(job, id string, payload map[string]json.RawMessage) string {
	j := k.job(job)
	var things []string
	if err := json.Unmarshal(payload[j.attribute()], &things); err != nil || len(things) != 1 {
		return fmt.Sprintf("%s %s", j.attribute(), payload[j.attribute()])
	}
	thing := things[0]
	if before := k.things[id]; before != "" && before != thing {
		return fmt.Sprintf("thing %s, earlier %s", thing, before)
	}
	if other := k.tasksOf[job+" "+thing]; other != "" && other != id {
		return fmt.Sprintf("thing %s, which belongs to task %s", thing, other)
	}
	k.things[id], k.tasksOf[job+" "+thing] = thing, id
	var n int
	if _, err := fmt.Sscanf(thing, "t%d", &n); err != nil || n < 0 || n > j.tasks {
		return fmt.Sprintf("thing %s, which its job does not have", thing)
	}
	for name, want := range map[string]int{"ballast": j.giantBytes(), "noise": j.ballast} {
		if got := max(0, len(payload[name])-len(`""`)); got != want {
			return fmt.Sprintf("%s has %d bytes instead of %d", name, got, want)
		}
	}
	if j.ballast > 0 && string(payload["noise"]) != fmt.Sprintf("%q", k.noise(j.ballast)) {
		return "noise has other bytes"
	}
	if j.spelled != "" && payload[j.spelled] == nil {
		return "attribute " + j.spelled + " is missing"
	}
	return ""
}

// recorded compares an archive record with its task (G1).
func (k *checker) recorded(a archive.Record) {
	id, err := task.ParseID(a.TaskID)
	t := k.tasks[id]
	if err != nil || t == nil {
		k.violate("G1", "the archive has a record of task %s, which does not exist", a.TaskID)
		return
	}
	if a.JobID != t.job || a.Labourer != t.labourer {
		k.violate("G1", "task %s belongs to job %s and labourer %s; the archive names job %s and labourer %s", a.TaskID, t.job, t.labourer, a.JobID, a.Labourer)
	}
	if t.damaged || t.turn != "" {
		return
	}
	var payload map[string]json.RawMessage
	if err := json.Unmarshal(a.Payload, &payload); err != nil {
		k.violate("G1", "task %s has an unreadable payload in the archive: %v", a.TaskID, err)
	} else if problem := k.payload(t.job, a.TaskID, payload); problem != "" {
		k.violate("G1", "task %s has a wrong payload in the archive: %s", a.TaskID, problem)
	}
	if len(a.Attempts) != a.Attempt {
		k.violate("G1", "task %s has %d attempts in the archive, and a list of %d", a.TaskID, a.Attempt, len(a.Attempts))
	}
}

func (j jobPlan) giantBytes() int {
	if j.giant {
		return giantBallast
	}
	return 0
}

// watchEnds reports each accepted completion to the checker. In worlds with immediate replays, it also replays tasks whose deaths are
// published.
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

// mostMourned limits the deaths of one task that cause a replay.
const mostMourned = 2

// mourn replays a task when its death is published.
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
	if t.status == "dead" && t.turn == "" && strings.HasSuffix(detail.ID, fmt.Sprintf("/%d", t.life)) { // the first event of this death, not a repetition after the replay
		r.check.revive[id] = t.life + 1
	}
	r.count(ReplayedAtDeath)
	r.drover.Put(event.ReplayTasks, map[string]any{"replay_id": "mourn-" + strings.ReplaceAll(detail.ID, "/", "-"), "tasks": []string{detail.TaskID}})
}

// revived checks that each task that was replayed after its published death has been revived (G1).
func (k *checker) revived() {
	for _, id := range slices.SortedFunc(maps.Keys(k.revive), func(a, b task.ID) int { return strings.Compare(a.String(), b.String()) }) {
		t := k.tasks[id]
		if j := k.jobs[t.job]; t.life < k.revive[id] && !t.gone && j != nil && !k.cancelled[t.job] {
			k.violate("G1", "task %s was not revived by the replay after its published death: it is %s in life %d", id, orOpen(t.status), t.life)
		}
	}
}

// takenIn checks that the end of a started attempt that is still open closes that attempt (G4).
func (k *checker) takenIn(body string) {
	id, attempt, says := k.run.endIn(body)
	t := k.tasks[id]
	if !says || t == nil || t.gone || terminal(t.status) || attempt != t.attempt+1 || k.starts[fmt.Sprintf("%s/%d", id, attempt)] == 0 {
		return
	}
	if j := k.jobs[t.job]; j != nil && (j.cancelling || j.state == "cancelled") {
		return
	}
	k.violate("G4", "the end of attempt %d of task %s was accepted without effect: the task is %s after attempt %d", attempt, id, orOpen(t.status), t.attempt)
}

// endIn returns the attempt that a message of any form reports as ended. It parses the message without Drover's code.
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

// verifyLine checks that a function which requeues a task of a job under cancellation withdraws it again, before a claim (G5).
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
			for n := range l.inHand.Intersect(e.tasks).All() {
				t := k.tasks[task.ID{Segment: e.segment, N: n}]
				if t == nil {
					continue
				}
				if j := k.jobs[t.job]; j != nil && j.cancelling && e.by.began > j.since {
					k.violate("G5", "%[2]s requeued task %[1]s after the cancellation of its job began, and %[3]s claimed it", t.id, e.by.ID, c.ID)
				}
			}
		}
	}
}

// starting records that a start was asked for, and checks that no dispatcher starts a task that had ended before the dispatcher began (G5).
func (k *checker) starting(v *invocation, event []byte) {
	s, _, err := readStart(event)
	if err != nil {
		return
	}
	k.tried[fmt.Sprintf("%s/%d", s.TaskID, s.Attempt)] = true
	id, err := task.ParseID(s.TaskID)
	if t := k.tasks[id]; err == nil && t != nil && terminal(t.status) && t.since < v.began {
		k.violate("G5", "%s starts a worker for task %s, which was %s before the dispatcher began", v.ID, s.TaskID, t.status)
	}
}

// reapTerm bounds the time that tasks may stay leased after the end of their lease, without faults. The tick comes each minute.
const reapTerm = 4 * time.Minute

// standTerm bounds the time that a labourer with due tasks and free slots may start nothing and end no attempt as refused, without faults.
const standTerm = 20 * time.Minute

// steadySince returns the time since which no fault can disturb a tick; the zero time means that one still can.
func (k *checker) steadySince() time.Time {
	if k.calm {
		return k.calmAt
	}
	if k.faults[Hundreds] > 0 && len(k.plan.rates) <= 3 {
		return k.run.start
	}
	return time.Time{}
}

// bounds checks that expired leases are reaped within minutes (G1), and that a labourer which can start tasks does so (G8).
func (k *checker) bounds() {
	now := k.world.Now()
	steady := k.steadySince()
	if now.Sub(k.looked) < 20*time.Second || steady.IsZero() || k.plan.wakesOnly {
		return
	}
	k.looked = now
	k.standing(steady)
	later := func(a, b time.Time) time.Time {
		if a.After(b) {
			return a
		}
		return b
	}
	due := map[string]time.Time{} // by labourer: since when a task waits
	running := map[string]int{}
	for _, key := range slices.Sorted(maps.Keys(k.holders)) {
		h := k.holders[key]
		l := k.labourers[h.labourer]
		switch h.kind {
		case "lease":
			running[h.labourer] += h.inHand.Len()
			if k.startable(h) && due[h.labourer].IsZero() {
				if at := h.idleSince(now); !at.IsZero() {
					due[h.labourer] = later(at, steady)
				}
			}
			if !h.heard && !h.inHand.Empty() && !l.removed && now.After(later(h.ends, steady).Add(reapTerm)) {
				k.violate("G1", "%s of %s ended at %s and still has %s in hand", h.key, h.labourer, h.ends.Sub(k.run.start), h.inHand)
			}
		case "queue":
			if at := later(h.due, steady); at.Before(now) && k.startable(h) && (due[h.labourer].IsZero() || at.Before(due[h.labourer])) {
				due[h.labourer] = at
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(due)) {
		l := k.labourers[id]
		if running[id] >= int(l.MaxSimultaneousInvocations) {
			l.full = now
		}
		if l.paused || l.removed || l.full.Equal(now) || l.HealthMetrics != nil {
			continue
		}
		if since := later(later(due[id], l.began), later(l.full, l.tried)); now.After(since.Add(standTerm)) {
			k.violate("G8", "labourer %s has started nothing since %s, although tasks are due and %d of %g slots are taken",
				id, since.Sub(k.run.start), running[id], l.MaxSimultaneousInvocations)
		}
	}
}

// idleSince returns a time from which on a task of a lease could have been in hand and was not; zero if there is none.
func (h *holder) idleSince(now time.Time) time.Time {
	since := time.Time{}
	for _, again := range h.retries {
		if again.due.Before(now) && (since.IsZero() || again.due.Before(since)) {
			since = again.due
		}
	}
	if h.tasks.Len()-len(h.retries) > h.inHand.Len() {
		return time.Unix(0, 0)
	}
	return since
}

// startable reports whether a holder contains a task that can be started.
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

// unstartable reports whether every attempt to start a task fails now. The cause belongs to the task.
func (r *run) unstartable(id string) bool {
	return r.jinxed(id) && !(r.calm && r.world.Now().After(r.calmAt.Add(2*time.Hour)))
}

// jinxed reports whether a task cannot be started for hours at least.
func (r *run) jinxed(id string) bool {
	share := r.plan.rates[Unstartable]
	return share > 0 && chance(random(r.plan.seed, "unstartable "+id), share)
}

// refused reports whether the target may refuse a task for a reason of the task's own.
func (r *run) refused(t *taskSeen) bool {
	j := r.job(t.job)
	return r.jinxed(t.id.String()) || j.qualifier == "none" || j.qualifier == "forbidden" || j.ballast > 0 || j.giant
}

// unstartableIn reports whether the task in a worker's input is unstartable, and counts the fault.
func (r *run) unstartableIn(event []byte) bool {
	s, _, err := readStart(event)
	if err != nil || !r.unstartable(s.TaskID) {
		return false
	}
	r.count(Unstartable)
	r.check.sought(s.TaskID)
	return true
}

// sought records the failed start of an unstartable task. While its labourer starts nothing, each further task that is tried counts as a step
// towards one that can be started: there may be many of the others.
func (k *checker) sought(id string) {
	parsed, err := task.ParseID(id)
	t := k.tasks[parsed]
	if err != nil || t == nil {
		return
	}
	l := k.labourers[t.labourer]
	if before, is := l.sought[id]; !is || !before.Equal(l.began) {
		l.sought[id], l.tried = l.began, k.world.Now()
	}
}

// expected reports whether an error also occurs without faults.
func expected(err error) bool {
	var condition *types.ConditionalCheckFailedException
	var cancelled *types.TransactionCanceledException
	return errors.As(err, &condition) || errors.As(err, &cancelled)
}

// reconfigure applies a labourer with a different value of one field.
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
		l.Retry.Rate = pick(dice, 1, 2.0)
	case 5:
		l.Heartbeat = pick(dice, 0, 3*time.Second, 20*time.Second)
	case 6:
		if l.Target.Lambda != "" {
			l.Target.Lambda = l.ID + pick(dice, "", ":live")
		}
	case 7:
		l.Coefficients[2] = pick(dice, 0.25, 0.5, 1)
		if load, is := l.HealthMetrics["load"]; is {
			load.Feelings = maps.Clone(load.Feelings)
			load.Feelings[ecology.Moderate] = pick(dice, 70.0, 90) // between them is a load of some worlds
			l.HealthMetrics = maps.Clone(l.HealthMetrics)
			l.HealthMetrics["load"] = load
		}
	case 8:
		l.GroupKey = pick(dice, "", "things")
	}
	r.apply(l)
	r.check.measured(l.ID, r.check.loads[l.ID])
	r.woken(l.ID)
}

// woken publishes that a labourer was applied, as the command line does.
func (r *run) woken(id string) {
	r.drover.Put("TasksDue", fmt.Sprintf(`{"id":"apply","version":1,"labourers":[%q]}`, id))
}

// remove removes an idle labourer. Like the command line, it refuses to remove a labourer with work.
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

// damage makes the payload of a queued or leased task unreadable.
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

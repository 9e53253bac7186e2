package sim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// late injects events that come long after the others, once, when the world has come to rest for the first time. It returns true if it
// injected one.
func (k *checker) late(r *run) bool {
	again := r.plan.rates[DayOldStream] > 0 && r.faults[DayOldStream] == 0
	expire := r.plan.rates[LateTTL] > 0 && r.faults[LateTTL] == 0
	if !again && !expire {
		return false
	}
	k.finished() // before records expire
	k.runsAtRest()
	if expire {
		r.faults[LateTTL]++
		r.trace("LATE time to live")
		later := r.world.Now().Add(31 * 24 * time.Hour)
		r.stack.DynamoDB.Expire(fakeaws.TasksTable, "expires_at", later)
		r.stack.DynamoDB.Expire(fakeaws.JobsTable, "expires_at", later)
		r.stack.DynamoDB.Expire(fakeaws.RunsTable, "expires_at", later)
	}
	if again {
		r.faults[DayOldStream]++
		r.trace("LATE stream")
		r.stack.Stream.Replay(r.stack.Stream.Log())
		r.stack.Archiving.Replay(r.stack.Archiving.Log())
	}
	return true
}

// atRest checks the guarantees in a world where nothing happens any more.
func (k *checker) atRest() {
	k.finished()
	k.runsAtRest()
	k.toldOnce()
	k.archived()
	k.deadLetters()
	k.refusals()
	k.revived()
	for _, machine := range []string{fakeaws.OrchestrateMachine, fakeaws.BackoffMachine} {
		if n := k.stack.StepFunctions.Running(machine); n > 0 {
			k.violate("G1", "%d executions of %s still run", n, machine)
		}
	}
}

// finished checks that every submitted job has ended, with all its tasks (G1, G2, G5).
func (k *checker) finished() {
	if k.faults[LateTTL] > 0 {
		return // records have expired
	}
	for id, plan := range k.planned {
		j := k.jobs[id]
		if j == nil {
			k.violate("G1", "job %s was submitted, but has no record", id)
			continue
		}
		if j.state == "rejected" && k.labourers[plan.labourer].wasRemoved {
			continue // the labourer did not exist when the scheduler read the job
		}
		if j.state != "completed" && (j.state != "cancelled" || !k.cancelled[id]) {
			k.violate("G1", "job %s is %s after the world has come to rest; its tasks are %v", id, j.state, k.tally(id))
			continue
		}
		k.judge("G2")
		// Another job under the same id may have arrived first.
		if j.total != plan.tasks && j.total != plan.tasks+1 {
			k.violate("G2", "job %s has %d tasks instead of %d", id, j.total, plan.tasks)
		}
		if n := len(k.byJob[id]); n != j.total && (j.state != "cancelled" || n > j.total) {
			k.violate("G2", "job %s counts %d tasks, but has %d items", id, j.total, n)
		}
		k.verifyEnd(id)
	}
}

// toldOnce checks that each end is published under one id, with the same content each time (G5).
func (k *checker) toldOnce() {
	said := map[string]string{}
	ends := map[string]int{}
	for _, e := range k.stack.EventBridge.Told() {
		if e.Source != event.Source || e.DetailType == "TasksDue" || e.DetailType == "JobRejected" || e.DetailType == "WorkflowRejected" {
			continue
		}
		var head struct{ ID string }
		if err := json.Unmarshal(e.Detail, &head); err != nil || head.ID == "" {
			k.violate("G5", "a %s has no id: %s", e.DetailType, clip(string(e.Detail)))
			continue
		}
		detail := object(e.Detail)
		delete(detail, novelty) // the addition of another version
		text := string(encode(detail))
		if e.DetailType == "LabourerHealthChanged" || e.DetailType == "LabourerCapChanged" { // two assessments may see the same change at different times
			text = fmt.Sprint(detail["from"], detail["to"])
		}
		if before, told := said[head.ID]; told && before != text {
			k.violate("G5", "event %s was published as %s, and later as %s", head.ID, before, text)
		} else if !told {
			said[head.ID] = text
			if e.DetailType == "JobCompleted" || e.DetailType == "JobCancelled" {
				id, _ := detail["job_id"].(string)
				ends[id]++
			}
		}
	}
	for id := range k.planned {
		if j := k.jobs[id]; j != nil && j.state != "rejected" && ends[id] != j.generation {
			k.violate("G5", "job %s had %d generations, but %d published ends", id, j.generation, ends[id])
		}
	}
	for _, t := range k.tasks {
		if _, told := said[fmt.Sprintf("TaskDead/%s/%d", t.id, t.life)]; t.status == "dead" && !told {
			k.violate("G5", "task %s is dead, but no event says so", t.id)
		}
	}
}

// archived checks that every end of a task is in the archive (G1).
func (k *checker) archived() {
	records, err := k.drover.Archived()
	if err != nil {
		k.violate("G1", "the archive cannot be read: %v", err)
		return
	}
	ends := map[string]string{}
	for _, a := range records {
		key := fmt.Sprintf("%s/%d", a.TaskID, a.Life)
		if before := ends[key]; before != "" && before != string(a.Status) {
			k.violate("G5", "the archive has life %d of task %s both as %s and as %s", a.Life, a.TaskID, before, a.Status)
		}
		ends[key] = string(a.Status)
		k.recorded(a)
	}
	for _, t := range k.tasks {
		if !t.published {
			continue
		}
		if end := ends[fmt.Sprintf("%s/%d", t.id, t.life)]; end != t.status {
			k.violate("G1", "task %s is %s, but %q in the archive", t.id, orOpen(t.status), end)
		}
		for life := range t.life {
			if ends[fmt.Sprintf("%s/%d", t.id, life)] != "dead" {
				k.violate("G1", "life %d of task %s is missing from the archive", life, t.id)
			}
		}
	}
}

// deadLetters checks that poison is in the dead letter queues, and nothing else (G8, G9).
func (k *checker) deadLetters() {
	for _, queue := range []string{fakeaws.JobsDeadLetters, fakeaws.CompletionsDead, fakeaws.StreamFailures, fakeaws.RunsDead} {
		letters := k.stack.SQS.Letters(queue)
		if len(letters) < k.poison[queue] {
			k.violate("G9", "%d poisonous messages were sent, but %d are in %s", k.poison[queue], len(letters), queue)
		}
		for _, l := range letters {
			k.judge("G8")
			if l.Reason == "" || strings.Contains(l.Body, `"task_id":"a.1"`) && k.poison[queue] == 0 {
				k.violate("G8", "an unexpected message is in %s: %s", queue, clip(l.Body))
			}
			// Redriven, it is buried again, as no completion.
			if stray := k.strays > 0 && (strings.Contains(l.Reason, "Drover has started no such plugin in this run") || strings.HasPrefix(l.Body, `{"record":"activities.`)); stray {
				continue
			}
			if queue == fakeaws.CompletionsDead && l.Reason != "" && !k.bodies[l.Body] {
				k.violate("G8", "a readable message is in %s, with the reason %s: %s", queue, l.Reason, clip(l.Body))
			}
		}
	}
}

// refusals checks that each refusal is published, with the field (G9).
func (k *checker) refusals() {
	for _, i := range k.refused {
		k.judge("G9")
		found := false
		for _, e := range k.drover.Facts("JobRejected") {
			var detail struct {
				JobID string `json:"job_id"`
				Error struct{ Field string }
				Job   json.RawMessage
			}
			err := json.Unmarshal(e.Detail, &detail)
			gone := detail.Error.Field == "labourer" && k.labourers["l0"].wasRemoved // when the scheduler read the job
			if err == nil && ((detail.Error.Field == badJobs[i].field || gone) && sameJSON(detail.Job, []byte(badJobs[i].text)) ||
				badJobs[i].field == "" && strings.Contains(badJobs[i].text, fmt.Sprintf(`"job_id": %q`, detail.JobID))) {
				found = true
			}
		}
		if !found {
			k.violate("G9", "no event refuses the field %q of %s", badJobs[i].field, clip(badJobs[i].text))
		}
	}
}

func sameJSON(a, b []byte) bool {
	return string(encode(object(a))) == string(encode(object(b)))
}

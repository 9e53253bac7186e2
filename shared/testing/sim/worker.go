package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// start is one start of a worker.
type start struct {
	TaskID  string `json:"task_id"`
	JobID   string `json:"job_id"`
	Attempt int    `json:"attempt"`

	labourer labourer.Labourer
	end      func(output []byte, failure *fakeaws.Failure) // reports the end to the service that runs the worker
	moe      bool                                          // it is a plugin of moe's orchestrator
	execution
}

// execution reports whether the worker is a state machine, whose end is its report.
type execution bool

// employ installs workers behind the targets of the labourers.
func (r *run) employ() {
	for _, l := range r.plan.labourers {
		switch l.Target.Kind() {
		case "lambda":
			f := func(event []byte, done func(*fakeaws.Failure)) {
				r.work(l, event, "", func(_ []byte, failure *fakeaws.Failure) { done(failure) })
			}
			r.stack.Lambda.Handle(l.Target.Lambda, f)
			r.stack.Lambda.Handle(l.Target.Lambda+":live", f)
		case "sqs":
			dead := l.Target.SQS + "-dead"
			r.stack.SQS.Create(dead, fakeaws.Queue{})
			r.stack.SQS.Create(l.Target.SQS, fakeaws.Queue{Visibility: l.Lease() + time.Minute, MaxReceives: 3, DeadLetters: dead, MaxMessage: r.plan.mostOf(l.ID)})
			r.stack.SQS.Map(l.Target.SQS, fakeaws.Consumer{Batch: 1, Most: 1000, Take: func(batch []fakeaws.Received, done func([]string, error)) {
				r.work(l, []byte(batch[0].Body), "", func(_ []byte, failure *fakeaws.Failure) {
					if failure == nil {
						done(nil, nil)
					}
				})
			}})
		case "states":
			r.stack.StepFunctions.Handle(l.Target.States, func(name string, input []byte, done func([]byte, *fakeaws.Failure)) {
				r.work(l, input, name, done)
			})
		}
	}
}

// work runs a worker on a task.
func (r *run) work(l labourer.Labourer, event []byte, name string, end func([]byte, *fakeaws.Failure)) {
	machine := name != ""
	s, payload, err := readStart(event)
	if err != nil {
		r.violate("G4", "a worker of labourer %s was started with the unreadable input %s: %v", l.ID, clip(string(event)), err)
		return
	}
	if machine {
		r.names[name] = s
	}
	r.check.handed(s, payload)
	s.labourer, s.end, s.execution = l, end, execution(machine)
	nth := r.check.started(s)
	dice := random(r.plan.seed, fmt.Sprintf("worker %s %d %d", s.TaskID, s.Attempt, nth))
	does := func(f Fault) bool {
		if r.calm || !chance(dice, r.plan.behaviours[f]) || !r.may() {
			return false
		}
		r.count(f)
		return true
	}
	share := dice.Float64()
	limit := l.MaxDuration
	if own := r.job(s.JobID).maxDuration; own > 0 {
		limit = own
	}
	takes := 5*time.Millisecond + time.Duration(share*share*share*0.8*float64(limit))
	switch {
	case does(WorkerThrottled) && l.Target.Lambda != "":
		end(nil, &fakeaws.Failure{Throttled: true})
		return
	case does(WorkerHangs) && !machine:
		return
	case does(WorkerDies):
		r.later(takes, s, func() { s.end(nil, &fakeaws.Failure{Type: "Runtime.ExitError", Message: "exit status 1"}) })
		return
	case does(WorkerLate):
		takes = limit + l.Cooldown + time.Duration(share*float64(time.Minute))
	}
	if s.moe {
		r.workMoe(s, payload, takes, does)
		return
	}
	if l.Heartbeat > 0 && !machine {
		for at := l.Heartbeat / 3; at < takes; at += l.Heartbeat / 3 {
			r.later(at, s, func() {
				r.report(s, map[string]any{"version": 1, "task_id": s.TaskID, "attempt": s.Attempt, "status": "running"})
			})
		}
	}
	message := r.outcome(s, does)
	r.later(takes, s, func() {
		if s.execution {
			r.endExecution(s, message)
			return
		}
		if s.Attempt > 1 && does(WorkerStale) {
			stale := map[string]any{"version": 1, "task_id": s.TaskID, "attempt": pick(dice, max(s.Attempt-1, 1), s.Attempt+7), "status": "completed",
				"result": map[string]any{"stale": true}}
			r.report(s, stale)
		}
		switch {
		case does(WorkerCalls):
			action := "mark_task_as_completed"
			if message["status"] == "failed" {
				action = "mark_task_as_failed"
			}
			r.check.vague[s.TaskID] = true
			r.stack.Mark(encode(map[string]any{"action": action, "task_id": s.TaskID}), nil)
		case does(WorkerVague):
			r.check.vague[s.TaskID] = true
			delete(message, "attempt")
			delete(message, "result")
			r.report(s, message)
		default:
			r.report(s, message)
		}
		if does(WorkerTwice) {
			r.later(time.Duration(share*float64(time.Minute)), s, func() { r.report(s, message) })
		}
		if does(WorkerContradicts) {
			r.report(s, map[string]any{"version": 1, "task_id": s.TaskID, "attempt": s.Attempt, "status": "failed", "error": map[string]any{"type": "SecondThoughts"}})
		}
		s.end(nil, nil)
	})
}

func (r *run) later(after time.Duration, s start, do func()) {
	r.world.At(r.world.Now().Add(after), fakeaws.Run, fmt.Sprintf("worker of %s attempt %d", s.TaskID, s.Attempt), do)
}

// outcome returns the completion message of a worker.
func (r *run) outcome(s start, does func(Fault) bool) map[string]any {
	message := map[string]any{"version": 1, "task_id": s.TaskID, "attempt": s.Attempt, "status": "completed", "result": r.resultOf(s)}
	switch {
	case does(WorkerGivesUp):
		message["status"], message["retryable"], message["error"] = "failed", false, map[string]any{"type": "Hopeless"}
	case does(WorkerFails):
		message["status"], message["error"] = "failed", map[string]any{"type": pick(r.random("error"), "Timeout", "BadInput"), "message": "no"}
	}
	switch {
	case message["status"] != "failed":
	case r.job(s.JobID).report == 0:
		delete(message, "result")
	default:
		message["error"] = map[string]any{"type": "Verbose", "message": r.check.static(4<<10 - s.Attempt)} // with other text in each attempt
	}
	return message
}

func (r *run) endExecution(s start, message map[string]any) {
	if message["status"] == "failed" {
		kind, _ := message["error"].(map[string]any)["type"].(string)
		s.end(nil, &fakeaws.Failure{Type: kind, Message: "no"})
		return
	}
	s.end(encode(message["result"]), nil)
}

// report sends a completion message. Like any message, it may arrive late or twice.
func (r *run) report(s start, message map[string]any) {
	r.trace("worker of %s attempt %d reports %v %v", s.TaskID, s.Attempt, message["status"], message["attempt"])
	r.stack.Deliver(fakeaws.CompletionsQueue, string(encode(message)))
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

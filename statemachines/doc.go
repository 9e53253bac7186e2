// Package statemachines holds Drover's Step Functions definitions, and the tests that read them. The stack's template puts the
// names in ${...} in their place.
//
// # Orchestrate
//
// What a person opens to see why something did or did not start. Each state is one decision; what it was taken on is added to
// the labourer's branch under the name of the step, so that an execution's output shows the last of each:
// {labourers: [{labourer, reap, assessed, claimed, dispatched, …}], idle}.
//
//	Plan                    {labourers: [{labourer, round, reap}], idle}
//	EachLabourer            up to ten at once; one that fails leaves the others alone
//	  NeedsReaping
//	    Reap                reaped: {expired, released, settled, withdrawn, undispatched: [lease], undispatched_count}
//	    LeftUndispatched
//	      Redispatch        redispatched: as dispatched      ── fails ──► GiveBackUndispatched ──► DispatchFailed
//	  Assess  ◄──────────┐  assessed: {round, status, metrics, cap, coefficient, desired, running, free, due, start, reason, …}
//	  MayStart ── no ────┼──► Rest
//	  Claim              │  claimed: {claimed, leases: [lease], reason}
//	  Claimed ── none ───┼──► Rest
//	  Dispatch           │  dispatched: {dispatched, given_back, errors} ── fails ──► GiveBack ──► DispatchFailed
//	  RoundsLeft ── yes ─┘
//	  HandOver ─────────────► Rest      a TasksDue event starts an execution that goes on
//
// Any other error of a branch ends it in LabourerFailed, which shows Error and Cause (failed).
//
// Every step is one invocation of the orchestrator function with {"step": plan|reap|assess|claim|dispatch|give_back, …}; what it
// answers becomes the state's result unchanged. All steps carry the execution's id; assess also the execution's start. The rounds
// count from the number in the plan: an assessment returns the next one, and at 20 the execution hands over. A step that sees
// time run short may return 20 itself.
//
// What AWS bounds, the steps have to keep, as nothing here can:
//
//   - An Express execution lasts 300 s. It is ended at 290, with what was claimed and not dispatched left to the next reaping.
//   - A state's output may have 256 KiB, and the Map's has all branches: 40 labourers in a plan at most, and 6 KB in a branch
//     (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html). The same 40 keep a Standard execution below its
//     25,000 events: a round makes 21, and there are 20 rounds.
//   - No answer has a null in it, and none leaves out a field that is named above: a path that leads nowhere ends an execution
//     on AWS, past any Catch.
//
// # Backoff
//
// One execution for a batch of failed attempts with the same due time, whose input is there for people: {labourers, due_at,
// attempt, tasks: [{task_id, error}], count}. It waits until due_at and puts a TasksDue event. Two transitions; the tasks' queue
// entries are written before it starts, so that losing it costs a minute at most. A job's not_before, and workers that could not be
// started, wait there as well: {labourers, due_at}.
//
// # The dialect
//
// Both are written in what AWS and a local AWS take the same way: JSONPath, plain reference paths, literal timeouts, numbers
// compared with literals and only once they are known to be present. What is not in that dialect is refused by a test, as a local
// AWS takes any text for a definition and an unknown field for none.
package statemachines

// Package statemachines holds Drover's Step Functions definitions and their tests. The stack's template replaces the placeholders ${...}.
//
// # Orchestrate
//
// Open an execution of this machine to see why a task did or did not start. Its output has a decision about each labourer that was named or is
// not at rest: {decisions: [{at, labourer_id, status, metrics, cap, desired, running, free, due, binding, reason, started, …}]}, the records of
// package decision. Each is also a line of the orchestrator function's log, which drover why --at and --since read.
//
//	Plan                    {labourers: [{labourer, reap, decided}], idle}; an item without a labourer has the decisions about those that have to wait
//	EachLabourer            up to ten at once; a failed one does not affect the others
//	  NeedsReaping
//	    Reap                reaped: {expired, released, settled, withdrawn, undispatched: [lease], undispatched_count}
//	    LeftUndispatched
//	      Redispatch        redispatched: as by Dispatch     ── fails ──► GiveBackUndispatched ──► DispatchFailed
//	  Claim  ◄───────────┐  decided: {round, claimed, leases: [lease], revoke, decisions: [one]}
//	  Claimed ── none ───┼──► Rest, or Revoke ──► Rest
//	  Dispatch           │  decided: {round, start, revoke, decisions: [one], dispatched, given_back, errors} ── fails ──► GiveBack ──► DispatchFailed
//	  MayStart ── yes ───┘
//	  │        └─ no ───────► Rest, or Revoke ──► Rest
//	  HandOver ─────────────► Rest      after 20 rounds: a TasksDue event starts the execution that continues
//
// The decision of a claim stays the labourer's until the next claim, or until the labourer is paused or its target fails.
//
// Any other error of a branch ends it in LabourerFailed, which shows Error and Cause in its place: {labourer_id, failed}.
//
// Every step is one invocation of the orchestrator function with {"step": plan|reap|revoke|claim|dispatch|give_back, …}. Its answer becomes the
// state's result unchanged. All steps carry the execution's id. Rounds are counted from the
// number in the plan: each dispatch returns the next number, and at 20 the execution hands over. A step that is short of time may return 20 itself.
//
// The steps have to keep within these limits of AWS, because the definition cannot enforce them:
//
//   - An Express execution may last 300 s. The machine's timeout ends it after 290 s; the next reaping handles claimed but undispatched leases.
//   - A state's output may have 256 KiB, and the Map's output contains all branches. So a plan has at most 40 labourers, and a branch at most 6 KB
//     (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html). With 40 labourers a Standard execution also stays below its limit
//     of 25,000 events: a round makes 14, and there are 20 rounds.
//   - No answer contains null or omits a field that is named above: on AWS, a path that leads nowhere ends the execution, and no Catch
//     handles it.
//
// # Backoff
//
// What waits for more than 15 minutes waits here; shorter waits are delayed messages in the completions queue.
// There is one execution for all failed attempts of a labourer that are due at about the same time: its name is made of the labourer and the time,
// so later batches share it. Its input is for people to read: {labourers, due_at, tasks: [{task_id, attempt, error}], count}, with the tasks of the
// batch that started it. It waits until due_at and puts a TasksDue event, in two transitions. The tasks' queue entries are written before it
// starts, so a lost execution delays them by a minute at most. Jobs with a not_before wait in this machine as well, with the input
// {labourers, due_at}.
//
// # Workflow
//
// One execution for each run of a workflow, for people to look at. It decides nothing: each state sends its token to the runs queue and waits.
// The workflow function reads the store, carries out what the run needs, and answers with what the run is at:
// {run_id, workflow, uid, run, definition_version, activity, stage, state, next, message, activities: [{activity, state}]}.
//
//	Begin                   records the run; waits while another run of the uid is active
//	Next  ◄──────────────┐  next: pre | parallel | post | complete | rejected, else the run has failed
//	  Pre ───────────────┤  one token for a stage, whatever the number of its plugins
//	  Parallel ──────────┤
//	  Post ──────────────┘
//	Complete                Complete, Optional Task Error
//	Failed                  Error, Timed Out, Cancelled: the state is the error, its reason the cause
//	Rejected                WorkflowRejected
//
// Stages in which nothing runs have no state. A run takes two transitions at its beginning, two for each stage, and one at its end. A token
// that is lost is answered by the tick; one that is answered twice, or late, changes nothing. Stopping an execution cancels its run. The
// timeouts here are the longest that Step Functions has: Drover keeps those of plugin, activity and run itself.
//
// # The dialect
//
// The definitions use only features that AWS and a local AWS treat alike: JSONPath, plain reference paths, literal timeouts, and numbers that are
// compared with literals once they are known to be present. A test refuses everything else, because a local AWS accepts any text as a definition and
// ignores unknown fields.
package statemachines

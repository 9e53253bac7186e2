// Package shared describes the design of Drover; the code is in the packages below it.
//
// # Words
//
//	job            what an application asks for: a labourer, attributes, a period; one event
//	task           one unit of work: one run of a worker; a job is chunked into tasks
//	attempt        one start of a task
//	labourer       a kind of worker: its target, its cap, its health metrics, its retry policy
//	worker         the user's code that runs one task
//	scheduler      turns jobs into tasks
//	orchestrator   decides how many tasks of each labourer may run now, grants slots and tasks to leases, starts the first ones
//	ecology        the health of what a labourer depends on: metrics to a status, 0 Bad to 4 High
//	assistant      receives completions from workers, closes tasks, and feeds their leases: starts the next tasks in the slots that are free
//	scavenger      handles failed tasks: retries them, or ends them as dead
//	archiver       writes tasks that have reached their end to the archive
//	segment        up to 256 tasks that were stored together and share a partition key
//	queue entry    "tasks a..b of segment S are due from time T on"
//	lease          "these tasks of segment S are in hand, these wait, these are to be tried again, and so many may be in hand"; what remains was
//	               completed under it
//	slot           room for one task in hand; the slots that leases take are bounded by cap and health
//	workflow       an ordered list of activities; each has the stages pre, parallel and post
//	plugin         a labourer that takes part in a stage, with a filter on a run's metadata
//	composition    a workflow with its activities and plugins, as an immutable version; a run keeps the one that it began with
//	run            one pass through a composition, named by workflow, uid and run number
//	turn           a plugin's part in a run: one task of its labourer, whose segment belongs to a stage of the run
//
// # Floors
//
// An import only goes down: core ← service ← aws ← wiring ← functions/, cmd/ and testing.
//
// core decides, without AWS, clock or randomness: job and calendar (the job language), labourer (configuration), ecology (pace), decision (what
// may start, and why no more: the record that all show), retry (waits), workflow (definitions, the steps and the states of runs), document (YAML
// and JSON with places for errors), segment, task, queue and ledger (what is stored, and how it may change), trace (contexts and spans),
// completion (what workers report, and timed wakes), event (what passes on the bus), pattern (filters, as
// EventBridge has them), archive (the lasting record), adaptive (caps that find themselves), metric (embedded metrics), packaging (a template and
// its code, ready to deploy), sosw and moe (what moves in from there). exact decodes all JSON that comes from outside; escape and spelling serve
// texts; lazyregexp keeps the start of programs short.
//
// service acts, through ports that its packages define themselves: scheduler, orchestrator, health, assistant, scavenger, archiver, outcome,
// cancellation, replay, workflow (carries out runs, records the ends of turns, briefs their workers); and what several of them use: direct (grants as it
// publishes), target (starts workers), leasing (writes leases), progress (counts the ends of tasks), metering (tells what happened as metrics). migration moves a live
// sosw's tasks.
//
// aws holds the adapters between those ports and the AWS SDK: dynamo, sqs, sns, s3, eventbridge, stepfunctions, lambda, cloudwatch,
// logs, cloudformation, sosw. Each names the calls that it makes in one interface. settings sets up the clients, and recognizes errors that may pass.
//
// wiring has one constructor and one handler for each function, where services meet adapters. The functions below functions/ and the tests
// use the same ones.
//
// Beside the floors: inspect (read models for the CLI and the console), console (a stack as web pages), worker (the SDK of Go workers; Python's and Node's beside it), drovertest
// (a Drover in one process, for users' tests), and testing: fakeaws (AWS in memory), outage and faults (interruptions), sim (the seeded
// simulator), conformance (one suite for every backend), patterns (event patterns that are drawn), crowd (a stack with
// more than a person looks at), browser (a real browser), bill (list prices, for what tests and benchmarks
// count).
//
// # What is stored
//
//	tasks    segment, n                     the task; written when it is created and when an attempt at it ends
//	         segment#n, k                   the k-th part of the task's payload, of up to 256 KB, if it lies apart: that takes fewer write units
//	         segment#a-b, hash              a bundle: payloads of several of the tasks a..b, compressed together. Their items name it
//	control  labourer, state                version (the fence of claims), paused, pause (person, time), claiming_until, claiming_by, trouble, pace
//	         labourer, queue#due#segment#n  a queue entry
//	         labourer, lease#segment#attempt#n   a lease, with its revision: it tells the lease from others under its key, and from itself before
//	         labourer, lease#!lanes         how many lanes the labourer has, if any
//	         labourer#lane#x, lease#segment…x#attempt#n   a lease on a segment whose id ends with the letter of a lane
//	         labourer, cancel#…             an entry that was withdrawn and whose tasks are not cancelled yet
//	         labourer, unreadable#time#…    a lease, entry or aside that cannot be decoded, set aside for a person to read
//	         labourer, assessment           what the last assessment leaves for the next
//	         #labourers, id                 a labourer as applied
//	         #job_schemas, name             a job schema as applied
//	         #metrics, key                  a reading from CloudWatch, and its time
//	         #workflows, #activities, #plugins, name   a definition as applied
//	jobs     job_id, job                    the record: state, cursor, totals; its text, if long, in job_id, text#hash#part
//	         job_id, segment#segment        the ends of the job's tasks there, as sets; a whole job, ended by one write, has none
//	         #replay/id, replay             when a replay began
//	runs     definition#workflow, newest    the number of the newest composition; v#…: a composition
//	         uid#workflow#uid, uid          the uid's last run, and the active one; waiting#…: a run that waits for its turn
//	         run_id, run                    the record: where the run is, its state, the token by which its execution waits
//	         run_id, subject                the metadata, and what is kept of the last run; written once
//	         run_id, stage#place            the turns that were published and that have ended, as sets
//	         run_id, turn#place#n           attempts, times, message and result of a turn that ended
//	         #gauged, workflows             which workflows had active runs at the last tick
//
// What lies apart is dated when it is written: a year and a month, and the tables' retention, after the task is due, or the last of a bundle. A task that
// ends more than a month after that has it dated anew, for a year after its retention, and a bundle for a month more; no date becomes an earlier one. A task
// that waits for longer than its payload is kept fails, as unreadable.
//
// A bundle lies under a hash of its content, so a creation that is repeated with another cut of the segment overwrites none that a stored task names. It is
// written before the tasks that name it. What an interrupted creation leaves expires.
//
// A partition key takes a thousand writes a second. So the segments of a labourer with a cap beyond a thousand are spread over up to sixteen lanes,
// as its cap is when a job is recorded, and each lane has a partition key for its leases. State and queue stay under one key: a grant is one transaction.
//
// A task is in exactly one entry, or in exactly one lease, or has reached its end. Each of these moves is one write or one transaction:
//
//	create    tasks of a segment, then {entry, job's cursor}                     scheduler
//	grant     {state's version and pace, entries shortened or deleted, leases}   orchestrator
//	          directly: {state's version and pace, a lease, job's cursor}        scheduler; workflow, with the stage's sets
//	close     task, on condition of its attempt                                  assistant; orchestrator for lost ones
//	feed      lease: completed tasks out of hand, the next that wait in hand     assistant; orchestrator, if slots stay free
//	retry     with feed: failed tasks out of hand, to be tried again at a time   assistant
//	requeue   {lease without them, entry}: the next attempt, or the same again   scavenger, orchestrator
//	kill      {tasks dead, lease without them}                                   scavenger, orchestrator
//	revoke    {state's version, fewer slots}; what is in hand stays so           orchestrator
//	withdraw  {entry or lease, aside}, then tasks cancelled, then aside deleted  scheduler
//	remove    tasks of a cancelled job that were written and never published     scheduler
//	revive    {tasks open, entry, progress, job}                                 scheduler
//	enter     progress' sets, then {progress rolled, job's totals}               scavenger; for what was completed, whichever ends the lease
//	complete  the job's record, if all its tasks were completed under one lease  the same
//
// A run has moves of its own:
//
//	begin     {record, subject, the uid's claim}                                 workflow
//	publish   tasks of turns, then {entries or direct grants, the stage's sets}  workflow
//	count     details of turns, then the stage's sets; then a look at the run    scavenger
//	give up   the stage's sets on their revision, then tasks cancelled           workflow
//	move      the record on its revision: the next stage, or the run's end       workflow
//
// Segments are named for the job's id and the time of its record, so the remains of an earlier job with the same id are never taken for this
// one's. A scheduler that cannot create, withdraw or revive everything within its time sends the rest to the next scheduler. So does one that has published
// 250 segments of a labourer, as the key of its queue takes 500 entries a second at most.
//
// Every write of a lease is conditioned on its revision, and the write that leaves no task in hand and none waiting deletes it. What was
// completed under it is entered in its job's progress before: once for all its tasks.
//
// A failed task stays in hand until its outcome is durable: it waits in the lease for its next attempt, or is queued, or dead. So it is found again
// after a crash anywhere: the stream redelivers its record, and the reaper finds it when its time is over. If the stream has given up a record, the
// task's item still holds the end: drover redrive writes the item once more, and the stream delivers it again.
//
// # Wakes
//
// Nothing polls on the common path. A completion whose slot was fed causes no wake. The component that makes work due, or leaves a slot idle,
// writes that first and then publishes TasksDue, which starts an orchestrator execution that reads strongly. If many are started at once, one
// of them claims: its transaction sets a lock that carries its name, and the others see the lock and end. An execution never yields to its own
// lock. The claimer ends the lock when it has dispatched, or finds nothing to claim, and then reads the state again. So it sees every change
// that was written before a wake that yielded to it. The minute tick makes up for a lost wake.
//
// Tasks that find a free slot as they are published, and nothing before them, need no wake: they are granted directly, and the orchestrator function is invoked to
// start them. It ends their lock as a claimer does.
//
// Tasks that become due later have a timed wake: a delayed message in the completions queue, for which the worker assistant publishes TasksDue if anything is
// due by then and a slot may be free, or an execution of the backoff machine if the wait is longer than 15 minutes. A retry in a lease that is due takes the
// slot of a task that ends there, or gets one from the orchestrator.
//
// # Runs
//
// The tables hold the truth about a run; its execution only waits and shows. A state of the workflow machine waits by a token, which the
// workflow function stores in the record before it reads the stage. Whatever wakes the function then, a token, a turn's end, a command or the
// minute tick, it reads the record, decides by a pure function what the run needs, writes that on a condition, and repeats until the run waits.
// So a token that is lost or answered twice, and an end that is told twice, change nothing.
//
// # Room for more
//
// None of this is built. Priorities: a digit before the due time in an entry's key. Fairness: an entry's place in the queue is its due time, which
// its writer may choose.
package shared

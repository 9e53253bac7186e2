// Package shared is the design of Drover; the code is in the packages below it.
//
// # The words
//
//	job            what an application asks for: a labourer, attributes, a period; one event
//	task           one unit of work: one run of a worker; what a job is chunked into
//	attempt        one start of a task
//	labourer       a kind of worker: its target, its cap, its health metrics, its retry policy
//	worker         the user's code that runs one task
//	scheduler      turns jobs into tasks
//	orchestrator   decides how many tasks of each labourer may run now, claims and dispatches them
//	ecology        the health of what a labourer depends on: metrics to a status, 0 Bad to 4 High
//	assistant      takes what workers tell of their end, and closes tasks
//	scavenger      goes on from there: archives, sends to retry, kills
//	segment        up to 256 tasks that were stored together and share a partition key
//	queue entry    "tasks a..b of segment S are due from time T on"
//	lease          "these tasks of segment S were handed out, until U"; the leases are the count of running tasks
//
// # Where things are
//
// Deciding, without AWS, clock or randomness: job and calendar (the job language), labourer (configuration), ecology (pace), retry
// (waits), segment, task, queue, ledger (what is stored, and what may become of it), completion (what workers tell), event (what passes
// on the bus), archive (the lasting record). exact decodes the JSON of all that comes from outside.
//
// Acting, by ports that they define themselves: scheduler, orchestrator, health, assistant, scavenger, outcome, cancellation, replay,
// finish. The functions below functions/ wire them to adapters.
//
// Adapters, the only importers of the AWS SDK: dynamo, sqs, sns, s3, eventbridge, stepfunctions, lambda, cloudwatch, cloudformation; each
// names the calls that it makes in one interface. environment is what the template hands to a function.
//
// For users: worker (the SDK of Go workers). For tests: memory (AWS in memory), conformance (one suite for every backend), sim (the seeded
// simulator).
//
// # What is stored
//
//	tasks    segment, n                     the task; written when it is created and when an attempt at it ends
//	         segment#n, k                   the k-th part of the task's payload, where that has over 256 KB when it is compressed
//	control  labourer, state                version (the fence of claims), paused, claiming_until, claiming_by, trouble
//	         labourer, queue#due#segment#n  a queue entry
//	         labourer, lease#segment#attempt#n   with the version that its claim made, which tells it from any other lease under its key
//	         labourer, cancel#…             an entry that was withdrawn and whose tasks are not cancelled yet
//	         labourer, unreadable#time#…    a lease, entry or aside that cannot be decoded, set aside for a person to look at
//	         labourer, assessment           the last assessment's memory
//	         #labourers, id                 a labourer as applied
//	         #job_schemas, name
//	         #metrics, key                  what CloudWatch said, and when it was asked
//	jobs     job_id, job                    the record: state, cursor, totals; its text, when long, in job_id, text#hash#part
//	         job_id, segment#segment        what has become of the job's tasks there, as sets
//	         #replay/id, replay             when a replay began
//
// A task is in exactly one entry, or in exactly one lease, or has reached its end. These are the moves, each one write or one transaction:
//
//	create    tasks of a segment, then {entry, job's cursor}                  scheduler
//	claim     {state's version, entry shortened or gone, lease}               orchestrator
//	close     task, on condition of its attempt                               assistant; orchestrator for lost ones
//	release   lease's released set, or the lease with its last task           assistant, scavenger
//	requeue   {lease released, entry}: the next attempt, or the same again    scavenger, orchestrator
//	kill      {tasks dead, lease released}                                    scavenger, orchestrator
//	withdraw  {entry, aside}, then tasks cancelled, then aside gone           scheduler
//	remove    tasks of a cancelled job that were written and never published  scheduler
//	revive    {tasks open, entry, progress, job}                              scheduler
//	enter     progress' sets, then {progress rolled, job's totals}            scavenger
//
// Segments are called after the job's id and the time at which its record was made: what is left of a job that had the id before is never
// taken for this one's. Who creates, withdraws or revives more than his time allows sends what is left to the next scheduler.
//
// A failed task stays in its lease until what follows is durable. So a crash anywhere leaves it where somebody looks: the stream comes
// again, and past the lease's end the reaper finds it. An end that the stream has given up is still in the task's item: drover redrive
// writes that once more, and the stream tells of it again.
//
// # Wakes
//
// Nothing polls in the common path. Whoever makes work due or a slot free writes it first and then tells TasksDue; the orchestrator that is
// started by it reads strongly. Of many at once one claims: the others see that somebody is about to, who is named so that he does not
// give way to himself, and leave; who has claimed looks again after dispatching, and who found nothing to claim looks again after saying so.
// So a change that was written before a wake is seen by whoever the wake gave way to. A wake that is lost is found by the minute tick.
//
// # Room for more
//
// Priorities: a digit in front of the due time in an entry's key. Lanes, for a labourer beyond about a thousand tasks a second: a suffix
// to the partition key, as nothing but the claim reads across a labourer. Fairness: the due time of an entry is where it stands in line,
// and who puts it may place it. None of it is built.
package shared

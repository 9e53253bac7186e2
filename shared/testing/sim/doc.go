// Package sim simulates Drover by seed, to find what breaks its guarantees.
//
// A seed determines a world: its labourers, jobs and operations, and the rates of its faults (see [Faults]). The services in it are the
// real ones, on the fake AWS of package fakeaws. The simulation controls time, ids, chance and delivery. Every call of every function
// waits for its turn, takes some time, and may fail before or after its effect, crash its process, or conflict with another call. Every
// message, event and tick may arrive late or twice, or get lost where AWS can lose it. Every worker may fail, die, hang, or send a wrong
// report. Some worlds gather messages into batches. In some worlds the functions are being updated: part of the invocations run a next
// version, which writes and sends additional fields, and the present version has to accept and keep them. After a while the faults stop,
// and the world has to come to rest.
//
// # What is checked
//
// After every write, the checker compares the guarantees with its own model, which it builds from the changes of the tables:
//
//	G1   a published task is in exactly one queue entry or lease, for the right attempt, or has reached its end; what another version
//	     has added to an item stays there; a lease under a used key begins above all revisions of the earlier ones; the parts of a payload are
//	     written before their task is published, and stay as they are
//	G2   no task is created twice; its job has as many tasks as the job asked for
//	G3   a claim leaves no more slots granted than the highest cap × health that was in force since the claimer began, and no more than a pin; nothing
//	     else raises slots, and no lease has more in hand than it has slots when it is fed
//	G4   no attempt beyond max_attempts is started; only attempts that were started are closed, by their own reports; a start is noted only
//	     after it was asked for
//	G5   an end is final; a job ends when all its tasks have ended, with exact counts, and each end is published under one id
//	G6   no entry is claimed before another one that was due earlier and existed when the claimer read the queue
//	G7   nothing is claimed for a labourer that is paused, or that has been unhealthy for minutes
//	G8   no function panics, and dead letter queues hold nothing but poison
//	G9   a refusal is published with the field; unreadable messages are in the dead letter queues
//	G10  a retry is due within the bounds of its labourer's policy
//
// Worlds from the seed 3<<39 on have labourers with caps that find themselves by a metric that their own tasks raise, and pins; from
// 3<<39 + 1<<30 on these caps may be so high that the labourers' leases lie in lanes. Those
// from the seed 1<<41 on have runs of workflows as well. For these, the checker makes the plan of each run itself, from the definitions that were
// applied, and checks:
//
//	R1  every run ends once, for a reason, and none stands still; what is out of time is given up
//	R2  a turn begins at the stage that its run is at, in its order, and not after a verdict or in a pause; a skipped or kept plugin gets no task; a
//	    stage is left only once all of its turns have ended durably; a worker gets the metadata and the results of its run, or the address of results
//	    that are too large for its event; a plugin of moe's orchestrator gets a message of its own form
//	R3  an execution goes on only after what it shows is stored, and ends as its run
//	R4  a run goes on as the ends of its turns say: an optional plugin's error fails nothing, a mandatory one's ends the activity and the run
//	R5  a uid has one active run, and its runs are numbered
//	R6  an event says what is stored; each start becomes a run or is refused, each run and activity is told of under one id
//
// The checker compares workers and the archive with the jobs: each task does one part of its job, at each start and in its record. When
// the assistant accepts the end of a started attempt, the attempt ends. No dispatcher starts a task that had ended before the dispatcher
// began. A function that requeues a task of a cancelled job withdraws it again. Without faults, expired leases are reaped within minutes,
// and a labourer with due tasks and free slots starts some.
//
// When the world has come to rest, every job has ended, nothing is queued or leased, no execution runs, and each end is archived and
// published. Some worlds have no tick and few of the faults that a tick repairs: there every wake has to arrive by itself. In some worlds,
// many executions claim and revoke the slots of one labourer at once. In some worlds, reads during a transaction see part of it until the
// transaction has returned.
//
// # How it is deterministic
//
// A simulation runs in a bubble of testing/synctest, which reports when all goroutines wait. Only then one call proceeds. The simulation
// sorts waiting calls by their content, so the speed of goroutines does not matter. Random numbers come from seeded generators, one for
// each purpose. Go's map order remains: a service that makes calls in map order fails TestTheSameSeedIsTheSameWorld.
//
// # How to use it
//
//	go test ./shared/testing/sim                                     a fixed set of seeds, and the planted mutations
//	go test ./shared/testing/sim -run 'TestSeeds$' -v -seeds=10000   many seeds, with the injected faults and the reached states
//	go test ./shared/testing/sim -run 'TestSeeds$' -v -from=2199023255552 -seeds=10000     many seeds with runs
//	go test ./shared/testing/sim -run 'TestSeeds$' -v -from=1649267441664 -seeds=300       many seeds with caps that find themselves
//	go test ./shared/testing/sim -run 'TestSeed$' -v -seed=218       one seed, with all its steps
//
// The report of a violation contains the smallest world that still shows it.
package sim

// Package sim simulates Drover by seed, to find what breaks its guarantees.
//
// A seed makes a world: labourers, jobs, what people do meanwhile, and what goes wrong how often (see [Faults]). The services that run in
// it are the real ones, on the AWS of package memory. The simulation owns time, ids, chance and delivery: every call of every function
// waits for its turn, takes some time, and may fail before or after its effect, end the function's process, or meet another one; every
// message, event and tick may come late, twice, or, where AWS loses such, never; every worker may fail, die, hang, or say what is not so.
// In some worlds messages are gathered to batches. In some the functions are being updated: a part of the invocations is of a next
// version, which writes and sends more than this one does, and what it has written has to be understood and kept. After a while nothing
// goes wrong any more, and the world has to come to rest.
//
// # What is checked
//
// After every write, on a picture that the checker draws for itself from the changes of the tables:
//
//	G1   a published task is in exactly one queue entry or lease, for the right attempt, or has reached its end; what another version
//	     has added to an item stays there
//	G2   no task is created twice; its job has as many as were asked for
//	G3   a claim leaves no more running than the highest cap × health that was in force since the claimer began
//	G4   no attempt beyond max_attempts is started; only attempts that were started are closed, by reports of their own
//	G5   an end is never followed by another one; a job ends when all its tasks have, with exact counts, and one id for each end told
//	G6   nothing is claimed before something that was due earlier and was there when the claimer looked
//	G7   nothing is claimed for who is paused, or has felt bad for minutes
//	G8   no panic, and nothing but poison in dead letter queues
//	G9   what is refused is told of, with the field; what can not be read lies in the dead letters
//	G10  a retry is due within the bounds of its labourer's policy
//
// Workers and the archive are held to what jobs asked for: each task does one part of its job, at each start and in its record. The end of an
// attempt that was started ends it when it is taken in. Nothing is started that had reached its end before its dispatcher began, and what is
// put back in line of a cancelled job is taken out again by the function that put it there. Once nothing goes wrong, leases that ended are
// reaped within minutes, and a labourer with tasks due and free slots starts some.
//
// And when all has come to rest: every job has ended, nothing is queued or leased, no execution runs, each end is in the archive and
// was told. In some worlds there is no tick, and little that a tick would mend: there every wake has to come by itself. In some, reads that meet a
// transaction see a part of it, until the transaction has returned.
//
// # How it is deterministic
//
// A simulation runs in a bubble of testing/synctest, which tells when all goroutines wait. Then, and only then, one call goes on. The
// calls that wait are put in an order by what they ask for, so it does not matter which goroutine was faster; chance comes from
// generators of the seed, one for each purpose. What is left is the order of Go's maps: a service that makes calls in that order
// fails TestTheSameSeedIsTheSameWorld.
//
// # How to use it
//
//	go test ./shared/testing/sim                                     a fixed set of seeds, and the planted mutations
//	go test ./shared/testing/sim -run 'TestSeeds$' -v -seeds=10000   many, with the faults injected and the states reached
//	go test ./shared/testing/sim -run 'TestSeed$' -v -seed=218       one, with all its steps
//
// A violation is told with the smallest world that still has it.
package sim

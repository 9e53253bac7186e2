// Package worker is what a Go worker imports to run tasks for Drover.
//
// A worker is a function: it gets a [Task] and returns a result or an error. The package does the rest of the
// conversation with Drover: it decodes the event, ends the context in time, catches panics and sends exactly one
// completion message for each run.
//
// There are two ways to be a worker, with the same function:
//
//   - [Start] in the main function of a Lambda, which is a labourer's target itself or serves the SQS queue that is;
//   - [Poll] in a process that runs anywhere and takes its tasks from the SQS queue that is the labourer's target.
//
// # What happens to an error
//
// An error ends the attempt as failed. Drover tries again by the labourer's retry policy, unless the error is
// [Permanent]. [RetryAfter] asks for a delay, [Errorf] gives the error the type that people see and that a labourer's
// `not_retryable` list names. Without Errorf the type is, in this order, the code of an AWS error ("AccessDenied"),
// "Timeout" for an error that comes from the end of the context, or the name of the first Go type in the chain that
// says more than fmt and errors do. A panic is a failure of type "Panic", and may be tried again.
//
// # Time
//
// The context ends shortly before the deadline of the task, so that there is time left to report; in a Lambda also
// shortly before the function's own timeout. A heartbeat moves the deadline: [Task.Heartbeat] sends one,
// [HeartbeatEvery] sends them while the function runs. A function that ignores its context is not killed: Drover gives
// the task to another worker when the lease has run out, and drops what the late one says.
//
// # At least once
//
// A task runs at least once. The same attempt may be delivered twice, and a run whose completion could not be sent
// counts as lost. What a worker does to the world should therefore be keyed by [Task.ID]. Of all runs of a task one
// completion counts.
//
// # Limits
//
// A result has at most [MaxResultBytes] of JSON and stats have at most [MaxStatsBytes]. More fails the task at once and for
// good, since the next attempt would compute the same: put the data into S3 and return its key.
package worker

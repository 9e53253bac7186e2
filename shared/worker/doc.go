// Package worker runs Drover's tasks: a Go worker imports it.
//
// A worker is a function: it takes a [Task] and returns a result or an error. The package does the rest: it decodes the
// event, ends the context in time, recovers panics and sends exactly one completion message for each run.
//
// The same function can run in two ways:
//
//   - [Start] in the main function of a Lambda, which is a labourer's target or serves the SQS queue that is the target;
//   - [Poll] in a process that runs anywhere and receives its tasks from the SQS queue that is the labourer's target.
//
// # Plugins of workflows
//
// A plugin's turn in a run of a workflow is a task as well. Its [Turn] says what it is for: [Task] has the fields Workflow, UID, Run, Activity,
// Stage, Plugin, Metadata and Results. [Plugins] combines the functions of several plugins into one, so that one program can serve all of them. The
// function's result goes to the plugins that come later in the run. An error ends a turn as it ends a task: it is retried by the labourer's policy,
// and if the task dies, the plugin is in Error.
//
// # What happens to an error
//
// An error ends the attempt as failed. Drover retries the task by the labourer's retry policy, unless the error is
// [Permanent]. [RetryAfter] asks for a delay. [Errorf] gives the error its type, which people see and a labourer's
// `not_retryable` list names. Without Errorf the type is the first of these: the code of an AWS error ("AccessDenied"),
// "Timeout" for an error that comes from the end of the context, the name of the first Go type in the chain that is not
// one of fmt or errors. A panic is a failure of type "Panic", and is retried.
//
// # Time
//
// The context ends shortly before the deadline of the task, which leaves time to report; in a Lambda also shortly before
// the function's own timeout. A heartbeat moves the deadline: [Task.Heartbeat] sends one,
// [HeartbeatEvery] sends them while the function runs. A function that ignores its context is not killed: when
// the lease has expired, Drover starts the task again elsewhere and ignores the late report.
//
// # At least once
//
// A task runs at least once. The same attempt may be delivered twice, and a run whose completion could not be sent
// counts as lost. Make a worker's effects idempotent, with [Task.ID] as their key. Of all runs of a task one completion
// counts.
//
// # Limits
//
// A result has at most [MaxResultBytes] of JSON, and stats have at most [MaxStatsBytes]. A larger one fails the task
// permanently, as the next attempt would compute the same: put the data into S3 and return its key.
package worker

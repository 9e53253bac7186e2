// Package inspect holds the read models of a stack: what the command line prints, and the documents that it prints as JSON.
//
// A [Reader] reads a stack by narrow ports. It writes nothing.
//
//	jobs        [Reader.Job], [Reader.EachJob], [Reader.Stalled]
//	tasks       [Reader.EachTask], [Reader.Task], [Reader.Archived], [Reader.Dead]
//	labourers   [Pulse], [Reader.Overdue], [Reader.WorkLeft]
//	everything  [Reader.Watch]
//
// Two items say where a task is. The task's own item says how its last attempt ended; a lease or a queue entry of the control table holds the
// task until it ends. A reader reads them one after the other, so one of them may be older. The rules of this package turn any such pair into
// a status that was true between the two reads.
//
// Two items say what was completed of a job: its progress, and the leases whose completions are entered there only when they end. A reader reads
// the leases first, and counts a task that both name once.
package inspect

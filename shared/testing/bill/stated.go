package bill

import "time"

// Neither virtual time nor the local AWS shows how long an invocation takes on AWS. So these are stated: what BenchmarkProcessor measures at the
// template's memory, and [Call] for each request that waits for another.
const (
	// Creation adds to the scheduler's time for each task.
	Creation = 400 * time.Microsecond
	// Call states the time of a request to a service of AWS.
	Call = 6 * time.Millisecond
	// BetweenStates states the time that an Express execution takes for each state.
	BetweenStates = 20 * time.Millisecond
	// HistoryEvent counts the bytes in an execution's log for each event, beside the data that it shows.
	HistoryEvent = 330
	// LogEvent counts the bytes that CloudWatch adds to each.
	LogEvent = 26
	// MachineLog counts the bytes that the orchestrate machine logs for each invocation of the orchestrator, and MachineTime the GB-seconds that it
	// takes for it: loads of TestTheCostOfATask have 5,800 to 7,000, and 0.0083 to 0.0094.
	MachineLog  = 6300
	MachineTime = 0.0086
	// PollersMessages counts the messages that Lambda's pollers receive or delete with one request.
	PollersMessages = 10
)

// Duration returns how long an invocation of a function of the stack takes, and its memory in GB. messages is the number of completions in it.
func Duration(function string, messages int) (took time.Duration, gigabytes float64) {
	switch function {
	case "scheduler":
		return 200 * time.Millisecond, 0.5
	case "orchestrator":
		return 50 * time.Millisecond, 0.25
	case "worker-assistant":
		return 50*time.Millisecond + time.Duration(messages)*3*time.Millisecond, 0.25
	}
	return 100 * time.Millisecond, 0.25
}

package sim

import "slices"

// Fault is a kind of failure, or of legal but awkward behaviour.
type Fault string

// The kinds of faults. Each world has some of them.
const (
	CrashBefore       Fault = "crash before an effect"
	CrashAfter        Fault = "crash after an effect"
	Refused           Fault = "service error before an effect"
	Unreported        Fault = "effect done but reported as failed"
	Repeated          Fault = "effect done twice by a client's retry"
	Storm             Fault = "throttle storm"
	Conflict          Fault = "write meets a transaction"
	Partial           Fault = "partial batch"
	StaleRead         Fault = "stale read"
	Slow              Fault = "slow function, or dispatcher"
	TimedOut          Fault = "function ran out of time"
	Skew              Fault = "clock skew"
	Duplicate         Fault = "duplicate delivery"
	Late              Fault = "late delivery, out of order"
	LostWake          Fault = "wake lost"
	LostTick          Fault = "tick lost"
	StreamAgain       Fault = "stream delivered again"
	DayOldStream      Fault = "stream delivered again a day later"
	TwoOrchestrations Fault = "orchestrations at once"
	PoisonJob         Fault = "poison in the jobs queue"
	PoisonCompletion  Fault = "poison in the completions queue"
	PoisonRecord      Fault = "poison in the stream"
	UnknownVersion    Fault = "message of an unknown version"
	TwoVersions       Fault = "two versions of the code at once"
	BadJob            Fault = "job that has to be refused"
	CapLowered        Fault = "cap lowered"
	CapRaised         Fault = "cap raised"
	Unhealthy         Fault = "metric changes"
	Paused            Fault = "pause racing claims"
	CancelledJob      Fault = "cancellation racing claims"
	ReplayedJob       Fault = "replay"
	SubmittedAgain    Fault = "job submitted again"
	OtherJob          Fault = "another job under the same id"
	GiantPayload      Fault = "giant payload"
	Flood             Fault = "labourer flooded with tasks"
	Redriven          Fault = "dead letters redriven"
	LateTTL           Fault = "time to live, late"
	WorkerFails       Fault = "worker fails"
	WorkerGivesUp     Fault = "worker fails for good"
	WorkerDies        Fault = "worker dies"
	WorkerThrottled   Fault = "worker never started"
	WorkerHangs       Fault = "worker hangs"
	WorkerLate        Fault = "worker ends after its lease"
	WorkerTwice       Fault = "worker reports twice"
	WorkerContradicts Fault = "worker reports both ends"
	WorkerVague       Fault = "worker reports no attempt"
	WorkerStale       Fault = "worker reports another attempt"
	WorkerCalls       Fault = "worker calls as sosw's do"
	Hundreds          Fault = "hundreds of tasks at once"
	Forced            Fault = "job cancelled by force"
	CutCancel         Fault = "cancellation cut off after a withdrawal"
	Reconfigured      Fault = "labourer applied again"
	Removed           Fault = "labourer removed"
	LongID            Fault = "command with a long id"
	EmptyJob          Fault = "job without tasks"
	OwnDuration       Fault = "job with a max_duration of its own"
	OwnQualifier      Fault = "job with a qualifier"
	OddSchema         Fault = "schema with odd names"
	Misspelled        Fault = "attribute spelled like one of Drover's"
	Oversized         Fault = "message too large for its queue"
	Incompressible    Fault = "results that do not compress"
	InParts           Fault = "payload stored in parts"
	Together          Fault = "payloads stored together"
	Unstartable       Fault = "task that cannot be started"
	Damaged           Fault = "task that cannot be read"
	ReplayedAtDeath   Fault = "task replayed as soon as it is dead"
	TornRead          Fault = "transaction seen in part"
	CancelledRun      Fault = "run cancelled"
	CancelledAtStage  Fault = "run cancelled as a stage begins"
	PausedRun         Fault = "run paused"
	StoppedExecution  Fault = "execution ended from outside"
	AnsweredOutside   Fault = "token answered from outside"
	LostToken         Fault = "message with a token lost to the dead letters"
	UntoldEnd         Fault = "end of an execution not told"
	FailedState       Fault = "state of an execution fails"
	Redefined         Fault = "workflow or plugin applied again"
	RemovedPlugin     Fault = "plugin removed"
	StartedAgain      Fault = "run started again by the same start"
	RunAgain          Fault = "ended run started again"
	BadStart          Fault = "start that has to be refused"
	PoisonRun         Fault = "poison in the runs queue"
	LargeResult       Fault = "results too large for an event"
	MoePlugin         Fault = "turn of a plugin of moe's orchestrator"
	Pinned            Fault = "cap pinned"
)

// Faults lists all kinds, in the order of the report.
var Faults = []Fault{CrashBefore, CrashAfter, Refused, Unreported, Repeated, Storm, Conflict, Partial, StaleRead, Slow, TimedOut, Skew, Duplicate, Late, LostWake,
	LostTick, StreamAgain, DayOldStream, TwoOrchestrations, PoisonJob, PoisonCompletion, PoisonRecord, UnknownVersion, TwoVersions, BadJob, CapLowered, CapRaised, Unhealthy,
	Paused, CancelledJob, ReplayedJob, SubmittedAgain, OtherJob, GiantPayload, Flood, Redriven, LateTTL, WorkerFails, WorkerGivesUp, WorkerDies, WorkerThrottled, WorkerHangs,
	WorkerLate, WorkerTwice, WorkerContradicts, WorkerVague, WorkerStale, WorkerCalls, Hundreds, Forced, CutCancel, Reconfigured, Removed, LongID, EmptyJob, OwnDuration,
	OwnQualifier, OddSchema, Misspelled, Oversized, Incompressible, InParts, Together, Unstartable, Damaged, ReplayedAtDeath, TornRead}

// FlowFaults lists the kinds that only worlds with runs have.
var FlowFaults = []Fault{CancelledRun, CancelledAtStage, PausedRun, StoppedExecution, AnsweredOutside, LostToken, UntoldEnd, FailedState, Redefined, RemovedPlugin, StartedAgain,
	RunAgain, BadStart, PoisonRun, LargeResult, MoePlugin}

// SeekFaults lists the kinds that only worlds with caps that find themselves have.
var SeekFaults = []Fault{Pinned}

// inOperations are the faults that a plan schedules as operations. The run injects the others on the way.
var inOperations = []Fault{TwoOrchestrations, PoisonJob, PoisonCompletion, PoisonRecord, UnknownVersion, BadJob, CapLowered, CapRaised, Unhealthy, Paused, CancelledJob,
	ReplayedJob, SubmittedAgain, OtherJob, StreamAgain, Hundreds, Forced, Reconfigured, Removed, LongID, EmptyJob, OwnDuration, OwnQualifier, OddSchema, Misspelled, Oversized,
	Incompressible, InParts, Together, Damaged, CancelledRun, PausedRun, StoppedExecution, AnsweredOutside, Redefined, RemovedPlugin, StartedAgain, BadStart, PoisonRun, Pinned}

func isOperation(f Fault) bool { return slices.Contains(inOperations, f) }

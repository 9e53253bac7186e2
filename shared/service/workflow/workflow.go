// Package workflow carries out runs of workflows.
//
// The store is the truth about a run; the run's execution waits and shows. Whatever wakes the service (a command, a token of the execution, a
// turn's end, the tick), it reads the run, asks [flow.Step] what the run needs, carries that out by conditional writes, and repeats until the
// run waits. So every wake may come twice, late or together with others, and the service may die between any two writes.
package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/direct"
)

// ErrChanged says that the condition of a write no longer holds. Read again and decide anew.
var ErrChanged = errors.New("the run was changed by another writer in the meantime")

// Compositions stores the versions of workflows.
type Compositions interface {
	Newest(ctx context.Context, workflow string) (flow.Composition, bool, error)
	Version(ctx context.Context, workflow string, version int) (flow.Composition, error)
}

// Claim holds what is known of a workflow's uid: its last run, and the one that is active.
type Claim struct {
	Workflow, UID string
	Last          string // the id of the last run that became active; "": there was none
	Run           int    // its number
	Active        string // the id of the active run; "": none
	Revision      int
}

// Stored is a run's subject as it is stored: without the composition, which the record's version names.
type Stored struct {
	Metadata []byte
	From     string
	Kept     flow.Kept
	Start    []byte // of a run that waits: the start, to be carried out when its turn comes
}

// Runs stores the records of runs.
type Runs interface {
	// Get returns the record of a run; false if there is none. Then the record may still say that the start was refused.
	Get(ctx context.Context, id string) (flow.Record, bool, error)
	// Refuse stores that the start of a run was refused, over the refusal of another one. ErrChanged: there is a run.
	Refuse(ctx context.Context, r flow.Record) error
	Subject(ctx context.Context, id string) (Stored, error)
	// Create stores a new run, what it is about, and the uid's claim over the one that was read. ErrChanged: one of them is there or has changed.
	// A refusal under the run's id is replaced if it is that of record.By.
	Create(ctx context.Context, record flow.Record, s Stored, before, after Claim) error
	// Save replaces a record over the one that was read, and returns it with its new revision. ErrChanged: it has changed.
	Save(ctx context.Context, before, after flow.Record) (flow.Record, error)
	// Activate stores a run that has waited as it begins, what it is about, and the uid's claim. ErrChanged: the record or the claim has changed.
	Activate(ctx context.Context, before, after flow.Record, s Stored, claim, claimed Claim) error
	// Retire takes an ended run out of the list of active ones.
	Retire(ctx context.Context, r flow.Record) error
	// Active returns the ids of the active runs.
	Active(ctx context.Context) ([]string, error)
}

// Claims stores the claims of uids.
type Claims interface {
	Claim(ctx context.Context, workflow, uid string) (Claim, error)
	// Release gives the claim of an ended run to the run that has waited longest. It returns the run that has the claim then, "" for none; also
	// if the claim was released before.
	Release(ctx context.Context, ended flow.Record) (next string, err error)
	// Waiting returns the ids of the runs that wait for the uid, the oldest first.
	Waiting(ctx context.Context, workflow, uid string) ([]string, error)
}

// Stages stores how far the stages of runs are.
type Stages interface {
	Progress(ctx context.Context, run string, at flow.Place) (flow.Progress, error)
	// Publish stores the queue entries and direct grants of turns, and the stage's progress over the one that was read. ErrChanged: it has changed, or a
	// labourer with a direct grant has.
	Publish(ctx context.Context, run string, plan flow.Plan, before, after flow.Progress, entries []queue.Entry, grants []queue.Direct) error
	// GiveUp stores the stage's progress over the one that was read. ErrChanged: it has changed.
	GiveUp(ctx context.Context, run string, plan flow.Plan, before, after flow.Progress, now time.Time) error
	Reader
	// Detail returns what is kept of a turn; false if it has not ended.
	Detail(ctx context.Context, run string, at flow.Place, number int) (flow.Detail, bool, error)
	// Keep stores the details of turns of a run. Doing it again overwrites them.
	Keep(ctx context.Context, run string, details []flow.Detail) error
	// Extend keeps what is stored beside a run's record as if it was written now.
	Extend(ctx context.Context, run string, now time.Time) error
}

// Tasks stores the tasks of turns.
type Tasks interface {
	// Add writes new tasks, and leaves those that exist.
	Add(ctx context.Context, tasks []task.Task) error
	Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error)
	Save(ctx context.Context, before, after task.Task) error
}

// Executions stands for the workflow machine.
type Executions interface {
	// Start starts an execution of the workflow machine. One of this name counts as started.
	Start(ctx context.Context, arn string, input []byte) error
	// Answer ends the wait of a token. A token for which nothing waits any more is no error.
	Answer(ctx context.Context, token string, output []byte) error
	// ARN returns the ARN of the execution of this name.
	ARN(name string) string
	// Ended returns how an execution ended outside of Drover: Cancelled, Timed Out or Error; "" while it runs.
	Ended(ctx context.Context, arn string) (flow.State, error)
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Pager notifies people of runs that take too long.
type Pager interface {
	Overdue(ctx context.Context, r event.Run) error
}

// Gauges remembers which workflows had active runs at the last tick.
type Gauges interface {
	Gauged(ctx context.Context) (workflows []string, err error)
	SetGauged(ctx context.Context, workflows []string) error
}

// Service carries out runs.
type Service struct {
	Compositions Compositions
	Runs         Runs
	Claims       Claims
	Stages       Stages
	Tasks        Tasks
	Executions   Executions
	Bus          Bus
	Pager        Pager
	Gauges       Gauges
	Rows         Rows
	Granter      direct.Granter
	Tally        *metric.Tally // of the runs' metrics
	Now          func() time.Time
}

// now returns the time as it is stored: what is told of a run that was just written is what is told of it later.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// tries limits how often a lost race is repeated.
const tries = 20

// again calls f until it does not lose a race.
func again(what string, f func() error) error {
	for range tries {
		if err := f(); !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return fmt.Errorf("%s: it changed %d times in between", what, tries)
}

// run is a run as it was read.
type run struct {
	record  flow.Record
	subject flow.Subject
}

// load reads a run with its subject. A run that has not begun has none.
func (s *Service) load(ctx context.Context, id string) (run, bool, error) {
	r, found, err := s.Runs.Get(ctx, id)
	if err != nil || !found || r.Version == 0 {
		return run{record: r}, found, err
	}
	subject, err := s.subject(ctx, r)
	return run{r, subject}, true, err
}

func (s *Service) subject(ctx context.Context, r flow.Record) (flow.Subject, error) {
	stored, err := s.Runs.Subject(ctx, r.ID)
	if err != nil {
		return flow.Subject{}, err
	}
	c, err := s.Compositions.Version(ctx, r.Workflow, r.Version)
	if err != nil {
		return flow.Subject{}, err
	}
	return Whole{Record: r, Stored: stored}.Subject(c), nil
}

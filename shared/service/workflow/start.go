package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Start carries out a StartWorkflow. A start that is refused is told as WorkflowRejected, and is no error.
func (s *Service) Start(ctx context.Context, e event.Envelope) error {
	start, err := flow.ReadStart(e.Detail, e.ID, e.ID)
	var r flow.Record
	if err == nil {
		r, err = s.recorded(ctx, start, e.ID, "")
	}
	if refusal := (*flow.Refusal)(nil); errors.As(err, &refusal) {
		return s.reject(ctx, start, e.ID, refusal)
	}
	if err != nil {
		return err
	}
	return s.launch(ctx, r)
}

func (s *Service) reject(ctx context.Context, start flow.Start, id string, why *flow.Refusal) error {
	return s.Bus.Publish(ctx, event.WorkflowRejected(id, start.Workflow, start.UID, event.FieldError{Field: why.Field, Reason: why.Reason}))
}

// launch tells of a run that was recorded, starts its execution, and carries out what it needs. The tick repeats it if it was interrupted.
func (s *Service) launch(ctx context.Context, r flow.Record) error {
	if err := s.started(ctx, r); err != nil {
		return err
	}
	if !r.Foreign && r.Token == "" {
		input := document.Encode(map[string]string{"workflow": r.Workflow, "uid": r.UID, "run_id": r.ID})
		if err := s.Executions.Start(ctx, r.Execution, input); err != nil {
			return err
		}
	}
	return s.Look(ctx, r.ID)
}

func (s *Service) started(ctx context.Context, r flow.Record) error {
	if r.Version == 0 { // it waits, or was ended while it waited
		return nil
	}
	r.Head.State = flow.InProgress // it may have ended since
	return s.Bus.Publish(ctx, event.WorkflowStarted(r.Event()))
}

// Begin carries out the first state of an execution: it records the run of a user's execution, or finds the run that Drover started it for.
func (s *Service) Begin(ctx context.Context, execution, name, token string, input []byte) error {
	var given struct {
		RunID string `json:"run_id"`
	}
	if exact.Decode(input, &given) == nil && given.RunID != "" {
		r, found, err := s.Runs.Get(ctx, given.RunID)
		if err != nil {
			return err
		}
		if found && r.Execution == execution {
			return s.Wait(ctx, r.ID, execution, token, "", "")
		}
	}
	start, err := flow.ReadStart(input, execution, name)
	var r flow.Record
	if err == nil {
		r, err = s.recorded(ctx, start, execution, execution)
	}
	if err == nil && r.Execution != execution {
		output := document.Encode(flow.Rejected(start, &flow.Refusal{Field: "start_id", Reason: fmt.Sprintf("its run %s has another execution, %s", r.ID, r.Execution)}))
		return s.Executions.Answer(ctx, token, output)
	}
	if refusal := (*flow.Refusal)(nil); errors.As(err, &refusal) {
		if err := s.reject(ctx, start, execution, refusal); err != nil {
			return err
		}
		return s.Executions.Answer(ctx, token, document.Encode(flow.Rejected(start, refusal)))
	}
	if err != nil {
		return err
	}
	if err := s.started(ctx, r); err != nil {
		return err
	}
	return s.Wait(ctx, r.ID, execution, token, "", "")
}

// recorded returns the run that a start asks for, and records it if there is none. by names the event or the execution that asks, execution is the ARN
// of a user's execution, "" if Drover starts one. Any *flow.Refusal is the start's fault. It is stored before it is told: the same event again, which
// would find another state of things, is refused again.
func (s *Service) recorded(ctx context.Context, start flow.Start, by, execution string) (r flow.Record, err error) {
	err = again("starting "+start.StartID, func() (err error) {
		r, err = s.record(ctx, start, by, execution)
		if refusal := (*flow.Refusal)(nil); errors.As(err, &refusal) && r.Revision == 0 && r.Refused == nil {
			r.Refused, r.By = refusal, by
			if err := s.Runs.Refuse(ctx, r); err != nil {
				return err
			}
		}
		return err
	})
	return r, err
}

func (s *Service) record(ctx context.Context, start flow.Start, by, execution string) (flow.Record, error) {
	id := flow.RunID(start.StartID)
	known, found, err := s.Runs.Get(ctx, id)
	if err != nil {
		return known, err
	}
	if known.Refused != nil && !found && known.By == by {
		return known, known.Refused
	}
	if found {
		if known.Fingerprint != start.Fingerprint() {
			return known, &flow.Refusal{Field: "start_id", Reason: fmt.Sprintf("another start had %s, of run %s", document.Shown(start.StartID), id)}
		}
		return known, nil
	}
	now := s.now()
	r := flow.Record{ID: id, Workflow: start.Workflow, UID: start.UID, Fingerprint: start.Fingerprint(), Execution: execution, Foreign: execution != "",
		Trace: start.Trace, RecordedAt: now, By: known.By}
	if execution == "" {
		r.Execution = s.Executions.ARN(id + "-" + strconv.FormatInt(now.UnixMilli(), 36))
	}
	claim, err := s.Claims.Claim(ctx, start.Workflow, start.UID)
	if err != nil {
		return r, err
	}
	if claim.Active != "" {
		return s.behind(ctx, r, start, claim)
	}
	r, stored, err := s.begin(ctx, r, start, claim)
	if err != nil {
		return r, err
	}
	after := claim
	after.Active, after.Last, after.Run = r.ID, r.ID, r.Run
	if err := s.Runs.Create(ctx, r, stored, claim, after); err != nil {
		return r, err
	}
	s.meterStart(r)
	return r, nil
}

// begin returns the record of a run at its beginning. It stores the details of kept turns first: nothing refers to them until the record does.
func (s *Service) begin(ctx context.Context, r flow.Record, start flow.Start, claim Claim) (flow.Record, Stored, error) {
	c, found, err := s.Compositions.Newest(ctx, start.Workflow)
	if err != nil {
		return r, Stored{}, err
	}
	if !found {
		return r, Stored{}, &flow.Refusal{Field: "workflow", Reason: fmt.Sprintf("there is no workflow %s", document.Shown(start.Workflow))}
	}
	previous, details, err := s.previous(ctx, claim)
	if err != nil {
		return r, Stored{}, err
	}
	subject, keeps, err := flow.Begin(c, start, previous)
	if err != nil {
		return r, Stored{}, err
	}
	subject.Run = claim.Run + 1 // the last run's record may have expired
	var kept []flow.Detail
	for _, k := range keeps {
		d := details[k.From][k.Before]
		d.Place, d.Number = k.To, k.Number
		kept = append(kept, d)
	}
	if len(kept) > 0 {
		if err := s.Stages.Keep(ctx, r.ID, kept); err != nil {
			return r, Stored{}, err
		}
	}
	r.Run, r.Version, r.Head = subject.Run, c.Version, subject.Head(s.now())
	return r, Stored{Metadata: subject.Metadata, From: subject.From, Kept: subject.Kept}, nil
}

// previous returns the last run of the uid; nil if there is none any more.
func (s *Service) previous(ctx context.Context, claim Claim) (*flow.Previous, map[flow.Place]map[int]flow.Detail, error) {
	if claim.Last == "" {
		return nil, nil, nil
	}
	last, found, err := s.Stages.Whole(ctx, claim.Last)
	if err != nil || !found {
		return nil, nil, err
	}
	c, err := s.Compositions.Version(ctx, last.Record.Workflow, last.Record.Version)
	return &flow.Previous{Subject: last.Subject(c), Head: last.Record.Head, Progress: last.Progress}, last.Details, err
}

// behind handles the start of a uid that has an active run, by the concurrency of the workflow.
func (s *Service) behind(ctx context.Context, r flow.Record, start flow.Start, claim Claim) (flow.Record, error) {
	c, found, err := s.Compositions.Newest(ctx, start.Workflow)
	if err != nil {
		return r, err
	}
	if !found || c.Workflow.Concurrency == flow.Reject {
		return r, &flow.Refusal{Field: "uid", Reason: fmt.Sprintf("%s has an active run, %s", document.Shown(start.UID), claim.Active)}
	}
	active, _, err := s.load(ctx, claim.Active)
	if err != nil {
		return r, err
	}
	if _, _, err := flow.Begin(c, start, &flow.Previous{Subject: active.subject, Head: active.record.Head}); err != nil {
		return r, err // better now than when its turn comes
	}
	text, err := json.Marshal(start)
	if err != nil {
		return r, fmt.Errorf("encoding the start of run %s, %w", r.ID, err)
	}
	r.Head.State, r.Head.StartedAt = flow.NotStarted, r.RecordedAt
	before, err := s.Claims.Waiting(ctx, start.Workflow, start.UID)
	if err != nil {
		return r, err
	}
	after := claim
	if err := s.Runs.Create(ctx, r, Stored{Start: text, Metadata: start.Metadata}, claim, after); err != nil || c.Workflow.Concurrency != flow.Replace {
		return r, err
	}
	for _, id := range append([]string{claim.Active}, before...) {
		if err := s.CancelRun(ctx, id); err != nil {
			return r, err
		}
	}
	return r, nil
}

// takeTurn begins a waiting run if the uid's claim has come to it, or ends it if it was cancelled before that.
func (s *Service) takeTurn(ctx context.Context, r flow.Record) error {
	claim, err := s.Claims.Claim(ctx, r.Workflow, r.UID)
	if err != nil || claim.Active != r.ID {
		return err
	}
	stored, err := s.Runs.Subject(ctx, r.ID)
	if err != nil {
		return err
	}
	var start flow.Start
	if err := exact.Decode(stored.Start, &start); err != nil {
		return fmt.Errorf("reading the start of run %s, %w", r.ID, err)
	}
	after, subject, err := s.begin(ctx, r, start, claim)
	refusal := (*flow.Refusal)(nil)
	switch {
	case errors.As(err, &refusal): // the workflow has changed since the run was recorded
		return s.dismiss(ctx, r, refusal)
	case err != nil:
		return err
	}
	after.Head.Verdict, after.Begins = r.Head.Verdict, true
	claimed := claim
	claimed.Last, claimed.Run = r.ID, after.Run
	if err := s.Runs.Activate(ctx, r, after, subject, claim, claimed); err != nil {
		return err
	}
	s.meterStart(after)
	return s.look(ctx, r.ID)
}

// dismiss ends a waiting run whose start is refused when its turn comes.
func (s *Service) dismiss(ctx context.Context, r flow.Record, why *flow.Refusal) error {
	after := r
	after.Head.State, after.Head.FinishedAt, after.Head.Message, after.Refused = flow.Error, s.now(), why.Error(), why
	ended, err := s.Runs.Save(ctx, r, after)
	if err != nil {
		return err
	}
	return s.finish(ctx, run{record: ended})
}

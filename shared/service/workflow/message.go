package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Message is a message of the runs queue.
type Message struct{ ID, Body string }

// Graveyard keeps what can never be carried out where people find it.
type Graveyard interface {
	Bury(ctx context.Context, body, reason string) error
}

// The detail-types of what AWS itself sends to the runs queue.
const (
	scheduled = "Scheduled Event"
	changed   = "Step Functions Execution Status Change"
)

// step holds what a state of the machine sends, or a recorder to wake a run.
type step struct {
	Step      string          `json:"step"` // begin, stage, look
	Token     string          `json:"token"`
	Execution string          `json:"execution"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	RunID     string          `json:"run_id"`
	Activity  string          `json:"activity"`
	Stage     string          `json:"stage"`
}

// LookMessage returns the message that has the service look at a run.
func LookMessage(run string) []byte {
	text, _ := json.Marshal(map[string]string{"step": "look", "run_id": run}) //nolint:errchkjson // texts always marshal
	return text
}

// Summary counts what a batch led to, for the log.
type Summary struct {
	Handled int `json:",omitzero"`
	Buried  int `json:",omitzero"`

	Errors []string `json:",omitzero"`
}

// together limits how many messages of a batch are handled at the same time.
const together = 10

// Handle carries out the messages of a batch, and returns the ids of those to redeliver. One message's failure does not affect the others.
func (s *Service) Handle(ctx context.Context, graveyard Graveyard, messages []Message) (failed []string, out Summary) {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(together)
	for _, m := range messages {
		g.Go(func() error {
			err := s.handle(ctx, m)
			buried := false
			if refused := (*event.Refused)(nil); errors.As(err, &refused) {
				buried, err = true, graveyard.Bury(ctx, m.Body, refused.Reason)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = append(failed, m.ID)
				out.Errors = append(out.Errors, err.Error())
			case buried:
				out.Buried++
			default:
				out.Handled++
			}
			return nil
		})
	}
	_ = g.Wait()
	return failed, out
}

func (s *Service) handle(ctx context.Context, m Message) error {
	var one step
	if exact.Decode([]byte(m.Body), &one) == nil && one.Step != "" {
		switch one.Step {
		case "begin":
			return s.Begin(ctx, one.Execution, one.Name, one.Token, one.Input)
		case "stage":
			return s.Wait(ctx, one.RunID, one.Execution, one.Token, one.Activity, one.Stage)
		case "look":
			return s.Look(ctx, one.RunID)
		}
		return &event.Refused{Reason: fmt.Sprintf("step: %.40q is unknown; want begin, stage or look", one.Step)}
	}
	e, err := event.Read([]byte(m.Body))
	if err != nil {
		return &event.Refused{Reason: err.Error()}
	}
	switch e.DetailType {
	case event.StartWorkflow:
		return s.Start(ctx, e)
	case event.CancelWorkflow:
		return s.Cancel(ctx, e)
	case scheduled:
		return s.Tick(ctx)
	case changed:
		return s.changed(ctx, e)
	}
	return &event.Refused{Reason: fmt.Sprintf("detail-type: %.80q is not a command about workflows", e.DetailType)}
}

// changed carries out what follows from the end of an execution of the workflow machine.
func (s *Service) changed(ctx context.Context, e event.Envelope) error {
	var detail struct {
		Execution string `json:"executionArn"`
		Name      string `json:"name"`
		Status    string `json:"status"`
		Input     string `json:"input"`
	}
	if err := exact.Decode(e.Detail, &detail); err != nil || detail.Execution == "" {
		return &event.Refused{Reason: "not a status change of an execution"}
	}
	as, ended := map[string]flow.State{"ABORTED": flow.Cancelled, "TIMED_OUT": flow.TimedOut, "FAILED": flow.Error}[detail.Status]
	if !ended {
		return nil
	}
	id := runOf(detail.Execution, detail.Name, []byte(detail.Input))
	r, found, err := s.Runs.Get(ctx, id)
	if err != nil || !found || r.Execution != detail.Execution {
		return err
	}
	return s.Stopped(ctx, id, as)
}

// runOf returns the id of the run of an execution, from its input: the same as Begin finds.
func runOf(execution, name string, input []byte) string {
	var given struct {
		RunID string `json:"run_id"`
	}
	if exact.Decode(input, &given) == nil && given.RunID != "" && strings.HasPrefix(name, given.RunID) {
		return given.RunID
	}
	start, err := flow.ReadStart(input, execution, name)
	if err != nil {
		return ""
	}
	return flow.RunID(start.StartID)
}

package main

import (
	"context"
	"errors"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/labourer"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// errRunChanged says that a run changed while the command wrote it.
var errRunChanged = workflow.ErrChanged

func nothingDefined(d flow.Definitions) bool {
	return len(d.Workflows)+len(d.Activities)+len(d.Plugins) == 0
}

// check refuses definitions that do not fit together with what is applied, and warns of doubtful ones.
func (s *stack) check(ctx context.Context, given labourer.Configuration, applied dynamo.Applied, c *changeSet) error {
	if nothingDefined(given.Definitions) {
		return nil
	}
	known, err := s.registry.Definitions(ctx)
	if err != nil {
		return err
	}
	refused, doubts := flow.Check(given.Definitions.Over(known), given.Definitions, func(id string) bool {
		_, inFiles := given.Labourers[id]
		_, inStack := applied.Labourers[id]
		return inFiles || inStack
	})
	var wrong []error
	for _, one := range refused {
		wrong = append(wrong, errors.New(one.String()))
	}
	for _, one := range doubts {
		c.warnings = append(c.warnings, one.String())
	}
	c.warnings = append(c.warnings, sharedFunctions(given.Definitions.Over(known), func(id string) (labourer.Labourer, bool) {
		if l, inFiles := given.Labourers[id]; inFiles {
			return l, true
		}
		l, err := labourer.Decode(id, []byte(applied.Labourers[id].Text))
		return l, err == nil
	})...)
	if err := errors.Join(wrong...); err != nil {
		return inputError{err}
	}
	return nil
}

// compile makes a version of each workflow that definitions touch. It does so also where nothing was stored: an apply that was interrupted may
// have stored the parts only.
func (s *stack) compile(ctx context.Context, changed flow.Definitions) error {
	if nothingDefined(changed) {
		return nil
	}
	all, err := s.registry.Definitions(ctx)
	if err != nil {
		return err
	}
	return workflow.Registrar{Parts: s.registry, Versions: s.compositions}.Compile(ctx, flow.Touched(all, changed))
}

// compileAll makes a version of each workflow whose parts have changed.
func (s *stack) compileAll(ctx context.Context) error {
	names, err := s.compositions.Names(ctx)
	if err != nil {
		return err
	}
	return workflow.Registrar{Parts: s.registry, Versions: s.compositions}.Compile(ctx, names)
}

// send puts a command on the stack's bus.
func (s *stack) send(ctx context.Context, kind string, detail []byte) error {
	_, err := s.bus.Send(ctx, source, kind, detail)
	return err
}

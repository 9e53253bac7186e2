package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/queue"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// leaver is a labourer or a definition to remove, as it is applied.
type leaver struct {
	id            string
	section, name string // of a definition
	stored        dynamo.Stored
}

// leaving reads what is to be removed.
func (s *stack) leaving(ctx context.Context, ids []string) ([]leaver, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	applied, err := s.registry.All(ctx, true)
	if err != nil {
		return nil, err
	}
	var out []leaver
	for _, id := range ids {
		section, name, is := strings.Cut(id, ".")
		of := map[string]map[string]dynamo.Stored{"plugins": applied.Plugins, "activities": applied.Activities, "workflows": applied.Workflows}[section]
		if !is || of == nil {
			section, name, of = "", id, applied.Labourers
		}
		stored, found := of[name]
		switch {
		case !found && section == "":
			return nil, inspect.NoLabourer(id)
		case !found: // a removal may have been interrupted before the workflows were compiled
			return nil, errors.Join(&inspect.NotFoundError{Kind: singular[section], ID: name}, s.compileAll(ctx))
		}
		out = append(out, leaver{id, section, name, stored})
	}
	// A labourer goes after the plugins that it runs.
	slices.SortStableFunc(out, func(a, b leaver) int { return cmp.Compare(b.section, a.section) })
	return out, nil
}

// checkLeaving refuses a removal that would leave plugins without their labourer, and returns warnings of what else it means. given is applied before.
func (s *stack) checkLeaving(ctx context.Context, given flow.Definitions, leaving []leaver) ([]string, error) {
	if len(leaving) == 0 {
		return nil, nil
	}
	known, err := s.registry.Definitions(ctx)
	if err != nil {
		return nil, err
	}
	var warnings []string
	all, gone := given.Over(known), map[string]bool{}
	rest := all
	for _, l := range leaving {
		gone[l.name] = gone[l.name] || l.section == ""
		rest = rest.Without(l.section, l.name)
		if l.section != "workflows" {
			continue
		}
		runs, err := s.runReader().List(ctx, []string{l.name}, func(_ inspect.Run, stored flow.State) bool { return !stored.Final() })
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: not ended: %s; those under way go on as they began, those that wait are refused", l.id, inspect.Count(len(runs), "run")))
		}
	}
	refused, doubts := flow.CheckRemoval(all, rest, func(id string) bool { return gone[id] })
	for _, one := range doubts {
		warnings = append(warnings, one.String())
	}
	var wrong []error
	for _, one := range refused {
		wrong = append(wrong, errors.New(one.String()))
	}
	return warnings, errors.Join(wrong...)
}

// singular has what one of a section is called.
var singular = map[string]string{"plugins": "plugin", "activities": "activity", "workflows": "workflow"}

// removeDefinition removes a definition, and makes new versions of the workflows that had it.
func (s *stack) removeDefinition(ctx context.Context, l leaver) error {
	err := s.registry.RemoveDefinition(ctx, l.section, l.name, l.stored.Revision)
	if errors.Is(err, queue.ErrChanged) {
		return fmt.Errorf("%s was applied again in the meantime, so it was not removed; to remove it, run the command again", l.id)
	}
	if err != nil {
		return err
	}
	return s.compileAll(ctx)
}

// drainPause separates two reads of a labourer that is being drained.
const drainPause = time.Second

// workLeft returns in words what a labourer has left to do, "" for nothing.
func (s *shell) workLeft(ctx context.Context, st *stack, id string) (string, error) {
	running, queued, err := s.reader(st).WorkLeft(ctx, id)
	if err != nil {
		return "", err
	}
	runs, err := st.runReader().ActiveOf(ctx, id)
	if err != nil || running+queued+len(runs) == 0 {
		return "", err
	}
	left := fmt.Sprintf("%s running, %d queued", inspect.Count(running, "task"), queued)
	if len(runs) > 0 {
		left += fmt.Sprintf(", %s of workflows under way (%s)", inspect.Count(len(runs), "run"), strings.Join(runs[:min(len(runs), 3)], ", "))
	}
	return left, nil
}

// removeLabourer removes a labourer that has no work left; with drain it waits until it has none.
func (s *shell) removeLabourer(ctx context.Context, st *stack, l leaver, drain bool) error {
	said, reader := "", s.reader(st)
	patient := s.following(fmt.Sprintf("labourer %s is not removed, and its work continues", l.id))
	for {
		left, err := s.workLeft(ctx, st, l.id)
		if err != nil && drain {
			if err := patient.bear(ctx, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		patient.answered()
		if left == "" {
			break
		}
		if !drain {
			return fmt.Errorf("labourer %s has work left: %s; cancel its jobs and runs, or wait for them with --drain", l.id, left)
		}
		if left != said {
			s.say("waiting for labourer %s: %s", l.id, left)
			said = left
		}
		if err := s.wait(ctx, drainPause); err != nil {
			return err
		}
	}
	err := st.registry.RemoveLabourer(ctx, l.id, l.stored.Revision)
	if errors.Is(err, queue.ErrChanged) {
		return fmt.Errorf("labourer %s was applied again in the meantime, so it was not removed; to remove it, run the command again", l.id)
	}
	if err != nil {
		return err
	}
	// A scheduler that read the labourer before its removal may have queued tasks just now.
	running, queued, err := reader.WorkLeft(ctx, l.id)
	if err != nil || running+queued == 0 {
		return err
	}
	got := fmt.Sprintf("labourer %s got %s while it was being removed", l.id, inspect.Count(running+queued, "task"))
	if err := st.registry.ApplyLabourer(ctx, l.id, l.stored.Text, 0); err != nil && !errors.Is(err, queue.ErrChanged) {
		return fmt.Errorf("%s, and it could not be put back; apply it again: %w", got, err)
	}
	return errors.Join(fmt.Errorf("%s, so it was put back", got), st.wake(ctx, []string{l.id}))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/queue"
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
	return out, nil
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

// removeLabourer removes a labourer that has no work left; with drain it waits until it has none.
func (s *shell) removeLabourer(ctx context.Context, st *stack, l leaver, drain bool) error {
	said, reader := "", s.reader(st)
	patient := s.following(fmt.Sprintf("labourer %s is not removed, and its work continues", l.id))
	for {
		running, queued, err := reader.WorkLeft(ctx, l.id)
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
		if running+queued == 0 {
			break
		}
		left := fmt.Sprintf("%s running, %d queued", inspect.Count(running, "task"), queued)
		if !drain {
			return fmt.Errorf("labourer %s has work left: %s; cancel its jobs, or wait for them with --drain", l.id, left)
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

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/queue"
)

// applied holds the JSON document that apply prints.
type applied struct {
	Applied   []string `json:"applied"`
	Unchanged []string `json:"unchanged"`
	Removed   []string `json:"removed,omitempty"`
	Warnings  []string `json:"warnings"`
}

func newApply(s *shell) *cobra.Command {
	var a application
	c := &cobra.Command{
		Use:   "apply -f FILE... [--yes] [--wire] | apply --remove NAME... [--drain]",
		Short: "store labourers and job schemas, after showing what changes",
		Long: `Stores the labourers and job schemas of files in the stack. It first checks everything and shows what changes. At a terminal it asks before it
stores. Labourers and schemas that the files do not name stay unchanged. A labourer is stored as a whole, and only over the version that was
compared: if it was applied again in the meantime, nothing is overwritten.

A labourer of a Lambda function without max_duration gets the function's timeout. --wire sends a function's failed invocations to the stack's
completions queue and turns off Lambda's own retries. Then Drover notices a crash at once, and each attempt runs once. These settings apply only
to the alias or version that the target names. --wire also gives each target the tag drover:worker: a stack starts only tagged targets, unless its
parameters name the targets that it may start. The command shows all of this first.

--remove removes labourers. A labourer with work left, or with a run under way that has a plugin of it, is not removed; with --drain the command waits
until its work is done. The labourer of a plugin that stays is never removed. --remove also removes plugins.NAME, activities.NAME and workflows.NAME.
Runs under way keep the definitions that they began with.`,
		Example: `  drover apply -f labourers.yaml
  drover apply -f labourers.yaml --wire --yes
  drover apply --remove old_shop --drain`,
	}
	files(c, &a.files, true)
	c.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&a.wire, "wire", false, "wire each Lambda target to the completions queue, and tag each target as a worker")
	c.Flags().StringArrayVar(&a.remove, "remove", nil, "remove a labourer by its `name`, or plugins.NAME, activities.NAME or workflows.NAME; may be repeated")
	c.Flags().BoolVar(&a.drain, "drain", false, "with --remove: wait until no work is left")
	c.Args = func(_ *cobra.Command, arguments []string) error {
		switch {
		case len(a.files) == 0 && len(a.remove) == 0:
			return errors.New("-f FILE or --remove NAME is missing")
		case len(a.files) == 0 && len(arguments) > 0:
			return fmt.Errorf("unexpected argument %q", arguments[0])
		case a.drain && len(a.remove) == 0:
			return errors.New("--drain needs --remove")
		}
		a.files = append(a.files, arguments...)
		return nil
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return a.run(c.Context(), s) }
	return c
}

// application is one run of apply.
type application struct {
	files, remove    []string
	yes, wire, drain bool
}

func (a application) run(ctx context.Context, s *shell) error {
	given, warnings, err := s.configuration(a.files)
	if err != nil {
		return err
	}
	for _, id := range a.remove {
		if given.Defines(id) {
			return badInput("--remove: %s is also in the files; name it in one place only", id)
		}
	}
	st, err := s.stack(ctx)
	if err != nil {
		return err
	}
	change, err := st.compare(ctx, given)
	if err != nil {
		return err
	}
	warnings = append(warnings, change.warnings...)
	leaving, err := st.leaving(ctx, a.remove)
	if err != nil {
		return err
	}
	meant, err := st.checkLeaving(ctx, given.Definitions, leaving)
	if err != nil {
		return err
	}
	warnings = append(warnings, meant...)
	wiring := st.plan(ctx, given.Labourers, a.wire)
	warnings = append(warnings, wiring.warnings...)
	s.show(change, wiring, a.remove)
	if !change.empty() || !wiring.empty() || len(leaving) > 0 {
		if err := a.confirm(s); err != nil {
			return err
		}
	}
	if err := st.store(ctx, change); err != nil {
		return err
	}
	if err := st.compile(ctx, given.Definitions); err != nil {
		return err
	}
	if err := st.carryOut(ctx, wiring); err != nil {
		s.warn(warnings...)
		if !change.empty() {
			err = fmt.Errorf("%w (already applied: %s)", err, strings.Join(change.ids(), ", "))
		}
		return err
	}
	for _, l := range leaving {
		if l.section == "" {
			err = s.removeLabourer(ctx, st, l, a.drain)
		} else {
			err = st.removeDefinition(ctx, l)
		}
		if err != nil {
			return err
		}
	}
	out := applied{Applied: list(change.ids()), Unchanged: list(change.unchanged), Removed: a.remove, Warnings: list(warnings)}
	if s.json {
		return s.document(out)
	}
	s.warn(warnings...)
	fmt.Fprintln(s.out, out)
	return nil
}

// String returns what was done in sentences: "Applied 1 labourer and 1 job schema.".
func (a applied) String() string {
	var sentences []string
	for _, part := range []struct {
		done string
		ids  []string
	}{{"Applied", a.Applied}, {"Removed", a.Removed}, {"Unchanged:", a.Unchanged}} {
		if len(part.ids) > 0 {
			sentences = append(sentences, part.done+" "+counted(part.ids)+".")
		}
	}
	if len(sentences) == 0 {
		return "The files name no labourer and no job schema."
	}
	return strings.Join(sentences, " ")
}

// counted returns how many there are of each kind among ids.
func counted(ids []string) string {
	kinds := []struct{ prefix, one, many string }{{"", "labourer", "labourers"}, {"job_schemas.", "job schema", "job schemas"},
		{"workflows.", "workflow", "workflows"}, {"activities.", "activity", "activities"}, {"plugins.", "plugin", "plugins"}}
	var parts []string
	for _, kind := range kinds {
		n := 0
		for _, id := range ids {
			if kindOfID(id) == kind.prefix {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, numbered(n, kind.one, kind.many))
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return enumerated(parts)
}

// kindOfID returns the prefix of what an id names, "" for a labourer.
func kindOfID(id string) string {
	for _, prefix := range []string{"job_schemas.", "workflows.", "activities.", "plugins."} {
		if strings.HasPrefix(id, prefix) {
			return prefix
		}
	}
	return ""
}

// confirm asks for confirmation if the command runs at a terminal.
func (a application) confirm(s *shell) error {
	if a.yes || !s.attended() || slices.Contains(a.files, "-") {
		return nil
	}
	yes, err := s.ask("Apply this?")
	if err == nil && !yes {
		err = errors.New("nothing was applied: the answer was not yes; to apply without a question: --yes")
	}
	return err
}

// show prints the changes: on standard output, or on standard error if the output is JSON.
func (s *shell) show(c changeSet, w wiring, removed []string) {
	to := s.out
	if s.json {
		to = s.err
	}
	for _, one := range c.changes {
		for _, line := range one.diff {
			fmt.Fprintln(to, plain(line.String()))
		}
	}
	w.show(to)
	for _, id := range removed {
		if kindOfID(id) == "" {
			id = "labourers." + id
		}
		fmt.Fprintf(to, "- %s\n", id)
	}
}

// store stores the changes, each over the version it was compared with, and wakes the orchestrator for the labourers among them: a raised cap
// or a repaired target takes effect at once.
func (s *stack) store(ctx context.Context, c changeSet) error {
	var done, labourers []string
	for _, one := range c.changes {
		var err error
		switch one.section {
		case "":
			err = s.registry.ApplyLabourer(ctx, one.name, one.text, one.over)
		case "job_schemas":
			err = s.registry.ApplySchema(ctx, one.name, one.text, one.over)
		default:
			err = s.registry.ApplyDefinition(ctx, one.section, one.name, one.text, one.over)
		}
		if errors.Is(err, queue.ErrChanged) {
			err = fmt.Errorf("%s was applied again in the meantime, so it was not overwritten; run drover diff, then apply again", one.id())
		}
		if err != nil {
			if len(done) > 0 {
				err = fmt.Errorf("%w (already applied: %s)", err, strings.Join(done, ", "))
			}
			return errors.Join(err, s.wake(ctx, labourers))
		}
		done = append(done, one.id())
		if one.section == "" {
			labourers = append(labourers, one.name)
		}
	}
	for _, id := range labourers {
		if err := s.control.SetTrouble(ctx, id, nil); err != nil {
			return err
		}
	}
	return s.wake(ctx, labourers)
}

// wokenAtOnce limits how many labourers one event names: a name has up to 128 bytes, and an event at most 256 KB.
const wokenAtOnce = 500

// wake wakes the orchestrator for some labourers.
func (s *stack) wake(ctx context.Context, labourers []string) error {
	for part := range slices.Chunk(labourers, wokenAtOnce) {
		if err := s.bus.Publish(ctx, event.TasksDue(source, part...)); err != nil {
			return err
		}
	}
	return nil
}

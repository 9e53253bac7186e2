package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/event"
	"github.com/drover-run/drover/shared/queue"
)

// applied is what apply and diff print.
type applied struct {
	Applied   []string `json:"applied"`
	Unchanged []string `json:"unchanged"`
	Removed   []string `json:"removed,omitempty"`
	Warnings  []string `json:"warnings"`
}

func newApply(s *shell) *cobra.Command {
	var a application
	c := &cobra.Command{
		Use:   "apply -f FILE... [--yes] [--wire] | apply --remove LABOURER... [--drain]",
		Short: "store labourers and job schemas, after showing what changes",
		Long: `Stores the labourers and job schemas of files in the stack. Everything is checked first, what changes is shown, and at a terminal it
is asked for. What the files do not name stays as it is. Each labourer is stored as a whole, and only over what was shown: when somebody
else applied it in the meantime nothing of it is overwritten.

A Lambda function whose labourer names no max_duration has its own timeout taken for it. --wire sends what becomes of a function's
failed invocations to the stack's completions queue and turns Lambda's own retries off: so a crash is noticed at once, and each
attempt runs once. These settings belong to the alias or version that the target names, and to no other. It also gives each target, of
whichever kind, the tag drover:worker, without which a stack starts nothing unless its parameters name what it may start. All of it is
shown first.

--remove takes labourers away. One with work left is refused; with --drain the command waits until the work is done.`,
		Example: `  drover apply -f labourers.yaml
  drover apply -f labourers.yaml --wire --yes
  drover apply --remove old_shop --drain`,
	}
	files(c, &a.files, true)
	c.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&a.wire, "wire", false, "wire each Lambda target to the completions queue, and tag each target as a worker")
	c.Flags().StringArrayVar(&a.remove, "remove", nil, "take away a `labourer`; may be repeated")
	c.Flags().BoolVar(&a.drain, "drain", false, "with --remove: wait until no work is left")
	c.Args = func(_ *cobra.Command, arguments []string) error {
		switch {
		case len(a.files) == 0 && len(a.remove) == 0:
			return errors.New("-f FILE is missing, or --remove LABOURER")
		case len(a.files) == 0 && len(arguments) > 0:
			return fmt.Errorf("%q is one argument too many", arguments[0])
		case a.drain && len(a.remove) == 0:
			return errors.New("--drain goes with --remove")
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
		if _, both := given.Labourers[id]; both {
			return badInput("--remove: %s is in the files as well", id)
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
	if err := st.carryOut(ctx, wiring); err != nil {
		s.warn(warnings...)
		if !change.empty() {
			err = fmt.Errorf("%w (already applied: %s)", err, counted(change.ids()))
		}
		return err
	}
	for _, l := range leaving {
		if err := s.removeLabourer(ctx, st, l, a.drain); err != nil {
			return err
		}
	}
	out := applied{Applied: list(change.ids()), Unchanged: list(change.unchanged), Removed: a.remove, Warnings: list(warnings)}
	if s.json {
		return s.document(out)
	}
	s.warn(warnings...)
	fmt.Fprintf(s.out, "applied %s, unchanged %s", counted(out.Applied), counted(out.Unchanged))
	if len(out.Removed) > 0 {
		fmt.Fprintf(s.out, ", removed %s", counted(out.Removed))
	}
	fmt.Fprintln(s.out)
	return nil
}

func counted(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) > 5 {
		return strconv.Itoa(len(names))
	}
	return strings.Join(names, ", ")
}

// confirm asks a person, where one sits at a terminal.
func (a application) confirm(s *shell) error {
	if a.yes || !terminal(s.in) || !terminal(s.err) || slices.Contains(a.files, "-") {
		return nil
	}
	fmt.Fprint(s.err, "Apply this? [y/N] ")
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was applied")
	}
	return nil
}

// show prints what changes: as the command's output, or beside it where that is JSON.
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
		fmt.Fprintf(to, "- labourers.%s\n", id)
	}
}

// store stores what has changed, each over what it was compared with, and has the orchestrator look at the labourers among it: a raised cap
// or a mended target holds at once.
func (s *stack) store(ctx context.Context, c changeSet) error {
	var done, labourers []string
	for _, one := range c.changes {
		put := s.registry.ApplyLabourer
		if one.schema {
			put = s.registry.ApplySchema
		}
		err := put(ctx, one.name, one.text, one.over)
		if errors.Is(err, queue.ErrChanged) {
			err = fmt.Errorf("%s was applied by somebody else in the meantime, and nothing of it was overwritten; look at the difference and apply again", one.id())
		}
		if err != nil {
			if len(done) > 0 {
				err = fmt.Errorf("%w (already applied: %s)", err, strings.Join(done, ", "))
			}
			return errors.Join(err, s.wake(ctx, labourers))
		}
		done = append(done, one.id())
		if !one.schema {
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

// wakeMost is how many labourers one event names; a name has up to 128 bytes, and an event 256 KB.
const wakeMost = 500

// wake has the orchestrator look at labourers now.
func (s *stack) wake(ctx context.Context, labourers []string) error {
	for part := range slices.Chunk(labourers, wakeMost) {
		if err := s.bus.Publish(ctx, event.TasksDue("drover.cli", part...)); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/inspect"
)

// completionPatience limits how long a shell waits for ids.
const completionPatience = 2 * time.Second

// What completion proposes at most, so that it makes few reads: a person completes what is under way, or what died last.
const (
	proposedTasks     = 20
	proposedRuns      = 10 // of each workflow
	proposedWorkflows = 10 // whose runs are read
)

// proposer returns the ids of things of one kind.
type proposer func(context.Context, *shell, *stack) ([]string, error)

// argumentProposers returns what proposes the first argument of commands, by their path.
func argumentProposers() map[string][]proposer {
	out := map[string][]proposer{
		"drover why": {labourerIDs, jobIDs, runIDs}, "drover trace": {jobIDs, runIDs}, "drover job": {jobIDs}, "drover cancel": {jobIDs},
		"drover task": {deadIDs}, "drover replay": {deadIDs}, "drover workflow start": {workflowNames}, "drover workflow explain": {workflowNames},
		"drover workflow graph": {workflowNames},
	}
	for _, name := range []string{"labourer", "pause", "resume", "pin"} {
		out["drover "+name] = []proposer{labourerIDs}
	}
	for _, name := range []string{"run", "cancel", "pause", "resume"} {
		out["drover workflow "+name] = []proposer{runIDs}
	}
	return out
}

// flagProposers propose the values of flags, by their names.
var flagProposers = map[string]proposer{"job": jobIDs, "labourer": labourerIDs, "workflow": workflowNames, "run": runIDs}

// complete lets a shell complete ids for a command and those below it.
func (s *shell) complete(c *cobra.Command, arguments map[string][]proposer) {
	if of := arguments[c.CommandPath()]; of != nil {
		c.ValidArgsFunction = s.completing(true, of...)
	}
	for name, of := range flagProposers {
		if c.Flags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, s.completing(false, of)) // the flag is there
		}
	}
	for _, below := range c.Commands() {
		s.complete(below, arguments)
	}
}

// completing returns a function that completes ids: of the first argument alone, or of a flag. Where the stack cannot be read in time, it proposes
// nothing.
func (s *shell) completing(argument bool, of ...proposer) cobra.CompletionFunc {
	return func(c *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if argument && len(given) > 0 {
			return nil, none
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
		defer cancel()
		st, err := s.stack(ctx)
		if err != nil {
			return nil, none
		}
		var out []string
		for _, read := range of {
			ids, err := read(ctx, s, st)
			if err != nil {
				continue
			}
			for _, id := range ids {
				if strings.HasPrefix(id, begun) {
					out = append(out, plain(id))
				}
			}
		}
		return out, none
	}
}

func labourerIDs(ctx context.Context, s *shell, st *stack) ([]string, error) {
	ids, _, err := s.reader(st).Registry.Names(ctx)
	return ids, err
}

// jobIDs returns the newest hundred jobs.
func jobIDs(ctx context.Context, s *shell, st *stack) ([]string, error) {
	var ids []string
	err := s.reader(st).EachJob(ctx, func(records []ledger.Job) (bool, error) {
		for _, j := range records {
			ids = append(ids, j.ID)
		}
		return false, nil
	})
	return ids, err
}

// deadIDs returns the dead tasks of the newest jobs.
func deadIDs(ctx context.Context, s *shell, st *stack) ([]string, error) {
	w, err := s.reader(st).TaskWindow(ctx, inspect.Selection{Status: inspect.Dead}, "", proposedTasks)
	var ids []string
	for _, one := range w.Items {
		ids = append(ids, one.Task.ID.String())
	}
	return ids, err
}

func workflowNames(ctx context.Context, _ *shell, st *stack) ([]string, error) {
	if st.Outputs["RunsTableName"] == "" {
		return nil, nil
	}
	return st.compositions.Names(ctx)
}

// runIDs returns the newest runs of the first workflows.
func runIDs(ctx context.Context, s *shell, st *stack) ([]string, error) {
	names, err := workflowNames(ctx, s, st)
	var ids []string
	for _, name := range names[:min(len(names), proposedWorkflows)] {
		runs, err := st.runReader().Newest(ctx, name, proposedRuns)
		if err != nil {
			return ids, err
		}
		for _, r := range runs {
			ids = append(ids, r.RunID)
		}
	}
	return ids, err
}

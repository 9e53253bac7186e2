package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/event"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

func newWorkflow(s *shell) *cobra.Command {
	c := &cobra.Command{
		Use:   "workflow COMMAND",
		Short: "start workflows, and see their runs",
		Long: `Starts runs of workflows and shows them. A workflow is an ordered list of activities, an activity has the stages pre, parallel and post, and plugins
are the labourers in them. To define them: drover apply.`,
		Example: `  drover workflow start order_intake --uid order-1 --metadata order.json --wait
  drover workflow run run-abcdefghijklmnopqrst`,
	}
	for _, create := range []func(*shell) *cobra.Command{newWorkflowStart, newWorkflowRuns, newWorkflowRun, newWorkflowCancel, newWorkflowPause, newWorkflowResume,
		newWorkflowExplain, newWorkflowGraph, newWorkflowImport} {
		c.AddCommand(starting(s, create(s)))
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}

// flows opens the stack, and checks that it has workflows.
func (s *shell) flows(ctx context.Context) (*stack, error) {
	st, err := s.stack(ctx)
	if err != nil {
		return nil, err
	}
	return st, st.Require("RunsTableName")
}

func (s *stack) runReader() inspect.Runs {
	return inspect.Runs{Store: s.runs, Compositions: s.compositions, Tasks: s.tasks, Leases: s.control}
}

func newWorkflowStart(s *shell) *cobra.Command {
	var asked flow.Start
	var metadata string
	var follow bool
	c := &cobra.Command{
		Use:   "start NAME [--uid U] [--metadata FILE|-] [--from ACTIVITY] [--override] [--wait]",
		Short: "start a run of a workflow",
		Long: `Starts a run of a workflow. Bad metadata is refused with exit code 2, an unknown workflow or a uid with an active run with exit code 1. A uid
whose last run has ended is run again: plugins that were Complete stay so, the others run.

--wait follows the run to its end, and prints its tree. The exit code is 0 if the run is Complete or Optional Task Error, else 1. It is 3 if AWS stayed
out of reach for five minutes or the command was interrupted; then the run continues.`,
		Example: `  drover workflow start order_intake --uid order-1 --metadata order.json --wait`,
		Args:    exactly("NAME"),
	}
	c.Flags().StringVar(&asked.UID, "uid", "", "what the run is for; by default an id of its own")
	c.Flags().StringVar(&metadata, "metadata", "", "a `file` with the run's metadata, a JSON object; - is standard input")
	c.Flags().StringVar(&asked.From, "from", "", "run this `activity` and those behind it again")
	c.Flags().BoolVar(&asked.Override, "override", false, "allow other metadata than the last run's")
	c.Flags().BoolVar(&follow, "wait", false, "follow the run to its end")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		asked.Workflow, asked.StartID = arguments[0], "cli-"+strings.ToLower(rand.Text())
		if asked.UID == "" {
			asked.UID = asked.StartID
		}
		if metadata != "" {
			_, text, err := s.read(metadata)
			if err != nil {
				return err
			}
			asked.Metadata = text
		}
		return s.startWorkflow(c.Context(), asked, follow)
	}
	return c
}

func (s *shell) startWorkflow(ctx context.Context, asked flow.Start, follow bool) error {
	if asked.Metadata != nil {
		if err := flow.CheckMetadata(asked.Metadata, nil); err != nil {
			return inputError{err}
		}
	}
	st, err := s.flows(ctx)
	if err != nil {
		return err
	}
	if err := st.startable(ctx, asked); err != nil {
		return err
	}
	detail, err := json.Marshal(asked)
	if err != nil {
		return inputError{err}
	}
	if err := st.send(ctx, event.StartWorkflow, detail); err != nil {
		return err
	}
	id := flow.RunID(asked.StartID)
	if !follow {
		if s.json {
			return s.document(map[string]string{"run_id": id})
		}
		fmt.Fprintf(s.out, "Started %s. To see it: %s\n", id, st.own("workflow", "run", id))
		return nil
	}
	return s.followRun(ctx, st, id)
}

// startable returns the error with which a start would be refused now.
func (s *stack) startable(ctx context.Context, asked flow.Start) error {
	c, found, err := s.compositions.Newest(ctx, asked.Workflow)
	if err == nil && !found {
		err = &inspect.NotFoundError{Kind: "workflow", ID: asked.Workflow}
	}
	if err != nil {
		return err
	}
	claim, err := s.runs.Claim(ctx, asked.Workflow, asked.UID)
	if err != nil {
		return err
	}
	if claim.Active != "" && c.Workflow.Concurrency == flow.Reject {
		return fmt.Errorf("uid: %q has an active run, %s", asked.UID, claim.Active)
	}
	checked := asked
	if checked.Metadata == nil && claim.Last != "" {
		return nil // the last run's
	}
	if _, _, err := flow.Begin(c, checked, nil); err != nil {
		return inputError{err}
	}
	return nil
}

// followRun shows how far a run is until it has ended, and then prints its tree.
func (s *shell) followRun(ctx context.Context, st *stack, id string) error {
	patient := s.following(fmt.Sprintf("run %s continues; to see its state: drover workflow run %s", id, id))
	bar := newProgress(s.err, s.now)
	defer bar.end()
	patient.say = bar.note
	unknownSince := s.now()
	for {
		run, _, tree, err := st.runReader().Tree(ctx, id)
		if missing := (*inspect.NotFoundError)(nil); errors.As(err, &missing) {
			err = nil // it is not recorded yet
			if !unknownSince.IsZero() && s.now().Sub(unknownSince) >= silence {
				bar.note(fmt.Sprintf("run %s is not known yet; to find out why: %s", id, st.own("doctor")))
				unknownSince = time.Time{}
			}
		} else if err == nil {
			bar.show(describeRun(run, tree))
		}
		if err == nil {
			patient.answered()
			if run.State.Final() {
				bar.end()
				err := s.printRun(run, tree)
				if err == nil && !run.State.Good() {
					err = fmt.Errorf("run %s ended %s", id, run.State)
				}
				return err
			}
			if err = s.wait(ctx, followPause); err == nil {
				continue
			}
		}
		if err := patient.bear(ctx, err); err != nil {
			return err
		}
	}
}

func newWorkflowRuns(s *shell) *cobra.Command {
	var name, uid, state string
	c := &cobra.Command{
		Use:     "runs [--workflow W] [--uid U] [--state S]",
		Short:   "list runs, the newest first",
		Long:    `Lists runs of workflows, the newest first: of all that were ever applied, if no workflow is named. --state takes a run's stored state, and Paused.`,
		Example: `  drover workflow runs --workflow order_intake --state Error`,
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&name, "workflow", "", "only runs of this `workflow`")
	c.Flags().StringVar(&uid, "uid", "", "only runs of this `uid`")
	c.Flags().StringVar(&state, "state", "", "only runs in this `state`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if _, known := flow.ParseState(state); state != "" && !known {
			return badInput("--state: %q is not a state", state)
		}
		st, err := s.flows(c.Context())
		if err != nil {
			return err
		}
		names := []string{name}
		if name == "" {
			if names, err = st.compositions.Names(c.Context()); err != nil {
				return err
			}
		}
		lines, err := st.runReader().List(c.Context(), names, func(r inspect.Run, stored flow.State) bool {
			return (uid == "" || r.UID == uid) && (state == "" || string(r.State) == state || string(stored) == state)
		})
		if err != nil {
			return err
		}
		if s.json {
			for _, line := range lines {
				if err := s.document(line); err != nil {
					return err
				}
			}
			return nil
		}
		t := s.list("RUN", "WORKFLOW", "UID", "N", "STATE", "STARTED", "FINISHED")
		for _, r := range lines {
			t.row(r.RunID, r.Workflow, r.UID, fmt.Sprint(r.Run), string(r.State), s.moment(&r.StartedAt), s.moment(r.FinishedAt))
		}
		return t.end()
	}
	return c
}

func newWorkflowRun(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "run RUN",
		Short:   "show a run as a tree",
		Long:    `Shows a run: its activities, their stages, and the state of each plugin.`,
		Example: `  drover workflow run run-abcdefghijklmnopqrst`,
		Args:    exactly("RUN"),
		RunE: func(c *cobra.Command, arguments []string) error {
			st, err := s.flows(c.Context())
			if err != nil {
				return err
			}
			run, _, tree, err := st.runReader().Tree(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			return s.printRun(run, tree)
		},
	}
}

func (s *shell) printRun(run inspect.RunTree, tree flow.Tree) error {
	if s.json {
		return s.document(run)
	}
	s.printTree(run, tree)
	return nil
}

func newWorkflowCancel(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "cancel RUN", Short: "cancel a run",
		Long:    `Cancels a run: what is under way in it is given up, and nothing further begins.`,
		Example: `  drover workflow cancel run-abcdefghijklmnopqrst`,
		Args:    exactly("RUN"),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.changeRun(c.Context(), arguments[0], "cancel")
		},
	}
}

func newWorkflowPause(s *shell) *cobra.Command  { return pausing(s, "pause") }
func newWorkflowResume(s *shell) *cobra.Command { return pausing(s, "resume") }

func pausing(s *shell, verb string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " RUN", Short: verb + " a run",
		Long:    `While a run is paused nothing further of it begins. What is under way goes on, and timeouts too.`,
		Example: "  drover workflow " + verb + " run-abcdefghijklmnopqrst",
		Args:    exactly("RUN"),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.changeRun(c.Context(), arguments[0], verb)
		},
	}
}

// cancelPatience limits how long the command waits until a run that it cancels has ended.
const cancelPatience = 20 * time.Second

// changeRun cancels, pauses or resumes a run, and prints its state.
func (s *shell) changeRun(ctx context.Context, id, verb string) error {
	st, err := s.flows(ctx)
	if err != nil {
		return err
	}
	state, err := s.runChanged(ctx, st, id, verb)
	if err != nil {
		return err
	}
	if s.json {
		return s.document(map[string]string{"run_id": id, "state": string(state)})
	}
	fmt.Fprintf(s.out, "%s: %s\n", id, state)
	return nil
}

// runChanged cancels, pauses or resumes a run, and returns its state. A run that is cancelled has ended then, or is given 20 s to end.
func (s *shell) runChanged(ctx context.Context, st *stack, id, verb string) (flow.State, error) {
	if _, _, _, err := st.runReader().Tree(ctx, id); err != nil {
		return "", err
	}
	if err := st.orderRun(ctx, id, verb); err != nil {
		return "", err
	}
	for began := s.now(); ; {
		tree, _, _, err := st.runReader().Tree(ctx, id)
		if err != nil || verb != "cancel" || tree.State.Final() || s.now().Sub(began) > cancelPatience {
			return tree.State, err
		}
		if err := s.wait(ctx, followPause); err != nil {
			return "", err
		}
	}
}

// orderRun orders that a run is cancelled, or pauses or resumes it.
func (s *stack) orderRun(ctx context.Context, id, verb string) error {
	if verb == "cancel" {
		detail, err := json.Marshal(map[string]string{"run_id": id})
		if err != nil {
			return err
		}
		return s.send(ctx, event.CancelWorkflow, detail)
	}
	paused := verb == "pause"
	for {
		r, found, err := s.runs.Get(ctx, id)
		if err != nil || !found || r.Head.Ended() || r.Head.Paused == paused {
			return err
		}
		after := r
		after.Head.Paused = paused
		if _, err = s.runs.Save(ctx, r, after); err == nil && !paused {
			return s.waker.Look(ctx, r.ID)
		} else if !errors.Is(err, errRunChanged) {
			return err
		}
	}
}

// composition returns a workflow from files, or from the stack.
func (s *shell) composition(ctx context.Context, name string, paths []string) (flow.Composition, *stack, error) {
	if len(paths) > 0 {
		read, warnings, err := s.configuration(paths)
		if err != nil {
			return flow.Composition{}, nil, err
		}
		s.warn(warnings...)
		c, found := flow.Compose(read.Definitions, name)
		if !found {
			return c, nil, badInput("the files define no workflow %q", name)
		}
		return c, nil, nil
	}
	st, err := s.flows(ctx)
	if err != nil {
		return flow.Composition{}, nil, err
	}
	c, found, err := st.compositions.Newest(ctx, name)
	if err == nil && !found {
		err = &inspect.NotFoundError{Kind: "workflow", ID: name}
	}
	return c, st, err
}

func newWorkflowExplain(s *shell) *cobra.Command {
	var paths []string
	var uid, metadata string
	c := &cobra.Command{
		Use:     "explain NAME [-f FILE...] [--uid U] [--metadata FILE|-]",
		Short:   "show which plugins a run would start, and why",
		Long:    `Shows for each plugin of a workflow whether a run with this metadata would start it, and which part of its filter decides. With -f without AWS.`,
		Example: `  drover workflow explain order_intake -f workflows.yaml --metadata order.json`,
		Args:    exactly("NAME"),
	}
	files(c, &paths, false)
	c.Flags().StringVar(&uid, "uid", "", "what the run is for")
	c.Flags().StringVar(&metadata, "metadata", "", "a `file` with the run's metadata, a JSON object; - is standard input")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		text := []byte("{}")
		if metadata != "" {
			var err error
			if _, text, err = s.read(metadata); err != nil {
				return err
			}
		}
		composition, st, err := s.composition(c.Context(), arguments[0], paths)
		if err != nil {
			return err
		}
		if err := flow.CheckMetadata(text, nil); err != nil {
			return inputError{err}
		}
		subject := flow.Subject{Composition: composition, UID: uid, Run: 1, Metadata: text}
		if st != nil {
			claim, err := st.runs.Claim(c.Context(), arguments[0], uid)
			if err != nil {
				return err
			}
			subject.Run = claim.Run + 1
		}
		lines, err := subject.Explain()
		if err != nil {
			return err
		}
		if s.json {
			return s.document(struct {
				Workflow string             `json:"workflow"`
				Plugins  []flow.Explanation `json:"plugins"`
			}{arguments[0], lines})
		}
		t := newTable(s.out, "ACTIVITY", "STAGE", "PLUGIN", "MANDATORY", "STARTS", "WHY")
		for _, e := range lines {
			t.row(e.Activity, e.Stage, e.Plugin, fmt.Sprint(e.Mandatory), fmt.Sprint(e.Matches), e.Reason)
		}
		return t.end()
	}
	return c
}

func newWorkflowGraph(s *shell) *cobra.Command {
	var paths []string
	var run, format string
	c := &cobra.Command{
		Use:     "graph NAME [-f FILE...] [--run RUN] [--format mermaid|svg]",
		Short:   "draw a workflow, or a run of it",
		Long:    `Draws a workflow as a Mermaid flowchart or an SVG image, with the states of a run if one is named. With -f without AWS.`,
		Example: `  drover workflow graph order_intake > order_intake.mmd`,
		Args:    exactly("NAME"),
	}
	files(c, &paths, false)
	c.Flags().StringVar(&run, "run", "", "the `run` whose states are shown")
	c.Flags().StringVar(&format, "format", "mermaid", "mermaid or svg")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		draw := map[string]func(string, flow.Tree, bool) string{"mermaid": flow.Mermaid, "svg": flow.SVG}[format]
		if draw == nil {
			return badInput("--format: %q is unknown; want mermaid or svg", format)
		}
		if run != "" {
			st, err := s.flows(c.Context())
			if err != nil {
				return err
			}
			_, _, tree, err := st.runReader().Tree(c.Context(), run)
			if err == nil {
				fmt.Fprint(s.out, draw(arguments[0], tree, true))
			}
			return err
		}
		composition, _, err := s.composition(c.Context(), arguments[0], paths)
		if err != nil {
			return err
		}
		tree, err := flow.Subject{Composition: composition, Run: 1, Metadata: []byte("{}")}.Tree(flow.Head{State: flow.NotStarted}, nil)
		if err == nil {
			fmt.Fprint(s.out, draw(arguments[0], tree, false))
		}
		return err
	}
	return c
}

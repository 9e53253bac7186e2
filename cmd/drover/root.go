package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// shell holds what a command works with: its streams, its clock, its environment, and how it opens a stack.
type shell struct {
	in          io.Reader
	out, err    io.Writer
	now         func() time.Time
	wait        func(ctx context.Context, span time.Duration) error // returns the context's error if that ends first
	environment func(string) string
	zone        *time.Location // of the times that people read; nil: UTC
	width       func() int     // of the terminal on which it prints; 0, or nil: it is none
	open        func(ctx context.Context, name string) (*stack, error)
	person      func() bool // reports whether a person can be asked; nil: if the streams are terminals

	stackName string
	json      bool
	utc       bool
	started   bool // the command line is valid, so a later failure is not bad usage
}

// The exit codes.
const (
	done    = 0
	failed  = 1
	misuse  = 2
	unknown = 3 // AWS stayed out of reach while the command followed something
)

// inputError is an error in the user's input. The program ends with the exit code for bad input.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// badInput returns an inputError with a formatted message.
func badInput(format string, arguments ...any) error {
	return inputError{fmt.Errorf(format, arguments...)}
}

// run runs a command line and returns the exit code.
func run(ctx context.Context, s *shell, arguments []string) int {
	root := newRoot(s)
	root.SetArgs(arguments)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return done
	}
	var input inputError
	var open unknownError
	switch {
	case !s.started:
		fmt.Fprintf(s.err, "drover: %s\nSee %s --help.\n", oneLine(err), command.CommandPath())
		return misuse
	case errors.As(err, &input):
		fmt.Fprintf(s.err, "drover: %v\n", err)
		return misuse
	case errors.As(err, &open):
		fmt.Fprintf(s.err, "drover: %s\n", s.explained(err))
		return unknown
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(s.err, "drover: interrupted")
		return failed
	}
	fmt.Fprintf(s.err, "drover: %s\n", s.explained(err))
	return failed
}

// explained returns the message of an error or, if the session of the credentials has expired, what to do about it.
func (s *shell) explained(err error) string {
	if kindOf(err) == session {
		return signIn(err, s.environment("AWS_PROFILE")) + " (" + err.Error() + ")"
	}
	return err.Error()
}

// oneLine joins the lines of a message: the flag parser writes several.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// defaultStack names the stack if the user does not.
const defaultStack = "drover"

func newRoot(s *shell) *cobra.Command {
	root := &cobra.Command{
		Use:   "drover",
		Short: "Run fleets of workers at the pace that their databases and services can bear",
		Long: `Drover cuts jobs into tasks and starts workers for them on AWS, at the pace that the workers' databases and services can bear.

AWS settings come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, ~/.aws.
Exit codes: 0 done; 1 failed; 2 bad usage or bad input; 3 unknown, because AWS stayed out of reach while the command followed something.`,
		Example: `  drover validate -f labourers.yaml
  drover apply -f labourers.yaml
  drover submit nightly.json --wait`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	stack := s.environment("DROVER_STACK")
	if stack == "" {
		stack = defaultStack
	}
	root.PersistentFlags().StringVar(&s.stackName, "stack", stack, "the CloudFormation `name` of the stack; $DROVER_STACK sets the default")
	root.PersistentFlags().BoolVar(&s.json, "json", false, "print JSON, and nothing else, on standard output")
	root.PersistentFlags().BoolVar(&s.utc, "utc", false, "print times in UTC, not in the zone of this machine; with --json they always are")
	root.AddGroup(
		&cobra.Group{ID: "pure", Title: "Without AWS:"},
		&cobra.Group{ID: "work", Title: "Change what runs:"},
		&cobra.Group{ID: "look", Title: "See what runs:"},
	)
	var asked bool
	root.Flags().BoolVar(&asked, "version", false, "print the version of drover")
	root.RunE = func(c *cobra.Command, _ []string) error {
		if asked {
			return s.printVersion()
		}
		return c.Help()
	}
	add := func(group string, commands ...func(*shell) *cobra.Command) {
		for _, create := range commands {
			command := create(s)
			command.GroupID = group
			root.AddCommand(starting(s, command))
		}
	}
	add("pure", newInit, newValidate, newPlan, newAssess, newVersion)
	add("work", newDeploy, newApply, newDiff, newSubmit, newCancel, newReplay, newRedrive, newPause, newResume, newPin, newWorkflow, newMigrate)
	add("look", newWhy, newJob, newJobs, newTask, newTasks, newDead, newLabourer, newLabourers, newWatch, newConsole, newDoctor)
	add("look", newTrace, newArchive)
	s.complete(root, argumentProposers())
	return root
}

// starting notes, when the command begins to act, that the command line is valid.
func starting(s *shell, command *cobra.Command) *cobra.Command {
	command.DisableFlagsInUseLine = true // each usage line names its own flags
	act := command.RunE
	command.RunE = func(c *cobra.Command, arguments []string) error {
		s.started = true
		return act(c, arguments)
	}
	return command
}

// exactly returns a check for one argument per name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, given []string) error {
		if len(given) < len(names) {
			return fmt.Errorf("%s is missing", names[len(given)])
		}
		if len(given) > len(names) {
			return fmt.Errorf("unexpected argument %q", given[len(names)])
		}
		return nil
	}
}

// stack opens the stack that the command names.
func (s *shell) stack(ctx context.Context) (*stack, error) {
	st, err := s.open(ctx, s.stackName)
	if err != nil {
		return nil, err
	}
	return st, st.Require(needed...)
}

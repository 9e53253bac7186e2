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

// shell is what a command has to do with: its streams, its clock, and how it comes to a stack.
type shell struct {
	in          io.Reader
	out, err    io.Writer
	now         func() time.Time
	wait        func(ctx context.Context, span time.Duration) error // the context's error when it ends before the span does
	environment func(string) string
	open        func(ctx context.Context, name string) (*stack, error)

	stackName string
	json      bool
	started   bool // the command line was understood; what fails from then on is no bad usage
}

// The exit codes.
const (
	done    = 0
	failed  = 1
	misuse  = 2
	unknown = 3 // it could not be found out: AWS stayed out of reach while something was followed
)

// inputError is what is wrong with what the user gave: it ends with the code for bad input.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// badInput is an inputError of a formatted message.
func badInput(format string, arguments ...any) error {
	return inputError{fmt.Errorf(format, arguments...)}
}

// run is the whole of the program but its process: it carries out the arguments and returns the exit code.
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

// explained returns the message of an error, with what to do about an ended session of the credentials.
func (s *shell) explained(err error) string {
	if kindOf(err) == session {
		return signIn(err, s.environment("AWS_PROFILE")) + " (" + err.Error() + ")"
	}
	return err.Error()
}

// oneLine is a message of the flag parser without the suggestions that it sets in lines of their own.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// defaultStack is the stack's name where nothing is said.
const defaultStack = "drover"

func newRoot(s *shell) *cobra.Command {
	root := &cobra.Command{
		Use:   "drover",
		Short: "Jobs in by event, tasks out to workers at the pace that what they depend on can bear",
		Long: `Drover hands the tasks of jobs to workers on AWS, at the pace that what they depend on can bear.

AWS settings come from the usual places: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, ~/.aws.
Exit codes: 0 done, 1 it failed, 2 bad usage or bad input, 3 it could not be found out: AWS stayed out of reach while something was followed.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	stack := s.environment("DROVER_STACK")
	if stack == "" {
		stack = defaultStack
	}
	root.PersistentFlags().StringVar(&s.stackName, "stack", stack, "the CloudFormation `name` of the stack; $DROVER_STACK, else drover")
	root.PersistentFlags().BoolVar(&s.json, "json", false, "print JSON on standard output, and nothing else there")
	root.AddGroup(
		&cobra.Group{ID: "pure", Title: "Before anything is deployed:"},
		&cobra.Group{ID: "work", Title: "Work:"},
		&cobra.Group{ID: "look", Title: "What is going on:"},
	)
	add := func(group string, commands ...func(*shell) *cobra.Command) {
		for _, create := range commands {
			command := create(s)
			command.GroupID = group
			root.AddCommand(starting(s, command))
		}
	}
	add("pure", newValidate, newPlan, newAssess)
	add("work", newApply, newDiff, newSubmit, newCancel, newReplay, newRedrive, newPause, newResume)
	add("look", newJob, newJobs, newTask, newTasks, newDead, newLabourer, newLabourers, newWatch, newDoctor)
	return root
}

// starting marks the moment at which the command line was understood.
func starting(s *shell, command *cobra.Command) *cobra.Command {
	act := command.RunE
	command.RunE = func(c *cobra.Command, arguments []string) error {
		s.started = true
		return act(c, arguments)
	}
	return command
}

// exactly asks for arguments by their names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, given []string) error {
		if len(given) < len(names) {
			return fmt.Errorf("%s is missing", names[len(given)])
		}
		if len(given) > len(names) {
			return fmt.Errorf("%q is one argument too many", given[len(names)])
		}
		return nil
	}
}

// stack is the stack that the command is about.
func (s *shell) stack(ctx context.Context) (*stack, error) {
	st, err := s.open(ctx, s.stackName)
	if err != nil {
		return nil, err
	}
	return st, st.Require(needed...)
}

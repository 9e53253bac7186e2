package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/core/trace"
	"github.com/drover-run/drover/shared/inspect"
)

func newTrace(s *shell) *cobra.Command {
	var of inspect.Traced
	var format, one, date string
	var decisions bool
	c := &cobra.Command{
		Use:   "trace JOB|RUN [--format otlp|text] [--task ID] [--limit N] [--decisions] [--labourer ID] [--date DATE]",
		Short: "show the trace of a job or a run: what waited, why, and each attempt",
		Long: `Builds the trace of a job, or of a run of a workflow, from what is stored: its submission, the waits of its tasks with their reasons, each attempt, and how
they ended. Workers need nothing for it. A job that was submitted with a traceparent is part of that trace, and what its workers add to the trace lies
below their attempts.

--decisions also reads what the orchestrator decided meanwhile, from its log: the reason of a wait for a slot becomes what bound the labourer longest, and
each change of that is an event. It reads the first day of the trace, and up to 20 labourers.

--format otlp prints OTLP in JSON, which an OpenTelemetry collector takes at /v1/traces. A job of more than 10,000 tasks needs --task or --limit. A job
that ended so long ago that the stack has forgotten it is found in the archive by --labourer and the day on which it ended, --date.`,
		Example: `  drover trace nightly-2026-11-22
  drover trace nightly-2026-11-22 --task 2jxtsgokhmkcw7cc.17
  drover trace run-abcdefghijklmnopqrst --format otlp | curl -H 'Content-Type: application/json' --data-binary @- http://localhost:4318/v1/traces`,
		Args: exactly("JOB or RUN"),
	}
	c.Flags().StringVar(&format, "format", "", "the `format`: text, or otlp (default: text, with --json otlp)")
	c.Flags().StringVar(&one, "task", "", "only this `task`")
	c.Flags().IntVar(&of.Limit, "limit", 0, "only the first `n` tasks (default: no limit)")
	c.Flags().BoolVar(&decisions, "decisions", false, "say what bound the labourers, by the orchestrator's log")
	c.Flags().StringVar(&of.In.Labourer, "labourer", "", "search the archive of this `labourer`")
	c.Flags().StringVar(&date, "date", "", "search the archive of this `day` (UTC), on which the job ended")
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		if of.Limit < 0 {
			return fmt.Errorf("--limit is %d; want 0 or more", of.Limit)
		}
		if one != "" {
			if of.Task, err = task.ParseID(one); err != nil {
				return fmt.Errorf("--task: %w", err)
			}
		}
		if of.In.Day, err = day("--date", date); err != nil {
			return err
		}
		return oneOf("--format", format, "otlp", "text")
	}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		t, err := s.trace(c.Context(), st, arguments[0], of)
		if many := (*inspect.TooManyError)(nil); errors.As(err, &many) {
			return inputError{err}
		}
		if err == nil && decisions {
			err = s.joinDecisions(c.Context(), st, &t)
		}
		if err != nil {
			return err
		}
		if format == "otlp" || format == "" && s.json {
			return s.printOTLP(st, t)
		}
		return s.printTrace(t)
	}
	return c
}

// trace returns the trace of a job or, if there is no job with this id, of a run.
func (s *shell) trace(ctx context.Context, st *stack, id string, of inspect.Traced) (inspect.Trace, error) {
	reader := s.reader(st)
	t, err := reader.JobTrace(ctx, id, of)
	if missing := (*inspect.NotFoundError)(nil); !errors.As(err, &missing) || st.Require("RunsTableName") != nil {
		return t, err
	}
	run, other := reader.RunTrace(ctx, st.runReader(), id, of)
	if missing := (*inspect.NotFoundError)(nil); errors.As(other, &missing) {
		return t, err
	}
	return run, other
}

// Bounds of what drover trace --decisions reads of the log.
const (
	decidedMost = 20             // labourers
	decidedSpan = 24 * time.Hour // of a trace
	decidedLead = 2 * time.Minute
)

// joinDecisions adds what the orchestrator decided during a trace.
func (s *shell) joinDecisions(ctx context.Context, st *stack, t *inspect.Trace) error {
	from, to := t.Spans[0].Start, t.Spans[0].End
	for _, span := range t.Spans {
		if span.End.After(to) {
			to = span.End
		}
	}
	if most := from.Add(decidedSpan); to.After(most) {
		to = most
	}
	ids := t.Labourers()
	for _, id := range ids[:min(len(ids), decidedMost)] {
		records, err := s.logged(ctx, st, id, from.Add(-decidedLead), to)
		if missing := (*inspect.NotFoundError)(nil); err != nil && !errors.As(err, &missing) {
			return err
		}
		t.Decided(id, records)
	}
	return nil
}

// scope names the program that makes the spans.
const scope = "github.com/drover-run/drover"

func (s *shell) printOTLP(st *stack, t inspect.Trace) error {
	info, _ := debug.ReadBuildInfo()
	to := bufio.NewWriterSize(s.out, 64<<10)
	out, err := trace.NewOTLP(to, t.Context, []trace.Attribute{{Key: "service.name", Value: "drover"}, {Key: "drover.stack", Value: st.Name}}, scope, buildOf(version, info).Version)
	if err != nil {
		return err
	}
	for _, span := range t.Spans {
		if err := out.Add(span); err != nil {
			return err
		}
	}
	if err := out.End(); err != nil {
		return err
	}
	return to.Flush()
}

// printTrace prints a trace as a tree: with each span when it began after the first one, and how long it took.
func (s *shell) printTrace(t inspect.Trace) error {
	first := t.Spans[0]
	fmt.Fprintf(s.out, "trace %s, begun %s\n\n", t.Context.TraceID, s.moment(&first.Start))
	depths := map[string]int{}
	rows := s.list("AFTER", "TOOK", "WHAT")
	for _, span := range t.Spans {
		depth := 0
		if below, known := depths[span.Parent]; known {
			depth = below + 1
		}
		depths[span.ID] = depth
		rows.row(length(span.Start.Sub(first.Start)), length(span.End.Sub(span.Start)), strings.Repeat("  ", depth)+inWords(span))
	}
	return rows.end()
}

// length formats a span of time, with as many digits as people need.
func length(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + length(-d)
	case d < time.Minute:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// inWords returns a span in words.
func inWords(span trace.Span) string {
	of := map[string]any{}
	for _, a := range span.Attributes {
		of[a.Key] = a.Value
	}
	words := []string{span.Name}
	switch kind, _, _ := strings.Cut(span.Name, " "); kind {
	case "task":
		words = []string{"task", fmt.Sprint(of["drover.task_id"]), fmt.Sprint(of["drover.status"])}
		if plugin := of["drover.plugin"]; plugin != nil {
			words = append(words, fmt.Sprintf("(%v of %v, %v)", plugin, of["drover.activity"], of["drover.stage"]))
		}
	case "attempt":
		words = []string{"attempt", fmt.Sprint(of["drover.attempt"]), fmt.Sprint(of["drover.reason"])}
		if of["error.type"] != nil {
			words = append(words, short(fmt.Sprintf("%v: %s", of["error.type"], span.Message), 100))
		}
	case "wait":
		words = []string{"wait:", strings.ReplaceAll(fmt.Sprint(of["drover.reason"]), "_", " ")}
		if n := len(span.Events); n > 0 {
			words = append(words, fmt.Sprintf("(%v)", span.Events[n-1].Attributes[0].Value))
		}
		if of["drover.waiting_for"] != nil {
			words = append(words, fmt.Sprintf("(for %v)", of["drover.waiting_for"]))
		}
	case "submit", "start":
		words = append(words, fmt.Sprintf("(%v)", of["drover.status"]))
	}
	if of["drover.unfinished"] != nil {
		words = append(words, "…")
	}
	return strings.Join(words, " ")
}

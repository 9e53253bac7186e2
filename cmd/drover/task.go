package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

func newTask(s *shell) *cobra.Command {
	var where inspect.Search
	var date string
	c := &cobra.Command{
		Use:   "task ID [--labourer ID] [--date DATE]",
		Short: "show a task: its payload, attempts and errors, and what it waits for",
		Long: `Shows everything about a task. If the task has left the table, the command searches the archive, the newest days first. --labourer and --date
narrow the search; with --date it may go further back than without.`,
		Example: `  drover task 2jxtsgokhmkcw7cc.17
  drover task 2jxtsgokhmkcw7cc.17 --labourer shop --date 2026-03-14`,
		Args: exactly("ID"),
	}
	c.Flags().StringVar(&where.Labourer, "labourer", "", "search the archive of this `labourer`")
	c.Flags().StringVar(&date, "date", "", "search the archive of this `day` (UTC), on which the task ended")
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		where.Day, err = day("--date", date)
		return err
	}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		id, err := task.ParseID(arguments[0])
		if err != nil { // no task has such an id
			return fmt.Errorf("there is no such task: %w", err)
		}
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		reader := s.reader(st)
		d, found, err := reader.Task(c.Context(), id)
		if err == nil && !found {
			where.Long = func() { s.say("Searching the archive. To narrow the search: --labourer and --date") }
			d, err = reader.Archived(c.Context(), id, where)
		}
		if err != nil {
			return err
		}
		if s.json {
			err = s.document(d)
		} else {
			err = s.printTask(d)
		}
		if lost := s.unheard(c.Context(), st, d); lost != "" {
			fmt.Fprintln(s.err, lost)
		}
		return err
	}
	return c
}

// unheard points to the dead letter queue of completions, where the reported end of an expired attempt may be: SQS finds no message by its task.
// It returns "" if no attempt has expired, or if that queue is empty.
func (s *shell) unheard(ctx context.Context, st *stack, of inspect.Detail) string {
	url := st.Outputs["CompletionsDeadLetterQueueUrl"]
	if url == "" || !slices.ContainsFunc(of.Attempts, func(a inspect.Attempt) bool { return a.Status == string(task.Expired) }) {
		return ""
	}
	d := &doctor{stack: st, now: s.now}
	n, err := d.depth(ctx, url)
	if err != nil || n == 0 { // the command shows the task even if it may not read the queue
		return ""
	}
	return fmt.Sprintf("The dead letter queue of completions holds %s; the end of an expired attempt may be among them. To read them: %s",
		inspect.Count(n, "message"), d.command("sqs", "receive-message", "--message-attribute-names", "All", "--queue-url", url))
}

func (s *shell) printTask(d inspect.Detail) error {
	t := newTable(s.out, "TASK", d.TaskID)
	t.row("job", d.JobID)
	t.row("labourer", d.Labourer)
	t.row("status", string(d.Status))
	if d.WaitingFor != "" {
		t.row("waiting for", d.WaitingFor)
	}
	t.row("created", s.moment(&d.CreatedAt))
	if d.ClosedAt != nil {
		t.row("closed", s.moment(d.ClosedAt))
	}
	if d.Life > 0 {
		t.row("replayed", fmt.Sprintf("%s, last after attempt %d", inspect.Count(d.Life, "time"), d.ReplayOf))
	}
	if d.Archived {
		t.row("stored", "only in the archive")
	}
	if err := t.end(); err != nil {
		return err
	}
	if len(d.Attempts) > 0 {
		t = newTable(s.out, "ATTEMPT", "STATUS", "DISPATCHED", "CLOSED", "ERROR")
		for _, a := range d.Attempts {
			why := ""
			if a.Error != nil {
				why = a.Error.Type + ": " + a.Error.Message
			}
			t.row(fmt.Sprint(a.Attempt), a.Status, s.moment(a.DispatchedAt), s.moment(a.ClosedAt), why)
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		name string
		text json.RawMessage
	}{{"PAYLOAD", d.Payload}, {"RESULT", d.Result}, {"STATS", d.Stats}} {
		if len(part.text) > 0 {
			fmt.Fprintf(s.out, "%s\n%s\n", part.name, indented(part.text))
		}
	}
	return nil
}

func indented(text json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, text, "", "  ") != nil {
		return string(text)
	}
	return out.String()
}

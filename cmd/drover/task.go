package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/task"
	"github.com/drover-run/drover/shared/view"
)

func newTask(s *shell) *cobra.Command {
	var hints search
	var date string
	c := &cobra.Command{
		Use:   "task ID",
		Short: "show a task: payload, attempts and errors, where it is now and why it waits",
		Long: `Shows all that is known of a task. One that has left the table is looked for in the archive, the newest days first; --labourer and --date
say where, and reach further back than it looks by itself.`,
		Example: `  drover task 2jxtsgokhmkcw7cc.17
  drover task 2jxtsgokhmkcw7cc.17 --labourer shop --date 2026-03-14`,
		Args: exactly("ID"),
	}
	c.Flags().StringVar(&hints.labourer, "labourer", "", "look in the archive of this `labourer`")
	c.Flags().StringVar(&date, "date", "", "look in the archive of this `day` (UTC) on which the task ended")
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		if date == "" {
			return nil
		}
		if hints.day, err = time.Parse(time.DateOnly, date); err != nil {
			return fmt.Errorf("--date is %q; a day like 2026-03-14 would be right", date)
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		id, err := task.ParseID(arguments[0])
		if err != nil { // nobody has such an id
			return fmt.Errorf("there is no such task: %w", err)
		}
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		d, found, err := s.task(c.Context(), st, id)
		if err == nil && !found {
			d, err = s.archived(c.Context(), st, id, hints)
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

// unheard says where the end of an expired attempt may lie that a worker reported: SQS finds no message by its task, so whoever looks has to read
// the completions' dead letters. It is empty where no attempt has expired, or none lies there.
func (s *shell) unheard(ctx context.Context, st *stack, of view.Detail) string {
	url := st.Outputs["CompletionsDeadLetterQueueUrl"]
	if url == "" || !slices.ContainsFunc(of.Attempts, func(a view.Attempt) bool { return a.Status == string(task.Expired) }) {
		return ""
	}
	d := &doctor{stack: st, now: s.now}
	n, err := d.depth(ctx, url)
	if err != nil || n == 0 { // without the right to look, the task is shown all the same
		return ""
	}
	return fmt.Sprintf("The completions' dead letters hold %s; that of an expired attempt may be among them. Read them: %s", many(n, "message"),
		d.command("sqs", "receive-message", "--message-attribute-names", "All", "--queue-url", url))
}

// looks is how often a task that is on its way between two places is looked for again.
const looks = 5

// task is a task that is in the table.
func (s *shell) task(ctx context.Context, st *stack, id task.ID) (view.Detail, bool, error) {
	for look := 1; ; look++ {
		found, err := st.tasks.Load(ctx, []task.ID{id})
		if err != nil {
			return view.Detail{}, false, err
		}
		t, ok := found[id]
		if !ok {
			return view.Detail{}, false, nil
		}
		now := s.now()
		if t.Status.Terminal() {
			return view.DetailOf(t, view.Place{}, "", now), true, nil
		}
		leases, err := st.control.LeasesOn(ctx, t.Labourer, id.Segment)
		if err != nil {
			return view.Detail{}, false, err
		}
		entries, err := st.control.Queue(ctx, t.Labourer)
		if err != nil {
			return view.Detail{}, false, err
		}
		place := view.PlacesOf(leases, entries).Of(t)
		if place == (view.Place{}) && look < looks {
			if err := s.wait(ctx, 100*time.Millisecond); err != nil {
				return view.Detail{}, false, err
			}
			continue
		}
		waiting, err := s.waiting(ctx, st, t, place, now)
		return view.DetailOf(t, place, waiting, now), err == nil, err
	}
}

// waiting says why a task that has not ended is not further.
func (s *shell) waiting(ctx context.Context, st *stack, t task.Task, place view.Place, now time.Time) (string, error) {
	status := view.StatusOf(t, place, now)
	if status == view.Running {
		return s.running(ctx, st, t, place, now)
	}
	b, found, err := newPulse(st, s.now).one(ctx, t.Labourer)
	if err != nil {
		return "", err
	}
	if !found {
		return view.WaitingFor(status, place, nil, now), nil
	}
	return view.WaitingFor(status, place, &b.Labourer, now), nil
}

// running says what a task that was handed out waits for: its worker, or that one reads the queue.
func (s *shell) running(ctx context.Context, st *stack, t task.Task, place view.Place, now time.Time) (string, error) {
	waits := view.WaitingFor(view.Running, place, nil, now)
	l, found, err := st.registry.Labourer(ctx, t.Labourer)
	if err != nil || !found || l.Target.SQS == "" {
		return waits, err
	}
	q, err := st.queue(ctx, l.Target.SQS)
	if err != nil { // which is the doctor's to say: it takes rights on the workers' queue
		return waits, nil
	}
	if lies := q.unread(l, place.Lease.DispatchedAt, now); lies != "" {
		return fmt.Sprintf("a worker: %s (the attempt counts as lost at %s)", lies, place.Lease.ExpiresAt.UTC().Format(time.RFC3339)), nil
	}
	return waits, nil
}

func (s *shell) printTask(d view.Detail) error {
	t := newTable(s.out, "TASK", d.TaskID)
	t.row("job", d.JobID)
	t.row("labourer", d.Labourer)
	t.row("status", string(d.Status))
	if d.WaitingFor != "" {
		t.row("waiting for", d.WaitingFor)
	}
	t.row("created", moment(&d.CreatedAt))
	if d.ClosedAt != nil {
		t.row("closed", moment(d.ClosedAt))
	}
	if d.Life > 0 {
		t.row("replayed", fmt.Sprintf("%d times, the last one after attempt %d", d.Life, d.ReplayOf))
	}
	if d.Archived {
		t.row("kept", "in the archive alone")
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
			t.row(fmt.Sprint(a.Attempt), a.Status, moment(a.DispatchedAt), moment(a.ClosedAt), why)
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

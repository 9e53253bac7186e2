package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/spf13/cobra"

	sourcetables "github.com/drover-run/drover/shared/aws/sosw"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/service/migration"
	assembly "github.com/drover-run/drover/shared/wiring"
)

func newMigrate(s *shell) *cobra.Command {
	c := &cobra.Command{
		Use:                   "migrate",
		Short:                 "move a live system's labourers and tasks to Drover",
		DisableFlagsInUseLine: true,
		Args:                  cobra.NoArgs,
		RunE:                  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(starting(s, newMigrateSosw(s)))
	return c
}

// soswMove holds the flags of migrate sosw.
type soswMove struct {
	config, labourers                        []string
	tasks, retries, closed, settings         string
	orchestrator, scavenger                  string
	share                                    float64
	dryRun, wait, undo, fenced, history      bool
	retriesNamed, closedNamed, settingsNamed bool
}

func newMigrateSosw(s *shell) *cobra.Command {
	var m soswMove
	c := &cobra.Command{
		Use:   "sosw --config FILE [--labourer ID]... [--dry-run] [--wait] [--share N] [--history] [--undo]",
		Short: "move the labourers and tasks of a live sosw 0.7",
		Long: `Moves labourers of a live sosw with all their tasks that have not ended. It applies the labourers and job schemas of sosw's configuration, and
moves queued tasks in sosw's order, and those that wait for a retry with their times. Attempts count on. Tasks that run in sosw end there.

Stop sosw's orchestrator for these labourers first: disable its rule, or set their max_simultaneous_invocations to 0, and wait a minute. The command
checks that, and refuses otherwise. It marks each row that it takes, so that sosw finds it no more. It may be interrupted and repeated at any point.
Rows that cannot be read stay where they are, and are listed. The command fails unless it accounts for every row.

With --dry-run it reads only, and says what it would do. With --wait it first waits for the tasks that run. With --share N sosw may keep N slots of each
labourer, and Drover gets the rest of the cap, so that both may run side by side; repeat the command without --share in the end. --undo gives back to
sosw what Drover has not begun. Moved tasks belong to the job sosw-LABOURER; their workers find sosw's id as sosw_task_id in drover.`,
		Example: `  drover migrate sosw --config task_config.json --dry-run
  drover migrate sosw --config task_config.json --labourer some_function --wait`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringArrayVar(&m.config, "config", nil, "sosw's configuration, a `file` of JSON; may be repeated")
	f.StringArrayVar(&m.labourers, "labourer", nil, "move only this labourer; may be repeated (default: all in the configuration)")
	f.StringVar(&m.tasks, "tasks", "sosw_tasks", "sosw's `table` of tasks")
	f.StringVar(&m.closed, "closed", "sosw_closed_tasks", "sosw's `table` of closed tasks")
	f.StringVar(&m.retries, "retry", "sosw_retry_tasks", "sosw's `table` of tasks that wait for a retry")
	f.StringVar(&m.settings, "settings", "config", "sosw's `table` of configurations, for the check of caps")
	f.StringVar(&m.orchestrator, "orchestrator", "sosw_orchestrator", "the `name` of sosw's orchestrator function")
	f.StringVar(&m.scavenger, "scavenger", "sosw_scavenger", "the `name` of sosw's scavenger function")
	f.BoolVar(&m.dryRun, "dry-run", false, "write nothing; say what would be moved")
	f.BoolVar(&m.wait, "wait", false, "wait until none of the labourers' tasks runs in sosw, then move")
	f.Float64Var(&m.share, "share", 0, "`slots` of each labourer that sosw keeps for now")
	f.BoolVar(&m.history, "history", false, "also copy sosw's closed tasks of these labourers to the archive")
	f.BoolVar(&m.undo, "undo", false, "give back to sosw what Drover has not begun")
	f.BoolVar(&m.fenced, "fenced", false, "sosw's orchestrator and scavenger are off by other means: do not check")
	c.RunE = func(c *cobra.Command, _ []string) error {
		m.retriesNamed, m.closedNamed, m.settingsNamed = f.Changed("retry"), f.Changed("closed"), f.Changed("settings")
		if len(m.config) == 0 {
			return badInput("--config FILE is missing")
		}
		if m.share < 0 || m.share != math.Trunc(m.share) {
			return badInput("--share %v: want a whole number of slots, 0 or more", m.share)
		}
		if m.undo && (m.dryRun || m.wait || m.share > 0 || m.history) {
			return badInput("--undo goes with none of --dry-run, --wait, --share and --history")
		}
		return m.run(c.Context(), s)
	}
	return c
}

// run moves the labourers, or gives them back.
func (m soswMove) run(ctx context.Context, s *shell) error {
	given, warnings, err := s.configuration(m.config)
	if err != nil {
		return err
	}
	about, err := m.selection(&given)
	if err != nil {
		return err
	}
	s.warn(warnings...)
	st, err := s.stack(ctx)
	if err != nil {
		return err
	}
	source, err := m.source(ctx, s, st)
	if err != nil {
		return err
	}
	service := assembly.NewMigration(
		assembly.Environment{Tasks: st.tasks.Table, Control: st.control.Table, Jobs: st.jobs.Table, Bus: st.bus.Name,
			Retention: time.Duration(retentionDays(st.Parameters["RetentionDays"])) * 24 * time.Hour},
		assembly.Clients{DynamoDB: st.tasks.API, EventBridge: st.bus.API, Now: s.now}, source)
	if m.undo {
		return m.giveBack(ctx, s, service, given, about)
	}
	switches, err := m.switches(ctx, st)
	if err != nil {
		return err
	}
	for id, l := range about.Labourers {
		l.Scavenged = switches.Scavenges()
		about.Labourers[id] = l
	}
	fences, open := m.fences(about, switches)
	for _, id := range slices.Sorted(maps.Keys(fences)) {
		s.say("%s: %s", id, fences[id])
	}
	if open != "" && !m.dryRun {
		return fmt.Errorf("sosw still starts tasks: %s", open)
	}
	first, err := service.Inventory(ctx)
	if err != nil {
		return err
	}
	if m.dryRun {
		return s.report(m.finished(about, about.Reconcile(first, first, nil, nil), fences), "Would move")
	}
	if first, err = m.await(ctx, s, service, about, first); err != nil {
		return err
	}
	change, err := st.compare(ctx, given)
	if err != nil {
		return err
	}
	s.warn(change.warnings...)
	if err := st.store(ctx, change); err != nil {
		return err
	}
	return m.move(ctx, s, st, service, source, given, about, first, fences)
}

// move moves the labourers and prints the report.
func (m soswMove) move(ctx context.Context, s *shell, st *stack, service migration.Service, source sourcetables.Source, given labourer.Configuration,
	about sosw.Selection, first sosw.Inventory, fences map[string]string,
) error {
	report, err := service.Run(ctx, given.Labourers, about, first, func(id string, n, of int) { s.say("%s: %d of %d tasks moved", id, n, of) })
	if err != nil {
		return fmt.Errorf("%w; the same command goes on from here", err)
	}
	if m.history {
		n, unreadable, err := service.History(ctx, source, st.archive, about)
		if err != nil {
			return fmt.Errorf("copying closed tasks to the archive, %w; the same command copies them again", err)
		}
		report.History = &sosw.History{Archived: n, Unreadable: append([]sosw.Quarantined{}, unreadable...)}
	}
	if err := s.report(m.finished(about, report, fences), "Moved"); err != nil {
		return err
	}
	if !report.Adds() || len(report.Unclear) > 0 {
		return fmt.Errorf("the numbers do not add up: source %d, moved %d + running %d + quarantined %d + left %d; look for the tasks %s",
			report.Source, report.Moved, report.Running, report.Quarantined, report.Left, strings.Join(report.Unclear, ", "))
	}
	return nil
}

// finished completes a report with the fences and the jobs.
func (m soswMove) finished(about sosw.Selection, r sosw.Report, fences map[string]string) sosw.Report {
	for i, p := range r.Parts {
		if _, known := about.Labourers[p.Labourer]; known {
			r.Parts[i].JobID, r.Parts[i].Fence = migration.JobOf(p.Labourer), fences[p.Labourer]
		}
	}
	return r
}

// giveBack undoes a move.
func (m soswMove) giveBack(ctx context.Context, s *shell, service migration.Service, given labourer.Configuration, about sosw.Selection) error {
	out := struct {
		Labourers int `json:"labourers"`
		Returned  int `json:"returned"`
	}{Labourers: len(about.Labourers)}
	for _, id := range slices.Sorted(maps.Keys(about.Labourers)) {
		n, err := service.Undo(ctx, given.Labourers[id], about.Labourers[id])
		out.Returned += n
		if err != nil {
			return fmt.Errorf("giving back the tasks of labourer %s, %w; the same command goes on from here", id, err)
		}
		s.say("%s: %s given back to sosw", id, inspect.Count(n, "task"))
	}
	if s.json {
		return s.document(out)
	}
	fmt.Fprintf(s.out, "Gave %s back to sosw. What Drover has begun stays in the jobs sosw-LABOURER. Turn sosw's orchestrator on again.\n", inspect.Count(out.Returned, "task"))
	return nil
}

// selection returns what the move is about. It leaves in the configuration only the labourers that are moved, with the caps that are Drover's.
func (m soswMove) selection(given *labourer.Configuration) (sosw.Selection, error) {
	about := sosw.Selection{Labourers: map[string]sosw.Labourer{}, Strangers: len(m.labourers) == 0}
	chosen := m.labourers
	if len(chosen) == 0 {
		chosen = slices.Sorted(maps.Keys(given.Labourers))
	}
	all := given.Labourers
	given.Labourers = map[string]labourer.Labourer{}
	for _, id := range chosen {
		l, there := all[id]
		if !there {
			return about, badInput("--labourer %s: the configuration has no such labourer; it has %s", id, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		}
		if m.share > 0 && l.MaxSimultaneousInvocations <= m.share {
			return about, badInput("--share %v: max_simultaneous_invocations of %s is %v, so nothing would be left for Drover", m.share, id, l.MaxSimultaneousInvocations)
		}
		about.Labourers[id] = sosw.Labourer{Lease: l.Lease()}
		l.MaxSimultaneousInvocations -= m.share
		given.Labourers[id] = l
	}
	return about, nil
}

// switches finds out whether sosw's functions run.
func (m soswMove) switches(ctx context.Context, st *stack) (sosw.Switches, error) {
	is := sosw.Switches{Orchestrator: m.orchestrator, Scavenger: m.scavenger, Declared: m.fenced}
	if m.fenced {
		return is, nil
	}
	if err := sourcetables.Invoked(ctx, st.schedules, &is); err != nil {
		return is, err
	}
	err := sourcetables.Configured(ctx, st.sosw, m.settings, &is)
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing && !m.settingsNamed {
		return is, nil
	}
	return is, err
}

// fences returns how each labourer is known to be fenced, or what would fence it. open names the first that is not.
func (m soswMove) fences(about sosw.Selection, switches sosw.Switches) (how map[string]string, open string) {
	how = map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(about.Labourers)) {
		off, why := switches.Fence(id, m.share)
		if how[id] = "sosw is off: " + why; !off {
			how[id] = "sosw is NOT off: " + why
			if open == "" {
				open = why
			}
		}
	}
	return how, open
}

// pause separates two looks at the tasks that run in sosw.
const pause = 10 * time.Second

// await waits, if asked to, until none of the rows may still run, and returns a new inventory.
func (m soswMove) await(ctx context.Context, s *shell, service migration.Service, about sosw.Selection, first sosw.Inventory) (sosw.Inventory, error) {
	running := about.Running(first)
	if len(running) == 0 {
		return first, nil
	}
	if !m.wait {
		beyond := m.beyondShare(running)
		for _, id := range slices.Sorted(maps.Keys(beyond)) {
			n := beyond[id]
			s.warn(fmt.Sprintf("%s: %s in sosw, and its share is %v. Until they end, both together may run more than the cap: --wait waits for them",
				id, inspect.Plural(n, "1 task runs", fmt.Sprintf("%d tasks run", n)), m.share))
		}
		return first, nil
	}
	for told := 0; len(running) > 0; {
		if len(running) != told {
			told = len(running)
			s.say("waiting for %s to end in sosw", inspect.Count(told, "task"))
		}
		if err := s.wait(ctx, pause); err != nil {
			return first, err
		}
		var err error
		if running, err = service.StillRunning(ctx, about, running); err != nil {
			return first, err
		}
	}
	return service.Inventory(ctx)
}

// beyondShare counts the tasks that run in sosw, of those labourers of which more run than sosw's share.
func (m soswMove) beyondShare(running []sosw.Key) map[string]int {
	counts := map[string]int{}
	for _, key := range running {
		counts[key.Labourer]++
	}
	maps.DeleteFunc(counts, func(_ string, n int) bool { return float64(n) <= m.share })
	return counts
}

// source checks sosw's tables, says what reading and marking their rows costs, and returns them. A table with a default name may be missing,
// except that of the tasks.
func (m soswMove) source(ctx context.Context, s *shell, st *stack) (sourcetables.Source, error) {
	out := sourcetables.Source{API: st.sosw}
	var bytes, rows int64
	for _, t := range []struct {
		name  string
		into  *string
		named bool
	}{{m.tasks, &out.Tasks, true}, {m.retries, &out.Retries, m.retriesNamed}, {m.closed, &out.Closed, m.closedNamed}} {
		found, err := st.sosw.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.name})
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing && !t.named {
			continue
		} else if missing {
			return out, fmt.Errorf("there is no table %s in this account and region; name sosw's tables (--tasks, --retry, --closed)", t.name)
		}
		if err != nil {
			return out, fmt.Errorf("describing table %s, %w", t.name, err)
		}
		*t.into = t.name
		if t.into == &out.Closed {
			continue
		}
		bytes, rows = bytes+aws.ToInt64(found.Table.TableSizeBytes), rows+aws.ToInt64(found.Table.ItemCount)
		if p := found.Table.ProvisionedThroughput; p != nil && aws.ToInt64(p.WriteCapacityUnits) > 0 {
			s.warn(fmt.Sprintf("table %s has %d read and %d write units a second, which bounds the speed of the move; on-demand capacity does not",
				t.name, aws.ToInt64(p.ReadCapacityUnits), aws.ToInt64(p.WriteCapacityUnits)))
		}
	}
	s.say("%s", costs(rows, bytes))
	return out, nil
}

// costs says what a move costs at most. Each table is read twice, strongly consistent: a read unit for 4 KB. Each task is read once more, and
// written by 3 units if it has up to 1 KB: the task, the mark, the row's place in sosw's index. AWS counts rows some hours late.
// https://aws.amazon.com/dynamodb/pricing/on-demand/
func costs(rows, bytes int64) string {
	const readPrice, writePrice = 0.125e-6, 0.625e-6 // dollars a unit, us-east-1
	reads, writes := 2*(bytes/4096+1)+rows, 3*rows
	return fmt.Sprintf("about %d rows, %.1f MB: a move takes up to %d read units and, for rows of up to 1 KB, %d write units (together $%.2f in us-east-1, on demand)",
		rows, float64(bytes)/1e6, reads, writes, float64(reads)*readPrice+float64(writes)*writePrice)
}

// report prints a report.
func (s *shell) report(r sosw.Report, verb string) error {
	if s.json {
		return s.document(r)
	}
	t := s.list("LABOURER", "QUEUED", "RETRY", "RUNNING", "MOVED", "QUARANTINED", "LEFT", "SOURCE")
	row := func(name string, c sosw.Counts) {
		cells := []string{name}
		for _, n := range []int{c.Queued, c.Retry, c.Running, c.Moved, c.Quarantined, c.Left, c.Source} {
			cells = append(cells, fmt.Sprint(n))
		}
		t.row(cells...)
	}
	for _, p := range r.Parts {
		row(dash(p.Labourer), p.Counts)
	}
	row("all", r.Counts)
	if err := t.end(); err != nil {
		return err
	}
	for _, q := range r.Quarantine {
		fmt.Fprintf(s.out, "quarantined %s (%s): %s\n", plain(dash(q.TaskID)), q.Table, plain(q.Reason))
	}
	for _, extra := range []struct {
		n    int
		said string
	}{{r.Elsewhere, "%d moved by another command meanwhile"}, {r.Ended, "%d ended in sosw meanwhile"}, {r.Dead, "%d of the moved are dead: their attempts are used up"}} {
		if extra.n > 0 {
			fmt.Fprintf(s.out, extra.said+"\n", extra.n)
		}
	}
	if r.History != nil {
		fmt.Fprintf(s.out, "Copied %s to the archive; %d cannot be read.\n", inspect.Count(r.History.Archived, "closed task"), len(r.History.Unreadable))
	}
	n := r.Moved
	if verb != "Moved" {
		n = r.Queued + r.Retry
	}
	fmt.Fprintf(s.out, "%s %s of %s.\n", verb, inspect.Count(n, "task"), inspect.Count(r.Labourers, "labourer"))
	return nil
}

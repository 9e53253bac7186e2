package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// printTree prints a run for people: its activities, their stages and their plugins, in the order of the run. What is still under way lasts until now.
func (s *shell) printTree(run inspect.RunTree, tree flow.Tree) {
	to, now := s.out, s.now()
	fmt.Fprintf(to, "%s %s, run %d: %s%s\n", plain(run.Workflow), plain(run.UID), run.Run.Run, run.State, taken(&run.StartedAt, run.FinishedAt, now))
	fmt.Fprintf(to, "%s, begun %s\n", run.RunID, s.moment(&run.StartedAt))
	if run.Message != "" {
		fmt.Fprintln(to, plain(run.Message))
	}
	var d drawing
	for i, a := range tree.Activities {
		d.add("", i == len(tree.Activities)-1, a.Activity, string(a.State), "")
		under := indent("", i == len(tree.Activities)-1)
		stages := slices.DeleteFunc(slices.Clone(a.Stages[:]), func(s flow.StageTree) bool { return len(s.Turns) == 0 })
		for n, stage := range stages {
			d.add(under, n == len(stages)-1, stage.Stage.String(), string(stage.State), "")
			of := stageOf(run.Activities[i], stage.Stage)
			for k, turn := range stage.Turns {
				name, p := turn.Plugin, of.Mandatory[turn.Plugin]
				if !turn.Mandatory {
					name, p = name+" (optional)", of.Optional[turn.Plugin]
				}
				d.add(indent(under, n == len(stages)-1), k == len(stage.Turns)-1, name, string(p.State), about(p, now))
			}
		}
	}
	d.print(to)
}

func stageOf(a inspect.RunActivity, stage flow.Stage) inspect.RunStage {
	return map[flow.Stage]inspect.RunStage{flow.Pre: a.Pre, flow.Parallel: a.Parallel, flow.Post: a.Post}[stage]
}

// about returns what is worth knowing of a plugin: how long it took, its attempts if there were several, its message, its task unless all went well.
func about(p inspect.RunPlugin, now time.Time) string {
	var parts []string
	if p.StartedAt != nil {
		parts = append(parts, strings.TrimPrefix(strings.TrimSpace(taken(p.StartedAt, p.FinishedAt, now)), "after "))
	}
	if p.Attempts > 1 {
		parts = append(parts, inspect.Count(p.Attempts, "attempt"))
	}
	if p.Message != "" {
		parts = append(parts, plain(p.Message))
	}
	if p.TaskID != "" && (p.State == flow.Error || p.State == flow.InProgress || p.State == flow.TimedOut) {
		parts = append(parts, "task "+p.TaskID)
	}
	return strings.Join(parts, "; ")
}

// taken returns how long something took, or has taken by now.
func taken(from, to *time.Time, now time.Time) string {
	switch {
	case from == nil || from.IsZero():
		return ""
	case to == nil:
		return " for " + now.Sub(*from).Round(time.Second).String()
	}
	return " after " + to.Sub(*from).Round(time.Millisecond).String()
}

// drawing holds the lines of a tree, whose columns are aligned when it is printed.
type drawing struct{ lines [][3]string }

// add adds a branch below the indentation of its parent.
func (d *drawing) add(under string, last bool, name, state, note string) {
	branch := "├─ "
	if last {
		branch = "└─ "
	}
	d.lines = append(d.lines, [3]string{under + branch + name, state, note})
}

// indent returns the indentation of what is below a branch.
func indent(under string, last bool) string {
	if last {
		return under + "   "
	}
	return under + "│  "
}

func (d *drawing) print(to io.Writer) {
	var widths [2]int
	for _, line := range d.lines {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]))
		}
	}
	for _, line := range d.lines {
		fmt.Fprintln(to, strings.TrimRight(fmt.Sprintf("%-*s  %-*s  %s", widths[0], line[0], widths[1], line[1], line[2]), " "))
	}
}

// describeRun returns how far a run is, on one line, and a bar of it.
func describeRun(run inspect.RunTree, tree flow.Tree) (bar, text string) {
	var at string
	var running []string
	total, good, bad := 0, 0, 0
	for _, a := range tree.Activities {
		for _, stage := range a.Stages {
			for _, t := range stage.Turns {
				switch t.State {
				case flow.Skipped:
					continue
				case flow.Complete:
					good++
				case flow.Error, flow.TimedOut, flow.Cancelled:
					bad++
				case flow.InProgress:
					running = append(running, t.Plugin)
					at = a.Activity + "/" + stage.Stage.String() + ": "
				}
				total++
			}
		}
	}
	text = fmt.Sprintf("run %s %s: %s%d of %s ended", run.RunID, run.State, at, good+bad, inspect.Count(total, "plugin"))
	if len(running) > 0 {
		text += ", running " + short(strings.Join(running, ", "), longestRunning)
	}
	return barOf(good, bad, total), text
}

// longestRunning bounds how much of the names of the running plugins a line of progress has.
const longestRunning = 60

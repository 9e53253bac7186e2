package workflow

import (
	"fmt"
	"strings"
)

// colours are the fill and the text of a state in a drawing, readable on light and dark backgrounds.
var colours = []struct {
	state      State
	class      string
	fill, text string
}{
	{NotStarted, "notStarted", "#e5e7eb", "#111827"},
	{InProgress, "inProgress", "#bfdbfe", "#1e3a8a"},
	{MandatoryCompleted, "mandatoryCompleted", "#a7f3d0", "#064e3b"},
	{Complete, "complete", "#86efac", "#14532d"},
	{Error, "error", "#fca5a5", "#7f1d1d"},
	{OptionalTaskError, "optionalTaskError", "#fdba74", "#7c2d12"},
	{Skipped, "skipped", "#f3f4f6", "#6b7280"},
	{TimedOut, "timedOut", "#f87171", "#450a0a"},
	{Cancelled, "cancelled", "#d1d5db", "#374151"},
	{Paused, "paused", "#fde68a", "#78350f"},
}

// Mermaid draws a workflow, or a run of it, as a Mermaid flowchart. A tree without states draws the workflow alone. Optional plugins have a
// dashed border.
func Mermaid(name string, tree Tree, ofRun bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "flowchart TB\n  begin([\"%s\"])\n", mermaidText(name))
	before := []string{"begin"}
	used := map[State]bool{}
	optional := false
	for i, a := range tree.Activities {
		label := a.Activity
		if ofRun {
			label += ": " + string(a.State)
		}
		fmt.Fprintf(&b, "  subgraph a%d[\"%s\"]\n", i, mermaidText(label))
		var ways []string
		way := func(to string) {
			for _, from := range before {
				ways = append(ways, fmt.Sprintf("  %s --> %s\n", from, to))
			}
		}
		empty := true
		for _, stage := range a.Stages {
			if len(stage.Turns) == 0 {
				continue
			}
			empty = false
			fmt.Fprintf(&b, "    subgraph a%ds%d[\"%s\"]\n", i, int(stage.Stage), stage.Stage)
			var ends []string
			for _, t := range stage.Turns {
				id := fmt.Sprintf("a%ds%dt%d", i, int(stage.Stage), t.Number)
				text := mermaidText(t.Plugin)
				class := ""
				if ofRun {
					text += "<br/>" + string(t.State)
					class, used[t.State] = ":::"+classOf(t.State), true
				}
				fmt.Fprintf(&b, "      %s[\"%s\"]%s\n", id, text, class)
				if !t.Mandatory {
					optional = true
					ways = append(ways, fmt.Sprintf("  class %s optional\n", id))
				}
				if stage.Stage.Sequential() {
					way(id)
					before = []string{id}
					continue
				}
				way(id)
				ends = append(ends, id)
			}
			b.WriteString("    end\n")
			before = joined(&b, &ways, before, ends, fmt.Sprintf("a%ds%dj", i, int(stage.Stage)))
		}
		if empty {
			id := fmt.Sprintf("a%de", i)
			fmt.Fprintf(&b, "    %s[\"no plugins\"]\n", id)
			way(id)
			before = []string{id}
		}
		b.WriteString("  end\n")
		b.WriteString(strings.Join(ways, ""))
	}
	last := "end"
	if ofRun {
		last = string(tree.State)
	}
	fmt.Fprintf(&b, "  finish([\"%s\"])\n", last)
	for _, from := range before {
		fmt.Fprintf(&b, "  %s --> finish\n", from)
	}
	for _, c := range colours {
		if used[c.state] {
			fmt.Fprintf(&b, "  classDef %s fill:%s,color:%s\n", c.class, c.fill, c.text)
		}
	}
	if optional {
		b.WriteString("  classDef optional stroke-dasharray: 4 3\n")
	}
	return b.String()
}

// joined returns where the next stage begins: at the plugins that ended last, or, behind several at once, at a node that joins them. Without it
// two parallel stages would have as many arrows as they have pairs of plugins.
func joined(b *strings.Builder, ways *[]string, before, ends []string, id string) []string {
	switch len(ends) {
	case 0:
		return before
	case 1:
		return ends
	}
	fmt.Fprintf(b, "    %s(( ))\n", id)
	for _, from := range ends {
		*ways = append(*ways, fmt.Sprintf("  %s --> %s\n", from, id))
	}
	return []string{id}
}

func classOf(s State) string {
	for _, c := range colours {
		if c.state == s {
			return c.class
		}
	}
	return "notStarted"
}

// mermaidText escapes what ends a label.
func mermaidText(text string) string {
	return strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;").Replace(text)
}

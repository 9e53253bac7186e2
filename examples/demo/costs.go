package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/drover-run/drover/examples/local"
	"github.com/drover-run/drover/localstack"
)

// costs returns the figures of a job: its outcome, its time and what it used, in total and by stage.
func costs(p performance, byOperation bool) string {
	is := ends(p.records)
	sum, invocations := p.spent.all()
	text := table([][]string{
		{"", "completed", "retried", "dead", "time", "write units", "AWS calls"},
		{fmt.Sprintf("%d tasks", p.job.Total), strconv.Itoa(is.completed), strconv.Itoa(is.retried), strconv.Itoa(is.dead), local.Seconds(p.job.FinishedAt.Sub(p.job.SubmittedAt)),
			strconv.FormatFloat(sum.Units().Write, 'f', -1, 64), strconv.Itoa(sum.Total())},
	})
	rows := [][]string{{"for one task", "write units", "read units", "AWS calls", "invocations"}}
	add := func(name string, u localstack.Usage, invocations int) {
		row := []string{name}
		for _, value := range []float64{u.Units().Write, u.Units().Read, float64(u.Total()), float64(invocations)} {
			row = append(row, fmt.Sprintf("%.2f", value/float64(p.job.Total)))
		}
		rows = append(rows, row)
	}
	for _, of := range stages {
		add(of.name, p.spent.usage[of.caller], p.spent.invocations[of.caller])
	}
	add("in all", sum, invocations)
	text += "\n" + table(rows)
	if byOperation {
		text += "\n" + operations(p.spent.usage)
	}
	return text
}

// operations lists the calls of each stage.
func operations(usage map[string]localstack.Usage) string {
	var list bytes.Buffer
	w := tabwriter.NewWriter(&list, 0, 0, 2, ' ', 0)
	for _, of := range stages {
		u := usage[of.caller]
		fmt.Fprintf(w, "%s: %d calls, %d writes refused by their conditions\n", of.name, u.Total(), u.Refused)
		for _, operation := range slices.Sorted(maps.Keys(u.Calls)) {
			fmt.Fprintf(w, "  %s\t%d\n", operation, u.Calls[operation])
		}
	}
	_ = w.Flush() // writing to memory cannot fail
	return list.String()
}

package main

import (
	"context"
	"strings"

	"github.com/drover-run/drover/shared/inspect"
)

// stalledNamed limits how many stalled jobs the doctor explains.
const stalledNamed = 5

// stalled looks for stalled jobs.
func (d *doctor) stalled(ctx context.Context) check {
	found, err := d.reader.Stalled(ctx)
	if err != nil {
		return unread("jobs", err, "dynamodb:Query", "", "the jobs cannot be read: ")
	}
	if len(found) == 0 {
		return fine("jobs", "no job is stalled")
	}
	var why []string
	for _, one := range found[:min(len(found), stalledNamed)] {
		why = append(why, one.Why())
	}
	if len(found) > stalledNamed {
		why = append(why, "…")
	}
	return wrong("jobs", "fix what the logs of the scheduler and the scavenger report, then "+d.own("redrive"),
		"%s %s stalled: %s", inspect.Count(len(found), "job"), inspect.Plural(len(found), "is", "are"), strings.Join(why, ", "))
}

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/aws/dynamo"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// workflows examines each workflow's definition, and the runs that are under way. It returns nothing where no workflow is applied.
func (d *doctor) workflows(ctx context.Context) []check {
	parts, err := d.registry.Definitions(ctx)
	var applied dynamo.Applied
	if err == nil {
		applied, err = d.registry.All(ctx, true)
	}
	if err != nil {
		return []check{unread("workflows", err, "dynamodb:Query", "", "they cannot be read: ")}
	}
	if nothingDefined(parts) {
		return nil
	}
	checks := []check{d.activeRuns(ctx)}
	for _, name := range slices.Sorted(maps.Keys(parts.Workflows)) {
		checks = append(checks, d.workflow(ctx, name, parts, applied))
	}
	return checks
}

// workflow checks that the newest version of a workflow has the parts that are applied, and that each of its plugins has a labourer.
func (d *doctor) workflow(ctx context.Context, name string, parts flow.Definitions, applied dynamo.Applied) check {
	title := "workflow " + name
	c, _ := flow.Compose(parts, name)
	newest, found, err := d.compositions.Newest(ctx, name)
	if err != nil {
		return unread(title, err, "dynamodb:GetItem", "", "its versions cannot be read: ")
	}
	if !found || newest.Fingerprint() != c.Fingerprint() {
		return wrong(title, d.own("apply", "-f")+" FILE, with a file of its parts",
			"what is applied is in no version of it yet, so its runs begin without that: an apply was interrupted")
	}
	var missing []string
	for _, plugin := range slices.Sorted(maps.Keys(c.Plugins)) {
		if _, has := applied.Labourers[c.Plugins[plugin].Labourer]; !has {
			missing = append(missing, fmt.Sprintf("%s of plugin %s", c.Plugins[plugin].Labourer, plugin))
		}
	}
	if len(missing) > 0 {
		return wrong(title, "apply the labourers, or remove the plugins: "+d.own("apply", "--remove")+" plugins.NAME",
			"its runs wait for labourers that are not applied: %s", strings.Join(missing, ", "))
	}
	return fine(title, "version %d, %s of %s", newest.Version, inspect.Count(len(c.Plugins), "plugin"), inspect.Count(len(c.Workflow.Activities), "activity"))
}

// launchWithin says after which time a run counts as stuck that its execution has not reached. The tick launches such a run again each minute.
const launchWithin = 5 * time.Minute

// activeRuns looks for runs that their executions do not reach, and for ended ones that are not told of.
func (d *doctor) activeRuns(ctx context.Context) check {
	const name = "runs"
	ids, err := d.runs.Active(ctx)
	if err != nil {
		return unread(name, err, "dynamodb:Query", "", "they cannot be read: ")
	}
	var stuck, overdue []string
	for _, id := range ids {
		r, found, err := d.runs.Get(ctx, id)
		if err != nil {
			return unread(name, err, "dynamodb:GetItem", "", "they cannot be read: ")
		}
		old := d.now().Sub(r.RecordedAt) >= launchWithin
		switch {
		case !found || r.Retired:
		case old && (r.Token == "" && !r.Waiting() || r.Head.Ended() && d.now().Sub(r.Head.FinishedAt) >= launchWithin):
			stuck = append(stuck, id)
		case r.Alert != "":
			overdue = append(overdue, id)
		}
	}
	if len(stuck) > 0 {
		return wrong(name, "read the workflow function's log, and see the checks of the workflow function, its machine and its tick",
			"%s not reached by an execution for more than %s, the first: %s", inspect.Count(len(stuck), "run")+" "+inspect.Plural(len(stuck), "is", "are"), launchWithin, stuck[0])
	}
	if len(overdue) > 0 {
		return fine(name, "%d under way, of which %d took longer than their sla, the first: %s", len(ids), len(overdue), overdue[0])
	}
	return fine(name, "%d under way", len(ids))
}

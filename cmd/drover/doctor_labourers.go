package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/inspect"
)

// labourersAtOnce limits how many labourers the doctor examines at the same time.
const labourersAtOnce = 16

// labourers examines each labourer: its configuration, its target, its metrics and its tasks.
func (d *doctor) labourers(ctx context.Context) []check {
	applied, err := d.registry.All(ctx, true)
	if err != nil {
		return []check{unread("labourers", err, "dynamodb:Query", "", "they cannot be read: ")}
	}
	definitions, err := d.registry.Definitions(ctx)
	if err != nil {
		return []check{unread("plugins", err, "dynamodb:Query", "", "they cannot be read: ")}
	}
	ids := slices.Sorted(maps.Keys(applied.Labourers))
	found, read := make([][]check, len(ids)), make([]labourer.Labourer, len(ids))
	var g errgroup.Group
	g.SetLimit(labourersAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			name := "labourer " + id
			l, err := labourer.Decode(id, []byte(applied.Labourers[id].Text))
			if err != nil {
				found[i] = []check{wrong(name, "apply it again with this version of drover", "%v", err)}
				return nil
			}
			read[i] = l
			found[i] = slices.Concat(d.target(ctx, name, l), d.moe(ctx, name, l, definitions), d.healthMetrics(ctx, name, l), []check{d.work(ctx, name, l)})
			return nil
		})
	}
	_ = g.Wait() // a goroutine reports failures in its checks, and returns no error
	if len(ids) == 0 {
		return []check{fine("labourers", "no labourer is applied")}
	}
	return append(slices.Concat(found...), d.room(ctx, read))
}

// recently limits how long the doctor reports a target's trouble when no task waits.
const recently = 15 * time.Minute

// work looks for overdue work of a labourer.
func (d *doctor) work(ctx context.Context, name string, l labourer.Labourer) check {
	name += ": tasks"
	b, err := d.reader.Pulse().Of(ctx, l)
	var o inspect.Overdue
	if err == nil {
		o, err = d.reader.Overdue(ctx, b)
	}
	if err != nil {
		return unread(name, err, "dynamodb:GetItem and Query", "", "they cannot be read: ")
	}
	switch {
	case len(o.Undecoded) > 0:
		first := o.Undecoded[0]
		key, err := json.Marshal(map[string]map[string]string{"labourer": {"S": l.ID}, "item": {"S": first.Item}})
		if err != nil {
			panic(err) // it holds strings
		}
		return wrong(name, "their tasks are in no lease and no queue entry, so none of them continues: fix the attribute and put the item back under its key in `was`, "+
			"or delete it. To read it: "+d.command("dynamodb", "get-item", "--table-name", d.control.Table, "--key", string(key)),
			"%s of the control table cannot be decoded, and %d of these %s set aside; the first: %v",
			inspect.Count(len(o.Undecoded), "item"), o.SetAside, inspect.Plural(o.SetAside, "was", "were"), first)
	case o.Lost > 0:
		return wrong(name, orchestrateLogs, "the time of %s ended more than %s ago, and %s not reaped", inspect.Count(o.Lost, "task"), inspect.Grace,
			inspect.Plural(o.Lost, "it is", "they are"))
	case o.Undispatched > 0:
		return wrong(name, orchestrateLogs, "%s %s to be started more than %s ago, and no worker was",
			inspect.Count(o.Undispatched, "task"), inspect.Plural(o.Undispatched, "was", "were"), inspect.Grace)
	case o.Unsettled > 0:
		return wrong(name, "read the logs of the worker assistant and the scavenger, and see the check of the stream", "%s ended more than %s ago and still %s",
			inspect.Count(o.Unsettled, "task"), inspect.Grace, inspect.Plural(o.Unsettled, "holds its slot", "hold their slots"))
	case o.Unfed > 0:
		return wrong(name, orchestrateLogs+" and the worker assistant's log, and see the checks of the orchestrator and the tick",
			"%s %s in leases that have free slots, and none has started for more than %s", inspect.Count(o.Unfed, "task"), inspect.Plural(o.Unfed, "waits", "wait"),
			inspect.Grace)
	case b.Trouble != nil && (b.Due > 0 || d.now().Sub(b.Trouble.At) < recently):
		return wrong(name, "repair the target, or apply the labourer with another one", "the target could not be reached at %s: %s", momentIn(&b.Trouble.At, time.UTC), b.Trouble.Error)
	case o.Idle > 0:
		return wrong(name, orchestrateLogs+", and see the checks of the orchestrator and the tick", "%s %s due, the first for %s, and none starts although %s %s free",
			inspect.Count(b.Due, "task"), inspect.Plural(b.Due, "is", "are"), o.Idle.Truncate(time.Second), inspect.Count(b.Free, "slot"), inspect.Plural(b.Free, "is", "are"))
	}
	return fine(name, "%d running, %d due, %d later; %s", b.Running, b.Due, b.Later, b.Reason)
}

// orchestrateLogs says where to find out why the orchestrator does not act.
const orchestrateLogs = "look at the executions of the orchestrate state machine"

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/inspect"
)

// wiring holds the changes that apply --wire makes to the targets of labourers, with warnings and errors about these targets.
type wiring struct {
	rewires  []rewire
	tags     []tagging
	warnings []string
	errs     []error
}

// rewire is a function whose asynchronous settings change.
type rewire struct {
	labourer labourer.Labourer
	function function
	is       wire
}

// tagging is a target that gets the tag of workers.
type tagging struct{ labourer, kind, arn, url string }

func (w wiring) empty() bool { return len(w.rewires) == 0 && len(w.tags) == 0 }

// plan examines the targets of labourers. An unreadable target is an error if it is to be wired, and a warning otherwise.
func (s *stack) plan(ctx context.Context, labourers map[string]labourer.Labourer, wire bool) wiring {
	var w wiring
	for _, id := range slices.Sorted(maps.Keys(labourers)) {
		l := labourers[id]
		if far, fix := inspect.OutOfReach(l.Target, s.home()); far != "" {
			w.warn(id+".target", "%s: %s", far, fix)
			continue
		}
		if account := inspect.Abroad(l.Target.Place(), s.home()); account != "" {
			w.warn(id+".target", "the target is in account %s and the stack in account %s: allow the roles of the orchestrator and the worker assistant in the target's own policy, "+
				"and name the target in the parameter %s",
				account, s.home().Account, workerParameters[l.Target.Kind()])
		}
		if l.Target.Kind() == "lambda" {
			s.planFunction(ctx, &w, l, wire)
		}
		if wire && l.Target.Kind() != "" {
			s.planTag(ctx, &w, l)
		}
	}
	return w
}

func (w *wiring) warn(path, format string, arguments ...any) {
	w.warnings = append(w.warnings, "labourers."+path+": "+fmt.Sprintf(format, arguments...))
}

func (s *stack) planFunction(ctx context.Context, w *wiring, l labourer.Labourer, wire bool) {
	f := functionOf(l.Target)
	is, err := s.wired(ctx, f)
	lacks := is.lacks(s.Outputs["CompletionsQueueArn"], l)
	switch {
	case err != nil && wire:
		w.errs = append(w.errs, fmt.Errorf("wiring labourer %s: its function cannot be read: %s", l.ID, reason(err)))
	case err != nil:
		w.warn(l.ID, "the function's wiring to the completions queue cannot be read: %s", reason(err))
	case lacks == "":
	case wire:
		w.rewires = append(w.rewires, rewire{l, f, is})
	default:
		w.warn(l.ID, "%s; to fix that, use apply --wire", lacks)
	}
}

// planTag plans the tag. A stack that names its targets in a parameter needs no tags, so a target that cannot be tagged is only a warning there.
func (s *stack) planTag(ctx context.Context, w *wiring, l labourer.Labourer) {
	kind := l.Target.Kind()
	arn, err := s.arnOf(ctx, l.Target)
	has := false
	if err == nil {
		has, err = s.tagged(ctx, kind, arn, l.Target.SQS)
	}
	switch {
	case err != nil && s.Parameters[workerParameters[kind]] == "":
		w.errs = append(w.errs, fmt.Errorf("tagging the target of labourer %s: it cannot be read: %s", l.ID, reason(err)))
	case err != nil:
		w.warn(l.ID, "the target cannot be given the tag %s: %s", workerTag, reason(err))
	case !has:
		w.tags = append(w.tags, tagging{l.ID, kind, arn, l.Target.SQS})
	}
}

// show prints the planned changes.
func (w wiring) show(to io.Writer) {
	for _, r := range w.rewires {
		fmt.Fprintf(to, "~ %s: failed invocations to the completions queue, no retries by Lambda, throttled events kept for at most %s\n",
			plain(r.labourer.Target.Lambda), min(longestKept(r.labourer), r.is.keeps()))
	}
	for _, t := range w.tags {
		fmt.Fprintf(to, "~ %s: tag %s = %s\n", plain(t.arn), workerTag, workerTagValue)
	}
}

// carryOut makes as many of the planned changes as it can.
func (s *stack) carryOut(ctx context.Context, w wiring) error {
	errs := w.errs
	for _, r := range w.rewires {
		if err := s.rewire(ctx, r.labourer, r.function, r.is); err != nil {
			errs = append(errs, fmt.Errorf("wiring labourer %s, %w", r.labourer.ID, err))
		}
	}
	for _, t := range w.tags {
		if err := s.setTag(ctx, t.kind, t.arn, t.url); err != nil {
			fix := remedy(err, tagRights[t.kind].set, "fix that, or set the tag yourself")
			errs = append(errs, fmt.Errorf("labourer %s: the target cannot be tagged: %s; %s", t.labourer, reason(err), fix))
		}
	}
	return errors.Join(errs...)
}

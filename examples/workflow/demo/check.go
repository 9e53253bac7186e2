package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/examples/weather/data"
	"github.com/drover-run/drover/examples/workflow"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// states holds the state of a run and of each of its plugins.
type states struct {
	run     flow.State
	plugins map[string]flow.State
}

// The two runs of the demo.
var (
	first = states{flow.OptionalTaskError, map[string]flow.State{
		"validate": flow.Complete, "temperature": flow.Complete, "rain": flow.Complete, "wind": flow.Error, "snow": flow.Skipped, "report": flow.Complete}}
	second = states{flow.Complete, map[string]flow.State{
		"validate": flow.Complete, "temperature": flow.Complete, "rain": flow.Complete, "wind": flow.Complete, "snow": flow.Skipped, "report": flow.Complete}}
)

// check compares a run with what is expected, and names each difference.
func (s states) check(tree inspect.RunTree) error {
	var wrong []error
	if tree.State != s.run {
		wrong = append(wrong, fmt.Errorf("run %s is %s; want %s", tree.RunID, tree.State, s.run))
	}
	is := map[string]flow.State{}
	for _, a := range tree.Activities {
		for _, stage := range []inspect.RunStage{a.Pre, a.Parallel, a.Post} {
			for _, plugins := range []map[string]inspect.RunPlugin{stage.Mandatory, stage.Optional} {
				for plugin, p := range plugins {
					is[plugin] = p.State
				}
			}
		}
	}
	for _, plugin := range slices.Sorted(maps.Keys(s.plugins)) {
		if is[plugin] != s.plugins[plugin] {
			wrong = append(wrong, fmt.Errorf("plugin %s is %q; want %s", plugin, is[plugin], s.plugins[plugin]))
		}
	}
	return errors.Join(wrong...)
}

// reports computes both reports directly: without the wind, and with it.
func reports(order workflow.Order) (both [2]string, err error) {
	days, err := weather.Read(bytes.NewReader(data.CSV))
	if err != nil {
		return both, err
	}
	text, err := os.ReadFile(scale)
	if err != nil {
		return both, err
	}
	forces, err := workflow.ReadScale(bytes.NewReader(text))
	if err != nil {
		return both, fmt.Errorf("%s: %w", scale, err)
	}
	found, err := order.Findings(days, forces)
	if err != nil {
		return both, err
	}
	without := found
	without.Wind = nil
	return [2]string{order.Report(without), order.Report(found)}, nil
}

// same returns an error unless a report is as a single computation makes it.
func same(written, computed string) error {
	if written != computed {
		return fmt.Errorf("the report is %q; a single computation makes %q", written, computed)
	}
	return nil
}

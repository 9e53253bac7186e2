package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/moe"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

func newWorkflowImport(s *shell) *cobra.Command {
	var paths []string
	var activity, stage string
	c := &cobra.Command{
		Use:   "import FUNCTION... --activity A --stage S | import -f FILE...",
		Short: "write definitions for plugins of @moe-tech/orchestrator",
		Long: `Prints definitions for plugins that were written for @moe-tech/orchestrator, as YAML for drover apply; --json prints them as JSON. It asks each FUNCTION
for its PluginInfo, which names neither the activity nor the stage: they are in the subscription that the plugin had. With -f it reads what moe stored,
without AWS: rows of the plugin table (as aws dynamodb scan prints them, or as a JSON list), and workflow files with placeholders for activities.
Each difference between moe and Drover is a warning. Nothing is changed.`,
		Example: `  drover workflow import check-stock-dev --activity validate --stage parallel > check_stock.yaml
  aws dynamodb scan --table-name orchestrator-dev-plugin > rows.json; drover workflow import -f rows.json -f intake.json`,
	}
	c.Flags().StringArrayVarP(&paths, "file", "f", nil, "a `file` with rows of moe's plugin table, or with a workflow; - is standard input; may be repeated")
	c.Flags().StringVar(&activity, "activity", "", "the `activity` in which the functions take part")
	c.Flags().StringVar(&stage, "stage", "", "the `stage` in which they do: pre, parallel (or async, as moe called it), post")
	c.RunE = func(c *cobra.Command, names []string) error {
		if len(names) == 0 && len(paths) == 0 {
			return badInput("name a FUNCTION, or a file with -f")
		}
		var all []moe.Registration
		if len(names) > 0 {
			at, known := flow.ParseStage(strings.Replace(stage, "async", "parallel", 1))
			if activity == "" || !known {
				return badInput("--activity A and --stage pre|parallel|post are needed with a FUNCTION: its PluginInfo names neither")
			}
			var err error
			if all, err = s.askPlugins(c.Context(), names, activity, at); err != nil {
				return err
			}
		}
		workflows, stored, differs, err := s.readMoe(paths)
		if err != nil {
			return inputError{err}
		}
		out, err := moe.Import(append(all, stored...))
		if err != nil {
			return err
		}
		out.Workflows = workflows
		s.warn(append(differs, out.Differs...)...)
		if s.json {
			return s.document(imported(out))
		}
		_, err = s.out.Write(out.YAML())
		return err
	}
	return c
}

// askPlugins asks functions for their PluginInfo.
func (s *shell) askPlugins(ctx context.Context, names []string, activity string, stage flow.Stage) ([]moe.Registration, error) {
	st, err := s.stack(ctx)
	if err != nil {
		return nil, err
	}
	var all []moe.Registration
	for _, name := range names {
		f := functionOf(labourer.Target{Lambda: name})
		answer, err := st.functions.Invoke(ctx, &awslambda.InvokeInput{FunctionName: &f.name, Qualifier: f.qualifier,
			InvocationType: lambdatypes.InvocationTypeRequestResponse, Payload: moe.Initialize})
		if err != nil {
			return nil, fmt.Errorf("asking function %s for its PluginInfo: %s", name, reason(err))
		}
		r, err := moe.ReadInfo(answer.Payload)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", name, err)
		}
		r.Function, r.Activity, r.Stage = name, activity, stage
		all = append(all, r)
	}
	return all, nil
}

// readMoe reads files that moe's users have.
func (s *shell) readMoe(paths []string) (map[string]flow.Workflow, []moe.Registration, []string, error) {
	workflows := map[string]flow.Workflow{}
	var all []moe.Registration
	var differs []string
	for _, path := range paths {
		name, text, err := s.read(path)
		if err != nil {
			return nil, nil, nil, err
		}
		if !moe.IsMachine(text) {
			rows, err := moe.ReadRows(text)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("%s: %w", name, err)
			}
			all = append(all, rows...)
			continue
		}
		w, said, err := moe.ReadMachine(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), text)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, twice := workflows[w.Name]; twice {
			return nil, nil, nil, fmt.Errorf("%s: workflow %s is in another file too", name, document.Shown(w.Name))
		}
		workflows[w.Name] = w
		differs = append(differs, said...)
	}
	return workflows, all, differs, nil
}

// imported returns the definitions as JSON that apply reads.
func imported(all moe.Imported) any {
	type target struct {
		Lambda string `json:"lambda"`
	}
	type worker struct {
		Target target `json:"target"`
	}
	workers := map[string]worker{}
	for name, f := range all.Functions {
		workers[name] = worker{target{f}}
	}
	return struct {
		Workflows map[string]flow.Workflow `json:"workflows,omitempty"`
		Labourers map[string]worker        `json:"labourers,omitempty"`
		Plugins   map[string]flow.Plugin   `json:"plugins,omitempty"`
	}{all.Workflows, workers, all.Plugins}
}

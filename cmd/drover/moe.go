package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/drover-run/drover/shared/core/labourer"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// sharedFunctions warns of functions that are the target of several plugins of moe's orchestrator.
func sharedFunctions(d flow.Definitions, labourers func(id string) (labourer.Labourer, bool)) []string {
	var warnings []string
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Plugins)) {
		p := d.Plugins[name]
		l, known := labourers(p.Labourer)
		if p.Envelope != flow.Moe || !known || l.Target.Lambda == "" {
			continue
		}
		function, _ := l.Target.Function()
		if before, twice := first[function]; twice {
			warnings = append(warnings, fmt.Sprintf("plugins.%s.labourer: function %s is also that of plugin %s, and a bundle with moe's package "+
				"is one plugin: the one that was wrapped last", name, function, before))
			continue
		}
		first[function] = name
	}
	return warnings
}

// statusVariable names the variable in which a plugin of moe's orchestrator finds its status table.
const statusVariable = "orchestratorStatusTable"

// moe checks that the workers of plugins with envelope moe can tell their states. It returns nothing for a labourer without such plugins.
func (d *doctor) moe(ctx context.Context, name string, l labourer.Labourer, definitions flow.Definitions) []check {
	name += ": moe's status table"
	var plugin string
	for _, one := range slices.Sorted(maps.Keys(definitions.Plugins)) {
		if p := definitions.Plugins[one]; p.Envelope == flow.Moe && p.Labourer == l.ID {
			plugin = one
			break
		}
	}
	if plugin == "" {
		return nil
	}
	table := d.Outputs["MoeStatusTableName"]
	if table == "" {
		return []check{wrong(name, d.deploy("MoeStatusTable=true"), "plugin %s has envelope moe, and the stack has no status table: its turns fail", plugin)}
	}
	functions, err := d.pluginFunctions(ctx, l)
	if err != nil {
		return []check{unread(name, err, "lambda:ListEventSourceMappings", "", "the functions of plugin "+plugin+" cannot be read: ")}
	}
	var out []check
	for _, f := range functions {
		is, err := d.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
		if err != nil {
			out = append(out, unreachable(name, "function "+f.name, "lambda:GetFunctionConfiguration", err))
			continue
		}
		set := ""
		if is.Environment != nil {
			set = is.Environment.Variables[statusVariable]
		}
		if set != table {
			out = append(out, wrong(name, fmt.Sprintf("set %s to %s in the function's environment, and allow its role dynamodb:GetItem and dynamodb:UpdateItem there",
				statusVariable, table),
				"function %s of plugin %s writes its states to %s, which Drover does not read", aws.ToString(is.FunctionName), plugin, named(set)))
			continue
		}
		out = append(out, fine(name, "function %s writes its states there", aws.ToString(is.FunctionName)))
	}
	return out
}

func named(table string) string {
	if table == "" {
		return "no table"
	}
	return "table " + table
}

// pluginFunctions returns the functions that work for a labourer: its target, or those that read its queue.
func (d *doctor) pluginFunctions(ctx context.Context, l labourer.Labourer) ([]function, error) {
	switch l.Target.Kind() {
	case "lambda":
		return []function{functionOf(l.Target)}, nil
	case "sqs":
		q, err := d.queue(ctx, l.Target.SQS)
		if err != nil {
			return nil, err
		}
		mapped, err := d.functions.ListEventSourceMappings(ctx, &awslambda.ListEventSourceMappingsInput{EventSourceArn: &q.arn})
		if err != nil {
			return nil, err
		}
		var out []function
		for _, m := range mapped.EventSourceMappings {
			out = append(out, functionOf(labourer.Target{Lambda: aws.ToString(m.FunctionArn)}))
		}
		return out, nil
	}
	return nil, nil
}

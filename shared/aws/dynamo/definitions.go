package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

var _ workflow.Parts = Registry{}

// Definitions reads all workflows, activities and plugins, strongly consistent.
func (r Registry) Definitions(ctx context.Context) (flow.Definitions, error) {
	d := flow.NewDefinitions()
	err := decodeAll(ctx, r, workflowsPartition, d.Workflows, flow.DecodeWorkflow)
	if err == nil {
		err = decodeAll(ctx, r, activitiesPartition, d.Activities, flow.DecodeActivity)
	}
	if err == nil {
		err = decodeAll(ctx, r, pluginsPartition, d.Plugins, flow.DecodePlugin)
	}
	return d, err
}

func decodeAll[T any](ctx context.Context, r Registry, partition string, into map[string]T, decode func(string, []byte) (T, error)) error {
	stored, err := r.stored(ctx, partition, true)
	if err != nil {
		return err
	}
	for name, s := range stored {
		if into[name], err = decode(name, []byte(s.Text)); err != nil {
			return err
		}
	}
	return nil
}

// ApplyDefinition replaces the revision of a workflow, an activity or a plugin that was read (0: there was none). section is workflows, activities or
// plugins. queue.ErrChanged: something else was applied in the meantime.
func (r Registry) ApplyDefinition(ctx context.Context, section, name, text string, over int) error {
	return r.apply(ctx, "#"+section, name, text, over)
}

// RemoveDefinition removes a workflow, an activity or a plugin. queue.ErrChanged: it has changed since it was read.
func (r Registry) RemoveDefinition(ctx context.Context, section, name string, revision int) error {
	_, err := deleteItem(ctx, r.API, &dynamodb.DeleteItemInput{
		TableName: &r.Table, Key: controlKey("#"+section, name), ConditionExpression: aws.String("revision = :revision"),
		ExpressionAttributeValues: item{":revision": num(revision)},
	})
	return changed(err, fmt.Sprintf("removing %s of the %s", name, section))
}

package dynamo

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
)

// Registry holds what owners have applied, in partitions of the control table that cannot be a labourer's, as no id contains '#'.
type Registry struct {
	API   API
	Table string
}

const (
	labourersPartition = "#labourers"
	schemasPartition   = "#job_schemas"

	workflowsPartition  = "#workflows"
	activitiesPartition = "#activities"
	pluginsPartition    = "#plugins"
)

// Labourer reads one labourer, strongly consistent, so that a new cap applies from the next claim on.
func (r Registry) Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error) {
	text, found, err := r.get(ctx, labourersPartition, id)
	if err != nil || !found {
		return labourer.Labourer{}, false, err
	}
	l, err := labourer.Decode(id, []byte(text))
	return l, err == nil, err
}

// Named reads labourers by their ids, which must differ, strongly consistent. It leaves out those that are not applied, or cannot be decoded.
func (r Registry) Named(ctx context.Context, ids []string) (map[string]labourer.Labourer, error) {
	out := make(map[string]labourer.Labourer, len(ids))
	if len(ids) == 1 {
		text, found, err := r.get(ctx, labourersPartition, ids[0])
		if err != nil || !found {
			return out, err
		}
		if l, err := labourer.Decode(ids[0], []byte(text)); err == nil {
			out[l.ID] = l
		}
		return out, nil
	}
	var keys []map[string]types.AttributeValue
	for _, id := range ids {
		if nameable(id) {
			keys = append(keys, controlKey(labourersPartition, id))
		}
	}
	err := batchGet(ctx, r.API, r.Table, keys, types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}, func(it item) error {
		id := it.str("item")
		if l, err := labourer.Decode(id, []byte(it.str("config"))); err == nil {
			out[id] = l
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d labourers, %w", len(ids), err)
	}
	return out, nil
}

// Labourers reads all labourers, eventually consistent. It leaves out labourers that cannot be decoded, which must not stop the others.
func (r Registry) Labourers(ctx context.Context) (map[string]labourer.Labourer, error) {
	stored, err := r.stored(ctx, labourersPartition, false)
	if err != nil {
		return nil, err
	}
	out := make(map[string]labourer.Labourer, len(stored))
	for id, s := range stored {
		if l, err := labourer.Decode(id, []byte(s.Text)); err == nil {
			out[id] = l
		}
	}
	return out, nil
}

// Schema reads a job schema. The name "" means "default".
func (r Registry) Schema(ctx context.Context, name string) (job.Schema, bool, error) {
	if name == "" {
		name = "default"
	}
	text, found, err := r.get(ctx, schemasPartition, name)
	if err != nil || !found {
		return job.Schema{}, false, err
	}
	s, err := labourer.DecodeSchema(name, []byte(text))
	return s, err == nil, err
}

// Has reports whether a labourer is applied, also one whose configuration cannot be read.
func (r Registry) Has(ctx context.Context, id string) (bool, error) {
	_, found, err := r.get(ctx, labourersPartition, id)
	return found, err
}

// Names lists what is applied, eventually consistent.
func (r Registry) Names(ctx context.Context) (labourers, schemas []string, err error) {
	all, err := r.All(ctx, false)
	return slices.Sorted(maps.Keys(all.Labourers)), slices.Sorted(maps.Keys(all.Schemas)), err
}

func (r Registry) get(ctx context.Context, partition, name string) (string, bool, error) {
	if !nameable(name) {
		return "", false, nil
	}
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Table, Key: controlKey(partition, name), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return "", false, fmt.Errorf("reading %s of %s, %w", name, partition[1:], err)
	}
	return item(out.Item).str("config"), out.Item != nil, nil
}

// Stored is a configuration as it was applied, and its revision.
type Stored struct {
	Text     string
	Revision int
}

// Applied holds everything that was applied.
type Applied struct{ Labourers, Schemas, Workflows, Activities, Plugins map[string]Stored }

// All reads everything that was applied.
func (r Registry) All(ctx context.Context, strong bool) (Applied, error) {
	var out Applied
	for _, part := range []struct {
		partition string
		into      *map[string]Stored
	}{{labourersPartition, &out.Labourers}, {schemasPartition, &out.Schemas}, {workflowsPartition, &out.Workflows},
		{activitiesPartition, &out.Activities}, {pluginsPartition, &out.Plugins}} {
		stored, err := r.stored(ctx, part.partition, strong)
		if err != nil {
			return Applied{}, err
		}
		*part.into = stored
	}
	return out, nil
}

func (r Registry) stored(ctx context.Context, partition string, strong bool) (map[string]Stored, error) {
	items, err := query(ctx, r.API, dynamodb.QueryInput{
		TableName: &r.Table, ConsistentRead: &strong,
		KeyConditionExpression:    aws.String("labourer = :partition"),
		ExpressionAttributeValues: item{":partition": str(partition)},
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the %s, %w", partition[1:], err)
	}
	out := make(map[string]Stored, len(items))
	for _, it := range items {
		out[it.str("item")] = Stored{Text: it.str("config"), Revision: int(it.num("revision"))}
	}
	return out, nil
}

// ApplyLabourer replaces the revision of a labourer that was read (0: there was none). queue.ErrChanged: something else was applied in the
// meantime.
func (r Registry) ApplyLabourer(ctx context.Context, id, text string, over int) error {
	return r.apply(ctx, labourersPartition, id, text, over)
}

// ApplySchema replaces the revision of a job schema in the same way.
func (r Registry) ApplySchema(ctx context.Context, name, text string, over int) error {
	return r.apply(ctx, schemasPartition, name, text, over)
}

func (r Registry) apply(ctx context.Context, partition, name, text string, over int) error {
	it := controlKey(partition, name)
	it["config"], it["revision"] = str(text), num(over+1)
	// A write that is repeated because its answer was lost finds its own item, and succeeds.
	condition, values := "attribute_not_exists(labourer)", item{":config": it["config"], ":next": it["revision"]}
	if over > 0 {
		condition, values[":over"] = "revision = :over", num(over)
	}
	condition += " OR #config = :config AND revision = :next"
	_, err := putItem(ctx, r.API, &dynamodb.PutItemInput{TableName: &r.Table, Item: it, ConditionExpression: &condition,
		ExpressionAttributeNames: map[string]string{"#config": "config"}, ExpressionAttributeValues: values})
	return changed(err, fmt.Sprintf("applying %s to the %s", name, partition[1:]))
}

// RemoveLabourer removes a labourer. queue.ErrChanged: it has changed since it was read.
//
// The version in its state stays, one higher. If a labourer that is applied again started at version 1, a lease could pass for an earlier one
// with the same key (see queue.Lease).
func (r Registry) RemoveLabourer(ctx context.Context, id string, revision int) error {
	_, err := deleteItem(ctx, r.API, &dynamodb.DeleteItemInput{
		TableName: &r.Table, Key: controlKey(labourersPartition, id), ConditionExpression: aws.String("revision = :revision"),
		ExpressionAttributeValues: item{":revision": num(revision)},
	})
	if err := changed(err, "removing labourer "+id); err != nil {
		return err
	}
	_, err = updateItem(ctx, r.API, &dynamodb.UpdateItemInput{
		TableName: &r.Table, Key: controlKey(id, stateItem),
		UpdateExpression:          aws.String("REMOVE paused, trouble, claiming_until, claiming_by ADD version :one"),
		ExpressionAttributeValues: item{":one": num(1)},
	})
	if err != nil {
		return fmt.Errorf("clearing the state of labourer %s, %w", id, err)
	}
	return nil
}

package fakeaws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/testing/fakeaws/expression"
)

// Scan reads a page of a table, in the order of its keys. It knows neither filters nor indexes.
func (d *DynamoDB) Scan(ctx context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("Scan", in), func() (*dynamodb.ScanOutput, error) { return d.scan(in) })
}

func (d *DynamoDB) scan(in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := legacy(map[string]bool{"AttributesToGet": in.AttributesToGet != nil, "ScanFilter": in.ScanFilter != nil, "FilterExpression": in.FilterExpression != nil,
		"IndexName": in.IndexName != nil, "ProjectionExpression": in.ProjectionExpression != nil, "Segment": in.Segment != nil}); err != nil {
		return nil, err
	}
	t, err := d.table(in.TableName)
	if err != nil {
		return nil, err
	}
	strong := aws.ToBool(in.ConsistentRead)
	out, bytes, begun := &dynamodb.ScanOutput{Items: []map[string]types.AttributeValue{}}, 0, in.ExclusiveStartKey == nil
	var last Item
	for _, hash := range t.hashes() {
		for _, r := range t.partitions[hash].records {
			if !begun {
				begun = sameItems(r.key, in.ExclusiveStartKey)
				continue
			}
			it := r.seen(d.age(t, r.key, strong), d.now())
			if it == nil {
				continue
			}
			if bytes += Size(it); bytes > pageBytes || in.Limit != nil && out.Count == *in.Limit {
				out.LastEvaluatedKey = expression.CloneItem(last)
				break
			}
			out.Items, last = append(out.Items, answered(it)), r.key
			out.Count++
			out.ScannedCount++
		}
		if out.LastEvaluatedKey != nil {
			break
		}
	}
	cost := readUnits(bytes, strong)
	d.spend("Scan", t.name, "", Cost{Calls: 1, ReadUnits: cost})
	out.ConsumedCapacity = charge{table: cost}.consumed(in.ReturnConsumedCapacity, t.name)
	return out, nil
}

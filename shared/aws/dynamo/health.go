package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/queue"
)

// Health holds CloudWatch's answers by query, and the assessments by labourer, in partitions of the control table.
type Health struct {
	API   API
	Table string
}

const (
	metricsPartition = "#metrics"
	healthItem       = "assessment" // it sorts before everything that Control.Look reads
)

// Readings reads the stored answers to these queries. A query that was never answered is missing.
func (h Health) Readings(ctx context.Context, keys []string) (map[string]ecology.Reading, error) {
	asked := make([]map[string]types.AttributeValue, len(keys))
	for i, key := range keys {
		asked[i] = controlKey(metricsPartition, key)
	}
	out := map[string]ecology.Reading{}
	err := batchGet(ctx, h.API, h.Table, asked, types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}, func(it item) error {
		text := it.str("reading")
		if text == "" {
			return nil
		}
		var r ecology.Reading
		if err := exact.Decode([]byte(text), &r); err != nil {
			return fmt.Errorf("metric %s, %w", it.str("item"), err)
		}
		out[it.str("item")] = r
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d metrics, %w", len(keys), err)
	}
	return out, nil
}

// Ask records that a query is being asked. queue.ErrChanged: another execution asked it after `since`.
func (h Health) Ask(ctx context.Context, key string, now, since time.Time) error {
	_, err := updateItem(ctx, h.API, &dynamodb.UpdateItemInput{
		TableName: &h.Table, Key: controlKey(metricsPartition, key), UpdateExpression: aws.String("SET asked_at = :now"),
		ConditionExpression:       aws.String("attribute_not_exists(asked_at) OR asked_at <= :since"),
		ExpressionAttributeValues: item{":now": millis(now), ":since": millis(since)},
	})
	return changed(err, "asking for metric "+key)
}

// Keep stores answers by the key of their query.
func (h Health) Keep(ctx context.Context, readings map[string]ecology.Reading) error {
	for _, key := range slices.Sorted(maps.Keys(readings)) {
		text, err := json.Marshal(readings[key])
		if err != nil {
			return fmt.Errorf("encoding metric %s, %w", key, err)
		}
		_, err = updateItem(ctx, h.API, &dynamodb.UpdateItemInput{
			TableName: &h.Table, Key: controlKey(metricsPartition, key), UpdateExpression: aws.String("SET reading = :reading"),
			ExpressionAttributeValues: item{":reading": str(string(text))},
		})
		if err != nil {
			return fmt.Errorf("keeping metric %s, %w", key, err)
		}
	}
	return nil
}

// Recall reads what the last assessment of a labourer remembered; the zero value when there was none.
func (h Health) Recall(ctx context.Context, labourer string) (ecology.Remembered, error) {
	var r ecology.Remembered
	out, err := h.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &h.Table, Key: controlKey(labourer, healthItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return r, fmt.Errorf("reading the health of labourer %s, %w", labourer, err)
	}
	if out.Item == nil {
		return r, nil
	}
	if err := exact.Decode([]byte(item(out.Item).str("remembered")), &r); err != nil {
		return r, fmt.Errorf("reading the health of labourer %s, %w", labourer, err)
	}
	return r, nil
}

// Remember replaces what an assessment was based on by what it leaves. queue.ErrChanged: another assessment was faster.
func (h Health) Remember(ctx context.Context, labourer string, before, after ecology.Remembered) error {
	was, err1 := json.Marshal(before)
	is, err2 := json.Marshal(after)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("encoding the health of labourer %s, %w", labourer, err)
	}
	in := &dynamodb.UpdateItemInput{
		TableName: &h.Table, Key: controlKey(labourer, healthItem), UpdateExpression: aws.String("SET remembered = :is"),
		ConditionExpression: aws.String("attribute_not_exists(remembered)"), ExpressionAttributeValues: item{":is": str(string(is))},
	}
	if before.Known {
		in.ConditionExpression = aws.String("remembered = :was")
		in.ExpressionAttributeValues[":was"] = str(string(was))
	}
	_, err := updateItem(ctx, h.API, in)
	if errors.Is(changed(err, ""), queue.ErrChanged) {
		return queue.ErrChanged
	}
	if err != nil {
		return fmt.Errorf("remembering the health of labourer %s, %w", labourer, err)
	}
	return nil
}

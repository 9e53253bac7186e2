package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/queue"
)

const (
	controllersPartition = "#caps"
	notedPrefix          = "adapted#" // it sorts before everything that Control.Look reads
)

// Controllers reads what is remembered of shared caps, by key, strongly consistent. One that does not exist yet is missing.
func (h Health) Controllers(ctx context.Context, keys []string) (map[string]adaptive.Controller, error) {
	asked := make([]map[string]types.AttributeValue, len(keys))
	for i, key := range keys {
		asked[i] = controlKey(controllersPartition, key)
	}
	out := map[string]adaptive.Controller{}
	err := batchGet(ctx, h.API, h.Table, asked, types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}, func(it item) error {
		var c adaptive.Controller
		if err := exact.Decode([]byte(it.str("controller")), &c); err != nil {
			return fmt.Errorf("controller %s, %w", it.str("item"), err)
		}
		out[it.str("item")] = c
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d controllers of caps, %w", len(keys), err)
	}
	return out, nil
}

// Control replaces what is remembered of a shared cap. The zero Controller before: nothing was. queue.ErrChanged: another assessment was faster.
func (h Health) Control(ctx context.Context, key string, before, after adaptive.Controller) error {
	was, err1 := json.Marshal(before)
	is, err2 := json.Marshal(after)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("encoding controller %s, %w", key, err)
	}
	in := &dynamodb.UpdateItemInput{
		TableName: &h.Table, Key: controlKey(controllersPartition, key), UpdateExpression: aws.String("SET controller = :is"),
		ConditionExpression: aws.String("attribute_not_exists(controller)"), ExpressionAttributeValues: item{":is": str(string(is))},
	}
	if before.Cap != 0 {
		in.ConditionExpression = aws.String("controller = :was")
		in.ExpressionAttributeValues[":was"] = str(string(was))
	}
	_, err := updateItem(ctx, h.API, in)
	return changed(err, "storing controller "+key)
}

// Note keeps a change of a labourer's cap. A change of the same minute on another day is replaced: at most a day's changes are kept.
func (h Health) Note(ctx context.Context, labourer string, n adaptive.Noted) error {
	kind := "law#"
	if n.Metric == "" {
		kind = "pin#"
	}
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encoding a change of the cap of labourer %s, %w", labourer, err)
	}
	_, err = updateItem(ctx, h.API, &dynamodb.UpdateItemInput{
		TableName: &h.Table, Key: controlKey(labourer, notedPrefix+kind+n.At.UTC().Format("1504")), UpdateExpression: aws.String("SET noted = :noted"),
		ExpressionAttributeValues: item{":noted": str(string(text))},
	})
	if err != nil {
		return fmt.Errorf("noting a change of the cap of labourer %s, %w", labourer, err)
	}
	return nil
}

// Noted reads the changes of a labourer's cap that are kept, the oldest first.
func (h Health) Noted(ctx context.Context, labourer string) ([]adaptive.Noted, error) {
	items, err := query(ctx, h.API, dynamodb.QueryInput{
		TableName: &h.Table, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("labourer = :labourer AND begins_with(#item, :noted)"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":labourer": str(labourer), ":noted": str(notedPrefix)},
	}, 2*24*60)
	if err != nil {
		return nil, fmt.Errorf("reading the changes of the cap of labourer %s, %w", labourer, err)
	}
	out := make([]adaptive.Noted, len(items))
	for i, it := range items {
		if err := exact.Decode([]byte(it.str("noted")), &out[i]); err != nil {
			return nil, fmt.Errorf("reading the changes of the cap of labourer %s, %w", labourer, err)
		}
	}
	slices.SortFunc(out, func(a, b adaptive.Noted) int { return a.At.Compare(b.At) })
	return out, nil
}

// SetPin pins the cap of a labourer; nil takes the pin away. It raises the version, so that a claim that was decided before fails.
func (c Control) SetPin(ctx context.Context, labourer string, pin *queue.Pin) error {
	in := &dynamodb.UpdateItemInput{TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: aws.String("REMOVE pin ADD version :one"),
		ExpressionAttributeValues: item{":one": num(1)}}
	if pin != nil {
		text, err := json.Marshal(pin)
		if err != nil {
			return fmt.Errorf("encoding the pin of labourer %s, %w", labourer, err)
		}
		in.UpdateExpression, in.ExpressionAttributeValues[":pin"] = aws.String("SET pin = :pin ADD version :one"), str(string(text))
	}
	if _, err := updateItem(ctx, c.API, in); err != nil {
		return fmt.Errorf("pinning the cap of labourer %s, %w", labourer, err)
	}
	return nil
}

// readPin reads the pin of a state, nil without one. A pin that cannot be read pins to 0: its owner wanted another cap than the configured one.
func readPin(text string) *queue.Pin {
	if text == "" {
		return nil
	}
	var pin queue.Pin
	if err := exact.Decode([]byte(text), &pin); err != nil {
		return &queue.Pin{By: "a pin that cannot be read", At: time.Unix(0, 0)}
	}
	return &pin
}

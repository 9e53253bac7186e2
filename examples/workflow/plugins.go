package workflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/shared/worker"
)

// Objects has the S3 calls that the plugins need. *s3.Client implements it.
type Objects interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Plugins returns the worker of all plugins of the workflow.
func Plugins(objects Objects) worker.Func {
	p := plugins{objects}
	return worker.Plugins(map[string]worker.Func{
		"validate":    p.reading(func(o Order, days weather.Days) (any, error) { return o.Validate(days) }),
		"temperature": p.reading(func(o Order, days weather.Days) (any, error) { return o.Temperature(days) }),
		"rain":        p.reading(func(o Order, days weather.Days) (any, error) { return o.Rain(days) }),
		"snow":        p.reading(func(o Order, days weather.Days) (any, error) { return o.Snow(days) }),
		"wind":        p.wind,
		"report":      p.report,
	})
}

type plugins struct{ objects Objects }

// reading returns the function of a plugin that computes its result from the records alone.
func (p plugins) reading(compute func(Order, weather.Days) (any, error)) worker.Func {
	return func(ctx context.Context, task worker.Task) (any, error) {
		order, days, err := p.records(ctx, task)
		if err != nil {
			return nil, err
		}
		return badInput(compute(order, days))
	}
}

func (p plugins) wind(ctx context.Context, task worker.Task) (any, error) {
	order, days, err := p.records(ctx, task)
	if err != nil {
		return nil, err
	}
	text, err := p.read(ctx, order.Bucket, Scale)
	if err != nil {
		return nil, err
	}
	scale, err := ReadScale(strings.NewReader(text))
	if err != nil {
		return nil, worker.Permanent(worker.Errorf("BadInput", "s3://%s/%s: %w", order.Bucket, Scale, err))
	}
	return badInput(order.Wind(days, scale))
}

// Published holds what the plugin report returns.
type Published struct {
	URL     string   `json:"url"`
	Missing []string `json:"missing"`
}

// report reads what the plugins before it returned. One that was skipped, or failed as an optional one, has no result.
func (p plugins) report(ctx context.Context, task worker.Task) (any, error) {
	var order Order
	if err := task.DecodeMetadata(&order); err != nil {
		return nil, err
	}
	var found Findings
	for plugin, into := range map[string]any{
		"validate": &found.Checked, "temperature": &found.Temperature, "rain": &found.Rain, "wind": &found.Wind, "snow": &found.Snow,
	} {
		if _, err := task.Results.Decode("summarise", plugin, into); err != nil {
			return nil, err
		}
	}
	key := fmt.Sprintf("reports/%s.md", task.UID)
	_, err := p.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: &order.Bucket, Key: &key, Body: strings.NewReader(order.Report(found))})
	if err != nil {
		return nil, fmt.Errorf("writing s3://%s/%s: %w", order.Bucket, key, err)
	}
	return Published{fmt.Sprintf("s3://%s/%s", order.Bucket, key), order.Missing(found)}, nil
}

func (p plugins) records(ctx context.Context, task worker.Task) (Order, weather.Days, error) {
	var order Order
	if err := task.DecodeMetadata(&order); err != nil {
		return order, nil, err
	}
	text, err := p.read(ctx, order.Bucket, order.Key)
	if err != nil {
		return order, nil, err
	}
	days, err := weather.Read(strings.NewReader(text))
	if err != nil {
		return order, nil, worker.Permanent(worker.Errorf("BadInput", "s3://%s/%s: %w", order.Bucket, order.Key, err))
	}
	return order, days, nil
}

func (p plugins) read(ctx context.Context, bucket, key string) (string, error) {
	object, err := p.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if missing := (*types.NoSuchKey)(nil); errors.As(err, &missing) {
		return "", worker.Errorf("NoSuchKey", "there is no s3://%s/%s", bucket, key) // S3's own text has two ids of the request as well
	}
	if err != nil {
		return "", fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	defer func() { _ = object.Body.Close() }() // it is only read, so a failed close loses nothing
	text, err := io.ReadAll(object.Body)
	if err != nil {
		return "", fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	return string(text), nil
}

// badInput marks an error of a computation: a retry would compute the same.
func badInput(result any, err error) (any, error) {
	if err != nil {
		return nil, worker.Permanent(worker.Errorf("BadInput", "%w", err))
	}
	return result, nil
}

package localstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/pattern"
)

// Mappings carry out the event source mappings of an emulator in its place, because the emulator knows no batching windows: it hands on at once
// what is there. Mappings gather as AWS does: until a batch is full, or its window has passed since its first message or record. Their calls pass
// the emulator's meter, as the caller Poller. One poller reads each queue. Lambda begins with five, which share the messages of a window.
//
// They are made for measuring: they neither bisect batches nor give up a record.
type Mappings struct {
	endpoint  string
	functions *lambda.Client
	queues    *sqs.Client
	stop      context.CancelFunc
	pollers   *errgroup.Group
	requests  atomic.Int64
	flushes   []chan chan struct{} // of each stream
}

// Poller names the mappings for the meter.
const Poller = "poller"

// queueBatch limits the messages that one request of SQS receives or deletes.
const queueBatch = 10

// streamInterval separates two polls of a shard, as in Lambda.
const streamInterval = 250 * time.Millisecond

// mostFailures limits how many reads of a stream fail in a row before the mapping gives up: a busy emulator breaks off an answer now and then.
const mostFailures = 10

// TakeMappings turns the emulator's own mappings off, and carries them out until Stop.
func TakeMappings(ctx context.Context, e *Emulator, m *Meter) (*Mappings, error) {
	cfg := e.Config()
	cfg.BaseEndpoint, cfg.AppID = aws.String(m.Endpoint), Poller
	p := &Mappings{endpoint: m.Endpoint, functions: lambda.NewFromConfig(cfg), queues: sqs.NewFromConfig(cfg)}
	all, err := lambda.NewFromConfig(e.Config()).ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{})
	if err != nil {
		return nil, fmt.Errorf("listing the event source mappings: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop, p.pollers = stop, &errgroup.Group{}
	for _, one := range all.EventSourceMappings {
		if aws.ToString(one.State) != "Enabled" {
			continue
		}
		_, err := p.functions.UpdateEventSourceMapping(ctx, &lambda.UpdateEventSourceMappingInput{UUID: one.UUID, Enabled: aws.Bool(false)})
		if err != nil {
			stop()
			return nil, fmt.Errorf("turning an event source mapping off: %w", err)
		}
		if strings.Contains(aws.ToString(one.EventSourceArn), ":sqs:") {
			p.pollers.Go(func() error { return p.pollQueue(running, one) })
			continue
		}
		filters, err := filtersOf(one)
		if err != nil {
			stop()
			return nil, err
		}
		flush := make(chan chan struct{})
		p.flushes = append(p.flushes, flush)
		p.pollers.Go(func() error { return p.pollStream(running, one, filters, flush) })
	}
	return p, nil
}

// Stop ends the mappings, and returns the first error that one of them had.
func (p *Mappings) Stop() error {
	p.stop()
	return p.pollers.Wait()
}

// Flush hands on what the streams hold now, as if their windows had passed, and returns when the functions have handled it.
func (p *Mappings) Flush(ctx context.Context) error {
	for _, flush := range p.flushes {
		flushed := make(chan struct{})
		select {
		case flush <- flushed:
		case <-ctx.Done():
			return fmt.Errorf("flushing a stream: %w", ctx.Err())
		}
		select {
		case <-flushed:
		case <-ctx.Done():
			return fmt.Errorf("flushing a stream: %w", ctx.Err())
		}
	}
	return nil
}

// Requests returns how many requests of SQS received messages or deleted them. Polls of empty queues are not among them: they cost what a stack costs
// at rest.
func (p *Mappings) Requests() int { return int(p.requests.Load()) }

func window(of lambdatypes.EventSourceMappingConfiguration) time.Duration {
	return time.Duration(aws.ToInt32(of.MaximumBatchingWindowInSeconds)) * time.Second
}

// pollQueue gathers messages and hands them on. Batches are handled side by side, up to the mapping's concurrency.
func (p *Mappings) pollQueue(ctx context.Context, of lambdatypes.EventSourceMappingConfiguration) error {
	parts := strings.Split(aws.ToString(of.EventSourceArn), ":")
	found, err := p.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &parts[len(parts)-1]})
	if err != nil {
		return fmt.Errorf("finding the queue %s: %w", parts[len(parts)-1], err)
	}
	var handling errgroup.Group
	if of.ScalingConfig != nil {
		handling.SetLimit(int(aws.ToInt32(of.ScalingConfig.MaximumConcurrency)))
	}
	size := int(aws.ToInt32(of.BatchSize))
	for ctx.Err() == nil {
		batch, err := p.gather(ctx, *found.QueueUrl, size, window(of))
		if err != nil && ctx.Err() == nil {
			return errors.Join(err, handling.Wait())
		}
		if len(batch) > 0 {
			handling.Go(func() error { return p.handOn(context.WithoutCancel(ctx), of, *found.QueueUrl, batch) })
		}
	}
	return handling.Wait()
}

// gather waits for a first message, and then until the batch is full or the window has passed.
func (p *Mappings) gather(ctx context.Context, queue string, size int, window time.Duration) (batch []sqstypes.Message, err error) {
	var until time.Time
	for ctx.Err() == nil && len(batch) < size && (len(batch) == 0 || time.Now().Before(until)) {
		wait := time.Second
		if len(batch) > 0 {
			wait = min(wait, time.Until(until))
		}
		out, err := p.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: int32(min(queueBatch, size-len(batch))),
			WaitTimeSeconds: int32(wait / time.Second), MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameAll}})
		if err != nil {
			return batch, fmt.Errorf("receiving messages: %w", err)
		}
		if len(out.Messages) == 0 {
			if wait < time.Second { // SQS waits for whole seconds
				pause(ctx, min(wait, 50*time.Millisecond))
			}
			continue
		}
		if len(batch) == 0 {
			until = time.Now().Add(window)
		}
		batch = append(batch, out.Messages...)
		p.requests.Add(1)
	}
	return batch, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// handOn invokes the function with messages, and deletes those that it does not report as failed.
func (p *Mappings) handOn(ctx context.Context, of lambdatypes.EventSourceMappingConfiguration, queue string, batch []sqstypes.Message) error {
	type record struct {
		MessageID     string            `json:"messageId"`
		ReceiptHandle string            `json:"receiptHandle"`
		Body          string            `json:"body"`
		Attributes    map[string]string `json:"attributes"`
		EventSource   string            `json:"eventSource"`
		ARN           string            `json:"eventSourceARN"`
		Region        string            `json:"awsRegion"`
	}
	var records []record
	for _, m := range batch {
		records = append(records, record{*m.MessageId, *m.ReceiptHandle, *m.Body, m.Attributes, "aws:sqs", *of.EventSourceArn, Region})
	}
	answer, err := p.invoke(ctx, of, records)
	if err != nil {
		return nil // the messages appear again, as on AWS
	}
	var failed struct {
		Items []struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	_ = json.Unmarshal(answer, &failed) // a function need not report failures
	var done []sqstypes.DeleteMessageBatchRequestEntry
	for i, m := range batch {
		if !slices.ContainsFunc(failed.Items, func(f struct {
			ID string `json:"itemIdentifier"`
		},
		) bool {
			return f.ID == *m.MessageId
		}) {
			done = append(done, sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
	}
	for part := range slices.Chunk(done, queueBatch) {
		if _, err := p.queues.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &queue, Entries: part}); err != nil {
			return fmt.Errorf("deleting messages: %w", err)
		}
		p.requests.Add(1)
	}
	return nil
}

func (p *Mappings) invoke(ctx context.Context, of lambdatypes.EventSourceMappingConfiguration, records any) ([]byte, error) {
	text, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return nil, err
	}
	out, err := p.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: of.FunctionArn, Payload: text})
	if err != nil {
		return nil, err
	}
	if out.FunctionError != nil {
		return nil, fmt.Errorf("%s failed: %s", aws.ToString(of.FunctionArn), out.Payload)
	}
	return out.Payload, nil
}

func filtersOf(of lambdatypes.EventSourceMappingConfiguration) (filters []pattern.Pattern, err error) {
	if of.FilterCriteria == nil {
		return nil, nil
	}
	for _, f := range of.FilterCriteria.Filters {
		one, errs := pattern.Parse([]byte(aws.ToString(f.Pattern)))
		if errs != nil {
			return nil, fmt.Errorf("the filter of an event source mapping: %w", errs)
		}
		filters = append(filters, one)
	}
	return filters, nil
}

// pollStream gathers the records that pass a filter and hands them on, one batch after the other. It closes what it receives from flush when it has
// handed on all that the stream held.
func (p *Mappings) pollStream(ctx context.Context, of lambdatypes.EventSourceMappingConfiguration, filters []pattern.Pattern, flush <-chan chan struct{}) error {
	var begin struct{ ShardIterator string }
	err := p.stream(ctx, "GetShardIterator", map[string]any{"StreamArn": of.EventSourceArn, "ShardIteratorType": "TRIM_HORIZON",
		"ShardId": "shardId-00000000000000000000-00000000"}, &begin) // the emulator's only shard
	if err != nil {
		return err
	}
	iterator, size := begin.ShardIterator, int(aws.ToInt32(of.BatchSize))
	var batch []json.RawMessage
	var until time.Time
	var flushed chan struct{}
	failures := 0
	for ctx.Err() == nil {
		if flushed == nil {
			select {
			case flushed = <-flush:
			default:
			}
		}
		var page struct {
			Records           []json.RawMessage
			NextShardIterator string
		}
		if err := p.stream(ctx, "GetRecords", map[string]any{"ShardIterator": iterator}, &page); err != nil {
			if failures++; failures > mostFailures && ctx.Err() == nil {
				return err
			}
			pause(ctx, streamInterval)
			continue // the same iterator returns the same records
		}
		failures = 0
		iterator = page.NextShardIterator
		for _, record := range page.Records {
			if passes, err := passes(filters, record); err != nil {
				return err
			} else if passes {
				if len(batch) == 0 {
					until = time.Now().Add(window(of))
				}
				batch = append(batch, record)
			}
		}
		if flushed != nil && len(page.Records) == 0 {
			until = time.Now()
		}
		for len(batch) >= size || len(batch) > 0 && !time.Now().Before(until) {
			n := min(size, len(batch))
			if _, err := p.invoke(context.WithoutCancel(ctx), of, batch[:n]); err != nil {
				break // the same batch again, as on AWS
			}
			batch = batch[n:]
			until = time.Now().Add(window(of))
		}
		if flushed != nil && len(page.Records) == 0 && len(batch) == 0 {
			close(flushed)
			flushed = nil
		}
		pause(ctx, streamInterval)
	}
	return nil
}

func passes(filters []pattern.Pattern, record json.RawMessage) (bool, error) {
	read, err := pattern.Read(record)
	if err != nil {
		return false, fmt.Errorf("reading a record of a stream: %w", err)
	}
	return filters == nil || slices.ContainsFunc(filters, func(f pattern.Pattern) bool { return f.Match(read).Matches }), nil
}

// stream calls an operation of DynamoDB Streams. Its answers stay JSON, because functions receive records in the same form.
func (p *Mappings) stream(ctx context.Context, operation string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.endpoint, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "DynamoDBStreams_20120810."+operation)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+accessKey+"/20260101/"+Region+"/dynamodbstreams/aws4_request")
	r.Header.Set("User-Agent", "app/"+Poller)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("reading a stream: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("reading a stream: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("reading a stream: %s", body)
	}
	return json.Unmarshal(body, out)
}

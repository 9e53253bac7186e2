package main

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/inspect"
)

// deadLetters are the queues that should be empty, with what to do about their messages.
var deadLetters = []struct{ name, output, holds, fix string }{
	{"jobs' dead letters", "JobsDeadLetterQueueUrl", "commands that could not be read or carried out",
		"read the messages (the attribute reason says why), put corrected commands on the bus, then delete the messages"},
	{"completions' dead letters", "CompletionsDeadLetterQueueUrl", "completions that could not be read or processed",
		"read the messages (the attribute reason says why) and fix the workers that sent them; the tasks are retried when their leases end"},
	{"runs' dead letters", "RunsDeadLetterQueueUrl", "messages about runs that could not be read or carried out",
		"read the messages (the attribute reason says why) and the workflow function's log, put corrected commands on the bus, then delete the messages"},
	{"stream's failures", "StreamFailuresQueueUrl", "ends of tasks that the scavenger or the archiver could not process",
		"fix what their logs report, run drover redrive, which reports the ends that were not counted again from the tasks table, " +
			"then delete the messages; each names a task, or a place in the stream"},
	{"events' failures", "EventFailuresQueueUrl", "events that a rule could not deliver",
		"read the messages: each says which rule and target failed, and why; put the commands among them on the bus again"},
}

// messages checks the queues.
func (d *doctor) messages(ctx context.Context) []check {
	var checks []check
	for _, q := range []struct{ name, output string }{{"jobs queue", "JobsQueueUrl"}, {"completions queue", "CompletionsQueueUrl"}, {"runs queue", "RunsQueueUrl"}} {
		if url := d.Outputs[q.output]; url != "" {
			checks = append(checks, d.backlog(ctx, q.name, url))
		}
	}
	for _, q := range deadLetters {
		url := d.Outputs[q.output]
		if url == "" {
			continue
		}
		n, err := d.depth(ctx, url)
		switch {
		case err != nil:
			checks = append(checks, unread(q.name, err, "sqs:GetQueueAttributes", "", "queue "+path.Base(url)+" cannot be read: "))
		case n > 0:
			fix := strings.ReplaceAll(q.fix, "drover redrive", d.own("redrive"))
			checks = append(checks, wrong(q.name, fix+": "+d.command("sqs", "receive-message", "--message-attribute-names", "All", "--queue-url", url),
				"%s: %s", inspect.Count(n, "message"), q.holds))
		default:
			checks = append(checks, fine(q.name, "none"))
		}
	}
	return checks
}

// depth returns how many messages a queue has, in flight and delayed ones included.
func (d *doctor) depth(ctx context.Context, url string) (int, error) {
	counts := []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible, sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed}
	out, err := d.queues.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: counts})
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, name := range counts {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return 0, fmt.Errorf("its attribute %s is %q", name, out.Attributes[string(name)])
		}
		sum += n
	}
	return sum, nil
}

// backlog checks that the stack reads a queue. CloudWatch measures how long the oldest message has waited.
func (d *doctor) backlog(ctx context.Context, name, url string) check {
	n, err := d.depth(ctx, url)
	if err != nil {
		return unread(name, err, "sqs:GetQueueAttributes", "", "queue "+path.Base(url)+" cannot be read: ")
	}
	age, err := d.metric(ctx, "AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", path.Base(url))
	switch {
	case err != nil:
		return unread(name, err, "cloudwatch:GetMetricData", "", inspect.Count(n, "message")+", whose age cannot be read: ")
	case n > 0 && age != nil && *age > inspect.Late.Seconds():
		return wrong(name, "read the log of the function that receives them", "%s, the oldest waiting for %s", inspect.Count(n, "message"), time.Duration(*age)*time.Second)
	}
	return fine(name, "%s", inspect.Count(n, "message"))
}

// metric returns the newest value of a metric in the last five minutes, or nil if there is none.
func (d *doctor) metric(ctx context.Context, namespace, name, dimension, value string) (*float64, error) {
	now := d.now()
	point, err := d.metrics.Newest(ctx, ecology.Query{Namespace: namespace, MetricName: name, Statistic: "Maximum", Period: time.Minute,
		Dimensions: []ecology.Dimension{{Name: dimension, Value: value}}}, now.Add(-inspect.Late).Truncate(time.Minute), now)
	if err != nil || point == nil {
		return nil, err
	}
	return &point.Value, nil
}

// streams are the readers of the stream: the functions, how long a record may wait there, and what waits until they catch up.
var streams = []struct {
	name, reader, output string
	late                 time.Duration
	waits                string
}{
	{"stream", "scavenger", "ScavengerFunctionName", inspect.Late, "retries and dead tasks wait"},
	{"archive's stream", "archiver", "ArchiverFunctionName", inspect.Late + longestWindow, "the archive waits"},
}

// longestWindow limits how long the archiver gathers records. It is the greatest value of ArchiveWindowSeconds.
const longestWindow = 5 * time.Minute

// streams checks how far the readers of the stream lag behind it.
func (d *doctor) streams(ctx context.Context) []check {
	checks := make([]check, len(streams))
	for i, s := range streams {
		age, err := d.metric(ctx, "AWS/Lambda", "IteratorAge", "FunctionName", d.Outputs[s.output])
		switch {
		case err != nil:
			checks[i] = unread(s.name, err, "cloudwatch:GetMetricData", "", "the "+s.reader+"'s lag cannot be read: ")
			continue
		case age == nil:
			checks[i] = fine(s.name, "the %s has read nothing in the last five minutes", s.reader)
			continue
		}
		behind := time.Duration(*age) * time.Millisecond
		if behind > s.late {
			checks[i] = wrong(s.name, "read the "+s.reader+"'s log; until it catches up, "+s.waits, "the %s is %s behind", s.reader, behind)
			continue
		}
		checks[i] = fine(s.name, "the %s is %s behind", s.reader, behind)
	}
	return checks
}

package sqs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/event"
	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/orchestrator"
	queues "github.com/drover-run/drover/shared/sqs"
	"github.com/drover-run/drover/shared/task"
)

// fake notes what it is asked. Entries whose body is in fails fail by it.
type fake struct {
	err     error
	fails   map[string]types.BatchResultErrorEntry
	sent    []*sqs.SendMessageInput
	batches []*sqs.SendMessageBatchInput
}

func (f *fake) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	f.sent = append(f.sent, in)
	return &sqs.SendMessageOutput{}, f.err
}

func (f *fake) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	f.batches = append(f.batches, in)
	if f.err != nil {
		return nil, f.err
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		if failed, fails := f.fails[*e.MessageBody]; fails {
			failed.Id = e.Id
			out.Failed = append(out.Failed, failed)
		}
	}
	return out, nil
}

func worker(url string) labourer.Labourer {
	l := labourer.New("f")
	l.Target.SQS = url
	return l
}

func start(n int, event string) orchestrator.Start {
	return orchestrator.Start{Task: task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: n}, Payload: json.RawMessage(event)}, Attempt: 2, Event: []byte(event)}
}

func TestAMessageThatNobodyCanReadIsKeptAsItCameWithTheReason(t *testing.T) {
	f := &fake{}

	require.NoError(t, queues.Graveyard{API: f, URL: "https://dead"}.Bury(context.Background(), "nonsense", "no JSON"))

	require.Equal(t, []*sqs.SendMessageInput{{QueueUrl: aws.String("https://dead"), MessageBody: aws.String("nonsense"),
		MessageAttributes: map[string]types.MessageAttributeValue{"reason": {DataType: aws.String("String"), StringValue: aws.String("no JSON")}}}}, f.sent)
	f.err = errors.New("access denied")
	require.EqualError(t, queues.Graveyard{API: f}.Bury(context.Background(), "x", "y"), "sending a message that can not be read to the dead letters, access denied")
}

func TestALongReasonIsCutBetweenCharacters(t *testing.T) {
	f := &fake{}

	require.NoError(t, queues.Graveyard{API: f}.Bury(context.Background(), "nonsense", "x"+strings.Repeat("ä", 1000)))

	reason := *f.sent[0].MessageAttributes["reason"].StringValue
	require.LessOrEqual(t, len(reason), 1000)
	require.True(t, utf8.ValidString(reason))
}

func TestACommandIsSentOnAsAnEventThatTheNextSchedulerReads(t *testing.T) {
	f := &fake{}
	sent := event.Envelope{ID: "e-1", Source: "shop", DetailType: event.ReplayTasks, Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Detail: json.RawMessage(`{"job_id":"nightly"}`)}

	require.NoError(t, queues.Jobs{Graveyard: queues.Graveyard{API: f}, URL: "https://jobs"}.Continue(context.Background(), sent))

	require.Equal(t, "https://jobs", *f.sent[0].QueueUrl)
	e, err := event.Read([]byte(*f.sent[0].MessageBody))
	require.NoError(t, err)
	require.Equal(t, sent, e)
	f.err = errors.New("access denied")
	require.EqualError(t, queues.Jobs{Graveyard: queues.Graveyard{API: f}}.Continue(context.Background(), sent), "handing ReplayTasks e-1 on, access denied")
}

// TestG6TasksAreSentTenAtATimeInTheirOrder.
func TestG6TasksAreSentTenAtATimeInTheirOrder(t *testing.T) {
	f := &fake{}
	var starts []orchestrator.Start
	for n := range 25 {
		starts = append(starts, start(n, fmt.Sprintf(`{"n":%d}`, n)))
	}

	errs := queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), starts)

	require.NoError(t, errors.Join(errs...))
	require.Len(t, f.batches, 3)
	next := 0
	for _, batch := range f.batches {
		require.Equal(t, "https://sqs/f", *batch.QueueUrl)
		require.LessOrEqual(t, len(batch.Entries), 10)
		for _, e := range batch.Entries {
			require.Equal(t, fmt.Sprintf(`{"n":%d}`, next), *e.MessageBody)
			require.Nil(t, e.MessageGroupId, "a standard queue takes no group")
			require.Nil(t, e.MessageDeduplicationId)
			next++
		}
	}
	require.Equal(t, 25, next)
}

func TestABatchIsNoLargerThanAQueueTakes(t *testing.T) {
	f := &fake{}
	var starts []orchestrator.Start
	for n := range 8 {
		starts = append(starts, start(n, strings.Repeat("x", 300<<10)))
	}
	starts = append(starts, start(8, strings.Repeat("x", 1<<20)), start(9, strings.Repeat("x", 1<<20+1)))

	errs := queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), starts)

	require.NoError(t, errors.Join(errs[:9]...))
	var refusal *orchestrator.Refusal
	require.ErrorAs(t, errs[9], &refusal)
	require.Equal(t, "PayloadTooLarge", refusal.Type)
	require.Equal(t, "the message would have 1048577 bytes; a queue takes 1048576", refusal.Reason)
	for _, batch := range f.batches {
		size := 0
		for _, e := range batch.Entries {
			size += len(*e.MessageBody)
		}
		require.LessOrEqual(t, size, 1<<20)
	}
}

// TestG4AFIFOQueueGetsAnAttemptOnceAndItsGroup.
func TestG4AFIFOQueueGetsAnAttemptOnceAndItsGroup(t *testing.T) {
	for name, c := range map[string]struct{ key, payload, group string }{ // group "": a hash of the value
		"the labourer":                   {"", `{"store": "x"}`, "f"},
		"an attribute of text":           {"store", `{"store": "x"}`, "x"},
		"an attribute that is a number":  {"store", `{"store": 7}`, "7"},
		"an attribute that is not there": {"store", `{"shop": "x"}`, "f"},
		"a payload that is no object":    {"store", `[]`, "f"},
		"what can not be a group's name": {"store", `{"store": "with space"}`, ""},
		"what is too long for one":       {"store", `{"store": "` + strings.Repeat("x", 129) + `"}`, ""},
		"the longest that one can be":    {"store", `{"store": "` + strings.Repeat("x", 128) + `"}`, strings.Repeat("x", 128)},
		"an attribute that is empty":     {"store", `{"store": ""}`, ""},
		"an attribute of several stores": {"stores", `{"stores": ["a","b"]}`, `["a","b"]`},
	} {
		t.Run(name, func(t *testing.T) {
			f, l := &fake{}, worker("https://sqs/f.fifo")
			l.GroupKey = c.key

			errs := queues.Starter{API: f}.Start(context.Background(), l, []orchestrator.Start{start(7, c.payload)})

			require.NoError(t, errs[0])
			e := f.batches[0].Entries[0]
			require.Equal(t, "abcdefghijklmnop.7-2", *e.MessageDeduplicationId)
			require.Regexp(t, "^[[:graph:]]{1,128}$", *e.MessageGroupId)
			if c.group == "" {
				require.Regexp(t, "^[0-9a-f]{64}$", *e.MessageGroupId)
				return
			}
			require.Equal(t, c.group, *e.MessageGroupId)
		})
	}
}

// TestG8WhatATaskIsRefusedForIsToldApartFromItsTargetsTrouble, each error at the place of its start.
func TestG8WhatATaskIsRefusedForIsToldApartFromItsTargetsTrouble(t *testing.T) {
	f := &fake{fails: map[string]types.BatchResultErrorEntry{
		`"bad"`:  {SenderFault: true, Code: aws.String("InvalidMessageContents"), Message: aws.String("characters")},
		`"mine"`: {SenderFault: true, Code: aws.String("AccessDenied"), Message: aws.String("no")},
		`"busy"`: {Code: aws.String("InternalError"), Message: aws.String("later")},
	}}

	errs := queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), []orchestrator.Start{start(0, `"fine"`), start(1, `"bad"`), start(2, `"mine"`), start(3, `"busy"`), start(4, `"fine too"`)})

	require.Equal(t, []string{"started", "InvalidPayload", "trouble", "throttled", "started"}, kinds(errs))
	require.ErrorContains(t, errs[1], "queue https://sqs/f refuses the message: InvalidMessageContents: characters")
}

func TestAQueueThatFailsIsTheTroubleOfAllOfItsBatch(t *testing.T) {
	f := &fake{err: errors.New("no such queue")}
	require.Equal(t, []string{"trouble", "trouble"}, kinds(queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), []orchestrator.Start{start(0, `1`), start(1, `2`)})))

	f.err = &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	require.Equal(t, []string{"throttled", "throttled"}, kinds(queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), []orchestrator.Start{start(0, `1`), start(1, `2`)})))
}

func kinds(errs []error) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		var refusal *orchestrator.Refusal
		var throttled *orchestrator.Throttled
		switch {
		case err == nil:
			out[i] = "started"
		case errors.As(err, &refusal):
			out[i] = refusal.Type
		case errors.As(err, &throttled):
			out[i] = "throttled"
		default:
			out[i] = "trouble"
		}
	}
	return out
}

func TestTheAnswerToABatchHasAListAlsoWhenNothingFailed(t *testing.T) {
	for want, ids := range map[string][]string{
		`{"batchItemFailures":[]}`: nil,
		`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}`: {"a", "b"},
	} {
		text, err := json.Marshal(queues.Failures(ids))
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}

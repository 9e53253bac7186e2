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

	queues "github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/target"
)

// fake records its requests. Entries whose body is in fails get that error.
type fake struct {
	err     error
	fails   map[string]types.BatchResultErrorEntry
	refuses map[string]error // a batch with such a body is refused as a whole
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
		if err := f.refuses[*e.MessageBody]; err != nil {
			return nil, err
		}
	}
	for _, e := range in.Entries {
		if failed, fails := f.fails[*e.MessageBody]; fails {
			failed.Id = e.Id
			out.Failed = append(out.Failed, failed)
		}
	}
	return out, nil
}

func (f *fake) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if f.err != nil {
		return nil, f.err
	}
	out := &sqs.GetQueueAttributesOutput{Attributes: map[string]string{}}
	for _, name := range in.AttributeNames {
		out.Attributes[string(name)] = map[types.QueueAttributeName]string{"ApproximateNumberOfMessages": "5", "ApproximateNumberOfMessagesDelayed": "2", "ApproximateNumberOfMessagesNotVisible": "3", "MessageRetentionPeriod": "345600"}[name]
	}
	return out, nil
}

func TestABacklogCountsTheMessagesOfAQueue(t *testing.T) {
	f := &fake{}

	backlog, err := queues.Queues{API: f}.Backlog(context.Background(), worker("https://sqs/f"))

	require.NoError(t, err)
	require.Equal(t, queue.Backlog{Waiting: 7, Taken: 3, Retention: 4 * 24 * time.Hour}, backlog)
	f.err = &types.QueueDoesNotExist{Message: aws.String("The specified queue does not exist.")}
	backlog, err = queues.Queues{API: f}.Backlog(context.Background(), worker("https://sqs/f"))
	require.NoError(t, err, "asking again would not help")
	require.Zero(t, backlog.Waiting+backlog.Taken)
	require.Contains(t, backlog.Unknown, "does not exist")
	f.err = &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	_, err = queues.Queues{API: f}.Backlog(context.Background(), worker("https://sqs/f"))
	require.ErrorContains(t, err, "Rate exceeded")
}

func worker(url string) labourer.Labourer {
	l := labourer.New("f")
	l.Target.SQS = url
	return l
}

func start(n int, event string) target.Start {
	return target.Start{Task: task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: n}, Payload: json.RawMessage(event)}, Attempt: 2, Event: []byte(event)}
}

func TestAnUnreadableMessageIsBuriedUnchangedWithTheReason(t *testing.T) {
	f := &fake{}

	require.NoError(t, queues.Graveyard{API: f, URL: "https://dead"}.Bury(context.Background(), "nonsense", "no JSON"))

	require.Equal(t, []*sqs.SendMessageInput{{QueueUrl: aws.String("https://dead"), MessageBody: aws.String("nonsense"),
		MessageAttributes: map[string]types.MessageAttributeValue{"reason": {DataType: aws.String("String"), StringValue: aws.String("no JSON")}}}}, f.sent)
	f.err = errors.New("access denied")
	require.EqualError(t, queues.Graveyard{API: f}.Bury(context.Background(), "x", "y"), "sending an unreadable message to the dead letters, access denied")
}

func TestALongReasonIsCutBetweenCharacters(t *testing.T) {
	f := &fake{}

	require.NoError(t, queues.Graveyard{API: f}.Bury(context.Background(), "nonsense", "x"+strings.Repeat("ä", 1000)))

	reason := *f.sent[0].MessageAttributes["reason"].StringValue
	require.LessOrEqual(t, len(reason), 1000)
	require.True(t, utf8.ValidString(reason))
}

func TestALargeMessageIsBuriedWithAsMuchOfTheReasonAsFits(t *testing.T) {
	for _, left := range []int{0, 5, 12, 13, 500} {
		f := &fake{}
		body := strings.Repeat("x", 1<<20-left)

		require.NoError(t, queues.Graveyard{API: f}.Bury(context.Background(), body, strings.Repeat("y", 2000)))

		size := len(*f.sent[0].MessageBody)
		for name, v := range f.sent[0].MessageAttributes {
			require.NotEmpty(t, *v.StringValue)
			size += len(name) + len(*v.DataType) + len(*v.StringValue)
		}
		require.LessOrEqual(t, size, 1<<20)
		require.Equal(t, body, *f.sent[0].MessageBody)
	}
}

func TestACommandIsSentAsAnEventThatTheNextSchedulerReads(t *testing.T) {
	f := &fake{}
	sent := event.Envelope{ID: "e-1", Source: "shop", DetailType: event.ReplayTasks, Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Detail: json.RawMessage(`{"job_id":"nightly"}`)}

	require.NoError(t, queues.Jobs{Graveyard: queues.Graveyard{API: f}, URL: "https://jobs"}.Continue(context.Background(), sent))

	require.Equal(t, "https://jobs", *f.sent[0].QueueUrl)
	e, err := event.Read([]byte(*f.sent[0].MessageBody))
	require.NoError(t, err)
	require.Equal(t, sent, e)
	f.err = errors.New("access denied")
	require.EqualError(t, queues.Jobs{Graveyard: queues.Graveyard{API: f}}.Continue(context.Background(), sent), "sending ReplayTasks e-1 to the next scheduler, access denied")
}

// TestG6TasksAreSentTenAtATimeInTheirOrder covers standard queues.
func TestG6TasksAreSentTenAtATimeInTheirOrder(t *testing.T) {
	f := &fake{}
	var starts []target.Start
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
			require.Nil(t, e.MessageGroupId, "a standard queue has no groups")
			require.Nil(t, e.MessageDeduplicationId)
			next++
		}
	}
	require.Equal(t, 25, next)
}

func TestABatchStaysWithinTheLimitsOfAQueue(t *testing.T) {
	f := &fake{}
	var starts []target.Start
	for n := range 8 {
		starts = append(starts, start(n, strings.Repeat("x", 300<<10)))
	}
	starts = append(starts, start(8, strings.Repeat("x", 1<<20)), start(9, strings.Repeat("x", 1<<20+1)))

	errs := queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), starts)

	require.NoError(t, errors.Join(errs[:9]...))
	var refusal *target.Refusal
	require.ErrorAs(t, errs[9], &refusal)
	require.Equal(t, "PayloadTooLarge", refusal.Type)
	require.Equal(t, "the message would have 1048577 bytes; a queue accepts 1048576", refusal.Reason)
	for _, batch := range f.batches {
		size := 0
		for _, e := range batch.Entries {
			size += len(*e.MessageBody)
		}
		require.LessOrEqual(t, size, 1<<20)
	}
}

// TestG4AFIFOQueueGetsAnAttemptOnceAndItsGroup covers the deduplication id and the group.
func TestG4AFIFOQueueGetsAnAttemptOnceAndItsGroup(t *testing.T) {
	for name, c := range map[string]struct{ key, payload, group string }{ // group "": a hash of the value
		"the labourer":                   {"", `{"store": "x"}`, "f"},
		"an attribute of text":           {"store", `{"store": "x"}`, "x"},
		"an attribute that is a number":  {"store", `{"store": 7}`, "7"},
		"a missing attribute":            {"store", `{"shop": "x"}`, "f"},
		"a payload that is no object":    {"store", `[]`, "f"},
		"a value that is no valid group": {"store", `{"store": "with space"}`, ""},
		"a value that is too long":       {"store", `{"store": "` + strings.Repeat("x", 129) + `"}`, ""},
		"the longest valid group":        {"store", `{"store": "` + strings.Repeat("x", 128) + `"}`, strings.Repeat("x", 128)},
		"an attribute that is empty":     {"store", `{"store": ""}`, ""},
		"an attribute of several stores": {"stores", `{"stores": ["a","b"]}`, `["a","b"]`},
	} {
		t.Run(name, func(t *testing.T) {
			f, l := &fake{}, worker("https://sqs/f.fifo")
			l.GroupKey = c.key

			errs := queues.Starter{API: f}.Start(context.Background(), l, []target.Start{start(7, c.payload)})

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

// TestG8ARefusedTaskIsDistinguishedFromATroubledTarget also requires that each error is at the index of its start.
func TestG8ARefusedTaskIsDistinguishedFromATroubledTarget(t *testing.T) {
	sender := func(code, message string) types.BatchResultErrorEntry {
		return types.BatchResultErrorEntry{SenderFault: true, Code: aws.String(code), Message: aws.String(message)}
	}
	for name, c := range map[string]struct {
		failed types.BatchResultErrorEntry
		want   string
	}{
		"characters":                     {sender("InvalidMessageContents", "characters"), "InvalidPayload"},
		"the queue's own limit":          {sender("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 65536 bytes."), "PayloadTooLarge"},
		"another fault of the message":   {sender("InvalidParameterValue", "Value for parameter DelaySeconds is invalid."), "Refused, may be retried"},
		"a missing permission":           {sender("AccessDenied", "no"), "trouble"},
		"a forbidden key":                {sender("KMS.AccessDeniedException", "no"), "trouble"},
		"a fault of the service":         {types.BatchResultErrorEntry{Code: aws.String("InternalError"), Message: aws.String("later")}, "trouble"},
		"too much to do":                 {types.BatchResultErrorEntry{Code: aws.String("RequestThrottled"), Message: aws.String("later")}, "throttled"},
		"a missing queue":                {sender("AWS.SimpleQueueService.NonExistentQueue", "gone"), "trouble"},
		"characters, with the old codes": {sender("AWS.SimpleQueueService.InvalidMessageContents", "characters"), "InvalidPayload"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{fails: map[string]types.BatchResultErrorEntry{`"odd"`: c.failed}}

			errs := queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), []target.Start{start(0, `"fine"`), start(1, `"odd"`), start(2, `"fine too"`)})

			require.Equal(t, []string{"started", c.want, "started"}, kinds(errs))
			require.ErrorContains(t, errs[1], "queue https://sqs/f refused the message: "+*c.failed.Code+": "+*c.failed.Message)
		})
	}
}

// TestG8ABatchThatIsRefusedForOneMessageIsSentAgainOneByOne: SQS may refuse a whole batch because of one of its messages.
func TestG8ABatchThatIsRefusedForOneMessageIsSentAgainOneByOne(t *testing.T) {
	for name, c := range map[string]struct {
		err  smithy.APIError
		want string
	}{
		"characters": {&types.InvalidMessageContents{Message: aws.String("characters")}, "InvalidPayload"},
		"size":       {&smithy.GenericAPIError{Code: "AWS.SimpleQueueService.BatchRequestTooLong", Message: "too long"}, "PayloadTooLarge"},
	} {
		for _, url := range []string{"https://sqs/f", "https://sqs/f.fifo"} {
			t.Run(name+url, func(t *testing.T) {
				f := &fake{refuses: map[string]error{`"odd"`: c.err}}

				errs := queues.Starter{API: f}.Start(context.Background(), worker(url), []target.Start{start(0, `"fine"`), start(1, `"odd"`), start(2, `"fine too"`)})

				require.Equal(t, []string{"started", c.want, "started"}, kinds(errs))
				require.Len(t, f.batches, 4)
			})
		}
	}
}

// TestG6NoMessageOvertakesOneThatAFIFOQueueDidNotAccept: a standard queue keeps no order.
func TestG6NoMessageOvertakesOneThatAFIFOQueueDidNotAccept(t *testing.T) {
	for name, c := range map[string]struct {
		url   string
		fault types.BatchResultErrorEntry
		want  string // the result of the messages behind the batch
	}{
		"a FIFO queue":           {"https://sqs/f.fifo", types.BatchResultErrorEntry{Code: aws.String("InternalError")}, "unsent"},
		"what can never be sent": {"https://sqs/f.fifo", types.BatchResultErrorEntry{SenderFault: true, Code: aws.String("InvalidMessageContents")}, "started"},
		"a standard queue":       {"https://sqs/f", types.BatchResultErrorEntry{Code: aws.String("InternalError")}, "started"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{fails: map[string]types.BatchResultErrorEntry{`"odd"`: c.fault}}
			starts := []target.Start{start(0, `"odd"`)}
			for n := 1; n < 25; n++ {
				starts = append(starts, start(n, fmt.Sprint(n)))
			}

			got := kinds(queues.Starter{API: f}.Start(context.Background(), worker(c.url), starts))

			require.Equal(t, "started", got[9], "it was in the same batch")
			for n := 10; n < 25; n++ {
				require.Equal(t, c.want, got[n], n)
			}
		})
	}
}

// TestAMessageHasNoCharacterThatAQueueRefuses, though JSON allows such characters.
func TestAMessageHasNoCharacterThatAQueueRefuses(t *testing.T) {
	f := &fake{}
	const text, escaped = "{\"a\":\"x\uFFFF\uFFFE\"}", `{"a":"x\uffff\ufffe"}`

	require.NoError(t, errors.Join(queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), []target.Start{start(0, text)})...))
	require.NoError(t, queues.Jobs{Graveyard: queues.Graveyard{API: f}, URL: "https://jobs"}.Continue(context.Background(), event.Envelope{ID: "e", Detail: json.RawMessage(text)}))
	require.NoError(t, queues.Graveyard{API: f}.Bury(context.Background(), "nonsense", "found \uFFFF and \x00 there"))

	require.Equal(t, escaped, *f.batches[0].Entries[0].MessageBody)
	require.Contains(t, *f.sent[0].MessageBody, escaped)
	require.Equal(t, "found \uFFFD and \uFFFD there", *f.sent[1].MessageAttributes["reason"].StringValue)
}

func TestAFailingQueueIsTroubleForItsWholeBatch(t *testing.T) {
	f := &fake{err: errors.New("no such queue")}
	require.Equal(t, []string{"trouble", "trouble"}, kinds(queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), []target.Start{start(0, `1`), start(1, `2`)})))

	f.err = &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	require.Equal(t, []string{"throttled", "throttled"}, kinds(queues.Starter{API: f}.Start(context.Background(), worker("https://sqs/f"), []target.Start{start(0, `1`), start(1, `2`)})))
}

func kinds(errs []error) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		var refusal *target.Refusal
		var throttled *target.Throttled
		var unsent *target.Unsent
		switch {
		case err == nil:
			out[i] = "started"
		case errors.As(err, &unsent):
			out[i] = "unsent"
		case errors.As(err, &refusal) && refusal.Retryable:
			out[i] = refusal.Type + ", may be retried"
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

func TestTheAnswerToABatchHasAListEvenIfNothingFailed(t *testing.T) {
	for want, ids := range map[string][]string{
		`{"batchItemFailures":[]}`: nil,
		`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}`: {"a", "b"},
	} {
		text, err := json.Marshal(queues.Failures(ids))
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}

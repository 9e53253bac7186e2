package fakeaws

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

var midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func until(w *World, end time.Duration) {
	for next := w.Next(); next != nil && !next.At.After(midnight.Add(end)); next = w.Next() {
		w.Step()
	}
	w.Advance(midnight.Add(end))
}

func TestAMessageThatIsNotTakenIsRedeliveredAndThenDeadLettered(t *testing.T) {
	w := NewWorld(midnight)
	s := NewSQS(w)
	s.Create("dead", Queue{})
	s.Create("jobs", Queue{Visibility: time.Minute, MaxReceives: 3, DeadLetters: "dead"})
	var receives []int
	s.Map("jobs", Consumer{Batch: 10, Most: 1, Take: func(batch []Received, done func([]string, error)) {
		receives = append(receives, batch[0].Receives)
		done([]string{batch[0].ID}, nil)
	}})
	_, err := s.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String("jobs"), MessageBody: aws.String("hello")})
	require.NoError(t, err)

	until(w, 2*time.Minute)
	require.Equal(t, []int{1, 2, 3}, receives)
	require.Empty(t, s.Letters("dead"))
	until(w, 3*time.Minute)
	require.Len(t, receives, 3)
	require.Equal(t, "hello", s.Letters("dead")[0].Body)
	require.Empty(t, s.Letters("jobs"))
}

func TestOnlyTheFailedMessagesOfABatchAreRedelivered(t *testing.T) {
	w := NewWorld(midnight)
	s := NewSQS(w)
	s.Create("jobs", Queue{Visibility: time.Minute})
	taken := map[string]int{}
	s.Map("jobs", Consumer{Batch: 10, Most: 5, Take: func(batch []Received, done func([]string, error)) {
		var failed []string
		for _, m := range batch {
			if taken[m.Body]++; m.Body == "bad" && taken[m.Body] < 3 {
				failed = append(failed, m.ID)
			}
		}
		done(failed, nil)
	}})
	for _, body := range []string{"good", "bad"} {
		_, err := s.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String("jobs"), MessageBody: aws.String(body)})
		require.NoError(t, err)
	}
	until(w, time.Hour)
	require.Equal(t, map[string]int{"good": 1, "bad": 3}, taken)
	require.Empty(t, s.Letters("jobs"))
}

func TestAConsumerWorksOnNoMoreBatchesThanItMay(t *testing.T) {
	w := NewWorld(midnight)
	s := NewSQS(w)
	s.Create("jobs", Queue{Visibility: time.Hour})
	var ends []func([]string, error)
	s.Map("jobs", Consumer{Batch: 1, Most: 2, Take: func(_ []Received, done func([]string, error)) { ends = append(ends, done) }})
	for range 3 {
		_, err := s.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String("jobs"), MessageBody: aws.String("x")})
		require.NoError(t, err)
	}
	until(w, time.Minute)
	require.Len(t, ends, 2)
	ends[0](nil, nil)
	until(w, 2*time.Minute)
	require.Len(t, ends, 3)
}

func TestMessagesAreGatheredToBatches(t *testing.T) {
	w := NewWorld(midnight)
	s := NewSQS(w)
	s.Create("jobs", Queue{})
	var batches []int
	s.Map("jobs", Consumer{Batch: 10, Most: 5, Take: func(batch []Received, done func([]string, error)) {
		batches = append(batches, len(batch))
		done(nil, nil)
	}})
	s.Gather("jobs", time.Second, 4)
	for range 6 {
		_, err := s.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String("jobs"), MessageBody: aws.String("hello")})
		require.NoError(t, err)
	}

	until(w, 900*time.Millisecond)
	require.Equal(t, []int{4}, batches, "a full batch does not wait")
	until(w, 2*time.Second)
	require.Equal(t, []int{4, 2}, batches)
	require.Empty(t, s.Letters("jobs"))
}

func TestABatchOfMessagesIsHeldToItsLimits(t *testing.T) {
	s := NewSQS(NewWorld(midnight))
	s.Create("jobs", Queue{})
	send := func(entries ...types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
		return s.SendMessageBatch(context.Background(), &sqs.SendMessageBatchInput{QueueUrl: aws.String("jobs"), Entries: entries})
	}
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
	}
	_, err := send()
	require.ErrorAs(t, err, new(*types.EmptyBatchRequest))
	_, err = send(entry("a", "x"), entry("a", "y"))
	require.ErrorAs(t, err, new(*types.BatchEntryIdsNotDistinct))
	out, err := send(entry("a", "x"), entry("b", "\x00"))
	require.NoError(t, err)
	require.Len(t, out.Successful, 1)
	require.Equal(t, "InvalidMessageContents", *out.Failed[0].Code)
	require.True(t, out.Failed[0].SenderFault)
}

func TestAFIFOQueueTakesADeduplicationIDOnce(t *testing.T) {
	w := NewWorld(midnight)
	s := NewSQS(w)
	s.Create("tasks.fifo", Queue{})
	send := func() {
		_, err := s.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String("tasks.fifo"), MessageBody: aws.String("x"), MessageDeduplicationId: aws.String("1")})
		require.NoError(t, err)
	}
	send()
	send()
	require.Len(t, s.Letters("tasks.fifo"), 1)
	w.Advance(midnight.Add(6 * time.Minute))
	send()
	require.Len(t, s.Letters("tasks.fifo"), 2)
}

func TestAStateIsTriedAgainAndThenItsErrorIsCaught(t *testing.T) {
	w := NewWorld(midnight)
	s := NewStepFunctions(w)
	var tried []time.Duration
	s.Call = func(_ string, _ any, done func(any, *Failure)) {
		tried = append(tried, w.Now().Sub(midnight))
		done(nil, &Failure{Type: "Busy", Message: "later"})
	}
	x := &execution{service: s, machine: &machine{}, name: "x", startedAt: midnight}
	var ended any
	one := &thread{execution: x, done: func(output any, failure *Failure) {
		require.Nil(t, failure)
		ended = output
	}, states: map[string]*aslState{
		"Try": {Type: "Task", Next: "Done", Retry: []aslRetrier{{ErrorEquals: []string{"Busy"}, IntervalSeconds: 1, BackoffRate: 3, MaxAttempts: aws.Int(2)}},
			Catch: []aslCatcher{{ErrorEquals: []string{"States.ALL"}, ResultPath: aws.String("$.failed"), Next: "Done"}}},
		"Done": {Type: "Succeed"},
	}}
	one.enter("Try", map[string]any{"kept": 1.0})
	until(w, time.Minute)
	require.Equal(t, []time.Duration{0, time.Second, 4 * time.Second}, tried)
	require.Equal(t, map[string]any{"kept": 1.0, "failed": map[string]any{"Error": "Busy", "Cause": "later"}}, ended)
}

func TestAMapRunsNoMoreItemsAtOnceThanItMay(t *testing.T) {
	w := NewWorld(midnight)
	s := NewStepFunctions(w)
	running, most := 0, 0
	s.Call = func(_ string, input any, done func(any, *Failure)) {
		running++
		most = max(most, running)
		w.At(w.Now().Add(time.Second), Timer, "work", func() {
			running--
			done(input, nil)
		})
	}
	var ended any
	one := &thread{execution: &execution{service: s, machine: &machine{}, startedAt: midnight}, done: func(output any, _ *Failure) { ended = output },
		states: map[string]*aslState{"Each": {Type: "Map", End: true, ItemsPath: "$.items", MaxConcurrency: 2, ItemSelector: map[string]any{"n.$": "$$.Map.Item.Value"},
			ItemProcessor: asl{StartAt: "Work", States: map[string]*aslState{"Work": {Type: "Task", End: true}}}}}}
	one.enter("Each", map[string]any{"items": []any{1.0, 2.0, 3.0}})
	until(w, time.Minute)
	require.Equal(t, 2, most)
	require.Equal(t, []any{map[string]any{"n": 1.0}, map[string]any{"n": 2.0}, map[string]any{"n": 3.0}}, ended)
}

// TestAQueueTakesAsMuchAsItsOwnerAllows, and refuses more as AWS does: the entry is its sender's fault.
func TestAQueueTakesAsMuchAsItsOwnerAllows(t *testing.T) {
	s := NewSQS(NewWorld(midnight))
	s.Create("small", Queue{MaxMessage: 64 << 10})
	url, fits, large := aws.String("small"), strings.Repeat("x", 64<<10), strings.Repeat("x", 64<<10+1)

	out, err := s.SendMessageBatch(context.Background(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("0"), MessageBody: &fits}, {Id: aws.String("1"), MessageBody: &large}}})

	require.NoError(t, err)
	require.Len(t, out.Successful, 1)
	require.Equal(t, types.BatchResultErrorEntry{Id: aws.String("1"), SenderFault: true, Code: aws.String("InvalidParameterValue"),
		Message: aws.String("One or more parameters are invalid. Reason: Message must be shorter than 65536 bytes.")}, out.Failed[0])
	_, err = s.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: &large})
	require.ErrorContains(t, err, "InvalidParameterValue")
}

func TestAQueueCountsWhatWaitsWhatIsDelayedAndWhatIsHidden(t *testing.T) {
	w := NewWorld(midnight)
	s := NewSQS(w)
	s.Create("work", Queue{Visibility: 10 * time.Minute, Delay: time.Minute, Retention: time.Hour})
	counts := func() []string {
		out, err := s.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String("work"), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		require.NoError(t, err)
		return []string{out.Attributes["ApproximateNumberOfMessages"], out.Attributes["ApproximateNumberOfMessagesDelayed"], out.Attributes["ApproximateNumberOfMessagesNotVisible"]}
	}
	for range 3 {
		_, err := s.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String("work"), MessageBody: aws.String("x")})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"0", "3", "0"}, counts())

	until(w, time.Minute)
	require.Equal(t, []string{"3", "0", "0"}, counts())

	_, err := s.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("work")})
	require.NoError(t, err)
	require.Equal(t, []string{"2", "0", "1"}, counts())

	until(w, 2*time.Hour)
	require.Equal(t, []string{"0", "0", "0"}, counts(), "it keeps them for an hour")
}

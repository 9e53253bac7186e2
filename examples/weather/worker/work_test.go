package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/weather/data"
	"github.com/drover-run/drover/shared/worker"
)

// shelf is a bucket named "b" with the data under the key "k".
type shelf struct{}

func (shelf) open(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	if bucket != "b" || key != "k" {
		return nil, errors.New("no such object")
	}
	return io.NopCloser(bytes.NewReader(data.CSV)), nil
}

// perform runs the worker on a payload like the Lambda function, and returns the completion that it sends.
func perform(t *testing.T, attempt int, payload string) (sent map[string]any) {
	t.Helper()
	var outbox outbox
	handler := worker.Handler(summing{shelf{}}.work, worker.WithSender(&outbox), worker.Logger(slog.New(slog.DiscardHandler)))
	var event map[string]any
	require.NoError(t, json.Unmarshal([]byte(payload), &event))
	event["drover"] = map[string]any{
		"version": 1, "task_id": "t.1", "job_id": "j", "labourer_id": "weather", "attempt": attempt,
		"deadline": time.Now().Add(time.Minute), "completions_url": "https://sqs.eu-west-1.amazonaws.com/000000000000/completions",
	}
	text, err := json.Marshal(event)
	require.NoError(t, err)
	_, err = handler.Invoke(t.Context(), text)
	require.NoError(t, err)
	require.Len(t, outbox, 1)
	require.NoError(t, json.Unmarshal([]byte(outbox[0]), &sent))
	return sent
}

type outbox []string

func (o *outbox) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	*o = append(*o, *in.MessageBody)
	return &sqs.SendMessageOutput{}, nil
}

const week = `"date_list":["2012-01-01","2012-01-02","2012-01-03","2012-01-04","2012-01-05","2012-01-06","2012-01-07"]`

func TestTheWorkerSumsUpWhatItsTaskNames(t *testing.T) {
	sent := perform(t, 1, `{"bucket":"b","key":"k",`+week+`,"elements":["temperature"],"measures":["temp_max"],"isolate_months":true}`)

	require.Equal(t, "completed", sent["status"])
	result, err := json.Marshal(sent["result"])
	require.NoError(t, err)
	require.JSONEq(t, `{"temp_max":{"days":7,"min":4.4,"min_on":"2012-01-06","max":12.8,"max_on":"2012-01-01","sum":67.8,"mean":9.686}}`, string(result))
	require.Equal(t, map[string]any{"records_read": 1461.0, "records_used": 7.0}, sent["stats"])
}

func TestTheWorkerFailsIfThePayloadAsksForIt(t *testing.T) {
	const failing = `{"bucket":"b","key":"k",` + week + `,"measures":["temp_max"],"fail_first":[{"measure":"temp_max","date":"2012-01-04"}]}`
	const elsewhere = `{"bucket":"b","key":"k",` + week + `,"measures":["wind"],"fail_first":[{"measure":"temp_max","date":"2012-01-04"}]}`
	const poisoned = `{"bucket":"b","key":"k",` + week + `,"measures":["wind"],"poison":[{"measure":"wind","date":"2012-01-01"}]}`
	for name, c := range map[string]struct {
		attempt   int
		payload   string
		status    string
		kind      string
		retryable bool
	}{
		"the first attempt fails":           {1, failing, "failed", "FailFirst", true},
		"the second succeeds":               {2, failing, "completed", "", false},
		"another task's first succeeds":     {1, elsewhere, "completed", "", false},
		"a poisoned task is not retried":    {1, poisoned, "failed", "Poison", false},
		"a poisoned task fails at any time": {3, poisoned, "failed", "Poison", false},
	} {
		t.Run(name, func(t *testing.T) {
			sent := perform(t, c.attempt, c.payload)
			require.Equal(t, c.status, sent["status"])
			if c.status == "failed" {
				require.Equal(t, c.kind, sent["error"].(map[string]any)["type"])
				require.Equal(t, c.retryable, sent["retryable"])
			}
		})
	}
}

func TestTheWorkerRefusesAPayloadThatItCannotProcess(t *testing.T) {
	for name, c := range map[string]struct{ payload, message string }{
		"no bucket":             {`{"key":"k",` + week + `,"measures":["wind"]}`, "bucket is missing"},
		"no key":                {`{"bucket":"b",` + week + `,"measures":["wind"]}`, "key is missing"},
		"no dates":              {`{"bucket":"b","key":"k","measures":["wind"]}`, "date_list is empty"},
		"no measures":           {`{"bucket":"b","key":"k",` + week + `}`, "measures is empty"},
		"no such measure":       {`{"bucket":"b","key":"k",` + week + `,"measures":["snow"]}`, `measure is "snow"`},
		"no such day":           {`{"bucket":"b","key":"k","date_list":["1999-01-01"],"measures":["wind"]}`, `no record of "1999-01-01"`},
		"dates of a wrong type": {`{"bucket":"b","key":"k","date_list":7,"measures":["wind"]}`, "cannot unmarshal number"},
	} {
		t.Run(name, func(t *testing.T) {
			sent := perform(t, 1, c.payload)
			require.Equal(t, "failed", sent["status"])
			require.Equal(t, "BadInput", sent["error"].(map[string]any)["type"])
			require.Contains(t, sent["error"].(map[string]any)["message"], c.message)
			require.Equal(t, false, sent["retryable"])
		})
	}
}

func TestUnreadableDataMayBeReadableAtTheNextAttempt(t *testing.T) {
	sent := perform(t, 1, `{"bucket":"elsewhere","key":"k",`+week+`,"measures":["wind"]}`)

	require.Equal(t, "failed", sent["status"])
	require.Equal(t, "opening s3://elsewhere/k: no such object", sent["error"].(map[string]any)["message"])
	require.Equal(t, true, sent["retryable"])
}

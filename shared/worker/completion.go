package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"
)

// MaxCompletionBytes is the most that a completion message may measure: 256 KiB. SQS would carry 1 MiB, but what follows
// (EventBridge's and Step Functions' limits, queues created before SQS's limit was raised) would not.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const MaxCompletionBytes = 256 * 1024

// Result is what a function returns that has figures to report besides its result. Stats are added to those of
// [Task.Stats] and win over them.
type Result struct {
	Value any
	Stats map[string]any
}

const (
	statusCompleted = "completed"
	statusFailed    = "failed"
	statusRunning   = "running"
)

// completion is the message that reports how an attempt stands. The order of the fields is that of the text.
type completion struct {
	Version    int             `json:"version"`
	TaskID     string          `json:"task_id"`
	Attempt    int             `json:"attempt"`
	Status     string          `json:"status"`
	Result     json.RawMessage `json:"result,omitempty"`
	Stats      map[string]any  `json:"stats,omitempty"`
	Error      *failure        `json:"error,omitempty"`
	Retryable  *bool           `json:"retryable,omitempty"`
	RetryAfter string          `json:"retry_after,omitempty"`
}

func running(task Task) []byte {
	return mustEncode(completion{Version: Version, TaskID: task.ID, Attempt: task.Attempt, Status: statusRunning})
}

// completed is the text of a success; an error if the result cannot be sent at all, in which case it is the attempt's failure.
func completed(task Task, value any, stats map[string]any) ([]byte, error) {
	if result, ok := value.(Result); ok {
		value, stats = result.Value, merged(stats, result.Stats)
	}
	c := completion{Version: Version, TaskID: task.ID, Attempt: task.Attempt, Status: statusCompleted, Stats: stats}
	if value != nil {
		result, err := encode(value)
		if err != nil {
			return nil, Permanent(Errorf("BadResult", "result is no JSON: %w", err))
		}
		c.Result = result
	}
	text, err := encode(c)
	if err != nil {
		return nil, Permanent(Errorf("BadResult", "stats are no JSON: %w", err))
	}
	if len(text) > MaxCompletionBytes {
		return nil, Permanent(Errorf("ResultTooLarge",
			"completion of %d bytes (result %d) is over the limit of %d: store the result, in S3 for instance, and return its key",
			len(text), len(c.Result), MaxCompletionBytes))
	}
	return text, nil
}

// failed is the text of a failure. It always exists: stats that cannot be sent with it are left out, as a number of
// them must not hide why the run failed.
func failed(task Task, err error, stats map[string]any) []byte {
	retryable := !isPermanent(err)
	c := completion{
		Version: Version, TaskID: task.ID, Attempt: task.Attempt, Status: statusFailed,
		Stats: stats, Error: describe(err), Retryable: &retryable,
	}
	if delay, asked := delayOf(err); asked && retryable {
		c.RetryAfter = seconds(delay)
	}
	text, encodeErr := encode(c)
	if encodeErr != nil || len(text) > MaxCompletionBytes {
		c.Stats = nil
		return mustEncode(c)
	}
	return text
}

// seconds writes a duration as Drover reads it, "90s" rather than Go's "1m30s", so that other readers need no parser.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

func merged(base, over map[string]any) map[string]any {
	all := make(map[string]any, len(base)+len(over))
	maps.Copy(all, base)
	maps.Copy(all, over)
	return all
}

// encode is json.Marshal without HTML escaping, which would make six bytes of each < and >.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// mustEncode is for values whose types cannot fail to encode.
func mustEncode(v any) []byte {
	text, err := encode(v)
	if err != nil {
		panic(fmt.Sprintf("worker: encoding %T: %v", v, err))
	}
	return text
}

package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/escape"
)

// The limits of a completion, in bytes of JSON: 256 KiB for the result and 16 KiB for stats. Both share a DynamoDB item of 400 KB with the payload.
// SQS allows the message itself 1 MiB.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	MaxResultBytes = 256 << 10
	MaxStatsBytes  = 16 << 10
)

// Result lets a function return figures in addition to its result. Stats are added to those of [Task.Stats] and override them.
type Result struct {
	Value any
	Stats map[string]any
}

const (
	statusCompleted = "completed"
	statusFailed    = "failed"
	statusRunning   = "running"
)

// completion reports how an attempt stands. The fields have the order of the message's text.
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

// completed returns the text of a success, or an error if the result cannot be sent at all; the attempt then fails with that error.
func completed(task Task, value any, stats map[string]any) ([]byte, error) {
	if result, ok := value.(Result); ok {
		value, stats = result.Value, merged(stats, result.Stats)
	}
	c := completion{Version: Version, TaskID: task.ID, Attempt: task.Attempt, Status: statusCompleted, Stats: stats}
	if value != nil {
		result, err := encode(value)
		if err != nil {
			return nil, Permanent(Errorf("BadResult", "result cannot be encoded as JSON: %w", err))
		}
		if c.Result = escape.JSON(result); len(c.Result) > MaxResultBytes {
			return nil, Permanent(Errorf("ResultTooLarge", "result of %d bytes is over the limit of %d: store it, in S3 for instance, and return its key",
				len(c.Result), MaxResultBytes))
		}
	}
	if figures, err := encode(stats); err != nil {
		return nil, Permanent(Errorf("BadResult", "stats cannot be encoded as JSON: %w", err))
	} else if len(escape.JSON(figures)) > MaxStatsBytes {
		return nil, Permanent(Errorf("ResultTooLarge", "stats of %d bytes are over the limit of %d", len(figures), MaxStatsBytes))
	}
	return mustEncode(c), nil
}

// failed returns the text of a failure. It always succeeds: it omits stats that cannot be sent, because they must not hide why the run failed.
func failed(task Task, err error, stats map[string]any) []byte {
	retryable := !isPermanent(err)
	c := completion{
		Version: Version, TaskID: task.ID, Attempt: task.Attempt, Status: statusFailed,
		Stats: stats, Error: describe(err), Retryable: &retryable,
	}
	if delay, asked := delayOf(err); asked && retryable {
		c.RetryAfter = seconds(delay)
	}
	if figures, encodeErr := encode(stats); encodeErr != nil || len(escape.JSON(figures)) > MaxStatsBytes {
		c.Stats = nil
	}
	return mustEncode(c)
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

// encode is like json.Marshal, but without HTML escaping, which would make six bytes of each < and >.
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

// Package archive makes the lasting record of ended tasks: compressed JSON lines, by labourer and day.
package archive

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/task"
)

// Record holds one whole life of a task.
type Record struct {
	TaskID    string          `json:"task_id"`
	JobID     string          `json:"job_id"`
	Labourer  string          `json:"labourer_id"`
	Status    task.Status     `json:"status"`
	Attempt   int             `json:"attempt"`
	CreatedAt time.Time       `json:"created_at"`
	ClosedAt  *time.Time      `json:"closed_at,omitempty"`
	Payload   json.RawMessage `json:"payload"`
	Attempts  []task.Attempt  `json:"attempts"`
	Result    json.RawMessage `json:"result,omitempty"`
	Stats     json.RawMessage `json:"stats,omitempty"`
	Life      int             `json:"life,omitempty"`
	ReplayOf  int             `json:"replay_of,omitempty"` // the last attempt of its previous life

	TraceParent string `json:"traceparent,omitempty"`  // of its job
	SoswTaskID  string `json:"sosw_task_id,omitempty"` // of a task that was moved from a sosw
}

// RecordOf returns the record of a task that has ended.
func RecordOf(t task.Task) Record {
	r := Record{TaskID: t.ID.String(), JobID: t.JobID, Labourer: t.Labourer, Status: t.Status, Attempt: t.Attempt, CreatedAt: t.CreatedAt.UTC(),
		Payload: t.Payload, Attempts: t.Attempts, Result: t.Result, Stats: t.Stats, Life: t.Life, ReplayOf: t.LifeAttempt,
		TraceParent: t.Trace.Parent()}
	if r.Attempts == nil {
		r.Attempts = []task.Attempt{}
	}
	if t.Origin != nil {
		r.SoswTaskID = t.Origin.TaskID
	}
	if !t.ClosedAt.IsZero() {
		at := t.ClosedAt.UTC()
		r.ClosedAt = &at
	}
	return r
}

// Object is a file of records.
type Object struct {
	Key  string
	Body []byte
}

// Objects returns the files of ended tasks: one for each labourer and day. The same tasks make the same files, so a batch that is archived again
// overwrites itself. A part of the batch makes another file with the same records; the view in infra/athena.sql counts each life once.
func Objects(tasks []task.Task) ([]Object, error) {
	groups := map[string][]task.Task{}
	for _, t := range tasks {
		prefix := Prefix(t.Labourer, t.ClosedAt)
		groups[prefix] = append(groups[prefix], t)
	}
	var out []Object
	for _, prefix := range slices.Sorted(maps.Keys(groups)) {
		o, err := object(prefix, groups[prefix])
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// Prefix returns the prefix of the records of a labourer's tasks that ended on this day (UTC).
func Prefix(labourer string, day time.Time) string {
	return fmt.Sprintf("labourer=%s/date=%s/", labourer, day.UTC().Format(time.DateOnly))
}

// writers is a pool, because a new compressor allocates 800 KB.
var writers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func object(prefix string, tasks []task.Task) (Object, error) {
	lines := make(map[string]task.Task, len(tasks))
	for _, t := range tasks {
		lines[fmt.Sprintf("%s/%d", t.ID, t.Life)] = t
	}
	name := sha256.New()
	var body bytes.Buffer
	z := writers.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool has nothing else
	defer writers.Put(z)
	z.Reset(&body)
	text := json.NewEncoder(z)
	text.SetEscapeHTML(false)
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintln(name, key)
		if err := text.Encode(RecordOf(lines[key])); err != nil {
			return Object{}, fmt.Errorf("encoding task %s for the archive, %w", key, err)
		}
	}
	if err := z.Close(); err != nil {
		return Object{}, fmt.Errorf("compressing %d tasks for the archive, %w", len(tasks), err)
	}
	return Object{Key: prefix + hex.EncodeToString(name.Sum(nil)[:12]) + ".jsonl.gz", Body: body.Bytes()}, nil
}

// Read reads the records of a file.
func Read(body []byte) ([]Record, error) {
	var out []Record
	for r, err := range Records(body) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Records yields the records of a file, of which one is in memory at a time. It ends at the first error.
func Records(body []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			yield(Record{}, fmt.Errorf("reading an archived file, %w", err))
			return
		}
		n := 0
		for d := json.NewDecoder(z); d.More(); {
			n++
			var line json.RawMessage
			var r Record
			err := d.Decode(&line)
			if err == nil {
				err = exact.Decode(line, &r)
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("reading record %d of an archived file, %w", n, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Root begins the keys of all files.
const Root = "labourer="

// LabourerOf returns the labourer of a file, by its key.
func LabourerOf(key string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, Root), "/")
	return name
}

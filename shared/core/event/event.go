// Package event defines the events on Drover's bus: commands that applications send, and facts that Drover publishes.
package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/escape"
	"github.com/drover-run/drover/shared/core/exact"
)

// Source names the source of Drover's own events.
const Source = "drover"

// Commands, by their detail-type. Any source may send them.
const (
	SubmitJob   = "SubmitJob"
	CancelJob   = "CancelJob"
	ReplayTasks = "ReplayTasks"
)

// ContinueJob passes a job to the next scheduler. A scheduler that runs out of time while it creates the job sends it, through the jobs queue and never
// over the bus.
const ContinueJob = "ContinueJob"

// Continue returns the ContinueJob of a job.
func Continue(jobID string) Envelope {
	detail, _ := json.Marshal(map[string]string{"job_id": jobID}) //nolint:errchkjson // strings always marshal
	return Envelope{ID: "continue/" + jobID, Source: Source, DetailType: ContinueJob, Detail: detail}
}

// MaxID limits the bytes of an event's id, which serves as a key if a command names none. EventBridge's own ids have 36.
const MaxID = 256

// Envelope is an event as EventBridge delivers it.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
type Envelope struct {
	ID         string          `json:"id"`
	Source     string          `json:"source"`
	DetailType string          `json:"detail-type"`
	Time       time.Time       `json:"time"`
	Detail     json.RawMessage `json:"detail"`
}

// Read reads an event. The error says what is missing.
func Read(text []byte) (Envelope, error) {
	var e Envelope
	if err := exact.Decode(text, &e); err != nil {
		return e, fmt.Errorf("not an event: %w", err)
	}
	switch {
	case e.DetailType == "":
		return e, fmt.Errorf("not an event: it has no detail-type")
	case e.ID == "":
		return e, fmt.Errorf("not an event: it has no id")
	case len(e.ID) > MaxID:
		return e, fmt.Errorf("not an event: its id has %d bytes; want at most %d", len(e.ID), MaxID)
	case len(bytes.TrimSpace(e.Detail)) == 0:
		return e, fmt.Errorf("not an event: it has no detail")
	}
	return e, nil
}

// Refused reports that a command can never be carried out. Its reason names the field and what is wanted.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }

// Fact describes something that happened. Its detail has an id, which is the same each time the fact is published.
type Fact struct {
	Type   string
	Detail any
}

type head struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

func heading(parts ...string) head { return head{ID: strings.Join(parts, "/"), Version: 1} }

// FieldError reports what is wrong with a command, and in which field.
type FieldError struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Bounded returns the error, with field and reason cut to the room in an event and in a record.
func (e FieldError) Bounded() FieldError {
	return FieldError{shorten(e.Field, rejectedField), shorten(e.Reason, rejectedReason)}
}

// TasksDue tells the orchestrator that there may be work to start for these labourers. It may be published at any time and any number of times.
func TasksDue(id string, labourers ...string) Fact {
	return Fact{"TasksDue", struct {
		head
		Labourers []string `json:"labourers"`
	}{heading("TasksDue", id), labourers}}
}

// The limits of the rejected job in an event, in bytes as sent. EventBridge accepts events of 1 MB, and so does a queue to which it delivers an event
// with its envelope. JSON writes some bytes as six.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
const (
	rejectedJob    = 1<<20 - 16<<10
	rejectedField  = 1 << 10
	rejectedReason = 4 << 10
)

// JobRejected reports that a job was rejected, with the reason and the job. jobID may be empty.
func JobRejected(jobID, fingerprint string, err FieldError, job []byte) Fact {
	return Fact{"JobRejected", struct {
		head
		JobID string     `json:"job_id,omitempty"`
		Error FieldError `json:"error"`
		Job   any        `json:"job"`
	}{heading("JobRejected", jobID, fingerprint), jobID, err.Bounded(), excerpt(job)}}
}

// excerpt returns the job itself if it is JSON and short enough, and otherwise the beginning of its text.
func excerpt(job []byte) any {
	if json.Valid(job) && sent(json.RawMessage(job)) <= rejectedJob {
		return json.RawMessage(job)
	}
	return shorten(strings.ToValidUTF8(string(job), "�"), rejectedJob)
}

// shorten returns the text, or the beginning of it that takes at most this many bytes as JSON.
func shorten(text string, most int) string {
	short := text
	for cut := most; sent(short) > most; cut /= 2 {
		short = text
		if cut < len(text) {
			end := cut
			for !utf8.RuneStart(text[end]) {
				end--
			}
			short = text[:end] + "…"
		}
	}
	return short
}

// sent returns how many bytes a value takes on the bus.
func sent(value any) int {
	text, _ := json.Marshal(value) //nolint:errchkjson // strings and valid JSON always marshal
	return len(escape.JSON(text))
}

// JobScheduled reports that all tasks of a job are created.
func JobScheduled(jobID, labourer string, tasks int) Fact {
	return Fact{"JobScheduled", struct {
		head
		JobID    string `json:"job_id"`
		Labourer string `json:"labourer_id"`
		Tasks    int    `json:"tasks"`
	}{heading("JobScheduled", jobID), jobID, labourer, tasks}}
}

// Totals holds how a job ended.
type Totals struct {
	JobID      string    `json:"job_id"`
	Labourer   string    `json:"labourer_id"`
	Total      int       `json:"total"`
	Completed  int       `json:"completed"`
	Dead       int       `json:"dead"`
	Cancelled  int       `json:"cancelled"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Generation int       `json:"generation"`
}

// JobEnded reports that every task of a job has ended: JobCompleted, or JobCancelled if the job was cancelled.
func JobEnded(t Totals, cancelled bool) Fact {
	kind := "JobCompleted"
	if cancelled {
		kind = "JobCancelled"
	}
	return Fact{kind, struct {
		head
		Totals
	}{heading(kind, t.JobID, strconv.Itoa(t.Generation)), t}}
}

// TaskError holds why an attempt failed.
type TaskError struct {
	Type    string `json:"type"`
	Message string `json:"message,omitempty"`
}

// TaskDead reports that a task will not be retried.
func TaskDead(taskID string, life int, jobID, labourer string, attempts int, err TaskError) Fact {
	return Fact{"TaskDead", struct {
		head
		TaskID   string    `json:"task_id"`
		JobID    string    `json:"job_id"`
		Labourer string    `json:"labourer_id"`
		Attempts int       `json:"attempts"`
		Error    TaskError `json:"error"`
	}{heading("TaskDead", taskID, strconv.Itoa(life)), taskID, jobID, labourer, attempts, err}}
}

// LabourerCapChanged reports that the cap of a labourer has changed that finds itself. since is when the cap before it began.
func LabourerCapChanged(labourer string, n adaptive.Noted, since time.Time) Fact {
	return Fact{"LabourerCapChanged", struct {
		head
		Labourer string `json:"labourer_id"`
		adaptive.Noted
	}{heading("LabourerCapChanged", labourer, strconv.FormatInt(since.UnixMilli(), 10), strconv.Itoa(n.To)), labourer, n}}
}

// LabourerHealthChanged reports that a labourer's health changed. Statuses are 0 (Bad) to 4 (High).
func LabourerHealthChanged(labourer string, from, to int, metrics any, at time.Time) Fact {
	return Fact{"LabourerHealthChanged", struct {
		head
		Labourer string `json:"labourer_id"`
		From     int    `json:"from"`
		To       int    `json:"to"`
		Metrics  any    `json:"metrics"`
	}{heading("LabourerHealthChanged", labourer, strconv.FormatInt(at.UnixMilli(), 10), strconv.Itoa(to)), labourer, from, to, metrics}}
}

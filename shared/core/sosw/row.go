// Package sosw decides what becomes of the tasks of a live sosw 0.7 when Drover takes over its labourers.
//
// sosw keeps a task in its tasks table while it is queued or runs, and in its retry table while it waits for another attempt. A row's place in
// the index of its table says which: the greenfield of a queued task lies in the past, that of an invoked one a year after its invocation; a
// row of the retry table has the time from which it may run. A row that was moved has no place any more, so that no query of sosw finds it and
// no condition of sosw's writes holds on it. It keeps its former place beside the id of the task that it has become.
package sosw

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/labourer"
)

// Table is one of sosw's tables.
type Table string

// The tables with tasks that have not ended.
const (
	Tasks   Table = "tasks"
	Retries Table = "retry"
)

// The attributes that a move adds to a row.
const (
	MovedTo = "drover_task_id" // the task that the row has become
	Was     = "drover_was"     // the row's former place
)

// Place returns the attribute with a row's place in the index by which sosw finds it.
func (t Table) Place() string {
	if t == Retries {
		return "desired_launch_time"
	}
	return "greenfield"
}

// InvocationDelta lies between the time of an invocation and its greenfield: sosw's default, 365.25 days.
const InvocationDelta = 31_557_600 * time.Second

// Attribute is an attribute of a row: its DynamoDB type (S, N, NULL, …), and its text if it is S or N.
type Attribute struct{ Kind, Text string }

// Key names a row.
type Key struct {
	Table    Table
	TaskID   string
	Labourer string // part of the key in the retry table
}

// Row is a row of sosw's tasks or retry table.
type Row struct {
	Key
	Place     int64 // see [Table.Place]
	Attempts  int   // that sosw has started
	CreatedAt time.Time
	Payload   json.RawMessage // a JSON object; nil in an inventory
	Completed bool            // the worker has reported its end, and sosw has not archived the row yet
	MovedTo   string          // the task of Drover that the row has become; "" if it is sosw's
	Was       int64           // the place of a row that was moved
	Problem   string          // why the row cannot be read; "" if it can
}

// Read reads a row. It puts what is wrong with the row into its Problem.
func Read(table Table, row map[string]Attribute) Row {
	r := Row{Key: Key{Table: table, TaskID: row["task_id"].Text, Labourer: row["labourer_id"].Text}, MovedTo: row[MovedTo].Text}
	_, r.Completed = row["completed_at"]
	if r.MovedTo != "" || r.Completed {
		r.Was, _ = wholeOf(row[Was], -maxPlace, maxPlace)
		return r
	}
	var problems []string
	problem := func(format string, a ...any) { problems = append(problems, fmt.Sprintf(format, a...)) }
	if row["labourer_id"].Kind != "S" || r.Labourer == "" {
		problem("labourer_id is missing; want the name of a labourer")
	}
	whole := func(name string, least, most int64) int64 {
		n, err := wholeOf(row[name], least, most)
		if err != "" {
			problem("%s %s", name, err)
		}
		return n
	}
	r.Place = whole(table.Place(), table.least(), maxPlace)
	if a, there := row["attempts"]; there && a.Kind != "NULL" {
		r.Attempts = int(whole("attempts", 0, labourer.MaxMaxAttempts))
	}
	seconds, ok := new(big.Rat).SetString(row["created_at"].Text)
	if row["created_at"].Kind != "N" || !ok || seconds.Sign() < 0 || seconds.Cmp(big.NewRat(maxPlace, 1)) > 0 {
		problem("created_at is %s; want a number of seconds", shown(row["created_at"]))
	} else {
		millis, _ := new(big.Rat).Mul(seconds, big.NewRat(1000, 1)).Float64()
		r.CreatedAt = time.UnixMilli(int64(millis)).UTC()
	}
	if said := r.readPayload(row["payload"]); said != "" {
		problem("%s", said)
	}
	r.Problem = strings.Join(problems, "; ")
	return r
}

// least returns the lowest place. sosw puts retries in front of its queue, with greenfields that may fall below zero.
func (t Table) least() int64 {
	if t == Retries {
		return 0
	}
	return -maxPlace
}

// maxPlace bounds greenfields and times, in seconds: beyond the year 9999 is no time, and an int64 of milliseconds holds it.
const maxPlace = 253_402_300_799

// readPayload reads the payload and returns what is wrong with it.
func (r *Row) readPayload(a Attribute) string {
	if a.Kind == "" || a.Kind == "NULL" {
		r.Payload = json.RawMessage("{}")
		return ""
	}
	var payload map[string]json.RawMessage
	if a.Kind != "S" {
		return "payload is " + shown(a) + "; want the text of a JSON object"
	}
	if err := exact.Decode([]byte(a.Text), &payload); err != nil || payload == nil {
		return "payload is no JSON object, so no worker could run it"
	}
	for _, name := range []string{"task_id", "drover"} {
		if _, there := payload[name]; there {
			return fmt.Sprintf("payload has an attribute %s, which Drover sets", name)
		}
	}
	if len(a.Text) > MostPayload {
		return fmt.Sprintf("payload has %d bytes; want at most %d", len(a.Text), MostPayload)
	}
	r.Payload = json.RawMessage(a.Text)
	return ""
}

// MostPayload limits the bytes of a payload: the most that Lambda took asynchronously in sosw's time, less what Drover adds to it.
const MostPayload = 256<<10 - 512

// wholeOf reads a whole number. It returns what is wrong otherwise.
func wholeOf(a Attribute, least, most int64) (int64, string) {
	n, ok := new(big.Rat).SetString(a.Text)
	if a.Kind != "N" || !ok || !n.IsInt() || n.Cmp(big.NewRat(least, 1)) < 0 || n.Cmp(big.NewRat(most, 1)) > 0 {
		return 0, fmt.Sprintf("is %s; want a whole number", shown(a))
	}
	return n.Num().Int64(), ""
}

func shown(a Attribute) string {
	switch a.Kind {
	case "":
		return "missing"
	case "S":
		return fmt.Sprintf("the text %.40q", a.Text)
	case "N":
		return a.Text
	}
	return "of type " + a.Kind
}

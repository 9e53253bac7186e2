package sosw

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Closed is sosw's table of tasks that have ended.
const Closed Table = "closed"

// ReadClosed reads a row of the table of closed tasks as a task that has ended. It has an id of its own, the same each time, and sosw's as its
// origin. problem says why the row cannot be read; "" if it can.
func ReadClosed(row map[string]Attribute) (t task.Task, problem string) {
	name, status := row["labourer_id"].Text, row["labourer_id_task_status"].Text
	t = task.Task{Labourer: name, JobID: "sosw-" + name, Payload: json.RawMessage("{}"), Origin: &task.Origin{TaskID: row["task_id"].Text, Table: string(Closed)}}
	t.ID = task.ID{Segment: segment.IDOf("sosw\x00"+name+"\x00"+t.Origin.TaskID, 0)}
	switch {
	case name == "":
		return t, "labourer_id is missing; want the name of a labourer"
	case status == name+"_1":
		t.Status = task.Completed
	case status == name+"_0":
		t.Status = task.Dead
	default:
		return t, fmt.Sprintf("labourer_id_task_status is %s; want %s_1 or %s_0", shown(row["labourer_id_task_status"]), name, name)
	}
	closed, wrong := wholeOf(row["closed_at"], 0, maxPlace)
	if wrong != "" {
		return t, "closed_at " + wrong
	}
	t.ClosedAt, t.CreatedAt = time.Unix(closed, 0).UTC(), time.Unix(closed, 0).UTC()
	if seconds, ok := new(big.Rat).SetString(row["created_at"].Text); ok && seconds.Sign() >= 0 && seconds.Cmp(big.NewRat(maxPlace, 1)) <= 0 {
		millis, _ := new(big.Rat).Mul(seconds, big.NewRat(1000, 1)).Float64()
		t.CreatedAt = time.UnixMilli(int64(millis)).UTC()
	}
	if attempts, wrong := wholeOf(row["attempts"], 0, labourer.MaxMaxAttempts); wrong == "" {
		t.Attempt = int(attempts)
	}
	if payload := row["payload"]; payload.Kind == "S" {
		t.Payload = json.RawMessage(payload.Text)
		if !json.Valid(t.Payload) { // it has ended all the same
			t.Payload, _ = json.Marshal(map[string]string{"payload": payload.Text}) //nolint:errchkjson // a text
		}
	}
	t.Result, t.Stats = figures(row, "result_"), figures(row, "stat_")
	return t, ""
}

// figures returns the attributes with a prefix as an object, or nil if there are none.
func figures(row map[string]Attribute, prefix string) json.RawMessage {
	out := map[string]any{}
	for attribute, a := range row {
		name, is := strings.CutPrefix(attribute, prefix)
		switch {
		case !is:
		case a.Kind == "N":
			out[name] = json.Number(a.Text)
		case a.Kind == "S":
			out[name] = a.Text
		}
	}
	if len(out) == 0 {
		return nil
	}
	text, err := json.Marshal(out)
	if err != nil { // a number that JSON does not have
		return nil
	}
	return text
}

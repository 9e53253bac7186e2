package moe

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/workflow"
)

// stageNames holds moe's names of the stages, in their order.
var stageNames = []string{"pre", "async", "post"}

// StageName returns moe's name of a stage: async for parallel.
func StageName(s workflow.Stage) string { return stageNames[s] }

// ParseStage returns the stage of this name of moe's.
func ParseStage(name string) (workflow.Stage, bool) {
	i := slices.Index(stageNames, name)
	return workflow.Stage(max(i, 0)), i >= 0
}

// own lists the names at the top level of a message that are not the metadata's. Metadata with one of them does not arrive under it.
var own = []string{"uid", "workflow", "activity", "stage", "activities", "status", "now", "drover"}

// status is a state as moe writes it.
type status struct {
	State workflow.State `json:"state"`
}

// stage is a stage in a message. Its plugins are left out: a plugin looks there only for its own Complete, and what is Complete gets no message.
type stage struct {
	Mandatory struct{} `json:"mandatory"`
	Optional  struct{} `json:"optional"`
	Status    status   `json:"status"`
}

// Payload returns the message of a plugin's turn without what belongs to the attempt: the metadata's members, and over them those of the run.
func Payload(s workflow.Subject, h workflow.Head, at workflow.Plan) json.RawMessage {
	stages := map[string]any{"status": status{workflow.InProgress}}
	for _, one := range workflow.Stages {
		state := workflow.NotStarted
		switch {
		case one == at.Stage:
			state = workflow.InProgress
		case one < at.Stage:
			state = workflow.Complete
			if at.Place.Activity == h.At.Activity && int(one) < len(h.Stages) {
				state = ended(h.Stages[one])
			}
		}
		stages[StageName(one)] = stage{Status: status{state}}
	}
	text := document.Encode(struct {
		UID        string                    `json:"uid"`
		Workflow   string                    `json:"workflow"`
		Activity   string                    `json:"activity"`
		Stage      string                    `json:"stage"`
		Activities map[string]map[string]any `json:"activities"`
		Status     status                    `json:"status"`
	}{s.UID, s.Composition.Workflow.Name, at.Activity, StageName(at.Stage), map[string]map[string]any{at.Activity: stages}, status{workflow.InProgress}})
	members, _ := exact.Members(s.Metadata) // it was checked when the run began
	for _, m := range members {
		if !slices.Contains(own, m.Name) {
			text = with(text, m.Name, m.Value)
		}
	}
	return text
}

// ended returns the state of a stage that ended, in moe's words.
func ended(s workflow.State) workflow.State {
	if s.Good() {
		return s
	}
	return workflow.Error
}

// with returns an object with one more member.
func with(object []byte, name string, value []byte) []byte {
	return bytes.Join([][]byte{object[:len(object)-1], []byte(","), document.Encode(name), []byte(":"), bytes.TrimSpace(value), []byte("}")}, nil)
}

// Text returns the message of an attempt: a payload with the time and with what Drover knows the attempt by.
func Text(payload json.RawMessage, now time.Time, drover json.RawMessage) []byte {
	return with(with(payload, "now", strconv.AppendInt(nil, now.UnixMilli(), 10)), "drover", drover)
}

// Envelope returns a message as SNS hands it to a function.
func Envelope(text []byte) []byte {
	type notification struct{ Message string }
	type record struct{ Sns notification }
	return document.Encode(struct{ Records []record }{[]record{{notification{string(text)}}}})
}

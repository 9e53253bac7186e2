package completion

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/labourer"
)

// Wake is Drover's own message in the completions queue: tasks of these labourers are due at a time. It only wakes the orchestrator, which finds
// the tasks in the queue. So anyone may send it, any number of times.
type Wake struct {
	Labourers []string // up to MostWoken, in the form of a labourer's id; they need not exist
	DueAt     time.Time
}

// MostWoken limits the labourers of a wake.
const MostWoken = 10

// LongestWake limits how far ahead a wake may be. A longer wait has an execution of the backoff machine, which a person can look at.
const LongestWake = 15 * time.Minute

const tasksDue = "TasksDue"

// wakeMessage has the form of the event TasksDue, and a time. An event from the bus has none: if a rule brought it here, each would publish the next.
type wakeMessage struct {
	Source     string     `json:"source"`
	DetailType string     `json:"detail-type"`
	Detail     wakeDetail `json:"detail"`
}

type wakeDetail struct {
	Version   int       `json:"version"`
	Labourers []string  `json:"labourers"`
	DueAt     time.Time `json:"due_at,omitzero"`
}

// Messages returns the wake as messages of the completions queue. Each has up to MostWoken labourers.
func (w Wake) Messages() []string {
	var out []string
	for some := range slices.Chunk(w.Labourers, MostWoken) {
		text, err := json.Marshal(wakeMessage{event.Source, tasksDue, wakeDetail{1, some, w.DueAt.UTC()}})
		if err != nil {
			panic(err) // only a time after the year 9999 has no JSON
		}
		out = append(out, string(text))
	}
	return out
}

// readWake reads a wake.
func readWake(text []byte) (Report, error) {
	var m wakeMessage
	if err := exact.Decode(text, &m); err != nil {
		return Report{}, fmt.Errorf("the wake cannot be read: %w", err)
	}
	d := m.Detail
	switch {
	case d.Version != 1:
		return Report{}, fmt.Errorf("the wake's version is %d; want 1", d.Version)
	case d.DueAt.IsZero():
		return Report{}, errors.New("the wake has no due_at")
	case len(d.Labourers) == 0 || len(d.Labourers) > MostWoken:
		return Report{}, fmt.Errorf("the wake has %d labourers; want 1 to %d", len(d.Labourers), MostWoken)
	}
	for i, id := range d.Labourers {
		if !labourer.ValidID(id) {
			return Report{}, fmt.Errorf("the wake's labourers[%d] has %d bytes, and not the form of a labourer's id", i, len(id))
		}
	}
	return Report{Kind: TasksDue, Wake: Wake{d.Labourers, d.DueAt}}, nil
}

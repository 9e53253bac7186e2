package fakeaws

import (
	"container/heap"
	"fmt"
	"sync"
	"time"
)

// World holds virtual time and what is under way in it: messages, wakes, waits, runs of functions. Nothing happens by itself: the caller takes
// what is next with [World.Step], or picks something else that is under way.
//
// What is due at the same time happens in the order of kinds and labels, so that a world takes the same course each time although the
// services do some of their work concurrently.
type World struct {
	// Course decides when something that is put under way arrives, beyond its own delay: once, several times (a second at-least-once delivery) or
	// never. nil: once, without further delay. It is called before the world changes and must not change it.
	Course func(kind Kind, label string) []time.Duration

	mu     sync.Mutex
	now    time.Time
	put    int
	coming timetable
}

// Kind tells apart the sorts of things that are under way.
type Kind string

// The kinds, in the order in which things happen that are due at once. AWS never loses durable kinds, though they may come late or twice.
const (
	Transition Kind = "1 transition" // of a state machine's execution, durable
	Delivery   Kind = "2 delivery"   // of an event to a rule's target
	Message    Kind = "3 message"    // of a queue to its function, durable
	Stream     Kind = "4 stream"     // of a table to its function, durable
	Run        Kind = "5 run"        // of a worker, durable
	Timer      Kind = "6 timer"      // the end of a wait, durable
	Tick       Kind = "7 tick"       // of a schedule
)

// String returns the kind's name.
func (k Kind) String() string { return string(k)[2:] }

// Coming is something that is under way.
type Coming struct {
	At    time.Time
	Kind  Kind
	Label string

	order int
	index int // in the timetable; -1 once it has left it
	do    func()
}

// NewWorld returns a world whose time begins at start.
func NewWorld(start time.Time) *World {
	return &World{now: start.UTC()}
}

// Now returns the world's time.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Advance lets time pass until this moment, if it is not past, without anything else happening.
func (w *World) Advance(to time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if to.After(w.now) {
		w.now = to
	}
}

// At puts something under way that happens at this time, exactly once.
func (w *World) At(at time.Time, kind Kind, label string, do func()) *Coming {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.Before(w.now) {
		at = w.now
	}
	w.put++
	c := &Coming{At: at, Kind: kind, Label: label, order: w.put, do: do}
	heap.Push(&w.coming, c)
	return c
}

// send puts something under way whose arrival the world's course decides.
func (w *World) send(after time.Duration, kind Kind, label string, do func()) {
	arrivals := []time.Duration{0}
	if w.Course != nil {
		arrivals = w.Course(kind, label)
	}
	for _, more := range arrivals {
		w.At(w.Now().Add(after+more), kind, label, do)
	}
}

// Cancel removes something that is under way. It does not undo what has happened.
func (w *World) Cancel(c *Coming) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c != nil && c.index >= 0 {
		heap.Remove(&w.coming, c.index)
	}
}

// Next returns what is due next; nil when nothing is under way.
func (w *World) Next() *Coming {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.coming) == 0 {
		return nil
	}
	return w.coming[0]
}

// Only reports whether this is all that is under way.
func (w *World) Only(c *Coming) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.coming) == 1 && w.coming[0] == c
}

// Coming returns all that is under way, in no particular order.
func (w *World) Coming() []*Coming {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*Coming(nil), w.coming...)
}

// Step makes happen what is due next, at its time, and returns it; nil when nothing is under way.
func (w *World) Step() *Coming {
	w.mu.Lock()
	if len(w.coming) == 0 {
		w.mu.Unlock()
		return nil
	}
	c := heap.Pop(&w.coming).(*Coming) //nolint:forcetypeassert // nothing else is pushed
	if c.At.After(w.now) {
		w.now = c.At
	}
	w.mu.Unlock()
	c.do()
	return c
}

// String describes what is under way.
func (c *Coming) String() string {
	return fmt.Sprintf("%s %s at %s", c.Kind, c.Label, c.At.Format("15:04:05.000"))
}

// timetable is a heap of what is under way.
type timetable []*Coming

func (t timetable) Len() int { return len(t) }
func (t timetable) Less(i, j int) bool {
	a, b := t[i], t[j]
	switch {
	case !a.At.Equal(b.At):
		return a.At.Before(b.At)
	case a.Kind != b.Kind:
		return a.Kind < b.Kind
	case a.Label != b.Label:
		return a.Label < b.Label
	}
	return a.order < b.order
}
func (t timetable) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}
func (t *timetable) Push(x any) {
	c := x.(*Coming) //nolint:forcetypeassert // it is pushed as one
	c.index = len(*t)
	*t = append(*t, c)
}
func (t *timetable) Pop() any {
	old := *t
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	c.index = -1
	return c
}

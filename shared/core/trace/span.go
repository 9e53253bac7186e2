package trace

import "time"

// Kind says what a span is to others, by OpenTelemetry's numbers.
type Kind int

// The kinds that Drover's spans have.
const (
	Internal Kind = 1
	Producer Kind = 4 // it made work that others do later
	Consumer Kind = 5 // it did such work
)

// Span is a span of a trace: a period of a job, a run or a task.
type Span struct {
	ID         string
	Parent     string // "" for the first span of a trace that was begun here
	Remote     bool   // the parent is a span of the submitter
	Links      []string
	Name       string
	Kind       Kind
	Start, End time.Time
	Attributes []Attribute
	Events     []Event
	Failed     bool
	Message    string // of a failure
}

// Attribute is a named fact about a span. Its value is text, an int or a bool.
type Attribute struct {
	Key   string
	Value any
}

// Event is something that happened at one moment of a span.
type Event struct {
	At         time.Time
	Name       string
	Attributes []Attribute
}

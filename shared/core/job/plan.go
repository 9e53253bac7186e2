package job

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/drover-run/drover/shared/core/calendar"
)

// Plan holds the tasks of a job, counted but not built. It is safe for concurrent use.
type Plan struct {
	chunks *calendar.Chunks // of the period, nil without one
	leaves []leaf
	each   int    // tasks of all leaves, for each chunk of the period
	cut    string // path of the outermost attribute that is cut, "" if none

	largest     int    // bytes of the largest payload
	largestPath string // path of the attribute that makes it so large
}

// Plan counts the tasks that the job makes with the schema if it is submitted at now. It finds everything that can be wrong with any of the tasks. Any error
// is an [*Error].
func (j Job) Plan(schema Schema, now time.Time) (*Plan, error) {
	if wrong := schema.Validate(); len(wrong) > 0 {
		return nil, refuse("job_schema_name", "the schema cannot be used: %v", wrong[0])
	}
	payload, isolate, err := j.steer(schema)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	var outermost *layer
	if j.period != nil {
		chunks, err := j.dates(isolate, now)
		if err != nil {
			return nil, err
		}
		p.chunks = chunks
		outermost = withDates(nil, widthOfDates(chunks))
	}
	s := newSplitter(&j, schema)
	if err := s.level(0, payload, outermost, nil, ""); err != nil {
		return nil, err
	}
	p.leaves, p.each, p.cut, p.largest, p.largestPath = s.leaves, s.tasks, s.cut, s.largest, s.largestPath
	return p, nil
}

// isolations lists the units by which a flag can cut a period, finest first.
var isolations = []calendar.Unit{calendar.Hour, calendar.Day, calendar.Week, calendar.Month}

// steer separates the attributes that steer Drover from the payload, and returns the unit by which the period is cut.
func (j Job) steer(schema Schema) (payload *value, isolate calendar.Unit, err error) {
	drop := slices.Concat(steering, tracing)
	if j.period != nil {
		drop = append(drop, dateList)
	}
	var set []calendar.Unit
	for _, unit := range isolations {
		name := "isolate_" + unit.String()
		v := j.root.get(name)
		if v == nil || j.period == nil || unit != calendar.Day && slices.ContainsFunc(schema.ChunkableAttrs, func(a string) bool { return a+"s" == unit.String() }) {
			continue
		}
		if err := checkFlag(name, v, ""); err != nil {
			return nil, 0, err
		}
		drop = append(drop, name)
		if !v.empty() {
			set = append(set, unit)
		}
	}
	payload = &value{kind: kindObject}
	for i, name := range j.root.names {
		if !slices.Contains(drop, name) {
			payload.names, payload.children = append(payload.names, name), append(payload.children, j.root.children[i])
		}
	}
	switch {
	case len(set) == 0:
		return payload, calendar.Whole, nil
	case set[0] == calendar.Week && len(set) > 1:
		return nil, 0, refuse("isolate_weeks", "is set beside isolate_months, but a week may span two months; want one of them")
	default:
		return payload, set[0], nil
	}
}

func (j Job) dates(isolate calendar.Unit, now time.Time) (*calendar.Chunks, error) {
	span, err := j.period.Resolve(now, j.zone)
	if err != nil {
		return nil, calendarError("period", err)
	}
	if isolate != calendar.Whole && span.Len() == 0 {
		return nil, refuse("period", "%q has no days, so isolate_%s would make no task; want at least one day", j.period, isolate)
	}
	chunks := span.Split(isolate)
	return &chunks, nil
}

// widthOfDates returns the most bytes that date_list takes, including its name.
func widthOfDates(chunks *calendar.Chunks) int {
	elements := chunks.Longest()
	return len(`"date_list":[]`) + max(0, elements*(chunks.Width()+len(`"",`))-1)
}

// Len returns the number of tasks. It is a product, far below overflow for any job: ten thousand years have fewer than 2^27 hours, and a
// job fewer than 2^17 values.
func (p *Plan) Len() int {
	if p.chunks == nil {
		return p.each
	}
	return p.chunks.Len() * p.each
}

// Within refuses a plan with more tasks than the limit. The error has their number.
func (p *Plan) Within(limit int) error {
	if p.Len() <= limit {
		return nil
	}
	field := p.cut
	if field == "" || p.chunks != nil && p.chunks.Len() > p.each {
		field = "period"
	}
	return refuse(field, "would make the job %d tasks; want at most %d", p.Len(), limit)
}

// Fits refuses a plan with a payload of more bytes than the limit. The error has their number.
func (p *Plan) Fits(limit int) error {
	if p.largest <= limit {
		return nil
	}
	return tooLarge(p.largestPath, p.largest, limit)
}

// Payload returns the payload of the k-th task, counted from 0, as one JSON object. The order of tasks is always the same, and the cost does not grow with
// k.
func (p *Plan) Payload(k int) ([]byte, error) {
	if k < 0 || k >= p.Len() {
		return nil, fmt.Errorf("task %d is not in a plan of %d tasks", k, p.Len())
	}
	chunk, rest := k/p.each, k%p.each
	l := p.leaves[sort.Search(len(p.leaves), func(i int) bool { return p.leaves[i].before > rest })-1]
	payload := make([]byte, 1, 64+l.layer.size)
	payload[0] = '{'
	payload = l.layer.appendTo(payload, l.layer, l.cut, func(payload []byte) []byte { return appendDates(payload, p.chunks.At(chunk)) })
	if l.cut != "" {
		from := (rest - l.before) * l.size
		payload = append(appendList(payload, l.cut, l.values[from:min(from+l.size, len(l.values))]), ',')
	}
	if len(payload) > 1 {
		payload = payload[:len(payload)-1]
	}
	payload = append(payload, '}')
	if len(payload) > MaxPayloadBytes {
		return nil, refuse("period", "makes the payload of task %d %d bytes long; want at most %d", k, len(payload), MaxPayloadBytes)
	}
	return payload, nil
}

func appendDates(payload []byte, chunk calendar.Span) []byte {
	payload = append(payload, `"date_list":[`...)
	for i := range chunk.Len() {
		if i > 0 {
			payload = append(payload, ',')
		}
		payload = append(chunk.Append(append(payload, '"'), i), '"')
	}
	return append(payload, ']')
}

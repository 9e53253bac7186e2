package fakeaws

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Mapping passes the records of a table's stream to a function, as the stack's template maps the tasks table to the scavenger and the
// archiver, and the status table of moe's plugins to the worker assistant: in lanes, in order within a lane, each batch again until the
// function takes it or the retries are used up.
type Mapping struct {
	world  *World
	name   string
	window time.Duration // how long records are gathered to a batch; a full one waits for the next poll alone
	batch  int
	key    string                                                                   // the table's partition key
	takes  func(image map[string]events.DynamoDBAttributeValue, status string) bool // the mapping's filter
	lanes  [streamLanes]lane
	// take handles a batch and then calls done once. about describes the batch.
	take func(about string, batch []events.DynamoDBEventRecord, done func(error))
	// lose receives a batch whose retries are used up.
	lose func(batch []events.DynamoDBEventRecord)
	log  []events.DynamoDBEventRecord
}

type lane struct {
	waiting []events.DynamoDBEventRecord
	busy    bool
	full    func() // ends the gathering of a batch; nil: none is being gathered
}

// As in the stack's template.
const (
	streamLanes    = 4
	scavengerBatch = 100
	streamPoll     = 200 * time.Millisecond
	archiverBatch  = 1000
	archiverWindow = 60 * time.Second
	streamRetries  = 50
	streamLongest  = 30 * time.Second // between two attempts
)

// scavenged are the records that the scavenger takes: ends that no lease knows of.
func scavenged(image map[string]events.DynamoDBAttributeValue, status string) bool {
	shared, turn := image["shared"], image["turn"]
	return slices.Contains([]string{"failed", "expired", "dead", "cancelled"}, status) ||
		status == "completed" && (shared.DataType() == events.DataTypeBoolean && shared.Boolean() || turn.DataType() == events.DataTypeString)
}

// archived are the records that the archiver takes.
func archived(_ map[string]events.DynamoDBAttributeValue, status string) bool {
	return slices.Contains([]string{"completed", "dead", "cancelled"}, status)
}

// written are the records of the status table that the worker assistant takes: all but removals.
func written(map[string]events.DynamoDBAttributeValue, string) bool { return true }

// append adds new records of the stream that match the mapping's filter.
func (m *Mapping) append(records ...events.DynamoDBEventRecord) {
	for _, r := range records {
		status := ""
		if v, is := r.Change.NewImage["status"]; is && v.DataType() == events.DataTypeString {
			status = v.String()
		}
		if r.EventName == string(events.DynamoDBOperationTypeRemove) || !m.takes(r.Change.NewImage, status) {
			continue
		}
		m.log = append(m.log, r)
		m.put(r)
	}
}

// put adds a record at the end of its lane.
func (m *Mapping) put(r events.DynamoDBEventRecord) {
	key := fnv.New32a()
	_, _ = key.Write([]byte(r.Change.Keys[m.key].String()))
	i := int(key.Sum32() % streamLanes)
	m.lanes[i].waiting = append(m.lanes[i].waiting, r)
	m.wake(i)
}

// Log returns all records that were ever passed on, in order, since the stack forgot what was.
func (m *Mapping) Log() []events.DynamoDBEventRecord { return m.log }

// Waiting returns how many records the function has not taken.
func (m *Mapping) Waiting() int {
	n := 0
	for _, l := range m.lanes {
		n += len(l.waiting)
	}
	return n
}

// Replay passes records on once more, as Lambda does when a function's answer is lost.
func (m *Mapping) Replay(records []events.DynamoDBEventRecord) {
	for batch := range slices.Chunk(records, m.batch) {
		m.world.At(m.world.Now(), Stream, fmt.Sprintf("again to %s, %d records from %s", m.name, len(batch), batch[0].Change.SequenceNumber), func() {
			m.take(fmt.Sprintf("%d records again", len(batch)), batch, func(error) {})
		})
	}
}

func (m *Mapping) wake(i int) {
	l := &m.lanes[i]
	switch {
	case len(l.waiting) == 0:
	case !l.busy && len(l.waiting) < m.batch:
		l.busy = true
		whole := false // the batch was full before the window's end
		arrives := m.arrival(i)
		l.full = func() {
			whole, l.full = true, nil
			m.world.send(streamPoll, Stream, fmt.Sprintf("full lane %d of %s", i, m.name), m.arrival(i))
		}
		m.world.send(m.window, Stream, fmt.Sprintf("lane %d of %s", i, m.name), func() {
			if !whole {
				l.full = nil
				arrives()
			}
		})
	case !l.busy:
		l.busy = true
		m.world.send(streamPoll, Stream, fmt.Sprintf("lane %d of %s", i, m.name), m.arrival(i))
	case l.full != nil && len(l.waiting) >= m.batch && m.window > streamPoll:
		l.full()
	}
}

// arrival returns what happens as a batch of a lane is delivered. A copy of the delivery passes the lane's batch on once more.
func (m *Mapping) arrival(i int) func() {
	l, begun := &m.lanes[i], false
	return func() {
		n := min(len(l.waiting), m.batch)
		if begun {
			m.Replay(l.waiting[:n])
			return
		}
		begun = true
		m.work(i, n, 0)
	}
}

// work passes the first n records of a lane to the function until it takes them. After an error it halves the batch.
func (m *Mapping) work(i, n, tries int) {
	l := &m.lanes[i]
	batch := slices.Clone(l.waiting[:n])
	m.take(fmt.Sprintf("%d records of lane %d", n, i), batch, func(err error) {
		switch {
		case err != nil && tries >= streamRetries:
			m.lose(batch)
		case err != nil:
			wait := min(streamLongest, time.Second<<min(tries, 5))
			m.world.At(m.world.Now().Add(wait), Stream, fmt.Sprintf("lane %d of %s again", i, m.name), func() { m.work(i, (n+1)/2, tries+1) })
			return
		}
		l.waiting = l.waiting[n:]
		l.busy = false
		m.wake(i)
	})
}

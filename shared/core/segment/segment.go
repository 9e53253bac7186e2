// Package segment names the groups of tasks that are stored together.
//
// A segment has up to [Size] tasks that share a partition key of the tasks table. Segments make tasks cheap: queue entries and leases hold sets of
// numbers of a segment, so dispatching a hundred tasks takes one small transaction instead of a hundred writes.
package segment

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
)

// Size limits the tasks of a segment. A DynamoDB partition accepts 1,000 writes a second, so a whole segment can be written, or closed, at the same
// time without throttling.
const Size = 256

// Lanes limits the lanes of a labourer.
const Lanes = 16

// ID identifies a segment, and is its partition key: [idLength] characters of lower-case base32. The segments of a labourer that starts more than a
// thousand tasks a second have one more, a letter: that of the lane to which the leases on the segment belong.
type ID string

const (
	idLength = 16
	alphabet = "abcdefghijklmnopqrstuvwxyz234567"
)

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// IDOf returns the id of a job's ordinal-th segment. It is a hash, so that segments spread over the table's partitions. It is deterministic, so that a
// segment that is written again after a crash overwrites itself. It has 80 bits: among a billion segments two collide with a probability of about one in
// two million.
func IDOf(jobID string, ordinal int) ID {
	sum := sha256.Sum256([]byte(jobID + "\x00" + strconv.Itoa(ordinal)))
	return ID(encoding.EncodeToString(sum[:idLength*5/8]))
}

// InLane returns the id of a segment in a lane, 0 to [Lanes]-1, given its id without one.
func (id ID) InLane(lane int) ID { return id + ID(alphabet[lane]) }

// Lane returns the letter of the segment's lane, "" if it has none.
func (id ID) Lane() string {
	if len(id) != idLength+1 {
		return ""
	}
	return string(id[idLength:])
}

// LanesOf returns the letters of the first n lanes.
func LanesOf(n int) []string { return strings.Split(alphabet[:max(0, min(n, Lanes))], "") }

// Valid reports whether the text has the form of a segment's id.
func (id ID) Valid() bool {
	if lane := id.Lane(); lane != "" && !strings.Contains(alphabet[:Lanes], lane) {
		return false
	}
	return (len(id) == idLength || id.Lane() != "") && strings.Trim(string(id), alphabet) == ""
}

package calendar

import (
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

// moment holds one end of a range as written: a date, a time with an offset, or a local time in a zone that is not known yet.
type moment struct {
	text    string
	date    bool
	offset  bool      // the time carries its own offset from UTC
	reading time.Time // the instant, or without an offset the local date and time as if in UTC
}

const wanted = `want a date ("2026-01-31") or a time ("2026-01-31T05:00:00Z", "2026-01-31T05:00:00+01:00", or "2026-01-31T05:00:00" in the job's time zone)`

// shaped matches texts in the form of a date or a time, even if there is no such date: 2026-02-30.
var shaped = lazyregexp.New(`^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$`)

func parseMoment(field, text string) (moment, error) {
	m := moment{text: text}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		m.date, m.reading = true, t
		return m, m.inRange(field)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			m.offset, m.reading = true, t
			return m, m.inRange(field)
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			m.reading = t
			return m, m.inRange(field)
		}
	}
	switch {
	case strings.TrimSpace(text) == "":
		return m, refuse(field, "is empty; %s", wanted)
	case shaped.MatchString(text):
		return m, refuse(field, "%s does not exist as a date or a time; %s", quote(text), wanted)
	}
	return m, refuse(field, "%s is not a date or a time; %s", quote(text), wanted)
}

func (m moment) inRange(field string) error {
	if d := dayOf(m.reading.UTC()); d < firstDay || d > lastDay {
		return refuse(field, "%s is outside the years 0001 to 9999", quote(m.text))
	}
	return nil
}

// earliest and latest return the first and the last instant with this name in the zone: the two ends of a day, or the two occurrences of a local time
// when the clock is turned back. For a time with an offset they are equal.
func (m moment) earliest(field string, zone *time.Location) (time.Time, error) {
	if m.date {
		return dayOf(m.reading).start(zone), nil
	}
	first, _, err := m.instants(field, zone)
	return first, err
}

func (m moment) latest(field string, zone *time.Location) (time.Time, error) {
	if m.date {
		return (dayOf(m.reading) + 1).start(zone).Add(-time.Second), nil
	}
	_, last, err := m.instants(field, zone)
	return last, err
}

func (m moment) instants(field string, zone *time.Location) (first, last time.Time, err error) {
	if m.offset {
		return m.reading.In(zone), m.reading.In(zone), nil
	}
	// The offset of this local time equals that of the day before or of the day after.
	wall := m.reading.Unix()
	for _, around := range []int64{-secondsPerDay, secondsPerDay} {
		_, offset := time.Unix(wall+around, 0).In(zone).Zone()
		instant := time.Unix(wall-int64(offset), 0).In(zone)
		if _, really := instant.Zone(); really != offset {
			continue
		}
		if first.IsZero() || instant.Before(first) {
			first = instant
		}
		if last.IsZero() || instant.After(last) {
			last = instant
		}
	}
	if first.IsZero() {
		return first, last, refuse(field, "%s does not exist in %s, because the clocks skip it; want another time, or one with an offset", quote(m.text), zone)
	}
	return first, last, nil
}

// Instant reads a date or a time in the format of a range, and returns the first instant with this name: the beginning of a date, or the first of two
// occurrences of a local time. A time without an offset is in the zone.
func Instant(text string, zone *time.Location) (time.Time, error) {
	m, err := parseMoment("", text)
	if err != nil {
		return time.Time{}, err
	}
	return m.earliest("", zone)
}

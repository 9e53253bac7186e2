package calendar

import "time"

// Unit is a length of time on a calendar.
type Unit int

const (
	Whole Unit = iota // not cut at all
	Hour
	Day
	Week  // Sunday to Saturday
	Month // a calendar month
)

// String returns the plural of the unit's name, like the days in isolate_days.
func (u Unit) String() string {
	return [...]string{"whole", "hours", "days", "weeks", "months"}[u]
}

// Span is a run of days or of hours in a time zone, without gaps.
type Span struct {
	unit  Unit  // Day or Hour
	first int64 // a day's number, or the beginning of an hour in Unix seconds
	count int64
	zone  *time.Location
}

func days(first day, count int64) Span {
	return Span{unit: Day, first: int64(first), count: count, zone: time.UTC}
}

// Len returns the number of days or hours.
func (s Span) Len() int {
	return int(s.count)
}

// dayOf returns the day that contains the i-th element.
func (s Span) dayOf(i int64) day {
	if s.unit == Hour {
		return dayAt(s.hour(i))
	}
	return day(s.first + i)
}

func (s Span) hour(i int64) time.Time {
	return time.Unix(s.first+i*secondsPerHour, 0).In(s.zone)
}

// index returns the number of elements before the day, from none to all.
func (s Span) index(d day) int64 {
	before := int64(d) - s.first
	if s.unit == Hour {
		before = -floorDivide(s.first-d.start(s.zone).Unix(), secondsPerHour)
	}
	return max(0, min(before, s.count))
}

// The layouts of the elements. Width promises that all elements of a span have the same width, so every zone except UTC has a numeric offset.
const (
	utcHour   = "2006-01-02T15:04:05Z"
	zonedHour = "2006-01-02T15:04:05-07:00"
)

func (s Span) layout() string {
	switch {
	case s.unit != Hour:
		return time.DateOnly
	case s.zone == time.UTC:
		return utcHour
	default:
		return zonedHour
	}
}

// Append appends the name of the i-th element: a date such as 2026-11-22, or the beginning of an hour such as 2026-11-22T05:00:00Z.
func (s Span) Append(text []byte, i int) []byte {
	if s.unit == Hour {
		return s.hour(int64(i)).AppendFormat(text, s.layout())
	}
	return day(s.first+int64(i)).midnightUTC().AppendFormat(text, s.layout())
}

// Width returns the number of bytes of each element's name.
func (s Span) Width() int {
	return len(s.layout())
}

// Hours returns the same stretch of time in hours. For days it has all their hours in the span's zone.
func (s Span) Hours() Span {
	if s.unit == Hour {
		return s
	}
	first := day(s.first).start(s.zone).Unix()
	end := day(s.first + s.count).start(s.zone).Unix()
	return Span{unit: Hour, first: first, count: (end - first + secondsPerHour - 1) / secondsPerHour, zone: s.zone}
}

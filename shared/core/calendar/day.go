package calendar

import "time"

// day represents a date as the number of days since 1970-01-01, so that dates can be counted, compared and cut by arithmetic.
type day int64

const secondsPerDay, secondsPerHour = 24 * 60 * 60, 60 * 60

// These are the first and the last date with a year of four digits.
var (
	firstDay = date(1, time.January, 1)
	lastDay  = date(9999, time.December, 31)
)

// date counts like time.Date: month 13 is January of the next year.
func date(year int, month time.Month, dayOfMonth int) day {
	return day(floorDivide(time.Date(year, month, dayOfMonth, 0, 0, 0, 0, time.UTC).Unix(), secondsPerDay))
}

// dayOf returns the date that a calendar in t's own zone shows.
func dayOf(t time.Time) day {
	return date(t.Date())
}

func (d day) midnightUTC() time.Time {
	return time.Unix(int64(d)*secondsPerDay, 0).UTC()
}

func (d day) weekday() time.Weekday {
	return d.midnightUTC().Weekday()
}

// week numbers the weeks from Sunday to Saturday. 1970-01-01 was a Thursday, four days after the Sunday of week 0.
func (d day) week() int64 {
	return floorDivide(int64(d)+4, 7)
}

func sundayOf(week int64) day {
	return day(week*7 - 4)
}

// month numbers the calendar months.
func (d day) month() int64 {
	year, month, _ := d.midnightUTC().Date()
	return int64(year)*12 + int64(month) - 1
}

func firstOf(month int64) day {
	return date(int(floorDivide(month, 12)), time.Month(month-floorDivide(month, 12)*12+1), 1)
}

// start returns the first instant of the day in a zone.
func (d day) start(zone *time.Location) time.Time {
	year, month, dayOfMonth := d.midnightUTC().Date()
	midnight := time.Date(year, month, dayOfMonth, 0, 0, 0, 0, zone)
	if dayOf(midnight) == d && dayOf(midnight.Add(-time.Second)) < d {
		return midnight
	}
	// A change of the clocks makes this midnight skipped or repeated. No zone is more than 26 hours from UTC.
	earlier, later := d.midnightUTC().Unix()-26*secondsPerHour, d.midnightUTC().Unix()+26*secondsPerHour
	for later-earlier > 1 {
		middle := earlier + (later-earlier)/2
		if dayOf(time.Unix(middle, 0).In(zone)) < d {
			earlier = middle
		} else {
			later = middle
		}
	}
	return time.Unix(later, 0).In(zone)
}

// dayAt returns the day that contains an instant. A day runs from its start to the next day's start. It differs from the date on the clock only when a
// clock that is turned back over midnight shows the previous date again.
func dayAt(t time.Time) day {
	d := dayOf(t)
	switch {
	case t.Before(d.start(t.Location())):
		return d - 1
	case !t.Before((d + 1).start(t.Location())):
		return d + 1
	default:
		return d
	}
}

func floorDivide(a, b int64) int64 {
	quotient := a / b
	if a%b < 0 {
		quotient--
	}
	return quotient
}

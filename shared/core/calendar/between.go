package calendar

import "time"

// between is an exact range that includes both ends.
type between struct {
	from, to moment
}

// Between returns the range of two dates or two times, both included. A range of dates has all of both days, and a range of times has the hours that
// contain them. If only one end is a date, it stands for its first hour as from, and for its last hour as to. Any error is an [*Error] that names the
// wrong end.
func Between(from, to string) (Period, error) {
	first, err := parseMoment("from", from)
	if err != nil {
		return Period{}, err
	}
	last, err := parseMoment("to", to)
	if err != nil {
		return Period{}, err
	}
	return Period{text: from + " to " + to, between: &between{first, last}}, nil
}

func (b *between) resolve(zone *time.Location) (Span, error) {
	if b.from.date && b.to.date {
		first, last := dayOf(b.from.reading), dayOf(b.to.reading)
		if last < first {
			return Span{}, b.backwards()
		}
		return Span{unit: Day, first: int64(first), count: int64(last-first) + 1, zone: zone}, nil
	}
	first, err := b.from.earliest("from", zone)
	if err != nil {
		return Span{}, err
	}
	last, err := b.to.latest("to", zone)
	if err != nil {
		return Span{}, err
	}
	if last.Before(first) {
		return Span{}, b.backwards()
	}
	start := startOfHour(first)
	return Span{unit: Hour, first: start, count: (last.Unix()-start)/secondsPerHour + 1, zone: zone}, nil
}

func (b *between) backwards() error {
	return refuse("to", "%s is before from, which is %s", quote(b.to.text), quote(b.from.text))
}

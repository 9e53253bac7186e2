package calendar

import "time"

// between is an exact range, both ends included.
type between struct {
	from, to moment
}

// Between is the range of two dates, or of two times, both included: for dates all of both days, for times the hours that they lie in. A
// date beside a time stands for its first hour as from, for its last as to. Any error is an [*Error] that names the end at fault.
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

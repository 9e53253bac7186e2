package calendar

// Chunks is a span cut at the boundaries of a unit. The first and the last chunk are shorter where the span begins or ends within a unit.
// In order, the chunks add up to the span. No chunk is empty, except the only chunk of an empty span that is not cut.
type Chunks struct {
	span   Span
	by     Unit
	count  int64
	first  int64 // number of the unit that contains the first chunk
	absent []day // days that have no hour in the zone, ascending; only for hours cut by the day
}

// Split cuts the span at the boundaries of the unit. To cut days by the hour, it turns them into hours first.
func (s Span) Split(by Unit) Chunks {
	if by == Hour {
		s = s.Hours()
	}
	c := Chunks{span: s, by: by}
	switch {
	case by == Whole:
		c.count = 1
	case by == s.unit || s.count == 0:
		c.count = s.count
	default:
		c.first = number(by, s.dayOf(0))
		c.count = number(by, s.dayOf(s.count-1)) - c.first + 1
		if by == Day {
			c.absent = s.absentDays()
			c.count -= int64(len(c.absent))
		}
	}
	return c
}

// number returns the number of a day's week, month or day, counted from a common beginning.
func number(by Unit, d day) int64 {
	switch by {
	case Week:
		return d.week()
	case Month:
		return d.month()
	default:
		return int64(d)
	}
}

func start(by Unit, number int64) day {
	switch by {
	case Week:
		return sundayOf(number)
	case Month:
		return firstOf(number)
	default:
		return day(number)
	}
}

// absentDays returns the dates within the span that its zone skipped. Samoa had no 2011-12-30: it moved to the other side of the date line.
func (s Span) absentDays() []day {
	var absent []day
	end := s.hour(s.count - 1)
	for at := s.hour(0); ; {
		// Beyond the known changes Go follows the zone's rule, and at the end of some year it reports the instant itself as the next change.
		// No rule skips a day, so the search may end there.
		_, change := at.ZoneBounds()
		if change.IsZero() || change.After(end) || !change.After(at) {
			return absent
		}
		for d := dayOf(change.Add(-1)) + 1; d < dayOf(change); d++ {
			absent = append(absent, d)
		}
		at = change
	}
}

// Len returns the number of chunks.
func (c Chunks) Len() int {
	return int(c.count)
}

// At returns the i-th chunk, counted from 0. Its cost does not grow with i.
func (c Chunks) At(i int) Span {
	s := c.span
	from, to := int64(i), int64(i)+1
	switch {
	case c.by == Whole:
		return s
	case c.by != s.unit:
		unit := c.first + int64(i)
		for _, d := range c.absent {
			if int64(d) <= unit {
				unit++
			}
		}
		from, to = s.index(start(c.by, unit)), s.index(start(c.by, unit+1))
	}
	if s.unit == Hour {
		s.first += from * secondsPerHour
	} else {
		s.first += from
	}
	s.count = to - from
	return s
}

// Longest returns an upper limit of the number of elements in any chunk. It is exact for days. Chunks of hours may have fewer. They have more only on
// the few days in history when a zone moved across the date line and had the same date twice.
func (c Chunks) Longest() int {
	longest := map[Unit]int64{Hour: 1, Day: 1, Week: 7, Month: 31}[c.by]
	switch {
	case c.by == Whole:
		return int(c.span.count)
	case c.span.unit == Hour && c.by != Hour:
		longest = longest*24 + 1
	}
	return int(min(longest, c.span.count))
}

// Width returns the number of bytes of each element's name, which is the same in all chunks.
func (c Chunks) Width() int {
	return c.span.Width()
}

package calendar

import (
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/spelling"
)

// Period holds a stretch of time as a job names it. [Period.Resolve] turns it into dates or hours, relative to the time of submission.
type Period struct {
	text string
	n    int64
	// Exactly one of these is set.
	pattern *pattern
	between *between
}

// pattern holds one family of words. Its template has an N in place of the number.
type pattern struct {
	template string
	least    int64 // smallest N
	resolve  func(n int64, today day, now time.Time) Span
}

// patterns are in the order in which errors list them.
var patterns = []pattern{
	{"today", 0, func(_ int64, today day, _ time.Time) Span { return days(today, 1) }},
	{"yesterday", 0, func(_ int64, today day, _ time.Time) Span { return days(today-1, 1) }},
	{"N_days_back", 0, func(n int64, today day, _ time.Time) Span { return days(today-day(n), 1) }},
	{"last_N_days", 0, func(n int64, today day, _ time.Time) Span { return days(today-day(n), n) }},
	{"previous_N_days", 0, func(n int64, today day, _ time.Time) Span { return days(today-day(2*n), n) }},
	{"last_week", 0, func(_ int64, today day, _ time.Time) Span { return weeks(today, 1, 1) }},
	{"previous_week", 0, func(_ int64, today day, _ time.Time) Span { return weeks(today, 2, 1) }},
	{"last_N_weeks", 1, func(n int64, today day, _ time.Time) Span { return weeks(today, n, n) }},
	{"last_month", 0, func(_ int64, today day, _ time.Time) Span { return months(today, 1) }},
	{"last_N_months", 1, func(n int64, today day, _ time.Time) Span { return months(today, n) }},
	{"this_month", 0, func(_ int64, today day, _ time.Time) Span {
		first := firstOf(today.month())
		return days(first, int64(today-first)+1)
	}},
	{"last_N_hours", 1, func(n int64, _ day, now time.Time) Span {
		return Span{unit: Hour, first: startOfHour(now) - n*secondsPerHour, count: n}
	}},
}

// weeks returns count whole weeks, the first of which begins back weeks before the Sunday of the current week.
func weeks(today day, back, count int64) Span {
	monday := today - day((today.weekday()+6)%7)
	return days(monday-1-day(7*back), 7*count)
}

// months returns the count whole months before the current one.
func months(today day, count int64) Span {
	first := firstOf(today.month() - count)
	return days(first, int64(firstOf(today.month())-first))
}

// startOfHour returns Unix seconds. It uses the hours of the zone's clock, which may begin at other times than those of UTC.
func startOfHour(t time.Time) int64 {
	return t.Unix() - int64(t.Minute()*60+t.Second())
}

// Parse reads a period that is a word, such as "last_3_days". The whole word must match. Any error is an [*Error].
func Parse(text string) (Period, error) {
	template, digits := generalise(text)
	for i := range patterns {
		if patterns[i].template != template {
			continue
		}
		n, err := readN(text, digits)
		if err != nil {
			return Period{}, err
		}
		if n < patterns[i].least && digits != "" {
			return Period{}, refuse("", "%s is empty; want an N of at least %[3]d in %[2]s", quote(text), template, patterns[i].least)
		}
		return Period{text: text, n: n, pattern: &patterns[i]}, nil
	}
	return Period{}, unknown(text, template, digits)
}

// generalise replaces the first run of digits by N: "last_3_days" becomes "last_N_days" and "3". For a word that itself contains an N it returns a text
// that matches no template.
func generalise(text string) (template, digits string) {
	if strings.ContainsRune(text, 'N') {
		return "", ""
	}
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return text, ""
	}
	end := start
	for end < len(text) && '0' <= text[end] && text[end] <= '9' {
		end++
	}
	return text[:start] + "N" + text[end:], text[start:end]
}

// readN reads N. A number with too many digits would reach back before the first year in any unit, even in hours.
func readN(text, digits string) (int64, error) {
	digits = strings.TrimLeft(digits, "0")
	if len(digits) > 9 {
		return 0, tooFar(text)
	}
	n, _ := strconv.ParseInt("0"+digits, 10, 64)
	return n, nil
}

func tooFar(text string) error {
	return refuse("", "%s begins before the year 0001", quote(text))
}

func unknown(text, template, digits string) error {
	templates := make([]string, len(patterns))
	for i, p := range patterns {
		templates[i] = p.template
	}
	known := strings.Join(templates, ", ") + `, or {"from": …, "to": …}`
	if strings.TrimSpace(text) == "" {
		return refuse("", "%s is not a period; want %s", quote(text), known)
	}
	if template == "" {
		template = text
	}
	nearest, ok := spelling.Nearest(template, templates)
	for _, beginning := range templates { // finds words like todayXYZ, which sosw accepted as today
		if !ok && strings.HasPrefix(template, beginning) {
			nearest, ok = beginning, true
		}
	}
	if ok {
		if digits != "" {
			nearest = strings.Replace(nearest, "N", digits, 1)
		}
		return refuse("", "%s is not a period; did you mean %q? want %s", quote(text), nearest, known)
	}
	return refuse("", "%s is not a period; want %s", quote(text), known)
}

// Resolve returns the dates or hours of the period for a job submitted at now, in the zone's calendar and clock. Any error is an [*Error].
func (p Period) Resolve(now time.Time, zone *time.Location) (Span, error) {
	now = now.In(zone)
	if p.between != nil {
		return p.between.resolve(zone)
	}
	today := dayOf(now)
	if today < firstDay || today > lastDay {
		return Span{}, refuse("", "%s before %s is outside the years 0001 to 9999", quote(p.text), now.Format(time.RFC3339))
	}
	span := p.pattern.resolve(p.n, today, now)
	span.zone = zone
	if span.dayOf(0) < firstDay {
		return Span{}, tooFar(p.text)
	}
	return span, nil
}

// String returns the period as written.
func (p Period) String() string {
	return p.text
}

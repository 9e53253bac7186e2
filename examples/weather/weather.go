// Package weather computes statistics of daily weather records. The example's worker uses it, and tests and demo check the worker's answers with it.
package weather

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Measures lists the columns that can be summed up.
var Measures = []string{"precipitation", "temp_max", "temp_min", "wind"}

// Day holds the measurements of one day.
type Day struct {
	Precipitation Tenths // mm
	TempMax       Tenths // °C
	TempMin       Tenths // °C
	Wind          Tenths // m/s, mean of the day
	Weather       string // drizzle, fog, rain, snow or sun
}

// Of returns the value of one of Measures.
func (d Day) Of(measure string) (Tenths, error) {
	switch measure {
	case "precipitation":
		return d.Precipitation, nil
	case "temp_max":
		return d.TempMax, nil
	case "temp_min":
		return d.TempMin, nil
	case "wind":
		return d.Wind, nil
	}
	return 0, fmt.Errorf("measure is %q; want one of %s", measure, strings.Join(Measures, ", "))
}

// Days holds records by their date, written as 2012-01-31.
type Days map[string]Day

const header = "date,precipitation,temp_max,temp_min,wind,weather"

// Read reads the data set's CSV. It returns an error for a duplicate day, or a line that does not match the header.
func Read(source io.Reader) (Days, error) {
	lines := csv.NewReader(source)
	first, err := lines.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	if got := strings.Join(first, ","); got != header {
		return nil, fmt.Errorf("header is %q; want %q", got, header)
	}
	days := Days{}
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return days, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the records: %w", err)
		}
		date, day, err := readDay(fields)
		if err != nil {
			return nil, fmt.Errorf("record of %q: %w", fields[0], err)
		}
		if _, twice := days[date]; twice {
			return nil, fmt.Errorf("record of %q: the day occurs twice", fields[0])
		}
		days[date] = day
	}
}

func readDay(fields []string) (date string, day Day, err error) {
	when, err := time.Parse("2006/01/02", fields[0])
	if err != nil {
		return "", Day{}, errors.New("want a date such as 2012/01/31")
	}
	day.Weather = fields[5]
	for i, value := range []*Tenths{&day.Precipitation, &day.TempMax, &day.TempMin, &day.Wind} {
		if *value, err = ParseTenths(fields[i+1]); err != nil {
			return "", Day{}, err
		}
	}
	return when.Format(time.DateOnly), day, nil
}

// Summary sums up one measure over a number of days.
type Summary struct {
	Days  int     `json:"days"`
	Min   Tenths  `json:"min"`
	MinOn string  `json:"min_on"` // the first day that had it
	Max   Tenths  `json:"max"`
	MaxOn string  `json:"max_on"` // the first day that had it
	Sum   Tenths  `json:"sum"`
	Mean  float64 `json:"mean"` // Sum / Days, to three decimals
}

// Summarise sums up one measure over the given dates, and counts each date as often as it is given. It returns an error for a date without a record,
// and for no dates, which have no least and greatest value.
func Summarise(days Days, measure string, dates []string) (Summary, error) {
	if len(dates) == 0 {
		return Summary{}, errors.New("there is no date to sum up")
	}
	var whole Summary
	for _, date := range dates {
		day, recorded := days[date]
		if !recorded {
			return Summary{}, fmt.Errorf("there is no record of %q", date)
		}
		value, err := day.Of(measure)
		if err != nil {
			return Summary{}, err
		}
		whole = Combine(whole, Summary{Days: 1, Min: value, MinOn: date, Max: value, MaxOn: date, Sum: value})
	}
	return whole, nil
}

// Combine returns the summary of two parts together. An empty Summary changes nothing; order and grouping do not matter.
func Combine(a, b Summary) Summary {
	if a.Days == 0 {
		return withMean(b)
	}
	if b.Days == 0 {
		return withMean(a)
	}
	whole := Summary{Days: a.Days + b.Days, Sum: a.Sum + b.Sum, Min: a.Min, MinOn: a.MinOn, Max: a.Max, MaxOn: a.MaxOn}
	if b.Min < a.Min || (b.Min == a.Min && b.MinOn < a.MinOn) {
		whole.Min, whole.MinOn = b.Min, b.MinOn
	}
	if b.Max > a.Max || (b.Max == a.Max && b.MaxOn < a.MaxOn) {
		whole.Max, whole.MaxOn = b.Max, b.MaxOn
	}
	return withMean(whole)
}

func withMean(s Summary) Summary {
	if s.Days > 0 {
		s.Mean = math.Round(float64(s.Sum)*100/float64(s.Days)) / 1000
	}
	return s
}

// Package workflow has the plugins of the workflow "climate report": statistics of a year's weather, and a report that combines them.
package workflow

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/examples/weather"
)

// Order holds a run's metadata: what the report is about.
type Order struct {
	// Bucket has the records, under Key, and the scale of wind forces, under [Scale]. The report goes there too.
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Year   int    `json:"year"`
	// Sections names the statistics that the report has. The plugins' filters read it.
	Sections []string `json:"sections"`
}

// Scale names the object with the scale of wind forces.
const Scale = "beaufort.csv"

// dates returns the days of the order's year, written as 2014-01-31.
func (o Order) dates() []string {
	var out []string
	for day := time.Date(o.Year, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() == o.Year; day = day.AddDate(0, 0, 1) {
		out = append(out, day.Format(time.DateOnly))
	}
	return out
}

// Checked holds what the plugin validate returns.
type Checked struct {
	Days int `json:"days"`
}

// Validate returns an error unless the records have every day of the year, with plausible values.
func (o Order) Validate(days weather.Days) (Checked, error) {
	dates := o.dates()
	for _, date := range dates {
		day, recorded := days[date]
		switch {
		case !recorded:
			return Checked{}, fmt.Errorf("there is no record of %s", date)
		case day.TempMin > day.TempMax:
			return Checked{}, fmt.Errorf("record of %s: the lowest temperature, %s °C, is above the highest, %s °C", date, day.TempMin, day.TempMax)
		case day.Precipitation < 0 || day.Wind < 0:
			return Checked{}, fmt.Errorf("record of %s: precipitation %s mm and wind %s m/s; want no negative value", date, day.Precipitation, day.Wind)
		}
	}
	return Checked{len(dates)}, nil
}

// Temperature holds what the plugin of this name returns.
type Temperature struct {
	Highest weather.Summary `json:"highest"` // of the days' maxima
	Lowest  weather.Summary `json:"lowest"`  // of the days' minima
}

// Temperature sums up the temperatures of the year.
func (o Order) Temperature(days weather.Days) (Temperature, error) {
	highest, err := weather.Summarise(days, "temp_max", o.dates())
	if err != nil {
		return Temperature{}, err
	}
	lowest, err := weather.Summarise(days, "temp_min", o.dates())
	return Temperature{highest, lowest}, err
}

// Rain holds what the plugin of this name returns.
type Rain struct {
	Amount  weather.Summary `json:"amount"`
	WetDays int             `json:"wet_days"` // with a millimetre or more
}

// wet says how much precipitation makes a wet day: one millimetre.
const wet = weather.Tenths(10)

// Rain sums up the precipitation of the year.
func (o Order) Rain(days weather.Days) (Rain, error) {
	amount, err := weather.Summarise(days, "precipitation", o.dates())
	if err != nil {
		return Rain{}, err
	}
	rain := Rain{Amount: amount}
	for _, date := range o.dates() {
		if days[date].Precipitation >= wet {
			rain.WetDays++
		}
	}
	return rain, nil
}

// Force is a step of a scale of wind forces.
type Force struct {
	From weather.Tenths // m/s
	Name string
}

// ReadScale reads a scale of wind forces from CSV with the header from,name. The forces rise from 0.0.
func ReadScale(source io.Reader) ([]Force, error) {
	lines, err := csv.NewReader(source).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) < 2 || !slices.Equal(lines[0], []string{"from", "name"}) {
		return nil, errors.New("want the header from,name and one line or more")
	}
	var scale []Force
	for _, line := range lines[1:] {
		from, err := weather.ParseTenths(line[0])
		if err != nil {
			return nil, err
		}
		if len(scale) == 0 && from != 0 || len(scale) > 0 && from <= scale[len(scale)-1].From {
			return nil, fmt.Errorf("the force %q begins at %s; want the first at 0.0, and each further one above the last", line[1], from)
		}
		scale = append(scale, Force{from, line[1]})
	}
	return scale, nil
}

// Wind holds what the plugin of this name returns.
type Wind struct {
	Speed weather.Summary `json:"speed"`
	Days  map[string]int  `json:"days"` // by the name of the force
}

// Wind sums up the wind of the year, and counts its days by force.
func (o Order) Wind(days weather.Days, scale []Force) (Wind, error) {
	speed, err := weather.Summarise(days, "wind", o.dates())
	if err != nil {
		return Wind{}, err
	}
	wind := Wind{speed, map[string]int{}}
	for _, date := range o.dates() {
		name := ""
		for _, force := range scale {
			if days[date].Wind >= force.From {
				name = force.Name
			}
		}
		wind.Days[name]++
	}
	return wind, nil
}

// Snow holds what the plugin of this name returns.
type Snow struct {
	Days int `json:"days"`
}

// Snow counts the days of the year with snow.
func (o Order) Snow(days weather.Days) (Snow, error) {
	snow := Snow{}
	for _, date := range o.dates() {
		day, recorded := days[date]
		if !recorded {
			return snow, fmt.Errorf("there is no record of %s", date)
		}
		if day.Weather == "snow" {
			snow.Days++
		}
	}
	return snow, nil
}

// Findings holds what the plugins before the report found; nil for one without a result.
type Findings struct {
	Checked     Checked
	Temperature *Temperature
	Rain        *Rain
	Wind        *Wind
	Snow        *Snow
}

// Findings computes what the plugins find for the sections that are asked for. Tests and the demo compare the plugins' work with it.
func (o Order) Findings(days weather.Days, scale []Force) (f Findings, err error) {
	f.Checked, err = o.Validate(days)
	for _, section := range o.Sections {
		if err != nil {
			return f, err
		}
		switch section {
		case "temperature":
			f.Temperature, err = found(o.Temperature(days))
		case "rain":
			f.Rain, err = found(o.Rain(days))
		case "wind":
			f.Wind, err = found(o.Wind(days, scale))
		case "snow":
			f.Snow, err = found(o.Snow(days))
		}
	}
	return f, err
}

func found[T any](result T, err error) (*T, error) { return &result, err }

// Missing returns the sections that are asked for and were not found.
func (o Order) Missing(f Findings) []string {
	found := map[string]bool{"temperature": f.Temperature != nil, "rain": f.Rain != nil, "wind": f.Wind != nil, "snow": f.Snow != nil}
	missing := []string{}
	for _, section := range o.Sections {
		if !found[section] {
			missing = append(missing, section)
		}
	}
	return missing
}

// Report returns the report as Markdown.
func (o Order) Report(f Findings) string {
	lines := []string{fmt.Sprintf("# The weather of %d\n", o.Year), fmt.Sprintf("%d days, from %s.\n", f.Checked.Days, o.Key)}
	add := func(format string, arguments ...any) { lines = append(lines, fmt.Sprintf("- "+format, arguments...)) }
	if t := f.Temperature; t != nil {
		add("Temperature: from %s °C on %s to %s °C on %s.", t.Lowest.Min, t.Lowest.MinOn, t.Highest.Max, t.Highest.MaxOn)
	}
	if r := f.Rain; r != nil {
		add("Rain: %s mm on %d wet days, most of it on %s (%s mm).", r.Amount.Sum, r.WetDays, r.Amount.MaxOn, r.Amount.Max)
	}
	if w := f.Wind; w != nil {
		var forces []string
		for _, name := range byDays(w.Days) {
			forces = append(forces, fmt.Sprintf("%s on %d days", name, w.Days[name]))
		}
		add("Wind: %s m/s at most, on %s; %s.", w.Speed.Max, w.Speed.MaxOn, strings.Join(forces, ", "))
	}
	if s := f.Snow; s != nil {
		add("Snow: on %d days.", s.Days)
	}
	for _, section := range o.Missing(f) {
		add("Missing: %s.", section)
	}
	return strings.Join(lines, "\n") + "\n"
}

// byDays returns the names of forces, the most frequent first.
func byDays(days map[string]int) []string {
	return slices.SortedFunc(maps.Keys(days), func(a, b string) int { return cmp.Or(cmp.Compare(days[b], days[a]), cmp.Compare(a, b)) })
}

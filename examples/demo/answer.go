package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/examples/weather/data"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/task"
)

// measured holds the measures of the table, with their units.
var measured = map[string]string{"precipitation": "mm", "temp_max": "°C", "temp_min": "°C"}

// checkWeather returns a table of the tasks' combined results. It returns an error if a single computation over the same data disagrees.
func checkWeather(p plan, records []archive.Record) (string, error) {
	days, err := weather.Read(bytes.NewReader(data.CSV))
	if err != nil {
		return "", err
	}
	found, err := combined(records)
	if err != nil {
		return "", err
	}
	rows := [][]string{{"", "days", "least", "greatest", "mean", "computed at once"}}
	var wrong []error
	for _, measure := range slices.Sorted(maps.Keys(measured)) {
		shall, err := weather.Summarise(days, measure, without(days, measure, p.poisoned))
		if err != nil {
			return "", err
		}
		is, verdict := found[measure], "the same"
		if is != shall {
			verdict = "something else"
			wrong = append(wrong, fmt.Errorf("the tasks found %+v for %s; a single computation finds %+v", is, measure, shall))
		}
		unit := measured[measure]
		rows = append(rows, []string{measure, strconv.Itoa(is.Days), fmt.Sprintf("%s %s on %s", is.Min, unit, is.MinOn),
			fmt.Sprintf("%s %s on %s", is.Max, unit, is.MaxOn), fmt.Sprintf("%.3f %s", is.Mean, unit), verdict})
	}
	var text strings.Builder
	fmt.Fprintf(&text, "The combined results of the %d completed tasks of weather, from the archive:\n\n%s", ends(records).completed, table(rows))
	for _, request := range p.poisoned {
		fmt.Fprintf(&text, "The %s of %s to %s is missing: that task was poisoned, and is dead.\n", strings.Join(request.Measures, ", "),
			request.Dates[0], request.Dates[len(request.Dates)-1])
	}
	return text.String(), errors.Join(wrong...)
}

// combined combines the answers of all completed tasks.
func combined(records []archive.Record) (weather.Answer, error) {
	whole := weather.Answer{}
	for _, r := range records {
		if r.Status != task.Completed {
			continue
		}
		var part weather.Answer
		if err := json.Unmarshal(r.Result, &part); err != nil {
			return nil, fmt.Errorf("the result of task %s: %w", r.TaskID, err)
		}
		for measure, summary := range part {
			whole[measure] = weather.Combine(whole[measure], summary)
		}
	}
	return whole, nil
}

// without returns all days except those for which the measure was left out.
func without(days weather.Days, measure string, left []weather.Request) []string {
	out := map[string]bool{}
	for _, request := range left {
		if slices.Contains(request.Measures, measure) {
			for _, date := range request.Dates {
				out[date] = true
			}
		}
	}
	var dates []string
	for _, date := range slices.Sorted(maps.Keys(days)) {
		if !out[date] {
			dates = append(dates, date)
		}
	}
	return dates
}

// kinds counts the days of each kind of weather, by year.
type kinds map[string]map[string]int

// checkKinds is like checkWeather, for the Python worker.
func checkKinds(records []archive.Record) (string, error) {
	days, err := weather.Read(bytes.NewReader(data.CSV))
	if err != nil {
		return "", err
	}
	shall := kinds{}
	for date, day := range days {
		year := date[:len("2012")]
		for _, kind := range []string{"drizzle", "fog", "rain", "snow", "sun"} {
			shall.add(year, kind, 0) // a kind that never occurred counts too, as 0
		}
		shall.add(year, day.Weather, 1)
	}
	is := kinds{}
	for _, r := range records {
		var part kinds
		if err := json.Unmarshal(r.Result, &part); err != nil {
			return "", fmt.Errorf("the result of task %s: %w", r.TaskID, err)
		}
		for year, of := range part {
			for kind, n := range of {
				is.add(year, kind, n)
			}
		}
	}
	years := slices.Sorted(maps.Keys(shall))
	names := slices.Sorted(maps.Keys(shall[years[0]]))
	rows := [][]string{append(append([]string{""}, names...), "computed at once")}
	var wrong []error
	for _, year := range years {
		verdict := "the same"
		if !maps.Equal(is[year], shall[year]) {
			verdict = "something else"
			wrong = append(wrong, fmt.Errorf("the tasks found %v for %s; a single computation finds %v", is[year], year, shall[year]))
		}
		row := []string{year}
		for _, kind := range names {
			row = append(row, strconv.Itoa(is[year][kind]))
		}
		rows = append(rows, append(row, verdict))
	}
	return fmt.Sprintf("The combined results of the %d tasks of weather_kinds, in Python: days by kind of weather.\n\n%s", len(records), table(rows)), errors.Join(wrong...)
}

func (k kinds) add(year, kind string, n int) {
	if k[year] == nil {
		k[year] = map[string]int{}
	}
	k[year][kind] += n
}

package calendar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/calendar"
)

func between(t require.TestingT, from, to string, z *time.Location) calendar.Span {
	period, err := calendar.Between(from, to)
	require.NoError(t, err)
	span, err := period.Resolve(time.Time{}, z)
	require.NoError(t, err)
	return span
}

func lengths(c calendar.Chunks) []int {
	all := []int{}
	for i := range c.Len() {
		all = append(all, c.At(i).Len())
	}
	return all
}

func TestDaysHaveTheHoursOfTheirZone(t *testing.T) {
	for _, c := range []struct {
		name, zone, date string
		hours            int
		first, last      string
	}{
		{"an ordinary day", "Europe/Berlin", "2026-03-28", 24, "2026-03-28T00:00:00+01:00", "2026-03-28T23:00:00+01:00"},
		{"clocks forward", "Europe/Berlin", "2026-03-29", 23, "2026-03-29T00:00:00+01:00", "2026-03-29T23:00:00+02:00"},
		{"clocks back", "Europe/Berlin", "2026-10-25", 25, "2026-10-25T00:00:00+02:00", "2026-10-25T23:00:00+01:00"},
		{"clocks forward in the far future", "Europe/Berlin", "9999-03-28", 23, "9999-03-28T00:00:00+01:00", "9999-03-28T23:00:00+02:00"},
		{"no midnight", "America/Sao_Paulo", "2018-11-04", 23, "2018-11-04T01:00:00-02:00", "2018-11-04T23:00:00-02:00"},
		{"midnight twice", "America/Havana", "2026-11-01", 25, "2026-11-01T00:00:00-04:00", "2026-11-01T23:00:00-05:00"},
		{"half an hour forward", "Australia/Lord_Howe", "2026-10-04", 24, "2026-10-04T00:00:00+10:30", "2026-10-04T23:30:00+11:00"},
		{"half an hour back", "Australia/Lord_Howe", "2026-04-05", 25, "2026-04-05T00:00:00+11:00", "2026-04-05T23:30:00+10:30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			hours := between(t, c.date, c.date, zone(t, c.zone)).Split(calendar.Hour)
			require.Equal(t, c.hours, hours.Len())
			first, _ := ends(hours.At(0))
			_, last := ends(hours.At(hours.Len() - 1))
			require.Equal(t, c.first, first)
			require.Equal(t, c.last, last)
			require.Equal(t, 1, hours.Longest())
		})
	}
}

func TestADayThatAZoneSkippedHasNoHoursAndNoChunk(t *testing.T) {
	span := between(t, "2011-12-29T20:00", "2011-12-31T03:00", zone(t, "Pacific/Apia"))
	days := span.Split(calendar.Day)
	require.Equal(t, []int{4, 4}, lengths(days))
	require.Equal(t, []string{"2011-12-31T00:00:00+14:00", "2011-12-31T01:00:00+14:00", "2011-12-31T02:00:00+14:00", "2011-12-31T03:00:00+14:00"}, names(days.At(1)))
}

func TestChunksEndWithTheirUnits(t *testing.T) {
	for _, c := range []struct {
		name, from, to, zone string
		by                   calendar.Unit
		lengths              []int
		second               string // first element of the second chunk
	}{
		{"days by weeks", "2026-11-20", "2026-12-05", "", calendar.Week, []int{2, 7, 7}, "2026-11-22"},
		{"days by months", "2024-01-31", "2024-03-01", "", calendar.Month, []int{1, 29, 1}, "2024-02-01"},
		{"days by months over a year's end", "2025-12-31", "2026-01-01", "", calendar.Month, []int{1, 1}, "2026-01-01"},
		{"days by days", "2026-11-20", "2026-11-22", "", calendar.Day, []int{1, 1, 1}, "2026-11-21"},
		{"days before 1970 by weeks", "1969-12-27", "1970-01-04", "", calendar.Week, []int{1, 7, 1}, "1969-12-28"},
		{"hours by days", "2026-10-24T22:00", "2026-10-26T00:00", "Europe/Berlin", calendar.Day, []int{2, 25, 1}, "2026-10-25T00:00:00+02:00"},
		{"hours by weeks", "2026-10-24T22:00", "2026-10-25T01:00", "Europe/Berlin", calendar.Week, []int{2, 2}, "2026-10-25T00:00:00+02:00"},
		{"hours by months", "2026-10-31T22:00", "2026-11-01T00:00", "Asia/Kolkata", calendar.Month, []int{2, 1}, "2026-11-01T00:00:00+05:30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chunks := between(t, c.from, c.to, zone(t, c.zone)).Split(c.by)
			require.Equal(t, c.lengths, lengths(chunks))
			second, _ := ends(chunks.At(1))
			require.Equal(t, c.second, second)
		})
	}
}

func TestTenThousandYearsAreAsFastAsADay(t *testing.T) {
	span := between(t, "0001-01-01", "9999-12-31", time.UTC)
	for unit, want := range map[calendar.Unit]int{calendar.Whole: 1, calendar.Day: 3652059, calendar.Week: 521723, calendar.Month: 119988} {
		require.Equal(t, want, span.Split(unit).Len(), unit.String())
	}
	hours := span.Split(calendar.Hour)
	require.Equal(t, 3652059*24, hours.Len())
	first, _ := ends(hours.At(hours.Len() - 1))
	require.Equal(t, "9999-12-31T23:00:00Z", first)
	chunk := span.Split(calendar.Month).At(119987)
	require.Equal(t, 31, chunk.Len())
}

// The zones have everything that makes days irregular: shifts by whole and half hours, midnights that are skipped or repeated, skipped
// dates.
var strange = []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "Africa/Monrovia", "Antarctica/Troll"}

func TestChunksCoverTheSpanWithoutGapsOrOverlaps(t *testing.T) {
	zones := map[string]*time.Location{}
	for _, name := range strange {
		zones[name] = zone(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		z := zones[rapid.SampledFrom(strange).Draw(t, "zone")]
		from := time.Unix(rapid.Int64Range(-3e9, 4e9).Draw(t, "from"), 0).In(z)
		days := rapid.IntRange(0, 70).Draw(t, "days")
		by := rapid.SampledFrom([]calendar.Unit{calendar.Whole, calendar.Hour, calendar.Day, calendar.Week, calendar.Month}).Draw(t, "by")
		layout := rapid.SampledFrom([]string{time.DateOnly, time.RFC3339}).Draw(t, "layout")
		span := between(t, from.Format(layout), from.AddDate(0, 0, days).Format(layout), z)
		chunks := span.Split(by)
		if by == calendar.Hour {
			span = span.Hours()
		}
		all := []string{}
		for i := range chunks.Len() {
			chunk := names(chunks.At(i))
			require.NotEmpty(t, chunk, "chunk %d", i)
			require.LessOrEqual(t, len(chunk), chunks.Longest()+24, "chunk %d", i)
			for _, name := range chunk {
				require.Len(t, name, chunks.Width())
			}
			all = append(all, chunk...)
		}
		require.Equal(t, names(span), all)
	})
}

func TestNoChunkOfDaysCrossesTheBoundaryOfItsUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := time.Unix(rapid.Int64Range(-6e10, 2.5e11).Draw(t, "first"), 0).UTC()
		last := first.AddDate(0, 0, rapid.IntRange(0, 400).Draw(t, "days"))
		span := between(t, first.Format(time.DateOnly), last.Format(time.DateOnly), time.UTC)
		unit := map[calendar.Unit]func(time.Time) any{
			calendar.Week:  func(d time.Time) any { return d.AddDate(0, 0, -int(d.Weekday())) },
			calendar.Month: func(d time.Time) any { return [2]int{d.Year(), int(d.Month())} },
		}
		for by, of := range unit {
			chunks := span.Split(by)
			var before any
			for i := range chunks.Len() {
				chunk := chunks.At(i)
				require.LessOrEqual(t, chunk.Len(), chunks.Longest())
				for _, name := range names(chunk) {
					d, err := time.Parse(time.DateOnly, name)
					require.NoError(t, err)
					require.Equal(t, of(must(time.Parse(time.DateOnly, names(chunk)[0]))), of(d))
				}
				now := of(must(time.Parse(time.DateOnly, names(chunk)[0])))
				require.NotEqual(t, before, now, "two chunks of one %s", by)
				before = now
			}
		}
	})
}

func must(t time.Time, err error) time.Time {
	if err != nil {
		panic(err)
	}
	return t
}

func FuzzPeriod(f *testing.F) {
	for _, word := range []string{"today", "yesterday", "last_3_days", "0_days_back", "previous_99999_days", "last_week", "previous_week", "last_2_weeks", "last_month", "last_5_months", "this_month", "last_48_hours", "last_99999999999_days", "todayXYZ", "last_N_days", ""} {
		f.Add(word, "2026-01-01", "2026-01-31T05:00", int64(1764000000), "America/New_York")
	}
	f.Add("today", "2026-03-29T02:30", "0000-01-01", int64(-62135596800), "Pacific/Apia")
	f.Add("today", "9999-12-31T23:59:59-12:00", "2011-12-30", int64(253402300799), "Europe/Berlin")
	f.Fuzz(func(t *testing.T, word, from, to string, now int64, name string) {
		z, err := calendar.Zone(name)
		if err != nil {
			return
		}
		periods := []calendar.Period{}
		if p, err := calendar.Parse(word); err == nil {
			periods = append(periods, p)
		}
		if p, err := calendar.Between(from, to); err == nil {
			periods = append(periods, p)
		}
		for _, p := range periods {
			span, err := p.Resolve(time.Unix(now, 0), z)
			if err != nil {
				var wrong *calendar.Error
				require.ErrorAs(t, err, &wrong)
				continue
			}
			for _, by := range []calendar.Unit{calendar.Whole, calendar.Hour, calendar.Day, calendar.Week, calendar.Month} {
				chunks := span.Split(by)
				if span.Len() == 0 || by == calendar.Whole {
					continue
				}
				require.Positive(t, chunks.Len())
				for _, i := range []int{0, chunks.Len() - 1} {
					chunk := chunks.At(i)
					require.Positive(t, chunk.Len())
					require.Len(t, chunk.Append(nil, chunk.Len()-1), chunks.Width())
				}
			}
		}
	})
}

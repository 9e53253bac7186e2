package calendar_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/calendar"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	now, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return now
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := calendar.Zone(name)
	require.NoError(t, err)
	return z
}

func names(s calendar.Span) []string {
	all := []string{}
	for i := range s.Len() {
		all = append(all, string(s.Append(nil, i)))
	}
	return all
}

// ends returns the first and the last name, for spans that are too long to list.
func ends(s calendar.Span) (first, last string) {
	return string(s.Append(nil, 0)), string(s.Append(nil, s.Len()-1))
}

func TestWordsNameTheDaysAroundTheDayOfSubmission(t *testing.T) {
	for _, c := range []struct {
		word, today string
		days        int
		first, last string
	}{
		{"today", "2019-04-10", 1, "2019-04-10", "2019-04-10"},
		{"yesterday", "2020-03-01", 1, "2020-02-29", "2020-02-29"},
		{"0_days_back", "2019-04-10", 1, "2019-04-10", "2019-04-10"},
		{"366_days_back", "2021-01-01", 1, "2020-01-01", "2020-01-01"},
		{"last_3_days", "2020-03-01", 3, "2020-02-27", "2020-02-29"},
		{"last_3_days", "2100-03-01", 3, "2100-02-26", "2100-02-28"}, // 2100 is not a leap year
		{"last_003_days", "2019-01-30", 3, "2019-01-27", "2019-01-29"},
		{"previous_3_days", "2019-04-30", 3, "2019-04-24", "2019-04-26"},
		{"last_month", "2020-03-31", 29, "2020-02-01", "2020-02-29"},
		{"last_month", "2019-01-01", 31, "2018-12-01", "2018-12-31"},
		{"last_1_months", "2020-03-31", 29, "2020-02-01", "2020-02-29"},
		{"last_12_months", "2021-02-28", 366, "2020-02-01", "2021-01-31"},
		{"last_14_months", "2019-01-15", 31 + 30 + 365, "2017-11-01", "2018-12-31"},
		{"this_month", "2020-02-29", 29, "2020-02-01", "2020-02-29"},
		{"this_month", "2020-02-01", 1, "2020-02-01", "2020-02-01"},
		{"previous_week", "2019-05-08", 7, "2019-04-21", "2019-04-27"},
		{"last_2_weeks", "2019-05-08", 14, "2019-04-21", "2019-05-04"},
		{"last_1_weeks", "2019-05-08", 7, "2019-04-28", "2019-05-04"},
		{"last_737088_days", "2019-01-30", 737088, "0001-01-01", "2019-01-29"},
	} {
		t.Run(c.word+" on "+c.today, func(t *testing.T) {
			period, err := calendar.Parse(c.word)
			require.NoError(t, err)
			require.Equal(t, c.word, period.String())
			span, err := period.Resolve(at(t, c.today+"T12:00:00Z"), time.UTC)
			require.NoError(t, err)
			require.Equal(t, c.days, span.Len())
			first, last := ends(span)
			require.Equal(t, c.first, first)
			require.Equal(t, c.last, last)
		})
	}
}

func TestLastWeekIsTheSameFromMondayToSunday(t *testing.T) {
	period, err := calendar.Parse("last_week")
	require.NoError(t, err)
	for day := 6; day <= 12; day++ { // 2019-05-06 was a Monday
		span, err := period.Resolve(time.Date(2019, 5, day, 0, 0, 0, 0, time.UTC), time.UTC)
		require.NoError(t, err)
		require.Equal(t, []string{"2019-04-28", "2019-04-29", "2019-04-30", "2019-05-01", "2019-05-02", "2019-05-03", "2019-05-04"}, names(span), "on May %d", day)
	}
}

func TestAPeriodOfNoDaysIsEmptyInEveryUnit(t *testing.T) {
	for _, word := range []string{"last_0_days", "previous_0_days"} {
		period, err := calendar.Parse(word)
		require.NoError(t, err)
		span, err := period.Resolve(at(t, "2019-01-30T00:00:00Z"), time.UTC)
		require.NoError(t, err)
		require.Zero(t, span.Len())
		require.Zero(t, span.Hours().Len())
		for _, unit := range []calendar.Unit{calendar.Hour, calendar.Day, calendar.Week, calendar.Month} {
			require.Zero(t, span.Split(unit).Len(), "%s by %s", word, unit)
		}
		whole := span.Split(calendar.Whole)
		require.Equal(t, 1, whole.Len(), "uncut it is one empty chunk")
		require.Zero(t, whole.At(0).Len())
		require.Zero(t, whole.Longest())
	}
}

func TestTodayIsTheDateInTheZone(t *testing.T) {
	now := at(t, "2026-11-22T03:30:00Z")
	for name, want := range map[string]string{"": "2026-11-22", "America/New_York": "2026-11-21", "Pacific/Kiritimati": "2026-11-22", "Pacific/Pago_Pago": "2026-11-21"} {
		period, err := calendar.Parse("today")
		require.NoError(t, err)
		span, err := period.Resolve(now, zone(t, name))
		require.NoError(t, err)
		require.Equal(t, []string{want}, names(span), name)
	}
}

func TestLastHoursAreTheFullHoursBeforeTheCurrentOne(t *testing.T) {
	period, err := calendar.Parse("last_3_hours")
	require.NoError(t, err)
	now := at(t, "2026-11-22T01:59:59Z")
	for name, want := range map[string][]string{
		"":                 {"2026-11-21T22:00:00Z", "2026-11-21T23:00:00Z", "2026-11-22T00:00:00Z"},
		"Europe/Berlin":    {"2026-11-21T23:00:00+01:00", "2026-11-22T00:00:00+01:00", "2026-11-22T01:00:00+01:00"},
		"Asia/Kolkata":     {"2026-11-22T04:00:00+05:30", "2026-11-22T05:00:00+05:30", "2026-11-22T06:00:00+05:30"},
		"Europe/London":    {"2026-11-21T22:00:00+00:00", "2026-11-21T23:00:00+00:00", "2026-11-22T00:00:00+00:00"},
		"America/New_York": {"2026-11-21T17:00:00-05:00", "2026-11-21T18:00:00-05:00", "2026-11-21T19:00:00-05:00"},
	} {
		span, err := period.Resolve(now, zone(t, name))
		require.NoError(t, err)
		require.Equal(t, want, names(span), name)
	}
}

func TestAnHourThatTheClocksRepeatCountsTwice(t *testing.T) {
	period, err := calendar.Parse("last_4_hours")
	require.NoError(t, err)
	span, err := period.Resolve(at(t, "2026-11-01T08:10:00Z"), zone(t, "America/New_York"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"2026-11-01T00:00:00-04:00", "2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00",
	}, names(span))
}

func TestWordsThatAreNotPeriodsAreRefusedWithTheNearestPeriod(t *testing.T) {
	for word, want := range map[string]string{
		"last_3_day":                            `did you mean "last_3_days"?`,
		"LAST_3_DAYS":                           `did you mean "last_3_days"?`,
		"last_7days":                            `did you mean "last_7_days"?`,
		"todayXYZ":                              `did you mean "today"?`,
		"yesteday":                              `did you mean "yesterday"?`,
		"last_weekend":                          `did you mean "last_week"?`,
		"lastweek":                              `did you mean "last_week"?`,
		"last_3_days ":                          `did you mean "last_3_days"?`,
		"last_-3_days":                          `did you mean "last_3_days"?`,
		"last_N_days":                           `did you mean "last_N_days"?`,
		"last_3_days_3":                         "is not a period",
		"tomorrow":                              "is not a period; want today, yesterday, N_days_back, last_N_days",
		"2019-05-01":                            "is not a period",
		"":                                      `"" is not a period`,
		"last_٣_days":                           "is not a period",
		"last_0_hours":                          "want an N of at least 1",
		"last_0_weeks":                          "want an N of at least 1",
		"last_00_months":                        "want an N of at least 1",
		"last_9999999999_days":                  "begins before the year 0001",
		"last_99999999999999999999999999_hours": "begins before the year 0001",
	} {
		_, err := calendar.Parse(word)
		require.ErrorContains(t, err, want, word)
		var wrong *calendar.Error
		require.ErrorAs(t, err, &wrong)
		require.Empty(t, wrong.Field)
	}
}

func TestALongWordIsCutInTheMessage(t *testing.T) {
	_, err := calendar.Parse(strings.Repeat("ü", 5000))
	require.ErrorContains(t, err, "(10000 bytes)")
	require.Less(t, len(err.Error()), 500)
}

func TestPeriodsBeforeTheFirstYearAreRefused(t *testing.T) {
	for _, word := range []string{"last_800000_days", "previous_400000_days", "800000_days_back", "last_999999999_days", "last_999999999_weeks", "last_999999999_months", "last_24300_months", "last_999999999_hours"} {
		period, err := calendar.Parse(word)
		require.NoError(t, err)
		_, err = period.Resolve(at(t, "2019-01-30T00:00:00Z"), time.UTC)
		require.ErrorContains(t, err, "before the year 0001", word)
	}
}

func TestASubmissionOutsideFourDigitYearsIsRefused(t *testing.T) {
	period, err := calendar.Parse("today")
	require.NoError(t, err)
	for _, year := range []int{0, 10000} {
		_, err = period.Resolve(time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC), time.UTC)
		require.ErrorContains(t, err, "outside the years 0001 to 9999")
	}
}

func TestEachSuggestedZoneExists(t *testing.T) {
	names, err := os.ReadFile("zones.txt")
	require.NoError(t, err)
	zones := strings.Fields(string(names))
	require.Contains(t, zones, "America/Argentina/Buenos_Aires")
	for _, name := range zones {
		require.Equal(t, name, zone(t, name).String())
	}
}

func TestZonesAreNamesOfTheIANADatabase(t *testing.T) {
	for _, name := range []string{"", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"} {
		_, err := calendar.Zone(name)
		require.NoError(t, err, name)
	}
	require.Equal(t, time.UTC, zone(t, ""))
	for name, want := range map[string]string{
		"europe/berlin":    `did you mean "Europe/Berlin"?`,
		"America/New York": `did you mean "America/New_York"?`,
		"utc":              `did you mean "UTC"?`,
		"Europe/Belrin":    `did you mean "Europe/Berlin"?`,
		"Asia/Calcuta":     `did you mean "Asia/Calcutta"?`,
		"Tokyo":            `did you mean "Asia/Tokyo"?`,
		"new york":         `did you mean "America/New_York"?`,
		"+02:00":           "is not a time zone; want a name of the IANA database",
		"Local":            "is not a time zone; want a name of the IANA database",
		"Mars/Olympus":     "is not a time zone; want a name of the IANA database",
		"../etc/passwd":    "is not a time zone",
	} {
		_, err := calendar.Zone(name)
		require.ErrorContains(t, err, want)
	}
}

package calendar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/calendar"
)

func TestARangeIncludesBothEnds(t *testing.T) {
	for _, c := range []struct {
		name, from, to, zone string
		count                int
		first, last          string
	}{
		{"a month", "2026-01-01", "2026-01-31", "", 31, "2026-01-01", "2026-01-31"},
		{"one day", "2024-02-29", "2024-02-29", "Asia/Tokyo", 1, "2024-02-29", "2024-02-29"},
		{"all dates", "0001-01-01", "9999-12-31", "", 3652059, "0001-01-01", "9999-12-31"},
		{"times", "2026-01-01T05:00:00Z", "2026-01-01T08:00:00Z", "", 4, "2026-01-01T05:00:00Z", "2026-01-01T08:00:00Z"},
		{"times within hours", "2026-01-01T05:30:00Z", "2026-01-01T06:00:00.5Z", "", 2, "2026-01-01T05:00:00Z", "2026-01-01T06:00:00Z"},
		{"one instant", "2026-01-01T05:30Z", "2026-01-01T05:30Z", "", 1, "2026-01-01T05:00:00Z", "2026-01-01T05:00:00Z"},
		{"an offset shown in the zone", "2026-01-01T05:00:00+05:00", "2026-01-01T00:00:00Z", "Europe/Berlin", 1, "2026-01-01T01:00:00+01:00", "2026-01-01T01:00:00+01:00"},
		{"times of the zone", "2026-07-01T05:00", "2026-07-01T06:59:59", "Europe/Berlin", 2, "2026-07-01T05:00:00+02:00", "2026-07-01T06:00:00+02:00"},
		{"from a date to a time", "2026-07-01", "2026-07-01T01:00:00Z", "", 2, "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"},
		{"from a time to a date", "2026-07-01T22:00:00Z", "2026-07-01", "", 2, "2026-07-01T22:00:00Z", "2026-07-01T23:00:00Z"},
		{"the hour that comes twice", "2026-10-25T02:00", "2026-10-25T02:00", "Europe/Berlin", 2, "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			period, err := calendar.Between(c.from, c.to)
			require.NoError(t, err)
			require.Equal(t, c.from+" to "+c.to, period.String())
			span, err := period.Resolve(time.Time{}, zone(t, c.zone))
			require.NoError(t, err)
			require.Equal(t, c.count, span.Len())
			first, last := ends(span)
			require.Equal(t, c.first, first)
			require.Equal(t, c.last, last)
		})
	}
}

func TestAnInvalidRangeIsRefusedWithTheWrongEnd(t *testing.T) {
	for _, c := range []struct{ name, from, to, zone, field, reason string }{
		{"backwards", "2026-02-01", "2026-01-31", "", "to", `"2026-01-31" is before from, which is "2026-02-01"`},
		{"backwards in time", "2026-01-01T05:00:00Z", "2026-01-01T04:59:59Z", "", "to", "is before from"},
		{"no such date", "2026-02-30", "2026-03-01", "", "from", `"2026-02-30" does not exist as a date or a time; want a date`},
		{"no such leap day", "2026-02-28", "2026-02-29", "", "to", `"2026-02-29" does not exist as a date or a time`},
		{"a 25th hour", "2026-02-28", "2026-02-28T24:00:00+01:00", "", "to", "does not exist as a date or a time; want a date"},
		{"letters in place of digits", "2026-02-XX", "2026-03-01", "", "from", `"2026-02-XX" is not a date or a time`},
		{"a word", "2026-02-01", "yesterday", "", "to", `"yesterday" is not a date or a time`},
		{"nothing", "", "2026-03-01", "", "from", "is empty; want a date"},
		{"the year 0", "0000-12-31", "2026-03-01", "", "from", "outside the years 0001 to 9999"},
		{"a time before the first year", "0001-01-01T00:00:00+01:00", "2026-03-01", "", "from", "outside the years 0001 to 9999"},
		{"an hour that the clocks skip", "2026-03-29T02:30", "2026-03-29", "Europe/Berlin", "from", `"2026-03-29T02:30" does not exist in Europe/Berlin`},
		{"such an hour as the end", "2026-03-29", "2026-03-29T02:30", "Europe/Berlin", "to", "does not exist in Europe/Berlin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			period, err := calendar.Between(c.from, c.to)
			if err == nil {
				_, err = period.Resolve(time.Time{}, zone(t, c.zone))
			}
			var wrong *calendar.Error
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, c.field, wrong.Field)
			require.Contains(t, wrong.Reason, c.reason)
			require.Equal(t, wrong.Field+": "+wrong.Reason, err.Error())
		})
	}
}

func TestATextNamesItsFirstInstant(t *testing.T) {
	for _, c := range []struct{ text, zone, want string }{
		{"2026-11-22", "", "2026-11-22T00:00:00Z"},
		{"2026-11-22", "Europe/Berlin", "2026-11-21T23:00:00Z"},
		{"2026-11-22T05:00:00+01:00", "Asia/Tokyo", "2026-11-22T04:00:00Z"},
		{"2026-11-22T05:00:00", "Asia/Tokyo", "2026-11-21T20:00:00Z"},
		{"2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z"},
	} {
		got, err := calendar.Instant(c.text, zone(t, c.zone))
		require.NoError(t, err)
		require.Equal(t, c.want, got.UTC().Format(time.RFC3339), c.text)
	}
	_, err := calendar.Instant("soon", time.UTC)
	require.EqualError(t, err, `"soon" is not a date or a time; want a date ("2026-01-31") or a time ("2026-01-31T05:00:00Z", "2026-01-31T05:00:00+01:00", or "2026-01-31T05:00:00" in the job's time zone)`)
}

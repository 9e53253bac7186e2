// Package calendar reads the periods that a job may ask for, and cuts them into the dates or hours of its tasks.
//
// # Periods
//
// A period is a word, relative to the day on which the job was submitted:
//
//	today                the day itself
//	yesterday            the day before it
//	N_days_back          the single day N days before it
//	last_N_days          the N days before it, without the day itself
//	previous_N_days      the N days before last_N_days
//	last_week            the seven days Sunday to Saturday before the current week (see below)
//	previous_week        the week before last_week
//	last_N_weeks         the N weeks that end with last_week
//	last_month           the calendar month before the current one
//	last_N_months        the N calendar months that end with last_month
//	this_month           the first of the current month to today, both included
//	last_N_hours         the N full hours before the current one
//
// or an exact range, [Between] two dates or two times, both included.
//
// N is a whole number in decimal digits. For days it may be 0, as in sosw: last_0_days has no dates.
//
// # Weeks
//
// Weeks run from Sunday to Saturday, but the current week, which last_week excludes, runs from Monday to Sunday. So last_week is the same
// on each day from Monday to Sunday: it ends with the Saturday before that Monday. On a Sunday it is not the week that ended yesterday
// but the one before. This is sosw's rule, and its users' jobs depend on it.
//
// # Time zones, days of 23 and 25 hours
//
// Days, and the current hour, are those of the given time zone. A day begins at the first instant of its date, whatever the clock shows then, and ends
// when the next day begins. So it has 23 or 25 hours when the clocks change, and none if its zone skipped the date at the date line. Hours have 3600
// seconds each, counted from the first, and are named after the instant at which they begin. If a zone shifts by a fraction of an hour (Lord Howe's
// half hour, or the local mean time of the 19th century), the hours after the shift begin within those of the clock, and the last hour of a run may
// extend into the next day.
//
// # Size
//
// A [Span] consists of a first element and a count, and [Chunks] are computed one by one, in constant time and memory. Ten thousand years of days cost
// as much as one day until their elements are requested. Dates are between 0001-01-01 and 9999-12-31.
//
// The package has no clock: the time of submission is always a parameter.
package calendar

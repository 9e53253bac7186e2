package job

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/calendar"
	"github.com/drover-run/drover/shared/core/lazyregexp"
	"github.com/drover-run/drover/shared/core/spelling"
	"github.com/drover-run/drover/shared/core/trace"
)

const (
	// MaxJobBytes limits the text of a job, like EventBridge limits an event
	// (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html).
	MaxJobBytes = 1 << 20
	// MaxPayloadBytes limits the payload of one task, like SQS limits a message and Lambda the input of a function
	// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html). A target may accept less, see [Plan.Fits].
	MaxPayloadBytes = 1 << 20
	// MaxDepth limits the nesting of lists and objects. A level of chunkable attributes takes two. Python's parser, which most workers use, gives up near a
	// thousand.
	MaxDepth = 256

	maxAttempts = 1000
	maxDuration = 14 * 24 * time.Hour // as long as SQS keeps a message, https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
)

// dateList names the attribute of a payload that has the task's dates or hours.
const dateList = "date_list"

// steering lists the attributes that steer Drover. Payloads do not have them.
var steering = []string{
	"job_id", "labourer", "lambda_name", "period", "isolate_days", "time_zone", "not_before", "max_attempts", "max_duration",
}

func steers(name string) bool {
	return slices.Contains(steering, name)
}

// tracing lists the attributes that carry a trace context. They neither reach a payload nor change what a job does, so they are never refused.
var tracing = []string{"traceparent", "tracestate"}

func traces(name string) bool {
	return slices.Contains(tracing, name)
}

// reserved lists the names that every worker gets in addition to its payload.
var reserved = []string{"task_id", "drover"}

var jobID = lazyregexp.New(`^[A-Za-z0-9_.:-]{1,128}$`)

// Between these instants, Unix milliseconds, also those of a job's later queue entries, have at most thirteen digits, so that they sort as text.
var (
	earliestStart = time.Unix(0, 0)
	latestStart   = time.Date(2286, 1, 1, 0, 0, 0, 0, time.UTC)
)

// mostYearsAhead limits how far ahead a job may start.
const mostYearsAhead = 10

// Job holds a job that was read, and that is valid as far as it can be checked without its schema. It is immutable.
type Job struct {
	ID          string        // idempotency key, "" if the job has none
	Labourer    string        // the name in labourer or lambda_name
	Qualifier   string        // alias or version given with the name, "" if none
	Schema      string        // job_schema_name, "" for the default
	NotBefore   time.Time     // no task starts earlier; zero if absent
	MaxAttempts int           // 1 to 1000; 0 if absent
	MaxDuration time.Duration // one second to 14 days; 0 if absent
	Trace       trace.Context // of traceparent and tracestate; the zero value if there is none, or it cannot be read

	zone   *time.Location
	period *calendar.Period // nil without a period
	root   *value           // the job's object, encoded
	text   []byte           // root's positions refer to it
	unseen []string         // attributes beside the wrapper, which are ignored
}

// Parse reads a job: the detail of a SubmitJob event, or the text of a file. Any error is an [*Error]; its field is "job" if the text is not a job at all.
// With an error the returned Job has only its id, if that could be read.
func Parse(detail []byte) (Job, error) {
	came, err := unwrap(detail)
	if err != nil {
		return Job{ID: idIn(detail)}, err
	}
	root := came.job
	e := encoder{}
	e.value(root)
	j := Job{root: root, text: e.data, unseen: came.unseen}
	if came.twice != nil {
		if came.twice.Field != "job_id" && j.readID() != nil {
			j.ID = ""
		}
		return Job{ID: j.ID}, came.twice
	}
	for _, read := range []func() *Error{j.readID, j.readLabourer, j.readSchema, j.readZone, j.readPeriod, j.readNotBefore, j.readAttempts, j.readDuration} {
		if err := read(); err != nil {
			return Job{ID: j.ID}, err
		}
	}
	if err := checkReserved(root, ""); err != nil {
		return Job{ID: j.ID}, err
	}
	j.Trace = trace.Parse(root.textOf("traceparent"), root.textOf("tracestate"))
	if err := checkSpelling(root, steeringWords, ""); err != nil {
		return Job{ID: j.ID}, err
	}
	return j, nil
}

// outside holds a job as it arrived: its object, and what surrounds it.
type outside struct {
	job    *value
	unseen []string // attributes beside the wrapper
	twice  *Error   // a key that appears twice
}

// unwrap finds the job's object. It decodes a string around the whole job, and one in the wrapper.
func unwrap(detail []byte) (outside, error) {
	if len(detail) > MaxJobBytes {
		return outside{}, refuse("job", "has %d bytes; want at most %d", len(detail), MaxJobBytes)
	}
	outer, twice, err := unpack(detail)
	if err != nil {
		return outside{}, err
	}
	wrapped := outer.get("job")
	if wrapped == nil {
		return outside{outer, nil, twice}, nil
	}
	if twice != nil { // its path begins at the wrapper; paths of a job's attributes begin in the job
		twice.Field = strings.TrimPrefix(twice.Field, "job.")
	}
	inner := wrapped
	if wrapped.kind == kindText {
		var within *Error
		if inner, within, err = unpack([]byte(wrapped.text)); err != nil {
			return outside{}, err
		}
		if twice == nil {
			twice = within
		}
	}
	if inner.kind != kindObject {
		return outside{}, refuse("job", "is %s; want an object, or the text of one", inner.kind)
	}
	unseen, err := beside(outer, inner)
	return outside{inner, unseen, twice}, err
}

func unpack(detail []byte) (v *value, twice *Error, err error) {
	read, twice, wrong := decode(detail)
	if wrong == nil && read.kind == kindText {
		read, twice, wrong = decode([]byte(read.text))
	}
	if wrong != nil {
		return nil, nil, wrong
	}
	if read.kind != kindObject {
		return nil, nil, refuse("job", "is %s; want an object, or the text of one", read.kind)
	}
	return &read, twice, nil
}

// beside returns the attributes beside the wrapper. Like sosw, Drover ignores them, except those that would steer it: they are refused, because ignoring
// them would change what the job does. A job_id is accepted there, because a producer may wrap a job to add one.
// A trace context is accepted there for the same reason, and the job's own takes precedence.
func beside(outer, inner *value) (unseen []string, err error) {
	traced := inner.get("traceparent") != nil
	for i, name := range outer.names {
		if traces(name) { // instrumentation adds them to the detail, which may be the wrapper
			if !traced && inner.get(name) == nil {
				inner.names, inner.children = append(inner.names, name), append(inner.children, outer.children[i])
			}
			continue
		}
		if name == "job_id" {
			if own := inner.get(name); own != nil && (own.kind != outer.children[i].kind || own.text != outer.children[i].text) {
				return nil, refuse(name, "differs from the one in the job; want it once")
			} else if own == nil {
				inner.names, inner.children = append(inner.names, name), append(inner.children, outer.children[i])
			}
			continue
		}
		if steers(name) {
			return nil, refuse(name, "is beside job, where it would have no effect; put it into the job")
		}
		if name != "job" {
			unseen = append(unseen, name)
		}
	}
	return unseen, nil
}

func checkReserved(level *value, path string) *Error {
	for _, name := range level.names {
		if slices.Contains(reserved, name) {
			return refuse(join(path, name), "is a name that Drover gives every task; want another name for this attribute")
		}
	}
	return nil
}

// steeringWords holds the words of the job language that need no schema.
var steeringWords = wordsOf(slices.Concat(steering, []string{"job_schema_name", "isolate_hours", "isolate_weeks", "isolate_months"}))

// words holds the names that have a meaning at a level of a job, by their lower-case form.
type words map[string]string

func wordsOf(names []string) words {
	w := make(words, len(names))
	for _, name := range names {
		w[strings.ToLower(name)] = name
	}
	return w
}

// checkSpelling refuses a name that differs only by case from a known word beside it: of readers that ignore case, one uses the first and another the
// last. Without the word beside it, such a name is payload.
func checkSpelling(level *value, known words, path string) *Error {
	for _, name := range level.names {
		if word := known[strings.ToLower(name)]; word != "" && word != name && level.get(word) != nil {
			return refuse(join(path, name), "differs only by case from %s beside it; want one of them", word)
		}
	}
	return nil
}

func (j *Job) readID() *Error {
	v := j.root.get("job_id")
	if v == nil {
		return nil
	}
	if v.kind != kindText || !jobID.MatchString(v.text) {
		return refuse("job_id", "is %s; want text of 1 to 128 of A-Z a-z 0-9 _ . : -", j.show(v))
	}
	j.ID = v.text
	return nil
}

func (j *Job) readLabourer() *Error {
	for _, name := range []string{"labourer", "lambda_name"} {
		v := j.root.get(name)
		if v == nil || v.kind == kindNull {
			continue
		}
		if v.kind != kindText {
			return refuse(name, "is %s; %s", j.show(v), wantedLabourer)
		}
		labourer, alias, err := labourerOf(name, v.text)
		if err != nil {
			return err
		}
		if j.Labourer != "" && (j.Labourer != labourer || j.Qualifier != alias) {
			return refuse(name, "is %s, but labourer is %s; want one of the two", j.show(v), j.show(j.root.get("labourer")))
		}
		j.Labourer, j.Qualifier = labourer, alias
	}
	if j.Labourer == "" {
		return j.noLabourer()
	}
	return nil
}

// noLabourer returns the error for a job without a labourer. It suggests a name that looks like a misspelt "labourer".
func (j *Job) noLabourer() *Error {
	for _, name := range j.root.names {
		if meant, ok := spelling.Nearest(name, []string{"labourer", "lambda_name"}); ok && meant != name {
			return refuse("labourer", "is missing; did you write %[2]q for %[1]s? %[3]s", meant, shorten(name), wantedLabourer)
		}
	}
	return refuse("labourer", "is missing; %s", wantedLabourer)
}

func (j *Job) readSchema() *Error {
	v := j.root.get("job_schema_name")
	if v == nil || v.kind == kindNull {
		return nil
	}
	if v.kind != kindText {
		return refuse("job_schema_name", "is %s; want the name of a schema", j.show(v))
	}
	j.Schema = v.text
	return nil
}

func (j *Job) readZone() *Error {
	j.zone = time.UTC
	v := j.root.get("time_zone")
	if v == nil || v.kind == kindNull {
		return nil
	}
	if v.kind != kindText {
		return refuse("time_zone", "is %s; want the name of a time zone, such as Europe/Berlin", j.show(v))
	}
	zone, err := calendar.Zone(v.text)
	if err != nil {
		return calendarError("time_zone", err)
	}
	j.zone = zone
	return nil
}

func (j *Job) readPeriod() *Error {
	v := j.root.get("period")
	if v == nil || v.empty() && v.kind != kindObject {
		return nil
	}
	var period calendar.Period
	var err error
	switch v.kind {
	case kindText:
		period, err = calendar.Parse(v.text)
	case kindObject:
		var from, to string
		if from, to, err = ends(j, v); err == nil {
			period, err = calendar.Between(from, to)
		}
	default:
		return refuse("period", `is %s; want text such as "last_3_days", or {"from": …, "to": …}`, j.show(v))
	}
	if err != nil {
		return calendarError("period", err)
	}
	j.period = &period
	return nil
}

// ends returns the two texts of an exact range.
func ends(j *Job, period *value) (from, to string, err error) {
	for i, name := range period.names {
		v := &period.children[i]
		switch {
		case name != "from" && name != "to":
			return "", "", &calendar.Error{Field: name, Reason: "is unknown here; want only from and to"}
		case v.kind != kindText:
			return "", "", &calendar.Error{Field: name, Reason: "is " + j.show(v) + "; want the text of a date or time"}
		case name == "from":
			from = v.text
		default:
			to = v.text
		}
	}
	for _, name := range []string{"from", "to"} {
		if period.get(name) == nil {
			return "", "", &calendar.Error{Field: name, Reason: "is missing; want a date or time, which is included in the period"}
		}
	}
	return from, to, nil
}

func (j *Job) readNotBefore() *Error {
	v := j.root.get("not_before")
	if v == nil || v.kind == kindNull {
		return nil
	}
	if v.kind != kindText {
		return refuse("not_before", "is %s; want the text of a date or time", j.show(v))
	}
	at, err := calendar.Instant(v.text, j.zone)
	if err != nil {
		return calendarError("not_before", err)
	}
	if at.Before(earliestStart) || at.After(latestStart) {
		return refuse("not_before", "%s is out of range; want a time from 1970 to 2285", j.show(v))
	}
	j.NotBefore = at.UTC()
	return nil
}

// CheckStart returns an [*Error] if the job starts more than ten years after now.
func (j Job) CheckStart(now time.Time) error {
	latest := now.UTC().AddDate(mostYearsAhead, 0, 0)
	if j.NotBefore.After(latest) {
		return refuse("not_before", "%s is more than %d years ahead; want a time up to %s", j.NotBefore.Format(time.RFC3339), mostYearsAhead, latest.Format(time.DateOnly))
	}
	return nil
}

func (j *Job) readAttempts() *Error {
	v := j.root.get("max_attempts")
	if v == nil || v.kind == kindNull {
		return nil
	}
	n, err := strconv.Atoi(v.text)
	if v.kind != kindNumber || err != nil || n < 1 || n > maxAttempts {
		return refuse("max_attempts", "is %s; want a whole number from 1 to %d", j.show(v), maxAttempts)
	}
	j.MaxAttempts = n
	return nil
}

func (j *Job) readDuration() *Error {
	v := j.root.get("max_duration")
	if v == nil || v.kind == kindNull {
		return nil
	}
	var duration time.Duration
	var err error
	switch v.kind {
	case kindNumber:
		var seconds int64
		seconds, err = strconv.ParseInt(v.text, 10, 32)
		duration = time.Duration(seconds) * time.Second
	case kindText:
		duration, err = time.ParseDuration(v.text)
	}
	if err != nil || duration < time.Second || duration > maxDuration {
		return refuse("max_duration", `is %s; want a duration such as "90s" or "15m", or whole seconds, from 1s to %dh`, j.show(v), int(maxDuration.Hours()))
	}
	j.MaxDuration = duration
	return nil
}

// show formats a value for error messages.
func (j *Job) show(v *value) string {
	return shorten(string(j.raw(v)))
}

func (j *Job) raw(v *value) []byte {
	return j.text[v.from:v.to]
}

// Zone returns the time zone of the job's days, or UTC if the job names none.
func (j Job) Zone() *time.Location {
	return j.zone
}

// Canonical returns a text that is equal for equal jobs. The text is itself a job with the same tasks: without job_id, trace context and white space, with
// one name for the labourer, and with the outermost attributes in alphabetical order, which has no meaning. Below the top level the order of keys stays,
// because it is the order of tasks.
func (j Job) Canonical() []byte {
	type member struct {
		name string
		text []byte
	}
	labourer := j.Labourer
	if j.Qualifier != "" {
		labourer += ":" + j.Qualifier
	}
	members := []member{{"labourer", appendText([]byte(`"labourer":`), labourer)}}
	for i, name := range j.root.names {
		if name != "job_id" && name != "labourer" && name != "lambda_name" && !traces(name) {
			v := &j.root.children[i]
			members = append(members, member{name, j.text[v.member:v.to]})
		}
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	canonical := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			canonical = append(canonical, ',')
		}
		canonical = append(canonical, m.text...)
	}
	canonical = append(canonical, '}')
	if j.root.get("job") != nil { // otherwise the attribute would look like the wrapper
		return slices.Concat([]byte(`{"job":`), canonical, []byte{'}'})
	}
	return canonical
}

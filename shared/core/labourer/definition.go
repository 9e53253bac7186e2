package labourer

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/retry"
)

var droverFields = []string{
	"target", "max_simultaneous_invocations", "max_attempts", "max_duration", "cooldown", "retry", "heartbeat", "not_retryable",
	"group_key", "health_metrics", "coefficients",
}

// labourer reads one definition. l has the values of absent fields.
func (r *reader) labourer(v value, l Labourer) Labourer {
	fields := r.labourerFields(v)

	l.Target = r.targetOf(v, fields)
	if f, ok := fields["max_simultaneous_invocations"]; ok {
		if n, ok := r.decimal(f, 0, MaxCap); ok {
			l.MaxSimultaneousInvocations = n
		}
	}
	if f, ok := fields["max_attempts"]; ok {
		if n, ok := r.whole(f, 1, MaxMaxAttempts); ok {
			l.MaxAttempts = n
		}
	}
	if f, ok := fields["max_duration"]; ok {
		if d, ok := r.duration(f, time.Millisecond); ok {
			l.MaxDuration, l.MaxDurationGiven = d, true
		}
	}
	if f, ok := fields["cooldown"]; ok {
		if d, ok := r.duration(f, 0); ok {
			l.Cooldown = d
		}
	}
	if f, ok := fields["retry"]; ok {
		l.Retry = r.retry(f, l.Retry)
	}
	if f, ok := fields["heartbeat"]; ok {
		l.Heartbeat, _ = r.duration(f, 0)
	}
	if f, ok := fields["not_retryable"]; ok {
		l.NotRetryable = r.errorTypes(f)
	}
	if f, ok := fields["group_key"]; ok {
		l.GroupKey, _ = r.words(f, 256)
		if kind := l.Target.Kind(); kind == "lambda" || kind == "states" {
			r.warn(f, "has no effect: only a queue has message groups, and the target is a %s", kind)
		}
	}
	if f, ok := fields["health_metrics"]; ok {
		l.HealthMetrics = r.healthMetrics(f)
	}
	if f, ok := fields["coefficients"]; ok {
		l.Coefficients = r.coefficients(f, l.Coefficients)
	}
	return l
}

// targetOf reads `target`, or sosw's `arn`.
func (r *reader) targetOf(v value, fields map[string]value) Target {
	target, hasTarget := fields["target"]
	arn, hasARN := fields["arn"]
	switch {
	case hasTarget && hasARN:
		r.refuse(arn, "is sosw's name for target.lambda, but target is set too; want one of them")
	case hasARN:
		t := Target{}
		t.Lambda = r.function(arn)
		return t
	case hasTarget:
		return r.target(target)
	case v.kind == mapping && !r.targetOptional && !v.has("target") && !v.has("arn"):
		r.refuse(v, "target is missing; want {lambda: arn}, {sqs: url} or {states: arn}")
	}
	return Target{}
}

func (n *node) has(key string) bool {
	return slices.ContainsFunc(n.members, func(m member) bool { return m.key == key })
}

func (r *reader) target(v value) Target {
	var t Target
	fields := r.fields(v, "lambda", "sqs", "states")
	if v.kind == mapping && len(fields) != 1 {
		r.refuse(v, "must have exactly one of lambda, sqs and states, not %d", len(fields))
		return t
	}
	if f, ok := fields["lambda"]; ok {
		t.Lambda = r.function(f)
	}
	if f, ok := fields["sqs"]; ok {
		t.SQS, _ = r.queue(f)
	}
	if f, ok := fields["states"]; ok {
		t.States, _ = r.stateMachine(f)
	}
	return t
}

func (r *reader) function(v value) string {
	arn, ok := r.words(v, 512)
	if ok && !lambdaPattern.MatchString(arn) {
		r.refuse(v, "%s is neither a function's ARN (arn:aws:lambda:<region>:<account>:function:<name>, optionally with :<alias> or :<version>) nor its name", shown(arn))
		return ""
	}
	return arn
}

func (r *reader) stateMachine(v value) (string, bool) {
	arn, ok := r.words(v, 512)
	if ok && !statesPattern.MatchString(arn) {
		r.refuse(v, "%s is not a state machine's ARN (arn:aws:states:<region>:<account>:stateMachine:<name>)", shown(arn))
		return "", false
	}
	return arn, ok
}

// queue accepts any http(s) URL, because a local AWS has queues at http://localhost:<port>.
func (r *reader) queue(v value) (string, bool) {
	address, ok := r.words(v, 2048)
	if !ok {
		return "", false
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		r.refuse(v, "%s is not a queue's URL (https://sqs.<region>.amazonaws.com/<account>/<name>)", shown(address))
		return "", false
	}
	if queueName(u) == "" {
		r.warn(v, "%s has no queue's name after the host", shown(address))
	}
	return address, true
}

func (r *reader) retry(v value, p retry.Policy) retry.Policy {
	fields := r.fields(v, "min", "initial", "rate", "max")
	before := len(r.errors)
	if f, ok := fields["min"]; ok {
		p.Min, _ = r.duration(f, 0)
	}
	if f, ok := fields["initial"]; ok {
		p.Initial, _ = r.duration(f, 0)
	}
	if f, ok := fields["max"]; ok {
		p.Max, _ = r.duration(f, 0)
	}
	if f, ok := fields["rate"]; ok {
		p.Rate, _ = r.decimal(f, 1, 1000)
	}
	if len(r.errors) == before && p.Min > p.Max {
		at := v
		if f, ok := fields["min"]; ok {
			at = f
		}
		r.refuse(at, "min (%s) must not be more than max (%s)", brief(p.Min), brief(p.Max))
	}
	return p
}

// errorTypes returns a sorted set of names, because their order in the file has no meaning.
func (r *reader) errorTypes(v value) []string {
	if v.kind != list {
		r.refuse(v, "must be a list of error types like [BadInput], not %s", v.describe())
		return nil
	}
	var types []string
	for i := range v.items {
		if name, ok := r.words(v.item(i), 256); ok {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// statuses reads a mapping whose names are statuses: 0 to 4, as numbers or texts.
func (r *reader) statuses(v value, least float64) map[ecology.Status]float64 {
	found := map[ecology.Status]float64{}
	for key, at := range r.members(v) {
		status, err := strconv.Atoi(key)
		if err != nil || status < int(ecology.Bad) || status > int(ecology.High) {
			r.refuse(at, "%s is not a status: 0 (Bad), 1 (Poor), 2 (Moderate), 3 (Good) or 4 (High)", shownBare(key))
			continue
		}
		if _, twice := found[ecology.Status(status)]; twice {
			r.refuse(at, "repeats a status above it")
			continue
		}
		if n, ok := r.decimal(at, least, math.MaxFloat64); ok {
			found[ecology.Status(status)] = n
		}
	}
	return found
}

func (r *reader) coefficients(v value, c ecology.Coefficients) ecology.Coefficients {
	for status, coefficient := range r.statuses(v, 0) {
		c[status] = coefficient
	}
	return c
}

func (r *reader) healthMetrics(v value) map[string]ecology.Metric {
	metrics := map[string]ecology.Metric{}
	for name, at := range r.members(v) {
		if _, ok := r.words(value{&node{kind: text, line: at.line, text: name}, at.path}, 128); ok {
			metrics[name] = r.metric(at)
		}
	}
	if len(metrics) > MaxMetrics {
		r.refuse(v, "has %d metrics; want at most %d", len(metrics), MaxMetrics)
	}
	if len(metrics) == 0 {
		return nil
	}
	return metrics
}

// These are CloudWatch's limits of names and lists:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Metric.html.
const (
	longestMetricName = 255
	longestNamespace  = 255
	longestDimension  = 1024
	mostDimensions    = 30
	longestExpression = 10_000
	mostOperands      = 100
)

func (r *reader) metric(v value) ecology.Metric {
	m := ecology.Metric{Operator: ecology.AtMost}
	fields := r.fields(v, "details", "feelings", "feeling_comparison_operator", "missing", "settle")

	if f, ok := fields["details"]; ok {
		m.Query = r.query(f)
	} else if v.kind == mapping && !v.has("details") {
		r.refuse(v, "details are missing; want the metric to read from CloudWatch, {MetricName, Namespace, …}")
	}
	if f, ok := fields["feeling_comparison_operator"]; ok {
		operator, known := ecology.ParseOperator(f.text)
		if f.kind != text || !known {
			r.refuse(f, "must be one of <=, <, >=, > (or le, lt, ge, gt), not %s", f.describe())
			fields["feelings"] = value{} // without an operator their order has no meaning
		}
		m.Operator = operator
	}
	m.Feelings = r.feelings(v, fields["feelings"], m.Operator)
	if f, ok := fields["missing"]; ok {
		policy, _ := r.oneOf(f, string(ecology.Ignore), string(ecology.MissingIsBad), string(ecology.Last))
		m.Missing = ecology.Missing(policy)
	}
	if f, ok := fields["settle"]; ok {
		m.Settle, _ = r.duration(f, 0)
	}
	return m
}

func (r *reader) feelings(metric, v value, operator ecology.Operator) ecology.Feelings {
	if v.node == nil {
		if metric.kind == mapping && !metric.has("feelings") {
			r.refuse(metric, "feelings are missing; want a target for each status, like {3: 50, 4: 25}")
		}
		return nil
	}
	before := len(r.errors)
	feelings := ecology.Feelings(r.statuses(v, -math.MaxFloat64))
	if len(r.errors) > before {
		return feelings
	}
	if len(feelings) == 0 {
		r.refuse(v, "must have a target for at least one status, like {3: 50, 4: 25}")
	}
	if err := feelings.Check(operator); err != nil {
		r.refuse(v, "%s", err)
	}
	return feelings
}

var plainDetails = []string{"MetricName", "Namespace", "Period", "Statistics", "Dimensions", "Unit", "MetricAggregationTimeSlice"}

// query reads `details`: a metric in the form of CloudWatch's GetMetricStatistics, or {Expression, Metrics}.
func (r *reader) query(v value) ecology.Query {
	if v.kind == mapping && v.has("Expression") {
		return r.expression(v)
	}
	fields := r.fields(v, append(slices.Clone(plainDetails), "Name", "ExtendedStatistics", "Expression", "Metrics")...)
	r.inheritDetails(fields)
	q := r.plainQuery(v, fields, ecology.DefaultPeriod)
	if _, ok := fields["MetricAggregationTimeSlice"]; !ok && r.sosw != nil && ecology.Aggregates(q.Statistic) {
		q.Window = max(r.sosw.window, q.Period)
	}
	return q
}

func (r *reader) plainQuery(v value, fields map[string]value, period time.Duration) ecology.Query {
	q := ecology.Query{Statistic: ecology.DefaultStatistic, Period: period}
	if f, ok := fields["Metrics"]; ok {
		r.refuse(f, "needs an Expression, which is missing")
	}
	q.MetricName = r.metricName(v, fields)
	if f, ok := fields["Namespace"]; ok {
		q.Namespace, _ = r.words(f, longestNamespace)
	} else if v.kind == mapping && !v.has("Namespace") {
		r.refuse(v, "Namespace is missing, like AWS/RDS")
	}
	if f, ok := fields["Period"]; ok {
		q.Period = r.period(f, q.Period)
	}
	if statistic, ok := r.statistic(fields); ok {
		q.Statistic = statistic
	}
	if f, ok := fields["Dimensions"]; ok {
		q.Dimensions = r.dimensions(f)
	}
	if f, ok := fields["Unit"]; ok {
		q.Unit, _ = r.oneOf(f, units...)
	}
	if f, ok := fields["MetricAggregationTimeSlice"]; ok {
		q.Window = r.window(f, q)
	}
	return q
}

func (r *reader) metricName(v value, fields map[string]value) string {
	name, hasName := fields["MetricName"]
	short, hasShort := fields["Name"]
	switch {
	case hasName && hasShort:
		r.refuse(short, "is sosw's name for MetricName, but MetricName is set too; want one of them")
	case hasShort:
		name, hasName = short, true
	case !hasName && v.kind == mapping && !v.has("MetricName") && !v.has("Name"):
		r.refuse(v, "MetricName is missing, like CPUUtilization")
	}
	if !hasName {
		return ""
	}
	s, _ := r.words(name, longestMetricName)
	return s
}

// period reads 1, 5, 10, 20 or 30 seconds or whole minutes, up to a day
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricStat.html).
func (r *reader) period(v value, standing time.Duration) time.Duration {
	d, ok := r.duration(v, time.Second)
	if !ok {
		return standing
	}
	short := []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}
	if d > 24*time.Hour || (d%time.Minute != 0 && !slices.Contains(short, d)) {
		r.refuse(v, "must be 1, 5, 10, 20, 30 or a multiple of 60 seconds up to 86400, not %s", shownBare(v.text))
		return standing
	}
	return d
}

// statistic reads the single statistic in Statistics, or in ExtendedStatistics, CloudWatch's list for percentiles.
func (r *reader) statistic(fields map[string]value) (string, bool) {
	plain, hasPlain := fields["Statistics"]
	extended, hasExtended := fields["ExtendedStatistics"]
	v := plain
	switch {
	case hasPlain && hasExtended:
		r.refuse(extended, "must not be set beside Statistics, because a status depends on a single number")
		return "", false
	case hasExtended:
		v = extended
	case !hasPlain:
		return "", false
	}
	if v.kind != list || len(v.items) != 1 {
		r.refuse(v, "must be a list of one statistic, like [Average], not %s", v.counted())
		return "", false
	}
	at := v.item(0)
	if at.kind == text && percentile.MatchString(at.text) {
		return at.text, true
	}
	if at.kind == text && nearest(at.text, statistics) == "" {
		r.refuse(at, "%s is neither one of Average, Sum, Minimum, Maximum, SampleCount nor a percentile like p99", shown(at.text))
		return "", false
	}
	return r.oneOf(at, statistics...)
}

func (n *node) counted() string {
	if n.kind == list {
		return fmt.Sprintf("a list of %d", len(n.items))
	}
	return n.describe()
}

func (r *reader) dimensions(v value) []ecology.Dimension {
	if v.kind != list || len(v.items) > mostDimensions {
		r.refuse(v, "must be a list of up to %d like [{Name: DBInstanceIdentifier, Value: my-db}], not %s", mostDimensions, v.counted())
		return nil
	}
	var dimensions []ecology.Dimension
	for i := range v.items {
		at := v.item(i)
		fields := r.fields(at, "Name", "Value")
		d := ecology.Dimension{Name: r.dimensionPart(at, fields, "Name"), Value: r.dimensionPart(at, fields, "Value")}
		if slices.ContainsFunc(dimensions, func(other ecology.Dimension) bool { return other.Name == d.Name }) && d.Name != "" {
			r.refuse(at, "the dimension %s appears twice", shown(d.Name))
		}
		dimensions = append(dimensions, d)
	}
	// For CloudWatch the order of dimensions has no meaning.
	slices.SortFunc(dimensions, func(a, b ecology.Dimension) int { return cmp.Compare(a.Name, b.Name) })
	return dimensions
}

func (r *reader) dimensionPart(v value, fields map[string]value, name string) string {
	f, ok := fields[name]
	if !ok {
		if v.kind == mapping && !v.has(name) {
			r.refuse(v, "%s is missing", name)
		}
		return ""
	}
	part, _ := r.words(f, longestDimension)
	return part
}

func (r *reader) window(v value, q ecology.Query) time.Duration {
	window, ok := r.duration(v, time.Second)
	switch {
	case !ok:
	case window > 24*time.Hour || window%time.Second != 0:
		r.refuse(v, "must be whole seconds up to a day (86400), not %s", shownBare(v.text))
	case !ecology.Aggregates(q.Statistic):
		r.refuse(v, "cannot be combined with %s: its values cannot be aggregated", q.Statistic)
	case window < q.Period:
		r.refuse(v, "must be the Period (%s) or more, not %s", brief(q.Period), brief(window))
	default:
		return window
	}
	return 0
}

// expression reads metric math. Its operands have the format of details, but without a window. An operand that is itself an expression has no operands of
// its own: it may name the others.
func (r *reader) expression(v value) ecology.Query {
	q := ecology.Query{Period: ecology.DefaultPeriod}
	fields := r.fields(v, "Expression", "Period", "Metrics")
	if f, ok := fields["Expression"]; ok {
		q.Expression, _ = r.words(f, longestExpression)
		if manySeries.MatchString(q.Expression) {
			r.warn(f, "may return several series, and then has no value: reduce them to one, with MAX or MIN around the query or without GROUP BY")
		}
	}
	if f, ok := fields["Period"]; ok {
		q.Period = r.period(f, q.Period)
	}
	if f, ok := fields["Metrics"]; ok {
		q.Metrics = r.operands(f, q.Period)
	}
	return q
}

func (r *reader) operands(v value, period time.Duration) []ecology.Operand {
	found := map[string]ecology.Query{}
	for id, at := range r.members(v) {
		if !operandID.MatchString(id) {
			r.refuse(at, "%s must begin with a lower-case letter, followed by letters, digits and _", shown(id))
			continue
		}
		found[id] = r.operand(at, period)
	}
	if len(found) > mostOperands {
		r.refuse(v, "has %d metrics; want at most %d", len(found), mostOperands)
	}
	var operands []ecology.Operand
	for _, id := range slices.Sorted(maps.Keys(found)) {
		operands = append(operands, ecology.Operand{ID: id, Query: found[id]})
	}
	return operands
}

func (r *reader) operand(v value, period time.Duration) ecology.Query {
	if v.kind == mapping && v.has("Expression") {
		q := ecology.Query{Period: period}
		fields := r.fields(v, "Expression", "Period")
		if f, ok := fields["Expression"]; ok {
			q.Expression, _ = r.words(f, longestExpression)
		}
		if f, ok := fields["Period"]; ok {
			q.Period = r.period(f, q.Period)
		}
		return q
	}
	known := slices.DeleteFunc(slices.Clone(plainDetails), func(name string) bool { return name == "MetricAggregationTimeSlice" })
	return r.plainQuery(v, r.fields(v, append(known, "Name", "ExtendedStatistics", "Expression")...), period)
}

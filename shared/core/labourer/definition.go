package labourer

import (
	"cmp"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/retry"
)

var droverFields = []string{
	"target", "max_simultaneous_invocations", "max_attempts", "max_duration", "cooldown", "retry", "heartbeat", "not_retryable",
	"group_key", "health_metrics", "coefficients",
}

// labourer reads one definition. l has the values of absent fields.
func (r *reader) labourer(v document.Value, l Labourer) Labourer {
	fields := r.labourerFields(v)

	l.Target = r.targetOf(v, fields)
	if f, ok := fields["max_attempts"]; ok {
		if n, ok := r.Whole(f, 1, MaxMaxAttempts); ok {
			l.MaxAttempts = n
		}
	}
	if f, ok := fields["max_duration"]; ok {
		if d, ok := r.Duration(f, time.Millisecond, MaxSpan); ok {
			l.MaxDuration, l.MaxDurationGiven = d, true
		}
	}
	if f, ok := fields["cooldown"]; ok {
		if d, ok := r.Duration(f, 0, MaxSpan); ok {
			l.Cooldown = d
		}
	}
	if f, ok := fields["retry"]; ok {
		l.Retry = r.retry(f, l.Retry)
	}
	if f, ok := fields["heartbeat"]; ok {
		l.Heartbeat, _ = r.Duration(f, 0, MaxSpan)
	}
	if f, ok := fields["not_retryable"]; ok {
		l.NotRetryable = r.errorTypes(f)
	}
	if f, ok := fields["group_key"]; ok {
		l.GroupKey, _ = r.Words(f, 256)
		if kind := l.Target.Kind(); kind == "lambda" || kind == "states" {
			r.Warn(f, "has no effect: only a queue has message groups, and the target is a %s", kind)
		}
	}
	if f, ok := fields["health_metrics"]; ok {
		l.HealthMetrics = r.healthMetrics(f)
	}
	if f, ok := fields["coefficients"]; ok {
		l.Coefficients = r.coefficients(f, l.Coefficients)
	}
	if f, ok := fields["max_simultaneous_invocations"]; ok {
		l = r.capOf(f, l)
	}
	r.unfelt(fields["health_metrics"], l)
	return l
}

// unfelt refuses metrics that have no effect: they have no feelings, and no cap is found by them.
func (r *reader) unfelt(v document.Value, l Labourer) {
	if v.Node == nil || v.Kind != document.Mapping {
		return
	}
	for name, at := range r.Members(v) {
		fields := map[string]document.Kind{}
		for _, m := range at.Members {
			fields[m.Key] = m.Value.Kind
		}
		kind, feels := fields["feelings"]
		switch {
		case at.Kind != document.Mapping, feels && (kind != document.Nothing || !r.NullIsAbsent):
		case !l.aimsAt(name):
			r.Refuse(at, "feelings are missing; want a target for each status, like {3: 50, 4: 25}, or the metric in toward")
		default:
			for _, field := range []string{"missing", "settle"} {
				if _, set := fields[field]; set {
					r.Warn(at, "%s has no effect without feelings", field)
				}
			}
		}
	}
}

// targetOf reads `target`, or sosw's `arn`.
func (r *reader) targetOf(v document.Value, fields map[string]document.Value) Target {
	target, hasTarget := fields["target"]
	arn, hasARN := fields["arn"]
	switch {
	case hasTarget && hasARN:
		r.Refuse(arn, "is sosw's name for target.lambda, but target is set too; want one of them")
	case hasARN:
		t := Target{}
		t.Lambda = r.function(arn)
		return t
	case hasTarget:
		return r.target(target)
	case v.Kind == document.Mapping && !r.targetOptional && !v.Has("target") && !v.Has("arn"):
		r.Refuse(v, "target is missing; want {lambda: arn}, {sqs: url} or {states: arn}")
	}
	return Target{}
}

func (r *reader) target(v document.Value) Target {
	var t Target
	fields := r.Fields(v, "lambda", "sqs", "states")
	if v.Kind == document.Mapping && len(fields) != 1 {
		r.Refuse(v, "must have exactly one of lambda, sqs and states, not %d", len(fields))
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

func (r *reader) function(v document.Value) string {
	arn, ok := r.Words(v, 512)
	if ok && !lambdaPattern.MatchString(arn) {
		r.Refuse(v, "%s is neither a function's ARN (arn:aws:lambda:<region>:<account>:function:<name>, optionally with :<alias> or :<version>) nor its name", document.Shown(arn))
		return ""
	}
	return arn
}

func (r *reader) stateMachine(v document.Value) (string, bool) {
	arn, ok := r.Words(v, 512)
	if ok && !statesPattern.MatchString(arn) {
		r.Refuse(v, "%s is not a state machine's ARN (arn:aws:states:<region>:<account>:stateMachine:<name>)", document.Shown(arn))
		return "", false
	}
	return arn, ok
}

// queue accepts any http(s) URL, because a local AWS has queues at http://localhost:<port>.
func (r *reader) queue(v document.Value) (string, bool) {
	address, ok := r.Words(v, 2048)
	if !ok {
		return "", false
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		r.Refuse(v, "%s is not a queue's URL (https://sqs.<region>.amazonaws.com/<account>/<name>)", document.Shown(address))
		return "", false
	}
	if queueName(u) == "" {
		r.Warn(v, "%s has no queue's name after the host", document.Shown(address))
	}
	return address, true
}

func (r *reader) retry(v document.Value, p retry.Policy) retry.Policy {
	fields := r.Fields(v, "min", "initial", "rate", "max")
	before := len(r.Errors)
	if f, ok := fields["min"]; ok {
		p.Min, _ = r.Duration(f, 0, MaxSpan)
	}
	if f, ok := fields["initial"]; ok {
		p.Initial, _ = r.Duration(f, 0, MaxSpan)
	}
	if f, ok := fields["max"]; ok {
		p.Max, _ = r.Duration(f, 0, MaxSpan)
	}
	if f, ok := fields["rate"]; ok {
		p.Rate, _ = r.Decimal(f, 1, 1000)
	}
	if len(r.Errors) == before && p.Min > p.Max {
		at := v
		if f, ok := fields["min"]; ok {
			at = f
		}
		r.Refuse(at, "min (%s) must not be more than max (%s)", document.Brief(p.Min), document.Brief(p.Max))
	}
	return p
}

// errorTypes returns a sorted set of names, because their order in the file has no meaning.
func (r *reader) errorTypes(v document.Value) []string {
	if v.Kind != document.List {
		r.Refuse(v, "must be a list of error types like [BadInput], not %s", v.Describe())
		return nil
	}
	var types []string
	for i := range v.Items {
		if name, ok := r.Words(v.Item(i), 256); ok {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// statuses reads a mapping whose names are statuses: 0 to 4, as numbers or texts.
func (r *reader) statuses(v document.Value, least float64) map[ecology.Status]float64 {
	found := map[ecology.Status]float64{}
	for key, at := range r.Members(v) {
		status, err := strconv.Atoi(key)
		if err != nil || status < int(ecology.Bad) || status > int(ecology.High) {
			r.Refuse(at, "%s is not a status: 0 (Bad), 1 (Poor), 2 (Moderate), 3 (Good) or 4 (High)", document.ShownBare(key))
			continue
		}
		if _, twice := found[ecology.Status(status)]; twice {
			r.Refuse(at, "repeats a status above it")
			continue
		}
		if n, ok := r.Decimal(at, least, math.MaxFloat64); ok {
			found[ecology.Status(status)] = n
		}
	}
	return found
}

func (r *reader) coefficients(v document.Value, c ecology.Coefficients) ecology.Coefficients {
	for status, coefficient := range r.statuses(v, 0) {
		c[status] = coefficient
	}
	return c
}

func (r *reader) healthMetrics(v document.Value) map[string]ecology.Metric {
	metrics := map[string]ecology.Metric{}
	for name, at := range r.Members(v) {
		if _, ok := r.Words(document.Value{Node: &document.Node{Kind: document.Text, Line: at.Line, Text: name}, Path: at.Path}, 128); ok {
			metrics[name] = r.metric(at)
		}
	}
	if len(metrics) > MaxMetrics {
		r.Refuse(v, "has %d metrics; want at most %d", len(metrics), MaxMetrics)
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

func (r *reader) metric(v document.Value) ecology.Metric {
	m := ecology.Metric{Operator: ecology.AtMost}
	fields := r.Fields(v, "details", "feelings", "feeling_comparison_operator", "missing", "settle")

	if f, ok := fields["details"]; ok {
		m.Query = r.query(f)
	} else if v.Kind == document.Mapping && !v.Has("details") {
		r.Refuse(v, "details are missing; want the metric to read from CloudWatch, {MetricName, Namespace, …}")
	}
	if f, ok := fields["feeling_comparison_operator"]; ok {
		operator, known := ecology.ParseOperator(f.Text)
		if f.Kind != document.Text || !known {
			r.Refuse(f, "must be one of <=, <, >=, > (or le, lt, ge, gt), not %s", f.Describe())
			fields["feelings"] = document.Value{} // without an operator their order has no meaning
		}
		m.Operator = operator
	}
	m.Feelings = r.feelings(fields["feelings"], m.Operator)
	if f, ok := fields["missing"]; ok {
		policy, _ := r.OneOf(f, string(ecology.Ignore), string(ecology.MissingIsBad), string(ecology.Last))
		m.Missing = ecology.Missing(policy)
	}
	if f, ok := fields["settle"]; ok {
		m.Settle, _ = r.Duration(f, 0, MaxSpan)
	}
	return m
}

func (r *reader) feelings(v document.Value, operator ecology.Operator) ecology.Feelings {
	if v.Node == nil {
		return nil
	}
	before := len(r.Errors)
	feelings := ecology.Feelings(r.statuses(v, -math.MaxFloat64))
	if len(r.Errors) > before {
		return feelings
	}
	if len(feelings) == 0 {
		r.Refuse(v, "must have a target for at least one status, like {3: 50, 4: 25}")
	}
	if err := feelings.Check(operator); err != nil {
		r.Refuse(v, "%s", err)
	}
	return feelings
}

var plainDetails = []string{"MetricName", "Namespace", "Period", "Statistics", "Dimensions", "Unit", "MetricAggregationTimeSlice"}

// query reads `details`: a metric in the form of CloudWatch's GetMetricStatistics, or {Expression, Metrics}.
func (r *reader) query(v document.Value) ecology.Query {
	if v.Kind == document.Mapping && v.Has("Expression") {
		return r.expression(v)
	}
	fields := r.Fields(v, append(slices.Clone(plainDetails), "Name", "ExtendedStatistics", "Expression", "Metrics")...)
	r.inheritDetails(fields)
	q := r.plainQuery(v, fields, ecology.DefaultPeriod)
	if _, ok := fields["MetricAggregationTimeSlice"]; !ok && r.sosw != nil && ecology.Aggregates(q.Statistic) {
		q.Window = max(r.sosw.window, q.Period)
	}
	return q
}

func (r *reader) plainQuery(v document.Value, fields map[string]document.Value, period time.Duration) ecology.Query {
	q := ecology.Query{Statistic: ecology.DefaultStatistic, Period: period}
	if f, ok := fields["Metrics"]; ok {
		r.Refuse(f, "needs an Expression, which is missing")
	}
	q.MetricName = r.metricName(v, fields)
	if f, ok := fields["Namespace"]; ok {
		q.Namespace, _ = r.Words(f, longestNamespace)
	} else if v.Kind == document.Mapping && !v.Has("Namespace") {
		r.Refuse(v, "Namespace is missing, like AWS/RDS")
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
		q.Unit, _ = r.OneOf(f, units...)
	}
	if f, ok := fields["MetricAggregationTimeSlice"]; ok {
		q.Window = r.window(f, q)
	}
	return q
}

func (r *reader) metricName(v document.Value, fields map[string]document.Value) string {
	name, hasName := fields["MetricName"]
	short, hasShort := fields["Name"]
	switch {
	case hasName && hasShort:
		r.Refuse(short, "is sosw's name for MetricName, but MetricName is set too; want one of them")
	case hasShort:
		name, hasName = short, true
	case !hasName && v.Kind == document.Mapping && !v.Has("MetricName") && !v.Has("Name"):
		r.Refuse(v, "MetricName is missing, like CPUUtilization")
	}
	if !hasName {
		return ""
	}
	s, _ := r.Words(name, longestMetricName)
	return s
}

// period reads 1, 5, 10, 20 or 30 seconds or whole minutes, up to a day
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricStat.html).
func (r *reader) period(v document.Value, standing time.Duration) time.Duration {
	d, ok := r.Duration(v, time.Second, MaxSpan)
	if !ok {
		return standing
	}
	short := []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}
	if d > 24*time.Hour || (d%time.Minute != 0 && !slices.Contains(short, d)) {
		r.Refuse(v, "must be 1, 5, 10, 20, 30 or a multiple of 60 seconds up to 86400, not %s", document.ShownBare(v.Text))
		return standing
	}
	return d
}

// statistic reads the single statistic in Statistics, or in ExtendedStatistics, CloudWatch's list for percentiles.
func (r *reader) statistic(fields map[string]document.Value) (string, bool) {
	plain, hasPlain := fields["Statistics"]
	extended, hasExtended := fields["ExtendedStatistics"]
	v := plain
	switch {
	case hasPlain && hasExtended:
		r.Refuse(extended, "must not be set beside Statistics, because a status depends on a single number")
		return "", false
	case hasExtended:
		v = extended
	case !hasPlain:
		return "", false
	}
	if v.Kind != document.List || len(v.Items) != 1 {
		r.Refuse(v, "must be a list of one statistic, like [Average], not %s", v.Counted())
		return "", false
	}
	at := v.Item(0)
	if at.Kind == document.Text && percentile.MatchString(at.Text) {
		return at.Text, true
	}
	if at.Kind == document.Text && document.Nearest(at.Text, statistics) == "" {
		r.Refuse(at, "%s is neither one of Average, Sum, Minimum, Maximum, SampleCount nor a percentile like p99", document.Shown(at.Text))
		return "", false
	}
	return r.OneOf(at, statistics...)
}

func (r *reader) dimensions(v document.Value) []ecology.Dimension {
	if v.Kind != document.List || len(v.Items) > mostDimensions {
		r.Refuse(v, "must be a list of up to %d like [{Name: DBInstanceIdentifier, Value: my-db}], not %s", mostDimensions, v.Counted())
		return nil
	}
	var dimensions []ecology.Dimension
	for i := range v.Items {
		at := v.Item(i)
		fields := r.Fields(at, "Name", "Value")
		d := ecology.Dimension{Name: r.dimensionPart(at, fields, "Name"), Value: r.dimensionPart(at, fields, "Value")}
		if slices.ContainsFunc(dimensions, func(other ecology.Dimension) bool { return other.Name == d.Name }) && d.Name != "" {
			r.Refuse(at, "the dimension %s appears twice", document.Shown(d.Name))
		}
		dimensions = append(dimensions, d)
	}
	// For CloudWatch the order of dimensions has no meaning.
	slices.SortFunc(dimensions, func(a, b ecology.Dimension) int { return cmp.Compare(a.Name, b.Name) })
	return dimensions
}

func (r *reader) dimensionPart(v document.Value, fields map[string]document.Value, name string) string {
	f, ok := fields[name]
	if !ok {
		if v.Kind == document.Mapping && !v.Has(name) {
			r.Refuse(v, "%s is missing", name)
		}
		return ""
	}
	part, _ := r.Words(f, longestDimension)
	return part
}

func (r *reader) window(v document.Value, q ecology.Query) time.Duration {
	window, ok := r.Duration(v, time.Second, MaxSpan)
	switch {
	case !ok:
	case window > 24*time.Hour || window%time.Second != 0:
		r.Refuse(v, "must be whole seconds up to a day (86400), not %s", document.ShownBare(v.Text))
	case !ecology.Aggregates(q.Statistic):
		r.Refuse(v, "cannot be combined with %s: its values cannot be aggregated", q.Statistic)
	case window < q.Period:
		r.Refuse(v, "must be the Period (%s) or more, not %s", document.Brief(q.Period), document.Brief(window))
	default:
		return window
	}
	return 0
}

// expression reads metric math. Its operands have the format of details, but without a window. An operand that is itself an expression has no operands of
// its own: it may name the others.
func (r *reader) expression(v document.Value) ecology.Query {
	q := ecology.Query{Period: ecology.DefaultPeriod}
	fields := r.Fields(v, "Expression", "Period", "Metrics")
	if f, ok := fields["Expression"]; ok {
		q.Expression, _ = r.Words(f, longestExpression)
		if manySeries.MatchString(q.Expression) {
			r.Warn(f, "may return several series, and then has no value: reduce them to one, with MAX or MIN around the query or without GROUP BY")
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

func (r *reader) operands(v document.Value, period time.Duration) []ecology.Operand {
	found := map[string]ecology.Query{}
	for id, at := range r.Members(v) {
		if !operandID.MatchString(id) {
			r.Refuse(at, "%s must begin with a lower-case letter, followed by letters, digits and _", document.Shown(id))
			continue
		}
		found[id] = r.operand(at, period)
	}
	if len(found) > mostOperands {
		r.Refuse(v, "has %d metrics; want at most %d", len(found), mostOperands)
	}
	var operands []ecology.Operand
	for _, id := range slices.Sorted(maps.Keys(found)) {
		operands = append(operands, ecology.Operand{ID: id, Query: found[id]})
	}
	return operands
}

func (r *reader) operand(v document.Value, period time.Duration) ecology.Query {
	if v.Kind == document.Mapping && v.Has("Expression") {
		q := ecology.Query{Period: period}
		fields := r.Fields(v, "Expression", "Period")
		if f, ok := fields["Expression"]; ok {
			q.Expression, _ = r.Words(f, longestExpression)
		}
		if f, ok := fields["Period"]; ok {
			q.Period = r.period(f, q.Period)
		}
		return q
	}
	known := slices.DeleteFunc(slices.Clone(plainDetails), func(name string) bool { return name == "MetricAggregationTimeSlice" })
	return r.plainQuery(v, r.Fields(v, append(known, "Name", "ExtendedStatistics", "Expression")...), period)
}

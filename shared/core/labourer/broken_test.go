package labourer_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drover-run/drover/shared/core/labourer"
)

// dropped is a value that removes the field.
type dropped struct{}

// changed returns the sample with the value at the path, both as YAML.
func changed(t *testing.T, path []any, value any) []byte {
	t.Helper()
	var root any
	require.NoError(t, yaml.Unmarshal(testdata(t, "labourers.yaml"), &root))
	at := root.(map[string]any)
	for _, key := range path[:len(path)-1] {
		at = at[key.(string)].(map[string]any)
	}
	last := path[len(path)-1].(string)
	if _, drop := value.(dropped); drop {
		delete(at, last)
	} else {
		at[last] = value
	}
	text, err := yaml.Marshal(root)
	require.NoError(t, err)
	return text
}

func TestErrorsNameThePathAndTheReason(t *testing.T) {
	const arn = "arn:aws:lambda:us-west-2:000000000000:function:some_function"
	type m = map[string]any
	type s = []any
	l := s{"labourers", "some_function"}
	of := func(keys ...any) s { return append(append(s{}, l...), keys...) }
	metric := func(keys ...any) s { return append(of("health_metrics", "SomeDBCPU"), keys...) }
	attrs := s{"job_schemas", "default", "chunkable_attrs"}
	details := func(more m) m {
		d := m{"MetricName": "M", "Namespace": "N"}
		maps.Copy(d, more)
		return d
	}
	many := make(s, 101)
	for i := range many {
		many[i] = m{"Name": fmt.Sprint("d", i), "Value": "v"}
	}

	tests := []struct {
		path  s
		value any
		want  string // "path: reason", or the beginning of it
	}{
		{of("max_simultaneous"), 3, `labourers.some_function.max_simultaneous: is unknown; did you mean max_simultaneous_invocations?`},
		{of("max_atempts"), 3, `labourers.some_function.max_atempts: is unknown; did you mean max_attempts?`},
		{of("duration"), 3, `labourers.some_function.duration: is unknown; did you mean max_duration?`},
		{of("arn"), arn, `labourers.some_function.arn: is sosw's name for target.lambda, but target is set too; want one of them`},
		{of("target"), dropped{}, `labourers.some_function: target is missing`},
		{of("target"), nil, `labourers.some_function.target: has no value`},
		{of("target"), arn, `labourers.some_function.target: must be a mapping, not the text "arn:`},
		{of("target"), m{}, `labourers.some_function.target: must have exactly one of lambda, sqs and states, not 0`},
		{of("target"), m{"kafka": "x"}, `labourers.some_function.target.kafka: is unknown; want one of lambda, sqs, states`},
		{of("target"), m{"lambda": arn, "sqs": "http://q"}, `labourers.some_function.target: must have exactly one of`},
		{of("target"), m{"lambda": 5}, `labourers.some_function.target.lambda: must be a text, not 5`},
		{of("target"), m{"lambda": "arn:aws:sqs:us-west-2:000000000000:q"}, `labourers.some_function.target.lambda: "arn:aws:sqs:us-west-2:000000000000:q" is neither a function's ARN`},
		{of("target"), m{"lambda": "two words"}, `labourers.some_function.target.lambda: "two words" is neither`},
		{of("target"), m{"sqs": "arn:aws:sqs:us-west-2:000000000000:q"}, `labourers.some_function.target.sqs: "arn:aws:sqs:us-west-2:000000000000:q" is not a queue's URL`},
		{of("target"), m{"sqs": "ftp://host/q"}, `labourers.some_function.target.sqs: "ftp://host/q" is not a queue's URL`},
		{of("target"), m{"sqs": "http:///q"}, `labourers.some_function.target.sqs: `},
		{of("target"), m{"sqs": "http://user:secret@host/q"}, `labourers.some_function.target.sqs: `},
		{of("target"), m{"sqs": "http://host/q?Action=x"}, `labourers.some_function.target.sqs: `},
		{of("target"), m{"sqs": "http://[::1/q"}, `labourers.some_function.target.sqs: `},
		{of("target"), m{"sqs": true}, `labourers.some_function.target.sqs: must be a text, not true`},
		{of("target"), m{"states": arn}, `labourers.some_function.target.states: "arn:aws:lambda:us-west-2:000000000000:function:some_function" is not a state machine's ARN`},
		{of("target"), m{"states": " "}, `labourers.some_function.target.states: must not be empty`},

		{of("max_simultaneous_invocations"), -1, `labourers.some_function.max_simultaneous_invocations: must be between 0 and 1e+09, not -1`},
		{of("max_simultaneous_invocations"), "ten", `labourers.some_function.max_simultaneous_invocations: must be a number, not the text "ten"`},
		{of("max_simultaneous_invocations"), "10", `labourers.some_function.max_simultaneous_invocations: must be a number, not the text "10"`},
		{of("max_simultaneous_invocations"), true, `labourers.some_function.max_simultaneous_invocations: must be a number, not true`},
		{of("max_simultaneous_invocations"), s{1}, `labourers.some_function.max_simultaneous_invocations: must be a number, not a list`},
		{of("max_attempts"), 0, `labourers.some_function.max_attempts: must be between 1 and 1000, not 0`},
		{of("max_attempts"), 2.5, `labourers.some_function.max_attempts: must be a whole number, not 2.5`},
		{of("max_attempts"), 1001, `labourers.some_function.max_attempts: must be between 1 and 1000, not 1001`},

		{of("max_duration"), "soon", `labourers.some_function.max_duration: must be a duration like "90s" or "15m", or whole seconds, not the text "soon"`},
		{of("max_duration"), 1.5, `labourers.some_function.max_duration: must be a duration like "90s" or "15m", or whole seconds, not 1.5`},
		{of("max_duration"), 0, `labourers.some_function.max_duration: must be 1ms or more, not 0`},
		{of("max_duration"), "337h", `labourers.some_function.max_duration: must be 336h or less, not 337h`},
		{of("max_duration"), 1e300, `labourers.some_function.max_duration: must be 336h or less`},
		{of("max_duration"), s{}, `labourers.some_function.max_duration: must be a duration like "90s" or "15m", or whole seconds, not a list`},
		{of("cooldown"), "-5m", `labourers.some_function.cooldown: must not be negative, but is -5m`},
		{of("cooldown"), -1e300, `labourers.some_function.cooldown: must not be negative`},
		{of("heartbeat"), "often", `labourers.some_function.heartbeat: must be a duration`},
		{of("retry", "initial"), "x", `labourers.some_function.retry.initial: must be a duration`},
		{of("retry", "rate"), 0, `labourers.some_function.retry.rate: must be between 1 and 1000, not 0`},
		{of("retry", "tries"), 4, `labourers.some_function.retry.tries: is unknown; want one of initial, max, min, rate`},
		{of("retry", "min"), "-1s", `labourers.some_function.retry.min: must not be negative, but is -1s`},
		{of("retry", "min"), "2h", `labourers.some_function.retry.min: min (2h) must not be more than max (1h)`},
		{of("retry"), m{"max": 0}, `labourers.some_function.retry: min (1s) must not be more than max (0s)`},
		{of("retry"), 3, `labourers.some_function.retry: must be a mapping, not 3`},
		{of("not_retryable"), "BadInput", `labourers.some_function.not_retryable: must be a list of error types like [BadInput], not the text "BadInput"`},
		{of("not_retryable"), s{"a", 5}, `labourers.some_function.not_retryable[1]: must be a text, not 5`},
		{of("group_key"), "a\x00b", `labourers.some_function.group_key: "a\x00b" has a control character`},
		{of("group_key"), strings.Repeat("k", 257), `labourers.some_function.group_key: has 257 bytes; want at most 256`},
		{of("coefficients"), m{"7": 1}, `labourers.some_function.coefficients.7: 7 is not a status: 0 (Bad), 1 (Poor), 2 (Moderate), 3 (Good) or 4 (High)`},
		{of("coefficients"), m{"high": 1}, `labourers.some_function.coefficients.high: high is not a status`},
		{of("coefficients"), m{"4": -1}, `labourers.some_function.coefficients.4: must be 0 or more, not -1`},
		{of("coefficients"), m{"4": "all"}, `labourers.some_function.coefficients.4: must be a number, not the text "all"`},
		{of("coefficients"), m{"4": 1, "04": 1}, `labourers.some_function.coefficients.04: repeats a status above it`},

		{of("health_metrics"), s{}, `labourers.some_function.health_metrics: must be a mapping, not a list`},
		{of("health_metrics"), m{"": m{}}, `labourers.some_function.health_metrics[""]: must not be empty`},
		{metric("details"), dropped{}, `labourers.some_function.health_metrics.SomeDBCPU: details are missing`},
		{metric("details"), "cpu", `labourers.some_function.health_metrics.SomeDBCPU.details: must be a mapping, not the text "cpu"`},
		{metric("details", "MetricName"), dropped{}, `labourers.some_function.health_metrics.SomeDBCPU.details: MetricName is missing`},
		{metric("details", "Namespace"), dropped{}, `labourers.some_function.health_metrics.SomeDBCPU.details: Namespace is missing`},
		{metric("details", "Name"), "M", `labourers.some_function.health_metrics.SomeDBCPU.details.Name: is sosw's name for MetricName, but MetricName is set too; want one of them`},
		{metric("details", "metricname"), "M", `labourers.some_function.health_metrics.SomeDBCPU.details.metricname: is unknown; did you mean MetricName?`},
		{metric("details", "Period"), 45, `labourers.some_function.health_metrics.SomeDBCPU.details.Period: must be 1, 5, 10, 20, 30 or a multiple of 60 seconds up to 86400, not 45`},
		{metric("details", "Period"), "25h", `labourers.some_function.health_metrics.SomeDBCPU.details.Period: must be 1, 5`},
		{metric("details", "Period"), "x", `labourers.some_function.health_metrics.SomeDBCPU.details.Period: must be a duration`},
		{metric("details", "Statistics"), s{"Average", "Sum"}, `labourers.some_function.health_metrics.SomeDBCPU.details.Statistics: must be a list of one statistic, like [Average], not a list of 2`},
		{metric("details", "Statistics"), "Average", `labourers.some_function.health_metrics.SomeDBCPU.details.Statistics: must be a list of one statistic, like [Average], not the text "Average"`},
		{metric("details", "Statistics"), s{"Averge"}, `labourers.some_function.health_metrics.SomeDBCPU.details.Statistics[0]: "Averge" is unknown; did you mean Average?`},
		{metric("details", "Statistics"), s{"p101"}, `labourers.some_function.health_metrics.SomeDBCPU.details.Statistics[0]: "p101" is neither one of Average, Sum, Minimum, Maximum, SampleCount nor a percentile like p99`},
		{metric("details", "Statistics"), s{5}, `labourers.some_function.health_metrics.SomeDBCPU.details.Statistics[0]: must be one of Average, Sum, Minimum, Maximum, SampleCount, IQM, not 5`},
		{metric("details", "ExtendedStatistics"), s{"p99"}, `labourers.some_function.health_metrics.SomeDBCPU.details.ExtendedStatistics: must not be set beside Statistics`},
		{metric("details", "Unit"), "percent", `labourers.some_function.health_metrics.SomeDBCPU.details.Unit: "percent" is unknown; did you mean Percent?`},
		{metric("details", "Metrics"), m{}, `labourers.some_function.health_metrics.SomeDBCPU.details.Metrics: needs an Expression, which is missing`},
		{metric("details", "Dimensions"), m{"A": "b"}, `labourers.some_function.health_metrics.SomeDBCPU.details.Dimensions: must be a list of up to 30 like`},
		{metric("details", "Dimensions"), many, `labourers.some_function.health_metrics.SomeDBCPU.details.Dimensions: must be a list of up to 30 like [{Name: DBInstanceIdentifier, Value: my-db}], not a list of 101`},
		{metric("details", "Dimensions"), s{m{"Name": "A"}}, `labourers.some_function.health_metrics.SomeDBCPU.details.Dimensions[0]: Value is missing`},
		{metric("details", "Dimensions"), s{m{"Name": "A", "Value": 5}}, `labourers.some_function.health_metrics.SomeDBCPU.details.Dimensions[0].Value: must be a text, not 5`},
		{metric("details", "Dimensions"), s{m{"Name": "A", "Value": "x"}, m{"Name": "A", "Value": "y"}}, `labourers.some_function.health_metrics.SomeDBCPU.details.Dimensions[1]: the dimension "A" appears twice`},
		{metric("details"), details(m{"MetricAggregationTimeSlice": 30}), `labourers.some_function.health_metrics.SomeDBCPU.details.MetricAggregationTimeSlice: must be the Period (1m) or more, not 30s`},
		{metric("details"), details(m{"MetricAggregationTimeSlice": "25h"}), `labourers.some_function.health_metrics.SomeDBCPU.details.MetricAggregationTimeSlice: must be whole seconds up to a day (86400), not 25h`},
		{metric("details"), details(m{"MetricAggregationTimeSlice": "x"}), `labourers.some_function.health_metrics.SomeDBCPU.details.MetricAggregationTimeSlice: must be a duration`},
		{metric("details"), details(m{"MetricAggregationTimeSlice": 300, "Statistics": s{"p99"}}), `labourers.some_function.health_metrics.SomeDBCPU.details.MetricAggregationTimeSlice: cannot be combined with p99`},
		{metric("details"), m{"Expression": "a", "Namespace": "N"}, `labourers.some_function.health_metrics.SomeDBCPU.details.Namespace: is unknown`},
		{metric("details"), m{"Expression": "a", "Metrics": m{"A": details(nil)}}, `labourers.some_function.health_metrics.SomeDBCPU.details.Metrics.A: "A" must begin with a lower-case letter`},
		{metric("details"), m{"Expression": "a", "Metrics": m{"a": m{"Namespace": "N"}}}, `labourers.some_function.health_metrics.SomeDBCPU.details.Metrics.a: MetricName is missing`},
		{metric("feelings"), dropped{}, `labourers.some_function.health_metrics.SomeDBCPU: feelings are missing`},
		{metric("feelings"), m{"9": 1}, `labourers.some_function.health_metrics.SomeDBCPU.feelings.9: 9 is not a status`},
		{metric("feelings"), m{}, `labourers.some_function.health_metrics.SomeDBCPU.feelings: must have a target for at least one status`},
		{metric("feelings"), m{"4": "low"}, `labourers.some_function.health_metrics.SomeDBCPU.feelings.4: must be a number, not the text "low"`},
		{metric("feelings"), m{"4": 50, "3": 25}, `labourers.some_function.health_metrics.SomeDBCPU.feelings: 4 (High) must not have a higher target (50)`},
		{metric("feeling_comparison_operator"), "~", `labourers.some_function.health_metrics.SomeDBCPU.feeling_comparison_operator: must be one of <=, <, >=, > (or le, lt, ge, gt), not the text "~"`},
		{metric("feeling_comparison_operator"), 5, `labourers.some_function.health_metrics.SomeDBCPU.feeling_comparison_operator: must be one of`},
		{metric("missing"), "maybe", `labourers.some_function.health_metrics.SomeDBCPU.missing: must be one of ignore, bad, last, not the text "maybe"`},
		{metric("mood"), 1, `labourers.some_function.health_metrics.SomeDBCPU.mood: is unknown`},
		{metric("settle"), "-1m", `labourers.some_function.health_metrics.SomeDBCPU.settle: must not be negative`},

		{attrs, s{s{"sections", m{}}}, `job_schemas.default.chunkable_attrs[0][0]: "sections" must be the singular`},
		{attrs, "section", `job_schemas.default.chunkable_attrs: must be a list like [[section, {}], [store, {}]], not the text "section"`},
		{attrs, s{s{}}, `job_schemas.default.chunkable_attrs[0]: must be a name and its options, like [section, {}], not a list of 0`},
		{attrs, s{s{"a", m{}, 3}}, `job_schemas.default.chunkable_attrs[0]: must be a name and its options`},
		{attrs, s{s{"a", 3}}, `job_schemas.default.chunkable_attrs[0][1]: must be a mapping, not 3`},
		{attrs, s{s{"a", m{"b": 1}}}, `job_schemas.default.chunkable_attrs[0][1].b: is unknown: a chunkable attribute has no options`},
		{attrs, s{"a", s{"a"}}, `job_schemas.default.chunkable_attrs[1]: "a" appears twice`},
		{attrs, s{"drover"}, `job_schemas.default.chunkable_attrs[0]: jobs cannot be cut by "drover"`},
		{attrs, s{"date_list"}, `job_schemas.default.chunkable_attrs[0]: jobs cannot be cut by "date_list"`},
		{attrs, s{"a", s{"isolate_day"}}, `job_schemas.default.chunkable_attrs[1][0]: jobs cannot be cut by "isolate_day": it, or its plural, already has a meaning in a job`},
		{attrs, many, `job_schemas.default.chunkable_attrs: has 101 attributes; want at most 32`},
		{s{"job_schemas", "default"}, m{}, `job_schemas.default: chunkable_attrs is missing`},
		{s{"job_schemas", "default", "chunkable"}, 1, `job_schemas.default.chunkable: is unknown; did you mean chunkable_attrs?`},
		{s{"job_schemas", "no good"}, m{}, `job_schemas["no good"]: the name "no good" must be 1 to 128 of the characters`},
		{s{"labourers"}, s{1}, `labourers: must be a mapping, not a list`},
		{s{"labourers"}, nil, `labourers: has no value`},
		{s{"labourers", "#metrics"}, m{}, `labourers.#metrics: the name "#metrics" must be 1 to 128 of the characters`},
		{s{"labourers", "w"}, 5, `labourers.w: must be a mapping, not 5`},
		{s{"laborers"}, m{}, `laborers: is unknown; did you mean labourers?`},
		{s{"workflow"}, m{}, `workflow: is unknown; did you mean workflows?`},
	}
	for _, test := range tests {
		t.Run(test.want[:min(len(test.want), 60)], func(t *testing.T) {
			_, _, errs := labourer.Read("", changed(t, test.path, test.value))
			require.NotEmpty(t, errs, "%v is accepted", test.value)
			found := false
			for _, e := range errs {
				require.Positive(t, e.Line)
				found = found || strings.HasPrefix(e.Path+": "+e.Reason, test.want)
			}
			require.True(t, found, "got %s", errs)
		})
	}
}

func TestTooManyMetricsAreRefused(t *testing.T) {
	metrics := map[string]any{}
	operands := map[string]any{}
	for i := range 101 {
		operands[fmt.Sprint("m", i)] = map[string]any{"MetricName": "M", "Namespace": "N"}
		metrics[fmt.Sprint(i)] = map[string]any{"details": operands["m0"], "feelings": map[string]any{"4": 1}}
	}
	_, _, errs := labourer.Read("", changed(t, []any{"labourers", "some_function", "health_metrics"}, metrics))
	require.ErrorContains(t, errs.Err(), "labourers.some_function.health_metrics: has 101 metrics; want at most 100")

	_, _, errs = labourer.Read("", changed(t, []any{"labourers", "some_function", "health_metrics", "SomeDBCPU", "details"},
		map[string]any{"Expression": "m1", "Metrics": operands}))
	require.ErrorContains(t, errs.Err(), "details.Metrics: has 101 metrics; want at most 100")
}

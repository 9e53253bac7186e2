package labourer_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/retry"
)

var update = flag.Bool("update", false, "update the golden files")

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return text
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile("testdata/"+name, []byte(got), 0o644))
	}
	require.Equal(t, string(testdata(t, name)), got)
}

// read reads a document that must have no errors and no warnings.
func read(t require.TestingT, text string, options ...labourer.Option) labourer.Configuration {
	c, warnings, errs := labourer.Read("f.yaml", []byte(text), options...)
	require.NoError(t, errs.Err())
	require.Empty(t, warnings)
	return c
}

// one returns the labourer w with these fields.
func one(t require.TestingT, fields string) labourer.Labourer {
	return read(t, `{"labourers": {"w": {"target": {"lambda": "f"}, `+fields+`}}}`).Labourers["w"]
}

// sample returns the labourer in the documentation's example.
func sample() labourer.Labourer {
	return labourer.Labourer{
		ID:                         "some_function",
		Target:                     labourer.Target{Lambda: "arn:aws:lambda:us-west-2:000000000000:function:some_function"},
		MaxSimultaneousInvocations: 10,
		MaxAttempts:                3,
		MaxDuration:                15 * time.Minute,
		MaxDurationGiven:           true,
		Cooldown:                   5 * time.Minute,
		Retry:                      retry.Policy{Min: time.Second, Initial: 30 * time.Second, Rate: 2, Max: time.Hour},
		Heartbeat:                  time.Minute,
		NotRetryable:               []string{"BadInput"},
		HealthMetrics: map[string]ecology.Metric{"SomeDBCPU": {
			Query: ecology.Query{
				MetricName: "CPUUtilization", Namespace: "AWS/RDS", Statistic: "Average", Period: time.Minute,
				Dimensions: []ecology.Dimension{{Name: "DBInstanceIdentifier", Value: "YOUR-DB"}},
			},
			Feelings: ecology.Feelings{3: 50, 4: 25},
			Operator: ecology.AtMost,
			Missing:  ecology.Ignore,
		}},
		Coefficients: ecology.Coefficients{0, 0, 0.5, 0.75, 1},
	}
}

func TestTheExampleOfTheDocumentationIsRead(t *testing.T) {
	c := read(t, string(testdata(t, "labourers.yaml")))
	require.Equal(t, map[string]labourer.Labourer{"some_function": sample()}, c.Labourers)
	require.Equal(t, map[string]job.Schema{"default": {ChunkableAttrs: []string{"section", "store", "product"}}}, c.JobSchemas)
}

func TestALabourerNeedsOnlyATarget(t *testing.T) {
	c := read(t, "labourers: {w: {target: {sqs: 'http://localhost:4567/000000000000/q'}}}")
	require.Equal(t, labourer.Labourer{
		ID:                         "w",
		Target:                     labourer.Target{SQS: "http://localhost:4567/000000000000/q"},
		MaxSimultaneousInvocations: 1,
		MaxAttempts:                3,
		MaxDuration:                15 * time.Minute,
		Cooldown:                   5 * time.Minute,
		Retry:                      retry.Policy{Min: time.Second, Initial: 30 * time.Second, Rate: 2, Max: time.Hour},
		Coefficients:               ecology.Coefficients{0, 0, 0.5, 0.75, 1},
	}, c.Labourers["w"])
	require.Equal(t, 20*time.Minute, c.Labourers["w"].Lease())
}

func TestFields(t *testing.T) {
	is := func(get func(labourer.Labourer) any, want any) func(*testing.T, labourer.Labourer) {
		return func(t *testing.T, l labourer.Labourer) { require.Equal(t, want, get(l)) }
	}
	limit := func(l labourer.Labourer) any { return l.MaxSimultaneousInvocations }
	duration := func(l labourer.Labourer) any { return l.MaxDuration }
	coefficients := func(l labourer.Labourer) any { return l.Coefficients }
	tests := map[string]struct {
		fields string
		check  func(*testing.T, labourer.Labourer)
	}{
		"a cap of zero":                 {`max_simultaneous_invocations: 0`, is(limit, 0.0)},
		"a cap of minus zero":           {`max_simultaneous_invocations: -0.0`, is(limit, 0.0)},
		"a fractional cap":              {`max_simultaneous_invocations: 2.9`, is(limit, 2.9)},
		"a cap in powers of ten":        {`max_simultaneous_invocations: 1e3`, is(limit, 1000.0)},
		"whole seconds":                 {`max_duration: 90`, is(duration, 90*time.Second)},
		"whole seconds as a text":       {`max_duration: "90"`, is(duration, 90*time.Second)},
		"whole seconds, written 9e1":    {`max_duration: 9e1`, is(duration, 90*time.Second)},
		"a Go duration":                 {`max_duration: 1h30m`, is(duration, 90*time.Minute)},
		"less than a second":            {`max_duration: 500ms`, is(duration, 500*time.Millisecond)},
		"the longest duration":          {`max_duration: 336h`, is(duration, 336*time.Hour)},
		"no cooldown":                   {`cooldown: 0`, is(func(l labourer.Labourer) any { return l.Cooldown }, time.Duration(0))},
		"no heartbeat":                  {`heartbeat: 0s`, is(func(l labourer.Labourer) any { return l.Heartbeat }, time.Duration(0))},
		"coefficients over the default": {`coefficients: {2: 0.6, "3": 0.7}`, is(coefficients, ecology.Coefficients{0, 0, 0.6, 0.7, 1})},
		"a coefficient above one":       {`coefficients: {4: 1.5}`, is(coefficients, ecology.Coefficients{0, 0, 0.5, 0.75, 1.5})},
		"no coefficients":               {`coefficients: {}`, is(coefficients, ecology.DefaultCoefficients())},
		"a part of the retry policy": {`retry: {max: 10s}`, is(func(l labourer.Labourer) any { return l.Retry },
			retry.Policy{Min: time.Second, Initial: 30 * time.Second, Rate: 2, Max: 10 * time.Second})},
		"a retry at once":      {`retry: {min: 0, initial: 0, max: 0, rate: 1}`, is(func(l labourer.Labourer) any { return l.Retry }, retry.Policy{Rate: 1})},
		"error types as a set": {`not_retryable: [B, A, B]`, is(func(l labourer.Labourer) any { return l.NotRetryable }, []string{"A", "B"})},
		"no error types":       {`not_retryable: []`, is(func(l labourer.Labourer) any { return l.NotRetryable }, []string(nil))},
		"no metrics":           {`health_metrics: {}`, is(func(l labourer.Labourer) any { return l.HealthMetrics }, map[string]ecology.Metric(nil))},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.check(t, read(t, "labourers: {w: {target: {lambda: f}, "+test.fields+"}}").Labourers["w"])
		})
	}
}

func TestALabourerKnowsWhetherMaxDurationWasGiven(t *testing.T) {
	require.True(t, one(t, `"max_duration": "15m"`).MaxDurationGiven)
	require.False(t, one(t, `"max_attempts": 1`).MaxDurationGiven)
}

func TestTargets(t *testing.T) {
	tests := map[string]struct {
		kind, address string
		fifo          bool
	}{
		"a function's ARN":              {"lambda", "arn:aws:lambda:us-west-2:000000000000:function:some_function", false},
		"a function's alias":            {"lambda", "arn:aws:lambda:us-west-2:000000000000:function:f:live", false},
		"a function's version":          {"lambda", "arn:aws-us-gov:lambda:us-gov-west-1:000000000000:function:f:17", false},
		"a function's latest":           {"lambda", "f:$LATEST", false},
		"a function's name":             {"lambda", "some-function_1", false},
		"a function's partial ARN":      {"lambda", "000000000000:function:f", false},
		"a queue":                       {"sqs", "https://sqs.eu-west-1.amazonaws.com/000000000000/q", false},
		"a FIFO queue":                  {"sqs", "https://sqs.eu-west-1.amazonaws.com/000000000000/q.fifo", true},
		"a local queue":                 {"sqs", "http://localhost:4567/000000000000/q", false},
		"a queue by IPv6":               {"sqs", "http://[::1]:4567/000000000000/q", false},
		"a state machine":               {"states", "arn:aws:states:eu-west-1:000000000000:stateMachine:s", false},
		"a state machine's alias":       {"states", "arn:aws:states:eu-west-1:000000000000:stateMachine:s:live", false},
		"a state machine outside ASCII": {"states", "arn:aws-cn:states:cn-north-1:000000000000:stateMachine:größe", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			target := read(t, "labourers: {w: {target: {"+test.kind+": '"+test.address+"'}}}").Labourers["w"].Target
			require.Equal(t, test.kind, target.Kind())
			require.Equal(t, test.address, target.Address())
			require.Equal(t, test.fifo, target.FIFO())
		})
	}
	require.Empty(t, labourer.Target{}.Kind())
	require.False(t, labourer.Target{SQS: ":"}.FIFO())
}

func TestMetrics(t *testing.T) {
	plain := ecology.Query{MetricName: "M", Namespace: "N", Statistic: "Average", Period: time.Minute}
	with := func(change func(*ecology.Query)) ecology.Query {
		q := plain
		change(&q)
		return q
	}
	tests := map[string]struct {
		details string
		want    ecology.Query
	}{
		"a period of a minute and the average by default": {`MetricName: M, Namespace: N`, plain},
		"sosw's Name":              {`Name: M, Namespace: N`, plain},
		"a percentile":             {`MetricName: M, Namespace: N, Statistics: [p99.9]`, with(func(q *ecology.Query) { q.Statistic = "p99.9" })},
		"CloudWatch's percentiles": {`MetricName: M, Namespace: N, ExtendedStatistics: [p50]`, with(func(q *ecology.Query) { q.Statistic = "p50" })},
		"a trimmed mean":           {`MetricName: M, Namespace: N, Statistics: ["TM(10%:90%)"]`, with(func(q *ecology.Query) { q.Statistic = "TM(10%:90%)" })},
		"a unit":                   {`MetricName: M, Namespace: N, Unit: Count/Second`, with(func(q *ecology.Query) { q.Unit = "Count/Second" })},
		"a short period":           {`MetricName: M, Namespace: N, Period: 10`, with(func(q *ecology.Query) { q.Period = 10 * time.Second })},
		"a period as a duration":   {`MetricName: M, Namespace: N, Period: 5m`, with(func(q *ecology.Query) { q.Period = 5 * time.Minute })},
		"a window":                 {`MetricName: M, Namespace: N, MetricAggregationTimeSlice: 300`, with(func(q *ecology.Query) { q.Window = 5 * time.Minute })},
		"dimensions as a set": {`MetricName: M, Namespace: N, Dimensions: [{Name: B, Value: "1"}, {Value: "2", Name: A}]`, with(func(q *ecology.Query) {
			q.Dimensions = []ecology.Dimension{{Name: "A", Value: "2"}, {Name: "B", Value: "1"}}
		})},
		"an expression": {`Expression: "100*a/b", Period: 300, Metrics: {b: {MetricName: M, Namespace: N}, a: {MetricName: M, Namespace: N, Statistics: [Sum], Period: 60}, c: {Expression: "a+b"}, d: {Expression: a, Period: 60}}`,
			ecology.Query{Expression: "100*a/b", Period: 5 * time.Minute, Metrics: []ecology.Operand{
				{ID: "a", Query: with(func(q *ecology.Query) { q.Statistic = "Sum" })},
				{ID: "b", Query: with(func(q *ecology.Query) { q.Period = 5 * time.Minute })},
				{ID: "c", Query: ecology.Query{Expression: "a+b", Period: 5 * time.Minute}},
				{ID: "d", Query: ecology.Query{Expression: "a", Period: time.Minute}},
			}}},
		"a query that needs no metrics": {`Expression: "SELECT AVG(M) FROM N"`, ecology.Query{Expression: "SELECT AVG(M) FROM N", Period: time.Minute}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := one(t, `"health_metrics": {m: {details: {`+test.details+`}, feelings: {4: 1}}}`)
			require.Equal(t, test.want, l.HealthMetrics["m"].Query)
		})
	}
}

func TestFeelings(t *testing.T) {
	m := one(t, `"health_metrics": {m: {details: {MetricName: M, Namespace: N}, feelings: {"4": 90, 3: 50.5, 0: -1}, feeling_comparison_operator: ge, missing: last, settle: 3m}}`).HealthMetrics["m"]
	require.Equal(t, ecology.Feelings{4: 90, 3: 50.5, 0: -1}, m.Feelings)
	require.Equal(t, ecology.AtLeast, m.Operator)
	require.Equal(t, ecology.Last, m.Missing)
	require.Equal(t, 3*time.Minute, m.Settle)

	m = one(t, `"health_metrics": {m: {details: {MetricName: M, Namespace: N}, feelings: {4: 1}}}`).HealthMetrics["m"]
	require.Equal(t, ecology.AtMost, m.Operator, "the default")
	require.Equal(t, ecology.Unsaid, m.Missing, "the default")
	require.Zero(t, m.Settle, "the default")
}

func TestSchemas(t *testing.T) {
	for text, want := range map[string][]string{
		"[[section, {}], [store, {}]]": {"section", "store"},
		"[[section], store]":           {"section", "store"},
		"[]":                           nil,
	} {
		require.Equal(t, want, read(t, "job_schemas: {other: {chunkable_attrs: "+text+"}}").JobSchemas["other"].ChunkableAttrs)
	}
}

func TestAFileMayDefineOnlySchemasOrOnlyLabourers(t *testing.T) {
	require.Len(t, read(t, "job_schemas: {default: {chunkable_attrs: [a]}}").JobSchemas, 1)
	require.Len(t, read(t, "labourers: {1: {target: {lambda: f}}}").Labourers, 1)
}

func TestYAMLMayUseAnchors(t *testing.T) {
	c := read(t, `---
labourers:
  a: &a
    target: &queue {sqs: "https://sqs.eu-west-1.amazonaws.com/000000000000/q"}
    max_attempts: 7
    retry: &retry {rate: 3}
  b: {<<: *a, max_attempts: 2}
  c: {<<: [{cooldown: 1m}, *a, {cooldown: 2m}], target: *queue}
  d: *a
...
---
`)
	require.Equal(t, 2, c.Labourers["b"].MaxAttempts)
	require.Equal(t, 3.0, c.Labourers["b"].Retry.Rate)
	require.Equal(t, 7, c.Labourers["c"].MaxAttempts)
	require.Equal(t, time.Minute, c.Labourers["c"].Cooldown, "the first of several merged ones wins")
	require.Equal(t, c.Labourers["a"].Stored(), c.Labourers["d"].Stored())
}

func TestJSONMayHaveFormsThatYAMLLacks(t *testing.T) {
	text := "\ufeff{\n\t\"labourers\": {\"w\": {\"target\": {\"lambda\": \"f\"}, \"group_key\": \"\\ud83d\\ude00\\/\", \"not_retryable\": [\"x\"]}}}"
	c, warnings, errs := labourer.Read("", []byte(text))
	require.NoError(t, errs.Err())
	require.Equal(t, "😀/", c.Labourers["w"].GroupKey)
	require.Len(t, warnings, 1, "a function has no message groups")
}

func TestWarnings(t *testing.T) {
	for text, want := range map[string]string{
		"labourers: {w: {target: {sqs: 'http://q'}}}":                                                              `f.yaml:1: labourers.w.target.sqs: "http://q" has no queue's name after the host`,
		"labourers: {w: {target: {states: 'arn:aws:states:eu-west-1:000000000000:stateMachine:s'}, group_key: k}}": `f.yaml:1: labourers.w.group_key: has no effect: only a queue has message groups, and the target is a states`,
	} {
		_, warnings, errs := labourer.Read("f.yaml", []byte(text))
		require.NoError(t, errs.Err())
		require.Equal(t, []string{want}, warnings)
	}
}

func TestALabourersPaceCanBeReadWithoutATarget(t *testing.T) {
	c := read(t, "labourers: {w: {max_simultaneous_invocations: 4}}", labourer.TargetOptional())
	require.Equal(t, ecology.Subject{Cap: 4, Coefficients: ecology.DefaultCoefficients()}, c.Labourers["w"].Subject())

	_, _, errs := labourer.Read("", []byte("labourers: {w: {target: {kafka: x}}}"), labourer.TargetOptional())
	require.ErrorContains(t, errs.Err(), "kafka", "a given target is read as usual")
}

func TestAllErrorsAreReturnedAtOnce(t *testing.T) {
	_, _, errs := labourer.Read("broken.yaml", testdata(t, "broken.yaml"))
	golden(t, "broken.txt", errs.Error()+"\n")
}

func TestTheSameFileHasTheSameErrorsInTheSameOrder(t *testing.T) {
	oneLine := strings.ReplaceAll(`{"labourers": {"w": {"target": {"lambda": 1, "sqs": 2, "states": 3}, "retry": {"min": "a", "max": "b", "initial": "c", "rate": "d"},
		"health_metrics": {"a": {}, "b": {}}, "max_attempts": "x", "cooldown": "y"}}}`, "\n", " ")
	_, _, first := labourer.Read("", []byte(oneLine))
	for range 20 {
		_, _, again := labourer.Read("", []byte(oneLine))
		require.Equal(t, first, again)
	}
}

func TestNoErrorsAreNil(t *testing.T) {
	require.NoError(t, document.Errors(nil).Err())
	require.EqualError(t, document.Error{Reason: "r"}, "r")
	require.EqualError(t, document.Error{Line: 3, Reason: "r"}, "line 3: r")
	require.EqualError(t, document.Error{File: "f", Path: "p", Reason: "r"}, "f: p: r")
	require.EqualError(t, document.Errors{{File: "f", Line: 1, Path: "p", Reason: "r"}, {Reason: "s"}}.Err(), "f:1: p: r\ns")
}

func TestFilesAreMerged(t *testing.T) {
	schemas := read(t, "job_schemas: {default: {chunkable_attrs: [a]}}")
	labourers := read(t, string(testdata(t, "labourers.yaml")))
	labourers.JobSchemas = nil
	merged, errs := labourer.Merge(schemas, labourers, labourers, schemas)
	require.NoError(t, errs.Err())
	require.Equal(t, labourers.Labourers, merged.Labourers)
	require.Equal(t, schemas.JobSchemas, merged.JobSchemas)
}

func TestContradictingFilesAreNotMerged(t *testing.T) {
	from := func(file, text string) labourer.Configuration {
		c, _, errs := labourer.Read(file, []byte(text))
		require.NoError(t, errs.Err())
		return c
	}
	_, errs := labourer.Merge(
		from("a.yaml", "labourers:\n  w: {target: {lambda: f}}\njob_schemas: {s: {chunkable_attrs: [a]}}"),
		from("b.yaml", "labourers: {w: {target: {lambda: f}, max_attempts: 9}}\njob_schemas:\n\n  s: {chunkable_attrs: [b]}"))
	require.EqualError(t, errs.Err(), "b.yaml:1: labourers.w: is defined differently in a.yaml:2: labourers.w\n"+
		"b.yaml:4: job_schemas.s: is defined differently in a.yaml:3: job_schemas.s")
}

func TestAnExpressionWithSeveralSeriesRaisesAWarning(t *testing.T) {
	for expression, warned := range map[string]bool{
		`SEARCH('{AWS/SQS,QueueName} Visible', 'Maximum')`: true, `SELECT MAX(M) FROM N GROUP BY QueueName`: true,
		`MAX(SEARCH('{AWS/SQS,QueueName} Visible', 'Maximum'))`: false, `SELECT MAX(M) FROM N`: false, `a / b`: false,
	} {
		_, warnings, wrong := labourer.Read("f.yaml", []byte("labourers: {w: {target: {lambda: f}, health_metrics: {m: {feelings: {4: 1}, details: {Expression: \""+expression+"\"}}}}}"))
		require.NoError(t, wrong.Err(), expression)
		if !warned {
			require.Empty(t, warnings, expression)
			continue
		}
		require.Len(t, warnings, 1, expression)
		require.Contains(t, warnings[0], "details.Expression: may return several series")
	}
}

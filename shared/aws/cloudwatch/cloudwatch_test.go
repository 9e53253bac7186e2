package cloudwatch_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	metrics "github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

var now = time.Date(2026, 11, 22, 12, 0, 30, 0, time.UTC)

// fake answers a query by the name of its metric, or by its expression, and records its requests.
type fake struct {
	values  map[string][]float64 // one datapoint a minute, the newest first
	status  map[string]types.StatusCode
	refuses string              // requests with this metric fail
	with    error               // the error of these; nil: CloudWatch's own
	page    int                 // results on a page; 0: all
	series  map[string][]string // the labels of a query with several series
	whole   string              // the message about the whole request
	asked   []*cloudwatch.GetMetricDataInput
}

func subject(q types.MetricDataQuery) string {
	if q.Expression != nil {
		return *q.Expression
	}
	return *q.MetricStat.Metric.MetricName
}

func (f *fake) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	f.asked = append(f.asked, in)
	var results []types.MetricDataResult
	for _, q := range in.MetricDataQueries {
		if subject(q) == f.refuses {
			return nil, cmp.Or[error](f.with, errors.New("ValidationError: "+f.refuses+" is no metric"))
		}
		if !aws.ToBool(q.ReturnData) {
			continue
		}
		r := types.MetricDataResult{Id: q.Id, StatusCode: types.StatusCodeComplete}
		for i, v := range f.values[subject(q)] {
			r.Timestamps, r.Values = append(r.Timestamps, now.Truncate(time.Minute).Add(-time.Duration(i)*time.Minute)), append(r.Values, v)
		}
		if s := f.status[subject(q)]; s != "" {
			r.StatusCode, r.Messages = s, []types.MessageData{{Value: aws.String("as told")}}
		}
		r.Label = q.Id
		for _, label := range f.series[subject(q)] {
			r.Label = aws.String(label)
			results = append(results, r)
		}
		if len(f.series[subject(q)]) == 0 {
			results = append(results, r)
		}
	}
	out := &cloudwatch.GetMetricDataOutput{MetricDataResults: results}
	if f.whole != "" {
		out.Messages = []types.MessageData{{Value: aws.String(f.whole)}}
	}
	if f.page == 0 {
		return out, nil
	}
	first := 0
	_, _ = fmt.Sscan(aws.ToString(in.NextToken), &first)
	out.MetricDataResults = results[first:min(first+f.page, len(results))]
	if first+f.page < len(results) {
		out.NextToken = aws.String(fmt.Sprint(first + f.page))
	}
	return out, nil
}

func average(name string) ecology.Query {
	return ecology.Query{MetricName: name, Namespace: "AWS/RDS", Statistic: "Average", Period: time.Minute}
}

func ask(t *testing.T, f *fake, queries map[string]ecology.Query) map[string]ecology.Reading {
	readings, err := metrics.Source{API: f}.Ask(context.Background(), queries, now)
	require.NoError(t, err)
	require.Len(t, readings, len(queries), "each query has its reading")
	for _, r := range readings {
		require.Equal(t, now, r.At)
	}
	return readings
}

func TestWhatCloudWatchIsAsked(t *testing.T) {
	f := &fake{}
	full := average("CPUUtilization")
	full.Statistic, full.Unit, full.Dimensions = "p99.9", "Percent", []ecology.Dimension{{Name: "DBInstanceIdentifier", Value: "shop"}}
	ask(t, f, map[string]ecology.Query{
		"a": full,
		"b": {Expression: "100*m1/m10 + e", Period: 5 * time.Minute, Metrics: []ecology.Operand{
			{ID: "m1", Query: average("Errors")}, {ID: "m10", Query: average("Calls")}, {ID: "e", Query: ecology.Query{Expression: "m1 + m10", Period: time.Minute}},
		}},
	})

	require.Len(t, f.asked, 1)
	text, err := json.MarshalIndent(plain(f.asked[0]), "", "  ")
	require.NoError(t, err)
	require.JSONEq(t, `{
		"StartTime": "2026-11-22T11:45:00Z",
		"EndTime": "2026-11-22T12:01:00Z",
		"MetricDataQueries": [
			{"Id": "q0", "ReturnData": true, "MetricStat": {"Stat": "p99.9", "Period": 60, "Unit": "Percent", "Metric": {"MetricName": "CPUUtilization",
				"Namespace": "AWS/RDS", "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": "shop"}]}}},
			{"Id": "q1_m1", "ReturnData": false, "MetricStat": {"Stat": "Average", "Period": 60, "Metric": {"MetricName": "Errors", "Namespace": "AWS/RDS"}}},
			{"Id": "q1_m10", "ReturnData": false, "MetricStat": {"Stat": "Average", "Period": 60, "Metric": {"MetricName": "Calls", "Namespace": "AWS/RDS"}}},
			{"Id": "q1_e", "ReturnData": false, "Expression": "q1_m1 + q1_m10"},
			{"Id": "q1", "ReturnData": true, "Expression": "100*q1_m1/q1_m10 + q1_e", "Period": 300}
		]
	}`, string(text))
}

// plain returns a request without fields that are not set.
func plain(in *cloudwatch.GetMetricDataInput) any {
	text, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return set(out)
}

func set(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			if inner == nil || inner == "" || name == "ResultMetadata" {
				delete(v, name)
				continue
			}
			v[name] = set(inner)
		}
	case []any:
		for i := range v {
			v[i] = set(v[i])
		}
	}
	return value
}

func TestNamesInQuotedPartsOfAnExpressionAreUnchanged(t *testing.T) {
	f := &fake{}

	ask(t, f, map[string]ecology.Query{"a": {Expression: `SEARCH('{AWS/SQS,QueueName} m "x"', 'Sum') + m + m2`, Period: time.Minute, Metrics: []ecology.Operand{{ID: "m", Query: average("Errors")}, {ID: "x", Query: average("Calls")}}}})

	require.Equal(t, `SEARCH('{AWS/SQS,QueueName} m "x"', 'Sum') + q0_m + m2`, *f.asked[0].MetricDataQueries[2].Expression)
}

func TestTheNewestValueIsTaken(t *testing.T) {
	f := &fake{values: map[string][]float64{"CPU": {7, 5, 3}, "Load": {}}}

	readings := ask(t, f, map[string]ecology.Query{"a": average("CPU"), "b": average("Load")})

	require.InDelta(t, 7, *readings["a"].Value, 0)
	require.Nil(t, readings["b"].Value)
	require.Empty(t, readings["b"].Error, "missing data is not an error")
}

func TestAnswersComeInPages(t *testing.T) {
	f := &fake{values: map[string][]float64{"A": {1}, "B": {2}, "C": {3}}, page: 1}

	readings := ask(t, f, map[string]ecology.Query{"a": average("A"), "b": average("B"), "c": average("C")})

	require.Len(t, f.asked, 3)
	for key, want := range map[string]float64{"a": 1, "b": 2, "c": 3} {
		require.InDelta(t, want, *readings[key].Value, 0, key)
	}
}

func TestAllMetricsAreAskedForInAsFewCallsAsAWSAllows(t *testing.T) {
	f := &fake{values: map[string][]float64{"M1199": {4}}}
	queries := map[string]ecology.Query{}
	for i := range 1200 {
		queries[fmt.Sprintf("%04d", i)] = average(fmt.Sprintf("M%d", i))
	}

	readings := ask(t, f, queries)

	require.Len(t, f.asked, 3)
	for _, in := range f.asked {
		require.LessOrEqual(t, len(in.MetricDataQueries), 500)
	}
	require.InDelta(t, 4, *readings["1199"].Value, 0)
	none, err := metrics.Source{API: f}.Ask(context.Background(), nil, now)
	require.NoError(t, err)
	require.Empty(t, none)
	require.Len(t, f.asked, 3, "without queries there is no request")
}

// TestG8AMetricThatCloudWatchRefusesFailsAlone: CloudWatch refuses the whole request for one wrong query, so Ask repeats it without that query.
func TestG8AMetricThatCloudWatchRefusesFailsAlone(t *testing.T) {
	f := &fake{values: map[string][]float64{}, refuses: "M5"}
	queries := map[string]ecology.Query{}
	for i := range 16 {
		queries[fmt.Sprintf("%02d", i)] = average(fmt.Sprintf("M%d", i))
		f.values[fmt.Sprintf("M%d", i)] = []float64{float64(i)}
	}

	readings := ask(t, f, queries)

	for key, r := range readings {
		if key == "05" {
			require.Equal(t, "CloudWatch refuses the query: ValidationError: M5 is no metric", r.Error)
			continue
		}
		require.Empty(t, r.Error)
		require.NotNil(t, r.Value, key)
	}
	require.LessOrEqual(t, len(f.asked), 9, "a binary search finds it")
}

func TestAThrottledRequestIsNotRepeatedInParts(t *testing.T) {
	f := &fake{refuses: "A", with: &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}}

	readings := ask(t, f, map[string]ecology.Query{"a": average("A"), "b": average("B"), "c": average("C")})

	require.Len(t, f.asked, 1)
	for _, r := range readings {
		require.Contains(t, r.Error, "Rate exceeded")
	}
}

func TestG8AMetricThatFailsByItselfCarriesItsReason(t *testing.T) {
	f := &fake{values: map[string][]float64{"A": {1}, "B": {2}, "C": {3}}, status: map[string]types.StatusCode{"A": types.StatusCodeForbidden, "B": types.StatusCodeInternalError}}

	readings := ask(t, f, map[string]ecology.Query{"a": average("A"), "b": average("B"), "c": average("C")})

	require.Equal(t, "Forbidden as told", readings["a"].Error)
	require.Equal(t, "InternalError as told", readings["b"].Error)
	require.Empty(t, readings["c"].Error)
}

func TestACancelledContextEndsTheRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f := &fake{refuses: "A"}

	_, err := metrics.Source{API: f}.Ask(ctx, map[string]ecology.Query{"a": average("A"), "b": average("B")}, now)

	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, f.asked, 1)
}

// The order of several series does not show which of them is the metric.
func TestAQueryOfSeveralSeriesHasNoValue(t *testing.T) {
	const search = `SEARCH('{AWS/SQS,QueueName} ApproximateNumberOfMessagesVisible', 'Maximum')`
	for name, labels := range map[string][]string{"several": {"orders", "bills", "returns", "rest"}, "of one name": {"CPU", "CPU"}} {
		for page := range 3 {
			f := &fake{values: map[string][]float64{search: {7, 5}, "CPU": {1, 1}}, series: map[string][]string{search: labels}, page: page}

			readings := ask(t, f, map[string]ecology.Query{"a": {Expression: search, Period: time.Minute}, "b": average("CPU")})

			require.Contains(t, readings["a"].Error, "the query returns several series ("+labels[0], "%s, %d results a page", name, page)
			require.Nil(t, readings["a"].Value)
			require.InDelta(t, 1, *readings["b"].Value, 0, "the other queries are not affected")
			if name == "of one name" {
				break // on separate pages they look like one series that continues
			}
		}
	}
}

func TestASeriesOnSeveralPagesCountsAsOne(t *testing.T) {
	f := &fake{values: map[string][]float64{"m": {7, 5}}, series: map[string][]string{"m": {"orders", "orders"}}, page: 1}

	require.InDelta(t, 5, *ask(t, f, map[string]ecology.Query{"a": {Expression: "m", Period: time.Minute}})["a"].Value, 0)
}

func TestAnIncompleteAnswerHasNoValue(t *testing.T) {
	window := average("Window")
	window.Window = 10 * time.Minute
	partial := types.StatusCodePartialData
	f := &fake{values: map[string][]float64{"Window": {1, 1}, "Newest": {2, 2}, "m": {3, 3}, "CPU": {4, 4}},
		status: map[string]types.StatusCode{"Window": partial, "Newest": partial, "Nothing": partial}, whole: "Maximum number of allowed metrics exceeded"}

	readings := ask(t, f, map[string]ecology.Query{"a": window, "b": average("Newest"), "c": average("Nothing"), "d": {Expression: "m", Period: time.Minute}, "e": average("CPU")})

	require.Contains(t, readings["a"].Error, "only a part of the datapoints")
	require.Contains(t, readings["c"].Error, "only a part of the datapoints")
	require.Equal(t, "CloudWatch answered only a part of the query: Maximum number of allowed metrics exceeded", readings["d"].Error)
	require.InDelta(t, 2, *readings["b"].Value, 0, "the newest come first")
	require.InDelta(t, 4, *readings["e"].Value, 0)
}

func TestAMetricOfSeveralUnitsHasNoValue(t *testing.T) {
	minute := now.Truncate(time.Minute)
	two := answering(func(id *string) []types.MetricDataResult {
		return []types.MetricDataResult{{Id: id, Label: id, StatusCode: types.StatusCodeComplete, Timestamps: []time.Time{minute, minute}, Values: []float64{0.2, 200}}}
	})

	readings, err := metrics.Source{API: two}.Ask(context.Background(), map[string]ecology.Query{"a": average("Latency")}, now)

	require.NoError(t, err)
	require.Contains(t, readings["a"].Error, "several units; choose one with Unit")
	require.Nil(t, readings["a"].Value)
}

// answering is a CloudWatch that answers its only query by a function.
type answering func(id *string) []types.MetricDataResult

func (a answering) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	return &cloudwatch.GetMetricDataOutput{MetricDataResults: a(in.MetricDataQueries[0].Id)}, nil
}

// TestG7ABusyMinuteIsBusyFromItsFirstSecond: a steady 120 requests a second are 7200 a minute, no matter at which second Drover asks.
func TestG7ABusyMinuteIsBusyFromItsFirstSecond(t *testing.T) {
	requests := ecology.Query{MetricName: "Requests", Namespace: "Shop", Statistic: "Sum", Period: time.Minute}
	total := requests
	total.Window = 5 * time.Minute
	begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, second := range []int{600, 601, 603, 630, 659} {
		seen, at := fakeaws.NewCloudWatch(), begin.Add(time.Duration(second)*time.Second)
		for s := range second {
			seen.Put("Shop", "Requests", nil, begin.Add(time.Duration(s)*time.Second), 120)
		}

		readings, err := metrics.Source{API: seen}.Ask(context.Background(), map[string]ecology.Query{"one": requests, "total": total}, at)

		require.NoError(t, err)
		require.InDelta(t, 7200, *readings["one"].Value, 0, "at second %d", second%60)
		require.InDelta(t, 5*7200, *readings["total"].Value, 0, "at second %d", second%60)
	}
}

func TestAWindowSetsHowFarBackTheRequestReaches(t *testing.T) {
	f := &fake{values: map[string][]float64{"A": slices.Repeat([]float64{2, 4}, 10)}}
	q := average("A")
	q.Window = 10 * time.Minute

	readings := ask(t, f, map[string]ecology.Query{"a": q})

	require.Equal(t, time.Date(2026, 11, 22, 11, 50, 0, 0, time.UTC), *f.asked[0].StartTime)
	require.InDelta(t, 3, *readings["a"].Value, 0.5)
}

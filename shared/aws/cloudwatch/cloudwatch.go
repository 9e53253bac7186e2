// Package cloudwatch reads the metrics that labourers depend on.
package cloudwatch

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/core/ecology"
)

// API has the calls of CloudWatch that Drover makes.
type API interface {
	GetMetricData(context.Context, *cloudwatch.GetMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// most limits how many queries, including operands, GetMetricData accepts in one request.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
const most = 500

// Source answers the queries of labourers' metrics.
type Source struct{ API API }

// Ask reads all queries in as few requests as AWS allows. If CloudWatch refuses a query, its reading has the reason. CloudWatch refuses the whole
// request for one bad query, so Ask repeats the request without that query. It does not split a request that failed for a temporary reason, such as a
// throttle.
func (s Source) Ask(ctx context.Context, queries map[string]ecology.Query, now time.Time) (map[string]ecology.Reading, error) {
	out := map[string]ecology.Reading{}
	var part []string
	size := 0
	for _, key := range slices.Sorted(maps.Keys(queries)) {
		length := 1 + len(queries[key].Metrics)
		if size+length > most {
			s.ask(ctx, queries, part, now, out)
			part, size = nil, 0
		}
		part, size = append(part, key), size+length
	}
	s.ask(ctx, queries, part, now, out)
	return out, ctx.Err()
}

func (s Source) ask(ctx context.Context, queries map[string]ecology.Query, keys []string, now time.Time, out map[string]ecology.Reading) {
	if len(keys) == 0 {
		return
	}
	answers, err := s.get(ctx, queries, keys, now)
	if err != nil && len(keys) > 1 && ctx.Err() == nil && !settings.Passes(err) {
		s.ask(ctx, queries, keys[:len(keys)/2], now, out)
		s.ask(ctx, queries, keys[len(keys)/2:], now, out)
		return
	}
	for i, key := range keys {
		r := ecology.Reading{At: now.UTC().Truncate(time.Millisecond)}
		if err != nil {
			r.Error = unanswered(err)
		} else if r.Error = answers[id(i)].doubt(queries[key]); r.Error == "" {
			r.Value, r.About = queries[key].Value(answers[id(i)].points, now), queries[key].About(answers[id(i)].points, r.At)
		}
		out[key] = r
	}
}

// answer collects CloudWatch's answer to one query from all pages.
type answer struct {
	points  []ecology.Point
	labels  []string         // the labels of its series
	series  int              // the most series on one page
	status  types.StatusCode // the status on the last page with a part of the answer
	message string           // why it failed, or what is missing
}

// doubt returns why the answer yields no number, or "" if it yields one.
func (a *answer) doubt(q ecology.Query) string {
	switch {
	case a == nil:
		return ""
	case a.failed():
		return strings.TrimSpace(string(a.status) + " " + a.message)
	case max(len(a.labels), a.series) > 1:
		return fmt.Sprintf("the query returns several series (%s); reduce them to one, with MAX or MIN around the query or without GROUP BY",
			strings.Join(a.labels[:min(len(a.labels), 3)], ", "))
	case a.message != "" && q.Expression != "":
		return "CloudWatch answered only a part of the query: " + a.message
	case a.status == types.StatusCodePartialData && (q.Window > 0 || len(a.points) == 0):
		return "CloudWatch returned only a part of the datapoints"
	case a.contradictory():
		return "the metric has two values for the same time, because it is published with several units; choose one with Unit"
	}
	return ""
}

// contradictory reports whether two different values have the same time.
func (a *answer) contradictory() bool {
	values := make(map[time.Time]float64, len(a.points))
	for _, p := range a.points {
		if before, twice := values[p.At]; twice && before != p.Value {
			return true
		}
		values[p.At] = p.Value
	}
	return false
}

// unanswered returns why there is no answer. It distinguishes a query that CloudWatch refused from a request that failed.
func unanswered(err error) string {
	if settings.Passes(err) {
		return "CloudWatch could not be read: " + settings.Reason(err)
	}
	return "CloudWatch refuses the query: " + settings.Reason(err)
}

func (s Source) get(ctx context.Context, queries map[string]ecology.Query, keys []string, now time.Time) (map[string]*answer, error) {
	var asked []types.MetricDataQuery
	lookback, longest := time.Duration(0), time.Minute
	for i, key := range keys {
		asked = append(asked, queriesOf(id(i), queries[key])...)
		lookback, longest = max(lookback, queries[key].Lookback()), max(longest, queries[key].Period)
	}
	// The window starts where a datapoint of the longest period begins and ends at the next whole minute, so that it covers the newest
	// datapoint, whose period has just begun.
	start, end := now.Add(-lookback).Truncate(longest), now.Add(time.Minute).Truncate(time.Minute)
	pages := cloudwatch.NewGetMetricDataPaginator(s.API, &cloudwatch.GetMetricDataInput{MetricDataQueries: asked, StartTime: &start, EndTime: &end})
	answers := map[string]*answer{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		here := map[string]int{}
		for _, result := range page.MetricDataResults {
			name := aws.ToString(result.Id)
			if answers[name] == nil {
				answers[name] = &answer{}
			}
			here[name]++
			answers[name].add(result)
			answers[name].series = max(answers[name].series, here[name])
		}
		// A message about the whole request means that it covers too many metrics. Then any search in it may be incomplete.
		if whole := first(page.Messages); whole != "" {
			for i := range keys {
				if answers[id(i)] == nil {
					answers[id(i)] = &answer{}
				}
				answers[id(i)].message = whole
			}
		}
	}
	return answers, nil
}

func (a *answer) add(result types.MetricDataResult) {
	for i, v := range result.Values {
		if i < len(result.Timestamps) {
			a.points = append(a.points, ecology.Point{At: result.Timestamps[i], Value: v})
		}
	}
	if label := aws.ToString(result.Label); !slices.Contains(a.labels, label) {
		a.labels = append(a.labels, label)
	}
	if a.failed() {
		return
	}
	if a.status = result.StatusCode; a.failed() {
		a.message = first(result.Messages)
	}
}

func (a *answer) failed() bool {
	return a.status == types.StatusCodeInternalError || a.status == types.StatusCodeForbidden
}

func first(messages []types.MessageData) string {
	if len(messages) == 0 {
		return ""
	}
	return aws.ToString(messages[0].Value)
}

func id(i int) string { return fmt.Sprintf("q%d", i) }

// queriesOf returns a query in CloudWatch's form, with its operands first. Ids must be unique in a request, and two labourers may use the same name for
// different operands. So the ids of operands get the query's id as a prefix, also in the expression.
func queriesOf(name string, q ecology.Query) []types.MetricDataQuery {
	if q.Expression == "" {
		return []types.MetricDataQuery{{Id: &name, MetricStat: stat(q), ReturnData: aws.Bool(true)}}
	}
	rename := renaming(name+"_", q.Metrics)
	var out []types.MetricDataQuery
	for _, operand := range q.Metrics {
		one := types.MetricDataQuery{Id: aws.String(rename(operand.ID)), ReturnData: aws.Bool(false)}
		if operand.Expression != "" {
			one.Expression = aws.String(rename(operand.Expression))
		} else {
			one.MetricStat = stat(operand.Query)
		}
		out = append(out, one)
	}
	return append(out, types.MetricDataQuery{Id: &name, Expression: aws.String(rename(q.Expression)), ReturnData: aws.Bool(true), Period: period(q)})
}

// names matches the words of an expression, and its quoted parts, in which no word is an operand.
var names = regexp.MustCompile(`'[^']*'|"[^"]*"|[A-Za-z_][A-Za-z0-9_]*`)

// renaming returns a function that prefixes the names of operands in an expression.
func renaming(prefix string, operands []ecology.Operand) func(expression string) string {
	return func(expression string) string {
		return names.ReplaceAllStringFunc(expression, func(name string) string {
			if slices.ContainsFunc(operands, func(o ecology.Operand) bool { return o.ID == name }) {
				return prefix + name
			}
			return name
		})
	}
}

func stat(q ecology.Query) *types.MetricStat {
	s := &types.MetricStat{Stat: aws.String(q.Statistic), Period: period(q), Metric: &types.Metric{MetricName: &q.MetricName, Namespace: &q.Namespace},
		Unit: types.StandardUnit(q.Unit)}
	for _, d := range q.Dimensions {
		s.Metric.Dimensions = append(s.Metric.Dimensions, types.Dimension{Name: &d.Name, Value: &d.Value})
	}
	return s
}

func period(q ecology.Query) *int32 { return aws.Int32(int32(q.Period / time.Second)) }

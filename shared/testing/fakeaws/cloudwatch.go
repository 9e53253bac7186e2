package fakeaws

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	metrics "github.com/drover-run/drover/shared/aws/cloudwatch"
)

// CloudWatch holds metrics in memory. It answers with the values that were put, by namespace, name and dimensions, in datapoints of the
// period of the query. Of metric math it supports numbers, ids, + − * / and parentheses, and refuses other expressions like malformed ones.
// It is safe for concurrent use.
type CloudWatch struct {
	Hooks
	// Broken makes a single query fail: its result has this status, InternalError or Forbidden, and no values. "" is a query that works.
	Broken func(types.MetricDataQuery) types.StatusCode

	mu      sync.Mutex
	samples map[string][]sample
}

type sample struct {
	at    time.Time
	value float64
}

// NewCloudWatch returns a CloudWatch without metrics.
func NewCloudWatch() *CloudWatch { return &CloudWatch{samples: map[string][]sample{}} }

var _ metrics.API = (*CloudWatch)(nil)

// Put adds a value to a metric, which its namespace, name and all of its dimensions identify.
func (c *CloudWatch) Put(namespace, name string, dimensions map[string]string, at time.Time, value float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := types.Metric{Namespace: &namespace, MetricName: &name}
	for dimension, of := range dimensions {
		m.Dimensions = append(m.Dimensions, types.Dimension{Name: aws.String(dimension), Value: aws.String(of)})
	}
	key := metricKey(m)
	c.samples[key] = append(c.samples[key], sample{at, value})
}

func metricKey(m types.Metric) string {
	var dimensions []string
	for _, d := range m.Dimensions {
		dimensions = append(dimensions, fmt.Sprintf("%q=%q", aws.ToString(d.Name), aws.ToString(d.Value)))
	}
	slices.Sort(dimensions)
	return fmt.Sprintf("%q %q %s", aws.ToString(m.Namespace), aws.ToString(m.MetricName), strings.Join(dimensions, " "))
}

// mostQueries says how many queries a request has at most.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
const mostQueries = 500

func refusedQuery(format string, args ...any) error {
	return &smithy.GenericAPIError{Code: "ValidationError", Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}
}

// GetMetricData answers in one page. It refuses the whole request for one wrong query.
func (c *CloudWatch) GetMetricData(ctx context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	return serve(ctx, &c.Hooks, Request{cloudwatch.ServiceID, "GetMetricData", in}, func() (*cloudwatch.GetMetricDataOutput, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.answer(in)
	})
}

// series holds a query's datapoints by the beginnings of their periods.
type series map[time.Time]float64

func (c *CloudWatch) answer(in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
	from, to := aws.ToTime(in.StartTime), aws.ToTime(in.EndTime)
	switch {
	case len(in.MetricDataQueries) == 0 || len(in.MetricDataQueries) > mostQueries:
		return nil, refusedQuery("MetricDataQueries has %d members; it must have 1 to %d", len(in.MetricDataQueries), mostQueries)
	case !from.Before(to):
		return nil, refusedQuery("The parameter StartTime must be less than the parameter EndTime.")
	}
	known, shown := map[string]series{}, 0
	var expressions []types.MetricDataQuery
	for _, q := range in.MetricDataQueries {
		id := aws.ToString(q.Id)
		if _, twice := known[id]; twice || !queryID.MatchString(id) {
			return nil, refusedQuery("The value %q of Id is not unique or does not begin with a lower-case letter", id)
		}
		known[id] = nil
		if q.ReturnData == nil || *q.ReturnData {
			shown++
		}
		if (q.MetricStat == nil) == (q.Expression == nil) {
			return nil, refusedQuery("Query %s must have either a MetricStat or an Expression", id)
		}
		if q.Expression != nil {
			expressions = append(expressions, q)
			continue
		}
		var err error
		if known[id], err = c.statistic(*q.MetricStat, from, to); err != nil {
			return nil, err
		}
	}
	if shown == 0 {
		return nil, refusedQuery("At least one query must return data")
	}
	for _, q := range expressions {
		result, err := evaluate(aws.ToString(q.Expression), known)
		if err != nil {
			return nil, refusedQuery("Error in expression '%s': %v", aws.ToString(q.Id), err)
		}
		known[*q.Id] = result
	}
	out := &cloudwatch.GetMetricDataOutput{}
	for _, q := range in.MetricDataQueries {
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		out.MetricDataResults = append(out.MetricDataResults, c.result(q, known[*q.Id], in.ScanBy))
	}
	return out, nil
}

func (c *CloudWatch) result(q types.MetricDataQuery, points series, order types.ScanBy) types.MetricDataResult {
	r := types.MetricDataResult{Id: q.Id, Label: q.Id, StatusCode: types.StatusCodeComplete, Timestamps: []time.Time{}, Values: []float64{}}
	if c.Broken != nil {
		if status := c.Broken(q); status != "" {
			r.StatusCode = status
			r.Messages = []types.MessageData{{Code: aws.String(string(status)), Value: aws.String("the query failed")}}
			return r
		}
	}
	for at := range points {
		r.Timestamps = append(r.Timestamps, at)
	}
	slices.SortFunc(r.Timestamps, func(a, b time.Time) int {
		if order == types.ScanByTimestampAscending {
			return a.Compare(b)
		}
		return b.Compare(a)
	})
	for _, at := range r.Timestamps {
		r.Values = append(r.Values, points[at])
	}
	return r
}

var (
	queryID    = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)
	percentile = regexp.MustCompile(`^p([0-9]{1,2}(\.[0-9]{1,10})?|100)$`)
)

func (c *CloudWatch) statistic(s types.MetricStat, from, to time.Time) (series, error) {
	seconds := aws.ToInt32(s.Period)
	if !slices.Contains([]int32{1, 5, 10, 20, 30}, seconds) && (seconds < 60 || seconds%60 != 0) {
		return nil, refusedQuery("The parameter Period is %d; it must be 1, 5, 10, 20, 30 or a multiple of 60", seconds)
	}
	if s.Metric == nil || aws.ToString(s.Metric.Namespace) == "" || aws.ToString(s.Metric.MetricName) == "" {
		return nil, refusedQuery("A MetricStat must have a metric with a namespace and a name")
	}
	name := aws.ToString(s.Stat)
	if !slices.Contains([]string{"Average", "Sum", "Minimum", "Maximum", "SampleCount"}, name) && !percentile.MatchString(name) {
		return nil, refusedQuery("The value %s for parameter Stat is not supported", name)
	}
	period := time.Duration(seconds) * time.Second
	values := map[time.Time][]float64{}
	for _, one := range c.samples[metricKey(*s.Metric)] {
		if begin := one.at.UTC().Truncate(period); !begin.Before(from) && begin.Before(to) {
			values[begin] = append(values[begin], one.value)
		}
	}
	out := series{}
	for begin, of := range values {
		out[begin] = statistic(name, of)
	}
	return out, nil
}

// statistic returns a statistic of the numbers in a period, of which there is at least one.
func statistic(name string, of []float64) float64 {
	total := 0.0
	for _, v := range of {
		total += v
	}
	switch name {
	case "Average":
		return total / float64(len(of))
	case "Sum":
		return total
	case "Minimum":
		return slices.Min(of)
	case "Maximum":
		return slices.Max(of)
	case "SampleCount":
		return float64(len(of))
	}
	sorted := slices.Clone(of)
	slices.SortFunc(sorted, cmp.Compare)
	share, _ := strconv.ParseFloat(name[1:], 64)
	return sorted[max(0, int(math.Ceil(share/100*float64(len(sorted))))-1)]
}

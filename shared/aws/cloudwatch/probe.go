package cloudwatch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/drover-run/drover/shared/core/ecology"
)

const (
	// Remembered limits how far back Ever looks: CloudWatch keeps datapoints of five minutes for that long.
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
	Remembered = 63 * 24 * time.Hour
	// RememberedSearch limits how far back Ever looks for an expression that searches its metrics (SEARCH, SELECT). CloudWatch allows no more.
	RememberedSearch = 3 * time.Hour
	// probed sets the period of the datapoints that Ever reads: long, so that a metric has few of them.
	probed = 24 * time.Hour
)

// Span returns how far back Ever looks for a query.
func Span(q ecology.Query) time.Duration {
	if q.Expression != "" && len(q.Metrics) == 0 {
		return RememberedSearch
	}
	return Remembered
}

// QueryError reports that a single query failed in a request that was answered. InternalError may be temporary, or the query's own fault.
type QueryError struct {
	Status  types.StatusCode // Forbidden or InternalError
	Message string
}

func (e *QueryError) Error() string { return strings.TrimSpace(string(e.Status) + " " + e.Message) }

// Ever returns the newest datapoint of a query within Span, or nil if there is none. If Span is Remembered, the datapoint's time is a day in UTC. It
// returns the same errors as Newest.
func (s Source) Ever(ctx context.Context, q ecology.Query, now time.Time) (*ecology.Point, error) {
	span := Span(q)
	if span == Remembered {
		q = coarse(q)
	}
	return s.Newest(ctx, q, now.Add(-span).Truncate(probed), now)
}

// Newest returns the newest datapoint of a query since a time, or nil if there is none. Unlike Ask, which returns a reason for people, it returns AWS's
// own error.
func (s Source) Newest(ctx context.Context, q ecology.Query, since, now time.Time) (*ecology.Point, error) {
	end := now.Add(time.Minute).Truncate(time.Minute)
	pages := cloudwatch.NewGetMetricDataPaginator(s.API, &cloudwatch.GetMetricDataInput{MetricDataQueries: queriesOf("q0", q),
		ScanBy: types.ScanByTimestampDescending, StartTime: &since, EndTime: &end})
	var newest *ecology.Point
	for newest == nil && pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, result := range page.MetricDataResults {
			if s := result.StatusCode; s == types.StatusCodeForbidden || s == types.StatusCodeInternalError {
				return nil, &QueryError{s, first(result.Messages)}
			}
			for i, v := range result.Values {
				if i < len(result.Timestamps) && (newest == nil || result.Timestamps[i].After(newest.At)) {
					newest = &ecology.Point{At: result.Timestamps[i], Value: v}
				}
			}
		}
	}
	return newest, nil
}

// coarse returns the query with datapoints of a day.
func coarse(q ecology.Query) ecology.Query {
	q.Period = max(q.Period, probed)
	q.Metrics = slices.Clone(q.Metrics)
	for i := range q.Metrics {
		q.Metrics[i].Query = coarse(q.Metrics[i].Query)
	}
	return q
}

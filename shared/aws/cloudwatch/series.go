package cloudwatch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/drover-run/drover/shared/core/ecology"
)

// Series reads the datapoints of up to 500 queries, operands included, between two times. A query without an answer has none.
func (s Source) Series(ctx context.Context, queries map[string]ecology.Query, from, to time.Time) (map[string][]ecology.Point, error) {
	keys := slices.Sorted(maps.Keys(queries))
	var asked []types.MetricDataQuery
	for i, key := range keys {
		asked = append(asked, queriesOf(id(i), queries[key])...)
	}
	if len(asked) == 0 {
		return nil, nil
	}
	if len(asked) > most {
		return nil, fmt.Errorf("%d queries are too many for one request; want at most %d", len(asked), most)
	}
	start, end := from.Truncate(time.Minute), to.Add(time.Minute).Truncate(time.Minute)
	pages := cloudwatch.NewGetMetricDataPaginator(s.API, &cloudwatch.GetMetricDataInput{MetricDataQueries: asked, StartTime: &start, EndTime: &end,
		ScanBy: types.ScanByTimestampAscending})
	out := map[string][]ecology.Point{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading %d metrics, %w", len(keys), err)
		}
		for _, result := range page.MetricDataResults {
			var a answer
			a.add(result)
			for i, key := range keys {
				if id(i) == aws.ToString(result.Id) {
					out[key] = append(out[key], a.points...)
				}
			}
		}
	}
	return out, nil
}

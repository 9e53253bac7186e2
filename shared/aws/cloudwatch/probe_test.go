package cloudwatch_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	metrics "github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func TestAMetricThatHadAValueWithinTwoMonthsIsFound(t *testing.T) {
	cw := fakeaws.NewCloudWatch()
	cw.Put("N", "quiet", nil, now.AddDate(0, 0, -40), 3)
	cw.Put("N", "long ago", nil, now.AddDate(0, 0, -90), 3)
	source := metrics.Source{API: cw}
	query := func(name string) ecology.Query {
		return ecology.Query{Namespace: "N", MetricName: name, Statistic: "Maximum", Period: time.Minute}
	}
	point, err := source.Ever(t.Context(), query("quiet"), now)
	require.NoError(t, err)
	require.Equal(t, 3.0, point.Value)
	for _, name := range []string{"never", "long ago"} {
		point, err = source.Ever(t.Context(), query(name), now)
		require.NoError(t, err)
		require.Nil(t, point, name)
	}
	sum := ecology.Query{Expression: "a + a", Period: time.Minute, Metrics: []ecology.Operand{{ID: "a", Query: query("quiet")}}}
	point, err = source.Ever(t.Context(), sum, now)
	require.NoError(t, err)
	require.Equal(t, 6.0, point.Value)
}

func TestTheErrorOfAMetricHasAType(t *testing.T) {
	f := &fake{refuses: "A", with: &smithy.GenericAPIError{Code: "ValidationError", Message: "no"}}
	_, err := metrics.Source{API: f}.Ever(t.Context(), average("A"), now)
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, "ValidationError", api.ErrorCode())
	for _, status := range []types.StatusCode{types.StatusCodeForbidden, types.StatusCodeInternalError} {
		f = &fake{values: map[string][]float64{"A": {1}}, status: map[string]types.StatusCode{"A": status}}
		_, err = metrics.Source{API: f}.Ever(t.Context(), average("A"), now)
		var failed *metrics.QueryError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, &metrics.QueryError{Status: status, Message: "as told"}, failed)
	}
}

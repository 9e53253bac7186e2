package endtoend

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
)

// depends makes a labourer depend on the test's own metric: up to 25 its health is High, up to 50 Good, above that Bad.
func depends(t *testing.T) object {
	return object{"health_metrics": object{"load": object{
		"details":  object{"MetricName": named(t), "Namespace": "EndToEnd", "Period": 60, "Statistics": []string{"Average"}},
		"feelings": object{"3": 50, "4": 25}, "feeling_comparison_operator": "<="}}}
}

// measure puts a value of the test's metric with a time in the past, and lets Drover's stored answer expire.
func (s *stack) measure(t *testing.T, value float64, ago time.Duration) {
	t.Helper()
	_, err := s.metrics.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("EndToEnd"), MetricData: []cloudwatchtypes.MetricDatum{{
		MetricName: aws.String(named(t)), Timestamp: aws.Time(time.Now().Add(-ago)), Value: &value}}})
	require.NoError(t, err)
	l, found, err := s.registry.Labourer(t.Context(), named(t))
	require.NoError(t, err)
	require.True(t, found)
	// Deleting the stored answer has the same effect as waiting a minute until it expires.
	_, err = s.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(s.out["ControlTableName"]), Key: map[string]types.AttributeValue{
		"labourer": &types.AttributeValueMemberS{Value: "#metrics"}, "item": &types.AttributeValueMemberS{Value: metricKey(l)}}})
	require.NoError(t, err)
}

func metricKey(l labourer.Labourer) string {
	m := l.HealthMetrics["load"]
	return m.Key()
}

func TestG7HealthSetsALabourersPace(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(4, depends(t)))
	s.measure(t, 10, 4*time.Minute)
	require.Equal(t, ecology.High, s.look(t).Status)

	s.measure(t, 80, 3*time.Minute)
	s.submit(t, tasks(9, nil))
	s.fact(t, "LabourerHealthChanged", object{"labourer_id": named(t), "from": 4., "to": 0.})
	bad := s.look(t)
	require.Contains(t, bad.Reason, "health is Bad")
	require.Contains(t, bad.Reason, "load", "the metric that decided")
	require.EqualValues(t, 80, *bad.Evidence.Metric.Value)
	require.Equal(t, decision.Health, bad.Binding)
	require.Zero(t, d.waiting(t))
	require.Equal(t, 0, bad.Desired)

	s.measure(t, 40, 2*time.Minute)
	s.look(t)
	work := d.take(t, 3)
	good := s.look(t)
	require.Equal(t, []int{3, 3, 3, 0}, []int{int(good.Status), good.Desired, good.Running, good.Free}, "Good allows three quarters of the cap")
	require.Zero(t, d.waiting(t))
	s.fact(t, "LabourerHealthChanged", object{"labourer_id": named(t), "from": 0., "to": 3.})

	s.measure(t, 20, time.Minute)
	s.look(t)
	s.fact(t, "LabourerHealthChanged", object{"labourer_id": named(t), "from": 3., "to": 4.})
	s.complete(t, append(work, d.take(t, 1)...)...)
	s.complete(t, d.take(t, 4)...)
	s.complete(t, d.take(t, 1)...)
	s.ended(t, named(t))
}

func TestFiftyWakesAskCloudWatchOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	requireWitness(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, depends(t)))
	s.measure(t, 10, time.Minute)

	began := time.Now()
	for _, seen := range s.orchestrateAtOnce(t, 50, wake(t)) {
		require.Equal(t, ecology.High, seen.Status) // nothing is due, so no execution holds the lock and makes others skip the labourer
	}

	minutes := int(time.Since(began) / time.Minute) // on a very slow machine
	require.LessOrEqual(t, world.witness.count("GetMetricData", named(t)), 1+minutes)
}

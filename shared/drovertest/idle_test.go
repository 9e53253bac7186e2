package drovertest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/bill"
)

// List prices of a month, and what every account has for free, month after month.
// https://aws.amazon.com/cloudwatch/pricing https://aws.amazon.com/kms/pricing https://aws.amazon.com/sqs/pricing
const (
	keyPrice       = 1.0
	alarmPrice     = 0.10
	dashboardPrice = 3.0
	freeAlarms     = 10
	freeDashboards = 3
	freeRequests   = 1e6 // of SQS

	hoursAMonth = 730
	queues      = 3  // that Lambda polls
	pollers     = 5  // of each: their concurrency is limited
	pollSeconds = 20 // that a poll of an empty queue takes
)

// TestAnIdleStackCostsLittle counts what fifty labourers at rest cost, half of them with health metrics, and adds what the template makes.
func TestAnIdleStackCostsLittle(t *testing.T) {
	const hours = 4
	d := drovertest.New()
	var configuration strings.Builder
	configuration.WriteString("labourers:\n")
	for i := range 50 {
		fmt.Fprintf(&configuration, "  w%d:\n    target: {lambda: work}\n", i)
		if i%2 == 0 {
			configuration.WriteString("    health_metrics: {load: {details: {Namespace: N, MetricName: M, Period: 60, Statistics: [Average]}, feelings: {3: 50}}}\n")
		}
	}
	require.NoError(t, d.Apply(configuration.String()))
	require.NoError(t, d.Run())
	m := newMeter()
	m.attach(d)
	d.DynamoDB.ResetUsage()

	d.RunFor(hours * time.Hour)

	for _, cost := range d.DynamoDB.Usage() {
		m.writes, m.reads = m.writes+cost.WriteUnits, m.reads+cost.ReadUnits
	}
	require.LessOrEqual(t, m.writes*24/hours, 1000., "write units a day")
	sqsPrice := bill.AWS().Of(bill.QueueRequests)
	lines, _ := m.bill(1e6 * hours / hoursAMonth) // dollars a month
	template, err := os.ReadFile("../../infra/template.yaml")
	require.NoError(t, err)
	const alarm = "Type: AWS::CloudWatch::Alarm\n"
	alarms := float64(strings.Count(string(template), alarm) - strings.Count(string(template), alarm+"    Condition: MoePlugins"))
	polls := queues * pollers * hoursAMonth * 3600. / pollSeconds
	lines = append(lines, bill.Line{What: "the alarm topic's key", Amount: 1, Dollars: keyPrice}, bill.Line{What: "alarms", Amount: alarms, Dollars: alarms * alarmPrice},
		bill.Line{What: "dashboard", Amount: 1, Dollars: dashboardPrice}, bill.Line{What: "polls of empty queues", Amount: polls, Dollars: polls * sqsPrice})
	all := 0.
	for _, l := range lines {
		all += l.Dollars
		if l.Dollars >= 0.005 {
			t.Logf("%-24s $%.2f", l.What, l.Dollars)
		}
	}
	free := freeAlarms*alarmPrice + dashboardPrice + freeRequests*sqsPrice
	t.Logf("in all $%.2f a month, $%.2f of it free in an account with up to %d alarms, %d dashboards and a million requests to SQS", all, free, freeAlarms, freeDashboards)
	require.LessOrEqual(t, all-free, 4., "dollars a month, without what is free")
	require.LessOrEqual(t, all, 8., "dollars a month")
}

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/inspect"
)

// healthMetrics checks that each metric of a labourer can have an effect: CloudWatch accepts its query, and it has had a value.
func (d *doctor) healthMetrics(ctx context.Context, name string, l labourer.Labourer) []check {
	var checks []check
	for _, metric := range slices.Sorted(maps.Keys(l.HealthMetrics)) {
		checks = append(checks, d.healthMetric(ctx, name+": metric "+metric, l, l.HealthMetrics[metric]))
	}
	return checks
}

func (d *doctor) healthMetric(ctx context.Context, name string, l labourer.Labourer, m ecology.Metric) check {
	newest, err := d.metrics.Ever(ctx, m.Query, d.now())
	switch {
	case kindOf(err) == refused:
		return wrong(name, "fix the metric's details in the labourer's file, then "+d.own("apply", "-f")+" FILE",
			"CloudWatch refuses the query, so trying again is useless: %s; %s", reason(err), meanwhile(l, m, true))
	case err != nil && kindOf(err) == other:
		return wrong(name, "fix the metric's details in the labourer's file, then "+d.own("apply", "-f")+" FILE; if they are right, run the doctor again in a minute",
			"CloudWatch fails to run the query: %s; %s", reason(err), meanwhile(l, m, true))
	case err != nil:
		return unread(name, err, "cloudwatch:GetMetricData", "", "CloudWatch cannot be read: ")
	case newest == nil:
		return wrong(name, d.searching(m.Query), "it has had no value in %s; %s", span(cloudwatch.Span(m.Query)), meanwhile(l, m, false))
	}
	// A query may have values and still return no single number, for example if it returns several series.
	answers, err := d.metrics.Ask(ctx, map[string]ecology.Query{name: m.Query}, d.now())
	if err == nil && answers[name].Error != "" {
		return wrong(name, "fix the metric's details in the labourer's file, then "+d.own("apply", "-f")+" FILE", "%s; %s", answers[name].Error, meanwhile(l, m, true))
	}
	if now := d.now(); cloudwatch.Span(m.Query) == cloudwatch.Remembered && now.Sub(newest.At) > 48*time.Hour {
		return fine(name, "its last value is from %s", newest.At.UTC().Format(time.DateOnly))
	}
	return fine(name, "it has values")
}

// meanwhile says what a metric without a value does to the labourer's pace.
func meanwhile(l labourer.Labourer, m ecology.Metric, failed bool) string {
	if !m.Felt() {
		return "the labourer's cap never rises by it"
	}
	if m.Missing == ecology.MissingIsBad || failed && m.Missing != ecology.Ignore {
		return "it counts as Bad: " + map[bool]string{true: "nothing is started", false: "little is started"}[l.Coefficients[ecology.Bad] == 0]
	}
	return fmt.Sprintf("it is ignored: up to %s tasks may run, whatever it measures", number(l.MaxSimultaneousInvocations))
}

func span(d time.Duration) string {
	if days := int(d / (24 * time.Hour)); days > 0 {
		return inspect.Count(days, "day")
	}
	return d.String()
}

// searching returns what to do to find the metric's real name.
func (d *doctor) searching(q ecology.Query) string {
	if q.Expression != "" && len(q.Metrics) > 0 {
		q = q.Metrics[0].Query
	}
	if q.MetricName == "" {
		return "fix its expression in the labourer's file, then " + d.own("apply", "-f") + " FILE"
	}
	return "compare Namespace, MetricName, Unit and Dimensions with the existing metrics, fix the labourer's file, then " + d.own("apply", "-f") + " FILE; to list the metrics: " +
		d.command("cloudwatch", "list-metrics", "--namespace", q.Namespace)
}

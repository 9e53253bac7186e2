package labourer

import "github.com/drover-run/drover/shared/core/lazyregexp"

// These match names and texts that CloudWatch accepts:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html,
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html.
var (
	statistics = []string{"Average", "Sum", "Minimum", "Maximum", "SampleCount", "IQM"}

	// p99, p99.9, tm90, wm, tc, ts and their ranges TM(10%:90%), PR(:300).
	percentile = lazyregexp.New(`^((p|tm|wm|tc|ts)([0-9]{1,2}(\.[0-9]{1,10})?|100)|(TM|WM|TC|TS|PR)\([0-9.]*%?:[0-9.]*%?\))$`)

	// operandID matches the names that metric math may give a metric.
	operandID = lazyregexp.New(`^[a-z][A-Za-z0-9_]{0,254}$`)

	// manySeries matches expressions that may return several series: a search without aggregation, and a query with groups.
	manySeries = lazyregexp.New(`(?is)^\s*(SEARCH\s*\(|SELECT\s.*\sGROUP\s+BY\s)`)

	units = []string{
		"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits",
		"Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second",
		"Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second",
		"Terabits/Second", "Count/Second", "None",
	}
)

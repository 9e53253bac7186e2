// Package emf reads metrics from log lines, as CloudWatch does, for tests. It is strict: CloudWatch passes over a line that it cannot take, and
// says so nowhere near it.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package emf

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Limits of the format.
const (
	mostMetrics    = 100 // in a directive
	mostValues     = 100 // of a metric
	mostDimensions = 30
	mostBytes      = 256 << 10 // of a line
)

// Point holds the values of a metric in a line.
type Point struct {
	Namespace  string
	Dimensions map[string]string
	Metric     string
	Unit       string
	At         time.Time
	Values     []float64
}

// Under reports whether the point has exactly these dimensions, given as name=value.
func (p Point) Under(dimensions ...string) bool {
	for _, d := range dimensions {
		name, value, _ := strings.Cut(d, "=")
		if p.Dimensions[name] != value {
			return false
		}
	}
	return len(dimensions) == len(p.Dimensions)
}

// Points holds the points of a log.
type Points []Point

// Of returns the values of a metric under these dimensions, given as name=value, in the order of the log.
func (ps Points) Of(metric string, dimensions ...string) []float64 {
	var out []float64
	for _, p := range ps {
		if p.Metric == metric && p.Under(dimensions...) {
			out = append(out, p.Values...)
		}
	}
	return out
}

// Sum returns the sum of a metric's values under these dimensions.
func (ps Points) Sum(metric string, dimensions ...string) float64 {
	sum := 0.
	for _, v := range ps.Of(metric, dimensions...) {
		sum += v
	}
	return sum
}

// Read returns the points of a log in JSON. It skips empty lines.
func Read(log string) (Points, error) {
	var all Points
	for line := range strings.Lines(log) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		points, err := read(line)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, line)
		}
		all = append(all, points...)
	}
	return all, nil
}

func read(line string) (Points, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		return nil, err
	}
	if members["_aws"] == nil {
		return nil, nil
	}
	var aws struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	}
	switch err := json.Unmarshal(members["_aws"], &aws); {
	case err != nil:
		return nil, err
	case len(line) > mostBytes:
		return nil, fmt.Errorf("a line of %d bytes", len(line))
	case aws.Timestamp == 0:
		return nil, fmt.Errorf("no Timestamp")
	}
	var out Points
	for _, directive := range aws.CloudWatchMetrics {
		if directive.Namespace == "" || len(directive.Dimensions) == 0 || len(directive.Metrics) == 0 || len(directive.Metrics) > mostMetrics {
			return nil, fmt.Errorf("a directive without namespace, dimensions or metrics, or with over %d metrics", mostMetrics)
		}
		for _, names := range directive.Dimensions {
			dimensions := map[string]string{}
			for _, name := range names {
				var value string
				if err := json.Unmarshal(members[name], &value); err != nil || value == "" || strings.HasPrefix(value, ":") || len(names) > mostDimensions {
					return nil, fmt.Errorf("dimension %s is %s", name, members[name])
				}
				dimensions[name] = value
			}
			for _, metric := range directive.Metrics {
				values, err := numbers(members[metric.Name])
				if err != nil {
					return nil, fmt.Errorf("metric %s is %s", metric.Name, members[metric.Name])
				}
				out = append(out, Point{directive.Namespace, dimensions, metric.Name, metric.Unit, time.UnixMilli(aws.Timestamp), values})
			}
		}
	}
	return out, nil
}

func numbers(member json.RawMessage) (values []float64, err error) {
	if strings.HasPrefix(string(member), "[") {
		err = json.Unmarshal(member, &values)
	} else {
		values = make([]float64, 1)
		err = json.Unmarshal(member, &values[0])
	}
	if err == nil && (len(values) == 0 || len(values) > mostValues) {
		err = fmt.Errorf("%d values", len(values))
	}
	return values, err
}

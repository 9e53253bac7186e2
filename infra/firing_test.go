package infra_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/emf"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// series holds a metric's values for successive periods, the newest last. A period may have no value.
type series []*float64

func minutes(values ...any) series {
	var s series
	for _, value := range values {
		if value == nil {
			s = append(s, nil)
			continue
		}
		number := float64(value.(int))
		s = append(s, &number)
	}
	return s
}

// same returns n periods with the same value.
func same(n, value int) series {
	var all []any
	for range n {
		all = append(all, value)
	}
	return minutes(all...)
}

// setting returns a number of the template, or the default of the parameter that sets it.
func setting(t *testing.T, value any) int {
	t.Helper()
	if of, is := value.(object); is {
		value = read(t).parameters[of["Ref"].(string)]["Default"]
	}
	return value.(int)
}

// fires reports whether an alarm of the template is in ALARM after these values, one for each of its periods: of the last EvaluationPeriods at
// least DatapointsToAlarm breach. Missing values count as TreatMissingData says.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
func fires(t *testing.T, properties object, values series) bool {
	t.Helper()
	of := setting(t, properties["EvaluationPeriods"])
	atLeast := of
	if n, set := properties["DatapointsToAlarm"]; set {
		atLeast = setting(t, n)
	}
	threshold := float64(setting(t, properties["Threshold"]))
	breaches := map[string]func(float64) bool{
		"GreaterThanThreshold":          func(v float64) bool { return v > threshold },
		"GreaterThanOrEqualToThreshold": func(v float64) bool { return v >= threshold },
		"LessThanThreshold":             func(v float64) bool { return v < threshold },
	}[properties["ComparisonOperator"].(string)]
	require.NotNil(t, breaches, properties["ComparisonOperator"])
	breaching := 0
	for i := range of {
		var value *float64
		if at := len(values) - of + i; at >= 0 {
			value = values[at]
		}
		switch {
		case value != nil && breaches(*value), value == nil && properties["TreatMissingData"] == "breaching":
			breaching++
		case value == nil:
			require.Contains(t, []any{"breaching", "notBreaching"}, properties["TreatMissingData"])
		}
	}
	return breaching >= atLeast
}

// For each metric of AWS that an alarm watches, the cases are series that the metric shows when something is broken and when all is well, with a
// value for each period of the alarm. TestFunctionsThatAreDeniedTheirTablesRaiseTheAlarm tests the metrics of the functions themselves.
func TestAlarmsOnMetricsOfAWSFireWhenSomethingIsBroken(t *testing.T) {
	watched := map[string]bool{}
	for id, properties := range read(t).of("AWS::CloudWatch::Alarm") {
		metric := fmt.Sprint(properties["Namespace"], " ", properties["MetricName"])
		watched[metric] = true
		cases, known := map[string]struct{ sick, well []series }{
			// One message is one too many.
			"AWS/SQS ApproximateNumberOfMessagesVisible": {[]series{minutes(0, 1)}, []series{minutes(0), minutes(1, 0), minutes(nil)}},
			// Seconds.
			"AWS/SQS ApproximateAgeOfOldestMessage": {[]series{same(10, 7200)}, []series{same(10, 20), minutes(7200, 20, 20, 20, 20, 20), minutes(nil)}},
			// Milliseconds. The stream drops records after 86,400,000.
			"AWS/Lambda IteratorAge": {[]series{same(5, 700_000), minutes(900_000, 960_000, 1_020_000, 1_080_000, 1_140_000)},
				[]series{same(5, 2000), minutes(700_000, 2000, 2000, 2000, 2000), minutes(nil)}},
			// A failed message is redelivered after one or two minutes; the tick comes each minute.
			"AWS/Lambda Errors":             {[]series{same(5, 1), minutes(1, nil, 1, nil, 1), minutes(1, 0, 1, 0, 1)}, []series{minutes(nil, 0, 3, 0, 0), minutes(nil)}},
			"AWS/Lambda Throttles":          {[]series{same(5, 40), minutes(4, 0, 4, 0, 4)}, []series{minutes(0, 40, 0, 0, 0), minutes(nil)}},
			"AWS/States ExecutionsFailed":   {[]series{same(3, 1)}, []series{minutes(0, 1, 0), minutes(nil)}},
			"AWS/States ExecutionsTimedOut": {[]series{minutes(1)}, []series{minutes(0), minutes(nil)}},
			"AWS/States ExecutionsStarted":  {[]series{same(3, 0), minutes(nil, nil, nil)}, []series{same(3, 5), minutes(0, 0, 1)}},
		}[metric]
		if properties["Namespace"] == "Drover" {
			continue
		}
		require.True(t, known, "%s: add cases for %s here", id, metric)
		for _, sick := range cases.sick {
			require.True(t, fires(t, properties, sick), "%s does not fire", id)
		}
		for _, well := range cases.well {
			require.False(t, fires(t, properties, well), "%s fires although all is well", id)
		}
	}
	for _, metric := range []string{"AWS/Lambda Errors", "AWS/Lambda Throttles", "AWS/Lambda IteratorAge"} {
		require.True(t, watched[metric], "no alarm watches %s", metric)
	}
}

// A function that Lambda does not run has an alarm of its own, or, if it reads a stream, falls behind that.
func TestEveryFunctionThatLambdaThrottlesRaisesAnAlarm(t *testing.T) {
	s := read(t)
	watched := map[string]bool{}
	for _, properties := range s.of("AWS::CloudWatch::Alarm") {
		if properties["MetricName"] == "Throttles" || properties["MetricName"] == "IteratorAge" {
			watched[mentioned(properties["Dimensions"])[0]] = true
		}
	}
	require.Equal(t, keys(s.of("AWS::Serverless::Function")), keys(watched))
}

// events holds, for each function, an event for which it needs a table.
var events = map[string]string{
	"scheduler": `{"Records": [{"messageId": "m1", "eventSource": "aws:sqs", "body": "{\"detail-type\": \"SubmitJob\", \"id\": \"e1\", \"detail\": {\"labourer\": \"f\"}}",
		"attributes": {"ApproximateReceiveCount": "1"}}]}`,
	"workflow":     `{"Records": [{"messageId": "m1", "eventSource": "aws:sqs", "body": "{\"step\": \"look\", \"run_id\": \"run-a\"}"}]}`,
	"orchestrator": `{"step": "plan", "execution": "e"}`,
	"worker-assistant": `{"Records": [{"messageId": "m1", "eventSource": "aws:sqs", "body": "{\"version\": 1, \"task_id\": \"abcdefghijklmnop.7\", \"status\": \"completed\"}"},
		{"messageId": "m2", "eventSource": "aws:sqs", "body": "{\"version\": 1, \"task_id\": \"abcdefghijklmnop.8\", \"status\": \"completed\"}"}]}`,
	"scavenger": `{"Records": [{"eventID": "1", "eventName": "MODIFY", "dynamodb": {"SequenceNumber": "1", "Keys": {"segment": {"S": "abcdefghijklmnop"}, "n": {"N": "7"}},
		"NewImage": {"segment": {"S": "abcdefghijklmnop"}, "n": {"N": "7"}, "labourer": {"S": "f"}, "job": {"S": "j"}, "status": {"S": "dead"}, "attempt": {"N": "1"},
		"created_at": {"N": "1764000000000"}, "closed_at": {"N": "1764000001000"}}}}]}`,
	"archiver": `{"Records": [{"eventID": "1", "eventName": "MODIFY", "dynamodb": {"SequenceNumber": "1", "Keys": {"segment": {"S": "abcdefghijklmnop"}, "n": {"N": "7"}},
		"NewImage": {"segment": {"S": "abcdefghijklmnop"}, "n": {"N": "7"}, "labourer": {"S": "f"}, "job": {"S": "j"}, "status": {"S": "completed"}, "attempt": {"N": "1"},
		"parts": {"N": "1"}, "created_at": {"N": "1764000000000"}, "closed_at": {"N": "1764000001000"}}}}]}`,
}

// refusing answers each request with an error of DynamoDB, and returns its address.
func refusing(t *testing.T, kind string) string {
	t.Helper()
	refusal := []byte(`{"__type": "com.amazon.coral.service#` + kind + `", "message": "not now"}`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(refusal)), 10))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(refusal)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// watching returns the alarm on a sum of the functions' own, by stack alone.
func watching(t *testing.T, name string) object {
	t.Helper()
	for _, properties := range read(t).of("AWS::CloudWatch::Alarm") {
		if properties["Namespace"] == metric.Namespace && properties["MetricName"] == name {
			require.Equal(t, "Sum", properties["Statistic"])
			require.Equal(t, []any{object{"Name": "Stack", "Value": ref("AWS::StackName")}}, properties["Dimensions"])
			return properties
		}
	}
	require.Fail(t, "no alarm watches "+name)
	return nil
}

// The real functions run for five minutes, with an invocation each minute and no right to any table. Their handlers return the messages to the
// queue, which is no error for Lambda. The alarm on the metric in their log lines fires, whichever function it is, and a metric of its own names it.
func TestFunctionsThatAreDeniedTheirTablesRaiseTheAlarm(t *testing.T) {
	denied, alarm := refusing(t, "AccessDeniedException"), watching(t, metric.FunctionFailures)
	for id, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			told := invoked(t, folder, denied, 5)
			name := strings.TrimSuffix(id, "Function") + "Failures"
			require.ElementsMatch(t, []string{metric.FunctionFailures, name}, keys(told))
			require.Len(t, told[name], 5, "a line for each invocation")
			failures := told[metric.FunctionFailures]
			require.Equal(t, told[name], failures)
			require.True(t, fires(t, alarm, failures))
			require.False(t, fires(t, alarm, append(failures[:2:2], minutes(nil, nil, nil)...)), "two minutes of failures raise no alarm")
		})
	}
}

// DynamoDB throttles each request of the real functions for three minutes.
func TestFunctionsWhoseTablesAreThrottledRaiseTheAlarm(t *testing.T) {
	throttling, alarm := refusing(t, "ProvisionedThroughputExceededException"), watching(t, metric.TableThrottles)
	for _, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			throttles := invoked(t, folder, throttling, 3)[metric.TableThrottles]
			require.Len(t, throttles, 3, "a line for each invocation")
			require.GreaterOrEqual(t, *throttles[0], 5., "each attempt counts")
			require.True(t, fires(t, alarm, append(throttles, minutes(nil, nil)...)))
			require.False(t, fires(t, alarm, append(throttles[:2:2], minutes(nil, nil, nil)...)), "two minutes raise no alarm")
		})
	}
}

// invoked runs a function against an endpoint so many times, a minute apart, and returns what it counts.
func invoked(t *testing.T, folder, endpoint string, times int) map[string]series {
	t.Helper()
	f := started(t, folder, endpoint)
	for range times {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err := f.Invoke(ctx, []byte(events[folder]))
		cancel()
		if err != nil {
			require.ErrorAs(t, err, new(*localstack.FunctionError))
		}
	}
	require.NoError(t, f.Stop())
	return counted(t, "1", time.Now(), f.Lines())
}

// A labourer's target queue is missing for an hour. The orchestrator runs each minute, and after each of its own waits after a failure.
func TestATargetThatStaysOutOfReachRaisesItsAlarm(t *testing.T) {
	alarm := read(t).resources["TargetFailuresAlarm"]["Properties"].(object)
	require.Equal(t, []any{metric.Namespace, metric.TargetFailures, "Maximum"}, []any{alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]})
	seconds := alarm["Period"].(int)
	period := time.Duration(seconds) * time.Second
	s := outage.NewStage(t, "labourers:\n  f: {target: {sqs: \""+outage.Worker("f")+"\"}}\n", "g")
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
	o := s.Services().Orchestrator.Service
	// hour returns the metric's highest value in each of the alarm's periods of an hour.
	hour := func() series {
		var values series
		for range int(time.Hour / period) {
			highest := 0
			for range int(period / time.Minute) {
				claimed, err := o.Take(t.Context(), orchestrator.Step{Step: "claim", Execution: "e", Labourer: "f"})
				require.NoError(t, err)
				if leases := claimed.(orchestrator.Claimed).Leases; len(leases) > 0 {
					out, err := o.Take(t.Context(), orchestrator.Step{Step: "dispatch", Execution: "e", Labourer: "f", Leases: leases})
					highest = max(highest, orchestrator.Counts(out, err)[metric.TargetFailures])
				}
				s.Pass(time.Minute)
			}
			if highest == 0 {
				values = append(values, nil)
				continue
			}
			value := float64(highest)
			values = append(values, &value)
		}
		return values
	}

	values := hour()

	for i := range values {
		require.True(t, fires(t, alarm, values[:i+1]), "period %d of %d", i+1, len(values))
	}
	require.False(t, fires(t, alarm, minutes(2)), "two failures raise no alarm")
	s.SQS.Create(outage.Worker("f"), fakeaws.Queue{})
	values = hour()
	require.False(t, fires(t, alarm, values[:1]), "the target is back")
}

// A run takes longer than its workflow's sla. The workflow function counts that in its log, from which CloudWatch makes the alarm's metric.
func TestAnOverdueRunRaisesItsAlarm(t *testing.T) {
	alarm := read(t).resources["OverdueRunsAlarm"]["Properties"].(object)
	require.Equal(t, []any{metric.Namespace, metric.OverdueRuns, "Sum", 60}, []any{alarm["Namespace"], alarm["MetricName"], alarm["Statistic"], alarm["Period"]})
	d := drovertest.New()
	require.NoError(t, d.Apply(`
labourers: {crew: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:crew"}}}
workflows: {order intake: {activities: [ship], sla: 15m}}
plugins: {label: {activity: ship, stage: pre, labourer: crew}}`))
	require.NoError(t, d.Pause("crew"))
	d.StartWorkflow(`{"workflow": "order intake", "uid": "order-7"}`)
	var log bytes.Buffer
	d.Log = slog.New(slog.NewJSONHandler(&log, nil))

	var values series // of the alarm's metric, minute by minute
	for range 30 {
		log.Reset()
		d.RunFor(time.Minute)
		told := counted(t, "drover", d.World.Now(), strings.Split(strings.TrimSpace(log.String()), "\n"))[metric.OverdueRuns]
		if len(told) == 0 {
			told = minutes(nil)
		}
		require.Len(t, told, 1)
		values = append(values, told[0])
	}

	var fired []int
	for i := range values {
		if fires(t, alarm, values[:i+1]) {
			fired = append(fired, i+1)
		}
	}
	require.Equal(t, []int{15}, fired, "once for the run, in this minute")
}

// started starts a function's program, built as for deployment, in the environment that the template gives it.
func started(t *testing.T, folder, endpoint string) *localstack.Function {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", program, "../functions/"+folder)
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	environ := []string{"AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
	for name := range at[object](read(t).whole, "Globals", "Function", "Environment", "Variables") {
		value := "1"
		if strings.HasSuffix(name, "_URL") {
			value = endpoint + "/000000000000/" + strings.ToLower(name)
		}
		environ = append(environ, name+"="+value)
	}
	f, err := localstack.StartFunction(program, environ)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Stop() })
	return f
}

// counted returns the metrics by stack alone that CloudWatch extracts from log lines: the values of each metric of the namespace, line by line.
func counted(t *testing.T, stack string, now time.Time, lines []string) map[string]series {
	t.Helper()
	points, err := emf.Read(strings.Join(lines, "\n"))
	require.NoError(t, err)
	found := map[string]series{}
	for _, p := range points {
		require.Equal(t, metric.Namespace, p.Namespace)
		require.Equal(t, stack, p.Dimensions["Stack"], "the stack's name, from the environment")
		require.WithinDuration(t, now, p.At, time.Hour)
		if len(p.Dimensions) > 1 {
			continue // alarms watch the stack
		}
		for i := range p.Values {
			found[p.Metric] = append(found[p.Metric], &p.Values[i])
		}
	}
	return found
}

package fakeaws_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	metrics "github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/sns"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ecology"
	tasks "github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func TestABucketKeepsAndListsWhatWasPut(t *testing.T) {
	api := fakeaws.NewS3("archive")
	bucket := s3.Bucket{API: api, Name: "archive"}
	var want []string
	for i := range 2300 { // three pages
		key := fmt.Sprintf("labourer=l/date=2026-11-22/%05d", i)
		want = append(want, key)
		require.NoError(t, bucket.Put(t.Context(), archive.Object{Key: key, Body: []byte(key)}))
	}
	require.NoError(t, bucket.Put(t.Context(), archive.Object{Key: "other", Body: []byte("x")}))

	keys, err := bucket.List(t.Context(), "labourer=l/")
	require.NoError(t, err)
	require.Equal(t, want, keys)
	body, err := bucket.Get(t.Context(), want[7])
	require.NoError(t, err)
	require.Equal(t, want[7], string(body))

	_, err = bucket.Get(t.Context(), "nothing")
	var missing *s3types.NoSuchKey
	require.ErrorAs(t, err, &missing)
	_, err = s3.Bucket{API: api, Name: "nowhere"}.List(t.Context(), "")
	var nowhere *s3types.NoSuchBucket
	require.ErrorAs(t, err, &nowhere)
}

func TestABucketListsFoldersAndRefusesToOverwriteWhenAsked(t *testing.T) {
	api := fakeaws.NewS3()
	put := func(key string, condition *string) error {
		_, err := api.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("b"), Key: &key, Body: bytes.NewReader([]byte("x")), IfNoneMatch: condition})
		return err
	}
	for _, key := range []string{"a/1", "a/2", "b/1", "c"} {
		require.NoError(t, put(key, nil))
	}
	require.ErrorContains(t, put("c", aws.String("*")), "PreconditionFailed")
	require.NoError(t, put("d", aws.String("*")))

	var seen []string
	for pages := awss3.NewListObjectsV2Paginator(api, &awss3.ListObjectsV2Input{Bucket: aws.String("b"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, p := range page.CommonPrefixes {
			seen = append(seen, *p.Prefix)
		}
		for _, o := range page.Contents {
			seen = append(seen, *o.Key)
		}
	}
	require.Equal(t, []string{"a/", "b/", "c", "d"}, seen)
	out, err := api.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("c")})
	require.NoError(t, err)
	body, err := io.ReadAll(out.Body)
	require.NoError(t, err)
	require.Equal(t, int64(len(body)), *out.ContentLength)
}

func TestATopicKeepsWhatWasPublishedAndRefusesWhatSNSDoes(t *testing.T) {
	api := fakeaws.NewSNS("arn:topic")
	topic := sns.Topic{API: api, ARN: "arn:topic"}
	require.NoError(t, topic.Died(t.Context(), strings.Repeat("l", 128), []tasks.Task{{JobID: "j", Attempt: 3}}))

	published := api.Published("arn:topic")
	require.Len(t, published, 1)
	require.Contains(t, published[0].Message, "1 task of labourer")
	require.Less(t, len(published[0].Subject), 100)

	for name, in := range map[string]*awssns.PublishInput{
		"no message":       {TopicArn: aws.String("arn:topic")},
		"another topic":    {TopicArn: aws.String("arn:other"), Message: aws.String("x")},
		"a long subject":   {TopicArn: aws.String("arn:topic"), Message: aws.String("x"), Subject: aws.String(strings.Repeat("x", 100))},
		"a subject's form": {TopicArn: aws.String("arn:topic"), Message: aws.String("x"), Subject: aws.String("a\nb")},
		"a long message":   {TopicArn: aws.String("arn:topic"), Message: aws.String(strings.Repeat("x", 256<<10+1))},
	} {
		_, err := api.Publish(t.Context(), in)
		require.Error(t, err, name)
	}
	require.Len(t, api.Published("arn:topic"), 1)
	require.Empty(t, api.Published("arn:other"))
}

func TestMetricsAreAnsweredInDatapointsOfTheirPeriod(t *testing.T) {
	api := fakeaws.NewCloudWatch()
	now := time.Date(2026, 11, 22, 12, 0, 30, 0, time.UTC)
	dimensions := map[string]string{"DBInstanceIdentifier": "db"}
	for i, value := range []float64{10, 20, 60} {
		api.Put("AWS/RDS", "CPUUtilization", dimensions, now.Add(-time.Duration(i)*20*time.Second), value)
	}
	api.Put("AWS/RDS", "CPUUtilization", nil, now, 99)
	api.Put("AWS/RDS", "Connections", dimensions, now, 5)
	query := func(statistic string) ecology.Query {
		return ecology.Query{Namespace: "AWS/RDS", MetricName: "CPUUtilization", Statistic: statistic, Period: time.Minute,
			Dimensions: []ecology.Dimension{{Name: "DBInstanceIdentifier", Value: "db"}}}
	}
	queries := map[string]ecology.Query{"none": {Namespace: "AWS/RDS", MetricName: "CPUUtilization", Statistic: "Average", Period: time.Minute,
		Dimensions: []ecology.Dimension{{Name: "DBInstanceIdentifier", Value: "other"}}}}
	for _, statistic := range []string{"Average", "Sum", "Minimum", "Maximum", "SampleCount", "p50", "p100"} {
		queries[statistic] = query(statistic)
	}
	connections := query("Average")
	connections.MetricName = "Connections"
	queries["math"] = ecology.Query{Expression: "(cpu + 2 * connections) / 4 - -1", Period: time.Minute,
		Metrics: []ecology.Operand{{ID: "cpu", Query: query("Average")}, {ID: "connections", Query: connections}}}
	queries["wrong"] = ecology.Query{Expression: "cpu + unknown", Period: time.Minute, Metrics: []ecology.Operand{{ID: "cpu", Query: query("Average")}}}

	over := now.Truncate(time.Minute).Add(time.Minute) // a sum counts once its period is over

	readings, err := metrics.Source{API: api}.Ask(t.Context(), queries, over)

	require.NoError(t, err)
	for name, want := range map[string]float64{"Average": 15, "Sum": 30, "Minimum": 10, "Maximum": 20, "SampleCount": 2, "p50": 10, "p100": 20, "math": 7.25} {
		require.Empty(t, readings[name].Error, name)
		require.NotNil(t, readings[name].Value, name)
		require.InDelta(t, want, *readings[name].Value, 1e-9, name)
	}
	require.Nil(t, readings["none"].Value)
	require.Empty(t, readings["none"].Error, "no data is no error")
	require.Contains(t, readings["wrong"].Error, "unknown")
}

func TestABrokenQueryFailsByItselfAndAWrongOneTheWholeRequest(t *testing.T) {
	api := fakeaws.NewCloudWatch()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	api.Put("N", "m", nil, now, 1)
	api.Broken = func(q cloudwatchtypes.MetricDataQuery) cloudwatchtypes.StatusCode {
		if aws.ToString(q.MetricStat.Metric.MetricName) == "broken" {
			return cloudwatchtypes.StatusCodeInternalError
		}
		return ""
	}
	calls := 0
	api.Before = func(context.Context, fakeaws.Request) error { calls++; return nil }
	query := func(name string, period time.Duration) ecology.Query {
		return ecology.Query{Namespace: "N", MetricName: name, Statistic: "Average", Period: period}
	}

	readings, err := metrics.Source{API: api}.Ask(t.Context(), map[string]ecology.Query{"good": query("m", time.Minute), "broken": query("broken", time.Minute)}, now)
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	require.InDelta(t, 1, *readings["good"].Value, 0)
	require.Contains(t, readings["broken"].Error, "InternalError")

	readings, err = metrics.Source{API: api}.Ask(t.Context(), map[string]ecology.Query{"good": query("m", time.Minute), "wrong": query("m", 7*time.Second)}, now)
	require.NoError(t, err)
	require.InDelta(t, 1, *readings["good"].Value, 0, "it is asked again without the wrong one")
	require.Contains(t, readings["wrong"].Error, "Period")

	for name, in := range map[string]*cloudwatch.GetMetricDataInput{
		"no queries":       {StartTime: &now, EndTime: aws.Time(now.Add(time.Minute))},
		"times that meet":  {StartTime: &now, EndTime: &now, MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("a"), Expression: aws.String("1")}}},
		"a wrong id":       {StartTime: &now, EndTime: aws.Time(now.Add(time.Minute)), MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("A"), Expression: aws.String("1")}}},
		"a number alone":   {StartTime: &now, EndTime: aws.Time(now.Add(time.Minute)), MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("a"), Expression: aws.String("1")}}},
		"an open bracket":  {StartTime: &now, EndTime: aws.Time(now.Add(time.Minute)), MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("a"), Expression: aws.String("(1")}}},
		"nothing returned": {StartTime: &now, EndTime: aws.Time(now.Add(time.Minute)), MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("a"), Expression: aws.String("1"), ReturnData: aws.Bool(false)}}},
	} {
		_, err := api.GetMetricData(t.Context(), in)
		require.ErrorContains(t, err, "ValidationError", name)
	}
}

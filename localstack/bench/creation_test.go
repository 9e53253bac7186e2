package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
)

// days sets the number of days of this benchmark's job.
const days = 1000

// values returns the number of values for each day of a job of twenty thousand tasks, or of about DROVER_BENCH_TASKS.
func values(b *testing.B) int {
	b.Helper()
	text := os.Getenv("DROVER_BENCH_TASKS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	require.NoError(b, err, "DROVER_BENCH_TASKS")
	return max(1, n/days)
}

const (
	// sequential sets how many items are put one after the other, and flood how many of each size are put as fast as possible.
	sequential = 3000
	flood      = 30_000
	// clients sets the number of parallel writers in the flood. More of them do not make the local AWS faster.
	clients = 4
)

// BenchmarkCreation creates a large job, and cancels it before any task has started: from an event on the bus, through the bus's rule, the jobs queue and as many invocations of
// the real scheduler as it takes, to the items in the table.
func BenchmarkCreation(b *testing.B) {
	n := values(b)
	s := start(b)
	require.NoError(b, localstack.NameFunction(b.Context(), s.lambda, s.Outputs["ScavengerFunctionName"], scavenger))
	// Without a slot no task is claimed, so the benchmark measures only the creation.
	require.NoError(b, apply(b.Context(), s.registry, `
labourers: {harvest: {target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/harvest"}, max_simultaneous_invocations: 0}}
job_schemas: {default: {chunkable_attrs: [[section, {}]]}}
`))
	for b.Loop() {
		s.create(b, n)
		s.cancel(b, n*days)
	}
}

// cancel cancels the job whose tasks all wait in the queue, and measures that.
func (s *stack) cancel(b *testing.B, total int) {
	b.Helper()
	spent := func() localstack.Usage { return s.meter.Usage()[scheduler].Plus(s.meter.Usage()[scavenger]) }
	before := spent()
	began := time.Now()
	require.NoError(b, s.command(b.Context(), event.CancelJob, `{"job_id": "million"}`))
	await(b, "the job to be cancelled", 250*time.Millisecond, 30*time.Minute, func() (bool, error) {
		record, found, err := s.jobs.Get(b.Context(), "million")
		return found && record.Counts.Cancelled == total, err
	})
	took := time.Since(began)
	used := spent().Since(before)
	b.ReportMetric(float64(total)/took.Seconds(), "cancelled/s")
	b.ReportMetric(used.Units().Write/float64(total), "write-units/cancelled")
	b.Logf("cancelled %d queued tasks in %s, %.0f a second: %.4f write units and %.4f calls of DynamoDB a task, by scheduler and scavenger", total, took.Round(time.Second),
		float64(total)/took.Seconds(), used.Units().Write/float64(total), float64(databaseCalls(used.Calls))/float64(total))
}

// job returns a job of n × days tasks, with further attributes like those of a real report, so that the payloads have a realistic size.
func job(n int) string {
	sections := make([]string, n)
	for i := range sections {
		sections[i] = fmt.Sprintf(`"section-%04d"`, i)
	}
	return fmt.Sprintf(`{"job_id": "million", "labourer": "harvest", "period": {"from": "2023-01-01", "to": %q}, "isolate_days": true,
"sections": [%s], "isolate_sections": true, "report": {"columns": ["area_ha", "yield_t", "moisture_percent", "protein_percent", "price_eur"],
"source": "s3://harvest-measurements/combines/raw/", "destination": "s3://harvest-reports/sections/by-day/", "format": "parquet"}}`,
		time.Date(2023, 1, days, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), strings.Join(sections, ","))
}

func (s *stack) create(b *testing.B, n int) {
	b.Helper()
	total := n * days
	one, many, most := s.rates(b)

	following, stop := context.WithCancel(b.Context())
	defer stop()
	memory := s.peaks(following, s.Outputs["SchedulerFunctionName"])
	before := s.meter.Usage()[scheduler]
	submitted := time.Now()
	require.NoError(b, s.submit(b.Context(), job(n)))
	await(b, "the first segment", 2*time.Millisecond, time.Minute, func() (bool, error) {
		entries, err := s.control.Due(b.Context(), "harvest", time.Now(), 1)
		return len(entries) > 0, err
	})
	first := time.Since(submitted)
	await(b, "the job to be scheduled", 250*time.Millisecond, 30*time.Minute, func() (bool, error) {
		record, found, err := s.jobs.Get(b.Context(), "million")
		return found && record.State == ledger.Scheduled, err
	})
	took := time.Since(submitted)
	stop()

	s.requireWhole(b, total)
	used := s.meter.Usage()[scheduler].Since(before)
	rate, peak, units := float64(total)/took.Seconds(), <-memory, used.Units().Write/float64(total)
	b.ReportMetric(rate, "tasks/s")
	b.ReportMetric(one, "sequential/s")
	b.ReportMetric(many, "ceiling/s")
	b.ReportMetric(most, "smallest/s")
	b.ReportMetric(rate/one, "×sequential")
	b.ReportMetric(float64(peak)/(1<<20), "MB")
	b.ReportMetric(units, "write-units/task")
	b.ReportMetric(first.Seconds(), "s-to-first-segment")
	b.Logf(`%d tasks from one event, in %s:
  created by the scheduler, a meter in between     %8.0f a second
  one PutItem after the other, of the same size    %8.0f a second, the scheduler is %.1f times as fast
  %d clients that write batches of the same size    %8.0f a second, the scheduler comes to %.0f %% of it
  %d clients that write batches of keys alone       %8.0f a second, which nothing here can exceed: %.1f times as fast as one PutItem
  the largest process of the scheduler             %8.1f MB
  write units                                      %8.4f a task, in %d calls of DynamoDB, %.4f a task
  from the event to the first segment in the queue %8.0f ms`,
		total, took.Round(time.Second), rate, one, rate/one, clients, many, 100*rate/many, clients, most, most/one, float64(peak)/(1<<20),
		units, databaseCalls(used.Calls), float64(databaseCalls(used.Calls))/float64(total), float64(first.Milliseconds()))
}

func databaseCalls(calls map[string]int) int {
	n := 0
	for call, times := range calls {
		if strings.HasPrefix(call, "dynamodb ") {
			n += times
		}
	}
	return n
}

// requireWhole requires that every task of the job is in the queue and in the table. It counts items by their numbers in the segments.
func (s *stack) requireWhole(b *testing.B, total int) {
	b.Helper()
	entries, err := s.control.Queue(b.Context(), "harvest")
	require.NoError(b, err)
	require.Len(b, entries, (total+segment.Size-1)/segment.Size)
	queued := 0
	for _, e := range entries {
		queued += e.Tasks.Len()
	}
	require.Equal(b, total, queued)
	var stored int64
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(clients)
	counts := make([]int64, len(entries))
	for i, e := range entries {
		g.Go(func() error {
			out, err := s.db.Query(ctx, &dynamodb.QueryInput{TableName: aws.String(s.Outputs["TasksTableName"]), Select: types.SelectCount,
				KeyConditionExpression: aws.String("#segment = :s"), ExpressionAttributeNames: map[string]string{"#segment": "segment"},
				ExpressionAttributeValues: map[string]types.AttributeValue{":s": &types.AttributeValueMemberS{Value: string(e.Segment)}}})
			if err == nil {
				counts[i] = int64(out.Count)
			}
			return err
		})
	}
	require.NoError(b, g.Wait())
	for _, n := range counts {
		stored += n
	}
	require.EqualValues(b, total, stored)
}

// rates measures how fast the local AWS itself accepts items, in items a second: items of the size of a task one after the other (one), the same in
// parallel (many), and the smallest items in parallel (most). They go into a table like the tasks table, without the meter in between. So the
// comparison favours the local AWS over the scheduler.
func (s *stack) rates(b *testing.B) (one, many, most float64) {
	b.Helper()
	name := s.createRates(b)
	defer func() {
		_, err := s.db.DeleteTable(b.Context(), &dynamodb.DeleteTableInput{TableName: &name})
		require.NoError(b, err)
	}()

	began := time.Now()
	for i := range sequential {
		_, err := s.db.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: tasklike(i)})
		require.NoError(b, err)
	}
	one = sequential / time.Since(began).Seconds()
	return one, s.flood(b, name, sequential, tasklike), s.flood(b, name, sequential+flood, key)
}

// createRates creates a table like the tasks table, and returns its name.
func (s *stack) createRates(b *testing.B) string {
	b.Helper()
	const name = "rates"
	_, err := s.db.CreateTable(b.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String(name), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("segment"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("n"), AttributeType: types.ScalarAttributeTypeN}},
		KeySchema:           []types.KeySchemaElement{{AttributeName: aws.String("segment"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("n"), KeyType: types.KeyTypeRange}},
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	require.NoError(b, err)
	return name
}

// flood returns how many items a second the local AWS accepts in batches.
func (s *stack) flood(b *testing.B, table string, from int, item func(int) map[string]types.AttributeValue) float64 {
	b.Helper()
	began := time.Now()
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(clients)
	for first := from; first < from+flood; first += 25 {
		g.Go(func() error {
			requests := make([]types.WriteRequest, 25)
			for i := range requests {
				requests[i] = types.WriteRequest{PutRequest: &types.PutRequest{Item: item(first + i)}}
			}
			_, err := s.db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: requests}})
			return err
		})
	}
	require.NoError(b, g.Wait())
	return flood / time.Since(began).Seconds()
}

// tasklike returns an item like this job's tasks.
func tasklike(i int) map[string]types.AttributeValue {
	it := key(i)
	it["labourer"], it["job"] = &types.AttributeValueMemberS{Value: "harvest"}, &types.AttributeValueMemberS{Value: "million"}
	it["created_at"] = &types.AttributeValueMemberN{Value: "1764000000000"}
	it["payload"] = &types.AttributeValueMemberB{Value: make([]byte, 300)} // the size of the packed payload
	return it
}

func key(i int) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"segment": &types.AttributeValueMemberS{Value: string(segment.IDOf("rates", i/segment.Size))},
		"n": &types.AttributeValueMemberN{Value: strconv.Itoa(i % segment.Size)}}
}

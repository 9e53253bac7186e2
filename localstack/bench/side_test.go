package bench

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/testing/bill"
)

// scheduled counts the tasks of the job that measures the scheduler's speed, and puts the items that are put one after the other beside it.
const scheduled, puts = 20_000, 1000

// BenchmarkSideBySide runs the same loads on Drover and on sosw 0.7, on one local AWS, and writes what each consumed and how fast it was as a table.
//
// Drover runs in true time, with the template's batching windows and minute ticks. sosw's essential functions run unmodified, each in a process. Its
// orchestrator and its scavenger are invoked as by its rule, which has a rate of one minute. Where only counts matter, the next minute begins as
// soon as all workers of the last have ended; where time matters, the minutes are true ones.
func BenchmarkSideBySide(b *testing.B) {
	s := startWith(b, "ENABLED")
	for name, output := range measuredFunctions {
		require.NoError(b, localstack.NameFunction(b.Context(), s.lambda, s.Outputs[output], name))
		group, err := s.groupOf(b.Context(), s.Outputs[output])
		require.NoError(b, err)
		s.groups[name] = group
	}
	s.takeMappings(b)
	s.createSosw(b)
	for b.Loop() {
		r := report{date: time.Now(), prices: bill.AWS()}
		live := s.minutes(b)
		for _, of := range shapes {
			r.loads = append(r.loads, s.compare(b, of))
		}
		r.minutes = <-live
		require.NoError(b, r.minutes.err)
		r.speeds = s.speeds(b)
		r.sizes = s.sizes(b, r.loads[0].sosw)
		path := filepath.Join(checkout, ".local", "bench", r.date.Format(time.DateOnly)+".md")
		require.NoError(b, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(b, os.WriteFile(path, []byte(r.markdown()), 0o600))
		progress("the table is in %s", path)
	}
}

// progress tells on standard error what has been measured, because the benchmark takes minutes.
func progress(format string, of ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", of...)
}

// compared holds what a load consumed in both systems.
type compared struct {
	shape               shape
	drover, theirs      bill.Amounts
	meta                bill.Amounts // the part of theirs that the optional log of tasks consumed
	calls, theirCalls   int
	first, vacant, took time.Duration
	ticks               int
	theirRate           float64 // tasks a second that sosw's scheduler creates
	sosw                *sosw
}

func (s *stack) compare(b *testing.B, of shape) compared {
	b.Helper()
	out := compared{shape: of}
	before := s.snapshot(b)
	t := s.run(b, of)
	out.first, out.vacant, out.took = t.first(), median(t.vacancies(of.limit)), time.Since(t.submitted)
	progress("%s: Drover ran %d tasks in %s", of.name, of.tasks, out.took.Round(time.Second))
	o := s.hire(b, of.ticked())
	out.ticks = o.run(b)
	out.sosw, out.theirRate = o, float64(of.tasks)/o.hosts["scheduler"].took.Seconds()
	progress("%s: sosw ran %d tasks in %d ticks", of.name, of.tasks, out.ticks)
	require.NoError(b, s.mappings.Flush(b.Context())) // the archiver still gathers the last ends
	out.drover, out.calls = s.amounts(b, before)
	require.Positive(b, out.drover[bill.Puts], "the archive has the ends of the tasks")
	out.theirs, out.meta, out.theirCalls = o.amounts()
	return out
}

// minutes holds times of sosw at the true rate of its rule, with a cap of one and tasks of a second.
type minutes struct {
	first, vacant time.Duration
	err           error
}

// minutes runs sosw in the background for two minutes. The job is submitted halfway between two ticks, because it may come at any time between them.
func (s *stack) minutes(b *testing.B) <-chan minutes {
	b.Helper()
	o := s.hire(b, shape{id: "live", limit: 1, tasks: 2, takes: time.Second, evenly: true})
	out := make(chan minutes, 1)
	go func() {
		tick := func() error {
			return errors.Join(o.hosts["orchestrator"].invoke(map[string]any{}), o.hosts["scavenger"].invoke(map[string]any{}))
		}
		begin := time.Now()
		at := func(after time.Duration, act func() error) func() error {
			return func() error { time.Sleep(time.Until(begin.Add(after))); return act() }
		}
		var err error
		for _, act := range []func() error{at(0, tick), at(30*time.Second, func() error { o.times.submitted = time.Now(); return o.schedule() }),
			at(60*time.Second, tick), at(120*time.Second, tick)} {
			err = errors.Join(err, act())
		}
		if err == nil && o.times.starts() < 2 {
			err = errors.New("sosw has not started both tasks")
		}
		if err != nil {
			out <- minutes{err: err}
			return
		}
		out <- minutes{first: o.times.first(), vacant: median(o.times.vacancies(1))}
	}()
	return out
}

// speeds are rates in tasks a second, and how long a job of a thousand instant tasks takes.
type speeds struct {
	scheduled, put float64
	instant        time.Duration
}

func (s *stack) speeds(b *testing.B) (out speeds) {
	b.Helper()
	require.NoError(b, apply(b.Context(), s.registry, `
labourers: {rest: {target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/rest"}, max_simultaneous_invocations: 0}}
`))
	submitted := time.Now()
	require.NoError(b, s.submit(b.Context(), fmt.Sprintf(`{"job_id": "rest", "labourer": "rest", "parts": [%s0], "isolate_parts": true}`, strings.Repeat("0,", scheduled-1))))
	await(b, "the job to be scheduled", 100*time.Millisecond, 10*time.Minute, func() (bool, error) {
		record, found, err := s.jobs.Get(b.Context(), "rest")
		return found && record.State == ledger.Scheduled, err
	})
	out.scheduled = scheduled / time.Since(submitted).Seconds()
	rates := s.createRates(b)
	began := time.Now()
	for i := range puts {
		_, err := s.db.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: &rates, Item: tasklike(i)})
		require.NoError(b, err)
	}
	out.put = puts / time.Since(began).Seconds()
	progress("scheduled %.0f tasks a second, put %.0f items a second", out.scheduled, out.put)
	t := s.run(b, instant)
	out.instant = t.ended[len(t.ended)-1].Sub(t.submitted)
	return out
}

// sizes are those of a function: the memory of its process, its zip, and the time from its start until it takes work.
type sizes struct {
	memory, theirMemory int // of the largest process
	zip, theirZip       int // of the largest function; sosw is the same for all, without boto3
	init, theirInit     time.Duration
}

func (s *stack) sizes(b *testing.B, o *sosw) (out sizes) {
	b.Helper()
	for name, output := range measuredFunctions {
		out.memory = max(out.memory, s.peak(s.Outputs[output]))
		out.zip = max(out.zip, zipped(b, filepath.Join(checkout, ".local/functions", name)))
		out.init = max(out.init, s.init(b, name, s.Outputs[output]))
	}
	for _, h := range o.hosts {
		out.theirMemory = max(out.theirMemory, peakOf(h.command.Process.Pid))
		out.theirInit = max(out.theirInit, h.init)
	}
	folders, err := filepath.Glob(filepath.Join(checkout, ".local/venv/lib/python3*/site-packages/sosw"))
	require.NoError(b, err)
	require.Len(b, folders, 1)
	out.theirZip = zipped(b, folders[0])
	return out
}

// init returns how long a process of the function takes from its start to the answer to its first event, which has nothing to do.
func (s *stack) init(b *testing.B, name, function string) time.Duration {
	b.Helper()
	is, err := s.lambda.GetFunctionConfiguration(b.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	require.NoError(b, err)
	environ := []string{"AWS_ENDPOINT_URL=" + s.emulator.Endpoint, "AWS_REGION=" + localstack.Region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
	for name, value := range is.Environment.Variables {
		environ = append(environ, name+"="+value)
	}
	began := time.Now()
	f, err := localstack.StartFunction(filepath.Join(checkout, ".local/functions", name, "bootstrap"), environ)
	require.NoError(b, err)
	defer func() { _ = f.Stop() }()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	_, err = f.Invoke(ctx, []byte(`{"Records": []}`))
	var refused *localstack.FunctionError // the orchestrator refuses it, at once
	require.True(b, err == nil || errors.As(err, &refused), "%v", err)
	return time.Since(began)
}

// zipped returns the size of a folder as a zip.
func zipped(b *testing.B, folder string) int {
	b.Helper()
	var size counter
	archive := zip.NewWriter(&size)
	require.NoError(b, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".pyc") {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := archive.Create(path)
		if err == nil {
			_, err = io.Copy(out, in)
		}
		return err
	}))
	require.NoError(b, archive.Close())
	return int(size)
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/examples/weather/data"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"

	"github.com/drover-run/drover/localstack"
)

// examples leads to the folder of the examples.
const examples = ".."

// performed returns the weather job after a run without faults, computed by the worker's own code.
func performed(t *testing.T) performance {
	days, err := weather.Read(bytes.NewReader(data.CSV))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(examples, "weather", "labourers.yaml"))
	require.NoError(t, err)
	configuration, _, wrong := labourer.Read("labourers.yaml", text)
	require.Empty(t, wrong)
	text, err = os.ReadFile(filepath.Join(examples, "weather", "job.json"))
	require.NoError(t, err)
	submitted, err := job.Parse(text)
	require.NoError(t, err)
	tasks, err := submitted.Plan(job.Schema{ChunkableAttrs: configuration.JobSchemas["weather"].ChunkableAttrs}, time.Time{})
	require.NoError(t, err)
	p := performance{job: ledger.Job{Total: tasks.Len()}}
	for i := range tasks.Len() {
		payload, err := tasks.Payload(i)
		require.NoError(t, err)
		var request weather.Request
		require.NoError(t, json.Unmarshal(payload, &request))
		record := archive.Record{TaskID: fmt.Sprint(i), Status: task.Completed, Attempts: []task.Attempt{{Attempt: 1, Status: task.Completed}}}
		switch {
		case request.Named(request.Poison):
			record.Status = task.Dead
			p.job.Counts.Dead++
		case request.Named(request.FailFirst):
			record.Attempts = append(record.Attempts, task.Attempt{Attempt: 2, Status: task.Completed})
			fallthrough
		default:
			answer, err := request.Answer(days)
			require.NoError(t, err)
			record.Result, err = json.Marshal(answer)
			require.NoError(t, err)
			p.job.Counts.Completed++
		}
		p.records = append(p.records, record)
	}
	return p
}

func TestThePlansOfTheExamplesMatchTheirJobs(t *testing.T) {
	p, err := planned(filepath.Join(examples, "weather"))
	require.NoError(t, err)
	require.Equal(t, "weather", p.labourer)
	require.Equal(t, 144, p.tasks)
	require.Equal(t, 5, p.failing)
	require.Len(t, p.poisoned, 1)

	p, err = planned(filepath.Join(examples, "python"))
	require.NoError(t, err)
	require.Equal(t, plan{labourer: "weather_kinds", tasks: 20}, p)

	_, err = planned("nowhere")
	require.ErrorContains(t, err, filepath.Join("nowhere", "labourers.yaml"))
}

func TestAJobThatEndedAsPlannedPassesTheCheck(t *testing.T) {
	of, err := planned(filepath.Join(examples, "weather"))
	require.NoError(t, err)
	got := performed(t)

	require.NoError(t, of.check(got))
	text, err := checkWeather(of, got.records)
	require.NoError(t, err)
	require.Equal(t, `The combined results of the 143 completed tasks of weather, from the archive:

                days                   least                greatest        mean   computed at once
precipitation   1461    0.0 mm on 2012-01-01   55.9 mm on 2015-03-15    3.029 mm           the same
temp_max        1461   -1.6 °C on 2014-02-06   35.6 °C on 2014-08-11   16.439 °C           the same
temp_min        1430   -7.1 °C on 2013-12-07   18.3 °C on 2012-08-16    8.186 °C           the same
The temp_min of 2015-10-01 to 2015-10-31 is missing: that task was poisoned, and is dead.
`, text)
}

func TestTheCheckNamesEachDifference(t *testing.T) {
	of, err := planned(filepath.Join(examples, "weather"))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*performance)
		reason string
	}{
		"a task that was lost": {func(p *performance) { p.records = p.records[1:] }, "weather: 142 completed tasks in the archive; want 143"},
		"a task that was not retried": {func(p *performance) {
			for i := range p.records {
				p.records[i].Attempts = p.records[i].Attempts[:1]
			}
		}, "weather: 0 tasks that were retried; want 5"},
		"a job with other counts": {func(p *performance) { p.job.Counts.Dead = 2 }, "weather: 2 dead tasks in the job's record; want 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := performed(t)
			c.change(&got)
			require.ErrorContains(t, of.check(got), c.reason)
		})
	}
}

func TestAnAnswerThatDiffersFromTheDirectOneIsWrong(t *testing.T) {
	of, err := planned(filepath.Join(examples, "weather"))
	require.NoError(t, err)
	for name, records := range map[string][]archive.Record{
		"a part is missing":     performed(t).records[1:],
		"a part is there twice": append(performed(t).records, performed(t).records[0]),
	} {
		t.Run(name, func(t *testing.T) {
			text, err := checkWeather(of, records)
			require.ErrorContains(t, err, "for temp_max; a single computation finds")
			require.Contains(t, text, "something else")
		})
	}
	_, err = checkWeather(of, []archive.Record{{TaskID: "t.7", Status: task.Completed, Result: []byte(`"what?"`)}})
	require.ErrorContains(t, err, "the result of task t.7")
}

func TestTheKindsOfWeatherAreCheckedYearByYear(t *testing.T) {
	records := []archive.Record{
		{Status: task.Completed, Result: []byte(`{"2012": {"drizzle": 31, "fog": 5}}`)},
		{Status: task.Completed, Result: []byte(`{"2012": {"rain": 191, "snow": 21, "sun": 118}, "2013": {"sun": 205, "drizzle": 16, "fog": 82, "rain": 60, "snow": 2}}`)},
		{Status: task.Completed, Result: []byte(`{"2014": {"drizzle": 0, "snow": 0, "fog": 151, "rain": 3, "sun": 211}}`)},
		{Status: task.Completed, Result: []byte(`{"2015": {"drizzle": 7, "fog": 173, "rain": 5, "snow": 0, "sun": 180}}`)},
	}
	text, err := checkKinds(records)
	require.NoError(t, err)
	require.Contains(t, text, "2014         0   151      3      0   211           the same\n")

	text, err = checkKinds(records[:3])
	require.ErrorContains(t, err, "for 2015; a single computation finds")
	require.Contains(t, text, "something else")
}

func TestProgressIsALineOfBoundedWidth(t *testing.T) {
	for _, c := range []struct {
		counts counts
		bar    string
	}{
		{counts{total: 144}, "[..........]   0/144 completed, 144 queued"},
		{counts{total: 144, completed: 46, running: 12, waiting: 2}, "[###>......]  46/144 completed, 12 running, 84 queued, 2 waiting"},
		{counts{total: 144, completed: 143, dead: 1}, "[##########] 143/144 completed, 1 dead"},
		{counts{total: 20, running: 4}, "[>>........]  0/20 completed, 4 running, 16 queued"},
		{counts{}, "[..........] 0/0 completed"},
	} {
		require.Equal(t, c.bar, c.counts.bar())
	}
	widest := counts{total: 999, completed: 100, running: 299, waiting: 100, dead: 100}
	require.Less(t, len(widest.bar()), 80, "%s", widest.bar())
}

func TestAFileGetsALineAtIntervalsAndAlwaysTheLastOne(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	s := newScreen(file)
	at := time.Unix(0, 0)

	for i := range 5 {
		s.progress(counts{total: 5, completed: i}, at.Add(time.Duration(i)*time.Second), false)
	}
	s.progress(counts{total: 5, completed: 4}, at.Add(9*time.Second), false)
	s.progress(counts{total: 5, completed: 5}, at.Add(9*time.Second), true)
	s.Say("that was %s", "it")

	require.NoError(t, file.Close())
	text, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.Equal(t, `0/5 completed, 5 queued
2/5 completed, 3 queued
4/5 completed, 1 queued
5/5 completed
that was it
`, string(text))
}

func TestATerminalHasOneLineThatIsRedrawn(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	s := newScreen(file)
	s.Terminal = true

	s.progress(counts{total: 2}, time.Time{}, false)
	s.progress(counts{total: 2, completed: 2}, time.Time{}, true)
	s.Say("done")

	require.NoError(t, file.Close())
	text, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.Equal(t, "\r\x1b[K[..........] 0/2 completed, 2 queued\r\x1b[K[##########] 2/2 completed\ndone\n", string(text))
}

func TestTheCostsAreForOneTaskByStage(t *testing.T) {
	begun := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	p := performance{
		job: ledger.Job{Total: 4, SubmittedAt: begun, FinishedAt: begun.Add(1500 * time.Millisecond)},
		records: []archive.Record{
			{Status: task.Completed, Attempts: []task.Attempt{{}}}, {Status: task.Completed, Attempts: []task.Attempt{{}, {}}},
			{Status: task.Completed, Attempts: []task.Attempt{{}}}, {Status: task.Dead, Attempts: []task.Attempt{{}}},
		},
		spent: spent{map[string]localstack.Usage{
			"scheduler":        {Calls: map[string]int{"dynamodb BatchWriteItem": 1, "events PutEvents": 1}, Tables: map[string]localstack.Units{"tasks": {Write: 4.5}}},
			"worker-assistant": {Calls: map[string]int{"dynamodb UpdateItem": 8}, Tables: map[string]localstack.Units{"tasks": {Write: 8, Read: 2}}, Refused: 1},
		}, map[string]int{"scheduler": 1, "worker-assistant": 2}},
	}

	require.Equal(t, `          completed   retried   dead    time   write units   AWS calls
4 tasks           3         1      1   1.5 s          12.5          10

for one task               write units   read units   AWS calls   invocations
create the tasks                  1.12         0.00        0.50          0.25
claim and dispatch                0.00         0.00        0.00          0.00
work                              0.00         0.00        0.00          0.00
close                             2.00         0.50        2.00          0.50
scavenge, retry, archive          0.00         0.00        0.00          0.00
in all                            3.12         0.50        2.50          0.75
`, costs(p, false))
	require.Contains(t, costs(p, true), `
close: 8 calls, 1 writes refused by their conditions
  dynamodb UpdateItem  8
`)
}

func TestTheTasksOfAJobWithoutARecordCountAsQueuedWithoutACall(t *testing.T) {
	nowhere := &stack{} // calling it would panic: DynamoDB refuses the empty key of a job that the scheduler has not read yet
	c, err := nowhere.count(t.Context(), ledger.Job{}, plan{labourer: "shop", tasks: 3})
	require.NoError(t, err)
	require.Equal(t, "0/3 completed, 3 queued", c.String())
}

func TestEarlierUsageDoesNotCount(t *testing.T) {
	before := spent{map[string]localstack.Usage{"a": {Calls: map[string]int{"s3 GET": 1}}}, map[string]int{"a": 1}}
	after := spent{map[string]localstack.Usage{"a": {Calls: map[string]int{"s3 GET": 3}}, "b": {Calls: map[string]int{"s3 PUT": 1}}}, map[string]int{"a": 5, "b": 1}}

	usage, invocations := after.since(before).all()

	require.Equal(t, map[string]int{"s3 GET": 2, "s3 PUT": 1}, usage.Calls)
	require.Equal(t, 5, invocations)
}

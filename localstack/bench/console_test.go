package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/crowd"
)

// visits says how often each page is requested.
const visits = 7

// BenchmarkConsole measures how long bin/drover console takes for each page and document of a crowded stack. The first visit to the overview
// reads the stack; the console reads its 500 labourers in several turns, and the benchmark asks for the overview in each of them. It also prints the
// processor time that a visit takes, of the console and the emulator together: this says more where other work shares the machine.
func BenchmarkConsole(b *testing.B) {
	s := start(b)
	s.silence(b)
	require.NoError(b, apply(b.Context(), s.registry, crowd.Configuration()))
	tasks := dynamo.Tasks{API: s.db, Table: s.Outputs["TasksTableName"]}
	require.NoError(b, crowd.Fill(b.Context(), s.jobs, tasks, time.Now().Add(-2*time.Hour)))

	site, console := s.console(b)
	spent := func() time.Duration { return spentBy(console) + s.spentByEmulator() }
	_, page := visit(b, site+"/api/dead?limit=1")
	var dead struct {
		Items []struct {
			TaskID string `json:"task_id"`
		} `json:"items"`
	}
	require.NoError(b, json.Unmarshal(page, &dead))
	id := dead.Items[0].TaskID
	for b.Loop() {
		var said strings.Builder
		slowest := turnsOf(b, site, &said)
		most := time.Duration(0)
		for _, path := range []string{"/jobs", "/jobs?labourer=l000", "/jobs/large", "/jobs/large?status=dead", "/jobs/large?status=queued", "/jobs/large?status=completed&limit=500",
			"/jobs/small-000", "/tasks/" + id, "/dead", "/dead?job=large&error=Bad", "/labourers/l000", "/labourers/l250", "/workflows", "/runs", "/search?q=l49",
			"/api/labourers", "/api/labourers/l000", "/api/why/l000", "/api/why/large", "/api/jobs", "/api/jobs/large", "/api/jobs/large/tasks", "/api/tasks/" + id,
			"/api/dead", "/api/dead?limit=500", "/api/dead/count?job=large", "/api/dead/count?labourer=l000", "/api/runs"} {
			var took []time.Duration
			before := spent()
			for range visits {
				span, _ := visit(b, site+path)
				took = append(took, span)
			}
			each := (spent() - before) / visits
			slowest, most = max(slowest, timed(&said, strings.ReplaceAll(path, id, "ID"), took)), max(most, each)
			fmt.Fprintf(&said, ", %4d of a processor each\n", each.Milliseconds())
		}
		fmt.Print("\nmilliseconds for each page and document:\n", said.String()) // a benchmark logs ten lines at most
		b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
		b.ReportMetric(float64(most.Milliseconds()), "most-cpu-ms")
	}
}

// turnsOf requests the overview until the console has read every labourer, and then in some turns more.
func turnsOf(b *testing.B, site string, said *strings.Builder) time.Duration {
	b.Helper()
	var reading, read []time.Duration
	for len(read) < 3 {
		span, page := visit(b, site+"/?order=name&from=450")
		if strings.Contains(string(page), "not read yet") {
			reading = append(reading, span)
			time.Sleep(time.Second) // the console reads the next ones then
			continue
		}
		read = append(read, span)
		time.Sleep(5 * time.Second) // a turn
	}
	slowest := timed(said, "/ while labourers are not read yet", reading)
	said.WriteString("\n")
	slowest = max(slowest, timed(said, "/", read))
	said.WriteString("\n")
	return slowest
}

// timed writes how long visits took, and returns the longest time.
func timed(to *strings.Builder, path string, took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	longest := took[len(took)-1]
	fmt.Fprintf(to, "%-42s fastest %5d, median %5d, longest %5d of %2d visits",
		path, took[0].Milliseconds(), median(took).Milliseconds(), longest.Milliseconds(), len(took))
	return longest
}

// visit requests a page, and returns how long that took and the page.
func visit(b *testing.B, address string) (time.Duration, []byte) {
	b.Helper()
	began := time.Now()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, nil)
	require.NoError(b, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(b, err)
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	require.NoError(b, err)
	require.Equal(b, http.StatusOK, response.StatusCode, "%s: %s", address, page)
	return time.Since(began), page
}

// console runs bin/drover console on the stack until the benchmark ends, and returns its address and its process.
func (s *stack) console(b *testing.B) (site string, process int) {
	b.Helper()
	program, err := filepath.Abs(filepath.Join(checkout, "bin", "drover"))
	require.NoError(b, err)
	command := exec.CommandContext(b.Context(), program, "console", "--port", "0", "--read-only")
	command.Env = append(s.emulator.Environ(), "DROVER_STACK="+s.Name)
	out, err := command.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, command.Start())
	b.Cleanup(func() { _ = command.Wait() }) // the benchmark's context ends it
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b, err)
	return strings.TrimSuffix(strings.TrimSpace(line), "/"), command.Process.Pid
}

// silence keeps the streams' records from the functions, which would work on the crowd's ends.
func (s *stack) silence(b *testing.B) {
	b.Helper()
	mappings, err := s.lambda.ListEventSourceMappings(b.Context(), &lambda.ListEventSourceMappingsInput{})
	require.NoError(b, err)
	silenced := 0
	for _, one := range mappings.EventSourceMappings {
		if !strings.Contains(aws.ToString(one.EventSourceArn), "/stream/") {
			continue
		}
		_, err := s.lambda.UpdateEventSourceMapping(b.Context(), &lambda.UpdateEventSourceMappingInput{UUID: one.UUID, Enabled: aws.Bool(false)})
		require.NoError(b, err, "silencing %s", aws.ToString(one.EventSourceArn))
		silenced++
	}
	require.Positive(b, silenced)
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/drover-run/drover/localstack"
)

// stage names the part of one function in the life of a task.
type stage struct {
	name     string
	caller   string // the name under which the meter counts the function's calls
	function string // its name or, for Drover's own, the stack's output with the name
}

// stages lists the stages in the order in which a task passes them.
var stages = []stage{
	{"create the tasks", "scheduler", "SchedulerFunctionName"},
	{"claim and dispatch", "orchestrator", "OrchestratorFunctionName"},
	{"work", worker, worker},
	{"close", "worker-assistant", "WorkerAssistantFunctionName"},
	{"scavenge, retry, archive", "scavenger", "ScavengerFunctionName"},
}

// worker names the function whose job is counted. Its template gives it this name.
const worker = "weather"

func (s *stack) functionOf(of stage) string {
	if name, ok := s.Outputs[of.function]; ok {
		return name
	}
	return of.function
}

// nameCallers makes the stack's functions send their names with their calls, so that the meter can distinguish them.
func (s *stack) nameCallers(ctx context.Context, e *localstack.Emulator) error {
	api := lambda.NewFromConfig(e.Config())
	for _, of := range stages {
		if of.caller == worker {
			continue
		}
		if err := s.Require(of.function); err != nil {
			return err
		}
		if err := localstack.NameFunction(ctx, api, s.functionOf(of), of.caller); err != nil {
			return err
		}
	}
	return nil
}

// spent holds the usage of each caller, and how often each was invoked.
type spent struct {
	usage       map[string]localstack.Usage
	invocations map[string]int
}

func (s spent) since(earlier spent) spent {
	later := spent{map[string]localstack.Usage{}, map[string]int{}}
	for caller, u := range s.usage {
		later.usage[caller] = u.Since(earlier.usage[caller])
	}
	for caller, n := range s.invocations {
		later.invocations[caller] = n - earlier.invocations[caller]
	}
	return later
}

// all returns the usage of all callers together.
func (s spent) all() (localstack.Usage, int) {
	var sum localstack.Usage
	for _, u := range s.usage {
		sum = sum.Plus(u)
	}
	invocations := 0
	for _, n := range s.invocations {
		invocations += n
	}
	return sum, invocations
}

// atRest waits until no function makes further calls, and returns the usage.
func (d *demo) atRest(ctx context.Context) (spent, error) {
	const silence, atMost = 700 * time.Millisecond, 15 * time.Second
	for began := time.Now(); ; {
		before, _ := spent{usage: d.meter.Usage()}.all()
		if err := pause(ctx, silence); err != nil {
			return spent{}, err
		}
		usage := d.meter.Usage()
		if after, _ := (spent{usage: usage}).all(); after.Total() > before.Total() && time.Since(began) < atMost {
			continue
		}
		invocations, err := d.stack.invocations(ctx, d.emulator)
		return spent{usage, invocations}, err
	}
}

// invocations counts the invocations of each function in its log.
func (s *stack) invocations(ctx context.Context, e *localstack.Emulator) (map[string]int, error) {
	counted := map[string]int{}
	for _, of := range stages {
		begun, err := s.log(ctx, e, of, `"START RequestId"`)
		if err != nil {
			return nil, err
		}
		counted[of.caller] = len(begun)
	}
	return counted, nil
}

// mostTroubles limits how many lines of a function's log an error shows.
const mostTroubles = 3

// troubles returns the last errors that the functions logged, to explain a job that does not end.
func (s *stack) troubles(ctx context.Context, e *localstack.Emulator) string {
	var text strings.Builder
	for _, of := range stages {
		lines, err := s.log(ctx, e, of, "")
		if err != nil {
			lines = []string{err.Error()}
		}
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return !strings.Contains(line, "rror") || strings.Contains(line, `"error":null`)
		})
		for _, line := range lines[max(0, len(lines)-mostTroubles):] {
			fmt.Fprintf(&text, "\n%s: %s", s.functionOf(of), strings.TrimSpace(line))
		}
	}
	return text.String()
}

// log returns the lines of a function's log that match the pattern.
func (s *stack) log(ctx context.Context, e *localstack.Emulator, of stage, pattern string) ([]string, error) {
	name := s.functionOf(of)
	is, err := lambda.NewFromConfig(e.Config()).GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	if err != nil {
		return nil, fmt.Errorf("looking for the log of function %s: %w", name, err)
	}
	if is.LoggingConfig == nil {
		return nil, fmt.Errorf("function %s has no log group", name)
	}
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: is.LoggingConfig.LogGroup}
	if pattern != "" {
		in.FilterPattern = &pattern
	}
	var lines []string
	for pages := cloudwatchlogs.NewFilterLogEventsPaginator(cloudwatchlogs.NewFromConfig(e.Config()), in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the log of function %s: %w", name, err)
		}
		for _, event := range page.Events {
			lines = append(lines, aws.ToString(event.Message))
		}
	}
	return lines, nil
}

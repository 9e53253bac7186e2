// Package logs reads the decisions about labourers from the orchestrator function's log.
package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/exact"
)

// API makes the calls of CloudWatch Logs.
type API interface {
	FilterLogEvents(ctx context.Context, in *cloudwatchlogs.FilterLogEventsInput, options ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error)
}

// Decisions reads the log group of an orchestrator function.
type Decisions struct {
	API   API
	Group string
}

// delay bounds how much later than its decision a line may be logged.
const delay = 2 * time.Minute

// Between returns the decisions about a labourer from a time to another, both included, the oldest first. CloudWatch filters the lines and takes
// no fee for that; a long time takes many calls. A group that does not exist yet, as nothing was logged, has no decisions.
func (d Decisions) Between(ctx context.Context, labourer string, from, to time.Time) ([]decision.Record, error) {
	pattern := fmt.Sprintf(`{ $.msg = %q && $.labourer_id = "%s" }`, decision.Logged, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(labourer))
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &d.Group, FilterPattern: &pattern, StartTime: aws.Int64(from.UnixMilli()),
		EndTime: aws.Int64(to.Add(delay).UnixMilli())}
	var out []decision.Record
	for {
		page, err := d.API.FilterLogEvents(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("reading the log group %s, %w", d.Group, err)
		}
		for _, e := range page.Events {
			if r, is := recordOf(e); is && r.Labourer == labourer && !r.At.Before(from) && !r.At.After(to) {
				out = append(out, r)
			}
		}
		if page.NextToken == nil || aws.ToString(page.NextToken) == aws.ToString(in.NextToken) {
			slices.SortStableFunc(out, func(a, b decision.Record) int { return a.At.Compare(b.At) })
			return out, nil
		}
		in.NextToken = page.NextToken
	}
}

// recordOf returns the record of a line, and reports whether it holds one.
func recordOf(e types.FilteredLogEvent) (r decision.Record, is bool) {
	var line struct {
		Message string `json:"msg"`
	}
	text := []byte(aws.ToString(e.Message))
	if exact.Decode(text, &line) != nil || line.Message != decision.Logged {
		return r, false
	}
	return r, exact.Decode(text, &r) == nil
}

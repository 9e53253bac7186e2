// Package sns alerts people to tasks that died.
package sns

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/drover-run/drover/shared/core/task"
)

// API has the calls of SNS that Drover makes.
type API interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Topic publishes to the alarm topic.
type Topic struct {
	API API
	ARN string
}

// named limits how many dead tasks a message lists.
const named = 10

// Died publishes which tasks of a labourer died, and the type of the last error. It omits error messages, which may quote a payload.
func (t Topic) Died(ctx context.Context, labourer string, tasks []task.Task) error {
	last := tasks[len(tasks)-1]
	why := "No error was reported"
	if e := last.LastError(); e != nil {
		why = "The last error is " + e.Type
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s of labourer %s died. %s.\n\n", count(len(tasks)), labourer, why)
	for i, one := range tasks {
		if i == named {
			fmt.Fprintf(&text, "… and %d more\n", len(tasks)-named)
			break
		}
		fmt.Fprintf(&text, "%s of job %s, attempt %d\n", one.ID, one.JobID, one.Attempt)
	}
	fmt.Fprintf(&text, "\nList them: drover dead --labourer %s\nReplay them: drover replay --labourer %s\n", labourer, labourer)
	subject := fmt.Sprintf("Drover: %s of %s died", count(len(tasks)), labourer)
	if len(subject) > 99 { // SNS accepts fewer than 100 characters
		subject = subject[:99]
	}
	if _, err := t.API.Publish(ctx, &sns.PublishInput{TopicArn: &t.ARN, Subject: &subject, Message: aws.String(text.String())}); err != nil {
		return fmt.Errorf("alerting people to %s of labourer %s, %w", count(len(tasks)), labourer, err)
	}
	return nil
}

func count(n int) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}

// Package sns tells people of tasks that died.
package sns

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/drover-run/drover/shared/task"
)

// API is the calls of SNS that Drover makes.
type API interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Topic is the alarm topic.
type Topic struct {
	API API
	ARN string
}

// named is how many of the dead a message names.
const named = 10

// Died tells which tasks of a labourer died, and of what. The errors' messages are left out: they may quote a payload.
func (t Topic) Died(ctx context.Context, labourer string, tasks []task.Task) error {
	last := tasks[len(tasks)-1]
	why := "no error was told"
	if e := last.LastError(); e != nil {
		why = e.Type
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d tasks of labourer %s are dead. The last error is %s.\n\n", len(tasks), labourer, why)
	for i, one := range tasks {
		if i == named {
			fmt.Fprintf(&text, "… and %d more\n", len(tasks)-named)
			break
		}
		fmt.Fprintf(&text, "%s of job %s after %d attempts\n", one.ID, one.JobID, one.Attempt)
	}
	fmt.Fprintf(&text, "\nList them: drover dead --labourer %s\nTry them again: drover replay --labourer %s\n", labourer, labourer)
	subject := fmt.Sprintf("Drover: %d dead tasks of %s", len(tasks), labourer)
	if len(subject) > 99 { // SNS takes fewer than 100 characters
		subject = subject[:99]
	}
	if _, err := t.API.Publish(ctx, &sns.PublishInput{TopicArn: &t.ARN, Subject: &subject, Message: aws.String(text.String())}); err != nil {
		return fmt.Errorf("telling of %d dead tasks of labourer %s, %w", len(tasks), labourer, err)
	}
	return nil
}

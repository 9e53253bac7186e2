// Package sns alerts people to tasks that died, and to runs that take too long.
package sns

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/drover-run/drover/shared/core/event"
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

// Overdue publishes that a run of a workflow takes longer than its sla.
func (t Topic) Overdue(ctx context.Context, r event.Run) error {
	subject := "Drover: a run of " + r.Workflow + " is overdue"
	if len(subject) > 99 { // SNS accepts fewer than 100 characters
		subject = strings.ToValidUTF8(subject[:99], "")
	}
	text := fmt.Sprintf("A run takes longer than the sla of its workflow.\n\nworkflow: %s\nuid: %s\nrun: %d\nrun_id: %s\nstarted: %s\n\nLook at it: drover workflow run %s\n",
		r.Workflow, r.UID, r.Run, r.RunID, r.StartedAt.UTC().Format(time.RFC3339), r.RunID)
	if _, err := t.API.Publish(ctx, &sns.PublishInput{TopicArn: &t.ARN, Subject: &subject, Message: &text}); err != nil {
		return fmt.Errorf("alerting people to the overdue run %s, %w", r.RunID, err)
	}
	return nil
}

func count(n int) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}

package console

import (
	"net/url"
	"strings"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/task"
)

// logOf returns the address of a function's log in the AWS console; "" for other targets, and for a local AWS.
func (s *Stack) logOf(t labourer.Target) string {
	if s.Endpoint != "" || s.Region == "" || t.Lambda == "" {
		return ""
	}
	name, _ := t.Function()
	if at := strings.LastIndex(name, ":"); at >= 0 {
		name = name[at+1:]
	}
	// The AWS console escapes the fragment twice, with $ in place of %.
	group := strings.ReplaceAll(url.QueryEscape(url.QueryEscape("/aws/lambda/"+name)), "%", "$")
	return "https://" + s.Region + ".console.aws.amazon.com/cloudwatch/home?region=" + s.Region + "#logsV2:log-groups/log-group/" + group
}

// executionOf returns the address of an attempt's execution in the AWS console; "" for targets that are no state machine, and for a local AWS.
func (s *Stack) executionOf(t labourer.Target, taskID string, attempt int) string {
	id, err := task.ParseID(taskID)
	if s.Endpoint != "" || t.States == "" || err != nil {
		return ""
	}
	arn := strings.Replace(t.States, ":stateMachine:", ":execution:", 1) + ":" + completion.ExecutionName(id, attempt)
	return "https://" + s.Region + ".console.aws.amazon.com/states/home?region=" + s.Region + "#/v2/executions/details/" + url.PathEscape(arn)
}

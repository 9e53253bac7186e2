package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/drover-run/drover/infra"
	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

// doctor examines a stack.
type doctor struct {
	*stack
	reader *inspect.Reader // nil if there is no stack
	now    func() time.Time
}

// outputs holds the names of the outputs of a complete stack.
var outputs = slices.Concat(needed, []string{"JobsQueueUrl", "JobsDeadLetterQueueUrl", "CompletionsQueueUrl", "CompletionsQueueArn",
	"CompletionsDeadLetterQueueUrl", "StreamFailuresQueueUrl", "EventFailuresQueueUrl", "OrchestrateStateMachineArn", "BackoffStateMachineArn",
	"SchedulerFunctionName", "OrchestratorFunctionName", "WorkerAssistantFunctionName", "ScavengerFunctionName", "ArchiverFunctionName", "AlarmTopicArn", "DashboardUrl",
	"RunsTableName", "RunsQueueUrl", "RunsDeadLetterQueueUrl", "WorkflowFunctionName", "WorkflowStateMachineArn", "TemplateVersion"})

// parts checks the resources of the stack.
func (d *doctor) parts(ctx context.Context) []check {
	checks := []check{d.status()}
	if err := d.Require(outputs...); err != nil {
		checks = append(checks, wrong("outputs", d.deploy(), "%v", err))
	} else {
		checks = append(checks, fine("outputs", "all %d exist", len(outputs)))
	}
	if !d.whole() {
		return checks
	}
	checks = append(checks, d.template(), d.tables(ctx), d.bucket(ctx))
	for _, name := range []string{"SchedulerFunctionName", "OrchestratorFunctionName", "WorkerAssistantFunctionName", "ScavengerFunctionName", "ArchiverFunctionName",
		"WorkflowFunctionName"} {
		if d.Outputs[name] != "" {
			checks = append(checks, d.function(ctx, title(name, "FunctionName"), d.Outputs[name], name != "OrchestratorFunctionName"))
		}
	}
	for _, name := range []string{"OrchestrateStateMachineArn", "BackoffStateMachineArn", "WorkflowStateMachineArn"} {
		if d.Outputs[name] != "" {
			checks = append(checks, d.machine(ctx, title(name, "StateMachineArn"), d.Outputs[name]))
		}
	}
	if d.Outputs["AlarmTopicArn"] != "" {
		checks = append(checks, d.alarms(ctx))
	}
	return append(checks, d.ways(ctx)...)
}

// alarms looks for a subscriber of the topic that alarms, deaths and overdue runs go to. Without one the check passes, as a stack may do without, but says so.
func (d *doctor) alarms(ctx context.Context) check {
	const name = "alarms"
	topic := d.Outputs["AlarmTopicArn"]
	out, err := d.topics.GetTopicAttributes(ctx, &awssns.GetTopicAttributesInput{TopicArn: &topic})
	if err != nil {
		return fine(name, "could not look for a subscriber of their topic: %s", reason(err))
	}
	if out.Attributes["SubscriptionsConfirmed"] != "0" {
		return fine(name, "their topic has a subscriber")
	}
	if pending := out.Attributes["SubscriptionsPending"]; pending != "" && pending != "0" {
		return fine(name, "the only subscriber of topic %s has not confirmed it, and is not told of alarms, deaths and overdue runs; the mail to its address has the link", topic)
	}
	subscribe := d.deploy("AlarmEmail=ADDRESS")
	if d.Parameters["AlarmEmail"] != "" { // it has one address, so a deployment would replace the owner's
		subscribe = d.command("sns", "subscribe", "--topic-arn", topic, "--protocol", "email", "--notification-endpoint", "ADDRESS")
	}
	return fine(name, "no subscriber of topic %s is told of alarms, deaths and overdue runs; to add one: %s", topic, subscribe)
}

// whole reports whether the stack has the outputs that the other checks need.
func (d *doctor) whole() bool { return d.Require(needed...) == nil }

// title returns "worker assistant" for "WorkerAssistantFunctionName".
func title(output, suffix string) string {
	var words strings.Builder
	for i, r := range strings.TrimSuffix(output, suffix) {
		if i > 0 && r >= 'A' && r <= 'Z' {
			words.WriteByte(' ')
		}
		words.WriteRune(r)
	}
	return strings.ToLower(words.String())
}

func (d *doctor) status() check {
	switch d.Status {
	case "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE":
		return fine("stack", "%s is %s", d.Name, d.Status)
	case "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
		return wrong("stack", "wait until the deployment ends", "%s is %s", d.Name, d.Status)
	}
	return wrong("stack", "read its events in CloudFormation, then "+d.deploy(), "%s is %s", d.Name, d.Status)
}

// template checks that the stack was deployed from the template of this program. With another one, the functions and this program may not store the same.
func (d *doctor) template() check {
	const name = "template"
	is, own := d.Outputs["TemplateVersion"], infra.TemplateVersion()
	switch is {
	case own:
		return fine(name, "the stack has version %s, like this program", own)
	case "": // the check of the outputs tells of it
		return fine(name, "the version of the stack's template is not known")
	case infra.NotStamped:
		return fine(name, "the stack was not deployed by drover deploy, so the version of its template is not known")
	}
	return wrong(name, "use the drover that was built with the stack's template, or bring the stack to this one's: "+d.deploy(),
		"the stack was deployed from version %s of the template, and this program was built with %s", is, own)
}

// tables checks that each table can be read, by reading an item that need not exist.
func (d *doctor) tables(ctx context.Context) check {
	const none = "#doctor"
	_, err := d.tasks.Load(ctx, []task.ID{{Segment: segment.IDOf(none, 0)}})
	if err == nil {
		_, err = d.control.State(ctx, none)
	}
	if err == nil {
		_, _, err = d.jobs.Get(ctx, none)
	}
	if err == nil {
		_, err = d.jobs.Recent(ctx, d.now(), ledger.Mark{}, 1)
	}
	if err == nil && d.runs.Table != "" {
		_, _, err = d.runs.Get(ctx, none)
	}
	if err != nil {
		return unread("tables", err, "dynamodb:GetItem, BatchGetItem and Query", "", "they cannot be read: ")
	}
	return fine("tables", "the tables tasks, control, jobs and runs can be read")
}

func (d *doctor) bucket(ctx context.Context) check {
	if _, err := d.archive.List(ctx, archive.Prefix("#doctor", d.now())); err != nil {
		return unread("archive", err, "s3:ListBucket", "", "it cannot be listed: ")
	}
	return fine("archive", "bucket %s can be read", d.archive.Name)
}

// settling says how often the doctor looks again at a function that is being created or updated, once a second.
const settling = 15

// settled reads a function, if need be after it has been created or updated.
func (d *doctor) settled(ctx context.Context, id string) (is *awslambda.GetFunctionConfigurationOutput, err error) {
	for range settling {
		is, err = d.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &id})
		if err != nil || is.State != lambdatypes.StatePending {
			return is, err
		}
		if err := d.reader.Wait(ctx, time.Second); err != nil {
			return is, err
		}
	}
	return is, nil
}

// function checks one of the stack's functions, and the mappings that feed it.
func (d *doctor) function(ctx context.Context, name, id string, fed bool) check {
	is, err := d.settled(ctx, id)
	if err != nil {
		return unread(name, err, "lambda:GetFunctionConfiguration", d.deploy()+", if it is gone", "function "+id+" cannot be read: ")
	}
	if is.State != "" && is.State != lambdatypes.StateActive && is.State != lambdatypes.StateInactive {
		return wrong(name, d.deploy(), "function %s is %s: %s", id, is.State, aws.ToString(is.StateReason))
	}
	if is.LastUpdateStatus == lambdatypes.LastUpdateStatusFailed {
		return wrong(name, d.deploy(), "the last update of function %s failed: %s", id, aws.ToString(is.LastUpdateStatusReason))
	}
	if !fed {
		return fine(name, "function %s is active", id)
	}
	mappings, err := d.functions.ListEventSourceMappings(ctx, &awslambda.ListEventSourceMappingsInput{FunctionName: &id})
	switch {
	case err != nil:
		return unread(name, err, "lambda:ListEventSourceMappings", "", "the mappings of function "+id+" cannot be listed: ")
	case len(mappings.EventSourceMappings) == 0:
		return wrong(name, d.deploy(), "nothing feeds function %s: its event source mapping is gone", id)
	}
	for _, m := range mappings.EventSourceMappings {
		switch state := aws.ToString(m.State); state {
		case "Enabled", "Enabling", "Updating", "Creating":
		default:
			return wrong(name, d.command("lambda", "update-event-source-mapping", "--enabled", "--uuid", aws.ToString(m.UUID)), "the mapping that feeds function %s is %s: %s",
				id, state, aws.ToString(m.StateTransitionReason))
		}
		if last := aws.ToString(m.LastProcessingResult); strings.HasPrefix(last, "PROBLEM") {
			return wrong(name, "read the function's log, and check its role", "the mapping that feeds function %s reports %s", id, last)
		}
	}
	return fine(name, "function %s is active and fed", id)
}

func (d *doctor) machine(ctx context.Context, name, arn string) check {
	is, err := d.machines.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	if err != nil {
		return unread(name, err, "states:DescribeStateMachine", d.deploy()+", if it is gone", "state machine "+arn+" cannot be read: ")
	}
	if is.Status != "" && is.Status != sfntypes.StateMachineStatusActive {
		return wrong(name, d.deploy(), "state machine %s is %s", arn, is.Status)
	}
	return fine(name, "state machine %s is active", aws.ToString(is.Name))
}

// ways are the rules that route events to their consumers, by their names in the template. The last text says what happens while a rule is
// disabled.
var ways = []struct {
	name, rule string
	own        bool // on the stack's own bus
	otherwise  string
}{
	{"commands rule", "CommandsRule", true, "submitted jobs are lost"},
	{"wakes rule", "TasksDueRule", true, "due work waits for the minute tick"},
	{"tick", "TickRule", false, "a lost wake delays its tasks until the next wake, and timeouts of runs are not found out"},
	{"workflows' commands rule", "WorkflowCommandsRule", true, "starts and cancellations of runs are lost"},
	{"workflows' tick", "WorkflowTickRule", false, "timeouts and overdue runs are not found out"},
	{"workflows' executions rule", "WorkflowExecutionsRule", false, "a run whose execution is stopped is found out late"},
	{"state machine workers rule", "WorkerStateMachinesRule", false, "the stack does not learn when state machine workers end, so their attempts expire with their leases"},
}

// ways checks the rules.
func (d *doctor) ways(ctx context.Context) []check {
	resources, err := cloudformation.Resources(ctx, d.formations, d.Name)
	if err != nil {
		return []check{unread("rules", err, "cloudformation:ListStackResources", "", "the stack's parts cannot be listed: ")}
	}
	checks := make([]check, len(ways))
	for i, way := range ways {
		bus := ""
		if way.own {
			bus = d.Outputs["EventBusName"]
		}
		checks[i] = d.way(ctx, way.name, way.rule, bus, resources[way.rule], way.otherwise)
	}
	return checks
}

func (d *doctor) way(ctx context.Context, name, part, bus, id, otherwise string) check {
	if id == "" {
		return wrong(name, d.deploy(), "the stack has no %s", part)
	}
	rule := id[strings.LastIndex(id, "|")+1:] // the id of a rule on a custom bus is "bus|rule"
	in, enable := &awseventbridge.DescribeRuleInput{Name: &rule}, []string{"events", "enable-rule", "--name", rule}
	if bus != "" {
		in.EventBusName = &bus
		enable = append(enable, "--event-bus-name", bus)
	}
	is, err := d.rules.DescribeRule(ctx, in)
	if err != nil {
		return unread(name, err, "events:DescribeRule", d.deploy()+", if it is gone", "rule "+rule+" cannot be read: ")
	}
	if is.State == eventbridgetypes.RuleStateDisabled && part == "WorkflowTickRule" && d.Parameters["TickState"] == "DISABLED" {
		return fine(name, "rule %s is disabled with the tick: see there", id) // one parameter is one fault
	}
	if is.State == eventbridgetypes.RuleStateDisabled {
		fix := d.command(enable...)
		if part == "TickRule" || part == "WorkflowTickRule" {
			fix = d.deploy("TickState=ENABLED") + "; or, until the next deployment: " + fix
		}
		return wrong(name, fix, "rule %s is disabled: %s", id, otherwise)
	}
	return fine(name, "rule %s is enabled", id)
}

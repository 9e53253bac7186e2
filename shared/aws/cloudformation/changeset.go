package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// DeployAPI has the calls of CloudFormation by which a stack is deployed.
type DeployAPI interface {
	API
	CreateChangeSet(context.Context, *cloudformation.CreateChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.CreateChangeSetOutput, error)
	DescribeChangeSet(context.Context, *cloudformation.DescribeChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeChangeSetOutput, error)
	ExecuteChangeSet(context.Context, *cloudformation.ExecuteChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.ExecuteChangeSetOutput, error)
	ListChangeSets(context.Context, *cloudformation.ListChangeSetsInput, ...func(*cloudformation.Options)) (*cloudformation.ListChangeSetsOutput, error)
	DeleteChangeSet(context.Context, *cloudformation.DeleteChangeSetInput, ...func(*cloudformation.Options)) (*cloudformation.DeleteChangeSetOutput, error)
	DeleteStack(context.Context, *cloudformation.DeleteStackInput, ...func(*cloudformation.Options)) (*cloudformation.DeleteStackOutput, error)
	DescribeStackEvents(context.Context, *cloudformation.DescribeStackEventsInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStackEventsOutput, error)
}

// Deployer deploys stacks by change sets.
type Deployer struct {
	API  DeployAPI
	Wait func(ctx context.Context, span time.Duration) error // waits between two looks; its error ends the call
}

// Proposal describes what a stack is to become.
type Proposal struct {
	Stack   string // its name
	Name    string // of the change set: letters, digits and hyphens; unique in the stack
	New     bool   // the stack does not exist, or has no resource yet
	Created bool   // the stack does not exist: the change set creates it, and [Deployer.Discard] deletes it
	// One of them: the template's text, of at most [LargestText], or the address of an object in S3 that has it.
	Text, URL string
	// Parameters has the values to set. Kept names those that keep the value which the stack has. The others get the template's defaults.
	Parameters map[string]string
	Kept       []string
}

// LargestText limits a template that is sent as text, in bytes.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const LargestText = 51_200

// ChangeSet describes what CloudFormation would do to a stack.
type ChangeSet struct {
	ID, StackID  string
	New, Created bool     // as the [Proposal] says
	Changes      []Change // none: the stack is what it is to become
}

// Change describes what happens to a resource.
type Change struct {
	Action      string   `json:"action"`                // Add, Modify, Remove, Import, Dynamic
	Resource    string   `json:"resource"`              // the logical id
	Type        string   `json:"type"`                  // AWS::SQS::Queue, …
	Replacement string   `json:"replacement,omitempty"` // of a modified resource: True, False, Conditional
	Properties  []string `json:"properties,omitempty"`  // that differ, in order; without those that only may differ
}

// lookPause separates two looks at a change set.
const lookPause = time.Second

// discardTries limits how often a change set that is still computed is tried to be deleted.
const discardTries = 30

// Propose creates a change set and returns it when CloudFormation has computed it. A change set without changes is deleted again. So is one that
// fails or cannot be read, and a stack that it created.
func (d Deployer) Propose(ctx context.Context, p Proposal) (ChangeSet, error) {
	kind := types.ChangeSetTypeUpdate
	if p.New {
		kind = types.ChangeSetTypeCreate
	}
	in := &cloudformation.CreateChangeSetInput{StackName: &p.Stack, ChangeSetName: &p.Name, ChangeSetType: kind, ClientToken: &p.Name,
		Capabilities: []types.Capability{types.CapabilityCapabilityIam, types.CapabilityCapabilityAutoExpand}}
	if p.URL != "" {
		in.TemplateURL = &p.URL
	} else {
		in.TemplateBody = &p.Text
	}
	for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: &name, ParameterValue: aws.String(p.Parameters[name])})
	}
	for _, name := range p.Kept {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: &name, UsePreviousValue: aws.Bool(true)})
	}
	created, err := d.API.CreateChangeSet(ctx, in)
	if err != nil {
		return ChangeSet{}, fmt.Errorf("creating a change set of stack %q, %w", p.Stack, err)
	}
	c := ChangeSet{ID: aws.ToString(created.Id), StackID: aws.ToString(created.StackId), New: p.New, Created: p.Created}
	for {
		out, err := d.API.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &c.ID, StackName: &c.StackID})
		if err != nil {
			return c, errors.Join(fmt.Errorf("reading the change set of stack %q, %w", p.Stack, err), d.Discard(context.WithoutCancel(ctx), c))
		}
		switch out.Status {
		case types.ChangeSetStatusCreateComplete:
			if c.Changes, err = d.changes(ctx, c, out); err != nil {
				err = errors.Join(err, d.Discard(context.WithoutCancel(ctx), c))
			}
			return c, err
		case types.ChangeSetStatusFailed:
			reason := aws.ToString(out.StatusReason)
			if err := d.Discard(ctx, c); err != nil || unchanged(reason) {
				return c, err
			}
			return c, fmt.Errorf("CloudFormation refuses the change of stack %q: %s", p.Stack, reason)
		}
		if err := d.Wait(ctx, lookPause); err != nil {
			return c, errors.Join(err, d.Discard(context.WithoutCancel(ctx), c))
		}
	}
}

// unchanged reports whether a change set failed because nothing changes. CloudFormation has no code for that.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-view.html
func unchanged(reason string) bool {
	return strings.Contains(reason, "didn't contain changes") || strings.Contains(reason, "No updates are to be performed")
}

// changes returns the changes of a change set, whose first page was read.
func (d Deployer) changes(ctx context.Context, c ChangeSet, page *cloudformation.DescribeChangeSetOutput) ([]Change, error) {
	var all []Change
	for {
		for _, one := range page.Changes {
			r := one.ResourceChange
			if r == nil {
				continue
			}
			change := Change{Action: string(r.Action), Resource: aws.ToString(r.LogicalResourceId), Type: aws.ToString(r.ResourceType), Replacement: string(r.Replacement)}
			for _, detail := range r.Details {
				if detail.Target != nil && detail.Evaluation != types.EvaluationTypeDynamic {
					name := aws.ToString(detail.Target.Name)
					if name == "" {
						name = string(detail.Target.Attribute)
					}
					change.Properties = append(change.Properties, name)
				}
			}
			slices.Sort(change.Properties)
			change.Properties = slices.Compact(change.Properties)
			all = append(all, change)
		}
		if page.NextToken == nil {
			return all, nil
		}
		next, err := d.API.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &c.ID, StackName: &c.StackID, NextToken: page.NextToken})
		if err != nil {
			return nil, fmt.Errorf("reading the change set %q, %w", c.ID, err)
		}
		page = next
	}
}

// Discard deletes a change set that is not executed, and the empty stack that it created, unless that has another change set: two commands may have created
// one stack. CloudFormation has no conditional delete: a change set that is created or executed between the look and the delete is lost with the stack.
func (d Deployer) Discard(ctx context.Context, c ChangeSet) error {
	for tries := 1; ; tries++ {
		_, err := d.API.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: &c.ID, StackName: &c.StackID})
		if err == nil {
			break
		}
		// CloudFormation refuses to delete one that it still computes.
		// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteChangeSet.html
		_, busy := errors.AsType[*types.InvalidChangeSetStatusException](err)
		if !busy || tries == discardTries || d.Wait(ctx, lookPause) != nil {
			return fmt.Errorf("deleting the change set %q, %w", c.ID, err)
		}
	}
	if !c.Created {
		return nil
	}
	others, err := d.API.ListChangeSets(ctx, &cloudformation.ListChangeSetsInput{StackName: &c.StackID})
	if err != nil {
		return fmt.Errorf("listing the change sets of stack %q, %w", c.StackID, err)
	}
	if slices.ContainsFunc(others.Summaries, func(s types.ChangeSetSummary) bool { return aws.ToString(s.ChangeSetId) != c.ID }) {
		return nil
	}
	now, err := Describe(ctx, d.API, c.StackID)
	if IsMissing(err) || err == nil && now.Status != string(types.StackStatusReviewInProgress) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := d.API.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &c.StackID}); err != nil {
		return fmt.Errorf("deleting the empty stack %q, %w", c.StackID, err)
	}
	return nil
}

// Execution is a change set that is being executed.
type Execution struct {
	deployer  Deployer
	change    ChangeSet
	last      string // the newest event that was seen
	Completed int    // resources that have become what they are to be, or were removed
	Failures  []string
	completed map[string]bool
	Status    string // of the stack, as its last event since the start says; "" before
}

// ErrMayRun reports that the answer to an execution's start was lost, and whether it began could not be read.
var ErrMayRun = errors.New("the change set may be in execution")

// Execute begins to carry out a change set. The caller follows it with [Execution.Look]. A change set that is not executed is discarded. The error is
// [ErrMayRun] where it may be in execution.
func (d Deployer) Execute(ctx context.Context, c ChangeSet) (*Execution, error) {
	e := &Execution{deployer: d, change: c, completed: map[string]bool{}}
	before, err := d.API.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &c.StackID}) // the newest first
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the events of stack %q, %w", c.StackID, err), d.Discard(context.WithoutCancel(ctx), c))
	}
	if len(before.StackEvents) > 0 {
		e.last = aws.ToString(before.StackEvents[0].EventId)
	}
	_, err = d.API.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: &c.ID, StackName: &c.StackID})
	if err == nil {
		return e, nil
	}
	err = fmt.Errorf("executing the change set %q, %w", c.ID, err)
	after := context.WithoutCancel(ctx) // an interruption may have lost the answer
	// CloudFormation refuses a request that the SDK repeats after a lost answer.
	is, unread := d.API.DescribeChangeSet(after, &cloudformation.DescribeChangeSetInput{ChangeSetName: &c.ID, StackName: &c.StackID})
	if unread != nil {
		return nil, errors.Join(ErrMayRun, err, unread)
	}
	switch is.ExecutionStatus {
	case types.ExecutionStatusExecuteInProgress, types.ExecutionStatusExecuteComplete:
		return e, nil
	case types.ExecutionStatusAvailable:
		return nil, errors.Join(err, d.Discard(after, c))
	}
	return nil, err
}

// Look reads what has happened since the last look, and reports whether the execution has ended: see [Execution.Succeeded].
func (e *Execution) Look(ctx context.Context) (ended bool, err error) {
	events, err := e.events(ctx)
	if err != nil {
		return false, err
	}
	for _, event := range events {
		e.last = aws.ToString(event.EventId)
		resource, status, reason := aws.ToString(event.LogicalResourceId), string(event.ResourceStatus), aws.ToString(event.ResourceStatusReason)
		switch {
		case aws.ToString(event.PhysicalResourceId) == e.change.StackID:
			e.Status = status
		case strings.HasSuffix(status, "_COMPLETE") && !strings.Contains(status, "ROLLBACK"):
			e.completed[resource] = true
		case strings.HasSuffix(status, "_FAILED") && !strings.Contains(reason, "cancelled"): // only the cause, not what CloudFormation gave up for it
			if reason == "" {
				reason = "no reason given"
			}
			e.Failures = append(e.Failures, fmt.Sprintf("%s %s: %s", resource, status, reason))
		}
	}
	e.Completed = len(e.completed)
	return e.Status != "" && !strings.HasSuffix(e.Status, "_IN_PROGRESS"), nil
}

// Succeeded reports whether the stack has become what the change set says.
func (e *Execution) Succeeded() bool {
	return e.Status == string(types.StackStatusCreateComplete) || e.Status == string(types.StackStatusUpdateComplete)
}

// events returns the events since the last one that was seen, the oldest first.
func (e *Execution) events(ctx context.Context) ([]types.StackEvent, error) {
	var found []types.StackEvent
	pages := cloudformation.NewDescribeStackEventsPaginator(e.deployer.API, &cloudformation.DescribeStackEventsInput{StackName: &e.change.StackID})
	known := false
	for !known && pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the events of stack %q, %w", e.change.StackID, err)
		}
		for _, event := range page.StackEvents { // the newest first
			if known = aws.ToString(event.EventId) == e.last; known {
				break
			}
			found = append(found, event)
		}
	}
	slices.Reverse(found)
	return found, nil
}

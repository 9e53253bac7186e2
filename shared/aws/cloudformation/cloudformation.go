// Package cloudformation finds a deployed stack and its parts.
//
// CloudFormation chooses the names of the parts. The stack's outputs have them.
package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/smithy-go"
)

// API has the calls of CloudFormation that Drover makes.
type API interface {
	DescribeStacks(context.Context, *cloudformation.DescribeStacksInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error)
	ListStackResources(context.Context, *cloudformation.ListStackResourcesInput, ...func(*cloudformation.Options)) (*cloudformation.ListStackResourcesOutput, error)
}

// Stack is a deployed stack.
type Stack struct {
	Name       string
	Status     string // CREATE_COMPLETE, UPDATE_IN_PROGRESS, …
	CreatedAt  time.Time
	Outputs    map[string]string
	Parameters map[string]string
}

// MissingError reports that the account and region have no such stack.
type MissingError struct{ Stack string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("there is no stack %q in this account and region; name another one, or deploy it", e.Stack)
}

// IsMissing reports whether an error is a *MissingError.
func IsMissing(err error) bool {
	_, missing := errors.AsType[*MissingError](err)
	return missing
}

// Describe reads a stack. *MissingError: there is no stack with this name.
func Describe(ctx context.Context, api API, name string) (Stack, error) {
	out, err := api.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if missing(err) || err == nil && len(out.Stacks) == 0 {
		return Stack{}, &MissingError{name}
	}
	if err != nil {
		return Stack{}, fmt.Errorf("reading stack %q, %w", name, err)
	}
	found := out.Stacks[0]
	s := Stack{Name: name, Status: string(found.StackStatus), CreatedAt: aws.ToTime(found.CreationTime),
		Outputs: map[string]string{}, Parameters: map[string]string{}}
	for _, o := range found.Outputs {
		s.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	for _, p := range found.Parameters {
		s.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	return s, nil
}

// missing reports whether an error means that there is no such stack. CloudFormation has no separate error code for that.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
func missing(err error) bool {
	var refused smithy.APIError
	return errors.As(err, &refused) && refused.ErrorCode() == "ValidationError" && strings.Contains(refused.ErrorMessage(), "not exist")
}

// Require returns an error that names the outputs that the stack lacks, or nil if it has all of them.
func (s Stack) Require(outputs ...string) error {
	var lacks []string
	for _, name := range outputs {
		if s.Outputs[name] == "" {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	slices.Sort(lacks)
	return fmt.Errorf("stack %q is %s and lacks the outputs %s: it is not a Drover stack, has another version, or is still being deployed",
		s.Name, s.Status, strings.Join(lacks, ", "))
}

// Resources returns the physical ids of a stack's resources by their logical ids.
func Resources(ctx context.Context, api API, name string) (map[string]string, error) {
	out := map[string]string{}
	for pages := cloudformation.NewListStackResourcesPaginator(api, &cloudformation.ListStackResourcesInput{StackName: &name}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the resources of stack %q, %w", name, err)
		}
		for _, r := range page.StackResourceSummaries {
			out[aws.ToString(r.LogicalResourceId)] = aws.ToString(r.PhysicalResourceId)
		}
	}
	return out, nil
}

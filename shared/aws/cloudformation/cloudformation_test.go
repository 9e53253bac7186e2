package cloudformation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscloudformation "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/cloudformation"
)

// scripted answers with its fields, and returns the pages of resources one after the other.
type scripted struct {
	stacks []types.Stack
	pages  [][]types.StackResourceSummary
	err    error
	asked  string
}

func (s *scripted) DescribeStacks(_ context.Context, in *awscloudformation.DescribeStacksInput, _ ...func(*awscloudformation.Options)) (*awscloudformation.DescribeStacksOutput, error) {
	s.asked = aws.ToString(in.StackName)
	if s.err != nil {
		return nil, s.err
	}
	return &awscloudformation.DescribeStacksOutput{Stacks: s.stacks}, nil
}

func (s *scripted) ListStackResources(_ context.Context, in *awscloudformation.ListStackResourcesInput, _ ...func(*awscloudformation.Options)) (*awscloudformation.ListStackResourcesOutput, error) {
	if s.err != nil {
		return nil, s.err
	}
	n := len(aws.ToString(in.NextToken))
	out := &awscloudformation.ListStackResourcesOutput{StackResourceSummaries: s.pages[n]}
	if n+1 < len(s.pages) {
		out.NextToken = aws.String(aws.ToString(in.NextToken) + "x")
	}
	return out, nil
}

func TestAStackHasItsOutputsAndParameters(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	api := &scripted{stacks: []types.Stack{{StackStatus: types.StackStatusUpdateComplete, CreationTime: &created,
		Outputs:    []types.Output{{OutputKey: aws.String("EventBusName"), OutputValue: aws.String("bus")}},
		Parameters: []types.Parameter{{ParameterKey: aws.String("RetentionDays"), ParameterValue: aws.String("30")}}}}}
	s, err := cloudformation.Describe(t.Context(), api, "drover")
	require.NoError(t, err)
	require.Equal(t, "drover", api.asked)
	require.Equal(t, cloudformation.Stack{Name: "drover", Status: "UPDATE_COMPLETE", CreatedAt: created, Outputs: map[string]string{"EventBusName": "bus"},
		Parameters: map[string]string{"RetentionDays": "30"}}, s)

	require.NoError(t, s.Require("EventBusName"))
	require.EqualError(t, s.Require("TasksTableName", "EventBusName", "ControlTableName"),
		`stack "drover" is UPDATE_COMPLETE and lacks the outputs ControlTableName, TasksTableName: it is not a Drover stack, has another version, or is still being deployed`)
}

func TestAMissingStackIsDistinguishedFromAnUnreadableOne(t *testing.T) {
	gone := &smithy.GenericAPIError{Code: "ValidationError", Message: "Stack with id nope does not exist"}
	for name, api := range map[string]*scripted{"refused": {err: gone}, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			_, err := cloudformation.Describe(t.Context(), api, "nope")
			var missing *cloudformation.MissingError
			require.ErrorAs(t, err, &missing)
			require.ErrorContains(t, err, `"nope"`)
		})
	}
	for name, refusal := range map[string]error{
		"denied":      &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"},
		"a bad name":  &smithy.GenericAPIError{Code: "ValidationError", Message: "1 validation error detected"},
		"unreachable": errors.New("connection refused"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cloudformation.Describe(t.Context(), &scripted{err: refusal}, "drover")
			var missing *cloudformation.MissingError
			require.NotErrorAs(t, err, &missing)
			require.ErrorIs(t, err, refusal)
			require.ErrorContains(t, err, `reading stack "drover"`)
		})
	}
}

func TestResourcesAreReadFromAllPages(t *testing.T) {
	one := func(logical, physical string) []types.StackResourceSummary {
		return []types.StackResourceSummary{{LogicalResourceId: &logical, PhysicalResourceId: &physical}}
	}
	found, err := cloudformation.Resources(t.Context(), &scripted{pages: [][]types.StackResourceSummary{one("TickRule", "tick-1"), one("JobsTable", "jobs-1")}}, "drover")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"TickRule": "tick-1", "JobsTable": "jobs-1"}, found)

	_, err = cloudformation.Resources(t.Context(), &scripted{err: errors.New("throttled")}, "drover")
	require.ErrorContains(t, err, `listing the resources of stack "drover", throttled`)
}

package infra_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Actions for which AWS knows no resource (https://docs.aws.amazon.com/service-authorization/latest/reference/).
var withoutResource = []string{
	"cloudwatch:GetMetricData",
	"dynamodb:ListStreams",
	"logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
	"logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
}

type statement struct {
	where, effect, sid string
	actions            []string
	resources          []any
	whole              object
}

func statements(where string, document any) []statement {
	var found []statement
	for _, one := range list(at[any](document, "Statement")) {
		whole, _ := one.(object)
		s := statement{
			where: where, effect: at[string](whole, "Effect"), sid: at[string](whole, "Sid"),
			resources: list(whole["Resource"]), whole: whole,
		}
		for _, action := range list(whole["Action"]) {
			s.actions = append(s.actions, action.(string))
		}
		found = append(found, s)
	}
	return found
}

// rights returns what roles allow, by the role.
func (s stack) rights() map[string][]statement {
	found := map[string][]statement{}
	for id, properties := range s.of("AWS::IAM::Role") {
		for _, policy := range list(properties["Policies"]) {
			found[id] = append(found[id], statements(id, at[any](policy, "PolicyDocument"))...)
		}
	}
	return found
}

func TestEachRoleAllowsActionsByNameOnResourcesByName(t *testing.T) {
	for role, rights := range read(t).rights() {
		sids := map[string]bool{}
		for _, right := range rights {
			where := role + "." + right.sid
			require.Equal(t, "Allow", right.effect, where)
			require.NotEmpty(t, right.sid, where)
			require.False(t, sids[right.sid], "%s stands twice", where)
			sids[right.sid] = true
			require.NotContains(t, right.whole, "NotAction", where)
			require.NotContains(t, right.whole, "NotResource", where)
			require.NotEmpty(t, right.resources, where)
			require.IsIncreasing(t, append([]string{""}, right.actions...), "%s: in order, each once", where)
			for _, action := range right.actions {
				require.NotContains(t, action, "*", where)
			}
			for _, resource := range right.resources {
				if resource == "*" {
					require.Subset(t, withoutResource, right.actions, where)
				}
			}
		}
	}
}

func TestARoleHasNothingButItsOwnStatements(t *testing.T) {
	s := read(t)
	for id, properties := range s.of("AWS::IAM::Role") {
		require.NotContains(t, properties, "ManagedPolicyArns", id)
		require.Len(t, list(properties["Policies"]), 1, id)
	}
	require.Empty(t, s.of("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"))
	for id, properties := range s.of("AWS::Serverless::Function", "AWS::Serverless::StateMachine") {
		require.NotContains(t, properties, "Policies", id)
	}
}

func TestEachFunctionAndMachineHasARoleOfItsOwn(t *testing.T) {
	s := read(t)
	users := map[string]string{}
	for id, properties := range s.of("AWS::Serverless::Function", "AWS::Serverless::StateMachine") {
		role := mentioned(properties["Role"])
		require.Len(t, role, 1, id)
		require.Empty(t, users[role[0]], "%s and %s share a role", id, users[role[0]])
		users[role[0]] = id
	}
	for role := range s.of("AWS::IAM::Role") {
		if role != "RulesRole" {
			require.Contains(t, users, role, "nobody has this role")
		}
	}
}

// Services that act for many accounts say for whom they do; Lambda's functions are named by their role.
func TestRolesAreTakenOnByOneServiceForThisAccount(t *testing.T) {
	for id, properties := range read(t).of("AWS::IAM::Role") {
		assumed := statements(id, properties["AssumeRolePolicyDocument"])
		require.Len(t, assumed, 1, id)
		require.Equal(t, []string{"sts:AssumeRole"}, assumed[0].actions, id)
		service := at[string](assumed[0].whole, "Principal", "Service")
		require.Contains(t, []string{"lambda.amazonaws.com", "states.amazonaws.com", "events.amazonaws.com"}, service, id)
		if service != "lambda.amazonaws.com" {
			require.Equal(t, ref("AWS::AccountId"), at[object](assumed[0].whole, "Condition", "StringEquals", "aws:SourceAccount"), id)
		}
	}
}

// Which workers may be started is the owner's to say; by default it is every one in the account and region, and never more.
func TestWorkersAreStartedWithinThisAccountAndRegion(t *testing.T) {
	found := map[string]object{}
	for _, right := range read(t).rights()["OrchestratorRole"] {
		if choice := at[[]any](right.whole, "Resource", "Fn::If"); choice != nil {
			found[fmt.Sprint(right.actions)] = object{"when": choice[0], "default": choice[1], "else": choice[2]}
		}
	}
	chosen := func(condition, pattern, parameter string) object {
		return object{
			"when":    condition,
			"default": object{"Fn::Sub": "arn:${AWS::Partition}:" + pattern},
			"else":    object{"Fn::Split": []any{",", ref(parameter)}},
		}
	}
	require.Equal(t, map[string]object{
		"[lambda:InvokeFunction]":                chosen("AnyFunction", "lambda:${AWS::Region}:${AWS::AccountId}:function:*", "WorkerFunctionArns"),
		"[sqs:SendMessage sqs:SendMessageBatch]": chosen("AnyQueue", "sqs:${AWS::Region}:${AWS::AccountId}:*", "WorkerQueueArns"),
		"[states:StartExecution]":                chosen("AnyStateMachine", "states:${AWS::Region}:${AWS::AccountId}:stateMachine:*", "WorkerStateMachineArns"),
	}, found)
}

// What a resource's own policy lets in, it lets in for a reason that it names.
func TestResourcePoliciesLetNobodyInUnconditionally(t *testing.T) {
	s := read(t)
	for id, properties := range s.of("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy") {
		for _, one := range statements(id, properties["PolicyDocument"]) {
			if one.effect != "Allow" {
				continue
			}
			require.NotEqual(t, "*", one.whole["Principal"], id)
			require.NotEmpty(t, at[object](one.whole, "Condition"), id)
			for _, action := range one.actions {
				require.NotContains(t, action, "*", id)
			}
		}
	}
	for id, properties := range s.of("AWS::KMS::Key") {
		for _, one := range statements(id, properties["KeyPolicy"]) {
			if one.sid == "AccountMayAdminister" {
				require.Equal(t, object{"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}, at[object](one.whole, "Principal", "AWS"))
				continue
			}
			require.NotEmpty(t, at[object](one.whole, "Condition"), id)
			require.NotContains(t, strings.Join(one.actions, " "), "kms:*", id)
		}
	}
}

// Every queue, the bucket and the topic refuse plain HTTP, by a denial that the parameter alone can take away.
func TestPlainHTTPIsRefused(t *testing.T) {
	s := read(t)
	require.Equal(t, object{"Fn::Equals": []any{ref("TlsOnly"), "true"}}, s.conditions["OnlyTls"])
	require.Equal(t, "true", s.parameters["TlsOnly"]["Default"])

	plain := object{"Bool": object{"aws:SecureTransport": "false"}}
	unless := object{
		"Bool": object{"aws:SecureTransport": "false"},
		"Null": object{"Fn::If": []any{"OnlyTls", ref("AWS::NoValue"), object{"aws:SecureTransport": "true"}}},
	}
	denied := map[string]bool{}
	for id, properties := range s.of("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy") {
		protected := mentioned([]any{properties["Queues"], properties["Bucket"], properties["Topics"]})
		require.Len(t, protected, 1, "%s: a resource has one policy, so a policy has one resource", id)
		require.False(t, denied[protected[0]], "%s has two policies, of which one is lost", protected[0])
		all := statements(id, properties["PolicyDocument"])
		last := all[len(all)-1]
		require.Equal(t, "Deny", last.effect, id)
		require.Equal(t, "*", last.whole["Principal"], id)
		require.Equal(t, protected, mentioned(last.resources), id)
		want := unless
		if at[string](s.resources[id], "Condition") == "OnlyTls" {
			require.Len(t, all, 1, "%s: what it allows goes with the condition", id)
			want = plain
		}
		require.Equal(t, want, at[object](last.whole, "Condition"), id)
		denied[protected[0]] = true
	}
	require.Equal(t, keys(s.of("AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::SNS::Topic")), keys(denied))
}

func TestTheTemplateHasNoMarksOfWhereItWasWritten(t *testing.T) {
	text, err := os.ReadFile("template.yaml")
	require.NoError(t, err)
	for _, mark := range []string{"localhost", "127.0.0.1", "000000000000", "/home/", "/tmp/"} {
		require.NotContains(t, string(text), mark)
	}
}

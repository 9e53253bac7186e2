package infra_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Actions that AWS allows only for all resources (https://docs.aws.amazon.com/service-authorization/latest/reference/).
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
	only               string // the template's condition for the statement; "" if it has none
}

// statements returns all statements of a policy, including those under a condition of the template.
func statements(where string, document any) []statement {
	var found []statement
	for _, one := range list(at[any](document, "Statement")) {
		whole, _ := one.(object)
		condition := ""
		if choice := at[[]any](whole, "Fn::If"); choice != nil {
			condition, whole = choice[0].(string), choice[1].(object)
		}
		s := statement{
			where: where, effect: at[string](whole, "Effect"), sid: at[string](whole, "Sid"),
			resources: list(whole["Resource"]), whole: whole, only: condition,
		}
		for _, action := range list(whole["Action"]) {
			s.actions = append(s.actions, action.(string))
		}
		found = append(found, s)
	}
	return found
}

// rights returns the statements of each role.
func (s stack) rights() map[string][]statement {
	found := map[string][]statement{}
	for id, properties := range s.of("AWS::IAM::Role") {
		for _, policy := range list(properties["Policies"]) {
			found[id] = append(found[id], statements(id, at[any](policy, "PolicyDocument"))...)
		}
	}
	for id, properties := range s.of("AWS::IAM::Policy") {
		for _, role := range mentioned(properties["Roles"]) {
			found[role] = append(found[role], statements(id, properties["PolicyDocument"])...)
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
			require.False(t, sids[right.sid], "%s exists twice", where)
			sids[right.sid] = true
			require.NotContains(t, right.whole, "NotAction", where)
			require.NotContains(t, right.whole, "NotResource", where)
			require.NotEmpty(t, right.resources, where)
			require.IsIncreasing(t, append([]string{""}, right.actions...), "%s: actions are sorted and unique", where)
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

func TestRolesHaveOnlyTheirOwnStatements(t *testing.T) {
	s := read(t)
	for id, properties := range s.of("AWS::IAM::Role") {
		require.NotContains(t, properties, "ManagedPolicyArns", id)
		require.Len(t, list(properties["Policies"]), 1, id)
	}
	require.Empty(t, s.of("AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"))
	starters := []any{ref("OrchestratorRole"), ref("WorkerAssistantRole")} // these two start workers, by the same statements
	roles := map[string]any{}
	for id, properties := range s.of("AWS::IAM::Policy") {
		roles[id] = properties["Roles"]
		require.Equal(t, id != "StartWorkersPolicy", at[string](s.resources[id], "Condition") == "MoePlugins", id)
	}
	require.Equal(t, map[string]any{"StartWorkersPolicy": starters, "MoeRowsPolicy": starters, "MoePluginsPolicy": []any{ref("WorkerAssistantRole")},
		"MoeEndsPolicy": []any{ref("WorkflowFunctionRole")}}, roles)
	for id, properties := range s.of("AWS::Serverless::Function", "AWS::Serverless::StateMachine") {
		require.NotContains(t, properties, "Policies", id)
	}
}

func TestEachFunctionAndMachineHasItsOwnRole(t *testing.T) {
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
			require.Contains(t, users, role, "nothing uses this role")
		}
	}
}

// Services that act for many accounts state the account they act for. Lambda does not need to: a function names its role.
func TestOneServiceMayAssumeEachRoleForThisAccount(t *testing.T) {
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

// The owner decides which workers the orchestrator may start. The default is the tagged ones of the account and region, * means all of the account
// and region, and any other value lists them.
func TestByDefaultOnlyTaggedWorkersOfThisAccountAndRegionAreStarted(t *testing.T) {
	s := read(t)
	found := map[string]map[string]object{}
	for role, rights := range s.rights() {
		for _, right := range rights {
			if choice := at[[]any](right.whole, "Resource", "Fn::If"); choice != nil {
				if found[role] == nil {
					found[role] = map[string]object{}
				}
				found[role][fmt.Sprint(right.actions)] = object{"resource": choice, "condition": right.whole["Condition"]}
			}
		}
	}
	chosen := func(kind, pattern, parameter string) object {
		unset, all := object{"Fn::Equals": []any{ref(parameter), ""}}, object{"Fn::Equals": []any{ref(parameter), "*"}}
		require.Equal(t, unset, s.conditions["Tagged"+kind])
		require.Equal(t, object{"Fn::Or": []any{unset, all}}, s.conditions["Unnamed"+kind])
		require.Empty(t, s.parameters[parameter]["Default"])
		return object{
			"resource":  []any{"Unnamed" + kind, object{"Fn::Sub": "arn:${AWS::Partition}:" + pattern}, object{"Fn::Split": []any{",", ref(parameter)}}},
			"condition": object{"Fn::If": []any{"Tagged" + kind, object{"Null": object{"aws:ResourceTag/drover:worker": "false"}}, ref("AWS::NoValue")}},
		}
	}
	queues := chosen("Queues", "sqs:${AWS::Region}:${AWS::AccountId}:*", "WorkerQueueArns")
	starting := map[string]object{
		"[lambda:InvokeFunction]":                chosen("Functions", "lambda:${AWS::Region}:${AWS::AccountId}:function:*", "WorkerFunctionArns"),
		"[sqs:SendMessage sqs:SendMessageBatch]": queues,
		"[states:StartExecution]":                chosen("StateMachines", "states:${AWS::Region}:${AWS::AccountId}:stateMachine:*", "WorkerStateMachineArns"),
	}
	asking := maps.Clone(starting)
	asking["[sqs:GetQueueAttributes]"] = queues
	require.Equal(t, map[string]map[string]object{"WorkerAssistantRole": starting, "OrchestratorRole": asking}, found)
}

// Each parameter accepts ARNs of its own service, * and an empty text, and nothing else.
func TestWorkersAreNamedByARNsOfTheirService(t *testing.T) {
	s := read(t)
	for parameter, arn := range map[string]string{
		"WorkerFunctionArns":     "arn:aws:lambda:eu-west-1:111122223333:function:import-*",
		"WorkerQueueArns":        "arn:aws-cn:sqs:cn-north-1:111122223333:import",
		"WorkerStateMachineArns": "arn:aws-us-gov:states:us-gov-west-1:111122223333:stateMachine:import",
		"WorkerKeyArns":          "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d",
		"EventSourceAccounts":    "111122223333",
	} {
		pattern, err := regexp.Compile("^(?:" + at[string](s.parameters[parameter], "AllowedPattern") + ")$")
		require.NoError(t, err, parameter)
		for _, right := range []string{"", arn, arn + "," + arn} {
			require.True(t, pattern.MatchString(right), "%s=%s", parameter, right)
		}
		for _, wrong := range []string{arn + ", " + arn, arn + ",", "arn:aws:s3:::bucket", "import", "*,*"} {
			require.False(t, pattern.MatchString(wrong), "%s=%s", parameter, wrong)
		}
		require.Equal(t, parameter != "WorkerKeyArns" && parameter != "EventSourceAccounts", pattern.MatchString("*"), parameter)
	}
}

// The orchestrator may use the keys of worker queues only through SQS, and only the named ones.
func TestKeysOfWorkerQueuesAreUsedOnlyThroughSQS(t *testing.T) {
	s := read(t)
	require.Equal(t, object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("WorkerKeyArns"), ""}}}}, s.conditions["EncryptedWorkerQueues"])
	var found []string
	for role, rights := range s.rights() {
		for _, right := range rights {
			if right.sid != "EncryptForWorkerQueues" {
				continue
			}
			found = append(found, role)
			require.Equal(t, "EncryptedWorkerQueues", right.only)
			require.Equal(t, []string{"kms:Decrypt", "kms:GenerateDataKey"}, right.actions)
			require.Equal(t, object{"Fn::Split": []any{",", ref("WorkerKeyArns")}}, right.whole["Resource"])
			require.Equal(t, object{"StringEquals": object{"kms:ViaService": []any{
				object{"Fn::Sub": "sqs.${AWS::Region}.amazonaws.com"}, object{"Fn::Sub": "sqs.${AWS::Region}.${AWS::URLSuffix}"},
			}}}, right.whole["Condition"])
		}
	}
	require.ElementsMatch(t, []string{"OrchestratorRole", "WorkerAssistantRole"}, found)
}

// Named other accounts may put commands on the bus and send completions, and do nothing else.
func TestOtherAccountsMayOnlySendCommandsAndCompletions(t *testing.T) {
	s := read(t)
	named := object{"AWS": object{"Fn::Split": []any{",", ref("EventSourceAccounts")}}}
	require.Equal(t, object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("EventSourceAccounts"), ""}}}}, s.conditions["OtherAccounts"])

	require.Equal(t, "OtherAccounts", at[string](s.resources["EventBusPolicy"], "Condition"))
	require.Equal(t, object{
		"EventBusName": ref("EventBus"), "StatementId": "CommandsOfOtherAccounts",
		"Statement": object{
			"Effect": "Allow", "Principal": named, "Action": "events:PutEvents", "Resource": getAtt("EventBus", "Arn"),
			"Condition": object{"StringEquals": object{"events:detail-type": append(at[[]any](s.resources["CommandsRule"], "Properties", "EventPattern", "detail-type"),
				at[[]any](s.resources["WorkflowCommandsRule"], "Properties", "EventPattern", "detail-type")...)}},
		},
	}, at[object](s.resources["EventBusPolicy"], "Properties"))

	sending := map[string][]string{}
	for id, properties := range s.of("AWS::SQS::QueuePolicy") {
		for _, one := range statements(id, properties["PolicyDocument"]) {
			if one.only == "OtherAccounts" {
				require.Equal(t, named, one.whole["Principal"])
				sending[id] = one.actions
			}
		}
	}
	require.Equal(t, map[string][]string{"CompletionsQueuePolicy": {"sqs:SendMessage"}}, sending)
}

// Each statement of a resource's own policy has a condition, or names the accounts for which it is.
func TestResourcePoliciesAllowNothingUnconditionally(t *testing.T) {
	s := read(t)
	for id, properties := range s.of("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy") {
		for _, one := range statements(id, properties["PolicyDocument"]) {
			if one.effect != "Allow" {
				continue
			}
			require.NotEqual(t, "*", one.whole["Principal"], id)
			if one.only != "OtherAccounts" { // its principals are accounts that the owner names
				require.NotEmpty(t, at[object](one.whole, "Condition"), id)
			}
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

// Every queue, the bucket and the topic refuse plain HTTP, by a denial that only the parameter can remove.
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
		require.Len(t, protected, 1, "%s: each policy has exactly one resource", id)
		require.False(t, denied[protected[0]], "%s has two policies; CloudFormation keeps only one", protected[0])
		all := statements(id, properties["PolicyDocument"])
		last := all[len(all)-1]
		require.Equal(t, "Deny", last.effect, id)
		require.Equal(t, "*", last.whole["Principal"], id)
		require.Equal(t, protected, mentioned(last.resources), id)
		want := unless
		if at[string](s.resources[id], "Condition") == "OnlyTls" {
			require.Len(t, all, 1, "%s: the policy has no statement besides the denial", id)
			want = plain
		}
		require.Equal(t, want, at[object](last.whole, "Condition"), id)
		denied[protected[0]] = true
	}
	require.Equal(t, keys(s.of("AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::SNS::Topic")), keys(denied))
}

func TestTheTemplateNamesNoAccountOrMachine(t *testing.T) {
	text, err := os.ReadFile("template.yaml")
	require.NoError(t, err)
	for _, mark := range []string{"localhost", "127.0.0.1", "000000000000", "/home/", "/tmp/"} {
		require.NotContains(t, string(text), mark)
	}
}

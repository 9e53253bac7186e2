package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/infra"
	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/core/packaging"
)

// yard is an account to deploy to, in virtual time, with a folder as a release archive has it.
type yard struct {
	t         *testing.T
	formation *fakeFormation
	buckets   *fakeBuckets
	release   string
	endpoint  string
	answer    string // of the person at the terminal; "" if there is no terminal
	interrupt int    // the wait that is interrupted; 0: none
	cut       bool   // the start of the execution is interrupted
	waits     int
	now       time.Time
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, release: t.TempDir(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	y.buckets = &fakeBuckets{owner: "000000000000", now: func() time.Time { return y.now }}
	y.formation = &fakeFormation{resources: []types.ResourceChange{
		{Action: types.ChangeActionAdd, LogicalResourceId: aws.String("TasksTable"), ResourceType: aws.String("AWS::DynamoDB::Table")},
		{Action: types.ChangeActionAdd, LogicalResourceId: aws.String("SchedulerRole"), ResourceType: aws.String("AWS::IAM::Role")}}}
	for _, processor := range []string{"amd64", "arm64"} {
		folder := filepath.Join(y.release, "functions", processor)
		require.NoError(t, os.MkdirAll(folder, 0o700))
		for name := range strings.FieldsSeq("archiver orchestrator scavenger scheduler worker-assistant workflow") {
			require.NoError(t, os.WriteFile(filepath.Join(folder, name+".zip"), []byte(processor+" "+name), 0o600))
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(y.release, packaging.VersionFile), []byte(infra.TemplateVersion()+"\n"), 0o600))
	return y
}

// deployed returns a yard whose stack exists.
func newDeployedYard(t *testing.T) *yard {
	t.Helper()
	y := newYard(t)
	y.formation.stack = &types.Stack{StackStatus: types.StackStatusCreateComplete, StackId: aws.String(stackID),
		Parameters: []types.Parameter{{ParameterKey: aws.String("RetentionDays"), ParameterValue: aws.String("7")},
			{ParameterKey: aws.String("TlsOnly"), ParameterValue: aws.String("false")}, {ParameterKey: aws.String("Retired"), ParameterValue: aws.String("x")}},
		Outputs: []types.Output{{OutputKey: aws.String("EventBusName"), OutputValue: aws.String("bus")}}}
	y.formation.event("drover", "CREATE_COMPLETE", "")
	return y
}

func (y *yard) drover(arguments ...string) said {
	y.t.Helper()
	ctx, cancel := context.WithCancel(y.t.Context())
	defer cancel()
	if y.cut {
		y.formation.during = cancel
	}
	var out, errs bytes.Buffer
	s := &shell{in: strings.NewReader(y.answer), out: &out, err: &errs, now: func() time.Time { return y.now }, environment: func(string) string { return "" },
		person: func() bool { return y.answer != "" },
		wait: func(ctx context.Context, span time.Duration) error {
			y.now = y.now.Add(span)
			if y.waits++; y.waits == y.interrupt {
				cancel()
			}
			return ctx.Err()
		},
		open: func(_ context.Context, name string) (*stack, error) {
			st := &stack{region: "eu-west-1", endpoint: y.endpoint, deploys: y.formation, artifacts: y.buckets,
				caller: func(context.Context) string { return "arn:aws:sts::000000000000:assumed-role/admin/ada" }}
			if y.formation.stack == nil || name != y.formation.described().Name {
				st.Name = name
				return st, &cloudformation.MissingError{Stack: name}
			}
			st.Stack = y.formation.described()
			return st, nil
		}}
	if slices.Contains(arguments, "deploy") && !slices.Contains(arguments, "--template") {
		arguments = append(arguments, "--code", y.release)
	}
	code := run(ctx, s, arguments)
	return said{y.t, code, out.String(), errs.String()}
}

// parameters returns the values that the change set gives, "(kept)" for those that the stack keeps.
func (y *yard) parameters() map[string]string {
	out := map[string]string{}
	for _, p := range y.formation.set.Parameters {
		out[*p.ParameterKey] = aws.ToString(p.ParameterValue)
		if aws.ToBool(p.UsePreviousValue) {
			out[*p.ParameterKey] = "(kept)"
		}
	}
	return out
}

// template returns the text that CloudFormation reads.
func (y *yard) template() string {
	y.t.Helper()
	url := aws.ToString(y.formation.set.TemplateURL)
	require.NotEmpty(y.t, url, "Drover's template is too large to be sent as text")
	return string(y.buckets.objects[url[strings.LastIndexByte(url, '/')+1:]])
}

func TestDeployCreatesTheStackFromAReleaseArchive(t *testing.T) {
	y := newYard(t)

	said := y.drover("deploy", "--yes")

	require.Equal(t, "EventBusName                     bus\n", said.ok())
	require.Contains(t, said.err, "+   1 AWS::DynamoDB::Table\n+   1 AWS::IAM::Role\n2 added\nPermissions change in SchedulerRole\n")
	require.Contains(t, said.err, "0 of 2 resources, stack drover create_in_progress")
	require.Contains(t, said.err, "Stack drover is CREATE_COMPLETE.")
	require.Equal(t, "drover-artifacts-000000000000-eu-west-1", y.buckets.bucket)
	require.Equal(t, "https://drover-artifacts-000000000000-eu-west-1.s3.eu-west-1.amazonaws.com/", strings.TrimSuffix(*y.formation.set.TemplateURL, filepath.Base(*y.formation.set.TemplateURL)))
	text := y.template()
	require.NotContains(t, text, "../")
	require.Contains(t, text, infra.TemplateVersion())
	require.Len(t, y.buckets.objects, 10, "six functions, three state machines and the template")
	for _, key := range slices.Sorted(maps.Keys(y.buckets.objects)) {
		require.True(t, strings.Contains(text, key) || strings.HasSuffix(key, ".yaml"), key)
	}
	require.Contains(t, slices.Collect(maps.Values(y.buckets.objects)), []byte("amd64 worker-assistant"))
	require.Empty(t, y.parameters(), "the template's defaults hold")
}

func TestDeployUploadsTheCodeForTheStacksProcessor(t *testing.T) {
	y := newYard(t)
	y.drover("deploy", "--yes", "--parameter", "Architecture=arm64").ok()
	require.Contains(t, slices.Collect(maps.Values(y.buckets.objects)), []byte("arm64 scheduler"))
	require.NotContains(t, slices.Collect(maps.Values(y.buckets.objects)), []byte("amd64 scheduler"))
	require.Equal(t, "arm64", y.parameters()["Architecture"])

	y.formation.stack.Parameters = []types.Parameter{{ParameterKey: aws.String("Architecture"), ParameterValue: aws.String("arm64")}}
	y.formation.executed = 0
	y.drover("deploy", "--yes").ok()
	require.Equal(t, "(kept)", y.parameters()["Architecture"])
	require.NotContains(t, slices.Collect(maps.Values(y.buckets.objects)), []byte("amd64 scheduler"))
}

func TestDeployKeepsTheValuesOfParametersThatAreNotGiven(t *testing.T) {
	y := newDeployedYard(t)
	y.drover("deploy", "--yes", "--parameter", "AlarmEmail=ops@example.com", "--parameter", "WorkerFunctionArns=").ok()
	require.Equal(t, map[string]string{"TlsOnly": "(kept)", "RetentionDays": "(kept)", "AlarmEmail": "ops@example.com", "WorkerFunctionArns": ""}, y.parameters(),
		"a parameter that the template no longer has is left out")
}

func TestDeployRefusesAnUnknownParameterBeforeItDoesAnything(t *testing.T) {
	y := newYard(t)
	y.drover("deploy", "--yes", "--parameter", "AlarmMail=x").fails(misuse, "AlarmMail", "did you mean AlarmEmail?")
	y.drover("deploy", "--yes", "--parameter", "AlarmEmail").fails(misuse, "want Name=value")
	require.Empty(t, y.buckets.calls)
	require.Nil(t, y.formation.set)
}

func TestDeployWithoutChangesChangesNothing(t *testing.T) {
	y := newDeployedYard(t)
	y.formation.resources = nil
	line := y.drover("--json", "deploy", "--yes").one()
	require.Equal(t, map[string]any{"stack": "drover", "changes": []any{}, "outputs": map[string]any{"EventBusName": "bus"}}, line)
	require.Zero(t, y.formation.executed)
	require.True(t, y.formation.deletedSet, "no change set stays behind")
	puts := y.buckets.puts
	y.drover("deploy", "--yes").ok()
	require.Equal(t, puts, y.buckets.puts, "what is in the bucket is not uploaded again")
	y.now = y.now.AddDate(0, 0, 31)
	y.drover("deploy", "--yes").ok()
	require.Equal(t, 2*puts, y.buckets.puts, "but before it expires")
}

func TestDeployReplacesCodeInTheBucketThatIsNotItsOwn(t *testing.T) {
	y := newDeployedYard(t)
	y.drover("deploy", "--yes").ok()
	before := maps.Clone(y.buckets.objects)
	for key := range y.buckets.objects {
		y.buckets.objects[key] = []byte("planted")
	}
	y.formation.executed = 0
	y.drover("deploy", "--yes").ok()
	require.Equal(t, before, y.buckets.objects)
}

func TestDeployShowsWhatChangesAndAsks(t *testing.T) {
	change := func(action types.ChangeAction, name, kind string, replacement types.Replacement, property string) types.ResourceChange {
		c := types.ResourceChange{Action: action, LogicalResourceId: &name, ResourceType: &kind, Replacement: replacement}
		if property != "" {
			c.Details = []types.ResourceChangeDetail{{Evaluation: types.EvaluationTypeStatic, Target: &types.ResourceTargetDefinition{Name: &property}},
				{Evaluation: types.EvaluationTypeDynamic, Target: &types.ResourceTargetDefinition{Name: aws.String("Unlikely")}}}
		}
		return c
	}
	y := newDeployedYard(t)
	y.formation.resources = []types.ResourceChange{
		change(types.ChangeActionModify, "Tasks", "AWS::DynamoDB::Table", types.ReplacementFalse, "SSESpecification"),
		change(types.ChangeActionModify, "Orchestrate", "AWS::StepFunctions::StateMachine", types.ReplacementTrue, "StateMachineType"),
		change(types.ChangeActionModify, "Jobs", "AWS::SQS::QueuePolicy", types.ReplacementConditional, ""),
		change(types.ChangeActionRemove, "Old", "AWS::SQS::Queue", "", ""),
		change(types.ChangeActionAdd, "New", "AWS::IAM::Role", "", ""),
	}
	const shown = "! Jobs (AWS::SQS::QueuePolicy) (may be replaced by a new one)\n" +
		"+ New (AWS::IAM::Role)\n" +
		"- Old (AWS::SQS::Queue)\n" +
		"! Orchestrate (AWS::StepFunctions::StateMachine): StateMachineType (is replaced by a new one)\n" +
		"~ Tasks (AWS::DynamoDB::Table): SSESpecification\n" +
		"1 added, 1 modified, 1 replaced, 1 perhaps replaced, 1 removed\n" +
		"Permissions change in Jobs, New\n"

	y.answer = "n\n"
	said := y.drover("deploy")
	said.fails(failed, shown+"Deploy this to stack drover? [y/N] ", "nothing was deployed")
	require.Zero(t, y.formation.executed)
	require.True(t, y.formation.deletedSet)
	require.NotNil(t, y.formation.stack, "a stack that was there stays")

	said = y.drover("deploy", "--dry-run")
	said.ok()
	require.Contains(t, said.err, shown)
	require.Zero(t, y.formation.executed)

	y.answer = "yes\n"
	y.drover("deploy").ok()
	require.Equal(t, 1, y.formation.executed)
}

func TestDeployThatIsDeclinedLeavesNoStackBehind(t *testing.T) {
	y := newYard(t)
	y.answer = "no\n"
	y.drover("deploy").fails(failed, "nothing was deployed")
	require.Nil(t, y.formation.stack)
	y.drover("deploy", "--dry-run").ok()
	require.Nil(t, y.formation.stack)
}

func TestDeployThatIsDeclinedLeavesAStackThatItDidNotCreate(t *testing.T) {
	y := newYard(t)
	y.formation.stack = &types.Stack{StackStatus: types.StackStatusReviewInProgress, StackId: aws.String(stackID)}
	y.drover("deploy", "--dry-run").ok()
	require.True(t, y.formation.deletedSet)
	require.NotNil(t, y.formation.stack, "another command reviews it")

	y.answer = "no\n"
	y.drover("deploy").fails(failed, "nothing was deployed")
	require.NotNil(t, y.formation.stack)
}

func TestDeployThatIsDeclinedLeavesAStackWithTheChangeSetOfAnotherCommand(t *testing.T) {
	y := newYard(t)
	y.formation.others = []types.ChangeSetSummary{{ChangeSetId: aws.String("drover-of-another-command")}}
	y.drover("deploy", "--dry-run").ok()
	require.True(t, y.formation.deletedSet)
	require.NotNil(t, y.formation.stack)
}

func TestDeployWithoutATerminalNeedsYes(t *testing.T) {
	y := newYard(t)
	y.drover("deploy").fails(misuse, "no terminal", "--yes")
	require.Empty(t, y.buckets.calls)
}

func TestDeployThatFailsPrintsTheReasonsAndWhatToDo(t *testing.T) {
	y := newYard(t)
	y.formation.fail = "TasksTable"
	said := y.drover("deploy", "--yes")
	said.fails(failed, "TasksTable CREATE_FAILED: Bucket name is taken", "stack drover is in ROLLBACK_COMPLETE: it can only be deleted: run aws --region eu-west-1 cloudformation delete-stack --stack-name drover, then deploy again")
	require.NotContains(t, said.err, "Bystander", "its cancellation explains nothing")

	y.drover("deploy", "--yes").fails(failed, "stack drover is in ROLLBACK_COMPLETE: it can only be deleted")

	y = newDeployedYard(t)
	y.formation.fail = "TasksTable"
	y.drover("deploy", "--yes").fails(failed, "TasksTable UPDATE_FAILED: Bucket name is taken", "stack drover is in UPDATE_ROLLBACK_COMPLETE: it is as it was before")
}

func TestDeployNamesAStateInWhichNothingCanBeDeployed(t *testing.T) {
	for state, word := range map[types.StackStatus]string{
		types.StackStatusCreateFailed:         "can only be deleted",
		types.StackStatusDeleteFailed:         "can only be deleted",
		types.StackStatusRollbackFailed:       "can only be deleted",
		types.StackStatusUpdateRollbackFailed: "continue-update-rollback",
		types.StackStatusUpdateInProgress:     "deploy again when it has ended",
		types.StackStatusDeleteInProgress:     "deploy again when it has ended",
	} {
		y := newDeployedYard(t)
		y.formation.stack.StackStatus = state
		y.drover("deploy", "--yes").fails(failed, "stack drover is in "+string(state), word)
		require.Empty(t, y.buckets.calls, "nothing is uploaded")
	}
}

func TestDeployCreatesAStackWhoseFirstChangeSetWasNeverExecuted(t *testing.T) {
	y := newYard(t)
	y.formation.stack = &types.Stack{StackStatus: types.StackStatusReviewInProgress, StackId: aws.String(stackID)}
	said := y.drover("deploy", "--yes")
	said.ok()
	require.Contains(t, said.err, "REVIEW_IN_PROGRESS: a change set that was to create it was never executed")
	require.Equal(t, types.ChangeSetTypeCreate, y.formation.set.ChangeSetType)
}

func TestDeployIsToldWhenItsExecutionIsReportedAsFailedButBegan(t *testing.T) {
	y := newYard(t)
	y.formation.lost = &smithy.GenericAPIError{Code: "InvalidChangeSetStatus", Message: "it is in EXECUTE_IN_PROGRESS status"}
	y.drover("deploy", "--yes").ok()

	y = newYard(t)
	y.formation.refuse = errors.New("no")
	y.drover("deploy", "--yes").fails(failed, "executing the change set")
	require.True(t, y.formation.deletedSet)
	require.Nil(t, y.formation.stack)
}

func TestDeployThatMayHaveBegunEndsAsUnknown(t *testing.T) {
	y := newYard(t)
	y.formation.lost, y.formation.blind = errors.New("the connection was reset"), 4
	y.drover("deploy", "--yes").fails(unknown, "may be in execution", "the connection was reset", "describe-stacks --stack-name drover")
	require.False(t, y.formation.deletedSet)

	y = newYard(t)
	y.cut, y.formation.lost = true, context.Canceled
	y.drover("deploy", "--yes").fails(unknown, "interrupted; the deployment continues in CloudFormation")
	require.NotNil(t, y.formation.stack)
}

func TestDeployWaitsUntilTheOutputsCanBeRead(t *testing.T) {
	y := newYard(t)
	y.formation.hidden = 2
	said := y.drover("deploy", "--yes")
	require.Equal(t, "EventBusName                     bus\n", said.ok())
	require.Contains(t, said.err, "the stack is deployed")

	y = newYard(t)
	y.formation.hidden = 1000
	y.drover("deploy", "--yes").fails(unknown, "gave up", "the stack is deployed; to see its outputs: aws --region eu-west-1 cloudformation describe-stacks")
}

func TestDeployLeavesNothingIfItsChangeSetCannotBeRead(t *testing.T) {
	for part, look := range map[string]int{"its state": 1, "its first page": 2, "a later page": 3} {
		t.Run(part, func(t *testing.T) {
			y := newYard(t)
			y.formation.blind = look
			y.drover("deploy", "--yes").fails(failed, "Rate exceeded")
			require.True(t, y.formation.deletedSet)
			require.Nil(t, y.formation.stack)
		})
	}
}

func TestDeployWaitsOutAnOutageAndContinuesWithoutTheCommand(t *testing.T) {
	y := newYard(t)
	y.formation.away = 3
	said := y.drover("deploy", "--yes")
	said.ok()
	require.Contains(t, said.err, "AWS answers again")

	y = newYard(t)
	y.interrupt = 2
	y.drover("deploy", "--yes").fails(unknown, "interrupted; the deployment continues in CloudFormation", "describe-stacks --stack-name drover")
}

func TestDeployThatIsInterruptedBeforeTheQuestionLeavesNothing(t *testing.T) {
	y := newYard(t)
	y.interrupt = 1
	y.drover("deploy", "--yes").fails(failed, "interrupted")
	require.True(t, y.formation.deletedSet)
	require.Nil(t, y.formation.stack)
}

func TestTheBucketForArtifactsIsProtected(t *testing.T) {
	y := newYard(t)
	y.drover("deploy", "--yes").ok()
	yes := aws.Bool(true)
	require.Equal(t, &s3types.PublicAccessBlockConfiguration{BlockPublicAcls: yes, BlockPublicPolicy: yes, IgnorePublicAcls: yes, RestrictPublicBuckets: yes}, y.buckets.access)
	require.Len(t, y.buckets.encrypted.Rules, 1)
	require.Equal(t, s3types.ServerSideEncryptionAes256, y.buckets.encrypted.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm)
	require.Len(t, y.buckets.lifecycle.Rules, 1)
	rule := y.buckets.lifecycle.Rules[0]
	require.Equal(t, s3types.ExpirationStatusEnabled, rule.Status)
	require.Empty(t, *rule.Filter.Prefix, "of all objects")
	require.EqualValues(t, 400, *rule.Expiration.Days)
	require.NotNil(t, rule.AbortIncompleteMultipartUpload)
	require.Contains(t, y.buckets.policy, `"aws:SecureTransport":"false"`)
	require.Contains(t, y.buckets.policy, "arn:aws:s3:::drover-artifacts-000000000000-eu-west-1/*")

	y.buckets.calls = nil
	y.formation.executed = 0
	y.drover("deploy", "--yes").ok()
	require.NotContains(t, y.buckets.calls, "PutBucketPolicy", "one that is there stays as it is")
}

func TestTheProtectionOfABucketIsCompletedAfterAnInterruption(t *testing.T) {
	y := newYard(t)
	y.buckets.stop = "PutBucketEncryption"
	y.drover("deploy", "--yes").fails(failed, "protecting bucket")
	y.drover("deploy", "--yes").ok()
	require.Contains(t, y.buckets.calls, "PutBucketPolicy")
}

func TestThePolicyOfABucketThatItsOwnerSetStays(t *testing.T) {
	y := newYard(t)
	y.drover("deploy", "--yes").ok()
	y.buckets.policy, y.buckets.lifecycle = "the owner's", nil
	y.formation.executed = 0
	y.drover("deploy", "--yes").ok()
	require.Equal(t, "the owner's", y.buckets.policy)
	require.NotNil(t, y.buckets.lifecycle)
}

func TestABucketOfAnotherAccountIsNotUsed(t *testing.T) {
	y := newYard(t)
	y.buckets.bucket, y.buckets.owner = "drover-artifacts-000000000000-eu-west-1", "111111111111"
	y.drover("deploy", "--yes").fails(failed, "it belongs to another account", "--bucket")
	require.Equal(t, []string{"HeadBucket"}, y.buckets.calls)

	y.buckets.bucket = "theirs"
	y.drover("deploy", "--yes", "--bucket", "theirs").fails(failed, "uploading s3://theirs/")
	require.Empty(t, y.buckets.objects)
}

func TestDeployUsesTheBucketThatIsNamed(t *testing.T) {
	y := newYard(t)
	y.buckets.bucket = "mine"
	y.drover("deploy", "--yes", "--bucket", "mine").ok()
	require.NotContains(t, y.buckets.calls, "CreateBucket")
	require.Contains(t, y.template(), "s3://mine/")
}

func TestALocalAWSMayStartAnyWorkerByPlainHTTP(t *testing.T) {
	y := newYard(t)
	y.endpoint = "http://localhost:4566"
	y.drover("deploy", "--yes").ok()
	is := y.parameters()
	require.Equal(t, []string{"false", "*", "*", "*"}, []string{is["TlsOnly"], is["WorkerFunctionArns"], is["WorkerQueueArns"], is["WorkerStateMachineArns"]})
	require.NotEmpty(t, is["Architecture"], "this machine runs the functions")
	require.True(t, strings.HasPrefix(*y.formation.set.TemplateURL, "http://localhost:4566/drover-artifacts-000000000000-eu-west-1/"))
	require.NotContains(t, y.buckets.calls, "PutBucketPolicy")
}

func TestWithoutTheFunctionsCodeDeploySaysWhereItIs(t *testing.T) {
	y := newYard(t)
	y.release = t.TempDir()
	y.drover("deploy", "--yes").fails(misuse, filepath.Join(y.release, "functions", "amd64"), "unpack a release archive", "--code")
	require.Empty(t, y.buckets.calls)
}

func TestDeployRefusesFunctionsOfAnotherTemplate(t *testing.T) {
	y := newYard(t)
	file := filepath.Join(y.release, packaging.VersionFile)
	require.NoError(t, os.WriteFile(file, []byte("0123456789ab\n"), 0o600))
	y.drover("deploy", "--yes").fails(misuse, "0123456789ab", infra.TemplateVersion())

	require.NoError(t, os.Remove(file))
	y.drover("deploy", "--yes").fails(misuse, file)
	require.Empty(t, y.buckets.calls)
}

func TestAnotherTemplateIsDeployedWithItsCodeAsAnotherStack(t *testing.T) {
	y := newYard(t)
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "worker"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "worker", "main.py"), []byte("pass"), 0o600))
	template := filepath.Join(folder, "template.yaml")
	require.NoError(t, os.WriteFile(template, []byte("Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: worker}}}"), 0o600))

	y.drover("deploy", "--yes", "--template", template).fails(misuse, "would replace Drover's own stack")
	y.drover("--stack", "mine", "deploy", "--yes", "--template", template).ok()

	require.Contains(t, *y.formation.set.TemplateBody, "CodeUri: s3://drover-artifacts-000000000000-eu-west-1/")
	require.Len(t, y.buckets.objects, 1)
	require.Empty(t, y.parameters())
}

func TestCodeFromWindowsCanBeExecuted(t *testing.T) {
	require.True(t, executable("windows", 0o666), "Windows has no such bits")
	require.True(t, executable("linux", 0o755))
	require.False(t, executable("linux", 0o644))
}

func TestAnotherTemplateDoesNotReplaceADroverOfAnyName(t *testing.T) {
	y := newDeployedYard(t)
	y.formation.stack.StackName = aws.String("prod")
	y.formation.stack.Outputs = append(y.formation.stack.Outputs, types.Output{OutputKey: aws.String("TemplateVersion"), OutputValue: aws.String("0123456789ab")})
	template := filepath.Join(t.TempDir(), "template.yaml")
	const queue = "Resources: {Q: {Type: AWS::SQS::Queue}}\n"
	require.NoError(t, os.WriteFile(template, []byte(queue), 0o600))

	y.drover("--stack", "prod", "deploy", "--yes", "--template", template).fails(misuse, "stack prod is a Drover", "--stack")
	require.Empty(t, y.buckets.calls)
	require.Nil(t, y.formation.set)

	require.NoError(t, os.WriteFile(template, []byte(queue+"Outputs: {TemplateVersion: {Value: not-stamped}}\n"), 0o600))
	y.drover("--stack", "prod", "deploy", "--yes", "--template", template).ok()
}

func TestATemplateIsWrittenForToolsThatDeployIt(t *testing.T) {
	y := newYard(t)
	file := filepath.Join(t.TempDir(), "drover.yaml")

	line := y.drover("--json", "deploy", "--write-template", file).one()

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "CodeUri: s3://drover-artifacts-000000000000-eu-west-1/")
	require.Equal(t, file, line["template"])
	require.True(t, strings.HasSuffix(line["url"].(string), ".yaml"))
	require.Nil(t, y.formation.set, "nothing is deployed")
	require.Len(t, y.buckets.objects, 10)

	y.formation.stack = &types.Stack{StackStatus: types.StackStatusUpdateInProgress, StackId: aws.String(stackID)}
	y.drover("deploy", "--write-template", file).ok() // another tool is deploying it
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func (g *ground) registry() dynamo.Registry {
	return dynamo.Registry{API: g.DynamoDB, Table: fakeaws.ControlTable}
}

func TestApplyStoresWhatIsNewOrDifferentAndNothingElse(t *testing.T) {
	g := newGround(t)
	path := file(t, "shop.yaml", shop)
	said := g.drover("--json", "apply", "-f", path)
	require.Equal(t, `{"applied":["job_schemas.default","shop"],"unchanged":[],"warnings":[]}`+"\n", said.ok())
	require.Contains(t, said.err, "+ labourers.shop.max_simultaneous_invocations: 3", "the changes are shown on standard error")

	said = g.drover("--json", "apply", "-f", path)
	require.Equal(t, `{"applied":[],"unchanged":["job_schemas.default","shop"],"warnings":[]}`+"\n", said.ok())
	require.Empty(t, said.err)

	other := file(t, "other.yaml", strings.Replace(shop, "invocations: 3", "invocations: 7", 1))
	require.Contains(t, g.drover("apply", "-f", other).ok(), "~ labourers.shop.max_simultaneous_invocations: 3 -> 7\nApplied 1 labourer. Unchanged: 1 job schema.\n")
	require.Equal(t, 7.0, g.drover("--json", "labourer", "shop").one()["cap"])
	require.Equal(t, done, g.drover("apply", "-f", file(t, "more.yaml", "labourers: {more: {target: {sqs: \"https://sqs/1/more\"}}}")).code)
	require.Len(t, g.drover("--json", "labourers").lines(), 2, "labourers that no file names stay")
}

func TestDiffChangesNothing(t *testing.T) {
	g := newGround(t)
	path := file(t, "shop.yaml", shop)
	require.Contains(t, g.drover("diff", "-f", path).ok(), "+ labourers.shop.max_simultaneous_invocations: 3\n")
	line := g.drover("--json", "diff", "-f", path).one()
	require.Equal(t, []any{"job_schemas.default", "shop"}, line["applied"])
	require.NotEmpty(t, line["changes"])
	require.Empty(t, g.drover("--json", "labourers").lines())
	g.drover("apply", "-f", path).ok()
	require.Equal(t, "No difference: apply would change nothing.\n", g.drover("diff", "-f", path).ok())
	require.Empty(t, g.drover("--json", "diff", "-f", path).one()["changes"])
}

func TestABadFileIsRefusedBeforeTheStackIsAsked(t *testing.T) {
	g := newGround(t)
	bad := file(t, "bad.yaml", strings.Replace(shop, "invocations: 3", "invocations: -3", 1))
	g.drover("--stack", "none", "apply", "-f", file(t, "good.yaml", "labourers: {a: {target: {sqs: \"https://sqs/1/a\"}}}"), bad).fails(misuse, "max_simultaneous_invocations")
	require.Empty(t, g.drover("--json", "labourers").lines())
}

func TestApplyReadsStandardInput(t *testing.T) {
	g := newGround(t)
	g.drover("apply", "-f", "-", "<", shop).ok()
	require.Len(t, g.drover("--json", "labourers").lines(), 1)
}

func TestAChangeIsStoredOnlyOverWhatItWasComparedWith(t *testing.T) {
	g := newGround(t)
	given, _, err := (&shell{}).configuration([]string{file(t, "shop.yaml", shop)})
	require.NoError(t, err)
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	mine, err := st.compare(t.Context(), given)
	require.NoError(t, err)

	require.NoError(t, g.Apply(strings.Replace(shop, "invocations: 3", "invocations: 5", 1))) // another apply
	err = st.store(t.Context(), changeSet{changes: mine.changes[1:]})
	require.ErrorContains(t, err, "shop was applied again in the meantime")
	require.Equal(t, 5.0, g.drover("--json", "labourer", "shop").one()["cap"])
}

func TestAnErrorNamesWhatWasAppliedBeforeIt(t *testing.T) {
	g := newGround(t)
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	err = st.store(t.Context(), changeSet{changes: []change{{name: "a", text: "{}"}, {name: "b", section: "job_schemas", text: "{}", over: 7}}})
	require.ErrorContains(t, err, "job_schemas.b was applied again in the meantime")
	require.ErrorContains(t, err, "(already applied: a)")
}

func TestARaisedCapAndARepairedTargetTakeEffectAtOnce(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.Submit(`{"job_id": "j", "labourer": "shop", "sections": [1,2,3,4,5,6], "isolate_sections": true}`)
	g.RunFor(2 * time.Second)
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	require.NoError(t, st.control.SetTrouble(t.Context(), "shop", &queue.Trouble{Error: "gone", At: g.World.Now(), Until: g.World.Now().Add(time.Hour)}))
	g.drover("apply", "-f", file(t, "more.yaml", strings.Replace(shop, "invocations: 3", "invocations: 5", 1))).ok()
	g.RunFor(3 * time.Second) // less than a tick
	line := g.drover("--json", "labourer", "shop").one()
	require.Equal(t, 5.0, line["running"])
	require.NotContains(t, line, "trouble")
}

const resizer = `labourers: {resize: {target: {lambda: "arn:aws:lambda:us-east-1:000000000000:function:resize:live"}, cooldown: 2m}}`

const resize = "arn:aws:lambda:us-east-1:000000000000:function:resize:live"

func TestAFunctionsTimeoutIsTheDefaultOfMaxDuration(t *testing.T) {
	g := newGround(t)
	path := file(t, "resize.yaml", resizer)
	said := g.drover("--json", "apply", "-f", path)
	require.Contains(t, said.one()["warnings"].([]any)[0], "labourers.resize: the function's timeout cannot be read, so max_duration is 15m0s")

	g.functions.add(resize, 42)
	require.Equal(t, []any{"resize"}, g.drover("--json", "apply", "-f", path).one()["applied"])
	stored, _, err := g.registry().Labourer(t.Context(), "resize")
	require.NoError(t, err)
	require.Equal(t, 42*time.Second, stored.MaxDuration)
	require.Equal(t, []any{"resize"}, g.drover("--json", "apply", "-f", path).one()["unchanged"])

	delete(g.functions.all, resize)
	require.Equal(t, []any{"resize"}, g.drover("--json", "apply", "-f", path).one()["unchanged"], "the last timeout stays while it cannot be read")
	given := file(t, "given.yaml", strings.Replace(resizer, "cooldown", "max_duration: 7s, cooldown", 1))
	require.Contains(t, g.drover("apply", "-f", given).ok(), `~ labourers.resize.max_duration: "42s" -> "7s"`)
}

func TestWiringSendsFailuresToTheCompletionsQueueAndEndsLambdasOwnRetries(t *testing.T) {
	g := newGround(t)
	f := g.functions.add(resize, 30)
	path := file(t, "resize.yaml", resizer)
	require.Contains(t, g.drover("--json", "apply", "-f", path).one()["warnings"].([]any)[0], "use apply --wire")
	require.Zero(t, g.functions.puts, "nothing is wired without --wire")

	require.Empty(t, g.drover("--json", "apply", "--wire", "-f", path).one()["warnings"])
	require.Equal(t, int32(0), aws.ToInt32(f.wire.MaximumRetryAttempts))
	require.Equal(t, completionsARN, aws.ToString(f.wire.DestinationConfig.OnFailure.Destination))
	require.Equal(t, int32(120), aws.ToInt32(f.wire.MaximumEventAgeInSeconds), "a throttled event is kept within the cooldown")
	require.Equal(t, "live", aws.ToString(f.wire.Qualifier))

	require.Empty(t, g.drover("--json", "apply", "--wire", "-f", path).one()["warnings"])
	require.Equal(t, 1, g.functions.puts, "a wired function is left alone")
}

// TestWiringKeepsAThrottledEventForAMinuteAtLeast: Lambda accepts no shorter time.
func TestWiringKeepsAThrottledEventForAMinuteAtLeast(t *testing.T) {
	g := newGround(t)
	f := g.functions.add(resize, 30)

	g.drover("apply", "--wire", "-f", file(t, "resize.yaml", strings.Replace(resizer, "2m", "10s", 1))).ok()

	require.Equal(t, int32(60), aws.ToInt32(f.wire.MaximumEventAgeInSeconds))
	require.Empty(t, g.drover("--json", "apply", "--wire", "-f", file(t, "resize.yaml", strings.Replace(resizer, "2m", "10s", 1))).one()["warnings"])
	require.Equal(t, 1, g.functions.puts, "a minute is not too long")
}

func TestWiringKeepsOtherSettingsOfTheOwner(t *testing.T) {
	g := newGround(t)
	f := g.functions.add(resize, 30)
	f.wire = &awslambda.PutFunctionEventInvokeConfigInput{MaximumRetryAttempts: aws.Int32(2), MaximumEventAgeInSeconds: aws.Int32(90),
		DestinationConfig: &lambdatypes.DestinationConfig{OnSuccess: &lambdatypes.OnSuccess{Destination: aws.String("somewhere")}}}
	g.drover("apply", "--wire", "-f", file(t, "resize.yaml", resizer)).ok()
	require.Equal(t, "somewhere", aws.ToString(f.wire.DestinationConfig.OnSuccess.Destination))
	require.Equal(t, int32(90), aws.ToInt32(f.wire.MaximumEventAgeInSeconds))
}

func TestATargetThatCannotBeWiredIsAFailureThatNamesTheLabourer(t *testing.T) {
	g := newGround(t)
	path := file(t, "resize.yaml", resizer)
	g.drover("--json", "apply", "--wire", "-f", path).fails(failed, "labourer resize", "Function not found", "(already applied: resize)")
	g.functions.add(resize, 30)
	g.functions.refuse = errors.New("the role may not send")
	g.drover("--json", "apply", "--wire", "-f", path).fails(failed, "labourer resize", "sqs:SendMessage", "the role may not send")
	require.NotContains(t, g.drover("apply", "--wire", "-f", path).err, "already applied", "the second apply changes nothing")
}

func TestAFunctionIsToldFromItsQualifier(t *testing.T) {
	for target, want := range map[string][2]string{
		"resize":      {"resize", ""},
		"resize:live": {"resize", "live"},
		"arn:aws:lambda:us-east-1:1234:function:resize":           {"arn:aws:lambda:us-east-1:1234:function:resize", ""},
		"arn:aws-us-gov:lambda:us-east-1:1234:function:resize:12": {"arn:aws-us-gov:lambda:us-east-1:1234:function:resize", "12"},
		"123456789012:function:resize:$LATEST":                    {"123456789012:function:resize", "$LATEST"},
		"123456789012:resize":                                     {"123456789012:resize", ""},
	} {
		f := functionOf(labourer.Target{Lambda: target})
		require.Equal(t, want, [2]string{f.name, aws.ToString(f.qualifier)}, target)
	}
}

func TestALabourerWithoutWorkIsRemoved(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	require.Equal(t, `{"applied":[],"unchanged":[],"removed":["shop"],"warnings":[]}`+"\n", g.drover("--json", "apply", "--remove", "shop").ok())
	require.Empty(t, g.drover("--json", "labourers").lines())
}

func TestALabourerWithWorkLeftIsRemovedOnlyWhenItIsDrained(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Minute, well)
	g.Submit(`{"job_id": "j", "labourer": "shop", "sections": [1,2,3,4,5], "isolate_sections": true}`)
	g.RunFor(time.Second)
	said := g.drover("--json", "apply", "--remove", "shop")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.err, "labourer shop has work left: 3 tasks running, 2 queued")
	require.Empty(t, said.out)

	said = g.drover("apply", "--remove", "shop", "--drain")
	require.Contains(t, said.ok(), "Removed 1 labourer")
	require.Contains(t, said.err, "waiting for labourer shop: 3 tasks running, 2 queued")
	g.RunFor(5 * time.Second) // the last end is counted
	require.Equal(t, "completed", g.drover("--json", "job", "j").one()["state"])
}

// TestALabourerWhoseJobIsStillBeingCreatedIsNotRemoved: all created tasks have ended, and the others are not in the queue yet.
func TestALabourerWhoseJobIsStillBeingCreatedIsNotRemoved(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	jobs := dynamo.Jobs{API: g.DynamoDB, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: time.Hour}
	require.NoError(t, jobs.Create(t.Context(), ledger.Job{ID: "j", Labourer: "shop", State: ledger.Scheduling, Text: []byte("{}"), Fingerprint: "f",
		SubmittedAt: g.World.Now(), RecordedAt: g.World.Now(), Total: 600, Cursor: 1, Generation: 1}))

	said := g.drover("apply", "--remove", "shop")

	require.Equal(t, failed, said.code)
	require.Contains(t, said.err, "labourer shop has work left: 0 tasks running, 344 queued")
}

func TestDrainingThatIsInterruptedRemovesNothing(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(time.Second)
	g.interrupt = true
	require.Equal(t, failed, g.drover("apply", "--remove", "shop", "--drain").code)
	require.Len(t, g.drover("--json", "labourers").lines(), 1)
}

func TestALabourerThatIsAppliedAgainMeanwhileStays(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Minute, well)
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(time.Second)
	g.before = func() { require.NoError(t, g.Apply(strings.Replace(shop, "invocations: 3", "invocations: 5", 1))) }
	said := g.drover("apply", "--remove", "shop", "--drain")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.err, "labourer shop was applied again in the meantime, so it was not removed")
}

func TestALabourerCannotBeAppliedAndRemovedAtOnce(t *testing.T) {
	g := newGround(t)
	g.drover("apply", "-f", file(t, "shop.yaml", shop), "--remove", "shop").fails(misuse, "--remove", "shop")
}

func TestTheReasonOfATargetsTroubleIsShown(t *testing.T) {
	g := newGround(t)
	require.NoError(t, g.Apply(shop)) // its queue does not exist
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(5 * time.Second)
	line := g.drover("--json", "labourer", "shop").one()
	require.Contains(t, line["reason"], "the target could not be reached")
	require.Contains(t, line["trouble"].(map[string]any)["error"], "shop")
	id := g.drover("--json", "tasks").lines()[0]["task_id"].(string)
	require.Contains(t, g.drover("--json", "task", id).one()["waiting_for"], "the target could not be reached")
	require.Contains(t, g.drover("labourer", "shop").ok(), "trouble")
}

func TestReasonsAreShort(t *testing.T) {
	require.Equal(t, "ResourceNotFoundException: no such function", reason(errors.Join(context.Canceled, &lambdatypes.ResourceNotFoundException{Message: aws.String("no such function")})))
	require.Equal(t, "plain", reason(errors.New("plain")))
}

const kinds = `labourers:
  resize: {target: {lambda: "` + resize + `"}, cooldown: 2m}
  shop: {target: {sqs: "` + shopQueue + `"}}
  bake: {target: {states: "` + bakery + `"}}
`

func TestWiringTagsTargetsOfEveryKindAndShowsItFirst(t *testing.T) {
	g := newGround(t)
	g.functions.add(resize, 30)
	g.account.queue(shopQueue, "0")
	path := file(t, "kinds.yaml", kinds)
	g.account.machines[bakery] = sfntypes.StateMachineTypeStandard
	g.drover("apply", "-f", path).ok()
	require.Empty(t, g.functions.tags, "nothing is tagged without --wire")
	require.Empty(t, g.account.tags)

	out := g.drover("apply", "--wire", "-f", path).ok()
	shown, _, found := strings.Cut(out, "Unchanged: ")
	require.True(t, found)
	require.Contains(t, shown, "~ "+resize+": failed invocations to the completions queue, no retries by Lambda, throttled events kept for at most 2m0s\n")
	for _, arn := range []string{resize, "arn:aws:sqs:us-east-1:000000000000:shop", bakery} {
		require.Contains(t, shown, "~ "+arn+": tag drover:worker = true\n")
	}
	require.Equal(t, map[string]string{"drover:worker": "true"}, g.functions.tags[strings.TrimSuffix(resize, ":live")], "tags belong to the function, not to its alias")
	require.Equal(t, map[string]string{"drover:worker": "true"}, g.account.tags[shopQueue])
	require.Equal(t, map[string]string{"drover:worker": "true"}, g.account.tags[bakery])

	out = g.drover("apply", "--wire", "-f", path).ok()
	require.NotContains(t, out, "~", "wired and tagged targets are left alone")
}

func TestATargetThatCannotBeTaggedStopsOnlyAStackThatNeedsTags(t *testing.T) {
	g := newGround(t)
	path := file(t, "shop.yaml", shop) // its queue does not exist
	g.drover("--json", "apply", "--wire", "-f", path).fails(failed, "labourer shop", "does not exist")
	g.stack.Parameters["WorkerQueueArns"] = "*"
	require.Contains(t, fmt.Sprint(g.drover("--json", "apply", "--wire", "-f", path).one()["warnings"]), "cannot be given the tag")
}

func TestApplySaysThatATargetIsOutOfReach(t *testing.T) {
	g := newGround(t)
	warnings := fmt.Sprint(g.drover("--json", "apply", "-f", file(t, "far.yaml", `labourers:
  far_function: {target: {lambda: "arn:aws:lambda:eu-west-1:000000000000:function:far"}, max_duration: 1m}
  far_queue: {target: {sqs: "https://sqs.eu-west-1.amazonaws.com/000000000000/q"}}
  far_machine: {target: {states: "arn:aws:states:us-east-1:111122223333:stateMachine:m"}}
  foreign_queue: {target: {sqs: "https://sqs.us-east-1.amazonaws.com/111122223333/q"}}
`)).one()["warnings"])
	for _, words := range []string{"labourers.far_function.target: function arn:aws:lambda:eu-west-1:000000000000:function:far is in region eu-west-1, and the stack in us-east-1",
		"labourers.far_queue.target: queue https://sqs.eu-west-1.amazonaws.com/000000000000/q is in region eu-west-1", "labourers.far_machine.target", "no machine of another account",
		"labourers.foreign_queue.target: the target is in account 111122223333", "WorkerQueueArns"} {
		require.Contains(t, warnings, words)
	}
}

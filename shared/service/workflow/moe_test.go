package workflow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

const moeFlow = `
labourers:
  address: {target: {lambda: address}, max_attempts: 3}
  stock: {target: {sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/stock"}, max_attempts: 3, max_duration: 5m}
  report: {target: {lambda: report}, max_attempts: 1}
workflows:
  Order intake: {activities: [validate, ship]}
plugins:
  address: {activity: validate, stage: pre, envelope: moe}
  stock: {activity: [validate, ship], stage: parallel, envelope: moe}
  report: {activity: validate, stage: post, envelope: moe, mandatory: false}
`

// An orchestratorError is what a plugin throws to end its turn as Error. Other errors leave its record In Progress.
var errStated = errors.New("no stock")

// silent makes a plugin's process die without a word.
var errSilent = errors.New("killed")

// A moePlugin does what the wrappers of @moe-tech/orchestrator 1.0.90 do with a message: it skips what its record says is Complete, tells In Progress,
// runs, and tells Complete or Error. Each write is an update of its record that fails without the maps before it.
type moePlugin struct {
	t        *testing.T
	d        *drovertest.Drover
	name     string
	list     string // mandatory or optional, as its own code says
	does     func(attempt int) error
	messages []map[string]any
	ran      int
}

func (p *moePlugin) message(text []byte) error {
	var m map[string]any
	require.NoError(p.t, json.Unmarshal(text, &m))
	if p.state(m) == "Complete" {
		return nil
	}
	p.write(m, "In Progress", "")
	p.messages = append(p.messages, m)
	p.ran++
	err := p.does(p.ran)
	switch {
	case err == nil:
		p.write(m, "Complete", "")
	case errors.Is(err, errStated):
		p.write(m, "Error", err.Error())
		return nil
	}
	return err
}

func rowKey(m map[string]any) fakeaws.Item {
	return fakeaws.Item{"uid": &types.AttributeValueMemberS{Value: m["uid"].(string)}, "workflow": &types.AttributeValueMemberS{Value: m["workflow"].(string)}}
}

func (p *moePlugin) state(m map[string]any) string {
	out, err := p.d.DynamoDB.GetItem(p.t.Context(), &dynamodb.GetItemInput{TableName: aws.String(fakeaws.StatusTable), Key: rowKey(m)})
	require.NoError(p.t, err)
	var v types.AttributeValue = &types.AttributeValueMemberM{Value: out.Item}
	for _, name := range []string{"activities", m["activity"].(string), m["stage"].(string), p.list, p.name, "state"} {
		of, is := v.(*types.AttributeValueMemberM)
		require.True(p.t, is, "the plugin dies as its row has no %s", name)
		v = of.Value[name]
	}
	return v.(*types.AttributeValueMemberS).Value
}

func (p *moePlugin) write(m map[string]any, state, message string) {
	record := fakeaws.Item{"state": &types.AttributeValueMemberS{Value: state}}
	if message != "" {
		record["message"] = &types.AttributeValueMemberS{Value: message}
	}
	_, err := p.d.DynamoDB.UpdateItem(p.t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String(fakeaws.StatusTable), Key: rowKey(m),
		UpdateExpression: aws.String("set #activities.#activity.#stage.#type.#pluginName = :status"),
		ExpressionAttributeNames: map[string]string{"#activities": "activities", "#activity": m["activity"].(string), "#stage": m["stage"].(string),
			"#type": p.list, "#pluginName": p.name},
		ExpressionAttributeValues: fakeaws.Item{":status": &types.AttributeValueMemberM{Value: record}}})
	require.NoError(p.t, err)
}

// function handles invocations by the wrapper for SNS.
func (p *moePlugin) function(event []byte, done func(*fakeaws.Failure)) {
	var e struct {
		Records []struct{ Sns struct{ Message string } }
	}
	require.NoError(p.t, json.Unmarshal(event, &e))
	require.Len(p.t, e.Records, 1)
	switch err := p.message([]byte(e.Records[0].Sns.Message)); {
	case errors.Is(err, errSilent): // it hangs
	case err != nil:
		done(&fakeaws.Failure{Type: "Error", Message: err.Error()})
	default:
		done(nil)
	}
}

// consumer handles messages by the wrapper for SQS. A queue keeps what fails.
func (p *moePlugin) consumer() fakeaws.Consumer {
	return fakeaws.Consumer{Batch: 1, Most: 10, Take: func(batch []fakeaws.Received, done func([]string, error)) {
		if p.message([]byte(batch[0].Body)) == nil {
			done(nil, nil)
		}
	}}
}

// moe returns a stack with the three plugins, which do as they are told. Those without an entry succeed.
func moeStack(t *testing.T, does map[string]func(attempt int) error) (*drovertest.Drover, map[string]*moePlugin) {
	t.Helper()
	d := drovertest.New()
	require.NoError(t, d.Apply(moeFlow))
	plugins := map[string]*moePlugin{}
	for name, list := range map[string]string{"address": "mandatory", "stock": "mandatory", "report": "optional"} {
		f := does[name]
		if f == nil {
			f = func(int) error { return nil }
		}
		plugins[name] = &moePlugin{t: t, d: d, name: name, list: list, does: f}
	}
	d.Lambda.Handle("address", plugins["address"].function)
	d.Lambda.Handle("report", plugins["report"].function)
	d.SQS.Create("https://sqs.us-west-2.amazonaws.com/000000000000/stock", fakeaws.Queue{Visibility: time.Minute})
	d.SQS.Map("https://sqs.us-west-2.amazonaws.com/000000000000/stock", plugins["stock"].consumer())
	return d, plugins
}

func runIntake(t *testing.T, d *drovertest.Drover, uid string, more map[string]any) flow.Record {
	t.Helper()
	detail := map[string]any{"workflow": "Order intake", "uid": uid, "metadata": map[string]any{"country": "AT", "activity": "x"}}
	maps.Copy(detail, more)
	event := d.Put("StartWorkflow", detail)
	require.NoError(t, d.Run())
	r, found, err := dynamo.Runs{API: d.DynamoDB, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable}.Get(t.Context(), flow.RunID(event))
	require.NoError(t, err)
	require.True(t, found)
	return r
}

func TestPluginsOfMoeRunUnchangedByBothWrappers(t *testing.T) {
	d, plugins := moeStack(t, nil)

	r := runIntake(t, d, "order-1", nil)

	require.Equal(t, flow.Complete, r.Head.State, r.Head.Message)
	require.Equal(t, []int{1, 2, 1}, []int{plugins["address"].ran, plugins["stock"].ran, plugins["report"].ran})
	m := plugins["stock"].messages[0]
	require.Equal(t, []any{"order-1", "Order intake", "validate", "async", "AT"}, []any{m["uid"], m["workflow"], m["activity"], m["stage"], m["country"]})
	require.Equal(t, "ship", plugins["stock"].messages[1]["activity"])
	require.Equal(t, float64(1), m["drover"].(map[string]any)["attempt"])
	require.Empty(t, d.SQS.Letters(fakeaws.CompletionsDead))
	require.Equal(t, strconv.FormatInt(r.Head.FinishedAt.Add(fakeaws.Retention).Unix(), 10),
		d.DynamoDB.Items(fakeaws.StatusTable)[0]["expires_at"].(*types.AttributeValueMemberN).Value, "the row goes with the run's record")
}

func TestAPluginOfMoeThatStatesAnErrorIsNotRepeated(t *testing.T) {
	d, plugins := moeStack(t, map[string]func(int) error{"stock": func(int) error { return errStated }})

	r := runIntake(t, d, "order-1", nil)

	require.Equal(t, flow.Error, r.Head.State)
	require.Contains(t, r.Head.Message, "no stock")
	require.Equal(t, 1, plugins["stock"].ran)
	require.Zero(t, plugins["report"].ran)
}

// TestScenario12APluginOfMoeThatCrashesOrDiesIsRepeatedAndThenAnError: with moe its stage waited for ever.
func TestScenario12APluginOfMoeThatCrashesOrDiesIsRepeatedAndThenAnError(t *testing.T) {
	for name, err := range map[string]error{"crashes": errors.New("boom"), "dies": errSilent} {
		t.Run(name, func(t *testing.T) {
			d, plugins := moeStack(t, map[string]func(int) error{"address": func(attempt int) error {
				if attempt < 3 {
					return err
				}
				return nil
			}})

			require.Equal(t, flow.Complete, runIntake(t, d, "order-1", nil).Head.State)
			require.Equal(t, 3, plugins["address"].ran)

			d, plugins = moeStack(t, map[string]func(int) error{"address": func(int) error { return err }})
			require.Equal(t, flow.Error, runIntake(t, d, "order-1", nil).Head.State)
			require.Equal(t, 3, plugins["address"].ran)
		})
	}
}

func TestAnOptionalPluginOfMoeDoesNotFailItsRun(t *testing.T) {
	d, _ := moeStack(t, map[string]func(int) error{"report": func(int) error { return errStated }})

	require.Equal(t, flow.OptionalTaskError, runIntake(t, d, "order-1", nil).Head.State)
}

// TestScenario14ARerunRunsWhatFailedAndKeepsWhatWasComplete, in the row of the new run.
func TestScenario14ARerunRunsWhatFailedAndKeepsWhatWasComplete(t *testing.T) {
	d, plugins := moeStack(t, map[string]func(int) error{"stock": func(attempt int) error {
		if attempt == 1 {
			return errStated
		}
		return nil
	}})
	require.Equal(t, flow.Error, runIntake(t, d, "order-1", nil).Head.State)

	again := runIntake(t, d, "order-1", map[string]any{"metadata": nil})

	require.Equal(t, 2, again.Run)
	require.Equal(t, flow.Complete, again.Head.State, again.Head.Message)
	require.Equal(t, []int{1, 3}, []int{plugins["address"].ran, plugins["stock"].ran})
}

// TestScenario13ADuplicateDeliveryChangesNothing: the second delivery finds its record Complete.
func TestScenario13ADuplicateDeliveryChangesNothing(t *testing.T) {
	d, plugins := moeStack(t, nil)
	address := plugins["address"]
	d.Lambda.Handle("address", func(event []byte, done func(*fakeaws.Failure)) {
		address.function(event, func(*fakeaws.Failure) {})
		address.function(event, done)
	})

	require.Equal(t, flow.Complete, runIntake(t, d, "order-1", nil).Head.State)
	require.Equal(t, 1, address.ran)
}

// TestScenario17RunsOfOneUIDInTwoWorkflowsDoNotMeet: moe dropped one of two changes in a batch.
func TestScenario17RunsOfOneUIDInTwoWorkflowsDoNotMeet(t *testing.T) {
	d, plugins := moeStack(t, nil)
	require.NoError(t, d.Apply(`workflows: {Other: {activities: [validate]}}`))
	other := d.Put("StartWorkflow", map[string]any{"workflow": "Other", "uid": "order-1"})

	require.Equal(t, flow.Complete, runIntake(t, d, "order-1", nil).Head.State)
	r, _, err := dynamo.Runs{API: d.DynamoDB, Table: fakeaws.RunsTable}.Get(t.Context(), flow.RunID(other))
	require.NoError(t, err)
	require.Equal(t, flow.Complete, r.Head.State)
	require.Equal(t, 2, plugins["address"].ran)
}

func TestAWriteThatMakesNoSenseIsBuriedAndTheRunGoesOn(t *testing.T) {
	d, plugins := moeStack(t, nil)
	stock := plugins["stock"]
	stock.does = func(attempt int) error {
		if attempt == 1 {
			stranger := *stock
			stranger.name = "stranger"
			stranger.write(stock.messages[0], "Complete", "")
			stock.write(stock.messages[0], "Do Not Run", "")
		}
		return nil
	}

	require.Equal(t, flow.Complete, runIntake(t, d, "order-1", nil).Head.State)

	letters := d.SQS.Letters(fakeaws.CompletionsDead)
	require.Len(t, letters, 2)
	require.Contains(t, letters[0].Reason+letters[1].Reason, "must be its pluginName")
	require.Contains(t, letters[0].Reason+letters[1].Reason, "is none of a plugin's")
	require.Contains(t, letters[0].Body, "order-1", "it names the row")
}

// TestAStatusStreamThatComesTwiceChangesNothing delivers all records once more after the runs' end, and in the middle of a run.
func TestAStatusStreamThatComesTwiceChangesNothing(t *testing.T) {
	d, plugins := moeStack(t, nil)
	plugins["stock"].does = func(int) error {
		d.Statuses.Replay(d.Statuses.Log())
		return nil
	}

	r := runIntake(t, d, "order-1", nil)
	d.Statuses.Replay(d.Statuses.Log())
	require.NoError(t, d.Run())

	require.Equal(t, flow.Complete, r.Head.State)
	require.Equal(t, []int{1, 2, 1}, []int{plugins["address"].ran, plugins["stock"].ran, plugins["report"].ran})
	require.Empty(t, d.SQS.Letters(fakeaws.CompletionsDead))
}

// TestWhatAPluginOfMoeCosts: beside what each plugin costs, one write makes its row ready; a run's first one takes three calls, its end one.
func TestWhatAPluginOfMoeCosts(t *testing.T) {
	d, _ := moeStack(t, nil)
	d.DynamoDB.ResetUsage()
	runIntake(t, d, "order-1", nil)

	calls := map[string]int{}
	for use, cost := range d.DynamoDB.Usage() {
		if use.Table == fakeaws.StatusTable {
			calls[fmt.Sprint(use.Operation)] += cost.Calls
		}
	}
	require.Equal(t, map[string]int{"UpdateItem": 1 + 4 + 1 + 2*4, "PutItem": 1, "GetItem": 4}, calls, "the plugins' own: two updates and one read each")
}

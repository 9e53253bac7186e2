package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/fakeaws"
)

const moePlugins = `
labourers:
  one: {target: {lambda: shared}}
  other: {target: {lambda: shared}}
  stock: {target: {sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/stock"}}
workflows: {intake: {activities: [a]}}
plugins:
  one: {activity: a, stage: pre, envelope: moe}
  other: {activity: a, stage: post, envelope: moe}
  stock: {activity: a, stage: parallel, envelope: moe}
`

func TestAFunctionOfTwoPluginsOfMoeIsDoubtful(t *testing.T) {
	said := pure(t, "validate", "-f", flowFile(t, moePlugins))

	said.ok()
	require.Contains(t, said.err, "plugins.other.labourer: function shared is also that of plugin one")
}

func TestTheDoctorFindsPluginsOfMoeThatTellTheirStatesElsewhere(t *testing.T) {
	g := newGround(t)
	shared := g.functions.add("shared", 3)
	shared.set = map[string]string{"orchestratorStatusTable": "orchestrator-dev-status"}
	reader := g.functions.add("stock-worker", 3)
	g.account.queues["https://sqs.us-west-2.amazonaws.com/000000000000/stock"] = map[string]string{"QueueArn": "arn:aws:sqs:us-west-2:000000000000:stock", "VisibilityTimeout": "3600"}
	reader.mapping = &lambdatypes.EventSourceMappingConfiguration{EventSourceArn: aws.String("arn:aws:sqs:us-west-2:000000000000:stock")}
	g.drover("apply", "-f", flowFile(t, moePlugins)).ok()

	require.Contains(t, g.drover("doctor").out, "the stack has no status table")

	g.stack.Outputs["MoeStatusTableName"] = "statuses"
	out := g.drover("doctor").out
	require.Contains(t, out, "function shared of plugin one writes its states to table orchestrator-dev-status")
	require.Contains(t, out, "of plugin stock writes its states to no table")
	shared.set["orchestratorStatusTable"] = "statuses"
	reader.set = shared.set
	require.NotContains(t, g.drover("doctor").out, "writes its states to")
}

// TestTheChecklistOfTheMoveFromMoeWorks runs the commands of docs/from-moe.md, one after the other, on what moe's users have stored.
func TestTheChecklistOfTheMoveFromMoeWorks(t *testing.T) {
	commands := checklist(t, "from-moe.md")
	copied := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, text, 0o600))
	}
	stored, err := filepath.Abs(moeData)
	require.NoError(t, err)
	g := newGround(t)
	g.stack.Outputs["MoeStatusTableName"] = fakeaws.StatusTable
	for function, plugin := range map[string]string{"address-dev": "address", "stock-dev": "stock", "report-dev": "no"} {
		g.functions.add(function, 3).set = map[string]string{"orchestratorStatusTable": fakeaws.StatusTable}
		g.Lambda.Handle(function, g.moePlugin(plugin))
	}
	t.Chdir(t.TempDir())
	copied(filepath.Join(stored, "workflow.json"), "workflow.json")
	require.NoError(t, os.WriteFile("order.json", []byte(`{"country": "AT"}`), 0o600))
	ran := 0
	for _, line := range commands {
		words, into := words(line)
		switch {
		case words[0] == "aws":
			require.Equal(t, []string{"aws", "dynamodb", "scan", "--table-name"}, words[:4])
			copied(filepath.Join(stored, "plugins.scan.json"), into)
			continue
		case words[1] == "deploy":
			y := newYard(t)
			y.drover(append(words[1:], "--yes")...).ok()
			require.Equal(t, "true", y.parameters()["MoeStatusTable"])
		case words[1] == "doctor":
			require.NotContains(t, g.drover("doctor").out, "writes its states to")
		default:
			said := g.drover(words[1:]...)
			require.Equal(t, done, said.code, "%s: %s", line, said.err)
			if into != "" {
				require.NoError(t, os.WriteFile(into, []byte(said.out), 0o600))
			}
		}
		ran++
	}
	require.Equal(t, 7, ran)
}

// moePlugin returns a function that does what moe's wrapper does at the end of a plugin: it writes Complete into the run's row.
func (g *ground) moePlugin(name string) fakeaws.Function {
	return func(event []byte, done func(*fakeaws.Failure)) {
		var invocation struct {
			Records []struct{ Sns struct{ Message string } }
		}
		require.NoError(g.t, json.Unmarshal(event, &invocation))
		var m struct{ UID, Workflow, Activity, Stage string }
		require.NoError(g.t, json.Unmarshal([]byte(invocation.Records[0].Sns.Message), &m))
		text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
		_, err := g.DynamoDB.UpdateItem(g.t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String(fakeaws.StatusTable),
			Key:                       fakeaws.Item{"uid": text(m.UID), "workflow": text(m.Workflow)},
			UpdateExpression:          aws.String("SET activities.#activity.#stage.mandatory.#plugin = :record"),
			ExpressionAttributeNames:  map[string]string{"#activity": m.Activity, "#stage": m.Stage, "#plugin": name},
			ExpressionAttributeValues: fakeaws.Item{":record": &types.AttributeValueMemberM{Value: fakeaws.Item{"state": text("Complete")}}}})
		require.NoError(g.t, err)
		done(nil)
	}
}

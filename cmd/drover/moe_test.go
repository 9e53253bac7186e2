package main

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"
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

package endtoend

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
)

// This test runs the example in examples/sosw: a worker, its configuration and its job, unchanged from sosw.
func TestAWorkerOfSoswRunsUnchanged(t *testing.T) {
	t.Parallel()
	s := shared(t)
	if s.target.OnAWS() {
		t.Skip("not judged here: sosw reads a table with the fixed name config, which may belong to the account")
	}
	worker, err := deploy(t.Context(), s.target, world.stackName("sosw"), "examples/sosw/template.yaml",
		"WorkerAssistantFunctionName="+s.out["WorkerAssistantFunctionName"], "CompletionsQueueArn="+s.out["CompletionsQueueArn"])
	require.NoError(t, err)
	s.configureSosw(t, worker["WordCounterName"], object{"sosw_worker_assistant_lambda": s.out["WorkerAssistantFunctionName"]})
	own := filepath.Join(t.TempDir(), "sosw_orchestrator_config.json")
	text := strings.ReplaceAll(example(t, "sosw_orchestrator_config.json"), "arn:aws:lambda:us-west-2:000000000000:function:word_counter", worker["WordCounter"])
	require.NoError(t, os.WriteFile(own, []byte(text), 0o600))
	s.cli(t, "apply", "--wire", "-f", own, "-f", filepath.Join(checkout, "examples", "sosw", "sosw_scheduler_config.json"))

	var job any
	require.NoError(t, json.Unmarshal([]byte(example(t, "job.json")), &job))
	id := s.put(t, "SubmitJob", job)

	require.Equal(t, ledger.Counts{Completed: 4, Dead: 2}, s.ended(t, id).Counts)
	words := map[string]int{}
	for _, r := range s.archived(t, "word_counter") {
		var payload struct{ Sections []string }
		require.NoError(t, json.Unmarshal(r.Payload, &payload))
		if r.Status == task.Dead {
			require.Equal(t, []string{"broken"}, payload.Sections)
			require.Len(t, r.Attempts, 2)
			require.Contains(t, r.Attempts[1].Error.Message, "text")
			continue
		}
		var result struct{ Words, Days int }
		require.NoError(t, json.Unmarshal(r.Result, &result))
		require.Equal(t, 1, result.Days)
		words[payload.Sections[0]] += result.Words
		var stats struct{ Texts int }
		require.NoError(t, json.Unmarshal(r.Stats, &stats))
		require.Equal(t, 1, stats.Texts)
	}
	require.Equal(t, map[string]int{"proverb": 2 * 5, "question": 2 * 6}, words)
}

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, "examples", "sosw", name))
	require.NoError(t, err)
	return string(text)
}

// configureSosw puts a function's configuration into the account's table config, where sosw reads it.
func (s *stack) configureSosw(t *testing.T, function string, configuration object) {
	t.Helper()
	key := func(name string, kind types.KeyType) (types.KeySchemaElement, types.AttributeDefinition) {
		return types.KeySchemaElement{AttributeName: &name, KeyType: kind}, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	hash, env := key("env", types.KeyTypeHash)
	sort, name := key("config_name", types.KeyTypeRange)
	_, err := s.db.CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: aws.String("config"), BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{hash, sort}, AttributeDefinitions: []types.AttributeDefinition{env, name}})
	require.NoError(t, err)
	text, err := json.Marshal(configuration)
	require.NoError(t, err)
	_, err = s.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("config"), Item: map[string]types.AttributeValue{
		"env": &types.AttributeValueMemberS{Value: "production"}, "config_name": &types.AttributeValueMemberS{Value: function + "_config"},
		"config_value": &types.AttributeValueMemberS{Value: string(text)}}})
	require.NoError(t, err)
}

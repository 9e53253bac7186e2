package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// fakeSosw is a sosw with tables, and with rules that invoke its functions.
type fakeSosw struct {
	*fakeaws.DynamoDB
	rules map[string]eventbridgetypes.RuleState // by the name of the function that the rule invokes
}

func (f *fakeSosw) DescribeTable(_ context.Context, in *dynamodb.DescribeTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	if aws.ToString(in.TableName) == "missing" {
		return nil, &types.ResourceNotFoundException{}
	}
	return &dynamodb.DescribeTableOutput{Table: &types.TableDescription{ItemCount: aws.Int64(4), TableSizeBytes: aws.Int64(2000)}}, nil
}

func (f *fakeSosw) ListRules(context.Context, *awseventbridge.ListRulesInput, ...func(*awseventbridge.Options)) (*awseventbridge.ListRulesOutput, error) {
	out := &awseventbridge.ListRulesOutput{}
	for function, state := range f.rules {
		out.Rules = append(out.Rules, eventbridgetypes.Rule{Name: aws.String("rule-" + function), State: state})
	}
	return out, nil
}

func (f *fakeSosw) ListTargetsByRule(_ context.Context, in *awseventbridge.ListTargetsByRuleInput, _ ...func(*awseventbridge.Options)) (*awseventbridge.ListTargetsByRuleOutput, error) {
	arn := "arn:aws:lambda:us-east-1:000000000000:function:" + aws.ToString(in.Rule)[len("rule-"):]
	return &awseventbridge.ListTargetsByRuleOutput{Targets: []eventbridgetypes.Target{{Arn: &arn}}}, nil
}

// withSosw gives the ground a sosw with four rows of the labourer f: two are queued, one waits for its retry, one runs.
func (g *ground) withSosw() {
	g.t.Helper()
	table := func(name string, keys ...string) *dynamodb.CreateTableInput {
		in := &dynamodb.CreateTableInput{TableName: &name}
		for i, k := range keys {
			in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &k, KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &k, AttributeType: types.ScalarAttributeTypeS})
		}
		return in
	}
	g.sosw = &fakeSosw{fakeaws.NewDynamoDB(g.World.Now, table("sosw_tasks", "task_id"), table("sosw_retry_tasks", "labourer_id", "task_id"), table("sosw_closed_tasks", "task_id"), table("config", "env", "config_name")),
		map[string]eventbridgetypes.RuleState{}}
	g.row("sosw_tasks", "second", "greenfield", 3000)
	g.row("sosw_tasks", "first", "greenfield", 2000)
	g.row("sosw_tasks", "runs", "greenfield", int(drovertest.Start.Add(sosw.InvocationDelta).Unix()))
	g.row("sosw_retry_tasks", "again", "desired_launch_time", int(drovertest.Start.Add(time.Hour).Unix()))
}

func (g *ground) row(table, id, place string, at int) {
	g.t.Helper()
	number := func(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: strconv.Itoa(n)} }
	require.NoError(g.t, g.sosw.Put(table, fakeaws.Item{"task_id": &types.AttributeValueMemberS{Value: id}, "labourer_id": &types.AttributeValueMemberS{Value: "f"},
		"created_at": number(1700000000), "payload": &types.AttributeValueMemberS{Value: `{"n": 1}`}, place: number(at)}))
}

func (g *ground) setCap(limit int) {
	g.t.Helper()
	text := fmt.Sprintf(`{"task_config": {"labourers": {"f": {"max_simultaneous_invocations": %d}}}}`, limit)
	require.NoError(g.t, g.sosw.Put("config", fakeaws.Item{"env": &types.AttributeValueMemberS{Value: "production"},
		"config_name": &types.AttributeValueMemberS{Value: "sosw_orchestrator_config"}, "config_value": &types.AttributeValueMemberS{Value: text}}))
}

func soswConfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "task_config.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"task_config": {"labourers": {"f": {"arn": "arn:aws:lambda:us-east-1:000000000000:function:f", "max_simultaneous_invocations": 5}}}}`), 0o600))
	return path
}

func TestADryRunWritesNothing(t *testing.T) {
	g := newGround(t)
	g.withSosw()
	g.sosw.rules["sosw_orchestrator"] = eventbridgetypes.RuleStateEnabled
	items := func() []any {
		return []any{g.sosw.Items("sosw_tasks"), g.sosw.Items("sosw_retry_tasks"), g.DynamoDB.Items(fakeaws.ControlTable)}
	}
	before := items()

	said := g.drover("--json", "migrate", "sosw", "--config", soswConfig(t), "--dry-run")

	require.Equal(t, done, said.code, said.err)
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(said.out), &report))
	for name, want := range map[string]float64{"labourers": 1, "queued": 2, "retry": 1, "running": 1, "moved": 0, "quarantined": 0, "left": 3, "source": 4} {
		require.Equal(t, want, report[name], name)
	}
	require.Contains(t, said.err, "f: sosw is NOT off: rule rule-sosw_orchestrator still invokes sosw_orchestrator")
	require.Contains(t, said.err, "about 8 rows, 0.0 MB: a move takes up to")
	require.Equal(t, before, items())
	require.Empty(t, g.DynamoDB.Items(fakeaws.JobsTable))
}

func TestAMoveNeedsAFence(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*ground)
		with    []string
		code    int
		says    string
	}{
		"an enabled rule":               {func(g *ground) { g.sosw.rules["sosw_orchestrator"] = "ENABLED" }, nil, failed, "aws events disable-rule --name rule-sosw_orchestrator"},
		"a disabled rule":               {func(g *ground) { g.sosw.rules["sosw_orchestrator"] = "DISABLED" }, nil, done, "rule rule-sosw_orchestrator, which invokes sosw_orchestrator, is disabled"},
		"no rule":                       {func(*ground) {}, nil, done, "no rule of the default bus invokes sosw_orchestrator"},
		"another function's rule":       {func(g *ground) { g.sosw.rules["other"] = "ENABLED" }, nil, done, "no rule"},
		"a cap of 0":                    {func(g *ground) { g.sosw.rules["sosw_orchestrator"] = "ENABLED"; g.setCap(0) }, nil, done, "max_simultaneous_invocations of f is 0"},
		"a cap above 0":                 {func(g *ground) { g.sosw.rules["sosw_orchestrator"] = "ENABLED"; g.setCap(5) }, nil, failed, "max_simultaneous_invocations of f is 5"},
		"a cap within the share":        {func(g *ground) { g.sosw.rules["sosw_orchestrator"] = "ENABLED"; g.setCap(2) }, []string{"--share", "2"}, done, "is 2 in sosw's configuration"},
		"a cap above the share":         {func(g *ground) { g.sosw.rules["sosw_orchestrator"] = "ENABLED"; g.setCap(3) }, []string{"--share", "2"}, failed, "set it to 2"},
		"an enabled rule, and a pledge": {func(g *ground) { g.sosw.rules["sosw_orchestrator"] = "ENABLED" }, []string{"--fenced"}, done, "you said that it is off"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			g.withSosw()
			c.prepare(g)

			said := g.drover(append([]string{"migrate", "sosw", "--config", soswConfig(t)}, c.with...)...)

			require.Equal(t, c.code, said.code, said.err)
			require.Contains(t, said.err, c.says)
			if c.code == failed {
				require.Empty(t, g.DynamoDB.Items(fakeaws.JobsTable))
			}
		})
	}
}

func TestALabourerIsMovedAndGivenBack(t *testing.T) {
	g := newGround(t)
	g.withSosw()
	config := soswConfig(t)

	said := g.drover("migrate", "sosw", "--config", config, "--share", "2")

	require.Equal(t, done, said.code, said.err)
	require.Contains(t, said.out, "Moved 3 tasks of 1 labourer.")
	require.NotContains(t, said.err, "runs in sosw", "what runs in sosw is within its share")
	l := g.drover("--json", "labourer", "f")
	require.Contains(t, l.out, `"cap":3`, "sosw keeps 2 of 5")
	tasks := g.drover("--json", "job", "sosw-f")
	require.Contains(t, tasks.out, `"total":3`)

	said = g.drover("--json", "migrate", "sosw", "--config", config, "--undo")

	require.Equal(t, done, said.code, said.err)
	require.JSONEq(t, `{"labourers": 1, "returned": 3}`, said.out)
	require.Len(t, g.sosw.Items("sosw_tasks"), 3)
	for _, it := range g.sosw.Items("sosw_tasks") {
		require.Contains(t, it, "greenfield")
		require.NotContains(t, it, sosw.MovedTo)
	}
}

func TestAMoveWarnsOfTasksThatRunInSoswBeyondItsShare(t *testing.T) {
	for share, warned := range map[string]string{"0": "f: 1 task runs in sosw, and its share is 0", "1": ""} {
		g := newGround(t)
		g.withSosw()
		said := g.drover("migrate", "sosw", "--config", soswConfig(t), "--share", share)
		require.Equal(t, done, said.code, said.err)
		require.Contains(t, said.err, warned)
		require.Equal(t, warned != "", strings.Contains(said.err, "Until they end, both together may run more than the cap"))
	}
}

func TestAMoveWaitsUntilNothingRunsInSosw(t *testing.T) {
	g := newGround(t)
	g.withSosw()
	began := g.World.Now()

	said := g.drover("--json", "migrate", "sosw", "--config", soswConfig(t), "--wait")

	require.Equal(t, done, said.code, said.err)
	require.Contains(t, said.out, `"queued":2,"retry":2,"running":0,"moved":4,"quarantined":0,"left":0,"source":4`)
	require.GreaterOrEqual(t, g.World.Now().Sub(began), 20*time.Minute, "the worker was silent for its lease")
}

func TestWhatAMoveCannotDoIsRefused(t *testing.T) {
	g := newGround(t)
	g.withSosw()
	config := soswConfig(t)
	for says, with := range map[string][]string{
		"--config FILE is missing":                             {},
		"--labourer g: the configuration has no such labourer": {"--config", config, "--labourer", "g"},
		"--share 5: max_simultaneous_invocations of f is 5":    {"--config", config, "--share", "5"},
		"--share 1.5: want a whole number":                     {"--config", config, "--share", "1.5"},
		"--undo goes with none of":                             {"--config", config, "--undo", "--wait"},
	} {
		said := g.drover(append([]string{"migrate", "sosw"}, with...)...)
		require.Equal(t, misuse, said.code, said.err)
		require.Contains(t, said.err, says)
	}
	said := g.drover("migrate", "sosw", "--config", config, "--tasks", "missing")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.err, "there is no table missing")
}

func TestClosedTasksAreCopiedToTheArchiveOnce(t *testing.T) {
	g := newGround(t)
	g.withSosw()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	for id, more := range map[string]fakeaws.Item{
		"done": {"labourer_id_task_status": text("f_1"), "closed_at": number("1700000100"), "attempts": number("2"), "stat_rows": number("7"), "result_words": number("3")},
		"dead": {"labourer_id_task_status": text("f_0"), "closed_at": number("1700090000"), "attempts": number("3")},
		"odd":  {"labourer_id_task_status": text("f_2"), "closed_at": number("1700090000")},
		"g":    {"labourer_id": text("g"), "labourer_id_task_status": text("g_1"), "closed_at": number("1700090000")},
	} {
		it := fakeaws.Item{"task_id": text(id), "labourer_id": text("f"), "created_at": number("1700000000.5"), "payload": text(`{"n": 1}`)}
		maps.Copy(it, more)
		require.NoError(t, g.sosw.Put("sosw_closed_tasks", it))
	}
	var keys []string
	for range 2 {
		said := g.drover("--json", "migrate", "sosw", "--config", soswConfig(t), "--history")

		require.Equal(t, done, said.code, said.err)
		require.Contains(t, said.out, `"history":{"archived":2,"unreadable":[{"task_id":"odd"`)
		records, err := g.Archived()
		require.NoError(t, err)
		require.Len(t, records, 2)
		keys = keys[:0]
		for _, r := range records {
			keys = append(keys, fmt.Sprint(r.SoswTaskID, ": ", r.Status, " ", r.Attempt, " ", r.ClosedAt.Format(time.RFC3339), " ", string(r.Stats), string(r.Result), string(r.Payload)))
		}
		slices.Sort(keys)
		require.Equal(t, []string{`dead: dead 3 2023-11-15T23:13:20Z {"n":1}`, `done: completed 2 2023-11-14T22:15:00Z {"rows":7}{"words":3}{"n":1}`}, keys)
	}
}

// TestTheChecklistOfTheMoveWorks runs the commands of docs/from-sosw.md, one after the other.
func TestTheChecklistOfTheMoveWorks(t *testing.T) {
	commands := checklist(t, "from-sosw.md")
	g := newGround(t)
	g.withSosw()
	g.sosw.rules["sosw_orchestrator"] = eventbridgetypes.RuleStateEnabled
	g.functions.add("arn:aws:lambda:us-east-1:000000000000:function:f", 60)
	t.Chdir(filepath.Dir(soswConfig(t)))
	ran := 0
	for _, line := range commands {
		words, _ := words(strings.ReplaceAll(line, "some_function", "f"))
		switch words[0] {
		case "aws":
			require.Equal(t, []string{"aws", "events", "disable-rule"}, words[:3])
			g.sosw.rules["sosw_orchestrator"] = eventbridgetypes.RuleStateDisabled
		case "sleep":
			g.RunFor(time.Minute)
		default:
			require.Equal(t, "drover", words[0], line)
			said := g.drover(words[1:]...)
			require.Equal(t, done, said.code, "%s: %s", line, said.err)
			ran++
		}
	}
	require.Equal(t, 5, ran)
}

// checklist returns the commands of a document's checklist, without their comments.
func checklist(t *testing.T, document string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", document))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "```sh\n")
	require.True(t, found)
	block, _, _ := strings.Cut(rest, "```")
	var commands []string
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, "#")
		commands = append(commands, strings.TrimSpace(command))
	}
	return commands
}

// words returns the words of a command as a shell reads them, and the file to which its output goes.
func words(command string) (words []string, into string) {
	command, into, _ = strings.Cut(command, " > ")
	for i, part := range strings.Split(command, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words, into
}

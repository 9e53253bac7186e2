package infra_test

import (
	"go/types"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What Lambda itself does with a function's role: it receives messages, reads the stream, reports failed records and writes logs.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
var (
	takingMessages = []string{"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
	takingRecords  = []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}
	logging        = []string{"logs:CreateLogStream", "logs:PutLogEvents"}
)

// onBehalf returns the rights that a function's role needs for Lambda, in addition to the calls of its code.
func (s stack) onBehalf(function string) []string {
	var needed []string
	properties := at[object](s.resources[function], "Properties")
	for _, event := range objects(properties["Events"]) {
		of := at[object](event, "Properties")
		switch event["Type"] {
		case "SQS":
			needed = append(needed, each(takingMessages, named(of["Queue"])...)...)
		case "DynamoDB":
			needed = append(needed, each(takingRecords, named(of["Stream"])...)...)
			needed = append(needed, "dynamodb:ListStreams on *")
			needed = append(needed, each([]string{"sqs:SendMessage"}, named(at[any](of, "DestinationConfig", "OnFailure", "Destination"))...)...)
		}
	}
	for _, mapping := range s.of("AWS::Lambda::EventSourceMapping") {
		if slices.Contains(mentioned(mapping["FunctionName"]), function) {
			needed = append(needed, each(takingRecords, named(mapping["EventSourceArn"])...)...)
			needed = append(needed, "dynamodb:ListStreams on *")
			needed = append(needed, each([]string{"sqs:SendMessage"}, named(at[any](mapping, "DestinationConfig", "OnFailure", "Destination"))...)...)
		}
	}
	return append(needed, each(logging, named(at[any](properties, "LoggingConfig", "LogGroup"))...)...)
}

// consequences returns the rights that calls need in addition: a publisher to an encrypted topic must be able to use its key.
func (s stack) consequences(calls []string) []string {
	var needed []string
	for id, properties := range s.of("AWS::SNS::Topic") {
		if slices.Contains(calls, "sns:Publish on "+id) {
			needed = append(needed, each([]string{"kms:Decrypt", "kms:GenerateDataKey"}, named(properties["KmsMasterKeyId"])...)...)
		}
	}
	return needed
}

// named returns the names that the tests use for a statement's resource: its logical id with attribute or path (TasksTable, TasksTable.StreamArn,
// JobsTable/index/by_month, ArchiveBucket/*), the parameter that selects it, or "*".
func named(resource any) []string {
	var names []string
	for _, one := range list(resource) {
		whole, is := one.(object)
		switch {
		case !is:
			names = append(names, one.(string))
		case whole["Ref"] != nil:
			names = append(names, at[string](whole, "Ref"))
		case whole["Fn::GetAtt"] != nil:
			parts := at[[]any](whole, "Fn::GetAtt")
			names = append(names, strings.TrimSuffix(parts[0].(string)+"."+parts[1].(string), ".Arn"))
		case whole["Fn::Sub"] != nil:
			id, below, _ := strings.Cut(strings.TrimPrefix(at[string](whole, "Fn::Sub"), "${"), "}")
			names = append(names, strings.TrimSuffix(id, ".Arn")+below)
		case whole["Fn::Split"] != nil:
			names = append(names, mentioned(whole)...)
		case whole["Fn::If"] != nil:
			choice := at[[]any](whole, "Fn::If")
			names = append(append(names, mentioned(choice[2])...), optional(choice[1])...)
		}
	}
	return names
}

// optional returns what a choice names if its condition holds, of the resources that exist only then.
func optional(choice any) []string {
	return slices.DeleteFunc(mentioned(choice), func(name string) bool { return name != "StatusTable" })
}

func each(actions []string, resources ...string) []string {
	var all []string
	for _, action := range actions {
		for _, resource := range resources {
			all = append(all, action+" on "+resource)
		}
	}
	return all
}

// theirKeys holds the rights that a sender needs for worker queues under a customer's key.
var theirKeys = each([]string{"kms:Decrypt", "kms:GenerateDataKey"}, "WorkerKeyArns")

// targets names the parameter with the workers that the orchestrator may start, by the kind of target.
var targets = map[string]string{"Target.Lambda": "WorkerFunctionArns", "Target.SQS": "WorkerQueueArns", "Target.States": "WorkerStateMachineArns"}

// ownExecutions names the executions of workers' state machines, as named returns them: Drover chooses their names.
const ownExecutions = "arn:${AWS::Partition:states:${AWS::Region}:${AWS::AccountId}:execution:*:drover-*"

// runsExecutions names the executions of the workflow machine, whatever their names: users start them too.
const runsExecutions = "arn:${AWS::Partition:states:${AWS::Region}:${AWS::AccountId}:execution:${WorkflowStateMachine.Name}:*"

// A function's role allows exactly the calls that its code makes, on the tables, queues and machines that they concern.
func TestEachFunctionMayDoWhatItsCodeDoes(t *testing.T) {
	s := read(t)
	all := at[object](s.whole, "Globals", "Function", "Environment", "Variables")
	for function, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			p := load(t, "functions/"+folder)
			settings := p.variables()
			variables := maps.Clone(all)
			maps.Copy(variables, at[object](s.resources[function], "Properties", "Environment", "Variables"))
			var needed []string
			for _, call := range p.calls(t) {
				action, origin, _ := strings.Cut(call, " on ")
				origin, below, _ := strings.Cut(origin, "/")
				resource := origin
				switch {
				case action == "states:DescribeExecution" && folder == "workflow":
					resource = runsExecutions
				case action == "states:DescribeExecution":
					resource = ownExecutions
				case action == "states:SendTaskSuccess":
					resource = "WorkflowStateMachine" // a token belongs to an execution of its machine
				case targets[origin] != "":
					resource = targets[origin]
				case origin != "*":
					require.Contains(t, settings, origin, call)
					resource = named(variables[settings[origin]])[0]
				}
				if below != "" {
					resource += "/" + below
				}
				switch {
				case !strings.HasPrefix(action, "s3:"):
				case folder == "archiver":
					resource += "/*"
				default: // results that are handed on
					resource += "/runs/*"
				}
				needed = append(needed, action+" on "+resource)
				if action == "sqs:SendMessage" && resource == "WorkerQueueArns" {
					needed = append(needed, "sqs:SendMessageBatch on "+resource) // means nothing on AWS; a local AWS requires it
					needed = append(needed, theirKeys...)
				}
			}
			needed = append(append(needed, s.consequences(needed)...), s.onBehalf(function)...)
			slices.Sort(needed)

			role := mentioned(at[object](s.resources[function], "Properties", "Role"))[0]
			var allowed []string
			for _, right := range s.rights()[role] {
				allowed = append(allowed, each(right.actions, named(right.resources)...)...)
			}
			slices.Sort(allowed)
			require.Equal(t, strings.Join(slices.Compact(needed), "\n"), strings.Join(allowed, "\n"))
		})
	}
}

// The adapters' interfaces list the calls of each service that Drover makes. A function or the command line makes each of them, so the interfaces
// show what Drover does in an account.
func TestTheAdaptersInterfacesListOnlyCallsThatAreMade(t *testing.T) {
	called, declared := map[string]bool{}, map[string]bool{}
	programs := []string{"cmd/drover"}
	for _, folder := range folders {
		programs = append(programs, "functions/"+folder)
	}
	for _, folder := range programs {
		p := load(t, folder)
		for path, pkg := range p.packages {
			api := pkg.Scope().Lookup("API")
			if api == nil || !types.IsInterface(api.Type()) {
				continue
			}
			of := api.Type().Underlying().(*types.Interface)
			for call := range of.Methods() {
				name := strings.TrimPrefix(path, module+"shared/") + "." + call.Name()
				declared[name] = true
				called[name] = called[name] || p.asked[call] || p.builds(call)
			}
		}
	}
	require.NotEmpty(t, declared)
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		require.True(t, called[name], "%s is in the interface, but nothing calls it", name)
	}
}

// A machine's role allows exactly the calls of its definition, and what Step Functions needs to write its log.
func TestEachMachineMayDoWhatItsDefinitionDoes(t *testing.T) {
	s := read(t)
	delivering := slices.DeleteFunc(slices.Clone(withoutResource), func(action string) bool { return !strings.HasPrefix(action, "logs:") })
	for role, wanted := range map[string][]string{
		"OrchestrateRole": {"events:PutEvents on EventBus", "lambda:InvokeFunction on OrchestratorFunction"},
		"BackoffRole":     {"events:PutEvents on EventBus"},
		"RulesRole":       {"states:StartExecution on OrchestrateStateMachine"},
	} {
		var allowed []string
		for _, right := range s.rights()[role] {
			allowed = append(allowed, each(right.actions, named(right.resources)...)...)
		}
		if role != "RulesRole" {
			wanted = append(wanted, each(delivering, "*")...)
		}
		require.ElementsMatch(t, wanted, allowed, role)
	}
}

// Each check that checkov skips has a reason in its comment.
func TestEverySkippedCheckHasItsReason(t *testing.T) {
	text, err := os.ReadFile("checkov.yaml")
	require.NoError(t, err)
	leftOut := 0
	for line := range strings.Lines(string(text)) {
		check, is := strings.CutPrefix(strings.TrimSpace(line), "- CKV")
		if !is {
			continue
		}
		leftOut++
		_, reason, _ := strings.Cut(check, " # ")
		require.Greater(t, len(strings.Fields(reason)), 3, "CKV%s has no reason beside it", check)
	}
	require.Positive(t, leftOut)
}

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

// What Lambda does in a function's name, and not its code: taking messages and stream records in, giving up on records, logging.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
var (
	takingMessages = []string{"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
	takingRecords  = []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}
	logging        = []string{"logs:CreateLogStream", "logs:PutLogEvents"}
)

// onBehalf lists what a function's role needs beyond the calls of its code.
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
	return append(needed, each(logging, named(at[any](properties, "LoggingConfig", "LogGroup"))...)...)
}

// consequences lists what AWS asks for together with an action: the publisher to an encrypted topic must use its key.
func (s stack) consequences(calls []string) []string {
	var needed []string
	for id, properties := range s.of("AWS::SNS::Topic") {
		if slices.Contains(calls, "sns:Publish on "+id) {
			needed = append(needed, each([]string{"kms:Decrypt", "kms:GenerateDataKey"}, named(properties["KmsMasterKeyId"])...)...)
		}
	}
	return needed
}

// named returns the tests' name of a statement's resource: its logical id, "TasksTable" and "TasksTable.StreamArn", with what is
// below it, "JobsTable/index/by_month", "ArchiveBucket/*"; by the parameter where that chooses; "*".
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
			names = append(names, mentioned(at[[]any](whole, "Fn::If")[2])...)
		}
	}
	return names
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

// theirKeys holds what a sender to a worker queue under a customer's key needs.
var theirKeys = each([]string{"kms:Decrypt", "kms:GenerateDataKey"}, "WorkerKeyArns")

// targets is where the owner of a stack says which workers may be started, by the kind of target.
var targets = map[string]string{"Target.Lambda": "WorkerFunctionArns", "Target.SQS": "WorkerQueueArns", "Target.States": "WorkerStateMachineArns"}

// ownExecutions names the executions of workers' state machines, as named returns them: Drover chooses their names.
const ownExecutions = "arn:${AWS::Partition:states:${AWS::Region}:${AWS::AccountId}:execution:*:drover-*"

// What a function's role allows is what its code asks of AWS, derived from the code, on the tables, queues and machines that it asks it
// of; no more, and no less.
func TestEachFunctionMayDoWhatItsCodeDoes(t *testing.T) {
	s := read(t)
	variables := at[object](s.whole, "Globals", "Function", "Environment", "Variables")
	for function, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			p := load(t, "functions/"+folder)
			settings := p.variables()
			var needed []string
			for _, call := range p.calls(t) {
				action, origin, _ := strings.Cut(call, " on ")
				origin, below, _ := strings.Cut(origin, "/")
				resource := origin
				switch {
				case action == "states:DescribeExecution":
					resource = ownExecutions
				case targets[origin] != "":
					resource = targets[origin]
				case origin != "*":
					require.Contains(t, settings, origin, call)
					resource = named(variables[settings[origin]])[0]
				}
				if below != "" {
					resource += "/" + below
				}
				if strings.HasPrefix(action, "s3:") && strings.HasSuffix(action, "Object") {
					resource += "/*"
				}
				needed = append(needed, action+" on "+resource)
				if action == "sqs:SendMessage" && resource == "WorkerQueueArns" {
					needed = append(needed, "sqs:SendMessageBatch on "+resource) // means nothing on AWS; a local AWS asks for it
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

// The adapters' interfaces name the calls of a service that Drover makes: what stands there is called by a function or by the command
// line, so that reading them is reading what Drover does in an account.
func TestTheAdaptersInterfacesNameNothingThatNobodyCalls(t *testing.T) {
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
		require.True(t, called[name], "%s is in the interface and called by nobody", name)
	}
}

// What the machines' roles allow is what their definitions ask for, and what Step Functions does in their name: writing their log.
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

// What checkov is told to leave out is a decision: each has its reason beside it.
func TestEveryFindingThatIsLeftOutHasItsReason(t *testing.T) {
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

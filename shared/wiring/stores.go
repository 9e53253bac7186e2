package wiring

import (
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/aws/lambda"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/service/cancellation"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/leasing"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/progress"
	"github.com/drover-run/drover/shared/service/target"
	"github.com/drover-run/drover/shared/service/workflow"
)

// The adapters and services that several functions share, wired alike in all of them.

func tasks(e Environment, c Clients) meteredTasks {
	return meteredTasks{dynamo.Tasks{API: c.DynamoDB, Table: e.Tasks, Retention: e.Retention}, c.tally}
}

func control(e Environment, c Clients) meteredControl {
	return meteredControl{dynamo.Control{API: c.DynamoDB, Table: e.Control}, c.tally, c.Now}
}

func deaths(e Environment, c Clients) meteredDeaths {
	return meteredDeaths{dynamo.Deaths{Tasks: tasks(e, c).Tasks, Control: control(e, c).Control}, c.tally}
}

// granter returns what grants directly: nothing where the orchestrator function is not known.
func granter(e Environment, c Clients) direct.Granter {
	if e.Orchestrator == "" {
		return direct.Granter{}
	}
	return direct.Granter{Control: control(e, c), Registry: registry(e, c), Starter: lambda.Orchestrator{API: c.Lambda, Function: e.Orchestrator}, Now: c.Now}
}

func jobs(e Environment, c Clients) dynamo.Jobs {
	return dynamo.Jobs{API: c.DynamoDB, Table: e.Jobs, Control: e.Control, Retention: e.Retention}
}

func runs(e Environment, c Clients) dynamo.Runs {
	return dynamo.Runs{API: c.DynamoDB, Table: e.Runs, Control: e.Control, Retention: e.Retention}
}

func statuses(e Environment, c Clients) dynamo.Statuses {
	return dynamo.Statuses{API: c.DynamoDB, Table: e.Statuses, Retention: e.Retention}
}

func registry(e Environment, c Clients) dynamo.Registry {
	return dynamo.Registry{API: c.DynamoDB, Table: e.Control}
}

func bus(e Environment, c Clients) eventbridge.Bus {
	return eventbridge.Bus{API: c.EventBridge, Name: e.Bus}
}

func finisher(e Environment, c Clients) outcome.Finisher {
	return outcome.Finisher{Jobs: jobs(e, c), Bus: bus(e, c), Now: c.Now}
}

func canceller(e Environment, c Clients) cancellation.Service {
	return cancellation.Service{Jobs: jobs(e, c), Control: control(e, c), Leases: leases(e, c), Tasks: tasks(e, c), Progress: entering(e, c),
		Finisher: finisher(e, c), Bus: bus(e, c), Now: c.Now}
}

func settler(e Environment, c Clients) outcome.Settler {
	return outcome.Settler{Tasks: tasks(e, c), Control: control(e, c), Leases: leases(e, c), Registry: registry(e, c), Waiter: timer(e, c),
		Sweeper: canceller(e, c), Now: c.Now, Random: c.Random}
}

func entering(e Environment, c Clients) progress.Service {
	return progress.Service{Jobs: jobs(e, c), Finisher: finisher(e, c), Now: c.Now}
}

func leases(e Environment, c Clients) leasing.Writer {
	return leasing.Writer{Control: control(e, c), Deaths: deaths(e, c), Progress: entering(e, c)}
}

func launcher(e Environment, c Clients) target.Launcher {
	briefing := &workflow.Briefing{Compositions: dynamo.NewCompositions(c.DynamoDB, e.Runs), Reader: runs(e, c),
		Statuses: statuses(e, c), Objects: s3.Results{API: c.S3, Bucket: e.Archive}}
	return target.Launcher{Tasks: tasks(e, c), Briefer: briefing, Now: c.Now, CompletionsURL: e.Completions, Starter: target.Targets{
		Lambda: lambda.Starter{API: c.Lambda}, SQS: sqs.Starter{API: c.SQS}, States: stepfunctions.Starter{API: c.StepFunctions}}}
}

package wiring

import (
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/service/cancellation"
	"github.com/drover-run/drover/shared/service/outcome"
)

// The adapters and services that several functions share, wired alike in all of them.

func tasks(e Environment, c Clients) dynamo.Tasks {
	return dynamo.Tasks{API: c.DynamoDB, Table: e.Tasks, Retention: e.Retention}
}

func control(e Environment, c Clients) dynamo.Control {
	return dynamo.Control{API: c.DynamoDB, Table: e.Control}
}

func jobs(e Environment, c Clients) dynamo.Jobs {
	return dynamo.Jobs{API: c.DynamoDB, Table: e.Jobs, Control: e.Control, Retention: e.Retention}
}

func registry(e Environment, c Clients) dynamo.Registry {
	return dynamo.Registry{API: c.DynamoDB, Table: e.Control}
}

func bus(e Environment, c Clients) eventbridge.Bus {
	return eventbridge.Bus{API: c.EventBridge, Name: e.Bus}
}

func timer(e Environment, c Clients) stepfunctions.Backoff {
	return stepfunctions.Backoff{API: c.StepFunctions, Machine: e.Backoff}
}

func finisher(e Environment, c Clients) outcome.Finisher {
	return outcome.Finisher{Jobs: jobs(e, c), Bus: bus(e, c), Now: c.Now}
}

func canceller(e Environment, c Clients) cancellation.Service {
	return cancellation.Service{Jobs: jobs(e, c), Control: control(e, c), Tasks: tasks(e, c), Finisher: finisher(e, c), Bus: bus(e, c), Now: c.Now}
}

func settler(e Environment, c Clients) outcome.Settler {
	return outcome.Settler{Tasks: tasks(e, c), Deaths: dynamo.Deaths{Tasks: tasks(e, c), Control: control(e, c)}, Control: control(e, c),
		Registry: registry(e, c), Waiter: timer(e, c), Sweeper: canceller(e, c),
		Now: c.Now, Random: c.Random}
}

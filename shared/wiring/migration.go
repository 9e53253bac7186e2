package wiring

import (
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/service/migration"
)

// NewMigration wires the move from a sosw, which the CLI makes. It uses DynamoDB, EventBridge and Now.
func NewMigration(e Environment, c Clients, source migration.Source) migration.Service {
	return migration.Service{Source: source, Tasks: tasks(e, c), Jobs: jobs(e, c), Bus: bus(e, c), Now: c.Now,
		Publisher: dynamo.Extensions{Tasks: tasks(e, c).Tasks, Jobs: jobs(e, c), Control: control(e, c).Control},
		Control:   control(e, c), Leases: leases(e, c), Asides: canceller(e, c)}
}

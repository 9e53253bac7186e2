package statemachines

import _ "embed"

// The definitions as they are deployed, with the names in ${…} still to be replaced.
var (
	//go:embed orchestrate.asl.json
	Orchestrate []byte
	//go:embed backoff.asl.json
	Backoff []byte
)

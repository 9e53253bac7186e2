package statemachines

import _ "embed"

// The definitions, with placeholders ${…} that the template replaces.
var (
	//go:embed orchestrate.asl.json
	Orchestrate []byte
	//go:embed backoff.asl.json
	Backoff []byte
	//go:embed workflow.asl.json
	Workflow []byte
)

// Package infra holds the stack's template, the script that deploys it, and the tests that read the template as a reviewer would.
//
// Linters know what CloudFormation takes. The tests here know what Drover promises of its stack: the outputs, names that leave room
// for a second stack, no right that no function needs, nothing that is lost without a trace. They read the template as it is written,
// before SAM expands it.
package infra

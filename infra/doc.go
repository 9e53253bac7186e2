// Package infra holds the stack's template, the program that builds a release, and tests that review the template.
//
// Linters check what CloudFormation accepts. The tests here check what Drover promises about its stack: it has the outputs, its names leave room
// for a second stack, no role has a right that it does not need, and nothing is lost without a trace. They read the template before SAM expands
// it.
package infra

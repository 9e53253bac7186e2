// Package referee compares the DynamoDB of package fakeaws with an independent implementation: dynoxide, a server on a port of this machine.
// `make referees` installs it and runs the tests that use this package.
package referee

// Package referee holds the DynamoDB of package memory against an implementation that was written by others: dynoxide, a server on a port of
// this machine. `make referees` installs it and runs the tests that use this package.
package referee

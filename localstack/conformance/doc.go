// Package conformance runs the suite of shared/testing/conformance on its own local AWS and, under the build tag account, on the target of the AWS
// settings. It is not below shared/, so that the tests there need only Go.
package conformance

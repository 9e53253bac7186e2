// Package conformance runs the suite of shared/testing/conformance on a local AWS of its own and, under the build tag account, where the AWS settings
// point. It is here so that the tests below shared/ need nothing but Go.
package conformance

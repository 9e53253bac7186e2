// Package conformance is what Drover asks of a store, as tests: one suite for each of its ports, and one for the calls of DynamoDB that they
// are made of. A backend runs all of it in a few lines, see [Run]; memory, a local AWS and AWS do.
//
// Every test keeps to names of its own, so that a backend may be shared and need not be empty.
package conformance

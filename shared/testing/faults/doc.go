// Package faults makes requests to AWS go wrong on purpose: by seed, as often as a plan says, and in the same ways as in production.
//
//	before     the request fails and never reached its service
//	after      the request succeeds, but is reported as failed
//	throttle   the service throttles the request, with its own error
//	conflict   a DynamoDB write conflicts with another transaction
//	slow       the request or its answer is delayed
//	partial    a part of a batch fails, and the answer says so
//
// The SDK retries most faults of the first four kinds, and the caller does not notice them. A share of them (through) it does not retry, and the caller
// must handle those. Deployed functions do not contain this package: only functions that are built with the tag faults do.
package faults

// Package faults makes requests to AWS go wrong on purpose: by seed, as often as a plan says, in the ways in which they go wrong in production.
//
//	before     the request fails and never reached its service
//	after      the service carried it out, and it is reported as failed
//	throttle   the service throttles it, in the service's own words
//	conflict   a DynamoDB write met another transaction on its items
//	slow       it is delayed, before or after
//	partial    a part of a batch is left undone, and the answer says so
//
// The SDK retries most of the first four, and the caller does not notice. It does not retry a share of them (through), and the caller must
// handle those. No deployed function contains this package: only functions that are built with the tag faults do.
package faults

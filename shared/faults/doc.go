// Package faults makes calls of AWS go wrong on purpose: by seed, so often as a plan says, in the ways in which they go wrong in life.
//
//	before     the call fails and never reached its service
//	after      it reached it, did what it does, and is reported as failed
//	throttle   the service says, in its own words, that it is too much
//	conflict   a write of DynamoDB met somebody else's transaction
//	slow       it takes its time, before or after
//	partial    a part of a batch is left undone, as the answer says
//
// Most of the first four the SDK tries again and nobody notices; a share of them (through) it does not, and the caller has to live with
// it. Nothing that is deployed contains this package: functions have it only when they are built with the tag faults.
package faults

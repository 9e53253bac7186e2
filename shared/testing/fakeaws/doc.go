// Package fakeaws holds the AWS services that Drover uses, in memory: what they promise, what they refuse and what they leave open.
//
// Each service implements the narrow interface that its adapter calls, so the real adapters run on it with their real expressions: no rule
// of Drover is implemented a second time here. Nothing happens by itself: there are no goroutines and no timers, time and randomness are
// passed in, and what AWS would deliver at some time is delivered when the caller asks for it.
package fakeaws

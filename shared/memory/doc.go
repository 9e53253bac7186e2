// Package memory is the services of AWS that Drover stands on, in memory: what they promise, what they refuse and what they leave open.
//
// Each service implements the narrow interface of calls that its adapter makes, so the real adapters, with their real expressions, run on
// it: no rule of Drover has a second implementation here. Nothing happens by itself: there are no goroutines and no timers, time and
// randomness are handed in, and what AWS would deliver at some time is delivered when it is asked for.
package memory

// Package endtoend is the proof that the whole works: its tests deploy the real template to a local AWS of their own, with the binaries
// that make build leaves and the roles of the functions enforced, and look at it from the outside, as applications, workers and people
// do: by events, queues, functions, state machines and the archive.
//
// All tests share one stack, whose minute tick is off: whatever moves was woken by an event. Each test has labourers and jobs of its
// own, so that they run side by side. They wait for what they want to see, and fail with what they saw instead.
package endtoend

// Package endtoend tests the whole system. Its tests deploy the real template to their own local AWS, with the binaries of make build and the
// roles of the functions enforced. They observe it from the outside, as applications, workers and operators do: by events, queues, functions,
// state machines and the archive.
//
// All tests share one stack, whose minute tick is off, so that only events wake it. Each test has its own labourers and jobs, so that tests run
// in parallel. A test waits for the expected state, and fails with the state that it saw instead.
package endtoend

// Package wiring connects services with adapters: it has one constructor and one handler per function. Services and adapters meet nowhere
// else. A function's main passes in its settings and clients; the simulator and the tests pass in others, and so exercise the deployed
// wiring.
package wiring

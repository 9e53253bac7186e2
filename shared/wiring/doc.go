// Package wiring puts services and adapters together: for each function one constructor and one handler. It is the only place where they
// meet. A function's main hands its settings and clients in; the simulator and the tests hand in others, and so prove the very wiring that is
// deployed.
package wiring

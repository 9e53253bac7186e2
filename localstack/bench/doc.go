// Package bench measures Drover's throughput and cost, on its own local AWS and on in-memory tables, and beside sosw 0.7. `make bench` runs it.
//
// The local AWS limits the speed: it is one Python process on one core. So the same run also measures that process without Drover, with
// sequential and with parallel writes, and prints all results. The counts (calls, units, memory) are the same on AWS.
package bench

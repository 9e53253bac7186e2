// Package bench measures Drover's throughput and cost, on its own local AWS and on tables in memory: make bench.
//
// The local AWS limits the speed: it is one Python process on one core. So the same run also measures that process without Drover, with
// sequential and with parallel writes, and prints all three. The counts (calls, units, memory) are the same on AWS.
package bench

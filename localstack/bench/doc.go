// Package bench measures what Drover does in a second and what it costs, on a local AWS of its own and on tables in memory: make bench.
//
// What is measured on a local AWS is bound by it: one Python process on one core. So the same run measures how fast that process is
// without Drover, one item after the other and as fast as it takes them, and prints all three. What is counted (calls, units, memory)
// is the same on AWS.
package bench

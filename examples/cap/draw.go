package main

import (
	"fmt"
	"strings"
	"time"
)

// Lengths of bars, in letters.
const (
	widthOfTasks   = 30
	widthOfLatency = 30
	longest        = 3 * target / 2 // a bar of full length
)

// drawn returns a line: what runs under which cap, and the latency beside its target.
func drawn(at time.Duration, limit, running int, latency time.Duration) string {
	tasks := strings.Repeat("█", min(running, widthOfTasks)) + strings.Repeat("·", max(min(limit, widthOfTasks)-running, 0))
	bar := []rune(strings.Repeat("█", bounded(latency)) + strings.Repeat(" ", widthOfLatency-bounded(latency)))
	bar[bounded(target)] = '│'
	return fmt.Sprintf("%4.0f s  cap %2d %-*s %4d ms %s", at.Seconds(), limit, widthOfTasks, tasks, latency.Milliseconds(), strings.TrimRight(string(bar), " "))
}

func bounded(latency time.Duration) int {
	return int(min(max(latency, 0), longest) * widthOfLatency / longest)
}

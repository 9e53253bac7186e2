// Cap shows a cap that finds itself. It starts a local AWS with the stack, a toy database that gets slower the more tasks query it, and a labourer that is
// to hold the database's latency at 100 ms. It draws the cap and the latency as they move, and ends everything that it started.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/drover-run/drover/examples/local"
)

// exitUsage has the value of the command line, for bad usage.
const exitUsage = 2

func main() {
	changes := flag.Int("changes", 2, "end after this number of changes of the cap")
	flag.Parse()
	if flag.NArg() > 0 || *changes < 1 {
		fmt.Fprintln(os.Stderr, "demo-cap: want no arguments, and -changes of 1 or more")
		os.Exit(exitUsage)
	}
	d := demo{screen: local.NewScreen(os.Stdout), changes: *changes, started: time.Now()}
	os.Exit(local.Run("demo-cap", d.run, d.end))
}

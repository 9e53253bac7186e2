// Demo shows Drover at work. It starts a local AWS, deploys the stack to it, runs two jobs on real data with two workers, and checks their results.
// It prints what the jobs cost, and ends everything that it started.
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
	calls := flag.Bool("calls", false, "also list the calls of each stage by operation")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	d := demo{screen: newScreen(os.Stdout), calls: *calls, started: time.Now()}
	os.Exit(local.Run("demo", d.run, d.end))
}

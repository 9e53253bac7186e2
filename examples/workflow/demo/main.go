// Demo runs the workflow "climate report" on a local AWS: once while something is missing, and again after it is mended. It checks both reports and
// ends everything that it started.
package main

import (
	"os"
	"time"

	"github.com/drover-run/drover/examples/local"
)

func main() {
	d := demo{screen: local.NewScreen(os.Stdout), started: time.Now()}
	os.Exit(local.Run("demo-workflow", d.run, d.end))
}

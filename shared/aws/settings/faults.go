//go:build faults

package settings

import (
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/drover-run/drover/shared/testing/faults"
)

// withFaults adds the faults of the plan in DROVER_FAULTS to functions that are built for tests. Each process has different faults.
func withFaults(cfg aws.Config) (aws.Config, error) {
	plan, err := faults.Parse(os.Getenv("DROVER_FAULTS"))
	if err != nil {
		return cfg, fmt.Errorf("DROVER_FAULTS, %w", err)
	}
	return plan.Into(cfg, fmt.Sprintf("%s/%d", os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), os.Getpid())), nil
}

//go:build !faults

package settings

import "github.com/aws/aws-sdk-go-v2/aws"

// withFaults returns the settings unchanged: deployed functions contain no injected faults.
func withFaults(cfg aws.Config) (aws.Config, error) { return cfg, nil }

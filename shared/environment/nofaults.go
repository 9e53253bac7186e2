//go:build !faults

package environment

import "github.com/aws/aws-sdk-go-v2/aws"

// withFaults is the settings as they are: what is deployed has no faults but its own.
func withFaults(cfg aws.Config) (aws.Config, error) { return cfg, nil }

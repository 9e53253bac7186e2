// Package environment is how clients of AWS are set up: from the usual places, with waits that no function outlasts.
package environment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
)

const (
	// attempts is how often a call is tried that AWS throttles or fails.
	attempts = 5
	// The waits in between are anything up to these, three seconds in all. The SDK's own, up to half a minute in all, outlast the functions.
	firstWait, longestWait = 200 * time.Millisecond, 2 * time.Second
)

// wait is how long to wait after so many attempts: full jitter.
func wait(attempt int, _ error) (time.Duration, error) {
	return rand.N(min(longestWait, firstWait<<max(attempt-1, 0))), nil
}

// AWS is the settings for clients: from the usual places, AWS_ENDPOINT_URL included.
func AWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.Backoff = attempts, retry.BackoffDelayerFunc(wait) })
	}))
	if err != nil {
		return cfg, fmt.Errorf("loading the AWS settings, %w", err)
	}
	return withFaults(cfg)
}

// Package settings loads the settings of AWS clients from the usual places, with retries that end before the functions' timeouts. It also distinguishes
// temporary from permanent errors.
package settings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	// attempts limits how often the SDK tries a request that AWS throttles or fails.
	attempts = 5
	// Waits between attempts are random up to these limits, three seconds in total. The SDK's default of up to half a minute outlasts the functions.
	firstWait, longestWait = 200 * time.Millisecond, 2 * time.Second
)

// wait returns how long to wait after this many attempts, with full jitter.
func wait(attempt int, _ error) (time.Duration, error) {
	return rand.N(min(longestWait, firstWait<<max(attempt-1, 0))), nil
}

// brokenOff has answers that end early tried again, as the SDK does itself for other errors of connections.
func brokenOff(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// AWS loads the settings for clients from the usual places, including AWS_ENDPOINT_URL.
func AWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(retryer))
	if err != nil {
		return cfg, fmt.Errorf("loading the AWS settings, %w", err)
	}
	return withFaults(cfg)
}

// Function loads the settings for a function's clients from its environment, where Lambda puts the region and the credentials of its role. Without the other
// places a function is half a megabyte smaller.
func Function() (aws.Config, error) {
	env, err := config.NewEnvConfig()
	if err == nil && env.Region == "" {
		err = errors.New("there is no AWS_REGION")
	}
	if err != nil {
		return aws.Config{}, fmt.Errorf("loading the AWS settings of the environment, %w", err)
	}
	cfg := aws.Config{Region: env.Region, Credentials: credentials.StaticCredentialsProvider{Value: env.Credentials}, Retryer: retryer, ConfigSources: []any{env},
		AppID:                      env.AppID,
		AccountIDEndpointMode:      cmp.Or(env.AccountIDEndpointMode, aws.AccountIDEndpointModePreferred),
		RequestChecksumCalculation: cmp.Or(env.RequestChecksumCalculation, aws.RequestChecksumCalculationWhenSupported),
		ResponseChecksumValidation: cmp.Or(env.ResponseChecksumValidation, aws.ResponseChecksumValidationWhenSupported)}
	if env.BaseEndpoint != "" {
		cfg.BaseEndpoint = &env.BaseEndpoint
	}
	return withFaults(cfg)
}

func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.Backoff = attempts, retry.BackoffDelayerFunc(wait)
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(brokenOff))
	})
}

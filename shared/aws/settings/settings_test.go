package settings_test

import (
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/settings"
)

// The worker assistant has ten seconds. A request that is throttled until the SDK gives up must leave time to report the failure.
func TestACallThatIsAlwaysThrottledEndsBeforeTheFunctionsTimeout(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	cfg, err := settings.AWS(t.Context())
	require.NoError(t, err)
	retryer := cfg.Retryer()
	throttled := &smithy.GenericAPIError{Code: "ThrottlingException"}

	require.True(t, retryer.IsErrorRetryable(throttled))
	require.Equal(t, 5, retryer.MaxAttempts())
	for range 1000 {
		all := time.Duration(0)
		for attempt := 1; attempt < retryer.MaxAttempts(); attempt++ {
			wait, err := retryer.RetryDelay(attempt, throttled)
			require.NoError(t, err)
			all += wait
		}
		require.Less(t, all, 3200*time.Millisecond)
	}
}

package settings_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/settings"
)

func TestAFunctionHasTheSettingsThatTheSDKFindsThere(t *testing.T) {
	for name, environment := range map[string]map[string]string{
		"on AWS":  {},
		"at hand": {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
		"with all": {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
			"AWS_SDK_UA_APP_ID": "scheduler"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_CONFIG_FILE", "/dev/null")
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
			for name, value := range map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"} {
				t.Setenv(name, value)
			}
			for name, value := range environment {
				t.Setenv(name, value)
			}

			is, err := settings.Function()
			require.NoError(t, err)

			wanted, err := settings.AWS(context.Background())
			require.NoError(t, err)
			require.Equal(t, credentialsOf(t, wanted), credentialsOf(t, is))
			require.Equal(t, wanted.Retryer().MaxAttempts(), is.Retryer().MaxAttempts())
			for _, c := range []*aws.Config{&is, &wanted} { // compared above, or only for requests that no function makes
				c.Credentials, c.Retryer, c.ConfigSources, c.HTTPClient, c.Logger, c.RequestMinCompressSizeBytes, c.DefaultsMode = nil, nil, nil, nil, nil, 0, ""
				c.Interceptors, c.RestrictFilePermissions = smithyhttp.InterceptorRegistry{}, ""
			}
			require.Equal(t, wanted, is)
		})
	}
}

func credentialsOf(t *testing.T, cfg aws.Config) aws.Credentials {
	t.Helper()
	c, err := cfg.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	c.Source = ""
	return c
}

func TestAFunctionWithoutARegionDoesNotStart(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, err := settings.Function()
	require.ErrorContains(t, err, "AWS_REGION")
}

package settings_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/settings"
)

func TestTemporaryErrorsPass(t *testing.T) {
	status := func(code int) error {
		return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: errors.New("as told")}
	}
	for name, c := range map[string]struct {
		err        error
		is, passes bool
	}{
		"too much, at last":         {&retry.MaxAttemptsError{Attempt: 5, Err: &types.ProvisionedThroughputExceededException{}}, true, true},
		"too much of a queue":       {&smithy.GenericAPIError{Code: "RequestThrottled"}, true, true},
		"a fault of the service":    {status(http.StatusServiceUnavailable), false, true},
		"a connection that is lost": {&smithyhttp.RequestSendError{Err: errors.New("connection reset by peer")}, false, true},
		"one of several":            {errors.Join(errors.New("another"), status(http.StatusInternalServerError)), false, true},
		"a condition":               {&types.ConditionalCheckFailedException{}, false, false},
		"a right that is missing":   {&smithy.GenericAPIError{Code: "AccessDeniedException"}, false, false},
		"one of Drover's own":       {errors.New("labourer x is not applied"), false, false},
		"none":                      {nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.err
			if err != nil {
				err = fmt.Errorf("reading, %w", err)
			}
			require.Equal(t, c.is, settings.Throttled(err))
			require.Equal(t, c.passes, settings.Passes(err))
			require.Equal(t, c.passes, settings.Named(err) != err) //nolint:errorlint // the same error, or wrapped
		})
	}
}

// The runtime of Go functions reports the name of an error's type, and the state machines' Retry names that type.
func TestATemporaryErrorHasTheNameThatTheStateMachinesRetry(t *testing.T) {
	err := settings.Named(&smithy.GenericAPIError{Code: "ThrottlingException", Message: "slowly"})

	require.Equal(t, "ThrottledError", reflect.TypeOf(err).Elem().Name())
	require.Contains(t, err.Error(), "slowly")
	require.ErrorAs(t, err, new(*smithy.GenericAPIError))
}

func TestAReasonOmitsTheDetailsOfTheSDK(t *testing.T) {
	err := &smithy.OperationError{ServiceID: "Lambda", OperationName: "Invoke", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusNotFound}}, Err: &smithy.GenericAPIError{Code: "ResourceNotFoundException", Message: "Function not found"}}}
	require.Contains(t, err.Error(), "StatusCode: 404")
	said := &settings.Said{Doing: "invoking function f", Err: err}
	require.EqualError(t, said, "invoking function f: ResourceNotFoundException: Function not found")
	require.ErrorAs(t, said, new(*smithy.GenericAPIError), "callers can still match the error")
	require.Equal(t, "plain", settings.Reason(errors.New("plain")))
}

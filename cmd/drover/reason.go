package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/aws/settings"
)

// kind sorts errors of AWS by what the user can do about them.
type kind int

const (
	other   kind = iota // none of the others
	passing             // temporary: AWS was out of reach, had a fault or throttled
	session             // the session of the credentials has expired
	denied              // the credentials lack a right
	absent              // the resource does not exist
	refused             // AWS does not accept the request
)

// Services and protocols use different codes for the same meaning.
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
var (
	sessionCodes = []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
	deniedCodes  = []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError", "KMS.AccessDeniedException",
		"AWS.SimpleQueueService.AccessDenied", "OptInRequired"}
	strangerCodes = []string{"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"} // AWS does not know the credentials
	absentCodes   = []string{"ResourceNotFoundException", "ResourceNotFound", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "StateMachineDoesNotExist",
		"NoSuchBucket", "NotFound", "NoSuchEntity"}
)

// kindOf returns the kind of an error.
func kindOf(err error) kind {
	if err == nil {
		return other
	}
	if signedOut(err) {
		return session
	}
	if q, failed := errors.AsType[*cloudwatch.QueryError](err); failed {
		if q.Status == types.StatusCodeForbidden {
			return denied
		}
		return other
	}
	code, status := "", 0
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.Response != nil && answer.Response.Response != nil {
		status = answer.HTTPStatusCode()
	}
	has := func(codes []string) bool {
		return slices.Contains(codes, code)
	}
	switch {
	case has(sessionCodes):
		return session
	case has(strangerCodes):
		return other
	case has(deniedCodes):
		return denied
	case has(absentCodes):
		return absent
	case unheard(err) || settings.Passes(err) || status >= http.StatusInternalServerError:
		return passing
	case code == "" && status == 0:
		return other
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return denied
	case status == http.StatusNotFound:
		return absent
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorFault() == smithy.FaultServer {
		return passing
	}
	return refused
}

// unheard reports whether no answer of AWS arrived: there was no connection or no name server, or a captive network answered instead.
func unheard(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	_, sending := errors.AsType[*smithyhttp.RequestSendError](err)
	_, unreadable := errors.AsType[*smithy.DeserializationError](err)
	_, network := errors.AsType[net.Error](err)
	return sending || unreadable || network
}

// signedOut reports whether the session of AWS IAM Identity Center (SSO) that gives the credentials has ended.
func signedOut(err error) bool {
	if err == nil {
		return false
	}
	if _, invalid := errors.AsType[*ssocreds.InvalidTokenError](err); invalid {
		return true
	}
	if call, ok := errors.AsType[*smithy.OperationError](err); ok && strings.HasPrefix(call.Service(), "SSO") && !unheard(err) && !settings.Passes(err) {
		return true
	}
	return strings.Contains(err.Error(), "cached SSO token") // the SDK has no type for a token that cannot be refreshed
}

// reason returns the code and message of an error of AWS, without the description of the request.
func reason(err error) string {
	if unheard(err) {
		cause := err
		if sent, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
			cause = sent.Err
		}
		return "AWS does not answer: " + cause.Error()
	}
	_, told := errors.AsType[smithy.APIError](err)
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && !told && kindOf(err) == passing {
		return fmt.Sprintf("AWS failed with HTTP status %d", answer.HTTPStatusCode())
	}
	return settings.Reason(err)
}

// signIn returns what to do about an ended session.
func signIn(err error, profile string) string {
	if !signedOut(err) {
		return "the credentials have expired: get new ones (with AWS IAM Identity Center: aws sso login)"
	}
	if profile != "" {
		return "the SSO session has ended: aws sso login --profile " + quoted(profile)
	}
	return "the SSO session has ended: aws sso login"
}

// quoted returns a word in quotes if a shell needs them.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=,@%+", r))
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

type quotaExceeded struct{ limit int }

func (q quotaExceeded) Error() string { return fmt.Sprintf("quota of %d exceeded", q.limit) }

// failWith runs a task whose function returns err, and returns the reported completion.
func failWith(t *testing.T, err error) completion {
	t.Helper()
	queue := newFakeSQS()
	handler := worker.Handler(func(context.Context, worker.Task) (any, error) { return nil, err }, worker.WithSender(queue), quiet)
	_, invokeErr := handler.Invoke(t.Context(), []byte(event("t.1", 1, time.Now().Add(time.Hour), "")))
	require.NoError(t, invokeErr, "a reported failure is no error for Lambda")
	failed := queue.completions("failed")
	require.Len(t, failed, 1)
	return failed[0]
}

func TestTheTypeOfAFailureIsTheMostSpecificNameOfItsError(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		kind string
	}{
		"named":                        {worker.Errorf("BadInput", "no such store"), "BadInput"},
		"named, wrapped":               {fmt.Errorf("store 7: %w", worker.Errorf("BadInput", "no such store")), "BadInput"},
		"named twice":                  {worker.Errorf("Outer", "x: %w", worker.Errorf("Inner", "y")), "Outer"},
		"named around a type":          {worker.Errorf("BadInput", "x: %w", quotaExceeded{3}), "BadInput"},
		"a code of AWS":                {fmt.Errorf("reading: %w", &awsError{"AccessDenied", 403}), "AccessDenied"},
		"a type":                       {quotaExceeded{3}, "quotaExceeded"},
		"a type, wrapped":              {worker.Permanent(fmt.Errorf("reading: %w", quotaExceeded{3})), "quotaExceeded"},
		"a pointer":                    {&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, "PathError"},
		"a type that is called Error":  {&url.Error{Op: "Get", URL: "x", Err: errors.New("y")}, "url.Error"},
		"one of several":               {errors.Join(errors.New("a"), fmt.Errorf("b: %w", quotaExceeded{3})), "quotaExceeded"},
		"out of time":                  {fmt.Errorf("querying: %w", context.DeadlineExceeded), "Timeout"},
		"out of time, but named":       {worker.Errorf("SlowDatabase", "querying: %w", context.DeadlineExceeded), "SlowDatabase"},
		"text alone":                   {errors.New("no luck"), "Error"},
		"text wrapped":                 {fmt.Errorf("x: %w", errors.New("no luck")), "Error"},
		"named with nothing":           {worker.Errorf("", "no luck"), "Error"},
		"named with far too much text": {worker.Errorf(strings.Repeat("x", 1000), "no luck"), strings.Repeat("x", 105) + "… (1000 bytes in all)"},
	} {
		t.Run(name, func(t *testing.T) {
			failed := failWith(t, c.err)
			require.Equal(t, c.kind, failed.Error.Type)
			require.Contains(t, c.err.Error(), failed.Error.Message)
		})
	}
}

func TestAFailureIsRetryableUnlessItIsPermanent(t *testing.T) {
	plain := errors.New("no luck")
	for name, c := range map[string]struct {
		err        error
		retryable  bool
		retryAfter string
	}{
		"plain":                     {plain, true, ""},
		"permanent":                 {worker.Permanent(plain), false, ""},
		"permanent inside":          {fmt.Errorf("x: %w", worker.Permanent(plain)), false, ""},
		"permanent among others":    {errors.Join(plain, worker.Permanent(plain)), false, ""},
		"later":                     {worker.RetryAfter(plain, 90*time.Second), true, "90s"},
		"later, not a whole second": {worker.RetryAfter(plain, 1500*time.Millisecond), true, "1.5s"},
		"at once":                   {worker.RetryAfter(plain, 0), true, "0s"},
		"in the past":               {worker.RetryAfter(plain, -time.Hour), true, "0s"},
		"later but permanent":       {worker.Permanent(worker.RetryAfter(plain, time.Minute)), false, ""},
		"permanent but later":       {worker.RetryAfter(worker.Permanent(plain), time.Minute), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			failed := failWith(t, c.err)
			require.NotNil(t, failed.Retryable)
			require.Equal(t, c.retryable, *failed.Retryable)
			require.Equal(t, c.retryAfter, failed.RetryAfter)
		})
	}
}

func TestMarkingNoErrorIsNoError(t *testing.T) {
	require.NoError(t, worker.Permanent(nil))
	require.NoError(t, worker.RetryAfter(nil, time.Minute))
}

func TestMarkedErrorsCanStillBeMatched(t *testing.T) {
	err := worker.Permanent(worker.RetryAfter(worker.Errorf("Missing", "x: %w", fs.ErrNotExist), time.Second))

	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "x: file does not exist")
}

func TestALongMessageIsCutBetweenCharactersWithANote(t *testing.T) {
	message := failWith(t, errors.New(strings.Repeat("é", 5000))).Error.Message

	require.LessOrEqual(t, len(message), 2048)
	require.True(t, utf8.ValidString(message))
	require.True(t, strings.HasSuffix(message, "é… (10000 bytes in all)"), message[len(message)-60:])
}

func TestAMessageInInvalidUTF8IsRepaired(t *testing.T) {
	require.Equal(t, "byte \uFFFD here", failWith(t, errors.New("byte \xff here")).Error.Message)
}

func TestADecodingErrorIsPermanentBadInput(t *testing.T) {
	var payload struct{ Rows int }
	err := worker.Task{ID: "t.1", Payload: []byte(`{"rows":"many"}`)}.Decode(&payload)

	failed := failWith(t, err)

	require.Equal(t, "BadInput", failed.Error.Type)
	require.False(t, *failed.Retryable)
	require.Contains(t, failed.Error.Message, "payload of task t.1")
}

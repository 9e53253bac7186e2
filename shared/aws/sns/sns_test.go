package sns_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	topics "github.com/drover-run/drover/shared/aws/sns"
	"github.com/drover-run/drover/shared/core/task"
)

type fake struct {
	err   error
	asked []*sns.PublishInput
}

func (f *fake) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	f.asked = append(f.asked, in)
	return &sns.PublishOutput{}, f.err
}

func dead(n int, kind string) task.Task {
	t := task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: n}, JobID: "nightly", Attempt: 3}
	if kind != "" {
		t.Attempts = []task.Attempt{{Attempt: 3, Error: &task.Error{Type: kind, Message: "the secret of a payload"}}}
	}
	return t
}

func TestAnAlertListsTheDeadTasks(t *testing.T) {
	f := &fake{}

	err := topics.Topic{API: f, ARN: "arn:aws:sns:us-west-2:000000000000:alarms"}.Died(context.Background(), "f", []task.Task{dead(7, "Boom"), dead(8, "Expired")})

	require.NoError(t, err)
	require.Len(t, f.asked, 1)
	require.Equal(t, "arn:aws:sns:us-west-2:000000000000:alarms", *f.asked[0].TopicArn)
	require.Equal(t, "Drover: 2 tasks of f died", *f.asked[0].Subject)
	require.Equal(t, `2 tasks of labourer f died. The last error is Expired.

abcdefghijklmnop.7 of job nightly, attempt 3
abcdefghijklmnop.8 of job nightly, attempt 3

List them: drover dead --labourer f
Replay them: drover replay --labourer f
`, *f.asked[0].Message)
}

func TestManyDeadAreCountedAndSomeNamed(t *testing.T) {
	f := &fake{}
	var tasks []task.Task
	for n := range 100 {
		tasks = append(tasks, dead(n, ""))
	}
	labourer := strings.Repeat("f", 128)

	require.NoError(t, topics.Topic{API: f}.Died(context.Background(), labourer, tasks))

	require.Equal(t, 10, strings.Count(*f.asked[0].Message, "attempt 3"))
	require.Contains(t, *f.asked[0].Message, "… and 90 more\n")
	require.Contains(t, *f.asked[0].Message, "No error was reported.")
	require.Less(t, len(*f.asked[0].Subject), 100)
	require.NotContains(t, *f.asked[0].Message, "secret")
}

func TestAnAlertThatFailsIsAnError(t *testing.T) {
	err := topics.Topic{API: &fake{err: errors.New("access denied")}}.Died(context.Background(), "f", []task.Task{dead(7, "Boom")})

	require.EqualError(t, err, "alerting people to 1 task of labourer f, access denied")
}

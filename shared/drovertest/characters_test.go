package drovertest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/worker"
)

// TestTextArrivesThroughEveryMedium covers the way to the worker and back: JSON allows these characters, but not every medium on the way does.
func TestTextArrivesThroughEveryMedium(t *testing.T) {
	const odd = "a\uFFFF\uFFFE\x00\x1F\u007F\U0001FFFF\u2028\\\"z"
	for name, target := range map[string]string{
		"a queue":    `{sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/work"}`,
		"a FIFO":     `{sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/work.fifo"}`,
		"a function": `{lambda: work}`,
		"a machine":  `{states: "arn:aws:states:us-west-2:000000000000:stateMachine:work"}`,
	} {
		t.Run(name, func(t *testing.T) {
			d, got := drovertest.New(), ""
			require.NoError(t, d.Apply("labourers:\n  w:\n    target: "+target+"\n    max_attempts: 1\n"))
			require.NoError(t, d.Worker("w", time.Second, func(_ context.Context, t worker.Task) (any, error) {
				var payload map[string]string
				err := t.Decode(&payload)
				got = payload[odd]
				return map[string]string{odd: odd}, err
			}))
			d.Submit(map[string]string{"job_id": "j", "labourer": "w", odd: odd})
			require.NoError(t, d.Run())

			require.Equal(t, odd, got)
			tasks, err := d.Tasks("j")
			require.NoError(t, err)
			require.EqualValues(t, "completed", tasks[0].Status, "%+v", tasks[0].LastError())
			require.JSONEq(t, `{"a\uffff\ufffe\u0000\u001f\u007f\ud83f\udfff\u2028\\\"z":"a\uffff\ufffe\u0000\u001f\u007f\ud83f\udfff\u2028\\\"z"}`, string(tasks[0].Result))
		})
	}
}

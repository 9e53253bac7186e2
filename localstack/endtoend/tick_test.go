package endtoend

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/stretchr/testify/require"
)

// The test has its own stack, in which no wake arrives, and does the work of the minute tick by hand.
func TestG1TheTickAloneIsEnough(t *testing.T) {
	t.Parallel()
	shared(t)
	s := deaf(t)
	d := s.desk(t)
	s.apply(t, d.labourer(2, nil))
	require.NoError(t, s.control.SetPaused(t.Context(), named(t), true)) // nothing is granted directly
	const all = 5
	s.submit(t, tasks(all, nil))
	s.fact(t, "JobScheduled", object{"job_id": named(t)})
	s.fact(t, "TasksDue", object{"labourers": []any{named(t)}})
	require.NoError(t, s.control.SetPaused(t.Context(), named(t), false))
	require.Zero(t, d.waiting(t), "a wake arrived")

	failed := false
	for left := all; left > 0; {
		s.orchestrate(t, object{}) // all labourers, as the tick
		for range min(d.waiting(t), 2) {
			work := d.take(t, 1)[0]
			if !failed {
				failed = true
				s.report(t, work.failed(nil)) // due again in a second: the next orchestration finds it
				continue
			}
			s.complete(t, work)
			left--
		}
		s.settled(t, "CompletionsQueueUrl")
	}

	require.Equal(t, all, s.ended(t, named(t)).Counts.Completed)
	s.idle(t)
	s.requireDoctorsOpinion(t)
}

// requireDoctorsOpinion requires the doctor's findings on the stack, whose wakes and tick are off, after an unreadable message.
func (s *stack) requireDoctorsOpinion(t *testing.T) {
	t.Helper()
	hides := "labourer " + named(t) + ": queue" // a desk's queue hides a message for less than the lease
	require.Equal(t, []string{"wakes rule", "tick", hides}, s.ailments(t))
	s.send(t, s.out["JobsQueueUrl"], "poison")
	await(t, "the poison to arrive in the dead letter queue", func() (int, bool) {
		dead := s.depth(t, s.out["JobsDeadLetterQueueUrl"])
		return dead, dead == 1
	})
	require.Equal(t, []string{"wakes rule", "tick", "jobs' dead letters", hides}, s.ailments(t))
}

// ailments returns the names of the checks of drover doctor that fail.
func (s *stack) ailments(t *testing.T) []string {
	t.Helper()
	printed, said, code := s.drover(t, nil, "doctor")
	require.Equal(t, 1, code, said)
	var found struct {
		OK     bool
		Checks []struct {
			Name, Detail, Fix string
			OK                bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(printed), &found), "%s", printed)
	require.False(t, found.OK)
	var out []string
	for _, check := range found.Checks {
		if !check.OK {
			require.NotEmpty(t, check.Fix, "what to do about %s: %s", check.Name, check.Detail)
			out = append(out, check.Name)
		}
	}
	return out
}

// deaf deploys a second stack beside the shared one, and removes the rule by which wakes arrive.
func deaf(t *testing.T) *stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), begin)
	defer cancel()
	s, err := newStack(ctx, world.target, world.stackName("deaf"))
	require.NoError(t, err)
	t.Cleanup(func() { require.Empty(t, s.bus.close()) })
	require.NoError(t, s.schema(ctx, "sections", "section", "store"))
	bus := aws.String(s.out["EventBusName"])
	rules, err := s.events.ListRules(ctx, &eventbridge.ListRulesInput{EventBusName: bus})
	require.NoError(t, err)
	deafened := 0
	for _, rule := range rules.Rules {
		if strings.Contains(aws.ToString(rule.EventPattern), "TasksDue") {
			_, err := s.events.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: rule.Name, EventBusName: bus})
			require.NoError(t, err)
			deafened++
		}
	}
	require.Equal(t, 1, deafened, "rules that deliver wakes")
	return s
}

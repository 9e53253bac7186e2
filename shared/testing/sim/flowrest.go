package sim

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// runsAtRest checks the runs of a world where nothing happens any more: each has ended once and is told of, its execution has ended as it did, and each
// start became a run or was refused (R1, R3, R6).
func (k *checker) runsAtRest() {
	if len(k.asks) == 0 || k.faults[LateTTL] > 0 {
		return
	}
	told := k.toldOfRuns()
	for _, id := range slices.Sorted(maps.Keys(k.runs)) {
		s := k.runs[id]
		k.judge("R1")
		if !s.ended() || s.active {
			k.violate("R1", "run %s is %s after the world has come to rest (active: %t)", id, s.state, s.active)
		}
		var want []string
		if s.begun() {
			first := 0
			if s.start.from != "" {
				first = slices.Index(k.activitiesOf(s), s.start.from)
			}
			want = []string{"WorkflowStarted/" + id, endOf(s.state) + "/" + id}
			for i := range s.activities {
				want = append(want, "ActivityCompleted/"+id+"/"+k.activitiesOf(s)[first+i])
			}
		}
		got := slices.DeleteFunc(slices.Clone(told[id]), func(of string) bool { return strings.HasPrefix(of, "WorkflowOverdue/") })
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) {
			k.violate("R6", "run %s is told of by %v; want %v", id, got, want)
		}
		k.overdue(s, slices.Contains(told[id], "WorkflowOverdue/"+id))
	}
	k.executionsAtRest()
	k.answered(told)
}

// toldOfRuns returns the ids of the events about each run, and under "" those of refusals.
func (k *checker) toldOfRuns() map[string][]string {
	told := map[string][]string{}
	for _, e := range k.stack.EventBridge.Told() {
		var detail struct {
			ID    string
			RunID string `json:"run_id"`
			Error struct{ Field string }
		}
		if !strings.HasPrefix(e.DetailType, "Workflow") && e.DetailType != "ActivityCompleted" || json.Unmarshal(e.Detail, &detail) != nil {
			continue
		}
		if e.DetailType == "WorkflowRejected" {
			detail.ID = detail.Error.Field + " " + detail.ID
		}
		if !slices.Contains(told[detail.RunID], detail.ID) {
			told[detail.RunID] = append(told[detail.RunID], detail.ID)
		}
	}
	return told
}

// overdue checks that a run that took longer than its sla was reported, and no other one.
func (k *checker) overdue(s *runSeen, told bool) {
	sla := k.parts(s).Workflows[s.workflow].SLA
	took := s.finishedAt.Sub(s.startedAt)
	if told && (!s.begun() || took < sla-2*time.Minute) {
		k.violate("R6", "run %s is told to be overdue, and took %s of %s", s.id, took, sla)
	}
	since := s.startedAt.Add(sla)
	if since.Before(k.calmAt) {
		since = k.calmAt
	}
	if !told && s.begun() && !k.plan.wakesOnly && s.finishedAt.Sub(since) > runTerm {
		k.violate("R6", "run %s took %s of %s, and no event says so", s.id, took, sla)
	}
}

// executionsAtRest checks that every execution has ended, as its run did (R3).
func (k *checker) executionsAtRest() {
	of := map[string]*runSeen{}
	for _, s := range k.runs {
		of[s.execution] = s
	}
	for _, arn := range k.stack.StepFunctions.Executions(fakeaws.WorkflowMachine) {
		out, err := k.stack.StepFunctions.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		must(err)
		s := of[arn]
		k.judge("R3")
		switch {
		case out.Status == types.ExecutionStatusRunning:
			k.violate("R3", "execution %s still runs", arn)
		case s == nil || s.meddled:
		case (out.Status == types.ExecutionStatusSucceeded) != (endOf(s.state) == "WorkflowCompleted") && s.state != "Error":
			k.violate("R3", "execution %s is %s, and its run %s is %s", arn, out.Status, s.id, s.state)
		}
	}
}

// answered checks that each start became a run or was refused, and not both (R6).
func (k *checker) answered(told map[string][]string) {
	for _, by := range slices.Sorted(maps.Keys(k.askedBy)) {
		s := k.runs[k.askedBy[by]]
		var refusals []string
		for _, one := range told[""] {
			if strings.HasSuffix(one, " WorkflowRejected/"+by) {
				refusals = append(refusals, one)
			}
		}
		if s == nil && len(refusals) == 0 && !k.unheard(by) {
			k.violate("R6", "the start %s became no run, and was not refused", by)
		}
		alone := 0
		for _, run := range k.askedBy {
			if run == k.askedBy[by] {
				alone++
			}
		}
		if s != nil && s.begun() && len(refusals) > 0 && alone == 1 {
			k.violate("R6", "the start %s was refused, and became run %s", by, s.id)
		}
		for _, ask := range k.asks[k.askedBy[by]] {
			if ask.field != "" && !slices.ContainsFunc(refusals, func(one string) bool { return strings.HasPrefix(one, ask.field+" ") }) {
				k.violate("R6", "the start %s was not refused for the field %s: %v", by, ask.field, refusals)
			}
		}
	}
}

// unheard returns whether a start is an execution that failed before Drover heard of it: Step Functions could not send its first message in all its
// attempts. It failed where the one that started it looks.
func (k *checker) unheard(by string) bool {
	out, err := k.stack.StepFunctions.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: &by})
	return err == nil && out.Status == types.ExecutionStatusFailed && *out.Error == unsent
}

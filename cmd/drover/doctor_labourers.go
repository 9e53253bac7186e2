package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
)

// labourers looks at each labourer: what is applied, its target, its tasks.
func (d *doctor) labourers(ctx context.Context) []check {
	applied, err := d.registry.All(ctx, true)
	if err != nil {
		return []check{wrong("labourers", allow, "%s", reason(err))}
	}
	ids := slices.Sorted(maps.Keys(applied.Labourers))
	found := make([][]check, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, id := range ids {
		g.Go(func() error {
			name := "labourer " + id
			l, err := labourer.Decode(id, []byte(applied.Labourers[id].Text))
			if err != nil {
				found[i] = []check{wrong(name, "apply it again with this version of drover", "%s", reason(err))}
				return nil
			}
			found[i] = append(d.target(ctx, name, l), d.work(ctx, name, l))
			return nil
		})
	}
	_ = g.Wait() // what goes wrong is in the checks
	if len(ids) == 0 {
		return []check{fine("labourers", "none is applied")}
	}
	return slices.Concat(found...)
}

// target looks whether a labourer's workers are there, may be started by the stack, and will be heard of.
func (d *doctor) target(ctx context.Context, name string, l labourer.Labourer) []check {
	name += ": target"
	var arn string
	var found check
	switch l.Target.Kind() {
	case "lambda":
		var timeout time.Duration
		if arn, timeout, found = d.functionTarget(ctx, name, l); found.OK {
			found = inTime(found, name, l, timeout)
		}
	case "sqs":
		arn, found = d.queueTarget(ctx, name, l.Target.SQS)
	case "states":
		arn, found = d.machineTarget(ctx, name, l.Target.States)
	default:
		return []check{wrong(name, "apply it again with a target", "it has none")}
	}
	if parameter, may := d.mayStart(l.Target.Kind(), arn); found.OK && !may {
		found = wrong(name, fmt.Sprintf("deploy with the parameter %s having %s as well", parameter, arn), "the orchestrator may not start %s: it is not in %s", arn, parameter)
	}
	checks := []check{found}
	if l.Target.Kind() == "lambda" && found.OK {
		checks = append(checks, d.wire(ctx, strings.TrimSuffix(name, "target")+"wiring", l))
	}
	return checks
}

// unreachable is the finding that a target is not there, or can not be asked.
func unreachable(name, address string, err error) check {
	return wrong(name, "create it, or apply the labourer with the right target; its tasks wait meanwhile", "%s can not be reached: %s", address, reason(err))
}

func (d *doctor) functionTarget(ctx context.Context, name string, l labourer.Labourer) (arn string, timeout time.Duration, found check) {
	f := functionOf(l.Target.Lambda)
	is, err := d.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
	if err != nil {
		return "", 0, unreachable(name, "function "+l.Target.Lambda, err)
	}
	if is.State == lambdatypes.StateFailed {
		return "", 0, wrong(name, "deploy the function again", "function %s is %s: %s", l.Target.Lambda, is.State, aws.ToString(is.StateReason))
	}
	return aws.ToString(is.FunctionArn), time.Duration(aws.ToInt32(is.Timeout)) * time.Second, fine(name, "function %s is there", aws.ToString(is.FunctionName))
}

// inTime tells whether a worker has certainly ended when its lease does: else a task could run twice at once.
func inTime(found check, name string, l labourer.Labourer, timeout time.Duration) check {
	if timeout <= l.Lease() {
		return found
	}
	return wrong(name, "raise max_duration or cooldown, or lower the function's timeout",
		"the function may run for %s, longer than the lease of %s: a task could be tried again while it still runs", timeout, l.Lease())
}

func (d *doctor) queueTarget(ctx context.Context, name, url string) (string, check) {
	out, err := d.queues.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn}})
	if err != nil {
		return "", unreachable(name, "queue "+url, err)
	}
	return out.Attributes[string(sqstypes.QueueAttributeNameQueueArn)], fine(name, "queue %s is there", path.Base(url))
}

func (d *doctor) machineTarget(ctx context.Context, name, arn string) (string, check) {
	is, err := d.machines.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	switch {
	case err != nil:
		return "", unreachable(name, "state machine "+arn, err)
	case is.Type == sfntypes.StateMachineTypeExpress:
		return "", wrong(name, "make it a Standard machine", "state machine %s is Express, and tells nobody when an execution ends", arn)
	case is.Status == sfntypes.StateMachineStatusDeleting:
		return "", wrong(name, "create it, or apply the labourer with the right target", "state machine %s is being deleted", arn)
	}
	return arn, fine(name, "state machine %s is there", aws.ToString(is.Name))
}

// workerParameters are the template's parameters that say what the orchestrator may start.
var workerParameters = map[string]string{"lambda": "WorkerFunctionArns", "sqs": "WorkerQueueArns", "states": "WorkerStateMachineArns"}

// mayStart tells whether the parameter for this kind of target covers it. An empty one covers all of the stack's account and region.
func (d *doctor) mayStart(kind, arn string) (parameter string, may bool) {
	parameter = workerParameters[kind]
	patterns := d.Parameters[parameter]
	return parameter, arn == "" || patterns == "" || slices.ContainsFunc(strings.Split(patterns, ","), func(p string) bool { return matches(p, arn) })
}

// matches tells whether an ARN is covered by one in a policy, where * is any text and ? any letter.
func matches(pattern, arn string) bool {
	quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`^` + quoted + `$`).MatchString(arn)
}

func (d *doctor) wire(ctx context.Context, name string, l labourer.Labourer) check {
	is, err := d.wired(ctx, functionOf(l.Target.Lambda))
	if err != nil {
		return wrong(name, allow, "%s", reason(err))
	}
	if lacks := is.lacks(d.Outputs["CompletionsQueueArn"]); lacks != "" {
		return wrong(name, "drover apply --wire with the labourer's file", "%s", lacks)
	}
	return fine(name, "crashes and timeouts are sent to the completions queue, and Lambda retries nothing by itself")
}

// work looks for tasks of a labourer that do not get on.
func (d *doctor) work(ctx context.Context, name string, l labourer.Labourer) check {
	name += ": tasks"
	p := newPulse(d.stack, d.now)
	err := p.ask(ctx, []labourer.Labourer{l})
	var b beat
	if err == nil {
		b, err = p.look(ctx, l)
	}
	if err != nil {
		return wrong(name, allow, "%s", reason(err))
	}
	now := d.now()
	if s := stuck(l, b.leases, now); s != "" {
		return wrong(name, "see the executions of the orchestrate machine: the tick should have reaped them", "%s", s)
	}
	if unsettled, err := d.unsettled(ctx, b.leases, now); err != nil {
		return wrong(name, allow, "%s", reason(err))
	} else if unsettled > 0 {
		return wrong(name, "see the scavenger's log, and the check of the stream", "%d tasks ended more than %s ago and still hold their slots", unsettled, overdue)
	}
	if b.Trouble != nil && (b.Due > 0 || now.Sub(b.Trouble.At) < recently) {
		return wrong(name, "mend the target, or apply the labourer with another one", "the target could not be reached at %s: %s", moment(&b.Trouble.At), b.Trouble.Error)
	}
	if waits := idle(b, now); waits > overdue {
		return wrong(name, "see the executions of the orchestrate machine, and the checks of the orchestrator and the tick",
			"%d tasks are due, the first for %s, and %d slots are free: nobody hands them out", b.Due, waits.Truncate(time.Second), b.Free)
	}
	return fine(name, "%d running, %d due, %d later; %s", b.Running, b.Due, b.Later, b.Reason)
}

const (
	// overdue is after how long something should have happened: a tick, and as long again for it to be carried out.
	overdue = 2 * time.Minute
	// undispatchedAfter is how long the orchestrator itself leaves a lease alone that is not dispatched.
	undispatchedAfter = 45 * time.Second
	// recently is for how long a trouble is told of although no task waits.
	recently = 15 * time.Minute
)

// stuck says what of a labourer's leases should have been reaped by now; "" when nothing.
func stuck(l labourer.Labourer, leases []queue.Lease, now time.Time) string {
	lost, undispatched := 0, 0
	for _, lease := range leases {
		lost += lease.Lost(queue.Losing{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}, now.Add(-overdue)).Len()
		if lease.DispatchedAt.IsZero() && now.Sub(lease.ClaimedAt) > undispatchedAfter+overdue {
			undispatched += lease.Held().Len()
		}
	}
	switch {
	case lost > 0:
		return fmt.Sprintf("the leases of %d tasks ended more than %s ago, and nobody has closed them", lost, overdue)
	case undispatched > 0:
		return fmt.Sprintf("%d tasks were claimed more than %s ago, and nobody has started their workers", undispatched, overdue)
	}
	return ""
}

// leasesLooked is in how many leases it is looked for tasks that have ended.
const leasesLooked = 50

// unsettled is how many tasks ended a while ago and are still held.
func (d *doctor) unsettled(ctx context.Context, leases []queue.Lease, now time.Time) (int, error) {
	n := 0
	for _, l := range leases[:min(len(leases), leasesLooked)] {
		if now.Sub(l.ClaimedAt) < overdue {
			continue
		}
		tasks, err := d.tasks.Range(ctx, l.Segment, l.Held())
		if err != nil {
			return 0, err
		}
		var ended segment.Numbers
		for _, t := range tasks {
			if (t.Status.Terminal() || t.Attempt >= l.Attempt && t.Status != task.Open) && now.Sub(t.ClosedAt) > overdue {
				ended = ended.Union(segment.Of(t.ID.N))
			}
		}
		if ended.Empty() {
			continue
		}
		// They may have been released since the lease was read.
		again, found, err := d.control.Lease(ctx, l.Labourer, l.Item())
		if err != nil && !errors.Is(err, queue.ErrChanged) {
			return 0, err
		}
		if found {
			n += again.Held().Intersect(ended).Len()
		}
	}
	return n, nil
}

// idle is for how long tasks have been due although slots are free and nothing holds them back.
func idle(b beat, now time.Time) time.Duration {
	if b.Blocked() || b.Free == 0 || b.Trouble != nil {
		return 0
	}
	var longest time.Duration
	for _, e := range b.entries {
		if !e.Tasks.Empty() {
			longest = max(longest, now.Sub(e.Due))
		}
	}
	return longest
}

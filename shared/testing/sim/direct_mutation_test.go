package sim

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// directMutations are faults to plant into direct grants.
var directMutations = []mutation{
	{"a direct grant takes no lock", []string{"G3"}, rushes, Options{Rewire: func(s *fakeaws.Functions) {
		s.Scheduler.Service.Jobs = altersGrants{s.Scheduler.Service.Jobs, func(_ context.Context, d *queue.Direct) { d.Hold = queue.Hold{} }}
	}}},
	{"a direct grant ignores the version", []string{"G1", "G3", "G7"}, rushes, Options{Rewire: func(s *fakeaws.Functions) {
		control := s.Orchestrator.Service.Control
		s.Scheduler.Service.Jobs = altersGrants{s.Scheduler.Service.Jobs, func(ctx context.Context, d *queue.Direct) {
			if now, err := control.State(ctx, d.Labourer); err == nil {
				d.Grant.State = now
			}
		}}
	}}},
	{"a direct grant counts no other lease", []string{"G3", "G6"}, 1, quietly(func([]queue.Lease) []queue.Lease { return nil })},
	{"a direct grant overtakes what is due", []string{"G6"}, 1, quietly(func(leases []queue.Lease) []queue.Lease { return leases })},
}

// quietly has each labourer look quiet, with leases that were changed.
func quietly(change func([]queue.Lease) []queue.Lease) Options {
	return Options{Rewire: func(s *fakeaws.Functions) {
		alike := alwaysQuiet{s.Workflow.Service.Granter.Control, s.Orchestrator.Service.Control, change}
		s.Scheduler.Service.Granter.Control, s.Workflow.Service.Granter.Control = alike, alike
	}}
}

type altersGrants struct {
	scheduler.Jobs
	change func(context.Context, *queue.Direct)
}

func (j altersGrants) PublishGranted(ctx context.Context, jobs []ledger.Job, d queue.Direct) error {
	j.change(ctx, &d)
	return j.Jobs.PublishGranted(ctx, jobs, d)
}

type alwaysQuiet struct {
	direct.Control
	whole  orchestrator.Control
	change func([]queue.Lease) []queue.Lease
}

func (c alwaysQuiet) Quiet(ctx context.Context, labourer string, now time.Time, _ int) ([]queue.Lease, bool, error) {
	leases, _, err := c.whole.Work(ctx, labourer, now, 1)
	return c.change(leases), err == nil, err
}

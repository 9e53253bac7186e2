package sim

import (
	"bytes"
	"context"
	"strings"

	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/shared/aws/lambda"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// flowMutations are faults to plant into the service of workflows. Each breaks what the simulator promises of runs.
var flowMutations = []mutation{
	{"a token is answered before the stage's end is stored", []string{"R3"}, flows, rewired(func(s *workflow.Service) {
		s.Runs = answersFirst{s.Runs, s.Executions}
	})},
	{"a skipped plugin is counted twice", []string{"R2", "R3"}, flows, rewired(func(s *workflow.Service) {
		s.Stages = countsSkipped{s.Stages, s.Compositions}
	})},
	{"an optional plugin's error fails its activity", []string{"R4"}, flows, rewired(func(s *workflow.Service) {
		s.Compositions = altered{s.Compositions, func(p *flow.Plugin) { setMandatory(p, true) }}
	})},
	{"a mandatory plugin's error lets its activity go on", []string{"R4"}, flows, rewired(func(s *workflow.Service) {
		s.Compositions = altered{s.Compositions, func(p *flow.Plugin) { setMandatory(p, false) }}
	})},
	{"a plugin starts although its filter does not match", []string{"R2"}, flows, rewired(func(s *workflow.Service) {
		s.Compositions = altered{s.Compositions, func(p *flow.Plugin) { p.Filter = nil }}
	})},
	{"results that are handed on are empty", []string{"R2"}, flows, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.S3 = emptied{c.S3}
		return c
	}}},
	{"a plugin of moe's orchestrator gets Drover's name of its stage", []string{"R2"}, flows, Options{Tamper: func(c fakeaws.Clients) fakeaws.Clients {
		c.Lambda = misnamed{c.Lambda}
		return c
	}}},
	{"a run again repeats what is Complete", []string{"R2"}, flows, rewired(func(s *workflow.Service) {
		s.Runs = keepsNothing{s.Runs}
	})},
	{"a run takes the newest definition at each step", []string{"R2", "R4", "R1"}, flows, rewired(func(s *workflow.Service) {
		s.Compositions = newest{s.Compositions}
	})},
	{"a start does not see the active run of its uid", []string{"R5"}, flows, rewired(func(s *workflow.Service) {
		s.Claims = unclaimed{s.Claims}
	})},
	{"a run's end is told before it is stored", []string{"R6"}, flows, rewired(func(s *workflow.Service) {
		s.Runs = tellsFirst{s.Runs, s.Bus}
	})},
	{"a run's end is not told", []string{"R6"}, flows, rewired(func(s *workflow.Service) { s.Bus = silentEnds{s.Bus} })},
	{"the ends of turns are not counted", []string{"R1"}, flows, Options{Rewire: func(s *fakeaws.Functions) {
		s.Scavenger.Service.Turns = uncounted{}
	}}},
	{"a turn that was given up counts by its late end", []string{"R2", "R4"}, flows, rewired(func(s *workflow.Service) {
		s.Stages = forgivesTurns{s.Stages}
	})},
}

func rewired(change func(*workflow.Service)) Options {
	return Options{Rewire: func(s *fakeaws.Functions) { change(s.Workflow.Service) }}
}

type answersFirst struct {
	workflow.Runs
	executions workflow.Executions
}

func (a answersFirst) Save(ctx context.Context, before, after flow.Record) (flow.Record, error) {
	if before.Token != "" && before.TokenAt == before.Head.At && after.Head.At != before.Head.At {
		output := document.Encode(map[string]string{"run_id": before.ID, "next": after.Head.At.Stage.String(), "stage": after.Head.At.Stage.String()})
		if err := a.executions.Answer(ctx, before.Token, output); err != nil {
			return before, err
		}
	}
	return a.Runs.Save(ctx, before, after)
}

// countsSkipped counts each skipped turn of a stage for another one, as a counter would that counts it twice.
type countsSkipped struct {
	workflow.Stages
	compositions workflow.Compositions
}

func (c countsSkipped) Progress(ctx context.Context, run string, at flow.Place) (flow.Progress, error) {
	p, err := c.Stages.Progress(ctx, run, at)
	if err != nil || p.Published.Empty() {
		return p, err
	}
	whole, _, err := c.Whole(ctx, run)
	if err != nil {
		return p, err
	}
	parts, err := c.compositions.Version(ctx, whole.Record.Workflow, whole.Record.Version)
	if err != nil {
		return p, err
	}
	plan, err := whole.Subject(parts).Plan(at)
	for _, t := range plan.Turns {
		if !t.Matches && !t.Kept {
			p.Completed = p.Completed.Union(p.Published.Minus(p.Ended()).First(1))
		}
	}
	return p, err
}

// altered changes the plugins of every version.
type altered struct {
	workflow.Compositions
	change func(*flow.Plugin)
}

func (a altered) Version(ctx context.Context, name string, version int) (flow.Composition, error) {
	c, err := a.Compositions.Version(ctx, name, version)
	plugins := map[string]flow.Plugin{}
	for id, p := range c.Plugins {
		a.change(&p)
		plugins[id] = p
	}
	c.Plugins = plugins
	return c, err
}

func setMandatory(p *flow.Plugin, is bool) {
	p.Mandatory = is
	overrides := map[string]flow.Override{}
	for activity, o := range p.Overrides {
		o.Mandatory = nil
		overrides[activity] = o
	}
	p.Overrides = overrides
}

type keepsNothing struct{ workflow.Runs }

func (k keepsNothing) Create(ctx context.Context, r flow.Record, s workflow.Stored, before, after workflow.Claim) error {
	s.Kept = nil
	return k.Runs.Create(ctx, r, s, before, after)
}

type newest struct{ workflow.Compositions }

func (n newest) Version(ctx context.Context, name string, version int) (flow.Composition, error) {
	c, found, err := n.Newest(ctx, name)
	if err != nil || !found {
		return n.Compositions.Version(ctx, name, version)
	}
	return c, nil
}

type unclaimed struct{ workflow.Claims }

func (u unclaimed) Claim(ctx context.Context, name, uid string) (workflow.Claim, error) {
	c, err := u.Claims.Claim(ctx, name, uid)
	c.Active = ""
	return c, err
}

type tellsFirst struct {
	workflow.Runs
	bus workflow.Bus
}

func (t tellsFirst) Save(ctx context.Context, before, after flow.Record) (flow.Record, error) {
	if after.Head.Ended() && !before.Head.Ended() && after.Version > 0 {
		if err := t.bus.Publish(ctx, event.WorkflowEnded(after.Event())); err != nil {
			return before, err
		}
	}
	return t.Runs.Save(ctx, before, after)
}

type silentEnds struct{ workflow.Bus }

func (s silentEnds) Publish(ctx context.Context, facts ...event.Fact) error {
	for _, f := range facts {
		if f.Type == "WorkflowCompleted" {
			return nil
		}
	}
	return s.Bus.Publish(ctx, facts...)
}

type uncounted struct{}

func (uncounted) Record(context.Context, []task.Task) error { return nil }

// forgivesTurns drops what was given up of a stage as soon as a turn of it has completed.
type forgivesTurns struct{ workflow.Stages }

func (f forgivesTurns) Progress(ctx context.Context, run string, at flow.Place) (flow.Progress, error) {
	p, err := f.Stages.Progress(ctx, run, at)
	if !p.Completed.Empty() {
		p.Completed = p.Completed.Union(p.Cancelled).Union(p.TimedOut)
		p.Cancelled, p.TimedOut = segment.Numbers{}, segment.Numbers{}
	}
	return p, err
}

type emptied struct{ s3.API }

func (e emptied) PutObject(ctx context.Context, in *awss3.PutObjectInput, o ...func(*awss3.Options)) (*awss3.PutObjectOutput, error) {
	if strings.HasPrefix(*in.Key, "runs/") {
		in.Body = strings.NewReader("{}")
	}
	return e.API.PutObject(ctx, in, o...)
}

type misnamed struct{ lambda.API }

func (m misnamed) Invoke(ctx context.Context, in *awslambda.InvokeInput, o ...func(*awslambda.Options)) (*awslambda.InvokeOutput, error) {
	in.Payload = bytes.ReplaceAll(in.Payload, []byte(`\"stage\":\"async\"`), []byte(`\"stage\":\"parallel\"`))
	return m.API.Invoke(ctx, in, o...)
}

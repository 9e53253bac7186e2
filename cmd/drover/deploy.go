package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/infra"
	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/core/packaging"
	"github.com/drover-run/drover/shared/core/spelling"
)

func newDeploy(s *shell) *cobra.Command {
	var d deployment
	c := &cobra.Command{
		Use:   "deploy [--parameter Name=value]... [--yes | --dry-run]",
		Short: "create or update the stack, after showing what changes",
		Long: `Creates or updates the stack from the template in this program and the functions' code beside it, as a release archive has them: it needs no checkout.
It uploads the code to a bucket, by default drover-artifacts-ACCOUNT-REGION, which it creates if it is missing: private, encrypted, over TLS only, objects
expire after 400 days. Then it shows what CloudFormation would add, modify, replace and remove, and asks before it does that. Without a terminal it needs
--yes. It follows the stack to the end and prints its outputs; if it fails, the reasons of the resources that failed.

Running it again without changes does nothing. Parameters that are not given keep their values. The functions run on x86_64 unless the parameter
Architecture says arm64; on a local AWS, on this machine's processor.

--write-template uploads the code and writes a template that names it, for tools that deploy stacks themselves; it deploys nothing.
--template deploys another template, in YAML, as another stack: local paths in CodeUri and DefinitionUri are uploaded, folders as zips.`,
		Example: `  drover deploy
  drover deploy --parameter Architecture=arm64 --parameter AlarmEmail=you@example.com
  drover --stack test deploy --dry-run
  drover deploy --yes --json | jq -r .outputs.EventBusName`,
		Args: exactly(),
	}
	c.Flags().BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&d.dry, "dry-run", false, "show what would change, and change nothing but the bucket")
	c.Flags().StringArrayVar(&d.pairs, "parameter", nil, "a parameter of the template as `Name=value`; may be repeated")
	c.Flags().StringVar(&d.bucket, "bucket", s.environment("DROVER_ARTIFACTS_BUCKET"), "the `name` of an existing bucket for the code; $DROVER_ARTIFACTS_BUCKET sets the default")
	c.Flags().StringVar(&d.code, "code", "", "the `folder` of a release archive, with the functions' code (default: that of this program)")
	c.Flags().StringVar(&d.template, "template", "", "deploy the template in this `file` instead of Drover's")
	c.Flags().StringVar(&d.write, "write-template", "", "only upload the code, and write the template that names it to a `file`")
	c.MarkFlagsMutuallyExclusive("yes", "dry-run", "write-template")
	c.MarkFlagsMutuallyExclusive("code", "template")
	c.RunE = func(c *cobra.Command, _ []string) error { return d.run(c.Context(), s) }
	return c
}

// deployment is one run of deploy.
type deployment struct {
	yes, dry                      bool
	pairs                         []string // Name=value
	bucket, code, template, write string
}

// deployed holds the JSON document that deploy prints.
type deployed struct {
	Stack   string                  `json:"stack"`
	Changes []cloudformation.Change `json:"changes"`
	Outputs map[string]string       `json:"outputs,omitempty"`
}

func (d deployment) run(ctx context.Context, s *shell) error {
	if !d.yes && !d.dry && d.write == "" && !s.attended() {
		return badInput("nothing was deployed: there is no terminal to ask at; add --yes, or --dry-run to see what would change")
	}
	code, err := d.read(s)
	if err != nil {
		return err
	}
	st, err := s.open(ctx, s.stackName)
	if err != nil && !cloudformation.IsMissing(err) {
		return err
	}
	if st.Outputs[versionOutput] != "" && !code.template.HasOutput(versionOutput) && d.write == "" {
		return badInput("--template: stack %s is a Drover, which %s would replace; name another with --stack", st.Name, d.template)
	}
	state := st.Status
	created := cloudformation.IsMissing(err)
	fresh := created || state == reviewed
	if help := st.stuck(); help != "" && d.write == "" {
		return fmt.Errorf("stack %s is in %s: %s", st.Name, state, help)
	}
	if state == reviewed && d.write == "" {
		s.say("Stack %s is in %s: a change set that was to create it was never executed. It is created now.", st.Name, state)
	}
	values, kept, err := d.parameters(code.template, st, fresh)
	if err != nil {
		return err
	}
	artifacts, err := code.artifacts(architecture(code.template, values, st))
	if err != nil {
		return err
	}
	bucket, err := st.bucketFor(ctx, d.bucket)
	if err != nil {
		return err
	}
	packed, err := d.upload(ctx, s, code.template, artifacts, bucket)
	if err != nil {
		return err
	}
	if d.write != "" {
		return d.writeTemplate(s, packed)
	}
	s.say("Comparing stack %s in account %s, %s%s, with the template", st.Name, bucket.Account, st.region, at(st.endpoint))
	proposal := cloudformation.Proposal{Stack: st.Name, Name: "drover-" + s.now().UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:8]), New: fresh, Created: created,
		Parameters: values, Kept: kept, URL: packed.url}
	if proposal.URL == "" {
		proposal.Text = string(packed.text)
	}
	return s.change(ctx, st, proposal, d)
}

// versionOutput names the output by which a stack is known to be a Drover.
const versionOutput = "TemplateVersion"

// reviewed names the state of a stack whose first change set was never executed: it has no resources.
const reviewed = "REVIEW_IN_PROGRESS"

// at returns an endpoint for a message; "" for AWS's own.
func at(endpoint string) string {
	if endpoint == "" {
		return ""
	}
	return " at " + endpoint
}

// stuck returns what to do about a state in which CloudFormation refuses an update, or "". CloudFormation's own messages do not say.
func (s *stack) stuck() string {
	switch s.Status {
	case "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED":
		return "it can only be deleted: run " + s.command("cloudformation", "delete-stack", "--stack-name", s.Name) + ", then deploy again"
	case "UPDATE_ROLLBACK_FAILED":
		return "fix what its events name, then run " + s.command("cloudformation", "continue-update-rollback", "--stack-name", s.Name)
	case reviewed:
		return ""
	}
	if strings.HasSuffix(s.Status, "_IN_PROGRESS") {
		return "another operation is in progress: deploy again when it has ended"
	}
	return ""
}

// local reports whether the endpoint is on this machine: a local AWS, which runs the functions here.
func (s *stack) local() bool {
	at, err := url.Parse(s.endpoint)
	return err == nil && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, at.Hostname())
}

// The names that Lambda and Go have for the same processors.
var processors = map[string]string{"x86_64": "amd64", "arm64": "arm64"}

// parameters returns the values to set, and the names of the parameters that keep the stack's value. Values follow from the endpoint unless the user gives
// them.
func (d deployment) parameters(t packaging.Template, st *stack, fresh bool) (values map[string]string, kept []string, err error) {
	known := t.Parameters()
	values = map[string]string{}
	if strings.HasPrefix(st.endpoint, "http://") {
		values["TlsOnly"] = "false"
	}
	if st.local() {
		if fresh { // a local AWS does not evaluate tags of targets
			maps.Copy(values, map[string]string{"WorkerFunctionArns": "*", "WorkerQueueArns": "*", "WorkerStateMachineArns": "*"})
		}
		if runtime.GOARCH == "arm64" {
			values["Architecture"] = "arm64"
		} else {
			values["Architecture"] = "x86_64"
		}
	}
	maps.DeleteFunc(values, func(name, _ string) bool { _, has := known[name]; return !has })
	for _, pair := range d.pairs {
		name, value, given := strings.Cut(pair, "=")
		if _, has := known[name]; !has || !given {
			names := slices.Sorted(maps.Keys(known))
			hint := "; the template has " + strings.Join(names, ", ")
			if near, found := spelling.Nearest(name, names); found && !has {
				hint = "; did you mean " + near + "?"
			}
			return nil, nil, badInput("--parameter %q: want Name=value with a parameter of the template%s", pair, hint)
		}
		values[name] = value
	}
	for name := range st.Parameters {
		_, has := known[name]
		if _, set := values[name]; has && !set && !fresh {
			kept = append(kept, name)
		}
	}
	slices.Sort(kept)
	return values, kept, nil
}

// architecture returns the processor that the functions of the stack will run on, in Go's words.
func architecture(t packaging.Template, values map[string]string, st *stack) string {
	for _, from := range []map[string]string{values, st.Parameters, t.Parameters()} {
		if is, known := processors[from["Architecture"]]; known {
			return is
		}
	}
	return "amd64"
}

// bucketFor returns the named bucket or, for "", the account's own one for artifacts, which it makes if it is missing.
func (s *stack) bucketFor(ctx context.Context, name string) (s3.Artifacts, error) {
	caller := strings.Split(s.caller(ctx), ":") // arn:PARTITION:sts::ACCOUNT:…
	if len(caller) < 6 {
		return s3.Artifacts{}, errors.New("the account of the credentials is not known: sts:GetCallerIdentity fails; check the credentials and the endpoint")
	}
	bucket := s3.Artifacts{API: s.artifacts, Name: name, Account: caller[4], Partition: caller[1], Region: s.region, Endpoint: s.endpoint}
	if name != "" {
		return bucket, nil
	}
	bucket.Name = "drover-artifacts-" + bucket.Account + "-" + s.region
	_, err := bucket.Make(ctx)
	if errors.Is(err, s3.ErrForeign) || kindOf(err) == denied {
		err = fmt.Errorf("%w; name another bucket with --bucket", err)
	}
	return bucket, err
}

// change carries a proposal out, or shows it.
func (s *shell) change(ctx context.Context, st *stack, proposal cloudformation.Proposal, d deployment) error {
	deployer := cloudformation.Deployer{API: st.deploys, Wait: s.wait}
	set, err := deployer.Propose(ctx, proposal)
	if err != nil {
		return err
	}
	if len(set.Changes) == 0 {
		s.say("Stack %s is up to date: nothing changes.", st.Name)
		return s.printDeployed(deployed{st.Name, []cloudformation.Change{}, st.Outputs})
	}
	s.showChanges(set)
	if d.dry {
		if err := deployer.Discard(ctx, set); err != nil {
			return err
		}
		return s.printDeployed(deployed{Stack: st.Name, Changes: set.Changes})
	}
	if !d.yes {
		if yes, err := s.ask(fmt.Sprintf("Deploy this to stack %s?", st.Name)); err != nil || !yes || ctx.Err() != nil {
			return errors.Join(err, errors.New("nothing was deployed: the answer was not yes; to deploy without a question: --yes"),
				deployer.Discard(context.WithoutCancel(ctx), set))
		}
	}
	execution, err := deployer.Execute(ctx, set)
	if errors.Is(err, cloudformation.ErrMayRun) {
		return unknownError{fmt.Errorf("%w; to see its state: %s", err, st.look())}
	}
	if err != nil {
		return err
	}
	if err := s.followDeployment(ctx, st, execution, len(set.Changes)); err != nil {
		return err
	}
	patient := s.following("the stack is deployed; to see its outputs: " + st.look())
	for {
		now, err := cloudformation.Describe(ctx, st.deploys, st.Name)
		if err == nil {
			patient.answered()
			return s.printDeployed(deployed{st.Name, set.Changes, now.Outputs})
		}
		if err := patient.bear(ctx, err); err != nil {
			return err
		}
	}
}

// look returns the command that shows the stack's state and outputs.
func (s *stack) look() string {
	return s.command("cloudformation", "describe-stacks", "--stack-name", s.Name)
}

// How long two looks at a deployment are apart: short at first, for a local AWS.
const (
	shortestLook = 200 * time.Millisecond
	longestLook  = 3 * time.Second
)

// followDeployment waits until a deployment has ended, and prints the reasons of resources that fail. The error says the state that the stack is left in,
// and what to do.
func (s *shell) followDeployment(ctx context.Context, st *stack, e *cloudformation.Execution, resources int) error {
	p := newProgress(s.err, s.now)
	defer p.end()
	patient := s.following("the deployment continues in CloudFormation; to see its state: " + st.look())
	patient.say = p.note
	told := 0
	for pause := shortestLook; ; pause = min(2*pause, longestLook) {
		ended, err := e.Look(ctx)
		if err != nil {
			if err := patient.bear(ctx, err); err != nil {
				return err
			}
			continue
		}
		patient.answered()
		for ; told < len(e.Failures); told++ {
			p.note(plain(e.Failures[told]))
		}
		if ended {
			break
		}
		n := min(e.Completed, resources)
		p.show(barOf(n, 0, resources), fmt.Sprintf("%d of %s, stack %s %s", n, numbered(resources, "resource", "resources"), st.Name, strings.ToLower(e.Status)))
		if s.wait(ctx, pause) != nil {
			return unknownError{fmt.Errorf("interrupted; %s", patient.what)}
		}
	}
	if e.Succeeded() {
		s.say("Stack %s is %s.", st.Name, e.Status)
		return nil
	}
	st.Status = e.Status
	help := st.stuck()
	if help == "" {
		help = "it is as it was before"
	}
	return fmt.Errorf("stack %s is in %s: %s", st.Name, e.Status, help)
}

// printDeployed prints the stack's outputs.
func (s *shell) printDeployed(d deployed) error {
	if s.json {
		return s.document(d)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Outputs)) {
		fmt.Fprintf(s.out, "%-32s %s\n", name, d.Outputs[name])
	}
	return nil
}

// read reads the template and finds its code.
func (d deployment) read(s *shell) (codeBase, error) {
	text, base := infra.Template(), codeBase{folder: d.code}
	if d.template != "" {
		var err error
		if text, err = os.ReadFile(d.template); err != nil {
			return codeBase{}, inputError{err}
		}
		if s.stackName == defaultStack && packaging.Version(text) != infra.TemplateVersion() {
			return codeBase{}, badInput("--template: %s would replace Drover's own stack; name another with --stack", d.template)
		}
		base.file = d.template
	}
	t, err := packaging.Read(text)
	if err != nil {
		return codeBase{}, inputError{err}
	}
	base.template = t
	return base, nil
}

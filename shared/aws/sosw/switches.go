package sosw

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/sosw"
)

// Rules has the calls of EventBridge that find out what invokes sosw's functions.
type Rules interface {
	ListRules(context.Context, *eventbridge.ListRulesInput, ...func(*eventbridge.Options)) (*eventbridge.ListRulesOutput, error)
	ListTargetsByRule(context.Context, *eventbridge.ListTargetsByRuleInput, ...func(*eventbridge.Options)) (*eventbridge.ListTargetsByRuleOutput, error)
}

// Invoked adds the rules of the default bus that invoke sosw's orchestrator or scavenger, in any version or alias.
func Invoked(ctx context.Context, api Rules, s *sosw.Switches) error {
	in := eventbridge.ListRulesInput{}
	for {
		page, err := api.ListRules(ctx, &in)
		if err != nil {
			return fmt.Errorf("listing the rules of the default bus, %w", err)
		}
		for _, rule := range page.Rules {
			targets, err := api.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: rule.Name})
			if err != nil {
				return fmt.Errorf("reading the targets of rule %s, %w", aws.ToString(rule.Name), err)
			}
			is := sosw.Rule{Name: aws.ToString(rule.Name), Enabled: rule.State != types.RuleStateDisabled}
			for _, t := range targets.Targets {
				switch functionOf(aws.ToString(t.Arn)) {
				case s.Orchestrator:
					s.OrchestratorRules = append(s.OrchestratorRules, is)
				case s.Scavenger:
					s.ScavengerRules = append(s.ScavengerRules, is)
				}
			}
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return nil
		}
	}
}

// functionOf returns the name of the function in an ARN, or "".
func functionOf(arn string) string {
	fields := strings.Split(arn, ":")
	if len(fields) < 7 || fields[2] != "lambda" {
		return ""
	}
	return fields[6]
}

// Configured adds the caps in sosw's table of configurations, whose items have the names of functions and the text of a JSON object. The
// orchestrator's own item comes before the one that all functions share.
func Configured(ctx context.Context, api API, table string, s *sosw.Switches) error {
	s.Caps = map[string]float64{}
	texts := map[string]string{}
	for it, err := range Scan(ctx, api, table) {
		if err != nil {
			return err
		}
		row := attributes(it)
		texts[row["config_name"].Text] = row["config_value"].Text
	}
	type task struct {
		Labourers map[string]struct {
			Cap *float64 `json:"max_simultaneous_invocations"`
		} `json:"labourers"`
	}
	for _, name := range []string{"sosw_essential_config", s.Orchestrator + "_config"} {
		var config struct {
			Task task `json:"task_config"`
		}
		if err := exact.Decode([]byte(texts[name]), &config); err != nil {
			continue // sosw could not read it either
		}
		for id, l := range config.Task.Labourers {
			if l.Cap != nil {
				s.Caps[id] = *l.Cap
			}
		}
	}
	return nil
}

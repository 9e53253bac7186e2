package sosw

import (
	"fmt"
	"strings"
)

// Rule is a rule of the default bus that invokes one of sosw's functions.
type Rule struct {
	Name    string
	Enabled bool
}

// Switches holds what decides whether sosw starts tasks and moves rows.
type Switches struct {
	Orchestrator, Scavenger           string // the functions' names
	OrchestratorRules, ScavengerRules []Rule
	// Caps holds max_simultaneous_invocations of the labourers, as sosw's table of configurations has them.
	Caps map[string]float64
	// Declared says that the user vouches for the fence.
	Declared bool
}

// Scavenges reports whether sosw's scavenger runs.
func (s Switches) Scavenges() bool { return enabled(s.ScavengerRules) != "" }

// Fence reports whether sosw starts at most share tasks of a labourer at once, and how that is known or what would make it so.
func (s Switches) Fence(labourer string, share float64) (off bool, how string) {
	rule := enabled(s.OrchestratorRules)
	limit, known := s.Caps[labourer]
	switch {
	case s.Declared:
		return true, "you said that it is off (--fenced)"
	case rule == "" && len(s.OrchestratorRules) == 0:
		return true, fmt.Sprintf("no rule of the default bus invokes %s", s.Orchestrator)
	case rule == "":
		return true, fmt.Sprintf("rule %s, which invokes %s, is disabled", s.OrchestratorRules[0].Name, s.Orchestrator)
	case known && limit <= share:
		return true, fmt.Sprintf("max_simultaneous_invocations of %s is %v in sosw's configuration", labourer, limit)
	}
	var wants strings.Builder
	fmt.Fprintf(&wants, "rule %s still invokes %s, ", rule, s.Orchestrator)
	if known {
		fmt.Fprintf(&wants, "and max_simultaneous_invocations of %s is %v there", labourer, limit)
	} else {
		fmt.Fprintf(&wants, "and sosw's table of configurations has no max_simultaneous_invocations of %s", labourer)
	}
	fmt.Fprintf(&wants, "; set it to %v in the item %s_config, or disable the rule (aws events disable-rule --name %s), and wait for a minute", share, s.Orchestrator, rule)
	return false, wants.String()
}

// enabled returns the name of a rule that is enabled, or "".
func enabled(rules []Rule) string {
	for _, r := range rules {
		if r.Enabled {
			return r.Name
		}
	}
	return ""
}

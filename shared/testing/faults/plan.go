package faults

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind names a way in which a request goes wrong.
type Kind string

// The package's documentation describes them.
const (
	Before   Kind = "before"
	After    Kind = "after"
	Throttle Kind = "throttle"
	Conflict Kind = "conflict"
	Slow     Kind = "slow"
	Partial  Kind = "partial"
)

// kinds holds the order in which a number from [0,1) selects one of them.
var kinds = []Kind{Before, After, Throttle, Conflict, Slow, Partial}

// Plan sets how often which requests go wrong. With the zero value none does.
type Plan struct {
	// Seed decides which requests go wrong: an instance that makes the same requests meets the same faults.
	Seed uint64
	// Through holds the share of failures that the SDK does not retry, 0 to 1.
	Through float64
	// Delay holds the longest delay of a slow request.
	Delay time.Duration

	chances map[string]float64 // by setting, lower-case: "after", "sqs.after", "sqs.sendmessage.after"
}

// The defaults of settings that a plan does not give.
const (
	defaultThrough = 0.5
	defaultDelay   = time.Second
)

// Parse reads a plan: settings name=value separated by commas, such as
//
//	seed=7,before=0.03,after=0.03,throttle=0.03,slow=0.02,partial=0.05,delay=500ms,through=0.3,lambda.after=0,sqs.SendMessageBatch.partial=0.5
//
// A chance, from 0 to 1, applies to each attempt of a request. The name may begin with the SDK's id of a service, or with that and an operation; the most
// specific setting counts. The error names the setting.
func Parse(text string) (Plan, error) {
	p := Plan{Through: defaultThrough, Delay: defaultDelay, chances: map[string]float64{}}
	for setting := range strings.SplitSeq(text, ",") {
		if setting = strings.TrimSpace(setting); setting == "" {
			continue
		}
		name, value, _ := strings.Cut(setting, "=")
		if err := p.set(strings.ToLower(name), value); err != nil {
			return Plan{}, fmt.Errorf("fault setting %q: %w", setting, err)
		}
	}
	// The sum of the chances in one scope must not exceed 1.
	for scope := range maps.Keys(p.scopes()) {
		service, operation, _ := strings.Cut(scope, ".")
		sum := 0.0
		for _, k := range kinds {
			sum += p.chance(k, service, operation)
		}
		if sum > 1 {
			return Plan{}, fmt.Errorf("the chances of %q add up to %g; want at most 1", scope, sum)
		}
	}
	return p, nil
}

func (p *Plan) set(name, value string) (err error) {
	switch name {
	case "seed":
		p.Seed, err = strconv.ParseUint(value, 10, 64)
		return err
	case "delay":
		p.Delay, err = time.ParseDuration(value)
		if err == nil && p.Delay <= 0 {
			err = fmt.Errorf("want a time above 0")
		}
		return err
	}
	chance, err := strconv.ParseFloat(value, 64)
	if err != nil || !(chance >= 0 && chance <= 1) {
		return fmt.Errorf("want a number from 0 to 1")
	}
	if name == "through" {
		p.Through = chance
		return nil
	}
	parts := strings.Split(name, ".")
	if kind := Kind(parts[len(parts)-1]); len(parts) > 3 || !slices.Contains(kinds, kind) {
		return fmt.Errorf("want seed, through, delay or [service.[operation.]]kind, where kind is one of %v", kinds)
	}
	p.chances[name] = chance
	return nil
}

// scopes returns the scopes of the given chances: "", a service, or a service and an operation.
func (p Plan) scopes() map[string]bool {
	out := map[string]bool{"": true}
	for name := range p.chances {
		scope, _, _ := cutLast(name)
		out[scope] = true
	}
	return out
}

func cutLast(name string) (scope, kind string, found bool) {
	if i := strings.LastIndex(name, "."); i >= 0 {
		return name[:i], name[i+1:], true
	}
	return "", name, false
}

// chance returns the chance of a fault of this kind in an attempt of an operation of a service.
func (p Plan) chance(k Kind, service, operation string) float64 {
	service, operation = strings.ToLower(strings.ReplaceAll(service, " ", "")), strings.ToLower(operation)
	for _, name := range []string{service + "." + operation + "." + string(k), service + "." + string(k), string(k)} {
		if c, given := p.chances[name]; given {
			return c
		}
	}
	return 0
}

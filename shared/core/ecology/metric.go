package ecology

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Metric holds one dependency of a labourer's workers, and their feelings about its values.
type Metric struct {
	Query    Query
	Feelings Feelings // empty: the metric takes no part in the status, only a cap is found by it
	Operator Operator
	Missing  Missing
	Settle   time.Duration // a better status counts only after it has lasted this long; a worse one counts at once
}

// Key returns the key of the query. Metrics with the same query share CloudWatch's answer, even with different feelings.
func (m Metric) Key() string { return m.Query.Key() }

// Felt reports whether the metric takes part in the labourer's status.
func (m Metric) Felt() bool { return len(m.Feelings) > 0 }

// Missing sets what a metric's status is while it has no value.
type Missing string

const (
	// Unsaid, the default, means Ignore if there is no data, because a quiet dependency often publishes none. It means MissingIsBad if CloudWatch
	// could not be read or refused the query, because then nothing is known and load may do harm.
	Unsaid Missing = ""
	// Ignore excludes the metric from the labourer's status.
	Ignore Missing = "ignore"
	// MissingIsBad makes the status Bad.
	MissingIsBad Missing = "bad"
	// Last keeps the last status. Without a last status it means Unsaid.
	Last Missing = "last"
)

// Feelings holds, for each status, the target that a value has to meet. A status without a target is never felt, except Bad, which is felt if the value
// meets no target.
type Feelings map[Status]float64

// descending returns the statuses that have a target, best first, which is the order in which they are tried.
func (f Feelings) descending() []Status {
	statuses := make([]Status, 0, len(f))
	for s := High; s >= Bad; s-- {
		if _, ok := f[s]; ok {
			statuses = append(statuses, s)
		}
	}
	return statuses
}

// better returns the target of the next better status; found is false if there is none.
func (f Feelings) better(than Status) (target float64, found bool) {
	for s := than + 1; s <= High; s++ {
		if target, found = f[s]; found {
			return target, true
		}
	}
	return 0, false
}

// Check returns why the targets contradict the operator, or nil. If lower values are better, a better status must not have a higher target, and vice
// versa. Equal targets are valid: the better status wins.
func (f Feelings) Check(operator Operator) error {
	statuses := f.descending()
	for i := 1; i < len(statuses); i++ {
		better, worse := statuses[i-1], statuses[i]
		if operator.LowerIsBetter() && f[better] > f[worse] {
			return fmt.Errorf("%d (%s) must not have a higher target (%s) than %d (%s: %s), as lower values are better with %q",
				better, better, decimal(f[better]), worse, worse, decimal(f[worse]), operator)
		}
		if !operator.LowerIsBetter() && f[better] < f[worse] {
			return fmt.Errorf("%d (%s) must not have a lower target (%s) than %d (%s: %s), as higher values are better with %q",
				better, better, decimal(f[better]), worse, worse, decimal(f[worse]), operator)
		}
	}
	return nil
}

// feel returns the best status whose target the value meets, or Bad if it meets none.
func (m Metric) feel(value float64) (Status, string) {
	for _, s := range m.Feelings.descending() {
		if target := m.Feelings[s]; m.Operator.holds(value, target) {
			return s, fmt.Sprintf("%s %s %s", decimal(value), m.Operator, decimal(target))
		}
	}
	targets := make([]string, 0, len(m.Feelings))
	for _, s := range slices.Backward(m.Feelings.descending()) {
		targets = append(targets, fmt.Sprintf("%s (%s)", decimal(m.Feelings[s]), s))
	}
	return Bad, fmt.Sprintf("%s is not %s %s", decimal(value), m.Operator, strings.Join(targets, " or "))
}

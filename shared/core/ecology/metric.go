package ecology

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Metric is one thing that a labourer's workers depend on, and how they feel about its values.
type Metric struct {
	Query    Query
	Feelings Feelings
	Operator Operator
	Missing  Missing
	Settle   time.Duration // a better status counts only after it has been so for this long; 0 = at once. A worse one counts at once.
}

// Key is that of the query: metrics with the same details share what CloudWatch answered, whatever they feel about it.
func (m Metric) Key() string { return m.Query.Key() }

// Missing says what a metric's status is while there is no value to judge.
type Missing string

const (
	// Unsaid is the default: as Ignore where there is no data, for a quiet dependency often publishes none; as MissingIsBad where
	// CloudWatch could not be asked or refused the question, for then nothing is known and load may do harm.
	Unsaid Missing = ""
	// Ignore leaves the metric out of the labourer's status.
	Ignore Missing = "ignore"
	// MissingIsBad makes the status Bad.
	MissingIsBad Missing = "bad"
	// Last keeps the last status there was; before there was one it is Unsaid.
	Last Missing = "last"
)

// Feelings is the target that a value has to meet for each status. A status without one is never felt, but for Bad, which is felt when
// the value meets no target.
type Feelings map[Status]float64

// descending lists the statuses with a target, best first: the order in which they are tried.
func (f Feelings) descending() []Status {
	statuses := make([]Status, 0, len(f))
	for s := High; s >= Bad; s-- {
		if _, ok := f[s]; ok {
			statuses = append(statuses, s)
		}
	}
	return statuses
}

// Check tells why the targets can not be meant with the operator: where lower values are better, a better status must
// not have the higher target, and the other way round. Equal targets are legal: the better status wins.
func (f Feelings) Check(operator Operator) error {
	statuses := f.descending()
	for i := 1; i < len(statuses); i++ {
		better, worse := statuses[i-1], statuses[i]
		if operator.lowerIsBetter() && f[better] > f[worse] {
			return fmt.Errorf("%d (%s) must not have a higher target (%s) than %d (%s: %s), as lower values are better with %q",
				better, better, decimal(f[better]), worse, worse, decimal(f[worse]), operator)
		}
		if !operator.lowerIsBetter() && f[better] < f[worse] {
			return fmt.Errorf("%d (%s) must not have a lower target (%s) than %d (%s: %s), as higher values are better with %q",
				better, better, decimal(f[better]), worse, worse, decimal(f[worse]), operator)
		}
	}
	return nil
}

// feel is the best status whose target the value meets, Bad when it meets none.
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

package inspect

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/drover-run/drover/shared/core/labourer"
)

// OutOfReach returns why no call of a stack at home can reach a target, as far as the target's address tells, and what to do. It returns ""
// when a call may.
func OutOfReach(t labourer.Target, home labourer.Place) (why, fix string) {
	is := t.Place()
	kind := map[string]string{"lambda": "function", "sqs": "queue", "states": "state machine"}[t.Kind()]
	switch {
	case is.Region != "" && home.Region != "" && is.Region != home.Region:
		return fmt.Sprintf("%s %s is in region %s, and the stack in %s, which does not reach it", kind, t.Address(), is.Region, home.Region),
			fmt.Sprintf("apply the labourer with a target in %s, or to a stack in %s", home.Region, is.Region)
	case is.Partition != "" && home.Partition != "" && is.Partition != home.Partition:
		return fmt.Sprintf("%s %s is in partition %s, and the stack in %s, which does not reach it", kind, t.Address(), is.Partition, home.Partition),
			"apply the labourer with a target in the stack's partition"
	case t.Kind() == "states" && Abroad(is, home) != "":
		return fmt.Sprintf("state machine %s is of account %s, and the stack of %s: Step Functions starts no machine of another account", t.Address(), is.Account, home.Account),
			"apply the labourer with a machine, or a function that starts it, in account " + home.Account
	}
	return "", ""
}

// Abroad returns the account of a place that is not the account at home; "" when it is, or when either account is not known.
func Abroad(is, home labourer.Place) string {
	if is.Account != "" && home.Account != "" && is.Account != home.Account {
		return is.Account
	}
	return ""
}

// Covers reports whether a policy's ARN pattern covers an ARN: * stands for any text and ? for any letter.
func Covers(pattern, arn string) bool {
	quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`^` + quoted + `$`).MatchString(arn)
}

package job

import (
	"strings"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

var (
	labourerName = lazyregexp.New(`^[A-Za-z0-9_.-]{1,128}$`)
	qualifier    = lazyregexp.New(`^(\$LATEST|[A-Za-z0-9_-]{1,128})$`)
)

const wantedLabourer = `want a labourer's id, a function's "name:alias", or the ARN of a Lambda function, an SQS queue or a state machine`

// labourerOf reads the labourer's name and the alias or version from an id, a "name:alias", or a full or partial ARN.
func labourerOf(field, given string) (name, alias string, wrong *Error) {
	name, alias, ok := split(given)
	switch {
	case !ok:
		return "", "", refuse(field, "%q contains no labourer's name; %s", shorten(given), wantedLabourer)
	case !labourerName.MatchString(name):
		return "", "", refuse(field, "%q is not a labourer's id (1 to 128 of A-Z a-z 0-9 _ . -); %s", shorten(name), wantedLabourer)
	case alias != "" && !qualifier.MatchString(alias):
		return "", "", refuse(field, "%q is not an alias or a version; %s", shorten(alias), wantedLabourer)
	}
	return name, alias, nil
}

// split returns the name and the qualifier of
//
//	arn:<partition>:lambda:<region>:<account>:function:<name>[:<qualifier>], also partial, as the Lambda API allows
//	arn:<partition>:states:<region>:<account>:stateMachine:<name>[:<qualifier>]
//	arn:<partition>:sqs:<region>:<account>:<name>
//	<name>[:<qualifier>]
func split(given string) (name, alias string, ok bool) {
	parts := strings.Split(given, ":")
	if parts[0] == "arn" {
		if len(parts) < 6 {
			return "", "", false
		}
		service, resource := parts[2], parts[5:]
		switch {
		case service == "sqs" && len(resource) == 1:
			return resource[0], "", true
		case service == "lambda" && resource[0] == "function", service == "states" && resource[0] == "stateMachine":
			parts = resource[1:]
		default:
			return "", "", false
		}
	} else if len(parts) > 2 && parts[1] == "function" { // <account>:function:<name>
		parts = parts[2:]
	} else if len(parts) > 1 && parts[0] == "function" {
		parts = parts[1:]
	}
	switch len(parts) {
	case 1:
		return parts[0], "", true
	case 2:
		return parts[0], parts[1], parts[1] != ""
	default:
		return "", "", false
	}
}

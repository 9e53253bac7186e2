package labourer

import (
	"net/url"
	"strings"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

// Place holds where a target is, according to its address. Unknown parts are "".
type Place struct {
	Partition string // aws, aws-cn, aws-us-gov, …
	Region    string
	Account   string
}

// Place returns where the target is, according to its address.
func (t Target) Place() Place {
	if t.SQS != "" {
		return placeOfQueue(t.SQS)
	}
	return PlaceOf(t.Address())
}

// PlaceOf returns where the resource of an ARN is. A Lambda function's partial ARN (account:function:name) gives only the account.
func PlaceOf(arn string) Place {
	parts := strings.SplitN(arn, ":", 6)
	switch {
	case len(parts) == 6 && parts[0] == "arn":
		return Place{parts[1], parts[3], parts[4]}
	case len(parts) > 1 && digits.MatchString(parts[0]):
		return Place{Account: parts[0]}
	}
	return Place{}
}

var (
	digits = lazyregexp.New(`^\d{6,}$`)
	// https://docs.aws.amazon.com/general/latest/gr/sqs-service.html, with the forms of older SDKs and of endpoints in a VPC.
	queueHost = lazyregexp.New(`^(?:(?:[a-z0-9-]+\.)*sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?|([a-z0-9-]+)\.queue\.)(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)$`)
)

func placeOfQueue(address string) Place {
	u, err := url.Parse(address)
	if err != nil {
		return Place{}
	}
	var p Place
	host := strings.ToLower(u.Hostname())
	if parts := queueHost.FindStringSubmatch(host); parts != nil {
		p.Region = parts[1] + parts[2]
	} else if host == "queue.amazonaws.com" {
		p.Region = "us-east-1"
	}
	switch {
	case p.Region == "":
	case strings.HasPrefix(p.Region, "cn-"):
		p.Partition = "aws-cn"
	case strings.HasPrefix(p.Region, "us-gov-"):
		p.Partition = "aws-us-gov"
	}
	if account, _, found := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); found && digits.MatchString(account) {
		p.Account = account
	}
	return p
}

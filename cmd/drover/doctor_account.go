package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/shared/cloudformation"
	"github.com/drover-run/drover/shared/labourer"
)

// concurrencies are the template's parameters that reserve invocations for the stack's functions, each with what it asks for at most where
// nothing is reserved, as the template says.
var concurrencies = []struct {
	parameter string
	asks      int
}{{"SchedulerConcurrency", 10}, {"OrchestratorConcurrency", 10}, {"WorkerAssistantConcurrency", 20}, {"ScavengerConcurrency", 4}}

// room looks whether workers could take all the concurrent invocations that the account has, and leave the stack's own functions none: then
// nobody closes tasks, which would end the workers' turn. What cannot be told is no finding.
func (d *doctor) room(ctx context.Context, labourers []labourer.Labourer) check {
	const name = "concurrency"
	out, err := d.functions.GetAccountSettings(ctx, &awslambda.GetAccountSettingsInput{})
	if err != nil || out.AccountLimit == nil || out.AccountLimit.UnreservedConcurrentExecutions == nil {
		why := "Lambda does not tell it"
		if err != nil {
			why = reason(err)
		}
		return fine(name, "the account's quota is not known: %s", why)
	}
	quota := int(*out.AccountLimit.UnreservedConcurrentExecutions)
	workers := 0.0
	for _, l := range labourers {
		if far, _ := d.outOfReach(l.Target); l.Target.Kind() == "lambda" && far == "" && d.abroad(l.Target.Place()) == "" {
			workers += l.MaxSimultaneousInvocations
		}
	}
	own := 0
	var unreserved []string
	for _, c := range concurrencies {
		if reserved := d.Parameters[c.parameter]; reserved == "" || reserved == "0" {
			own += c.asks
			unreserved = append(unreserved, fmt.Sprintf("%s=%d", c.parameter, c.asks))
		}
	}
	if own == 0 || workers+float64(own) <= float64(quota) {
		return fine(name, "workers may run %s at once, the account %d", number(workers), quota)
	}
	return wrong(name, "lower the labourers' caps, have the quota raised (Service Quotas, Lambda, Concurrent executions), or reserve some for the stack's functions: "+
		d.deploy(unreserved...),
		"labourers may run %s functions at once, the account %d: workers can take all of it, and leave none of the %d that the stack's own functions may want", number(workers), quota, own)
}

// tables is the call of DynamoDB that finds what stacks left behind.
type tables interface {
	ListTables(context.Context, *dynamodb.ListTablesInput, ...func(*dynamodb.Options)) (*dynamodb.ListTablesOutput, error)
}

// buckets is the call of S3 that does.
type buckets interface {
	ListBuckets(context.Context, *awss3.ListBucketsInput, ...func(*awss3.Options)) (*awss3.ListBucketsOutput, error)
}

// kept are the resources that outlive their stack, by their logical ids.
var kept = []string{"TasksTable", "ControlTable", "JobsTable"}

// CloudFormation calls a resource by its stack, its logical id and a random part, the first two cut where it would be too long; of buckets
// all of it in lower case.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-name.html
var (
	keptTable  = regexp.MustCompile(`^(.+)-(TasksTable|ControlTable|JobsTable)-[A-Za-z0-9]+$`)
	keptBucket = regexp.MustCompile(`^(.+)-archivebucket-[a-z0-9]+$`)
)

// orphans lists tables and buckets that a deleted or rolled back stack has left behind. They are kept on purpose, so it is no finding, but
// they cost what they store.
func (d *doctor) orphans(ctx context.Context) check {
	const name = "left behind"
	own, err := d.living(ctx)
	if err != nil {
		return fine(name, "not looked for: %s", reason(err))
	}
	mine := map[string]bool{}
	for _, id := range own {
		mine[id] = true
	}
	byStack := map[string][]string{} // tables
	whole := map[string]map[string]bool{}
	for pages := dynamodb.NewListTablesPaginator(d.listing, &dynamodb.ListTablesInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fine(name, "not looked for: %s", reason(err))
		}
		for _, table := range page.TableNames {
			if parts := keptTable.FindStringSubmatch(table); parts != nil && !mine[table] {
				byStack[parts[1]] = append(byStack[parts[1]], table)
				if whole[parts[1]] == nil {
					whole[parts[1]] = map[string]bool{}
				}
				whole[parts[1]][parts[2]] = true
			}
		}
	}
	gone := map[string]bool{d.Name: true} // what bears this stack's name and is not its own is an earlier one's
	for _, stack := range slices.Sorted(maps.Keys(byStack)) {
		if stack == d.Name || len(whole[stack]) < len(kept) { // other templates have a JobsTable too
			continue
		}
		if gone[stack], err = d.stackGone(ctx, stack); err != nil {
			return fine(name, "not looked for: %s", reason(err))
		}
	}
	var found, remove []string
	for _, stack := range slices.Sorted(maps.Keys(byStack)) {
		if gone[stack] {
			for _, table := range byStack[stack] {
				found, remove = append(found, "table "+table), append(remove, d.command("dynamodb", "delete-table", "--table-name", table))
			}
		}
	}
	bins, err := d.bins.ListBuckets(ctx, &awss3.ListBucketsInput{})
	if err == nil {
		for _, b := range bins.Buckets {
			bucket := aws.ToString(b.Name)
			parts := keptBucket.FindStringSubmatch(bucket)
			if parts == nil || mine[bucket] {
				continue
			}
			for stack, is := range gone {
				if is && strings.ToLower(stack) == parts[1] {
					found, remove = append(found, "bucket "+bucket), append(remove, d.command("s3", "rb", "--force", "s3://"+bucket))
				}
			}
		}
	}
	if len(found) == 0 {
		return fine(name, "nothing by deleted stacks")
	}
	return fine(name, "%s kept by deleted stacks, which cost what they store: %s; where nobody needs them any more: %s", are(len(found), "thing"), strings.Join(found, ", "), strings.Join(remove, "; "))
}

// living are the stack's resources by their logical ids; none where it was never created, or is being or was taken back, although
// CloudFormation may still list what it kept then.
func (d *doctor) living(ctx context.Context) (map[string]string, error) {
	if d.Status == "" || d.Status == "CREATE_FAILED" || strings.HasPrefix(d.Status, "ROLLBACK_") || strings.HasPrefix(d.Status, "DELETE_") {
		return nil, nil
	}
	return cloudformation.Resources(ctx, d.formations, d.Name)
}

// stackGone tells whether there is no stack of this name.
func (d *doctor) stackGone(ctx context.Context, name string) (bool, error) {
	_, err := cloudformation.Describe(ctx, d.formations, name)
	if cloudformation.IsMissing(err) {
		return true, nil
	}
	return false, err
}

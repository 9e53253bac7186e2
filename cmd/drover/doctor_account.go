package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/lazyregexp"
	"github.com/drover-run/drover/shared/inspect"
)

// concurrencies are the template's parameters that reserve concurrent invocations for the stack's functions. asks is the template's limit for a
// function without a reservation.
var concurrencies = []struct {
	parameter string
	asks      int
}{{"SchedulerConcurrency", 10}, {"WorkflowConcurrency", 10}, {"OrchestratorConcurrency", 10}, {"WorkerAssistantConcurrency", 20},
	{"ScavengerConcurrency", 4}, {"ArchiverConcurrency", 4}}

// room checks that workers cannot take all concurrent invocations of the account. If they left none to the stack's own functions, no assistant
// would close tasks, and the workers' slots would never become free. An unknown quota passes the check.
func (d *doctor) room(ctx context.Context, labourers []labourer.Labourer) check {
	const name = "concurrency"
	out, err := d.functions.GetAccountSettings(ctx, &awslambda.GetAccountSettingsInput{})
	if err != nil || out.AccountLimit == nil || out.AccountLimit.UnreservedConcurrentExecutions == nil {
		why := "Lambda does not return it"
		if err != nil {
			why = reason(err)
		}
		return fine(name, "the account's quota is not known: %s", why)
	}
	quota := int(*out.AccountLimit.UnreservedConcurrentExecutions)
	workers := 0.0
	for _, l := range labourers {
		if far, _ := inspect.OutOfReach(l.Target, d.home()); l.Target.Kind() == "lambda" && far == "" && inspect.Abroad(l.Target.Place(), d.home()) == "" {
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
		return fine(name, "workers may run at most %s %s at once, the account %d", number(workers), plural(workers, "function"), quota)
	}
	return wrong(name, "lower the labourers' caps, request a higher quota (Service Quotas, Lambda, Concurrent executions), or reserve invocations for the stack's functions: "+
		d.deploy(unreserved...),
		"workers may run at most %s %s at once, the account %d: "+
			"they can take them all, while the stack's own functions may need %d", number(workers), plural(workers, "function"), quota, own)
}

// plural returns a noun in the singular or plural for a number that need not be whole: caps may be fractions.
func plural(n float64, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// kept holds the logical ids of the tables that outlive their stack.
var kept = []string{"TasksTable", "ControlTable", "JobsTable"} // RunsTable too, since there are workflows

// CloudFormation names a resource by its stack, its logical id and a random part. It cuts the first two if the name would be too long. A bucket's
// name is in lower case.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-name.html
var (
	keptTable  = lazyregexp.New(`^(.+)-(TasksTable|ControlTable|JobsTable|RunsTable)-[A-Za-z0-9]+$`)
	keptBucket = lazyregexp.New(`^(.+)-archivebucket-[a-z0-9]+$`)
)

// orphans lists the tables and buckets of deleted or rolled back stacks. The template keeps them on purpose, so the check passes, but their
// storage costs money.
func (d *doctor) orphans(ctx context.Context) check { //nolint:gocognit // three kinds of leftovers, one after the other
	const name = "left behind"
	own, err := d.living(ctx)
	if err != nil {
		return fine(name, "could not look for them: %s", reason(err))
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
			return fine(name, "could not look for them: %s", reason(err))
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
	gone := map[string]bool{d.Name: true} // a resource with this stack's name that is not among its parts belongs to an earlier stack
	for _, stack := range slices.Sorted(maps.Keys(byStack)) {
		if stack == d.Name || len(whole[stack]) < len(kept) { // a stack of another template may have a JobsTable too
			continue
		}
		if gone[stack], err = d.stackGone(ctx, stack); err != nil {
			return fine(name, "could not look for them: %s", reason(err))
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
		return fine(name, "deleted stacks left nothing behind")
	}
	return fine(name, "deleted stacks left %s, whose storage costs money: %s; to delete what you no longer need: %s",
		inspect.Count(len(found), "resource"), strings.Join(found, ", "), strings.Join(remove, "; "))
}

// living returns the stack's resources by their logical ids. It returns none for a stack that was never created, whose creation is or was rolled
// back, or that is deleted, although CloudFormation may still list the resources that it kept.
func (d *doctor) living(ctx context.Context) (map[string]string, error) {
	if d.Status == "" || d.Status == "CREATE_FAILED" || strings.HasPrefix(d.Status, "ROLLBACK_") || strings.HasPrefix(d.Status, "DELETE_") {
		return nil, nil
	}
	return cloudformation.Resources(ctx, d.formations, d.Name)
}

// stackGone reports whether there is no stack of this name.
func (d *doctor) stackGone(ctx context.Context, name string) (bool, error) {
	_, err := cloudformation.Describe(ctx, d.formations, name)
	if cloudformation.IsMissing(err) {
		return true, nil
	}
	return false, err
}

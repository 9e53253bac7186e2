package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscloudformation "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/drover-run/drover/shared/aws/cloudformation"
)

// fakeFormation is a CloudFormation with at most one stack, whose resources are those of a text "Resource Resource …". It takes two looks to compute a
// change set, and each look at the events to change a resource.
type fakeFormation struct {
	stack      *types.Stack
	resources  []types.ResourceChange // of the next change set
	set        *awscloudformation.CreateChangeSetInput
	looks      int
	pending    []types.StackEvent       // to come, the oldest first
	events     []types.StackEvent       // the newest first
	fail       string                   // the resource whose change fails
	refuse     error                    // the answer to ExecuteChangeSet
	lost       error                    // the answer to ExecuteChangeSet, which is carried out all the same
	away       int                      // looks at the events that fail
	during     func()                   // called while ExecuteChangeSet is on its way, if not nil
	blind      int                      // the look from which on the change set cannot be read; 0: none
	hidden     int                      // looks at the stack after the execution that fail
	others     []types.ChangeSetSummary // change sets of other commands
	deletedSet bool
	executed   int
}

var throttled = &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}

const stackID = "arn:aws:cloudformation:us-east-1:000000000000:stack/drover/1"

func (f *fakeFormation) ListStackResources(context.Context, *awscloudformation.ListStackResourcesInput, ...func(*awscloudformation.Options)) (*awscloudformation.ListStackResourcesOutput, error) {
	return &awscloudformation.ListStackResourcesOutput{}, nil
}

func (f *fakeFormation) DescribeStacks(context.Context, *awscloudformation.DescribeStacksInput, ...func(*awscloudformation.Options)) (*awscloudformation.DescribeStacksOutput, error) {
	if f.executed > 0 && f.hidden > 0 {
		f.hidden--
		return nil, throttled
	}
	if f.stack == nil {
		return nil, &smithy.GenericAPIError{Code: "ValidationError", Message: "Stack with id drover does not exist"}
	}
	return &awscloudformation.DescribeStacksOutput{Stacks: []types.Stack{*f.stack}}, nil
}

func (f *fakeFormation) CreateChangeSet(_ context.Context, in *awscloudformation.CreateChangeSetInput, _ ...func(*awscloudformation.Options)) (*awscloudformation.CreateChangeSetOutput, error) {
	if exists := f.stack != nil && f.stack.StackStatus != types.StackStatusReviewInProgress; exists == (in.ChangeSetType == types.ChangeSetTypeCreate) {
		return nil, &smithy.GenericAPIError{Code: "ValidationError", Message: fmt.Sprintf("%s, and exists is %t", in.ChangeSetType, exists)}
	}
	if f.stack == nil {
		f.stack = &types.Stack{StackStatus: types.StackStatusReviewInProgress, StackName: in.StackName, StackId: aws.String(stackID)}
		f.event("drover", string(types.ResourceStatus("REVIEW_IN_PROGRESS")), "")
	}
	f.set, f.looks, f.deletedSet = in, 0, false
	return &awscloudformation.CreateChangeSetOutput{Id: in.ChangeSetName, StackId: aws.String(stackID)}, nil
}

func (f *fakeFormation) DescribeChangeSet(ctx context.Context, in *awscloudformation.DescribeChangeSetInput, _ ...func(*awscloudformation.Options)) (*awscloudformation.DescribeChangeSetOutput, error) {
	out := &awscloudformation.DescribeChangeSetOutput{Status: types.ChangeSetStatusCreateInProgress, ExecutionStatus: types.ExecutionStatusAvailable}
	if f.executed > 0 {
		out.ExecutionStatus = types.ExecutionStatusExecuteInProgress
	}
	f.looks++
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case f.blind > 0 && f.looks >= f.blind:
		return nil, throttled
	case f.looks < 2:
		return out, nil
	}
	out.Status = types.ChangeSetStatusCreateComplete
	if len(f.resources) == 0 {
		out.Status = types.ChangeSetStatusFailed
		out.StatusReason = aws.String("The submitted information didn't contain changes. Submit different information to create a change set.")
		return out, nil
	}
	n, _ := strconv.Atoi(aws.ToString(in.NextToken))
	out.Changes = []types.Change{{ResourceChange: &f.resources[n]}} // one a page
	if n+1 < len(f.resources) {
		out.NextToken = aws.String(strconv.Itoa(n + 1))
	}
	return out, nil
}

func (f *fakeFormation) ExecuteChangeSet(context.Context, *awscloudformation.ExecuteChangeSetInput, ...func(*awscloudformation.Options)) (*awscloudformation.ExecuteChangeSetOutput, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.executed++
	if f.during != nil {
		f.during()
	}
	verb := "UPDATE"
	if f.set.ChangeSetType == types.ChangeSetTypeCreate {
		verb = "CREATE"
	}
	end := verb + "_COMPLETE"
	f.coming("drover", verb+"_IN_PROGRESS", "")
	for _, r := range f.resources {
		if name := aws.ToString(r.LogicalResourceId); name == f.fail {
			f.coming(name, verb+"_FAILED", "Bucket name\nis taken")
			f.coming("Bystander", verb+"_FAILED", "Resource creation cancelled")
			f.coming("drover", strings.TrimPrefix(verb+"_ROLLBACK_IN_PROGRESS", "CREATE_"), "")
			end = strings.TrimPrefix(verb+"_ROLLBACK_COMPLETE", "CREATE_")
		} else {
			f.coming(name, verb+"_COMPLETE", "")
		}
	}
	f.coming("drover", end, "")
	return &awscloudformation.ExecuteChangeSetOutput{}, f.lost
}

func (f *fakeFormation) coming(resource, status, reason string) {
	f.pending = append(f.pending, f.made(resource, status, reason))
}

func (f *fakeFormation) event(resource, status, reason string) {
	f.events = slices.Insert(f.events, 0, f.made(resource, status, reason))
}

func (f *fakeFormation) made(resource, status, reason string) types.StackEvent {
	e := types.StackEvent{EventId: aws.String(strconv.Itoa(len(f.events) + len(f.pending))), LogicalResourceId: &resource, ResourceStatus: types.ResourceStatus(status)}
	if reason != "" {
		e.ResourceStatusReason = &reason
	}
	if resource == "drover" {
		e.PhysicalResourceId = aws.String(stackID)
	}
	return e
}

func (f *fakeFormation) DescribeStackEvents(_ context.Context, in *awscloudformation.DescribeStackEventsInput, _ ...func(*awscloudformation.Options)) (*awscloudformation.DescribeStackEventsOutput, error) {
	if f.executed > 0 && f.away > 0 {
		f.away--
		return nil, throttled
	}
	if len(f.pending) > 0 && in.NextToken == nil {
		next := f.pending[0]
		f.pending = f.pending[1:]
		f.events = slices.Insert(f.events, 0, next)
		if aws.ToString(next.PhysicalResourceId) == stackID {
			f.stack.StackStatus = types.StackStatus(next.ResourceStatus)
			if strings.HasSuffix(string(next.ResourceStatus), "E_COMPLETE") {
				f.stack.Outputs = []types.Output{{OutputKey: aws.String("EventBusName"), OutputValue: aws.String("bus")}}
			}
		}
	}
	n, _ := strconv.Atoi(aws.ToString(in.NextToken))
	out := &awscloudformation.DescribeStackEventsOutput{}
	if n < len(f.events) {
		out.StackEvents = f.events[n : n+1] // one a page
	}
	if n+1 < len(f.events) {
		out.NextToken = aws.String(strconv.Itoa(n + 1))
	}
	return out, nil
}

func (f *fakeFormation) ListChangeSets(context.Context, *awscloudformation.ListChangeSetsInput, ...func(*awscloudformation.Options)) (*awscloudformation.ListChangeSetsOutput, error) {
	all := f.others
	if f.set != nil { // CloudFormation may list a deleted one for a while
		all = append(slices.Clone(all), types.ChangeSetSummary{ChangeSetId: f.set.ChangeSetName})
	}
	return &awscloudformation.ListChangeSetsOutput{Summaries: all}, nil
}

func (f *fakeFormation) DeleteChangeSet(ctx context.Context, _ *awscloudformation.DeleteChangeSetInput, _ ...func(*awscloudformation.Options)) (*awscloudformation.DeleteChangeSetOutput, error) {
	if f.looks++; f.looks <= 2 {
		return nil, &types.InvalidChangeSetStatusException{Message: aws.String("it is in CREATE_IN_PROGRESS status")}
	}
	f.deletedSet = ctx.Err() == nil
	return &awscloudformation.DeleteChangeSetOutput{}, ctx.Err()
}

func (f *fakeFormation) DeleteStack(context.Context, *awscloudformation.DeleteStackInput, ...func(*awscloudformation.Options)) (*awscloudformation.DeleteStackOutput, error) {
	f.stack = nil
	return &awscloudformation.DeleteStackOutput{}, nil
}

// described returns the stack as the command line opens it.
func (f *fakeFormation) described() cloudformation.Stack {
	s, _ := cloudformation.Describe(context.Background(), f, "drover")
	s.Name = cmp.Or(aws.ToString(f.stack.StackName), "drover")
	return s
}

// fakeBuckets is an S3 with objects of one bucket.
type fakeBuckets struct {
	bucket    string // the one that exists
	owner     string // its account
	calls     []string
	objects   map[string][]byte
	puts      int
	now       func() time.Time
	stored    map[string]time.Time
	access    *s3types.PublicAccessBlockConfiguration
	encrypted *s3types.ServerSideEncryptionConfiguration
	lifecycle *s3types.BucketLifecycleConfiguration
	policy    string
	stop      string // the call that fails
}

// call notes a call, and refuses it as S3 does: expected is the account that the caller takes for the bucket's owner, nil for any.
func (f *fakeBuckets) call(name string, bucket, expected *string) error {
	f.calls = append(f.calls, name)
	switch {
	case name == f.stop:
		f.stop = ""
		return &smithy.GenericAPIError{Code: "AccessDenied", Message: "not now"}
	case aws.ToString(bucket) != f.bucket:
		return &smithy.GenericAPIError{Code: "NotFound", Message: "Not Found"}
	case expected != nil && *expected != f.owner:
		return &smithy.GenericAPIError{Code: "Forbidden", Message: "Forbidden"}
	}
	return nil
}

func (f *fakeBuckets) HeadBucket(_ context.Context, in *awss3.HeadBucketInput, _ ...func(*awss3.Options)) (*awss3.HeadBucketOutput, error) {
	return &awss3.HeadBucketOutput{}, f.call("HeadBucket", in.Bucket, in.ExpectedBucketOwner)
}

func (f *fakeBuckets) CreateBucket(_ context.Context, in *awss3.CreateBucketInput, _ ...func(*awss3.Options)) (*awss3.CreateBucketOutput, error) {
	f.calls = append(f.calls, "CreateBucket")
	f.bucket = *in.Bucket
	return &awss3.CreateBucketOutput{}, nil
}

func (f *fakeBuckets) PutPublicAccessBlock(_ context.Context, in *awss3.PutPublicAccessBlockInput, _ ...func(*awss3.Options)) (*awss3.PutPublicAccessBlockOutput, error) {
	err := f.call("PutPublicAccessBlock", in.Bucket, in.ExpectedBucketOwner)
	if err == nil {
		f.access = in.PublicAccessBlockConfiguration
	}
	return &awss3.PutPublicAccessBlockOutput{}, err
}

func (f *fakeBuckets) PutBucketEncryption(_ context.Context, in *awss3.PutBucketEncryptionInput, _ ...func(*awss3.Options)) (*awss3.PutBucketEncryptionOutput, error) {
	err := f.call("PutBucketEncryption", in.Bucket, in.ExpectedBucketOwner)
	if err == nil {
		f.encrypted = in.ServerSideEncryptionConfiguration
	}
	return &awss3.PutBucketEncryptionOutput{}, err
}

func (f *fakeBuckets) GetBucketPolicy(_ context.Context, in *awss3.GetBucketPolicyInput, _ ...func(*awss3.Options)) (*awss3.GetBucketPolicyOutput, error) {
	err := f.call("GetBucketPolicy", in.Bucket, in.ExpectedBucketOwner)
	if err == nil && f.policy == "" {
		err = &smithy.GenericAPIError{Code: "NoSuchBucketPolicy", Message: "The bucket policy does not exist"}
	}
	return &awss3.GetBucketPolicyOutput{Policy: &f.policy}, err
}

func (f *fakeBuckets) PutBucketPolicy(_ context.Context, in *awss3.PutBucketPolicyInput, _ ...func(*awss3.Options)) (*awss3.PutBucketPolicyOutput, error) {
	err := f.call("PutBucketPolicy", in.Bucket, in.ExpectedBucketOwner)
	if err == nil {
		f.policy = *in.Policy
	}
	return &awss3.PutBucketPolicyOutput{}, err
}

func (f *fakeBuckets) PutBucketLifecycleConfiguration(_ context.Context, in *awss3.PutBucketLifecycleConfigurationInput, _ ...func(*awss3.Options)) (*awss3.PutBucketLifecycleConfigurationOutput, error) {
	err := f.call("PutBucketLifecycleConfiguration", in.Bucket, in.ExpectedBucketOwner)
	if err == nil {
		f.lifecycle = in.LifecycleConfiguration
	}
	return &awss3.PutBucketLifecycleConfigurationOutput{}, err
}

func (f *fakeBuckets) GetBucketLifecycleConfiguration(_ context.Context, in *awss3.GetBucketLifecycleConfigurationInput, _ ...func(*awss3.Options)) (*awss3.GetBucketLifecycleConfigurationOutput, error) {
	err := f.call("GetBucketLifecycleConfiguration", in.Bucket, in.ExpectedBucketOwner)
	if err == nil && f.lifecycle == nil {
		err = &smithy.GenericAPIError{Code: "NoSuchLifecycleConfiguration", Message: "The lifecycle configuration does not exist"}
	}
	return &awss3.GetBucketLifecycleConfigurationOutput{}, err
}

func (f *fakeBuckets) HeadObject(_ context.Context, in *awss3.HeadObjectInput, _ ...func(*awss3.Options)) (*awss3.HeadObjectOutput, error) {
	if err := f.call("HeadObject", in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if f.objects[*in.Key] == nil {
		return nil, &s3types.NotFound{}
	}
	at, sum := f.stored[*in.Key], sha256.Sum256(f.objects[*in.Key])
	return &awss3.HeadObjectOutput{LastModified: &at, ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:]))}, nil
}

func (f *fakeBuckets) PutObject(_ context.Context, in *awss3.PutObjectInput, _ ...func(*awss3.Options)) (*awss3.PutObjectOutput, error) {
	if err := f.call("PutObject", in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(in.Body)
	if f.objects == nil {
		f.objects, f.stored = map[string][]byte{}, map[string]time.Time{}
	}
	f.objects[*in.Key], f.stored[*in.Key] = content, f.now()
	f.puts++
	return &awss3.PutObjectOutput{}, err
}

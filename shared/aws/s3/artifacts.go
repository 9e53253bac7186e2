package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// ArtifactsAPI has the calls of S3 by which the code of a stack is uploaded.
type ArtifactsAPI interface {
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
	CreateBucket(context.Context, *s3.CreateBucketInput, ...func(*s3.Options)) (*s3.CreateBucketOutput, error)
	PutPublicAccessBlock(context.Context, *s3.PutPublicAccessBlockInput, ...func(*s3.Options)) (*s3.PutPublicAccessBlockOutput, error)
	PutBucketEncryption(context.Context, *s3.PutBucketEncryptionInput, ...func(*s3.Options)) (*s3.PutBucketEncryptionOutput, error)
	GetBucketPolicy(context.Context, *s3.GetBucketPolicyInput, ...func(*s3.Options)) (*s3.GetBucketPolicyOutput, error)
	PutBucketPolicy(context.Context, *s3.PutBucketPolicyInput, ...func(*s3.Options)) (*s3.PutBucketPolicyOutput, error)
	PutBucketLifecycleConfiguration(context.Context, *s3.PutBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.PutBucketLifecycleConfigurationOutput, error)
	GetBucketLifecycleConfiguration(context.Context, *s3.GetBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.GetBucketLifecycleConfigurationOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Artifacts gives access to a bucket for the code of stacks. Every call fails if the bucket belongs to another account.
type Artifacts struct {
	API       ArtifactsAPI
	Name      string
	Account   string // 12 digits
	Partition string // aws, aws-cn, …
	Region    string
	Endpoint  string // "": AWS's own
}

// How long the bucket keeps objects, and the age from which one is uploaded again, in days. Lambda keeps a copy of the code that it runs, but the rollback
// of a failed update reads the previous code from the bucket.
const (
	artifactsKept  = 400
	artifactsFresh = 30
)

// ErrForeign reports a bucket that exists and cannot be used: it belongs to another account, or the credentials have no right to it.
var ErrForeign = errors.New("it belongs to another account, or these credentials may not use it")

// Make creates the bucket if it is missing: private, encrypted, over TLS only (unless the endpoint is plain HTTP), its objects kept for 400 days. It
// completes the protection of a bucket whose creation was interrupted, and changes nothing else of one that exists.
func (a Artifacts) Make(ctx context.Context) (created bool, err error) {
	_, err = a.API.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &a.Name, ExpectedBucketOwner: &a.Account})
	switch {
	case err == nil:
		_, err := a.API.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &a.Name, ExpectedBucketOwner: &a.Account})
		if code(err) == "NoSuchLifecycleConfiguration" { // set last
			return false, a.protect(ctx)
		}
		return false, nil
	case code(err) == "Forbidden" || code(err) == "AccessDenied":
		return false, fmt.Errorf("using bucket %s, %w", a.Name, ErrForeign)
	case code(err) != "NotFound" && code(err) != "NoSuchBucket":
		return false, fmt.Errorf("reading bucket %s, %w", a.Name, err)
	}
	in := &s3.CreateBucketInput{Bucket: &a.Name}
	if a.Region != "us-east-1" { // which is the default, and refused as a constraint
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(a.Region)}
	}
	if _, err := a.API.CreateBucket(ctx, in); code(err) == "BucketAlreadyExists" {
		return false, fmt.Errorf("creating bucket %s, %w", a.Name, ErrForeign)
	} else if err != nil && code(err) != "BucketAlreadyOwnedByYou" { // another deployment created it in the meantime
		return false, fmt.Errorf("creating bucket %s, %w", a.Name, err)
	}
	return true, a.protect(ctx)
}

// protect protects the bucket. It may be repeated, and leaves a policy that the bucket has: it may be the owner's.
func (a Artifacts) protect(ctx context.Context) error {
	fail := func(err error) error {
		return fmt.Errorf("protecting bucket %s, which exists now, %w", a.Name, err)
	}
	yes := aws.Bool(true)
	if _, err := a.API.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: &a.Name, ExpectedBucketOwner: &a.Account,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: yes, IgnorePublicAcls: yes, BlockPublicPolicy: yes, RestrictPublicBuckets: yes}}); err != nil {
		return fail(err)
	}
	if _, err := a.API.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: &a.Name, ExpectedBucketOwner: &a.Account,
		ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{
			{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAes256}}}}}); err != nil {
		return fail(err)
	}
	if !a.plain() {
		_, err := a.API.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &a.Name, ExpectedBucketOwner: &a.Account})
		if code(err) == "NoSuchBucketPolicy" {
			policy := a.tlsOnly()
			_, err = a.API.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &a.Name, ExpectedBucketOwner: &a.Account, Policy: &policy})
		}
		if err != nil {
			return fail(err)
		}
	}
	if _, err := a.API.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: &a.Name, ExpectedBucketOwner: &a.Account,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{ID: aws.String("artifacts"), Status: types.ExpirationStatusEnabled,
			Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(artifactsKept)},
			AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)}}}}}); err != nil {
		return fail(err)
	}
	return nil
}

// plain reports whether the endpoint is plain HTTP: a local one.
func (a Artifacts) plain() bool {
	at, err := url.Parse(a.Endpoint)
	return err == nil && at.Scheme == "http"
}

func (a Artifacts) tlsOnly() string {
	arn := "arn:" + a.Partition + ":s3:::" + a.Name
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": []string{arn, arn + "/*"},
		"Condition": map[string]any{"Bool": map[string]string{"aws:SecureTransport": "false"}}}}})
	if err != nil {
		panic(err) // texts, maps and lists of them always marshal
	}
	return string(policy)
}

// Put stores an object, unless the bucket has the same content under this key and it is not old.
func (a Artifacts) Put(ctx context.Context, key string, content []byte, now time.Time) error {
	is := sha256.Sum256(content)
	sum := base64.StdEncoding.EncodeToString(is[:])
	there, err := a.API.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &a.Name, Key: &key, ExpectedBucketOwner: &a.Account, ChecksumMode: types.ChecksumModeEnabled})
	if err == nil && aws.ToString(there.ChecksumSHA256) == sum && now.Sub(aws.ToTime(there.LastModified)) < artifactsFresh*24*time.Hour {
		return nil
	}
	// HeadObject answers 403 for a missing object if the credentials may not list the bucket: the upload decides.
	_, err = a.API.PutObject(ctx, &s3.PutObjectInput{Bucket: &a.Name, Key: &key, Body: bytes.NewReader(content), ExpectedBucketOwner: &a.Account, ChecksumSHA256: &sum})
	if err != nil {
		return fmt.Errorf("uploading s3://%s/%s, %w", a.Name, key, err)
	}
	return nil
}

// URL returns the address of an object, as CloudFormation reads a template.
func (a Artifacts) URL(ctx context.Context, key string) (string, error) {
	in := s3.EndpointParameters{Region: &a.Region, Bucket: &a.Name, ForcePathStyle: aws.Bool(a.Endpoint != "")}
	if a.Endpoint != "" {
		in.Endpoint = &a.Endpoint
	}
	at, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, in)
	if err != nil {
		return "", fmt.Errorf("finding the address of bucket %s, %w", a.Name, err)
	}
	return at.URI.JoinPath(key).String(), nil
}

// code returns the code of an error of AWS; "" for any other.
func code(err error) string {
	if answer, is := errors.AsType[smithy.APIError](err); is {
		return answer.ErrorCode()
	}
	return ""
}

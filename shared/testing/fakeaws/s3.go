package fakeaws

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's own checksum of an object
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	buckets "github.com/drover-run/drover/shared/aws/s3"
)

// S3 holds buckets in memory: strongly consistent, whole objects, lists in pages in the order of the keys. It is safe for concurrent use.
type S3 struct {
	Hooks

	strict  bool
	mu      sync.Mutex
	buckets map[string]map[string]object
}

type object struct {
	body                  []byte
	contentType, encoding *string
}

// NewS3 returns an S3 with these buckets, empty. If none are given, the first object creates its bucket.
func NewS3(names ...string) *S3 {
	s := &S3{strict: len(names) > 0, buckets: map[string]map[string]object{}}
	for _, name := range names {
		s.buckets[name] = map[string]object{}
	}
	return s
}

var _ buckets.API = (*S3)(nil)

// mostListed says how many keys a page of a list has at most.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
const mostListed = 1000

func (s *S3) bucket(name *string) (map[string]object, error) {
	b := s.buckets[aws.ToString(name)]
	if b == nil && s.strict {
		return nil, &types.NoSuchBucket{Message: aws.String("The specified bucket does not exist")}
	}
	if b == nil {
		b = map[string]object{}
		s.buckets[aws.ToString(name)] = b
	}
	return b, nil
}

// PutObject stores an object. With IfNoneMatch "*" it refuses to overwrite one.
func (s *S3) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return serve(ctx, &s.Hooks, Request{s3.ServiceID, "PutObject", in}, func() (*s3.PutObjectOutput, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		b, err := s.bucket(in.Bucket)
		if err != nil {
			return nil, err
		}
		if key := aws.ToString(in.Key); key == "" || len(key) > 1024 {
			return nil, &smithy.GenericAPIError{Code: "KeyTooLongError", Message: "Your key is too long, or empty"}
		}
		if _, there := b[*in.Key]; there && aws.ToString(in.IfNoneMatch) == "*" {
			return nil, &smithy.GenericAPIError{Code: "PreconditionFailed", Message: "At least one of the pre-conditions you specified did not hold"}
		}
		var body []byte
		if in.Body != nil {
			if body, err = io.ReadAll(in.Body); err != nil {
				return nil, err
			}
		}
		b[*in.Key] = object{body, in.ContentType, in.ContentEncoding}
		return &s3.PutObjectOutput{ETag: etag(body)}, nil
	})
}

func etag(body []byte) *string {
	sum := md5.Sum(body) //nolint:gosec // see the import
	return aws.String(`"` + hex.EncodeToString(sum[:]) + `"`)
}

// GetObject reads a whole object.
func (s *S3) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return serve(ctx, &s.Hooks, Request{s3.ServiceID, "GetObject", in}, func() (*s3.GetObjectOutput, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		b, err := s.bucket(in.Bucket)
		if err != nil {
			return nil, err
		}
		o, there := b[aws.ToString(in.Key)]
		if !there {
			return nil, &types.NoSuchKey{Message: aws.String("The specified key does not exist.")}
		}
		return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(slices.Clone(o.body))), ContentLength: aws.Int64(int64(len(o.body))),
			ContentType: o.contentType, ContentEncoding: o.encoding, ETag: etag(o.body)}, nil
	})
}

// ListObjectsV2 lists objects, with Prefix, Delimiter, StartAfter, MaxKeys and pages.
func (s *S3) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	return serve(ctx, &s.Hooks, Request{s3.ServiceID, "ListObjectsV2", in}, func() (*s3.ListObjectsV2Output, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		b, err := s.bucket(in.Bucket)
		if err != nil {
			return nil, err
		}
		out := &s3.ListObjectsV2Output{Name: in.Bucket, Prefix: in.Prefix, Delimiter: in.Delimiter, IsTruncated: aws.Bool(false), KeyCount: aws.Int32(0)}
		most := mostListed
		if in.MaxKeys != nil {
			most = min(most, int(*in.MaxKeys))
		}
		prefix, delimiter := aws.ToString(in.Prefix), aws.ToString(in.Delimiter)
		after := max(aws.ToString(in.StartAfter), aws.ToString(in.ContinuationToken))
		last, folder := "", ""
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if !strings.HasPrefix(key, prefix) || key <= after || folder != "" && strings.HasPrefix(key, folder) {
				continue
			}
			if int(*out.KeyCount) == most {
				out.IsTruncated, out.NextContinuationToken = aws.Bool(true), aws.String(last)
				break
			}
			*out.KeyCount++
			folder, last = "", key
			if at := strings.Index(key[len(prefix):], delimiter); delimiter != "" && at >= 0 {
				folder = key[:len(prefix)+at+len(delimiter)]
				out.CommonPrefixes = append(out.CommonPrefixes, types.CommonPrefix{Prefix: aws.String(folder)})
				last = folder + "\U0010FFFF" // behind everything in the folder
				continue
			}
			out.Contents = append(out.Contents, types.Object{Key: aws.String(key), Size: aws.Int64(int64(len(b[key].body))), ETag: etag(b[key].body)})
		}
		return out, nil
	})
}

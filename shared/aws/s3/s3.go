// Package s3 stores archived files, and large results of plugins, in a bucket.
package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/shared/core/archive"
)

// API has the calls of S3 that Drover makes.
type API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// NewClient returns a client. For an endpoint other than AWS it addresses buckets by path, because their host names need not resolve there.
func NewClient(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
}

// Bucket gives access to the archive bucket.
type Bucket struct {
	API  API
	Name string
}

// Put stores a file. It replaces a file with the same key.
func (b Bucket) Put(ctx context.Context, o archive.Object) error {
	_, err := b.API.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Name, Key: &o.Key, Body: bytes.NewReader(o.Body),
		ContentType: aws.String("application/x-ndjson"), ContentEncoding: aws.String("gzip")})
	if err != nil {
		return fmt.Errorf("archiving %s, %w", o.Key, err)
	}
	return nil
}

// Results stores results of plugins in a bucket.
type Results struct {
	API    API
	Bucket string
}

// Put stores a JSON document, over one of the same key, and returns its address, s3://bucket/key.
func (r Results) Put(ctx context.Context, key string, document []byte) (string, error) {
	_, err := r.API.PutObject(ctx, &s3.PutObjectInput{Bucket: &r.Bucket, Key: &key, Body: bytes.NewReader(document), ContentType: aws.String("application/json")})
	if err != nil {
		return "", fmt.Errorf("storing %s, %w", key, err)
	}
	return "s3://" + r.Bucket + "/" + key, nil
}

// Get reads a file.
func (b Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	out, err := b.API.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("reading %s from the archive, %w", key, err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, fmt.Errorf("reading %s from the archive, %w", key, err)
	}
	return body, nil
}

// Folders returns the prefixes of keys that begin with a prefix, each up to the next slash.
func (b Bucket) Folders(ctx context.Context, prefix string) ([]string, error) {
	var folders []string
	for pages := s3.NewListObjectsV2Paginator(b.API, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix, Delimiter: aws.String("/")}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the folders of the archive, %w", err)
		}
		for _, p := range page.CommonPrefixes {
			folders = append(folders, aws.ToString(p.Prefix))
		}
	}
	return folders, nil
}

// List returns the keys that begin with a prefix.
func (b Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	for pages := s3.NewListObjectsV2Paginator(b.API, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing %s of the archive, %w", prefix, err)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys, nil
}

package s3_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	buckets "github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// fake is a bucket that lists two keys on each page.
type fake struct {
	err    error
	body   io.Reader
	put    *s3.PutObjectInput
	keys   []string
	listed []*s3.ListObjectsV2Input
}

func (f *fake) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	f.put = in
	return &s3.PutObjectOutput{}, f.err
}

func (f *fake) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if f.err != nil {
		return nil, f.err
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(io.MultiReader(strings.NewReader(*in.Bucket+"/"+*in.Key+": "), f.body))}, nil
}

func (f *fake) ListObjectsV2(_ context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	f.listed = append(f.listed, in)
	if f.err != nil {
		return nil, f.err
	}
	out := &s3.ListObjectsV2Output{}
	for _, key := range f.keys {
		if !strings.HasPrefix(key, *in.Prefix) || key <= aws.ToString(in.ContinuationToken) {
			continue
		}
		if len(out.Contents) == 2 {
			out.IsTruncated, out.NextContinuationToken = aws.Bool(true), out.Contents[1].Key
			break
		}
		out.Contents = append(out.Contents, types.Object{Key: aws.String(key)})
	}
	return out, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestAFileIsStoredWithItsTypeAndEncoding(t *testing.T) {
	f := &fake{}

	require.NoError(t, buckets.Bucket{API: f, Name: "archive"}.Put(context.Background(), archive.Object{Key: "labourer=f/x.jsonl.gz", Body: []byte("abc")}))

	require.Equal(t, "archive", *f.put.Bucket)
	require.Equal(t, "labourer=f/x.jsonl.gz", *f.put.Key)
	require.Equal(t, "application/x-ndjson", *f.put.ContentType)
	require.Equal(t, "gzip", *f.put.ContentEncoding)
	body, err := io.ReadAll(f.put.Body)
	require.NoError(t, err)
	require.Equal(t, "abc", string(body))
	_, seekable := f.put.Body.(io.Seeker)
	require.True(t, seekable, "the SDK can send it again")
}

func TestResultsAreStoredUnderTheAddressThatIsReturned(t *testing.T) {
	f := &fake{}

	url, err := buckets.Results{API: f, Bucket: "archive"}.Put(context.Background(), "runs/run-1/a/parallel.json", []byte(`{"a":{}}`))

	require.NoError(t, err)
	require.Equal(t, "s3://archive/runs/run-1/a/parallel.json", url)
	require.Equal(t, "archive runs/run-1/a/parallel.json application/json", *f.put.Bucket+" "+*f.put.Key+" "+*f.put.ContentType)
	require.Nil(t, f.put.ContentEncoding)

	f.err = errors.New("AccessDenied")
	_, err = buckets.Results{API: f, Bucket: "archive"}.Put(context.Background(), "runs/x", nil)
	require.EqualError(t, err, "storing runs/x, AccessDenied")
}

func TestAFileIsReadWhole(t *testing.T) {
	body, err := buckets.Bucket{API: &fake{body: strings.NewReader("abc")}, Name: "archive"}.Get(context.Background(), "key")

	require.NoError(t, err)
	require.Equal(t, "archive/key: abc", string(body))
}

func TestAListHasAllPages(t *testing.T) {
	f := &fake{keys: []string{"a/1", "a/2", "a/3", "a/4", "a/5", "b/1"}}

	keys, err := buckets.Bucket{API: f, Name: "archive"}.List(context.Background(), "a/")

	require.NoError(t, err)
	require.Equal(t, []string{"a/1", "a/2", "a/3", "a/4", "a/5"}, keys)
	require.Len(t, f.listed, 3)
}

func TestFoldersAreListedWithoutWhatIsInThem(t *testing.T) {
	memory := fakeaws.NewS3("archive")
	b := buckets.Bucket{API: memory, Name: "archive"}
	for _, key := range []string{"labourer=a/date=1/x", "labourer=a/date=2/x", "labourer=b/date=1/x", "runs/x"} {
		require.NoError(t, b.Put(context.Background(), archive.Object{Key: key}))
	}

	folders, err := b.Folders(context.Background(), "labourer=")

	require.NoError(t, err)
	require.Equal(t, []string{"labourer=a/", "labourer=b/"}, folders)
}

func TestErrorsNameTheOperation(t *testing.T) {
	b := buckets.Bucket{API: &fake{err: errors.New("access denied")}, Name: "archive"}
	require.EqualError(t, b.Put(context.Background(), archive.Object{Key: "key"}), "archiving key, access denied")
	_, err := b.Get(context.Background(), "key")
	require.EqualError(t, err, "reading key from the archive, access denied")
	_, err = b.List(context.Background(), "a/")
	require.EqualError(t, err, "listing a/ of the archive, access denied")
	_, err = b.Folders(context.Background(), "a")
	require.EqualError(t, err, "listing the folders of the archive, access denied")
	_, err = buckets.Bucket{API: &fake{body: broken{}}, Name: "archive"}.Get(context.Background(), "key")
	require.EqualError(t, err, "reading key from the archive, connection reset")
}

func TestBucketsAreAddressedByPathIfTheEndpointIsNotAWS(t *testing.T) {
	require.True(t, buckets.NewClient(aws.Config{BaseEndpoint: aws.String("http://localhost:1")}).Options().UsePathStyle)
	require.False(t, buckets.NewClient(aws.Config{}).Options().UsePathStyle)
}

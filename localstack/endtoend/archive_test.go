package endtoend

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
)

func TestTheArchiveIsReadByDuckDB(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 3, object{"max_attempts": 2}))
	s.submit(t, object{"job_schema_name": "sections", "isolate_sections": true, "sections": object{
		"good": nil, "slow": object{"do": "fail", "until": 1}, "bad": object{"do": "fail"}}})
	s.ended(t, named(t))

	found := s.duckdb(t, s.download(t))

	require.Len(t, found, 2)
	require.Equal(t, object{"labourer": named(t), "labourer_id": named(t), "job_id": named(t), "status": "dead", "tasks": 1., "attempts": 2., "told": 2.,
		"first_error": "Boom", "section": "bad", "rows": 1., "in_time": true}, found[1])
	completed := found[0]
	require.Equal(t, []any{"completed", 2., 3., 3., 2., "Boom", true}, []any{completed["status"], completed["tasks"], completed["attempts"], completed["told"],
		completed["rows"], completed["first_error"], completed["in_time"]})
}

func TestTheArchiveIsQueriedByTheCommandLine(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 3, object{"max_attempts": 1}))
	s.submit(t, object{"job_schema_name": "sections", "isolate_sections": true, "sections": object{"good": nil, "bad": object{"do": "fail"}}})
	s.ended(t, named(t))
	s.archived(t, named(t))

	dead := lines(t, s.cli(t, "archive", "query", "--job", named(t), "--status", "dead"))

	require.Len(t, dead, 1)
	require.Equal(t, []any{named(t), named(t), "dead"}, []any{dead[0]["job_id"], dead[0]["labourer_id"], dead[0]["status"]})
	require.Len(t, lines(t, s.cli(t, "archive", "query", "--labourer", named(t))), 2)
	require.Empty(t, lines(t, s.cli(t, "archive", "query", "--labourer", named(t), "--date", "2026-01-01")))
}

// download copies the archived objects of the test's labourer into a folder, under their keys.
func (s *stack) download(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	bucket := aws.String(s.out["ArchiveBucketName"])
	listed, err := s.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("labourer=" + named(t) + "/")})
	require.NoError(t, err)
	for _, o := range listed.Contents {
		got, err := s.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: o.Key})
		require.NoError(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(got.Body)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		file := filepath.Join(folder, aws.ToString(o.Key))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, body.Bytes(), 0o600))
	}
	return folder
}

func (s *stack) duckdb(t *testing.T, folder string) []object {
	t.Helper()
	var printed bytes.Buffer
	require.NoError(t, run(t.Context(), os.Environ(), &printed, ".local/venv/bin/python3", "localstack/endtoend/testdata/archive.py", folder))
	var found []object
	require.NoError(t, json.Unmarshal(printed.Bytes(), &found), "%s", printed.String())
	return found
}

var column = regexp.MustCompile(`(?m)^  ([a-z_]+) [a-z]`)

func TestAthenasTableHasEveryFieldOfTheArchive(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(checkout, "infra", "athena.sql"))
	require.NoError(t, err)
	definition, _, found := strings.Cut(string(text), "PARTITIONED BY")
	require.True(t, found)
	var columns, fields []string
	for _, match := range column.FindAllStringSubmatch(definition, -1) {
		columns = append(columns, match[1])
	}
	for field := range reflect.TypeFor[archive.Record]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, name)
	}

	require.Equal(t, fields, columns)
}

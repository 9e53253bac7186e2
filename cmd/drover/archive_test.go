package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// archived returns a stack in which job "first" ended on January 1 with two completed tasks and a dead one, and job "second" on January 3 with one.
func archived(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	g.openShop(time.Second, func(_ context.Context, task worker.Task) (any, error) {
		if strings.Contains(string(task.Payload), "dies") {
			return nil, worker.Permanent(errors.New("no such section"))
		}
		return well(nil, task) //nolint:staticcheck // it does not use its context
	})
	g.Submit(`{"job_id": "first", "labourer": "shop", "sections": ["a", "b", "dies"], "isolate_sections": true}`)
	require.NoError(t, g.Run())
	g.RunFor(48 * time.Hour)
	g.Submit(`{"job_id": "second", "labourer": "shop"}`)
	require.NoError(t, g.Run())
	g.RunFor(time.Hour)
	return g
}

// ended returns job and status of each record that a query prints, in order.
func (s said) ended() []string {
	s.t.Helper()
	s.ok()
	out := []string{}
	for _, line := range s.lines() {
		out = append(out, line["job_id"].(string)+" "+line["status"].(string))
	}
	return out
}

func TestArchiveQuerySelectsByJobLabourerDayAndStatus(t *testing.T) {
	g := archived(t)
	all := []string{"first completed", "first completed", "first dead", "second completed"}
	for query, want := range map[string][]string{
		"":                                   all,
		"--labourer shop":                    all,
		"--job first":                        all[:3],
		"--job first --status dead":          {"first dead"},
		"--status completed":                 {"first completed", "first completed", "second completed"},
		"--date 2026-01-03":                  {"second completed"},
		"--from 2026-01-02":                  {"second completed"},
		"--to 2026-01-02":                    all[:3],
		"--from 2025-12-01 --to 2026-01-01":  all[:3],
		"--job second --date 2026-01-01":     {},
		"--labourer shop --status cancelled": {},
		"--from 2026-01-04 --to 2026-02-01":  {},
		"--job first --from 2026-01-01":      all[:3],
	} {
		got := g.drover(append([]string{"archive", "query"}, strings.Fields(query)...)...).ended()
		slices.Sort(got)
		require.Equal(t, want, got, "query %q", query)
	}
}

func TestArchiveQueryPrintsWholeRecordsAndItsWindow(t *testing.T) {
	g := archived(t)

	said := g.drover("archive", "query", "--job", "first", "--status", "dead")

	line := said.one()
	require.Equal(t, "no such section", line["attempts"].([]any)[0].(map[string]any)["error"].(map[string]any)["message"])
	require.Contains(t, said.err, "1 record that ended from 2026-01-01 to 2026-01-02 (UTC)")
	said = g.drover("archive", "query", "--limit", "2")
	require.Len(t, said.ended(), 2)
	require.Contains(t, said.err, "more match, see --limit")
}

func TestArchiveQueryFindsWhatTheStackNoLongerKnows(t *testing.T) {
	g := archived(t)
	bucket := s3.Bucket{API: g.S3, Name: fakeaws.ArchiveBucket}
	records, err := g.Archived()
	require.NoError(t, err)
	one := records[0]
	one.Labourer, one.JobID = "gone", "old"
	body := compress(t, one)
	require.NoError(t, bucket.Put(t.Context(), archive.Object{Key: archive.Prefix("gone", drovertest.Start) + "a.jsonl.gz", Body: body}))
	require.NoError(t, bucket.Put(t.Context(), archive.Object{Key: archive.Prefix("gone", drovertest.Start) + "b.jsonl.gz", Body: body}))

	require.Equal(t, []string{"old completed"}, g.drover("archive", "query", "--job", "old").ended(), "a record that lies in two files is printed once")
	require.Len(t, g.drover("archive", "query", "--labourer", "gone").ended(), 1)
}

func TestArchiveQueryExplainsWhatIsWrong(t *testing.T) {
	g := archived(t)
	for query, c := range map[string]struct {
		code  int
		words []string
	}{
		"--date yesterday":                  {misuse, []string{"--date", "yesterday", "2026-03-14"}},
		"--from 2026-13-01":                 {misuse, []string{"--from", "2026-13-01"}},
		"--from 2026-01-02 --to 2026-01-01": {misuse, []string{"--from", "after --to"}},
		"--date 2026-01-01 --to 2026-01-01": {misuse, []string{"--date", "--from and --to"}},
		"--status running":                  {misuse, []string{"--status", "running"}},
		"--limit -1":                        {misuse, []string{"--limit"}},
		"--labourer nobody":                 {failed, []string{`there is no labourer "nobody"`}},
		"--job unheard-of":                  {failed, []string{`does not know job "unheard-of"`, "--from"}},
	} {
		g.drover(append([]string{"archive", "query"}, strings.Fields(query)...)...).fails(c.code, c.words...)
	}
	require.NoError(t, s3.Bucket{API: g.S3, Name: fakeaws.ArchiveBucket}.Put(t.Context(), archive.Object{Key: archive.Prefix("shop", drovertest.Start) + "torn.jsonl.gz", Body: []byte("torn")}))
	said := g.drover("archive", "query", "--date", "2026-01-01")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.err, "torn.jsonl.gz")
}

// compress returns the file of a record.
func compress(t *testing.T, r archive.Record) []byte {
	t.Helper()
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	require.NoError(t, json.NewEncoder(z).Encode(r))
	require.NoError(t, z.Close())
	return body.Bytes()
}

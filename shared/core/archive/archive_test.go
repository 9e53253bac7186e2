package archive_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

const seg = segment.ID("abcdefghijklmnop")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func open(n int) task.Task {
	return task.Task{ID: task.ID{Segment: seg, N: n}, Labourer: "f", JobID: "nightly", Payload: json.RawMessage(`{"store":"<x>"}`), CreatedAt: noon}
}

func must(t require.TestingT, one task.Task, err error) task.Task {
	require.NoError(t, err)
	return one
}

func completed(t require.TestingT) task.Task {
	one, err := open(7).Close(task.End{Attempt: 1, Status: task.Completed, DispatchedAt: noon.Add(time.Second), At: noon.Add(time.Minute),
		Result: json.RawMessage(`{"rows":10}`), Stats: json.RawMessage(`{"ms":3}`)})
	return must(t, one, err)
}

func dead(t require.TestingT) task.Task {
	one, err := open(8).Close(task.End{Attempt: 1, Status: task.Failed, DispatchedAt: noon.Add(time.Second), At: noon.Add(time.Minute),
		Error: &task.Error{Type: "Boom", Message: "no such store"}})
	one, err = must(t, one, err).Close(task.End{Attempt: 2, Status: task.Expired, At: noon.Add(time.Hour), Error: &task.Error{Type: "Expired"}})
	one, err = must(t, one, err).Kill(noon.Add(2 * time.Hour))
	return must(t, one, err)
}

func replayed(t require.TestingT) task.Task {
	one, err := dead(t).Revive()
	one, err = must(t, one, err).Close(task.End{Attempt: 3, Status: task.Completed, DispatchedAt: noon.Add(24 * time.Hour), At: noon.Add(25 * time.Hour)})
	return must(t, one, err)
}

func cancelled(t require.TestingT) task.Task {
	one, err := open(9).Cancel(noon.Add(time.Minute))
	return must(t, one, err)
}

func TestARecordHasTheWholeLife(t *testing.T) {
	for name, one := range map[string]task.Task{"completed": completed(t), "dead": dead(t), "replayed": replayed(t), "cancelled": cancelled(t)} {
		t.Run(name, func(t *testing.T) {
			golden, err := os.ReadFile(filepath.Join("testdata", "records", name+".json"))
			require.NoError(t, err)

			text, err := json.Marshal(archive.RecordOf(one))

			require.NoError(t, err)
			require.JSONEq(t, string(golden), string(text))
		})
	}
}

func TestTimesAreKeptInUTC(t *testing.T) {
	one := completed(t)
	one.CreatedAt, one.ClosedAt = one.CreatedAt.In(time.FixedZone("", 3600)), one.ClosedAt.In(time.FixedZone("", 3600))

	r := archive.RecordOf(one)

	require.Equal(t, noon, r.CreatedAt)
	require.Equal(t, noon.Add(time.Minute), *r.ClosedAt)
	require.Nil(t, archive.RecordOf(open(1)).ClosedAt)
}

func TestAFileForEachLabourerAndDay(t *testing.T) {
	other := cancelled(t)
	other.Labourer = "g"

	files, err := archive.Objects([]task.Task{replayed(t), other, completed(t), dead(t)})

	require.NoError(t, err)
	require.Len(t, files, 3)
	for i, want := range []struct {
		prefix string
		tasks  []string
	}{
		{"labourer=f/date=2026-11-22/", []string{"abcdefghijklmnop.7", "abcdefghijklmnop.8"}},
		{"labourer=f/date=2026-11-23/", []string{"abcdefghijklmnop.8"}},
		{"labourer=g/date=2026-11-22/", []string{"abcdefghijklmnop.9"}},
	} {
		require.Regexp(t, `^`+want.prefix+`[0-9a-f]{24}\.jsonl\.gz$`, files[i].Key)
		records, err := archive.Read(files[i].Body)
		require.NoError(t, err)
		var ids []string
		for _, r := range records {
			ids = append(ids, r.TaskID)
		}
		require.Equal(t, want.tasks, ids)
	}
	require.Equal(t, "f", archive.LabourerOf(files[0].Key))
	require.Equal(t, "g", archive.LabourerOf(files[2].Key))
	none, err := archive.Objects(nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestADayEndsAtMidnightInUTC(t *testing.T) {
	night := time.Date(2026, 11, 22, 23, 59, 59, 999_999_999, time.UTC)

	require.Equal(t, "labourer=f/date=2026-11-22/", archive.Prefix("f", night.In(time.FixedZone("", 14*3600))))
	require.Equal(t, "labourer=f/date=2026-11-23/", archive.Prefix("f", night.Add(1)))
}

func TestFilesAreJSONLines(t *testing.T) {
	files, err := archive.Objects([]task.Task{completed(t), cancelled(t)})
	require.NoError(t, err)

	z, err := gzip.NewReader(bytes.NewReader(files[0].Body))
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)

	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		require.True(t, json.Valid([]byte(line)), line)
		require.Contains(t, line, `"payload":{"store":"<x>"}`, "payloads are kept as given")
	}
}

// TestG5TheSameTasksMakeTheSameFile covers any order and number of times, so that a batch that is archived again overwrites itself. Other tasks, and
// other lives of the same tasks, make another file.
func TestG5TheSameTasksMakeTheSameFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lives := rapid.SliceOfNDistinct(rapid.IntRange(0, 40), 1, 10, rapid.ID).Draw(t, "lives")
		batch := func(lives []int) []task.Task {
			var out []task.Task
			for _, l := range lives {
				one := cancelled(t)
				one.ID.N, one.Life = l%20, l/20
				out = append(out, one)
			}
			return out
		}
		files, err := archive.Objects(batch(lives))
		require.NoError(t, err)

		again, err := archive.Objects(batch(append(rapid.Permutation(lives).Draw(t, "order"), lives[0])))
		require.NoError(t, err)
		require.Equal(t, files, again)

		others, err := archive.Objects(batch(append(lives, 41)))
		require.NoError(t, err)
		require.NotEqual(t, files[0].Key, others[0].Key)
	})
}

// TestG5ABatchThatIsCutInTwoRepeatsItsRecordsExactly: a reader of both files finds the copies by task and life.
func TestG5ABatchThatIsCutInTwoRepeatsItsRecordsExactly(t *testing.T) {
	batch := []task.Task{completed(t), cancelled(t), open(3)}
	batch[2].Status, batch[2].ClosedAt = task.Completed, noon
	records := func(parts ...[]task.Task) map[string][]archive.Record {
		out := map[string][]archive.Record{}
		for _, part := range parts {
			files, err := archive.Objects(part)
			require.NoError(t, err)
			for _, file := range files {
				read, err := archive.Read(file.Body)
				require.NoError(t, err)
				for _, r := range read {
					life := fmt.Sprintf("%s/%d", r.TaskID, r.Life)
					out[life] = append(out[life], r)
				}
			}
		}
		return out
	}

	for life, copies := range records(batch, batch[:1], batch[1:]) {
		require.Equal(t, records(batch)[life], copies[:1])
		require.Len(t, copies, 2, life)
		require.Equal(t, copies[0], copies[1])
	}
}

func TestATaskThatCannotBeArchivedIsNamed(t *testing.T) {
	one := completed(t)
	one.Payload = json.RawMessage(`{"cut off`)

	_, err := archive.Objects([]task.Task{one})

	require.ErrorContains(t, err, "encoding task abcdefghijklmnop.7/0 for the archive")
}

func TestAnInvalidFileIsRefused(t *testing.T) {
	_, err := archive.Read([]byte("plain text"))
	require.ErrorContains(t, err, "reading an archived file")

	var file bytes.Buffer
	z := gzip.NewWriter(&file)
	_, err = z.Write([]byte(`{"task_id": "abcdefghijklmnop.7"}` + "\nnonsense\n"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	_, err = archive.Read(file.Bytes())
	require.ErrorContains(t, err, "reading record 2 of an archived file")

	files, err := archive.Objects([]task.Task{completed(t)})
	require.NoError(t, err)
	_, err = archive.Read(files[0].Body[:len(files[0].Body)/2])
	require.Error(t, err, "a truncated file is not mistaken for a short one")
}

func FuzzRead(f *testing.F) {
	files, err := archive.Objects([]task.Task{completed(f), dead(f), cancelled(f)})
	require.NoError(f, err)
	f.Add(files[0].Body)
	f.Add(files[0].Body[:20])
	f.Fuzz(func(t *testing.T, body []byte) {
		records, err := archive.Read(body)
		if err != nil {
			return
		}
		for _, r := range records {
			_, err := json.Marshal(r)
			if err != nil {
				require.ErrorContains(t, err, "year outside of range")
			}
		}
	})
}

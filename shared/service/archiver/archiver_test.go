package archiver_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/archiver"
)

var (
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	errOff = errors.New("the bucket is unavailable")
)

// world holds the archive and the payloads that are stored apart. fails names the call that fails.
type world struct {
	mu       sync.Mutex // the archiver writes several files at once
	files    map[string][]byte
	payloads map[int][]byte // by the task's number; nil: it is gone
	ended    segment.Numbers
	loaded   int // bytes of payloads since the last file
	most     int // such bytes
	fails    string
}

func (w *world) fail(name string) error {
	if w.fails == name {
		return errOff
	}
	return nil
}

func (w *world) Put(_ context.Context, o archive.Object) error {
	if err := w.fail("Put"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.files == nil {
		w.files = map[string][]byte{}
	}
	w.files[o.Key] = o.Body
	w.loaded = 0
	return nil
}

func (w *world) Filled(_ context.Context, tasks []task.Task) iter.Seq2[task.Task, error] {
	return func(yield func(task.Task, error) bool) {
		for _, t := range tasks {
			err := w.fail("Filled")
			if t.Parts > 0 && err == nil {
				if t.Payload = w.payloads[t.ID.N]; t.Payload == nil {
					err = fmt.Errorf("task %s: %w", t.ID, task.ErrNoPayload)
				}
				w.loaded += len(t.Payload)
				w.most = max(w.most, w.loaded)
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

func (w *world) Ended(_ context.Context, of task.Task) error {
	if err := w.fail("Ended"); err != nil {
		return err
	}
	if of.Parts > 0 {
		w.ended = w.ended.Union(segment.Of(of.ID.N))
	}
	return nil
}

func (w *world) service() *archiver.Service { return &archiver.Service{Payloads: w, Store: w} }

// records returns what is archived, by task.
func (w *world) records(t require.TestingT) map[string]archive.Record {
	out := map[string]archive.Record{}
	for _, body := range w.files {
		all, err := archive.Read(body)
		require.NoError(t, err)
		for _, r := range all {
			out[r.TaskID] = r
		}
	}
	return out
}

func one(n int, labourer string, status task.Status, closed time.Time) task.Task {
	return task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: n}, Labourer: labourer, JobID: "nightly", Payload: []byte(`{"store":"a"}`), CreatedAt: noon,
		Status: status, Attempt: 1, ClosedAt: closed, Result: []byte(`{"rows":1}`)}
}

func TestEndedTasksAreArchivedWholeByLabourerAndDay(t *testing.T) {
	w := &world{}

	archived, err := w.service().Handle(context.Background(), []task.Task{one(0, "f", task.Completed, noon), one(1, "f", task.Dead, noon),
		one(2, "g", task.Cancelled, noon), one(3, "f", task.Completed, noon.Add(24*time.Hour)), one(4, "f", task.Failed, noon), one(5, "f", task.Expired, noon),
		one(6, "f", task.Open, noon)})

	require.NoError(t, err)
	require.Equal(t, 4, archived, "tasks that may get another attempt have not ended")
	var places []string
	for key := range w.files {
		places = append(places, key[:strings.LastIndex(key, "/")])
	}
	slices.Sort(places)
	require.Equal(t, []string{"labourer=f/date=2026-11-22", "labourer=f/date=2026-11-23", "labourer=g/date=2026-11-22"}, places)
	records := w.records(t)
	require.Len(t, records, 4)
	require.Equal(t, archive.RecordOf(one(0, "f", task.Completed, noon)), records["abcdefghijklmnop.0"])
}

// TestABatchThatIsDeliveredAgainWritesTheSameFiles, also after the archiver was interrupted at any of its calls.
func TestABatchThatIsDeliveredAgainWritesTheSameFiles(t *testing.T) {
	batch := []task.Task{one(0, "f", task.Completed, noon), one(1, "g", task.Dead, noon), one(2, "f", task.Completed, noon)}
	batch[2].Parts, batch[2].Payload = 2, nil
	undisturbed := &world{payloads: map[int][]byte{2: []byte(`{"large": true}`)}}
	_, err := undisturbed.service().Handle(context.Background(), batch)
	require.NoError(t, err)
	for _, call := range []string{"Put", "Filled", "Ended", ""} {
		w := &world{payloads: undisturbed.payloads, fails: call}
		_, err := w.service().Handle(context.Background(), batch)
		if call != "" {
			require.ErrorIs(t, err, errOff, call)
		}
		w.fails = ""

		archived, err := w.service().Handle(context.Background(), batch)

		require.NoError(t, err)
		require.Equal(t, 3, archived)
		require.Equal(t, undisturbed.files, w.files, call)
		require.Equal(t, segment.Of(2), w.ended, "its payload may expire once it is archived")
	}
}

func TestATaskWhosePayloadIsGoneIsArchivedWithoutIt(t *testing.T) {
	w := &world{}
	gone := one(7, "f", task.Dead, noon)
	gone.Parts, gone.Payload = 3, nil

	archived, err := w.service().Handle(context.Background(), []task.Task{gone})

	require.NoError(t, err)
	require.Equal(t, 1, archived)
	require.JSONEq(t, "null", string(w.records(t)["abcdefghijklmnop.7"].Payload))
}

// TestG8FewLargePayloadsAreInMemoryAtOnce: a batch has up to a thousand tasks, and a payload up to 1 MB. Small ones share a file, as a file costs as
// much as eight writes.
func TestG8FewLargePayloadsAreInMemoryAtOnce(t *testing.T) {
	for size, files := range map[int]int{16: 1, 900 << 10: 13} {
		w := &world{payloads: map[int][]byte{}}
		var batch []task.Task
		for n := range 100 {
			t := one(n, "f", task.Completed, noon)
			if n%2 == 0 {
				t.Parts, t.Payload = 1, nil
				w.payloads[n] = fmt.Appendf(nil, "%*d", size, n)
			}
			batch = append(batch, t)
		}

		archived, err := w.service().Handle(context.Background(), batch)

		require.NoError(t, err)
		require.Equal(t, 100, archived)
		require.Len(t, w.records(t), 100)
		require.Len(t, w.files, files, "payloads of %d bytes", size)
		require.LessOrEqual(t, w.most, task.ChunkBytes+size)
	}
}

package scavenger_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// TestG1G4G5EachEndHasItsEffectsOnceWhereverTheScavengerIsInterrupted: of a job of eight tasks some complete, some are retried, separately
// and together, one is lost, and one cannot be retried and dies.
func TestG1G4G5EachEndHasItsEffectsOnceWhereverTheScavengerIsInterrupted(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 8), outage.Job("small", "g", 1))
		require.Equal(t, 8, s.HandOut(t, "f"))
		require.Equal(t, 1, s.HandOut(t, "g"))
		h := s.Handed(t, "f")
		s.Report(t, h[0].Completed(), h[1].Failed("Boom"), h[2].Failed("Boom"), h[3].Failed("BadInput"), h[4].Completed(), h[5].Failed("Boom"),
			s.Handed(t, "g")[0].Failed("Boom"))
		s.Pass(20 * time.Minute)
		_, err := s.Services().Orchestrator.Service.Reap(context.Background(), "f") // h[6] and h[7] are lost
		require.NoError(t, err)
		cut.On(s.Stack)

		for batch, number := s.Ended(t), 0; len(batch) > 0; batch, number = s.Ended(t), number+1 {
			cut.Redeliver(t, s.World, time.Second, func(delivery int) error {
				return scavenge(s, fmt.Sprintf("invocation-%d-%d", number, delivery), batch)
			})
		}

		cut.Off()
		picture := outage.Picture(s.Stack)
		require.Contains(t, picture, "fact JobCompleted/small/1")
		require.NotContains(t, picture, "fact JobCompleted/nightly")
		return picture
	})
}

// TestG5AJobEndsOnceWhereverTheScavengerIsInterrupted: its last tasks lie in two segments, and one of them dies.
func TestG5AJobEndsOnceWhereverTheScavengerIsInterrupted(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "many", 258))
		s.Pass(time.Second)
		require.Equal(t, 258, s.HandOut(t, "many"))
		h := s.Handed(t, "many")
		var ends []string
		for _, one := range h[:256] {
			ends = append(ends, one.Completed())
		}
		s.Report(t, ends...)
		s.Scavenge(t)
		s.Report(t, h[256].Completed(), h[257].Failed("Boom"))
		cut.On(s.Stack)

		for batch, number := s.Ended(t), 0; len(batch) > 0; batch, number = s.Ended(t), number+1 {
			cut.Redeliver(t, s.World, time.Second, func(delivery int) error {
				return scavenge(s, fmt.Sprintf("invocation-%d-%d", number, delivery), batch)
			})
		}

		cut.Off()
		picture := outage.Picture(s.Stack)
		require.Contains(t, picture, "job nightly completed of many total=258 cursor=2 completed=257 dead=1 cancelled=0")
		require.Contains(t, picture, "fact JobCompleted/nightly/1")
		return picture
	})
}

// played returns a stage on which jobs ended in many ways, and all records of its stream.
func played(t require.TestingT) (*outage.Stage, []task.Task) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 20), outage.Job("small", "g", 3), outage.Job("open", "g", 9))
	var told []task.Task
	take := func() {
		for batch := s.Ended(t); len(batch) > 0; batch = s.Ended(t) {
			told = append(told, batch...)
			require.NoError(t, scavenge(s, "invocation", batch))
		}
	}
	seen := map[string]int{}
	for range 8 {
		for _, labourer := range []string{"f", "g"} {
			s.HandOut(t, labourer)
			h := s.Handed(t, labourer)
			for i, one := range h[seen[labourer]:] {
				switch {
				case labourer == "g" && strings.HasSuffix(one.TaskID, ".4"): // a task of the open job never ends
				case i%5 == 1:
					s.Report(t, one.Failed("Boom"))
				case i%7 == 3:
					s.Report(t, one.Failed("BadInput"))
				case i%11 == 4: // the attempt is lost
				default:
					s.Report(t, one.Completed())
				}
			}
			seen[labourer] = len(h)
		}
		s.Pass(21 * time.Minute)
		if _, err := s.Services().Orchestrator.Service.Reap(context.Background(), "f"); err != nil {
			require.NoError(t, err)
		}
		take()
	}
	return s, told
}

// TestG5TheStreamMayBeDeliveredAgain: whole, in parts, twice, a day late, in any order of the keys. The state stays the same.
func TestG5TheStreamMayBeDeliveredAgain(t *testing.T) {
	s, told := played(t)
	want := outage.Picture(s.Stack)
	require.Contains(t, want, "fact JobCompleted/nightly/1")
	require.Contains(t, want, "fact JobCompleted/small/1")
	require.Contains(t, want, "job open scheduled")
	require.Contains(t, want, "fact TaskDead/")
	s.Pass(24 * time.Hour)

	require.NoError(t, scavenge(s, "whole", told))
	require.Equal(t, records(want), records(outage.Picture(s.Stack)), "delivered whole once more")

	rapid.Check(t, func(t *rapid.T) {
		// The keys in any order; the records of each key in their own order.
		byTask := map[task.ID][]task.Task{}
		var keys []task.ID
		for _, one := range told {
			if byTask[one.ID] == nil {
				keys = append(keys, one.ID)
			}
			byTask[one.ID] = append(byTask[one.ID], one)
		}
		var again []task.Task
		for _, key := range rapid.Permutation(keys).Draw(t, "keys")[:rapid.IntRange(1, len(keys)).Draw(t, "part")] {
			again = append(again, byTask[key]...)
		}
		for batch := range slices.Chunk(again, rapid.IntRange(1, 40).Draw(t, "batch")) {
			for range rapid.IntRange(1, 2).Draw(t, "times") {
				require.NoError(t, scavenge(s, "again", batch))
			}
		}
		require.Equal(t, records(want), records(outage.Picture(s.Stack)))
	})
}

// records returns a picture without duplicates in the archive: other batches make other files, with the same records.
func records(picture string) string {
	lines := strings.Split(picture, "\n")
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}

// TestG1G5BatchesInAnyOrderOfTheKeys: the order in which the shards of the stream are delivered does not change the outcome.
func TestG1G5BatchesInAnyOrderOfTheKeys(t *testing.T) {
	end := func(t require.TestingT, cut func([]task.Task) [][]task.Task) string {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 8))
		require.Equal(t, 8, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		s.Report(t, h[0].Completed(), h[1].Completed(), h[2].Failed("BadInput"), h[3].Failed("Boom"), h[4].Failed("Boom"), h[5].Completed(), h[6].Failed("BadInput"), h[7].Completed())
		for batch := s.Ended(t); len(batch) > 0; batch = s.Ended(t) {
			for _, part := range cut(batch) {
				require.NoError(t, scavenge(s, "invocation", part))
			}
		}
		return outage.Picture(s.Stack)
	}
	want := end(t, func(batch []task.Task) [][]task.Task { return [][]task.Task{batch} })
	rapid.Check(t, func(t *rapid.T) {
		got := end(t, func(batch []task.Task) [][]task.Task {
			return slices.Collect(slices.Chunk(rapid.Permutation(batch).Draw(t, "order"), rapid.IntRange(1, 8).Draw(t, "size")))
		})
		require.Equal(t, want, got)
	})
}

// TestG5TheEndsOfAnEarlierJobWithTheSameIDDoNotCount: the record of the earlier job has expired, and its id is used again, when the stream
// delivers its tasks once more.
func TestG5TheEndsOfAnEarlierJobWithTheSameIDDoNotCount(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 2))
	require.Equal(t, 2, s.HandOut(t, "f"))
	s.Report(t, s.Handed(t, "f")[0].Completed(), s.Handed(t, "f")[1].Failed("BadInput"))
	told := s.Ended(t)
	require.NoError(t, scavenge(s, "first", told))
	told = append(told, s.Ended(t)...) // the second task's death
	require.NoError(t, scavenge(s, "second", told))
	require.Equal(t, 2, s.DynamoDB.Expire(fakeaws.JobsTable, "expires_at", s.World.Now().AddDate(1, 0, 0)), "the record and the progress")
	s.Pass(time.Hour)
	s.Schedule(t, outage.Job("nightly", "f", 2))

	require.NoError(t, scavenge(s, "again", told))

	j, _, err := s.Jobs.Get(context.Background(), "nightly")
	require.NoError(t, err)
	require.Equal(t, ledger.Scheduled, j.State)
	require.Zero(t, j.Counts)
}

// TestG1G5TwoScavengersOnOneBatch: the second does all of its work before some request of the first.
func TestG1G5TwoScavengersOnOneBatch(t *testing.T) {
	play := func(at int) (picture string, happened bool) {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 7)) // the last task still runs, so that the lease stays
		require.Equal(t, 7, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		s.Report(t, h[0].Completed(), h[1].Failed("BadInput"), h[2].Failed("Boom"), h[3].Failed("Boom"), h[4].Completed(), h[5].Completed())
		for batch := s.Ended(t); len(batch) > 0; batch = s.Ended(t) {
			var second error
			interrupt(s, &at, &happened, func() {
				s.Pass(time.Second) // so that the entries of each are due at different times
				second = scavenge(s, "second", batch)
			})
			for err := scavenge(s, "first", batch); err != nil || second != nil; {
				err, second = scavenge(s, "first, again", batch), nil
			}
		}
		return outage.Picture(s.Stack), happened
	}
	want, _ := play(0)
	for at := 1; ; at++ {
		got, happened := play(at)
		require.Equal(t, want, got, "the second scavenger came at request %d", at)
		if !happened {
			require.Greater(t, at, 8)
			return
		}
	}
}

// noise returns a text that compresses to about three quarters of its size.
func noise(length int) string {
	random, out := rand.New(rand.NewPCG(5, uint64(length))), make([]byte, length*3/4)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return base64.StdEncoding.EncodeToString(out)
}

// TestG1ALargePayloadReachesItsWorkerAndTheArchive: even compressed, the payload does not fit into an item beside a result. Its task fails,
// is retried, dies and is replayed.
func TestG1ALargePayloadReachesItsWorkerAndTheArchive(t *testing.T) {
	s := stage(t)
	ballast := noise(370 << 10)
	s.Schedule(t, fmt.Sprintf(`{"job_id": "large", "labourer": "f", "stores": ["a", "b"], "isolate_stores": true, "ballast": %q}`, ballast))
	for attempt := range 4 {
		require.Equal(t, 2, s.HandOut(t, "f"))
		letters := s.SQS.Letters(outage.Worker("f"))
		for _, h := range s.Handed(t, "f")[2*attempt:] {
			if attempt == 3 {
				s.Report(t, strings.Replace(h.Completed(), `{"rows": 1}`, fmt.Sprintf("%q", noise(250<<10)), 1))
			} else {
				s.Report(t, h.Failed("Boom"))
			}
		}
		require.Contains(t, letters[len(letters)-1].Body, ballast)
		s.Scavenge(t)
		s.Pass(2 * time.Hour)
		if attempt == 1 {
			failed, summary := s.Services().Scheduler.Service.Handle(t.Context(), "replay", []scheduler.Message{outage.Command("replay", "ReplayTasks", `{"job_id": "large"}`)})
			require.Empty(t, failed, summary.Errors)
		}
	}

	records, err := s.Archived()
	require.NoError(t, err)
	require.Len(t, records, 4, "two lives of two tasks")
	for _, r := range records {
		require.Contains(t, string(r.Payload), ballast)
	}
}

package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/zstd"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// planParts plans a job whose payload lies apart from the tasks' items, in one part or in more.
func (p *plan) planParts(r *rand.Rand) {
	j := &p.jobs[r.IntN(len(p.jobs))]
	l := p.labourers[p.labourer(j.labourer)]
	if l.Target.States != "" || j.tasks == 0 || j.ballast > 0 || p.mostOf(l.ID) > 0 { // an execution takes less
		return
	}
	j.giant, j.tasks, j.ballast = false, min(j.tasks, 4), pick(r, 3<<10, 30<<10, 400<<10, 700<<10)
	p.operations = append(p.operations, operation{kind: "note", on: j.id, fault: InParts})
}

// planTogether plans a job of many tasks whose payloads are small and lie together, in items that several tasks share.
func (p *plan) planTogether(r *rand.Rand) {
	j := &p.jobs[r.IntN(len(p.jobs))]
	if j.tasks < 2 || j.giant || j.ballast > 0 || p.mostOf(j.labourer) > 0 {
		return
	}
	if j.ballast = pick(r, 1800, 3<<10, 9<<10); chance(r, 0.5) {
		j.tasks = 10 + r.IntN(90)
	}
	p.operations = append(p.operations, operation{kind: "note", on: j.id, fault: Together})
}

// bundle is an item that holds the payloads of several tasks.
type bundle struct {
	segment     segment.ID
	first, last int // numbers of tasks in it
	sum         int
}

// bundleOf returns the bundle that an item is; false for another item.
func bundleOf(it fakeaws.Item) (b bundle, is bool) {
	of, span, _ := strings.Cut(str(it, "segment"), "#")
	b.segment, b.sum = segment.ID(of), num(it, "n")
	n, err := fmt.Sscanf(span, "%d-%d", &b.first, &b.last)
	return b, n == 2 && err == nil
}

// watchBundle checks that a bundle is written before the tasks that refer to it are published, stays as it is, and is kept no shorter than before (G1).
func (k *checker) watchBundle(b bundle, before, after fakeaws.Item) {
	k.reach("payloads in a bundle")
	name := fmt.Sprintf("%d-%d#%d#", b.first, b.last, b.sum)
	for n := b.first; n <= b.last; n++ {
		t := k.tasks[task.ID{Segment: b.segment, N: n}]
		if t == nil || !t.published || t.gone || !strings.HasPrefix(t.bundle, name) {
			continue
		}
		switch {
		case after == nil:
			k.violate("G1", "the payload of task %s, which is published, was deleted", t.id)
		case before == nil:
			k.violate("G1", "the payload of task %s was written after the task was published", t.id)
		case unpacked([]byte(content(before))) != unpacked([]byte(content(after))):
			k.violate("G1", "the payload of task %s has changed", t.id)
		case num(after, "expires_at") < num(before, "expires_at"):
			k.violate("G1", "the payload of task %s is kept for a shorter time than before", t.id)
		}
	}
}

// partOf returns the task and the number of a part of a payload; false for another item.
func partOf(before, after fakeaws.Item) (id task.ID, n int, is bool) {
	it := after
	if it == nil {
		it = before
	}
	of, number, is := strings.Cut(str(it, "segment"), "#")
	id.Segment = segment.ID(of)
	id.N, _ = strconv.Atoi(number)
	return id, num(it, "n"), is
}

// watchPart checks that the parts of a payload are written before their task is published, and stay as they are (G1).
func (k *checker) watchPart(id task.ID, n int, before, after fakeaws.Item) {
	t := k.tasks[id]
	published := t != nil && t.published && !t.gone
	k.reach("part of a payload")
	switch {
	case after == nil && published:
		k.violate("G1", "part %d of the payload of task %s, which is published, was deleted", n, id)
	case before == nil && published:
		k.violate("G1", "part %d of the payload of task %s was written after the task was published", n, id)
	case published && content(before) != content(after):
		k.violate("G1", "part %d of the payload of task %s has changed", n, id)
	}
}

func content(it fakeaws.Item) string {
	if v, is := it["payload"].(*types.AttributeValueMemberB); is {
		return string(v.Value)
	}
	return ""
}

// noise returns text of a size that does not compress, from a memory.
func (k *checker) noise(size int) string {
	if k.noises[size] == "" {
		k.noises[size] = noise(size)
	}
	return k.noises[size]
}

// static returns text of a size that hardly compresses at all, from a memory.
func (k *checker) static(size int) string {
	if k.statics[size] == "" {
		k.statics[size] = static(size)
	}
	return k.statics[size]
}

// largeResult says how many bytes in the result of a turn do not compress. Two of such results exceed what an execution takes, and five what a function or a
// queue does.
const largeResult = 240 << 10

// planLarge chooses plugins whose results are large.
func (p *plan) planLarge(r *rand.Rand) {
	if !chance(r, 0.06) {
		return
	}
	p.large = map[string]bool{}
	for i := range 9 {
		if chance(r, 0.8) {
			p.large[fmt.Sprintf("p%d", i)] = true
		}
	}
}

// resultOf returns the result of a worker.
func (r *run) resultOf(s start) any {
	id, err := task.ParseID(s.TaskID)
	if t := r.check.tasks[id]; err == nil && t != nil {
		return json.RawMessage(r.check.result(t, s.Attempt))
	}
	return map[string]any{"attempt": s.Attempt}
}

// result returns the result that a worker of an attempt reports.
func (k *checker) result(t *taskSeen, attempt int) []byte {
	if _, _, turn, is := k.turnOf(t); is && k.plan.large[turn.name.plugin] {
		return encode(map[string]any{"attempt": attempt, "noise": k.noise(largeResult)})
	}
	if size := k.job(t.job).report; size > 0 {
		return encode(map[string]any{"attempt": attempt, "noise": k.static(size)})
	}
	return encode(map[string]any{"attempt": attempt})
}

var unpacker = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil)
	must(err)
	return d
}()

// unpacked returns the text of a stored attribute, which may be compressed.
func unpacked(stored []byte) string {
	if !bytes.HasPrefix(stored, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return string(stored)
	}
	text, err := unpacker.DecodeAll(stored, nil)
	must(err)
	return string(text)
}

// fetched returns the event of a turn with the results that it has the address of. They are handed on in this way only if they are large (R2).
func (k *checker) fetched(s *runSeen, turn turnSeen, event map[string]json.RawMessage, results any) map[string]json.RawMessage {
	k.faults[LargeResult]++
	var url string
	must(json.Unmarshal(event["results_url"], &url))
	key, is := strings.CutPrefix(url, "s3://"+fakeaws.ArchiveBucket+"/")
	if size := len(encode(results)); !is || event["results"] != nil || size < largeResult {
		k.violate("R2", "plugin %s of run %s was started with the results_url %s (with results: %t) for %d bytes", turn.name.plugin, s.id, url, event["results"] != nil, size)
		return event
	}
	out, err := k.stack.S3.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(fakeaws.ArchiveBucket), Key: &key})
	if err != nil {
		k.violate("R2", "plugin %s of run %s was started with the results_url %s: %v", turn.name.plugin, s.id, url, err)
		return event
	}
	text, err := io.ReadAll(out.Body)
	must(err)
	whole := map[string]json.RawMessage{"results": text}
	maps.Copy(whole, event)
	return whole
}

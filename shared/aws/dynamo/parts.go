package dynamo

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
)

// partBytes limits the bytes of a packed payload in one part: an item under a partition key of its own, written before its task is published and
// never changed. A payload lies apart from its task's item, in parts, where that takes fewer write units: the item is written again at the end of
// each attempt, and each write is charged by the item's whole size.
const partBytes = 256 << 10

// partsMost limits the parts of a payload: those of unpackLimit.
const partsMost = unpackLimit / partBytes

// partsTogether limits the parts that are read at once, and are in memory: [task.ChunkBytes].
const partsTogether = task.ChunkBytes / partBytes

// partsOutlive says how long the parts of a payload are kept after their task. A replay does not touch them, so a replayed task has this long to
// end again.
const partsOutlive = 366 * 24 * time.Hour

// partsWait says how long after its due time a task may end before its parts, which are dated for that at their creation, have to be dated anew.
const partsWait = 30 * 24 * time.Hour

func partKey(id task.ID, k int) item {
	return item{"segment": str(string(id.Segment) + "#" + strconv.Itoa(id.N)), "n": num(k)}
}

// created returns the items of a new task: the parts of its payload, if that lies apart, and its own.
func (t Tasks) created(one task.Task) ([]item, error) {
	whole, err := taskItem(one, 0)
	if err != nil {
		return nil, err
	}
	until := one.CreatedAt
	if one.Due.After(until) {
		until = one.Due
	}
	expires := num(until.Add(t.Retention + partsOutlive + partsWait).Unix())
	var items []item
	units := 0
	for stored := whole.bytes("payload"); len(stored) > 0; {
		n := min(len(stored), partBytes)
		part := partKey(one.ID, len(items))
		part["payload"], part["expires_at"] = &types.AttributeValueMemberB{Value: stored[:n]}, expires
		items, stored = append(items, part), stored[n:]
		units += writeUnits(part)
	}
	own := maps.Clone(whole)
	delete(own, "payload")
	own["parts"], own["payload_until"] = num(len(items)), expires
	const writes = 2 // of each task's item: at its creation and at its end
	if units+writes*writeUnits(own) >= writes*writeUnits(whole) {
		return []item{whole}, nil
	}
	return append(items, own), nil
}

// writeUnits returns what it costs to write an item: one unit for each KB.
func writeUnits(it item) int { return (size(it) + 1<<10 - 1) >> 10 }

// partsHeld returns how many parts hold the payload of a task, and no more than there can be, whatever is stored.
func partsHeld(t task.Task) int { return max(0, min(t.Parts, partsMost)) }

// together cuts tasks into groups, in order, whose parts of payloads are read at once.
func together(tasks []task.Task) iter.Seq[[]task.Task] {
	return func(yield func([]task.Task) bool) {
		first, held := 0, 0
		for i, t := range tasks {
			n := partsHeld(t)
			if i > first && held+n > partsTogether {
				if !yield(tasks[first:i]) {
					return
				}
				first, held = i, 0
			}
			held += n
		}
		if first < len(tasks) {
			yield(tasks[first:])
		}
	}
}

// part names a part of a payload.
type part struct {
	of task.ID
	k  int
}

// parts reads the parts of payloads, as they are stored. Those that do not exist are missing in the answer. Parts do not change, so a read at half
// the price is good enough where it finds them.
func (t Tasks) parts(ctx context.Context, of []task.Task) (map[part][]byte, error) {
	found := map[part][]byte{}
	for _, strong := range []bool{false, true} {
		asked := map[part]bool{}
		var keys []map[string]types.AttributeValue
		for _, one := range of {
			for k := range partsHeld(one) {
				p := part{one.ID, k}
				if _, is := found[p]; !is && !asked[p] {
					asked[p] = true
					keys = append(keys, partKey(one.ID, k))
				}
			}
		}
		err := batchGet(ctx, t.API, t.Table, keys, types.KeysAndAttributes{ConsistentRead: &strong}, func(it item) error {
			id, err := task.ParseID(strings.Replace(it.str("segment"), "#", ".", 1))
			found[part{id, int(it.num("n"))}] = it.bytes("payload")
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading %d parts of payloads, %w", len(keys), err)
		}
	}
	return found, nil
}

// fill sets the payload of a task from its parts, if it has any. task.ErrNoPayload: some are missing, or damaged.
func fill(t *task.Task, from map[part][]byte) error {
	if t.Parts == 0 {
		return nil
	}
	var stored []byte
	have := 0
	for k := range partsHeld(*t) {
		if some, is := from[part{t.ID, k}]; is {
			stored, have = append(stored, some...), have+1
		}
	}
	if have != t.Parts {
		return fmt.Errorf("task %s: %w: %d of its %d parts exist", t.ID, task.ErrNoPayload, have, t.Parts)
	}
	payload, err := unpack(stored)
	if err != nil {
		return fmt.Errorf("task %s: %w: %w", t.ID, task.ErrNoPayload, err)
	}
	t.Payload = payload
	return nil
}

// Filled yields tasks with their payloads, in order. Beside a task whose payload cannot be read it yields a task.ErrNoPayload, and goes on;
// another error ends it.
func (t Tasks) Filled(ctx context.Context, tasks []task.Task) iter.Seq2[task.Task, error] {
	return func(yield func(task.Task, error) bool) {
		for some := range together(tasks) {
			parts, err := t.parts(ctx, some)
			if err != nil {
				yield(task.Task{}, err)
				return
			}
			for _, one := range some {
				if err := fill(&one, parts); !yield(one, err) {
					return
				}
			}
		}
	}
}

// Ended dates the parts of a task anew that has ended so late that they would not be kept for long enough after it. Dating them again changes
// nothing.
func (t Tasks) Ended(ctx context.Context, of task.Task) error {
	until := of.ClosedAt.Add(t.Retention + partsOutlive)
	if !of.PayloadUntil.Before(until) {
		return nil
	}
	for k := range partsHeld(of) {
		_, err := updateItem(ctx, t.API, &dynamodb.UpdateItemInput{TableName: &t.Table, Key: partKey(of.ID, k), UpdateExpression: aws.String("SET expires_at = :at"),
			ConditionExpression: aws.String("attribute_exists(n)"), ExpressionAttributeValues: item{":at": num(until.Unix())}})
		if err != nil && !refused(err) {
			return fmt.Errorf("dating the payload of task %s, %w", of.ID, err)
		}
	}
	return nil
}

package dynamo

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
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

// partsOutlive says how long what lies apart is kept after its task. A replay does not touch them, so a replayed task has this long to
// end again.
const partsOutlive = 366 * 24 * time.Hour

// partsWait says how long after its due time a task may end before what lies apart, which is dated for that at its creation, has to be dated anew.
const partsWait = 30 * 24 * time.Hour

// place holds the key of an item that holds payloads apart from their tasks.
type place struct {
	segment string
	n       int64
}

func (p place) key() item { return item{"segment": str(p.segment), "n": num(p.n)} }

func partAt(id task.ID, k int) place {
	return place{string(id.Segment) + "#" + strconv.Itoa(id.N), int64(k)}
}

// born holds a new task, with the ways to store it.
type born struct {
	task  task.Task
	whole item // with its payload
	own   item // without it
	until time.Time
	alone []item // the cheapest items for it alone; the last is the task's own
}

// bear returns a new task with the ways to store it.
func (t Tasks) bear(one task.Task) (born, error) {
	whole, err := taskItem(one, 0)
	if err != nil {
		return born{}, err
	}
	until := one.CreatedAt
	if one.Due.After(until) {
		until = one.Due
	}
	b := born{task: one, whole: whole, own: maps.Clone(whole), until: until.Add(t.Retention + partsOutlive + partsWait)}
	delete(b.own, "payload")
	units := 0
	for stored := whole.bytes("payload"); len(stored) > 0; {
		n := min(len(stored), partBytes)
		part := partAt(one.ID, len(b.alone)).key()
		part["payload"], part["expires_at"] = &types.AttributeValueMemberB{Value: stored[:n]}, num(b.until.Unix())
		b.alone, stored = append(b.alone, part), stored[n:]
		units += writeUnits(part)
	}
	own := b.referring(len(b.alone), b.until)
	if units+itemWrites*writeUnits(own) < itemWrites*writeUnits(whole) {
		b.alone = append(b.alone, own)
	} else {
		b.alone = []item{whole}
	}
	return b, nil
}

// referring returns the item of a task whose payload lies apart, in so many parts, until a time.
func (b born) referring(parts int, until time.Time) item {
	own := maps.Clone(b.own)
	own["parts"], own["payload_until"] = num(parts), num(until.Unix())
	return own
}

// created returns the items of new tasks: those that hold the payloads of several of them, and for each task the others, of which the last is its own.
func (t Tasks) created(tasks []task.Task) (bundles []item, each [][]item, err error) {
	each = make([][]item, len(tasks))
	var apart []born // those whose payloads may share an item
	var at []int     // their places in tasks
	for i, one := range tasks {
		b, err := t.bear(one)
		if err != nil {
			return nil, nil, fmt.Errorf("encoding task %s, %w", one.ID, err)
		}
		if each[i] = b.alone; writeUnits(b.own) < writeUnits(b.whole) {
			apart, at = append(apart, b), append(at, i)
		}
	}
	var b *bundled
	for len(apart) > 0 {
		n := 1
		if b = best(apart, b); b != nil {
			bundles, n = append(bundles, b.it), len(b.owns)
			for i, own := range b.owns {
				each[at[i]] = []item{own}
			}
		}
		apart, at = apart[n:], at[n:]
	}
	return bundles, each, nil
}

// writeUnits returns what it costs to write an item: one unit for each KB.
func writeUnits(it item) int { return (size(it) + 1<<10 - 1) >> 10 }

// partsHeld returns how many parts hold the payload of a task, and no more than there can be, whatever is stored.
func partsHeld(t task.Task) int { return max(0, min(t.Parts, partsMost)) }

// lies returns where the payload of a task lies apart, and how many bytes it takes to read it there and to unpack it. It names no place for a
// payload that lies in the task's item, or nowhere.
func lies(t task.Task) (places []place, bytes int) {
	if t.Bundle != "" && t.Parts > 0 {
		if b, valid := bundleOf(t); valid {
			return []place{b.place(t.ID.Segment)}, 2*b.size + bundleHeaders
		}
		return nil, 0
	}
	for k := range partsHeld(t) {
		places, bytes = append(places, partAt(t.ID, k)), bytes+partBytes
	}
	return places, bytes
}

// together cuts tasks into groups, in order, whose payloads are read at once: [task.ChunkBytes] of what lies apart, each of it once.
func together(tasks []task.Task) iter.Seq[[]task.Task] {
	return func(yield func([]task.Task) bool) {
		first, held, known := 0, 0, map[place]bool{}
		for i, t := range tasks {
			places, n := lies(t)
			if len(places) > 0 && known[places[0]] {
				continue
			}
			if i > first && held+n > task.ChunkBytes {
				if !yield(tasks[first:i]) {
					return
				}
				first, held = i, 0
				clear(known)
			}
			if held += n; len(places) > 0 {
				known[places[0]] = true
			}
		}
		if first < len(tasks) {
			yield(tasks[first:])
		}
	}
}

// payloads holds what lies apart from tasks, as it is stored, and of bundles what was unpacked.
type payloads struct {
	stored map[place][]byte
	opened map[string]map[int][]byte // by the segment and the bundle's name
}

// apart reads what lies apart from tasks. What does not exist is missing in the answer. It does not change, so a read at half the price is good
// enough where it finds it.
func (t Tasks) apart(ctx context.Context, of []task.Task) (payloads, error) {
	found := payloads{map[place][]byte{}, map[string]map[int][]byte{}}
	for _, strong := range []bool{false, true} {
		asked := map[place]bool{}
		var keys []map[string]types.AttributeValue
		for _, one := range of {
			places, _ := lies(one)
			for _, p := range places {
				if _, is := found.stored[p]; !is && !asked[p] {
					asked[p] = true
					keys = append(keys, p.key())
				}
			}
		}
		err := batchGet(ctx, t.API, t.Table, keys, types.KeysAndAttributes{ConsistentRead: &strong}, func(it item) error {
			found.stored[place{it.str("segment"), it.num("n")}] = it.bytes("payload")
			return nil
		})
		if err != nil {
			return found, fmt.Errorf("reading %d items with payloads, %w", len(keys), err)
		}
	}
	return found, nil
}

// fill sets the payload of a task from what lies apart, if it does. task.ErrNoPayload: some is missing, or damaged.
func fill(t *task.Task, from payloads) error {
	if t.Parts == 0 && t.Bundle == "" {
		return nil
	}
	of := from.ofParts
	if t.Bundle != "" {
		of = from.ofBundle
	}
	payload, err := of(*t)
	if err != nil {
		return fmt.Errorf("task %s: %w: %w", t.ID, task.ErrNoPayload, err)
	}
	t.Payload = payload
	return nil
}

func (p payloads) ofParts(t task.Task) ([]byte, error) {
	var stored []byte
	have := 0
	for k := range partsHeld(t) {
		if some, is := p.stored[partAt(t.ID, k)]; is {
			stored, have = append(stored, some...), have+1
		}
	}
	if have != t.Parts {
		return nil, fmt.Errorf("%d of its %d parts exist", have, t.Parts)
	}
	return unpack(stored)
}

func (p payloads) ofBundle(t task.Task) ([]byte, error) {
	b, valid := bundleOf(t)
	if !valid {
		return nil, fmt.Errorf("it does not lie in a bundle named %.80q", t.Bundle)
	}
	stored, is := p.stored[b.place(t.ID.Segment)]
	if !is {
		return nil, fmt.Errorf("bundle %s does not exist", b)
	}
	name := string(t.ID.Segment) + "#" + t.Bundle
	if p.opened[name] == nil {
		opened, err := b.open(t.ID.Segment, stored)
		if err != nil {
			return nil, fmt.Errorf("opening bundle %s, %w", b, err)
		}
		p.opened[name] = opened
	}
	payload, is := p.opened[name][t.ID.N]
	if !is {
		return nil, fmt.Errorf("bundle %s is without it", b)
	}
	return bytes.Clone(payload), nil // a task does not keep the others of its bundle in memory
}

// Filled yields tasks with their payloads, in the order of their ids, so that those of a bundle are read together. Beside a task whose payload cannot be
// read it yields a task.ErrNoPayload, and goes on; another error ends it.
func (t Tasks) Filled(ctx context.Context, tasks []task.Task) iter.Seq2[task.Task, error] {
	return func(yield func(task.Task, error) bool) {
		tasks = slices.SortedStableFunc(slices.Values(tasks), func(a, b task.Task) int {
			return cmp.Or(cmp.Compare(a.ID.Segment, b.ID.Segment), cmp.Compare(a.ID.N, b.ID.N))
		})
		for some := range together(tasks) {
			apart, err := t.apart(ctx, some)
			if err != nil {
				yield(task.Task{}, err)
				return
			}
			for _, one := range some {
				if err := fill(&one, apart); !yield(one, err) {
					return
				}
			}
		}
	}
}

// Ended dates the payload of a task anew that has ended so late that what lies apart would not be kept for long enough after it. Dating it again
// changes nothing, and no date becomes an earlier one. A bundle gets a month more, as its other tasks may end later still.
func (t Tasks) Ended(ctx context.Context, of task.Task) error {
	until := of.ClosedAt.Add(t.Retention + partsOutlive)
	if !of.PayloadUntil.Before(until) {
		return nil
	}
	places, _ := lies(of)
	date := until
	if of.Bundle != "" {
		date = until.Add(partsWait)
		if kept, err := t.kept(ctx, places, until); kept || err != nil {
			return err
		}
	}
	for _, p := range places {
		_, err := updateItem(ctx, t.API, &dynamodb.UpdateItemInput{TableName: &t.Table, Key: p.key(), UpdateExpression: aws.String("SET expires_at = :date"),
			ConditionExpression: aws.String("expires_at <= :before"), ExpressionAttributeValues: item{":date": num(date.Unix()), ":before": num(until.Unix() - 1)}})
		if err != nil && !refused(err) {
			return fmt.Errorf("dating the payload of task %s, %w", of.ID, err)
		}
	}
	return nil
}

// kept reports whether these items are kept until a time at least. A date never becomes an earlier one, so a read at half the price is good enough;
// it costs a tenth of a refused write.
func (t Tasks) kept(ctx context.Context, places []place, until time.Time) (bool, error) {
	var keys []map[string]types.AttributeValue
	for _, p := range places {
		keys = append(keys, p.key())
	}
	kept := 0
	err := batchGet(ctx, t.API, t.Table, keys, types.KeysAndAttributes{ProjectionExpression: aws.String("expires_at")}, func(it item) error {
		if it.num("expires_at") >= until.Unix() {
			kept++
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("reading the dates of %d items with payloads, %w", len(keys), err)
	}
	return kept == len(places), nil
}

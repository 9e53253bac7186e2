package dynamo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// Leases reads all leases of a labourer, strongly consistent. Every method that reads several leases, entries or asides returns those that
// cannot be decoded among the others, as [queue.Unreadable].
func (c Control) Leases(ctx context.Context, labourer string) ([]queue.Lease, error) {
	items, err := query(ctx, c.API, c.beginning(labourer, leasePrefix, true), 0)
	if err == nil {
		items, err = c.spread(ctx, labourer, items)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the leases of labourer %s, %w", labourer, err)
	}
	return all(items, leaseOf), nil
}

// LeasesOn reads a labourer's leases on one segment, strongly consistent.
func (c Control) LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error) {
	items, err := query(ctx, c.API, c.beginning(lanePartition(labourer, s.Lane()), queue.LeasePrefix(s), true), 0)
	if err != nil {
		return nil, fmt.Errorf("reading the leases of labourer %s on segment %s, %w", labourer, s, err)
	}
	return all(items, leaseOf), nil
}

// Lease reads one lease by its sort key, strongly consistent. found is false when it is gone, or cannot be decoded, which the reaper reports.
func (c Control) Lease(ctx context.Context, labourer, name string) (lease queue.Lease, found bool, err error) {
	out, err := c.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.Table, Key: controlKey(labourer, name), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return queue.Lease{}, false, fmt.Errorf("reading %s of labourer %s, %w", name, labourer, err)
	}
	if out.Item == nil {
		return queue.Lease{}, false, nil
	}
	lease = leaseOf(out.Item)
	return lease, lease.Unreadable == nil, nil
}

// LeasesNamed reads leases by their names, which must differ, strongly consistent. It leaves out those that are gone, or cannot be decoded.
func (c Control) LeasesNamed(ctx context.Context, names []queue.LeaseName) (map[queue.LeaseName]queue.Lease, error) {
	keys := make([]map[string]types.AttributeValue, len(names))
	for i, n := range names {
		keys[i] = controlKey(n.Labourer, n.Item)
	}
	out := make(map[queue.LeaseName]queue.Lease, len(names))
	err := batchGet(ctx, c.API, c.Table, keys, types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}, func(it item) error {
		if l := leaseOf(it); l.Unreadable == nil {
			out[queue.LeaseName{Labourer: l.Labourer, Item: l.Item()}] = l
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d leases, %w", len(names), err)
	}
	return out, nil
}

// Save replaces a lease, and removes it if it is empty afterwards. queue.ErrChanged: the lease has changed since it was read, or is gone.
func (c Control) Save(ctx context.Context, before, after queue.Lease) error {
	var err error
	if w := c.replacing(before, after); w.Delete != nil {
		_, err = deleteItem(ctx, c.API, &dynamodb.DeleteItemInput{TableName: w.Delete.TableName, Key: w.Delete.Key,
			ConditionExpression: w.Delete.ConditionExpression, ExpressionAttributeValues: w.Delete.ExpressionAttributeValues})
	} else {
		_, err = updateItem(ctx, c.API, &dynamodb.UpdateItemInput{TableName: w.Update.TableName, Key: w.Update.Key,
			UpdateExpression: w.Update.UpdateExpression, ConditionExpression: w.Update.ConditionExpression,
			ExpressionAttributeNames: w.Update.ExpressionAttributeNames, ExpressionAttributeValues: w.Update.ExpressionAttributeValues})
	}
	return changed(err, "changing "+before.Item()+" of labourer "+before.Labourer)
}

// Requeue replaces a lease and queues tasks that have left it, in one transaction. So one entry follows an attempt, however often its end is
// reported. queue.ErrChanged: the lease has changed since it was read; nothing was written.
func (c Control) Requeue(ctx context.Context, before, after queue.Lease, e queue.Entry) error {
	_, err := transactWriteItems(ctx, c.API, &dynamodb.TransactWriteItemsInput{
		TransactItems: []types.TransactWriteItem{c.replacing(before, after), putEntry(c.Table, e)}})
	return changed(err, fmt.Sprintf("queueing tasks %s of segment %s again", e.Tasks, e.Segment))
}

// Hear records the heartbeat of a task that a lease has in hand. It leaves the lease's revision alone, so that heartbeats and other writes do
// not get in each other's way. queue.ErrChanged: the hand has changed since it was read, or is gone.
func (c Control) Hear(ctx context.Context, l queue.Lease, n int, at time.Time) error {
	hand, in := l.Hands[n]
	if !in {
		return queue.ErrChanged
	}
	was := handText(hand, l.ClaimedAt)
	hand.Heard = time.UnixMilli(at.UnixMilli()).UTC()
	if hand.By == queue.Undispatched { // its worker runs, whatever its dispatcher knows
		hand.By = queue.Dispatched
	}
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(l.Labourer, l.Item()), UpdateExpression: aws.String("SET #hands.#n = :is"),
		// A hand tells times from its lease's claim, so the same text means the same only in the same lease.
		ConditionExpression:       aws.String("#hands.#n = :was AND claimed_at = :claimed"),
		ExpressionAttributeNames:  map[string]string{"#hands": "hands", "#n": strconv.Itoa(n)},
		ExpressionAttributeValues: item{":is": str(handText(hand, l.ClaimedAt)), ":was": str(was), ":claimed": millis(l.ClaimedAt)},
	})
	return changed(err, "hearing of "+l.Item()+" of labourer "+l.Labourer)
}

// replacing returns the write that replaces a lease on condition of its revision. It writes the difference alone, hand by hand, and so keeps
// the heartbeats of other tasks that came since the lease was read.
func (c Control) replacing(before, after queue.Lease) types.TransactWriteItem {
	key, condition := controlKey(before.Labourer, before.Item()), aws.String("revision = :read")
	values := item{":read": num(before.Revision)}
	if after.Empty() {
		return types.TransactWriteItem{Delete: &types.Delete{TableName: &c.Table, Key: key, ConditionExpression: condition, ExpressionAttributeValues: values}}
	}
	was, is := leaseItem(before), leaseItem(queue.Change{Before: before, After: after}.Written())
	handsWere, handsAre := was.hands(), is.hands()
	delete(was, "hands")
	delete(is, "hands")
	d := difference{names: map[string]string{}, values: values}
	d.add("", was, is)
	d.add("hands", handsWere, handsAre)
	expression := d.expression()
	return types.TransactWriteItem{Update: &types.Update{TableName: &c.Table, Key: key, UpdateExpression: &expression, ConditionExpression: condition,
		ExpressionAttributeNames: d.names, ExpressionAttributeValues: values}}
}

// difference collects the parts of an update expression.
type difference struct {
	set, remove []string
	names       map[string]string
	values      item
}

// add adds what differs between two items, or between two maps that are an attribute of them.
func (d *difference) add(attribute string, was, is item) {
	place := func(name string) string {
		d.names["#"+name] = name
		if attribute == "" {
			return "#" + name
		}
		d.names["#"+attribute] = attribute
		return "#" + attribute + ".#" + name
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if !reflect.DeepEqual(was[name], is[name]) {
			d.set = append(d.set, place(name)+" = :"+name)
			d.values[":"+name] = is[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if !is.has(name) {
			d.remove = append(d.remove, place(name))
		}
	}
}

func (d *difference) expression() string {
	out := ""
	if len(d.set) > 0 {
		out = "SET " + strings.Join(d.set, ", ")
	}
	if len(d.remove) > 0 {
		out += " REMOVE " + strings.Join(d.remove, ", ")
	}
	return out
}

func leaseItem(l queue.Lease) item {
	it := controlKey(l.Labourer, l.Item())
	maps.Copy(it, item{"revision": num(l.Revision), "tasks": str(l.Tasks.String()), "slots": num(l.Slots), "due": millis(l.Due),
		"claimed_at": millis(l.ClaimedAt)})
	hands := make(item, len(l.Hands))
	for n, h := range l.Hands {
		hands[handNames[n]] = str(handText(h, l.ClaimedAt))
	}
	it["hands"] = &types.AttributeValueMemberM{Value: hands}
	if !l.Waiting.Empty() {
		it["waiting"] = str(l.Waiting.String())
	}
	if len(l.Retries) > 0 {
		it["retries"] = str(retriesText(l.Retries, l.ClaimedAt))
	}
	if !l.FeedUntil.IsZero() {
		it["feed_until"] = millis(l.FeedUntil)
	}
	if l.Ordered {
		it["ordered"] = yes()
	}
	if l.Lasts > 0 {
		it["lasts"] = num(l.Lasts.Milliseconds())
	}
	putNeeds(it, l.Job, l.MaxDuration, l.Tried, l.Misfires)
	return it
}

func readLease(it item) (queue.Lease, error) {
	l := queue.Lease{Labourer: it.owner(), Revision: it.num("revision"), Job: it.str("job"), Slots: int(it.num("slots")),
		Due: it.time("due"), ClaimedAt: it.time("claimed_at"), FeedUntil: it.time("feed_until"), MaxDuration: it.duration("max_duration"), Lasts: it.duration("lasts"),
		Ordered: it.bool("ordered"), Tried: it.bool("tried"), Misfires: int(it.num("misfires"))}
	if err := it.ofKinds(leaseKinds); err != nil {
		return l, err
	}
	parts := strings.Split(it.str("item"), "#")
	if len(parts) != 4 {
		return l, fmt.Errorf("its key has %d parts; it must have 4", len(parts))
	}
	attempt, err1 := strconv.Atoi(parts[2])
	first, err2 := strconv.Atoi(parts[3])
	if err := errors.Join(err1, err2); err != nil {
		return l, fmt.Errorf("its key, %w", err)
	}
	l.Segment, l.Attempt, l.First = segment.ID(parts[1]), attempt, first
	var err error
	if l.Tasks, err = it.ranges("tasks"); err != nil {
		return l, wrapAttribute("tasks", err)
	}
	if l.Waiting, err = it.ranges("waiting"); err != nil {
		return l, wrapAttribute("waiting", err)
	}
	if l.Hands, err = it.readHands(l.ClaimedAt); err != nil {
		return l, wrapAttribute("hands", err)
	}
	if l.Retries, err = readRetries(it.str("retries"), l.ClaimedAt); err != nil {
		return l, wrapAttribute("retries", err)
	}
	for n, again := range l.Retries {
		if again.Attempt <= l.Attempt {
			return l, fmt.Errorf("attribute retries: the next attempt at task %d is %d; it must be more than the lease's, %d", n, again.Attempt, l.Attempt)
		}
	}
	for n, h := range l.Hands {
		if h.Attempt != 0 && h.Attempt <= l.Attempt {
			return l, fmt.Errorf("attribute hands: task %d is at attempt %d; it must be more than the lease's, %d", n, h.Attempt, l.Attempt)
		}
	}
	if l.Slots < 0 {
		return l, fmt.Errorf("attribute slots is %d; it must be 0 or more", l.Slots)
	}
	return l, nil
}

// moment returns a time in ms after the claim of a lease, in base 36.
func moment(t, claimed time.Time) string { return string(appendMoment(nil, t, claimed)) }

func appendMoment(b []byte, t, claimed time.Time) []byte {
	return strconv.AppendInt(b, t.UnixMilli()-claimed.UnixMilli(), 36)
}

func readMoment(text string, claimed time.Time) (time.Time, error) {
	n, err := strconv.ParseInt(text, 36, 64)
	return time.UnixMilli(claimed.UnixMilli() + n).UTC(), err
}

// handText returns the stored form of a hand: since.by, then the last heartbeat if there was one, then what the target's queue was asked, then the
// attempt if it is not the lease's.
func handText(h queue.Hand, claimed time.Time) string { return string(appendHand(nil, h, claimed)) }

// appendHand appends the stored form of a hand to b, which is empty.
func appendHand(b []byte, h queue.Hand, claimed time.Time) []byte {
	b = append(appendMoment(b, h.Since, claimed), '.')
	b = append(append(b, h.By...), '.')
	if !h.Heard.IsZero() {
		b = appendMoment(b, h.Heard, claimed)
	}
	b = append(append(append(b, '.'), h.Asked...), '.')
	if h.Attempt != 0 {
		b = strconv.AppendInt(b, int64(h.Attempt), 10)
	}
	return bytes.TrimRight(b, ".")
}

// readHand reads the output of [handText]. It refuses every other spelling, on which the conditions of writes would never hold.
func readHand(text string, claimed time.Time) (h queue.Hand, err error) {
	if since, by, ok := plainHand(text); ok { // nearly all are: a labourer may have ten thousand of them, which each claim reads
		return queue.Hand{Since: time.UnixMilli(claimed.UnixMilli() + since).UTC(), By: by}, nil
	}
	var fields [5]string
	for i, rest, more := 0, text, true; more && i < len(fields); i++ {
		fields[i], rest, more = strings.Cut(rest, ".")
	}
	h.By, h.Asked = fields[1], fields[3]
	h.Since, err = readMoment(fields[0], claimed)
	if fields[2] != "" && err == nil {
		h.Heard, err = readMoment(fields[2], claimed)
	}
	if fields[4] != "" && err == nil {
		h.Attempt, err = strconv.Atoi(fields[4])
	}
	var spelled [64]byte // longer than what Drover writes
	if err != nil || h.By == "" || string(appendHand(spelled[:0], h, claimed)) != text {
		return queue.Hand{}, fmt.Errorf("%q is not a time, what started the task, and its last heartbeat", text)
	}
	return h, nil
}

// plainHand reads a hand that has a time and what started the task, and nothing else. ok is false for any other, and for a time that Drover spells otherwise.
func plainHand(text string) (since int64, by string, ok bool) {
	const longest = 8 // digits of base 36: some ninety years in milliseconds
	for i := 0; i < len(text) && i <= longest; i++ {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			since = since*36 + int64(c-'0')
		case c >= 'a' && c <= 'z':
			since = since*36 + int64(c-'a') + 10
		case c == '.':
			by = text[i+1:]
			return since, by, (i == 1 || i > 1 && text[0] != '0') && by != "" && strings.IndexByte(by, '.') < 0
		default:
			return 0, "", false
		}
	}
	return 0, "", false
}

// retriesText returns the stored form of the tasks that wait for their next attempt: n.due.attempt of each, in the order of their numbers.
func retriesText(retries map[int]queue.Retry, claimed time.Time) string {
	parts := make([]string, 0, len(retries))
	for _, n := range slices.Sorted(maps.Keys(retries)) {
		again := retries[n]
		parts = append(parts, fmt.Sprintf("%d.%s.%d", n, moment(again.Due, claimed), again.Attempt))
	}
	return strings.Join(parts, ",")
}

// readRetries reads the output of [retriesText]. It refuses every other spelling, as of a task that is named twice.
func readRetries(text string, claimed time.Time) (map[int]queue.Retry, error) {
	if text == "" {
		return nil, nil
	}
	out := map[int]queue.Retry{}
	for part := range strings.SplitSeq(text, ",") {
		fields := append(strings.Split(part, "."), "", "")
		n, known := handOf(fields[0])
		due, err1 := readMoment(fields[1], claimed)
		attempt, err2 := strconv.Atoi(fields[2])
		if !known || errors.Join(err1, err2) != nil {
			return nil, fmt.Errorf("%q is not the number of a task, a time and an attempt", part)
		}
		out[n] = queue.Retry{Due: due, Attempt: attempt}
	}
	if retriesText(out, claimed) != text {
		return nil, fmt.Errorf("%q names a task twice, or is spelled as Drover does not", text)
	}
	return out, nil
}

// hands returns the stored hands by the numbers of their tasks.
func (it item) hands() item {
	if v, ok := it["hands"].(*types.AttributeValueMemberM); ok {
		return v.Value
	}
	return nil
}

func (it item) readHands(claimed time.Time) (map[int]queue.Hand, error) {
	hands := it.hands()
	out := make(map[int]queue.Hand, len(hands))
	for name, stored := range hands {
		n, known := handOf(name)
		if !known {
			return nil, fmt.Errorf("%q is not the number of a task, 0 to %d", name, segment.Size-1)
		}
		text, _ := stored.(*types.AttributeValueMemberS)
		if text == nil {
			text = &types.AttributeValueMemberS{}
		}
		h, err := readHand(text.Value, claimed)
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", n, err)
		}
		out[n] = h
	}
	return out, nil
}

// handNames holds the names of hands: the numbers of their tasks.
var handNames = func() (names [segment.Size]string) {
	for n := range names {
		names[n] = strconv.Itoa(n)
	}
	return names
}()

// handOf returns the task whose hand has this name.
func handOf(name string) (n int, known bool) {
	for i := 0; i < len(name) && i < 3; i++ {
		n = n*10 + int(name[i]) - '0'
	}
	if n < 0 || n >= segment.Size || name != handNames[n] {
		return 0, false
	}
	return n, true
}

package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// Control stands for the control table, with the key (labourer, item). A labourer's state, leases and queue entries share a partition. In the
// table's order leases come before the queue, and the queue is sorted by due time.
type Control struct {
	API   API
	Table string
}

const (
	stateItem   = "state"
	leasePrefix = "lease#"
	queuePrefix = "queue#"
)

func controlKey(labourer, name string) item {
	return item{"labourer": str(labourer), "item": str(name)}
}

// State reads a labourer's state, strongly consistent. It is zero for a labourer whose tasks were never claimed.
func (c Control) State(ctx context.Context, labourer string) (queue.State, error) {
	out, err := c.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.Table, Key: controlKey(labourer, stateItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return queue.State{}, fmt.Errorf("reading the state of labourer %s, %w", labourer, err)
	}
	return readState(out.Item)
}

// Leases reads all leases of a labourer, strongly consistent. Every method that reads several leases, entries or asides returns those that
// cannot be decoded among the others, as [queue.Unreadable].
func (c Control) Leases(ctx context.Context, labourer string) ([]queue.Lease, error) {
	return c.leases(ctx, labourer, leasePrefix)
}

// LeasesOn reads a labourer's leases on one segment, strongly consistent.
func (c Control) LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error) {
	return c.leases(ctx, labourer, queue.LeasePrefix(s))
}

func (c Control) leases(ctx context.Context, labourer, prefix string) ([]queue.Lease, error) {
	items, err := query(ctx, c.API, dynamodb.QueryInput{
		TableName: &c.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("labourer = :labourer AND begins_with(#item, :prefix)"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":labourer": str(labourer), ":prefix": str(prefix)},
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the leases of labourer %s, %w", labourer, err)
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

// Due reads the first entries that are due at this time, in the order in which they are handed out, strongly consistent. limit 0: all.
func (c Control) Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error) {
	return c.entries(ctx, labourer, "queue#", dueUntil(now), limit)
}

// Queue reads all entries of a labourer, due or not, strongly consistent.
func (c Control) Queue(ctx context.Context, labourer string) ([]queue.Entry, error) {
	return c.entries(ctx, labourer, "queue#", "queue#~", 0)
}

// dueUntil returns a sort key behind every entry that is due now, as '~' sorts behind '#'.
func dueUntil(now time.Time) string { return fmt.Sprintf("queue#%013d~", now.UnixMilli()) }

func (c Control) entries(ctx context.Context, labourer, from, to string, limit int) ([]queue.Entry, error) {
	items, err := c.between(ctx, labourer, from, to, limit, true)
	if err != nil {
		return nil, fmt.Errorf("reading the queue of labourer %s, %w", labourer, err)
	}
	return all(items, entryOf), nil
}

// Look reads all asides and leases, and the first due entries, eventually consistent: enough to know whether there may be something to do.
// It makes one request for a labourer that has fewer items than page. For more it reads on, with pages ten times as large, until it reaches a
// due entry or the end, so that it reads every lease. page 0: as many items as fit a request.
func (c Control) Look(ctx context.Context, labourer string, now time.Time, page int) (queue.Look, error) {
	var out queue.Look
	in := c.span(labourer, withdrawnPrefix, dueUntil(now), false)
	for ; ; page *= 10 {
		if in.Limit = nil; page > 0 {
			in.Limit = aws.Int32(int32(page))
		}
		answer, err := c.API.Query(ctx, &in)
		if err != nil {
			return out, fmt.Errorf("looking at labourer %s, %w", labourer, err)
		}
		for _, it := range answer.Items {
			lookAt(&out, it)
		}
		if in.ExclusiveStartKey = answer.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 || len(out.Due) > 0 {
			return out, nil
		}
	}
}

func lookAt(out *queue.Look, it item) {
	switch name := it.str("item"); {
	case strings.HasPrefix(name, withdrawnPrefix):
		out.Asides = append(out.Asides, asideOf(it))
	case strings.HasPrefix(name, leasePrefix):
		out.Leases = append(out.Leases, leaseOf(it))
	case strings.HasPrefix(name, queuePrefix):
		out.Due = append(out.Due, entryOf(it))
	}
}

func (c Control) between(ctx context.Context, labourer, from, to string, limit int, strong bool) ([]item, error) {
	return query(ctx, c.API, c.span(labourer, from, to, strong), limit)
}

// span returns the query for a labourer's items between two sort keys.
func (c Control) span(labourer, from, to string, strong bool) dynamodb.QueryInput {
	return dynamodb.QueryInput{
		TableName: &c.Table, ConsistentRead: &strong,
		KeyConditionExpression:    aws.String("labourer = :labourer AND #item BETWEEN :from AND :to"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":labourer": str(labourer), ":from": str(from), ":to": str(to)},
	}
}

// Approach sets the hold on a labourer before a claim, so that other executions yield. Setting it again prolongs it. queue.ErrChanged:
// another execution holds the labourer.
func (c Control) Approach(ctx context.Context, labourer string, now time.Time, hold queue.Hold) error {
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(labourer, stateItem),
		UpdateExpression:          aws.String("SET claiming_until = :until, claiming_by = :by"),
		ConditionExpression:       aws.String("attribute_not_exists(claiming_until) OR claiming_until <= :now OR claiming_by = :by"),
		ExpressionAttributeValues: item{":until": millis(hold.Until), ":by": str(hold.By), ":now": millis(now)},
	})
	return changed(err, "approaching the claims of labourer "+labourer)
}

// Depart ends an execution's hold, if it has one.
func (c Control) Depart(ctx context.Context, labourer, execution string) error {
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: aws.String("REMOVE claiming_until, claiming_by"),
		ConditionExpression: aws.String("claiming_by = :by"), ExpressionAttributeValues: item{":by": str(execution)},
	})
	if err != nil && !refused(err) {
		return fmt.Errorf("ending the hold on labourer %s, %w", labourer, err)
	}
	return nil
}

// Claim moves tasks from entries to leases in one transaction, if there was no claim, pause or resume since the state was read and no entry
// changed. From then on the labourer is held as hold says: not at all, or by the claimer until it comes back. queue.ErrChanged: nothing was
// claimed.
func (c Control) Claim(ctx context.Context, labourer string, state queue.State, takings []queue.Taking, hold queue.Hold) error {
	fence := &types.Update{
		TableName: &c.Table, Key: controlKey(labourer, stateItem),
		UpdateExpression:          aws.String("SET version = :next REMOVE claiming_until, claiming_by"),
		ConditionExpression:       aws.String(versionCondition(state)),
		ExpressionAttributeValues: item{":next": num(state.Version + 1), ":version": num(state.Version)},
	}
	if hold != (queue.Hold{}) {
		fence.UpdateExpression = aws.String("SET version = :next, claiming_until = :until, claiming_by = :by")
		fence.ExpressionAttributeValues[":until"], fence.ExpressionAttributeValues[":by"] = millis(hold.Until), str(hold.By)
	}
	writes := []types.TransactWriteItem{{Update: fence}}
	for _, t := range takings {
		entry := types.TransactWriteItem{Delete: &types.Delete{
			TableName: &c.Table, Key: controlKey(labourer, t.Entry.Item()), ConditionExpression: aws.String("tasks = :tasks"),
			ExpressionAttributeValues: item{":tasks": str(t.Entry.Tasks.String())},
		}}
		if !t.Rest.Empty() {
			entry = types.TransactWriteItem{Update: &types.Update{
				TableName: &c.Table, Key: controlKey(labourer, t.Entry.Item()), ConditionExpression: aws.String("tasks = :tasks"),
				UpdateExpression:          aws.String("SET tasks = :rest"),
				ExpressionAttributeValues: item{":tasks": str(t.Entry.Tasks.String()), ":rest": str(t.Rest.String())},
			}}
		}
		writes = append(writes, entry, types.TransactWriteItem{Put: &types.Put{
			TableName: &c.Table, Item: leaseItem(t.Lease), ConditionExpression: aws.String("attribute_not_exists(labourer)"),
		}})
	}
	_, err := transactWriteItems(ctx, c.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return changed(err, fmt.Sprintf("claiming from %d entries of labourer %s", len(takings), labourer))
}

// versionCondition names :version in both cases, as DynamoDB refuses values that no expression uses.
func versionCondition(s queue.State) string {
	if s.Version == 0 {
		return "attribute_not_exists(version) OR version = :version"
	}
	return "version = :version"
}

// Dispatched records that every worker of a lease was started, and when tasks that are still open count as lost.
// queue.ErrChanged: the lease is gone, as all its tasks have ended, or another dispatcher has adopted it.
func (c Control) Dispatched(ctx context.Context, l queue.Lease, at, endsAt time.Time) error {
	return c.updateLease(ctx, l, "SET dispatched_at = :at, ends_at = :ends", "claim = :claim AND claimed_at = :claimed",
		item{":at": millis(at), ":ends": millis(endsAt), ":claimed": millis(l.ClaimedAt)}, "noting the dispatch of")
}

// Adopt takes over a lease whose dispatcher seems to have died. queue.ErrChanged: another dispatcher has adopted it, or it is dispatched.
func (c Control) Adopt(ctx context.Context, l queue.Lease, now time.Time) error {
	return c.updateLease(ctx, l, "SET claimed_at = :now", "claim = :claim AND claimed_at = :claimed AND attribute_not_exists(dispatched_at)",
		item{":now": millis(now), ":claimed": millis(l.ClaimedAt)}, "adopting")
}

// updateLease writes to a lease under a condition that names :claim. queue.ErrChanged: the condition does not hold.
func (c Control) updateLease(ctx context.Context, l queue.Lease, update, condition string, values item, doing string) error {
	values[":claim"] = num(l.Claim)
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(l.Labourer, l.Item()),
		UpdateExpression: &update, ConditionExpression: &condition, ExpressionAttributeValues: values,
	})
	return changed(err, doing+" "+l.Item()+" of labourer "+l.Labourer)
}

// Waited starts the time of a lease's tasks again, as their messages are still in their target's queue. waiting are the tasks that no worker
// has received. queue.ErrChanged: the lease is gone, or was adopted.
func (c Control) Waited(ctx context.Context, l queue.Lease, waiting segment.Numbers, at time.Time) error {
	return c.updateLease(ctx, l, "SET waited_at = :at, waiting = :waiting", "claim = :claim AND claimed_at = :claimed",
		item{":at": millis(at), ":waiting": str(waiting.String()), ":claimed": millis(l.ClaimedAt)}, "noting the wait of")
}

// Release takes tasks that have ended out of a lease, and removes the lease with its last task. Releasing again changes nothing, nor does
// releasing from a lease that is gone, even if a newer lease has its key.
func (c Control) Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error {
	if numbers.Empty() {
		return nil
	}
	if l.Held().Minus(numbers).Empty() {
		err := c.deleteLease(ctx, l)
		if err == nil || !errors.Is(err, queue.ErrChanged) {
			return err
		}
	}
	out, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(l.Labourer, l.Item()), ReturnValues: types.ReturnValueAllNew,
		UpdateExpression: aws.String("ADD released :numbers"), ConditionExpression: aws.String("claim = :claim"),
		ExpressionAttributeValues: item{":numbers": numberSet(numbers), ":claim": num(l.Claim)},
	})
	if refused(err) {
		return nil // the lease and all that it held is gone
	}
	if err != nil {
		return fmt.Errorf("releasing tasks %s from %s of labourer %s, %w", numbers, l.Item(), l.Labourer, err)
	}
	now := leaseOf(out.Attributes)
	if now.Unreadable != nil || !now.Held().Empty() {
		return nil //nolint:nilerr // it is released; what cannot be read of it is the reaper's
	}
	if err := c.deleteLease(ctx, now); err != nil && !errors.Is(err, queue.ErrChanged) {
		return err
	}
	return nil
}

// deleteLease removes a lease that still holds the tasks that it held when it was read. queue.ErrChanged: it does not, or is gone.
func (c Control) deleteLease(ctx context.Context, l queue.Lease) error {
	condition, values := holding(l)
	_, err := deleteItem(ctx, c.API, &dynamodb.DeleteItemInput{
		TableName: &c.Table, Key: controlKey(l.Labourer, l.Item()), ConditionExpression: &condition, ExpressionAttributeValues: values,
	})
	return changed(err, "removing "+l.Item()+" of labourer "+l.Labourer)
}

// holding returns the condition that this very lease holds the tasks that it held when it was read. As `released` only grows, its size tells.
func holding(l queue.Lease) (string, item) {
	if l.Released.Empty() {
		return "claim = :claim AND attribute_not_exists(released)", item{":claim": num(l.Claim)}
	}
	return "claim = :claim AND size(released) = :released", item{":claim": num(l.Claim), ":released": num(l.Released.Len())}
}

// unchanged returns the condition that a lease holds the tasks that it held when it was read, and was neither adopted nor dispatched since.
func unchanged(l queue.Lease) (string, item) {
	condition, values := holding(l)
	condition += " AND claimed_at = :claimed"
	values[":claimed"] = millis(l.ClaimedAt)
	if l.DispatchedAt.IsZero() {
		condition += " AND attribute_not_exists(dispatched_at)"
	} else {
		condition += " AND dispatched_at = :dispatched"
		values[":dispatched"] = millis(l.DispatchedAt)
	}
	return condition, values
}

// Requeue moves tasks from a lease back into an entry, in one transaction, if the lease has not changed since it was read. So one entry
// follows an attempt, however often its end is reported. queue.ErrChanged: the lease has changed; read it again.
func (c Control) Requeue(ctx context.Context, l queue.Lease, e queue.Entry) error {
	_, err := transactWriteItems(ctx, c.API, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{c.leaving(l, e.Tasks), putEntry(c.Table, e)}})
	return changed(err, fmt.Sprintf("queueing tasks %s of segment %s again", e.Tasks, e.Segment))
}

func putEntry(table string, e queue.Entry) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &table, Item: entryItem(e), ConditionExpression: aws.String("attribute_not_exists(labourer)"),
	}}
}

// Hear records the heartbeat of a task that a lease holds. queue.ErrChanged: the lease is gone.
func (c Control) Hear(ctx context.Context, l queue.Lease, n int, at time.Time) error {
	// A map must exist before a key in it can be set. Creating it is a request of its own, made once for each lease.
	if len(l.Heard) == 0 {
		err := c.updateLease(ctx, l, "SET heard = :heard", "claim = :claim AND attribute_not_exists(heard)",
			item{":heard": &types.AttributeValueMemberM{Value: item{strconv.Itoa(n): millis(at)}}}, "hearing of")
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
	}
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(l.Labourer, l.Item()),
		UpdateExpression: aws.String("SET heard.#n = :at"), ConditionExpression: aws.String("claim = :claim AND attribute_exists(heard)"),
		ExpressionAttributeNames: map[string]string{"#n": strconv.Itoa(n)}, ExpressionAttributeValues: item{":at": millis(at), ":claim": num(l.Claim)},
	})
	return changed(err, "hearing of "+l.Item()+" of labourer "+l.Labourer)
}

// SetPaused pauses or resumes a labourer. It raises the version, so that a claim that was decided before fails.
func (c Control) SetPaused(ctx context.Context, labourer string, paused bool) error {
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(labourer, stateItem),
		UpdateExpression:          aws.String("SET paused = :paused ADD version :one"),
		ExpressionAttributeValues: item{":paused": &types.AttributeValueMemberBOOL{Value: paused}, ":one": num(1)},
	})
	if err != nil {
		return fmt.Errorf("setting paused of labourer %s to %t, %w", labourer, paused, err)
	}
	return nil
}

// SetTrouble records why the target could not be reached; nil removes the record.
func (c Control) SetTrouble(ctx context.Context, labourer string, trouble *queue.Trouble) error {
	in := &dynamodb.UpdateItemInput{TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: aws.String("REMOVE trouble")}
	if trouble != nil {
		text, err := json.Marshal(trouble)
		if err != nil {
			return err
		}
		in.UpdateExpression, in.ExpressionAttributeValues = aws.String("SET trouble = :trouble"), item{":trouble": str(string(text))}
	}
	if _, err := updateItem(ctx, c.API, in); err != nil {
		return fmt.Errorf("noting the trouble of labourer %s, %w", labourer, err)
	}
	return nil
}

// changed turns a failed condition into queue.ErrChanged, and adds what was being done to any other error.
func changed(err error, doing string) error {
	if refused(err) {
		return queue.ErrChanged
	}
	if err != nil {
		return fmt.Errorf("%s, %w", doing, err)
	}
	return nil
}

func readState(it item) (queue.State, error) {
	s := queue.State{Version: int(it.num("version")), Paused: it.bool("paused"), Hold: queue.Hold{By: it.str("claiming_by"), Until: it.time("claiming_until")}}
	if text := it.str("trouble"); text != "" {
		if err := exact.Decode([]byte(text), &s.Trouble); err != nil { // it is only a note, and must not stop the labourer
			s.Trouble = &queue.Trouble{Error: fmt.Sprintf("what is stored of the trouble cannot be read: %v", err)}
		}
	}
	return s, nil
}

func entryItem(e queue.Entry) item {
	it := controlKey(e.Labourer, e.Item())
	it["tasks"], it["attempt"] = str(e.Tasks.String()), num(e.Attempt)
	if e.MaxDuration > 0 {
		it["max_duration"] = num(e.MaxDuration.Milliseconds())
	}
	putTries(it, e.Tried, e.Misfires)
	return it
}

func putTries(it item, tried bool, misfires int) {
	if tried {
		it["tried"] = yes()
	}
	if misfires > 0 {
		it["misfires"] = num(misfires)
	}
}

func readEntry(it item) (queue.Entry, error) {
	e := queue.Entry{Labourer: it.str("labourer"), Attempt: int(it.num("attempt")), MaxDuration: it.duration("max_duration"),
		Tried: it.bool("tried"), Misfires: int(it.num("misfires"))}
	if err := it.ofKinds(entryKinds); err != nil {
		return e, err
	}
	tasks, err := it.ranges("tasks")
	if err != nil {
		return e, wrapAttribute("tasks", err)
	}
	parts := strings.Split(it.str("item"), "#")
	if len(parts) != 4 {
		return e, fmt.Errorf("its key has %d parts; 4 would be right", len(parts))
	}
	due, err1 := strconv.ParseInt(parts[1], 10, 64)
	first, err2 := strconv.Atoi(parts[3])
	if err := errors.Join(err1, err2); err != nil {
		return e, fmt.Errorf("its key, %w", err)
	}
	e.Due, e.Segment, e.First, e.Tasks = time.UnixMilli(due).UTC(), segment.ID(parts[2]), first, tasks
	return e, nil
}

func leaseItem(l queue.Lease) item {
	it := controlKey(l.Labourer, l.Item())
	it["claim"], it["due"] = num(l.Claim), millis(l.Due)
	it["tasks"], it["claimed_at"], it["ends_at"] = str(l.Tasks.String()), millis(l.ClaimedAt), millis(l.ExpiresAt)
	if !l.Released.Empty() {
		it["released"] = numberSet(l.Released)
	}
	if !l.DispatchedAt.IsZero() {
		it["dispatched_at"] = millis(l.DispatchedAt)
	}
	if l.MaxDuration > 0 {
		it["max_duration"] = num(l.MaxDuration.Milliseconds())
	}
	if !l.WaitedAt.IsZero() {
		it["waited_at"], it["waiting"] = millis(l.WaitedAt), str(l.Waiting.String())
	}
	putTries(it, l.Tried, l.Misfires)
	if len(l.Heard) > 0 {
		heard := item{}
		for n, at := range l.Heard {
			heard[strconv.Itoa(n)] = millis(at)
		}
		it["heard"] = &types.AttributeValueMemberM{Value: heard}
	}
	return it
}

func readLease(it item) (queue.Lease, error) {
	l := queue.Lease{Labourer: it.str("labourer"), Claim: int(it.num("claim")), Released: it.numberSet("released"), Due: it.time("due"), ClaimedAt: it.time("claimed_at"),
		DispatchedAt: it.time("dispatched_at"), ExpiresAt: it.time("ends_at"), MaxDuration: it.duration("max_duration"), WaitedAt: it.time("waited_at"),
		Tried: it.bool("tried"), Misfires: int(it.num("misfires"))}
	if err := it.ofKinds(leaseKinds); err != nil {
		return l, err
	}
	tasks, err := it.ranges("tasks")
	if err != nil {
		return l, wrapAttribute("tasks", err)
	}
	parts := strings.Split(it.str("item"), "#")
	if len(parts) != 4 {
		return l, fmt.Errorf("its key has %d parts; 4 would be right", len(parts))
	}
	attempt, err1 := strconv.Atoi(parts[2])
	first, err2 := strconv.Atoi(parts[3])
	if err := errors.Join(err1, err2); err != nil {
		return l, fmt.Errorf("its key, %w", err)
	}
	l.Segment, l.Attempt, l.First, l.Tasks = segment.ID(parts[1]), attempt, first, tasks
	if l.Waiting, err = it.ranges("waiting"); err != nil {
		return l, wrapAttribute("waiting", err)
	}
	l.Heard = it.heard()
	return l, nil
}

// heard returns the last heartbeats by the numbers of tasks.
func (it item) heard() map[int]time.Time {
	heard, ok := it["heard"].(*types.AttributeValueMemberM)
	if !ok {
		return nil
	}
	out := map[int]time.Time{}
	for name := range heard.Value {
		if n, err := strconv.Atoi(name); err == nil {
			out[n] = item(heard.Value).time(name)
		}
	}
	return out
}

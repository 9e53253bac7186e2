package dynamo

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/trace"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// Runs stands for the runs table, with the key (run, item): the records of runs, and their stages and turns beside them.
type Runs struct {
	API       API
	Table     string
	Control   string        // the control table, to which publishing adds queue entries
	Retention time.Duration // how long a run is kept after its end
}

var (
	_ workflow.Runs    = Runs{}
	_ workflow.Claims  = Runs{}
	_ workflow.Stages  = Runs{}
	_ workflow.Counter = Runs{}
	_ workflow.Gauges  = Runs{}
)

const (
	headItem      = "run"
	subjectItem   = "subject"
	stagePrefix   = "stage#"
	turnPrefix    = "turn#"
	claimItem     = "uid"
	waitingPrefix = "waiting#"

	activeIndex     = "active"
	byWorkflowIndex = "by_workflow"
)

// shards says over how many partitions of the index the active runs are spread.
const shards = 4

// expiry returns when an item expires that was written beside a run's record.
func (r Runs) expiry(written time.Time) types.AttributeValue {
	return num(written.Add(workflow.KeptFor + r.Retention).Unix())
}

func runKey(run, name string) item { return item{"run": str(run), "item": str(name)} }

func shard(run string) types.AttributeValue {
	h := fnv.New32a()
	_, _ = h.Write([]byte(run))
	return str(strconv.Itoa(int(h.Sum32() % shards)))
}

// gaugedKey holds the key of the item that says which workflows had active runs at the last tick. No run has an id with a #.
func gaugedKey() item { return runKey("#gauged", "workflows") }

// Gauged reads which workflows had active runs at the last tick. A read that misses the last write repeats a zero, or delays one to the next tick.
func (r Runs) Gauged(ctx context.Context) ([]string, error) {
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Table, Key: gaugedKey()})
	if err != nil {
		return nil, err
	}
	var names []string
	if set, ok := out.Item["names"].(*types.AttributeValueMemberSS); ok {
		names = slices.Sorted(slices.Values(set.Value)) // a set has no order
	}
	return names, nil
}

// SetGauged stores which workflows have active runs.
func (r Runs) SetGauged(ctx context.Context, workflows []string) error {
	in := &dynamodb.PutItemInput{TableName: &r.Table, Item: gaugedKey()}
	if len(workflows) > 0 {
		in.Item["names"] = &types.AttributeValueMemberSS{Value: workflows}
	}
	_, err := r.API.PutItem(ctx, in)
	return err
}

// Get reads a run's record, strongly consistent.
func (r Runs) Get(ctx context.Context, id string) (flow.Record, bool, error) {
	if !nameable(id) {
		return flow.Record{}, false, nil
	}
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Table, Key: runKey(id, headItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return flow.Record{}, false, fmt.Errorf("reading run %s, %w", id, err)
	}
	if out.Item == nil {
		return flow.Record{}, false, nil
	}
	record, err := readHead(out.Item)
	return record, err == nil && !refusal(out.Item), err
}

// refusal reports whether an item says only that the start of a run was refused.
func refusal(it item) bool { return it.has("refused_by") }

// Refuse stores that the start of a run was refused.
func (r Runs) Refuse(ctx context.Context, record flow.Record) error {
	it := runKey(record.ID, headItem)
	maps.Copy(it, refusedItem(record.Refused))
	it["refused_by"], it["expires_at"] = str(record.By), num(record.RecordedAt.Add(r.Retention).Unix())
	_, err := putItem(ctx, r.API, &dynamodb.PutItemInput{TableName: &r.Table, Item: it, ConditionExpression: aws.String("attribute_not_exists(run) OR attribute_exists(refused_by)")})
	return runChanged(err, "storing that run "+record.ID+" was refused")
}

func refusedItem(why *flow.Refusal) item {
	if why == nil {
		return nil
	}
	return item{"refused_field": str(why.Field), "refused_reason": str(why.Reason)}
}

func readRefused(it item) *flow.Refusal {
	if !it.has("refused_reason") {
		return nil
	}
	return &flow.Refusal{Field: it.str("refused_field"), Reason: it.str("refused_reason")}
}

// Subject reads what a run is about.
func (r Runs) Subject(ctx context.Context, id string) (workflow.Stored, error) {
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Table, Key: runKey(id, subjectItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return workflow.Stored{}, fmt.Errorf("reading the subject of run %s, %w", id, err)
	}
	if out.Item == nil {
		return workflow.Stored{}, fmt.Errorf("run %s has no subject", id)
	}
	return readSubject(out.Item)
}

// Create stores a new run with its subject, and the uid's claim.
func (r Runs) Create(ctx context.Context, record flow.Record, s workflow.Stored, before, after workflow.Claim) error {
	record.Revision = 1
	subject, err := r.subjectItem(record, s)
	if err != nil {
		return err
	}
	writes := []types.TransactWriteItem{
		{Put: &types.Put{TableName: &r.Table, Item: r.headItem(record), ConditionExpression: aws.String("attribute_not_exists(run)")}},
		{Put: &types.Put{TableName: &r.Table, Item: subject}},
		r.putClaim(before, after, time.Time{}),
	}
	if record.By != "" {
		writes[0].Put.ConditionExpression, writes[0].Put.ExpressionAttributeValues = aws.String("refused_by = :by"), item{":by": str(record.By)}
	}
	if record.Waiting() {
		it := runKey(claimKey(before), fmt.Sprintf("%s%013d#%s", waitingPrefix, record.RecordedAt.UnixMilli(), record.ID))
		it["waiting"] = str(record.ID)
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &r.Table, Item: it}})
	}
	_, err = transactWriteItems(ctx, r.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return runChanged(err, "storing run "+record.ID)
}

// Save replaces a record over its revision.
func (r Runs) Save(ctx context.Context, before, after flow.Record) (flow.Record, error) {
	after.Revision = before.Revision + 1
	u := r.replace(before.Revision, r.headItem(after), headOptions...)
	_, err := updateItem(ctx, r.API, &dynamodb.UpdateItemInput{TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression,
		ConditionExpression: u.ConditionExpression, ExpressionAttributeNames: u.ExpressionAttributeNames, ExpressionAttributeValues: u.ExpressionAttributeValues})
	return after, runChanged(err, "storing run "+before.ID)
}

// Activate stores a run that has waited as it begins.
func (r Runs) Activate(ctx context.Context, before, after flow.Record, s workflow.Stored, claim, claimed workflow.Claim) error {
	after.Revision = before.Revision + 1
	subject, err := r.subjectItem(after, s)
	if err != nil {
		return err
	}
	_, err = transactWriteItems(ctx, r.API, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Update: r.replace(before.Revision, r.headItem(after), headOptions...)},
		{Update: r.replace(0, subject, "metadata", "start", "from", "kept")},
		r.putClaim(claim, claimed, time.Time{}),
	}})
	return runChanged(err, "activating run "+before.ID)
}

// replace returns an update after which an item has these attributes, and none of the options that are not among them. It leaves what another version
// has added. The item must be at this revision; 0: it may be at any.
func (r Runs) replace(revision int, it item, options ...string) *types.Update {
	u := &types.Update{TableName: &r.Table, Key: runKey(it.str("run"), it.str("item")), ExpressionAttributeNames: map[string]string{},
		ExpressionAttributeValues: item{}}
	var set, remove []string
	for _, name := range slices.Sorted(maps.Keys(it)) {
		if u.Key[name] == nil {
			set = append(set, "#"+name+" = :"+name)
			u.ExpressionAttributeNames["#"+name], u.ExpressionAttributeValues[":"+name] = name, it[name]
		}
	}
	for _, name := range options {
		if it[name] == nil {
			remove = append(remove, "#"+name)
			u.ExpressionAttributeNames["#"+name] = name
		}
	}
	u.UpdateExpression = aws.String("SET " + strings.Join(set, ", "))
	if len(remove) > 0 {
		u.UpdateExpression = aws.String(*u.UpdateExpression + " REMOVE " + strings.Join(remove, ", "))
	}
	if revision > 0 {
		u.ConditionExpression, u.ExpressionAttributeValues[":read"] = aws.String("#revision = :read"), num(revision)
	}
	return u
}

// Retire takes an ended run out of the index of active ones, and lets its record expire.
func (r Runs) Retire(ctx context.Context, record flow.Record) error {
	_, err := updateItem(ctx, r.API, &dynamodb.UpdateItemInput{TableName: &r.Table, Key: runKey(record.ID, headItem),
		UpdateExpression:         aws.String("SET expires_at = :expires, revision = :next REMOVE #active"),
		ConditionExpression:      aws.String("revision = :revision"),
		ExpressionAttributeNames: map[string]string{"#active": "active"},
		ExpressionAttributeValues: item{":expires": num(record.Head.FinishedAt.Add(r.Retention).Unix()), ":revision": num(record.Revision),
			":next": num(record.Revision + 1)}})
	return runChanged(err, "retiring run "+record.ID)
}

// Active returns the ids of the active runs, from an index that lags behind a little.
func (r Runs) Active(ctx context.Context) ([]string, error) {
	var ids []string
	for n := range shards {
		items, err := query(ctx, r.API, dynamodb.QueryInput{
			TableName: &r.Table, IndexName: aws.String(activeIndex),
			KeyConditionExpression:    aws.String("#active = :shard"),
			ExpressionAttributeNames:  map[string]string{"#active": "active"},
			ExpressionAttributeValues: item{":shard": str(strconv.Itoa(n))},
		}, 0)
		if err != nil {
			return nil, fmt.Errorf("listing the active runs, %w", err)
		}
		for _, it := range items {
			ids = append(ids, it.str("run"))
		}
	}
	return ids, nil
}

// List returns the runs of a workflow, the newest first, up to limit (0: all), from an index that lags behind a little.
func (r Runs) List(ctx context.Context, name string, limit int) ([]flow.Record, error) {
	if !nameable(name) {
		return nil, nil
	}
	items, err := query(ctx, r.API, dynamodb.QueryInput{
		TableName: &r.Table, IndexName: aws.String(byWorkflowIndex), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:    aws.String("workflow = :workflow"),
		ExpressionAttributeValues: item{":workflow": str(name)},
	}, limit)
	if err != nil {
		return nil, fmt.Errorf("listing the runs of workflow %s, %w", name, err)
	}
	out := make([]flow.Record, len(items))
	for i, it := range items {
		if out[i], err = readHead(it); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Claim reads the claim of a uid, strongly consistent.
func (r Runs) Claim(ctx context.Context, name, uid string) (workflow.Claim, error) {
	c := workflow.Claim{Workflow: name, UID: uid}
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Table, Key: runKey(claimKey(c), claimItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return c, fmt.Errorf("reading the claim of %s, %w", name, err)
	}
	it := item(out.Item)
	c.Last, c.Run, c.Active, c.Revision = it.str("last"), int(it.num("number")), it.str("active_run"), int(it.num("revision"))
	return c, nil
}

func claimKey(c workflow.Claim) string { return "uid#" + c.Workflow + "#" + c.UID }

// putClaim replaces a claim over its revision. It expires if no run has it.
func (r Runs) putClaim(before, after workflow.Claim, expires time.Time) types.TransactWriteItem {
	it := runKey(claimKey(before), claimItem)
	it["revision"], it["number"] = num(before.Revision+1), num(after.Run)
	for name, s := range map[string]string{"last": after.Last, "active_run": after.Active} {
		if s != "" {
			it[name] = str(s)
		}
	}
	if !expires.IsZero() {
		it["expires_at"] = num(expires.Unix())
	}
	if before.Revision > 0 {
		return types.TransactWriteItem{Update: r.replace(before.Revision, it, "last", "active_run", "expires_at")}
	}
	return types.TransactWriteItem{Put: &types.Put{TableName: &r.Table, Item: it, ConditionExpression: aws.String("attribute_not_exists(run)")}}
}

// Release gives the claim of an ended run to the run that has waited longest.
func (r Runs) Release(ctx context.Context, ended flow.Record) (string, error) {
	claim, err := r.Claim(ctx, ended.Workflow, ended.UID)
	if err != nil || claim.Active != ended.ID {
		return claim.Active, err
	}
	line, err := r.line(ctx, ended.Workflow, ended.UID)
	if err != nil {
		return "", err
	}
	after, expires := claim, ended.Head.FinishedAt.Add(r.Retention)
	if after.Active = ""; len(line) > 0 {
		after.Active, expires = line[0].str("waiting"), time.Time{}
	}
	writes := []types.TransactWriteItem{r.putClaim(claim, after, expires)}
	if len(line) > 0 {
		writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{TableName: &r.Table, Key: item{"run": line[0]["run"], "item": line[0]["item"]}}})
	}
	_, err = transactWriteItems(ctx, r.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return after.Active, runChanged(err, "releasing the claim of run "+ended.ID)
}

// Waiting returns the ids of the runs that wait for a uid, the oldest first.
func (r Runs) Waiting(ctx context.Context, name, uid string) ([]string, error) {
	line, err := r.line(ctx, name, uid)
	ids := make([]string, len(line))
	for i, it := range line {
		ids[i] = it.str("waiting")
	}
	return ids, err
}

func (r Runs) line(ctx context.Context, name, uid string) ([]item, error) {
	items, err := query(ctx, r.API, dynamodb.QueryInput{
		TableName: &r.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("run = :claim AND begins_with(#item, :prefix)"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":claim": str(claimKey(workflow.Claim{Workflow: name, UID: uid})), ":prefix": str(waitingPrefix)},
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the runs of workflow %s that wait, %w", name, err)
	}
	return items, nil
}

// Progress reads how far a stage is, strongly consistent.
func (r Runs) Progress(ctx context.Context, run string, at flow.Place) (flow.Progress, error) {
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Table, Key: runKey(run, stagePrefix+at.String()), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return flow.Progress{}, fmt.Errorf("reading stage %s of run %s, %w", at, run, err)
	}
	p, _, err := readStage(out.Item)
	return p, err
}

// Publish stores queue entries, direct grants and what is published of a stage, in one transaction.
func (r Runs) Publish(ctx context.Context, run string, plan flow.Plan, before, after flow.Progress, entries []queue.Entry, grants []queue.Direct) error {
	set := item{":published": str(after.Published.String()), ":at": millis(after.PublishedAt)}
	update := r.updateStage(run, plan, before, after.PublishedAt, "SET published = :published, published_at = :at", "", set)
	writes := []types.TransactWriteItem{{Update: &types.Update{TableName: update.TableName, Key: update.Key, UpdateExpression: update.UpdateExpression,
		ConditionExpression: update.ConditionExpression, ExpressionAttributeValues: update.ExpressionAttributeValues}}}
	for _, e := range entries {
		writes = append(writes, putEntry(r.Control, e))
	}
	granted, err := Control{Table: r.Control}.direct(grants)
	if err != nil {
		return err
	}
	writes = append(writes, granted...)
	_, err = transactWriteItems(ctx, r.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return runChanged(err, fmt.Sprintf("publishing turns of stage %s of run %s", plan.Place, run))
}

// GiveUp adds turns to those that the run gave up.
func (r Runs) GiveUp(ctx context.Context, run string, plan flow.Plan, before, after flow.Progress, now time.Time) error {
	values := item{}
	var add []string
	for name, numbers := range map[string]segment.Numbers{"cancelled": after.Cancelled.Minus(before.Cancelled), "timed_out": after.TimedOut.Minus(before.TimedOut)} {
		if !numbers.Empty() {
			add = append(add, name+" :"+name)
			values[":"+name] = numberSet(numbers)
		}
	}
	slices.Sort(add)
	_, err := updateItem(ctx, r.API, r.updateStage(run, plan, before, now, "", " ADD "+strings.Join(add, ", "), values))
	return runChanged(err, fmt.Sprintf("giving up turns of stage %s of run %s", plan.Place, run))
}

// updateStage changes a stage over its revision, or creates it.
func (r Runs) updateStage(run string, plan flow.Plan, before flow.Progress, at time.Time, set, add string, values item) *dynamodb.UpdateItemInput {
	if set == "" {
		set = "SET "
	} else {
		set += ", "
	}
	set += "revision = :next, fatal = :fatal, expires_at = :expires"
	values[":next"], values[":fatal"], values[":expires"] = num(before.Revision+1), str(plan.Fatal().String()), r.expiry(at)
	condition := "revision = :revision"
	if values[":revision"] = num(before.Revision); before.Revision == 0 {
		condition = "attribute_not_exists(run)"
		delete(values, ":revision")
	}
	return &dynamodb.UpdateItemInput{TableName: &r.Table, Key: runKey(run, stagePrefix+plan.Place.String()), UpdateExpression: aws.String(set + add),
		ConditionExpression: &condition, ExpressionAttributeValues: values}
}

// Count adds the ends of turns to a stage.
func (r Runs) Count(ctx context.Context, run string, at flow.Place, ends workflow.Ends) (flow.Progress, segment.Numbers, error) {
	values := item{":one": num(1)}
	add := "ADD revision :one"
	if !ends.Completed.Empty() {
		add += ", completed :completed"
		values[":completed"] = numberSet(ends.Completed)
	}
	if !ends.Dead.Empty() {
		add += ", dead :dead"
		values[":dead"] = numberSet(ends.Dead)
	}
	out, err := updateItem(ctx, r.API, &dynamodb.UpdateItemInput{TableName: &r.Table, Key: runKey(run, stagePrefix+at.String()), UpdateExpression: &add,
		ConditionExpression: aws.String("attribute_exists(run)"), ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew})
	if err := runChanged(err, fmt.Sprintf("counting turns of stage %s of run %s", at, run)); err != nil {
		return flow.Progress{}, segment.Numbers{}, err
	}
	return readStage(out.Attributes)
}

// Whole reads all items of a run by one query, strongly consistent.
func (r Runs) Whole(ctx context.Context, run string) (workflow.Whole, bool, error) {
	w := workflow.Whole{Progress: map[flow.Place]flow.Progress{}, Details: map[flow.Place]map[int]flow.Detail{}}
	if !nameable(run) {
		return w, false, nil
	}
	items, err := query(ctx, r.API, dynamodb.QueryInput{
		TableName: &r.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("run = :run"),
		ExpressionAttributeValues: item{":run": str(run)},
	}, 0)
	if err != nil {
		return w, false, fmt.Errorf("reading run %s, %w", run, err)
	}
	found := false
	for _, it := range items {
		if it.str("item") == headItem {
			found = !refusal(it)
		}
		if err := readInto(&w, it); err != nil {
			return w, false, fmt.Errorf("reading run %s, %w", run, err)
		}
	}
	return w, found, nil
}

// readInto adds an item of a run to the rest of it.
func readInto(w *workflow.Whole, it item) (err error) {
	name := it.str("item")
	switch {
	case name == headItem:
		w.Record, err = readHead(it)
	case name == subjectItem:
		w.Stored, err = readSubject(it)
	case strings.HasPrefix(name, stagePrefix):
		at, err := flow.ParsePlace(name[len(stagePrefix):])
		if err != nil {
			return err
		}
		w.Progress[at], _, err = readStage(it)
		return err
	case strings.HasPrefix(name, turnPrefix):
		d, err := readTurn(it)
		if err != nil {
			return err
		}
		if w.Details[d.Place] == nil {
			w.Details[d.Place] = map[int]flow.Detail{}
		}
		w.Details[d.Place][d.Number] = d
	}
	return err
}

func turnItem(at flow.Place, number int) string {
	return fmt.Sprintf("%s%s#%03d", turnPrefix, at, number)
}

// Detail reads what is kept of a turn.
func (r Runs) Detail(ctx context.Context, run string, at flow.Place, number int) (flow.Detail, bool, error) {
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Table, Key: runKey(run, turnItem(at, number)), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return flow.Detail{}, false, fmt.Errorf("reading turn %d of stage %s of run %s, %w", number, at, run, err)
	}
	if out.Item == nil {
		return flow.Detail{}, false, nil
	}
	d, err := readTurn(out.Item)
	return d, err == nil, err
}

// Keep writes what is kept of turns.
func (r Runs) Keep(ctx context.Context, run string, details []flow.Detail) error {
	var requests []types.WriteRequest
	for _, d := range details {
		it := runKey(run, turnItem(d.Place, d.Number))
		maps.Copy(it, item{"task": str(d.TaskID), "attempts": num(d.Attempts), "finished_at": millis(d.FinishedAt),
			"expires_at": r.expiry(d.FinishedAt)})
		if !d.StartedAt.IsZero() {
			it["started_at"] = millis(d.StartedAt)
		}
		if d.Message != "" {
			it["message"] = str(d.Message)
		}
		if len(d.Result) > 0 {
			it["result"] = &types.AttributeValueMemberB{Value: pack(d.Result)}
		}
		requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
	}
	for batch := range slices.Chunk(requests, batchSize) {
		if err := writeBatch(ctx, r.API, r.Table, batch); err != nil {
			return fmt.Errorf("storing turns of run %s, %w", run, err)
		}
	}
	return nil
}

// Extend lets the items beside a run's record expire as if they were written now.
func (r Runs) Extend(ctx context.Context, run string, now time.Time) error {
	items, err := query(ctx, r.API, dynamodb.QueryInput{
		TableName: &r.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("run = :run AND #item > :head"),
		ProjectionExpression:      aws.String("run, #item"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":run": str(run), ":head": str(headItem)},
	}, 0)
	if err != nil {
		return fmt.Errorf("extending run %s, %w", run, err)
	}
	for _, it := range items {
		_, err := updateItem(ctx, r.API, &dynamodb.UpdateItemInput{TableName: &r.Table, Key: item{"run": it["run"], "item": it["item"]},
			UpdateExpression: aws.String("SET expires_at = :expires"), ConditionExpression: aws.String("attribute_exists(run)"),
			ExpressionAttributeValues: item{":expires": r.expiry(now)}})
		if err := runChanged(err, "extending run "+run); err != nil && !errors.Is(err, workflow.ErrChanged) {
			return err
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func readTurn(it item) (flow.Detail, error) {
	parts := strings.Split(strings.TrimPrefix(it.str("item"), turnPrefix), "#")
	var d flow.Detail
	if len(parts) != 3 {
		return d, fmt.Errorf("turn %.40q is not <activity>#<stage>#<number>", it.str("item"))
	}
	at, err := flow.ParsePlace(parts[0] + "#" + parts[1])
	if err != nil {
		return d, err
	}
	number, err := strconv.Atoi(parts[2])
	if err != nil {
		return d, fmt.Errorf("turn %.40q has no number", it.str("item"))
	}
	result, err := unpack(it.bytes("result"))
	return flow.Detail{Place: at, Number: number, TaskID: it.str("task"), Attempts: int(it.num("attempts")), StartedAt: it.time("started_at"),
		FinishedAt: it.time("finished_at"), Message: it.str("message"), Result: result}, wrapAttribute("result", err)
}

func readStage(it item) (flow.Progress, segment.Numbers, error) {
	published, err := it.ranges("published")
	fatal, wrong := it.ranges("fatal")
	if err := errors.Join(wrapAttribute("published", err), wrapAttribute("fatal", wrong)); err != nil {
		return flow.Progress{}, fatal, fmt.Errorf("reading stage %s of run %s, %w", it.str("item"), it.str("run"), err)
	}
	return flow.Progress{Published: published, PublishedAt: it.time("published_at"), Completed: numbersOf(it, "completed"), Dead: numbersOf(it, "dead"),
		Cancelled: numbersOf(it, "cancelled"), TimedOut: numbersOf(it, "timed_out"), Revision: int(it.num("revision"))}, fatal, nil
}

func (r Runs) subjectItem(record flow.Record, s workflow.Stored) (item, error) {
	it := runKey(record.ID, subjectItem)
	it["expires_at"] = r.expiry(latest(record.RecordedAt, record.Head.StartedAt))
	for name, text := range map[string][]byte{"metadata": s.Metadata, "start": s.Start} {
		if len(text) > 0 {
			it[name] = &types.AttributeValueMemberB{Value: pack(text)}
		}
	}
	if s.From != "" {
		it["from"] = str(s.From)
	}
	if len(s.Kept) > 0 {
		kept := make(map[string]string, len(s.Kept))
		for at, numbers := range s.Kept {
			kept[at.String()] = numbers.String()
		}
		value, err := packed(kept)
		if err != nil {
			return nil, fmt.Errorf("encoding what run %s keeps, %w", record.ID, err)
		}
		it["kept"] = value
	}
	return it, nil
}

func readSubject(it item) (workflow.Stored, error) {
	s := workflow.Stored{From: it.str("from")}
	var kept map[string]string
	var problems []error
	for name, into := range map[string]*[]byte{"metadata": &s.Metadata, "start": &s.Start} {
		text, err := unpack(it.bytes(name))
		problems = append(problems, wrapAttribute(name, err))
		*into = text
	}
	problems = append(problems, it.json("kept", &kept))
	for text, ranges := range kept {
		at, err := flow.ParsePlace(text)
		numbers, wrong := segment.ParseNumbers(ranges)
		problems = append(problems, wrapAttribute("kept", errors.Join(err, wrong)))
		if s.Kept == nil {
			s.Kept = flow.Kept{}
		}
		s.Kept[at] = numbers
	}
	if err := errors.Join(problems...); err != nil {
		return s, fmt.Errorf("reading the subject of run %s, %w", it.str("run"), err)
	}
	return s, nil
}

// headOptions are the attributes that a record may be without.
var headOptions = []string{"token", "token_at", "alert", "alerted_at", "extended_at", "begun_at", "finished_at", "verdict", "message", "stages", "activities",
	"foreign", "stopped", "lapsed", "paused", "begins", "refused_field", "refused_reason", "expires_at"}

// headItem returns a record's stored form. It is in the list of active runs until the run is retired.
func (r Runs) headItem(f flow.Record) item {
	it := runKey(f.ID, headItem)
	h := f.Head
	maps.Copy(it, item{"active": shard(f.ID), "workflow": str(f.Workflow), "uid": str(f.UID), "number": num(f.Run), "version": num(f.Version),
		"fingerprint": str(f.Fingerprint), "execution": str(f.Execution), "told": num(f.Told), "recorded_at": millis(f.RecordedAt), "revision": num(f.Revision),
		"at": str(h.At.String()), "state": str(string(h.State)), "started_at": millis(h.StartedAt)})
	for name, s := range map[string]string{"token": f.Token, "alert": string(f.Alert), "verdict": string(h.Verdict), "message": h.Message,
		"traceparent": f.Trace.Parent(), "tracestate": f.Trace.State,
		"stages": states(h.Stages), "activities": states(h.Activities)} {
		if s != "" {
			it[name] = str(s)
		}
	}
	if f.Token != "" && f.TokenAt.Activity >= 0 {
		it["token_at"] = str(f.TokenAt.String())
	}
	maps.Copy(it, refusedItem(f.Refused))
	for name, is := range map[string]bool{"foreign": f.Foreign, "stopped": f.Stopped, "lapsed": h.Lapsed, "paused": h.Paused, "begins": f.Begins} {
		if is {
			it[name] = yes()
		}
	}
	for name, t := range map[string]time.Time{"alerted_at": f.AlertedAt, "extended_at": f.ExtendedAt, "begun_at": h.BegunAt, "finished_at": h.FinishedAt} {
		if !t.IsZero() {
			it[name] = millis(t)
		}
	}
	return it
}

func readHead(it item) (flow.Record, error) {
	f := flow.Record{ID: it.str("run"), Workflow: it.str("workflow"), UID: it.str("uid"), Run: int(it.num("number")), Version: int(it.num("version")),
		Fingerprint: it.str("fingerprint"), Execution: it.str("execution"), Foreign: it.bool("foreign"), Stopped: it.bool("stopped"), Begins: it.bool("begins"), Token: it.str("token"),
		TokenAt: flow.Place{Activity: -1}, Told: int(it.num("told")), Alert: flow.Alert(it.str("alert")), AlertedAt: it.time("alerted_at"), ExtendedAt: it.time("extended_at"),
		Refused: readRefused(it), By: it.str("refused_by"), Retired: it.has("revision") && !it.has("active"), RecordedAt: it.time("recorded_at"), Revision: int(it.num("revision")),
		Trace: trace.Parse(it.str("traceparent"), it.str("tracestate")),
		Head: flow.Head{BegunAt: it.time("begun_at"), Stages: readStates(it.str("stages")), Activities: readStates(it.str("activities")), Lapsed: it.bool("lapsed"),
			Verdict: flow.State(it.str("verdict")), Paused: it.bool("paused"), State: flow.State(it.str("state")), StartedAt: it.time("started_at"),
			FinishedAt: it.time("finished_at"), Message: it.str("message")}}
	for name, into := range map[string]*flow.Place{"at": &f.Head.At, "token_at": &f.TokenAt} {
		if !it.has(name) {
			continue
		}
		at, err := flow.ParsePlace(it.str(name))
		if err != nil {
			return f, fmt.Errorf("reading run %s, attribute %s, %w", f.ID, name, err)
		}
		*into = at
	}
	return f, nil
}

// states writes states as one text: their names have no semicolon.
func states(all []flow.State) string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = string(s)
	}
	return strings.Join(names, ";")
}

func readStates(text string) []flow.State {
	if text == "" {
		return nil
	}
	var all []flow.State
	for name := range strings.SplitSeq(text, ";") {
		all = append(all, flow.State(name))
	}
	return all
}

func runChanged(err error, doing string) error {
	if refused(err) {
		return workflow.ErrChanged
	}
	if err != nil {
		return fmt.Errorf("%s, %w", doing, err)
	}
	return nil
}

// numberSet returns numbers of turns as a number set, to which ADD can add. The set must not be empty.
func numberSet(s segment.Numbers) types.AttributeValue {
	out := make([]string, 0, s.Len())
	for n := range s.All() {
		out = append(out, strconv.Itoa(n))
	}
	return &types.AttributeValueMemberNS{Value: out}
}

func numbersOf(it item, name string) segment.Numbers {
	var out segment.Numbers
	for _, n := range it.ints(name) {
		if n >= 0 && n < segment.Size {
			out = out.Union(segment.Of(n))
		}
	}
	return out
}

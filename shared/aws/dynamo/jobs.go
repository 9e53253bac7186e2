package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Jobs stands for the jobs table, with the key (job_id, item). A job has a record, an item of progress for each segment of which a task has ended,
// and items of its own for a long text, as each write of the record is charged by the record's size.
type Jobs struct {
	API       API
	Table     string
	Control   string        // the control table, to which publishing adds queue entries
	Retention time.Duration // how long a job is kept after its end
}

const (
	recordItem    = "job"
	textItem      = "text"
	segmentPrefix = "segment#"
	monthIndex    = "by_month"
	// inlineText holds the largest packed text, in bytes, that is stored in a job's record, which then stays under 1 KB.
	inlineText = 500
	// textBytes says how many bytes of a long text one item holds. An event of 1 MB that does not compress takes three of them.
	textBytes = room
)

func jobKey(id, name string) item { return item{"job_id": str(id), "item": str(name)} }

// Create stores a new job's record, and before it how many lanes the labourer has, if any. It replaces the record of a rejected job.
// ledger.ErrChanged: the id is taken.
func (j Jobs) Create(ctx context.Context, job ledger.Job) error {
	if job.Lanes > 0 {
		if err := j.widen(ctx, job); err != nil {
			return err
		}
	}
	text := pack(job.Text)
	if job.TextAt = ""; len(text) > inlineText {
		job.TextAt = hashOf(job.Text)
		if err := j.storeText(ctx, job, text); err != nil {
			return err
		}
		text = nil
	}
	it := jobItem(job, text, j.Retention)
	_, err := putItem(ctx, j.API, &dynamodb.PutItemInput{
		TableName: &j.Table, Item: it,
		ConditionExpression:       aws.String("attribute_not_exists(job_id) OR #state = :rejected"),
		ExpressionAttributeNames:  map[string]string{"#state": "state"},
		ExpressionAttributeValues: item{":rejected": str(string(ledger.Rejected))},
	})
	return jobChanged(err, "storing job "+job.ID)
}

// storeText writes a long text in as many items as it takes. They are named for the text itself, because two spellings of one job have the
// same fingerprint, and their parts must not mix.
func (j Jobs) storeText(ctx context.Context, job ledger.Job, packed []byte) error {
	part := 0
	for some := range slices.Chunk(packed, textBytes) {
		it := jobKey(job.ID, fmt.Sprintf("%s%02d", textPrefix(job.TextAt), part))
		it["text"] = &types.AttributeValueMemberB{Value: some}
		it["expires_at"] = num(job.RecordedAt.Add(2 * j.Retention).Unix())
		if _, err := putItem(ctx, j.API, &dynamodb.PutItemInput{TableName: &j.Table, Item: it}); err != nil {
			return fmt.Errorf("storing the text of job %s, part %d, %w", job.ID, part, err)
		}
		part++
	}
	return nil
}

// textPrefix begins the names of a long text's items.
func textPrefix(hash string) string { return textItem + "#" + hash + "#" }

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Get reads a job's record, strongly consistent. found is false when there is none.
func (j Jobs) Get(ctx context.Context, id string) (job ledger.Job, found bool, err error) {
	if !nameable(id) {
		return ledger.Job{}, false, nil
	}
	out, err := j.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &j.Table, Key: jobKey(id, recordItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return ledger.Job{}, false, fmt.Errorf("reading job %s, %w", id, err)
	}
	if out.Item == nil {
		return ledger.Job{}, false, nil
	}
	job, err = readJob(out.Item)
	return job, err == nil, err
}

// Text returns the job as it was submitted.
func (j Jobs) Text(ctx context.Context, job ledger.Job) ([]byte, error) {
	if job.TextAt == "" {
		return job.Text, nil
	}
	items, err := query(ctx, j.API, dynamodb.QueryInput{
		TableName: &j.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("job_id = :job AND begins_with(#item, :prefix)"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":job": str(job.ID), ":prefix": str(textPrefix(job.TextAt))},
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the text of job %s, %w", job.ID, err)
	}
	var packed []byte
	for _, it := range items {
		packed = append(packed, it.bytes("text")...)
	}
	text, err := unpack(packed)
	if err == nil && hashOf(text) != job.TextAt {
		err = fmt.Errorf("%d bytes of it are left in %d items", len(packed), len(items))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the text of job %s, %w", job.ID, err)
	}
	return text, nil
}

// Own makes one creator the only one of a job's tasks. ledger.ErrChanged: another creator owns the job, or creation has finished.
func (j Jobs) Own(ctx context.Context, job ledger.Job, owner string, now, until time.Time) error {
	_, err := updateItem(ctx, j.API, &dynamodb.UpdateItemInput{
		TableName: &j.Table, Key: jobKey(job.ID, recordItem),
		UpdateExpression:         aws.String("SET #owner = :owner, owned_until = :until"),
		ConditionExpression:      aws.String("#state = :scheduling AND (attribute_not_exists(owned_until) OR owned_until <= :now OR #owner = :owner)"),
		ExpressionAttributeNames: map[string]string{"#state": "state", "#owner": "owner"},
		ExpressionAttributeValues: item{":owner": str(owner), ":until": millis(until), ":now": millis(now),
			":scheduling": str(string(ledger.Scheduling))},
	})
	return jobChanged(err, "taking over job "+job.ID)
}

// Disown lets the next creator begin at once. It does nothing if another creator owns the job by now.
func (j Jobs) Disown(ctx context.Context, job ledger.Job) error {
	_, err := updateItem(ctx, j.API, &dynamodb.UpdateItemInput{
		TableName: &j.Table, Key: jobKey(job.ID, recordItem),
		UpdateExpression:          aws.String("REMOVE #owner, owned_until"),
		ConditionExpression:       aws.String("#owner = :owner"),
		ExpressionAttributeNames:  map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: item{":owner": str(job.Owner)},
	})
	if err = jobChanged(err, "giving up job "+job.ID); errors.Is(err, ledger.ErrChanged) {
		return nil
	}
	return err
}

// Publish adds the entry of a segment whose tasks are stored, and moves the cursors of the jobs that have tasks in it, in one transaction. A
// job becomes scheduled with its last segment. ledger.ErrChanged: a job is at another segment, has another owner, or is being cancelled;
// nothing was published.
func (j Jobs) Publish(ctx context.Context, jobs []ledger.Job, entry queue.Entry) error {
	return j.publish(ctx, jobs, entry.Segment, putEntry(j.Control, entry))
}

// PublishGranted publishes a segment as Publish does, with a direct grant instead of an entry. ledger.ErrChanged: as by Publish, or the labourer has
// changed since its state was read; nothing was published.
func (j Jobs) PublishGranted(ctx context.Context, jobs []ledger.Job, d queue.Direct) error {
	writes, err := Control{Table: j.Control}.direct([]queue.Direct{d})
	if err != nil {
		return err
	}
	return j.publish(ctx, jobs, d.Lease().Segment, writes...)
}

func (j Jobs) publish(ctx context.Context, jobs []ledger.Job, at segment.ID, writes ...types.TransactWriteItem) error {
	for _, job := range jobs {
		update := "SET #cursor = :next"
		state := ledger.Scheduling
		if job.Cursor+1 == job.Segments() {
			update, state = "SET #cursor = :next, #state = :state REMOVE #owner, owned_until", ledger.Scheduled
		}
		values := item{":next": num(job.Cursor + 1), ":cursor": num(job.Cursor), ":owner": str(job.Owner), ":scheduling": str(string(ledger.Scheduling))}
		if state == ledger.Scheduled {
			values[":state"] = str(string(state))
		}
		writes = append(writes, types.TransactWriteItem{Update: &types.Update{
			TableName: &j.Table, Key: jobKey(job.ID, recordItem), UpdateExpression: &update,
			ConditionExpression:      aws.String("#cursor = :cursor AND #owner = :owner AND #state = :scheduling AND attribute_not_exists(cancelling)"),
			ExpressionAttributeNames: map[string]string{"#cursor": "cursor", "#state": "state", "#owner": "owner"}, ExpressionAttributeValues: values,
		}})
	}
	_, err := transactWriteItems(ctx, j.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return jobChanged(err, fmt.Sprintf("publishing segment %s of %d jobs", at, len(jobs)))
}

// Record adds ends of tasks to a segment's progress and returns the progress after that. Recording again changes nothing.
func (j Jobs) Record(ctx context.Context, jobID string, s segment.ID, ends ledger.Ends) (ledger.Progress, error) {
	update, values, names := "", item{}, map[string]string{}
	for _, status := range []task.Status{task.Completed, task.Dead, task.Cancelled} {
		if lives := ends[status]; len(lives) > 0 {
			update += ", #" + string(status) + " :" + string(status)
			names["#"+string(status)] = string(status)
			values[":"+string(status)] = intSet(lives)
		}
	}
	if update == "" {
		return j.ProgressIn(ctx, jobID, s)
	}
	out, err := updateItem(ctx, j.API, &dynamodb.UpdateItemInput{
		TableName: &j.Table, Key: jobKey(jobID, segmentPrefix+string(s)), ReturnValues: types.ReturnValueAllNew,
		UpdateExpression: aws.String("ADD " + update[2:]), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	})
	if err != nil {
		return ledger.Progress{}, fmt.Errorf("recording the ends of tasks of job %s in segment %s, %w", jobID, s, err)
	}
	return readProgress(out.Attributes), nil
}

// ProgressIn reads a job's progress in one segment, strongly consistent.
func (j Jobs) ProgressIn(ctx context.Context, jobID string, s segment.ID) (ledger.Progress, error) {
	out, err := j.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &j.Table, Key: jobKey(jobID, segmentPrefix+string(s)), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return ledger.Progress{}, fmt.Errorf("reading the progress of job %s in segment %s, %w", jobID, s, err)
	}
	if out.Item == nil {
		return ledger.Progress{JobID: jobID, Segment: s}, nil
	}
	return readProgress(out.Item), nil
}

// asSummed returns the condition that a segment's sums are as they were read: what of them is in the job's totals, and what was replayed.
func asSummed(p ledger.Progress, values item) string {
	values[":was"] = rolled(p.Rolled)
	if len(p.Replayed) == 0 {
		return "(" + rolledCondition(p.Rolled) + ") AND attribute_not_exists(replayed)"
	}
	values[":replayed_before"] = intSet(p.Replayed)
	return "(" + rolledCondition(p.Rolled) + ") AND replayed = :replayed_before"
}

// Roll adds a segment's sums to the job's totals, once. ledger.ErrChanged: they were added already, the job is whole, or dead tasks of the segment were revived
// since they were read. From then on the progress is kept for the retention, which is longer than the stream reports its tasks.
func (j Jobs) Roll(ctx context.Context, p ledger.Progress, at time.Time) error {
	is := p.Counts()
	change := is.Minus(p.Rolled)
	values := item{":is": rolled(is), ":expires": num(at.Add(j.Retention).Unix())}
	condition := asSummed(p, values)
	_, err := transactWriteItems(ctx, j.API, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{TableName: &j.Table, Key: jobKey(p.JobID, segmentPrefix+string(p.Segment)),
			UpdateExpression: aws.String("SET rolled = :is, expires_at = :expires"), ConditionExpression: &condition, ExpressionAttributeValues: values}},
		{Update: &types.Update{TableName: &j.Table, Key: jobKey(p.JobID, recordItem),
			UpdateExpression:         aws.String("ADD #completed :completed, #dead :dead, #cancelled :cancelled"),
			ConditionExpression:      aws.String("attribute_exists(job_id) AND attribute_not_exists(#whole)"),
			ExpressionAttributeNames: map[string]string{"#whole": "whole", "#completed": "completed", "#dead": "dead", "#cancelled": "cancelled"},
			ExpressionAttributeValues: item{":completed": num(change.Completed), ":dead": num(change.Dead),
				":cancelled": num(change.Cancelled)}}},
	}})
	return jobChanged(err, fmt.Sprintf("entering segment %s in the totals of job %s", p.Segment, p.JobID))
}

// Complete enters the completion of all tasks of a job that has one segment, and ends the job, in one write. Sums of a segment can no longer be
// rolled afterwards. ledger.ErrChanged: ends of its tasks are in its totals, it is being cancelled, or it has more tasks than when it was read.
func (j Jobs) Complete(ctx context.Context, job ledger.Job, at time.Time) error {
	_, err := updateItem(ctx, j.API, &dynamodb.UpdateItemInput{
		TableName: &j.Table, Key: jobKey(job.ID, recordItem),
		UpdateExpression: aws.String("SET #state = :completed, #completed = :total, #whole = :whole, finished_at = :at, expires_at = :expires"),
		ConditionExpression: aws.String("#state = :scheduled AND recorded_at = :recorded AND #total = :total AND generation = :first AND " +
			"attribute_not_exists(cancelling) AND attribute_not_exists(#completed) AND attribute_not_exists(#dead) AND attribute_not_exists(#cancelled)"),
		ExpressionAttributeNames: map[string]string{"#state": "state", "#total": "total", "#whole": "whole", "#completed": "completed", "#dead": "dead",
			"#cancelled": "cancelled"},
		ExpressionAttributeValues: item{":completed": str(string(ledger.Completed)), ":scheduled": str(string(ledger.Scheduled)), ":total": num(job.Total),
			":whole": yes(), ":recorded": millis(job.RecordedAt), ":first": num(1), ":at": millis(at), ":expires": num(at.Add(j.Retention).Unix())},
	})
	return jobChanged(err, "completing job "+job.ID)
}

// Finish sets a job's terminal state. ledger.ErrChanged: it has one already, another generation is under way, it got more tasks, or dead tasks
// were revived since the job was read.
func (j Jobs) Finish(ctx context.Context, job ledger.Job, state ledger.State, at time.Time) error {
	// The total of a job grows while tasks are moved into it.
	condition := "#state IN (:scheduling, :scheduled) AND generation = :generation AND #total = :total"
	values := item{":total": num(job.Total), ":state": str(string(state)), ":at": millis(at), ":expires": num(at.Add(j.Retention).Unix()),
		":scheduling": str(string(ledger.Scheduling)), ":scheduled": str(string(ledger.Scheduled)), ":generation": num(job.Generation)}
	if job.Counts.Dead > 0 { // the only count that can decrease
		condition += " AND dead = :dead"
		values[":dead"] = num(job.Counts.Dead)
	}
	_, err := updateItem(ctx, j.API, &dynamodb.UpdateItemInput{
		TableName: &j.Table, Key: jobKey(job.ID, recordItem),
		UpdateExpression:          aws.String("SET #state = :state, finished_at = :at, expires_at = :expires REMOVE cancelling, #owner, owned_until"),
		ConditionExpression:       &condition,
		ExpressionAttributeNames:  map[string]string{"#state": "state", "#owner": "owner", "#total": "total"},
		ExpressionAttributeValues: values,
	})
	return jobChanged(err, "finishing job "+job.ID)
}

// Progress reads the progress of all segments of a job of which a task has ended, strongly consistent, sorted by segment. It reads the record too,
// as that alone tells the progress of a job that is whole.
func (j Jobs) Progress(ctx context.Context, job ledger.Job) ([]ledger.Progress, error) {
	items, err := query(ctx, j.API, dynamodb.QueryInput{
		TableName: &j.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("job_id = :job AND #item BETWEEN :record AND :last"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":job": str(job.ID), ":record": str(recordItem), ":last": str(segmentPrefix + "\U0010ffff")},
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the progress of job %s, %w", job.ID, err)
	}
	var out []ledger.Progress
	for _, it := range items {
		if it.str("item") != recordItem {
			out = append(out, readProgress(it))
			continue
		}
		now, err := readJob(it)
		if err != nil {
			return nil, err
		}
		if now.Whole && now.RecordedAt.Equal(job.RecordedAt) {
			return []ledger.Progress{now.WholeProgress()}, nil
		}
	}
	return job.Own(out), nil
}

// Month lists the ids of the jobs submitted in a month (UTC), the newest first. It is eventually consistent.
func (j Jobs) Month(ctx context.Context, month time.Time) ([]string, error) {
	items, err := query(ctx, j.API, dynamodb.QueryInput{
		TableName: &j.Table, IndexName: aws.String(monthIndex), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:    aws.String("#month = :month"),
		ExpressionAttributeNames:  map[string]string{"#month": "month"},
		ExpressionAttributeValues: item{":month": str(month.UTC().Format("2006-01"))},
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("listing the jobs of %s, %w", month.UTC().Format("2006-01"), err)
	}
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.str("job_id")
	}
	return ids, nil
}

// GetAll reads the records of these jobs, eventually consistent, in the order asked for. A job that is gone is left out.
func (j Jobs) GetAll(ctx context.Context, ids []string) ([]ledger.Job, error) {
	var keys []map[string]types.AttributeValue
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		keys = append(keys, jobKey(id, recordItem))
	}
	found := map[string]ledger.Job{}
	err := batchGet(ctx, j.API, j.Table, keys, types.KeysAndAttributes{}, func(it item) error {
		job, err := readJob(it)
		found[job.ID] = job
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d jobs, %w", len(keys), err)
	}
	var jobs []ledger.Job
	for _, id := range ids {
		if job, ok := found[id]; ok {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

func jobChanged(err error, doing string) error {
	if refused(err) {
		return ledger.ErrChanged
	}
	if err != nil {
		return fmt.Errorf("%s, %w", doing, err)
	}
	return nil
}

// jobItem returns the stored form of a job whose packed text fits its record. Text is nil for a longer one.
func jobItem(j ledger.Job, text []byte, retention time.Duration) item {
	it := jobKey(j.ID, recordItem)
	maps.Copy(it, item{"state": str(string(j.State)), "fingerprint": str(j.Fingerprint), "submitted_at": millis(j.SubmittedAt),
		"month": str(j.SubmittedAt.UTC().Format("2006-01")), "total": num(j.Total), "cursor": num(j.Cursor), "generation": num(j.Generation)})
	if text != nil {
		it["text"] = &types.AttributeValueMemberB{Value: text}
	}
	for name, s := range map[string]string{"text_at": j.TextAt, "labourer": j.Labourer, "segment": string(j.Segment), "owner": j.Owner,
		"error_field": j.ErrorField, "error_reason": j.ErrorReason} {
		if s != "" {
			it[name] = str(s)
		}
	}
	for name, n := range map[string]int{"lanes": j.Lanes, "first": j.First, "completed": j.Counts.Completed, "dead": j.Counts.Dead, "cancelled": j.Counts.Cancelled} {
		if n != 0 {
			it[name] = num(n)
		}
	}
	for name, t := range map[string]time.Time{"recorded_at": j.RecordedAt, "not_before": j.NotBefore, "owned_until": j.OwnedUntil, "finished_at": j.FinishedAt} {
		if !t.IsZero() {
			it[name] = millis(t)
		}
	}
	if !j.FinishedAt.IsZero() {
		it["expires_at"] = num(j.FinishedAt.Add(retention).Unix())
	}
	if j.Cancelling {
		it["cancelling"] = yes()
	}
	if j.Whole {
		it["whole"] = yes()
	}
	if len(j.ChunkableAttrs) > 0 {
		names, _ := json.Marshal(j.ChunkableAttrs) //nolint:errchkjson // texts
		it["chunkable_attrs"] = str(string(names))
	}
	return it
}

func readJob(it item) (ledger.Job, error) {
	text, err := unpack(it.bytes("text"))
	if err != nil {
		return ledger.Job{}, fmt.Errorf("reading job %s, attribute text, %w", it.str("job_id"), err)
	}
	var attrs []string
	if names := it.str("chunkable_attrs"); names != "" {
		if err := exact.Decode([]byte(names), &attrs); err != nil {
			return ledger.Job{}, fmt.Errorf("reading job %s, attribute chunkable_attrs, %w", it.str("job_id"), err)
		}
	}
	return ledger.Job{
		ChunkableAttrs: attrs,
		ID:             it.str("job_id"), Labourer: it.str("labourer"), State: ledger.State(it.str("state")), Cancelling: it.bool("cancelling"), Text: text, TextAt: it.str("text_at"),
		Fingerprint: it.str("fingerprint"), SubmittedAt: it.time("submitted_at"), RecordedAt: it.time("recorded_at"), NotBefore: it.time("not_before"),
		Lanes: int(it.num("lanes")), Total: int(it.num("total")), Cursor: int(it.num("cursor")), Segment: segment.ID(it.str("segment")), First: int(it.num("first")),
		Owner: it.str("owner"), OwnedUntil: it.time("owned_until"),
		Counts:     ledger.Counts{Completed: int(it.num("completed")), Dead: int(it.num("dead")), Cancelled: int(it.num("cancelled"))},
		Whole:      it.bool("whole"),
		Generation: int(it.num("generation")), FinishedAt: it.time("finished_at"), ErrorField: it.str("error_field"), ErrorReason: it.str("error_reason"),
	}, nil
}

func readProgress(it item) ledger.Progress {
	p := ledger.Progress{JobID: it.str("job_id"), Segment: segment.ID(strings.TrimPrefix(it.str("item"), segmentPrefix)),
		Completed: it.ints("completed"), Dead: it.ints("dead"), Cancelled: it.ints("cancelled"), Replayed: it.ints("replayed")}
	// Three numbers in one attribute, so that one condition covers them.
	_, _ = fmt.Sscanf(it.str("rolled"), "%d %d %d", &p.Rolled.Completed, &p.Rolled.Dead, &p.Rolled.Cancelled)
	return p
}

// rolledCondition returns the condition that the job's totals contain a segment's sums as in :was. They contain nothing where the attribute is
// missing, and where a replay has taken everything out.
func rolledCondition(was ledger.Counts) string {
	if was == (ledger.Counts{}) {
		return "attribute_not_exists(rolled) OR rolled = :was"
	}
	return "rolled = :was"
}

func rolled(c ledger.Counts) types.AttributeValue {
	return str(fmt.Sprintf("%d %d %d", c.Completed, c.Dead, c.Cancelled))
}

func intSet(numbers []int) types.AttributeValue {
	seen, out := map[int]bool{}, []string{}
	for _, n := range numbers {
		if !seen[n] {
			seen[n], out = true, append(out, strconv.Itoa(n))
		}
	}
	return &types.AttributeValueMemberNS{Value: out}
}

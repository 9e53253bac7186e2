package dynamo

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// Compositions stands for the versions of workflows, in partitions of the runs table of their own. A version never changes, so those that were
// read stay in memory.
type Compositions struct {
	api   API
	table string

	mu    sync.Mutex
	known map[string]flow.Composition
}

var _ workflow.Compositions = (*Compositions)(nil)

// NewCompositions returns the versions in a table.
func NewCompositions(api API, table string) *Compositions {
	return &Compositions{api: api, table: table, known: map[string]flow.Composition{}}
}

const (
	newestItem = "newest"
	namesKey   = "definitions" // the partition of the names of workflows
)

func definitionKey(name string) string { return "definition#" + name }

func versionItem(version int) string { return fmt.Sprintf("v#%07d", version) }

// Newest reads the newest version of a workflow. It returns false for a workflow that does not exist, or was removed.
func (c *Compositions) Newest(ctx context.Context, name string) (flow.Composition, bool, error) {
	version, _, removed, err := c.Head(ctx, name)
	if err != nil || version == 0 || removed {
		return flow.Composition{}, false, err
	}
	one, err := c.Version(ctx, name, version)
	return one, err == nil, err
}

// Names returns the names of all workflows that were ever applied, also of removed ones, in their order.
func (c *Compositions) Names(ctx context.Context) ([]string, error) {
	items, err := query(ctx, c.api, dynamodb.QueryInput{
		TableName: &c.table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("run = :names"),
		ExpressionAttributeValues: item{":names": str(namesKey)},
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the names of the workflows, %w", err)
	}
	names := make([]string, len(items))
	for i, it := range items {
		names[i] = it.str("item")
	}
	return names, nil
}

// Head reads which version of a workflow is the newest, 0 for none, and its fingerprint.
func (c *Compositions) Head(ctx context.Context, name string) (version int, fingerprint string, removed bool, err error) {
	out, err := c.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.table, Key: runKey(definitionKey(name), newestItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return 0, "", false, fmt.Errorf("reading the newest version of workflow %s, %w", name, err)
	}
	it := item(out.Item)
	return int(it.num("version")), it.str("fingerprint"), it.bool("removed"), nil
}

// Version reads a version of a workflow.
func (c *Compositions) Version(ctx context.Context, name string, version int) (flow.Composition, error) {
	key := fmt.Sprintf("%s#%d", name, version)
	c.mu.Lock()
	one, known := c.known[key]
	c.mu.Unlock()
	if known {
		return one, nil
	}
	out, err := c.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.table, Key: runKey(definitionKey(name), versionItem(version)), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return one, fmt.Errorf("reading version %d of workflow %s, %w", version, name, err)
	}
	if out.Item == nil {
		return one, fmt.Errorf("workflow %s has no version %d", name, version)
	}
	text, err := unpack(item(out.Item).bytes("composition"))
	if err == nil {
		one, err = flow.DecodeComposition(text)
	}
	if err != nil {
		return one, fmt.Errorf("reading version %d of workflow %s, %w", version, name, err)
	}
	c.mu.Lock()
	c.known[key] = one
	c.mu.Unlock()
	return one, nil
}

// largest says how many bytes a packed composition may have: an item takes 400 KB.
const largest = 380 << 10

// Add stores the next version of a workflow over the newest one that was read. workflow.ErrChanged: there is another one.
func (c *Compositions) Add(ctx context.Context, one flow.Composition) error {
	name, text := one.Workflow.Name, pack(one.Stored())
	if len(text) > largest {
		return fmt.Errorf("workflow %s, with its %d plugins, takes %d bytes compressed; want at most %d", name, len(one.Plugins), len(text), largest)
	}
	it := runKey(definitionKey(name), versionItem(one.Version))
	it["composition"] = &types.AttributeValueMemberB{Value: text}
	put := types.TransactWriteItem{Put: &types.Put{TableName: &c.table, Item: it, ConditionExpression: aws.String("attribute_not_exists(run)")}}
	newest := c.putNewest(name, one.Version-1, item{"version": num(one.Version), "fingerprint": str(one.Fingerprint())})
	writes := []types.TransactWriteItem{put, {Put: newest}}
	if one.Version == 1 {
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &c.table, Item: runKey(namesKey, name)}})
	}
	_, err := transactWriteItems(ctx, c.api, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return runChanged(err, fmt.Sprintf("storing version %d of workflow %s", one.Version, name))
}

// Remove lets no further run of a workflow begin. Its versions stay, for the runs under way.
func (c *Compositions) Remove(ctx context.Context, name string, version int) error {
	put := c.putNewest(name, version, item{"version": num(version), "removed": yes()})
	_, err := putItem(ctx, c.api, &dynamodb.PutItemInput{TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
		ExpressionAttributeValues: put.ExpressionAttributeValues})
	return runChanged(err, "removing workflow "+name)
}

func (c *Compositions) putNewest(name string, over int, it item) *types.Put {
	it["run"], it["item"] = str(definitionKey(name)), str(newestItem)
	put := &types.Put{TableName: &c.table, Item: it, ConditionExpression: aws.String("attribute_not_exists(run)")}
	if over > 0 {
		put.ConditionExpression, put.ExpressionAttributeValues = aws.String("version = :over"), item{":over": num(over)}
	}
	return put
}

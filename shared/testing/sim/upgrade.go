package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/aws/lambda"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// During an update of a stack, and after a rollback, functions of two versions work on the same tables, queues and executions. A version adds
// to what it stores and sends; it removes nothing and changes no meaning. So the next version is the present code with something more in
// everything that it writes. The present version has to accept the addition and leave it in place.

// novelty names the addition of the next version: an attribute of items, and a field of messages, events, inputs and answers.
const novelty = "novelty"

// upgraded returns the clients of an invocation that runs the next version.
func upgraded(c fakeaws.Clients) fakeaws.Clients {
	c.DynamoDB, c.SQS, c.EventBridge = nextTables{c.DynamoDB}, nextQueues{c.SQS}, nextBus{c.EventBridge}
	c.StepFunctions, c.Tokens, c.Lambda = nextMachines{c.StepFunctions}, nextTokens{c.Tokens}, nextFunctions{c.Lambda}
	return c
}

// extended returns a JSON object with one more field. The field goes into the part that belongs to Drover: the start of a worker's task, the
// detail of an event, or the whole object.
func extended(text string) string {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) != nil || len(object) == 0 {
		return text
	}
	for _, part := range []string{"drover", "detail"} {
		if inner := string(object[part]); inner != "" {
			return strings.Replace(text, inner, extended(inner), 1)
		}
	}
	return strings.TrimSuffix(strings.TrimSpace(text), "}") + `,"` + novelty + `":{"since":"the next version"}}`
}

// dictionary names the field of answers whose members are named by users: a version adds no field to it.
const dictionary = "metrics"

// extendedAnswer returns the answer of a function with one more field in each of its objects.
func extendedAnswer(out any) any {
	var plain any
	if json.Unmarshal(encode(out), &plain) != nil {
		return out
	}
	return extendedParts(plain)
}

func extendedParts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if name != dictionary {
				v[name] = extendedParts(inner)
			}
		}
		v[novelty] = true
	case []any:
		for i, inner := range v {
			v[i] = extendedParts(inner)
		}
	}
	return v
}

func extendedItem(it fakeaws.Item) fakeaws.Item {
	out := fakeaws.Item{novelty: novel}
	maps.Copy(out, it)
	return out
}

// inside returns the item of a task with its payload, if that has one of these parts, by their partitions: versions before the present one stored a
// payload of this size so, and wrote no such part.
func inside(it fakeaws.Item, parts map[string]types.AttributeValue) fakeaws.Item {
	payload := parts[fmt.Sprintf("%s#%d", str(it, "segment"), num(it, "n"))]
	if payload == nil || num(it, "parts") != 1 {
		return it
	}
	out := maps.Clone(it)
	out["payload"] = payload
	delete(out, "parts")
	delete(out, "payload_until")
	return out
}

var novel = &types.AttributeValueMemberM{Value: fakeaws.Item{"since": &types.AttributeValueMemberS{Value: "the next version"}}}

// extendedUpdate returns an update that sets one more attribute.
func extendedUpdate(expression *string, values fakeaws.Item) (*string, fakeaws.Item) {
	all := fakeaws.Item{":" + novelty: novel}
	maps.Copy(all, values)
	text := *expression
	if before, after, found := strings.Cut(text, "SET "); found {
		text = before + "SET " + novelty + " = :" + novelty + ", " + after
	} else {
		text += " SET " + novelty + " = :" + novelty
	}
	return &text, all
}

type nextTables struct{ dynamo.API }

func (t nextTables) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	one := *in
	one.Item = extendedItem(in.Item)
	return t.API.PutItem(ctx, &one, o...)
}

func (t nextTables) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	one := *in
	one.UpdateExpression, one.ExpressionAttributeValues = extendedUpdate(in.UpdateExpression, in.ExpressionAttributeValues)
	return t.API.UpdateItem(ctx, &one, o...)
}

func (t nextTables) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	one := *in
	one.RequestItems = map[string][]types.WriteRequest{}
	for table, requests := range in.RequestItems {
		parts := map[string]types.AttributeValue{}
		for _, r := range requests {
			if r.PutRequest != nil && r.PutRequest.Item["labourer"] == nil {
				parts[str(r.PutRequest.Item, "segment")] = r.PutRequest.Item["payload"]
			}
			if r.PutRequest != nil {
				r.PutRequest = &types.PutRequest{Item: inside(r.PutRequest.Item, parts)}
				r.PutRequest = &types.PutRequest{Item: extendedItem(r.PutRequest.Item)}
			}
			one.RequestItems[table] = append(one.RequestItems[table], r)
		}
	}
	return t.API.BatchWriteItem(ctx, &one, o...)
}

func (t nextTables) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	one := *in
	one.TransactItems = slices.Clone(in.TransactItems)
	for i, w := range one.TransactItems {
		switch {
		case w.Put != nil:
			put := *w.Put
			put.Item = extendedItem(put.Item)
			one.TransactItems[i].Put = &put
		case w.Update != nil:
			update := *w.Update
			update.UpdateExpression, update.ExpressionAttributeValues = extendedUpdate(update.UpdateExpression, update.ExpressionAttributeValues)
			one.TransactItems[i].Update = &update
		}
	}
	return t.API.TransactWriteItems(ctx, &one, o...)
}

type nextQueues struct{ sqs.API }

// SendMessage leaves a dead letter unchanged: its body is not Drover's own.
func (q nextQueues) SendMessage(ctx context.Context, in *awssqs.SendMessageInput, o ...func(*awssqs.Options)) (*awssqs.SendMessageOutput, error) {
	one := *in
	if !slices.Contains([]string{fakeaws.JobsDeadLetters, fakeaws.CompletionsDead, fakeaws.StreamFailures}, *in.QueueUrl) {
		one.MessageBody = aws.String(extended(*in.MessageBody))
	}
	return q.API.SendMessage(ctx, &one, o...)
}

func (q nextQueues) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput, o ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error) {
	one := *in
	one.Entries = slices.Clone(in.Entries)
	for i, e := range one.Entries {
		one.Entries[i].MessageBody = aws.String(extended(*e.MessageBody))
	}
	return q.API.SendMessageBatch(ctx, &one, o...)
}

type nextBus struct{ eventbridge.API }

func (b nextBus) PutEvents(ctx context.Context, in *awseventbridge.PutEventsInput, o ...func(*awseventbridge.Options)) (*awseventbridge.PutEventsOutput, error) {
	one := *in
	one.Entries = slices.Clone(in.Entries)
	for i, e := range one.Entries {
		one.Entries[i].Detail = aws.String(extended(*e.Detail))
	}
	return b.API.PutEvents(ctx, &one, o...)
}

type nextMachines struct{ stepfunctions.API }

func (m nextMachines) StartExecution(ctx context.Context, in *sfn.StartExecutionInput, o ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	one := *in
	one.Input = aws.String(extended(*in.Input))
	return m.API.StartExecution(ctx, &one, o...)
}

type nextTokens struct{ stepfunctions.Tokens }

func (t nextTokens) SendTaskSuccess(ctx context.Context, in *sfn.SendTaskSuccessInput, o ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	one := *in
	one.Output = aws.String(extended(*in.Output))
	return t.Tokens.SendTaskSuccess(ctx, &one, o...)
}

type nextFunctions struct{ lambda.API }

func (f nextFunctions) Invoke(ctx context.Context, in *awslambda.InvokeInput, o ...func(*awslambda.Options)) (*awslambda.InvokeOutput, error) {
	one := *in
	one.Payload = []byte(extended(string(in.Payload)))
	return f.API.Invoke(ctx, &one, o...)
}

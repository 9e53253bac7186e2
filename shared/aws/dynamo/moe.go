package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/moe"
	"github.com/drover-run/drover/shared/core/workflow"
	runs "github.com/drover-run/drover/shared/service/workflow"
)

// Statuses stands for the status table that plugins of moe's orchestrator write to, with their key (uid, workflow).
type Statuses struct {
	API       API
	Table     string        // "": the stack has none
	Retention time.Duration // how long a row is kept after its run's end
}

var (
	_ runs.Statuses = Statuses{}
	_ runs.Rows     = Statuses{}
)

// Begin makes the row ready for an attempt: its maps are there, the plugin's records are Not Started, and the row knows the attempt. It makes one
// request, for a run's first attempt three. runs.ErrOvertaken: the row belongs to a later run of the uid.
func (s Statuses) Begin(ctx context.Context, a moe.Attempt) error {
	if s.Table == "" {
		return runs.ErrNoStatuses
	}
	err := s.update(ctx, a)
	if !refused(err) {
		return statusError(a, err)
	}
	// The row is missing, or of another run. Of two attempts that find so, one writes it.
	if err := s.create(ctx, a.Row); err != nil && !refused(err) {
		return statusError(a, err)
	}
	if err = s.update(ctx, a); refused(err) {
		return runs.ErrOvertaken
	}
	return statusError(a, err)
}

// Expire sets when the row of a run that has ended expires. Until then it expires by the longest time that a run may take.
func (s Statuses) Expire(ctx context.Context, uid, name, run string, finishedAt time.Time) error {
	if s.Table == "" {
		return nil
	}
	_, err := updateItem(ctx, s.API, &dynamodb.UpdateItemInput{
		TableName: &s.Table, Key: statusKey(moe.Row{UID: uid, Workflow: name}),
		UpdateExpression:          aws.String("SET expires_at = :expires"),
		ConditionExpression:       aws.String("#drover.#run = :run"),
		ExpressionAttributeNames:  map[string]string{"#drover": moe.Drover, "#run": moe.RunID},
		ExpressionAttributeValues: item{":run": str(run), ":expires": num(finishedAt.Add(s.Retention).Unix())},
	})
	if err != nil && !refused(err) {
		return fmt.Errorf("letting the status row of run %s expire, %w", run, err)
	}
	return nil
}

func statusError(a moe.Attempt, err error) error {
	if err != nil {
		return fmt.Errorf("writing the status row of run %s, %w", a.Row.RunID, err)
	}
	return nil
}

func statusKey(r moe.Row) item { return item{"uid": str(r.UID), "workflow": str(r.Workflow)} }

func (s Statuses) update(ctx context.Context, a moe.Attempt) error {
	const record = "#activities.#activity.#stage."
	_, err := updateItem(ctx, s.API, &dynamodb.UpdateItemInput{
		TableName: &s.Table, Key: statusKey(a.Row),
		UpdateExpression: aws.String("SET " + record + "#mandatory.#plugin = :fresh, " + record + "#optional.#plugin = :fresh, #drover.#tasks.#turn = :task"),
		// The run's own row has all the maps.
		ConditionExpression: aws.String("#drover.#run = :run"),
		ExpressionAttributeNames: map[string]string{"#activities": moe.Activities, "#activity": a.Turn.Activity, "#stage": moe.StageName(a.Turn.Stage),
			"#mandatory": moe.Mandatory, "#optional": moe.Optional, "#plugin": a.Turn.Plugin, "#drover": moe.Drover, "#tasks": moe.Tasks,
			"#turn": a.Turn.Key(), "#run": moe.RunID},
		ExpressionAttributeValues: item{":run": str(a.Row.RunID), ":fresh": mapping(item{moe.State: str(string(workflow.NotStarted))}),
			":task": mapping(item{moe.TaskID: str(a.TaskID.String()), moe.AttemptNo: num(a.Attempt)})},
	})
	return err
}

// create writes a run's row over that of an earlier run.
func (s Statuses) create(ctx context.Context, r moe.Row) error {
	activities := item{}
	for _, name := range r.Activities {
		stages := item{}
		for _, stage := range workflow.Stages {
			stages[moe.StageName(stage)] = mapping(item{moe.Mandatory: mapping(item{}), moe.Optional: mapping(item{})})
		}
		activities[name] = mapping(stages)
	}
	it := statusKey(r)
	it[moe.Activities] = mapping(activities)
	it[moe.Drover] = mapping(item{moe.RunID: str(r.RunID), moe.StartedAt: millis(r.StartedAt), moe.Tasks: mapping(item{})})
	it["expires_at"] = num(r.StartedAt.Add(workflow.MaxSpan + s.Retention).Unix())
	_, err := putItem(ctx, s.API, &dynamodb.PutItemInput{TableName: &s.Table, Item: it,
		ConditionExpression:       aws.String("attribute_not_exists(#drover.#started) OR #drover.#started <= :earlier"),
		ExpressionAttributeNames:  map[string]string{"#drover": moe.Drover, "#started": moe.StartedAt},
		ExpressionAttributeValues: item{":earlier": num(r.StartedAt.UnixMilli() - 1)}})
	return err
}

func mapping(it item) types.AttributeValue { return &types.AttributeValueMemberM{Value: it} }

// StreamSource names DynamoDB as the source of a stream's records.
const StreamSource = "aws:dynamodb"

// StatusImage returns what a record of the status table's stream shows of a row.
func StatusImage(image map[string]events.DynamoDBAttributeValue) moe.Image {
	out := make(moe.Image, len(image))
	for name, v := range image {
		out[name] = plainValue(v)
	}
	return out
}

func plainValue(v events.DynamoDBAttributeValue) any {
	switch v.DataType() {
	case events.DataTypeString:
		return v.String()
	case events.DataTypeNumber:
		return json.Number(v.Number())
	case events.DataTypeBoolean:
		return v.Boolean()
	case events.DataTypeMap:
		return StatusImage(v.Map())
	case events.DataTypeList:
		list := v.List()
		out := make([]any, len(list))
		for i, one := range list {
			out[i] = plainValue(one)
		}
		return out
	case events.DataTypeNull, events.DataTypeBinary, events.DataTypeBinarySet, events.DataTypeNumberSet, events.DataTypeStringSet:
	}
	return nil
}

package fakeaws

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The names of the stack's tables.
const (
	TasksTable   = "tasks"
	ControlTable = "control"
	JobsTable    = "jobs"
	RunsTable    = "runs"
	StatusTable  = "statuses"
)

// StackTables returns the definitions of the tables in the stack's template, with a prefix before their names, for NewDynamoDB and for
// CreateTable of any DynamoDB.
func StackTables(before string) []*dynamodb.CreateTableInput {
	tasks := definition(before+TasksTable, "segment", "n")
	tasks.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage}
	tasks.AttributeDefinitions[1].AttributeType = types.ScalarAttributeTypeN

	jobs := definition(before+JobsTable, "job_id", "item")
	jobs.AttributeDefinitions = append(jobs.AttributeDefinitions,
		types.AttributeDefinition{AttributeName: aws.String("month"), AttributeType: types.ScalarAttributeTypeS},
		types.AttributeDefinition{AttributeName: aws.String("submitted_at"), AttributeType: types.ScalarAttributeTypeN})
	jobs.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{
		IndexName: aws.String("by_month"), KeySchema: keys("month", "submitted_at"),
		Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"labourer"}},
	}}
	runs := definition(before+RunsTable, "run", "item")
	runs.AttributeDefinitions = append(runs.AttributeDefinitions,
		types.AttributeDefinition{AttributeName: aws.String("active"), AttributeType: types.ScalarAttributeTypeS},
		types.AttributeDefinition{AttributeName: aws.String("workflow"), AttributeType: types.ScalarAttributeTypeS},
		types.AttributeDefinition{AttributeName: aws.String("started_at"), AttributeType: types.ScalarAttributeTypeN})
	runs.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{
		{IndexName: aws.String("active"), KeySchema: keys("active", "run"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}},
		{IndexName: aws.String("by_workflow"), KeySchema: keys("workflow", "started_at"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude,
			NonKeyAttributes: []string{"uid", "number", "version", "state", "paused", "finished_at"}}},
	}
	statuses := definition(before+StatusTable, "uid", "workflow")
	statuses.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
	return []*dynamodb.CreateTableInput{tasks, definition(before+ControlTable, "labourer", "item"), jobs, runs, statuses}
}

func definition(name, hash, rangeKey string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: keys(hash, rangeKey),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &hash, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &rangeKey, AttributeType: types.ScalarAttributeTypeS}},
	}
}

func keys(hash, rangeKey string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &rangeKey, KeyType: types.KeyTypeRange}}
}

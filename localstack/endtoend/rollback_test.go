package endtoend

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

// Tables and archive outlive their stack, but not its failed first creation, which would leave them behind empty.
func TestAStackWhoseCreationFailsLeavesNothingBehind(t *testing.T) {
	s := shared(t)
	text, err := os.ReadFile(filepath.Join(checkout, "infra", "template.yaml"))
	require.NoError(t, err)
	broken := strings.Replace(string(text), "\nResources:\n", `
Resources:
  Broken:
    Type: AWS::CloudFormation::CustomResource
    DependsOn: [TasksTable, ControlTable, JobsTable, ArchiveBucket]
    Properties: {ServiceToken: !Sub "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:none"}
`, 1)
	file, err := os.CreateTemp(filepath.Join(checkout, ".local"), "broken-*.yaml") // at the depth of infra/, because the template has relative paths
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.Remove(file.Name())) })
	_, err = file.WriteString(broken)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	name := world.stackName("undone")
	t.Cleanup(func() { // the stack itself remains, as a record of the failure
		_, err := cloudformation.NewFromConfig(s.target.Config()).DeleteStack(context.Background(), &cloudformation.DeleteStackInput{StackName: &name})
		require.NoError(t, err)
	})
	_, err = deploy(t.Context(), s.target, name, filepath.Join(".local", filepath.Base(file.Name())))

	require.ErrorContains(t, err, "stack "+name+" is in ROLLBACK_COMPLETE")
	tables, err := s.db.ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	require.NotEmpty(t, tables.TableNames, "the shared stack has tables")
	for _, table := range tables.TableNames {
		require.NotContains(t, table, name)
	}
	buckets, err := s.s3.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	require.NoError(t, err)
	for _, bucket := range buckets.Buckets {
		require.NotContains(t, *bucket.Name, name)
	}
}

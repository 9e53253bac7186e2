//go:build account

package conformance_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/conformance"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// TestAccount runs on the target of the AWS settings, in its own tables, which it deletes. On AWS itself it needs DROVER_TEST_AWS=1 and costs less
// than a cent.
func TestAccount(t *testing.T) {
	target, err := localstack.Settings(t.Context())
	require.NoError(t, err)
	cfg := target.Config()
	cfg.HTTPClient = whole{cfg.HTTPClient}
	db := dynamodb.NewFromConfig(cfg)
	before := cmp.Or(os.Getenv("DROVER_TEST_STACK"), "drover-conformance") + "-" + rand.Text() + "-"
	for _, table := range fakeaws.StackTables(before) {
		_, err := db.CreateTable(t.Context(), table)
		require.NoError(t, err)
		t.Cleanup(func() {
			_, err := db.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: table.TableName})
			require.NoError(t, err)
		})
	}
	for _, table := range fakeaws.StackTables(before) {
		require.NoError(t, dynamodb.NewTableExistsWaiter(db).Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: table.TableName}, 5*time.Minute))
	}

	var wrong []string
	if !target.OnAWS() {
		wrong = []string{"a selection that does not go with its query is refused"}
	}
	conformance.RunDynamoDB(t, before, func(*testing.T) dynamo.API { return db }, wrong...)
	conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(db, before) })
}

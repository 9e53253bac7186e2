//go:build aws

package conformance_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/conformance"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/memory"
)

// TestAWS runs on AWS itself, in tables of its own that it deletes: go test -tags aws with DROVER_TEST_AWS=1 and an account. A run costs
// less than a cent.
func TestAWS(t *testing.T) {
	require.Equal(t, "1", os.Getenv(localstack.AllowAWS), "this test would call AWS itself: set %s=1 to mean it", localstack.AllowAWS)
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	db := dynamodb.NewFromConfig(cfg)
	before := "drover-conformance-" + rand.Text() + "-"
	for _, table := range memory.StackTables(before) {
		_, err := db.CreateTable(t.Context(), table)
		require.NoError(t, err)
		t.Cleanup(func() {
			_, err := db.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: table.TableName})
			require.NoError(t, err)
		})
	}
	for _, table := range memory.StackTables(before) {
		require.NoError(t, dynamodb.NewTableExistsWaiter(db).Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: table.TableName}, 5*time.Minute))
	}

	conformance.RunDynamoDB(t, before, func(*testing.T) dynamo.API { return db })
	conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(db, before) })
}

package conformance_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/conformance"
	"github.com/drover-run/drover/shared/memory"
)

func TestLocalAWS(t *testing.T) {
	emulator, err := localstack.Start(t.Context(), localstack.Options{Log: t.Output()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, emulator.Stop()) })
	db := dynamodb.NewFromConfig(emulator.Config())
	for _, table := range memory.StackTables("drover-") {
		_, err := db.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}

	conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(db, "drover-") })
}

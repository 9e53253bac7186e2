//go:build referees

package conformance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/conformance"
	"github.com/drover-run/drover/shared/testing/conformance/referee"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// The suite asks nothing that only our own implementations would answer so.
func TestRefereeDynoxidePassesTheSuite(t *testing.T) {
	db := referee.Start(t)
	referee.Create(t, db, fakeaws.StackTables("drover-"))

	conformance.RunDynamoDB(t, "drover-", func(*testing.T) dynamo.API { return db },
		"a query by an empty key is refused") // see referee.Known
	conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(db, "drover-") })
}

// Each call that the suite makes of memory is repeated on dynoxide, and has the same answer there.
func TestRefereeEveryCallOfTheSuiteHasTheSameAnswerOnDynoxide(t *testing.T) {
	client := referee.Start(t)
	tables := fakeaws.StackTables("drover-")
	referee.Create(t, client, tables)
	db := referee.NewBoth(t, fakeaws.NewDynamoDB(time.Now, tables...), client)

	t.Run("calls", func(t *testing.T) { conformance.RunDynamoDB(t, "drover-", func(*testing.T) dynamo.API { return db }) })
	t.Run("stores", func(t *testing.T) {
		conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(db, "drover-") })
	})

	for _, table := range tables {
		db.RequireSameItems(*table.TableName)
	}
	calls, known := db.Calls()
	t.Logf("%d calls compared; known differences met: %v", calls, known)
	require.Greater(t, calls, 1000, "the comparison compared little")
}

package conformance_test

import (
	"testing"
	"time"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/conformance"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func TestMemory(t *testing.T) {
	conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(fakeaws.NewDynamoDB(time.Now), "") })
}

func TestDynamoDBInMemory(t *testing.T) {
	conformance.RunDynamoDB(t, "", func(*testing.T) dynamo.API { return fakeaws.NewDynamoDB(time.Now) })
}

// TestWhatDecidesIsReadStrongly runs the suite where every eventually consistent read is late. The suite waits only for what is promised eventually.
func TestWhatDecidesIsReadStrongly(t *testing.T) {
	conformance.Run(t, func(*testing.T) conformance.Stores {
		db := fakeaws.NewDynamoDB(time.Now)
		db.Stale = func(string, fakeaws.Item) time.Duration { return time.Second }
		return conformance.On(db, "")
	})
}

package conformance_test

import (
	"testing"
	"time"

	"github.com/drover-run/drover/shared/conformance"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/memory"
)

func TestMemory(t *testing.T) {
	conformance.Run(t, func(*testing.T) conformance.Stores { return conformance.On(memory.NewDynamoDB(time.Now), "") })
}

func TestDynamoDBInMemory(t *testing.T) {
	conformance.RunDynamoDB(t, "", func(*testing.T) dynamo.API { return memory.NewDynamoDB(time.Now) })
}

// TestWhatDecidesIsReadStrongly: the suite, which waits only for what is promised eventually, holds also where every eventually consistent read
// is late.
func TestWhatDecidesIsReadStrongly(t *testing.T) {
	conformance.Run(t, func(*testing.T) conformance.Stores {
		db := memory.NewDynamoDB(time.Now)
		db.Stale = func(string, memory.Item) time.Duration { return time.Second }
		return conformance.On(db, "")
	})
}

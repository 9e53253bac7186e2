package dynamo_test

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// TestARewriteKeepsWhatItDoesNotKnow: a later version of Drover has added an attribute, and two attributes cannot be decoded.
func TestARewriteKeepsWhatItDoesNotKnow(t *testing.T) {
	s := inMemory()
	one := oneTask()
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	before := maps.Clone(s.db.Items(fakeaws.TasksTable)[0])
	before["novelty"] = &types.AttributeValueMemberS{Value: "since the next version"}
	before["payload"] = &types.AttributeValueMemberB{Value: []byte("garbage")}
	before["attempts"] = &types.AttributeValueMemberB{Value: []byte("garbage")}
	require.NoError(t, s.db.Put(fakeaws.TasksTable, before))
	at := noon.Add(time.Minute)

	stale, err := s.tasks.Rewrite(t.Context(), one.ID.Segment, segment.Of(one.ID.N), func(was task.Task) (task.Task, bool) {
		after, err := was.Cancel(at)
		return after, err == nil
	})

	require.NoError(t, err)
	require.Empty(t, stale)
	want := maps.Clone(before)
	want["status"] = &types.AttributeValueMemberS{Value: "cancelled"}
	want["closed_at"] = number(strconv.FormatInt(at.UnixMilli(), 10))
	want["expires_at"] = number(strconv.FormatInt(at.Add(retention).Unix(), 10))
	require.Equal(t, want, s.db.Items(fakeaws.TasksTable)[0])
}

package infra_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A change of a key would replace the table.
func TestTablesHaveTheKeysByWhichTheyAreRead(t *testing.T) {
	got, projections := map[string][]string{}, map[string]any{}
	for id, properties := range read(t).of("AWS::DynamoDB::Table") {
		types := map[string]string{}
		for _, attribute := range list(properties["AttributeDefinitions"]) {
			types[at[string](attribute, "AttributeName")] = at[string](attribute, "AttributeType")
		}
		key := func(of any) []string {
			var names []string
			for _, part := range at[[]any](of, "KeySchema") {
				name := at[string](part, "AttributeName")
				names = append(names, name+" "+types[name]+" "+at[string](part, "KeyType"))
			}
			return names
		}
		got[id] = key(properties)
		for _, index := range list(properties["GlobalSecondaryIndexes"]) {
			got[id+"/"+at[string](index, "IndexName")] = key(index)
			projections[id+"/"+at[string](index, "IndexName")] = at[any](index, "Projection")
		}
	}
	require.Equal(t, map[string][]string{
		"TasksTable":            {"segment S HASH", "n N RANGE"},
		"ControlTable":          {"labourer S HASH", "item S RANGE"},
		"JobsTable":             {"job_id S HASH", "item S RANGE"},
		"JobsTable/by_month":    {"month S HASH", "submitted_at N RANGE"},
		"RunsTable":             {"run S HASH", "item S RANGE"},
		"RunsTable/active":      {"active S HASH", "run S RANGE"},
		"RunsTable/by_workflow": {"workflow S HASH", "started_at N RANGE"},
		"StatusTable":           {"uid S HASH", "workflow S RANGE"},
	}, got)
	require.Equal(t, map[string]any{
		"JobsTable/by_month":    object{"ProjectionType": "INCLUDE", "NonKeyAttributes": []any{"labourer"}},
		"RunsTable/active":      object{"ProjectionType": "KEYS_ONLY"},
		"RunsTable/by_workflow": object{"ProjectionType": "INCLUDE", "NonKeyAttributes": []any{"uid", "number", "version", "state", "paused", "finished_at"}},
	}, projections)
}

func TestTablesAreOnDemandEncryptedRecoverableAndKept(t *testing.T) {
	s := read(t)
	for id, properties := range s.of("AWS::DynamoDB::Table") {
		require.Equal(t, "PAY_PER_REQUEST", properties["BillingMode"], id)
		require.Equal(t, object{"SSEEnabled": true}, properties["SSESpecification"], id)
		require.Equal(t, object{"PointInTimeRecoveryEnabled": true}, properties["PointInTimeRecoverySpecification"], id)
		requireKept(t, s, id)
	}
}

// By default the tables can be deleted: otherwise a failed creation of the stack could not roll back.
func TestAParameterProtectsTablesFromDeletion(t *testing.T) {
	s := read(t)
	require.Equal(t, "false", s.parameters["DeletionProtection"]["Default"])
	require.Equal(t, object{"Fn::Equals": []any{ref("DeletionProtection"), "true"}}, s.conditions["ProtectTables"])
	for id, properties := range s.of("AWS::DynamoDB::Table") {
		require.Equal(t, object{"Fn::If": []any{"ProtectTables", true, false}}, properties["DeletionProtectionEnabled"], id)
	}
}

func requireKept(t *testing.T, s stack, id string) {
	t.Helper()
	require.Equal(t, "RetainExceptOnCreate", s.resources[id]["DeletionPolicy"], "%s: a failed creation must leave nothing behind", id)
	require.Equal(t, "Retain", s.resources[id]["UpdateReplacePolicy"], id)
}

// Only the tasks table has a stream, and the table that moe's plugins write to, of which Drover compares what was and what is. Finished tasks and jobs expire by their time to live; the functions themselves delete items of the control
// table.
func TestTasksHaveAStreamAndFinishedItemsExpire(t *testing.T) {
	streams, leaving := []string{}, []string{}
	tables := read(t).of("AWS::DynamoDB::Table")
	for _, id := range keys(tables) {
		if stream := tables[id]["StreamSpecification"]; stream != nil {
			streams = append(streams, id+" "+at[string](stream, "StreamViewType"))
		}
		if ttl := tables[id]["TimeToLiveSpecification"]; ttl != nil {
			require.Equal(t, object{"AttributeName": "expires_at", "Enabled": true}, ttl, id)
			leaving = append(leaving, id)
		}
	}
	require.Equal(t, []string{"StatusTable NEW_AND_OLD_IMAGES", "TasksTable NEW_IMAGE"}, streams)
	require.Equal(t, []string{"JobsTable", "RunsTable", "StatusTable", "TasksTable"}, leaving)
}

func TestTheArchiveIsEncryptedPrivateVersionedAndKept(t *testing.T) {
	s := read(t)
	buckets := s.of("AWS::S3::Bucket")
	require.Equal(t, []string{"ArchiveBucket"}, keys(buckets))
	bucket := buckets["ArchiveBucket"]
	require.NotNil(t, bucket["BucketEncryption"])
	require.Equal(t, object{"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true},
		bucket["PublicAccessBlockConfiguration"])
	require.Equal(t, object{"Status": "Enabled"}, bucket["VersioningConfiguration"])
	requireKept(t, s, "ArchiveBucket")
}

func TestResultsThatWereHandedOnExpireLikeRuns(t *testing.T) {
	for _, rule := range at[[]any](read(t).resources["ArchiveBucket"], "Properties", "LifecycleConfiguration", "Rules") {
		if at[string](rule, "Id") == "results" {
			require.Equal(t, object{"Id": "results", "Status": "Enabled", "Prefix": "runs/", "ExpirationInDays": ref("RetentionDays"),
				"NoncurrentVersionExpiration": object{"NoncurrentDays": 1}}, rule)
			return
		}
	}
	t.Fatal("there is no such rule")
}

// 0 days keep the archive forever. The template then omits the rule, because S3 accepts none with 0 days.
func TestTheArchiveExpiresOnlyIfAParameterSaysSo(t *testing.T) {
	s := read(t)
	require.Equal(t, 0, s.parameters["ArchiveRetentionDays"]["Default"])
	require.Equal(t, object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("ArchiveRetentionDays"), 0}}}}, s.conditions["ArchiveExpires"])
	rules := at[[]any](s.resources["ArchiveBucket"], "Properties", "LifecycleConfiguration", "Rules")
	for _, rule := range rules {
		choice := at[[]any](rule, "Fn::If")
		if at[string](rule, "Prefix") != "" {
			continue // it is not about the archive
		}
		if choice == nil {
			require.NotContains(t, rule, "ExpirationInDays")
			continue
		}
		require.Equal(t, "ArchiveExpires", choice[0])
		require.Equal(t, ref("ArchiveRetentionDays"), at[object](choice[1], "ExpirationInDays"))
		require.Equal(t, ref("AWS::NoValue"), choice[2])
	}
}

package referee

import (
	"maps"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Difference is one in which the two answer differently and it is known which is right.
type Difference struct {
	Name      string // what differs, in a few words
	Operation string
	Right     string // "memory", "dynoxide", or "open"
	Why       string // by which document or measurement
	is        func(in any, memory, referee answer) bool
}

// Known holds the differences that a comparison accepts.
var Known = []Difference{
	{
		Name: "an empty key in a query", Operation: "Query", Right: "memory",
		Why: "\"Attribute values of String type used as a key must have a length greater than zero\" (Constraints in DynamoDB); AWS refuses the query, dynoxide finds nothing",
		is: func(in any, memory, referee answer) bool {
			query, is := in.(*dynamodb.QueryInput)
			return is && memory["error"] == "ValidationException" && referee["error"] == nil && emptyValue(query)
		},
	},
	{
		Name: "the count of a full page", Operation: "Query", Right: "memory",
		Why: "without a filter \"ScannedCount is the same as Count\" (API_Query); dynoxide counts the item that no longer fits as well",
		is: func(_ any, memory, referee answer) bool {
			ours, theirs := maps.Clone(memory), maps.Clone(referee)
			delete(ours, "ScannedCount")
			delete(theirs, "ScannedCount")
			return memory["ScannedCount"] == memory["Count"] && memory["LastEvaluatedKey"] != nil &&
				reflect.DeepEqual(ours, theirs)
		},
	},
	{
		Name: "the units of an index in a transaction", Operation: "TransactWriteItems", Right: "open",
		Why: "DynamoDB \"performs two underlying reads or writes of every item in the transaction\" (Managing complex workflows), and its " +
			"documents do not say whether an index is written twice; memory counts the most that it can be, dynoxide once",
		is: func(_ any, memory, referee answer) bool {
			return memory["error"] == nil && referee["error"] == nil && reflect.DeepEqual(withoutIndexes(memory), withoutIndexes(referee))
		},
	},
}

// withoutIndexes returns an answer without the capacity of indexes and the sums that contain it.
func withoutIndexes(of any) any {
	switch of := of.(type) {
	case answer:
		return withoutIndexes(map[string]any(of))
	case []any:
		out := make([]any, len(of))
		for i, one := range of {
			out[i] = withoutIndexes(one)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, one := range of {
			sum := of["GlobalSecondaryIndexes"] != nil && (name == "CapacityUnits" || name == "WriteCapacityUnits")
			if name != "GlobalSecondaryIndexes" && !sum {
				out[name] = withoutIndexes(one)
			}
		}
		return out
	}
	return of
}

// removesAlone names a difference in what tables hold, not in an answer: an update that only removes, of a missing item, makes on dynoxide an
// item of a key alone. AWS makes none (scylladb/scylladb#5862 tried it), and says of such a DELETE in the old style that nothing happens.
// Drover makes such updates of a labourer's state, where an item of a key alone means the same as none.
const removesAlone = "an item that an update made which only removes"

func emptyValue(in *dynamodb.QueryInput) bool {
	for _, v := range in.ExpressionAttributeValues {
		if s, is := v.(*types.AttributeValueMemberS); is && s.Value == "" {
			return true
		}
	}
	return false
}

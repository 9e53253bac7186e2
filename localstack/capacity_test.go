package localstack

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSizeOfAnItemIsThatOfItsNamesAndValues(t *testing.T) {
	for name, c := range map[string]struct {
		item string
		size int
	}{
		"nothing":                           {`{}`, 0},
		"a text is as long as its UTF-8":    {`{"name": {"S": "Zoë"}}`, 4 + 4},
		"binary is as long as its bytes":    {`{"b": {"B": "aGVsbG8="}}`, 1 + 5},
		"a number has a byte for two":       {`{"n": {"N": "1234"}}`, 1 + 3},
		"an odd digit counts as two":        {`{"n": {"N": "123"}}`, 1 + 3},
		"zeros at its ends do not count":    {`{"n": {"N": "0012000"}}`, 1 + 2},
		"nor does the point":                {`{"n": {"N": "1.25"}}`, 1 + 3},
		"a minus is one more":               {`{"n": {"N": "-12"}}`, 1 + 3},
		"an exponent does not count":        {`{"n": {"N": "12E+20"}}`, 1 + 2},
		"zero is one":                       {`{"n": {"N": "0"}}`, 1 + 1},
		"true and nothing are one":          {`{"t": {"BOOL": true}, "z": {"NULL": true}}`, 2 + 2},
		"a set is its members":              {`{"s": {"SS": ["ab", "c"]}, "n": {"NS": ["1", "22"]}, "b": {"BS": ["aA=="]}}`, 3 + 3 + 4 + 1},
		"a list has 3, and 1 for each":      {`{"l": {"L": [{"S": "ab"}, {"N": "7"}]}}`, 1 + 3 + 2 + 2 + 2},
		"a map has 3, and 1 and a name too": {`{"m": {"M": {"key": {"S": "ab"}}}}`, 1 + 3 + 1 + 3 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			var it item
			require.NoError(t, json.Unmarshal([]byte(c.item), &it))
			size, err := it.size()
			require.NoError(t, err)
			require.Equal(t, c.size, size)
		})
	}
}

func TestAValueOfNoKnownTypeHasNoSize(t *testing.T) {
	_, err := item{"a": {"X": json.RawMessage(`1`)}}.size()
	require.ErrorContains(t, err, "attribute a: a value of no known type")
}

func TestUnitsFollowFromRequestAndAnswer(t *testing.T) {
	kb := func(n int) string {
		return fmt.Sprintf(`{"p": {"S": "k"}, "v": {"S": %q}}`, strings.Repeat("x", n<<10-3))
	} // the names and the key are 3
	const refused = `{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "The conditional request failed"}`
	const cancelled = `{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "CancellationReasons": []}`
	for name, c := range map[string]struct {
		operation, request, answer string
		write, read                float64
		refused                    int
	}{
		"a write returns its cost":       {"PutItem", `{}`, `{"ConsumedCapacity": {"CapacityUnits": 3}}`, 3, 0, 0},
		"a batch returns it by table":    {"BatchWriteItem", `{}`, `{"ConsumedCapacity": [{"CapacityUnits": 25}, {"CapacityUnits": 2}]}`, 27, 0, 0},
		"a refused put costs its item":   {"PutItem", `{"Item": ` + kb(2) + `}`, refused, 2, 0, 1},
		"a refused update costs one":     {"UpdateItem", `{"Key": {"p": {"S": "k"}}}`, refused, 1, 0, 1},
		"a throttled write costs none":   {"UpdateItem", `{}`, `{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}`, 0, 0, 0},
		"a refused transaction is twice": {"TransactWriteItems", `{"TransactItems": [{"Put": {"Item": ` + kb(2) + `}}, {"Delete": {}}]}`, cancelled, 6, 0, 2},
		"4 KB read strongly are one":     {"GetItem", `{"ConsistentRead": true}`, `{"Item": ` + kb(4) + `}`, 0, 1, 0},
		"5 KB are two":                   {"GetItem", `{"ConsistentRead": true}`, `{"Item": ` + kb(5) + `}`, 0, 2, 0},
		"read eventually, half of that":  {"GetItem", `{}`, `{"Item": ` + kb(5) + `}`, 0, 1, 0},
		"nothing there costs the least":  {"GetItem", `{"ConsistentRead": true}`, `{}`, 0, 1, 0},
		"a query is rounded as a whole":  {"Query", `{"ConsistentRead": true}`, `{"Items": [` + kb(1) + `,` + kb(1) + `,` + kb(3) + `]}`, 0, 2, 0},
		"an empty one costs the least":   {"Query", `{}`, `{"Items": []}`, 0, .5, 0},
		"a batch is rounded by item": {"BatchGetItem", `{"RequestItems": {"t": {"ConsistentRead": true, "Keys": [{}, {}, {}]}, "u": {"Keys": [{}, {}]}}}`,
			`{"Responses": {"t": [` + kb(1) + `,` + kb(5) + `], "u": [` + kb(1) + `]}, "UnprocessedKeys": {"u": {"Keys": [{}]}}}`, 0, 3 + 1 + .5, 0},
		"another operation costs nothing": {"DescribeTable", `{}`, `{}`, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tables, refused, err := units(c.operation, []byte(c.request), []byte(c.answer), newItemSizes())
			require.NoError(t, err)
			of := Usage{Tables: tables}.Units()
			require.Equal(t, []any{c.write, c.read, c.refused}, []any{of.Write, of.Read, refused})
		})
	}
}

func TestUnitsAreCountedByTable(t *testing.T) {
	tables, _, err := units("BatchWriteItem", []byte(`{}`), []byte(`{"ConsumedCapacity": [{"TableName": "t", "CapacityUnits": 25}, {"TableName": "u", "CapacityUnits": 2}]}`),
		newItemSizes())
	require.NoError(t, err)
	require.Equal(t, map[string]Units{"t": {Write: 25}, "u": {Write: 2}}, tables)
}

func TestItemsThatAQueryCountsOrFiltersHaveTheMeanSizeOfThoseThatWerePut(t *testing.T) {
	seen := newItemSizes()
	seen.learn("PutItem", []byte(`{"TableName": "t", "Item": {"v": {"S": "`+strings.Repeat("x", 2047)+`"}}}`))
	seen.learn("BatchWriteItem", []byte(`{"RequestItems": {"t": [{"PutRequest": {"Item": {"v": {"S": "`+strings.Repeat("x", 4095)+`"}}}}, {"DeleteRequest": {}}]}}`))

	tables, _, err := units("Query", []byte(`{"TableName": "t", "Select": "COUNT"}`), []byte(`{"Count": 3, "ScannedCount": 8}`), seen)

	require.NoError(t, err)
	require.Equal(t, map[string]Units{"t": {Read: 3}}, tables, "8 items of 3 KB, read eventually")
}

func TestOnlyWritesAreAskedForTheirCost(t *testing.T) {
	require.JSONEq(t, `{"TableName": "t", "ReturnConsumedCapacity": "TOTAL"}`, string(askForCapacity("PutItem", []byte(`{"TableName": "t"}`))))
	require.Equal(t, `{"TableName": "t"}`, string(askForCapacity("GetItem", []byte(`{"TableName": "t"}`))))
	require.Equal(t, `no JSON`, string(askForCapacity("PutItem", []byte(`no JSON`))))
}

package localstack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// These are the operations of DynamoDB's data plane that Drover uses.
var (
	itemWrites = []string{"PutItem", "UpdateItem", "DeleteItem"}
	writes     = append([]string{"BatchWriteItem", "TransactWriteItems"}, itemWrites...)
)

// askForCapacity makes DynamoDB return the units that a write consumed. It leaves other requests, and those that it cannot parse, unchanged.
func askForCapacity(operation string, request []byte) []byte {
	var fields map[string]json.RawMessage
	if !slices.Contains(writes, operation) || json.Unmarshal(request, &fields) != nil {
		return request
	}
	fields["ReturnConsumedCapacity"] = json.RawMessage(`"TOTAL"`)
	asking, err := json.Marshal(fields)
	if err != nil {
		return request
	}
	return asking
}

// units returns the cost of an operation of DynamoDB.
//
// For a write it is in the answer, including indexes. The emulator's figures follow AWS's rule: a unit for each KB of the old or new item, whichever
// is larger, and twice that in a transaction. A write whose condition fails costs units too, but its answer does not have them: it counts as one
// unit, or as the cost of the item to be put, and twice that in a transaction.
//
// The emulator counts each read as one unit, so units computes reads from the answer: a unit for each 4 KB of each item, or in a query of all items
// together, and half of that for an eventually consistent read. A missing item costs as much as a small one.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
func units(operation string, request, answer []byte) (write, read float64, refused int, err error) {
	switch {
	case slices.Contains(writes, operation):
		write, refused, err = writeUnits(operation, request, answer)
	case operation == "GetItem":
		read, err = getUnits(request, answer)
	case operation == "Query", operation == "Scan":
		read, err = queryUnits(request, answer)
	case operation == "BatchGetItem":
		read, err = batchGetUnits(request, answer)
	}
	if err != nil {
		return 0, 0, 0, fmt.Errorf("counting the units of %s: %w", operation, err)
	}
	return write, read, refused, nil
}

func writeUnits(operation string, request, answer []byte) (units float64, refused int, err error) {
	var said struct {
		Type             string          `json:"__type"`
		ConsumedCapacity json.RawMessage `json:"ConsumedCapacity"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return 0, 0, err
	}
	type consumed struct{ CapacityUnits float64 }
	switch {
	case strings.HasSuffix(said.Type, "ConditionalCheckFailedException"):
		var asked struct{ Item item }
		if err := json.Unmarshal(request, &asked); err != nil {
			return 0, 0, err
		}
		size, err := asked.Item.size()
		return kilobytes(size, 1), 1, err
	case strings.HasSuffix(said.Type, "TransactionCanceledException"):
		return refusedTransaction(request)
	case said.Type != "" || said.ConsumedCapacity == nil:
		return 0, 0, nil // a throttle or a fault costs nothing
	case slices.Contains(itemWrites, operation):
		var one consumed
		err := json.Unmarshal(said.ConsumedCapacity, &one)
		return one.CapacityUnits, 0, err
	}
	var tables []consumed
	err = json.Unmarshal(said.ConsumedCapacity, &tables)
	for _, t := range tables {
		units += t.CapacityUnits
	}
	return units, 0, err
}

func refusedTransaction(request []byte) (units float64, refused int, err error) {
	var asked struct {
		TransactItems []struct{ Put struct{ Item item } }
	}
	if err := json.Unmarshal(request, &asked); err != nil {
		return 0, 0, err
	}
	for _, one := range asked.TransactItems {
		size, err := one.Put.Item.size()
		if err != nil {
			return 0, 0, err
		}
		units += 2 * kilobytes(size, 1)
	}
	return units, len(asked.TransactItems), nil
}

type consistency struct{ ConsistentRead bool }

// of returns the cost of a read that would cost this many units if it were strongly consistent.
func (c consistency) of(units float64) float64 {
	if c.ConsistentRead {
		return units
	}
	return units / 2
}

const readUnit = 4 // KB

func getUnits(request, answer []byte) (float64, error) {
	var asked consistency
	var got struct{ Item item }
	if err := decode(request, &asked, answer, &got); err != nil {
		return 0, err
	}
	size, err := got.Item.size()
	return asked.of(kilobytes(size, readUnit)), err
}

func queryUnits(request, answer []byte) (float64, error) {
	var asked consistency
	var got struct{ Items []item }
	if err := decode(request, &asked, answer, &got); err != nil {
		return 0, err
	}
	total := 0
	for _, it := range got.Items {
		size, err := it.size()
		if err != nil {
			return 0, err
		}
		total += size
	}
	return asked.of(kilobytes(total, readUnit)), nil
}

func batchGetUnits(request, answer []byte) (float64, error) {
	type keys struct {
		consistency
		Keys []item
	}
	var asked struct{ RequestItems map[string]keys }
	var got struct {
		Responses       map[string][]item
		UnprocessedKeys map[string]keys
	}
	if err := decode(request, &asked, answer, &got); err != nil {
		return 0, err
	}
	units := 0.0
	for table, of := range asked.RequestItems {
		items := got.Responses[table]
		missing := len(of.Keys) - len(items) - len(got.UnprocessedKeys[table].Keys)
		strong := float64(missing)
		for _, it := range items {
			size, err := it.size()
			if err != nil {
				return 0, err
			}
			strong += kilobytes(size, readUnit)
		}
		units += of.of(strong)
	}
	return units, nil
}

func decode(request []byte, asked any, answer []byte, got any) error {
	if err := json.Unmarshal(request, asked); err != nil {
		return err
	}
	return json.Unmarshal(answer, got)
}

// kilobytes returns a size in units of this many KB, rounded up, and at least one.
func kilobytes(size, unit int) float64 {
	return max(1, math.Ceil(float64(size)/float64(unit<<10)))
}

// item is an item in its wire format.
type item map[string]attribute

// attribute is a value with its type: {"S": "text"}.
type attribute map[string]json.RawMessage

// size returns the size that DynamoDB counts for an item, in bytes: the names and the values.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func (i item) size() (int, error) {
	total := 0
	for name, value := range i {
		size, err := value.size()
		if err != nil {
			return 0, fmt.Errorf("attribute %s: %w", name, err)
		}
		total += len(name) + size
	}
	return total, nil
}

func (a attribute) size() (int, error) {
	for kind, text := range a {
		switch kind {
		case "S", "N", "B":
			var value string
			err := json.Unmarshal(text, &value)
			return scalarSize(kind, value), err
		case "SS", "NS", "BS":
			var values []string
			err := json.Unmarshal(text, &values)
			total := 0
			for _, value := range values {
				total += scalarSize(kind[:1], value)
			}
			return total, err
		case "BOOL", "NULL":
			return 1, nil
		case "L":
			var values []attribute
			if err := json.Unmarshal(text, &values); err != nil {
				return 0, err
			}
			total := 3
			for _, value := range values {
				size, err := value.size()
				if err != nil {
					return 0, err
				}
				total += 1 + size
			}
			return total, nil
		case "M":
			var values item
			if err := json.Unmarshal(text, &values); err != nil {
				return 0, err
			}
			size, err := values.size()
			return 3 + len(values) + size, err
		}
	}
	return 0, fmt.Errorf("a value of no known type: %v", a)
}

func scalarSize(kind, value string) int {
	switch kind {
	case "N":
		return numberSize(value)
	case "B":
		return base64.StdEncoding.DecodedLen(len(value)) - strings.Count(value, "=")
	}
	return len(value)
}

// numberSize returns the size of a number in bytes: about one for two significant digits, one more, and one for a minus sign. Zeros at either end do
// not count.
func numberSize(number string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	digits := strings.Trim(strings.ReplaceAll(strings.TrimLeft(mantissa, "+-"), ".", ""), "0")
	size := (len(digits)+1)/2 + 1
	if strings.HasPrefix(number, "-") {
		size++
	}
	return size
}

package localstack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
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

// units returns the cost of an operation of DynamoDB by table.
//
// For a write it is in the answer, including indexes. The emulator's figures follow AWS's rule: a unit for each KB of the old or new item, whichever
// is larger, and twice that in a transaction. A write whose condition fails costs units too, but its answer does not have them: it counts as one
// unit, or as the cost of the item to be put, and twice that in a transaction.
//
// The emulator counts each read as one unit, so units computes reads from the answer: a unit for each 4 KB of each item, or in a query of all items
// together, and half of that for an eventually consistent read. A missing item costs as much as a small one. Items that a query counted or filtered
// are not in its answer: each has the mean size of the table's items that the meter has seen written.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
func units(operation string, request, answer []byte, seen *itemSizes) (tables map[string]Units, refused int, err error) {
	switch {
	case slices.Contains(writes, operation):
		tables, refused, err = writeUnits(operation, request, answer)
	case operation == "GetItem":
		tables, err = getUnits(request, answer)
	case operation == "Query", operation == "Scan":
		tables, err = queryUnits(request, answer, seen)
	case operation == "BatchGetItem":
		tables, err = batchGetUnits(request, answer)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("counting the units of %s: %w", operation, err)
	}
	return tables, refused, nil
}

func writeUnits(operation string, request, answer []byte) (tables map[string]Units, refused int, err error) {
	var said struct {
		Type             string          `json:"__type"`
		ConsumedCapacity json.RawMessage `json:"ConsumedCapacity"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return nil, 0, err
	}
	type consumed struct {
		TableName     string
		CapacityUnits float64
	}
	switch {
	case strings.HasSuffix(said.Type, "ConditionalCheckFailedException"):
		var asked struct {
			TableName string
			Item      item
		}
		if err := json.Unmarshal(request, &asked); err != nil {
			return nil, 0, err
		}
		size, err := asked.Item.size()
		return map[string]Units{asked.TableName: {Write: kilobytes(size, 1)}}, 1, err
	case strings.HasSuffix(said.Type, "TransactionCanceledException"):
		return refusedTransaction(request)
	case said.Type != "" || said.ConsumedCapacity == nil:
		return nil, 0, nil // a throttle or a fault costs nothing
	}
	of := make([]consumed, 1)
	if slices.Contains(itemWrites, operation) {
		err = json.Unmarshal(said.ConsumedCapacity, &of[0])
	} else {
		err = json.Unmarshal(said.ConsumedCapacity, &of)
	}
	tables = map[string]Units{}
	for _, t := range of {
		tables[t.TableName] = Units{Write: tables[t.TableName].Write + t.CapacityUnits}
	}
	return tables, 0, err
}

func refusedTransaction(request []byte) (tables map[string]Units, refused int, err error) {
	type write struct {
		TableName string
		Item      item
	}
	var asked struct{ TransactItems []map[string]write }
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, 0, err
	}
	tables = map[string]Units{}
	for _, one := range asked.TransactItems {
		for _, w := range one { // one of Put, Update, Delete and ConditionCheck
			size, err := w.Item.size()
			if err != nil {
				return nil, 0, err
			}
			tables[w.TableName] = Units{Write: tables[w.TableName].Write + 2*kilobytes(size, 1)}
		}
	}
	return tables, len(asked.TransactItems), nil
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

func getUnits(request, answer []byte) (map[string]Units, error) {
	var asked struct {
		consistency
		TableName string
	}
	var got struct{ Item item }
	if err := decode(request, &asked, answer, &got); err != nil {
		return nil, err
	}
	size, err := got.Item.size()
	return map[string]Units{asked.TableName: {Read: asked.of(kilobytes(size, readUnit))}}, err
}

func queryUnits(request, answer []byte, seen *itemSizes) (map[string]Units, error) {
	var asked struct {
		consistency
		TableName string
	}
	var got struct {
		Items        []item
		ScannedCount int
	}
	if err := decode(request, &asked, answer, &got); err != nil {
		return nil, err
	}
	total := 0
	for _, it := range got.Items {
		size, err := it.size()
		if err != nil {
			return nil, err
		}
		total += size
	}
	total += max(0, got.ScannedCount-len(got.Items)) * seen.mean(asked.TableName)
	return map[string]Units{asked.TableName: {Read: asked.of(kilobytes(total, readUnit))}}, nil
}

func batchGetUnits(request, answer []byte) (map[string]Units, error) {
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
		return nil, err
	}
	tables := map[string]Units{}
	for table, of := range asked.RequestItems {
		items := got.Responses[table]
		missing := len(of.Keys) - len(items) - len(got.UnprocessedKeys[table].Keys)
		strong := float64(missing)
		for _, it := range items {
			size, err := it.size()
			if err != nil {
				return nil, err
			}
			strong += kilobytes(size, readUnit)
		}
		tables[table] = Units{Read: of.of(strong)}
	}
	return tables, nil
}

// itemSizes knows the mean size of a table's items, from those that were put.
type itemSizes struct {
	mu     sync.Mutex
	tables map[string]struct{ items, bytes int }
}

func newItemSizes() *itemSizes {
	return &itemSizes{tables: map[string]struct{ items, bytes int }{}}
}

// learn reads the items of a request that puts some. It ignores requests that it cannot parse.
func (s *itemSizes) learn(operation string, request []byte) {
	type put struct {
		TableName string
		Item      item
	}
	var puts []put
	switch operation {
	case "PutItem":
		var one put
		if json.Unmarshal(request, &one) == nil {
			puts = []put{one}
		}
	case "BatchWriteItem":
		var batch struct {
			RequestItems map[string][]struct{ PutRequest put }
		}
		if json.Unmarshal(request, &batch) == nil {
			for table, requests := range batch.RequestItems {
				for _, one := range requests {
					puts = append(puts, put{table, one.PutRequest.Item})
				}
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range puts {
		if size, err := one.Item.size(); err == nil && size > 0 {
			of := s.tables[one.TableName]
			s.tables[one.TableName] = struct{ items, bytes int }{of.items + 1, of.bytes + size}
		}
	}
}

// mean returns the mean size of a table's items in bytes, or 0 if none has been seen.
func (s *itemSizes) mean(table string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.tables[table]
	return of.bytes / max(1, of.items)
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

package fakeaws

import (
	"maps"
	"math"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Size returns an item's size in bytes as DynamoDB counts it for limits and prices: names and values, numbers by their digits.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func Size(it Item) int {
	size := 0
	for name, v := range it {
		size += len(name) + valueSize(v)
	}
	return size
}

func valueSize(v types.AttributeValue) int {
	const element = 1 // the cost of each element of a list or a map beside its own size
	const nested = 3  // the cost of a list or a map, also of an empty one
	size := 0
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return numberSize(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberSS:
		for _, one := range v.Value {
			size += len(one)
		}
	case *types.AttributeValueMemberNS:
		for _, one := range v.Value {
			size += numberSize(one)
		}
	case *types.AttributeValueMemberBS:
		for _, one := range v.Value {
			size += len(one)
		}
	case *types.AttributeValueMemberM:
		size = nested
		for name, one := range v.Value {
			size += element + len(name) + valueSize(one)
		}
	case *types.AttributeValueMemberL:
		size = nested
		for _, one := range v.Value {
			size += element + valueSize(one)
		}
	default: // BOOL, NULL
		return 1
	}
	return size
}

// numberSize returns one byte for each two significant digits, plus one, plus one for a minus.
func numberSize(text string) int {
	size := 1
	digits, negative := strings.CutPrefix(text, "-")
	if negative {
		size++
	}
	digits = strings.Trim(strings.Replace(digits, ".", "", 1), "0")
	return size + (len(digits)+1)/2
}

// Use says what consumed capacity.
type Use struct {
	Operation string // "UpdateItem"
	Table     string
	Index     string // "" for the table itself
}

// Cost holds what requests consumed. A request to several tables counts as a call of each.
type Cost struct {
	Calls      int
	WriteUnits float64 // 1 KB each; doubled in transactions
	ReadUnits  float64 // 4 KB each; half of it for eventually consistent reads
}

func (c Cost) plus(o Cost) Cost {
	return Cost{c.Calls + o.Calls, c.WriteUnits + o.WriteUnits, c.ReadUnits + o.ReadUnits}
}

// Usage returns what was consumed since the beginning or since the last ResetUsage. Malformed requests consume nothing. Requests whose
// condition did not hold consume as much as if it had held.
func (d *DynamoDB) Usage() map[Use]Cost {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[Use]Cost, len(d.usage))
	maps.Copy(out, d.usage)
	return out
}

// ResetUsage starts the count again.
func (d *DynamoDB) ResetUsage() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.usage = map[Use]Cost{}
}

func (d *DynamoDB) spend(operation, table, index string, c Cost) {
	use := Use{operation, table, index}
	d.usage[use] = d.usage[use].plus(c)
}

func units(size, each int) float64 { return max(1, math.Ceil(float64(size)/float64(each))) }

const (
	writeUnit = 1 << 10
	readUnit  = 4 << 10
)

// charge holds the units that a request consumes in one table: in the table itself and in each index that it touches.
type charge struct {
	table   float64
	indexes map[string]float64
}

func (c charge) plus(o charge) charge {
	sum := charge{c.table + o.table, maps.Clone(c.indexes)}
	for name, units := range o.indexes {
		if sum.indexes == nil {
			sum.indexes = map[string]float64{}
		}
		sum.indexes[name] += units
	}
	return sum
}

// consumed returns what a response says of a charge: nothing, the sum, or with INDEXES the parts as well.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ConsumedCapacity.html
func (c charge) consumed(asked types.ReturnConsumedCapacity, table string) *types.ConsumedCapacity {
	if asked == "" || asked == types.ReturnConsumedCapacityNone {
		return nil
	}
	total := c.table
	for _, units := range c.indexes {
		total += units
	}
	out := &types.ConsumedCapacity{TableName: &table, CapacityUnits: &total}
	if asked == types.ReturnConsumedCapacityIndexes {
		out.Table = &types.Capacity{CapacityUnits: &c.table}
		for name, units := range c.indexes {
			if out.GlobalSecondaryIndexes == nil {
				out.GlobalSecondaryIndexes = map[string]types.Capacity{}
			}
			out.GlobalSecondaryIndexes[name] = types.Capacity{CapacityUnits: &units}
		}
	}
	return out
}

// writeCost charges a write, whether or not it goes through: in the table and, if it does, in each index that it changes.
func (d *DynamoDB) writeCost(operation string, t *table, before, after Item, factor float64, done bool) charge {
	all := charge{table: factor * units(max(Size(before), Size(after)), writeUnit)}
	d.spend(operation, t.name, "", Cost{WriteUnits: all.table})
	if !done {
		return all
	}
	for _, i := range t.indexes {
		was, is := i.of(t, before), i.of(t, after)
		cost := 0.0
		switch {
		case was == nil && is == nil:
		case was == nil:
			cost = units(Size(is), writeUnit)
		case is == nil:
			cost = units(Size(was), writeUnit)
		case !sameAttributes(was, is, i.names()): // the old entry goes, a new one comes
			cost = units(Size(was), writeUnit) + units(Size(is), writeUnit)
		case !sameItems(was, is):
			cost = units(max(Size(was), Size(is)), writeUnit)
		}
		if cost > 0 {
			d.spend(operation, t.name, i.name, Cost{WriteUnits: factor * cost})
			all = all.plus(charge{indexes: map[string]float64{i.name: factor * cost}})
		}
	}
	return all
}

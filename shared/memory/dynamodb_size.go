package memory

import (
	"maps"
	"math"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Size is an item's size in bytes as DynamoDB counts it for its limits and its prices: names and values, numbers by their digits.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func Size(it Item) int {
	size := 0
	for name, v := range it {
		size += len(name) + valueSize(v)
	}
	return size
}

func valueSize(v types.AttributeValue) int {
	const element = 1 // what each element of a list or a map costs beside itself
	const nested = 3  // what a list or a map costs even when it is empty
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

// numberSize is a byte for two significant digits and one more, and one for a minus.
func numberSize(text string) int {
	size := 1
	digits, negative := strings.CutPrefix(text, "-")
	if negative {
		size++
	}
	digits = strings.Trim(strings.Replace(digits, ".", "", 1), "0")
	return size + (len(digits)+1)/2
}

// Use is what a cost is of.
type Use struct {
	Operation string // "UpdateItem"
	Table     string
	Index     string // "" for the table itself
}

// Cost is what requests came to. A request to several tables is a call of each.
type Cost struct {
	Calls      int
	WriteUnits float64 // 1 KB each; doubled in transactions
	ReadUnits  float64 // 4 KB each; half of it for eventually consistent reads
}

func (c Cost) plus(o Cost) Cost {
	return Cost{c.Calls + o.Calls, c.WriteUnits + o.WriteUnits, c.ReadUnits + o.ReadUnits}
}

// Usage is all that was used since the beginning, or since the last ResetUsage. Requests that were refused as wrong in themselves cost
// nothing, those whose condition did not hold cost as much as if it had.
func (d *DynamoDB) Usage() map[Use]Cost {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[Use]Cost, len(d.usage))
	maps.Copy(out, d.usage)
	return out
}

// ResetUsage begins to count anew.
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

// writeCost is what a write costs, that goes through or not, in the table and in each index that it changes.
func (d *DynamoDB) writeCost(operation string, t *table, before, after Item, factor float64, done bool) {
	d.spend(operation, t.name, "", Cost{WriteUnits: factor * units(max(Size(before), Size(after)), writeUnit)})
	if !done {
		return
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
		}
	}
}

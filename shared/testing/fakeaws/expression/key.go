package expression

import "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

// KeyCondition selects what a query reads of a table or an index.
type KeyCondition struct {
	Hash  types.AttributeValue
	Range *Bound // nil: all items of the hash key
}

// Key reads a bound condition as a key condition: the hash key's value, and at most one condition on the range key.
func (b *Bound) Key(hash, rangeKey string) (KeyCondition, error) {
	var out KeyCondition
	conditions := []node{b.root}
	if both, ok := b.root.(logic); ok && !both.or {
		conditions = []node{both.left, both.right}
	}
	for _, one := range conditions {
		t, ok := one.(test)
		if !ok || t.size || len(t.at) > 1 || len(t.values) == 0 || t.operator == "IN" {
			return out, refuse("Invalid operator used in KeyConditionExpression")
		}
		switch t.at[0] {
		case hash:
			if t.operator != "=" || out.Hash != nil {
				return out, refuse("Query key condition not supported")
			}
			out.Hash = t.values[0]
		case rangeKey:
			if out.Range != nil {
				return out, refuse("KeyConditionExpressions must only contain one condition per key")
			}
			out.Range = &Bound{one}
		default:
			return out, refuse("Query condition missed key schema element: %s", hash)
		}
	}
	if out.Hash == nil {
		return out, refuse("Query condition missed key schema element: %s", hash)
	}
	return out, nil
}

// From returns the lowest value of the range key for which the condition may hold, nil if there is none. In the order of the range key, the values for
// which it holds follow each other.
func (b *Bound) From() types.AttributeValue {
	t, ok := b.root.(test)
	if !ok || t.operator == "<=" {
		return nil
	}
	return t.values[0]
}

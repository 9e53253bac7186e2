package expression

import "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

// KeyCondition is what of a table or an index a query reads.
type KeyCondition struct {
	Hash  types.AttributeValue
	Range *Bound // nil: all of the hash key's items
}

// Key reads a bound condition as a key condition: the hash key's value, and at most one condition on the range key.
func (b *Bound) Key(hash, rangeKey string) (KeyCondition, error) {
	var out KeyCondition
	conditions := []boundNode{b.root}
	if both, ok := b.root.(boundLogic); ok && !both.or {
		conditions = []boundNode{both.left, both.right}
	}
	for _, one := range conditions {
		name, usable := keyOf(one)
		if !usable {
			return out, refuse("Invalid operator used in KeyConditionExpression")
		}
		switch name {
		case hash:
			c, equal := one.(comparison)
			if !equal || c.operator != "=" || out.Hash != nil {
				return out, refuse("Query key condition not supported")
			}
			out.Hash = c.right.literal()
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

// keyOf is the attribute that a condition is on, if the condition may stand in a key condition.
func keyOf(n boundNode) (string, bool) {
	single := func(o operand) (string, bool) { return o.path.String(), len(o.path) == 1 && !o.size }
	switch n := n.(type) {
	case comparison:
		if n.operator == "<>" || n.right.literal() == nil {
			return "", false
		}
		return single(n.left)
	case between:
		if n.from.literal() == nil || n.to.literal() == nil {
			return "", false
		}
		return single(n.of)
	case function:
		if n.name != "begins_with" || n.arguments[1].literal() == nil {
			return "", false
		}
		return single(n.arguments[0])
	}
	return "", false
}

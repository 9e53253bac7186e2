package expression

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Kind returns a value's type as DynamoDB names it: S, N, B, SS, NS, BS, M, L, BOOL or NULL. It returns "" for anything else.
func Kind(v types.AttributeValue) string {
	switch v.(type) {
	case *types.AttributeValueMemberS:
		return "S"
	case *types.AttributeValueMemberN:
		return "N"
	case *types.AttributeValueMemberB:
		return "B"
	case *types.AttributeValueMemberSS:
		return "SS"
	case *types.AttributeValueMemberNS:
		return "NS"
	case *types.AttributeValueMemberBS:
		return "BS"
	case *types.AttributeValueMemberM:
		return "M"
	case *types.AttributeValueMemberL:
		return "L"
	case *types.AttributeValueMemberBOOL:
		return "BOOL"
	case *types.AttributeValueMemberNULL:
		return "NULL"
	}
	return ""
}

// Check refuses values that no item can hold: empty sets, sets with an element twice, malformed numbers.
func Check(v types.AttributeValue) error {
	switch v := v.(type) {
	case *types.AttributeValueMemberN:
		_, err := Canonical(v.Value)
		return err
	case *types.AttributeValueMemberSS:
		return checkSet("string", slices.Clone(v.Value))
	case *types.AttributeValueMemberNS:
		numbers := make([]string, len(v.Value))
		for i, text := range v.Value {
			n, err := Canonical(text)
			if err != nil {
				return err
			}
			numbers[i] = n
		}
		return checkSet("number", numbers)
	case *types.AttributeValueMemberBS:
		return checkSet("binary", texts(v.Value))
	case *types.AttributeValueMemberM:
		for _, one := range v.Value {
			if err := Check(one); err != nil {
				return err
			}
		}
	case *types.AttributeValueMemberL:
		for _, one := range v.Value {
			if err := Check(one); err != nil {
				return err
			}
		}
	case *types.AttributeValueMemberNULL:
		if !v.Value {
			return refuse("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
	default:
		if Kind(v) == "" {
			return refuse("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
		}
	}
	return nil
}

func checkSet(of string, elements []string) error {
	if len(elements) == 0 {
		return refuse("One or more parameter values were invalid: An %s set  may not be empty", of)
	}
	slices.Sort(elements)
	if len(slices.Compact(elements)) < len(elements) {
		return refuse("One or more parameter values were invalid: Input collection contains duplicates.")
	}
	return nil
}

// Clone returns a deep copy, with numbers in canonical form. It sorts sets in descending order: DynamoDB promises no order, and code that
// relies on an ascending one must fail here.
func Clone(v types.AttributeValue) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return &types.AttributeValueMemberS{Value: v.Value}
	case *types.AttributeValueMemberN:
		return &types.AttributeValueMemberN{Value: canonical(v.Value)}
	case *types.AttributeValueMemberB:
		return &types.AttributeValueMemberB{Value: append([]byte{}, v.Value...)}
	case *types.AttributeValueMemberSS:
		return stringSet(slices.Clone(v.Value))
	case *types.AttributeValueMemberNS:
		numbers := make([]string, len(v.Value))
		for i, n := range v.Value {
			numbers[i] = canonical(n)
		}
		return numberSet(numbers)
	case *types.AttributeValueMemberBS:
		elements := make([][]byte, len(v.Value))
		for i, b := range v.Value {
			elements[i] = slices.Clone(b)
		}
		return binarySet(elements)
	case *types.AttributeValueMemberM:
		return &types.AttributeValueMemberM{Value: CloneItem(v.Value)}
	case *types.AttributeValueMemberL:
		list := make([]types.AttributeValue, len(v.Value))
		for i, one := range v.Value {
			list[i] = Clone(one)
		}
		return &types.AttributeValueMemberL{Value: list}
	case *types.AttributeValueMemberBOOL:
		return &types.AttributeValueMemberBOOL{Value: v.Value}
	case *types.AttributeValueMemberNULL:
		return &types.AttributeValueMemberNULL{Value: v.Value}
	}
	return v
}

// CloneItem returns a deep copy; nil for nil.
func CloneItem(it Item) Item {
	if it == nil {
		return nil
	}
	out := make(Item, len(it))
	for name, v := range it {
		out[name] = Clone(v)
	}
	return out
}

// Copy returns a copy of a stored value that may be changed: its maps and lists are its own. Other values are shared, so they may only be replaced.
func Copy(v types.AttributeValue) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberM:
		return &types.AttributeValueMemberM{Value: CopyItem(v.Value)}
	case *types.AttributeValueMemberL:
		list := make([]types.AttributeValue, len(v.Value))
		for i, one := range v.Value {
			list[i] = Copy(one)
		}
		return &types.AttributeValueMemberL{Value: list}
	}
	return v
}

// CopyItem returns a copy of a stored item that may be changed; nil for nil.
func CopyItem(it Item) Item {
	if it == nil {
		return nil
	}
	out := make(Item, len(it))
	for name, v := range it {
		out[name] = Copy(v)
	}
	return out
}

func texts(elements [][]byte) []string {
	out := make([]string, len(elements))
	for i, b := range elements {
		out[i] = string(b)
	}
	return out
}

func canonical(text string) string {
	n, err := Canonical(text)
	if err != nil {
		return text
	}
	return n
}

func stringSet(elements []string) types.AttributeValue {
	slices.SortFunc(elements, func(a, b string) int { return strings.Compare(b, a) })
	return &types.AttributeValueMemberSS{Value: elements}
}

func numberSet(elements []string) types.AttributeValue {
	slices.SortFunc(elements, func(a, b string) int { return compareNumbers(b, a) })
	return &types.AttributeValueMemberNS{Value: elements}
}

func binarySet(elements [][]byte) types.AttributeValue {
	slices.SortFunc(elements, func(a, b []byte) int { return bytes.Compare(b, a) })
	return &types.AttributeValueMemberBS{Value: elements}
}

// Equal reports whether two values have the same type and value.
func Equal(a, b types.AttributeValue) bool {
	if a == b && a != nil {
		return true
	}
	if kind := Kind(a); kind != Kind(b) || kind == "" {
		return false
	}
	switch a := a.(type) {
	case *types.AttributeValueMemberM:
		b, ok := b.(*types.AttributeValueMemberM)
		return ok && EqualItems(a.Value, b.Value)
	case *types.AttributeValueMemberL:
		b, ok := b.(*types.AttributeValueMemberL)
		return ok && slices.EqualFunc(a.Value, b.Value, Equal)
	case *types.AttributeValueMemberBOOL:
		b, ok := b.(*types.AttributeValueMemberBOOL)
		return ok && a.Value == b.Value
	case *types.AttributeValueMemberNULL:
		return true
	case *types.AttributeValueMemberSS, *types.AttributeValueMemberNS, *types.AttributeValueMemberBS:
		return slices.Equal(elements(a), elements(b))
	}
	order, ok := Compare(a, b)
	return ok && order == 0
}

// elements returns the elements of a set in one form and order.
func elements(set types.AttributeValue) []string {
	switch set := Clone(set).(type) {
	case *types.AttributeValueMemberSS:
		return set.Value
	case *types.AttributeValueMemberNS:
		return set.Value
	case *types.AttributeValueMemberBS:
		return texts(set.Value)
	}
	return nil
}

// EqualItems reports whether two items have the same attributes.
func EqualItems(a, b Item) bool {
	if len(a) != len(b) || (a == nil) != (b == nil) {
		return false
	}
	for name, v := range a {
		w, there := b[name]
		if !there || !Equal(v, w) {
			return false
		}
	}
	return true
}

// Compare orders two strings by their bytes, two numbers, or two binary values. For other types, and for values of two types, ok is false.
func Compare(a, b types.AttributeValue) (order int, ok bool) {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		if b, ok := b.(*types.AttributeValueMemberS); ok {
			return cmp.Compare(a.Value, b.Value), true
		}
	case *types.AttributeValueMemberN:
		if b, ok := b.(*types.AttributeValueMemberN); ok {
			return compareNumbers(a.Value, b.Value), true
		}
	case *types.AttributeValueMemberB:
		if b, ok := b.(*types.AttributeValueMemberB); ok {
			return bytes.Compare(a.Value, b.Value), true
		}
	}
	return 0, false
}

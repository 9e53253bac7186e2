// Package expression reads and applies those expressions of DynamoDB that Drover uses: conditions, key conditions, updates and projections.
//
// It refuses what DynamoDB refuses: reserved words, names and values that are undefined or unused, overlapping paths, operands of the
// wrong type. An [Error] holds the text of a ValidationException. It also refuses what DynamoDB understands and Drover does not use, and
// says so: NOT, <>, <, >=, contains, attribute_type, filters, arithmetic, if_not_exists, list_append, elements of lists.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
package expression

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Item holds the attributes of an item, or the values of placeholders, by name.
type Item = map[string]types.AttributeValue

// Error holds the reason for which an expression is refused.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// unsupported refuses what DynamoDB itself would accept.
func unsupported(what string) error {
	return refuse("%s is not supported by this DynamoDB, as Drover does not use it", what)
}

// Scope holds the placeholders of one request, names (#n) and values (:v), and remembers which of them the expressions use.
type Scope struct {
	names  map[string]string
	values Item

	usedNames, usedValues map[string]bool
}

// NewScope checks the form of the placeholders. A map must be nil or have elements.
func NewScope(names map[string]string, values Item) (*Scope, error) {
	if names != nil && len(names) == 0 {
		return nil, refuse("ExpressionAttributeNames must not be empty")
	}
	if values != nil && len(values) == 0 {
		return nil, refuse("ExpressionAttributeValues must not be empty")
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if len(name) < 2 || name[0] != '#' || !isWord(name[1:]) {
			return nil, refuse("ExpressionAttributeNames contains invalid key: Syntax error; key: %q", name)
		}
		if names[name] == "" {
			return nil, refuse("ExpressionAttributeNames contains invalid value: must not be empty for key %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(name) < 2 || name[0] != ':' || !isWord(name[1:]) {
			return nil, refuse("ExpressionAttributeValues contains invalid key: Syntax error; key: %q", name)
		}
		if err := Check(values[name]); err != nil {
			return nil, refuse("ExpressionAttributeValues contains invalid value: %s for key %s", err, name)
		}
	}
	return &Scope{names: names, values: values, usedNames: map[string]bool{}, usedValues: map[string]bool{}}, nil
}

// Unused refuses placeholders that no expression has used. expressions says whether the request has any expression.
func (s *Scope) Unused(expressions bool) error {
	if !expressions {
		switch {
		case s.names != nil:
			return refuse("ExpressionAttributeNames can only be specified when using expressions")
		case s.values != nil:
			return refuse("ExpressionAttributeValues can only be specified when using expressions")
		}
	}
	if left := unused(s.names, s.usedNames); left != "" {
		return refuse("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", left)
	}
	if left := unused(s.values, s.usedValues); left != "" {
		return refuse("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", left)
	}
	return nil
}

func unused[V any](given map[string]V, used map[string]bool) string {
	var left []string
	for name := range given {
		if !used[name] {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	return strings.Join(left, ", ")
}

func (s *Scope) value(placeholder string) (types.AttributeValue, error) {
	v, defined := s.values[placeholder]
	if !defined {
		return nil, refuse("An expression attribute value used in expression is not defined; attribute value: %s", placeholder)
	}
	s.usedValues[placeholder] = true
	return v, nil
}

func (s *Scope) name(word string) (string, error) {
	if word[0] != '#' {
		return word, nil
	}
	name, defined := s.names[word]
	if !defined {
		return "", refuse("An expression attribute name used in the document path is not defined; attribute name: %s", word)
	}
	s.usedNames[word] = true
	return name, nil
}

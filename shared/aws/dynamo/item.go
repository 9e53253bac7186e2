package dynamo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/segment"
)

// item is an item of a table, with readers for the few types that Drover stores. A missing attribute, or one of another type, reads as the
// zero value.
type item map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num[N int | int64](n N) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(n), 10)}
}
func yes() types.AttributeValue               { return &types.AttributeValueMemberBOOL{Value: true} }
func millis(t time.Time) types.AttributeValue { return num(t.UnixMilli()) }

// nameable reports whether an item can be stored under this name. DynamoDB refuses keys that are empty or longer than 1,024 bytes (sort keys;
// partition keys may have 2,048), in reads too.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
func nameable(name string) bool { return name != "" && len(name) <= 1024 }

func (it item) str(name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func (it item) num(name string) int64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, _ := strconv.ParseInt(v.Value, 10, 64)
		return n
	}
	return 0
}

func (it item) has(name string) bool { _, ok := it[name]; return ok }

func (it item) bool(name string) bool {
	v, ok := it[name].(*types.AttributeValueMemberBOOL)
	return ok && v.Value
}

func (it item) bytes(name string) []byte {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

func (it item) time(name string) time.Time {
	if !it.has(name) {
		return time.Time{}
	}
	return time.UnixMilli(it.num(name)).UTC()
}

func (it item) duration(name string) time.Duration {
	return time.Duration(it.num(name)) * time.Millisecond
}

func (it item) ints(name string) []int {
	var out []int
	if v, ok := it[name].(*types.AttributeValueMemberNS); ok {
		for _, text := range v.Value {
			if n, err := strconv.Atoi(text); err == nil {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (it item) ranges(name string) (segment.Numbers, error) {
	return segment.ParseNumbers(it.str(name))
}

// json reads packed JSON into v.
func (it item) json(name string, v any) error {
	b, err := unpack(it.bytes(name))
	if err != nil || len(b) == 0 {
		return wrapAttribute(name, err)
	}
	return wrapAttribute(name, exact.Decode(b, v))
}

func wrapAttribute(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("attribute %s: %w", name, err)
}

// packed returns a value as JSON, compressed where that makes it smaller.
func packed(v any) (types.AttributeValue, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &types.AttributeValueMemberB{Value: pack(b)}, nil
}

package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/pattern"
)

// MaxMetadata bounds the bytes of a run's metadata.
const MaxMetadata = 200_000

// Own names the member of the metadata of a filter that holds what Drover knows of the run. Metadata with a member of this name is refused.
const Own = "drover"

// Refusal says why a start is refused: the field at fault, with its path, and what is accepted.
type Refusal struct{ Field, Reason string }

func (r *Refusal) Error() string { return r.Field + ": " + r.Reason }

func refuse(field, format string, args ...any) *Refusal {
	return &Refusal{field, fmt.Sprintf(format, args...)}
}

// CheckMetadata checks a run's metadata against the rules of all workflows and the schema of its own (nil: any object). Any error is a
// *Refusal with the path: metadata.lines[1].sku.
func CheckMetadata(metadata, schema json.RawMessage) error {
	if len(metadata) > MaxMetadata {
		return refuse("metadata", "has %d bytes; want at most %d", len(metadata), MaxMetadata)
	}
	var members map[string]json.RawMessage
	if err := exact.Decode(metadata, &members); err != nil || members == nil {
		if wrong := (*exact.Error)(nil); errors.As(err, &wrong) {
			return refuse(pattern.Under("metadata", wrong.Path), "%s", (&exact.Error{Line: wrong.Line, Column: wrong.Column, Reason: wrong.Reason}).Error())
		}
		return refuse("metadata", "is null; want an object")
	}
	if _, taken := members[Own]; taken {
		return refuse("metadata."+Own, "is taken: a filter finds the workflow, activity, stage, uid and run of its plugin there")
	}
	if schema == nil {
		return nil
	}
	compiled, err := compileSchema(schema)
	if err != nil {
		return fmt.Errorf("the workflow's metadata_schema: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(metadata))
	if err != nil {
		return refuse("metadata", "%s", err)
	}
	wrong := compiled.Validate(value)
	if wrong == nil {
		return nil
	}
	if invalid := (*jsonschema.ValidationError)(nil); errors.As(wrong, &invalid) {
		return schemaRefusal(invalid)
	}
	return refuse("metadata", "%s", wrong)
}

// schemaRefusal names the first and deepest place at which metadata differs from its schema.
func schemaRefusal(e *jsonschema.ValidationError) *Refusal {
	deepest := e
	for len(deepest.Causes) > 0 {
		deepest = slices.MaxFunc(deepest.Causes, func(a, b *jsonschema.ValidationError) int {
			return len(a.InstanceLocation) - len(b.InstanceLocation)
		})
	}
	path := "metadata"
	for _, part := range deepest.InstanceLocation {
		if _, err := strconv.Atoi(part); err == nil {
			path += "[" + part + "]"
			continue
		}
		path = document.Join(path, part)
	}
	text := deepest.Error()
	if _, after, found := strings.Cut(text, "': "); found { // "at '/lines/1': …"
		text = after
	}
	return refuse(path, "%s", strings.TrimSpace(text))
}

// compiledSchemas caches compiled schemas by their text: each start of a workflow uses the same one.
var compiledSchemas sync.Map

// compileSchema compiles a JSON Schema, which may refer to itself alone.
func compileSchema(text json.RawMessage) (*jsonschema.Schema, error) {
	if known, ok := compiledSchemas.Load(string(text)); ok {
		return known.(*jsonschema.Schema), nil //nolint:forcetypeassert // nothing else is stored
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource("metadata_schema", value); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the field
	}
	schema, err := compiler.Compile("metadata_schema")
	if err != nil {
		return nil, schemaFault(err)
	}
	compiledSchemas.Store(string(text), schema)
	return schema, nil
}

// schemaFault returns the reason alone, in one line.
func schemaFault(err error) error {
	return errors.New(strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", " ")), " "))
}

// noLoader refuses references to other documents: a definition must mean the same wherever it is read.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %.200s; want references within the schema only", url)
}

// SameMetadata reports whether two metadata are equal, compared deeply: the order of members does not matter, and numbers compare by value.
func SameMetadata(a, b json.RawMessage) bool {
	x, errX := numbered(a)
	y, errY := numbered(b)
	return errX == nil && errY == nil && sameValue(x, y)
}

func numbered(text json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	err := decoder.Decode(&v)
	return v, err //nolint:wrapcheck // only whether it fails is used
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, x := range a {
			if y, has := b[name]; !has || !sameValue(x, y) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(string(a), string(b))
	}
	return a == b
}

// longestExponent bounds the work of an exact comparison; beyond it numbers compare as written.
const longestExponent = 400

func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, y := rational(a), rational(b)
	return x != nil && y != nil && x.Cmp(y) == 0
}

func rational(text string) *big.Rat {
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		if exponent, err := strconv.Atoi(text[at+1:]); err != nil || exponent > longestExponent || exponent < -longestExponent {
			return nil
		}
	}
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil
	}
	return value
}

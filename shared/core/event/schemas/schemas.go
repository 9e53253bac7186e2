// Package schemas has the JSON Schemas (draft 2020-12) of what passes over Drover's bus: one file for the detail of each detail-type.
// Applications may validate what they send, and what they rely on, with the same files.
package schemas

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed *.json
var files embed.FS

// compiled returns the schemas by detail-type.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("listing the schemas, %w", err)
	}
	compiler := jsonschema.NewCompiler()
	out := map[string]*jsonschema.Schema{}
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading schema %s, %w", entry.Name(), err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("reading schema %s, %w", entry.Name(), err)
		}
		if err := compiler.AddResource(entry.Name(), schema); err != nil {
			return nil, fmt.Errorf("adding schema %s, %w", entry.Name(), err)
		}
		if out[strings.TrimSuffix(entry.Name(), ".json")], err = compiler.Compile(entry.Name()); err != nil {
			return nil, fmt.Errorf("compiling schema %s, %w", entry.Name(), err)
		}
	}
	return out, nil
})

// Validate returns how an event's detail differs from the schema of its detail-type. A type without a schema is an error too.
func Validate(detailType string, detail []byte) error {
	known, err := compiled()
	if err != nil {
		return err
	}
	schema, found := known[detailType]
	if !found {
		return fmt.Errorf("there is no schema for %s", detailType)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(detail))
	if err != nil {
		return fmt.Errorf("%s is not JSON: %w", detailType, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s does not match its schema: %w", detailType, err)
	}
	return nil
}

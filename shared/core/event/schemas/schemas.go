// Package schemas has the JSON Schemas (draft 2020-12) of the events on Drover's bus: one file for the detail of each detail-type. Applications may
// validate the events that they send and receive with the same files.
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

// compiled returns the compiled schemas by detail-type.
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

// Validate returns an error if an event's detail does not match the schema of its detail-type, or if the type has no schema.
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

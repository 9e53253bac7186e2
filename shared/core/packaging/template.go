// Package packaging prepares a CloudFormation template for deployment: it finds the code that the template names by local paths, makes zips of it, and
// writes their places in a bucket into the template. The same template and code give the same text and zips, so a deployment without changes does
// nothing.
package packaging

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// NotStamped is in the place of a template's version until With replaces it.
const NotStamped = "not-stamped"

// VersionFile names the file of a release archive with the version of the template that its functions are for.
const VersionFile = "functions/VERSION"

// Template holds a CloudFormation template in YAML. The zero value is none; Read returns one.
type Template struct {
	text       []byte
	references []reference // from the last one of a line to its first: a replacement moves what is after it
	parameters map[string]string
	outputs    map[string]*yaml.Node
}

// reference holds a local path in the text of a template.
type reference struct {
	path         string
	line, column int  // from 1, in letters
	mapping      bool // the place is written as {Bucket, Key}, not as s3://BUCKET/KEY
}

// packaged lists the properties that may name a local path, by the type of their resource.
// https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
// https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-statemachine.html
var packaged = map[string]struct {
	property string
	mapping  bool
}{
	"AWS::Serverless::Function":     {"CodeUri", false},
	"AWS::Serverless::StateMachine": {"DefinitionUri", true},
}

// Read reads a template. The error names the line at fault.
func Read(text []byte) (Template, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return Template{}, fmt.Errorf("the template cannot be read: %w", err)
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return Template{}, errors.New("the template is not a mapping in YAML")
	}
	top := document.Content[0]
	t := Template{text: text, parameters: map[string]string{}, outputs: fields(field(top, "Outputs"))}
	for name, parameter := range fields(field(top, "Parameters")) {
		t.parameters[name] = scalar(field(parameter, "Default"))
	}
	resources := fields(field(top, "Resources"))
	if len(resources) == 0 {
		return Template{}, errors.New("the template has no Resources")
	}
	for _, resource := range resources {
		place, known := packaged[scalar(field(resource, "Type"))]
		if !known {
			continue
		}
		value := field(field(resource, "Properties"), place.property)
		if value == nil || value.Kind != yaml.ScalarNode || value.Tag != "!!str" || strings.HasPrefix(value.Value, "s3://") {
			continue
		}
		r := reference{value.Value, value.Line, value.Column, place.mapping}
		if !strings.HasPrefix(t.after(r), value.Value) {
			return Template{}, fmt.Errorf("line %d: %s %q has to be written without quotes, on one line", value.Line, place.property, value.Value)
		}
		t.references = append(t.references, r)
	}
	slices.SortFunc(t.references, func(a, b reference) int { return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(b.column, a.column)) })
	return t, nil
}

// after returns the rest of the line from a reference on.
func (t Template) after(r reference) string {
	line := []rune(string(bytes.Split(t.text, []byte("\n"))[r.line-1]))
	return string(line[min(r.column-1, len(line)):])
}

// Paths returns the local paths that the template names, each once, in order.
func (t Template) Paths() []string {
	var paths []string
	for _, r := range t.references {
		paths = append(paths, r.path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Parameters returns the template's parameters with their defaults, "" for those without one.
func (t Template) Parameters() map[string]string { return t.parameters }

// HasOutput reports whether the template has an output of this name.
func (t Template) HasOutput(name string) bool {
	_, has := t.outputs[name]
	return has
}

// Version returns the version of the template: the begin of the hash of its text.
func (t Template) Version() string { return Version(t.text) }

// Version returns the version of a template's text.
func Version(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// With returns the text with the objects of a bucket in place of the local paths, and with the template's version. keys has an object's key for each of
// the template's Paths.
func (t Template) With(bucket string, keys map[string]string) []byte {
	lines := strings.Split(string(t.text), "\n")
	for _, r := range t.references {
		place := fmt.Sprintf("s3://%s/%s", bucket, keys[r.path])
		if r.mapping {
			place = fmt.Sprintf("{Bucket: %q, Key: %q}", bucket, keys[r.path])
		}
		line := []rune(lines[r.line-1])
		before, after := string(line[:r.column-1]), string(line[r.column-1:])
		lines[r.line-1] = before + place + strings.TrimPrefix(after, r.path)
	}
	return []byte(strings.ReplaceAll(strings.Join(lines, "\n"), NotStamped, t.Version()))
}

// field returns a value of a mapping, or nil.
func field(mapping *yaml.Node, name string) *yaml.Node { return fields(mapping)[name] }

// fields returns the values of a mapping by name; none of anything else.
func fields(mapping *yaml.Node) map[string]*yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		out[mapping.Content[i].Value] = mapping.Content[i+1]
	}
	return out
}

// scalar returns the text of a plain value; "" for anything else.
func scalar(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}

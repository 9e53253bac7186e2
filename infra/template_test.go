package infra_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// object is a mapping of the template, with functions in their long forms: !Ref x is {"Ref": x}, !GetAtt a.b is {"Fn::GetAtt": [a, b]}, !Sub is
// {"Fn::Sub": …}, and so on.
type object = map[string]any

// stack holds the parsed template.
type stack struct {
	whole      object
	parameters map[string]object
	conditions object
	resources  map[string]object
	outputs    map[string]object
}

func read(t *testing.T) stack {
	t.Helper()
	text, err := os.ReadFile("template.yaml")
	require.NoError(t, err)
	whole, err := parse(text)
	require.NoError(t, err)
	return stack{
		whole: whole, conditions: at[object](whole, "Conditions"),
		parameters: objects(whole["Parameters"]), resources: objects(whole["Resources"]), outputs: objects(whole["Outputs"]),
	}
}

func parse(text []byte) (object, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	value, err := valueOf(document.Content[0])
	if err != nil {
		return nil, err
	}
	return value.(object), nil
}

func valueOf(node *yaml.Node) (any, error) {
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return nil, fmt.Errorf("line %d: CloudFormation knows no anchors", node.Line)
	}
	value, err := plainValueOf(node)
	if err != nil || !strings.HasPrefix(node.Tag, "!") || strings.HasPrefix(node.Tag, "!!") {
		return value, err
	}
	switch name := strings.TrimPrefix(node.Tag, "!"); name {
	case "Ref", "Condition":
		return object{name: value}, nil
	case "GetAtt":
		resource, attribute, _ := strings.Cut(value.(string), ".")
		return object{"Fn::GetAtt": []any{resource, attribute}}, nil
	default:
		return object{"Fn::" + name: value}, nil
	}
}

func plainValueOf(node *yaml.Node) (any, error) {
	switch node.Kind {
	case yaml.MappingNode:
		found := object{}
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i].Value
			if _, twice := found[key]; twice {
				return nil, fmt.Errorf("line %d: %s occurs twice in one mapping", node.Content[i].Line, key)
			}
			value, err := valueOf(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			found[key] = value
		}
		return found, nil
	case yaml.SequenceNode:
		found := make([]any, len(node.Content))
		for i, item := range node.Content {
			value, err := valueOf(item)
			if err != nil {
				return nil, err
			}
			found[i] = value
		}
		return found, nil
	default:
		if strings.HasPrefix(node.Tag, "!") && !strings.HasPrefix(node.Tag, "!!") {
			return node.Value, nil
		}
		var value any
		err := node.Decode(&value)
		return value, err
	}
}

// of returns the properties of the resources of these types, by their logical ids.
func (s stack) of(types ...string) map[string]object {
	found := map[string]object{}
	for id, resource := range s.resources {
		if slices.Contains(types, at[string](resource, "Type")) {
			found[id] = at[object](resource, "Properties")
		}
	}
	return found
}

// at returns the value below a path of keys, or the zero value of its type.
func at[T any](value any, path ...string) T {
	for _, key := range path {
		mapping, _ := value.(object)
		value = mapping[key]
	}
	found, _ := value.(T)
	return found
}

func objects(value any) map[string]object {
	found := map[string]object{}
	mapping, _ := value.(object)
	for key, v := range mapping {
		found[key], _ = v.(object)
	}
	return found
}

// list returns a value as a list: the template may write a single value without one.
func list(value any) []any {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		return []any{value}
	}
}

func ref(id string) object { return object{"Ref": id} }

func getAtt(id, attribute string) object { return object{"Fn::GetAtt": []any{id, attribute}} }

var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9:.]+)\}`)

// mentioned returns the logical ids, parameters and pseudo parameters that a value refers to, sorted.
func mentioned(value any) []string {
	found := map[string]bool{}
	var look func(value any)
	look = func(value any) {
		switch value := value.(type) {
		case object:
			for key, v := range value {
				switch key {
				case "Ref":
					found[fmt.Sprint(v)] = true
				case "Fn::GetAtt":
					found[fmt.Sprint(list(v)[0])] = true
				case "Fn::Sub":
					for _, name := range placeholder.FindAllStringSubmatch(fmt.Sprint(list(v)[0]), -1) {
						found[strings.Split(name[1], ".")[0]] = true
					}
				}
				look(v)
			}
		case []any:
			for _, v := range value {
				look(v)
			}
		}
	}
	look(value)
	return keys(found)
}

func keys[V any](m map[string]V) []string {
	found := make([]string, 0, len(m))
	for key := range m {
		found = append(found, key)
	}
	sort.Strings(found)
	return found
}

func TestEveryReferenceOfTheTemplateExists(t *testing.T) {
	s := read(t)
	for _, name := range mentioned(s.whole) {
		if strings.HasPrefix(name, "AWS::") {
			continue
		}
		require.True(t, s.resources[name] != nil || s.parameters[name] != nil, "%s is neither a resource nor a parameter", name)
	}
	for id, resource := range s.resources {
		if condition := at[string](resource, "Condition"); condition != "" {
			require.Contains(t, s.conditions, condition, id)
		}
	}
}

// A resource under a condition may be missing, and a reference to it from what exists without it would break the stack.
func TestNothingRefersToAResourceThatMayBeMissing(t *testing.T) {
	s := read(t)
	optional := map[string]string{}
	for id, resource := range s.resources {
		if condition := at[string](resource, "Condition"); condition != "" {
			optional[id] = condition
		}
	}
	require.NotEmpty(t, optional)
	for _, section := range []string{"Resources", "Outputs", "Globals"} {
		for id, part := range at[object](s.whole, section) {
			for _, name := range unsafe(part, optional, []string{at[string](part, "Condition")}) {
				require.Fail(t, "the reference may have no target", "%s refers to %s, which exists only if %s", id, name, optional[name])
			}
		}
	}
}

// unsafe returns the optional resources that a part of the template mentions where their condition need not hold. given holds the conditions
// under which the part exists.
func unsafe(part any, optional map[string]string, given []string) (out []string) {
	always := cutChoices(part, func(condition string, then, otherwise any) {
		out = append(out, unsafe(then, optional, append(slices.Clone(given), condition))...)
		out = append(out, unsafe(otherwise, optional, given)...)
	})
	for _, name := range mentioned(always) {
		if optional[name] != "" && !slices.Contains(given, optional[name]) {
			out = append(out, name)
		}
	}
	return out
}

// cutChoices returns a part of the template without each Fn::If in it, and visits these.
func cutChoices(part any, visit func(condition string, then, otherwise any)) any {
	switch part := part.(type) {
	case object:
		if choice, is := part["Fn::If"].([]any); is {
			visit(choice[0].(string), choice[1], choice[2])
			return nil
		}
		out := object{}
		for name, v := range part {
			out[name] = cutChoices(v, visit)
		}
		return out
	case []any:
		out := make([]any, len(part))
		for i, v := range part {
			out[i] = cutChoices(v, visit)
		}
		return out
	}
	return part
}

func TestAReferenceIsSafeOnlyUnderItsOwnCondition(t *testing.T) {
	optional := map[string]string{"Table": "HasTable"}
	choice := func(condition string) object {
		return object{"Fn::If": []any{condition, object{"Ref": "Table"}, "none"}}
	}
	require.Empty(t, unsafe(object{"Name": choice("HasTable")}, optional, nil))
	require.Empty(t, unsafe(object{"Fn::GetAtt": []any{"Table", "Arn"}}, optional, []string{"HasTable"}))
	require.Equal(t, []string{"Table"}, unsafe([]any{choice("Other")}, optional, nil))
	require.Equal(t, []string{"Table"}, unsafe(object{"Fn::If": []any{"HasTable", "none", object{"Ref": "Table"}}}, optional, nil))
	require.Equal(t, []string{"Table"}, unsafe(object{"Fn::Sub": "${Table.Arn}"}, optional, nil))
}

func TestADuplicateKeyIsRefused(t *testing.T) {
	_, err := parse([]byte("Resources:\n  A: {Type: x}\n  A: {Type: y}\n"))
	require.EqualError(t, err, "line 3: A occurs twice in one mapping")
}

func TestEveryParameterIsDescribedGroupedAndUsed(t *testing.T) {
	s := read(t)
	labels := at[object](s.whole, "Metadata", "AWS::CloudFormation::Interface", "ParameterLabels")
	var grouped []string
	for _, group := range at[[]any](s.whole, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups") {
		for _, name := range at[[]any](group, "Parameters") {
			grouped = append(grouped, name.(string))
		}
	}
	slices.Sort(grouped)
	require.Equal(t, keys(s.parameters), grouped, "each parameter is in one group")

	used := mentioned(s.whole)
	for name, parameter := range s.parameters {
		require.NotEmpty(t, at[string](parameter, "Description"), name)
		require.Contains(t, parameter, "Default", "%s: a first deployment needs no parameters", name)
		require.NotEmpty(t, at[string](labels, name, "default"), name)
		require.Contains(t, used, name)
	}
}

package statemachines_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// object is a JSON object of a definition.
type object = map[string]any

// scope holds states that may lead to each other: a machine's own, or those inside a Map or a branch of a Parallel.
type scope struct {
	where  string
	start  string
	states map[string]object
}

func definitionFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.asl.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func read(t *testing.T, file string) object {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	definition, err := parse(text)
	require.NoError(t, err, file)
	return definition
}

// parse refuses an object with a duplicate key, of which encoding/json would silently use the last.
func parse(text []byte) (object, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := parseValue(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("there is text after the definition")
	}
	definition, ok := value.(object)
	if !ok {
		return nil, fmt.Errorf("the definition is a %T; want an object", value)
	}
	return definition, nil
}

func parseValue(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return parseObject(decoder)
	case json.Delim('['):
		return parseArray(decoder)
	default:
		return token, nil
	}
}

func parseObject(decoder *json.Decoder) (object, error) {
	found := object{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		key := token.(string)
		if _, twice := found[key]; twice {
			return nil, fmt.Errorf("key %q occurs twice in one object", key)
		}
		if found[key], err = parseValue(decoder); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return found, err
}

func parseArray(decoder *json.Decoder) ([]any, error) {
	found := []any{}
	for decoder.More() {
		value, err := parseValue(decoder)
		if err != nil {
			return nil, err
		}
		found = append(found, value)
	}
	_, err := decoder.Token()
	return found, err
}

// scopes returns the machine's own states first, then the states nested in them.
func scopes(where string, machine object) []scope {
	own := scope{where: where, states: map[string]object{}}
	own.start, _ = machine["StartAt"].(string)
	states, _ := machine["States"].(object)
	for name, state := range states {
		own.states[name], _ = state.(object)
	}
	all := []scope{own}
	for _, name := range sortedKeys(own.states) {
		state := own.states[name]
		if inner, ok := state["ItemProcessor"].(object); ok {
			all = append(all, scopes(where+name+".", inner)...)
		}
		branches, _ := state["Branches"].([]any)
		for i, branch := range branches {
			inner, _ := branch.(object)
			all = append(all, scopes(fmt.Sprintf("%s%s[%d].", where, name, i), inner)...)
		}
	}
	return all
}

// allStates returns every state of a machine by its name.
func allStates(machine object) map[string]object {
	all := map[string]object{}
	for _, s := range scopes("", machine) {
		maps.Copy(all, s.states)
	}
	return all
}

// ways returns the states that a state may lead to, each with the reason, in the order of the definition.
func ways(state object) []way {
	var found []way
	choices, _ := state["Choices"].([]any)
	for _, c := range choices {
		choice, _ := c.(object)
		found = append(found, way{"when " + condition(choice), text(choice["Next"])})
	}
	if next, ok := state["Default"]; ok {
		found = append(found, way{"else", text(next)})
	}
	if next, ok := state["Next"]; ok {
		found = append(found, way{"then", text(next)})
	}
	catchers, _ := state["Catch"].([]any)
	for _, c := range catchers {
		catcher, _ := c.(object)
		found = append(found, way{"on " + strings.Join(texts(catcher["ErrorEquals"]), ", "), text(catcher["Next"])})
	}
	return found
}

type way struct{ why, to string }

// condition describes the condition of a Choice, without its checks that a value is present.
func condition(choice object) string {
	if parts, ok := choice["And"].([]any); ok {
		var said []string
		for _, p := range parts {
			part, _ := p.(object)
			if _, presence := part["IsPresent"]; !presence {
				said = append(said, condition(part))
			}
		}
		return strings.Join(said, " and ")
	}
	for _, key := range sortedKeys(choice) {
		if key != "Variable" && key != "Next" && key != "Comment" {
			return fmt.Sprintf("%s %s %v", choice["Variable"], key, choice[key])
		}
	}
	return "nothing"
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func texts(value any) []string {
	list, _ := value.([]any)
	var found []string
	for _, v := range list {
		found = append(found, text(v))
	}
	return found
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

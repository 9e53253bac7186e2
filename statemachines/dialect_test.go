package statemachines_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The dialect consists of the features that AWS and a local AWS (MiniStack 1.5.33) were observed to treat alike. Each other feature is refused by
// one of them or, worse, silently ignored.
var (
	fieldsOf = map[string][]string{
		"Task":     {"Resource", "Parameters", "InputPath", "ResultSelector", "ResultPath", "OutputPath", "TimeoutSeconds", "Retry", "Catch", "Next", "End"},
		"Pass":     {"Parameters", "Result", "InputPath", "ResultPath", "OutputPath", "Next", "End"},
		"Wait":     {"Seconds", "SecondsPath", "Timestamp", "TimestampPath", "InputPath", "OutputPath", "Next", "End"},
		"Choice":   {"Choices", "Default", "InputPath", "OutputPath"},
		"Succeed":  {"InputPath", "OutputPath"},
		"Fail":     {"Error", "Cause", "ErrorPath", "CausePath"},
		"Map":      {"ItemsPath", "ItemSelector", "ItemProcessor", "MaxConcurrency", "InputPath", "ResultSelector", "ResultPath", "OutputPath", "Retry", "Catch", "Next", "End"},
		"Parallel": {"Branches", "Parameters", "InputPath", "ResultSelector", "ResultPath", "OutputPath", "Retry", "Catch", "Next", "End"},
	}
	machineFields   = []string{"Comment", "StartAt", "States", "TimeoutSeconds", "Version"}
	processorFields = []string{"Comment", "ProcessorConfig", "StartAt", "States"}
	retrierFields   = []string{"ErrorEquals", "IntervalSeconds", "BackoffRate", "MaxAttempts", "MaxDelaySeconds", "JitterStrategy"}
	catcherFields   = []string{"Comment", "ErrorEquals", "ResultPath", "Next"}

	// Timestamps and ordered strings are compared only with literals: their …Path forms are always false on the local AWS. The two differ
	// on null in IsNull and in the IsType family.
	comparisons = []string{
		"IsPresent", "BooleanEquals", "StringEquals", "StringEqualsPath", "StringMatches",
		"StringLessThan", "StringLessThanEquals", "StringGreaterThan", "StringGreaterThanEquals",
		"NumericEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"NumericEqualsPath", "NumericLessThanPath", "NumericLessThanEqualsPath", "NumericGreaterThanPath", "NumericGreaterThanEqualsPath",
		"TimestampEquals", "TimestampLessThan", "TimestampLessThanEquals", "TimestampGreaterThan", "TimestampGreaterThanEquals",
	}
	intrinsics = []string{
		"Array", "ArrayLength", "ArrayGetItem", "ArrayPartition", "ArrayContains", "Format", "JsonToString", "StringToJson", "JsonMerge",
		"MathAdd", "MathRandom", "Hash", "UUID",
	}
	// A function by its ARN, whose answer becomes the result unchanged, and services that answer alike on both.
	resources = regexp.MustCompile(`^(\$\{[A-Za-z]+FunctionArn\}|arn:\$\{Partition\}:states:::(events:putEvents|sqs:sendMessage(\.waitForTaskToken)?|states:startExecution|dynamodb:(get|put|update|delete)Item))$`)

	pathFields     = []string{"InputPath", "OutputPath", "ResultPath", "ItemsPath", "SecondsPath", "TimestampPath", "ErrorPath", "CausePath", "Variable"}
	referencePath  = regexp.MustCompile(`^\$(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	wildcardPath   = regexp.MustCompile(`^\$(\[\*\]|\.[A-Za-z_][A-Za-z0-9_]*)*$`) // in a ResultSelector: a flat list on both
	contextPath    = regexp.MustCompile(`^\$\$\.(Execution\.(Id|Name|Input|StartTime|RoleArn)|Map\.Item\.(Index|Value)|State\.RetryCount|Task\.Token)(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	intrinsic      = regexp.MustCompile(`States\.([A-Za-z0-9]+)\(`)
	pathInFunction = regexp.MustCompile(`\$[^\s,()']*`)
	quoted         = regexp.MustCompile(`'(\\.|[^'\\])*'`)
)

// dialect collects the features of a definition that are not in the dialect.
type dialect struct{ found []string }

func (d *dialect) refuse(where, format string, args ...any) {
	d.found = append(d.found, where+": "+fmt.Sprintf(format, args...))
}

func refusals(machine object) []string {
	d := &dialect{}
	d.fields("machine", machine, machineFields)
	d.seconds("machine", machine["TimeoutSeconds"])
	seen := map[string]bool{}
	for _, s := range scopes("", machine) {
		d.scope(s)
		for _, name := range sortedKeys(s.states) {
			if seen[name] {
				d.refuse(s.where+name, "there are two states with this name")
			}
			seen[name] = true
			d.state(s.where+name, name, s.states[name])
		}
	}
	d.nulls("machine", machine)
	slices.Sort(d.found)
	return d.found
}

func (d *dialect) fields(where string, found object, known []string) {
	for _, key := range sortedKeys(found) {
		if !slices.Contains(known, key) {
			d.refuse(where, "%s is not in the dialect", key)
		}
	}
}

// seconds accepts only a literal: the local AWS ignores TimeoutSecondsPath.
func (d *dialect) seconds(where string, value any) {
	number, ok := value.(json.Number)
	if n, err := number.Int64(); !ok || err != nil || n < 1 {
		d.refuse(where, "TimeoutSeconds is %v; want a whole number above 0", value)
	}
}

func (d *dialect) scope(s scope) {
	reached := map[string]bool{}
	var reach func(from, name string)
	reach = func(from, name string) {
		if s.states[name] == nil {
			d.refuse(s.where+from, "leads to %q; want a state of the same scope", name)
			return
		}
		if reached[name] {
			return
		}
		reached[name] = true
		for _, w := range ways(s.states[name]) {
			reach(name, w.to)
		}
	}
	reach("StartAt", s.start)
	for _, name := range sortedKeys(s.states) {
		if !reached[name] {
			d.refuse(s.where+name, "cannot be reached")
		}
	}
}

func (d *dialect) state(where, name string, state object) {
	kind := text(state["Type"])
	known, ok := fieldsOf[kind]
	if !ok {
		d.refuse(where, "type %q is not in the dialect", kind)
		return
	}
	d.fields(where, state, append([]string{"Type", "Comment"}, known...))
	if len(name) > 80 {
		d.refuse(where, "the name has more than 80 characters")
	}
	d.end(where, kind, state)
	switch kind {
	case "Task":
		if !resources.MatchString(text(state["Resource"])) {
			d.refuse(where, "resource %q is not in the dialect", text(state["Resource"]))
		}
		d.seconds(where, state["TimeoutSeconds"])
	case "Wait":
		d.wait(where, state)
	case "Choice":
		d.choices(where, state)
	case "Map":
		d.processor(where, state)
	}
	d.retries(where, state)
	d.catches(where, state)
	d.paths(where, state)
	for _, template := range []string{"Parameters", "ResultSelector", "ItemSelector"} {
		if value, ok := state[template]; ok {
			d.template(where+"."+template, value, template == "ResultSelector")
		}
	}
}

func (d *dialect) end(where, kind string, state object) {
	_, next := state["Next"]
	end := state["End"] == true
	switch kind {
	case "Choice", "Succeed", "Fail":
	default:
		if next == end {
			d.refuse(where, "want either Next or End: true")
		}
	}
}

func (d *dialect) wait(where string, state object) {
	forms := 0
	for _, form := range []string{"Seconds", "SecondsPath", "Timestamp", "TimestampPath"} {
		if _, ok := state[form]; ok {
			forms++
		}
	}
	if forms != 1 {
		d.refuse(where, "waits for %d things; want one", forms)
	}
}

func (d *dialect) choices(where string, state object) {
	choices, _ := state["Choices"].([]any)
	if len(choices) == 0 {
		d.refuse(where, "has no choices")
	}
	if text(state["Default"]) == "" {
		d.refuse(where, "has no Default: States.NoChoiceMatched cannot be caught")
	}
	for i, c := range choices {
		choice, _ := c.(object)
		d.rule(fmt.Sprintf("%s[%d]", where, i), choice, true, nil)
	}
}

// rule accepts a comparison only of a value that is known to be present. A path that leads nowhere is false on the local AWS, and on AWS an error
// that no Catch handles.
func (d *dialect) rule(where string, rule object, top bool, present []string) {
	for _, key := range sortedKeys(rule) {
		switch key {
		case "Comment":
		case "Next":
			if !top {
				d.refuse(where, "Next is inside a rule")
			}
		case "And", "Or":
			parts, _ := rule[key].([]any)
			known := slices.Clone(present)
			for _, p := range parts {
				part, _ := p.(object)
				d.rule(where, part, false, known)
				if key == "And" && part["IsPresent"] == true {
					known = append(known, text(part["Variable"]))
				}
			}
		case "Not":
			part, _ := rule[key].(object)
			d.rule(where, part, false, present)
		case "Variable":
			d.reference(where, text(rule[key]))
		case "IsPresent":
		default:
			if !slices.Contains(comparisons, key) {
				d.refuse(where, "%s is not in the dialect", key)
			} else if !slices.Contains(present, text(rule["Variable"])) {
				d.refuse(where, "%v is compared before it is known to be present", rule["Variable"])
			}
		}
	}
	if top && text(rule["Next"]) == "" {
		d.refuse(where, "has no Next")
	}
}

func (d *dialect) processor(where string, state object) {
	processor, _ := state["ItemProcessor"].(object)
	d.fields(where, processor, processorFields)
	config, _ := processor["ProcessorConfig"].(object)
	if text(config["Mode"]) != "INLINE" || len(config) != 1 {
		d.refuse(where, "ProcessorConfig has to be {Mode: INLINE}: the local AWS ignores batches and result writers")
	}
	if _, err := number(state["MaxConcurrency"]).Int64(); err != nil {
		d.refuse(where, "MaxConcurrency has to be a whole number")
	}
}

func number(value any) json.Number {
	n, _ := value.(json.Number)
	return n
}

func (d *dialect) retries(where string, state object) {
	retriers, _ := state["Retry"].([]any)
	for i, r := range retriers {
		retrier, _ := r.(object)
		d.fields(fmt.Sprintf("%s.Retry[%d]", where, i), retrier, retrierFields)
		d.errorNames(where, retrier, i == len(retriers)-1)
	}
}

func (d *dialect) catches(where string, state object) {
	catchers, _ := state["Catch"].([]any)
	for i, c := range catchers {
		catcher, _ := c.(object)
		d.fields(fmt.Sprintf("%s.Catch[%d]", where, i), catcher, catcherFields)
		d.errorNames(where, catcher, i == len(catchers)-1)
		d.reference(where, text(catcher["ResultPath"]))
	}
}

func (d *dialect) errorNames(where string, handler object, last bool) {
	names := texts(handler["ErrorEquals"])
	if len(names) == 0 {
		d.refuse(where, "ErrorEquals is empty")
	}
	if slices.Contains(names, "States.ALL") && (len(names) > 1 || !last) {
		d.refuse(where, "States.ALL has to stand alone and last")
	}
}

func (d *dialect) paths(where string, state object) {
	for _, field := range pathFields {
		if path, ok := state[field]; ok {
			d.reference(where+"."+field, text(path))
		}
	}
}

func (d *dialect) reference(where, path string) {
	if !referencePath.MatchString(path) {
		d.refuse(where, "%q is not a plain path like $.a.b", path)
	}
}

// template checks Parameters and the like: paths are only under keys that end in .$, and both evaluate each of them.
func (d *dialect) template(where string, value any, ofResult bool) {
	switch value := value.(type) {
	case object:
		for _, key := range sortedKeys(value) {
			at := where + "." + key
			if strings.HasSuffix(key, ".$") {
				d.expression(at, text(value[key]), ofResult)
				continue
			}
			d.template(at, value[key], ofResult)
		}
	case []any:
		for i, v := range value {
			d.template(fmt.Sprintf("%s[%d]", where, i), v, ofResult)
		}
	case string:
		if strings.HasPrefix(value, "$.") || strings.HasPrefix(value, "$$.") || strings.HasPrefix(value, "States.") {
			d.refuse(where, "%q stays a text: its key has to end in .$", value)
		}
	}
}

func (d *dialect) expression(where, expression string, ofResult bool) {
	paths := []string{expression}
	if strings.HasPrefix(expression, "States.") {
		bare := quoted.ReplaceAllString(expression, "''")
		for _, name := range intrinsic.FindAllStringSubmatch(bare, -1) {
			if !slices.Contains(intrinsics, name[1]) {
				d.refuse(where, "States.%s is not in the dialect", name[1])
			}
		}
		paths = pathInFunction.FindAllString(bare, -1)
	}
	for _, path := range paths {
		switch {
		case referencePath.MatchString(path):
		case ofResult && wildcardPath.MatchString(path):
		case ofResult && strings.HasPrefix(path, "$$"):
			d.refuse(where, "%q: the context object cannot be read in a ResultSelector", path)
		case contextPath.MatchString(path):
		default:
			d.refuse(where, "%q is neither a plain path nor one into the context object", path)
		}
	}
}

// nulls refuses null everywhere: for IsPresent it is absent on the local AWS and present on AWS. A ResultPath of null is not used either.
func (d *dialect) nulls(where string, value any) {
	switch value := value.(type) {
	case nil:
		d.refuse(where, "is null")
	case object:
		for _, key := range sortedKeys(value) {
			d.nulls(where+"."+key, value[key])
		}
	case []any:
		for i, v := range value {
			d.nulls(fmt.Sprintf("%s[%d]", where, i), v)
		}
	}
}

func TestEveryDefinitionIsWrittenInTheDialect(t *testing.T) {
	for _, file := range definitionFiles(t) {
		t.Run(file, func(t *testing.T) {
			require.Empty(t, refusals(read(t, file)))
		})
	}
}

func TestTheDialectRefuses(t *testing.T) {
	const sound = `{
		"TimeoutSeconds": 60, "StartAt": "Ask",
		"States": {
			"Ask": {"Type": "Task", "Resource": "${OrchestratorFunctionArn}", "Parameters": {"id.$": "$$.Execution.Id"}, "ResultPath": "$.asked", "TimeoutSeconds": 5,
				"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failed", "Next": "Show"}], "Next": "Many"},
			"Many": {"Type": "Choice", "Choices": [{"And": [{"Variable": "$.asked.n", "IsPresent": true}, {"Variable": "$.asked.n", "NumericGreaterThan": 1}], "Next": "Each"}], "Default": "Show"},
			"Each": {"Type": "Map", "ItemsPath": "$.asked.items", "MaxConcurrency": 2, "ItemSelector": {"of.$": "$$.Map.Item.Value.name"}, "End": true,
				"ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Nap", "States": {"Nap": {"Type": "Wait", "Seconds": 1, "End": true}}}},
			"Show": {"Type": "Pass", "End": true}
		}}`
	machine, err := parse([]byte(sound))
	require.NoError(t, err)
	require.Empty(t, refusals(machine), "the definition is sound before the cases below break it")

	for _, c := range []struct{ name, from, to, want string }{
		{"a machine without a timeout", `"TimeoutSeconds": 60, `, ``, "machine: TimeoutSeconds"},
		{"a task's timeout that is not a literal", `"TimeoutSeconds": 5`, `"TimeoutSecondsPath": "$.t"`, "TimeoutSecondsPath is not in the dialect"},
		{"a heartbeat, which nothing watches", `"TimeoutSeconds": 5`, `"TimeoutSeconds": 5, "HeartbeatSeconds": 2`, "HeartbeatSeconds"},
		{"JSONata", `"StartAt": "Ask"`, `"QueryLanguage": "JSONata", "StartAt": "Ask"`, "QueryLanguage"},
		{"an unknown type", `"Type": "Pass"`, `"Type": "Activity"`, `type "Activity"`},
		{"a resource that answers differently", `"${OrchestratorFunctionArn}"`, `"arn:${Partition}:states:::lambda:invoke"`, "lambda:invoke"},
		{"a transition to nowhere", `"Default": "Show"`, `"Default": "Shwo"`, `leads to "Shwo"`},
		{"a transition out of a Map", `"Seconds": 1, "End": true`, `"Seconds": 1, "Next": "Show"`, `leads to "Show"`},
		{"a state that nothing leads to", `"Show": {`, `"Lost": {"Type": "Succeed"}, "Show": {`, "Lost: cannot be reached"},
		{"two states with one name", `"Nap"`, `"Show"`, "two states with this name"},
		{"no end", `"Show": {"Type": "Pass", "End": true}`, `"Show": {"Type": "Pass"}`, "either Next or End"},
		{"a choice without a default", `, "Default": "Show"`, ``, "has no Default"},
		{"a comparison of what may be absent", `{"Variable": "$.asked.n", "IsPresent": true}, `, ``, "before it is known to be present"},
		{"a comparison after absence", `"IsPresent": true`, `"IsPresent": false`, "before it is known to be present"},
		{"a comparison that is silently false", `"NumericGreaterThan": 1`, `"StringGreaterThanPath": "$.m"`, "StringGreaterThanPath"},
		{"a test for null", `"NumericGreaterThan": 1`, `"IsNull": false`, "IsNull"},
		{"a path with a filter", `"$.asked.items"`, `"$.asked.items[?(@.n > 1)]"`, "not a plain path"},
		{"a slice", `"$.asked.items"`, `"$.asked.items[0:2]"`, "not a plain path"},
		{"a path that stays a text", `"id.$"`, `"id"`, "stays a text"},
		{"the whole context object", `"$$.Execution.Id"`, `"$$"`, "neither a plain path"},
		{"the context object in a result", `"ResultPath": "$.asked"`, `"ResultSelector": {"x.$": "$$.Execution.Id"}, "ResultPath": "$.asked"`, "cannot be read in a ResultSelector"},
		{"a function that one of them lacks", `"$$.Execution.Id"`, `"States.ArrayUnique($.a)"`, "States.ArrayUnique"},
		{"a bad path in a function", `"$$.Execution.Id"`, `"States.Format('{}', $.a[*])"`, "neither a plain path"},
		{"a distributed Map", `"INLINE"`, `"DISTRIBUTED"`, "ProcessorConfig"},
		{"a concurrency by path", `"MaxConcurrency": 2`, `"MaxConcurrencyPath": "$.n"`, "MaxConcurrencyPath"},
		{"a wait for two things", `"Seconds": 1`, `"Seconds": 1, "Timestamp": "2026-01-01T00:00:00Z"`, "waits for 2 things"},
		{"null", `"Type": "Pass"`, `"Type": "Pass", "ResultPath": null`, "is null"},
		{"States.ALL among others", `["States.ALL"]`, `["States.ALL", "X"]`, "alone and last"},
		{"an unknown field", `"Type": "Pass"`, `"Type": "Pass", "Ende": true`, "Ende"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Contains(t, sound, c.from)
			machine, err := parse([]byte(strings.ReplaceAll(sound, c.from, c.to)))
			require.NoError(t, err)
			require.Contains(t, strings.Join(refusals(machine), "\n"), c.want)
		})
	}
}

func TestADuplicateKeyIsRefused(t *testing.T) {
	_, err := parse([]byte(`{"States": {"A": {"End": true, "End": false}}}`))
	require.ErrorContains(t, err, `key "End" occurs twice`)
}

// The template replaces placeholders ${...} as text. A definition stays valid JSON only if each placeholder is inside quotes.
func TestPlaceholdersAreInQuotes(t *testing.T) {
	for _, file := range definitionFiles(t) {
		definition, err := os.ReadFile(file)
		require.NoError(t, err)
		outside := regexp.MustCompile(`"(\\.|[^"\\])*"`).ReplaceAllString(string(definition), `""`)
		require.NotContains(t, outside, "${", file)
	}
}

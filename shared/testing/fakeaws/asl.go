package fakeaws

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// asl is a definition in the Amazon States Language, as far as Drover's machines use it.
// https://states-language.net
type asl struct {
	StartAt        string
	TimeoutSeconds float64
	States         map[string]*aslState
}

type aslState struct {
	Type       string
	Next       string
	End        bool
	ResultPath *string

	Error, ErrorPath, CausePath string // Fail

	Resource       string // Task
	Parameters     any
	TimeoutSeconds float64
	Retry          []aslRetrier
	Catch          []aslCatcher

	TimestampPath string // Wait

	Choices []aslChoice // Choice
	Default string

	ItemsPath      string // Map
	ItemSelector   any
	ResultSelector any
	MaxConcurrency int
	ItemProcessor  asl
}

type aslRetrier struct {
	ErrorEquals     []string
	IntervalSeconds float64
	BackoffRate     float64
	MaxAttempts     *int
	MaxDelaySeconds float64
	JitterStrategy  string
}

type aslCatcher struct {
	ErrorEquals []string
	ResultPath  *string
	Next        string
}

type aslChoice struct {
	Next               string
	And                []aslChoice
	Or                 []aslChoice
	Not                *aslChoice
	Variable           string
	IsPresent          *bool
	BooleanEquals      *bool
	StringEquals       *string
	NumericEquals      *float64
	NumericGreaterThan *float64
	NumericLessThan    *float64
}

// thread is one way through states: that of the execution, or that of one item of a Map.
type thread struct {
	*execution
	states map[string]*aslState
	item   any    // of the Map that the thread belongs to
	token  string // of the Task that waits for an answer
	done   func(output any, failure *Failure)
	tried  map[*aslRetrier]int // attempts at the present state
}

// enter goes into a state with its input.
func (t *thread) enter(name string, input any) {
	t.tried = map[*aslRetrier]int{}
	if state := t.states[name]; state != nil && !t.ended {
		t.record(state.Type+"StateEntered", input)
	}
	t.perform(name, input)
}

// perform carries out a state, and goes on from there.
func (t *thread) perform(name string, input any) {
	if t.ended {
		return
	}
	state := t.states[name]
	if state == nil {
		t.done(nil, &Failure{Type: "States.Runtime", Message: "there is no state " + name})
		return
	}
	t.service.count(t.machine)
	w := t.service.world
	switch state.Type {
	case "Succeed":
		t.record("SucceedStateExited", input)
		t.done(input, nil)
	case "Pass":
		result, err := t.fill(state.Parameters, input)
		if err != nil {
			t.done(nil, &Failure{Type: "States.Runtime", Message: err.Error()})
			return
		}
		t.leave(state, input, result)
	case "Choice":
		for _, choice := range state.Choices {
			if choice.holds(input) {
				t.record("ChoiceStateExited", input)
				t.enter(choice.Next, input)
				return
			}
		}
		t.record("ChoiceStateExited", input)
		t.enter(state.Default, input)
	case "Wait":
		text, _ := path(input, state.TimestampPath).(string)
		until, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.done(nil, &Failure{Type: "States.Runtime", Message: fmt.Sprintf("%s is %q, which is not a time", state.TimestampPath, text)})
			return
		}
		w.At(until, Timer, t.name+" waits", func() { t.leave(state, input, input) })
	case "Fail":
		f := &Failure{Type: state.Error}
		if state.ErrorPath != "" {
			f.Type, _ = path(input, state.ErrorPath).(string)
		}
		f.Message, _ = path(input, state.CausePath).(string)
		t.done(nil, f)
	case "Task":
		resource, waits := strings.CutSuffix(state.Resource, ".waitForTaskToken")
		if waits {
			t.token = t.service.token(t.token)
		}
		parameters, err := t.fill(state.Parameters, input)
		if err != nil {
			t.fail(name, input, Failure{Type: "States.Runtime", Message: err.Error()})
			return
		}
		t.record("TaskScheduled", parameters)
		t.record("TaskStarted", nil)
		after := func(output any, failure *Failure) {
			w.At(w.Now(), Transition, t.name+" after "+name, func() {
				switch {
				case t.ended:
				case failure != nil:
					t.record("TaskFailed", failure)
					t.fail(name, input, *failure)
				default:
					t.record("TaskSucceeded", output)
					t.leave(state, input, output)
				}
			})
		}
		if !waits {
			t.service.Call(resource, parameters, after)
			return
		}
		t.service.await(t.token, func(output any) { after(output, nil) })
		t.service.Call(resource, parameters, func(_ any, failure *Failure) {
			if failure != nil {
				after(nil, failure)
			}
		})
	case "Map":
		t.each(name, state, input)
	default:
		t.done(nil, &Failure{Type: "States.Runtime", Message: "a state of type " + state.Type + " is not interpreted"})
	}
}

// leave stores a state's result where its ResultPath says, and goes to the next state.
func (t *thread) leave(state *aslState, input, result any) {
	output, err := place(input, result, state.ResultPath)
	switch {
	case err != nil:
		t.done(nil, &Failure{Type: "States.ResultPathMatchFailure", Message: err.Error()})
	case state.End || state.Next == "":
		t.record(state.Type+"StateExited", output)
		t.done(output, nil)
	default:
		t.record(state.Type+"StateExited", output)
		t.enter(state.Next, output)
	}
}

// fail retries a state, or goes where its Catch says.
func (t *thread) fail(name string, input any, f Failure) {
	state := t.states[name]
	for i := range state.Retry {
		r := &state.Retry[i]
		if !matches(r.ErrorEquals, f.Type) {
			continue
		}
		most, rate, interval := 3, r.BackoffRate, r.IntervalSeconds
		if r.MaxAttempts != nil {
			most = *r.MaxAttempts
		}
		if rate == 0 {
			rate = 2
		}
		if interval == 0 {
			interval = 1
		}
		if t.tried[r] >= most {
			break
		}
		for range t.tried[r] {
			interval *= rate
		}
		if r.MaxDelaySeconds > 0 {
			interval = min(interval, r.MaxDelaySeconds)
		}
		if r.JitterStrategy == "FULL" && t.service.Random != nil {
			interval *= t.service.Random()
		}
		t.tried[r]++
		w := t.service.world
		w.At(w.Now().Add(seconds(interval)), Transition, t.name+" again "+name, func() { t.perform(name, input) })
		return
	}
	for _, c := range state.Catch {
		if !matches(c.ErrorEquals, f.Type) {
			continue
		}
		output, err := place(input, map[string]any{"Error": f.Type, "Cause": f.Message}, c.ResultPath)
		if err != nil {
			break
		}
		t.enter(c.Next, output)
		return
	}
	t.done(nil, &f)
}

func matches(names []string, failure string) bool {
	if slices.Contains(names, failure) || slices.Contains(names, "States.ALL") && failure != "States.Runtime" {
		return true
	}
	return slices.Contains(names, "States.TaskFailed") && failure != "States.Timeout"
}

// each runs a Map's states once for each item, concurrently.
func (t *thread) each(name string, state *aslState, input any) {
	items, ok := path(input, state.ItemsPath).([]any)
	if !ok {
		t.fail(name, input, Failure{Type: "States.Runtime", Message: state.ItemsPath + " is not a list"})
		return
	}
	t.record("MapStateStarted", nil)
	outputs := make([]any, len(items))
	next, running, failed := 0, 0, false
	end := func() {
		result, err := t.fill(state.ResultSelector, any(outputs))
		if err != nil {
			t.done(nil, &Failure{Type: "States.Runtime", Message: err.Error()})
			return
		}
		t.leave(state, input, result)
	}
	if len(items) == 0 {
		end()
		return
	}
	var more func()
	more = func() {
		for next < len(items) && !failed && (state.MaxConcurrency == 0 || running < state.MaxConcurrency) {
			i := next
			next++
			running++
			one := &thread{execution: t.execution, states: state.ItemProcessor.States, item: items[i]}
			t.record("MapIterationStarted", nil)
			one.done = func(output any, failure *Failure) {
				t.record("MapIterationSucceeded", nil)
				outputs[i] = output
				running--
				switch {
				case failed:
				case failure != nil:
					failed = true
					t.fail(name, input, *failure)
				case next < len(items):
					more()
				case running == 0:
					end()
				}
			}
			data, err := items[i], error(nil)
			if state.ItemSelector != nil {
				data, err = one.fill(state.ItemSelector, input)
			}
			if err != nil {
				one.done(nil, &Failure{Type: "States.Runtime", Message: err.Error()})
				continue
			}
			w := t.service.world
			w.At(w.Now(), Transition, fmt.Sprintf("%s item %04d", t.name, i), func() { one.enter(state.ItemProcessor.StartAt, data) })
		}
	}
	more()
}

// holds reports whether a rule of a Choice applies.
func (c aslChoice) holds(data any) bool {
	switch {
	case len(c.And) > 0:
		return !slices.ContainsFunc(c.And, func(o aslChoice) bool { return !o.holds(data) })
	case len(c.Or) > 0:
		return slices.ContainsFunc(c.Or, func(o aslChoice) bool { return o.holds(data) })
	case c.Not != nil:
		return !c.Not.holds(data)
	}
	value, present := find(data, c.Variable)
	number, isNumber := value.(float64)
	text, isText := value.(string)
	truth, isBool := value.(bool)
	switch {
	case c.IsPresent != nil:
		return present == *c.IsPresent
	case c.BooleanEquals != nil:
		return isBool && truth == *c.BooleanEquals
	case c.StringEquals != nil:
		return isText && text == *c.StringEquals
	case c.NumericEquals != nil:
		return isNumber && number == *c.NumericEquals
	case c.NumericGreaterThan != nil:
		return isNumber && number > *c.NumericGreaterThan
	case c.NumericLessThan != nil:
		return isNumber && number < *c.NumericLessThan
	}
	return false
}

// fill returns a payload template with its paths and intrinsic functions replaced. A nil template stands for the input itself.
func (t *thread) fill(template, input any) (any, error) {
	switch v := template.(type) {
	case nil:
		return input, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			plain, isPath := strings.CutSuffix(name, ".$")
			var err error
			if text, isText := inner.(string); isPath && isText {
				out[plain], err = t.evaluate(text, input)
			} else {
				out[name], err = t.fillInner(inner, input)
			}
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return t.fillInner(template, input)
}

func (t *thread) fillInner(template, input any) (any, error) {
	switch v := template.(type) {
	case map[string]any:
		return t.fill(v, input)
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			var err error
			if out[i], err = t.fillInner(inner, input); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return template, nil
}

// evaluate returns the value of a path into the input or the context object, or of an intrinsic function of such paths.
func (t *thread) evaluate(text string, input any) (any, error) {
	function, arguments, isCall := strings.Cut(strings.TrimSpace(text), "(")
	if !isCall {
		return t.lookUp(text, input)
	}
	var values []any
	for argument := range strings.SplitSeq(strings.TrimSuffix(arguments, ")"), ",") {
		argument = strings.TrimSpace(argument)
		if strings.HasPrefix(argument, "'") {
			values = append(values, strings.Trim(argument, "'"))
			continue
		}
		value, err := t.lookUp(argument, input)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	switch function {
	case "States.Array":
		return values, nil
	case "States.Format":
		format, _ := values[0].(string)
		for _, v := range values[1:] {
			format = strings.Replace(format, "{}", fmt.Sprint(v), 1)
		}
		return format, nil
	}
	return nil, fmt.Errorf("the intrinsic function %s is not interpreted", function)
}

func (t *thread) lookUp(text string, input any) (any, error) {
	data := input
	if inner, isContext := strings.CutPrefix(text, "$$"); isContext {
		text, data = "$"+inner, map[string]any{
			"Execution": map[string]any{"Id": t.id, "Name": t.name, "StartTime": t.startedAt.UTC().Format(time.RFC3339Nano), "Input": t.given()},
			"Task":      map[string]any{"Token": t.token},
			"Map":       map[string]any{"Item": map[string]any{"Value": t.item}},
		}
	}
	if strings.Contains(text, "[*]") {
		return all(data, text), nil
	}
	value, present := find(data, text)
	if !present {
		return nil, fmt.Errorf("the path %s is not in the input", text)
	}
	return value, nil
}

// all returns the values that a path with wildcards leads to.
func all(data any, path string) []any {
	values := []any{data}
	for step := range strings.SplitSeq(strings.ReplaceAll(strings.TrimPrefix(path, "$"), "[*]", ".*"), ".") {
		if step == "" {
			continue
		}
		next := []any{}
		for _, v := range values {
			switch v := v.(type) {
			case []any:
				if step == "*" {
					next = append(next, v...)
				}
			case map[string]any:
				if inner, found := v[step]; found {
					next = append(next, inner)
				}
			}
		}
		values = next
	}
	return values
}

// find follows a reference path.
func find(data any, path string) (any, bool) {
	names, found := strings.CutPrefix(path, "$")
	if !found {
		return nil, false
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(names, "."), ".") {
		if name == "" {
			break
		}
		object, _ := data.(map[string]any)
		if data, found = object[name]; !found {
			return nil, false
		}
	}
	return data, true
}

func path(data any, text string) any {
	value, _ := find(data, text)
	return value
}

// place returns the input with the result at the place that the path names. Without a path the result replaces the input.
func place(input, result any, path *string) (any, error) {
	if path == nil || *path == "$" {
		return result, nil
	}
	name, ok := strings.CutPrefix(*path, "$.")
	object, isObject := input.(map[string]any)
	if !ok || strings.Contains(name, ".") || !isObject {
		return nil, fmt.Errorf("ResultPath %s does not fit the input", *path)
	}
	out := make(map[string]any, len(object)+1)
	maps.Copy(out, object)
	out[name] = result
	return out, nil
}

// plain returns a value in JSON's own types: maps, lists, strings, numbers.
func plain(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	err = json.Unmarshal(text, &out)
	return out, err
}

// given returns the input of the execution.
func (x *execution) given() any {
	var input any
	if json.Unmarshal([]byte(x.input), &input) != nil {
		return nil // StartExecution takes only JSON
	}
	return input
}

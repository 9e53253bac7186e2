package moe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/lazyregexp"
	"github.com/drover-run/drover/shared/core/workflow"
)

// Initialize holds the event to which the function of a plugin answers with its PluginInfo.
var Initialize = Envelope([]byte(`{"initialize":true}`))

// Registration says what a plugin declares of itself, and where it takes part.
type Registration struct {
	Plugin     string
	Function   string // name or ARN
	Activity   string
	Stage      workflow.Stage
	Mandatory  bool
	Order      *int // nil: none declared
	AlwaysRun  bool
	Overrides  map[string]bool // mandatory, by activity
	Text       string          // its description
	Idempotent *bool
	Waits      bool     // it has a pluginRegisterTimeout
	Registered bool     // it was read from the plugin table, whose order moe may have drawn
	Unknown    []string // members that no version of the package has
}

// ReadInfo reads what a function answered to [Initialize]. The error quotes an answer that is no PluginInfo.
func ReadInfo(answer []byte) (Registration, error) {
	members, err := exact.Members(answer)
	if err != nil {
		if text, ok := exact.Text(answer); ok {
			return Registration{}, fmt.Errorf("it answered %s, which is no PluginInfo", document.Shown(text))
		}
		return Registration{}, errors.New("its answer is no PluginInfo, which is an object with a pluginName")
	}
	fields := map[string]json.RawMessage{}
	for _, m := range members {
		if fields[m.Name] != nil {
			return Registration{}, fmt.Errorf("its answer has %s twice", document.Shown(m.Name))
		}
		fields[m.Name] = m.Value
	}
	if said, ok := exact.Text(fields["errorMessage"]); ok {
		return Registration{}, fmt.Errorf("it failed: %s", document.ShownBare(said))
	}
	return readRegistration(fields)
}

// carried lists the members of a PluginInfo, and of a row of the plugin table, that are read here.
var carried = []string{"pluginName", "default", "mandatory", "overrides", "order", "alwaysRun", "idempotent", "description", "pluginRegisterTimeout",
	"orchestratorId", "functionName", "subscriptionArn"}

func readRegistration(fields map[string]json.RawMessage) (Registration, error) {
	r := Registration{Mandatory: true}
	var ok bool
	if r.Plugin, ok = exact.Text(fields["pluginName"]); !ok || r.Plugin == "" {
		return r, errors.New("it has no pluginName, so it is no PluginInfo")
	}
	var problems []error
	take := func(name string, from json.RawMessage, into any) {
		if len(from) == 0 || bytes.Equal(bytes.TrimSpace(from), []byte("null")) {
			return
		}
		if err := exact.Decode(from, into); err != nil {
			problems = append(problems, fmt.Errorf("%s of plugin %s: %w", name, document.Shown(r.Plugin), err))
		}
	}
	var standing struct {
		Mandatory             *bool           `json:"mandatory"`
		PluginRegisterTimeout json.RawMessage `json:"pluginRegisterTimeout"`
	}
	take("default", fields["default"], &standing)
	if standing.Mandatory != nil {
		r.Mandatory = *standing.Mandatory
	}
	take("mandatory", fields["mandatory"], &r.Mandatory) // a row has it at its top level
	var overrides map[string]struct {
		Mandatory *bool `json:"mandatory"`
	}
	take("overrides", fields["overrides"], &overrides)
	for activity, o := range overrides {
		if o.Mandatory != nil {
			if r.Overrides == nil {
				r.Overrides = map[string]bool{}
			}
			r.Overrides[activity] = *o.Mandatory
		}
	}
	var order *float64
	take("order", fields["order"], &order)
	if order != nil {
		if *order != math.Trunc(*order) || math.Abs(*order) > workflow.MaxOrder {
			problems = append(problems, fmt.Errorf("order of plugin %s is %v; want a whole number from -%d to %d", document.Shown(r.Plugin), *order, workflow.MaxOrder, workflow.MaxOrder))
		} else {
			n := int(*order)
			r.Order = &n
		}
	}
	take("alwaysRun", fields["alwaysRun"], &r.AlwaysRun)
	take("idempotent", fields["idempotent"], &r.Idempotent)
	take("description", fields["description"], &r.Text)
	take("functionName", fields["functionName"], &r.Function)
	r.Waits = len(fields["pluginRegisterTimeout"]) > 0 || len(standing.PluginRegisterTimeout) > 0
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(carried, name) {
			r.Unknown = append(r.Unknown, name)
		}
	}
	return r, errors.Join(problems...)
}

// ReadRows reads rows of moe's plugin table: a JSON list of them, or what `aws dynamodb scan` prints.
func ReadRows(text []byte) ([]Registration, error) {
	rows, err := readItems(text)
	if err != nil {
		return nil, err
	}
	var out []Registration
	var problems []error
	for i, row := range rows {
		r, err := readRegistration(row)
		if err != nil {
			problems = append(problems, fmt.Errorf("row %d: %w", i+1, err))
			continue
		}
		id, _ := exact.Text(row["orchestratorId"])
		activity, stage, _ := strings.Cut(id, "|")
		var known bool
		if r.Stage, known = ParseStage(stage); !known || activity == "" {
			problems = append(problems, fmt.Errorf("row %d: orchestratorId is %s; want activity|pre, activity|async or activity|post", i+1, document.Shown(id)))
			continue
		}
		r.Activity, r.Registered = activity, true
		out = append(out, r)
	}
	return out, errors.Join(problems...)
}

// readItems returns items in plain JSON. Items of a scan have the type of each value around it: {"S": "a"}.
func readItems(text []byte) ([]map[string]json.RawMessage, error) {
	var list []map[string]json.RawMessage
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		if err := exact.Decode(text, &list); err != nil {
			return nil, err
		}
		return list, nil
	}
	var scan struct {
		Items []map[string]json.RawMessage `json:"Items"`
	}
	if err := exact.Decode(text, &scan); err != nil {
		return nil, err
	}
	if scan.Items == nil {
		return nil, errors.New("there is neither a list of rows nor a member Items")
	}
	for _, row := range scan.Items {
		for name, value := range row {
			plain, err := untyped(value)
			if err != nil {
				return nil, fmt.Errorf("attribute %s: %w", document.ShownBare(name), err)
			}
			row[name] = plain
		}
	}
	return scan.Items, nil
}

// untyped returns the value within DynamoDB's JSON.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
func untyped(value json.RawMessage) (json.RawMessage, error) {
	var typed map[string]json.RawMessage
	if err := exact.Decode(value, &typed); err != nil || len(typed) != 1 {
		return nil, errors.New(`it is not a typed value, as {"S": "text"}`)
	}
	for kind, inner := range typed {
		switch kind {
		case "S", "BOOL":
			return inner, nil
		case "N":
			if number, ok := exact.Text(inner); ok && json.Valid([]byte(number)) {
				return json.RawMessage(number), nil
			}
		case "NULL":
			return json.RawMessage("null"), nil
		case "M":
			var members map[string]json.RawMessage
			if err := exact.Decode(inner, &members); err != nil {
				return nil, err
			}
			for name, one := range members {
				plain, err := untyped(one)
				if err != nil {
					return nil, err
				}
				members[name] = plain
			}
			return document.Encode(members), nil
		}
		return nil, fmt.Errorf("its type %s is none that a row has", document.ShownBare(kind))
	}
	return nil, nil
}

// Imported holds the definitions that registrations and workflows become.
type Imported struct {
	Plugins   map[string]workflow.Plugin
	Functions map[string]string // by plugin
	Workflows map[string]workflow.Workflow
	Differs   []string // what Drover does otherwise, or does not have: a sentence each
}

// Import makes definitions of registrations. What cannot be carried over is an error; what is different is told in Differs.
func Import(all []Registration) (Imported, error) {
	out := Imported{Plugins: map[string]workflow.Plugin{}, Functions: map[string]string{}, Workflows: map[string]workflow.Workflow{}}
	var problems []error
	for _, r := range all {
		if err := out.add(r); err != nil {
			problems = append(problems, err)
		}
	}
	return out, errors.Join(problems...)
}

func (i *Imported) differ(r Registration, format string, args ...any) {
	said := "plugins." + r.Plugin + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(i.Differs, said) {
		i.Differs = append(i.Differs, said)
	}
}

func (i *Imported) add(r Registration) error {
	for _, name := range []string{r.Plugin, r.Activity} {
		if !workflow.ValidPart(name) {
			return fmt.Errorf("%s cannot be a name: want 1 to 128 of the characters A-Z a-z 0-9 _ . : -; a plugin's name must be its pluginName, so change it in its code first",
				document.Shown(name))
		}
	}
	part := workflow.NewPlugin(r.Plugin).Part
	part.Mandatory, part.AlwaysRun = r.Mandatory, r.AlwaysRun
	if r.Order != nil && (r.Stage.Sequential() || !r.Registered) { // moe draws one for parallel plugins too, where it means nothing
		part.Order = *r.Order
	}
	p, again := i.Plugins[r.Plugin]
	switch {
	case !again:
		p = workflow.NewPlugin(r.Plugin)
		p.Description, p.Activities, p.Stage, p.Envelope, p.Part = strings.TrimSpace(r.Text), []string{r.Activity}, r.Stage, workflow.Moe, part
		i.Functions[r.Plugin] = r.Function
	case p.Stage != r.Stage:
		return fmt.Errorf("plugin %s is in stage %s of activity %s and in stage %s of activity %s: a plugin has one stage, and its name must be its pluginName; "+
			"give one of them a function and a pluginName of its own", r.Plugin, p.Stage, p.Activities[0], r.Stage, r.Activity)
	case i.Functions[r.Plugin] != r.Function:
		return fmt.Errorf("plugin %s is of function %s and of function %s: give one of them a pluginName of its own", r.Plugin, i.Functions[r.Plugin], r.Function)
	case !slices.Contains(p.Activities, r.Activity):
		p.Activities = append(p.Activities, r.Activity)
	}
	if mandatory, has := r.Overrides[r.Activity]; has {
		part.Mandatory = mandatory
	}
	p.Overrides = overridden(p, r.Activity, part)
	i.Plugins[r.Plugin] = p
	i.tell(r)
	return nil
}

// overridden returns the overrides with which the plugin takes part in the activity as wanted.
func overridden(p workflow.Plugin, activity string, want workflow.Part) map[string]workflow.Override {
	var o workflow.Override
	if want.Mandatory != p.Mandatory {
		o.Mandatory = &want.Mandatory
	}
	if want.Order != p.Order {
		o.Order = &want.Order
	}
	if want.AlwaysRun != p.AlwaysRun {
		o.AlwaysRun = &want.AlwaysRun
	}
	if o.Mandatory == nil && o.Order == nil && o.AlwaysRun == nil {
		return p.Overrides
	}
	out := maps.Clone(p.Overrides)
	if out == nil {
		out = map[string]workflow.Override{}
	}
	out[activity] = o
	return out
}

// tell adds what Drover does otherwise.
func (i *Imported) tell(r Registration) {
	for _, activity := range slices.Sorted(maps.Keys(r.Overrides)) {
		if !slices.Contains(i.Plugins[r.Plugin].Activities, activity) && activity != r.Activity {
			i.differ(r, "its override for activity %s is left out, as it is registered in %s alone", document.Shown(activity), r.Activity)
		}
	}
	if r.Idempotent != nil && !*r.Idempotent {
		i.differ(r, "idempotent: false is left out; Drover starts no turn that is Complete, whatever the plugin asks its row")
	}
	if r.Idempotent != nil && *r.Idempotent {
		i.differ(r, "idempotent is left out; Drover never starts a turn that is Complete")
	}
	if r.Waits {
		i.differ(r, "pluginRegisterTimeout is left out; Drover knows its plugins before a run begins, and waits for none to appear")
	}
	if r.Stage.Sequential() && r.Order == nil {
		i.differ(r, "it has no order, so moe drew one from 90 to 99 at each registration; it has %d here, and equal ones run by name", workflow.DefaultOrder)
	}
	if r.Stage.Sequential() && r.Registered && r.Order != nil && *r.Order >= 90 && *r.Order <= 99 {
		i.differ(r, "its order %d may be one that moe drew at random; set the order that you want", *r.Order)
	}
	if r.Stage == workflow.Parallel {
		i.differ(r, "a filter policy of its subscription is in its stack and not here: write it as its filter")
	}
	for _, name := range r.Unknown {
		i.differ(r, "%s is left out, as moe gives it no meaning", document.Shown(name))
	}
}

// YAML returns the definitions as a file for apply: the plugins, and a labourer for each with its function as the target.
func (i Imported) YAML() []byte {
	var b bytes.Buffer
	if len(i.Workflows) > 0 {
		fmt.Fprintln(&b, "workflows:")
		for _, name := range slices.Sorted(maps.Keys(i.Workflows)) {
			fmt.Fprintf(&b, "  %s: {activities: %s}\n", scalar(name), scalars(i.Workflows[name].Activities))
		}
	}
	if len(i.Plugins) == 0 {
		return b.Bytes()
	}
	fmt.Fprintln(&b, "labourers:")
	names := slices.Sorted(maps.Keys(i.Plugins))
	for _, name := range names {
		fmt.Fprintf(&b, "  %s: {target: {lambda: %s}}\n", scalar(name), scalar(i.Functions[name]))
	}
	fmt.Fprintln(&b, "plugins:")
	for _, name := range names {
		i.plugin(&b, i.Plugins[name])
	}
	return b.Bytes()
}

func (i Imported) plugin(b *bytes.Buffer, p workflow.Plugin) {
	fmt.Fprintf(b, "  %s:\n", scalar(p.Name))
	if p.Description != "" {
		fmt.Fprintf(b, "    description: %s\n", document.Encode(p.Description))
	}
	activity := scalar(p.Activities[0])
	if len(p.Activities) > 1 {
		activity = scalars(p.Activities)
	}
	fmt.Fprintf(b, "    activity: %s\n    stage: %s\n    envelope: moe\n", activity, p.Stage)
	standing := workflow.NewPlugin(p.Name)
	if p.Mandatory != standing.Mandatory {
		fmt.Fprintf(b, "    mandatory: %t\n", p.Mandatory)
	}
	if p.Order != standing.Order {
		fmt.Fprintf(b, "    order: %d\n", p.Order)
	}
	if p.AlwaysRun {
		fmt.Fprintln(b, "    always_run: true")
	}
	if len(p.Overrides) > 0 {
		fmt.Fprintln(b, "    overrides:")
	}
	for _, activity := range slices.Sorted(maps.Keys(p.Overrides)) {
		o := p.Overrides[activity]
		var parts []string
		if o.Mandatory != nil {
			parts = append(parts, "mandatory: "+strconv.FormatBool(*o.Mandatory))
		}
		if o.Order != nil {
			parts = append(parts, "order: "+strconv.Itoa(*o.Order))
		}
		if o.AlwaysRun != nil {
			parts = append(parts, "always_run: "+strconv.FormatBool(*o.AlwaysRun))
		}
		fmt.Fprintf(b, "      %s: {%s}\n", scalar(activity), strings.Join(parts, ", "))
	}
}

var (
	plainScalar = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	yamlWord    = lazyregexp.New(`(?i)^(y|n|yes|no|on|off|true|false|null)$`) // in some version of YAML
)

// scalar returns a text of YAML: in quotes wherever it might be read as something else.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !yamlWord.MatchString(text) {
		return text
	}
	return string(document.Encode(text))
}

func scalars(texts []string) string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = scalar(text)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

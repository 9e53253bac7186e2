package workflow

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/pattern"
)

// Sections are the top-level fields of a file that this package reads.
var Sections = []string{"workflows", "activities", "plugins"}

const (
	longestDescription = 4 << 10
	longestGroupKey    = 256
)

// Read reads the sections of a document, and records everything that is wrong in r.
func Read(r *document.Reader, sections map[string]document.Value) Definitions {
	d := reader{r}
	out := NewDefinitions()
	if v, ok := sections["workflows"]; ok {
		for name, at := range r.Members(v) {
			if !ValidName(name) {
				r.Refuse(at, "the name %s must be 1 to %d of the characters A-Z a-z 0-9 _ . : - and single spaces within", document.Shown(name), longestName)
				continue
			}
			out.Workflows[name] = d.workflow(at, NewWorkflow(name))
		}
	}
	if v, ok := sections["activities"]; ok {
		for name, at := range d.named(v) {
			out.Activities[name] = d.activity(at, NewActivity(name))
		}
	}
	if v, ok := sections["plugins"]; ok {
		for name, at := range d.named(v) {
			out.Plugins[name] = d.plugin(at, NewPlugin(name))
		}
	}
	return out
}

type reader struct{ *document.Reader }

func (r reader) named(v document.Value) func(yield func(string, document.Value) bool) {
	return func(yield func(string, document.Value) bool) {
		for name, at := range r.Members(v) {
			if !partName.MatchString(name) {
				r.Refuse(at, "the name %s must be 1 to 128 of the characters A-Z a-z 0-9 _ . : -", document.Shown(name))
				continue
			}
			if !yield(name, at) {
				return
			}
		}
	}
}

func (r reader) workflow(v document.Value, w Workflow) Workflow {
	fields := r.Fields(v, "description", "activities", "sla", "timeout", "concurrency", "metadata_schema")
	w.Description = r.description(fields)
	if f, ok := fields["activities"]; ok {
		w.Activities = r.names(f, "activity", MaxActivities)
	} else if v.Kind == document.Mapping && !v.Has("activities") {
		r.Refuse(v, "activities are missing; want the names of one or more, in their order")
	}
	r.span(fields, "sla", &w.SLA)
	r.span(fields, "timeout", &w.Timeout)
	if f, ok := fields["concurrency"]; ok {
		word, _ := r.OneOf(f, string(Reject), string(Queue), string(Replace))
		w.Concurrency = Concurrency(word)
	}
	if f, ok := fields["metadata_schema"]; ok {
		w.MetadataSchema = r.object(f)
		if w.MetadataSchema != nil {
			if _, err := compileSchema(w.MetadataSchema); err != nil {
				r.Refuse(f, "is not a JSON Schema (draft 2020-12): %s", err)
			}
		}
	}
	return w
}

func (r reader) activity(v document.Value, a Activity) Activity {
	fields := r.Fields(v, "description", "timeout", "on_error", "post")
	a.Description = r.description(fields)
	r.span(fields, "timeout", &a.Timeout)
	if f, ok := fields["on_error"]; ok {
		word, _ := r.OneOf(f, string(FailFast), string(WaitAll))
		a.OnError = OnError(word)
	}
	if f, ok := fields["post"]; ok {
		word, _ := r.OneOf(f, string(OnSuccess), string(Always))
		a.Post = PostWhen(word)
	}
	return a
}

var partFields = []string{"mandatory", "order", "filter", "timeout", "always_run"}

func (r reader) plugin(v document.Value, p Plugin) Plugin {
	fields := r.Fields(v, append([]string{"description", "activity", "stage", "labourer", "overrides", "group_key", "envelope"}, partFields...)...)
	p.Description = r.description(fields)
	if f, ok := fields["activity"]; !ok {
		r.missing(v, "activity", "the name of the activity, or a list of them")
	} else if f.Kind == document.List {
		p.Activities = r.names(f, "activity", MaxActivities)
	} else if name, ok := r.name(f, "activity"); ok {
		p.Activities = []string{name}
	}
	if f, ok := fields["stage"]; !ok {
		r.missing(v, "stage", "pre, parallel or post")
	} else if word, ok := r.OneOf(f, stageNames...); ok {
		p.Stage, _ = ParseStage(word)
	}
	if f, ok := fields["labourer"]; ok {
		p.Labourer, _ = r.name(f, "labourer")
	}
	o := r.part(fields)
	p.Part = Plugin{Part: p.Part, Overrides: map[string]Override{"": o}}.In("")
	if f, ok := fields["overrides"]; ok {
		p.Overrides = r.overrides(f, p.Activities)
	}
	if f, ok := fields["group_key"]; ok {
		p.GroupKey, _ = r.Words(f, longestGroupKey)
	}
	if f, ok := fields["envelope"]; ok {
		word, _ := r.OneOf(f, string(Native), string(Moe))
		p.Envelope = Envelope(word)
	}
	return p
}

// part reads the options that an override may have too.
func (r reader) part(fields map[string]document.Value) Override {
	var o Override
	if f, ok := fields["mandatory"]; ok {
		o.Mandatory = r.truth(f)
	}
	if f, ok := fields["order"]; ok {
		if n, ok := r.Whole(f, -MaxOrder, MaxOrder); ok {
			o.Order = &n
		}
	}
	if f, ok := fields["filter"]; ok {
		o.Filter = r.filter(f)
	}
	if _, ok := fields["timeout"]; ok {
		var d time.Duration
		if r.span(fields, "timeout", &d) {
			o.Timeout = &d
		}
	}
	if f, ok := fields["always_run"]; ok {
		o.AlwaysRun = r.truth(f)
	}
	return o
}

func (r reader) overrides(v document.Value, activities []string) map[string]Override {
	out := map[string]Override{}
	for activity, at := range r.Members(v) {
		if !slices.Contains(activities, activity) && !r.UnknownIgnored {
			r.Refuse(at, "the plugin is not in the activity %s; %s", document.Shown(activity), document.DidYouMean(activity, activities))
			continue
		}
		out[activity] = r.part(r.Fields(at, partFields...))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (r reader) missing(v document.Value, field, want string) {
	if v.Kind == document.Mapping && !v.Has(field) {
		r.Refuse(v, "%s is missing; want %s", field, want)
	}
}

// description reads a text of one or more lines.
func (r reader) description(fields map[string]document.Value) string {
	f, ok := fields["description"]
	switch {
	case !ok:
	case f.Kind != document.Text:
		r.Refuse(f, "must be a text, not %s", f.Describe())
	case len(f.Text) > longestDescription:
		r.Refuse(f, "has %d bytes, %d is the most", len(f.Text), longestDescription)
	default:
		return strings.TrimSpace(f.Text)
	}
	return ""
}

func (r reader) name(v document.Value, of string) (string, bool) {
	name, ok := r.Words(v, 128)
	if ok && !partName.MatchString(name) {
		r.Refuse(v, "%s is not the name of any %s: want 1 to 128 of the characters A-Z a-z 0-9 _ . : -", document.Shown(name), of)
		return "", false
	}
	return name, ok
}

func (r reader) names(v document.Value, of string, most int) []string {
	switch {
	case v.Kind != document.List || len(v.Items) == 0:
		r.Refuse(v, "must be a list of one or more names, not %s", v.Counted())
		return nil
	case len(v.Items) > most:
		r.Refuse(v, "has %d names, %d is the most", len(v.Items), most)
		return nil
	}
	var names []string
	for i := range v.Items {
		name, ok := r.name(v.Item(i), of)
		switch {
		case !ok:
		case slices.Contains(names, name):
			r.Refuse(v.Item(i), "%s appears twice", document.Shown(name))
		default:
			names = append(names, name)
		}
	}
	return names
}

func (r reader) truth(v document.Value) *bool {
	if v.Kind != document.Boolean {
		r.Refuse(v, "must be true or false, not %s", v.Describe())
		return nil
	}
	is := v.Text == "true" || v.Text == "True" || v.Text == "TRUE"
	return &is
}

// span reads a duration of a second or more.
func (r reader) span(fields map[string]document.Value, name string, into *time.Duration) bool {
	f, ok := fields[name]
	if !ok {
		return false
	}
	d, ok := r.Duration(f, time.Second, MaxSpan)
	if ok {
		*into = d
	}
	return ok
}

// object reads a mapping as JSON.
func (r reader) object(v document.Value) json.RawMessage {
	if v.Kind != document.Mapping {
		r.Refuse(v, "must be a mapping, not %s", v.Describe())
		return nil
	}
	before := len(r.Errors)
	text := r.json(nil, v)
	if len(r.Errors) > before {
		return nil
	}
	return text
}

func (r reader) filter(v document.Value) json.RawMessage {
	text := r.object(v)
	if text == nil {
		return nil
	}
	_, faults := pattern.Parse(text)
	for _, one := range faults.Under(v.Path) {
		v.Path = one.Path
		r.Refuse(v, "%s", one.Reason)
	}
	if faults != nil {
		return nil
	}
	return text
}

// json appends a value as JSON, with members in the order written and numbers as written.
func (r reader) json(out []byte, v document.Value) []byte {
	switch v.Kind {
	case document.Nothing:
		return append(out, "null"...)
	case document.Text:
		return append(out, document.Encode(v.Text)...)
	case document.Boolean:
		return strconv.AppendBool(out, strings.EqualFold(v.Text, "true"))
	case document.Number:
		return r.number(out, v)
	case document.List:
		out = append(out, '[')
		for i := range v.Items {
			if i > 0 {
				out = append(out, ',')
			}
			out = r.json(out, v.Item(i))
		}
		return append(out, ']')
	}
	out = append(out, '{')
	for i, m := range v.Node.Members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, document.Encode(m.Key)...), ':')
		out = r.json(out, document.Value{Node: m.Value, Path: v.At(m.Key)})
	}
	return append(out, '}')
}

func (r reader) number(out []byte, v document.Value) []byte {
	switch {
	case json.Valid([]byte(v.Text)):
		return append(out, v.Text...)
	case math.IsNaN(v.Number) || math.IsInf(v.Number, 0):
		r.Refuse(v, "must be a finite number, not %s", document.ShownBare(v.Text))
		return append(out, '0')
	}
	return strconv.AppendFloat(out, v.Number, 'g', -1, 64) // YAML's forms that JSON does not have: 0x10, .5, +1
}

// Merge returns all definitions; of those that two files define, names lists what differs.
func Merge(all ...Definitions) (merged Definitions, differ []string) {
	merged = NewDefinitions()
	for _, d := range all {
		differ = append(differ, clashes("workflows", merged.Workflows, d.Workflows, Workflow.Stored)...)
		differ = append(differ, clashes("activities", merged.Activities, d.Activities, Activity.Stored)...)
		differ = append(differ, clashes("plugins", merged.Plugins, d.Plugins, Plugin.Stored)...)
		merged = merged.Over(d)
	}
	return merged, differ
}

func clashes[T any](section string, before, after map[string]T, stored func(T) []byte) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if was, twice := before[name]; twice && !bytes.Equal(stored(was), stored(after[name])) {
			out = append(out, document.Join(section, name))
		}
	}
	return out
}

package workflow

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/pattern"
)

// Composition is a version of a workflow: with the options of its activities, and the plugins in them. It never changes.
type Composition struct {
	Version    int
	Workflow   Workflow
	Activities map[string]Activity // one for each of the workflow's
	Plugins    map[string]Plugin   // those in any of the workflow's activities
}

// Compose returns the workflow as it is defined now, without a version. It returns false if there is no such workflow.
func Compose(d Definitions, name string) (Composition, bool) {
	w, found := d.Workflows[name]
	c := Composition{Workflow: w, Activities: map[string]Activity{}, Plugins: map[string]Plugin{}}
	for _, activity := range w.Activities {
		a, has := d.Activities[activity]
		if !has {
			a = NewActivity(activity)
		}
		c.Activities[activity] = a
	}
	for plugin, p := range d.Plugins {
		if slices.ContainsFunc(p.Activities, func(a string) bool { return slices.Contains(w.Activities, a) }) {
			c.Plugins[plugin] = p
		}
	}
	return c, found
}

// Has reports whether a plugin has this envelope.
func (c Composition) Has(e Envelope) bool {
	for _, p := range c.Plugins {
		if p.Envelope == e {
			return true
		}
	}
	return false
}

// Touched returns the names of the workflows whose composition may differ when these definitions change: those among them, and those of all
// that name one of their activities.
func Touched(all, changed Definitions) []string {
	touched := map[string]bool{}
	for name := range changed.Workflows {
		touched[name] = true
	}
	activities := map[string]bool{}
	for name := range changed.Activities {
		activities[name] = true
	}
	for _, p := range changed.Plugins {
		for _, a := range p.Activities {
			activities[a] = true
		}
	}
	for name, w := range all.Workflows {
		if slices.ContainsFunc(w.Activities, func(a string) bool { return activities[a] }) {
			touched[name] = true
		}
	}
	return slices.Sorted(maps.Keys(touched))
}

type storedComposition struct {
	Version    int                        `json:"version,omitempty"`
	Name       string                     `json:"name"`
	Workflow   json.RawMessage            `json:"workflow"`
	Activities map[string]json.RawMessage `json:"activities"`
	Plugins    map[string]json.RawMessage `json:"plugins"`
}

// Stored returns the composition as canonical JSON.
func (c Composition) Stored() []byte {
	s := storedComposition{c.Version, c.Workflow.Name, c.Workflow.Stored(), map[string]json.RawMessage{}, map[string]json.RawMessage{}}
	for name, a := range c.Activities {
		s.Activities[name] = a.Stored()
	}
	for name, p := range c.Plugins {
		s.Plugins[name] = p.Stored()
	}
	return document.Encode(s)
}

// Fingerprint tells compositions apart that mean something different, whatever their versions.
func (c Composition) Fingerprint() string {
	c.Version = 0
	sum := sha256.Sum256(c.Stored())
	return hex.EncodeToString(sum[:16])
}

// DecodeComposition reads what [Composition.Stored] wrote.
func DecodeComposition(stored []byte) (Composition, error) {
	var s storedComposition
	if err := exact.Decode(stored, &s); err != nil {
		return Composition{}, fmt.Errorf("reading a stored composition: %w", err)
	}
	c := Composition{Version: s.Version, Activities: map[string]Activity{}, Plugins: map[string]Plugin{}}
	var err error
	if c.Workflow, err = DecodeWorkflow(s.Name, s.Workflow); err != nil {
		return Composition{}, err
	}
	for name, text := range s.Activities {
		if c.Activities[name], err = DecodeActivity(name, text); err != nil {
			return Composition{}, err
		}
	}
	for name, text := range s.Plugins {
		if c.Plugins[name], err = DecodePlugin(name, text); err != nil {
			return Composition{}, err
		}
	}
	return c, nil
}

// Fault is something in definitions that does not fit together.
type Fault struct{ Path, Reason string }

// String returns "path: reason".
func (f Fault) String() string { return f.Path + ": " + f.Reason }

// Check returns what does not fit together in definitions: refused must not be applied, doubts are only worth a warning. all holds changed
// and what else is known; known reports whether a labourer exists.
func Check(all, changed Definitions, known func(labourer string) bool) (refused, doubts []Fault) {
	named := map[string]bool{}
	for _, w := range all.Workflows {
		for _, a := range w.Activities {
			named[a] = true
		}
	}
	populated := map[string]bool{}
	for _, p := range all.Plugins {
		for _, a := range p.Activities {
			populated[a] = true
		}
	}
	activities := slices.Sorted(maps.Keys(populated))
	for _, name := range slices.Sorted(maps.Keys(changed.Workflows)) {
		for i, a := range changed.Workflows[name].Activities {
			if !populated[a] {
				doubts = append(doubts, Fault{fmt.Sprintf("%s.activities[%d]", document.Join("workflows", name), i),
					fmt.Sprintf("the activity %s has no plugins: it is empty and Complete%s", a, meant(a, activities))})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(changed.Activities)) {
		if !named[name] {
			doubts = append(doubts, Fault{document.Join("activities", name), "no workflow names this activity" + meant(name, slices.Sorted(maps.Keys(named)))})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(changed.Plugins)) {
		p, path := changed.Plugins[name], document.Join("plugins", name)
		if !known(p.Labourer) {
			refused = append(refused, Fault{path + ".labourer", fmt.Sprintf("there is no labourer %s: apply it before, or together with the plugin", p.Labourer)})
		}
		for _, a := range p.Activities {
			if !named[a] {
				doubts = append(doubts, Fault{path + ".activity", fmt.Sprintf("no workflow names the activity %s%s", a, meant(a, slices.Sorted(maps.Keys(named))))})
			}
		}
		doubts = append(doubts, filterDoubts(path, p)...)
	}
	return append(refused, crowded(all, changed)...), doubts
}

// CheckRemoval returns what does not fit together after a removal: refused must not happen, doubts are only worth a warning. all holds what there was,
// rest what is left; gone reports whether a labourer is removed too.
func CheckRemoval(all, rest Definitions, gone func(labourer string) bool) (refused, doubts []Fault) {
	users := map[string][]string{} // the workflows of each activity
	for _, name := range slices.Sorted(maps.Keys(rest.Workflows)) {
		for _, a := range rest.Workflows[name].Activities {
			users[a] = append(users[a], name)
		}
	}
	left := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(rest.Plugins)) {
		p := rest.Plugins[name]
		var of []string
		for _, a := range p.Activities {
			left[a] = true
			of = append(of, users[a]...)
		}
		if gone(p.Labourer) {
			slices.Sort(of)
			refused = append(refused, Fault{document.Join("labourers", p.Labourer), fmt.Sprintf("%s is one of its plugins, in %s: remove it too, or give it another labourer",
				document.Join("plugins", name), naming(slices.Compact(of)))})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all.Activities)) {
		if _, stays := rest.Activities[name]; !stays && len(users[name]) > 0 {
			doubts = append(doubts, Fault{document.Join("activities", name), "it has the default options from now on in " + naming(users[name])})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all.Plugins)) {
		if _, stays := rest.Plugins[name]; stays {
			continue
		}
		for _, a := range all.Plugins[name].Activities {
			if !left[a] && len(users[a]) > 0 {
				doubts = append(doubts, Fault{document.Join("plugins", name), fmt.Sprintf("the activity %s of %s has no plugins any more: it is empty and Complete", a, naming(users[a]))})
			}
		}
	}
	return refused, doubts
}

func naming(workflows []string) string {
	switch len(workflows) {
	case 0:
		return "no workflow"
	case 1:
		return "the workflow " + workflows[0]
	}
	return "the workflows " + strings.Join(workflows, ", ")
}

func meant(name string, known []string) string {
	if near := document.Nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// crowded returns the stages of changed plugins that have too many plugins.
func crowded(all, changed Definitions) []Fault {
	type place struct {
		activity string
		stage    Stage
	}
	count := map[place]int{}
	for _, p := range all.Plugins {
		for _, a := range p.Activities {
			count[place{a, p.Stage}]++
		}
	}
	var out []Fault
	for _, name := range slices.Sorted(maps.Keys(changed.Plugins)) {
		p := changed.Plugins[name]
		for _, a := range p.Activities {
			if n := count[place{a, p.Stage}]; n > MaxTurns {
				out = append(out, Fault{document.Join("plugins", name) + ".stage", fmt.Sprintf("the stage %s of %s would have %d plugins; want at most %d", p.Stage, a, n, MaxTurns)})
			}
		}
	}
	return out
}

// filterDoubts reports filters that can never match, or always do.
func filterDoubts(path string, p Plugin) []Fault {
	var out []Fault
	report := func(at string, filter json.RawMessage, activities ...string) {
		for _, one := range lint(filter, p.Stage, activities) {
			out = append(out, Fault{pattern.Under(at, one.Path), one.Reason})
		}
	}
	if p.Filter != nil {
		report(path+".filter", p.Filter, p.Activities...)
	}
	for _, activity := range slices.Sorted(maps.Keys(p.Overrides)) {
		if f := p.Overrides[activity].Filter; f != nil {
			report(document.Join(path+".overrides", activity)+".filter", f, activity)
		}
	}
	return out
}

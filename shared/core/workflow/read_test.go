package workflow_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/workflow"
)

func TestADefinitionIsRefusedWithItsPathAndWhatIsNear(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no activities":            {`workflows: {w: {sla: 1m}}`, "workflows.w: activities are missing"},
		"an empty list":            {`workflows: {w: {activities: []}}`, "workflows.w.activities: must be a list of one or more names, not a list of 0"},
		"a text":                   {`workflows: {w: {activities: a}}`, `workflows.w.activities: must be a list of one or more names, not the text "a"`},
		"a number among names":     {`workflows: {w: {activities: [a, 3]}}`, "workflows.w.activities[1]: must be a text, not 3"},
		"an activity twice":        {`workflows: {w: {activities: [a, b, a]}}`, `workflows.w.activities[2]: "a" appears twice`},
		"an sla":                   {`workflows: {w: {activities: [a], sla: soon}}`, "workflows.w.sla: must be a duration"},
		"a negative timeout":       {`workflows: {w: {activities: [a], timeout: -1h}}`, "workflows.w.timeout: must be 1s or more"},
		"more than a year":         {`workflows: {w: {activities: [a], timeout: 8761h}}`, "workflows.w.timeout: must be 8760h or less"},
		"a concurrency":            {`workflows: {w: {activities: [a], concurrency: rejct}}`, "did you mean reject?"},
		"a schema's type":          {`workflows: {w: {activities: [a], metadata_schema: {type: thing}}}`, "workflows.w.metadata_schema: is not a JSON Schema"},
		"a schema elsewhere":       {`workflows: {w: {activities: [a], metadata_schema: {$ref: "https://example.com/s"}}}`, "want references within the schema only"},
		"no schema":                {`workflows: {w: {activities: [a], metadata_schema: 5}}`, "workflows.w.metadata_schema: must be a mapping, not 5"},
		"a misspelt field":         {`workflows: {w: {activites: [a]}}`, "workflows.w.activites: is unknown; did you mean activities?"},
		"a list of workflows":      {`workflows: [w]`, "workflows: must be a mapping, not a list"},
		"a name with two spaces":   {`workflows: {"a  b": {activities: [a]}}`, `the name "a  b" must be`},
		"an error policy":          {`activities: {a: {on_error: stop}}`, "activities.a.on_error: must be one of fail_fast, wait_all"},
		"a policy of post":         {`activities: {a: {post: never}}`, "activities.a.post"},
		"an option of plugins":     {`activities: {a: {order: 1}}`, "activities.a.order: is unknown"},
		"no activity":              {`plugins: {p: {stage: pre}}`, "plugins.p: activity is missing"},
		"no stage":                 {`plugins: {p: {activity: a}}`, "plugins.p: stage is missing"},
		"moe's name of a stage":    {`plugins: {p: {activity: a, stage: async}}`, "plugins.p.stage: must be one of pre, parallel, post"},
		"a text for a truth":       {`plugins: {p: {activity: a, stage: pre, mandatory: "yes"}}`, `plugins.p.mandatory: must be true or false, not the text "yes"`},
		"an order":                 {`plugins: {p: {activity: a, stage: pre, order: first}}`, "plugins.p.order: must be a number"},
		"half an order":            {`plugins: {p: {activity: a, stage: pre, order: 1.5}}`, "plugins.p.order: must be a whole number"},
		"a plugin's timeout":       {`plugins: {p: {activity: a, stage: pre, timeout: long}}`, "plugins.p.timeout: must be a duration"},
		"a number for a truth":     {`plugins: {p: {activity: a, stage: pre, always_run: 1}}`, "plugins.p.always_run: must be true or false, not 1"},
		"an envelope":              {`plugins: {p: {activity: a, stage: pre, envelope: sns}}`, "plugins.p.envelope: must be one of drover, moe"},
		"a group key":              {`plugins: {p: {activity: a, stage: pre, group_key: 5}}`, "plugins.p.group_key: must be a text, not 5"},
		"a filter without a list":  {`plugins: {p: {activity: a, stage: pre, filter: {country: AT}}}`, "plugins.p.filter.country: "},
		"an empty filter":          {`plugins: {p: {activity: a, stage: pre, filter: {}}}`, "plugins.p.filter: "},
		"an unknown operator":      {`plugins: {p: {activity: a, stage: pre, overrides: {a: {filter: {total: [{numeric: ["?", 1]}]}}}}}`, "plugins.p.overrides.a.filter.total[0].numeric"},
		"an override of the stage": {`plugins: {p: {activity: a, stage: pre, overrides: {a: {stage: pre}}}}`, "plugins.p.overrides.a.stage: is unknown"},
		"an override elsewhere":    {`plugins: {p: {activity: [ship], stage: pre, overrides: {shipp: {order: 1}}}}`, `the plugin is not in the activity "shipp"; did you mean ship?`},
		"a misspelt option":        {`plugins: {p: {activity: a, stage: pre, mandatry: true}}`, "plugins.p.mandatry: is unknown; did you mean mandatory?"},
		"no mapping":               {`plugins: {p: 5}`, "plugins.p: must be a mapping, not 5"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := attempt(c.text)
			require.Error(t, errs.Err())
			require.Contains(t, errs.Error(), c.want)
		})
	}
}

func TestFiltersKeepTheirNumbersAndOrder(t *testing.T) {
	d := read(t, `plugins: {p: {activity: a, stage: pre, filter: {z: [12345678901234567890, 3.0e2, 0x10, .5], a: [null, true, "1"]}}}`)
	require.Equal(t, `{"z":[12345678901234567890,3.0e2,16,0.5],"a":[null,true,"1"]}`, string(d.Plugins["p"].Filter))
}

func TestWhatIsStoredIsReadBackTheSame(t *testing.T) {
	d := read(t, order+`
activities:
  validate: {description: "checks\nall", timeout: 1h, on_error: wait_all, post: always}
`)
	for name, w := range d.Workflows {
		again, err := workflow.DecodeWorkflow(name, w.Stored())
		require.NoError(t, err)
		require.Equal(t, w, again)
	}
	for name, a := range d.Activities {
		again, err := workflow.DecodeActivity(name, a.Stored())
		require.NoError(t, err)
		require.Equal(t, a, again)
	}
	for name, p := range d.Plugins {
		again, err := workflow.DecodePlugin(name, p.Stored())
		require.NoError(t, err)
		require.Equal(t, p, again)
	}
	c, _ := workflow.Compose(d, "order")
	c.Version = 7
	again, err := workflow.DecodeComposition(c.Stored())
	require.NoError(t, err)
	require.Equal(t, c, again)
	require.Equal(t, c.Fingerprint(), again.Fingerprint())
	again.Version = 8
	require.Equal(t, c.Fingerprint(), again.Fingerprint(), "a version alone makes no difference")
}

func TestAnEarlierVersionReadsWhatALaterOneStored(t *testing.T) {
	_, err := workflow.DecodePlugin("p", []byte(`{"activity":["a"],"stage":"pre","labourer":"p","mandatory":true,"order":90,"always_run":false,"envelope":"drover","colour":"red"}`))
	require.NoError(t, err)
	_, err = workflow.DecodePlugin("p", []byte(`{"activity":["a"],"stage":"nowhere"}`))
	require.ErrorContains(t, err, `the stored plugin "p"`)
}

func TestACompositionHasThePluginsOfItsActivitiesAlone(t *testing.T) {
	d := read(t, order+"  elsewhere: {activity: other, stage: pre}\n")
	c, found := workflow.Compose(d, "order")
	require.True(t, found)
	require.Len(t, c.Plugins, 7)
	require.NotContains(t, c.Plugins, "elsewhere")
	require.Equal(t, workflow.NewActivity("ship"), c.Activities["ship"])
	_, found = workflow.Compose(d, "nothing")
	require.False(t, found)
}

func TestAChangedPartTouchesEachWorkflowThatHasIt(t *testing.T) {
	all := read(t, `
workflows: {w: {activities: [a, b]}, v: {activities: [b]}, u: {activities: [c]}}
plugins: {p: {activity: b, stage: pre}}
activities: {c: {post: always}}
`)
	changed := workflow.NewDefinitions()
	changed.Plugins["p"] = all.Plugins["p"]
	require.Equal(t, []string{"v", "w"}, workflow.Touched(all, changed))
	changed.Activities["c"] = all.Activities["c"]
	require.Equal(t, []string{"u", "v", "w"}, workflow.Touched(all, changed))
}

func TestWhatDoesNotFitTogetherIsReported(t *testing.T) {
	all := read(t, `
workflows: {w: {activities: [shipp, pack]}}
activities: {lonely: {post: always}}
plugins:
  p: {activity: ship, stage: pre, labourer: unknown}
  q: {activity: pack, stage: pre, labourer: known, filter: {drover: {stage: [post]}}}
`)
	refused, doubts := workflow.Check(all, all, func(l string) bool { return l == "known" })
	require.Len(t, refused, 1)
	require.Equal(t, "plugins.p.labourer", refused[0].Path)
	var lines []string
	for _, d := range doubts {
		lines = append(lines, d.String())
	}
	text := strings.Join(lines, "\n")
	require.Contains(t, text, "workflows.w.activities[0]: the activity shipp has no plugins: it is empty and Complete; did you mean ship?")
	require.Contains(t, text, "activities.lonely: no workflow names this activity")
	require.Contains(t, text, "plugins.p.activity: no workflow names the activity ship; did you mean shipp?")
	require.Contains(t, text, "plugins.q.filter")
}

func TestARemovalIsRefusedWhereAPluginWouldLoseItsLabourer(t *testing.T) {
	all := read(t, `
workflows: {w: {activities: [a, b]}, v: {activities: [b]}}
activities: {a: {timeout: 1h}, b: {post: always}, unused: {timeout: 1h}}
plugins:
  one: {activity: a, stage: pre, labourer: crew}
  two: {activity: b, stage: pre, labourer: crew}
  three: {activity: unused, stage: pre, labourer: other}
`)
	for name, c := range map[string]struct {
		rest            workflow.Definitions
		gone            string
		refused, doubts []string
	}{
		"a labourer of plugins":     {all, "crew", []string{"plugins.one is one of its plugins, in the workflow w: remove it too, or give it another labourer", "plugins.two is one of its plugins, in the workflows v, w: remove it too, or give it another labourer"}, nil},
		"a labourer of no workflow": {all, "other", []string{"plugins.three is one of its plugins, in no workflow: remove it too, or give it another labourer"}, nil},
		"a labourer of none":        {all, "third", nil, nil},
		"with its plugins":          {all.Without("plugins", "one").Without("plugins", "two").Without("workflows", "w"), "crew", nil, []string{"the activity b of the workflow v has no plugins any more: it is empty and Complete"}},
		"options":                   {all.Without("activities", "b").Without("activities", "unused"), "", nil, []string{"it has the default options from now on in the workflows v, w"}},
	} {
		t.Run(name, func(t *testing.T) {
			refused, doubts := workflow.CheckRemoval(all, c.rest, func(id string) bool { return id == c.gone })

			reasons := func(of []workflow.Fault) []string {
				var out []string
				for _, f := range of {
					out = append(out, f.Reason)
				}
				return out
			}
			require.Equal(t, c.refused, reasons(refused))
			require.Equal(t, c.doubts, reasons(doubts))
		})
	}
}

func TestAStageHoldsAtMost256Plugins(t *testing.T) {
	d := workflow.NewDefinitions()
	for i := range workflow.MaxTurns {
		p := workflow.NewPlugin("p" + strings.Repeat("x", i%100) + string(rune('a'+i/100)))
		p.Activities, p.Stage = []string{"a"}, workflow.Parallel
		d.Plugins[p.Name] = p
	}
	known := func(string) bool { return true }
	refused, _ := workflow.Check(d, d, known)
	require.Empty(t, refused)
	more := workflow.NewPlugin("more")
	more.Activities, more.Stage = []string{"a"}, workflow.Parallel
	d.Plugins["more"] = more
	changed := workflow.NewDefinitions()
	changed.Plugins["more"] = more
	refused, _ = workflow.Check(d, changed, known)
	require.Len(t, refused, 1)
	require.Contains(t, refused[0].String(), "would have 257 plugins; want at most 256")
}

func TestDefinitionsOfSeveralFilesMayNotDiffer(t *testing.T) {
	a, b := read(t, `plugins: {p: {activity: a, stage: pre}}`), read(t, `plugins: {p: {activity: a, stage: pre, order: 90}, q: {activity: a, stage: pre}}`)
	merged, differ := workflow.Merge(a, b)
	require.Empty(t, differ, "the same, with a default written out")
	require.Len(t, merged.Plugins, 2)
	_, differ = workflow.Merge(a, read(t, `plugins: {p: {activity: a, stage: post}}`))
	require.Equal(t, []string{"plugins.p"}, differ)
}

// TestEveryDefinitionSurvivesStorage: what is stored is the same text again after it was read back.
func TestEveryDefinitionSurvivesStorage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := workflow.NewPlugin("p")
		name := rapid.StringMatching(`[A-Za-z0-9_.:-]{1,20}`)
		p.Activities = rapid.SliceOfNDistinct(name, 1, 4, rapid.ID[string]).Draw(t, "activities")
		p.Stage = rapid.SampledFrom(workflow.Stages).Draw(t, "stage")
		p.Labourer = name.Draw(t, "labourer")
		p.Mandatory = rapid.Bool().Draw(t, "mandatory")
		p.Order = rapid.IntRange(-workflow.MaxOrder, workflow.MaxOrder).Draw(t, "order")
		p.AlwaysRun = rapid.Bool().Draw(t, "always_run")
		p.Description = strings.TrimSpace(rapid.StringN(0, 40, 200).Draw(t, "description"))
		if rapid.Bool().Draw(t, "override") {
			mandatory := rapid.Bool().Draw(t, "mandatory")
			p.Overrides = map[string]workflow.Override{p.Activities[0]: {Mandatory: &mandatory}}
		}
		again, err := workflow.DecodePlugin("p", p.Stored())
		require.NoError(t, err)
		require.Equal(t, string(p.Stored()), string(again.Stored()))
		require.Equal(t, p, again)
	})
}

// FuzzRead: no text makes the reader panic; what it accepts is stored and read back the same; what it refuses has a place.
func FuzzRead(f *testing.F) {
	f.Add(order)
	f.Add(`workflows: {"Order intake EU": {activities: [a], metadata_schema: {type: object, required: [x]}}}`)
	f.Add(`{"plugins": {"p": {"activity": "a", "stage": "pre", "filter": {"x": [{"numeric": [">", 1e400]}]}}}}`)
	f.Add(`plugins: {p: {activity: [a, a], overrides: {b: 5}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, errs := attempt(text)
		for _, e := range errs {
			require.NotEmpty(t, e.Reason)
		}
		if errs != nil {
			return
		}
		for name := range d.Workflows {
			c, _ := workflow.Compose(d, name)
			again, err := workflow.DecodeComposition(c.Stored())
			require.NoError(t, err)
			require.Equal(t, string(c.Stored()), string(again.Stored()))
		}
	})
}

// FuzzReadStart: no start makes the reader panic, and each refusal names a field.
func FuzzReadStart(f *testing.F) {
	f.Add([]byte(`{"workflow": "w", "uid": "u", "metadata": {"a": [1, {"b": null}]}}`))
	f.Add([]byte(`{"workflow": ["w"]}`))
	f.Fuzz(func(t *testing.T, detail []byte) {
		s, err := workflow.ReadStart(detail, "id", "uid")
		if err != nil {
			var refusal *workflow.Refusal
			require.ErrorAs(t, err, &refusal)
			require.NotEmpty(t, refusal.Field)
			return
		}
		require.NotEmpty(t, s.Fingerprint())
		if s.Metadata != nil {
			_ = workflow.CheckMetadata(s.Metadata, nil)
			require.True(t, workflow.SameMetadata(s.Metadata, s.Metadata))
		}
	})
}

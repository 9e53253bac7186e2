package workflow_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/workflow"
)

// read reads definitions as people write them.
func read(t testing.TB, text string) workflow.Definitions {
	t.Helper()
	d, errs := attempt(text)
	require.NoError(t, errs.Err())
	return d
}

func attempt(text string) (workflow.Definitions, document.Errors) {
	root, err := document.Parse("f.yaml", []byte(text))
	if err != nil {
		return workflow.Definitions{}, document.Errors{{Reason: err.Error()}}
	}
	r := &document.Reader{File: "f.yaml"}
	v := document.Value{Node: root}
	r.CheckNames(v)
	d := workflow.Read(r, r.Fields(v, workflow.Sections...))
	return d, r.Errors.InOrder()
}

func composed(t testing.TB, text, name string) workflow.Composition {
	t.Helper()
	c, found := workflow.Compose(read(t, text), name)
	require.True(t, found)
	c.Version = 1
	return c
}

const order = `
workflows:
  order: {activities: [validate, ship]}
plugins:
  b: {activity: validate, stage: pre}
  a: {activity: validate, stage: pre, order: 90}
  z: {activity: validate, stage: pre, order: 5}
  stock: {activity: validate, stage: parallel, filter: {country: [AT, DE], total: [{numeric: [">", 100]}]}}
  risky: {activity: validate, stage: parallel, mandatory: false}
  here: {activity: validate, stage: parallel, filter: {drover: {workflow: [order], activity: [validate], stage: [parallel], uid: [u], run: [1]}}}
  audit: {activity: [validate, ship], stage: post, overrides: {ship: {mandatory: false, filter: {vip: [true]}}}}
`

func subject(t testing.TB, text, name, metadata string) workflow.Subject {
	t.Helper()
	return workflow.Subject{Composition: composed(t, text, name), UID: "u", Run: 1, Metadata: json.RawMessage(metadata)}
}

func plan(t testing.TB, s workflow.Subject, activity int, stage workflow.Stage) workflow.Plan {
	t.Helper()
	p, err := s.Plan(workflow.Place{Activity: activity, Stage: stage})
	require.NoError(t, err)
	return p
}

func plugins(p workflow.Plan) []string {
	var out []string
	for _, t := range p.Turns {
		out = append(out, t.Plugin)
	}
	return out
}

func TestThePluginsOfAStageHaveAFixedOrder(t *testing.T) {
	s := subject(t, order, "order", `{}`)
	require.Equal(t, []string{"z", "a", "b"}, plugins(plan(t, s, 0, workflow.Pre)), "by order, then by name")
	require.Equal(t, []string{"here", "risky", "stock"}, plugins(plan(t, s, 0, workflow.Parallel)))
}

func TestAFilterDecidesBeforeAnythingIsStartedWhatIsWaitedFor(t *testing.T) {
	s := subject(t, order, "order", `{"country": "FR", "total": 300}`)

	p := plan(t, s, 0, workflow.Parallel)

	require.Equal(t, segment.Of(0, 1), p.Running(), "here by its place, risky without a filter")
	require.Contains(t, p.Turns[2].Reason, `country is "FR"`)
	require.Equal(t, segment.Of(0), p.Mandatory())
}

func TestAnOverrideHoldsInItsActivityAlone(t *testing.T) {
	s := subject(t, order, "order", `{"vip": true}`)
	require.True(t, plan(t, s, 0, workflow.Post).Turns[0].Mandatory)
	ship := plan(t, s, 1, workflow.Post).Turns[0]
	require.False(t, ship.Mandatory)
	require.True(t, ship.Matches)
	s.Metadata = json.RawMessage(`{"vip": false}`)
	require.True(t, plan(t, s, 0, workflow.Post).Turns[0].Matches)
	require.False(t, plan(t, s, 1, workflow.Post).Turns[0].Matches)
}

func TestPlacesSortInTheOrderOfARun(t *testing.T) {
	before := ""
	for _, p := range subject(t, order, "order", `{}`).Places() {
		require.Greater(t, p.String(), before)
		before = p.String()
		again, err := workflow.ParsePlace(before)
		require.NoError(t, err)
		require.Equal(t, p, again)
	}
	for _, text := range []string{"", "0#1", "000#3", "000#1x", "-01#1", "000#-1"} {
		_, err := workflow.ParsePlace(text)
		require.Error(t, err, text)
	}
}

func TestOverridesReplaceEachOption(t *testing.T) {
	d := read(t, `
plugins:
  p:
    activity: [a, b]
    stage: parallel
    timeout: 10m
    overrides: {b: {mandatory: false, order: 1, filter: {x: [1]}, timeout: 20, always_run: true}}
`)
	require.Equal(t, workflow.Part{Mandatory: true, Order: 90, Timeout: 10 * time.Minute}, d.Plugins["p"].In("a"))
	require.Equal(t, workflow.Part{Order: 1, Filter: json.RawMessage(`{"x":[1]}`), Timeout: 20 * time.Second, AlwaysRun: true}, d.Plugins["p"].In("b"))
}

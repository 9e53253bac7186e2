package sosw_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/sosw"
)

var now = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func row(more map[string]sosw.Attribute) map[string]sosw.Attribute {
	r := map[string]sosw.Attribute{"task_id": {Kind: "S", Text: "a"}, "labourer_id": {Kind: "S", Text: "f"}, "created_at": {Kind: "N", Text: "1700000000.25"},
		"greenfield": {Kind: "N", Text: "2000"}, "payload": {Kind: "S", Text: `{"n": 1}`}}
	for name, a := range more {
		if r[name] = a; a.Kind == "" {
			delete(r, name)
		}
	}
	return r
}

func TestARowThatCannotBeReadSaysWhy(t *testing.T) {
	n, s := func(text string) sosw.Attribute { return sosw.Attribute{Kind: "N", Text: text} }, func(text string) sosw.Attribute { return sosw.Attribute{Kind: "S", Text: text} }
	for _, c := range []struct {
		attribute string
		value     sosw.Attribute
		problem   string
	}{
		{"greenfield", s("2000"), `greenfield is the text "2000"; want a whole number`},
		{"greenfield", sosw.Attribute{}, "greenfield is missing; want a whole number"},
		{"greenfield", n("1.5"), "greenfield is 1.5; want a whole number"},
		{"greenfield", n("1e300"), "greenfield is 1e300; want a whole number"},
		{"greenfield", n("-3"), ""},
		{"attempts", n("2"), ""},
		{"attempts", sosw.Attribute{Kind: "NULL"}, ""},
		{"attempts", n("-1"), "attempts is -1; want a whole number"},
		{"attempts", n("1000000"), "attempts is 1000000; want a whole number"},
		{"created_at", s("today"), `created_at is the text "today"; want a number of seconds`},
		{"labourer_id", sosw.Attribute{}, "labourer_id is missing; want the name of a labourer"},
		{"payload", sosw.Attribute{}, ""},
		{"payload", s(`{"n": 1, "n": 2}`), "payload is no JSON object, so no worker could run it"},
		{"payload", s("null"), "payload is no JSON object, so no worker could run it"},
		{"payload", n("7"), "payload is 7; want the text of a JSON object"},
		{"payload", s(`{"drover": 1}`), "payload has an attribute drover, which Drover sets"},
	} {
		r := sosw.Read(sosw.Tasks, row(map[string]sosw.Attribute{c.attribute: c.value}))
		require.Equal(t, c.problem, r.Problem, "%s: %v", c.attribute, c.value)
	}
}

func TestTheStateOfARowIsThatOfSosw(t *testing.T) {
	lease := 20 * time.Minute
	delta := now.Add(sosw.InvocationDelta).Unix()
	for _, c := range []struct {
		table     sosw.Table
		place     int64
		scavenged bool
		state     sosw.State
	}{
		{sosw.Tasks, 2000, true, sosw.Queued},
		{sosw.Tasks, now.Unix() - 1, false, sosw.Queued},
		{sosw.Tasks, now.Unix(), false, sosw.Expired}, // sosw's scavenger takes it for expired too
		{sosw.Tasks, delta, false, sosw.Running},
		{sosw.Tasks, delta + 60, false, sosw.Running}, // the clocks differ
		{sosw.Tasks, delta - 1200, true, sosw.Running},
		{sosw.Tasks, delta - 1201, false, sosw.Expired},
		{sosw.Tasks, delta - 1201, true, sosw.Scavenging},
		{sosw.Retries, now.Unix() - 60, false, sosw.Retry},
		{sosw.Retries, now.Unix() + 60, true, sosw.Scavenging},
		{sosw.Retries, now.Unix() + 3600, true, sosw.Retry},
	} {
		r := sosw.Row{Key: sosw.Key{Table: c.table}, Place: c.place}
		require.Equal(t, c.state, sosw.Labourer{Lease: lease, Scavenged: c.scavenged}.StateOf(r, now), "%v", c)
	}
}

package job_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/job"
)

func planOf(t require.TestingT, text string, schema job.Schema, now time.Time) *job.Plan {
	j, err := job.Parse([]byte(text))
	require.NoError(t, err)
	plan, err := j.Plan(schema, now)
	require.NoError(t, err)
	return plan
}

// Each row has a job that sosw 0.7.47 mishandles, and the tasks that Drover makes from it.
func TestJobsThatSoswCrashedOnLostOrDoubled(t *testing.T) {
	two := job.Schema{ChunkableAttrs: []string{"section", "store"}}
	for _, c := range []struct {
		name   string
		schema job.Schema
		job    string
		tasks  []string
		field  string // the field at which the job is refused, if it has no tasks
	}{
		{"no schema at all crashed", job.Schema{}, `{"sections": ["a"], "isolate_sections": true}`, []string{`{"sections":["a"],"isolate_sections":true}`}, ""},
		{"a flat list on an outer level crashed", two, `{"sections": ["a", "b"]}`, []string{`{"sections":["a","b"]}`}, ""},
		{"a flat list on an outer level crashed beside a deeper flag", two, `{"sections": ["a", "b"], "isolate_stores": true}`, []string{`{"sections":["a","b"],"isolate_stores":true}`}, ""},
		{"one value on an outer level crashed", two, `{"sections": "a"}`, []string{`{"sections":"a"}`}, ""},
		{"a flat list in a cut level crashed one level on", shop, `{"sections": {"a": {"stores": ["x", "y"]}, "b": null}, "isolate_sections": true, "max_products_per_batch": 2}`, []string{
			`{"isolate_sections":true,"max_products_per_batch":2,"sections":["a"],"stores":["x","y"]}`,
			`{"isolate_sections":true,"max_products_per_batch":2,"sections":["b"]}`}, ""},
		{"a null size crashed", two, `{"sections": ["a", "b"], "isolate_sections": true, "max_sections_per_batch": null}`, []string{
			`{"isolate_sections":true,"max_sections_per_batch":null,"sections":["a"]}`,
			`{"isolate_sections":true,"max_sections_per_batch":null,"sections":["b"]}`}, ""},
		{"no task for an absent attribute", two, `{"isolate_sections": true, "x": 1}`, []string{`{"isolate_sections":true,"x":1}`}, ""},
		{"no task for a null attribute", two, `{"isolate_sections": true, "sections": null}`, []string{`{"isolate_sections":true,"sections":null}`}, ""},
		{"no task for the value 0", two, `{"isolate_sections": true, "sections": 0}`, []string{`{"isolate_sections":true,"sections":[0]}`}, ""},
		{"no task for an empty list", two, `{"isolate_sections": true, "sections": []}`, []string{}, ""},
		{"no task for an empty object", two, `{"isolate_sections": true, "sections": {}}`, []string{}, ""},
		{"no task for empty objects", two, `{"isolate_sections": true, "section": [{}, {}]}`, []string{}, ""},
		{"no task for an empty list on any day", two, `{"isolate_sections": true, "sections": [], "period": "last_2_days", "isolate_days": true}`, []string{}, ""},
		{"a branch without the attribute was dropped", two, `{"isolate_stores": true, "sections": {"a": {"stores": ["x"]}, "b": {"k": 1}, "c": {}}}`, []string{
			`{"isolate_stores":true,"sections":["a"],"stores":["x"]}`, `{"isolate_stores":true,"sections":["b"],"k":1}`, `{"isolate_stores":true,"sections":["c"]}`}, ""},
		{"a branch with an empty attribute was dropped", two, `{"isolate_stores": true, "sections": {"a": {"stores": ["x"]}, "b": {"stores": []}}}`, nil, "sections.b.stores"},
		{"empty values were dropped from the payload", two, `{"isolate_sections": true, "sections": {"a": {"stores": []}, "b": {"stores": ""}}}`, []string{
			`{"isolate_sections":true,"sections":["a"],"stores":[]}`, `{"isolate_sections":true,"sections":["b"],"stores":""}`}, ""},
		{"one value in singular was doubled", two, `{"isolate_sections": true, "section": "a"}`, []string{`{"isolate_sections":true,"sections":["a"]}`}, ""},
		{"values in singular were doubled", two, `{"max_sections_per_batch": 2, "section": ["a", "b", "c"]}`, []string{
			`{"max_sections_per_batch":2,"sections":["a","b"]}`, `{"max_sections_per_batch":2,"sections":["c"]}`}, ""},
		{"a deeper singular was doubled", two, `{"isolate_stores": true, "section": {"a": {"store": {"x": {"k": 1}}}}}`, []string{`{"isolate_stores":true,"sections":["a"],"stores":["x"],"k":1}`}, ""},
		{"singular and plural came in the order of a hash", two, `{"isolate_sections": true, "section": "a", "sections": ["b"]}`, nil, "section"},
		{"singular beside a null plural", two, `{"isolate_sections": true, "section": "a", "sections": null}`, []string{`{"isolate_sections":true,"sections":["a"]}`}, ""},
		{"keys of a section were lost beside a list that is not cut", two, `{"isolate_sections": true, "sections": {"a": {"stores": ["x", "y"], "k": 1}}}`, []string{`{"isolate_sections":true,"sections":["a"],"stores":["x","y"],"k":1}`}, ""},
		{"and beside an object of nulls", two, `{"isolate_sections": true, "sections": {"a": {"k": 1, "store": {"x": null, "y": null}}}}`, []string{`{"isolate_sections":true,"sections":["a"],"k":1,"stores":["x","y"]}`}, ""},
		{"and beside a single key", two, `{"isolate_sections": true, "sections": {"a": {"k": 1, "store": {"x": {"y": 1}}, "stores": null}}}`, []string{`{"isolate_sections":true,"sections":["a"],"k":1,"stores":[{"x":{"y":1}}]}`}, ""},
		{"the period was passed on raw", two, `{"period": "last_2_days", "isolate_days": true, "x": 1}`, []string{`{"date_list":["2026-11-20"],"x":1}`, `{"date_list":["2026-11-21"],"x":1}`}, ""},
		{"the dates were lost", two, `{"period": "last_2_days", "isolate_days": true, "sections": {"a": {"stores": ["x"]}}}`, []string{
			`{"date_list":["2026-11-20"],"sections":{"a":{"stores":["x"]}}}`, `{"date_list":["2026-11-21"],"sections":{"a":{"stores":["x"]}}}`}, ""},
		{"column names of sosw's own table crashed", two, `{"created_at": 1, "greenfield": 2, "attempts": 3, "labourer_id": "x", "strict": false}`, []string{`{"created_at":1,"greenfield":2,"attempts":3,"labourer_id":"x","strict":false}`}, ""},
		{"task_id crashed", two, `{"task_id": 1}`, nil, "task_id"},
		{"task_id crashed in the middle of the job", two, `{"isolate_sections": true, "sections": {"a": null, "b": {"task_id": 1}}}`, nil, "sections.b.task_id"},
		{"a size of 0 crashed", two, `{"sections": ["a"], "isolate_sections": true, "max_sections_per_batch": 0}`, nil, "max_sections_per_batch"},
		{"a negative size lost all values", two, `{"sections": ["a", "b"], "max_sections_per_batch": -1}`, nil, "max_sections_per_batch"},
		{"a period matched by its beginning", two, `{"period": "todayXYZ"}`, nil, "period"},
		{"name:alias was mistaken for the alias", two, `{"lambda_name": "w:prod", "x": 1}`, []string{`{"x":1}`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := c.job
			if !strings.Contains(text, "lambda_name") {
				text = `{"labourer":"w",` + text[1:]
			}
			if c.tasks == nil {
				require.Equal(t, c.field, refusal(t, text, c.schema).Field)
				return
			}
			tasks, err := expand([]byte(text), c.schema, noon)
			require.NoError(t, err)
			require.Len(t, tasks, len(c.tasks))
			for i := range tasks {
				require.JSONEq(t, c.tasks[i], tasks[i])
			}
		})
	}
}

func TestValuesAreCut(t *testing.T) {
	for _, c := range []struct {
		name, job string
		tasks     []string
	}{
		{"into single values", `{"sections": ["a", 1, true], "isolate_sections": true}`, []string{`{"isolate_sections":true,"sections":["a"]}`, `{"isolate_sections":true,"sections":[1]}`, `{"isolate_sections":true,"sections":[true]}`}},
		{"by the text True", `{"sections": ["a", "b"], "isolate_sections": "True"}`, []string{`{"isolate_sections":"True","sections":["a"]}`, `{"isolate_sections":"True","sections":["b"]}`}},
		{"not by false", `{"sections": ["a", "b"], "isolate_sections": false}`, []string{`{"isolate_sections":false,"sections":["a","b"]}`}},
		{"not by 0", `{"sections": ["a", "b"], "isolate_sections": -0.0e7}`, []string{`{"isolate_sections":-0.0e7,"sections":["a","b"]}`}},
		{"not by empty values", `{"sections": ["a", "b"], "isolate_sections": "", "isolate_section": []}`, []string{`{"isolate_sections":"","isolate_section":[],"sections":["a","b"]}`}},
		{"by a number", `{"sections": ["a", "b"], "isolate_sections": 0.1}`, []string{`{"isolate_sections":0.1,"sections":["a"]}`, `{"isolate_sections":0.1,"sections":["b"]}`}},
		{"into batches despite isolate", `{"sections": ["a", "b", "c"], "isolate_sections": true, "max_sections_per_batch": "2"}`, []string{`{"isolate_sections":true,"max_sections_per_batch":"2","sections":["a","b"]}`, `{"isolate_sections":true,"max_sections_per_batch":"2","sections":["c"]}`}},
		{"into batches of a number with a fraction", `{"sections": ["a", "b", "c"], "max_sections_per_batch": 2.9}`, []string{`{"max_sections_per_batch":2.9,"sections":["a","b"]}`, `{"max_sections_per_batch":2.9,"sections":["c"]}`}},
		{"into one batch of any size", `{"sections": ["a", "b"], "max_sections_per_batch": 1e300}`, []string{`{"max_sections_per_batch":1e300,"sections":["a","b"]}`}},
		{"with any batch size of absent values", `{"sections": {"a": null}, "isolate_sections": true, "max_products_per_batch": 0}`, []string{`{"isolate_sections":true,"max_products_per_batch":0,"sections":["a"]}`}},
		{"into batches of one by true", `{"sections": ["a", "b"], "max_sections_per_batch": true}`, []string{`{"max_sections_per_batch":true,"sections":["a"]}`, `{"max_sections_per_batch":true,"sections":["b"]}`}},
		{"into single values by the singular size", `{"sections": ["a", "b"], "max_section_per_batch": 2}`, []string{`{"max_section_per_batch":2,"sections":["a"]}`, `{"max_section_per_batch":2,"sections":["b"]}`}},
		{"of several objects", `{"sections": [{"a": null, "b": null}, {}, {"c": {"k": 1}}], "max_sections_per_batch": 2}`, []string{`{"max_sections_per_batch":2,"sections":["a","b"]}`, `{"max_sections_per_batch":2,"sections":["c"],"k":1}`}},
		{"in the order written", `{"sections": {"z": {}, "a": {}, "m": null}, "isolate_sections": 1}`, []string{`{"isolate_sections":1,"sections":["z"]}`, `{"isolate_sections":1,"sections":["a"]}`, `{"isolate_sections":1,"sections":["m"]}`}},
		{"in batches of an inner size over an outer one", `{"sections": {"a": {"stores": [1, 2, 3], "max_stores_per_batch": 3}, "b": {"stores": [1, 2, 3]}}, "max_stores_per_batch": 2}`, []string{
			`{"max_stores_per_batch":3,"sections":["a"],"stores":[1,2,3]}`, `{"max_stores_per_batch":2,"sections":["b"],"stores":[1,2]}`, `{"max_stores_per_batch":2,"sections":["b"],"stores":[3]}`}},
		{"not if an outer flag is false", `{"sections": {"a": {"stores": [1, 2], "isolate_stores": true}}, "isolate_stores": false, "isolate_sections": true}`, []string{`{"isolate_sections":true,"isolate_stores":true,"sections":["a"],"stores":[1,2]}`}},
		{"even if an inner flag is false", `{"sections": {"a": {"stores": [1, 2], "isolate_stores": false}}, "isolate_stores": true}`, []string{`{"isolate_stores":false,"sections":["a"],"stores":[1]}`, `{"isolate_stores":false,"sections":["a"],"stores":[2]}`}},
		{"but not attributes beside it", `{"sections": ["a", "b"], "stores": ["x", "y"], "isolate_sections": true, "isolate_stores": true}`, []string{`{"isolate_sections":true,"isolate_stores":true,"sections":["a"],"stores":["x","y"]}`, `{"isolate_sections":true,"isolate_stores":true,"sections":["b"],"stores":["x","y"]}`}},
		{"with attributes beside it replaced by inner ones", `{"stores": "all", "sections": {"a": {"stores": ["x"]}, "b": null}, "isolate_stores": true}`, []string{`{"isolate_stores":true,"sections":["a"],"stores":["x"]}`, `{"isolate_stores":true,"stores":"all","sections":["b"]}`}},
		{"with inner attributes over outer ones", `{"k": 0, "l": 0, "sections": {"a": {"k": 1, "stores": {"x": {"k": 2}, "y": {"l": 2}}}}, "isolate_stores": true}`, []string{`{"isolate_stores":true,"sections":["a"],"stores":["x"],"k":2,"l":0}`, `{"isolate_stores":true,"sections":["a"],"stores":["y"],"k":1,"l":2}`}},
		{"with a value's own list of values", `{"sections": {"a": {"sections": ["b"]}}, "isolate_sections": true}`, []string{`{"isolate_sections":true,"sections":["b"]}`}},
		{"because of something further down", `{"sections": {"a": null, "b": {"stores": {"x": null, "y": {"products": [1, 2], "isolate_product": 1}}}}}`, []string{
			`{"sections":["a"]}`, `{"sections":["b"],"stores":["x"]}`, `{"sections":["b"],"stores":["y"],"products":[1],"isolate_product":1}`, `{"sections":["b"],"stores":["y"],"products":[2],"isolate_product":1}`}},
		{"but not by a flag of another schema", `{"colours": ["red", "blue"], "isolate_colours": true, "max_colours_per_batch": 1}`, []string{`{"colours":["red","blue"],"isolate_colours":true,"max_colours_per_batch":1}`}},
		{"not at all, and left as written", `{"section": {"a": {"k": 1}}, "stores": {"x": null}}`, []string{`{"section":{"a":{"k":1}},"stores":{"x":null}}`}},
		{"with mixed lists that are not cut as written", `{"isolate_sections": true, "sections": {"a": {"stores": ["x", {"y": null}]}}}`, []string{`{"isolate_sections":true,"sections":["a"],"stores":["x",{"y":null}]}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tasks, err := expand([]byte(`{"labourer":"w",`+c.job[1:]), shop, noon)
			require.NoError(t, err)
			require.Len(t, tasks, len(c.tasks), "%v", tasks)
			for i := range tasks {
				require.JSONEq(t, c.tasks[i], tasks[i])
			}
		})
	}
}

func TestValuesThatCannotBeCutAreRefusedWithTheirPath(t *testing.T) {
	for _, c := range []struct{ job, field, reason string }{
		{`{"isolate_sections": true, "sections": ["a", ["b"]]}`, "sections[1]", `is ["b"]; want only text, numbers`},
		{`{"isolate_sections": true, "sections": ["a", null]}`, "sections[1]", "is null; want only text"},
		{`{"isolate_sections": true, "sections": [{"a": null}, "b"]}`, "sections[0]", `is {"a":null}; want only text`},
		{`{"isolate_sections": true, "sections": {"a": null, "b": true}}`, "sections.b", "is true; want null, or an object"},
		{`{"isolate_sections": true, "section": [{"a": null}, {"b.c": 1}]}`, `section[1]["b.c"]`, "is 1; want null"},
		{`{"isolate_stores": true, "sections": {"a": {"stores": {"x y": {"products": {}}}}, "": {"stores": [[]]}}}`, `sections[""].stores[0]`, "is []; want only text"},
		{`{"isolate_products": true, "sections": {"a": {"stores": {"x": {"products": 1}, "y": {"products": {"p": 0}}}}}}`, "sections.a.stores.y.products.p", "is 0; want null"},
		{`{"max_sections_per_batch": "many", "sections": ["a"]}`, "max_sections_per_batch", `is "many"; want a whole number from 1`},
		{`{"max_sections_per_batch": 0, "sections": ["a"]}`, "max_sections_per_batch", "is 0; want a whole number from 1"},
		{`{"max_sections_per_batch": -1e999, "sections": ["a"]}`, "max_sections_per_batch", "is -1e999"},
		{`{"max_sections_per_batch": [2], "sections": ["a"]}`, "max_sections_per_batch", "is [2]"},
		{`{"sections": {"a": {"max_stores_per_batch": "2.5", "stores": ["x"]}}}`, "sections.a.max_stores_per_batch", `is "2.5"`},
		{`{"max_stores_per_batch": 0, "sections": {"a": {"stores": ["x"]}}, "isolate_sections": true}`, "max_stores_per_batch", "is 0; want a whole number"},
		{`{"isolate_sections": true, "sections": {"a": {"max_products_per_batch": "x", "stores": {"b": {"products": [1]}}}}}`, "sections.a.max_products_per_batch", `is "x"`},
		{`{"isolate_sections": true, "sections": {"a": {"drover": 1}}}`, "sections.a.drover", "is a name that Drover gives every task"},
		{`{"isolate_products": true, "sections": {"a": {"stores": {"b": {"products": {"c": {"task_id": 1}}}}}}}`, "sections.a.stores.b.products.c.task_id", "is a name that Drover gives"},
		{`{"isolate_sections": true, "sections": {"a": {"stores": 1, "k": "` + strings.Repeat("é", 100) + `", "x": 1}, "b": "` + strings.Repeat("é", 100) + `"}}`, "sections.b", "… (202 bytes); want null"},
	} {
		wrong := refusal(t, `{"labourer":"w",`+c.job[1:], shop)
		require.Equal(t, c.field, wrong.Field, c.job)
		require.Contains(t, wrong.Reason, c.reason, c.job)
	}
}

func TestReservedNamesBelowTheTopArePayload(t *testing.T) {
	tasks, err := expand([]byte(`{"labourer": "w", "n": {"task_id": 1, "drover": 2}, "sections": {"a": {"task_id": 1}, "b": {"period": "x"}}}`), shop, noon)
	require.NoError(t, err)
	require.Equal(t, []string{`{"n":{"task_id":1,"drover":2},"sections":{"a":{"task_id":1},"b":{"period":"x"}}}`}, tasks)
}

func TestPeriodsAreCutAndTheirFlagsLeaveThePayload(t *testing.T) {
	months := job.Schema{ChunkableAttrs: []string{"month", "day"}}
	hour := func(h int) string { return fmt.Sprintf(`"2026-11-22T%02d:00:00Z"`, h) }
	for _, c := range []struct {
		name   string
		schema job.Schema
		job    string
		tasks  []string
	}{
		{"no period", shop, `{"isolate_days": true, "date_list": ["2001-01-01"]}`, []string{`{"date_list":["2001-01-01"]}`}},
		{"an empty period is none", shop, `{"period": "", "isolate_days": true}`, []string{`{}`}},
		{"false is no period", shop, `{"period": false, "isolate_weeks": true}`, []string{`{"isolate_weeks":true}`}},
		{"without a period the other flags are payload", shop, `{"isolate_hours": true, "isolate_weeks": 1, "isolate_months": 0}`, []string{`{"isolate_hours":true,"isolate_weeks":1,"isolate_months":0}`}},
		{"whole", shop, `{"period": "last_2_days", "date_list": 1, "isolate_days": false, "isolate_months": null, "time_zone": "UTC"}`, []string{`{"date_list":["2026-11-20","2026-11-21"]}`}},
		{"no days", shop, `{"period": "last_0_days", "x": 1}`, []string{`{"date_list":[],"x":1}`}},
		{"by weeks", shop, `{"period": {"from": "2026-11-20", "to": "2026-11-23"}, "isolate_weeks": true}`, []string{`{"date_list":["2026-11-20","2026-11-21"]}`, `{"date_list":["2026-11-22","2026-11-23"]}`}},
		{"by months", shop, `{"period": {"from": "2024-02-29", "to": "2024-03-01"}, "isolate_months": true}`, []string{`{"date_list":["2024-02-29"]}`, `{"date_list":["2024-03-01"]}`}},
		{"by the finest", shop, `{"period": {"from": "2024-02-29", "to": "2024-03-01"}, "isolate_months": true, "isolate_days": true}`, []string{`{"date_list":["2024-02-29"]}`, `{"date_list":["2024-03-01"]}`}},
		{"hours", shop, `{"period": "last_2_hours"}`, []string{`{"date_list":[` + hour(10) + `,` + hour(11) + `]}`}},
		{"hours by hours", shop, `{"period": "last_2_hours", "isolate_hours": "yes"}`, []string{`{"date_list":[` + hour(10) + `]}`, `{"date_list":[` + hour(11) + `]}`}},
		{"hours by days", shop, `{"period": {"from": "2026-11-21T23:00:00Z", "to": "2026-11-22T01:59:59Z"}, "isolate_days": true}`, []string{`{"date_list":["2026-11-21T23:00:00Z"]}`, `{"date_list":[` + hour(0) + `,` + hour(1) + `]}`}},
		{"hours of a zone", shop, `{"period": {"from": "2026-10-25T02:00", "to": "2026-10-25T02:00"}, "time_zone": "Europe/Berlin", "isolate_hours": true}`, []string{`{"date_list":["2026-10-25T02:00:00+02:00"]}`, `{"date_list":["2026-10-25T02:00:00+01:00"]}`}},
		{"days outside, values inside", shop, `{"period": "last_2_days", "isolate_days": true, "sections": ["a", "b"], "isolate_sections": true}`, []string{
			`{"date_list":["2026-11-20"],"isolate_sections":true,"sections":["a"]}`, `{"date_list":["2026-11-20"],"isolate_sections":true,"sections":["b"]}`,
			`{"date_list":["2026-11-21"],"isolate_sections":true,"sections":["a"]}`, `{"date_list":["2026-11-21"],"isolate_sections":true,"sections":["b"]}`}},
		{"a value's own dates win", shop, `{"period": "today", "sections": {"a": {"date_list": ["x"]}, "b": {"k": 1}}, "isolate_sections": true}`, []string{
			`{"isolate_sections":true,"sections":["a"],"date_list":["x"]}`, `{"date_list":["2026-11-22"],"isolate_sections":true,"sections":["b"],"k":1}`}},
		{"months that are values", months, `{"period": "last_2_days", "isolate_months": true, "months": ["2026-01", "2026-02"]}`, []string{
			`{"date_list":["2026-11-20","2026-11-21"],"isolate_months":true,"months":["2026-01"]}`, `{"date_list":["2026-11-20","2026-11-21"],"isolate_months":true,"months":["2026-02"]}`}},
		{"months that are values, of days that are values", months, `{"isolate_days": true, "months": {"jan": {"days": [1, 2], "isolate_days": true}}}`, []string{
			`{"months":["jan"],"days":[1],"isolate_days":true}`, `{"months":["jan"],"days":[2],"isolate_days":true}`}},
		{"steering attributes deeper down are payload", shop, `{"sections": {"a": {"period": "x", "max_attempts": "y", "labourer": "z"}}, "isolate_sections": true}`, []string{`{"isolate_sections":true,"sections":["a"],"period":"x","max_attempts":"y","labourer":"z"}`}},
		{"what steers leaves the payload", shop, `{"job_id": "1", "job_schema_name": "default", "not_before": "2030-01-01", "max_attempts": 1, "max_duration": 1, "time_zone": "Asia/Tokyo"}`, []string{`{"job_schema_name":"default"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tasks, err := expand([]byte(`{"labourer":"w",`+c.job[1:]), c.schema, noon)
			require.NoError(t, err)
			require.Len(t, tasks, len(c.tasks), "%v", tasks)
			for i := range tasks {
				require.JSONEq(t, c.tasks[i], tasks[i])
			}
		})
	}
}

func TestDaysOf23And25HoursHaveThatManyTasks(t *testing.T) {
	for date, hours := range map[string]int{"2026-03-28": 24, "2026-03-29": 23, "2026-10-25": 25} {
		text := fmt.Sprintf(`{"labourer": "w", "period": {"from": %q, "to": %q}, "time_zone": "Europe/Berlin", "isolate_hours": true}`, date, date)
		require.Equal(t, hours, planOf(t, text, shop, noon).Len(), date)
	}
}

func TestTodayIsADayOfTheJobsTimeZone(t *testing.T) {
	late := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)
	for zone, want := range map[string]string{"UTC": "2026-11-22", "Asia/Tokyo": "2026-11-23"} {
		payload, err := planOf(t, `{"labourer": "w", "period": "today", "time_zone": "`+zone+`"}`, shop, late).Payload(0)
		require.NoError(t, err)
		require.Equal(t, `{"date_list":["`+want+`"]}`, string(payload))
	}
}

func TestPeriodsThatCannotBeCutAreRefused(t *testing.T) {
	for _, c := range []struct{ job, field, reason string }{
		{`{"period": "last_0_days", "isolate_days": true}`, "period", `"last_0_days" has no days, so isolate_days would make no task`},
		{`{"period": "last_3_weeks", "isolate_weeks": true, "isolate_months": true}`, "isolate_weeks", "a week may span two months"},
		{`{"period": "last_800000_days", "isolate_days": true}`, "period", "before the year 0001"},
		{`{"period": {"from": "2026-03-29T02:30", "to": "2026-03-30"}, "time_zone": "Europe/Berlin"}`, "period.from", "does not exist in Europe/Berlin"},
		{`{"period": {"from": "0001-01-01", "to": "9999-12-31"}}`, "period", "makes a task's payload 47476782 bytes long; want at most 1048576: cut it into more tasks"},
	} {
		wrong := refusal(t, `{"labourer":"w",`+c.job[1:], shop)
		require.Equal(t, c.field, wrong.Field, c.job)
		require.Contains(t, wrong.Reason, c.reason, c.job)
	}
}

func TestAPayloadOverTheLimitIsRefusedAtItsLargestAttribute(t *testing.T) {
	big := strings.Repeat("x", 990_000)
	years := `"period": {"from": "2000-01-01", "to": "2013-12-31"}` // 5114 days, 66 kB
	for _, c := range []struct{ name, job, field string }{
		{"an attribute", `{` + years + `, "note": "` + big + `"}`, "note"},
		{"a section's attribute", `{` + years + `, "sections": {"a": {"k": 1}, "b": {"note": "` + big + `"}}, "isolate_sections": true}`, "sections.b.note"},
		{"a batch", `{` + years + `, "sections": ["` + big + `", "y"], "max_sections_per_batch": 2}`, "sections"},
		{"dates", `{"period": {"from": "1810-01-01", "to": "2013-12-31"}, "note": "` + big[:200_000] + `", "sections": ["a"], "isolate_sections": true}`, "period"},
	} {
		wrong := refusal(t, `{"labourer":"w",`+c.job[1:], sections)
		require.Equal(t, c.field, wrong.Field, c.name)
		require.Contains(t, wrong.Reason, "want at most 1048576", c.name)
	}
	hidden := `{"labourer":"w", ` + years + `, "note": "` + big[:975_000] + `", "sections": {"a": {"note": 1}}, "isolate_sections": true}`
	require.Equal(t, 1, planOf(t, hidden, sections, noon).Len(), "a replaced attribute does not count")
	inner := `{"labourer":"w", ` + years + `, "sections": {"a": {"date_list": 1, "note": "` + big + `"}}, "isolate_sections": true}`
	require.Equal(t, 1, planOf(t, inner, sections, noon).Len(), "nor do replaced dates")
	beside := `{"labourer":"w", ` + years + `, "stores": "` + big + `", "sections": {"a": {"stores": ["x"]}}, "isolate_stores": true}`
	require.Equal(t, 1, planOf(t, beside, shop, noon).Len(), "nor an attribute that a batch replaces")
}

func TestAPlanWhosePayloadsPassTheirTargetsLimitIsRefused(t *testing.T) {
	plan := planOf(t, `{"labourer": "w", "note": "`+strings.Repeat("x", 300_000)+`", "sections": {"a": {"k": 1}, "b": {"note": "short"}}, "isolate_sections": true}`, sections, noon)
	largest := 0
	for k := range plan.Len() {
		payload, err := plan.Payload(k)
		require.NoError(t, err)
		largest = max(largest, len(payload))
	}
	require.NoError(t, plan.Fits(largest))

	err := plan.Fits(largest - 1)

	var wrong *job.Error
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "note", wrong.Field)
	require.Contains(t, wrong.Reason, fmt.Sprintf("makes a task's payload %d bytes long; want at most %d", largest, largest-1))
}

func TestTheLimitOfAPayloadIsExact(t *testing.T) {
	text := func(note int) string {
		return fmt.Sprintf(`{"labourer": "w", "period": "last_5000_days", "k": "hidden", "note": %q, "sections": {"a": {"k": 1, "stores": ["ab", "c", "def"], "max_stores_per_batch": 2}}}`, strings.Repeat("x", note))
	}
	plan := planOf(t, text(100_000), shop, noon)
	first, err := plan.Payload(0)
	require.NoError(t, err)
	room := job.MaxPayloadBytes - len(first)
	exact, err := planOf(t, text(100_000+room), shop, noon).Payload(0)
	require.NoError(t, err)
	require.Len(t, exact, job.MaxPayloadBytes)
	require.Contains(t, refusal(t, text(100_001+room), shop).Reason, "makes a task's payload 1048577 bytes long")
}

func TestAPlanOfTooManyTasksIsRefusedWithTheNumber(t *testing.T) {
	for _, c := range []struct {
		job, field string
		tasks      int
	}{
		{`{"period": {"from": "0001-01-01", "to": "9999-12-31"}, "isolate_days": true}`, "period", 3652059},
		{`{"period": {"from": "0001-01-01", "to": "9999-12-31"}, "isolate_hours": true, "sections": ["a", "b"], "isolate_sections": true}`, "period", 2 * 24 * 3652059},
		{`{"period": "today", "sections": [1, 2, 3], "isolate_sections": true}`, "sections", 3},
		{`{"section": {"a": {"stores": [1, 2, 3]}}, "isolate_stores": true}`, "section", 3},
	} {
		plan := planOf(t, `{"labourer":"w",`+c.job[1:], shop, noon)
		require.Equal(t, c.tasks, plan.Len())
		require.NoError(t, plan.Within(c.tasks))
		var wrong *job.Error
		require.ErrorAs(t, plan.Within(c.tasks-1), &wrong)
		require.Equal(t, c.field, wrong.Field)
		require.Equal(t, fmt.Sprintf("would make the job %d tasks; want at most %d", c.tasks, c.tasks-1), wrong.Reason)
	}
}

func TestTenThousandYearsOfHoursAreAddressable(t *testing.T) {
	plan := planOf(t, `{"labourer": "w", "period": {"from": "0001-01-01", "to": "9999-12-31"}, "isolate_hours": true}`, shop, noon)
	last, err := plan.Payload(plan.Len() - 1)
	require.NoError(t, err)
	require.Equal(t, `{"date_list":["9999-12-31T23:00:00Z"]}`, string(last))
}

func TestATaskOutsideThePlanIsAnError(t *testing.T) {
	plan := planOf(t, `{"labourer": "w"}`, shop, noon)
	for _, k := range []int{-1, 1} {
		_, err := plan.Payload(k)
		require.EqualError(t, err, fmt.Sprintf("task %d is not in a plan of 1 tasks", k))
	}
}

func TestAttributesNestToAnyDepth(t *testing.T) {
	schema, text, want := job.Schema{}, `null`, `{"isolate_x99":1`
	for i := range 100 {
		schema.ChunkableAttrs = append(schema.ChunkableAttrs, fmt.Sprintf("x%d", i))
		text = fmt.Sprintf(`{"x%ds": {"v": %s}}`, 99-i, text)
		want += fmt.Sprintf(`,"x%ds":["v"]`, i)
	}
	tasks, err := expand([]byte(`{"labourer": "w", "isolate_x99": 1, `+text[1:]), schema, noon)
	require.NoError(t, err)
	require.Equal(t, []string{want + "}"}, tasks)
}

// tree holds a random job, and the tasks that it must make.
type tree struct {
	text  string
	tasks []string // as compact JSON with sorted keys
}

// drawTree draws a job whose levels are all cut. Values may have their own attributes, and each level may have a batch size.
func drawTree(t *rapid.T) tree {
	depth := rapid.IntRange(1, 3).Draw(t, "depth")
	days := rapid.IntRange(0, 3).Draw(t, "days") // 0: no period
	next := 0
	value := func() string { next++; return fmt.Sprintf("v%d", next) }
	root := map[string]any{"isolate_" + shop.ChunkableAttrs[depth-1] + "s": true}
	if rapid.Bool().Draw(t, "extra") {
		root["extra"] = []any{"x", nil}
	}
	var tasks []map[string]any
	var level func(i int, above map[string]any) string // returns the level's attributes as members of an object
	level = func(i int, above map[string]any) string {
		attribute := shop.ChunkableAttrs[i] + "s"
		n := rapid.IntRange(1, 4).Draw(t, "values")
		if i+1 < depth && rapid.IntRange(0, 3).Draw(t, "deeper") > 0 {
			var members []string
			for range n {
				name := value()
				task := with(above, attribute, []any{name})
				below := "null"
				if kind := rapid.IntRange(0, 4).Draw(t, "below"); kind > 1 || len(members) == 0 {
					own := value()
					below = fmt.Sprintf(`{"own%d": %q, %s}`, i, own, level(i+1, with(task, fmt.Sprintf("own%d", i), own)))
				} else {
					tasks = append(tasks, task)
				}
				members = append(members, fmt.Sprintf("%q: %s", name, below))
			}
			return fmt.Sprintf("%q: {%s}", attribute, strings.Join(members, ", "))
		}
		// Where the tree ends above the attribute that is isolated everywhere, this level is cut only if it has a size.
		size, flag := 1, ""
		if i+1 < depth || rapid.Bool().Draw(t, "batches") {
			size = rapid.IntRange(1, 5).Draw(t, "size")
			flag = fmt.Sprintf(`"max_%s_per_batch": %d, `, attribute, size)
			above = with(above, "max_"+attribute+"_per_batch", json.Number(fmt.Sprint(size)))
		}
		names := make([]any, n)
		members, list := []string{}, []string{}
		for j := range names {
			name := value()
			names[j] = name
			members, list = append(members, fmt.Sprintf("%q: null", name)), append(list, fmt.Sprintf("%q", name))
		}
		for from := 0; from < n; from += size {
			tasks = append(tasks, with(above, attribute, names[from:min(from+size, n)]))
		}
		if rapid.Bool().Draw(t, "object") {
			return fmt.Sprintf("%s%q: {%s}", flag, attribute, strings.Join(members, ", "))
		}
		return fmt.Sprintf("%s%q: [%s]", flag, attribute, strings.Join(list, ", "))
	}
	body := level(0, root)
	text := fmt.Sprintf(`{"labourer": "w", "isolate_%ss": true, `, shop.ChunkableAttrs[depth-1])
	if _, ok := root["extra"]; ok {
		text += `"extra": ["x", null], `
	}
	made := tree{}
	dates := []any{nil}
	if days > 0 {
		text += fmt.Sprintf(`"period": "last_%d_days", "isolate_days": true, `, days)
		dates = nil
		for d := days; d > 0; d-- {
			dates = append(dates, []any{noon.AddDate(0, 0, -d).Format(time.DateOnly)})
		}
	}
	made.text = text + body + "}"
	for _, date := range dates {
		for _, task := range tasks {
			if date != nil {
				task = with(task, "date_list", date)
			}
			encoded, err := json.Marshal(task)
			require.NoError(t, err)
			made.tasks = append(made.tasks, string(encoded))
		}
	}
	return made
}

func with(attributes map[string]any, name string, value any) map[string]any {
	more := map[string]any{name: value}
	for k, v := range attributes {
		if k != name {
			more[k] = v
		}
	}
	return more
}

func sorted(t require.TestingT, payload string) string {
	var attributes map[string]any
	digits := json.NewDecoder(strings.NewReader(payload))
	digits.UseNumber() // keeps numbers as written
	require.NoError(t, digits.Decode(&attributes))
	text, err := json.Marshal(attributes)
	require.NoError(t, err)
	return string(text)
}

func TestTheTasksHaveAllValuesOnceInOrderInBatchesOfTheirSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		made := drawTree(t)
		tasks, err := expand([]byte(made.text), shop, noon)
		require.NoError(t, err, made.text)
		for i := range tasks {
			tasks[i] = sorted(t, tasks[i])
		}
		require.Equal(t, made.tasks, tasks, made.text)
	})
}

func TestATaskIsTheSameInAnyOrderOfRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		made := drawTree(t)
		tasks, err := expand([]byte(made.text), shop, noon)
		require.NoError(t, err)
		plan := planOf(t, made.text, shop, noon)
		order := make([]int, len(tasks))
		for k := range order {
			order[k] = k
		}
		for _, k := range rapid.Permutation(order).Draw(t, "order") {
			payload, err := plan.Payload(k)
			require.NoError(t, err)
			require.Equal(t, tasks[k], string(payload), "task %d", k)
		}
	})
}

func TestTheCanonicalTextIsAJobWithTheSameTasks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		made := drawTree(t)
		j, err := job.Parse([]byte(made.text))
		require.NoError(t, err)
		canonical := j.Canonical()
		again, err := job.Parse(canonical)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(again.Canonical()))
		tasks, err := expand(canonical, shop, noon)
		require.NoError(t, err)
		for i := range tasks {
			tasks[i] = sorted(t, tasks[i])
		}
		require.Equal(t, made.tasks, tasks)
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"labourer": "w"}`,
		`{"job": {"lambda_name": "arn:aws:lambda:us-west-2:000000000000:function:w:prod", "job_id": "a"}}`,
		`"{\"job\": \"{\\\"labourer\\\": \\\"w\\\"}\"}"`,
		`{"labourer": "w", "period": {"from": "2026-01-01", "to": "2026-01-02T05:00"}, "isolate_hours": true, "time_zone": "Europe/Berlin"}`,
		`{"labourer": "w", "period": "last_3_weeks", "isolate_months": 1, "sections": {"a": {"stores": ["x", 1, true], "k": null}, "b": null}, "isolate_stores": "x"}`,
		`{"labourer": "w", "sections": [{"a": null}, {"b": {"store": {"c": {"products": {"p": {}, "q": null}}}}}], "max_products_per_batch": 2}`,
		`{"labourer": "w", "section": "a", "sections": null, "isolate_section": true, "max_sections_per_batch": "7"}`,
		`{"labourer": "w", "t": "\ud83d\ude00\u0000\u2028<>", "n": [-0, 1e5, 2.50], "t": {"t": {"t": []}}}`,
		`{"labourer": "w", "not_before": "2030-01-01", "max_attempts": 3, "max_duration": "90s", "job_schema_name": "x", "date_list": 1}`,
		`{"labourer":`, `[[[[`, `{"job": 1}`, "\xff", `"\ud800"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		j, err := job.Parse(text)
		if err != nil {
			var wrong *job.Error
			require.ErrorAs(t, err, &wrong)
			require.NotEmpty(t, wrong.Field)
			return
		}
		require.NotEmpty(t, j.Labourer)
		canonical := j.Canonical()
		require.True(t, json.Valid(canonical), "%s", canonical)
		again, err := job.Parse(canonical)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(again.Canonical()))
		j.Doubts(shop)
		plan, err := j.Plan(shop, noon)
		if err != nil {
			var wrong *job.Error
			require.ErrorAs(t, err, &wrong)
			return
		}
		same, err := again.Plan(shop, noon)
		require.NoError(t, err)
		require.Positive(t, plan.Len())
		require.Equal(t, plan.Len(), same.Len())
		for _, k := range []int{0, plan.Len() / 2, plan.Len() - 1} {
			payload, err := plan.Payload(k)
			require.NoError(t, err)
			require.LessOrEqual(t, len(payload), job.MaxPayloadBytes)
			var attributes map[string]json.RawMessage // RawMessage, because a number may exceed any float
			require.NoError(t, json.Unmarshal(payload, &attributes))
			require.NotContains(t, attributes, "task_id")
			require.NotContains(t, attributes, "drover")
			other, err := same.Payload(k)
			require.NoError(t, err)
			require.Equal(t, sorted(t, string(payload)), sorted(t, string(other)))
		}
	})
}

package labourer

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// soswDefaults is what a configuration of sosw's says for all its labourers and metrics.
type soswDefaults struct {
	labourers   []value // the mappings called so, for sosw has one in the configuration of each of its functions
	maxAttempts map[string]value
	limit       value
	coefficient value
	details     map[string]value // of metrics that do not say themselves
	window      time.Duration
	schema      value
	variants    value
	schemas     value // Drover's own job_schemas, in the same file
}

// soswWindow is the time over which sosw took a metric's value where nothing was said (MetricAggregationTimeSlice).
const soswWindow = 5 * time.Minute

// soswWrappers are the names under which sosw keeps configurations within another, and those that its documentation gives them.
var soswWrappers = []string{
	"task_config", "task_client_config",
	"orchestrator_config", "scheduler_config", "scavenger_config", "worker_assistant_config", "essential_config",
	"sosw_orchestrator_config", "sosw_scheduler_config", "sosw_scavenger_config", "sosw_worker_assistant_config", "sosw_essential_config",
}

// soswCarried are the settings that have a counterpart here.
var soswCarried = []string{
	"labourers", "job_schema", "job_schema_variants", "max_attempts", "max_simultaneous_invocations", "invocation_number_coefficient", "ecology_config",
}

// soswLeft are sosw's settings without a counterpart, and why there is none.
var soswLeft = map[string]string{
	"dynamo_db_config":                        "the tables are those of the stack",
	"dynamo_client_config":                    "the tables are those of the stack",
	"sosw_closed_tasks_table":                 "the tables are those of the stack",
	"sosw_closed_tasks_labourer_status_index": "the tables are those of the stack",
	"sosw_retry_tasks_table":                  "the tables are those of the stack",
	"sosw_retry_tasks_greenfield_index":       "the tables are those of the stack",
	"greenfield_invocation_delta":             "the order of tasks is that of the times when they became due",
	"greenfield_task_step":                    "the order of tasks is that of the times when they became due",
	"max_closed_to_analyse_for_duration":      "a lease is max_duration + cooldown, whatever runs took before",
	"default_simultaneous_invocations":        "sosw never read it; max_simultaneous_invocations is 1 where nothing is said",
	"retry_tasks_limit":                       "retries are due by time, as many as there are",
	"queue_bucket":                            "the scheduler needs no file of its queue",
	"queue_file":                              "the scheduler needs no file of its queue",
	"s3_prefix":                               "the scheduler needs no file of its queue",
	"rows_to_process":                         "the scheduler needs no file of its queue",
	"shutdown_period":                         "the scheduler goes on by itself where its time ended",
	"task_operational_overhead_for_ddb":       "the tables are on demand",
	"custom_period_patterns":                  "it calls Python code of your own; exact ranges ({from, to}) take its place",
	"siblings_config":                         "the scheduler goes on by itself where its time ended",
	"auto_spawning":                           "the scheduler goes on by itself where its time ended",
	"meta_handler_config":                     "every attempt is kept with its task and in the archive",
	"write_meta_to_ddb":                       "every attempt is kept with its task and in the archive",
	"sns_config":                              "dead tasks go to the stack's alarm topic",
	"dead_sns_topic":                          "dead tasks go to the stack's alarm topic",
	"init_clients":                            "there is nothing to wire",
	"sosw_worker_assistant_lambda":            "the worker assistant is that of the stack",
	"sosw_worker_assistant_lambda_name":       "the worker assistant is that of the stack",
	"lifetime_stats_params":                   "it is about sosw's own statistics",
	"dont_json_loads_results":                 "payloads stay as they were written",
	"region_name":                             "the region is that of the stack",
	"test":                                    "it is about sosw's own tests",
}

// isSosw tells whether a document is a configuration of sosw's: by a setting that only sosw has, whose name it returns, or by a labourer
// with an `arn` beside settings that Drover has not.
func isSosw(root value) (mark string, is bool) {
	stranger := false
	for _, m := range root.node.members {
		name := strings.ToLower(m.key)
		switch {
		case slices.Contains(soswWrappers, name) || slices.Contains(soswMarks, name) || strings.HasPrefix(name, "sosw_"):
			return m.key, true
		case name != "labourers" && name != "job_schemas":
			stranger = true
		}
	}
	return "", stranger && someLabourer(root, "arn")
}

// someLabourer tells whether a labourer of the document has a field.
func someLabourer(root value, field string) bool {
	return slices.ContainsFunc(root.node.members, func(m member) bool {
		return m.key == "labourers" && slices.ContainsFunc(m.value.members, func(l member) bool { return l.value.has(field) })
	})
}

// sayMixed warns of a setting of sosw's in a file that is plainly Drover's own by the `target` of a labourer: because of that setting the
// whole file is read as sosw would read it.
func (r *reader) sayMixed(root value, mark string) {
	if mark == "" || !someLabourer(root, "target") {
		return
	}
	for name, at := range r.members(root) {
		if name == mark {
			r.warn(at, "is a setting of sosw's, so this file is read as sosw's: what it leaves out gets sosw's defaults; Drover's own settings are labourers and job_schemas")
		}
	}
}

// soswMarks are settings that nobody has who has no sosw.
var soswMarks = []string{
	"job_schema", "job_schema_variants", "invocation_number_coefficient", "ecology_config", "dynamo_db_config",
	"greenfield_invocation_delta", "greenfield_task_step", "default_simultaneous_invocations", "siblings_config", "meta_handler_config",
}

// readSosw takes a configuration of sosw's: of any of its functions, of its task client (`task_config`, TASK_CLIENT_CONFIG), or several of
// them in one document.
func (r *reader) readSosw(root value, c *Configuration) {
	s := &soswDefaults{maxAttempts: map[string]value{}, details: map[string]value{}, window: soswWindow}
	r.sosw = s
	r.gather(root)

	base := New("")
	if s.limit.node != nil {
		if n, ok := r.decimal(s.limit, 0, MaxCap); ok {
			base.MaxSimultaneousInvocations = n
		}
	}
	base.MaxAttempts = r.soswAttempts("", base.MaxAttempts)
	if s.coefficient.node != nil {
		base.Coefficients = r.coefficients(s.coefficient, base.Coefficients)
	}
	for _, labourers := range s.labourers {
		for id, at := range r.named(labourers) {
			l := base
			l.ID = id
			l.MaxAttempts = r.soswAttempts(id, base.MaxAttempts)
			r.addLabourer(c, at, r.labourer(at, l))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.maxAttempts)) {
		if _, ok := c.Labourers[id]; !ok && id != "" {
			r.notCarriedOver(s.maxAttempts[id], "there is no labourer "+shownBare(id))
		}
	}
	r.soswSchemas(c)
}

func (r *reader) soswAttempts(id string, standing int) int {
	v, ok := r.sosw.maxAttempts[id]
	if !ok {
		return standing
	}
	if n, ok := r.whole(v, 1, MaxMaxAttempts); ok {
		return n
	}
	return standing
}

// gather sorts the settings of a configuration, and of those within it, into what is carried over and what is listed.
func (r *reader) gather(v value) {
	s := r.sosw
	for key, at := range r.members(v) {
		name := strings.ToLower(key)
		reason, left := soswLeft[name]
		switch {
		case at.kind == nothing:
		case slices.Contains(soswWrappers, name):
			r.gather(at)
		case name == "labourers":
			s.labourers = append(s.labourers, at)
		case name == "job_schemas":
			r.keep(&s.schemas, at)
		case name == "job_schema":
			r.keep(&s.schema, at)
		case name == "job_schema_variants":
			r.keep(&s.variants, at)
		case name == "invocation_number_coefficient":
			r.keep(&s.coefficient, at)
		case name == "max_simultaneous_invocations":
			r.keep(&s.limit, at)
		case name == "ecology_config":
			r.gatherEcology(at)
		case name == "max_attempts" || strings.HasPrefix(name, "max_attempts_"):
			id := strings.TrimPrefix(key[len("max_attempts"):], "_")
			kept := s.maxAttempts[id]
			r.keep(&kept, at)
			s.maxAttempts[id] = kept
		case left:
			r.notCarriedOver(at, reason)
		case nearest(key, slices.Concat(soswCarried, soswWrappers[:2])) != "":
			r.refuse(at, "is not known to sosw; did you mean %s?", nearest(key, slices.Concat(soswCarried, soswWrappers[:2])))
		default:
			r.notCarriedOver(at, "it has no counterpart")
		}
	}
}

// keep takes the value of a setting; the same setting elsewhere in the document must have the same value.
func (r *reader) keep(kept *value, at value) {
	if kept.node != nil && !same(kept.node, at.node) {
		r.refuse(at, "is set otherwise as %s in line %d", kept.path, kept.line)
		return
	}
	*kept = at
}

// same tells whether two values mean the same; the order in mappings does not matter.
func same(a, b *node) bool {
	if a.kind != b.kind || a.text != b.text || len(a.members) != len(b.members) {
		return false
	}
	for _, m := range a.members {
		if !slices.ContainsFunc(b.members, func(other member) bool { return other.key == m.key && same(other.value, m.value) }) {
			return false
		}
	}
	return slices.EqualFunc(a.items, b.items, same)
}

func (r *reader) gatherEcology(v value) {
	for name, at := range r.members(v) {
		if name != "default_metric_values" {
			r.notCarriedOver(at, "of ecology_config only default_metric_values has a counterpart")
			continue
		}
		for detail, at := range r.fields(at, plainDetails...) {
			kept := r.sosw.details[detail]
			r.keep(&kept, at)
			r.sosw.details[detail] = kept
		}
	}
	if v, ok := r.sosw.details["MetricAggregationTimeSlice"]; ok {
		if window, ok := r.duration(v, time.Second); ok {
			r.sosw.window = window
		}
	}
}

// inheritDetails fills in what sosw's default_metric_values say, but for the window, which depends on the period.
func (r *reader) inheritDetails(fields map[string]value) {
	if r.sosw == nil {
		return
	}
	for name, v := range r.sosw.details {
		_, said := fields[name]
		_, percentile := fields["ExtendedStatistics"]
		if said || name == "MetricAggregationTimeSlice" || (name == "Statistics" && percentile) {
			continue
		}
		fields[name] = v
	}
}

// soswSchemas names the schemas. sosw's `job_schema` gave way to the default variant at every call; where that has nothing to chunk by, the
// call failed, so that job_schema is plainly what was meant.
func (r *reader) soswSchemas(c *Configuration) {
	s := r.sosw
	for _, v := range []value{s.variants, s.schemas} {
		if v.node == nil {
			continue
		}
		for name, at := range r.named(v) {
			r.addSchema(c, at, name, r.schema(at))
		}
	}
	if s.schema.node == nil || (s.schema.kind == mapping && len(s.schema.node.members) == 0) {
		return
	}

	if r.schemasByName(s.schema) {
		return
	}
	schema := r.schema(s.schema)
	standing := c.JobSchemas["default"]
	switch {
	case len(standing.ChunkableAttrs) == 0:
		c.JobSchemas["default"] = schema
		c.origins[join("job_schemas", "default")] = Error{File: r.file, Line: s.schema.line, Path: s.schema.path}
	case !slices.Equal(standing.ChunkableAttrs, schema.ChunkableAttrs):
		r.notCarriedOver(s.schema, "the default of job_schema_variants takes its place, as in sosw")
	}
}

// schemasByName refuses a job_schema that holds schemas by their names, and tells whether it does: read as one schema it would have
// nothing to chunk by.
func (r *reader) schemasByName(v value) bool {
	if v.kind != mapping || v.has("chunkable_attrs") || !slices.ContainsFunc(v.node.members, func(m member) bool { return m.value.has("chunkable_attrs") }) {
		return false
	}
	r.refuse(v, "is one schema, {chunkable_attrs: [...]}, and this holds schemas by their names: that is job_schemas, or sosw's job_schema_variants")
	return true
}

// notCarriedOver lists a setting, unless it is empty.
func (r *reader) notCarriedOver(v value, why string) {
	if v.kind == nothing || (v.kind == mapping && len(v.node.members) == 0) || (v.kind == list && len(v.items) == 0) {
		return
	}
	r.warn(v, "is not carried over: %s", why)
}

// soswAttributes are what sosw keeps with a labourer while it runs, and lets a configuration set.
var soswAttributes = []string{"id", "start", "invoked", "expired", "health", "average_duration"}

// labourerFields is the definition's fields, with sosw's names for them translated where it is one of sosw's: in a
// configuration of sosw's, or with an `arn`.
func (r *reader) labourerFields(v value) map[string]value {
	if r.sosw == nil && !v.has("arn") {
		return r.fields(v, droverFields...)
	}
	fields := r.fields(v, slices.Concat(droverFields, soswAttributes, []string{"arn", "duration"})...)
	for _, name := range soswAttributes {
		if at, ok := fields[name]; ok {
			r.notCarriedOver(at, "sosw finds it out by itself when it runs")
		}
	}
	if at, ok := fields["duration"]; ok {
		if _, twice := fields["max_duration"]; twice {
			r.refuse(at, "is sosw's word for max_duration, and there is a max_duration already")
		}
		fields["max_duration"] = at
	}
	return fields
}

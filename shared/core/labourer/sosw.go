package labourer

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/document"
)

// soswDefaults holds the settings of a sosw configuration that apply to all its labourers and metrics.
type soswDefaults struct {
	labourers   []document.Value // the mappings with that name; sosw has one in the configuration of each of its functions
	maxAttempts map[string]document.Value
	limit       document.Value
	coefficient document.Value
	details     map[string]document.Value // for metrics without their own
	window      time.Duration
	schema      document.Value
	variants    document.Value
	schemas     document.Value // Drover's own job_schemas, in the same file
}

// soswWindow is sosw's default for the window of a metric's value (MetricAggregationTimeSlice).
const soswWindow = 5 * time.Minute

// soswWrappers lists the names under which sosw nests configurations, and those in its documentation.
var soswWrappers = []string{
	"task_config", "task_client_config",
	"orchestrator_config", "scheduler_config", "scavenger_config", "worker_assistant_config", "essential_config",
	"sosw_orchestrator_config", "sosw_scheduler_config", "sosw_scavenger_config", "sosw_worker_assistant_config", "sosw_essential_config",
}

// soswCarried lists the settings that have a counterpart in Drover.
var soswCarried = []string{
	"labourers", "job_schema", "job_schema_variants", "max_attempts", "max_simultaneous_invocations", "invocation_number_coefficient", "ecology_config",
}

// soswLeft holds sosw's settings without a counterpart, with the reason.
var soswLeft = map[string]string{
	"dynamo_db_config":                        "the stack has its own tables",
	"dynamo_client_config":                    "the stack has its own tables",
	"sosw_closed_tasks_table":                 "the stack has its own tables",
	"sosw_closed_tasks_labourer_status_index": "the stack has its own tables",
	"sosw_retry_tasks_table":                  "the stack has its own tables",
	"sosw_retry_tasks_greenfield_index":       "the stack has its own tables",
	"greenfield_invocation_delta":             "tasks run in the order of their due times",
	"greenfield_task_step":                    "tasks run in the order of their due times",
	"max_closed_to_analyse_for_duration":      "a lease is max_duration + cooldown, however long earlier runs took",
	"default_simultaneous_invocations":        "sosw never read it; max_simultaneous_invocations is 1 by default",
	"retry_tasks_limit":                       "retries are due by time, in any number",
	"queue_bucket":                            "the scheduler needs no queue file",
	"queue_file":                              "the scheduler needs no queue file",
	"s3_prefix":                               "the scheduler needs no queue file",
	"rows_to_process":                         "the scheduler needs no queue file",
	"shutdown_period":                         "the scheduler continues by itself when its time runs out",
	"task_operational_overhead_for_ddb":       "the tables have on-demand capacity",
	"custom_period_patterns":                  "it calls your own Python code; exact ranges ({from, to}) replace it",
	"siblings_config":                         "the scheduler continues by itself when its time runs out",
	"auto_spawning":                           "the scheduler continues by itself when its time runs out",
	"meta_handler_config":                     "every attempt is stored with its task and in the archive",
	"write_meta_to_ddb":                       "every attempt is stored with its task and in the archive",
	"sns_config":                              "dead tasks go to the stack's alarm topic",
	"dead_sns_topic":                          "dead tasks go to the stack's alarm topic",
	"init_clients":                            "there is nothing to initialise",
	"sosw_worker_assistant_lambda":            "the stack has its own worker assistant",
	"sosw_worker_assistant_lambda_name":       "the stack has its own worker assistant",
	"lifetime_stats_params":                   "it concerns sosw's own statistics",
	"dont_json_loads_results":                 "payloads stay as written",
	"region_name":                             "the stack has a region",
	"test":                                    "it concerns sosw's own tests",
}

// isSosw reports whether a document is a configuration of sosw: it has a setting that only sosw has, whose name isSosw returns, or a labourer with an `arn`
// beside settings that Drover does not have.
func isSosw(root document.Value) (mark string, is bool) {
	stranger := false
	for _, m := range root.Node.Members {
		name := strings.ToLower(m.Key)
		switch {
		case slices.Contains(soswWrappers, name) || slices.Contains(soswMarks, name) || strings.HasPrefix(name, "sosw_"):
			return m.Key, true
		case !slices.Contains(sections, name):
			stranger = true
		}
	}
	return "", stranger && someLabourer(root, "arn")
}

// someLabourer reports whether any labourer of the document has a field.
func someLabourer(root document.Value, field string) bool {
	return slices.ContainsFunc(root.Node.Members, func(m document.Member) bool {
		return m.Key == "labourers" && slices.ContainsFunc(m.Value.Members, func(l document.Member) bool { return l.Value.Has(field) })
	})
}

// warnMixed warns of a setting of sosw in a file that is clearly meant for Drover, because a labourer has a `target`: that setting makes Read treat the
// whole file as a configuration of sosw.
func (r *reader) warnMixed(root document.Value, mark string) {
	if mark == "" || !someLabourer(root, "target") {
		return
	}
	for name, at := range r.Members(root) {
		if name == mark {
			r.Warn(at, "is a sosw setting, so this file is read as sosw's configuration, with sosw's defaults; Drover's own settings are labourers and job_schemas")
		}
	}
}

// soswMarks lists settings that only sosw has.
var soswMarks = []string{
	"job_schema", "job_schema_variants", "invocation_number_coefficient", "ecology_config", "dynamo_db_config",
	"greenfield_invocation_delta", "greenfield_task_step", "default_simultaneous_invocations", "siblings_config", "meta_handler_config",
}

// readSosw reads a configuration of any of sosw's functions or of its task client (`task_config`, TASK_CLIENT_CONFIG), or several of them in one document.
func (r *reader) readSosw(root document.Value, c *Configuration) {
	s := &soswDefaults{maxAttempts: map[string]document.Value{}, details: map[string]document.Value{}, window: soswWindow}
	r.sosw, r.NullIsAbsent = s, true
	r.gather(root)

	base := New("")
	if s.limit.Node != nil {
		if n, ok := r.Decimal(s.limit, 0, MaxCap); ok {
			base.MaxSimultaneousInvocations = n
		}
	}
	base.MaxAttempts = r.soswAttempts("", base.MaxAttempts)
	if s.coefficient.Node != nil {
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
			r.notCarriedOver(s.maxAttempts[id], "there is no labourer "+document.ShownBare(id))
		}
	}
	r.soswSchemas(c)
}

func (r *reader) soswAttempts(id string, standing int) int {
	v, ok := r.sosw.maxAttempts[id]
	if !ok {
		return standing
	}
	if n, ok := r.Whole(v, 1, MaxMaxAttempts); ok {
		return n
	}
	return standing
}

// gather keeps the settings of a configuration, and of those nested in it, that have a counterpart. It warns of the others.
func (r *reader) gather(v document.Value) {
	s := r.sosw
	for key, at := range r.Members(v) {
		name := strings.ToLower(key)
		reason, left := soswLeft[name]
		switch {
		case at.Kind == document.Nothing:
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
		case document.Nearest(key, slices.Concat(soswCarried, soswWrappers[:2])) != "":
			r.Refuse(at, "is unknown to sosw; did you mean %s?", document.Nearest(key, slices.Concat(soswCarried, soswWrappers[:2])))
		default:
			r.notCarriedOver(at, "it has no counterpart")
		}
	}
}

// keep keeps the value of a setting. The same setting elsewhere in the document must have the same value.
func (r *reader) keep(kept *document.Value, at document.Value) {
	if kept.Node != nil && !same(kept.Node, at.Node) {
		r.Refuse(at, "is set differently as %s in line %d", kept.Path, kept.Line)
		return
	}
	*kept = at
}

// same reports whether two values have the same meaning. The order in mappings does not matter.
func same(a, b *document.Node) bool {
	if a.Kind != b.Kind || a.Text != b.Text || len(a.Members) != len(b.Members) {
		return false
	}
	for _, m := range a.Members {
		if !slices.ContainsFunc(b.Members, func(other document.Member) bool { return other.Key == m.Key && same(other.Value, m.Value) }) {
			return false
		}
	}
	return slices.EqualFunc(a.Items, b.Items, same)
}

func (r *reader) gatherEcology(v document.Value) {
	for name, at := range r.Members(v) {
		if name != "default_metric_values" {
			r.notCarriedOver(at, "only default_metric_values of ecology_config has a counterpart")
			continue
		}
		for detail, at := range r.Fields(at, plainDetails...) {
			kept := r.sosw.details[detail]
			r.keep(&kept, at)
			r.sosw.details[detail] = kept
		}
	}
	if v, ok := r.sosw.details["MetricAggregationTimeSlice"]; ok {
		if window, ok := r.Duration(v, time.Second, MaxSpan); ok {
			r.sosw.window = window
		}
	}
}

// inheritDetails adds sosw's default_metric_values to a metric's details, except the window, which depends on the period.
func (r *reader) inheritDetails(fields map[string]document.Value) {
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

// soswSchemas names the schemas. sosw always preferred the default variant to `job_schema`. But calls failed if the default variant had no chunkable
// attributes, so then the user clearly meant job_schema.
func (r *reader) soswSchemas(c *Configuration) {
	s := r.sosw
	for _, v := range []document.Value{s.variants, s.schemas} {
		if v.Node == nil {
			continue
		}
		for name, at := range r.named(v) {
			r.addSchema(c, at, name, r.schema(at))
		}
	}
	if s.schema.Node == nil || (s.schema.Kind == document.Mapping && len(s.schema.Node.Members) == 0) {
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
		c.origins[document.Join("job_schemas", "default")] = document.Error{File: r.File, Line: s.schema.Line, Path: s.schema.Path}
	case !slices.Equal(standing.ChunkableAttrs, schema.ChunkableAttrs):
		r.notCarriedOver(s.schema, "the default of job_schema_variants replaces it, as in sosw")
	}
}

// schemasByName refuses a job_schema that contains schemas by name, and reports whether it does. As a single schema it would have no chunkable attributes.
func (r *reader) schemasByName(v document.Value) bool {
	if v.Kind != document.Mapping || v.Has("chunkable_attrs") || !slices.ContainsFunc(v.Node.Members, func(m document.Member) bool { return m.Value.Has("chunkable_attrs") }) {
		return false
	}
	r.Refuse(v, "contains schemas by name; want one schema, {chunkable_attrs: [...]}, or the name job_schemas (sosw: job_schema_variants)")
	return true
}

// notCarriedOver warns that a setting is not carried over, unless the setting is empty.
func (r *reader) notCarriedOver(v document.Value, why string) {
	if v.Kind == document.Nothing || (v.Kind == document.Mapping && len(v.Node.Members) == 0) || (v.Kind == document.List && len(v.Items) == 0) {
		return
	}
	r.Warn(v, "is not carried over: %s", why)
}

// soswAttributes lists attributes that sosw stores with a labourer at run time, and that its configuration may set.
var soswAttributes = []string{"id", "start", "invoked", "expired", "health", "average_duration"}

// labourerFields returns the fields of a definition. It translates sosw's names in a configuration of sosw, and in a definition with an `arn`.
func (r *reader) labourerFields(v document.Value) map[string]document.Value {
	if r.sosw == nil && !v.Has("arn") {
		return r.Fields(v, droverFields...)
	}
	fields := r.Fields(v, slices.Concat(droverFields, soswAttributes, []string{"arn", "duration"})...)
	for _, name := range soswAttributes {
		if at, ok := fields[name]; ok {
			r.notCarriedOver(at, "sosw determines it at run time")
		}
	}
	if at, ok := fields["duration"]; ok {
		if _, twice := fields["max_duration"]; twice {
			r.Refuse(at, "is sosw's name for max_duration, but max_duration is set too; want one of them")
		}
		fields["max_duration"] = at
	}
	return fields
}

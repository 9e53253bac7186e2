// Package job defines the language of jobs, in which an application asks for work. It reads a job and cuts it into tasks.
//
// # A job
//
// A job is a JSON object or a JSON string that contains one. It may be wrapped in an attribute "job" (an object or a string). These attributes steer
// Drover, and payloads do not have them:
//
//	job_id           the idempotency key, 1 to 128 of A-Z a-z 0-9 _ . : -
//	labourer         the labourer's id, or an ARN that ends in it; the attribute may have sosw's name, lambda_name
//	period           dates or hours, see package calendar: a word such as "last_3_days", or {"from": …, "to": …}
//	isolate_days     one task for each day of the period; isolate_hours, isolate_weeks and isolate_months likewise
//	time_zone        IANA name of the zone of days, weeks, months and hours; UTC if absent
//	not_before       a date or time before which no task starts, at most ten years ahead
//	max_attempts     1 to 1000, instead of the labourer's
//	max_duration     "90s", "15m" or whole seconds, one second to 14 days, instead of the labourer's
//
// job_schema_name selects the schema and stays in the payload. Everything else is payload. It reaches the worker as written, with the order of keys and
// the literal text of numbers.
//
// The payload has the period as "date_list": a list of dates ("2026-11-22") or, for a period in hours, a list of the times at which the hours begin
// ("2026-11-22T05:00:00Z"; outside UTC "2026-11-22T05:00:00+01:00"). isolate_hours turns a period in days into hours. The days, weeks or months of a
// period in hours are lists of hours. Of several isolate flags the finest wins. Without a period, isolate_hours, isolate_weeks and isolate_months are
// payload, and so they are flags of an attribute with that name, if the schema has one. isolate_days is never payload.
//
// # Cutting
//
// The schema names the chunkable attributes in the singular, outermost first: section, store, product. A job gives their values under the
// plural, "sections" (or the singular), as a list, as an object whose keys are the values, or as a single value. In an object each value
// has null, or an object with attributes that apply only to this value. These may include the next chunkable attribute, and so on to any depth:
//
//	{"labourer": "shop", "sections": {"a": {"stores": ["x", "y"], "note": 1}, "b": null}, "isolate_stores": true}
//
// becomes
//
//	{"isolate_stores": true, "sections": ["a"], "note": 1, "stores": ["x"]}
//	{"isolate_stores": true, "sections": ["a"], "note": 1, "stores": ["y"]}
//	{"isolate_stores": true, "sections": ["b"]}
//
// The rules are sosw's:
//
//   - An attribute is cut if isolate_<attribute> or max_<attribute>_per_batch is set, in singular or plural, at its own level or
//     above, and also if anything below it is cut. A flag is set unless it is false, 0, null or empty. A text that means no ("False") is
//     refused.
//   - Flags stay in the payload. If several levels have the same flag, the outermost decides whether to cut.
//   - By default each value becomes a task. max_<plural>_per_batch sets the most values of one task, and overrides isolate; the
//     innermost one applies. It applies to lists, and to objects in which every value is null. In other objects each key becomes at
//     least one task. The singular max_<singular>_per_batch also cuts, but into single values.
//   - A level that is cut copies its other attributes into each of its tasks. An inner attribute replaces an outer one with the same
//     name. Below the last chunkable attribute everything under a key belongs to its task.
//   - A job in which nothing is cut becomes one task, or one for each part of its period, with all attributes as written.
//   - If an attribute is cut but the next one is not, the values of the next one stay together under its plural: a list unchanged, an
//     object of nulls as the list of its keys, and an object with a single key as a list of that object. Anything else stays as written.
//   - A chunkable attribute is payload if it is beside an outer one instead of under its values.
//   - Days are the outer loop and values the inner one, both in the order written.
//   - isolate_x and max_xs_per_batch are payload if x is not chunkable.
//
// Some jobs made sosw crash, or lose or double tasks. Here they do what their author clearly meant, or are refused. If an attribute to be cut is absent or
// null, the job becomes one uncut task. If it has no values, the job has no tasks; inside a branch it is refused, because the other branches have values.
// An attribute that is given in both singular and plural is refused.
//
// A job that two readers could read differently is refused, with the place: a key that appears twice, and a word of this language beside the same word in
// another case. Without the other word, "Period" is payload.
//
// # Reserved names
//
// Every worker gets "task_id" and "drover" in addition to its payload. A job is refused if these names would reach the top level of a payload, also from
// an object that is cut.
//
// # Limits
//
// A job, and the payload of each task, has at most 1 MiB ([MaxJobBytes], [MaxPayloadBytes]) and [MaxDepth] levels of nesting.
//
// # Expansion
//
// [Job.Plan] counts the tasks without building them, and [Plan.Payload] builds a single one. So a plan needs memory for the job's text and not for its
// tasks. It is deterministic: the same job, schema and time of submission give the same bytes.
package job

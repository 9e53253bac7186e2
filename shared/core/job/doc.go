// Package job defines the language in which an application asks for work. It reads a job and cuts it into tasks.
//
// # A job
//
// A job is a JSON object, or a JSON string of one, by itself or wrapped in an attribute "job" (an object or a string). These attributes
// steer Drover, and no task's payload has them:
//
//	job_id           the idempotency key, 1 to 128 of A-Z a-z 0-9 _ . : -
//	labourer         the labourer's id, or an ARN whose name is taken; sosw's name for the attribute, lambda_name, works too
//	period           dates or hours, see package calendar: a word such as "last_3_days", or {"from": …, "to": …}
//	isolate_days     one task for each day of the period; isolate_hours, isolate_weeks and isolate_months likewise
//	time_zone        IANA name of the zone of days, weeks, months and hours; UTC when absent
//	not_before       a date or time before which no task starts, at most ten years ahead
//	max_attempts     1 to 1000, in place of the labourer's
//	max_duration     "90s", "15m" or whole seconds, one second to 14 days, in place of the labourer's
//
// job_schema_name selects the schema and stays in the payload. Everything else is payload and reaches the worker as written, with the
// order of keys and the literal text of numbers.
//
// The payload has the period as "date_list": a list of dates ("2026-11-22"), or for a period in hours, a list of the times at which the
// hours begin ("2026-11-22T05:00:00Z"; outside UTC "2026-11-22T05:00:00+01:00"). isolate_hours turns a period in days into hours. The
// days, weeks or months of a period in hours are lists of hours. Of several isolate flags the finest wins. Without a period,
// isolate_hours, isolate_weeks and isolate_months are payload, and therefore flags of the schema's attribute of that name, if it has one;
// isolate_days is never payload.
//
// # Cutting
//
// The schema names the chunkable attributes in the singular, outermost first: section, store, product. A job gives their values under the
// plural, "sections" (or the singular), as a list, as an object whose keys are the values, or as a single value. In an object each value
// has null, or an object with attributes for this value alone. These may include the next chunkable attribute, and so on to any depth:
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
//   - An attribute is cut when isolate_<attribute> or max_<attribute>_per_batch is set, in singular or plural, at its own level or
//     above, and when anything below it is cut. A flag is set unless it is false, 0, null or empty. A text that means no ("False") is
//     refused.
//   - Flags stay in the payload. When several levels have the same flag, the outermost decides whether to cut.
//   - By default each value becomes a task. max_<plural>_per_batch gives the most values of one task, and wins over isolate; the
//     innermost one applies. It applies to lists, and to objects in which every value is null. In other objects each key becomes at
//     least one task. The singular max_<singular>_per_batch cuts, but into single values.
//   - A level that is cut copies its other attributes into each of its tasks. An inner attribute wins over an outer one of the same
//     name. Below the last chunkable attribute everything under a key belongs to its task.
//   - A job in which nothing is cut is one task, or one for each part of its period, with all attributes as written.
//   - Where an attribute is cut but the next one is not, the values of the next one stay together under its plural: a list as it is, an
//     object of nulls as the list of its keys, an object with a single key as a list of that object. Anything else stays as written.
//   - A chunkable attribute beside an outer one, and not under its values, is payload.
//   - Days are the outer loop and values the inner one, both in the order written.
//   - isolate_x and max_xs_per_batch are payload when x is not chunkable.
//
// Jobs on which sosw crashed, or whose tasks it lost or doubled, do what their author clearly meant, or are refused. An attribute that is
// to be cut but is absent or null leaves one uncut task. One without values makes a job without tasks; inside a branch it is refused, as
// the other branches have values. One given in both singular and plural is refused.
//
// A job that two readers could read differently is refused, with the place: a key that appears twice, and a word of this language that is
// beside the same word in another case. By itself, "Period" is payload.
//
// # Reserved names
//
// Every worker gets "task_id" and "drover" beside its payload. A job is refused when these names would reach the top level of a payload,
// also from an object that is taken apart.
//
// # Limits
//
// A job, and the payload of each task, has at most 1 MiB ([MaxJobBytes], [MaxPayloadBytes]) and [MaxDepth] levels of nesting.
//
// # Expansion
//
// [Job.Plan] counts the tasks without building them, and [Plan.Payload] builds any one of them alone, so a plan needs memory for the
// job's text and not for its tasks. It is deterministic: the same job, schema and time of submission give the same bytes.
package job

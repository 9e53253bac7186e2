// Package job is the language in which an application asks for work: it reads a job, and cuts it into tasks.
//
// # A job
//
// A job is a JSON object, or the text of one, on its own or wrapped in an attribute "job" (an object or text). These attributes steer
// Drover, and no task's payload has them:
//
//	job_id           the idempotency key, 1 to 128 of A-Z a-z 0-9 _ . : -
//	labourer         the labourer's id; lambda_name, as sosw called it, is the same; also an ARN, from which the name is taken
//	period           dates or hours, see package calendar: a word such as "last_3_days", or {"from": …, "to": …}
//	isolate_days     one task for each day of the period; isolate_hours, isolate_weeks and isolate_months likewise
//	time_zone        IANA name of the zone in which days, weeks, months and hours are meant; UTC when absent
//	not_before       a date or time before which no task is started, at most ten years ahead
//	max_attempts     1 to 1000, instead of the labourer's
//	max_duration     "90s", "15m" or whole seconds, one second to 14 days, instead of the labourer's
//
// job_schema_name chooses the schema and stays in the payload. Everything else is the worker's payload and comes to it as it was written:
// order of keys, literal text of numbers and all.
//
// The period arrives in the payload as "date_list": a list of dates ("2026-11-22"), or for a period in hours, a list of the times at which
// the hours begin ("2026-11-22T05:00:00Z", in another zone than UTC "2026-11-22T05:00:00+01:00"). isolate_hours makes hours of a
// period in days; the days, weeks or months of a period in hours are lists of hours. Of several isolate flags the finest counts. Without
// a period isolate_hours, isolate_weeks and isolate_months are payload, and so they are flags of the schema's own attribute when it has
// one of that name; isolate_days is never payload.
//
// # Cutting
//
// The schema names the chunkable attributes in singular, outermost first: section, store, product. A job gives their values under the
// plural, "sections" (or the singular), as a list, as an object whose keys are the values, or as one value. Under a value's key in an
// object may lie null, or an object with attributes for this value alone, the next chunkable attribute among them, and so on to any
// depth:
//
//	{"labourer": "shop", "sections": {"a": {"stores": ["x", "y"], "note": 1}, "b": null}, "isolate_stores": true}
//
// becomes
//
//	{"isolate_stores": true, "sections": ["a"], "note": 1, "stores": ["x"]}
//	{"isolate_stores": true, "sections": ["a"], "note": 1, "stores": ["y"]}
//	{"isolate_stores": true, "sections": ["b"]}
//
// These are the rules, which are sosw's:
//
//   - An attribute is cut when isolate_<attribute> or max_<attribute>_per_batch is set, in singular or plural, at its own level or
//     above, and when anything that lies below it is cut. A flag is set unless it is false, 0, null or empty; a text
//     that says no ("False") is refused.
//   - Flags stay in the payload. Of the same flag at several levels the outer one decides whether to cut.
//   - Without a number each value is a task of its own. max_<plural>_per_batch gives the most values for one task, and wins over
//     isolate; the innermost one counts. It holds for lists, and for objects in which every value is null; where an object has more,
//     each key is a task (or more). The singular max_<singular>_per_batch cuts, but into single values.
//   - A level that is cut takes its attributes apart from the values into each of its tasks; an inner attribute wins over an outer
//     one of the same name. Below the last chunkable attribute whatever lies under a key is the task's.
//   - A job in which nothing is cut is one task, or one for each part of its period, with all attributes as they are written.
//   - Where an outer attribute is cut but not the next one, that one's values stay together: a list as it is, an object whose values
//     are all null as the list of its keys, an object with a single key as a list of that object, all under the plural; anything else
//     as it is written.
//   - An attribute that lies beside one further out instead of under its values is payload.
//   - Days are the outer loop, values the inner one, both in the order written.
//   - isolate_x and max_xs_per_batch of an x that is not chunkable are payload.
//
// What sosw crashed on, lost or doubled is done as its author plainly meant, or refused: a cut attribute that is absent or null leaves one
// uncut task. One that has no values makes a job of no tasks, but is refused in a branch, for the other branches have values. One that is
// given in singular and plural at once is refused.
//
// What two readers would read differently is refused with its place: a key that is written twice, and a word of this language that stands beside
// itself in another case. Alone, "Period" is payload.
//
// # Names that a payload may not have
//
// Every worker gets "task_id" and "drover" beside its payload. A job is refused when these names would come to the top of a payload,
// also out of an object that is taken apart.
//
// # Limits
//
// A job, and the payload of each task, has at most 1 MiB ([MaxJobBytes], [MaxPayloadBytes]) and [MaxDepth] levels of nesting.
//
// # Expansion
//
// [Job.Plan] counts the tasks without making them, and [Plan.Payload] makes any one of them alone, so a plan takes memory for the job's
// text and not for its tasks. It is deterministic: the same job, schema and time of submission give the same bytes.
package job

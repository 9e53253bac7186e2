package job

import "github.com/drover-run/drover/shared/core/spelling"

// Doubts returns warnings about attributes at the top level of the job that are probably mistakes: misspelt words of the job language (isolate_sectoins),
// which are payload; names that look like a batch size but are none (max_section_per_batch); an isolate_days without a period, which cuts nothing; and
// attributes beside the wrapper. They are not errors, because a payload may have any names. Tools that check a job before its submission show them.
func (j Job) Doubts(schema Schema) []Error {
	words := append([]string{"job_schema_name"}, steering...)
	for _, unit := range isolations {
		words = append(words, "isolate_"+unit.String())
	}
	known, noSizes := map[string]bool{"traceparent": true, "tracestate": true}, map[string]string{}
	for _, a := range schema.attributes() {
		words = append(words, a.plural, "isolate_"+a.plural, a.size)
		known[a.singular] = true
		for _, flag := range a.set {
			known[flag] = true
		}
		noSizes["max_"+a.singular+"_per_batch"] = a.size
	}
	for _, word := range words {
		known[word] = true
	}
	var doubts []Error
	if days := j.root.get("isolate_days"); j.period == nil && days != nil && !days.empty() {
		doubts = append(doubts, Error{"isolate_days", "cuts nothing, because the job has no period"})
	}
	for _, name := range j.unseen {
		doubts = append(doubts, Error{join("", name), "is beside job, where it is ignored and does not reach a worker; put it into the job"})
	}
	for _, name := range j.root.names {
		const shortest = 5 // shorter words are too similar to each other
		if size, ok := noSizes[name]; ok {
			doubts = append(doubts, Error{name, "cuts into single values, whatever its number; use " + size + " for the size of a batch"})
		}
		if known[name] || len(name) < shortest {
			continue
		}
		if nearest, ok := spelling.Nearest(name, words); ok {
			doubts = append(doubts, Error{join("", name), "is unknown and goes to the worker as payload; did you mean " + nearest + "?"})
		}
	}
	return doubts
}

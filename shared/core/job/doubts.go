package job

import "github.com/drover-run/drover/shared/core/spelling"

// Doubts are attributes of the job itself, not of what lies deeper, whose author probably meant something else: they look like a misspelt word
// of the job language (isolate_sectoins) and so are payload, or like the size of a batch without being it (max_section_per_batch), or cut nothing
// (isolate_days without a period), or stand beside the wrapper. They are no errors, for a payload may have any names; whoever checks a job before it is submitted wants to see them.
func (j Job) Doubts(schema Schema) []Error {
	words := append([]string{"job_schema_name"}, steering...)
	for _, unit := range isolations {
		words = append(words, "isolate_"+unit.String())
	}
	known, noSizes := map[string]bool{}, map[string]string{}
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
		doubts = append(doubts, Error{"isolate_days", "cuts nothing, for the job has no period"})
	}
	for _, name := range j.unseen {
		doubts = append(doubts, Error{join("", name), "stands beside job, where it means nothing and goes to no worker; put it into the job"})
	}
	for _, name := range j.root.names {
		const shortest = 5 // of shorter words too many are near each other
		if size, ok := noSizes[name]; ok {
			doubts = append(doubts, Error{name, "cuts into single values, whatever its number; " + size + " is the size of a batch"})
		}
		if known[name] || len(name) < shortest {
			continue
		}
		if nearest, ok := spelling.Nearest(name, words); ok {
			doubts = append(doubts, Error{join("", name), "is not known and goes to the worker as payload; did you mean " + nearest + "?"})
		}
	}
	return doubts
}

package job

import "github.com/drover-run/drover/shared/job/spelling"

// Doubts are attributes that are payload, because nothing else is known by their name, but look like a misspelt word of the job language:
// isolate_sectoins. They are no errors, for a payload may have any names; whoever checks a job before it is submitted wants to see them.
func (j Job) Doubts(schema Schema) []Error {
	known := append([]string{"job_schema_name"}, steering...)
	for _, unit := range isolations {
		known = append(known, "isolate_"+unit.String())
	}
	for _, a := range schema.attributes() {
		known = append(append(known, a.plural, a.singular), a.set...)
	}
	exact := make(map[string]bool, len(known))
	for _, name := range known {
		exact[name] = true
	}
	var doubts []Error
	for _, name := range j.root.names {
		const shortest = 5 // of shorter words too many are near each other
		if exact[name] || len(name) < shortest {
			continue
		}
		if nearest, ok := spelling.Nearest(name, known); ok {
			doubts = append(doubts, Error{join("", name), "is not known and goes to the worker as payload; did you mean " + nearest + "?"})
		}
	}
	return doubts
}

package weather

import (
	"errors"
	"slices"
)

// Request holds the payload of one task: the rest of the job after it was cut into months and measures.
type Request struct {
	// Bucket and Key name the object in S3 that has the data.
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// Dates are the days to sum up, written as 2012-01-31.
	Dates []string `json:"date_list"`
	// Measures are the columns to sum up.
	Measures []string `json:"measures"`

	// FailFirst and Poison make the worker misbehave, to show how Drover handles it: a task that FailFirst names fails at its first
	// attempt and succeeds later; a task that Poison names fails permanently.
	FailFirst []Match `json:"fail_first"`
	Poison    []Match `json:"poison"`
}

// Match names the task that has both this measure and this date.
type Match struct {
	Measure string `json:"measure"`
	Date    string `json:"date"`
}

// Named reports whether one of the matches names the task of this request.
func (r Request) Named(matches []Match) bool {
	return slices.ContainsFunc(matches, func(m Match) bool {
		return slices.Contains(r.Measures, m.Measure) && slices.Contains(r.Dates, m.Date)
	})
}

// Check returns an error that names the first missing attribute of a request.
func (r Request) Check() error {
	switch {
	case r.Bucket == "":
		return errors.New("bucket is missing; want the S3 bucket with the data")
	case r.Key == "":
		return errors.New("key is missing; want the object with the data")
	case len(r.Dates) == 0:
		return errors.New("date_list is empty; the job needs a period")
	case len(r.Measures) == 0:
		return errors.New("measures is empty; want the columns to sum up")
	}
	return nil
}

// Answer holds the result of one task: a summary for each requested measure.
type Answer map[string]Summary

// Answer computes the answer to a request from the data.
func (r Request) Answer(days Days) (Answer, error) {
	answer := Answer{}
	for _, measure := range r.Measures {
		summary, err := Summarise(days, measure, r.Dates)
		if err != nil {
			return nil, err
		}
		answer[measure] = summary
	}
	return answer, nil
}

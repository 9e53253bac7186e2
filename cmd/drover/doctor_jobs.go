package main

import (
	"context"
	"strings"
)

// jobsNamed is of how many jobs the doctor says why they stand still.
const jobsNamed = 5

// jobsCheck looks for jobs that do not get on by themselves.
func (s *shell) jobsCheck(ctx context.Context, st *stack) check {
	found, err := s.standstills(ctx, st, nil)
	if err != nil {
		return unread("jobs", err, "dynamodb:Query", "", "which stand still cannot be told: ")
	}
	if len(found) == 0 {
		return fine("jobs", "none stands still")
	}
	var why []string
	for _, one := range found[:min(len(found), jobsNamed)] {
		why = append(why, one.why())
	}
	if len(found) > jobsNamed {
		why = append(why, "…")
	}
	return wrong("jobs", "mend what the logs of the scheduler and the scavenger complain of, then "+st.own("redrive"), "%d stand still: %s", len(found), strings.Join(why, ", "))
}

package main

import (
	"strings"
)

// command returns a call of the AWS CLI as it can be pasted: to the endpoint that drover itself talks to, and in the stack's region.
func (s *stack) command(words ...string) string {
	all := []string{"aws"}
	if s.endpoint != "" {
		all = append(all, "--endpoint-url", s.endpoint)
	}
	if s.region != "" {
		all = append(all, "--region", s.region)
	}
	all = append(all, words...)
	for i, word := range all {
		all[i] = quoted(word)
	}
	return strings.Join(all, " ")
}

// deploy returns the call that deploys the stack, with some parameters of the template; the others keep their values.
func (s *stack) deploy(parameters ...string) string {
	text := "make deploy"
	if s.Name != defaultStack {
		text = "DROVER_STACK=" + quoted(s.Name) + " " + text
	}
	if len(parameters) > 0 {
		text += " " + quoted("PARAMETERS="+strings.Join(parameters, " "))
	}
	return text
}

// own returns a call of drover as it can be pasted.
func (s *stack) own(words ...string) string {
	all := []string{"drover"}
	if s.Name != defaultStack {
		all = append(all, "--stack", s.Name)
	}
	all = append(all, words...)
	for i, word := range all {
		all[i] = quoted(word)
	}
	return strings.Join(all, " ")
}

// remedy says what to do about something that could not be looked at. action is the right that it takes; otherwise is what to do
// where the error itself does not tell.
func remedy(err error, action, otherwise string) string {
	switch kindOf(err) {
	case passing:
		return "AWS has a fault or is out of reach: look again in a minute"
	case session:
		return signIn(err, "")
	case denied:
		return "allow " + action + " to the credentials that drover runs with"
	}
	return otherwise
}

// unread is the finding that something could not be looked at.
func unread(name string, err error, action, otherwise, what string) check {
	if otherwise == "" {
		otherwise = "see what it says; it takes the right " + action
	}
	return wrong(name, remedy(err, action, otherwise), "%s%s", what, reason(err))
}
